package conda

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const p = "/opt/conda/conda-meta/zlib-1.2.11-h90dfc92_1014.json"

// good has the fields of a real record, in its order, with fewer files.
const good = `{
  "arch": "x86_64", "build": "h90dfc92_1014", "build_number": 1014,
  "depends": ["libzlib 1.2.11 h90dfc92_1014"],
  "license": "Zlib", "license_family": "Other",
  "name": "zlib", "platform": "linux", "size": 86757, "subdir": "linux-64", "noarch": null,
  "timestamp": 1648307332172, "version": "1.2.11",
  "channel": "https://conda.anaconda.org/conda-forge/",
  "files": ["include/zconf.h", "include/zlib.h", "lib/libz.a"],
  "paths_data": {"paths_version": 1, "paths": [
    {"_path": "include/zconf.h", "path_type": "hardlink", "name": "no", "size_in_bytes": 16262},
    {"_path": "lib/libz.a", "path_type": "hardlink", "version": "0"}]},
  "link": {"source": "/opt/conda/pkgs/zlib-1.2.11-h90dfc92_1014", "type": 1}
}`

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), p, []byte(good)) }

func TestAnalyze(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       *report.Package
	}{
		{"all", good, &report.Package{Name: "zlib", Version: "1.2.11", Arch: "linux-64", Licenses: []string{"Zlib"}}},
		{"any platform", `{"name":"six","version":"1.16.0","subdir":"noarch","build_number":0,"features":"","track":{"name":"x"}}`, &report.Package{Name: "six", Version: "1.16.0"}},
		{"values of other kinds", `{"name":"a","license":null,"version":"1","subdir":3,"license":["x"]}`, &report.Package{Name: "a", Version: "1"}},
		{"no record", `{"version_of_something":1}`, nil},
		{"empty", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(tc.text)))
			var want *report.Facts
			if tc.want != nil {
				tc.want.Type, tc.want.Path = report.TypeConda, p
				want = &report.Facts{Packages: []report.Package{*tc.want}}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWants(t *testing.T) {
	for path, want := range map[string]bool{
		p: true, "/home/u/env/conda-meta/a-1-0.json": true, "/opt/conda/conda-meta/history": false,
		"/opt/conda/pkgs/a-1-0/info/repodata_record.json": false, "/opt/conda/conda-meta/x/a.json": false, "/a.json": false,
	} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestDamaged(t *testing.T) {
	for _, text := range []string{"[]", "{", `{"name":"a"}`, `{"name":"a b","version":"1"}`, `{"name":"a","version":"1"`, `{"name":"` + strings.Repeat("a", maxTextBytes+1) + `","version":"1"}`} {
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
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(`{"name":"a","version":"1","license":"`+strings.Repeat("x", maxTextBytes+1)+`"}`)))
	if len(facts.Packages[0].Licenses) != 0 {
		t.Error("a long licence is kept")
	}
	deep := strings.Repeat("[", 1<<20)
	if _, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(`{"name":"a","version":"1","x":`+deep))); err == nil {
		t.Error("a million levels without an end are accepted")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err == nil && facts != nil && (!plain(facts.Packages[0].Name) || !plain(facts.Packages[0].Version)) {
			t.Errorf("unusable package %+v", facts.Packages[0])
		}
	})
}
