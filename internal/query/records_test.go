package query

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/test/shareddata"
)

// TestRealRecords holds the list against what the matcher says of the packages
// one by one, as the command line asks it: the same advisories with the same
// priority, KEV and EPSS.
func TestRealRecords(t *testing.T) {
	src, dir := filepath.Join(shareddata.Dir(t), "osv"), t.TempDir()
	for _, name := range []string{"Debian.zip", "kev.json", "cve-enrich.jsonl.zst"} {
		if err := os.Symlink(filepath.Join(src, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(dir, "a.db")
	if _, err := advisory.Build(t.Context(), advisory.BuildOptions{From: dir, To: to}); err != nil {
		t.Fatal(err)
	}
	db, err := advisory.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &site{t: t}
	for _, p := range [][3]string{
		{"libssl3", "3.0.9-1", "openssl"}, {"openssl", "3.0.9-1", ""}, {"zlib1g", "1:1.2.13.dfsg-1", "zlib"}, {"libc6", "2.36-9", "glibc"},
		{"curl", "7.88.1-10", ""}, {"libcurl4", "7.88.1-10", "curl"}, {"libwebp7", "1.2.4-0.1", "libwebp"}, {"libvpx7", "1.12.0-1", "libvpx"},
		{"linux-libc-dev", "6.1.38-1", "linux"}, {"libxml2", "2.9.14+dfsg-1.2", ""}, {"git", "1:2.39.2-1.1", ""},
	} {
		s.packages = append(s.packages, report.Package{Type: report.TypeDeb, Name: p[0], Version: p[1], Arch: "amd64", Source: p[2], Path: "/var/lib/dpkg/status"})
	}
	s.open(slog.New(slog.DiscardHandler), store.OneGeneration(db))

	type row struct {
		Priority int
		KEV      bool
		Since    string
		EPSS     float64
		Severity string
		Fixable  bool
	}
	want, m := map[string]row{}, match.New(db)
	for _, p := range s.packages {
		fs, err := m.Package(report.Distro{ID: "debian", VersionID: "12"}, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs {
			was := want[f.ID]
			if was.Severity == "" || report.SeverityRank(f.Severity) > report.SeverityRank(was.Severity) {
				was.Severity = f.Severity
			}
			want[f.ID] = row{max(was.Priority, report.PriorityOf(f, true).Total), f.Exploited, f.ExploitedSince, f.EPSS, was.Severity, was.Fixable || f.FixState == report.FixAvailable}
		}
	}
	got, last, kev := map[string]row{}, 101, 0
	for at := 0; ; at += 200 {
		status, page := s.get(s.first.Project.ID, fmt.Sprintf("vulnerabilities?limit=200&offset=%d", at))
		if status != http.StatusOK || page["total_num"] != float64(len(want)) {
			t.Fatalf("%d, %v of %d", status, page["total_num"], len(want))
		}
		rows := page["vulnerabilities"].([]any)
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			v := r.(map[string]any)
			since, _ := v["kev_since"].(string)
			epss, _ := v["epss"].(float64)
			one := row{int(v["priority"].(float64)), v["kev"].(bool), since, epss, v["severity"].(string), v["fixable"].(bool)}
			got[v["id"].(string)] = one
			if one.Priority > last {
				t.Errorf("%v has priority %d after %d", v["id"], one.Priority, last)
			}
			last = one.Priority
			if one.KEV {
				kev++
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if kev == 0 || len(got) < 50 {
		t.Errorf("%d of %d advisories are in KEV: the records are not those that this test is for", kev, len(got))
	}
	// Whoever asks about one of them is told the same.
	n := 0
	for id, w := range got {
		if n++; n > 20 {
			break
		}
		_, one := s.get(s.first.Project.ID, "vulnerabilities/"+id)
		if one["priority"] != float64(w.Priority) || one["kev"] != w.KEV {
			t.Errorf("%s: %v, want %+v", id, one, w)
		}
	}
	t.Logf("%d advisories, %d in KEV", len(got), kev)
}
