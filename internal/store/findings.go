package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
}

const (
	sqlCountFindings = `SELECT COUNT(*) FROM finding f JOIN package p ON p.id = f.package_id WHERE {where}`
	sqlListFindings  = `SELECT f.vul_id, f.severity, v.summary, v.url, f.layer, p.name, p.version, f.path, f.vul_type, f.fix_state, f.fixed_version
FROM finding f JOIN package p ON p.id = f.package_id JOIN vulnerability v ON v.id = f.vul_id
WHERE {where} ORDER BY f.severity DESC, f.vul_id, p.name, p.version, f.path, f.layer, f.package_id LIMIT ? OFFSET ?`
	sqlCountVuls = `SELECT COUNT(DISTINCT f.vul_id) FROM finding f WHERE {where}`
	sqlListVuls  = `SELECT t.vul_id, t.vul_type, t.severity, t.fixed, t.images, t.scanned, v.score, v.summary, v.url
FROM (SELECT f.vul_id, MIN(f.vul_type) AS vul_type, MAX(f.severity) AS severity, MAX(CASE f.fix_state WHEN 'fixed' THEN 1 ELSE 0 END) AS fixed, COUNT(DISTINCT i.id) AS images, MAX(c.latest_scan_time) AS scanned
FROM finding f JOIN content c ON c.id = f.content_id JOIN image i ON i.content_id = f.content_id
WHERE {where} GROUP BY f.vul_id ORDER BY 3 DESC, 1 LIMIT ? OFFSET ?) t
JOIN vulnerability v ON v.id = t.vul_id ORDER BY t.severity DESC, t.vul_id`
	sqlVulCVEs       = `SELECT cve_id, score, published, description FROM vulnerability_cve WHERE vul_id = $1 ORDER BY cve_id`
	sqlPageCVEs      = `SELECT v.cve_id, v.score, v.published, v.description FROM vulnerability_cve v WHERE {where} ORDER BY v.cve_id LIMIT ? OFFSET ?`
	sqlCountCVEs     = `SELECT COUNT(*) FROM vulnerability_cve v WHERE {where}`
	sqlVulKnown      = `SELECT 1 FROM finding WHERE project_id = $1 AND vul_id = $2 LIMIT 1`
	sqlCountAffected = `SELECT COUNT(DISTINCT i.id) FROM finding f JOIN image i ON i.content_id = f.content_id WHERE {where}`
	sqlListAffected  = `SELECT t.id, t.name, t.version, c.config_digest, t.size, c.latest_scan_time, t.severity, t.first_seen,
(SELECT COUNT(*) FROM container k WHERE k.image_id = t.id),
COALESCE((SELECT MIN(h.agent_id) FROM image_host h WHERE h.image_id = t.id), '')
FROM (SELECT i.id, i.name, i.version, i.content_id, i.size, MAX(f.severity) AS severity, MIN(f.first_seen) AS first_seen
FROM finding f JOIN image i ON i.content_id = f.content_id WHERE {where} GROUP BY i.id, i.name, i.version, i.content_id, i.size ORDER BY i.name, i.version, i.id LIMIT ? OFFSET ?) t
JOIN content c ON c.id = t.content_id ORDER BY t.name, t.version, t.id`
)

func (f VulFilter) add(w *where) {
	w.contains("f.vul_id", f.ID)
	w.contains("f.vul_id", f.Name)
	w.equal("f.vul_type", f.Type)
	if f.Severities != nil {
		w.in("f.severity", f.Severities)
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
	w.add("f.content_id = ?", content)
	f.add(w)
	total, err = s.list(ctx, w, sqlCountFindings, sqlListFindings, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
		var f Finding
		err := r.Scan(&f.VulID, &f.Severity, &f.Summary, &f.URL, &f.Layer, &f.App, &f.Version, &f.Path, &f.Type, &f.FixState, &f.FixedVersion)
		out = append(out, f)
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
	ImageNum     int64
	ScanTime     int64 // of the latest scan that found it
	Score        float64
	Summary, URL string
	CVEs         []VulCVE
}

// Vulnerabilities lists what was found over all images, worst first.
func (s *Store) Vulnerabilities(ctx context.Context, project string, f VulFilter, p Page) (out []Vulnerability, total int64, err error) {
	w := vulnerabilitiesWhere(project, f)
	err = s.inView(ctx, func(tx *sql.Tx) error {
		q, args := w.query(sqlCountVuls)
		if err := tx.QueryRowContext(ctx, q, args...).Scan(&total); err != nil {
			return err
		}
		q, args = w.query(sqlListVuls, p.Limit, p.Offset)
		err := each(ctx, tx, q, args, func(r *sql.Rows) error {
			var v Vulnerability
			var fixed, score int64
			err := r.Scan(&v.ID, &v.Type, &v.Severity, &fixed, &v.ImageNum, &v.ScanTime, &score, &v.Summary, &v.URL)
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
	w.add("f.project_id = ?", project)
	f.add(w)
	// Findings of images that have left the fleet are kept for a while and
	// not listed.
	w.add("EXISTS (SELECT 1 FROM image i2 WHERE i2.content_id = f.content_id)")
	return w
}

// CVEs lists the CVEs behind a vulnerability that was found in the project;
// any other is fault.NotFound.
func (s *Store) CVEs(ctx context.Context, project, vulID string, p Page) (out []VulCVE, total int64, err error) {
	var one int
	err = s.read.QueryRowContext(ctx, sqlVulKnown, project, vulID).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, fault.New(fault.NotFound, "vulnerability %s was not found in any image", vulID)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("find vulnerability: %w", err)
	}
	w := &where{}
	w.add("v.vul_id = ?", vulID)
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
}

// Affected lists the images that one vulnerability concerns.
func (s *Store) Affected(ctx context.Context, project, vulID string, f AffectedFilter, p Page) (out []Affected, total int64, err error) {
	w := &where{}
	w.add("f.project_id = ? AND f.vul_id = ?", project, vulID)
	VulFilter{Type: f.Type, Severities: f.Severities}.add(w)
	w.equal("i.id", f.ImageID)
	w.contains("i.name", f.Name)
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
