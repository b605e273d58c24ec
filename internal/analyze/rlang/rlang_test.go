package rlang

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const p = "/usr/local/lib/R/site-library/Rcpp/DESCRIPTION"

// real is a DESCRIPTION of Debian's r-cran-rcpp or r-base-core.
func real(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), p, real(t, "Rcpp")) }

func TestAnalyze(t *testing.T) {
	pkg := func(name, version string, licenses ...string) *report.Facts {
		return &report.Facts{Packages: []report.Package{{Type: report.TypeCRAN, Name: name, Version: version, Licenses: licenses, Path: p}}}
	}
	for _, tc := range []struct {
		name, text string
		want       *report.Facts
	}{
		{"contributed", string(real(t, "Rcpp")), pkg("Rcpp", "1.0.10", "GPL (>= 2)")},
		{"of R itself", string(real(t, "stats")), pkg("stats", "4.2.2", "Part of R 4.2.2")},
		{"version with a hyphen, CRLF", "Package: a.b\r\nVersion: 0.1-2\r\nBuilt: R 3.6.0; ; x\r\n", pkg("a.b", "0.1-2")},
		{"of R itself, without code", "Package: translations\nVersion: 4.2.2\nLicense: Part of R 4.2.2\n", pkg("translations", "4.2.2", "Part of R 4.2.2")},
		{"source", "Package: a\nVersion: 1\n", nil},
		{"something else", "This is a description.\n", nil},
		{"folded", "Description: x\n Package: no\n\tBuilt: R 1\nPackage: a\nVersion: 1\n", nil},
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

func TestDamaged(t *testing.T) {
	for _, text := range []string{"Built: R 4\n", "Package: a\nBuilt: R 4\n", "Package: a b\nVersion: 1\nBuilt: R 4\n", "Package: " + strings.Repeat("a", maxTextBytes+1) + "\nVersion: 1\nBuilt: R 4\n"} {
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
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte("Package: a\nVersion: 1\nBuilt: R 4\nLicense: "+strings.Repeat("x", maxTextBytes+1))))
	if len(facts.Packages[0].Licenses) != 0 {
		t.Error("a long licence is kept")
	}
	if New().Wants("/usr/share/doc/x/DESCRIPTION.gz", nil) || !New().Wants(p, nil) {
		t.Error("wants the wrong files")
	}
}

func FuzzDescription(f *testing.F) {
	f.Add(real(f, "Rcpp"))
	f.Add([]byte("Package: a\nVersion: 1\nBuilt: R 4\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err == nil && facts != nil && (!plain(facts.Packages[0].Name) || !plain(facts.Packages[0].Version)) {
			t.Errorf("unusable package %+v", facts.Packages[0])
		}
	})
}
