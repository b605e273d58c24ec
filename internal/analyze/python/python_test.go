package python

import (
	"archive/zip"
	"bytes"
	"errors"
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

const p = "/usr/lib/python3/site-packages/Some.Thing-1.2.dist-info/METADATA"

const good = `Metadata-Version: 2.1
Name: Some.Thing__here
Version: 1.2.post1
License: Folded text
 that goes on
        Name: not-a-name
Classifier: License :: OSI Approved :: MIT License
Requires-Dist: other>=1

Name: body
Version: 9
`

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), p, []byte(good)) }

func TestAnalyze(t *testing.T) {
	pkg := func(name, version string, licenses ...string) *report.Facts {
		return &report.Facts{Packages: []report.Package{{Type: report.TypePython, Name: name, Version: version, Licenses: licenses, Path: p}}}
	}
	const head = "Name: a\nVersion: 1\n"
	for _, tc := range []struct {
		name, text string
		want       *report.Facts
	}{
		{"all", good, pkg("some-thing-here", "1.2.post1", "Folded text")},
		{"expression", head + "License: old\nLicense-Expression: MIT OR Apache-2.0\n", pkg("a", "1", "MIT OR Apache-2.0")},
		{"classifiers", head + "License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\nClassifier: License :: Public Domain\nClassifier: Topic :: X\n",
			pkg("a", "1", "MIT License", "Public Domain")},
		{"CRLF", "Name: a\r\nVersion: 1\r\n\r\nName: b\r\n", pkg("a", "1")},
		{"first counts", head + "Version: 2\n", pkg("a", "1")},
		{"epoch and local", "Name: a\nVersion: 1!2.0+local.1\n", pkg("a", "1!2.0+local.1")},
		{"empty", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(tc.text)))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWants(t *testing.T) {
	for path, want := range map[string]bool{
		p:                              true,
		"/x/a-1.egg-info/PKG-INFO":     true,
		"/x/a-1.egg/EGG-INFO/PKG-INFO": true,
		"/x/a-1-py3.11.egg-info":       true,
		"/x/a-1.dist-info/RECORD":      false,
		"/x/METADATA":                  false,
		"/x/a/PKG-INFO":                false,
		"/x/a-1.egg-info/requires.txt": false,
		"/x/A-1.DIST-INFO/metadata":    true,
		"/x/a-1-py3.11.egg":            true,
		"/usr/bin/app.pyz":             true,
		"/x/a-1-py3-none-any.whl":      false,
	} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestWantsWithoutAllocation(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { New().Wants("/usr/share/doc/A/METADATA", nil) }); n != 0 {
		t.Errorf("Wants allocates %v times", n)
	}
}

// zipped is an archive of files and their contents, in order.
func zipped(t testing.TB, files ...string) []byte {
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

func TestArchives(t *testing.T) {
	const egg, app = "/usr/lib/python3/site-packages/Some.Thing-1.2-py3.11.egg", "/usr/bin/app.pyz"
	pkg := func(name, version, p string, licenses ...string) report.Package {
		return report.Package{Type: report.TypePython, Name: name, Version: version, Licenses: licenses, Path: p}
	}
	shiv := append([]byte("#!/usr/bin/env python3\n"), zipped(t, "__main__.py", "x",
		"site-packages/a-1.dist-info/METADATA", "Name: a\nVersion: 1\n", "site-packages/a-1.dist-info/RECORD", "",
		"site-packages/b.dist-info/METADATA", "Name: b\n",
		".deps/c-2-py3-none-any.whl/c-2.dist-info/METADATA", "Name: C\nVersion: 2\n\n"+strings.Repeat("text\n", 1<<18))...)
	t.Run("suite", func(t *testing.T) {
		analyzetest.Suite(t, New(), egg, zipped(t, "EGG-INFO/PKG-INFO", good))
	})
	for _, tc := range []struct {
		name, path string
		content    []byte
		want       []report.Package
		problems   int
	}{
		{"egg", egg, zipped(t, "EGG-INFO/PKG-INFO", good, "some/code.py", ""), []report.Package{pkg("some-thing-here", "1.2.post1", egg+"!EGG-INFO/PKG-INFO", "Folded text")}, 0},
		{"application", app, shiv, []report.Package{
			pkg("a", "1", app+"!site-packages/a-1.dist-info/METADATA"),
			pkg("c", "2", app+"!.deps/c-2-py3-none-any.whl/c-2.dist-info/METADATA"),
		}, 1},
		{"application without packages", app, zipped(t, "__main__.py", "x"), nil, 0},
		{"script", app, []byte("#!/usr/bin/env python3\nprint()\n"), nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			facts := analyzetest.Facts(t, New(), analyzetest.File(tc.path, tc.content))
			if facts == nil {
				facts = &report.Facts{}
			}
			if diff := cmp.Diff(tc.want, facts.Packages); diff != "" {
				t.Error(diff)
			}
			if len(facts.Problems) != tc.problems {
				t.Errorf("problems %v", facts.Problems)
			}
		})
	}
}

// An archive that Python itself has made.
func TestArchiveOfPython(t *testing.T) {
	dir := t.TempDir()
	info := filepath.Join(dir, "app", "demo-1.0.dist-info")
	if err := os.MkdirAll(info, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n", "../__main__.py": "print()\n"} {
		if err := os.WriteFile(filepath.Join(info, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "app.pyz")
	if b, err := exec.Command("python3", "-m", "zipapp", filepath.Join(dir, "app"), "-c", "-p", "/usr/bin/env python3", "-o", out).CombinedOutput(); err != nil {
		t.Skipf("no Python here: %v: %s", err, b)
	}
	facts := analyzetest.Facts(t, New(), analyzetest.Open(t, "/app.pyz", out))
	if facts == nil || len(facts.Packages) != 1 || facts.Packages[0].Name != "demo" || facts.Packages[0].Version != "1.0" {
		t.Errorf("got %+v", facts)
	}
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"Flask": "flask", "zope.interface": "zope-interface", "a__b--c..d": "a-b-c-d", "ruamel.yaml_clib": "ruamel-yaml-clib",
	} {
		if got := normalize(in); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

// What this machine's Python says of its distributions is what their files
// give.
func TestAgainstPython(t *testing.T) {
	const program = `import importlib.metadata as m
for d in m.distributions():
    p = getattr(d, "_path", None)
    if p: print(p, d.metadata["Name"], d.version, sep="\t")`
	out, err := exec.Command("python3", "-c", program).Output()
	if err != nil {
		if os.Getenv("REQUIRE_RUNTIMES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no Python here: %v", err)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		w := strings.Split(strings.TrimSpace(line), "\t")
		if len(w) != 3 {
			t.Fatalf("python prints %q", line)
		}
		path := w[0]
		if fi, err := os.Stat(path); err == nil && fi.IsDir() {
			for _, base := range []string{"/METADATA", "/PKG-INFO"} {
				if _, err := os.Stat(path + base); err == nil {
					path += base
					break
				}
			}
		}
		facts := analyzetest.Facts(t, New(), analyzetest.Open(t, path, path))
		if got := facts.Packages[0]; got.Name != normalize(w[1]) || got.Version != w[2] {
			t.Errorf("%s: got %s %s, want %s %s", path, got.Name, got.Version, w[1], w[2])
		}
		n++
	}
	if n == 0 {
		t.Skip("this machine's Python has no distributions")
	}
}

func TestDamaged(t *testing.T) {
	for _, text := range []string{"Name: a\n", "Version: 1\n", "nonsense\n", "Name: a b\nVersion: 1\n", "\nName: a\nVersion: 1\n"} {
		if _, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(text))); !errors.Is(err, errNoName) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(p, nil)
	f.Size = maxFileBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	many := zipped(t, slices.Repeat([]string{"a.dist-info/METADATA", "Name: a\nVersion: 1\n"}, maxDistributions+1)...)
	facts, err := New().Analyze(t.Context(), analyzetest.File("/a.egg", many))
	if !errors.Is(err, analyze.ErrLimit) || len(facts.Packages) != maxDistributions {
		t.Errorf("distributions: got %v", err)
	}
	bomb := zipped(t, "EGG-INFO/PKG-INFO", "Name: a\nX: "+strings.Repeat("x", 2*maxHeadBytes)+"\nVersion: 1\n")
	if facts := analyzetest.Facts(t, New(), analyzetest.File("/a.egg", bomb)); len(facts.Packages) != 0 || len(facts.Problems) != 1 {
		t.Errorf("head: got %+v", facts)
	}
	text := "Name: a\nVersion: 1\n" + strings.Repeat("X: y\n", maxLines)
	if _, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(text))); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("lines: got %v", err)
	}
	if _, err := New().Analyze(t.Context(), analyzetest.File(p, []byte("Name: "+strings.Repeat("a", maxTextBytes+1)+"\nVersion: 1\n"))); !errors.Is(err, errNoName) {
		t.Errorf("name: got %v", err)
	}
	var b strings.Builder
	b.WriteString("Name: a\nVersion: 1\nLicense: " + strings.Repeat("x", maxTextBytes+1) + "\n")
	for i := range maxLicenses + 1 {
		b.WriteString("Classifier: License :: L" + string(rune('a'+i)) + "\n")
	}
	facts = analyzetest.Facts(t, New(), analyzetest.File(p, []byte(b.String())))
	if n := len(facts.Packages[0].Licenses); n != maxLicenses {
		t.Errorf("got %d licences, want %d", n, maxLicenses)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("Name: \xff\nVersion: 1\n"))
	f.Add(zipped(f, "EGG-INFO/PKG-INFO", good))
	f.Fuzz(func(t *testing.T, b []byte) {
		if facts, err := New().Analyze(t.Context(), analyzetest.File("/a.egg", b)); err == nil && facts != nil {
			for _, p := range facts.Packages {
				if !plain(p.Name) || !strings.HasPrefix(p.Path, "/a.egg!") {
					t.Errorf("unusable package %+v", p)
				}
			}
		}
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err == nil && facts != nil && (!plain(facts.Packages[0].Name) || normalize(facts.Packages[0].Name) != facts.Packages[0].Name) {
			t.Errorf("unusable package %+v", facts.Packages[0])
		}
	})
}
