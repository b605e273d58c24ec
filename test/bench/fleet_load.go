package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/test/fleetmodel"
)

// benchProject owns the fleet.
const benchProject = "0123456789abcdef0123456789abcdef"

// A loader writes the rows of one table.
type loader func(ctx context.Context, table string, columns []string, rows func(yield func(row []any) error) error) error

// newPostgresLoader copies rows in.
func newPostgresLoader(ctx context.Context, url string) (loader, *sql.DB, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, nil, err
	}
	load := func(ctx context.Context, table string, columns []string, rows func(func([]any) error) error) error {
		c, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return err
		}
		defer c.Close(ctx)
		ch, done := make(chan []any, 1024), make(chan error, 1)
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			err := rows(func(row []any) error {
				select {
				case ch <- row:
					return nil
				case <-ctx.Done():
					return stopped
				}
			})
			close(ch)
			done <- err
		}()
		_, err = c.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
			row, ok := <-ch
			if !ok {
				return nil, nil
			}
			return row, nil
		}))
		cancel()
		if made := <-done; err == nil && made != nil && !errors.Is(made, stopped) {
			err = made
		}
		return err
	}
	return load, stdlib.OpenDB(*cfg), nil
}

// newSQLiteLoader inserts rows, many in one transaction.
func newSQLiteLoader(path string) (loader, *sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	load := func(ctx context.Context, table string, columns []string, rows func(func([]any) error) error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		marks := make([]string, len(columns))
		for i := range marks {
			marks[i] = "$" + strconv.Itoa(i+1)
		}
		st, err := tx.PrepareContext(ctx, "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(marks, ", ")+")")
		if err != nil {
			return err
		}
		defer st.Close()
		if err := rows(func(row []any) error { _, err := st.ExecContext(ctx, row...); return err }); err != nil {
			return err
		}
		return tx.Commit()
	}
	return load, db, nil
}

// loadFleet writes what scans of the fleet would have written, but for
// findings: packages are marked as matched by no generation, so that the first
// re-match finds all.
func loadFleet(ctx context.Context, load loader, f *fleetmodel.Fleet) error {
	const now = loadedAt
	distros := make([]string, len(f.Distros))
	for i, d := range f.Distros {
		b, err := json.Marshal(d)
		if err != nil {
			return err
		}
		distros[i] = string(b)
	}
	id := func(i int32) int64 { return int64(i) + 1 }
	return loadTables(ctx, load, []table{
		{"project", "id, name, created_at", each(1, func(int) []any { return []any{benchProject, "bench", now} })},
		{"distro", "id, body", each(len(distros), func(i int) []any { return []any{int64(i + 1), distros[i]} })},
		{"package", "id, type, name, version, arch, source, source_version, module, vendor, distro_id, matched", each(len(f.Packages), func(i int) []any {
			p := f.Packages[i]
			return []any{id(int32(i)), p.Type, p.Name, p.Version, p.Arch, p.Source, p.SourceVersion, p.Module, p.Vendor, int64(p.Distro + 1), int64(1)}
		})},
		{"part", "id, layer", each(len(f.Parts), func(i int) []any { return []any{id(int32(i)), f.Parts[i].Layer} })},
		{"part_package", "part_id, n, package_id, counted, declared, owned_by, path, licenses", func(yield func([]any) error) error {
			for i, p := range f.Parts {
				for n, k := range p.Packages {
					if err := yield([]any{id(int32(i)), int64(n), id(k), int64(1), int64(0), "", placeOf(f.Packages[k]), ""}); err != nil {
						return err
					}
				}
			}
			return nil
		}},
		{"coverage", "id, inventory, warned", each(1, func(int) []any { return []any{int64(1), "{}", int64(0)} })},
		{"content", "id, project_id, config_digest, scan_status, prior_status, scan_failed_desc, latest_scan_time, first_scan_time, vul_num, component_num, severity_level, gone_at, coverage_id, app_num", each(len(f.Images), func(i int) []any {
			n := 0
			for _, p := range f.Images[i].Parts {
				n += len(f.Parts[p].Packages)
			}
			return []any{id(int32(i)), benchProject, f.Images[i].Digest, store.StatusSuccess, store.StatusSuccess, "", now - int64(i)*60_000, now - int64(i)*60_000, int64(0), int64(n), "", int64(0), int64(1), int64(n)}
		})},
		{"content_detail", "content_id, analyzers, generation, diff_ids, config, distro", each(len(f.Images), func(i int) []any {
			layers := []string{}
			for _, p := range f.Images[i].Parts {
				layers = append(layers, f.Parts[p].Layer)
			}
			ids, _ := json.Marshal(layers) // texts can be written
			return []any{id(int32(i)), "bench", "", string(ids), []byte("{}"), distros[f.Images[i].Distro]}
		})},
		{"content_part", "content_id, part_id", func(yield func([]any) error) error {
			for i, m := range f.Images {
				for _, p := range slices.Compact(slices.Sorted(slices.Values(m.Parts))) {
					if err := yield([]any{id(int32(i)), id(p)}); err != nil {
						return err
					}
				}
			}
			return nil
		}},
		{"project_package", "project_id, package_id", each(len(f.Packages), func(i int) []any { return []any{benchProject, id(int32(i))} })},
		{"image", "id, project_id, content_id, name, version, local_type, size, updated_at, non_scan_reason", each(len(f.Images), func(i int) []any {
			m := f.Images[i]
			return []any{imageID(i), benchProject, id(int32(i)), m.Name, m.Tag, "other_image", int64(i%997+20) << 20, now - int64(i)*30_000, ""}
		})},
		{"agent", "id, project_id, host_id, host_name, private_ip, public_ip, os, arch, version, engines, analyzers, images_hash, last_seen, created_at", each(len(f.Hosts), func(i int) []any {
			ip := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
			return []any{agentID(i), benchProject, fmt.Sprintf("host-%d", i), fmt.Sprintf("node-%05d", i), ip, "", "linux", "amd64", "bench", "[]", "bench", "", now, now}
		})},
		{"image_host", "image_id, agent_id, engine, project_id, non_scan_reason", func(yield func([]any) error) error {
			for h, host := range f.Hosts {
				for _, i := range host.Images {
					if err := yield([]any{imageID(int(i)), agentID(h), "containerd", benchProject, ""}); err != nil {
						return err
					}
				}
			}
			return nil
		}},
		{"container", "image_id, agent_id, engine, container_id, project_id, name, pod_id, pod_name, entry_point, running", func(yield func([]any) error) error {
			for h, host := range f.Hosts {
				for n, k := range host.Running {
					c := fmt.Sprintf("%08x%08x", h, n)
					name, pod, podID := fmt.Sprintf("app-%d", n), "", ""
					if h%2 == 0 {
						pod, podID = fmt.Sprintf("pod-%d-%d", h, n), fmt.Sprintf("%08x-%04x-8000-8000-000000000000", h, n)
					}
					if err := yield([]any{imageID(int(host.Images[k])), agentID(h), "containerd", c, benchProject, name, podID, pod, "/app", int64(1)}); err != nil {
						return err
					}
				}
			}
			return nil
		}},
	})
}

// loadedAt is the time of everything in the fleet, Unix milliseconds.
const loadedAt = int64(1795780000000)

func imageID(i int) string { return fmt.Sprintf("%08x-0000-8000-8000-%012x", i, i) }
func agentID(i int) string { return fmt.Sprintf("agent-%d", i) }

// A table is rows to load.
type table struct {
	name, columns string
	rows          func(yield func([]any) error) error
}

// each makes n rows.
func each(n int, row func(i int) []any) func(func([]any) error) error {
	return func(yield func([]any) error) error {
		for i := range n {
			if err := yield(row(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

func loadTables(ctx context.Context, load loader, tables []table) error {
	for _, t := range tables {
		if err := load(ctx, t.name, strings.Split(t.columns, ", "), t.rows); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// placeOf is the file that tells of a package.
func placeOf(p fleetmodel.Package) string {
	switch p.Type {
	case report.TypeDeb:
		return "/var/lib/dpkg/status"
	case report.TypeAPK:
		return "/lib/apk/db/installed"
	case report.TypeRPM:
		return "/var/lib/rpm/rpmdb.sqlite"
	default:
		return "/app/deps/" + p.Name
	}
}
