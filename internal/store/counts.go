package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
)

// The severity_level of an image: that of its worst finding, of any check; one of
// unknown severity counts as low. One without findings is called safe only if
// there is no doubt about the advisories and the reading, and one that no scan has
// read to its end has none. The numbers of findings go between the parts.
const (
	levelNow = levelHigh + `vul_critical + vul_high` + levelMedium + `vul_medium` + levelLow + `vul_low + vul_unknown` + levelSafe

	levelHigh   = `CASE WHEN latest_scan_time = 0 THEN '' WHEN check_severity >= 3 OR `
	levelMedium = ` > 0 THEN 'High' WHEN check_severity = 2 OR `
	levelLow    = ` > 0 THEN 'Medium' WHEN check_severity = 1 OR `
	levelSafe   = ` > 0 THEN 'Low' WHEN unread = 1 OR EXISTS (SELECT 1 FROM coverage w WHERE w.id = content.coverage_id AND w.warned = 1) THEN '' ELSE 'Security' END`
)

// What is counted of the open advisories of a content, each by its worst severity
// in the table "worst", and where it goes. Handled ones do not count.
const (
	countWorst = `COUNT(CASE worst.severity WHEN 4 THEN 1 END) AS n4, COUNT(CASE worst.severity WHEN 3 THEN 1 END) AS n3,
COUNT(CASE worst.severity WHEN 2 THEN 1 END) AS n2, COUNT(CASE worst.severity WHEN 1 THEN 1 END) AS n1, COUNT(CASE worst.severity WHEN 0 THEN 1 END) AS n0`
	setCounts = `UPDATE content SET vul_num = t.n, vul_critical = t.n4, vul_high = t.n3, vul_medium = t.n2, vul_low = t.n1, vul_unknown = t.n0`
)

const (
	// sqlCountContent counts from the ground up: distinct advisories, each
	// by its worst severity in the content.
	sqlCountContent = setCounts + `
FROM (SELECT COUNT(*) AS n, ` + countWorst + `
FROM (SELECT f.vul_id, MAX(f.severity) AS severity FROM content c CROSS JOIN content_part cp CROSS JOIN part_package pp CROSS JOIN finding f
WHERE c.id = $1 AND cp.content_id = c.id AND pp.part_id = cp.part_id AND pp.counted = 1 AND f.package_id = pp.package_id
AND NOT ` + handledHere + ` AND NOT ` + handledAll + `c.project_id) GROUP BY f.vul_id) worst) t
WHERE content.id = $2`
	// sqlCountContents does the same for many: those whose ids lie above one
	// and not above another. What is handled is read once, and not looked up
	// for each.
	sqlCountContents = setCounts + `,
severity_level = ` + levelHigh + `t.n4 + t.n3` + levelMedium + `t.n2` + levelLow + `t.n1 + t.n0` + levelSafe + `
FROM (SELECT c.id, COUNT(worst.vul_id) AS n, ` + countWorst + `
FROM content c LEFT JOIN (SELECT cp.content_id, s.vul_id, MAX(s.severity) AS severity
FROM content_part cp JOIN (SELECT pp.part_id, f.vul_id, MAX(f.severity) AS severity FROM part_package pp JOIN finding f ON f.package_id = pp.package_id
WHERE pp.counted = 1 AND pp.part_id IN (SELECT x.part_id FROM content_part x WHERE x.content_id > $1 AND x.content_id <= $2) GROUP BY pp.part_id, f.vul_id) s ON s.part_id = cp.part_id
WHERE cp.content_id > $3 AND cp.content_id <= $4 GROUP BY cp.content_id, s.vul_id) worst ON worst.content_id = c.id
AND (worst.content_id, worst.vul_id) NOT IN (SELECT h.content_id, h.vul_id FROM vul_handled h WHERE h.content_id > $7 AND h.content_id <= $8)
AND (worst.vul_id, c.project_id) NOT IN (SELECT few.vul_id, few.project_id FROM whitelist few WHERE few.rule_type = 'all_images')
WHERE c.id > $5 AND c.id <= $6 GROUP BY c.id) t
WHERE content.id = t.id`
	sqlLevelOfOne = `UPDATE content SET severity_level = ` + levelNow + ` WHERE id = $1`
	sqlVulNum     = `SELECT vul_num FROM content WHERE id = $1`
)

// countContent sets the counters of one content from its findings and returns
// how many distinct advisories are open in it.
func countContent(ctx context.Context, tx *sql.Tx, content int64) (vulNum int64, err error) {
	if _, err := tx.ExecContext(ctx, sqlCountContent, content, content); err != nil {
		return 0, fmt.Errorf("count findings: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlLevelOfOne, content); err != nil {
		return 0, fmt.Errorf("set severity level: %w", err)
	}
	if err := tx.QueryRowContext(ctx, sqlVulNum, content).Scan(&vulNum); err != nil {
		return 0, fmt.Errorf("read count of findings: %w", err)
	}
	return vulNum, nil
}

const (
	sqlFindingsNamed = `SELECT package_id, vul_id, severity FROM finding WHERE vul_id IN {in}`
	sqlPartsWith     = `SELECT part_id, package_id FROM part_package WHERE counted = 1 AND package_id IN {in}`
	sqlContentsWith  = `SELECT content_id, part_id FROM content_part WHERE part_id IN {in}`

	// setShift adds the columns of the table "d" to the counters.
	setShift = `UPDATE content SET vul_num = vul_num + d.n4 + d.n3 + d.n2 + d.n1 + d.n0, vul_critical = vul_critical + d.n4, vul_high = vul_high + d.n3,
vul_medium = vul_medium + d.n2, vul_low = vul_low + d.n1, vul_unknown = vul_unknown + d.n0,
severity_level = ` + levelHigh + `vul_critical + d.n4 + vul_high + d.n3` + levelMedium + `vul_medium + d.n2` + levelLow + `vul_low + d.n1 + vul_unknown + d.n0` + levelSafe + ` `
	sqlShiftOne = setShift + `FROM (SELECT $1 AS content_id, $2 AS n0, $3 AS n1, $4 AS n2, $5 AS n3, $6 AS n4) d WHERE content.id = d.content_id`
	sqlShiftAll = setShift + `FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS d (content_id, n0, n1, n2, n3, n4) WHERE content.id = d.content_id`
)

// A concern is one advisory and how bad it was and is: for a package, or the
// worst of several. -1 stands for no finding.
type concern struct {
	vul        int64
	was, isNow int64
}

// A shift is what the counters of a content change by, by report.SeverityRank.
type shift struct {
	content int64
	by      [5]int64
}

// shiftCounts makes the counters of all contents follow some changes, which are
// stored already. For the advisories in them, the findings that did not change
// stand beside those that did, so that the worst before and the worst after are
// known for each content.
//
// The rows that say so are few, and the pairs of contents and advisories that
// follow from them are many: 90,000 images and 700,000 pairs for 2,000 changes.
// They are worked out here and not in SQL, where each pair is a row to group.
func (s *Store) shiftCounts(ctx context.Context, tx *sql.Tx, changes []change) error {
	byPackage, err := concerned(ctx, tx, changes)
	if err != nil {
		return fmt.Errorf("read findings beside the changes: %w", err)
	}
	byPart := map[int64][]concern{}
	err = eachIn(ctx, tx, sqlPartsWith, slices.Collect(maps.Keys(byPackage)), func(r *sql.Rows) error {
		var part, pkg int64
		err := r.Scan(&part, &pkg)
		byPart[part] = append(byPart[part], byPackage[pkg]...)
		return err
	})
	if err != nil {
		return fmt.Errorf("read parts with changes: %w", err)
	}
	for part, cs := range byPart {
		byPart[part] = worst(cs)
	}
	type pair struct{ content, part int64 }
	var pairs []pair
	err = eachIn(ctx, tx, sqlContentsWith, slices.Collect(maps.Keys(byPart)), func(r *sql.Rows) error {
		var p pair
		err := r.Scan(&p.content, &p.part)
		pairs = append(pairs, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("read contents with changes: %w", err)
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.content, b.content) })
	handled, err := readHandled(ctx, tx, changedVuls(changes))
	if err != nil {
		return err
	}
	var shifts []shift
	var cs []concern // of one content
	for i := 0; i < len(pairs); {
		cs = cs[:0]
		at := pairs[i].content
		for ; i < len(pairs) && pairs[i].content == at; i++ {
			cs = append(cs, byPart[pairs[i].part]...)
		}
		cs = slices.DeleteFunc(worst(cs), func(c concern) bool { return handled.has(at, c.vul) })
		if sh := (shift{content: at}).add(cs); sh != (shift{content: at}) {
			shifts = append(shifts, sh)
		}
	}
	if err := s.putShifts(ctx, tx, shifts); err != nil {
		return fmt.Errorf("store counters: %w", err)
	}
	return nil
}

// concerned are the packages that have or had one of the changed advisories,
// with all of those.
func concerned(ctx context.Context, tx *sql.Tx, changes []change) (map[int64][]concern, error) {
	type key struct{ pkg, vul int64 }
	changed := map[key]bool{}
	out := map[int64][]concern{}
	for _, c := range changes {
		if c.was == c.isNow {
			continue
		}
		changed[key{c.pkg, c.vul}] = true
		out[c.pkg] = append(out[c.pkg], concern{c.vul, c.was, c.isNow})
	}
	err := eachIn(ctx, tx, sqlFindingsNamed, changedVuls(changes), func(r *sql.Rows) error {
		var k key
		var severity int64
		err := r.Scan(&k.pkg, &k.vul, &severity)
		if !changed[k] {
			out[k.pkg] = append(out[k.pkg], concern{k.vul, severity, severity})
		}
		return err
	})
	return out, err
}

// changedVuls are the advisories that count otherwise than before.
func changedVuls(changes []change) []int64 {
	var out []int64
	for _, c := range changes {
		if c.was != c.isNow {
			out = append(out, c.vul)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// worst leaves one concern for each advisory: the worst before and the worst
// after. It reorders and reuses cs.
func worst(cs []concern) []concern {
	if len(cs) < 2 {
		return cs
	}
	slices.SortFunc(cs, func(a, b concern) int { return cmp.Compare(a.vul, b.vul) })
	n := 0
	for _, c := range cs[1:] {
		if at := &cs[n]; at.vul == c.vul {
			at.was, at.isNow = max(at.was, c.was), max(at.isNow, c.isNow)
		} else {
			n++
			cs[n] = c
		}
	}
	return cs[:n+1]
}

// add is sh with what one content has of each advisory.
func (sh shift) add(cs []concern) shift {
	for _, c := range cs {
		if c.was >= 0 {
			sh.by[c.was]--
		}
		if c.isNow >= 0 {
			sh.by[c.isNow]++
		}
	}
	return sh
}

// putShifts adds to the counters. PostgreSQL is sent all of it at once: each
// statement is a message there, and none in SQLite.
func (s *Store) putShifts(ctx context.Context, tx *sql.Tx, shifts []shift) error {
	if len(shifts) == 0 {
		return nil
	}
	if s.engine.arrays {
		var columns [6][]int64
		for _, sh := range shifts {
			columns[0] = append(columns[0], sh.content)
			for i, n := range sh.by {
				columns[i+1] = append(columns[i+1], n)
			}
		}
		_, err := tx.ExecContext(ctx, sqlShiftAll, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5])
		return err
	}
	one, err := tx.PrepareContext(ctx, sqlShiftOne)
	if err != nil {
		return err
	}
	defer func() { _ = one.Close() }() // the transaction tells
	for _, sh := range shifts {
		if _, err := one.ExecContext(ctx, sh.content, sh.by[0], sh.by[1], sh.by[2], sh.by[3], sh.by[4]); err != nil {
			return err
		}
	}
	return nil
}
