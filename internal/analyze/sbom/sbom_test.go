package sbom

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

var samples = []string{"alpine.cdx.json", "alpine.cdx.xml", "alpine.spdx.json", "alpine.spdx"}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuite(t *testing.T) {
	for _, s := range samples {
		analyzetest.Suite(t, New(), "/usr/local/share/sbom/"+s, read(t, s))
	}
}

func TestWants(t *testing.T) {
	for p, want := range map[string]bool{
		"/app/x.cdx.json": true, "/app/x.cdx.xml": true, "/app/x.spdx.json": true, "/app/x.spdx": true,
		"/app/bom.json": true, "/app/sbom.json": true, "/app/my-sbom.json": true, "/app/my.bom.xml": true, "/bom.xml": true,
		"/app/bombom.json": false, "/app/carbom.json": false, "/app/package.json": false, "/app/x.xml": false, "/app/x.spdx.rdf": false,
		"/opt/bitnami/redis/.spdx-redis.spdx": true, "/usr/local/share/sbom/app.json": true, "/usr/local/share/sbom/app.txt": false,
	} {
		if got := New().Wants(p, analyzetest.Info{}); got != want {
			t.Errorf("%s: got %v", p, got)
		}
	}
	if testing.AllocsPerRun(10, func() { New().Wants("/usr/share/long/path/to/some-sbom.json", analyzetest.Info{}) }) > 0 {
		t.Error("allocates")
	}
	for head, want := range map[string]bool{"{\n": true, "  {": true, "<?xm": true, "SPDX": true, "\xef\xbb\xbf{": true, "##": true, "\x7fELF": false, "PK\x03\x04": false} {
		if New().Sniff([]byte(head)) != want {
			t.Errorf("sniffs %q wrongly", head)
		}
	}
}

// The four formats of one bill say the same, with the sources of packages.
func TestFormats(t *testing.T) {
	var first []report.Package
	for _, s := range samples {
		p := "/usr/local/share/sbom/" + s
		facts := analyzetest.Facts(t, New(), analyzetest.File(p, read(t, s)))
		if len(facts.Problems) > 0 {
			t.Errorf("%s: %v", s, facts.Problems)
		}
		r := report.LayerReport{Packages: facts.Packages}
		r.Normalize()
		for i := range r.Packages {
			if r.Packages[i].Path != p || !r.Packages[i].SBOM || r.Packages[i].Declared {
				t.Errorf("%s: %+v", s, r.Packages[i])
			}
			r.Packages[i].Path = ""
		}
		if first == nil {
			first = r.Packages
		}
		if diff := cmp.Diff(first, r.Packages); diff != "" {
			t.Errorf("%s: %s", s, diff)
		}
	}
	want := report.Package{Type: report.TypeAPK, Name: "ssl_client", Version: "1.29.3-r10", Arch: "x86_64", Source: "busybox", Vendor: "alpine", SBOM: true}
	if len(first) != 14 {
		t.Errorf("got %d packages, want 14", len(first))
	}
	for _, p := range first {
		if p.Name == want.Name {
			if diff := cmp.Diff(want, p); diff != "" {
				t.Error(diff)
			}
			return
		}
	}
	t.Error("ssl_client is missing")
}

func TestPURL(t *testing.T) {
	for purl, want := range map[string]string{
		"pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&upstream=glibc%402.36-9": "deb libc6 2.36-9+deb12u4 amd64 glibc 2.36-9",
		"pkg:deb/debian/a@1?epoch=2": "deb a 2:1",
		"pkg:rpm/redhat/bash@5.1-2.el9?arch=x86_64&epoch=1&upstream=bash-5.1-2.el9.src.rpm": "rpm bash 1:5.1-2.el9 x86_64  5.1-2.el9",
		"pkg:rpm/redhat/a@1-2?epoch=0&upstream=b-1-2.src.rpm":                               "rpm a 1-2  b",
		"pkg:npm/%40babel/core@7.0.0":                                                       "npm @babel/core 7.0.0",
		"pkg:golang/golang.org/x/net@v0.1.0":                                                "golang golang.org/x/net v0.1.0",
		"pkg:golang/stdlib@go1.22.1":                                                        "golang stdlib 1.22.1",
		"pkg:maven/org.yaml/snakeyaml@1.30":                                                 "maven org.yaml:snakeyaml 1.30",
		"pkg:pypi/Typing_Extensions@4.0":                                                    "pypi typing-extensions 4.0",
		"pkg:bitnami/nginx@1.25.3-0?arch=amd64&distro=debian-11":                            "bitnami nginx 1.25.3-0 amd64",
		"pkg:generic/openssl@3.0.1":                                                         "generic openssl 3.0.1",
		"pkg:generic/acme/thing@3":                                                          "",
		"pkg:github/anchore/syft@v1":                                                        "",
		"pkg:npm/left-pad":                                                                  "",
	} {
		p, ok, err := fromPURL(purl)
		got := ""
		if ok {
			got = strings.TrimRight(strings.Join([]string{p.Type, p.Name, p.Version, p.Arch, p.Source, p.SourceVersion}, " "), " ")
		}
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", purl, got, err, want)
		}
	}
	for _, bad := range []string{"nonsense", "pkg:npm/a%20b@1", "pkg:npm/" + strings.Repeat("a", maxFieldBytes+1) + "@1", "pkg:npm/" + strings.Repeat("a", maxPURLBytes)} {
		if _, _, err := fromPURL(bad); err == nil {
			t.Errorf("%.40s is taken", bad)
		}
	}
}

func names(facts *report.Facts) string {
	if facts == nil {
		return ""
	}
	var out []string
	for _, p := range facts.Packages {
		n := p.Name + "@" + p.Version
		if p.Declared {
			n += "?"
		}
		out = append(out, n)
	}
	return strings.Join(out, " ")
}

func TestDocuments(t *testing.T) {
	for _, tc := range []struct{ name, path, text, want string }{
		{"nested components and the described one", "/usr/share/sbom/x.cdx.json",
			`{"bomFormat":"CycloneDX","metadata":{"tools":{"components":[{"purl":"pkg:npm/tool@1"}]},"component":{"purl":"pkg:npm/app@1"}},
			"components":[{"name":"a","purl":"pkg:npm/a@1","components":[{"purl":"pkg:npm/b@2"}]},{"name":"none"},{"purl":"pkg:npm/a@1"}]}`,
			"app@1 b@2 a@1"},
		{"SPDX 3", "/usr/share/sbom/x.spdx.json",
			`{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[{"type":"software_Package","software_packageUrl":"pkg:npm/a@1"},
			{"type":"software_Package","externalIdentifier":[{"externalIdentifierType":"cpe23","identifier":"cpe:"},{"externalIdentifierType":"packageUrl","identifier":"pkg:npm/b@1"}]},{"type":"Person"}]}`,
			"a@1 b@1"},
		{"attestation", "/usr/share/sbom/x.spdx.json", `{"predicate":{"packages":[{"externalRefs":[{"referenceLocator":"pkg:npm/a@1","referenceType":"purl"}]}]}}`, "a@1"},
		{"byte order mark", "/usr/share/sbom/x.cdx.json", "\xef\xbb\xbf" + `{"components":[{"purl":"pkg:npm/a@1"}]}`, "a@1"},
		{"of some file", "/app/x.cdx.json", `{"components":[{"purl":"pkg:npm/a@1"}]}`, "a@1?"},
		{"of the root", "/sbom.json", `{"components":[{"purl":"pkg:npm/a@1"}]}`, "a@1"},
		{"prefixes in XML", "/bom.xml", `<?xml version="1.0"?><b:bom xmlns:b="http://cyclonedx.org/schema/bom/1.5"><b:components><b:component><b:purl> pkg:npm/a@1 </b:purl></b:component></b:components></b:bom>`, "a@1"},
		{"purl elsewhere in XML", "/bom.xml", `<bom><x><purl>pkg:npm/a@1</purl></x></bom>`, ""},
		{"other XML", "/bom.xml", `<project><component><purl>pkg:npm/a@1</purl></component></project>`, ""},
		{"other JSON", "/bom.json", `{"components":{"a":1},"packages":["x"],"metadata":3,"@graph":null,"predicate":[]}`, ""},
		{"other text", "/opt/bitnami/x.spdx", "SPDX is fine\nExternalRef: PACKAGE-MANAGER purl pkg:npm/a@1\n", ""},
		{"Bitnami's tags and values", "/opt/bitnami/redis/.spdx-redis.spdx",
			"SPDXVersion: SPDX-2.3\n\nPackageName: redis\nExternalRef: SECURITY cpe23Type cpe:2.3:*\nExternalRef: PACKAGE-MANAGER purl pkg:bitnami/redis@7.4.1-0?arch=arm64&distro=debian-12\n", "redis@7.4.1-0"},
		{"a field of another type", "/bom.json", `{"components":[{"purl":{"a":[1]}},{"purl":"pkg:npm/a@1"}]}`, "a@1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			facts := analyzetest.Facts(t, New(), analyzetest.File(tc.path, []byte(tc.text)))
			if got := names(facts); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// What stands before the damage is kept, and a bad URL costs only itself.
func TestDamage(t *testing.T) {
	facts, err := New().Analyze(t.Context(), analyzetest.File("/bom.json", []byte(`{"components":[{"purl":"pkg:npm/a@1"},{"purl":"nonsense"},{"purl":"pkg:npm/b@1"},{"pu`)))
	if err == nil || names(facts) != "a@1 b@1" || len(facts.Problems) != 1 {
		t.Errorf("got %v, %+v", err, facts)
	}
	facts, err = New().Analyze(t.Context(), analyzetest.File("/bom.xml", []byte(`<bom><component><purl>pkg:npm/a@1</purl></component></other>`)))
	if err == nil || names(facts) != "a@1" {
		t.Errorf("got %v, %+v", err, facts)
	}
}

func TestLimits(t *testing.T) {
	want := func(what string, f analyze.File) *report.Facts {
		t.Helper()
		facts, err := New().Analyze(t.Context(), f)
		if !errors.Is(err, analyze.ErrLimit) {
			t.Errorf("%s: got %v", what, err)
		}
		return facts
	}
	f := analyzetest.File("/bom.json", nil)
	f.Size = maxFileBytes + 1
	want("bytes", f)
	f = analyzetest.File("/bom.xml", []byte("<bom>"))
	f.Size = maxXMLBytes + 1
	want("bytes of XML", f)
	want("skipped levels", analyzetest.File("/bom.json", []byte(`{"x":`+strings.Repeat("[", maxSkipDepth+1))))
	want("levels", analyzetest.File("/bom.json", []byte(`{"components":[`+strings.Repeat(`{"components":[`, maxDepth))))
	want("levels of XML", analyzetest.File("/bom.xml", []byte("<bom>"+strings.Repeat("<component>", maxDepth))))
	want("token", analyzetest.File("/bom.json", []byte(`{"x":"`+strings.Repeat(`\"`, maxTokenBytes)+`"}`)))
	want("number", analyzetest.File("/bom.json", []byte(`{"x":`+strings.Repeat(`1`, maxTokenBytes+100)+`}`)))
	var b bytes.Buffer
	b.WriteString("SPDXVersion: SPDX-2.3\n")
	for i := range maxPackages + 1 {
		b.WriteString("ExternalRef: PACKAGE-MANAGER purl pkg:npm/a@" + string(rune('0'+i%10)) + "." + strings.Repeat("1", i/10%100) + "." + strings.Repeat("2", i/1000) + "\n")
	}
	if facts := want("packages", analyzetest.File("/a.spdx", b.Bytes())); len(facts.Packages) != maxPackages {
		t.Errorf("packages: %d are kept", len(facts.Packages))
	}
}

// The bills that a Go module of ours carries, made by its author's own tool.
func TestRealBills(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "modernc.org/sqlite").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skip("no module cache here")
	}
	var sets []string
	for _, base := range []string{"sbom.cdx.json", "sbom.spdx.json"} {
		p := filepath.Join(dir, base)
		if _, err := os.Stat(p); err != nil {
			t.Skip(err)
		}
		facts := analyzetest.Facts(t, New(), analyzetest.Open(t, "/srv/"+base, p))
		if len(facts.Packages) < 5 || len(facts.Problems) > 0 {
			t.Errorf("%s: %d packages, %v", base, len(facts.Packages), facts.Problems)
		}
		r := report.LayerReport{Packages: facts.Packages}
		r.Normalize()
		sets = append(sets, names(&report.Facts{Packages: r.Packages}))
	}
	if diff := cmp.Diff(sets[0], sets[1]); diff != "" {
		t.Errorf("the two bills differ: %s", diff)
	}
}

func FuzzBill(f *testing.F) {
	for _, s := range samples {
		b := read(f, s)
		f.Add(b[:min(len(b), 4000)])
	}
	f.Add([]byte(`{"@graph":[{"externalIdentifier":[{"externalIdentifierType":"packageUrl","identifier":"pkg:npm/b@1"}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File("/bom.json", b))
		if err != nil || facts == nil {
			return
		}
		for _, p := range facts.Packages {
			if !analyze.Plain(p.Name) || !analyze.Plain(p.Version) || p.Type == "" {
				t.Errorf("unusable package %+v", p)
			}
		}
	})
}
