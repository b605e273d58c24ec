package baseline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/scan"
)

// fileOf is the fact among facts.
func fileOf(t *testing.T, facts *report.Facts) *File {
	t.Helper()
	if facts == nil || len(facts.Settings) != 1 || facts.Settings[0].Kind != report.SettingBaseline && facts.Settings[0].Kind != report.SettingLoose {
		t.Fatalf("got %+v", facts)
	}
	f := &File{}
	if err := json.Unmarshal(facts.Settings[0].Body, f); err != nil {
		t.Fatal(err)
	}
	return f
}

// Files that are too large or damaged are told with mode and owner, and rules
// about them are not verified.
func TestAnalyzerBeyondLimits(t *testing.T) {
	// Each character that JSON escapes takes six in a fact.
	escaped := strings.Repeat("a "+strings.Repeat("<", 400)+"\n", 2500)
	for _, tc := range []struct {
		name, path, content string
		limit               bool
	}{
		{"large", "/etc/ssh/sshd_config", strings.Repeat("#\n", MaxFileBytes/2) + "x", true},
		{"many lines", "/etc/login.defs", strings.Repeat("a b\n", maxEntries+1), true},
		{"no text", "/etc/ssh/sshd_config", "a\x00b", false},
		{"no syntax", "/etc/nginx/nginx.conf", "http {", false},
	} {
		facts, err := NewAnalyzer().Analyze(t.Context(), analyzetest.File(tc.path, []byte(tc.content)))
		if err == nil || errors.Is(err, analyze.ErrLimit) != tc.limit {
			t.Errorf("%s: got %v", tc.name, err)
		}
		if f := fileOf(t, facts); f.Path != tc.path || !f.Partial {
			t.Errorf("%s: got %+v", tc.name, f)
		}
	}
	facts, err := NewAnalyzer().Analyze(t.Context(), analyzetest.File("/etc/login.defs", []byte(escaped)))
	if n := len(facts.Settings[0].Body); n > report.MaxSettingBytes {
		t.Errorf("%d bytes of facts, %v", n, err)
	}
	large := &File{Path: "/etc/x", Mode: 0o644, Directives: []Directive{{Name: strings.Repeat("x", report.MaxSettingBytes)}}}
	facts, err = told(large)
	if f := fileOf(t, facts); !errors.Is(err, analyze.ErrLimit) || !f.Partial || f.Mode != 0o644 || len(f.Directives) > 0 {
		t.Errorf("large facts: %+v, %v", f, err)
	}
}

// A file is told of once: by its content or by its mode.
func TestAnalyzerTellsOnce(t *testing.T) {
	a := NewAnalyzer()
	for _, tc := range []struct {
		path       string
		mode       fs.FileMode
		file, stat bool
	}{
		{"/etc/ssh/sshd_config", 0o600, true, false},
		{"/etc/ssh/sshd_config", 0o666, true, false},
		{"/etc/crontab", 0o600, false, true},
		{"/usr/bin/su", fs.ModeSetuid | 0o755, false, true},
		{"/srv/x", 0o666, false, true},
		{"/srv/x", 0o644, false, false},
	} {
		info := analyzetest.Info{Base: "x", Perm: tc.mode}
		if got := a.Wants(tc.path, info); got != tc.file {
			t.Errorf("%s: wanted: %v", tc.path, got)
		}
		facts := a.(analyze.StatAnalyzer).Stat(tc.path, info)
		if (facts != nil) != tc.stat {
			t.Errorf("%s %v: got %+v", tc.path, tc.mode, facts)
		}
		// Whose it is the test's stat data do not tell.
		if facts != nil {
			if f := fileOf(t, facts); f.UID != -1 || f.GID != -1 || f.Dir {
				t.Errorf("%s: got %+v", tc.path, f)
			}
		}
	}
	dir := a.(analyze.DirAnalyzer)
	if f := fileOf(t, dir.Dir("/tmp", analyzetest.Info{Perm: fs.ModeDir | fs.ModeSticky | 0o777, Bytes: 4096})); !f.Dir || f.Mode != 0o1777 || f.Size != 0 {
		t.Errorf("got %+v", f)
	}
	if f := dir.Dir("/srv", analyzetest.Info{Perm: fs.ModeDir | 0o777}); f != nil {
		t.Errorf("got %+v", f)
	}
}

// A layer of nothing but files that everyone may write does not push out what
// its configuration says, and is still read to its end.
func TestManyLooseFiles(t *testing.T) {
	files := []testFile{osRelease(testFamilies[0].distribution), {"/etc/ssh/sshd_config", 0o600, 0, 0, "PermitRootLogin yes\n"}}
	for i := range 20_000 {
		files = append(files, testFile{fmt.Sprintf("/a/%05d", i), 0o666, 0, 0, ""})
	}
	files = append(files, testFile{"/usr/bin/evil", fs.ModeSetuid | 0o755, 0, 0, ""})
	s := scan.New(scan.Config{Set: all.Set(), Checks: []*analyze.Set{factSet()}})
	r, err := s.Layer(t.Context(), streamOf(t, files, nil))
	if err != nil {
		t.Fatal(err)
	}
	// The two of sshd_config and the program with a set-id bit are kept.
	if !r.Complete || len(r.Settings) != report.MaxLoose+2 || len(r.Problems) != 1 {
		t.Errorf("complete: %v, %d settings, problems: %+v", r.Complete, len(r.Settings), r.Problems)
	}
	im, err := ImageOf(report.Merge([]*report.LayerReport{r}), nil)
	if err != nil {
		t.Fatal(err)
	}
	results := byRule(Evaluate(builtin(t), *im))
	if results["SSH-01"].Status != Failed || results["FILE-25"].Status != Failed || results["FILE-22"].Status != Failed {
		t.Errorf("SSH-01 %s, FILE-25 %s, FILE-22 %s", results["SSH-01"].Status, results["FILE-25"].Status, results["FILE-22"].Status)
	}
}
