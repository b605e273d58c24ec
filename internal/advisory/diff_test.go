package advisory

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
)

// seen is everything of a generation as a program sees it: by package what
// its matching rests on, by id the advisories, and by id the CVEs.
type seen struct{ packages, vulns, cves map[string]string }

func look(t *testing.T, db *DB) seen {
	t.Helper()
	s := seen{map[string]string{}, map[string]string{}, map[string]string{}}
	text := func(v any, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	keys := func(bucket []byte) (out []string) {
		err := db.view(func(tx *bolt.Tx) error {
			return tx.Bucket(bucket).ForEach(func(k, _ []byte) error {
				out = append(out, string(k))
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, id := range keys(bucketVulns) {
		s.vulns[id] = text(db.Vuln(id))
	}
	for _, id := range keys(bucketCVE) {
		s.cves[id] = text(db.CVE(id))
	}
	for _, k := range keys(bucketPackages) {
		eco, name, _ := strings.Cut(k, "\x00")
		as, err := db.Affected(eco, name)
		all := text(as, err)
		for _, a := range as {
			v, err := db.Vuln(a.ID)
			all += text(v, err)
			if v == nil {
				continue
			}
			for _, id := range v.CVEs {
				c, err := db.CVE(id)
				if c != nil {
					c.EPSS, c.Percentile, c.Description = 0, 0, ""
					if *c == (CVE{ID: id}) {
						c = nil // nothing that a finding shows
					}
				}
				all += text(c, err)
			}
		}
		s.packages[k] = all
	}
	return s
}

// slowDiff is Compare by looking at everything.
func slowDiff(a, b *DB, sa, sb seen) *Diff {
	d := &Diff{From: a.Meta().ID, To: b.Meta().ID}
	union := func(x, y map[string]string) []string {
		all := maps.Clone(x)
		maps.Copy(all, y)
		return slices.Sorted(maps.Keys(all))
	}
	for _, k := range union(sa.packages, sb.packages) {
		if sa.packages[k] != sb.packages[k] {
			eco, name, _ := strings.Cut(k, "\x00")
			d.Packages = append(d.Packages, Key{eco, name})
		}
	}
	for _, id := range union(sa.vulns, sb.vulns) {
		switch x, y := sa.vulns[id], sb.vulns[id]; {
		case x == y:
		case x == "":
			d.Added = append(d.Added, id)
		case y == "":
			d.Removed = append(d.Removed, id)
		default:
			d.Changed = append(d.Changed, id)
		}
	}
	for _, id := range union(sa.cves, sb.cves) {
		if sa.cves[id] != sb.cves[id] {
			d.CVEs = append(d.CVEs, id)
		}
	}
	return d
}

// Random edits of a small world: what Compare says is what a look at all of
// both generations says.
func TestCompareSaysWhatChanged(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	type rec struct{ name, fixed, severity, cve string }
	world := map[int]rec{}
	epss := map[int]float64{}
	mutate := func() {
		for range 1 + rnd.IntN(4) {
			i := rnd.IntN(25)
			switch rnd.IntN(5) {
			case 0:
				delete(world, i)
			case 1:
				epss[rnd.IntN(12)] = float64(rnd.IntN(100)) / 100
			default:
				world[i] = rec{fmt.Sprint("p", rnd.IntN(10)), fmt.Sprint(rnd.IntN(3)+1, ".0"), []string{"LOW", "HIGH"}[rnd.IntN(2)], fmt.Sprint("CVE-2026-10", 10+rnd.IntN(12))}
			}
		}
	}
	write := func() *DB {
		dir := t.TempDir()
		var rs [][2]string
		for i, r := range world {
			rs = append(rs, [2]string{fmt.Sprint(i, ".json"), fmt.Sprintf(`{"id":"A-%d","modified":"2026-01-02T03:04:05Z","aliases":[%q],
				"database_specific":{"severity":%q},"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:%s/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
				"affected":[{"package":{"ecosystem":"npm","name":%q},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":%q}]}]}]}`,
				i, r.cve, r.severity, map[string]string{"LOW": "L", "HIGH": "N"}[r.severity], r.name, r.fixed)})
		}
		writeZip(t, filepath.Join(dir, "npm.zip"), rs...)
		lines := "cve,epss,percentile\n"
		for i, x := range epss {
			lines += fmt.Sprintf("CVE-2026-10%d,%g,0.5\n", 10+i, x)
		}
		if err := os.WriteFile(filepath.Join(dir, FileEPSS), []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		db, _, _ := build(t, dir)
		return db
	}
	for range 20 {
		mutate()
	}
	before := write()
	sb := look(t, before)
	touching := 0
	for range 25 {
		mutate()
		after := write()
		sa := look(t, after)
		got, err := Compare(t.Context(), before, after)
		if err != nil {
			t.Fatal(err)
		}
		want := slowDiff(before, after, sb, sa)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		if len(got.Packages) > 0 && len(got.Packages) < len(sa.packages) {
			touching++
		}
		back, err := Compare(t.Context(), after, before)
		if err != nil || len(back.Added) != len(got.Removed) || len(back.Packages) != len(got.Packages) {
			t.Fatalf("backwards: %+v, %v", back, err)
		}
		before, sb = after, sa
	}
	if touching < 5 {
		t.Errorf("only %d of the changes touched some packages and not all", touching)
	}
	if d, err := Compare(t.Context(), before, before); err != nil || !d.Empty() {
		t.Errorf("a generation differs from itself: %+v, %v", d, err)
	}
}

// Scores of EPSS change daily for everything: they are told, and touch no
// package.
func TestCompareEPSSTouchesNoPackage(t *testing.T) {
	dir := t.TempDir()
	writeZip(t, filepath.Join(dir, "npm.zip"), [2]string{"a.json", simple("CVE-2026-1000", "npm", "a", "")})
	db := func(epss string) *DB {
		if err := os.WriteFile(filepath.Join(dir, FileEPSS), []byte("cve,epss,percentile\nCVE-2026-1000,"+epss+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _, _ := build(t, dir)
		return out
	}
	a, b := db("0.1,0.2"), db("0.3,0.4")
	d, err := Compare(t.Context(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := &Diff{From: a.Meta().ID, To: b.Meta().ID, CVEs: []string{"CVE-2026-1000"}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(dir, FileKEV), []byte(`{"vulnerabilities":[{"cveID":"CVE-2026-1000","dateAdded":"2026-01-02"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := db("0.3,0.4")
	if d, err = Compare(t.Context(), b, c); err != nil || len(d.Packages) != 1 {
		t.Errorf("known to be exploited from now on, and no package is touched: %+v, %v", d, err)
	}
}

// Real records, one ecosystem without a part of its own: as slowDiff says.
func TestCompareRealRecords(t *testing.T) {
	dirA, dirB := t.TempDir(), t.TempDir()
	sharedTo(t, dirA, "Alpine.zip", "crates.io.zip")
	sharedTo(t, dirB, "Alpine.zip", "RubyGems.zip")
	a, _, _ := build(t, dirA)
	b, _, _ := build(t, dirB)
	got, err := Compare(t.Context(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(slowDiff(a, b, look(t, a), look(t, b)), got); d != "" {
		t.Error(d)
	}
	if len(got.Packages) == 0 {
		t.Error("nothing is touched")
	}
	for _, k := range got.Packages {
		if k.Ecosystem != "crates.io" && k.Ecosystem != "RubyGems" {
			t.Errorf("%v is touched", k)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Compare(ctx, a, b); err == nil {
		t.Error("went on after it was cancelled")
	}
}
