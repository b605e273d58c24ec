package lua

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

const p = "/usr/local/lib/luarocks/rocks-5.4/mymod/1.2.3-2/mymod-1.2.3-2.rockspec"

// real is what LuaRocks 3.8 installed.
func real(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/mymod-1.2.3-2.rockspec")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), p, real(t)) }

func TestAnalyze(t *testing.T) {
	for _, tc := range []struct {
		name, path, text string
		want             report.Package
	}{
		{"real", p, string(real(t)), report.Package{Name: "mymod", Version: "1.2.3-2", Licenses: []string{"MIT/X11"}}},
		{"name with a hyphen", "/x/luarocks/rocks/lua-cjson/scm-1/lua-cjson-scm-1.rockspec", "license = 'MIT',\n", report.Package{Name: "lua-cjson", Version: "scm-1", Licenses: []string{"MIT"}}},
		{"computed", p, "local v = '9'\nversion = v .. '-1'\nlicense = v\n", report.Package{Name: "mymod", Version: "1.2.3-2"}},
		{"not the field", p, "sublicense = 'x', license_file = 'y', license == 'z', license='BSD'", report.Package{Name: "mymod", Version: "1.2.3-2", Licenses: []string{"BSD"}}},
		{"empty", p, "", report.Package{Name: "mymod", Version: "1.2.3-2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.want.Type, tc.want.Path = report.TypeLua, tc.path
			got := analyzetest.Facts(t, New(), analyzetest.File(tc.path, []byte(tc.text)))
			if diff := cmp.Diff(&report.Facts{Packages: []report.Package{tc.want}}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWants(t *testing.T) {
	for path, want := range map[string]bool{
		p: true, "/src/mymod-1.2.3-2.rockspec": false, "/usr/local/lib/luarocks/rocks-5.4/mymod/1.2.3-2/rock_manifest": false,
	} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestPathsThatNameNoRock(t *testing.T) {
	for _, path := range []string{"/x/luarocks/rocks/a.rockspec", "/x/luarocks/rocks/a/1/b-1.rockspec", "/x/luarocks/rocks/a b/1/a b-1.rockspec", "/x/luarocks/rocks/" + strings.Repeat("a", maxTextBytes+1) + "/1/" + strings.Repeat("a", maxTextBytes+1) + "-1.rockspec"} {
		if _, err := New().Analyze(t.Context(), analyzetest.File(path, real(t))); !errors.Is(err, errName) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(p, nil)
	f.Size = maxFileBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(`license = "`+strings.Repeat("x", maxTextBytes+1)+`"`)))
	if len(facts.Packages[0].Licenses) != 0 {
		t.Error("a long licence is kept")
	}
}

func FuzzRockspec(f *testing.F) {
	f.Add(real(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err != nil || len(facts.Packages) != 1 || len(facts.Packages[0].Licenses) > 1 {
			t.Errorf("got %+v, %v", facts, err)
		}
	})
}
