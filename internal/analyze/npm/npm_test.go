package npm

import (
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
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err == nil && facts != nil && (facts.Packages[0].Name == "" || facts.Packages[0].Version == "") {
			t.Errorf("unusable package %+v", facts.Packages[0])
		}
	})
}
