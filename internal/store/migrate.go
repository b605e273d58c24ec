package store

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/onceover/onceover/internal/report"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. The text of the migrations is
// SQLite's; PostgreSQL has another word for BLOB, and lacks instr.
func (s *Store) migrate(ctx context.Context) error {
	if err := s.exec(ctx, s.engine.prepare); err != nil {
		return fmt.Errorf("prepare database: %w", err)
	}
	p, err := s.migrator()
	if err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	for _, m := range done {
		s.log.InfoContext(ctx, "store migrated", "version", m.Source.Version)
	}
	if err := s.exec(ctx, s.engine.tune); err != nil {
		return fmt.Errorf("tune database: %w", err)
	}
	return nil
}

func (s *Store) migrator() (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if s.engine.dialect == goose.DialectPostgres {
		dir = worded{dir, "BLOB", "BYTEA"}
	}
	return goose.NewProvider(s.engine.dialect, s.write, dir,
		goose.WithGoMigrations(goose.NewGoMigration(4, &goose.GoFunc{RunTx: carryOver}, nil)))
}

// exec runs a statement that an engine may have.
func (s *Store) exec(ctx context.Context, statement string) error {
	if statement == "" {
		return nil
	}
	return s.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
}

// worded is a directory of texts with one word in the place of another.
type worded struct {
	fs.FS
	old, new string
}

// Open implements fs.FS.
func (w worded) Open(name string) (fs.File, error) {
	f, err := w.FS.Open(name)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil || fi.IsDir() {
		return f, err
	}
	b, err := fs.ReadFile(w.FS, name)
	if err != nil {
		return nil, err
	}
	return &wordedFile{f, bytes.NewReader(bytes.ReplaceAll(b, []byte(w.old), []byte(w.new)))}, nil
}

type wordedFile struct {
	fs.File
	r *bytes.Reader
}

func (f *wordedFile) Read(b []byte) (int, error) { return f.r.Read(b) }

const (
	sqlOldContents = `SELECT c.id, c.project_id, d.distro, c.latest_scan_time FROM content c JOIN content_detail d ON d.content_id = c.id ORDER BY c.id`
	sqlOldPackages = `SELECT p.type, p.name, p.version, p.arch, p.source, p.source_version, p.module, p.vendor, o.path, o.layer, o.owned_by, o.declared, o.licenses, o.package_id
FROM old_content_package o JOIN old_package p ON p.id = o.package_id WHERE o.content_id = $1`
	sqlOldFindings = `SELECT f.package_id, f.vul_id, f.vul_type, f.severity, f.fix_state, f.fixed_version, f.evidence, f.first_seen FROM old_finding f WHERE f.content_id = $1`
	sqlOldVuls     = `SELECT id, severity_from, score, vector, summary, url, published, aliases FROM old_vulnerability`
	sqlOldCVEs     = `SELECT vul_id, cve_id, score, published, description FROM old_vulnerability_cve`
	sqlFirstScan   = `UPDATE content SET first_scan_time = $1, coverage_id = $2 WHERE id = $3`
	// An image that was not called safe although nothing was found is not
	// called so until it is scanned again.
	sqlKeepDoubt = `UPDATE content SET unread = 1 WHERE id = $1 AND latest_scan_time > 0 AND vul_num = 0 AND severity_level = ''`
	sqlDropOld   = `DROP TABLE `
	// sqlCarryLevel is what sqlLevelOfOne was when this migration was written.
	sqlCarryLevel = `UPDATE content SET severity_level = CASE WHEN latest_scan_time = 0 THEN ''
WHEN vul_critical + vul_high > 0 THEN 'High' WHEN vul_medium > 0 THEN 'Medium' WHEN vul_low + vul_unknown > 0 THEN 'Low'
WHEN unread = 1 OR EXISTS (SELECT 1 FROM coverage w WHERE w.id = content.coverage_id AND w.warned = 1) THEN '' ELSE 'Security' END WHERE id = $1`
	// sqlCarryCount is what sqlCountContent was when this migration was written.
	sqlCarryCount = setCounts + `
FROM (SELECT COUNT(*) AS n, ` + countWorst + `
FROM (SELECT f.vul_id, MAX(f.severity) AS severity FROM content_part cp CROSS JOIN part_package pp CROSS JOIN finding f
WHERE pp.part_id = cp.part_id AND pp.counted = 1 AND f.package_id = pp.package_id AND cp.content_id = $1 GROUP BY f.vul_id) worst) t
WHERE content.id = $2`
	// sqlCarryFinding is what sqlPutFinding was when this migration was written.
	sqlCarryFinding = `INSERT INTO finding (package_id, vul_id, vul_type, severity, fix_state, fixed_version, evidence, first_seen) VALUES`

	onConflictEarlier = `ON CONFLICT (package_id, vul_id) DO UPDATE SET first_seen = CASE WHEN excluded.first_seen < finding.first_seen THEN excluded.first_seen ELSE finding.first_seen END`
)

// carryOver moves inventories and findings from the tables that had them for
// each image into those that have them once. What was stored of an advisory or
// a package stands until the first re-match, which concerns everything.
func carryOver(ctx context.Context, tx *sql.Tx) error {
	var vuls, cves [][]any
	err := each(ctx, tx, sqlOldVuls, nil, func(r *sql.Rows) error {
		var id string
		var f vulFacts
		err := r.Scan(&id, &f.severityFrom, &f.score, &f.vector, &f.summary, &f.url, &f.published, &f.aliases)
		vuls = append(vuls, []any{vulID(id), id, f.severityFrom, f.score, f.vector, f.summary, f.url, f.published, f.aliases})
		return err
	})
	if err != nil {
		return fmt.Errorf("read old vulnerabilities: %w", err)
	}
	err = each(ctx, tx, sqlOldCVEs, nil, func(r *sql.Rows) error {
		var vul, id, description string
		var score, published int64
		err := r.Scan(&vul, &id, &score, &published, &description)
		cves = append(cves, []any{vulID(vul), id, score, published, description})
		return err
	})
	if err != nil {
		return fmt.Errorf("read old CVEs: %w", err)
	}
	if err := putRows(ctx, tx, sqlPutVul, onConflictVul, vuls); err != nil {
		return fmt.Errorf("carry vulnerabilities over: %w", err)
	}
	if err := putRows(ctx, tx, sqlPutCVE, onConflictCVE, cves); err != nil {
		return fmt.Errorf("carry CVEs over: %w", err)
	}
	type old struct {
		id      int64
		project string
		distro  report.Distro
		scanned int64
	}
	var contents []old
	err = each(ctx, tx, sqlOldContents, nil, func(r *sql.Rows) error {
		var c old
		var distro string
		if err := r.Scan(&c.id, &c.project, &distro, &c.scanned); err != nil {
			return err
		}
		contents = append(contents, c)
		return json.Unmarshal([]byte(distro), &contents[len(contents)-1].distro)
	})
	if err != nil {
		return fmt.Errorf("read old contents: %w", err)
	}
	for _, c := range contents {
		if err := carryContent(ctx, tx, c.id, c.project, c.distro, c.scanned); err != nil {
			return fmt.Errorf("carry content over: %w", err)
		}
	}
	for _, t := range []string{"old_finding", "old_vulnerability_cve", "old_vulnerability", "old_content_package", "old_package"} {
		if _, err := tx.ExecContext(ctx, sqlDropOld+t); err != nil {
			return fmt.Errorf("drop %s: %w", t, err)
		}
	}
	return nil
}

func carryContent(ctx context.Context, tx *sql.Tx, content int64, project string, distro report.Distro, scanned int64) error {
	inv := report.Inventory{Distro: distro}
	var oldIDs []int64
	err := each(ctx, tx, sqlOldPackages, []any{content}, func(r *sql.Rows) error {
		var p report.Package
		var declared, id int64
		var licenses []byte
		err := r.Scan(&p.Type, &p.Name, &p.Version, &p.Arch, &p.Source, &p.SourceVersion, &p.Module, &p.Vendor, &p.Path, &p.Layer, &p.OwnedBy, &declared, &licenses, &id)
		if err != nil {
			return err
		}
		p.Declared = declared != 0
		inv.Packages = append(inv.Packages, p)
		oldIDs = append(oldIDs, id)
		return json.Unmarshal(licenses, &inv.Packages[len(inv.Packages)-1].Licenses)
	})
	if err != nil {
		return err
	}
	packages, parts, err := split(inv)
	if err != nil {
		return err
	}
	distroID, err := distroRow(distro)
	if err != nil {
		return err
	}
	if err := putInventory(ctx, tx, project, content, packages, parts, nil); err != nil {
		return err
	}
	newIDs := map[int64]int64{}
	var counted []int64
	for i, p := range inv.Packages {
		id := newDistinct(p, distro, distroID).id
		newIDs[oldIDs[i]] = id
		if packages[id].counted {
			counted = append(counted, id)
		}
	}
	var findings [][]any
	seen := map[[2]int64]bool{}
	first := scanned
	err = each(ctx, tx, sqlOldFindings, []any{content}, func(r *sql.Rows) error {
		var old int64
		var vul string
		var f findingRow
		err := r.Scan(&old, &vul, &f.vulType, &f.severity, &f.fixState, &f.fixedVersion, &f.evidence, &f.firstSeen)
		if err != nil {
			return err
		}
		first = min(first, f.firstSeen)
		k := [2]int64{newIDs[old], vulID(vul)}
		if seen[k] {
			return nil
		}
		seen[k] = true
		var evidence report.Evidence
		if err := json.Unmarshal([]byte(f.evidence), &evidence); err != nil {
			return err
		}
		evidence.BuildCommand = "" // of the image
		b, err := json.Marshal(evidence)
		findings = append(findings, []any{k[0], k[1], f.vulType, f.severity, f.fixState, f.fixedVersion, string(b), f.firstSeen})
		return err
	})
	if err != nil {
		return err
	}
	if err := putRows(ctx, tx, sqlCarryFinding, onConflictEarlier, findings); err != nil {
		return err
	}
	if err := execIn(ctx, tx, sqlSetMatched, counted); err != nil {
		return err
	}
	var coverage int64
	if first > 0 {
		if coverage, err = putCoverage(ctx, tx, inv, false); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, sqlFirstScan, first, coverage, content); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, sqlKeepDoubt, content); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, sqlCarryCount, content, content); err != nil {
		return fmt.Errorf("count findings: %w", err)
	}
	_, err = tx.ExecContext(ctx, sqlCarryLevel, content)
	return err
}
