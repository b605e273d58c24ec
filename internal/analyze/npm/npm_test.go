package npm

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const p = "/app/node_modules/left/package.json"

func TestSuite(t *testing.T) {
	analyzetest.Suite(t, New(), p, []byte(`{"name": "left", "version": "1.2.3", "license": "MIT", "dependencies": {"a": "^1"}}`))
}

func TestAnalyze(t *testing.T) {
	pkg := func(name, version string, licenses ...string) *report.Facts {
		return &report.Facts{Packages: []report.Package{{Type: report.TypeNPM, Name: name, Version: version, Licenses: licenses, Path: p}}}
	}
	for _, tc := range []struct {
		name, text string
		want       *report.Facts
	}{
		{"plain", `{"name":"left","version":"1.2.3"}`, pkg("left", "1.2.3")},
		{"scoped", `{"name":"@a/left","version":"1.2.3-rc.1+b"}`, pkg("@a/left", "1.2.3-rc.1+b")},
		{"byte order mark", "\xef\xbb\xbf" + `{"name":"left","version":"1"}`, pkg("left", "1")},
		{"license", `{"name":"a","version":"1","license":"(MIT OR Apache-2.0)"}`, pkg("a", "1", "(MIT OR Apache-2.0)")},
		{"license as object", `{"name":"a","version":"1","license":{"type":"MIT","url":"x"}}`, pkg("a", "1", "MIT")},
		{"licenses", `{"name":"a","version":"1","licenses":[{"type":"MIT"},"BSD",3,null,["x"]]}`, pkg("a", "1", "MIT", "BSD")},
		{"license that is none", `{"name":"a","version":"1","license":7}`, pkg("a", "1")},
		{"other fields of any kind", `{"name":"a","version":"1","author":[{}],"main":false}`, pkg("a", "1")},
		{"no version", `{"name":"a"}`, nil},
		{"no name", `{"type":"commonjs"}`, nil},
		{"version of another kind", `{"name":"a","version":1}`, nil},
		{"blank", " \n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(tc.text)))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDeclared(t *testing.T) {
	for path, want := range map[string]bool{
		"/app/package.json":                                         false,
		"/package.json":                                             false,
		"/usr/lib/node_modules/npm/package.json":                    false,
		"/app/node_modules/@a/b/package.json":                       false,
		"/app/node_modules/a/node_modules/b/package.json":           false,
		"/app/node_modules/.pnpm/a@1/node_modules/a/package.json":   false,
		"/usr/share/nodejs/a/package.json":                          false,
		"/app/node_modules/a/test/fixture/package.json":             true,
		"/app/node_modules/@a/b/dist/package.json":                  true,
		"/app/node_modules/@a/package.json":                         true,
		"/app/node_modules/a/test/node_modules/b/deep/package.json": true,
	} {
		facts := analyzetest.Facts(t, New(), analyzetest.File(path, []byte(`{"name":"a","version":"1"}`)))
		if got := facts.Packages[0].Declared; got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

// yarn is an archive of files and their contents, in order.
func yarn(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const cached = "/app/.yarn/cache/@a-b-npm-1.0.0-cc910f9962-169fc20801.zip"

func TestArchivesOfYarn(t *testing.T) {
	pkg := func(name, version, inner string) report.Package {
		return report.Package{Type: report.TypeNPM, Name: name, Version: version, Path: cached + "!" + inner}
	}
	b := yarn(t,
		"node_modules/@a/b/package.json", `{"name":"@a/b","version":"1.0.0"}`,
		"node_modules/@a/b/test/package.json", `{"name":"fixture","version":"9"}`,
		"node_modules/@a/b/node_modules/c/package.json", `{"name":"c","version":"2.0.0"}`,
		"node_modules/@a/b/index.js", "")
	t.Run("suite", func(t *testing.T) { analyzetest.Suite(t, New(), cached, b) })
	facts := analyzetest.Facts(t, New(), analyzetest.File(cached, b))
	want := []report.Package{
		pkg("@a/b", "1.0.0", "node_modules/@a/b/package.json"),
		pkg("c", "2.0.0", "node_modules/@a/b/node_modules/c/package.json"),
	}
	if diff := cmp.Diff(want, facts.Packages); diff != "" {
		t.Error(diff)
	}
	for name, b := range map[string][]byte{"no archive": []byte("text"), "no package": yarn(t, "a/package.json", "{}")} {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(cached, b)); facts != nil || err != nil {
			t.Errorf("%s: got %v, %v", name, facts, err)
		}
	}
	for name, text := range map[string]string{"damaged": "{", "bomb": strings.Repeat(" ", maxArchivedBytes+1)} {
		facts := analyzetest.Facts(t, New(), analyzetest.File(cached, yarn(t, "node_modules/a/package.json", text)))
		if len(facts.Packages) != 0 || len(facts.Problems) != 1 {
			t.Errorf("%s: got %+v", name, facts)
		}
	}
	many := yarn(t, slices.Repeat([]string{"node_modules/a/package.json", `{"name":"a","version":"1"}`}, maxArchived+1)...)
	if facts, err := New().Analyze(t.Context(), analyzetest.File(cached, many)); !errors.Is(err, analyze.ErrLimit) || len(facts.Packages) != maxArchived {
		t.Errorf("packages: got %v", err)
	}
	for path, want := range map[string]bool{cached: true, "/root/.yarn/berry/cache/a.zip": true, "/app/a.zip": false, p: true} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestDamaged(t *testing.T) {
	for _, text := range []string{`{"name":"a"`, `[]`, `{"name":"a b","version":"1"}`, "{\"name\":\"a\",\"version\":\"1\\n2\"}", "\x00\x01"} {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(text))); err == nil || facts != nil {
			t.Errorf("%q: got %v, %v", text, facts, err)
		}
	}
}

// The packages of npm itself are those that npm lists.
func TestAgainstNPM(t *testing.T) {
	out, err := exec.Command("npm", "ls", "--global", "--all", "--json", "--long").Output()
	if err != nil && len(out) == 0 {
		if os.Getenv("REQUIRE_RUNTIMES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no npm here: %v", err)
	}
	type node struct {
		Path         string          `json:"path"`
		Name         string          `json:"name"`
		Version      string          `json:"version"`
		Dependencies map[string]node `json:"dependencies"`
	}
	var tree node
	if err := json.Unmarshal(out, &tree); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	var walk func(n node)
	walk = func(n node) {
		if n.Version != "" && n.Path != "" {
			want[filepath.Join(n.Path, "package.json")] = n.Name + "@" + n.Version
		}
		for _, d := range n.Dependencies {
			walk(d)
		}
	}
	for _, d := range tree.Dependencies {
		walk(d)
	}
	if len(want) < 20 {
		t.Fatalf("npm lists %d packages", len(want))
	}
	got := map[string]string{}
	for path := range want {
		facts := analyzetest.Facts(t, New(), analyzetest.Open(t, path, path))
		if len(facts.Packages) == 1 && !facts.Packages[0].Declared {
			got[path] = facts.Packages[0].Name + "@" + facts.Packages[0].Version
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// And nothing that counts as installed is missing from npm's list.
	for _, d := range tree.Dependencies {
		if d.Path == "" || d.Name == "corepack" { // corepack bundles no modules
			continue
		}
		var extra []string
		_ = filepath.WalkDir(d.Path, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && New().Wants(path, nil) && want[path] == "" {
				if facts, err := New().Analyze(t.Context(), analyzetest.Open(t, path, path)); err == nil && facts != nil && !facts.Packages[0].Declared {
					extra = append(extra, path)
				}
			}
			return nil
		})
		slices.Sort(extra)
		if len(extra) > 0 {
			t.Logf("below %s and not in npm's list: %q", d.Path, extra)
		}
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(p, nil)
	f.Size = maxFileBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	long := strings.Repeat("a", maxTextBytes+1)
	if _, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(`{"name":"`+long+`","version":"1"}`))); err == nil {
		t.Error("a long name is accepted")
	}
	list := strings.Repeat(`"MIT",`, maxLicenses) + `"BSD"`
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(`{"name":"a","version":"1","license":"`+long+`","licenses":[`+list+`]}`)))
	if n := len(facts.Packages[0].Licenses); n != maxLicenses {
		t.Errorf("got %d licences, want %d", n, maxLicenses)
	}
	deep := strings.Repeat("[", 1<<20)
	if _, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(`{"name":"a","version":"1","x":`+deep))); err == nil {
		t.Error("a million levels are accepted")
	}
}

func FuzzPackageJSON(f *testing.F) {
	f.Add([]byte(`{"name":"a","version":"1","licenses":[{"type":"MIT"},"BSD",[]]}`))
	f.Add([]byte(`{"name":1,"license":{"type":{}}}`))
	f.Add(yarn(f, "node_modules/a/package.json", `{"name":"a","version":"1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(cached, b)); err == nil && facts != nil {
			for _, pkg := range facts.Packages {
				if pkg.Name == "" || !strings.HasPrefix(pkg.Path, cached+"!") {
					t.Errorf("unusable package %+v", pkg)
				}
			}
		}
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err == nil && facts != nil && (facts.Packages[0].Name == "" || facts.Packages[0].Version == "") {
			t.Errorf("unusable package %+v", facts.Packages[0])
		}
	})
}
