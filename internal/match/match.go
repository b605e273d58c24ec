package match

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// OldAfter is the age of the newest record from which Inventory warns.
const OldAfter = 14 * 24 * time.Hour

// Rules names the rules of this package. Change it whenever the same package and
// the same generation would give other findings, or other Keys: whoever keeps
// findings then matches everything again.
const Rules = "2"

// A Matcher matches packages against one generation. It is safe for concurrent
// use and valid until the generation is closed.
type Matcher struct {
	db         *advisory.DB
	records    *recordReader
	ecosystems []string // of the database, sorted
	now        func() time.Time
	memo       *memo
}

// New makes a matcher for db, which the caller keeps open.
func New(db *advisory.DB) *Matcher {
	m := &Matcher{db: db, records: &recordReader{db: db}, now: time.Now, memo: &memo{}}
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
	fs, err := m.match(distroEcosystems(d, m.ecosystems), p, nil)
	if err != nil {
		return nil, err
	}
	purl := report.PURL(p, d)
	for i := range fs {
		compact(&fs[i])
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
		fs packed
	}
	var hits []matched
	all := 0
	for i := range inv.Packages {
		p := &inv.Packages[i]
		if p.Declared || p.OwnedBy != "" {
			continue
		}
		k := newMemoKey(distro, p)
		fs, ok := m.memo.get(k)
		if !ok {
			own, err := m.match(ecos, *p, nil)
			if err != nil {
				return nil, nil, err
			}
			fs = pack(own)
			m.memo.put(k, fs)
		}
		if n := fs.len(); n > 0 {
			hits = append(hits, matched{p, fs})
			all += n
		}
	}
	// Findings are large: they are taken out into one place.
	findings = slices.Grow(findings, all)
	for _, h := range hits {
		purl, command := report.PURL(*h.p, inv.Distro), buildCommands[h.p.Layer]
		from := len(findings)
		findings = h.fs.appendTo(findings)
		for i := range findings[from:] {
			f := &findings[from+i]
			f.Package, f.PURL, f.Evidence.BuildCommand = *h.p, purl, command
		}
	}
	slices.SortFunc(findings, Compare)
	warnings = m.warnings(inv, ecos)
	pro, err := m.proFixes(inv.Distro, findings)
	if err != nil {
		return nil, nil, err
	}
	if pro > 0 {
		warnings = append(warnings, fmt.Sprintf("Ubuntu Pro has fixes for %d of the findings that have none for everyone", pro))
	}
	return findings, warnings, nil
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

// match finds what concerns p, folded, without what depends on the image. What
// is decided on the way is told to t, if it is not nil.
func (m *Matcher) match(ecos []string, p report.Package, t *tracer) ([]report.Finding, error) {
	hits, err := m.hits(lookups(ecos, p), p, t)
	if err != nil {
		return nil, err
	}
	return m.findings(m.fold(hits))
}

// A hit is one advisory whose ranges hold the package.
type hit struct {
	vuln     *advisory.Vuln
	affected advisory.Affected
	in       report.Evidence
	fixed    string
	// cves of vuln that are not vetoed.
	cves []string
	// lookup that found it, and its index.
	lookup lookup
	at     int
	// notice is the advisory under which the distribution published the
	// fix, "" if there is none.
	notice string
}

// hits are the records that concern p, one for each advisory. Look-ups stand in
// the order of their precedence.
func (m *Matcher) hits(ls []lookup, p report.Package, t *tracer) (hits []hit, err error) {
	var vetoes []veto
	var decided []veto        // by records that have the first word
	index := map[string]int{} // of hits, by advisory
	for at, l := range ls {
		if _, err := version.Compare(l.ecosystem, l.version, "0"); err != nil {
			t.unreadable(l, err)
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
			entries := as[:n]
			as = as[n:]
			if !t.wants(entries) {
				continue
			}
			h, v, err := m.evaluate(l, p, entries, t)
			if err != nil {
				return nil, fmt.Errorf("match %s %s with %s: %w", p.Name, p.Version, entries[0].ID, err)
			}
			t.record(l, entries, v)
			id := entries[0].ID
			if settles(l, p, entries) {
				decided = append(decided, veto{id: id, at: at, lookup: l, verdict: v})
			}
			switch {
			case v == notAffected || v == fixed && l.settles():
				vetoes = append(vetoes, veto{id: id, at: at, lookup: l, verdict: v})
			case v == affected:
				h.lookup, h.at = l, at
				i, again := index[id]
				if !again {
					index[id] = len(hits)
					hits = append(hits, h)
				} else if base(hits[i].in.Ecosystem) == base(l.ecosystem) && h.fixed != "" && m.lower(l.ecosystem, h.fixed, hits[i].fixed) {
					hits[i] = h
				}
			}
		}
	}
	for i := range hits {
		v, err := m.records.vuln(hits[i].affected.ID)
		if err != nil {
			return nil, err
		}
		if v == nil {
			v = &advisory.Vuln{ID: hits[i].affected.ID}
		}
		hits[i].vuln, hits[i].cves = v, v.CVEs
	}
	if hits, err = m.dropSettled(hits, decided, t); err != nil {
		return nil, err
	}
	return m.spare(hits, vetoes, t)
}
