package conan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const p = "/root/.conan/data/mfast/1.2.2/_/_/package/9d1f076b471417647c2022a78d5e2c1f834289ac/conaninfo.txt"

// good has the sections and forms that Conan 1.59 writes.
const good = `[settings]
    arch=x86_64
    compiler=gcc

[requires]
    boost/1.Y.Z

[options]
    shared=False

[full_requires]
    boost/1.75.0:dc8aedd23a0f0a773a5fcdcfe1ae3e89c4205978
    fmt/9.1.0@mine/stable#0:ab
    libbacktrace/cci.20210118

[full_options]
    boost:shared=False
`

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), p, []byte(good)) }

func TestAnalyze(t *testing.T) {
	pkg := func(name, version string, declared bool) report.Package {
		return report.Package{Type: report.TypeConan, Name: name, Version: version, Path: p, Declared: declared}
	}
	own := pkg("mfast", "1.2.2", false)
	for _, tc := range []struct {
		name, text string
		want       []report.Package
		problems   int
	}{
		{"all", good, []report.Package{own, pkg("boost", "1.75.0", true), pkg("fmt", "9.1.0", true), pkg("libbacktrace", "cci.20210118", true)}, 0},
		{"alone", "", []report.Package{own}, 0},
		{"unusable", "[full_requires]\nboost\na b/1\n" + strings.Repeat("a", maxTextBytes+1) + "/1\n", []report.Package{own}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(tc.text)))
			if diff := cmp.Diff(tc.want, facts.Packages); diff != "" {
				t.Error(diff)
			}
			if len(facts.Problems) != tc.problems {
				t.Errorf("problems %v", facts.Problems)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]bool{p: true, "/src/conaninfo.txt": false, "/x/package/a/b/conaninfo.txt": true} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
	// A copy elsewhere does not name itself.
	if facts, err := New().Analyze(t.Context(), analyzetest.File("/x/package/a/b/conaninfo.txt", nil)); facts != nil || err != nil {
		t.Errorf("got %v, %v", facts, err)
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(p, nil)
	f.Size = maxFileBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	var b strings.Builder
	b.WriteString("[full_requires]\n")
	for i := range maxRequires + 1 {
		fmt.Fprintf(&b, "a%d/1\n", i)
	}
	facts, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(b.String())))
	if !errors.Is(err, analyze.ErrLimit) || len(facts.Packages) != maxRequires+1 {
		t.Errorf("requirements: got %v", err)
	}
}

func FuzzConaninfo(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err != nil || facts == nil {
			return
		}
		for _, pkg := range facts.Packages {
			if !plain(pkg.Name) || !plain(pkg.Version) {
				t.Errorf("unusable package %+v", pkg)
			}
		}
	})
}
