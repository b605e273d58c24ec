package match

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
)

const (
	// maxExplained bounds the packages of an image that are explained.
	maxExplained = 1000
	// maxElsewhere bounds the packages that are named as those which the
	// records concern.
	maxElsewhere = 20
)

// A Layer of the image that is explained, lowest first.
type Layer struct {
	DiffID       string
	BuildCommand string
}

// An Explanation tells why an image has a finding, and why not.
type Explanation struct {
	// ID that was asked for, in its usual spelling.
	ID string `json:"id"`
	// Verdict is VerdictAffected if any package of the image is; else
	// VerdictSuppressed if a finding was set aside; else VerdictClear if no
	// package is affected; VerdictAbsent if the records concern none of the
	// image's packages; VerdictUnknown if the database does not know ID.
	Verdict string `json:"verdict"`
	// Records that are about ID, at most advisory.MaxMentions.
	Records []About `json:"records"`
	// CVE is what is known of ID itself beside records; nil if ID is no CVE
	// or nothing is.
	CVE *Facts `json:"cve,omitempty"`
	// Packages of the image that the records concern, in order.
	Packages []Explained `json:"packages"`
	// More packages than were explained.
	More int `json:"more,omitempty"`
	// Elsewhere are packages that the records concern and the image does not
	// have, those of the image's own ecosystems first: "Debian:12 expat".
	// ElsewhereMore counts those that are not named.
	Elsewhere     []string `json:"elsewhere,omitempty"`
	ElsewhereMore int      `json:"elsewhere_more,omitempty"`
	// Warnings say what was not matched at all.
	Warnings []string `json:"warnings,omitempty"`
}

// Verdicts of an explanation as a whole.
const (
	VerdictClear   = "clear"
	VerdictAbsent  = "absent"
	VerdictUnknown = "unknown-id"
)

// About is a record in short.
type About struct {
	ID      string   `json:"id"`
	Aliases []string `json:"aliases,omitempty"`
	CVEs    []string `json:"cves,omitempty"`
	Summary string   `json:"summary,omitempty"`
	URL     string   `json:"url,omitempty"`
	// Severity by the vendor, and CVSS.
	Severity string  `json:"severity,omitempty"`
	Score    float64 `json:"score,omitempty"`
	Vector   string  `json:"vector,omitempty"`
	// Modified is RFC 3339.
	Modified string `json:"modified,omitempty"`
	Licence  string `json:"licence,omitempty"`
}

// Facts are what is known of a CVE beside records.
type Facts struct {
	Description    string  `json:"description,omitempty"`
	Score          float64 `json:"score,omitempty"`
	Vector         string  `json:"vector,omitempty"`
	Exploited      bool    `json:"exploited,omitempty"`
	ExploitedSince string  `json:"exploited_since,omitempty"`
	EPSS           float64 `json:"epss,omitempty"`
	EPSSPercentile float64 `json:"epss_percentile,omitempty"`
}

// Explained is one package of the image.
type Explained struct {
	Package report.Package `json:"package"`
	PURL    string         `json:"purl"`
	// Layer is the number of the layer that brought it, from 1; 0 if
	// unknown. BuildCommand made that layer.
	Layer        int    `json:"layer,omitempty"`
	BuildCommand string `json:"build_command,omitempty"`
	// Verdict is one of the Verdicts, Because says why in a sentence.
	Verdict string `json:"verdict"`
	Because string `json:"because"`
	// Findings are those that ID stands in; more than one if it is an
	// advisory whose CVEs are reported under several.
	Findings []report.Finding `json:"findings,omitempty"`
	// Priority is what the priority of the first finding is made of.
	Priority *report.Priority `json:"priority,omitempty"`
	// Records are what the database says of the package.
	Records []Record `json:"records,omitempty"`
}

// Explain tells what becomes of id, a CVE, an advisory or the id of a record, in
// an image. It decides nothing of its own: it listens to the matching. running
// says whether a container of the image runs.
func (m *Matcher) Explain(ctx context.Context, inv report.Inventory, layers []Layer, running bool, id string) (*Explanation, error) {
	e := &Explanation{ID: spelled(id), Records: []About{}, Packages: []Explained{}}
	ids, err := m.about(ctx, e)
	if err != nil {
		return nil, err
	}
	concerns, err := m.db.Concerned(ctx, ids, e.ID)
	if err != nil {
		return nil, err
	}
	ecos := distroEcosystems(inv.Distro, m.ecosystems)
	x := explaining{m: m, e: e, inv: inv, ecos: ecos, ids: ids, layers: layers, running: running, concerned: map[advisory.Concern]bool{}, names: map[string]bool{}}
	for _, c := range concerns {
		x.concerned[c] = true
		if base := base(c.Ecosystem); isDistribution(base) {
			x.names[c.Name] = true
		}
	}
	for _, p := range inv.Packages {
		if err := x.explain(p); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(e.Packages, func(a, b Explained) int { return a.Package.Compare(b.Package) })
	x.elsewhere(concerns)
	e.Warnings = m.warnings(inv, ecos)
	e.conclude(len(concerns) > 0)
	return e, nil
}

// spelled brings the ids that people type into their usual form.
func spelled(id string) string {
	id = strings.TrimSpace(id)
	switch upper := strings.ToUpper(id); {
	case strings.HasPrefix(upper, "CVE-"):
		return upper
	case strings.HasPrefix(upper, "GHSA-"):
		return "GHSA-" + strings.ToLower(id[len("GHSA-"):])
	default:
		return id
	}
}

// about finds the records that are about the id. A record about one CVE brings
// those of the CVE with it.
func (m *Matcher) about(ctx context.Context, e *Explanation) (map[string]bool, error) {
	records, err := m.db.Mentioning(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	for _, v := range records {
		if v.ID != e.ID || len(v.CVEs) != 1 || isAdvisory(v.ID) {
			continue
		}
		more, err := m.db.Mentioning(ctx, v.CVEs[0])
		if err != nil {
			return nil, err
		}
		records = append(records, more...)
	}
	slices.SortFunc(records, func(a, b advisory.Vuln) int { return cmp.Compare(a.ID, b.ID) })
	records = slices.CompactFunc(records, func(a, b advisory.Vuln) bool { return a.ID == b.ID })
	ids := map[string]bool{}
	for _, v := range records {
		ids[v.ID] = true
		e.Records = append(e.Records, About{ID: v.ID, Aliases: v.Aliases, CVEs: v.CVEs, Summary: v.Summary, URL: v.URL,
			Severity: v.Severity, Score: v.Score, Vector: v.Vector, Modified: date(v.Modified), Licence: v.Licence})
	}
	c, err := m.records.cve(e.ID)
	if err != nil || c == nil {
		return ids, err
	}
	e.CVE = &Facts{Description: c.Description, Score: c.Score, Vector: c.Vector, Exploited: c.KEV, ExploitedSince: c.KEVDate, EPSS: c.EPSS, EPSSPercentile: c.Percentile}
	return ids, nil
}

func date(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

// isDistribution reports whether an ecosystem is that of a distribution.
func isDistribution(base string) bool {
	switch base {
	case "Go", "npm", "PyPI", "Maven", "RubyGems", "crates.io", "NuGet", "Packagist", "Bitnami", "CRAN", "Hackage", "Pub", "Hex", "SwiftURL", "ConanCenter":
		return false
	default:
		return true
	}
}

// An explaining is an explanation under way.
type explaining struct {
	m         *Matcher
	e         *Explanation
	inv       report.Inventory
	ecos      []string
	ids       map[string]bool // of records
	concerned map[advisory.Concern]bool
	names     map[string]bool // of distributions' packages
	layers    []Layer
	running   bool
}

// explain adds p if the records concern it.
func (x *explaining) explain(p report.Package) error {
	free := p // as if nothing stood in the way of matching it
	free.Declared, free.OwnedBy = false, ""
	if free.Version == "" {
		free.Version = "0"
	}
	ls := lookups(x.ecos, free)
	covered := report.OSType(p.Type) && !slices.ContainsFunc(x.ecos, x.m.db.HasEcosystem)
	hit := slices.ContainsFunc(ls, func(l lookup) bool {
		return x.concerned[advisory.Concern{Ecosystem: l.ecosystem, Name: advisory.Name(l.ecosystem, l.name)}]
	})
	if !hit && !(covered && (x.names[p.Name] || x.names[p.Source])) {
		return nil
	}
	if len(x.e.Packages) >= maxExplained {
		x.e.More++
		return nil
	}
	out := Explained{Package: p, PURL: report.PURL(p, x.inv.Distro)}
	out.Layer = 1 + slices.IndexFunc(x.layers, func(l Layer) bool { return l.DiffID == p.Layer })
	if out.Layer > 0 {
		out.BuildCommand = x.layers[out.Layer-1].BuildCommand
	}
	t := &tracer{db: x.m.db, ids: x.ids, notice: x.e.ID}
	fs, err := x.m.Package(x.inv.Distro, p)
	if err != nil {
		return err
	}
	for _, f := range fs {
		if f.ID == x.e.ID || slices.Contains(f.CVEs, x.e.ID) || slices.Contains(f.Aliases, x.e.ID) {
			f.Evidence.BuildCommand = out.BuildCommand
			priority := report.PriorityOf(f, x.running)
			f.Priority = priority.Total
			if out.Priority == nil {
				out.Priority = &priority
			}
			out.Findings = append(out.Findings, f)
			// What was folded in is told too.
			t.ids = maps.Clone(t.ids)
			for _, id := range append(f.Aliases[:len(f.Aliases):len(f.Aliases)], f.ID, f.Evidence.Record) {
				t.ids[id] = true
			}
		}
	}
	if p.Version != "" {
		if _, err := x.m.hits(ls, free, t); err != nil {
			return err
		}
		out.Records = t.records
	}
	out.decide(t.problem, x.inv.Distro)
	x.e.Packages = append(x.e.Packages, out)
	return nil
}

// decide gives the verdict of a package from what was found and told.
func (out *Explained) decide(problem string, d report.Distro) {
	p := &out.Package
	said := func(verdict string) *Record {
		i := slices.IndexFunc(out.Records, func(r Record) bool { return r.Verdict == verdict })
		if i < 0 {
			return nil
		}
		return &out.Records[i]
	}
	alone := "" // what would be without its owner
	if r := said(VerdictAffected); r != nil && r.VetoedBy == "" {
		alone = "; on its own it would be affected by " + r.ID
	}
	switch {
	case len(out.Findings) > 0:
		f := &out.Findings[0]
		out.Verdict, out.Because = VerdictAffected, fmt.Sprintf("%s is in the range %s of %s: %s", p.Version, f.Evidence.Range, f.Evidence.Record, f.Evidence.Compared)
		return
	case p.Declared:
		out.Verdict, out.Because = VerdictDeclared, "the file only asks for it, nothing says that it is installed"
		return
	case p.OwnedBy != "":
		out.Verdict, out.Because = VerdictOwned, fmt.Sprintf("%s installed it, and the version of that package says whether it is mended%s", p.OwnedBy, alone)
		return
	case p.Version == "":
		out.Verdict, out.Because = VerdictNoVersion, "its version is not known, so there is nothing to compare"
		return
	case problem != "" && len(out.Records) == 0:
		out.Verdict, out.Because = VerdictBadVersion, problem
		return
	case len(out.Records) == 0:
		out.Verdict, out.Because = VerdictNoAdvisories, "the database has no advisories for "+cmp.Or(distroName(d), "an image without os-release")+"; other distributions' have a package of this name"
		return
	}
	for _, r := range out.Records {
		if r.VetoedBy != "" {
			out.Verdict, out.Because = VerdictNotAffected, r.VetoedBy+" says that it is not affected and goes before "+r.ID
			return
		}
	}
	for _, v := range []string{VerdictAffected, VerdictNotAffected, VerdictUndetermined, VerdictFixed, VerdictOtherModule} {
		r := said(v)
		if r == nil {
			continue
		}
		out.Verdict = v
		switch v {
		case VerdictAffected: // reported under a CVE that the id does not stand for
			out.Because = r.ID + " holds the version, and its vulnerabilities are reported under other ids"
		case VerdictNotAffected:
			out.Because = r.Source + " says that it is not affected" + r.note()
		case VerdictUndetermined:
			out.Because = r.Source + " has not determined whether it is affected" + r.note()
		case VerdictFixed:
			out.Because = "fixed: " + r.reason()
		case VerdictOtherModule:
			out.Because = r.ID + " is about another module stream than the installed one"
		}
		return
	}
}

func (r *Record) note() string {
	for _, e := range r.Entries {
		if e.Note != "" {
			return " (" + e.Note + ")"
		}
	}
	return ""
}

// reason is the last comparison that was made.
func (r *Record) reason() string {
	for i := len(r.Entries) - 1; i >= 0; i-- {
		if steps := r.Entries[i].Steps; len(steps) > 0 {
			c := steps[len(steps)-1].Compared
			return c[len(c)-1] + " (" + r.ID + ")"
		}
	}
	return "no range of " + r.ID + " holds the version"
}

// elsewhere names packages that the image does not have.
func (x *explaining) elsewhere(concerns []advisory.Concern) {
	have := map[string]bool{}
	for _, p := range x.e.Packages {
		for _, r := range p.Records {
			have[r.Ecosystem+" "+advisory.Name(r.Ecosystem, r.Name)] = true
		}
	}
	var here, there []string
	for _, c := range concerns {
		s := c.Ecosystem + " " + c.Name
		switch {
		case have[s]:
		case slices.Contains(x.ecos, c.Ecosystem):
			here = append(here, s)
		default:
			there = append(there, s)
		}
	}
	all := slices.Concat(here, there)
	n := min(len(all), maxElsewhere)
	x.e.Elsewhere, x.e.ElsewhereMore = all[:n:n], len(all)-n
}

func (e *Explanation) conclude(known bool) {
	rank := map[string]int{VerdictAffected: 2, VerdictSuppressed: 1}
	e.Verdict = VerdictClear
	for _, p := range e.Packages {
		if rank[p.Verdict] > rank[e.Verdict] {
			e.Verdict = p.Verdict
		}
	}
	switch {
	case len(e.Packages) > 0:
	case known || len(e.Records) > 0:
		e.Verdict = VerdictAbsent
	default:
		e.Verdict = VerdictUnknown
	}
}

// Judge applies what documents of the user say of the findings: judge sets the
// Judgement of those that it has a word about.
func (e *Explanation) Judge(judge func(f *report.Finding)) {
	for i := range e.Packages {
		p := &e.Packages[i]
		suppressed := 0
		for j := range p.Findings {
			judge(&p.Findings[j])
			if p.Findings[j].Judgement.Suppresses() {
				suppressed++
			}
		}
		if n := len(p.Findings); n > 0 && suppressed == n {
			j := p.Findings[0].Judgement
			p.Verdict, p.Because = VerdictSuppressed, fmt.Sprintf("%s says %s", j.Document, strings.Join(slices.DeleteFunc([]string{j.Status, j.Justification, j.Statement},
				func(s string) bool { return s == "" }), ", "))
		}
	}
	e.conclude(e.Verdict != VerdictUnknown)
}
