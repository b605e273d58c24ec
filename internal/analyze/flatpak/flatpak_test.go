package flatpak

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const (
	app     = "/var/lib/flatpak/app/org.test.Hello/x86_64/stable/157dd3/deploy"
	runtime = "/home/u/.local/share/flatpak/runtime/org.test.Platform/x86_64/23.08/a0ebad/deploy"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), app, read(t, "app.deploy")) }

func TestWants(t *testing.T) {
	for p, want := range map[string]bool{
		app: true, runtime: true, "/var/lib/flatpak/repo/a/b/c/d/deploy": false, "/var/lib/flatpak/app/a/b/deploy": false,
		"/opt/app/a/b/c/d/deploy": false, strings.TrimSuffix(app, "deploy") + "metadata": false,
	} {
		if got := New().Wants(p, nil); got != want {
			t.Errorf("%s: got %v", p, got)
		}
	}
}

// Both files were written by Flatpak 1.14.10.
func TestDeployments(t *testing.T) {
	for _, tc := range []struct {
		path, file string
		want       report.Package
	}{
		{app, "app.deploy", report.Package{Type: report.TypeFlatpak, Name: "org.test.Hello", Version: "1.4.2", Arch: "x86_64", Licenses: []string{"MIT"}, Path: app}},
		{runtime, "runtime.deploy", report.Package{Type: report.TypeFlatpak, Name: "org.test.Platform", Version: "23.08", Arch: "x86_64", Path: runtime}},
	} {
		facts := analyzetest.Facts(t, New(), analyzetest.File(tc.path, read(t, tc.file)))
		if diff := cmp.Diff([]report.Package{tc.want}, facts.Packages); diff != "" {
			t.Error(diff)
		}
	}
	if v := entry([]byte("\x00appdata-version\x00"), "appdata-version"); v != "" {
		t.Errorf("got %q", v)
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(app, nil)
	f.Size = maxBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	long := strings.Replace(app, "stable", strings.Repeat("a", maxFieldBytes+1), 1)
	if facts, err := New().Analyze(t.Context(), analyzetest.File(long, nil)); err == nil {
		t.Errorf("field: got %+v", facts)
	}
}

func FuzzDeploy(f *testing.F) {
	f.Add(read(f, "app.deploy"))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(app, b))
		if err != nil {
			return
		}
		if p := facts.Packages[0]; !analyze.Plain(p.Version) {
			t.Errorf("unusable package %+v", p)
		}
	})
}
