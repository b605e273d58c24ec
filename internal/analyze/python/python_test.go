package python

import (
	"errors"
	"os"
	"os/exec"
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
	} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
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
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(b.String())))
	if n := len(facts.Packages[0].Licenses); n != maxLicenses {
		t.Errorf("got %d licences, want %d", n, maxLicenses)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("Name: \xff\nVersion: 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err == nil && facts != nil && (!plain(facts.Packages[0].Name) || normalize(facts.Packages[0].Name) != facts.Packages[0].Name) {
			t.Errorf("unusable package %+v", facts.Packages[0])
		}
	})
}
