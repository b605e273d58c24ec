package composer

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const p = "/srv/app/vendor/composer/installed.json"

// real is what Composer 2.5 wrote for two packages from directories.
func real(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/installed.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), p, real(t)) }

func TestAnalyze(t *testing.T) {
	db := func(ps ...report.Package) *report.Facts {
		return &report.Facts{Database: &report.Database{Path: p, Packages: ps}}
	}
	pkg := func(name, version string, licenses ...string) report.Package {
		return report.Package{Type: report.TypeComposer, Name: name, Version: version, Licenses: licenses, Path: p}
	}
	for _, tc := range []struct {
		name, text string
		want       *report.Facts
	}{
		{"real", string(real(t)), db(pkg("acme/dev-tool", "v2.0.0-beta1", "MIT", "GPL-2.0-only"), pkg("acme/lib", "1.4.2", "MIT"))},
		{"version 1", `[{"name":"a/b","version":"1.0","license":"MIT"}]`, db(pkg("a/b", "1.0", "MIT"))},
		{"branch", `{"packages":[{"name":"a/b","version":"dev-main"}]}`, db(pkg("a/b", "dev-main"))},
		{"license of another kind", `{"packages":[{"name":"a/b","version":"1","license":{"x":1}}]}`, db(pkg("a/b", "1"))},
		{"nothing installed", `{"packages":[]}`, db()},
		{"empty", " \n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(tc.text)))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(`[{"name":"a b","version":"1"},{"name":"a/b"},{"name":1},{"name":"a/b","version":"1"}]`)))
	if len(facts.Database.Packages) != 1 || len(facts.Problems) != 3 {
		t.Errorf("got %+v", facts)
	}
}

func TestWants(t *testing.T) {
	for path, want := range map[string]bool{
		p: true, "/app/lib/composer/installed.json": true, "/app/installed.json": false, "/app/vendor/composer/installed.php": false,
	} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestDamaged(t *testing.T) {
	for _, text := range []string{"{", "3", `{"packages":{}}`, `[{"name":"a/b","version":"1"}`} {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(text))); facts != nil || err == nil {
			t.Errorf("%q: got %v, %v", text, facts, err)
		}
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(p, nil)
	f.Size = maxFileBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	b, err := json.Marshal(make([]installed, maxPackages+1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New().Analyze(t.Context(), analyzetest.File(p, b)); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("packages: got %v", err)
	}
	long := strings.Repeat("a", maxTextBytes+1)
	many := strings.Repeat(`"MIT",`, maxLicenses)
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(`[{"name":"`+long+`","version":"1"},{"name":"a/b","version":"1","license":["`+long+`",`+many+`"BSD"]}]`)))
	if len(facts.Problems) != 1 || len(facts.Database.Packages[0].Licenses) != maxLicenses {
		t.Errorf("got %+v", facts)
	}
}

func FuzzInstalled(f *testing.F) {
	f.Add(real(f))
	f.Add([]byte(`[{"name":"a/b","version":"1.0","license":"MIT"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err != nil || facts == nil {
			return
		}
		for _, pkg := range facts.Database.Packages {
			if !plain(pkg.Name) || !plain(pkg.Version) {
				t.Errorf("unusable package %+v", pkg)
			}
		}
	})
}
