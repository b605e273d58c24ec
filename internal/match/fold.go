package match

import (
	"cmp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/report"
)

// A group is the records of one package that are about the same vulnerability.
// The first speaks for all.
type group struct {
	hits []hit
	// ids of advisories that are covered by this and other groups.
	also []string
}

// fold joins records about the same vulnerability. Two are the same if they
// name each other, or a common id, as aliases, or if both are about one and the
// same CVE. Ids that are only related do not join.
//
// An advisory of a distribution that bundles several CVEs is dropped where
// each of them has a record of its own for this package (Debian's DSA beside
// its CVE records); it is then an alias of all of them.
func fold(hits []hit) []group {
	slices.SortStableFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(precedence(a), precedence(b)), cmp.Compare(a.vuln.ID, b.vuln.ID))
	})
	parent := make([]int, len(hits))
	for i := range parent {
		parent[i] = i
	}
	var root func(i int) int
	root = func(i int) int {
		if parent[i] != i {
			parent[i] = root(parent[i])
		}
		return parent[i]
	}
	owner := map[string]int{}
	for i, h := range hits {
		for _, id := range identities(h.vuln) {
			j, ok := owner[id]
			if !ok {
				owner[id] = i
				continue
			}
			a, b := root(i), root(j)
			parent[max(a, b)] = min(a, b) // the better record stays in front
		}
	}
	index := map[int]int{}
	var groups []group
	for i, h := range hits {
		r := root(i)
		g, ok := index[r]
		if !ok {
			g = len(groups)
			index[r] = g
			groups = append(groups, group{})
		}
		groups[g].hits = append(groups[g].hits, h)
	}
	return dropCovered(groups)
}

// identities are the ids under which a record is known. A record about one
// CVE is known by it; one about several is not known by any of them.
func identities(v *advisory.Vuln) []string {
	ids := append([]string{v.ID}, v.Aliases...)
	if len(v.CVEs) == 1 {
		ids = append(ids, v.CVEs[0])
	}
	return ids
}

func dropCovered(groups []group) []group {
	single := map[string]int{} // CVE -> the group that is about it alone
	for i, g := range groups {
		if cves := g.cves(); len(cves) == 1 {
			single[cves[0]] = i
		}
	}
	covered := make([]bool, len(groups))
	for i, g := range groups {
		cves := g.cves()
		if len(cves) < 2 {
			continue
		}
		covered[i] = !slices.ContainsFunc(cves, func(c string) bool { _, ok := single[c]; return !ok })
		if !covered[i] {
			continue
		}
		for _, c := range cves {
			for _, h := range g.hits {
				groups[single[c]].also = append(groups[single[c]].also, h.vuln.ID)
			}
		}
	}
	out := groups[:0:0]
	for i, g := range groups {
		if !covered[i] {
			out = append(out, g)
		}
	}
	return out
}

func (g group) cves() []string {
	var out []string
	for _, h := range g.hits {
		out = append(out, h.vuln.CVEs...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// precedence says which record speaks for a vulnerability, lowest first: the
// distribution's own; for Go the Go team's, whose ranges are made by hand; then
// the reviewed GitHub advisory, which most often has a severity and a fix; then
// the ecosystem's own database; then a bare CVE.
func precedence(h hit) int {
	id, eco := h.vuln.ID, h.affected.Ecosystem
	switch {
	case strings.HasPrefix(id, "GO-") && eco == "Go":
		return 1
	case strings.HasPrefix(id, "GHSA-"):
		return 2
	case strings.HasPrefix(id, "CVE-"):
		return 4
	case languageDatabase(id):
		return 3
	default:
		return 0
	}
}

func languageDatabase(id string) bool {
	for _, p := range []string{"GO-", "PYSEC-", "PSF-", "RUSTSEC-", "RUBYSEC-", "RSEC-", "HSEC-", "MAL-",
		"BIT-", "FOP-", "NSWG-", "RETIREJS-", "OSV-"} {
		if strings.HasPrefix(id, p) {
			return true
		}
	}
	return false
}

// findings turns groups into findings. What the first record lacks is taken
// from the others: a severity, a fix, a summary.
func (m *Matcher) findings(groups []group) ([]report.Finding, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	source := m.db.Meta().Source
	out := make([]report.Finding, 0, len(groups))
	for _, g := range groups {
		first := g.hits[0]
		f := report.Finding{
			ID:           first.vuln.ID,
			CVEs:         g.cves(),
			FixedVersion: first.fixed,
			FixState:     report.FixNone,
			Evidence:     first.in,
		}
		f.Evidence.Source = cmp.Or(first.affected.Source, source) + "/" + base(first.affected.Ecosystem)
		aliases := g.also
		for _, h := range g.hits {
			v := h.vuln
			aliases = append(aliases, v.ID)
			aliases = append(aliases, v.Aliases...)
			f.Summary = cmp.Or(f.Summary, v.Summary)
			f.URL = cmp.Or(f.URL, v.URL)
			if f.Published == 0 || v.Published != 0 && v.Published < f.Published {
				f.Published = cmp.Or(v.Published, f.Published)
			}
			if h.fixed != "" && (f.FixedVersion == "" || h.in.Ecosystem == first.in.Ecosystem && m.lower(h.in.Ecosystem, h.fixed, f.FixedVersion) && first.fixed == "") {
				f.FixedVersion = h.fixed
			}
		}
		slices.Sort(aliases)
		f.Aliases = slices.DeleteFunc(slices.Compact(aliases), func(id string) bool {
			return id == f.ID || slices.Contains(f.CVEs, id)
		})
		if len(f.Aliases) == 0 {
			f.Aliases = nil
		}
		switch {
		case f.FixedVersion != "":
			f.FixState = report.FixAvailable
		case first.affected.State == feed.StateWontFix:
			f.FixState = report.FixWont
		case first.affected.State == feed.StateDeferred:
			f.FixState = report.FixDeferred
		}
		if err := m.rate(&f, g); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func base(ecosystem string) string {
	b, _, _ := strings.Cut(ecosystem, ":")
	return b
}

// rate gives the severity: the vendor's word, of the package before that of
// the record; else the level of the CVSS score; else that of the CVE itself,
// the worst of several; else unknown.
func (m *Matcher) rate(f *report.Finding, g group) error {
	level := ""
	for _, h := range g.hits {
		level = cmp.Or(level, h.affected.Severity, h.vuln.Severity)
		switch {
		case f.Vector != "":
		case h.affected.Vector != "":
			f.Score, f.Vector = h.affected.Score, h.affected.Vector
		case h.vuln.Vector != "":
			f.Score, f.Vector = h.vuln.Score, h.vuln.Vector
		}
	}
	for _, id := range f.CVEs {
		if f.Vector != "" && f.Summary != "" && f.Published != 0 {
			break
		}
		c, err := m.db.CVE(id)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		f.Published = cmp.Or(f.Published, c.Published)
		f.Summary = cmp.Or(f.Summary, firstSentence(c.Description))
	}
	if f.Vector == "" {
		for _, id := range f.CVEs {
			c, err := m.db.CVE(id)
			if err != nil {
				return err
			}
			if c != nil && c.Vector != "" && c.Score > f.Score {
				f.Score, f.Vector = c.Score, c.Vector
			}
		}
	}
	switch {
	case level != "":
		f.Severity, f.SeverityFrom = level, "vendor"
	case f.Vector != "":
		f.Severity, f.SeverityFrom = advisory.SeverityOf(f.Score), "cvss"
	default:
		f.Severity = report.SeverityUnknown
	}
	return nil
}

// firstSentence is a summary of a description that has none.
func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i > 0 {
		s = s[:i+1]
	}
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSpace(s)
}
