package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// A distinct is one package of the fleet: what matching reads of it.
type distinct struct {
	id       int64
	distroID int64 // 0 if the distribution means nothing to it
	distro   report.Distro
	pkg      report.Package
	// counted says that it has findings somewhere in this inventory.
	counted bool
}

// A placed package is one row of a part.
type placed struct {
	pkg               int64
	counted, declared bool
	ownedBy, path     string
	licenses          string // JSON, "" for none
}

// A part is what one layer contributes to an image.
type part struct {
	id    int64
	layer string
	rows  []placed
}

// split takes an inventory apart: the distinct packages by id, and the parts.
func split(inv report.Inventory) (map[int64]*distinct, []part, error) {
	distroID, err := distroRow(inv.Distro)
	if err != nil {
		return nil, nil, err
	}
	packages := map[int64]*distinct{}
	layers := map[string][]placed{}
	for _, p := range inv.Packages {
		d := newDistinct(p, inv.Distro, distroID)
		counted := !p.Declared && p.OwnedBy == ""
		if known := packages[d.id]; known != nil {
			d = known
		} else {
			packages[d.id] = d
		}
		d.counted = d.counted || counted
		licenses := ""
		if len(p.Licenses) > 0 {
			b, err := json.Marshal(p.Licenses)
			if err != nil {
				return nil, nil, fmt.Errorf("encode licences: %w", err)
			}
			licenses = text(string(b))
		}
		layers[p.Layer] = append(layers[p.Layer], placed{d.id, counted, p.Declared, text(p.OwnedBy), text(p.Path), licenses})
	}
	parts := make([]part, 0, len(layers))
	for layer, rows := range layers {
		parts = append(parts, newPart(layer, rows))
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.layer, b.layer) })
	return packages, parts, nil
}

// newPart puts the rows in order and keeps one for each package and place, one
// that counts if there is one.
func newPart(layer string, rows []placed) part {
	slices.SortStableFunc(rows, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.path, b.path), cmp.Compare(boolInt(b.counted), boolInt(a.counted)))
	})
	rows = slices.CompactFunc(rows, func(a, b placed) bool { return a.pkg == b.pkg && a.path == b.path })
	words := []string{"part", layer}
	for _, r := range rows {
		words = append(words, strconv.FormatInt(r.pkg, 36), strconv.FormatInt(boolInt(r.declared), 10), r.ownedBy, r.path, r.licenses)
	}
	return part{rowID(words...), layer, rows}
}

// newDistinct takes from a package what is the same wherever it lies.
func newDistinct(p report.Package, d report.Distro, distroID int64) *distinct {
	p = report.Package{
		Type: text(p.Type), Name: text(p.Name), Version: text(p.Version), Arch: text(p.Arch), Source: text(p.Source),
		SourceVersion: text(p.SourceVersion), Module: text(p.Module), Vendor: text(p.Vendor),
	}
	if !report.OSType(p.Type) || d.ID == "" {
		d, distroID = report.Distro{}, 0
	}
	id := rowID("package", p.Type, p.Name, p.Version, p.Arch, p.Source, p.SourceVersion, p.Module, p.Vendor, strconv.FormatInt(distroID, 36))
	return &distinct{id: id, distroID: distroID, distro: d, pkg: p}
}

func distroRow(d report.Distro) (id int64, err error) {
	b, err := encodeDistro(d)
	if err != nil {
		return 0, err
	}
	return rowID("distro", b), nil
}

func encodeDistro(d report.Distro) (string, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("encode distribution: %w", err)
	}
	return text(string(b)), nil
}

const (
	sqlPutDistro  = `INSERT INTO distro (id, body) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`
	sqlPutPackage = `INSERT INTO package (id, type, name, version, arch, source, source_version, module, vendor, distro_id, matched) VALUES`
	sqlKnownParts = `SELECT id FROM part WHERE id IN {in}`
	sqlPutPart    = `INSERT INTO part (id, layer) VALUES`
	sqlPutPlaced  = `INSERT INTO part_package (part_id, n, package_id, counted, declared, owned_by, path, licenses) VALUES`
	sqlDropParts  = `DELETE FROM content_part WHERE content_id = $1`
	sqlPutHas     = `INSERT INTO content_part (content_id, part_id) VALUES`
	sqlPutOwns    = `INSERT INTO project_package (project_id, package_id)
SELECT DISTINCT CAST($1 AS TEXT), pp.package_id FROM content_part cp JOIN part_package pp ON pp.part_id = cp.part_id WHERE cp.content_id = $2
ON CONFLICT (project_id, package_id) DO NOTHING`

	onConflictID = `ON CONFLICT (id) DO NOTHING`
)

// putInventory makes the parts of a content what they are now. Parts and
// packages that other images brought already are not written again.
func putInventory(ctx context.Context, tx *sql.Tx, project string, content int64, packages map[int64]*distinct, parts []part, files []filePart) error {
	ids := make([]int64, 0, len(parts)+len(files))
	for _, p := range parts {
		ids = append(ids, p.id)
	}
	for _, p := range files {
		ids = append(ids, p.id)
	}
	known := map[int64]bool{}
	err := eachIn(ctx, tx, sqlKnownParts, ids, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		known[id] = true
		return err
	})
	if err != nil {
		return fmt.Errorf("look for parts: %w", err)
	}
	old, err := readInts(ctx, tx, sqlPartsOf, content)
	if err != nil {
		return fmt.Errorf("read parts: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlDropParts, content); err != nil {
		return fmt.Errorf("drop parts: %w", err)
	}
	var newParts, rows, pkgs, has [][]any
	distros := map[int64]report.Distro{}
	seen := map[int64]bool{}
	for _, p := range parts {
		has = append(has, []any{content, p.id})
		if known[p.id] {
			continue
		}
		newParts = append(newParts, []any{p.id, p.layer})
		for n, r := range p.rows {
			rows = append(rows, []any{p.id, int64(n), r.pkg, boolInt(r.counted), boolInt(r.declared), r.ownedBy, r.path, r.licenses})
			if seen[r.pkg] {
				continue
			}
			seen[r.pkg] = true
			d := packages[r.pkg]
			q := d.pkg
			pkgs = append(pkgs, []any{d.id, q.Type, q.Name, q.Version, q.Arch, q.Source, q.SourceVersion, q.Module, q.Vendor, d.distroID, int64(0)})
			if d.distroID != 0 {
				distros[d.distroID] = d.distro
			}
		}
	}
	var newFiles []filePart
	for _, p := range files {
		has = append(has, []any{content, p.id})
		if !known[p.id] {
			newFiles = append(newFiles, p)
			newParts = append(newParts, []any{p.id, p.layer})
		}
	}
	for id, d := range distros {
		body, err := encodeDistro(d)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, sqlPutDistro, id, body); err != nil {
			return fmt.Errorf("store distribution: %w", err)
		}
	}
	for _, t := range []struct {
		what, head, tail string
		rows             [][]any
	}{
		{"packages", sqlPutPackage, onConflictID, pkgs},
		{"parts", sqlPutPart, onConflictID, newParts},
		{"packages of parts", sqlPutPlaced, "", rows},
		{"parts of image", sqlPutHas, "", has},
	} {
		if err := putRows(ctx, tx, t.head, t.tail, t.rows); err != nil {
			return fmt.Errorf("store %s: %w", t.what, err)
		}
	}
	if len(newFiles) > 0 {
		if err := putFileParts(ctx, tx, newFiles); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, sqlPutOwns, project, content); err != nil {
		return fmt.Errorf("store packages of project: %w", err)
	}
	if err := revise(ctx, tx, content); err != nil {
		return err
	}
	return dropParts(ctx, tx, old)
}

// coverageOf is what of an inventory decides whether advisories cover it: the
// distribution, the types of its packages, and the programs that no package
// manager installed.
func coverageOf(inv report.Inventory) report.Inventory {
	out := report.Inventory{Distro: inv.Distro}
	seen := map[string]bool{}
	for _, p := range inv.Packages {
		if p.Declared || p.OwnedBy != "" {
			continue
		}
		q := report.Package{Type: text(p.Type)}
		if p.Type == report.TypeGeneric {
			q.Name, q.Version = text(p.Name), text(p.Version)
		}
		key := strings.Join([]string{q.Type, q.Name, q.Version}, "\x00")
		if !seen[key] {
			seen[key] = true
			out.Packages = append(out.Packages, q)
		}
	}
	slices.SortFunc(out.Packages, report.Package.Compare)
	return out
}

const (
	sqlCoverage    = `SELECT warned FROM coverage WHERE id = $1`
	sqlPutCoverage = `INSERT INTO coverage (id, inventory, warned) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET warned = excluded.warned`
	sqlLevelOfAll  = `UPDATE content SET severity_level = ` + levelNow + ` WHERE coverage_id = $1 AND vul_num = 0`
)

// putCoverage stores whether the advisories cover inventories like this one,
// and says so of all contents that have one. It returns the id.
func putCoverage(ctx context.Context, tx *sql.Tx, inv report.Inventory, warned bool) (int64, error) {
	b, err := json.Marshal(coverageOf(inv))
	if err != nil {
		return 0, fmt.Errorf("encode coverage: %w", err)
	}
	id := rowID("coverage", string(b))
	was := int64(-1)
	if err := tx.QueryRowContext(ctx, sqlCoverage, id).Scan(&was); err != nil && err != sql.ErrNoRows {
		return 0, fmt.Errorf("read coverage: %w", err)
	}
	if was == boolInt(warned) {
		return id, nil
	}
	if _, err := tx.ExecContext(ctx, sqlPutCoverage, id, string(b), boolInt(warned)); err != nil {
		return 0, fmt.Errorf("store coverage: %w", err)
	}
	if was >= 0 {
		if _, err := tx.ExecContext(ctx, sqlLevelOfAll, id); err != nil {
			return 0, fmt.Errorf("set severity level: %w", err)
		}
	}
	return id, nil
}
