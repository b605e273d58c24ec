package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"

	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

const (
	// reportBatch is how many images are read from one view of the database:
	// a view that stays open for long keeps what others delete.
	reportBatch = 128
	// reportFiles is how many files of a layer are in memory at a time.
	reportFiles = 4096
)

// A ReportRow is one record of a report: an image, and one of the others by the
// kind of the report.
type ReportRow struct {
	Image   *ReportImage
	Finding *ReportFinding
	Rule    *ReportRule
	Malware *MaliciousFile
	App     *AppPlace
	File    *ReportFile
	Secret  *Secret
	Denied  *NonCompliant
	Risk    *ReportRisk
}

// A ReportImage is the image of a record.
type ReportImage struct {
	ID, Name, Version, ConfigDigest string
	ScanTime                        int64 // Unix milliseconds
	HostNum                         int64

	content, firstScan int64
}

// A ReportFinding is a Finding with what a report has beside it.
type ReportFinding struct {
	Finding
	AppType   string
	CVEs      string  // with commas
	Score     float64 // 0 if there is none
	Vector    string
	Published int64 // Unix milliseconds, 0 if unknown
	FirstSeen int64 // in the image, Unix milliseconds
	Handled   bool  // in the image
}

// A ReportRule is a rule of a baseline and standard, as one image keeps it.
type ReportRule struct {
	Rule                       *baseline.Rule
	CheckName, Standard, About string
	Severity                   string // the rule's, failed or not
	Failed                     bool
}

// A ReportFile is a file with the diff ID of its layer.
type ReportFile struct {
	ImageFile
	Layer string
}

// A ReportRisk is a rule that build commands of one image break.
type ReportRisk struct {
	Rule *buildcmd.Rule
	// Num counts the instructions that break it; Instructions are the first
	// 50 of them, secrets masked.
	Num          int64
	Instructions []string
}

const (
	// In the order of the index, from where the last batch ended.
	sqlReportImages = `SELECT i.id, i.name, i.version, c.config_digest, c.latest_scan_time, c.first_scan_time, c.id,
(SELECT COUNT(DISTINCT h.agent_id) FROM image_host h WHERE h.image_id = i.id)
FROM image i JOIN content c ON c.id = i.content_id WHERE {where} ORDER BY i.name, i.version, i.id LIMIT ?`
	// Cross joins as in findings.go.
	sqlReportFindings = `SELECT v.advisory, f.severity, v.summary, v.url, pt.layer, p.name, p.version, pp.path, f.vul_type, f.fix_state, f.fixed_version,
p.type, f.cves, v.score, v.vector, v.published, f.first_seen, f.vul_id
FROM content_part cp CROSS JOIN part pt CROSS JOIN part_package pp CROSS JOIN finding f CROSS JOIN package p CROSS JOIN vulnerability v
WHERE pt.id = cp.part_id AND pp.part_id = cp.part_id AND pp.counted = 1 AND f.package_id = pp.package_id AND p.id = f.package_id AND v.id = f.vul_id AND {where}
ORDER BY f.severity DESC, v.advisory, p.name, p.version, pp.path, pt.layer, f.package_id, pp.part_id, pp.n`
	sqlReportRules = `SELECT b.check_name, b.standard, r.rule_id, r.failed, r.severity FROM content_baseline h CROSS JOIN baseline b CROSS JOIN baseline_rule r
WHERE b.id = h.baseline_id AND r.baseline_id = b.id AND h.content_id = $1 ORDER BY b.check_name, b.standard, r.rule_id`
	sqlReportRisks = `SELECT rule_id, num, instructions FROM build_risk WHERE content_id = $1 ORDER BY rule_id`
)

// Report calls do for each record of a report on a project, image by image by
// name, version and id, in an order that is the same for the same state. It reads
// some images at a time, whatever the fleet: the memory it takes does not grow
// with the number of records. An error of do ends it.
func (s *Store) Report(ctx context.Context, project string, q ReportQuery, do func(ReportRow) error) error {
	var err error
	r := reporter{s: s, project: project, q: q, do: do}
	if r.rules, err = s.BaselineRules(); err != nil {
		return err
	}
	r.policy = policyVersion(s.policy.Load())
	of := r.kind()
	if of == nil {
		return noReport(q.Kind)
	}
	var after ReportImage
	for {
		var images []ReportImage
		err := s.inView(ctx, func(tx *sql.Tx) (err error) {
			if images, err = readReportImages(ctx, tx, q.Images, project, after); err != nil {
				return err
			}
			_, revised, err := readMatchState(ctx, tx)
			if err != nil {
				return err
			}
			if r.handled, err = s.handledSet(ctx, tx, revised); err != nil {
				return err
			}
			for i := range images {
				if err := of(ctx, tx, &images[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("report %s: %w", q.Kind, err)
		}
		if len(images) < reportBatch {
			return nil
		}
		after = images[len(images)-1]
	}
}

func noReport(kind string) error { return fault.New(fault.Invalid, "there is no report %q", kind) }

// afterImage are the conditions of a batch of images.
func (f ReportImages) after(project string, last ReportImage) *where {
	w := f.where(project)
	w.add("(i.name, i.version, i.id) > (?, ?, ?)", last.Name, last.Version, last.ID)
	return w
}

func readReportImages(ctx context.Context, tx *sql.Tx, f ReportImages, project string, last ReportImage) (out []ReportImage, err error) {
	q, args := f.after(project, last).query(sqlReportImages, reportBatch)
	err = each(ctx, tx, q, args, func(r *sql.Rows) error {
		var i ReportImage
		err := r.Scan(&i.ID, &i.Name, &i.Version, &i.ConfigDigest, &i.ScanTime, &i.firstScan, &i.content, &i.HostNum)
		out = append(out, i)
		return err
	})
	return out, err
}

// reporter reads the records of images.
type reporter struct {
	s       *Store
	project string
	q       ReportQuery
	rules   *baseline.RuleSet
	policy  string
	handled *handledSet // in the view that is read
	do      func(ReportRow) error
}

// kind is what reads the records of one image; nil for a kind that there is not.
func (r *reporter) kind() func(context.Context, *sql.Tx, *ReportImage) error {
	return map[string]func(context.Context, *sql.Tx, *ReportImage) error{
		ReportVulnerability: r.findings, ReportBaseline: r.baselines, ReportMalware: r.malware, ReportApps: r.apps,
		ReportFiles: r.files, ReportSecrets: r.secrets, ReportNonCompliant: r.denied, ReportBuildRisks: r.risks,
	}[r.q.Kind]
}

// ofContent is the condition on one content, before others.
func ofContent(column string, content int64, others *where) *where {
	w := &where{}
	w.add(column+" = ?", content)
	if others != nil && len(others.parts) > 0 {
		w.add(others.text(), others.args...)
	}
	return w
}

func (r *reporter) findings(ctx context.Context, tx *sql.Tx, i *ReportImage) error {
	w := ofContent("cp.content_id", i.content, r.q.findings())
	w.handled(r.project, r.q.Handled)
	q, args := w.query(sqlReportFindings)
	return each(ctx, tx, q, args, func(rows *sql.Rows) error {
		var f ReportFinding
		var score, vul int64
		err := rows.Scan(&f.VulID, &f.Severity, &f.Summary, &f.URL, &f.Layer, &f.App, &f.Version, &f.Path, &f.Type, &f.FixState, &f.FixedVersion,
			&f.AppType, &f.CVEs, &score, &f.Vector, &f.Published, &f.FirstSeen, &vul)
		if err != nil {
			return err
		}
		f.Score, f.FirstSeen = float64(score)/10, max(f.FirstSeen, i.firstScan)
		f.Handled = r.handled.has(r.project, i.content, vul)
		return r.do(ReportRow{Image: i, Finding: &f})
	})
}

func (r *reporter) baselines(ctx context.Context, tx *sql.Tx, i *ReportImage) error {
	return each(ctx, tx, sqlReportRules, []any{i.content}, func(rows *sql.Rows) error {
		var b ReportRule
		var id string
		var failed, severity int64
		if err := rows.Scan(&b.CheckName, &b.Standard, &id, &failed, &severity); err != nil {
			return err
		}
		if b.Rule = r.rules.Rule(id); b.Rule == nil {
			return nil // a rule that is gone is in no answer; its rows go soon
		}
		b.About, b.Severity, b.Failed = r.rules.Describe(b.CheckName), report.SeverityName(severity), failed == 1
		return r.do(ReportRow{Image: i, Rule: &b})
	})
}

func (r *reporter) malware(ctx context.Context, tx *sql.Tx, i *ReportImage) error {
	q, args := ofContent("m.content_id", i.content, nil).query(sqlListImageMalware, math.MaxInt64, 0)
	return each(ctx, tx, q, args, func(rows *sql.Rows) error {
		m, err := scanMalware(rows)
		if err != nil {
			return err
		}
		return r.do(ReportRow{Image: i, Malware: &m})
	})
}

func (r *reporter) apps(ctx context.Context, tx *sql.Tx, i *ReportImage) error {
	q, args := AppFilter{}.of([]int64{i.content}, nil, nil, math.MaxInt64, 0)
	return each(ctx, tx, q, args, func(rows *sql.Rows) error {
		_, a, err := scanAppPlace(rows, r.policy)
		if err != nil {
			return err
		}
		return r.do(ReportRow{Image: i, App: &a})
	})
}

// files passes images over whose files were not read: ReportNum tells if there
// are no others.
func (r *reporter) files(ctx context.Context, tx *sql.Tx, i *ReportImage) error {
	lists, known, err := filesOf(ctx, tx, i.content)
	if known == filesUnknown && fault.CodeOf(err) == fault.Conflict {
		return nil
	}
	if err != nil {
		return err
	}
	for _, l := range lists {
		for skip := int64(0); skip < l.num; skip += reportFiles {
			var page []ImageFile
			if err := l.read(ctx, tx, skip, reportFiles, &page); err != nil {
				return err
			}
			for _, f := range page {
				if err := r.do(ReportRow{Image: i, File: &ReportFile{f, l.layer}}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *reporter) secrets(ctx context.Context, tx *sql.Tx, i *ReportImage) error {
	q, args := ofContent("cs.content_id", i.content, nil).query(sqlListImageSecrets, math.MaxInt64, 0)
	return each(ctx, tx, q, args, func(rows *sql.Rows) error {
		_, x, err := scanSecret(rows)
		if err != nil {
			return err
		}
		return r.do(ReportRow{Image: i, Secret: &x})
	})
}

func (r *reporter) denied(ctx context.Context, tx *sql.Tx, i *ReportImage) error {
	q, args := nonCompliantWhere(i.content, "").query(sqlListNonCompliant, math.MaxInt64, 0)
	return each(ctx, tx, q, args, func(rows *sql.Rows) error {
		var n NonCompliant
		if err := rows.Scan(&n.ID, &n.Type, &n.Name, &n.Version, &n.Path, &n.Layer); err != nil {
			return err
		}
		return r.do(ReportRow{Image: i, Denied: &n})
	})
}

func (r *reporter) risks(ctx context.Context, tx *sql.Tx, i *ReportImage) error {
	return each(ctx, tx, sqlReportRisks, []any{i.content}, func(rows *sql.Rows) error {
		var k ReportRisk
		var id string
		var instructions []byte
		if err := rows.Scan(&id, &k.Num, &instructions); err != nil {
			return err
		}
		if k.Rule = r.q.risk(id); k.Rule == nil {
			return nil
		}
		if err := json.Unmarshal(instructions, &k.Instructions); err != nil {
			return fmt.Errorf("read instructions: %w", err)
		}
		return r.do(ReportRow{Image: i, Risk: &k})
	})
}
