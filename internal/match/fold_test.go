package match

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/report"
)

// A said is a record as a feed gives it, of one package of Debian 12.
type said struct {
	id, cves, advisory, fixed, severity string
	state                               feed.State
}

func (s said) hit() hit {
	eco := "Debian:12"
	v := &advisory.Vuln{ID: s.id, Severity: s.severity}
	for _, c := range s.cves {
		v.CVEs = append(v.CVEs, "CVE-2026-"+string(c))
	}
	return hit{vuln: v, cves: v.CVEs, fixed: s.fixed, in: report.Evidence{Ecosystem: eco},
		affected: advisory.Affected{ID: s.id, Ecosystem: eco, Advisory: s.advisory, State: s.state}}
}

func TestFoldUnderAdvisories(t *testing.T) {
	m := New(compile(t, rec("DSA-9-1", "Debian:12", "other", below2, `"summary":"two flaws","upstream":["CVE-2026-1"],`)))
	type folded struct {
		ID, CVEs, Aliases, Fix, State, Severity, Summary string
	}
	join := func(ss []string) (out string) {
		for i, s := range ss {
			if i > 0 {
				out += " "
			}
			out += s
		}
		return out
	}
	for _, tc := range []struct {
		name string
		in   []said
		want []folded
	}{
		{"records that name the same advisory", []said{
			{"DEBIAN-CVE-2026-1", "1", "DSA-9-1", "2", "Low", 0}, {"DEBIAN-CVE-2026-2", "2", "DSA-9-1", "2", "High", 0}},
			[]folded{{"DSA-9-1", "CVE-2026-1 CVE-2026-2", "DEBIAN-CVE-2026-1 DEBIAN-CVE-2026-2", "2", "fixed", "High", "two flaws"}}},
		{"its record and theirs", []said{
			{"DSA-1-1", "12", "", "2", "Medium", 0}, {"DEBIAN-CVE-2026-1", "1", "DSA-1-1", "2", "High", 0}, {"DEBIAN-CVE-2026-2", "2", "", "1.5", "", 0}},
			[]folded{{"DSA-1-1", "CVE-2026-1 CVE-2026-2", "DEBIAN-CVE-2026-1 DEBIAN-CVE-2026-2", "2", "fixed", "Medium", ""}}},
		{"the first to mend speaks", []said{
			{"DSA-1-1", "12", "", "3", "", 0}, {"DSA-2-1", "1", "", "2", "", 0}, {"DEBIAN-CVE-2026-1", "1", "", "2", "", 0}},
			[]folded{{"DSA-1-1", "CVE-2026-2", "", "3", "fixed", "Unknown", ""}, {"DSA-2-1", "CVE-2026-1", "DEBIAN-CVE-2026-1", "2", "fixed", "Unknown", ""}}},
		{"an advisory of which nothing is left is an alias", []said{
			{"DSA-1-1", "12", "", "3", "", 0}, {"DSA-2-1", "1", "", "2", "", 0}, {"DSA-3-1", "2", "", "2", "", 0}},
			[]folded{{"DSA-2-1", "CVE-2026-1", "DSA-1-1", "2", "fixed", "Unknown", ""}, {"DSA-3-1", "CVE-2026-2", "DSA-1-1", "2", "fixed", "Unknown", ""}}},
		{"what takes a later fix stands alone", []said{
			{"DSA-1-1", "12", "", "2", "", 0}, {"DEBIAN-CVE-2026-1", "1", "", "3", "", 0}},
			[]folded{{"CVE-2026-1", "CVE-2026-1", "DEBIAN-CVE-2026-1", "3", "fixed", "Unknown", ""}, {"DSA-1-1", "CVE-2026-2", "", "2", "fixed", "Unknown", ""}}},
		{"what is still open stands alone", []said{
			{"DSA-1-1", "12", "", "2", "", 0}, {"DEBIAN-CVE-2026-1", "1", "", "", "", feed.StateDeferred}},
			[]folded{{"CVE-2026-1", "CVE-2026-1", "DEBIAN-CVE-2026-1", "", "deferred", "Unknown", ""}, {"DSA-1-1", "CVE-2026-2", "", "2", "fixed", "Unknown", ""}}},
		{"not going to be fixed", []said{{"DEBIAN-CVE-2026-1", "1", "", "", "", feed.StateWontFix}},
			[]folded{{"CVE-2026-1", "CVE-2026-1", "DEBIAN-CVE-2026-1", "", "wont-fix", "Unknown", ""}}},
		{"a record of several CVEs with an advisory", []said{
			{"X-CVE-1", "12", "DSA-4-1", "2", "", 0}, {"DEBIAN-CVE-2026-1", "1", "DSA-4-1", "2", "", 0}},
			[]folded{{"DSA-4-1", "CVE-2026-1 CVE-2026-2", "DEBIAN-CVE-2026-1 X-CVE-1", "2", "fixed", "Unknown", ""}}},
		{"a record of each vulnerability is known by the CVE", []said{{"AZL-7", "1", "", "2", "", 0}, {"CGA-x", "2", "", "", "", 0}},
			[]folded{{"CVE-2026-1", "CVE-2026-1", "AZL-7", "2", "fixed", "Unknown", ""}, {"CVE-2026-2", "CVE-2026-2", "CGA-x", "", "not-fixed", "Unknown", ""}}},
		{"without a CVE an id is what there is", []said{{"TEMP-1", "", "", "2", "", 0}},
			[]folded{{"TEMP-1", "", "", "2", "fixed", "Unknown", ""}}},
		{"a bundle that is no advisory reports what is left", []said{
			{"GHSA-1", "123", "", "2", "", 0}, {"PYSEC-1", "1", "", "2", "", 0}},
			[]folded{{"CVE-2026-1", "CVE-2026-1", "PYSEC-1", "2", "fixed", "Unknown", ""}, {"GHSA-1", "CVE-2026-2 CVE-2026-3", "", "2", "fixed", "Unknown", ""}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check := func(in []said) {
				var hits []hit
				for _, s := range in {
					hits = append(hits, s.hit())
				}
				fs, err := m.findings(m.fold(hits))
				if err != nil {
					t.Fatal(err)
				}
				slices.SortFunc(fs, Compare)
				var got []folded
				for _, f := range fs {
					got = append(got, folded{f.ID, join(f.CVEs), join(f.Aliases), f.FixedVersion, f.FixState, f.Severity, f.Summary})
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
			}
			check(tc.in)
			back := slices.Clone(tc.in)
			slices.Reverse(back)
			check(back)
		})
	}
}

// Every CVE of the records is reported exactly once, whatever covers what, and
// no record is lost: it speaks, or is an alias.
func TestFoldLosesNothing(t *testing.T) {
	m := New(compile(t, rec("DSA-9-1", "Debian:12", "other", below2, ``)))
	rapid.Check(t, func(t *rapid.T) {
		ids := []string{"DSA-1-1", "DSA-2-1", "RHSA-1", "DEBIAN-CVE-2026-1", "DEBIAN-CVE-2026-2", "GHSA-1", "PYSEC-1", "TEMP-1"}
		var hits []hit
		cves := map[string]bool{}
		for _, id := range ids {
			if rapid.Bool().Draw(t, id) {
				continue
			}
			s := said{id: id,
				cves:     rapid.SampledFrom([]string{"", "1", "2", "3", "12", "13", "123"}).Draw(t, "cves"),
				advisory: rapid.SampledFrom([]string{"", "", "DSA-1-1", "DSA-5-1"}).Draw(t, "advisory"),
				fixed:    rapid.SampledFrom([]string{"", "2", "3"}).Draw(t, "fixed")}
			h := s.hit()
			hits = append(hits, h)
			for _, c := range h.cves {
				cves[c] = true
			}
		}
		fs, err := m.findings(m.fold(slices.Clone(hits)))
		if err != nil {
			t.Fatal(err)
		}
		reported, names, known := map[string]int{}, map[string]int{}, map[string]bool{}
		for _, f := range fs {
			names[f.ID]++
			for _, c := range f.CVEs {
				reported[c]++
			}
			for _, id := range slices.Concat([]string{f.ID}, f.Aliases, f.CVEs) {
				known[id] = true
			}
		}
		for c := range cves {
			if reported[c] != 1 {
				t.Fatalf("%s is reported %d times: %+v", c, reported[c], fs)
			}
		}
		for _, h := range hits {
			if !known[h.vuln.ID] {
				t.Fatalf("%s is lost: %+v", h.vuln.ID, fs)
			}
		}
		for id, n := range names {
			if n > 1 {
				t.Fatalf("%s stands %d times", id, n)
			}
		}
		mixed := rapid.Permutation(hits).Draw(t, "order")
		again, err := m.findings(m.fold(mixed))
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(fs, Compare)
		slices.SortFunc(again, Compare)
		if diff := cmp.Diff(fs, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

// What is known of CVEs beside records goes into the finding, of several the
// worst; the severity of a bundle without one is that of the worst of its parts.
func TestRate(t *testing.T) {
	const high, low = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N" // 7.5 and 1.8
	m := New(compileWith(t, map[string]string{
		advisory.FileKEV:    `{"vulnerabilities":[{"cveID":"CVE-2026-1001","dateAdded":"2026-03-01"},{"cveID":"CVE-2026-1002","dateAdded":"2026-02-01"}]}`,
		advisory.FileEPSS:   "#model_version:v1,score_date:2026-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2026-1001,0.10000,0.90000\nCVE-2026-1002,0.25000,0.95000\n",
		advisory.FileEnrich: `{"id":"CVE-2026-1001","cvss":[{"v":"` + low + `"}]}` + "\n" + `{"id":"CVE-2026-1002","cvss":[{"v":"` + high + `"}]}` + "\n",
	},
		rec("DSA-1-1", "Debian:12", "s", below2, `"upstream":["CVE-2026-1001","CVE-2026-1002"],`),
		rec("DEBIAN-CVE-2026-1001", "Debian:12", "s", below2, `"upstream":["CVE-2026-1001"],"database_specific":{"severity":"low"},`),
		rec("DEBIAN-CVE-2026-1003", "Debian:12", "s", below2, `"upstream":["CVE-2026-1003"],`)))
	fs, err := m.Package(bookworm, report.Package{Type: "deb", Name: "s", Version: "1-1"})
	if err != nil || len(fs) != 2 {
		t.Fatalf("%d findings, %v", len(fs), err)
	}
	type rated struct {
		ID, Severity, From, Since string
		Exploited                 bool
		Score, EPSS, Percentile   float64
		Priority                  int
	}
	var got []rated
	for _, f := range fs {
		got = append(got, rated{f.ID, f.Severity, f.SeverityFrom, f.ExploitedSince, f.Exploited, f.Score, f.EPSS, f.EPSSPercentile, f.Priority})
	}
	want := []rated{
		{"DSA-1-1", "High", "cvss", "2026-02-01", true, 7.5, 0.25, 0.95, 38 + 25 + 5 + 5},
		{"CVE-2026-1003", "Unknown", "", "", false, 0, 0, 0, 18 + 5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStates(t *testing.T) {
	m := New(compile(t, rec("CGA-1", "Wolfi", "a", below2, `"aliases":["CVE-2026-1"],`)))
	all := []advisory.Range{{Introduced: "0"}}
	below := []advisory.Range{{Introduced: "0", Fixed: "2.0-r0"}}
	l := lookup{"Wolfi", "a", "1.0-r0"}
	for _, tc := range []struct {
		name    string
		entries []advisory.Affected
		want    verdict
	}{
		{"a range holds it", []advisory.Affected{{Ranges: below}}, affected},
		{"no range holds it", []advisory.Affected{{Ranges: []advisory.Range{{Introduced: "0", Fixed: "1.0-r0"}}}}, fixed},
		{"not affected", []advisory.Affected{{State: feed.StateNotAffected}}, notAffected},
		{"not affected in a range", []advisory.Affected{{State: feed.StateNotAffected, Ranges: all}}, notAffected},
		{"not affected in another range", []advisory.Affected{{State: feed.StateNotAffected, Ranges: []advisory.Range{{Introduced: "3"}}}}, fixed},
		{"undetermined", []advisory.Affected{{State: feed.StateUndetermined, Ranges: all}}, undetermined},
		{"deferred is affected", []advisory.Affected{{State: feed.StateDeferred, Ranges: all}}, affected},
		{"affected outweighs", []advisory.Affected{{State: feed.StateNotAffected}, {Ranges: below}}, affected},
		{"not affected outweighs not known", []advisory.Affected{{State: feed.StateUndetermined}, {State: feed.StateNotAffected}}, notAffected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, got, err := m.evaluate(l, report.Package{Type: "apk", Name: "a"}, tc.entries, nil)
			if err != nil || got != tc.want {
				t.Errorf("got %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestVetoes(t *testing.T) {
	m := New(compile(t, rec("CGA-1", "Chainguard", "a", below2, `"aliases":["CVE-2026-1"],`)))
	at := func(id, eco string, n int, cves string) hit {
		h := said{id: id, cves: cves, fixed: "2"}.hit()
		h.in.Ecosystem, h.affected.Ecosystem, h.lookup.ecosystem, h.at = eco, eco, eco, n
		return h
	}
	for _, tc := range []struct {
		name string
		hits []hit
		veto veto
		want []string
	}{
		{"another record of the same release", []hit{at("DSA-1", "Alpine:v3.18", 0, "1")},
			veto{"ALPINE-CVE-2026-1", 0, lookup{ecosystem: "Alpine:v3.18"}, notAffected}, nil},
		{"one of two CVEs", []hit{at("DSA-1", "Alpine:v3.18", 0, "12")},
			veto{"ALPINE-CVE-2026-1", 0, lookup{ecosystem: "Alpine:v3.18"}, notAffected}, []string{"DSA-1 CVE-2026-2"}},
		{"another CVE", []hit{at("DSA-1", "Alpine:v3.18", 0, "2")},
			veto{"ALPINE-CVE-2026-1", 0, lookup{ecosystem: "Alpine:v3.18"}, notAffected}, []string{"DSA-1 CVE-2026-2"}},
		{"Chainguard before Wolfi, by what its record is about", []hit{at("CGA-7", "Wolfi", 1, "1")},
			veto{"CGA-1", 0, lookup{ecosystem: "Chainguard"}, notAffected}, nil},
		{"not Wolfi before Chainguard", []hit{at("CGA-7", "Chainguard", 0, "1")},
			veto{"CGA-1", 1, lookup{ecosystem: "Wolfi"}, notAffected}, []string{"CGA-7 CVE-2026-1"}},
		{"not another stream of the same distribution", []hit{at("REDHAT-CVE-2026-1", "Red Hat:9::b", 1, "1")},
			veto{"REDHAT-CVE-2026-1", 0, lookup{ecosystem: "Red Hat:9::a"}, notAffected}, []string{"REDHAT-CVE-2026-1 CVE-2026-1"}},
		{"a source package of what Red Hat has fixed", []hit{func() hit {
			h := at("REDHAT-CVE-2026-1", "Red Hat:9", 1, "1")
			h.lookup.name = "x.src"
			return h
		}()}, veto{"REDHAT-CVE-2026-1", 0, lookup{ecosystem: "Red Hat:9::a", name: "x"}, fixed}, nil},
		{"another build of it", []hit{at("REDHAT-CVE-2026-1", "Red Hat:9::b", 1, "1")},
			veto{"REDHAT-CVE-2026-1", 0, lookup{ecosystem: "Red Hat:9::a", name: "x"}, fixed}, []string{"REDHAT-CVE-2026-1 CVE-2026-1"}},
		{"what Pro has fixed", []hit{at("UBUNTU-CVE-2026-1", "Ubuntu:22.04:LTS", 1, "1")},
			veto{"UBUNTU-CVE-2026-1", 0, lookup{ecosystem: "Ubuntu:Pro:22.04:LTS"}, fixed}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hits, err := m.spare(tc.hits, []veto{tc.veto}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, h := range hits {
				s := h.vuln.ID
				for _, c := range h.cves {
					s += " " + c
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
