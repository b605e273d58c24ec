package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
)

const (
	reportedImages = `FROM image i CROSS JOIN content c `
	// Images share parts: what a part has is counted once, and taken as many
	// times as there are images.
	reportedParts = `FROM (SELECT cp.part_id, COUNT(*) AS images ` + reportedImages + `CROSS JOIN content_part cp
WHERE c.id = i.content_id AND cp.content_id = c.id AND {where} GROUP BY cp.part_id) t`
	sqlReportedFindings = `SELECT COALESCE(CAST(SUM(t.images) AS BIGINT), 0) ` + reportedParts + ` CROSS JOIN part_package pp CROSS JOIN finding f
WHERE pp.part_id = t.part_id AND pp.counted = 1 AND f.package_id = pp.package_id {more}`
	// What is handled in an image, each once whatever the reasons, but for what
	// is handled in all images, which the second counts.
	sqlReportedHere = `SELECT COUNT(*) FROM image i CROSS JOIN content c CROSS JOIN vul_handled h CROSS JOIN finding f CROSS JOIN part_package pp CROSS JOIN content_part cp
WHERE c.id = i.content_id AND h.content_id = i.content_id AND f.vul_id = h.vul_id AND pp.package_id = f.package_id AND pp.counted = 1 AND cp.content_id = i.content_id AND cp.part_id = pp.part_id
AND h.rule_id = (SELECT MIN(m.rule_id) FROM vul_handled m WHERE m.content_id = h.content_id AND m.vul_id = h.vul_id)
AND NOT EXISTS (SELECT 1 FROM whitelist r WHERE r.vul_id = h.vul_id AND r.rule_type = 'all_images' AND r.project_id = i.project_id) AND {where}`
	sqlReportedAll = `SELECT COUNT(*) FROM whitelist few CROSS JOIN finding f CROSS JOIN part_package pp CROSS JOIN content_part cp CROSS JOIN content c CROSS JOIN image i
WHERE few.rule_type = 'all_images' AND few.id = (SELECT MIN(m.id) FROM whitelist m WHERE m.project_id = few.project_id AND m.vul_id = few.vul_id AND m.rule_type = 'all_images')
AND f.vul_id = few.vul_id AND pp.package_id = f.package_id AND pp.counted = 1 AND cp.part_id = pp.part_id AND c.id = cp.content_id AND i.content_id = c.id AND i.project_id = few.project_id AND {where}`
	sqlReportedApps = `SELECT COALESCE(CAST(SUM(c.app_num) AS BIGINT), 0) ` + reportedImages + `WHERE c.id = i.content_id AND {where}`
	// A part that was not counted yet has -1, which must not go into a sum.
	sqlReportedFiles   = `SELECT COALESCE(CAST(SUM(t.images * fp.num) AS BIGINT), 0), COALESCE(MIN(fp.num), 0) ` + reportedParts + ` CROSS JOIN file_part fp WHERE fp.part_id = t.part_id`
	sqlReportedNone    = `SELECT COUNT(*) FROM (SELECT 1 ` + reportedImages + `WHERE c.id = i.content_id AND c.files = 0 AND c.latest_scan_time > 0 AND {where} LIMIT 1) t`
	sqlReportedDenied  = `SELECT COALESCE(CAST(SUM(t.images * pt.denied) AS BIGINT), 0) ` + reportedParts + ` CROSS JOIN part pt WHERE pt.id = t.part_id`
	sqlReportedMalware = `SELECT COUNT(*) ` + reportedImages + `CROSS JOIN malware m WHERE c.id = i.content_id AND m.content_id = i.content_id AND {where}`
	sqlReportedSecrets = `SELECT COUNT(*) ` + reportedImages + `CROSS JOIN content_secret cs WHERE c.id = i.content_id AND cs.content_id = i.content_id AND {where}`
	sqlReportedRisks   = `SELECT b.rule_id, COUNT(*) ` + reportedImages + `CROSS JOIN build_risk b WHERE c.id = i.content_id AND b.content_id = i.content_id AND {where} GROUP BY b.rule_id`
	sqlReportedRules   = `SELECT r.rule_id, CAST(SUM(t.images) AS BIGINT) FROM (SELECT h.baseline_id, COUNT(*) AS images ` + reportedImages + `CROSS JOIN content_baseline h
WHERE c.id = i.content_id AND h.content_id = i.content_id AND {where} GROUP BY h.baseline_id) t CROSS JOIN baseline_rule r WHERE r.baseline_id = t.baseline_id GROUP BY r.rule_id`
)

// ReportNum is how many records Report gives for the same state. A report on
// files of images of which none was read is fault.Conflict: they must not look
// empty for that.
func (s *Store) ReportNum(ctx context.Context, project string, q ReportQuery) (n int64, err error) {
	rules, err := s.BaselineRules()
	if err != nil {
		return 0, err
	}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		w := q.Images.where(project)
		one := func(statement string) error {
			query, args := w.query(statement)
			return tx.QueryRowContext(ctx, query, args...).Scan(&n)
		}
		switch q.Kind {
		case ReportVulnerability:
			n, err = numReported(ctx, tx, project, q)
			return err
		case ReportApps:
			return one(sqlReportedApps)
		case ReportNonCompliant:
			return one(sqlReportedDenied)
		case ReportMalware:
			return one(sqlReportedMalware)
		case ReportSecrets:
			return one(sqlReportedSecrets)
		case ReportFiles:
			n, err = reportedFiles(ctx, tx, w)
			return err
		case ReportBaseline:
			n, err = sumOf(ctx, tx, w, sqlReportedRules, func(rule string) bool { return rules.Rule(rule) != nil })
			return err
		case ReportBuildRisks:
			n, err = sumOf(ctx, tx, w, sqlReportedRisks, func(rule string) bool { return q.risk(rule) != nil })
			return err
		}
		return noReport(q.Kind)
	})
	if err != nil {
		return 0, fmt.Errorf("count records of a report: %w", err)
	}
	return n, nil
}

// numReported counts findings. What is handled is less than what is open: it is
// counted from there, and what is open is the rest.
func numReported(ctx context.Context, tx *sql.Tx, project string, q ReportQuery) (n int64, err error) {
	if q.Handled == nil || !*q.Handled {
		query, args := reportedFindings(project, q)
		if err := tx.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
			return 0, err
		}
	}
	if q.Handled == nil {
		return n, nil
	}
	var handled int64
	for _, statement := range []string{sqlReportedHere, sqlReportedAll} {
		var some int64
		query, args := reportedHandled(project, q, statement)
		if err := tx.QueryRowContext(ctx, query, args...).Scan(&some); err != nil {
			return 0, err
		}
		handled += some
	}
	if *q.Handled {
		return handled, nil
	}
	return n - handled, nil
}

func reportedHandled(project string, q ReportQuery, statement string) (string, []any) {
	of, images := q.findings(), q.Images.where(project)
	both := &where{parts: slices.Concat(images.parts, of.parts), args: slices.Concat(images.args, of.args)}
	return both.query(statement)
}

// reportedFindings counts findings: the conditions on them stand after those on
// images.
func reportedFindings(project string, q ReportQuery) (string, []any) {
	of, images := q.findings(), q.Images.where(project)
	both := &where{parts: images.parts, args: slices.Concat(images.args, of.args)}
	return both.query(strings.Replace(sqlReportedFindings, "{more}", of.more(), 1))
}

func reportedFiles(ctx context.Context, tx *sql.Tx, w *where) (n int64, err error) {
	var least, unread int64
	read := &where{parts: slices.Clone(w.parts), args: slices.Clone(w.args)}
	read.add("c.files > 0")
	query, args := read.query(sqlReportedFiles)
	if err := tx.QueryRowContext(ctx, query, args...).Scan(&n, &least); err != nil {
		return 0, err
	}
	if least < 0 {
		return 0, errUncounted
	}
	if n > 0 {
		return n, nil
	}
	query, args = w.query(sqlReportedNone)
	if err := tx.QueryRowContext(ctx, query, args...).Scan(&unread); err != nil {
		return 0, err
	}
	if unread > 0 {
		return 0, fault.New(fault.Conflict, "the files of these images were not read: agents run with --no-files, or scanned the images before files were read")
	}
	return 0, nil
}

// sumOf adds up numbers by rule.
func sumOf(ctx context.Context, tx *sql.Tx, w *where, statement string, counts func(rule string) bool) (n int64, err error) {
	query, args := w.query(statement)
	err = each(ctx, tx, query, args, func(r *sql.Rows) error {
		var rule string
		var num int64
		err := r.Scan(&rule, &num)
		if counts(rule) {
			n += num
		}
		return err
	})
	return n, err
}
