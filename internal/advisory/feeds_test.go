package advisory

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/all"
)

// wanted is the name of a file that f reads.
func wanted(t *testing.T, f feed.Feed) string {
	for _, name := range []string{
		"tracker.json", "v3.20/main.json", "8/errata.full.json", "updateinfo.xml", "9/updateinfo.xml", "com.ubuntu.noble.cve.oval.xml", "a.json", "a.xml", "cve_data_photon5.0.json",
		"csaf-openeuler-sa-2025-1.json", "cve-2025-1.json",
	} {
		if f.Wants(name) {
			return name
		}
	}
	t.Fatalf("feed %s wants no file of a name that this test knows: add one", f.Info().Name)
	return ""
}

// TestFeedsRejectGarbage holds for every feed: what is no document of it ends
// in an error that names file and line, and the generation that is there stays.
func TestFeedsRejectGarbage(t *testing.T) {
	for _, f := range all.Feeds() {
		name := wanted(t, f)
		for _, g := range []struct{ name, text string }{
			{"empty", ""},
			{"no document", "\n\nHello"},
			{"HTML", "<html>\n<body><p>Service unavailable"},
			{"cut JSON", "{\n\"a\": {\"b\":\n"},
			{"cut XML", "<?xml version=\"1.0\"?>\n<updates>\n<update"},
			{"JSON of another shape", "{\n\"a\": 5}"},
			{"nested", strings.Repeat("[", 1<<20)},
			{"nested XML", "<a>" + strings.Repeat("<b>", 1<<16)},
		} {
			t.Run(f.Info().Name+"/"+g.name, func(t *testing.T) {
				from := t.TempDir()
				p := filepath.Join(from, FeedsDir, f.Info().Name, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte(g.text), 0o644); err != nil {
					t.Fatal(err)
				}
				to := filepath.Join(t.TempDir(), "advisories.db")
				old := []byte("the generation that is there")
				if err := os.WriteFile(to, old, 0o644); err != nil {
					t.Fatal(err)
				}
				var problem error
				_, err := Build(context.Background(), BuildOptions{From: from, To: to, Problem: func(p Problem) { problem = p.Err }})
				if err == nil {
					t.Fatal("the build goes well")
				}
				if problem == nil {
					problem = err // a feed of one document
				}
				if !regexp.MustCompile(`(^|[ /])` + regexp.QuoteMeta(name) + `:[1-9][0-9]*: `).MatchString(problem.Error()) {
					t.Errorf("error %.300q names no file and line", problem)
				}
				now, err := os.ReadFile(to)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(old, now) {
					t.Error("the old generation is gone")
				}
				left, err := filepath.Glob(filepath.Join(filepath.Dir(to), "*"))
				if err != nil {
					t.Fatal(err)
				}
				if len(left) != 1 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// TestFeedReplacesRecords: where a feed speaks of a release, OSV's records of it
// are left out, except advisories that it does not have. Other releases keep
// theirs.
func TestFeedReplacesRecords(t *testing.T) {
	from := t.TempDir()
	writeZip(t, filepath.Join(from, "Debian.zip"),
		[2]string{"a.json", simple("DEBIAN-CVE-2024-0001", "Debian:12", "a", "")},
		[2]string{"b.json", simple("DEBIAN-CVE-2024-0001", "Debian:10", "a", "")},
		[2]string{"c.json", simple("DSA-1-1", "Debian:12", "a", `"upstream":["CVE-2024-0001","CVE-2024-0002"],`)},
		[2]string{"d.json", simple("ALPINE-CVE-2024-0001", "Alpine:v3.20", "a", "")})
	p := filepath.Join(from, FeedsDir, "debian", "tracker.json")
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(`{"a":{"CVE-2024-0001":{"releases":{"bookworm":{"status":"resolved","fixed_version":"1.0"}}}}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	db, m, problems := build(t, from)
	if len(problems) > 0 {
		t.Error(problems)
	}
	got := map[string][]string{}
	for _, eco := range []string{"Debian:12", "Debian:10", "Alpine:v3.20"} {
		as, err := db.Affected(eco, "a")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range as {
			got[eco] = append(got[eco], a.ID+" "+a.Ranges[0].Fixed+" "+a.Source)
		}
	}
	want := map[string][]string{
		"Debian:12":    {"DEBIAN-CVE-2024-0001 1.0 debian", "DSA-1-1 2.0 "},
		"Debian:10":    {"DEBIAN-CVE-2024-0001 2.0 "},
		"Alpine:v3.20": {"ALPINE-CVE-2024-0001 2.0 "},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := m.Left[LeftReplaced]; n != 1 {
		t.Errorf("%d replaced, want 1", n)
	}
}
