package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/shareddata"
)

// The images are written one by one, and stand as if they were not.
func TestJSONIsOneDocument(t *testing.T) {
	for _, d := range documents() {
		t.Run(d.name, func(t *testing.T) {
			d.doc.Images = notNil(d.doc.Images) // as Finish does
			want := render(t, func(w io.Writer, d *Document) error {
				enc := json.NewEncoder(w)
				enc.SetEscapeHTML(false)
				enc.SetIndent("", "  ")
				return enc.Encode(d)
			}, d.doc)
			if diff := cmp.Diff(want, render(t, JSON, d.doc)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzIndented(f *testing.F) {
	for _, s := range []string{`{}`, `[[],{"a":[1,-2.5e3,true,null]},"x\\\"{[,:\u2028"]`, `""`, `{"":{"":""}}`, `[{"a":[]},[{}]]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var v any
		if json.Unmarshal([]byte(s), &v) != nil {
			return
		}
		compact, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := json.Indent(&want, compact, "    ", "  "); err != nil {
			t.Fatal(err)
		}
		if got := appendIndented(nil, compact, 2); string(got) != want.String() {
			t.Errorf("got %s, want %s", got, want.String())
		}
	})
}

// sample is a document of three images: one with findings of all kinds, one
// that could not be scanned, one without a name and without a distribution.
func sample() *Document {
	layer := string(image.DigestOf([]byte("layer")))
	debian := report.Distro{ID: "debian", VersionID: "12", Name: "Debian GNU/Linux 12 (bookworm)"}
	pkg := func(p report.Package) Package {
		p.Layer = layer
		return Package{p, report.PURL(p, debian)}
	}
	openssl := pkg(report.Package{Type: report.TypeDeb, Name: "openssl", Version: "3.0.11-1", Arch: "amd64", Path: "/var/lib/dpkg/status"})
	libssl := pkg(report.Package{Type: report.TypeDeb, Name: "libssl3", Version: "3.0.11-1", Arch: "amd64", Source: "openssl", Path: "/var/lib/dpkg/status"})
	lodash := pkg(report.Package{Type: report.TypeNPM, Name: "lodash", Version: "4.17.15", Licenses: []string{"MIT"}, Path: "/app/node_modules/lodash/package.json"})
	declared := pkg(report.Package{Type: report.TypeNPM, Name: "left-pad", Version: "1.0.0", Declared: true, Path: "/app/package.json"})
	log4j := pkg(report.Package{Type: report.TypeJava, Name: "org.apache.logging.log4j:log4j-core", Version: "2.14.1", Path: "/app/x.jar!/BOOT-INF/lib/log4j-core-2.14.1.jar"})
	finding := func(id, severity string, p Package, fixed string) report.Finding {
		f := report.Finding{ID: id, Severity: severity, Package: p.Package, PURL: p.PURL, FixState: report.FixNone,
			Evidence: report.Evidence{Source: "osv.dev/Debian", Ecosystem: "Debian:12", Name: "openssl", Range: ">= 0", Compared: "3.0.11-1 >= 0", BuildCommand: "RUN apt-get install <x> & y"}}
		if cve, ok := strings.CutPrefix(id, "DEBIAN-"); ok {
			f.CVEs = []string{cve}
		}
		if fixed != "" {
			f.FixState, f.FixedVersion = report.FixAvailable, fixed
		}
		return f
	}
	critical := finding("CVE-2021-44228", report.SeverityCritical, log4j, "2.15.0")
	critical.CVEs, critical.Score, critical.Vector = []string{"CVE-2021-44228"}, 10, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"
	critical.Aliases, critical.SeverityFrom, critical.Published = []string{"GHSA-jfh8-c2jp-5v3q", "GO-0"}, "cvss", 1639094400000
	critical.Summary, critical.URL = "Remote code injection in Log4j", "https://example.org/GHSA-jfh8-c2jp-5v3q"
	return &Document{
		Tool:        Tool{Version: "1.2.3"},
		AnalyzerSet: "0011223344556677",
		Advisories:  Advisories{Generation: "feed", Date: "2026-11-20T00:00:00Z", Starter: true},
		Warnings:    []string{"b", "a", "b"},
		Images: []Image{
			{
				Names: []string{"web:latest", "nginx:1.25"}, RepoDigests: []string{"nginx@" + layer},
				ConfigDigest: image.DigestOf([]byte("web")), ManifestDigests: []image.Digest{image.DigestOf([]byte("m"))},
				Engines: []string{"docker", "containerd", "docker"}, Platform: "linux/amd64", Created: "2026-01-02T03:04:05Z", Size: 187_654_321,
				Distro: debian, Layers: []Layer{{DiffID: image.Digest(layer), BuildCommand: "RUN x"}}, Complete: true,
				Containers: []Container{{image.Container{ID: "b", Name: "web-1", Running: true}, "docker"}},
				Packages:   []Package{openssl, libssl, lodash, declared, log4j, openssl},
				Findings: []report.Finding{
					finding("CVE-2024-2", report.SeverityLow, libssl, ""),
					finding("CVE-2024-1", report.SeverityHigh, openssl, "3.0.13-1"),
					finding("CVE-2024-1", report.SeverityHigh, libssl, "3.0.13-1"),
					finding("OSV-1", report.SeverityUnknown, lodash, ""),
					critical,
				},
				Problems: []report.Problem{{Path: "/app/bad.jar", Analyzer: "java/1", Message: "not a zip \x1b[31m", Layer: layer}},
				Ledger:   report.Ledger{Files: 10, Parsed: 3, Examined: 1, Passed: 5, Skipped: map[string]int64{"too-large": 1}, Bytes: 99},
			},
			{Names: []string{"gone:1"}, ConfigDigest: image.DigestOf([]byte("gone")), Engines: []string{"containerd"}, Platform: "linux/arm64/v8", Error: "image was removed"},
			{ConfigDigest: image.DigestOf([]byte("scratch")), Engines: []string{"docker"}, Platform: "linux/amd64", Complete: true},
		},
	}
}

var formats = []struct {
	name  string
	write func(io.Writer, *Document) error
}{
	{"table", func(w io.Writer, d *Document) error { return Table(w, d, TableOptions{}) }},
	{"json", JSON},
	{"cyclonedx", CycloneDX},
	{"spdx", SPDX},
	{"sarif", SARIF},
}

func render(t testing.TB, write func(io.Writer, *Document) error, d *Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFinish(t *testing.T) {
	d := sample()
	d.Filters = Filters{Severities: []string{report.SeverityCritical, report.SeverityHigh, report.SeverityLow}, IgnoreUnfixed: true}
	d.Finish()
	web := d.Images[2]
	if got, want := []string{d.Images[0].Title(), d.Images[1].Title(), web.Title()},
		[]string{string(image.DigestOf([]byte("scratch"))), "gone:1", "nginx:1.25"}; !cmp.Equal(want, got) {
		t.Errorf("order of images: %s", cmp.Diff(want, got))
	}
	want := Counts{Packages: 5, Findings: 3, Critical: 1, High: 2, Fixable: 3, Hidden: 2}
	if diff := cmp.Diff(want, web.Counts); diff != "" {
		t.Error(diff)
	}
	var ids []string
	for _, f := range web.Findings {
		ids = append(ids, f.ID+" "+f.Package.Name)
	}
	if diff := cmp.Diff([]string{"CVE-2021-44228 org.apache.logging.log4j:log4j-core",
		"CVE-2024-1 libssl3", "CVE-2024-1 openssl"}, ids); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, d.Warnings); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"containerd", "docker"}, web.Engines); diff != "" {
		t.Error(diff)
	}
}

// The same facts in another order are the same bytes, and every form of a
// result that rests on the starter names the command that helps.
func TestDeterministic(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			d := sample()
			d.Finish()
			want := render(t, f.write, d)
			for range 5 {
				d := sample()
				slices.Reverse(d.Images)
				for i := range d.Images {
					slices.Reverse(d.Images[i].Findings)
					slices.Reverse(d.Images[i].Packages)
					slices.Reverse(d.Images[i].Names)
				}
				d.Finish()
				if diff := cmp.Diff(want, render(t, f.write, d)); diff != "" {
					t.Fatal(diff)
				}
			}
			if !strings.Contains(want, "onceover db update") {
				t.Error("rests on the starter and does not say so")
			}
			d = sample()
			d.Advisories.Starter = false
			d.Finish()
			if strings.Contains(render(t, f.write, d), "onceover db update") {
				t.Error("talks of the starter without it")
			}
		})
	}
}

// compileStrict loads our schema with every object closed, so that a field
// without a description is an error.
func compileStrict(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shareddata.Root(), "docs", "schema", name+"-v1.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(doc)
	return compile(t, name+".json", map[string]any{name + ".json": doc})
}

func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"]; ok && v["type"] == "object" && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, x := range v {
			closeObjects(x)
		}
	case []any:
		for _, x := range v {
			closeObjects(x)
		}
	}
}

func compile(t *testing.T, main string, docs map[string]any) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for name, doc := range docs {
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile(main)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text string) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestJSONSchema(t *testing.T) {
	s := compileStrict(t, "scan")
	for _, tc := range documents() {
		t.Run(tc.name, func(t *testing.T) {
			tc.doc.Finish()
			validate(t, s, render(t, JSON, tc.doc))
		})
	}
	for _, bad := range []string{`{}`, `{"schema_version":2}`, `{"images":[{"names":null}]}`} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(v) == nil {
			t.Errorf("accepted %s", bad)
		}
	}
}

// Every field there is, filled: none may be missing from the schema.
func TestJSONSchemaNamesEveryField(t *testing.T) {
	var d Document
	fill(reflect.ValueOf(&d).Elem(), "")
	d.SchemaVersion = SchemaVersion
	validate(t, compileStrict(t, "scan"), render(t, JSON, &d))
}

// So of an explanation.
func TestExplanationSchemaNamesEveryField(t *testing.T) {
	var e Explanation
	fill(reflect.ValueOf(&e).Elem(), "")
	e.SchemaVersion = 1
	var b bytes.Buffer
	if err := ExplanationJSON(&b, &e); err != nil {
		t.Fatal(err)
	}
	validate(t, compileStrict(t, "explain"), b.String())
}

// fill gives every field beneath v a value that the schema allows.
func fill(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), strings.TrimSuffix(name, "s"))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, "key")
		fill(val, "value")
		v.SetMapIndex(key, val)
	case reflect.String:
		switch {
		case v.Type() == reflect.TypeFor[image.Digest]():
			v.SetString(string(image.DigestOf([]byte(name))))
		case name == "Severity" || name == "Severitie":
			v.SetString(report.SeverityHigh)
		case name == "FixState":
			v.SetString(report.FixNone)
		case name == "Sort":
			v.SetString(SortPriority)
		case name == "By":
			v.SetString(report.JudgedByRule)
		case name == "Status":
			v.SetString(report.StatusIgnored)
		case name == "How":
			v.SetString("label")
		case name == "ExploitedSince" || name == "Until" || name == "SupportEnds":
			v.SetString("2026-11-20")
		case name == "Reason", name == "key": // of the ledger, the only map
			v.SetString("too-large")
		case name == "Kind":
			v.SetString(report.KindELF)
		case name == "PURL":
			v.SetString("pkg:deb/debian/x@1")
		case name == "Verdict" || name == "State":
			v.SetString(match.VerdictAffected)
		case name == "Date" || name == "Created" || name == "Modified":
			v.SetString("2026-11-20T00:00:00Z")
		default:
			v.SetString("text")
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint32:
		v.SetUint(7)
	case reflect.Array: // a digest: all zeros is one
	case reflect.Float64:
		v.SetFloat(0.5)
	default:
		panic(fmt.Sprintf("no value for %s of kind %s", name, v.Kind()))
	}
}

type namedDocument struct {
	name string
	doc  *Document
}

func documents() []namedDocument {
	one := sample()
	one.Images = one.Images[:1]
	return []namedDocument{{"several images", sample()}, {"one image", one}, {"no image", &Document{}}, {"judged", judged()}}
}

// judged is a document with one finding of each status.
func judged() *Document {
	d := sample()
	d.Images = d.Images[:1]
	d.Filters = Filters{Sort: SortPriority, ShowSuppressed: true, Judged: []string{"web.vex.json"}}
	fs := d.Images[0].Findings
	for i, j := range []report.Judgement{
		{By: report.JudgedByVEX, Status: report.StatusNotAffected, Justification: "component_not_present", Date: "2026-01-02T00:00:00Z"},
		{By: report.JudgedByRule, Status: report.StatusIgnored, Statement: "not reachable", Until: "2027-01-01"},
		{By: report.JudgedByAttached, Status: report.StatusFixed},
		{By: report.JudgedByVEX, Status: report.StatusInvestigation},
		{By: report.JudgedByVEX, Status: report.StatusAffected, Statement: "update soon"},
	} {
		j.Document = "web.vex.json"
		fs[i].Judgement = &j
	}
	fs[3].FixState, fs[3].Exploited, fs[3].ExploitedSince, fs[3].EPSS, fs[3].EPSSPercentile = report.FixDeferred, true, "2026-01-02", 0.5, 0.9
	return d
}

// What is set aside is counted apart, shown on request, and marked in the forms
// that have a word for it.
func TestJudgements(t *testing.T) {
	d := judged()
	d.Finish()
	im := &d.Images[0]
	if c := im.Counts; c.Findings != 2 || c.Suppressed != 3 || c.Hidden != 0 || len(im.Findings) != 2 || len(im.Suppressed) != 3 {
		t.Errorf("got %+v", c)
	}
	// 50 + 10 (running) + 5 (fix) and 18 + 25 + 7 + 10.
	if im.Findings[0].Priority != 65 || im.Findings[1].Priority != 60 {
		t.Errorf("priorities %d, %d", im.Findings[0].Priority, im.Findings[1].Priority)
	}
	table := render(t, func(w io.Writer, d *Document) error { return Table(w, d, TableOptions{}) }, d)
	for _, want := range []string{"2 findings", "3 suppressed", "PRIORITY", "(fix deferred)", "  suppressed:\n",
		"not_affected: component_not_present (web.vex.json)", "affected: update soon (web.vex.json)"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if sarif := render(t, SARIF, d); strings.Count(sarif, `"suppressions"`) != 3 || !strings.Contains(sarif, `"ignored: not reachable (web.vex.json)"`) {
		t.Errorf("suppressions in\n%s", sarif)
	}
	bom := render(t, CycloneDX, d)
	for _, want := range []string{`"state": "not_affected"`, `"state": "resolved"`, `"state": "in_triage"`, `"state": "exploitable"`,
		`"justification": "code_not_present"`, `"will_not_fix"`, `"status": "unaffected"`} {
		if !strings.Contains(bom, want) {
			t.Errorf("no %s in the bill of materials", want)
		}
	}
	d = judged()
	d.Filters.ShowSuppressed = false
	d.Finish()
	if table := render(t, func(w io.Writer, d *Document) error { return Table(w, d, TableOptions{}) }, d); strings.Contains(table, "  suppressed:") || !strings.Contains(table, "3 suppressed") {
		t.Errorf("suppressed findings are listed unasked, or not counted:\n%s", table)
	}
}

// The schema of CycloneDX 1.6 comes with the library, in the module cache.
func TestCycloneDXSchema(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatalf("find the schema: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	docs := map[string]any{}
	for name, file := range map[string]string{
		"http://cyclonedx.org/schema/bom-1.6.schema.json":  "bom-1.6.schema.json",
		"http://cyclonedx.org/schema/spdx.schema.json":     "spdx.schema.json",
		"http://cyclonedx.org/schema/jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if docs[name], err = jsonschema.UnmarshalJSON(bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	s := compile(t, "http://cyclonedx.org/schema/bom-1.6.schema.json", docs)
	for _, tc := range documents() {
		t.Run(tc.name, func(t *testing.T) {
			tc.doc.Finish()
			text := render(t, CycloneDX, tc.doc)
			validate(t, s, text)
			checkRefs(t, text)
		})
	}
}

// checkRefs finds references to components that are not there, and components
// that share a name.
func checkRefs(t *testing.T, text string) {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	defined := map[string]bool{}
	var define func(v any)
	define = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["bom-ref"].(string); ok {
				if defined[ref] {
					t.Errorf("bom-ref %q is defined twice", ref)
				}
				defined[ref] = true
			}
			for _, x := range v {
				define(x)
			}
		case []any:
			for _, x := range v {
				define(x)
			}
		}
	}
	define(doc)
	var use func(v any)
	use = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["ref"].(string); ok && !defined[ref] {
				t.Errorf("ref %q leads nowhere", ref)
			}
			on, _ := v["dependsOn"].([]any)
			for _, ref := range on {
				if !defined[ref.(string)] {
					t.Errorf("dependency %q leads nowhere", ref)
				}
			}
			for _, x := range v {
				use(x)
			}
		case []any:
			for _, x := range v {
				use(x)
			}
		}
	}
	use(doc)
}

func TestCycloneDXContent(t *testing.T) {
	d := documents()[1].doc
	d.Finish()
	var got struct {
		SerialNumber string
		Metadata     struct {
			Component struct{ Name, Version, Type string }
		}
		Components      []struct{ Type, Name, Group, PURL string }
		Vulnerabilities []struct {
			ID      string
			Ratings []struct {
				Severity, Method, Vector string
				Score                    float64
			}
			Recommendation string
		}
	}
	if err := json.Unmarshal([]byte(render(t, CycloneDX, d)), &got); err != nil {
		t.Fatal(err)
	}
	if c := got.Metadata.Component; c.Name != "nginx" || c.Version != "1.25" || c.Type != "container" {
		t.Errorf("subject: %+v", c)
	}
	if len(got.Components) != 6 { // the distribution and five distinct packages
		t.Errorf("%d components", len(got.Components))
	}
	if len(got.Vulnerabilities) != 5 {
		t.Fatalf("%d vulnerabilities", len(got.Vulnerabilities))
	}
	v := got.Vulnerabilities[0]
	if r := v.Ratings[0]; v.ID != "CVE-2021-44228" || r.Severity != "critical" || r.Method != "CVSSv31" || r.Score != 10 {
		t.Errorf("worst: %+v", v)
	}
	if want := "update org.apache.logging.log4j:log4j-core to 2.15.0"; v.Recommendation != want {
		t.Errorf("recommendation %q, want %q", v.Recommendation, want)
	}
	d.Images[0].Names = []string{"other"}
	var other struct{ SerialNumber string }
	if err := json.Unmarshal([]byte(render(t, CycloneDX, d)), &other); err != nil {
		t.Fatal(err)
	}
	if other.SerialNumber == got.SerialNumber {
		t.Error("another content has the same serial number")
	}
}
