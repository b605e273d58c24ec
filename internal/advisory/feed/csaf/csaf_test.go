package csaf

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

//go:embed testdata/vex.json
var example string

func TestParse(t *testing.T) {
	d, err := Parse("vex.json", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	type head struct {
		ID, Title, Category, Publisher, Namespace, Status, Version, Severity, Self, Summary string
		Published, Modified                                                                 int64
	}
	want := head{"EXAMPLE-2024-1", "An example", "csaf_vex", "Example", "https://vendor.example", "final", "3",
		"Important", "https://vendor.example/vex.json", "Two products, one with a module.", 1709251200000, 1709337600000}
	got := head{d.ID, d.Title, d.Category, d.Publisher, d.Namespace, d.Status, d.Version, d.Severity, d.Self(), d.Note("summary"),
		d.Published, d.Modified}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("head (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"os9", "tool-1.0-1.x86_64", "tools:9", "lib2", "os9:tools:9:tool", "os9:tools:9"}, d.Products()); diff != "" {
		t.Errorf("products (-want +got):\n%s", diff)
	}
	os9 := &Product{ID: "os9", Name: "Example OS 9", CPE: "cpe:/o:example:os:9",
		Branches: []Branch{{"vendor", "Example"}, {"product_name", "Example OS 9"}}}
	tool := &Product{ID: "tool-1.0-1.x86_64", Name: "tool-1.0-1.x86_64", PURLs: []string{"pkg:rpm/example/tool@1.0-1?arch=x86_64"},
		SHA256: []string{"ab12"}, Branches: []Branch{{"vendor", "Example"}, {"architecture", "x86_64"}, {"product_version", "tool-1.0-1.x86_64"}}}
	module := &Product{ID: "tools:9", Name: "tools:9", Branches: []Branch{{"vendor", "Example"}, {"product_name", "tools:9"}}}
	inOS := &Product{ID: "os9:tools:9", Name: "tools:9 as a component of Example OS 9", Relation: "default_component_of",
		Component: module, Platform: os9}
	made := &Product{ID: "os9:tools:9:tool", Name: "tool as a component of tools:9 as a component of Example OS 9",
		Relation: "default_component_of", Component: tool, Platform: inOS}
	lib := &Product{ID: "lib2", Name: "library 2"}
	if p := d.Product("os9:tools:9:tool"); p.Leaf().ID != tool.ID || p.Base().ID != os9.ID || p.Leaf().Branch("architecture") != "x86_64" {
		t.Errorf("leaf %s, base %s, architecture %s", p.Leaf().ID, p.Base().ID, p.Leaf().Branch("architecture"))
	}
	v := &d.Vulnerabilities[0]
	fix := &Remediation{"vendor_fix", "Update.", "https://vendor.example/fix", 1709251200000, []string{"os9:tools:9:tool"}}
	around := &Remediation{"workaround", "Do not run it.", "", 0, []string{"lib2", "os9"}}
	vectors := []string{"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}
	verdicts := []Verdict{
		{Product: lib, Status: KnownNotAffected, Flag: "vulnerable_code_not_present", Impact: "Never called",
			Remediations: []*Remediation{around}, Vectors: vectors},
		{Product: made, Status: Fixed, Impact: "Important", Remediations: []*Remediation{fix}, Vectors: vectors},
		{Product: os9, Status: UnderInvestigation, Impact: "Important", Remediations: []*Remediation{around}},
	}
	if diff := cmp.Diff(verdicts, v.Verdicts()); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if v.CVE != "CVE-2024-1" || v.CWE != "CWE-125" || v.Title != "A flaw" || v.Published != 1706745600000 ||
		v.Note("description") != "It reads too far." || v.IDs[0] != (ID{"Example Bug", "17"}) {
		t.Errorf("vulnerability %+v", v)
	}
}

// TestContradiction: what is affected in one place and fixed or not affected in
// another counts as affected.
func TestContradiction(t *testing.T) {
	in := strings.Replace(example, `"known_not_affected": ["lib2"],`, `"known_not_affected": ["lib2", "os9"], "known_affected": ["lib2", "os9"],`, 1)
	d, err := Parse("a", []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Status{}
	for _, v := range d.Vulnerabilities[0].Verdicts() {
		got[v.Product.ID] = v.Status
	}
	want := map[string]Status{"lib2": KnownAffected, "os9": KnownAffected, "os9:tools:9:tool": Fixed}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

// TestVersion21 has the members that CSAF 2.1 writes otherwise.
func TestVersion21(t *testing.T) {
	in := strings.NewReplacer(`"csaf_version": "2.0"`, `"csaf_version": "2.1"`, `"scores": [`, `"metrics": [`,
		`{"cvss_v3": {`, `{"content": {"cvss_v4": {"vectorString": "CVSS:4.0/AV:N"}, "cvss_v3": {`, `C:H/I:N/A:N"}, "products`, `C:H/I:N/A:N"}}, "products`,
		`"purl": "pkg:rpm/example/tool@1.0-1?arch=x86_64"`, `"purls": ["pkg:rpm/a/tool", "pkg:rpm/b/tool"]`).Replace(example)
	d, err := Parse("a", []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pkg:rpm/a/tool", "pkg:rpm/b/tool"}, d.Product("tool-1.0-1.x86_64").PURLs); diff != "" {
		t.Errorf("package URLs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"CVSS:4.0/AV:N", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}, d.Vulnerabilities[0].Scores[0].Vectors); diff != "" {
		t.Errorf("vectors (-want +got):\n%s", diff)
	}
}

func TestParseRejects(t *testing.T) {
	deep := strings.Repeat(`{"name":"a","branches":[`, maxDepth+2) + strings.Repeat(`]}`, maxDepth+2)
	change := func(old, new string) string {
		if !strings.Contains(example, old) {
			t.Fatalf("no %q in the example", old)
		}
		return strings.Replace(example, old, new, 1)
	}
	tests := []struct {
		name, in string
		line     int
		limit    bool
	}{
		{"nothing", "", 1, false},
		{"another kind of document", "{\n\"id\": \"OSV-1\"}", 1, false},
		{"a list", "[]", 1, false},
		{"another version", change(`"2.0"`, `"1.0"`), 5, false},
		{"no id", change(`"EXAMPLE-2024-1"`, `""`), 13, false},
		{"a number for a name", change(`"name": "x86_64"`, `"name": 64`), 38, false},
		{"an unknown product", change(`"fixed": ["os9:tools:9:tool"]`, `"fixed": ["nobody"]`), 88, false},
		{"an unknown product in a remediation", change(`"product_ids": ["os9:tools:9:tool"]}`, `"product_ids": ["nobody"]}`), 94, false},
		{"an unknown group", change(`"group_ids": ["all"]`, `"group_ids": ["none"]`), 95, false},
		{"an unknown product in a group", change(`"product_ids": ["lib2", "os9"]`, `"product_ids": ["nobody"]`), 77, false},
		{"an unknown platform", change(`"relates_to_product_reference": "os9"`, `"relates_to_product_reference": "os8"`), 68, false},
		{"a product without an id", change(`"product_id": "lib2"`, `"product_id": ""`), 62, false},
		{"a circle", change(`"product_reference": "tools:9"`, `"product_reference": "os9:tools:9:tool"`), 66, true},
		{"too deep", change(`"branches": [`, `"branches": [`+deep+`,`), 0, true},
		{"something after it", example + "\n{}", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("vex.json", []byte(tt.in))
			var e *feed.Error
			if !errors.As(err, &e) || e.File != "vex.json" || e.Line < 1 || tt.line != 0 && e.Line != tt.line {
				t.Errorf("error %v, want one of line %d", err, tt.line)
			}
			if tt.limit != errors.Is(err, feed.ErrTooLarge) {
				t.Errorf("error %v, limit %v", err, tt.limit)
			}
		})
	}
	for n := 0; n < len(strings.TrimSpace(example)); n += 7 {
		if _, err := Parse("a", []byte(example[:n])); err == nil {
			t.Errorf("cut after %d bytes: no error", n)
		}
	}
}

// TestSamples reads every sample of the shared data. One of them is not JSON:
// its publisher left a comma before the end of a list.
func TestSamples(t *testing.T) {
	files := feedtest.Files(t, feedtest.Sources, "pkg/fetch/openeuler/csaf/testdata/fixtures/happy/")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		d, err := Parse(name, files[name])
		if strings.Contains(name, "cve-2024-50187") {
			if want := name + ":61: "; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %v, want %s…", err, want)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		n := 0
		for i := range d.Vulnerabilities {
			for _, v := range d.Vulnerabilities[i].Verdicts() {
				n++
				if v.Status != Fixed || v.Remediation("vendor_fix") == nil || len(v.Vectors) == 0 || v.Product.Base().CPE == "" {
					t.Errorf("%s: %+v", name, v)
				}
			}
		}
		if n < 30 {
			t.Errorf("%s: %d products only", name, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add(`{"document":{"csaf_version":"2.0","tracking":{"id":"a"}},"product_tree":{},"vulnerabilities":[{}]}`)
	f.Fuzz(func(t *testing.T, in string) {
		d, err := Parse("f", []byte(in))
		if err != nil {
			var e *feed.Error
			if !errors.As(err, &e) || e.File != "f" || e.Line < 1 {
				t.Errorf("error %v without a place", err)
			}
			return
		}
		for i := range d.Vulnerabilities {
			for _, v := range d.Vulnerabilities[i].Verdicts() {
				if v.Product == nil || v.Status == Unknown {
					t.Errorf("verdict %+v", v)
				}
				_ = fmt.Sprint(v.Product.Leaf().ID, v.Product.Base().ID, v.Remediation("vendor_fix"))
			}
		}
	})
}
