package secdb

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

const (
	samples = "pkg/fetch/alpine/secdb/testdata/"
	goldens = "pkg/extract/alpine/secdb/testdata/golden/data/"
)

// fixed is a record that says which version of a package mended a CVE.
func fixed(ecosystem, pkg, version, cve string) feed.Record {
	return feed.Record{
		ID: "ALPINE-" + cve, CVEs: []string{cve}, URL: "https://security.alpinelinux.org/vuln/" + cve,
		Affected: []feed.Affected{{Ecosystem: ecosystem, Name: pkg, Ranges: []feed.Range{{Introduced: "0", Fixed: version}}}},
	}
}

func TestSamples(t *testing.T) {
	files := feedtest.Files(t, feedtest.Sources, samples+"fixtures/")
	got := map[string][]feed.Record{}
	for name, b := range files {
		if f := Alpine(); f.Wants(name) {
			got[name] = feedtest.Records(t, f, name, b)
		}
	}
	want := map[string][]feed.Record{
		"v3.2/main.json": {fixed("Alpine:v3.2", "bash", "4.3.33-r2", "CVE-2016-9401")},
		"v3.16/main.json": {
			fixed("Alpine:v3.16", "apache2", "2.4.27-r1", "CVE-2017-9798"),
			fixed("Alpine:v3.16", "apache2", "2.4.35-r0", "CVE-2018-11763"),
		},
		"v3.16/community.json": {fixed("Alpine:v3.16", "advancecomp", "2.1-r2", "CVE-2019-9210")},
		"edge/main.json": {
			fixed("Alpine:edge", "aom", "3.1.1-r0", "CVE-2021-30473"),
			fixed("Alpine:edge", "aom", "3.1.1-r0", "CVE-2021-30474"),
			fixed("Alpine:edge", "aom", "3.1.1-r0", "CVE-2021-30475"),
		},
		"edge/community.json": {
			fixed("Alpine:edge", "advancecomp", "2.1-r2", "CVE-2019-9210"),
			fixed("Alpine:edge", "advancecomp", "2.4-r0", "CVE-2022-35014"),
			fixed("Alpine:edge", "advancecomp", "2.4-r0", "CVE-2022-35015"),
			fixed("Alpine:edge", "advancecomp", "2.4-r0", "CVE-2022-35016"),
			fixed("Alpine:edge", "advancecomp", "2.4-r0", "CVE-2022-35017"),
			fixed("Alpine:edge", "advancecomp", "2.4-r0", "CVE-2022-35018"),
			fixed("Alpine:edge", "advancecomp", "2.4-r0", "CVE-2022-35019"),
			fixed("Alpine:edge", "advancecomp", "2.4-r0", "CVE-2022-35020"),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSamplesAgainstGolden compares the facts with those that another program
// found in the same files: CVE, release, package, fix and page.
func TestSamplesAgainstGolden(t *testing.T) {
	var want []string
	for _, b := range feedtest.Files(t, feedtest.Sources, goldens) {
		var g struct {
			ID              string
			Vulnerabilities []struct {
				Content struct {
					References []struct{ URL string }
				}
			}
			Detections []struct {
				Ecosystem  string
				Conditions []struct {
					Criteria struct {
						Criterions []struct {
							Version struct {
								Package  struct{ Source struct{ Name string } }
								Affected struct{ Fixed []string }
							}
						}
					}
				}
			}
		}
		if err := json.Unmarshal(b, &g); err != nil {
			t.Fatal(err)
		}
		for _, d := range g.Detections {
			for _, c := range d.Conditions {
				for _, v := range c.Criteria.Criterions {
					want = append(want, strings.Join([]string{g.ID, strings.Replace(d.Ecosystem, ":3", ":v3", 1), v.Version.Package.Source.Name,
						v.Version.Affected.Fixed[0], g.Vulnerabilities[0].Content.References[0].URL}, " "))
				}
			}
		}
	}
	var got []string
	for name, b := range feedtest.Files(t, feedtest.Sources, samples+"fixtures/") {
		f := Alpine()
		if !f.Wants(name) {
			continue
		}
		for _, r := range feedtest.Records(t, f, name, b) {
			for _, a := range r.Affected {
				got = append(got, strings.Join([]string{r.CVEs[0], strings.ToLower(a.Ecosystem), a.Name, a.Ranges[0].Fixed, r.URL}, " "))
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// one writes a file with one package.
func one(secfixes string) string {
	return "{\"packages\": [{\"pkg\": {\"name\": \"p\",\n\"secfixes\": " + secfixes + "}}],\n\"distroversion\": \"v3.20\"}"
}

func TestNames(t *testing.T) {
	const page = "https://security.alpinelinux.org/vuln/"
	entry := func(note string) []feed.Affected {
		return []feed.Affected{{Ecosystem: "Alpine:v3.20", Name: "p", Ranges: []feed.Range{{Introduced: "0", Fixed: "1-r1"}}, Note: note}}
	}
	for _, tc := range []struct {
		name, text string
		want       []feed.Record
	}{
		{"remark", "CVE-2017-2616 (+ regression fix)", []feed.Record{
			{ID: "ALPINE-CVE-2017-2616", CVEs: []string{"CVE-2017-2616"}, URL: page + "CVE-2017-2616", Affected: entry("CVE-2017-2616 (+ regression fix)")}}},
		{"alias", "CVE-2019-14904 GHSA-jfhm-cxvx-mrgq", []feed.Record{
			{ID: "ALPINE-CVE-2019-14904", CVEs: []string{"CVE-2019-14904"}, Aliases: []string{"GHSA-jfhm-cxvx-mrgq"}, URL: page + "CVE-2019-14904",
				Affected: entry("CVE-2019-14904 GHSA-jfhm-cxvx-mrgq")}}},
		{"an id that stands for several", "CVE-2016-9815 XSA-201", []feed.Record{
			{ID: "ALPINE-CVE-2016-9815", CVEs: []string{"CVE-2016-9815"}, URL: page + "CVE-2016-9815", Affected: entry("CVE-2016-9815 XSA-201")}}},
		{"several CVEs", "CVE-2020-0002 CVE-2020-0001", []feed.Record{
			{ID: "ALPINE-CVE-2020-0001", CVEs: []string{"CVE-2020-0001"}, URL: page + "CVE-2020-0001", Affected: entry("CVE-2020-0002 CVE-2020-0001")},
			{ID: "ALPINE-CVE-2020-0002", CVEs: []string{"CVE-2020-0002"}, URL: page + "CVE-2020-0002", Affected: entry("CVE-2020-0002 CVE-2020-0001")}}},
		{"no CVE", "CVE N/A ZBX-11023", []feed.Record{
			{ID: "ALPINE-ZBX-11023", Aliases: []string{"ZBX-11023"}, URL: page + "ZBX-11023", Affected: entry("CVE N/A ZBX-11023")}}},
		{"GHSA only", "GHSA-55xh-53m6-936r", []feed.Record{
			{ID: "ALPINE-GHSA-55xh-53m6-936r", Aliases: []string{"GHSA-55xh-53m6-936r"}, URL: page + "GHSA-55xh-53m6-936r", Affected: entry("")}}},
		{"underscore", "CVE_2019-2426", []feed.Record{
			{ID: "ALPINE-CVE-2019-2426", CVEs: []string{"CVE-2019-2426"}, URL: page + "CVE-2019-2426", Affected: entry("CVE_2019-2426")}}},
		{"words", "regression fix", []feed.Record{
			{ID: "ALPINE-regression-fix", URL: page + "regression-fix", Affected: entry("regression fix")}}},
		{"nothing", " ", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := feedtest.Records(t, Alpine(), "v3.20/main.json", []byte(one(`{"1-r1": ["`+tc.text+`"]}`)))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStates(t *testing.T) {
	got := feedtest.Records(t, Wolfi(), "security.json", []byte(`{"apkurl":"{{urlprefix}}/{{reponame}}/{{arch}}/{{pkg.name}}-{{pkg.ver}}.apk",
		"archs":["x86_64","aarch64"],"reponame":"os","urlprefix":"https://packages.wolfi.dev",
		"packages":[{"pkg":{"name":"a","secfixes":{"0":["CVE-2024-0001"],"2-r0":["CVE-2024-0002"],"10-r0":["CVE-2024-0002"]}}},
		{"pkg":{"name":"b","secfixes":{}}},{"pkg":{"name":"c","secfixes":null}}]}`))
	want := []feed.Record{
		{ID: "WOLFI-CVE-2024-0001", CVEs: []string{"CVE-2024-0001"}, URL: "https://images.chainguard.dev/security/CVE-2024-0001",
			Affected: []feed.Affected{{Ecosystem: "Wolfi", Name: "a", State: feed.StateNotAffected}}},
		{ID: "WOLFI-CVE-2024-0002", CVEs: []string{"CVE-2024-0002"}, URL: "https://images.chainguard.dev/security/CVE-2024-0002",
			Affected: []feed.Affected{
				{Ecosystem: "Wolfi", Name: "a", Ranges: []feed.Range{{Introduced: "0", Fixed: "10-r0"}}},
				{Ecosystem: "Wolfi", Name: "a", Ranges: []feed.Range{{Introduced: "0", Fixed: "2-r0"}}},
			}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, f := range []*Feed{Wolfi(), Chainguard()} {
		if !f.Info().OptIn {
			t.Errorf("%s is fetched although its licence was not accepted", f.Info().Name)
		}
	}
}

func TestMalformed(t *testing.T) {
	feedtest.RejectsCut(t, Alpine(), "v3.20/main.json", []byte(one(`{"1-r1": ["CVE-2024-0001"]}`)))
	for _, tc := range []struct {
		name, text string
		line       int
	}{
		{"no packages", "{\"distroversion\":\"v3.20\"\n}", 2},
		{"no release", "{\"packages\":[]\n\n}", 3},
		{"no such release", "{\n\"distroversion\":\"../v3\",\"packages\":[]}", 2},
		{"fixes as a list", one("[]"), 2},
		{"ids as a text", one("{\"1-r1\":\n\"CVE-2024-0001\"}"), 3},
		{"fix without a version", one(`{"": ["CVE-2024-0001"]}`), 2},
		{"package without a name", "{\"packages\":[\n\n{\"pkg\":{}}]}", 3},
		{"packages as an object", "{\"packages\":{}}", 1},
		{"more", one("{}") + "\n]", 4},
	} {
		t.Run(tc.name, func(t *testing.T) { feedtest.Rejects(t, Alpine(), "v3.20/main.json", tc.text, tc.line) })
	}
	many := `"` + strings.Repeat(`CVE-2024-0001","`, maxFixes) + `"`
	feedtest.Rejects(t, Wolfi(), "security.json", one(`{"1-r1": [`+many+`]}`), 2)
}

func TestRemotes(t *testing.T) {
	files := feedtest.Files(t, feedtest.Sources, samples+"fixtures/")
	served := map[string][]byte{}
	for name, b := range files {
		if dir, ok := strings.CutSuffix(name, "indexof.html"); ok {
			served[dir] = b
		} else {
			served[name] = b
		}
	}
	base := feedtest.Server(t, served)
	got, err := Alpine().Remotes(t.Context(), base, feedtest.Get)
	if err != nil {
		t.Fatal(err)
	}
	var want []feed.Remote
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if Alpine().Wants(name) {
			want = append(want, feed.Remote{URL: base + "/" + name, Name: name})
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := Alpine().Remotes(t.Context(), feedtest.Server(t, map[string][]byte{"": []byte("<html>")}), feedtest.Get); err == nil {
		t.Error("a listing of nothing is no error")
	}
	for _, tc := range []struct {
		f    *Feed
		want string
	}{
		{Wolfi(), "https://packages.wolfi.dev/os/security.json"},
		{Chainguard(), "https://packages.cgr.dev/chainguard/security.json"},
	} {
		got, err := tc.f.Remotes(t.Context(), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]feed.Remote{{URL: tc.want, Name: "security.json"}}, got); diff != "" {
			t.Error(diff)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(one(`{"1-r1": ["CVE-2024-0001 GHSA-55xh-53m6-936r"], "0": ["CVE-2024-0002", "XSA-1"]}`))
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range []*Feed{Alpine(), Wolfi()} {
			rs, err := feedtest.Read(d, "v3.20/main.json", []byte(text))
			feedtest.Sound(t, "v3.20/main.json", rs, err)
		}
	})
}
