package match

import (
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// A verdict is what one record says of one package.
type verdict uint8

const (
	fixed        verdict = iota // no range holds the version
	affected                    // a range holds it
	notAffected                 // the distribution says that no version is
	undetermined                // the distribution does not know yet
	otherModule                 // built for another module, or for none
)

// evaluate applies the entries of one advisory for one package. An entry that
// holds the version outweighs one that says that no version is affected: they
// are about different builds, and it is the narrower of the two.
func (m *Matcher) evaluate(l lookup, p report.Package, entries []advisory.Affected, t *tracer) (hit, verdict, error) {
	rpmModular := p.Module != "" || advisory.Modular(l.version)
	if mended(l, entries) {
		t.mended(l, entries)
		return hit{}, fixed, nil
	}
	var best hit
	v := otherModule
	for i := range entries {
		a := &entries[i]
		t.entry(a)
		modular := hasModularFix(a)
		if p.Type == report.TypeRPM && modular != rpmModular && hasFix(a) {
			t.end(otherModule)
			continue // built for a module, or for none: not comparable
		}
		if a.Stream != "" && (!rpmModular || p.Module != "" && a.Stream != stream(p.Module)) {
			t.end(otherModule)
			continue
		}
		said := notAffected
		switch a.State {
		case feed.StateNotAffected:
		case feed.StateUndetermined:
			said = undetermined
		default:
			said = affected
		}
		if said != affected && len(a.Ranges)+len(a.Versions) == 0 {
			t.end(said)
			v = said.over(v)
			continue
		}
		h, in, err := contains(l, a, t)
		if err != nil {
			return hit{}, fixed, err
		}
		if !in {
			t.end(fixed)
			if said == affected && modular {
				// One advisory lists the builds of one stream for several
				// minor releases. Who has one of them is mended.
				return hit{}, fixed, nil
			}
			v = fixed.over(v)
			continue
		}
		t.end(said)
		if said == affected && (v != affected || h.fixed != "" && m.lower(l.ecosystem, h.fixed, best.fixed)) {
			best = h
		}
		v = said.over(v)
	}
	return best, v, nil
}

// over is the verdict of two entries of one record: the one that says more.
func (v verdict) over(w verdict) verdict {
	rank := [...]int{fixed: 1, affected: 4, notAffected: 3, undetermined: 2, otherModule: 0}
	if rank[w] > rank[v] {
		return w
	}
	return v
}

// lower reports whether fix a is lower than fix b, where b may be missing.
func (m *Matcher) lower(ecosystem, a, b string) bool {
	if b == "" {
		return true
	}
	c, err := version.Compare(ecosystem, a, b)
	return err == nil && c < 0
}

func hasFix(a *advisory.Affected) bool {
	return slices.ContainsFunc(a.Ranges, func(r advisory.Range) bool { return r.Fixed != "" })
}

func hasModularFix(a *advisory.Affected) bool {
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
func contains(l lookup, a *advisory.Affected, t *tracer) (hit, bool, error) {
	ranges := a.Ranges
	if len(a.Custom) > 0 && !zeroPseudo(l.version) {
		ranges = a.Custom
	}
	for _, r := range ranges {
		in, decided, err := r.Contains(l.ecosystem, l.version)
		if err != nil {
			return hit{}, false, err
		}
		t.compare(l, r, in, decided)
		if !in {
			continue
		}
		h := hit{affected: *a, in: report.Evidence{Ecosystem: l.ecosystem, Name: l.name}}
		h.fixed = r.Fixed
		if h.fixed == "" {
			h.fixed = laterFix(l, ranges, r)
		}
		h.in.Range, h.in.Compared = r.String(), decided
		return h, true, nil
	}
	if slices.Contains(a.Versions, l.version) {
		t.listed(l, true)
		h := hit{affected: *a, in: report.Evidence{Ecosystem: l.ecosystem, Name: l.name}}
		h.in.Range, h.in.Compared = "= "+l.version, l.version+" is listed"
		return h, true, nil
	}
	if len(a.Versions) > 0 {
		t.listed(l, false)
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

// A veto is a record from which a package is known not to be affected.
type veto struct {
	id string
	at int
	lookup
	verdict
}

// spare removes from hits the vulnerabilities that a veto is about. A veto
// counts for other records of the same release, and for those of distributions
// that are asked later (Wolfi after Chainguard). What Ubuntu Pro has fixed is
// fixed whatever the record says of the release without Pro.
func (m *Matcher) spare(hits []hit, vetoes []veto, t *tracer) ([]hit, error) {
	if len(hits) == 0 {
		return nil, nil
	}
	for _, v := range vetoes {
		var ids []string
		for i := range hits {
			h := &hits[i]
			same := h.in.Ecosystem == v.ecosystem && h.affected.ID != v.id && v.verdict == notAffected
			later := base(h.in.Ecosystem) != base(v.ecosystem) && v.verdict == notAffected
			settled := v.verdict == fixed && h.affected.ID == v.id && v.settles() && !h.lookup.settles()
			if h.at < v.at || !same && !later && !settled {
				continue
			}
			if ids == nil {
				var err error
				if ids, err = m.vetoed(v.id); err != nil {
					return nil, err
				}
			}
			before := len(h.cves)
			if slices.ContainsFunc(h.cves, func(c string) bool { return slices.Contains(ids, c) }) {
				h.cves = slices.DeleteFunc(slices.Clone(h.cves), func(c string) bool { return slices.Contains(ids, c) })
			}
			if len(h.cves) == 0 && (before > 0 || slices.Contains(ids, h.vuln.ID) ||
				slices.ContainsFunc(h.vuln.Aliases, func(a string) bool { return slices.Contains(ids, a) })) {
				t.vetoed(h.affected.ID, v)
				h.vuln = nil
			}
		}
		hits = slices.DeleteFunc(hits, func(h hit) bool { return h.vuln == nil })
	}
	return hits, nil
}

// vetoed are the vulnerabilities that a record is about. Records of a
// distribution about one CVE have it in their id, which saves reading them:
// some say of thousands of CVEs that a package is not affected.
func (m *Matcher) vetoed(id string) ([]string, error) {
	if cve := cveIn(id); cve != "" {
		return []string{id, cve}, nil
	}
	v, err := m.records.vuln(id)
	if err != nil || v == nil {
		return []string{id}, err
	}
	return slices.Concat([]string{id}, v.Aliases, v.CVEs), nil
}

// cveIn is the CVE that the id of a record carries, "" if it carries none.
func cveIn(id string) string {
	if i := strings.Index(id, "CVE-"); i >= 0 {
		return id[i:]
	}
	return ""
}
