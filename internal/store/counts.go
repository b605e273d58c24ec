package store

import (
	"context"
	"database/sql"
	"fmt"
)

// The severity_level of an image: that of its worst finding; one of unknown
// severity counts as low. One without findings is called safe only if there is
// no doubt about the advisories and the reading, and one that no scan has read
// to its end has none.
const (
	levelNow = levelScanned +
		`WHEN vul_critical + vul_high > 0 THEN 'High' WHEN vul_medium > 0 THEN 'Medium' WHEN vul_low + vul_unknown > 0 THEN 'Low' ` + levelSafe
	levelScanned = `CASE WHEN latest_scan_time = 0 THEN '' `
	levelSafe    = `WHEN unread = 1 OR EXISTS (SELECT 1 FROM coverage w WHERE w.id = content.coverage_id AND w.warned = 1) THEN '' ELSE 'Security' END`
)

// What is counted of the advisories of a content, each by its worst severity
// in the table "worst", and where it goes.
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
FROM (SELECT f.vul_id, MAX(f.severity) AS severity FROM content_part cp CROSS JOIN part_package pp CROSS JOIN finding f
WHERE pp.part_id = cp.part_id AND pp.counted = 1 AND f.package_id = pp.package_id AND cp.content_id = $1 GROUP BY f.vul_id) worst) t
WHERE content.id = $2`
	// sqlCountContents does the same for many: those whose ids lie above one
	// and not above another.
	sqlCountContents = setCounts + `,
severity_level = ` + levelScanned + `WHEN t.n4 + t.n3 > 0 THEN 'High' WHEN t.n2 > 0 THEN 'Medium' WHEN t.n1 + t.n0 > 0 THEN 'Low' ` + levelSafe + `
FROM (SELECT c.id, COUNT(worst.vul_id) AS n, ` + countWorst + `
FROM content c LEFT JOIN (SELECT cp.content_id, s.vul_id, MAX(s.severity) AS severity
FROM content_part cp JOIN (SELECT pp.part_id, f.vul_id, MAX(f.severity) AS severity FROM part_package pp JOIN finding f ON f.package_id = pp.package_id
WHERE pp.counted = 1 AND pp.part_id IN (SELECT x.part_id FROM content_part x WHERE x.content_id > $1 AND x.content_id <= $2) GROUP BY pp.part_id, f.vul_id) s ON s.part_id = cp.part_id
WHERE cp.content_id > $3 AND cp.content_id <= $4 GROUP BY cp.content_id, s.vul_id) worst ON worst.content_id = c.id
WHERE c.id > $5 AND c.id <= $6 GROUP BY c.id) t
WHERE content.id = t.id`
	sqlLevelOfOne = `UPDATE content SET severity_level = ` + levelNow + ` WHERE id = $1`
	sqlVulNum     = `SELECT vul_num FROM content WHERE id = $1`

	// sqlApplyChange adds to the counters of all contents what the rows of
	// rematch_change make of them. For the advisories in them, the findings
	// that did not change stand beside those that did, so that the worst
	// before and the worst after are known for each content. A cross join
	// keeps SQLite to the order of the tables; PostgreSQL knows the sizes.
	sqlApplyChange = `UPDATE content SET vul_num = vul_num + d.n, vul_critical = vul_critical + d.n4, vul_high = vul_high + d.n3,
vul_medium = vul_medium + d.n2, vul_low = vul_low + d.n1, vul_unknown = vul_unknown + d.n0,
severity_level = ` + levelScanned + `WHEN vul_critical + d.n4 + vul_high + d.n3 > 0 THEN 'High'
WHEN vul_medium + d.n2 > 0 THEN 'Medium' WHEN vul_low + d.n1 + vul_unknown + d.n0 > 0 THEN 'Low' ` + levelSafe + `
FROM (SELECT by_content.content_id,
COUNT(CASE WHEN by_content.is_now >= 0 THEN 1 END) - COUNT(CASE WHEN by_content.was >= 0 THEN 1 END) AS n,
COUNT(CASE by_content.is_now WHEN 4 THEN 1 END) - COUNT(CASE by_content.was WHEN 4 THEN 1 END) AS n4,
COUNT(CASE by_content.is_now WHEN 3 THEN 1 END) - COUNT(CASE by_content.was WHEN 3 THEN 1 END) AS n3,
COUNT(CASE by_content.is_now WHEN 2 THEN 1 END) - COUNT(CASE by_content.was WHEN 2 THEN 1 END) AS n2,
COUNT(CASE by_content.is_now WHEN 1 THEN 1 END) - COUNT(CASE by_content.was WHEN 1 THEN 1 END) AS n1,
COUNT(CASE by_content.is_now WHEN 0 THEN 1 END) - COUNT(CASE by_content.was WHEN 0 THEN 1 END) AS n0
FROM (SELECT cp.content_id, by_part.vul_id, MAX(by_part.was) AS was, MAX(by_part.is_now) AS is_now
FROM (SELECT pp.part_id, concerned.vul_id, MAX(concerned.was) AS was, MAX(concerned.is_now) AS is_now
FROM (SELECT rc.package_id, rc.vul_id, rc.was, rc.is_now FROM rematch_change rc
UNION ALL SELECT f.package_id, f.vul_id, f.severity, f.severity FROM finding f WHERE f.vul_id IN (SELECT rc.vul_id FROM rematch_change rc)
AND NOT EXISTS (SELECT 1 FROM rematch_change rc WHERE rc.vul_id = f.vul_id AND rc.package_id = f.package_id)) concerned
CROSS JOIN part_package pp WHERE pp.package_id = concerned.package_id AND pp.counted = 1
GROUP BY pp.part_id, concerned.vul_id) by_part
CROSS JOIN content_part cp WHERE cp.part_id = by_part.part_id
GROUP BY cp.content_id, by_part.vul_id
HAVING MAX(by_part.was) <> MAX(by_part.is_now)) by_content
GROUP BY by_content.content_id) d
WHERE content.id = d.content_id`
)

// countContent sets the counters of one content from its findings and returns
// how many distinct advisories concern it.
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
