package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/fault"
)

// Kinds of reports, as HSS names them.
const (
	ReportVulnerability = "vulnerability"
	ReportBaseline      = "risk-config"
	ReportMalware       = "malwares"
	ReportApps          = "apps"
	ReportFiles         = "files"
	ReportSecrets       = "sensitive-info"
	ReportNonCompliant  = "non-compliant-app"
	ReportBuildRisks    = "build-command-risks"
)

// A ReportQuery says what is in a report: a kind, and filters. The zero value of
// a filter selects all. It is stored as JSON.
type ReportQuery struct {
	Kind   string
	Images ReportImages

	// Of vulnerabilities: VulLinux or VulApp, ids, exactly, and whether they are
	// handled in the image.
	VulType string
	VulIDs  []string
	Handled *bool
	// Of build commands: a severity of buildcmd, a part of the title, and ids
	// of rules, exactly.
	RiskLevel, RiskName string
	RiskIDs             []string
}

// ReportImages selects the images of a report. Conditions are and-ed.
type ReportImages struct {
	ImageFilter
	// IDs are the images, exactly; nil for all. Filters act on them too.
	IDs []string
	// LatestVersion leaves of images with one name the one that was made last.
	LatestVersion bool
	// These select images that were looked at, whatever they are.
	HasMalware, HasUnsafe, Risky *bool
	SeverityLevel                string
}

// IsZero reports whether q selects everything of its kind.
func (q ReportQuery) IsZero() bool {
	return q.Images.IsZero() && q.VulType == "" && q.VulIDs == nil && q.Handled == nil && q.RiskLevel == "" && q.RiskName == "" && q.RiskIDs == nil
}

// IsZero reports whether f selects everything.
func (f ReportImages) IsZero() bool {
	return f.ImageFilter.IsZero() && f.IDs == nil && !f.LatestVersion && f.HasMalware == nil && f.HasUnsafe == nil && f.Risky == nil && f.SeverityLevel == ""
}

func (f ReportImages) where(project string) *where {
	w := f.ImageFilter.where(project)
	w.oneOf("i.id", f.IDs)
	if f.LatestVersion {
		w.add("NOT EXISTS (SELECT 1 FROM image later WHERE later.project_id = i.project_id AND later.name = i.name AND (later.updated_at, later.id) > (i.updated_at, i.id))")
	}
	const found = "EXISTS (SELECT 1 FROM content_check k WHERE k.content_id = c.id AND k.name "
	if f.HasMalware != nil {
		w.add(found+"= 'malware' AND (k.num > 0) = (? = 1))", boolInt(*f.HasMalware))
	}
	if f.HasUnsafe != nil {
		w.add(found + "IN ('baseline', 'passwords'))")
		w.add("("+found+"IN ('baseline', 'passwords') AND k.num > 0)) = (? = 1)", boolInt(*f.HasUnsafe))
	}
	if f.Risky != nil {
		w.add("c.latest_scan_time > 0")
		w.add("(c.vul_num > 0 OR EXISTS (SELECT 1 FROM content_check k WHERE k.content_id = c.id AND k.num > 0) OR EXISTS (SELECT 1 FROM build_risk b WHERE b.content_id = c.id)) = (? = 1)", boolInt(*f.Risky))
	}
	w.equal("c.severity_level", f.SeverityLevel)
	return w
}

// oneOf selects one of some texts; nil adds nothing, none of them selects
// nothing.
func (w *where) oneOf(column string, values []string) {
	switch {
	case values == nil:
		return
	case len(values) == 0:
		w.add("1 = 0")
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	w.add(column+" IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")+")", args...)
}

// findings are the conditions on findings.
func (q ReportQuery) findings() *where {
	w := &where{}
	w.equal("f.vul_type", q.VulType)
	if q.VulIDs != nil {
		ids := &where{}
		ids.oneOf("x.advisory", q.VulIDs)
		w.add("f.vul_id IN (SELECT x.id FROM vulnerability x WHERE "+ids.text()+")", ids.args...)
	}
	return w
}

// risk is a rule of build commands if it is asked for, or nil. One that is gone is
// in no answer; its rows go soon.
func (q ReportQuery) risk(id string) *buildcmd.Rule {
	r := buildcmd.RuleByID(id)
	if r == nil || !(BuildRiskFilter{Name: q.RiskName, Level: q.RiskLevel}).selects(r) {
		return nil
	}
	if q.RiskIDs != nil && !slices.Contains(q.RiskIDs, id) {
		return nil
	}
	return r
}

// KnownImages is fault.NotFound if one of some ids is of no image of these
// projects.
func (s *Store) KnownImages(ctx context.Context, projects, ids []string) error {
	for _, id := range ids {
		known := false
		for _, p := range projects {
			switch _, err := s.contentOf(ctx, p, id); {
			case err == nil:
				known = true
			case fault.CodeOf(err) != fault.NotFound:
				return fmt.Errorf("look for images: %w", err)
			}
		}
		if !known {
			return fault.New(fault.NotFound, "there is no image %s", id)
		}
	}
	return nil
}
