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
			query, args := reportedFindings(project, q)
			return tx.QueryRowContext(ctx, query, args...).Scan(&n)
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
