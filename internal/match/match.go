package match

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// OldAfter is the age of the newest record from which Inventory warns.
const OldAfter = 14 * 24 * time.Hour

// A Matcher matches packages against one generation. It is safe for concurrent
// use and valid until the generation is closed.
type Matcher struct {
	db         *advisory.DB
	ecosystems []string // of the database, sorted
	now        func() time.Time
	memo       *memo
}

// New makes a matcher for db, which the caller keeps open.
func New(db *advisory.DB) *Matcher {
	m := &Matcher{db: db, now: time.Now, memo: &memo{}}
	for e := range db.Meta().Ecosystems {
		m.ecosystems = append(m.ecosystems, e)
	}
	slices.Sort(m.ecosystems)
	return m
}

// Package returns the findings of one package in an image of distribution d,
// sorted by Compare; nil if there are none. Packages that are declared only, owned
// by a distribution package, or without a version have none.
func (m *Matcher) Package(d report.Distro, p report.Package) ([]report.Finding, error) {
	fs, err := m.match(distroEcosystems(d, m.ecosystems), p)
	if err != nil {
		return nil, err
	}
	purl := report.PURL(p, d)
	for i := range fs {
		fs[i].Package, fs[i].PURL = p, purl
	}
	slices.SortFunc(fs, Compare)
	return fs, nil
}

// Inventory returns the findings of an image, sorted by Compare, and what the
// reader has to know about their completeness. buildCommands gives the build
// command of each layer by diff ID; it may be nil.
func (m *Matcher) Inventory(inv report.Inventory, buildCommands map[string]string) (findings []report.Finding, warnings []string, err error) {
	ecos := distroEcosystems(inv.Distro, m.ecosystems)
	distro := strings.Join(ecos, "\x00")
	type matched struct {
		p  *report.Package
		fs []report.Finding
	}
	var hits []matched
	all := 0
	for i := range inv.Packages {
		p := &inv.Packages[i]
		if p.Declared || p.OwnedBy != "" {
			continue
		}
		k := memoKey{distro, p.Type, p.Name, p.Version, p.Source, p.SourceVersion, p.Module}
		fs, ok := m.memo.get(k)
		if !ok {
			if fs, err = m.match(ecos, *p); err != nil {
				return nil, nil, err
			}
			m.memo.put(k, fs)
		}
		if len(fs) > 0 {
			hits = append(hits, matched{p, fs})
			all += len(fs)
		}
	}
	// Findings are large: they are copied once.
	findings = slices.Grow(findings, all)
	for _, h := range hits {
		purl, command := report.PURL(*h.p, inv.Distro), buildCommands[h.p.Layer]
		for i := range h.fs {
			findings = append(findings, h.fs[i])
			f := &findings[len(findings)-1]
			f.Package, f.PURL, f.Evidence.BuildCommand = *h.p, purl, command
		}
	}
	slices.SortFunc(findings, Compare)
	return findings, m.warnings(inv, ecos), nil
}

// Compare orders findings: the worst first, then by package, advisory and
// place.
func Compare(a, b report.Finding) int {
	return cmp.Or(
		cmp.Compare(report.SeverityRank(b.Severity), report.SeverityRank(a.Severity)),
		cmp.Compare(b.Score, a.Score),
		cmp.Compare(a.Package.Type, b.Package.Type),
		cmp.Compare(a.Package.Name, b.Package.Name),
		cmp.Compare(a.ID, b.ID),
		a.Package.Compare(b.Package),
		cmp.Compare(a.Package.Source, b.Package.Source),
		cmp.Compare(a.Package.SourceVersion, b.Package.SourceVersion),
		cmp.Compare(a.Package.Module, b.Package.Module),
	)
}

// A hit is one advisory whose ranges hold the package.
type hit struct {
	vuln     *advisory.Vuln
	affected advisory.Affected
	in       report.Evidence
	fixed    string
}

// match finds what concerns p, folded, without what depends on the image.
func (m *Matcher) match(ecos []string, p report.Package) ([]report.Finding, error) {
	var hits []hit
	seen := map[string]bool{} // advisories in hits
	for _, l := range lookups(ecos, p) {
		if _, err := version.Compare(l.ecosystem, l.version, "0"); err != nil {
			continue // the installed version is no version
		}
		as, err := m.db.Affected(l.ecosystem, l.name)
		if err != nil {
			return nil, err
		}
		for len(as) > 0 {
			n := 1
			for n < len(as) && as[n].ID == as[0].ID {
				n++
			}
			h, ok, err := m.evaluate(l, p, as[:n])
			if err != nil {
				return nil, fmt.Errorf("match %s %s with %s: %w", p.Name, p.Version, as[0].ID, err)
			}
			if id := h.affected.ID; ok && !seen[id] {
				seen[id] = true
				hits = append(hits, h)
			}
			as = as[n:]
		}
	}
	for i := range hits {
		v, err := m.db.Vuln(hits[i].affected.ID)
		if err != nil {
			return nil, err
		}
		if v == nil {
			v = &advisory.Vuln{ID: hits[i].affected.ID}
		}
		hits[i].vuln = v
	}
	return m.findings(fold(hits))
}

// evaluate applies the entries of one advisory for one package.
func (m *Matcher) evaluate(l lookup, p report.Package, entries []advisory.Affected) (hit, bool, error) {
	rpmModular := p.Module != "" || advisory.Modular(l.version)
	var best hit
	found := false
	for _, a := range entries {
		if a.State == feed.StateNotAffected || a.State == feed.StateUndetermined {
			continue
		}
		modular := hasModularFix(a)
		if p.Type == report.TypeRPM && modular != rpmModular && hasFix(a) {
			continue // built for a module, or for none: not comparable
		}
		if a.Stream != "" && p.Module != "" && a.Stream != stream(p.Module) {
			continue
		}
		h, in, err := contains(l, a)
		if err != nil {
			return hit{}, false, err
		}
		switch {
		case !in && modular:
			// One advisory lists the builds of one stream for several
			// minor releases. Who has one of them is mended.
			return hit{}, false, nil
		case in && (!found || h.fixed != "" && m.lower(l.ecosystem, h.fixed, best.fixed)):
			best, found = h, true
		}
	}
	return best, found, nil
}

// lower reports whether fix a is lower than fix b, where b may be missing.
func (m *Matcher) lower(ecosystem, a, b string) bool {
	if b == "" {
		return true
	}
	c, err := version.Compare(ecosystem, a, b)
	return err == nil && c < 0
}

func hasFix(a advisory.Affected) bool {
	return slices.ContainsFunc(a.Ranges, func(r advisory.Range) bool { return r.Fixed != "" })
}

func hasModularFix(a advisory.Affected) bool {
	return slices.ContainsFunc(a.Ranges, func(r advisory.Range) bool { return advisory.Modular(r.Fixed) })
}

// stream is "name:stream" of a modularity label
// "name:stream:version:context".
func stream(label string) string {
	part := strings.SplitN(label, ":", 3)
	if len(part) < 2 {
		return label
	}
	return part[0] + ":" + part[1]
}

// contains looks for the version in one entry.
func contains(l lookup, a advisory.Affected) (hit, bool, error) {
	ranges := a.Ranges
	if len(a.Custom) > 0 && !zeroPseudo(l.version) {
		ranges = a.Custom
	}
	h := hit{affected: a, in: report.Evidence{Ecosystem: l.ecosystem, Name: l.name}}
	for _, r := range ranges {
		in, decided, err := r.Contains(l.ecosystem, l.version)
		if err != nil {
			return hit{}, false, err
		}
		if !in {
			continue
		}
		h.fixed = r.Fixed
		if h.fixed == "" {
			h.fixed = laterFix(l, ranges, r)
		}
		h.in.Range, h.in.Compared = r.String(), decided
		return h, true, nil
	}
	if slices.Contains(a.Versions, l.version) {
		h.in.Range, h.in.Compared = "= "+l.version, l.version+" is listed"
		return h, true, nil
	}
	return hit{}, false, nil
}

// laterFix is the fix for an interval that ends without one: the lowest version
// above the installed one that the entry calls fixed, "" if there is none.
func laterFix(l lookup, ranges []advisory.Range, in advisory.Range) string {
	if in.LastAffected == "" && in.Limit == "" {
		return ""
	}
	best := ""
	for _, r := range ranges {
		if r.Fixed == "" {
			continue
		}
		c, err := version.Compare(l.ecosystem, l.version, r.Fixed)
		if err == nil && c < 0 && best == "" {
			best = r.Fixed
		}
	}
	return best
}

// zeroPseudo reports a Go pseudo-version without a base, "v0.0.0-2023…". It
// says when a commit was made and not which release it belongs to, so custom
// ranges cannot judge it.
func zeroPseudo(v string) bool { return strings.HasPrefix(strings.TrimPrefix(v, "v"), "0.0.0-") }
