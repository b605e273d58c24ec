package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/onceover/onceover/internal/fault"
)

// A Finding is one vulnerability of one package of an image.
type Finding struct {
	VulID        string
	Severity     int64 // report.SeverityRank
	Summary, URL string
	Layer        string // diff ID
	App, Version string
	Path         string
	Type         string // VulLinux or VulApp
	FixState     string
	FixedVersion string
}

// VulFilter selects vulnerabilities. Texts are substrings, the zero value
// selects all.
type VulFilter struct {
	ID, App, CVE string
	// Name is matched against the id, which is all the name there is.
	Name string
	// Type is VulLinux, VulApp, or "" for both.
	Type string
	// Severities are report.SeverityRanks; nil for all.
	Severities []int64
	// Handled selects what is handled, or open, in the images that are asked
	// about; nil for both.
	Handled *bool
}

const (
	// Cross joins keep SQLite, which knows nothing of sizes, to the order of
	// the tables: from what is asked for to what has it. PostgreSQL takes them
	// for what they are, joins with conditions.
	sqlCountFindings = `SELECT COUNT(*) FROM content_part cp CROSS JOIN part_package pp CROSS JOIN finding f CROSS JOIN vulnerability v
WHERE pp.part_id = cp.part_id AND pp.counted = 1 AND f.package_id = pp.package_id AND v.id = f.vul_id AND {where}`
	// The same where nothing is asked of the vulnerabilities: each finding has
	// one.
	sqlCountFindingsOf = `SELECT COUNT(*) FROM content_part cp CROSS JOIN part_package pp CROSS JOIN finding f
WHERE pp.part_id = cp.part_id AND pp.counted = 1 AND f.package_id = pp.package_id AND {where}`
	sqlListFindings = `SELECT v.advisory, f.severity, v.summary, v.url, pt.layer, p.name, p.version, pp.path, f.vul_type, f.fix_state, f.fixed_version
FROM content_part cp CROSS JOIN part pt CROSS JOIN part_package pp CROSS JOIN finding f CROSS JOIN package p CROSS JOIN vulnerability v
WHERE pt.id = cp.part_id AND pp.part_id = cp.part_id AND pp.counted = 1 AND f.package_id = pp.package_id AND p.id = f.package_id AND v.id = f.vul_id AND {where}
ORDER BY f.severity DESC, v.advisory, p.name, p.version, pp.path, pt.layer, f.package_id LIMIT ? OFFSET ?`
	// hasImage holds for packages that count in an image of a project.
	// Findings of images that have left the fleet are kept for a while and
	// not listed.
	hasImage = `EXISTS (SELECT 1 FROM part_package px CROSS JOIN content_part cx CROSS JOIN image ix
WHERE px.package_id = f.package_id AND px.counted = 1 AND cx.part_id = px.part_id AND ix.content_id = cx.content_id AND ix.project_id = ?)`
	sqlCountVuls = `SELECT COUNT(DISTINCT f.vul_id) FROM project_package pj CROSS JOIN finding f CROSS JOIN vulnerability v
WHERE f.package_id = pj.package_id AND v.id = f.vul_id AND {where}`
	// Filters other than of the project hold for the findings that are
	// summed up; the images are those of the same findings.
	sqlListVuls = `SELECT v.advisory, t.vul_type, t.severity, t.fixed, COUNT(DISTINCT i.id), COUNT(DISTINCT CASE WHEN ` + handledHere + ` OR ` + handledAll + `i.project_id) THEN NULL ELSE i.id END), MAX(c.latest_scan_time), v.score, v.summary, v.url
FROM (SELECT f.vul_id, MIN(f.vul_type) AS vul_type, MAX(f.severity) AS severity, MAX(CASE f.fix_state WHEN 'fixed' THEN 1 ELSE 0 END) AS fixed
FROM project_package pj CROSS JOIN finding f CROSS JOIN vulnerability v
WHERE f.package_id = pj.package_id AND v.id = f.vul_id AND {where} GROUP BY f.vul_id, v.advisory ORDER BY 3 DESC, v.advisory LIMIT ? OFFSET ?) t
CROSS JOIN vulnerability v CROSS JOIN finding f CROSS JOIN part_package pp CROSS JOIN content_part cp CROSS JOIN content c CROSS JOIN image i
WHERE v.id = t.vul_id AND f.vul_id = t.vul_id AND pp.package_id = f.package_id AND pp.counted = 1 AND cp.part_id = pp.part_id
AND c.id = cp.content_id AND i.content_id = c.id AND i.project_id = ? {again}
GROUP BY v.advisory, t.vul_type, t.severity, t.fixed, v.score, v.summary, v.url ORDER BY t.severity DESC, v.advisory`
	sqlVulCVEs   = `SELECT e.cve_id, e.score, e.published, e.description FROM vulnerability v JOIN vulnerability_cve e ON e.vul_id = v.id WHERE v.advisory = $1 ORDER BY e.cve_id`
	sqlPageCVEs  = `SELECT e.cve_id, e.score, e.published, e.description FROM vulnerability v JOIN vulnerability_cve e ON e.vul_id = v.id WHERE {where} ORDER BY e.cve_id LIMIT ? OFFSET ?`
	sqlCountCVEs = `SELECT COUNT(*) FROM vulnerability v JOIN vulnerability_cve e ON e.vul_id = v.id WHERE {where}`
	// One that concerns contents whose images have left is known as well.
	sqlVulKnown = `SELECT 1 FROM vulnerability v CROSS JOIN finding f CROSS JOIN project_package pj
WHERE f.vul_id = v.id AND pj.package_id = f.package_id AND pj.project_id = $1 AND v.advisory = $2 LIMIT 1`
	sqlCountAffected = `SELECT COUNT(DISTINCT i.id) FROM vulnerability v CROSS JOIN finding f CROSS JOIN part_package pp CROSS JOIN content_part cp CROSS JOIN image i
WHERE f.vul_id = v.id AND pp.package_id = f.package_id AND pp.counted = 1 AND cp.part_id = pp.part_id AND i.content_id = cp.content_id AND {where}`
	sqlListAffected = `SELECT t.id, t.name, t.version, c.config_digest, t.size, c.latest_scan_time, t.severity,
CASE WHEN t.first_seen > c.first_scan_time THEN t.first_seen ELSE c.first_scan_time END,
(SELECT COUNT(*) FROM container k WHERE k.image_id = t.id),
COALESCE((SELECT MIN(h.agent_id) FROM image_host h WHERE h.image_id = t.id), '')
FROM (SELECT i.id, i.name, i.version, i.content_id, i.size, MAX(f.severity) AS severity, MIN(f.first_seen) AS first_seen
FROM vulnerability v CROSS JOIN finding f CROSS JOIN part_package pp CROSS JOIN content_part cp CROSS JOIN image i
WHERE f.vul_id = v.id AND pp.package_id = f.package_id AND pp.counted = 1 AND cp.part_id = pp.part_id AND i.content_id = cp.content_id AND {where}
GROUP BY i.id, i.name, i.version, i.content_id, i.size ORDER BY i.name, i.version, i.id LIMIT ? OFFSET ?) t
JOIN content c ON c.id = t.content_id ORDER BY t.name, t.version, t.id`
)

func (f VulFilter) add(w *where) {
	w.contains("v.advisory", f.ID)
	w.contains("v.advisory", f.Name)
	w.equal("f.vul_type", f.Type)
	if f.Severities != nil {
		among(w, "f.severity", f.Severities)
	}
	if f.CVE != "" {
		w.add("EXISTS (SELECT 1 FROM vulnerability_cve e WHERE e.vul_id = f.vul_id AND instr(e.cve_id, ?) > 0)", f.CVE)
	}
	if f.App != "" {
		w.add("EXISTS (SELECT 1 FROM package g WHERE g.id = f.package_id AND instr(g.name, ?) > 0)", f.App)
	}
}

// Findings lists what was found in an image, worst first, one row for each
// vulnerability and place of a package. An unknown image is fault.NotFound.
func (s *Store) Findings(ctx context.Context, project, imageID string, f VulFilter, p Page) (out []Finding, total int64, err error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, 0, err
	}
	w := &where{}
	w.add("cp.content_id = ?", content)
	f.add(w)
	w.handled(project, f.Handled)
	count := sqlCountFindings
	if f.ID == "" && f.Name == "" {
		count = sqlCountFindingsOf
	}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		if err := s.engine.joinAsWritten(ctx, tx); err != nil {
			return err
		}
		total, err = listIn(ctx, tx, w, count, sqlListFindings, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
			var f Finding
			err := r.Scan(&f.VulID, &f.Severity, &f.Summary, &f.URL, &f.Layer, &f.App, &f.Version, &f.Path, &f.Type, &f.FixState, &f.FixedVersion)
			out = append(out, f)
			return err
		})
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list findings: %w", err)
	}
	return out, total, nil
}

// A VulCVE is one CVE behind a vulnerability.
type VulCVE struct {
	ID          string
	Score       float64 // 0 if unknown
	Published   int64   // Unix milliseconds, 0 if unknown
	Description string
}

// A Vulnerability is one advisory that concerns images of a project.
type Vulnerability struct {
	ID       string
	Type     string
	Severity int64 // the worst report.SeverityRank over all images
	// Fixable is whether a fixed version is known for any package.
	Fixable      bool
	ImageNum     int64 // where it is what the filter says
	OpenNum      int64 // of these, where it is not handled
	ScanTime     int64 // of the latest scan that found it
	Score        float64
	Summary, URL string
	CVEs         []VulCVE
}

// Vulnerabilities lists what was found over all images, worst first.
func (s *Store) Vulnerabilities(ctx context.Context, project string, f VulFilter, p Page) (out []Vulnerability, total int64, err error) {
	if s.inMemory(f) {
		if out, total, err = s.vulnerabilitiesHeld(ctx, project, f, p); err != nil {
			return nil, 0, fmt.Errorf("list vulnerabilities: %w", err)
		}
		return out, total, nil
	}
	w := vulnerabilitiesWhere(project, f)
	err = s.inView(ctx, func(tx *sql.Tx) error {
		q, args := w.query(sqlCountVuls)
		if err := tx.QueryRowContext(ctx, q, args...).Scan(&total); err != nil {
			return err
		}
		q, args = listVuls(project, f, p)
		err := each(ctx, tx, q, args, func(r *sql.Rows) error {
			var v Vulnerability
			var fixed, score int64
			err := r.Scan(&v.ID, &v.Type, &v.Severity, &fixed, &v.ImageNum, &v.OpenNum, &v.ScanTime, &score, &v.Summary, &v.URL)
			v.Fixable, v.Score = fixed != 0, float64(score)/10
			out = append(out, v)
			return err
		})
		if err != nil {
			return err
		}
		for i := range out {
			if out[i].CVEs, err = readCVEs(ctx, tx, sqlVulCVEs, out[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list vulnerabilities: %w", err)
	}
	return out, total, nil
}

func vulnerabilitiesWhere(project string, f VulFilter) *where {
	w := &where{}
	w.add("pj.project_id = ?", project)
	f.add(w)
	w.anywhere(project, f.Handled)
	return w
}

// listVuls is the query of a page of Vulnerabilities.
func listVuls(project string, f VulFilter, p Page) (string, []any) {
	again := &where{}
	f.add(again)
	again.handled(project, f.Handled)
	statement := strings.Replace(sqlListVuls, "{again}", again.more(), 1)
	return vulnerabilitiesWhere(project, f).query(statement, append([]any{p.Limit, p.Offset, project}, again.args...)...)
}

// CVEs lists the CVEs behind a vulnerability that was found in the project;
// any other is fault.NotFound.
func (s *Store) CVEs(ctx context.Context, project, advisory string, p Page) (out []VulCVE, total int64, err error) {
	var one int
	err = s.read.QueryRowContext(ctx, sqlVulKnown, project, text(advisory)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, fault.New(fault.NotFound, "vulnerability %s was not found in any image", advisory)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("find vulnerability: %w", err)
	}
	w := &where{}
	w.add("v.advisory = ?", advisory)
	total, err = s.list(ctx, w, sqlCountCVEs, sqlPageCVEs, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
		c, err := scanCVE(r)
		out = append(out, c)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list CVEs: %w", err)
	}
	return out, total, nil
}

// Affected is an image that a vulnerability concerns.
type Affected struct {
	ImageID, Name, Version string
	ConfigDigest           string
	Size                   int64
	Severity               int64 // report.SeverityRank
	FirstSeen, ScanTime    int64 // Unix milliseconds
	ContainerNum           int64
	AgentID                string
}

// AffectedFilter narrows Store.Affected; Name is a substring.
type AffectedFilter struct {
	Type          string
	Severities    []int64
	ImageID, Name string
	Handled       *bool // nil for both
}

// Affected lists the images that one vulnerability concerns.
func (s *Store) Affected(ctx context.Context, project, advisory string, f AffectedFilter, p Page) (out []Affected, total int64, err error) {
	if s.inMemory(VulFilter{}) {
		if out, total, err = s.affectedHeld(ctx, project, advisory, f, p); err != nil {
			return nil, 0, fmt.Errorf("list affected images: %w", err)
		}
		return out, total, nil
	}
	w := &where{}
	w.add("i.project_id = ? AND v.advisory = ?", project, advisory)
	VulFilter{Type: f.Type, Severities: f.Severities}.add(w)
	w.equal("i.id", f.ImageID)
	w.contains("i.name", f.Name)
	w.handled(project, f.Handled)
	total, err = s.list(ctx, w, sqlCountAffected, sqlListAffected, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
		var a Affected
		err := r.Scan(&a.ImageID, &a.Name, &a.Version, &a.ConfigDigest, &a.Size, &a.ScanTime, &a.Severity, &a.FirstSeen, &a.ContainerNum, &a.AgentID)
		out = append(out, a)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list affected images: %w", err)
	}
	return out, total, nil
}

func readCVEs(ctx context.Context, tx *sql.Tx, query string, args ...any) (out []VulCVE, err error) {
	err = each(ctx, tx, query, args, func(r *sql.Rows) error {
		c, err := scanCVE(r)
		out = append(out, c)
		return err
	})
	return out, err
}

func scanCVE(r *sql.Rows) (c VulCVE, err error) {
	var score int64
	err = r.Scan(&c.ID, &score, &c.Published, &c.Description)
	c.Score = float64(score) / 10
	return c, err
}
