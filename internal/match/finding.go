package match

import (
	"cmp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/report"
)

// findings turns groups into findings. What the first record lacks is taken
// from the others: a severity, a fix, a summary.
func (m *Matcher) findings(groups []group) ([]report.Finding, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	source := m.db.Meta().Source
	out := make([]report.Finding, 0, len(groups))
	for _, g := range groups {
		first := g.parts[0].hits[0]
		f := report.Finding{ID: g.id(), CVEs: g.cves, FixState: report.FixNone, Evidence: first.in}
		f.Evidence.Source = cmp.Or(first.affected.Source, source) + "/" + base(first.affected.Ecosystem)
		f.Evidence.Record, f.Evidence.Note = first.vuln.ID, first.affected.Note
		m.fix(&f, g)
		if err := m.describe(&f, g); err != nil {
			return nil, err
		}
		if err := m.rate(&f, g); err != nil {
			return nil, err
		}
		f.Priority = report.PriorityOf(f, false).Total
		out = append(out, f)
	}
	return out, nil
}

// id is that of the advisory of the distribution, else the CVE if there is
// just one, else that of the first record.
func (g group) id() string {
	switch {
	case g.advisory != "":
		return g.advisory
	case len(g.cves) == 1:
		return g.cves[0]
	default:
		return g.parts[0].hits[0].vuln.ID
	}
}

func base(ecosystem string) string {
	b, _, _ := strings.Cut(ecosystem, ":")
	return b
}

// fix gives the version that mends everything f is about: of an advisory the
// highest of its vulnerabilities, of one vulnerability what the best record says.
func (m *Matcher) fix(f *report.Finding, g group) {
	first := g.parts[0].hits[0]
	for _, p := range g.parts {
		version := ""
		for _, h := range p.hits {
			if h.fixed != "" && (version == "" || h.in.Ecosystem == p.hits[0].in.Ecosystem && p.hits[0].fixed == "" && m.lower(h.in.Ecosystem, h.fixed, version)) {
				version = h.fixed
			}
		}
		if f.FixedVersion == "" || version != "" && m.lower(first.in.Ecosystem, f.FixedVersion, version) {
			f.FixedVersion = version
		}
	}
	switch {
	case f.FixedVersion != "":
		f.FixState = report.FixAvailable
	case first.affected.State == feed.StateWontFix:
		f.FixState = report.FixWont
	case first.affected.State == feed.StateDeferred:
		f.FixState = report.FixDeferred
	}
}

// describe fills in what the records say in words, and the other ids. What one
// of several vulnerabilities is about is not said of all.
func (m *Matcher) describe(f *report.Finding, g group) error {
	aliases := slices.Clone(g.also)
	add := func(v *advisory.Vuln, speaks bool) {
		aliases = append(aliases, v.ID)
		aliases = append(aliases, v.Aliases...)
		if speaks {
			f.Summary = cmp.Or(f.Summary, v.Summary)
		}
		f.URL = cmp.Or(f.URL, v.URL)
		if f.Published == 0 || v.Published != 0 && v.Published < f.Published {
			f.Published = cmp.Or(v.Published, f.Published)
		}
	}
	if g.advisory != "" && !g.own(g.parts[0]) {
		v, err := m.records.vuln(g.advisory)
		if err != nil {
			return err
		}
		if v != nil {
			named := *v
			named.Aliases = nil
			add(&named, true)
		}
	}
	for _, p := range g.parts {
		for _, h := range p.hits {
			add(h.vuln, h.vuln.ID == f.ID || len(g.cves) < 2 || g.advisory == "")
			if h.affected.Advisory != "" {
				aliases = append(aliases, h.affected.Advisory)
			}
		}
	}
	slices.Sort(aliases)
	f.Aliases = slices.DeleteFunc(slices.Compact(aliases), func(id string) bool {
		return id == f.ID || slices.Contains(f.CVEs, id)
	})
	if len(f.Aliases) == 0 {
		f.Aliases = nil
	}
	return nil
}

// A rating is a severity and where it is from.
type rating struct {
	level, from string
	score       float64
	vector      string
}

// rate gives the severity and what is known of exploits. The vendor's word
// counts, of the package before that of the record; else the level of the CVSS
// score; else that of the CVE itself; else it is unknown. A group of several
// vulnerabilities whose advisory has no severity is as bad as the worst of them.
func (m *Matcher) rate(f *report.Finding, g group) error {
	cves := make([]*advisory.CVE, 0, len(f.CVEs))
	for _, id := range f.CVEs {
		c, err := m.records.cve(id)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		cves = append(cves, c)
		if c.KEV {
			f.Exploited = true
			if f.ExploitedSince == "" || c.KEVDate != "" && c.KEVDate < f.ExploitedSince {
				f.ExploitedSince = c.KEVDate
			}
		}
		if c.EPSS > f.EPSS {
			f.EPSS, f.EPSSPercentile = c.EPSS, c.Percentile
		}
		f.Published = cmp.Or(f.Published, c.Published)
		if len(f.CVEs) == 1 || g.advisory == "" {
			f.Summary = cmp.Or(f.Summary, firstSentence(c.Description))
		}
	}
	var own, worst rating
	rated := map[string]bool{}
	for _, p := range g.parts {
		r := p.rating()
		if g.own(p) {
			own = own.orWorse(r)
		} else {
			known := p.cves
			if g.advisory == "" {
				known = g.cves
			}
			r = r.complete(cves, known)
			for _, c := range known {
				rated[c] = true
			}
		}
		worst = worst.orWorse(r.settle())
	}
	for _, c := range cves {
		if !rated[c.ID] && c.Vector != "" {
			worst = worst.orWorse(rating{score: c.Score, vector: c.Vector}.settle())
		}
	}
	if own.level != "" {
		worst.level, worst.from = own.level, own.from
		if own.vector != "" {
			worst.score, worst.vector = own.score, own.vector
		}
	}
	f.Severity, f.SeverityFrom, f.Score, f.Vector = cmp.Or(worst.level, report.SeverityUnknown), worst.from, worst.score, worst.vector
	return nil
}

// own reports whether p is the record of the advisory that speaks for g.
func (g group) own(p part) bool { return g.advisory != "" && p.hits[0].vuln.ID == g.advisory }

// rating is what the records of one vulnerability say.
func (p part) rating() (r rating) {
	for _, h := range p.hits {
		if r.level == "" {
			r.level = cmp.Or(h.affected.Severity, h.vuln.Severity)
		}
		switch {
		case r.vector != "":
		case h.affected.Vector != "":
			r.score, r.vector = h.affected.Score, h.affected.Vector
		case h.vuln.Vector != "":
			r.score, r.vector = h.vuln.Score, h.vuln.Vector
		}
	}
	if r.level != "" {
		r.from = "vendor"
	}
	return r
}

// complete gives a rating without a score the worst of its CVEs.
func (r rating) complete(cves []*advisory.CVE, of []string) rating {
	if r.vector != "" {
		return r
	}
	for _, c := range cves {
		if c.Vector != "" && c.Score > r.score && slices.Contains(of, c.ID) {
			r.score, r.vector = c.Score, c.Vector
		}
	}
	return r
}

// settle gives a rating without a level that of its score.
func (r rating) settle() rating {
	if r.level == "" && r.vector != "" {
		r.level, r.from = advisory.SeverityOf(r.score), "cvss"
	}
	return r
}

// orWorse is the worse of two ratings: the one with the worse level, or of two
// with the same level the one with the higher score.
func (r rating) orWorse(o rating) rating {
	a, b := report.SeverityRank(r.level), report.SeverityRank(o.level)
	if b > a || b == a && (r.level == "" && o.level != "" || o.score > r.score) {
		r, o = o, r
	}
	if r.vector == "" {
		r.score, r.vector = o.score, o.vector
	}
	return r
}

// firstSentence is a summary of a description that has none.
func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i > 0 {
		s = s[:i+1]
	}
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSpace(s)
}
