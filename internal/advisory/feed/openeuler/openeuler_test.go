package openeuler

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

const (
	csafSamples = "pkg/fetch/openeuler/csaf/testdata/fixtures/happy/"
	cvrfSamples = "pkg/fetch/openeuler/cvrf/testdata/fixtures/happy/"
	vim         = "advisories/2025/csaf-openeuler-sa-2025-1351.json"
	firefox     = "cvrf/2025/cvrf-openEuler-SA-2025-1379.xml"
	hotPatch    = "hotpatch_cvrf/2025/cvrf-openEuler-HotPatchSA-2025-1011.xml"
	details     = "https://www.openeuler.org/zh/security/security-bulletins/detail/?id="
)

func fixed(ecosystem, name, version string) feed.Affected {
	return feed.Affected{Ecosystem: "openEuler:" + ecosystem, Name: name, Ranges: []feed.Range{{Introduced: "0", Fixed: version}}}
}

// TestSamples reads all samples as one feed. The documents on CVEs say
// nothing that an advisory does not say.
func TestSamples(t *testing.T) {
	want := []feed.Record{
		{
			ID: "openEuler-SA-2025-1351", Aliases: []string{"OESA-2025-1351"}, CVEs: []string{"CVE-2025-29768"},
			Summary: "vim security update", Severity: "Medium", CVSS: []string{"CVSS:3.1/AV:L/AC:L/PR:N/UI:R/S:U/C:L/I:L/A:N"},
			Published: 1743229913000, Modified: 1743229913000, URL: details + "openEuler-SA-2025-1351",
			Affected: []feed.Affected{
				fixed("20.03-LTS-SP4", "vim", "9.0-33.oe2003sp4"),
				fixed("22.03-LTS-SP3", "vim", "9.0-33.oe2203sp3"),
				fixed("22.03-LTS-SP4", "vim", "9.0-33.oe2203sp4"),
				fixed("24.03-LTS", "vim", "9.0.2092-18.oe2403"),
				fixed("24.03-LTS-SP1", "vim", "9.0.2092-18.oe2403sp1"),
			},
		},
		{
			ID: "openEuler-SA-2025-1379", Aliases: []string{"OESA-2025-1379"}, CVEs: []string{"CVE-2023-32216", "CVE-2023-6879"},
			Summary: "firefox security update", Severity: "Critical",
			Published: 1743638400000, Modified: 1743638400000, URL: details + "openEuler-SA-2025-1379",
			Affected: []feed.Affected{fixed("22.03-LTS-SP3", "firefox", "128.8.0-1.oe2203sp3")},
		},
		{
			ID: "openEuler-HotPatchSA-2025-1011", CVEs: []string{"CVE-2025-21631"},
			Summary: "kernel security update", Severity: "High", CVSS: []string{"CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"},
			Published: 1741305600000, Modified: 1741305600000, URL: details + "openEuler-HotPatchSA-2025-1011",
			Affected: []feed.Affected{fixed("24.03-LTS-SP1", "kernel-6.6.0-72.0.0.76.oe2403sp1-ACC", "1-3")},
		},
	}
	f := New()
	var got []feed.Record
	for _, prefix := range []string{csafSamples, cvrfSamples, csafSamples} { // twice: nothing counts twice
		files := feedtest.Files(t, feedtest.Sources, prefix)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if !strings.HasSuffix(name, "index.txt") {
				got = append(got, feedtest.Records(t, f, name, files[name])...)
			} else if f.Wants(name) {
				t.Errorf("%s is wanted", name)
			}
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(feed.Record{}, "Details")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	for _, r := range got {
		if !strings.Contains(r.Details, r.CVEs[0]) && r.ID != "openEuler-SA-2025-1351" {
			t.Errorf("%s: details %.100q", r.ID, r.Details)
		}
	}
}

// TestBothFormats: an advisory that lies there as CVRF too is read once.
func TestBothFormats(t *testing.T) {
	b := feedtest.Sample(t, feedtest.Sources, cvrfSamples+firefox)
	b = []byte(strings.ReplaceAll(string(b), "openEuler-SA-2025-1379", "openEuler-SA-2025-1351"))
	f := New()
	if n := len(feedtest.Records(t, f, vim, feedtest.Sample(t, feedtest.Sources, csafSamples+vim))); n != 1 {
		t.Fatalf("%d records of the CSAF document", n)
	}
	if got := feedtest.Records(t, f, firefox, b); len(got) != 0 {
		t.Errorf("read again: %+v", got)
	}
}

// vex is a document on a CVE, in the shape that openEuler publishes.
const vex = `{
 "document": {
  "aggregate_severity": {"text": "HIGH"}, "category": "csaf_vex", "csaf_version": "2.0",
  "references": [{"category": "external", "url": "https://nvd.nist.gov/vuln/detail/CVE-2025-1"}, {"category": "self", "url": "https://repo.openeuler.org/a.json"}],
  "title": "openEuler cve CVE-2025-1",
  "tracking": {"id": "CVE-2025-1", "initial_release_date": "2025-03-29T00:00:00+08:00", "current_release_date": "2025-03-30T00:00:00+08:00", "status": "final"}
 },
 "product_tree": {
  "branches": [{"category": "vendor", "name": "openEuler", "branches": [
   {"category": "product_version", "name": "openEuler-22.03-LTS-SP4", "product": {"name": "openEuler-22.03-LTS-SP4", "product_id": "openEuler-22.03-LTS-SP4"}},
   {"category": "product_version", "name": "openEuler-24.03-LTS", "product": {"name": "openEuler-24.03-LTS", "product_id": "openEuler-24.03-LTS"}},
   {"category": "product_version", "name": "zlib", "product": {"name": "zlib", "product_id": "zlib"}},
   {"category": "product_version", "name": "zlib-1.2.13-1.oe2403.src.rpm", "product": {"name": "zlib-1.2.13-1.oe2403.src.rpm", "product_id": "zlib-1.2.13-1.oe2403.src.rpm"}}
  ]}],
  "relationships": [
   {"category": "default_component_of", "product_reference": "zlib", "relates_to_product_reference": "openEuler-22.03-LTS-SP4",
    "full_product_name": {"name": "zlib", "product_id": "openEuler-22.03-LTS-SP4:zlib"}},
   {"category": "default_component_of", "product_reference": "zlib-1.2.13-1.oe2403.src.rpm", "relates_to_product_reference": "openEuler-24.03-LTS",
    "full_product_name": {"name": "zlib", "product_id": "openEuler-24.03-LTS:zlib-1.2.13-1.oe2403.src"}}
  ]
 },
 "vulnerabilities": [{
  "cve": "CVE-2025-1", "title": "CVE-2025-1",
  "notes": [{"category": "description", "text": "It overflows."}],
  "product_status": {"known_not_affected": ["openEuler-22.03-LTS-SP4:zlib"], "under_investigation": ["openEuler-24.03-LTS:zlib-1.2.13-1.oe2403.src"]},
  "flags": [{"label": "component_not_present", "product_ids": ["openEuler-22.03-LTS-SP4:zlib"]}],
  "threats": [{"category": "impact", "details": "High"}]
 }]
}`

func TestStates(t *testing.T) {
	record := feed.Record{
		ID: "OPENEULER-CVE-2025-1", CVEs: []string{"CVE-2025-1"}, Details: "It overflows.", Severity: "HIGH",
		Published: 1743177600000, Modified: 1743264000000, URL: "https://repo.openeuler.org/a.json",
	}
	sp4 := func(a feed.Affected) feed.Affected {
		a.Ecosystem, a.Name = "openEuler:22.03-LTS-SP4", "zlib"
		return a
	}
	none := sp4(feed.Affected{State: feed.StateNotAffected, Note: "component_not_present"})
	open := []feed.Range{{Introduced: "0"}}
	unknown := feed.Affected{Ecosystem: "openEuler:24.03-LTS", Name: "zlib", State: feed.StateUndetermined}
	tests := []struct {
		name, old, new string
		want           []feed.Affected
	}{
		{"not affected, unknown", "", "", []feed.Affected{none, unknown}},
		{"a comma too many", `"High"}]`, `"High"},]`, []feed.Affected{none, unknown}},
		{"affected", "known_not_affected", "known_affected", []feed.Affected{sp4(feed.Affected{Ranges: open}), unknown}},
		{"will not be fixed", `"known_not_affected": ["openEuler-22.03-LTS-SP4:zlib"]`,
			`"known_affected": ["openEuler-22.03-LTS-SP4:zlib"]}, "remediations": [{"category": "no_fix_planned", "details": "End of life"}], "x": {"y": []`,
			nil},
		{"fixed", "under_investigation", "fixed", []feed.Affected{none}},
		{"a severity is no reason", `"flags"`, `"threats2"`, []feed.Affected{sp4(feed.Affected{State: feed.StateNotAffected}), unknown}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := vex
			if tt.old != "" {
				in = strings.Replace(vex, tt.old, tt.new, 1)
				if in == vex {
					t.Fatalf("no %q in the document", tt.old)
				}
			}
			if tt.want == nil {
				tt.want = []feed.Affected{sp4(feed.Affected{Ranges: open, State: feed.StateWontFix, Note: "End of life"})}
			}
			want := record
			want.Affected = tt.want
			got := feedtest.Records(t, New(), "csaf-openeuler-cve-2025-1.json", []byte(in))
			if diff := cmp.Diff([]feed.Record{want}, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithoutCommas(t *testing.T) {
	for in, want := range map[string]string{
		`[1,2]`:              `[1,2]`,
		"[1,\n ]":            "[1 \n ]",
		`{"a":"b,]","c":1,}`: `{"a":"b,]","c":1 }`,
		`["\",]",2,]`:        `["\",]",2 ]`,
		`[1,,]`:              `[1, ]`,
		`"a\`:                `"a\`,
	} {
		if got := string(withoutCommas([]byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestRejects(t *testing.T) {
	const name = "csaf-openeuler-cve-2025-1.json"
	feedtest.RejectsCut(t, New(), name, []byte(vex))
	feedtest.Rejects(t, New(), name, strings.Replace(vex, `"id": "CVE-2025-1"`, `"id": "something"`, 1), 6)
	feedtest.Rejects(t, New(), name, strings.Replace(vex, `["openEuler-22.03-LTS-SP4:zlib"]`, `["nobody"]`, 1), 25)
	feedtest.RejectsCut(t, New(), firefox, feedtest.Sample(t, feedtest.Sources, cvrfSamples+firefox))
	feedtest.Rejects(t, New(), firefox, "<a/>", 1)
	feedtest.Rejects(t, New(), firefox, "", 0)
	feedtest.Rejects(t, New(), firefox, "<cvrfdoc>\n<DocumentTracking><Identification><ID>nobody</ID></Identification></DocumentTracking></cvrfdoc>", 2)
	feedtest.Rejects(t, New(), firefox, "<cvrfdoc>\n<DocumentTitle></cvrfdoc>", 2)
}

func TestRemotes(t *testing.T) {
	files := map[string][]byte{}
	for _, prefix := range []string{csafSamples, cvrfSamples} {
		for name, b := range feedtest.Files(t, feedtest.Sources, prefix) {
			name = strings.NewReplacer("advisories/", "csaf/advisories/", "cve/", "csaf/cve/").Replace(name)
			files[name] = b
		}
	}
	files["cvrf/index.txt"] = append(files["cvrf/index.txt"], "\n2025/cvrf-openEuler-SA-2025-1351.xml\n"...)
	base := feedtest.Server(t, files)
	got, err := New().Remotes(context.Background(), base, feedtest.Get)
	if err != nil {
		t.Fatal(err)
	}
	var want []feed.Remote
	for _, name := range []string{
		"csaf/advisories/2025/csaf-openeuler-sa-2025-1070.json", "csaf/advisories/2025/csaf-openeuler-sa-2025-1351.json",
		"csaf/cve/2023/csaf-openeuler-cve-2023-52920.json", "csaf/cve/2024/csaf-openeuler-cve-2024-50187.json",
		"csaf/cve/2025/csaf-openeuler-cve-2025-30346.json", "cvrf/2025/cvrf-openEuler-SA-2025-1379.xml",
		"hotpatch_cvrf/2025/cvrf-openEuler-HotPatchSA-2025-1011.xml",
	} {
		want = append(want, feed.Remote{URL: base + "/" + name, Name: name})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, line := range []string{"../../etc/passwd", "2025/../csaf-openeuler-sa-1.json", "<html>"} {
		_, err := New().Remotes(context.Background(), "", func(context.Context, string) (string, error) { return line, nil })
		if err == nil {
			t.Errorf("index %q: no error", line)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(vex, false)
	f.Add(`<cvrfdoc><DocumentTracking><Identification><ID>openEuler-SA-2025-1</ID></Identification></DocumentTracking>
<ProductTree><Branch Type="Package Arch"><FullProductName CPE="cpe:/a:openEuler:openEuler:22.03-LTS">a-1-1.src.rpm</FullProductName></Branch></ProductTree>
<Vulnerability><CVE>CVE-2025-1</CVE><ProductStatuses><Status Type="Fixed"><ProductID>openEuler-22.03-LTS</ProductID></Status></ProductStatuses></Vulnerability></cvrfdoc>`, true)
	f.Fuzz(func(t *testing.T, in string, xml bool) {
		name := "csaf-openeuler-sa-2025-1.json"
		if xml {
			name = "cvrf-openEuler-SA-2025-1.xml"
		}
		rs, err := feedtest.Read(New(), name, []byte(in))
		feedtest.Sound(t, name, rs, err)
	})
}
