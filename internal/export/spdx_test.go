package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/analyze/sbom"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/shareddata"
)

// The schema of SPDX 2.3 comes with syft, in the module cache: it is a tool of
// the comparisons.
func TestSPDXSchema(t *testing.T) {
	cmd := exec.Command("go", "mod", "download", "-json", "github.com/anchore/syft")
	cmd.Dir = filepath.Join(shareddata.Root(), "test", "oracle", "tools")
	out, err := cmd.Output()
	var module struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil {
		t.Fatalf("find the schema: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(module.Dir, "schema", "spdx-json", "spdx-schema-2.3.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	s := compile(t, "spdx.json", map[string]any{"spdx.json": doc})
	for _, tc := range documents() {
		t.Run(tc.name, func(t *testing.T) {
			tc.doc.Finish()
			text := render(t, SPDX, tc.doc)
			validate(t, s, text)
			checkSPDX(t, text)
		})
	}
}

var (
	spdxID      = regexp.MustCompile(`^SPDXRef-[a-zA-Z0-9.-]+$`)
	spdxDate    = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)
	licenseRefs = regexp.MustCompile(`LicenseRef-[a-zA-Z0-9.-]+`)
)

// checkSPDX looks for what the specification demands and the schema does not say.
func checkSPDX(t *testing.T, text string) {
	t.Helper()
	var d spdxDocument
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	if d.Version != "SPDX-2.3" || d.DataLicense != "CC0-1.0" || d.Name == "" || strings.Contains(d.Namespace, "#") || !spdxDate.MatchString(d.CreationInfo.Created) {
		t.Errorf("head: %s %s %q %s %s", d.Version, d.DataLicense, d.Name, d.Namespace, d.CreationInfo.Created)
	}
	if !regexp.MustCompile(`^\d+\.\d+$`).MatchString(d.CreationInfo.LicenseListVersion) {
		t.Errorf("version of the list of licences: %s", d.CreationInfo.LicenseListVersion)
	}
	defined, described := map[string]bool{d.ID: true}, map[string]bool{}
	own := map[string]bool{}
	for _, l := range d.Licenses {
		own[l.ID] = true
		if !licenseRefs.MatchString(l.ID) || l.Text == "" {
			t.Errorf("license %+v", l)
		}
	}
	for _, p := range d.Packages {
		if !spdxID.MatchString(p.ID) || defined[p.ID] || p.Name == "" || p.DownloadLocation == "" {
			t.Errorf("package %+v", p)
		}
		defined[p.ID] = true
		for _, l := range licenseRefs.FindAllString(p.LicenseDeclared, -1) {
			if !own[l] {
				t.Errorf("%s has a licence that is not there: %s", p.Name, l)
			}
		}
		for _, r := range p.ExternalRefs {
			if r.Locator == "" || strings.ContainsAny(r.Locator, " \n") {
				t.Errorf("%s: reference %+v", p.Name, r)
			}
		}
	}
	for _, r := range d.Relationships {
		if !defined[r.From] || !defined[r.To] {
			t.Errorf("leads nowhere: %+v", r)
		}
		described[r.To] = true
	}
	for id := range defined {
		if id != d.ID && !described[id] {
			t.Errorf("nothing leads to %s", id)
		}
	}
}

func TestSPDXContent(t *testing.T) {
	doc := documents()[1].doc
	im := &doc.Images[0]
	sum := sha256.Sum256([]byte("node"))
	node := Package{report.Package{Type: report.TypeGeneric, Name: "node", Version: "22.1.0", Path: "/usr/bin/node", OwnedBy: "deb:openssl", Licenses: []string{"mit", "Artistic or so", "GPL-2.0-or-later OR Apache-2.0"}}, "pkg:generic/node@22.1.0"}
	im.Packages = append(im.Packages, node)
	im.Files = []report.File{{Path: "/usr/bin/node", SHA256: sum}, {Path: "/usr/bin/other", SHA256: sum}}
	doc.Finish()
	var got spdxDocument
	if err := json.Unmarshal([]byte(render(t, SPDX, doc)), &got); err != nil {
		t.Fatal(err)
	}
	byName := map[string]spdxPackage{}
	ids := map[string]string{}
	for _, p := range got.Packages {
		byName[p.Name], ids[p.ID] = p, p.Name
	}
	image := byName["nginx"]
	if image.Version != "1.25" || image.Purpose != "CONTAINER" || len(image.Checksums) != 1 || !strings.Contains(image.Annotations[0].Comment, "\nonceover:image:layer=sha256:") {
		t.Errorf("image: %+v", image)
	}
	p := byName["node"]
	const license = "(GPL-2.0-or-later OR Apache-2.0) AND LicenseRef-Artistic-or-so-"
	if !strings.HasPrefix(p.LicenseDeclared, license) || !strings.HasSuffix(p.LicenseDeclared, " AND MIT") || p.Purpose != "APPLICATION" {
		t.Errorf("node: %+v", p)
	}
	if diff := cmp.Diff([]spdxChecksum{{"SHA256", hex.EncodeToString(sum[:])}}, p.Checksums); diff != "" {
		t.Error(diff)
	}
	if len(got.Licenses) != 1 || got.Licenses[0].Text != "Artistic or so" {
		t.Errorf("licences: %+v", got.Licenses)
	}
	log4j := byName["org.apache.logging.log4j:log4j-core"].ExternalRefs
	want := spdxReference{"SECURITY", "advisory", "https://example.org/GHSA-jfh8-c2jp-5v3q", "CVE-2021-44228, GHSA-jfh8-c2jp-5v3q, GO-0: Critical, fixed in 2.15.0"}
	if len(log4j) != 2 || log4j[0].Locator != "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1" || log4j[1] != want {
		t.Errorf("references: %+v", log4j)
	}
	var relations []string
	for _, r := range got.Relationships {
		if name := ids[r.To]; name != "openssl" && name != "libssl3" && name != "lodash" {
			relations = append(relations, ids[r.From]+" "+r.Type+" "+name)
		}
	}
	slices.Sort(relations)
	if diff := cmp.Diff([]string{
		" DESCRIBES nginx", "nginx CONTAINS debian", "nginx CONTAINS node", "nginx CONTAINS org.apache.logging.log4j:log4j-core",
		"nginx OTHER left-pad", "openssl CONTAINS node",
	}, relations); diff != "" {
		t.Error(diff)
	}
	if got.CreationInfo.Created != "2026-01-02T03:04:05Z" {
		t.Errorf("created %s", got.CreationInfo.Created)
	}
	before := got.Namespace
	im.Names = []string{"other"}
	if err := json.Unmarshal([]byte(render(t, SPDX, doc)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Namespace == before {
		t.Error("another content has the same namespace")
	}
}

// Our own reader of bills of materials finds the packages that were written.
func TestSBOMsAreRead(t *testing.T) {
	doc := documents()[1].doc
	doc.Inventory = true
	doc.Finish()
	var want []string
	for _, p := range doc.Images[0].Packages {
		if !slices.Contains(want, p.PURL) && !p.Declared {
			want = append(want, p.PURL)
		}
	}
	slices.Sort(want)
	for name, write := range map[string]string{"x.spdx.json": render(t, SPDX, doc), "x.cdx.json": render(t, CycloneDX, doc)} {
		if strings.Contains(write, "CVE-") || strings.Contains(write, "onceover:advisories") {
			t.Errorf("%s: an inventory tells of advisories", name)
		}
		facts := analyzetest.Facts(t, sbom.New(), analyzetest.File("/"+name, []byte(write)))
		var got []string
		for _, p := range facts.Packages {
			if purl := report.PURL(p, report.Distro{ID: "debian", VersionID: "12"}); !p.Declared {
				got = append(got, purl)
			}
		}
		slices.Sort(got)
		got = slices.Compact(got)
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %s is not found in %q", name, w, got)
			}
		}
	}
}

func FuzzExpressionOf(f *testing.F) {
	for _, s := range []string{"MIT", "(MIT OR Apache-2.0) AND Zlib", "GPL-2.0+ WITH Classpath-exception-2.0", "LicenseRef-x", "DocumentRef-a:LicenseRef-b", "((((", "MIT AND", "and or with", "+", ":", "\x00\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := expressionOf(s)
		if e != "" && expressionOf(e) != e {
			t.Errorf("%q becomes %q, and that %q", s, e, expressionOf(e))
		}
	})
}
