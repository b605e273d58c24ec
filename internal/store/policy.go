package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/onceover/onceover/internal/check/policy"
	"github.com/onceover/onceover/internal/report"
)

// policyBatch is how many parts are judged anew at a time: a part has some
// hundred packages.
const policyBatch = 64

// SetPolicy replaces the deny list by which software is judged; nil is no list.
// New results are judged by it at once, what is stored by Run.
func (s *Store) SetPolicy(p *policy.Policy) {
	s.policy.Store(p)
	wakeLoop(s.policyChanged)
}

// policyVersion is the version of the deny list in use, "" for none. An empty
// list is none: it says of nothing that it is compliant.
func policyVersion(p *policy.Policy) string {
	if p.Len() == 0 {
		return ""
	}
	return p.Version()
}

// A denied is a row of non_compliant.
type denied struct {
	n  int64
	id string
}

const (
	sqlPartPolicies = `SELECT id, policy FROM part WHERE id IN {in}`
	sqlPartPolicy   = `SELECT policy FROM part WHERE id = $1`
	sqlSetPolicy    = `UPDATE part SET policy = $1, denied = $2 WHERE id = $3`
	sqlDropDenied   = `DELETE FROM non_compliant WHERE part_id = $1`
	sqlPutDenied    = `INSERT INTO non_compliant (part_id, n, id) VALUES`
	// Two ranges, for an index has no way to look for what is not equal.
	sqlOldPolicy    = `SELECT id FROM part WHERE (policy < $1 OR policy > $2) LIMIT $3`
	sqlJudgedPlaces = `SELECT pp.part_id, pp.n, pt.layer, pp.path, pp.owned_by, p.type, p.name, p.version, p.arch, p.source, p.source_version, p.module, p.vendor, p.distro_id
FROM part pt CROSS JOIN part_package pp CROSS JOIN package p WHERE pt.id IN {in} AND pp.part_id = pt.id AND pp.declared = 0 AND p.id = pp.package_id ORDER BY pp.part_id, pp.n`
	sqlDistroBody = `SELECT body FROM distro WHERE id = $1`
)

// judgeParts stores what the deny list says of the parts of a content that are
// new, or were judged by another list.
func (s *Store) judgeParts(ctx context.Context, tx *sql.Tx, out *outcome) error {
	p := s.policy.Load()
	version := policyVersion(p)
	var ids []int64
	for _, part := range out.parts {
		ids = append(ids, part.id)
	}
	for _, part := range out.files {
		ids = append(ids, part.id)
	}
	old := map[int64]bool{}
	err := eachIn(ctx, tx, sqlPartPolicies, ids, func(r *sql.Rows) error {
		var id int64
		var v string
		err := r.Scan(&id, &v)
		old[id] = v != version
		return err
	})
	if err != nil {
		return fmt.Errorf("read policies of parts: %w", err)
	}
	for _, part := range out.parts {
		if !old[part.id] {
			continue
		}
		var rows []denied
		for n, row := range part.rows {
			d := out.packages[row.pkg]
			pkg := d.pkg
			pkg.Path, pkg.Layer, pkg.OwnedBy = row.path, part.layer, row.ownedBy
			if row.declared {
				continue
			}
			if v, _ := p.Judge(&pkg, d.distro); len(v) > 0 {
				rows = append(rows, denied{int64(n), v[0].ID})
			}
		}
		if err := putDenied(ctx, tx, part.id, version, rows); err != nil {
			return err
		}
	}
	for _, part := range out.files {
		if !old[part.id] {
			continue
		}
		if err := putDenied(ctx, tx, part.id, version, nil); err != nil {
			return err
		}
	}
	return nil
}

// putDenied replaces what a list denies of a part.
func putDenied(ctx context.Context, tx *sql.Tx, part int64, version string, rows []denied) error {
	if _, err := tx.ExecContext(ctx, sqlDropDenied, part); err != nil {
		return fmt.Errorf("drop what was denied: %w", err)
	}
	values := make([][]any, len(rows))
	for i, r := range rows {
		values[i] = []any{part, r.n, r.id}
	}
	if err := putRows(ctx, tx, sqlPutDenied, "", values); err != nil {
		return fmt.Errorf("store what is denied: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlSetPolicy, version, int64(len(rows)), part); err != nil {
		return fmt.Errorf("store version of deny list: %w", err)
	}
	return nil
}

// RecheckPolicy judges the software anew that was judged by another deny list
// than the one in use. It returns how many parts of images they were. No host is
// asked.
func (s *Store) RecheckPolicy(ctx context.Context) (int, error) {
	distros := map[int64]report.Distro{}
	return inBatches("judge software anew", func() (int, error) { return s.recheckPolicyBatch(ctx, distros) })
}

func (s *Store) recheckPolicyBatch(ctx context.Context, distros map[int64]report.Distro) (int, error) {
	p := s.policy.Load()
	version := policyVersion(p)
	var parts []int64
	rows := map[int64][]denied{}
	err := s.inView(ctx, func(tx *sql.Tx) (err error) {
		if parts, err = readInts(ctx, tx, sqlOldPolicy, version, version, policyBatch); err != nil || p.Len() == 0 {
			return err
		}
		type place struct {
			part, n, distro int64
			pkg             report.Package
		}
		var places []place
		err = eachIn(ctx, tx, sqlJudgedPlaces, parts, func(r *sql.Rows) error {
			var l place
			q := &l.pkg
			err := r.Scan(&l.part, &l.n, &q.Layer, &q.Path, &q.OwnedBy, &q.Type, &q.Name, &q.Version, &q.Arch, &q.Source, &q.SourceVersion, &q.Module, &q.Vendor, &l.distro)
			places = append(places, l)
			return err
		})
		if err != nil {
			return err
		}
		for i := range places {
			l := &places[i]
			d, err := readDistro(ctx, tx, l.distro, distros)
			if err != nil {
				return err
			}
			if v, _ := p.Judge(&l.pkg, d); len(v) > 0 {
				rows[l.part] = append(rows[l.part], denied{l.n, v[0].ID})
			}
		}
		return nil
	})
	if err != nil || len(parts) == 0 {
		return 0, err
	}
	return len(parts), s.inTx(ctx, func(tx *sql.Tx) error {
		for _, part := range parts {
			var v string
			err := tx.QueryRowContext(ctx, sqlPartPolicy, part).Scan(&v)
			if errors.Is(err, sql.ErrNoRows) || err == nil && v == version {
				continue // gone, or judged meanwhile
			}
			if err == nil {
				err = putDenied(ctx, tx, part, version, rows[part])
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// readDistro is a distribution by its id, with those that were read already.
func readDistro(ctx context.Context, tx *sql.Tx, id int64, known map[int64]report.Distro) (d report.Distro, err error) {
	if d, ok := known[id]; ok || id == 0 {
		return d, nil
	}
	var body []byte
	if err := tx.QueryRowContext(ctx, sqlDistroBody, id).Scan(&body); err != nil {
		return d, fmt.Errorf("read distribution: %w", err)
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return d, fmt.Errorf("read distribution: %w", err)
	}
	known[id] = d
	return d, nil
}

// A NonCompliant is software of an image that the deny list denies.
type NonCompliant struct {
	// ID is the same as long as rule, package and place are.
	ID                  string
	Type, Name, Version string
	Path, Layer         string
}

const (
	nonCompliantFrom = `FROM content_part cp CROSS JOIN part pt CROSS JOIN non_compliant d CROSS JOIN part_package pp CROSS JOIN package p
WHERE pt.id = cp.part_id AND pt.denied > 0 AND d.part_id = pt.id AND pp.part_id = d.part_id AND pp.n = d.n AND p.id = pp.package_id AND {where}`
	sqlCountNonCompliant = `SELECT COUNT(*) ` + nonCompliantFrom
	sqlListNonCompliant  = `SELECT d.id, p.type, p.name, p.version, pp.path, pt.layer ` + nonCompliantFrom + `
ORDER BY p.name, p.type, p.version, pp.path, pt.layer, d.part_id, d.n LIMIT ? OFFSET ?`
)

func nonCompliantWhere(content int64, name string) *where {
	w := &where{}
	w.add("cp.content_id = ?", content)
	w.contains("p.name", name)
	return w
}

// NonCompliant lists the software of an image that the deny list denies, one row
// for each place; name is a substring. An unknown image is fault.NotFound.
func (s *Store) NonCompliant(ctx context.Context, project, imageID, name string, p Page) (out []NonCompliant, total int64, err error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, 0, err
	}
	total, err = s.list(ctx, nonCompliantWhere(content, name), sqlCountNonCompliant, sqlListNonCompliant, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
		var n NonCompliant
		err := r.Scan(&n.ID, &n.Type, &n.Name, &n.Version, &n.Path, &n.Layer)
		out = append(out, n)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list non-compliant software: %w", err)
	}
	return out, total, nil
}
