package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
)

// An Event is a finding that a re-match brought, took or rated anew, for one
// distinct package.
type Event struct {
	// ID grows with time.
	ID int64
	At int64 // Unix milliseconds
	// Generation is the one that the finding follows since then.
	Generation string
	Kind       string // EventNew, EventGone, EventChanged
	Advisory   string
	CVEs       []string
	// Of the package.
	Type, Name, Version string
	// Was and IsNow are report.SeverityRanks, -1 for no finding. A change of
	// the fix alone leaves the severity as it was.
	Was, IsNow int64
	// Images is how many of the project have the package now.
	Images int64
}

const (
	sqlEvents = `SELECT ev.id, ev.at, ev.generation, ev.kind, v.advisory, p.type, p.name, p.version, ev.was, ev.is_now, ev.package_id, ev.vul_id
FROM finding_event ev JOIN vulnerability v ON v.id = ev.vul_id JOIN package p ON p.id = ev.package_id
WHERE {where} ORDER BY ev.id DESC LIMIT ?`
	sqlPartsOfPackages = `SELECT DISTINCT pp.package_id, pp.part_id FROM part_package pp WHERE pp.package_id IN {in} AND pp.counted = 1`
	sqlCVENames        = `SELECT e.vul_id, e.cve_id FROM vulnerability_cve e WHERE e.vul_id IN {in} ORDER BY e.vul_id, e.cve_id`
)

// Events lists what re-matches found for the packages of a project, newest
// first. before is an id to go on from, 0 for the newest; name, if it is given,
// is a CVE or an advisory.
func (s *Store) Events(ctx context.Context, project, name string, before, limit int64) (out []Event, err error) {
	if err := s.index.refresh(ctx, s); err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	if before <= 0 {
		before = math.MaxInt64
	}
	q, args := eventsWhere(project, name, before).query(sqlEvents, limit)
	err = s.inView(ctx, func(tx *sql.Tx) error {
		var packages, vuls []int64
		err := each(ctx, tx, q, args, func(r *sql.Rows) error {
			var e Event
			var pkg, vul int64
			err := r.Scan(&e.ID, &e.At, &e.Generation, &e.Kind, &e.Advisory, &e.Type, &e.Name, &e.Version, &e.Was, &e.IsNow, &pkg, &vul)
			out, packages, vuls = append(out, e), append(packages, pkg), append(vuls, vul)
			return err
		})
		if err != nil {
			return err
		}
		parts := map[int64]hits{}
		err = eachIn(ctx, tx, sqlPartsOfPackages, distinctInts(packages), func(r *sql.Rows) error {
			var pkg, part int64
			err := r.Scan(&pkg, &part)
			if parts[pkg] == nil {
				parts[pkg] = newHits()
			}
			parts[pkg].add(part, pkg)
			return err
		})
		if err != nil {
			return err
		}
		cves := map[int64][]string{}
		err = eachIn(ctx, tx, sqlCVENames, distinctInts(vuls), func(r *sql.Rows) error {
			var vul int64
			var cve string
			err := r.Scan(&vul, &cve)
			cves[vul] = append(cves[vul], cve)
			return err
		})
		for i := range out {
			out[i].Images = s.index.holders(project, parts[packages[i]], nil).Images
			out[i].CVEs = cves[vuls[i]]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return out, nil
}

func eventsWhere(project, name string, before int64) *where {
	w := &where{}
	w.add("ev.id < ?", before)
	if name != "" {
		w.add("ev.vul_id IN (SELECT a.id FROM vulnerability a WHERE a.advisory = ? UNION SELECT e.vul_id FROM vulnerability_cve e WHERE e.cve_id = ?)", name, name)
	}
	w.add("EXISTS (SELECT 1 FROM project_package pj WHERE pj.project_id = ? AND pj.package_id = ev.package_id)", project)
	return w
}

func distinctInts(list []int64) []int64 {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
