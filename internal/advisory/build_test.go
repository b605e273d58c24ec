package advisory

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/test/shareddata"
)

// writeZip makes an archive of records, by file name, in the order given.
func writeZip(t testing.TB, path string, records ...[2]string) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, r := range records {
		w, err := z.Create(r[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(r[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func simple(id, eco, name, more string) string {
	return fmt.Sprintf(`{"id":%q,"modified":"2026-01-02T03:04:05Z",%s"affected":[{"package":{"ecosystem":%q,"name":%q},
		"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.0"}]}]}]}`, id, more, eco, name)
}

func build(t testing.TB, from string) (*DB, Meta, []Problem) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "a.db")
	var problems []Problem
	m, err := Build(context.Background(), BuildOptions{From: from, To: to, Problem: func(p Problem) { problems = append(problems, p) }})
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Verify(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db, m, problems
}

// The same records give the same bytes, however they are laid out, ordered
// and spooled.
func TestBuildIsDeterministic(t *testing.T) {
	if testing.Short() {
		t.Skip("builds four generations")
	}
	src := filepath.Join(shareddata.Dir(t), "osv")
	flat, nested := t.TempDir(), t.TempDir()
	for _, name := range []string{"RockyLinux.zip", "Ubuntu.zip", "RubyGems.zip"} {
		r, err := zip.OpenReader(filepath.Join(src, name))
		if err != nil {
			t.Fatal(err)
		}
		var records [][2]string
		for _, f := range r.File {
			rc, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			var raw json.RawMessage
			if err := json.NewDecoder(rc).Decode(&raw); err != nil {
				t.Fatal(err)
			}
			rc.Close()
			records = append(records, [2]string{f.Name, string(raw)})
		}
		r.Close()
		writeZip(t, filepath.Join(flat, name), records...)
		for i, j := 0, len(records)-1; i < j; i, j = i+1, j-1 {
			records[i], records[j] = records[j], records[i]
		}
		writeZip(t, filepath.Join(nested, strings.TrimSuffix(name, ".zip"), "all.zip"), records...)
	}
	content := func(from string, limit int) (string, []byte) {
		to := filepath.Join(t.TempDir(), "a.db")
		files, err := findArchives(from)
		if err != nil {
			t.Fatal(err)
		}
		b, err := newBuilder(BuildOptions{To: to})
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		b.spool.limit = limit
		for _, f := range files {
			if err := b.archive(context.Background(), f); err != nil {
				t.Fatal(err)
			}
		}
		b.meta.Files = nil // names and sizes of files differ by design here
		m, err := b.write(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if limit < spoolBytes && len(b.spool.runs) < 3 {
			t.Errorf("only %d runs were spooled", len(b.spool.runs))
		}
		raw, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		return m.ID, raw
	}
	id, raw := content(flat, spoolBytes)
	for _, other := range []struct {
		name, from string
		limit      int
	}{{"again", flat, spoolBytes}, {"other order and layout", nested, spoolBytes}, {"spooled to disk", nested, 200_000}} {
		id2, raw2 := content(other.from, other.limit)
		if id2 != id || !bytes.Equal(raw2, raw) {
			t.Errorf("%s: another generation: %.12s, %d bytes, want %.12s, %d bytes", other.name, id2, len(raw2), id, len(raw))
		}
	}
}

func TestBuildCountsWhatItLeavesOut(t *testing.T) {
	dir := t.TempDir()
	writeZip(t, filepath.Join(dir, "a.zip"),
		[2]string{"good.json", simple("A-1", "npm", "a", "")},
		[2]string{"withdrawn.json", simple("A-2", "npm", "a", `"withdrawn":"2026-01-01T00:00:00Z",`)},
		[2]string{"broken.json", `{"id":`},
		[2]string{"noid.json", `{"affected":[]}`},
		[2]string{"long.json", simple(strings.Repeat("x", maxIDBytes+1), "npm", "a", "")},
		[2]string{"name.json", simple("A-3", "npm", strings.Repeat("x", maxNameBytes+1), "")},
		[2]string{"control.json", simple("A-4", "npm", "a\x01b", "")},
		[2]string{"events.json", `{"id":"A-5","affected":[{"package":{"ecosystem":"npm","name":"a"},"ranges":[{"type":"SEMVER","events":[` +
			strings.Repeat(`{"introduced":"1"},`, maxEvents) + `{"introduced":"1"}]}]}]}`},
		[2]string{"versions.json", `{"id":"A-6","affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":[` +
			strings.Repeat(`"1",`, maxVersions) + `"1"]}]}`},
		[2]string{"packages.json", `{"id":"A-7","affected":[` + strings.Repeat(`{},`, maxAffected) + `{}]}`},
		[2]string{"aliases.json", `{"id":"A-8","aliases":[` + strings.Repeat(`"x",`, maxIDs) + `"x"]}`},
		[2]string{"huge.json", `{"id":"A-9","details":"` + strings.Repeat("x", maxRecordBytes) + `"}`},
		[2]string{"unknown.json", simple("A-10", "Haiku", "a", "")},
		[2]string{"git.json", `{"id":"A-11","affected":[{"package":{"ecosystem":"npm","name":"a"},"ranges":[{"type":"GIT","events":[{"introduced":"0"}]}]}]}`},
		[2]string{"bugfix.json", simple("ALBA-2026:1", "AlmaLinux:9", "a", "")},
		[2]string{"windows.json", `{"id":"GO-1","affected":[{"package":{"ecosystem":"Go","name":"m"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
			"ecosystem_specific":{"imports":[{"path":"m","goos":["windows"]}]}}]}`},
		[2]string{"epoch.json", simple("A-12", "Debian:12", "a", "")},
		[2]string{"README", "not a record"},
	)
	db, m, problems := build(t, dir)
	if m.Records != 2 || !db.HasEcosystem("npm") || db.HasEcosystem("Haiku") || !db.HasEcosystem("Debian:12") || db.HasEcosystem("Debian:13") {
		t.Errorf("got %+v", m)
	}
	want := map[string]int64{LeftBad: 10, LeftWithdrawn: 1, LeftUnknown: 1, LeftGit: 1, LeftNotSecurity: 1, LeftNotLinux: 1}
	if diff := cmp.Diff(want, m.Left); diff != "" {
		t.Error(diff)
	}
	named := map[string]bool{}
	for _, p := range problems {
		named[p.Record] = true
		if p.File != "a.zip" || p.Err == nil {
			t.Errorf("problem without a place: %+v", p)
		}
	}
	for _, n := range []string{"broken", "noid", "long", "name", "control", "events", "versions", "packages", "aliases", "huge"} {
		if !named[n+".json"] {
			t.Errorf("%s.json was not reported", n)
		}
	}
	if m.Files[0].Bad != 10 || m.Files[0].Records != 2 {
		t.Errorf("got %+v", m.Files)
	}
}

func TestBuildFails(t *testing.T) {
	to := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(to, []byte("the old one"), 0o644); err != nil {
		t.Fatal(err)
	}
	bad := t.TempDir()
	if err := os.WriteFile(filepath.Join(bad, "x.zip"), []byte("PK but no more"), 0o644); err != nil {
		t.Fatal(err)
	}
	good := t.TempDir()
	writeZip(t, filepath.Join(good, "a.zip"), [2]string{"a.json", simple("A-1", "npm", "a", "")})
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tc := range []struct {
		name, from string
		ctx        context.Context
		want       fault.Code
	}{
		{"no directory", filepath.Join(bad, "none"), context.Background(), fault.NotFound},
		{"nothing in it", t.TempDir(), context.Background(), fault.Invalid},
		{"not a zip", bad, context.Background(), fault.Unavailable},
		{"cancelled", good, cancelled, fault.Internal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Build(tc.ctx, BuildOptions{From: tc.from, To: to}); err == nil || fault.CodeOf(err) != tc.want {
				t.Errorf("got %v", err)
			}
		})
	}
	if b, err := os.ReadFile(to); err != nil || string(b) != "the old one" {
		t.Errorf("the old generation was touched: %q, %v", b, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(to), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// One id in several files: releases are joined, a newer copy replaces an
// older one.
func TestBuildJoinsCopies(t *testing.T) {
	dir := t.TempDir()
	at := func(id, date, eco, fixed, cve string) string {
		return fmt.Sprintf(`{"id":%q,"modified":%q,"summary":"of %s","related":[%q],"affected":[{"package":{"ecosystem":%q,"name":"a"},
			"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":%q}]}]}]}`, id, date, date, cve, eco, fixed)
	}
	writeZip(t, filepath.Join(dir, "a.zip"),
		[2]string{"1.json", at("ALSA-2026:1", "2026-01-01T00:00:00Z", "AlmaLinux:8", "1-1.el8", "CVE-2026-1001")},
		[2]string{"1~1.json", at("ALSA-2026:1", "2026-01-02T00:00:00Z", "AlmaLinux:9", "1-1.el9", "CVE-2026-1002")},
		[2]string{"1~2.json", at("ALSA-2026:1", "2026-01-03T00:00:00Z", "AlmaLinux:9", "1-2.el9", "CVE-2026-1002")})
	writeZip(t, filepath.Join(dir, "b.zip"),
		[2]string{"same.json", at("ALSA-2026:1", "2026-01-01T00:00:00Z", "AlmaLinux:8", "1-1.el8", "CVE-2026-1001")})
	db, _, _ := build(t, dir)
	for eco, want := range map[string]string{"AlmaLinux:8": "1-1.el8", "AlmaLinux:9": "1-2.el9"} {
		as, err := db.Affected(eco, "a")
		if err != nil {
			t.Fatal(err)
		}
		if len(as) != 1 || len(as[0].Ranges) != 1 || as[0].Ranges[0].Fixed != want {
			t.Errorf("%s: got %+v", eco, as)
		}
	}
	v, err := db.Vuln("ALSA-2026:1")
	if err != nil || v == nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"CVE-2026-1001", "CVE-2026-1002"}, v.CVEs); diff != "" || v.Summary != "of 2026-01-03T00:00:00Z" {
		t.Errorf("%s %+v", diff, v)
	}
}

func TestBuildEnriches(t *testing.T) {
	dir := t.TempDir()
	const v31 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
	writeZip(t, filepath.Join(dir, "a.zip"),
		[2]string{"1.json", simple("D-1", "Debian:12", "a", `"upstream":["CVE-2026-1001"],`)},
		[2]string{"2.json", simple("D-2", "Debian:12", "b", `"upstream":["CVE-2026-1002"],`)},
		[2]string{"3.json", simple("GHSA-x", "npm", "b", `"aliases":["CVE-2026-1002"],"severity":[{"type":"CVSS_V3","score":"`+v31+`"}],`)},
		[2]string{"4.json", simple("D-3", "Debian:12", "c", `"upstream":["CVE-2026-1003"],`)},
	)
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(FileKEV, []byte(`{"vulnerabilities":[{"cveID":"CVE-2026-1001","dateAdded":"2026-02-03"},{"cveID":"CVE-2026-9999","dateAdded":"2026-02-03"}]}`))
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	fmt.Fprint(w, "#model_version:v2026\ncve,epss,percentile\nCVE-2026-1001,0.12345,0.98765\nCVE-2026-1002,7,0\n")
	w.Close()
	write(FileEPSSGzip, gz.Bytes())
	write(FileEnrich, []byte(`{"id":"CVE-2026-1001","cvss":[{"v":"AV:N/AC:L/Au:N/C:P/I:P/A:P","s":7.5},{"v":"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N","s":9.3}],"pub":"2026-01-02","d":"words"}
{"id":"not a cve"}
`))
	db, m, problems := build(t, dir)
	want := map[string]*CVE{
		"CVE-2026-1001": {ID: "CVE-2026-1001", Description: "words", Score: 9.3, Vector: "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
			Published: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).UnixMilli(), KEV: true, KEVDate: "2026-02-03", EPSS: 0.12345, Percentile: 0.98765},
		"CVE-2026-1002": {ID: "CVE-2026-1002", Score: 9.8, Vector: v31}, // learned from the GHSA
		"CVE-2026-1003": nil,                                            // nothing is known
		"CVE-2026-9999": nil,                                            // no record names it
	}
	for id, w := range want {
		got, err := db.CVE(id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	if m.CVEs != 2 || m.KEV != 1 || m.EPSS != 1 || len(problems) != 1 {
		t.Errorf("got %+v, %v", m, problems)
	}
}

func TestEnrichLimits(t *testing.T) {
	dir := t.TempDir()
	writeZip(t, filepath.Join(dir, "a.zip"), [2]string{"1.json", simple("D-1", "Debian:12", "a", "")})
	to := filepath.Join(dir, "a.db")
	for _, tc := range []struct {
		name string
		size int
	}{{FileKEV, maxKEVBytes + 1}, {FileEnrich, maxEnrichLine + 1}} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(dir, tc.name)
			if err := os.WriteFile(path, bytes.Repeat([]byte(" "), tc.size), 0o644); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(path)
			if _, err := Build(context.Background(), BuildOptions{From: dir, To: to}); err == nil {
				t.Error("the limit was not kept")
			}
		})
	}
	r := &boundedReader{r: strings.NewReader("12345"), left: 4}
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, errLimit) {
		t.Errorf("got %v", err)
	}
}

// The whole of the shared records: nothing is lost on the way.
func TestBuildSharedData(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles 50,000 records")
	}
	db, m, problems := build(t, filepath.Join(shareddata.Dir(t), "osv"))
	if len(problems) != 0 {
		t.Errorf("problems: %v", problems)
	}
	var seen int64
	for _, f := range m.Files {
		seen += f.Records
	}
	// 50,569 records less withdrawn ones are either in the generation or
	// counted with a reason; copies of one id are one record.
	if m.Records < 44_000 || m.Left[LeftWithdrawn] < 4_800 || m.CVEs < 20_000 || m.KEV < 100 {
		t.Errorf("got %d records, %d CVEs, %d KEV, left %v", m.Records, m.CVEs, m.KEV, m.Left)
	}
	if m.DataDate > time.Now().Add(48*time.Hour).UnixMilli() || m.DataDate < time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC).UnixMilli() {
		t.Errorf("data date %v", time.UnixMilli(m.DataDate))
	}
	v, err := db.Vuln("DEBIAN-CVE-2023-38545")
	if err != nil || v == nil || v.URL != "https://security-tracker.debian.org/tracker/CVE-2023-38545" {
		t.Fatalf("got %+v, %v", v, err)
	}
	c, err := db.CVE("CVE-2023-38545")
	if err != nil || c == nil || c.Score != 8.8 {
		t.Errorf("got %+v, %v", c, err)
	}
	t.Logf("generation %.12s, %d bytes, %d records, %d packages", m.ID, m.Bytes, m.Records, m.Packages)
}
