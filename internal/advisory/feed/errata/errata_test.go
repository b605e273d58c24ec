package errata

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

const (
	almaSample   = "pkg/fetch/alma/errata/testdata/fixtures/errata.full.json"
	almaGolden   = "pkg/extract/alma/errata/testdata/golden/data/"
	rockySamples = "pkg/fetch/rocky/errata/testdata/fixtures/happy/"
	rockyMore    = "pkg/extract/rocky/errata/testdata/fixtures/"
	rockyGolden  = "pkg/extract/rocky/errata/testdata/golden/data/"
)

func fixed(eco, name, stream, version string) feed.Affected {
	return feed.Affected{Ecosystem: eco, Name: name, Stream: stream, Ranges: []feed.Range{{Introduced: "0", Fixed: version}}}
}

func TestAlmaSample(t *testing.T) {
	got := feedtest.Records(t, Alma(), "8/errata.full.json", feedtest.Sample(t, feedtest.Sources, almaSample))
	want := []feed.Record{{
		ID:       "ALSA-2019:3708",
		Summary:  "Moderate: mariadb:10.3 security and bug fix update",
		Severity: "Moderate",
		CVEs: []string{"CVE-2019-2510", "CVE-2019-2537", "CVE-2019-2614", "CVE-2019-2627", "CVE-2019-2628", "CVE-2019-2737",
			"CVE-2019-2739", "CVE-2019-2740", "CVE-2019-2758", "CVE-2019-2805", "CVE-2020-2922", "CVE-2021-2007"},
		Published: 1572983623000, Modified: 1651142818000,
		URL: "https://errata.almalinux.org/8/ALSA-2019-3708.html",
		Affected: []feed.Affected{
			fixed("AlmaLinux:8", "Judy", "mariadb-devel:10.3", "1.0.5-18.module_el8.3.0+2028+5e3224e9"),
			fixed("AlmaLinux:8", "Judy", "mariadb:10.3", "1.0.5-18.module_el8.5.0+2632+14ced695"),
			fixed("AlmaLinux:8", "Judy", "mariadb:10.3", "1.0.5-18.module_el8.6.0+2867+72759d2f"),
			fixed("AlmaLinux:8", "Judy", "mariadb:10.5", "1.0.5-18.module_el8.6.0+2761+593e5e59"),
			fixed("AlmaLinux:8", "Judy-devel", "mariadb-devel:10.3", "1.0.5-18.module_el8.3.0+2028+5e3224e9"),
			fixed("AlmaLinux:8", "Judy-devel", "mariadb-devel:10.3", "1.0.5-18.module_el8.6.0+2867+72759d2f"),
		},
	}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(feed.Record{}, "Details")); diff != "" {
		t.Error(diff)
	}
	if d := got[0].Details; !strings.HasPrefix(d, "MariaDB is a multi-user") || !strings.Contains(d, "CVE-2019-2805") {
		t.Errorf("details %.80q", d)
	}
}

// golden is what another program found in the same files.
type golden struct {
	ID         string
	Advisories []struct {
		Content struct {
			Title    string
			Severity []struct{ Vendor string }
		}
	}
	Vulnerabilities []struct{ Content struct{ ID string } }
	Detections      []struct {
		Ecosystem  string
		Conditions []struct {
			Criteria struct {
				Criterions []struct {
					Version struct {
						Package  struct{ Binary struct{ Name string } }
						Affected struct{ Fixed []string }
					}
				}
			}
		}
	}
}

// facts writes what golden and our records have in common, one a line.
func (g golden) facts() []string {
	c := g.Advisories[0].Content
	out := []string{g.ID + " title " + c.Title, g.ID + " severity " + c.Severity[0].Vendor}
	for _, v := range g.Vulnerabilities {
		out = append(out, g.ID+" "+v.Content.ID)
	}
	for _, d := range g.Detections {
		for _, c := range d.Conditions {
			for _, v := range c.Criteria.Criterions {
				out = append(out, fmt.Sprintf("%s %s %s %s", g.ID, d.Ecosystem, v.Version.Package.Binary.Name, v.Version.Affected.Fixed[0]))
			}
		}
	}
	return out
}

func facts(rs []feed.Record) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.ID+" title "+r.Summary, r.ID+" severity "+r.Severity)
		for _, c := range r.CVEs {
			out = append(out, r.ID+" "+c)
		}
		for _, a := range r.Affected {
			eco := strings.NewReplacer("AlmaLinux:", "alma:", "Rocky Linux:", "rocky:").Replace(a.Ecosystem)
			name, v := a.Name, a.Ranges[0].Fixed
			if a.Stream != "" {
				name = a.Stream + "::" + name
			}
			if !strings.Contains(v, ":") {
				v = "0:" + v
			}
			out = append(out, fmt.Sprintf("%s %s %s %s", r.ID, eco, name, v))
		}
	}
	return out
}

func set(ss []string) []string {
	slices.Sort(ss)
	return slices.Compact(ss)
}

// goldens are the extractions below a directory of advisories that have CVEs.
func goldens(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for name, b := range feedtest.Files(t, feedtest.Sources, dir) {
		var g golden
		if err := json.Unmarshal(b, &g); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(g.Vulnerabilities) > 0 {
			out = append(out, g.facts()...)
		}
	}
	return set(out)
}

func TestAlmaAgainstGolden(t *testing.T) {
	got := facts(feedtest.Records(t, Alma(), "8/errata.full.json", feedtest.Sample(t, feedtest.Sources, almaSample)))
	if diff := cmp.Diff(goldens(t, almaGolden), set(got)); diff != "" {
		t.Error(diff)
	}
}

func TestRockySample(t *testing.T) {
	got := map[string][]feed.Record{}
	for name, b := range feedtest.Files(t, feedtest.Sources, rockySamples) {
		got[name] = feedtest.Records(t, Rocky(), name, b)
	}
	want := map[string][]feed.Record{
		"page1.json": {{
			ID: "RLSA-2025:21816", Summary: "Moderate: delve and golang security update", Severity: "Moderate",
			CVEs: []string{"CVE-2025-58183"}, CVSS: []string{"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"},
			Published: 1764234682820, Modified: 1764234761644, URL: "https://errata.rockylinux.org/RLSA-2025:21816",
			Affected: []feed.Affected{
				fixed("Rocky Linux:10", "delve", "", "1.25.2-1.el10_1"),
				fixed("Rocky Linux:10", "delve-debuginfo", "", "1.25.2-1.el10_1"),
				fixed("Rocky Linux:10", "delve-debugsource", "", "1.25.2-1.el10_1"),
				fixed("Rocky Linux:10", "go-toolset", "", "1.25.3-1.el10_1"),
				fixed("Rocky Linux:10", "golang", "", "1.25.3-1.el10_1"),
				fixed("Rocky Linux:10", "golang-bin", "", "1.25.3-1.el10_1"),
				fixed("Rocky Linux:10", "golang-docs", "", "1.25.3-1.el10_1"),
				fixed("Rocky Linux:10", "golang-misc", "", "1.25.3-1.el10_1"),
				fixed("Rocky Linux:10", "golang-race", "", "1.25.3-1.el10_1"),
				fixed("Rocky Linux:10", "golang-src", "", "1.25.3-1.el10_1"),
				fixed("Rocky Linux:10", "golang-tests", "", "1.25.3-1.el10_1"),
			},
		}},
		"page2.json": nil, // bugs only
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(feed.Record{}, "Details")); diff != "" {
		t.Error(diff)
	}
}

func TestRockyAgainstGolden(t *testing.T) {
	var page []string
	for _, b := range feedtest.Files(t, feedtest.Sources, rockyMore) {
		page = append(page, string(b))
	}
	got := facts(feedtest.Records(t, Rocky(), "page-0001.json", []byte(`{"advisories":[`+strings.Join(page, ",")+`]}`)))
	if diff := cmp.Diff(goldens(t, rockyGolden), set(got)); diff != "" {
		t.Error(diff)
	}
}

func TestRockyStreams(t *testing.T) {
	got := feedtest.Records(t, Rocky(), "page-0001.json", []byte(`{"total":1,"advisories":[{"name":"RLSA-2024:0001","cves":[{"cve":"CVE-2024-0001","cvss3_scoring_vector":"UNKNOWN"},{"cve":"x"}],
		"packages":[
		{"nevra":"oci-umount-2:2.3.4-2.module+el8.4.0+1+a.x86_64.rpm","module_name":"container-tools","module_stream":"1.0","product_name":"Rocky Linux 8 x86_64"},
		{"nevra":"oci-umount-2:2.3.4-2.module+el8.4.0+1+a.aarch64.rpm","module_name":"container-tools","module_stream":"1.0","product_name":"Rocky Linux 8.5 aarch64 (Legacy)"},
		{"nevra":"oci-umount-2:2.3.4-2.module+el8.4.0+1+a.src.rpm","module_name":"container-tools","module_stream":"1.0","product_name":"Rocky Linux 8 x86_64"},
		{"nevra":"kernel-core-0:4.18.0-425.10.1.el8_7.cloud.x86_64.rpm","module_name":null,"product_name":"Rocky Linux SIG Cloud 8 x86_64"}]}]}`))
	want := []feed.Record{{ID: "RLSA-2024:0001", CVEs: []string{"CVE-2024-0001"}, URL: "https://errata.rockylinux.org/RLSA-2024:0001",
		Affected: []feed.Affected{
			fixed("Rocky Linux:8", "oci-umount", "container-tools:1.0", "2:2.3.4-2.module+el8.4.0+1+a"),
			fixed("Rocky Linux:SIG Cloud 8 x86_64", "kernel-core", "", "4.18.0-425.10.1.el8_7.cloud"),
		}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

const (
	almaPage1  = "{\"schema_version\":\"1.0\",\n\"data\":[\n{\"id\":\"ALSA-2024:0001\",\"references\":[{\"type\":\"cve\",\"id\":\"CVE-2024-0001\"}],\n\"packages\":[%s]}]}"
	almaBuild  = `{"name":"a","epoch":"1","version":"2","release":"3","arch":"x86_64"}`
	rockyPage1 = "{\"advisories\":[\n{\"name\":\"RLSA-2024:0001\",\"cves\":[{\"cve\":\"CVE-2024-0001\"}],\n\"packages\":[%s]}],\n\"total\":1}"
	rockyBuild = `{"nevra":"a-1:2-3.x86_64.rpm","product_name":"Rocky Linux 9 x86_64"}`
)

func TestMalformed(t *testing.T) {
	alma, rocky := fmt.Sprintf(almaPage1, almaBuild), fmt.Sprintf(rockyPage1, rockyBuild)
	feedtest.RejectsCut(t, Alma(), "9/errata.full.json", []byte(alma))
	feedtest.RejectsCut(t, Rocky(), "page-0001.json", []byte(rocky))
	for _, tc := range []struct {
		name, text string
		line       int
	}{
		{"no data", "{\n}", 2},
		{"type", strings.Replace(alma, `"ALSA-2024:0001"`, "5", 1), 3},
		{"nesting", strings.Replace(alma, "[\n", "{\n", 1), 2},
		{"no id", strings.Replace(alma, "ALSA-2024:0001", "ALSA", 1), 4},
		{"no version", fmt.Sprintf(almaPage1, `{"name":"a"}`), 4},
		{"more", alma + "\n,", 5},
	} {
		t.Run("alma: "+tc.name, func(t *testing.T) { feedtest.Rejects(t, Alma(), "9/errata.full.json", tc.text, tc.line) })
	}
	feedtest.Rejects(t, Alma(), "errata.full.json", alma, 4) // of no release
	feedtest.Rejects(t, Alma(), "9/errata.full.json", fmt.Sprintf(almaPage1, "{}"+strings.Repeat(",{}", maxBuilds)), 4)
	for _, tc := range []struct {
		name, text string
		line       int
	}{
		{"no advisories", "{\n}", 2},
		{"type", strings.Replace(rocky, `"CVE-2024-0001"`, "\n5", 1), 3},
		{"no id", strings.Replace(rocky, "RLSA-2024:0001", "..", 1), 3},
		{"no package", fmt.Sprintf(rockyPage1, `{"nevra":"a","product_name":"Rocky Linux 9 x86_64"}`), 3},
		{"no product", fmt.Sprintf(rockyPage1, `{"nevra":"a-1:2-3.x86_64.rpm"}`), 3},
	} {
		t.Run("rocky: "+tc.name, func(t *testing.T) { feedtest.Rejects(t, Rocky(), "page-0001.json", tc.text, tc.line) })
	}
}

func TestRemotes(t *testing.T) {
	served := map[string][]byte{
		"api/v3/advisories/":       feedtest.Sample(t, feedtest.Sources, rockySamples+"page1.json"),
		"8/errata.full.json":       nil,
		"9/errata.full.json":       nil,
		"10/errata.full.json":      nil,
		"empty/api/v3/advisories/": []byte(`{"total":0}`),
	}
	base := feedtest.Server(t, served)
	names := func(f feed.Fetched) []string {
		rs, err := f.Remotes(t.Context(), base, feedtest.Get)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range rs {
			if !f.Wants(r.Name) {
				t.Errorf("%s is fetched and not wanted", r.Name)
			}
			if _, err := feedtest.Get(t.Context(), r.URL); err != nil {
				t.Error(err)
			}
			out = append(out, r.Name)
		}
		return out
	}
	if diff := cmp.Diff([]string{"8/errata.full.json", "9/errata.full.json", "10/errata.full.json"}, names(Alma())); diff != "" {
		t.Error(diff)
	}
	pages := names(Rocky()) // the sample counts 8,019 advisories
	if len(pages) != 81 || pages[0] != "page-0001.json" || pages[80] != "page-0081.json" {
		t.Errorf("%d pages: %v", len(pages), pages)
	}
	for _, bad := range []string{base + "/empty", base + "/nothing"} {
		if _, err := Rocky().Remotes(t.Context(), bad, feedtest.Get); err == nil {
			t.Errorf("%s is no error", path.Base(bad))
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(fmt.Sprintf(almaPage1, almaBuild))
	f.Add(fmt.Sprintf(rockyPage1, rockyBuild))
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range []feed.Feed{Alma(), Rocky()} {
			rs, err := feedtest.Read(d, "9/errata.full.json", []byte(text))
			feedtest.Sound(t, "9/errata.full.json", rs, err)
		}
	})
}
