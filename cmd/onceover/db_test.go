package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
)

func TestProblemList(t *testing.T) {
	var out bytes.Buffer
	l := problemList{progress: newProgress(&out, true)}
	for i := range maxShownProblems + 5 {
		l.add(advisory.Problem{File: "Debian.zip", Record: fmt.Sprint("r", i, ".json"), Err: errors.New("bad\x1b[2J")})
	}
	l.conclude()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != maxShownProblems+1 {
		t.Fatalf("%d lines, want %d", len(lines), maxShownProblems+1)
	}
	if want := "onceover: left out: Debian.zip: r0.json: bad\ufffd[2J"; lines[0] != want {
		t.Errorf("got %q, want %q", lines[0], want)
	}
	if want := fmt.Sprintf("onceover: left out %d records in all that cannot be read", maxShownProblems+5); lines[maxShownProblems] != want {
		t.Errorf("got %q, want %q", lines[maxShownProblems], want)
	}
}

func TestStatus(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s := newStatus(advisory.Meta{
		ID: "ab", Source: "osv.dev", DataDate: now.Add(-49 * time.Hour).UnixMilli(), Bytes: 2_500_000,
		Built: now.Add(-time.Hour), Records: 3, Packages: 2, CVEs: 1, KEV: 1,
		Left:       map[string]int64{"withdrawn records": 4},
		Ecosystems: map[string]advisory.EcosystemMeta{"npm": {Records: 2, Packages: 1}, "Debian:12": {Records: 1, Packages: 1}},
		Files: []advisory.FileMeta{{Name: "npm.zip", Records: 2, Newest: now.Add(-20 * 24 * time.Hour).UnixMilli(), Licences: []string{"CC-BY-4.0"}},
			{Name: "feeds/secdb/a.json", Feed: "secdb", Records: 3, Bad: 1}, {Name: "feeds/secdb/b.json", Feed: "secdb", Records: 4, Bad: 2}},
		Feeds: map[string]advisory.FeedMeta{"secdb": {Title: "secdb", Licence: "MIT", Records: 7, Date: now.Add(-24 * time.Hour).UnixMilli()}},
	}, now)
	s.Path = "/x/adv.db"
	var out bytes.Buffer
	if err := s.write(&out); err != nil {
		t.Fatal(err)
	}
	want := `database       /x/adv.db
generation     ab
source         osv.dev
newest record  2026-11-21T11:00:00Z, 2 days old
written        2026-11-23T11:00:00Z, 2.5 MB
advisories     3, for 2 packages
cves           1, known to be exploited 1, with a score of epss 0
left out       4 withdrawn records

ECOSYSTEM  ENTRIES  PACKAGES
Debian:12  1        1
npm        2        1

FEED     RECORDS  UNREADABLE  NEWEST                AGE      LICENCES
npm.zip  2        0           2026-11-03T12:00:00Z  20 days  CC-BY-4.0
secdb    7        3           2026-11-22T12:00:00Z  1 day    MIT

warning: npm.zip has nothing newer than 20 days
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	if err := newStatus(advisory.Meta{DataDate: now.Add(-15 * 24 * time.Hour).UnixMilli()}, now).write(&out); err != nil || !strings.Contains(out.String(), "warning: nothing is newer than 15 days") {
		t.Errorf("%v:\n%s", err, out.String())
	}
	if s := newStatus(advisory.Meta{DataDate: now.Add(time.Hour).UnixMilli()}, now); s.AgeDays != 0 {
		t.Errorf("a record of the future is %d days old", s.AgeDays)
	}
}
