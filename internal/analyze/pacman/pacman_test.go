package pacman

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const dir = localDir + "hello-tool-2:1.2.3-4/"

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuite(t *testing.T) {
	analyzetest.Suite(t, New(), dir+"desc", read(t, "desc"))
	analyzetest.Suite(t, New(), dir+"files", read(t, "files"))
}

func TestWants(t *testing.T) {
	for p, want := range map[string]bool{
		dir + "desc": true, dir + "files": true, dir + "mtree": false, dir + "x/desc": false,
		localDir + "ALPM_DB_VERSION": false, localDir + "desc": false, "/srv" + dir + "desc": false,
	} {
		if got := New().Wants(p, nil); got != want {
			t.Errorf("%s: got %v", p, got)
		}
	}
}

// Both files were written by pacman 6.0.2.
func TestRealPackage(t *testing.T) {
	facts := analyzetest.Facts(t, New(), analyzetest.File(dir+"desc", read(t, "desc")))
	want := &report.Facts{Packages: []report.Package{{
		Type: report.TypeAlpm, Name: "hello-tool", Version: "2:1.2.3-4", Arch: "x86_64", Source: "hello",
		Licenses: []string{"MIT", "custom:Hello"}, Path: dir + "desc",
	}}}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Error(diff)
	}
	facts = analyzetest.Facts(t, New(), analyzetest.File(dir+"files", read(t, "files")))
	var hashes report.Hashes
	for _, p := range []string{"/etc/hello.conf", "/usr/bin/hello", "/usr/lib/node_modules/x/package.json"} {
		hashes = append(hashes, report.PathHash(p))
	}
	slices.Sort(hashes)
	want = &report.Facts{Ownership: []report.Ownership{{Path: dir + "files", Owner: "alpm:hello-tool", Files: hashes}}}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Error(diff)
	}
}

func TestDescriptions(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"base of its own", "%NAME%\na\n\n%VERSION%\n1-1\n\n%BASE%\na\n\n", "a 1-1 "},
		{"no end", "%NAME%\na\n\n%VERSION%\n1-1", "a 1-1 "},
		{"no version", "%NAME%\na\n\n", ""},
		{"blank in a version", "%NAME%\na\n\n%VERSION%\n1 1\n\n", ""},
		{"a name that looks like a section", "%DESC%\n%NAME%\n\n%NAME%\na\n\n%VERSION%\n1-1\n", "a 1-1 "},
	} {
		facts, err := New().Analyze(t.Context(), analyzetest.File(dir+"desc", []byte(tc.text)))
		got := ""
		if facts != nil {
			got = facts.Packages[0].Name + " " + facts.Packages[0].Version + " " + facts.Packages[0].Source
		}
		if got != tc.want || (err == nil) != (got != "") {
			t.Errorf("%s: got %q, %v", tc.name, got, err)
		}
	}
	facts, err := New().Analyze(t.Context(), analyzetest.File(localDir+"oops/files", read(t, "files")))
	if facts != nil || err == nil {
		t.Errorf("directory without a version: got %v, %v", facts, err)
	}
}

func TestLimits(t *testing.T) {
	want := func(what string, f analyze.File) {
		t.Helper()
		if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	f := analyzetest.File(dir+"desc", nil)
	f.Size = maxDescBytes + 1
	want("bytes of a description", f)
	f = analyzetest.File(dir+"files", nil)
	f.Size = maxListBytes + 1
	want("bytes of a list", f)
	want("field", analyzetest.File(dir+"desc", []byte("%NAME%\n"+strings.Repeat("a", maxFieldBytes+1)+"\n\n%VERSION%\n1\n")))
	want("owned files", analyzetest.File(dir+"files", append([]byte("%FILES%\n"), bytes.Repeat([]byte("a\n"), maxOwned+1)...)))
	many := "%NAME%\na\n\n%VERSION%\n1\n\n%LICENSE%\n" + strings.Repeat("MIT\n", maxLicenses+1)
	if facts := analyzetest.Facts(t, New(), analyzetest.File(dir+"desc", []byte(many))); len(facts.Packages[0].Licenses) != maxLicenses {
		t.Errorf("licences: got %d", len(facts.Packages[0].Licenses))
	}
}

func FuzzLocal(f *testing.F) {
	f.Add(read(f, "desc"))
	f.Add(read(f, "files"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(dir+"desc", b)); err == nil {
			if p := facts.Packages[0]; !analyze.Plain(p.Name) || !analyze.Plain(p.Version) {
				t.Errorf("unusable package %+v", p)
			}
		}
		if facts, err := New().Analyze(t.Context(), analyzetest.File(dir+"files", b)); err == nil && facts != nil {
			if o := facts.Ownership[0]; len(o.Files) == 0 || !slices.IsSorted(o.Files) {
				t.Errorf("bad list %+v", o)
			}
		}
	})
}
