package match

import (
	"cmp"
	"slices"
	"strings"
)

// A group is what becomes one finding: the records of one package that one
// advisory of the distribution covers, or that are about the same vulnerability.
type group struct {
	// advisory that speaks for the group, "" if none does.
	advisory string
	parts    []part
	// cves that the group reports, sorted.
	cves []string
	// also are advisories that are covered by this and other groups.
	also []string
}

// A part is the records of one vulnerability, the best first. The advisory's
// own record is a part in front of the others.
type part struct {
	hits []hit
	cves []string
}

// A claim says that an advisory mends a vulnerability.
type claim struct {
	advisory, ecosystem, fixed string
}

// fold joins records that belong together.
//
// Two records are about the same vulnerability if they name each other, or a
// common id, as aliases, or if both are about one and the same CVE. Ids that are
// only related do not join.
//
// An advisory under which the distribution published a fix (a DSA, an RHSA)
// speaks for the vulnerabilities that it covers, unless the distribution's own
// record of one says that it takes a higher version, or that there is no fix yet.
// Each CVE is in one group only: under the advisory with the lowest fix. What is
// covered altogether by others is an alias of those.
func (m *Matcher) fold(hits []hit) []group {
	slices.SortStableFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(precedence(a), precedence(b)), cmp.Compare(a.vuln.ID, b.vuln.ID))
	})
	f := folding{m: m, claims: map[string]claim{}, spoken: map[string]int{}, index: map[string]int{}, own: map[string]bool{}}
	var own, plain []hit
	for _, h := range hits {
		switch h.notice = h.affected.Advisory; {
		case isAdvisory(h.vuln.ID) && isDistribution(base(h.in.Ecosystem)):
			h.notice = h.vuln.ID
		case h.notice == "" || len(h.cves) < 2:
			plain = append(plain, h)
			continue
		}
		own = append(own, h)
		f.own[h.notice] = true
		for _, id := range slices.Concat(h.cves, h.vuln.Aliases) {
			f.claim(id, claim{h.notice, h.in.Ecosystem, h.fixed})
		}
	}
	for _, h := range plain {
		if h.notice != "" && h.fixed != "" {
			for _, c := range h.cves {
				f.claim(c, claim{h.notice, h.in.Ecosystem, h.fixed})
			}
		}
	}
	for _, h := range own {
		if f.speaks(h) {
			g := f.of(h.notice)
			g.parts = append(g.parts, part{hits: []hit{h}})
		}
	}
	var bundles []part
	for _, p := range vulnerabilities(plain) {
		if len(p.cves) > 1 {
			bundles = append(bundles, p)
		} else {
			f.add(p)
		}
	}
	for _, p := range bundles {
		f.addBundle(p)
	}
	for _, h := range own {
		for _, c := range h.cves {
			if _, ok := f.spoken[c]; !ok {
				f.speak(f.claims[c].advisory, c)
			}
		}
	}
	for _, h := range own {
		f.alias(h.notice, h.cves)
		if h.vuln.ID != h.notice {
			f.alias(h.vuln.ID, h.cves)
		}
	}
	return slices.DeleteFunc(f.groups, func(g group) bool {
		return f.own[g.advisory] && len(g.cves) == 0 && !slices.ContainsFunc(g.parts, func(p part) bool { return len(p.hits[0].cves) == 0 })
	})
}

// A folding is a fold under way.
type folding struct {
	m      *Matcher
	claims map[string]claim // by CVE or other id
	groups []group
	index  map[string]int  // of groups, by advisory
	own    map[string]bool // advisories that have a record of their own
	spoken map[string]int  // CVE -> the group that reports it
}

// claim keeps the claim with the lowest fix, or of the first name.
func (f *folding) claim(id string, c claim) {
	old, ok := f.claims[id]
	switch {
	case !ok:
	case c.fixed == "" && old.fixed != "":
		return
	case c.fixed != "" && f.m.lower(c.ecosystem, c.fixed, old.fixed):
	case c.fixed != "" && f.m.lower(c.ecosystem, old.fixed, c.fixed):
		return
	case c.advisory >= old.advisory:
		return
	}
	f.claims[id] = c
}

// speaks reports whether an advisory has anything left to say.
func (f *folding) speaks(h hit) bool {
	return len(h.cves) == 0 || slices.ContainsFunc(h.cves, func(c string) bool { return f.claims[c].advisory == h.notice })
}

// of is the group of an advisory.
func (f *folding) of(advisory string) *group {
	i, ok := f.index[advisory]
	if !ok {
		i = len(f.groups)
		f.index[advisory] = i
		f.groups = append(f.groups, group{advisory: advisory})
	}
	return &f.groups[i]
}

func (f *folding) speak(advisory, cve string) {
	g := f.of(advisory)
	g.cves = append(g.cves, cve)
	slices.Sort(g.cves)
	f.spoken[cve] = f.index[advisory]
}

// add puts the records of one vulnerability under the advisory that claims it,
// or into a group of their own.
func (f *folding) add(p part) {
	c, ok := f.claimed(p)
	if !ok || !f.agrees(p.hits[0], c) {
		f.groups = append(f.groups, group{parts: []part{p}, cves: p.cves})
		for _, cve := range p.cves {
			f.spoken[cve] = len(f.groups) - 1
		}
		return
	}
	g := f.of(c.advisory)
	g.parts = append(g.parts, p)
	for _, cve := range p.cves {
		f.speak(c.advisory, cve)
	}
}

func (f *folding) claimed(p part) (claim, bool) {
	if len(p.cves) > 0 {
		c, ok := f.claims[p.cves[0]]
		return c, ok
	}
	for _, h := range p.hits {
		for _, id := range identities(h) {
			if c, ok := f.claims[id]; ok {
				return c, true
			}
		}
	}
	return claim{}, false
}

// agrees reports whether the fix of the claim is enough by what the
// vulnerability's own record says.
func (f *folding) agrees(h hit, c claim) bool {
	switch {
	case h.affected.Advisory == c.advisory:
		return true
	case h.fixed == "" || c.fixed == "":
		return h.fixed == c.fixed
	default:
		return !f.m.lower(h.in.Ecosystem, c.fixed, h.fixed)
	}
}

// addBundle adds a record of several CVEs that is no advisory of a distribution:
// it reports those of which there is nothing else.
func (f *folding) addBundle(p part) {
	var rest []string
	for _, c := range p.cves {
		if _, ok := f.spoken[c]; ok {
			continue
		}
		if by := f.claims[c].advisory; f.own[by] {
			f.speak(by, c)
			continue
		}
		rest = append(rest, c)
	}
	if len(rest) == 0 {
		for _, h := range p.hits {
			f.alias(h.vuln.ID, p.cves)
		}
		return
	}
	if c, ok := f.claims[rest[0]]; ok {
		g := f.of(c.advisory)
		g.parts = append(g.parts, p)
		for _, cve := range rest {
			f.speak(c.advisory, cve)
		}
		return
	}
	f.groups = append(f.groups, group{parts: []part{p}, cves: rest})
	for _, c := range rest {
		f.spoken[c] = len(f.groups) - 1
	}
}

// alias makes id a further name of the groups that report its CVEs, if it has
// no group of its own.
func (f *folding) alias(id string, cves []string) {
	if i, ok := f.index[id]; ok && (len(f.groups[i].cves) > 0 || len(cves) == 0) {
		return
	}
	for _, c := range cves {
		if i, ok := f.spoken[c]; ok {
			f.groups[i].also = append(f.groups[i].also, id)
		}
	}
}

// vulnerabilities groups the records of plain by what they are about.
func vulnerabilities(plain []hit) []part {
	if len(plain) == 0 {
		return nil
	}
	parent := make([]int, len(plain))
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
	owner := make(map[string]int, 2*len(plain))
	for i, h := range plain {
		for _, id := range identities(h) {
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
	var out []part
	for i, h := range plain {
		r := root(i)
		at, ok := index[r]
		if !ok {
			at = len(out)
			index[r] = at
			out = append(out, part{})
		}
		out[at].hits = append(out[at].hits, h)
		out[at].cves = append(out[at].cves, h.cves...)
	}
	for i := range out {
		slices.Sort(out[i].cves)
		out[i].cves = slices.Compact(out[i].cves)
	}
	return out
}

// identities are the ids under which a record is known. A record about one
// CVE is known by it; one about several is not known by any of them.
func identities(h hit) []string {
	ids := append([]string{h.vuln.ID}, h.vuln.Aliases...)
	if len(h.cves) == 1 {
		ids = append(ids, h.cves[0])
	}
	return ids
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
		"BIT-", "FOP-", "NSWG-", "RETIREJS-", "OSV-", "EEF-", "DRUPAL-", "JLSEC-"} {
		if strings.HasPrefix(id, p) {
			return true
		}
	}
	return false
}

// recordPrefixes begin the ids of records that a distribution keeps for each
// vulnerability, and that it does not announce: people know them by the CVE.
var recordPrefixes = []string{"AZL-", "CGA-", "CLEANSTART-", "ECHO-", "MINI-", "ROOT-"}

// isAdvisory reports whether id is that of an advisory of a distribution: a
// notice under which it published fixes, such as DSA-5678-1, RHSA-2024:1 and
// openEuler-SA-2024-1.
func isAdvisory(id string) bool {
	if strings.Contains(id, "CVE-") || strings.HasPrefix(id, "GHSA-") || languageDatabase(id) {
		return false
	}
	return !slices.ContainsFunc(recordPrefixes, func(p string) bool { return strings.HasPrefix(id, p) })
}
