package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
)

// counters are those of one content, and its level.
type counters struct {
	Num, Critical, High, Medium, Low, Unknown int64
	Level                                     string
}

// counted reads the counters of all contents that were scanned.
func (w *world) counted() map[int64]counters {
	w.t.Helper()
	out := map[int64]counters{}
	w.rows(`SELECT id, vul_num, vul_critical, vul_high, vul_medium, vul_low, vul_unknown, severity_level FROM content WHERE latest_scan_time > 0`, func(r *sql.Rows) error {
		var id int64
		var c counters
		err := r.Scan(&id, &c.Num, &c.Critical, &c.High, &c.Medium, &c.Low, &c.Unknown, &c.Level)
		out[id] = c
		return err
	})
	return out
}

func (w *world) rows(query string, scan func(*sql.Rows) error) {
	w.t.Helper()
	err := w.inView(w.t.Context(), func(tx *sql.Tx) error { return each(w.t.Context(), tx, query, nil, scan) })
	if err != nil {
		w.t.Fatal(err)
	}
}

// check counts everything from the ground up, in another way than the store
// does: each package of each image is matched with the rules in use.
func (w *world) check() {
	w.t.Helper()
	g, err := w.table.Acquire()
	if err != nil {
		w.t.Fatal(err)
	}
	worst := map[int64]map[string]int{}
	findings, cves := map[string]bool{}, map[string]bool{}
	for id := range w.counted() {
		worst[id] = map[string]int{}
	}
	w.rows(`SELECT c.id, p.id, p.type, p.name, p.version, p.source, pp.owned_by, pp.declared FROM content c JOIN content_part cp ON cp.content_id = c.id
JOIN part_package pp ON pp.part_id = cp.part_id JOIN package p ON p.id = pp.package_id WHERE c.latest_scan_time > 0`, func(r *sql.Rows) error {
		var content, id, declared int64
		var p report.Package
		if err := r.Scan(&content, &id, &p.Type, &p.Name, &p.Version, &p.Source, &p.OwnedBy, &declared); err != nil {
			return err
		}
		if p.OwnedBy != "" || declared != 0 {
			return nil
		}
		fs, err := g.Matcher.Package(report.Distro{}, p)
		for _, f := range fs {
			rank := report.SeverityRank(f.Severity)
			if old, ok := worst[content][f.ID]; !ok || rank > old {
				worst[content][f.ID] = rank
			}
			findings[fmt.Sprint(id, " ", f.ID, " ", rank, " ", f.FixState, " ", f.FixedVersion)] = true
			for _, cve := range f.CVEs {
				cves[f.ID+" "+cve] = true
			}
		}
		return err
	})
	want := map[int64]counters{}
	handled := w.handledByHand()
	for id, vuls := range worst {
		for vul := range vuls {
			if handled[id][vul] {
				delete(vuls, vul)
			}
		}
		c := counters{Num: int64(len(vuls)), Level: "Security"}
		by := [5]int64{}
		for _, rank := range vuls {
			by[rank]++
		}
		c.Critical, c.High, c.Medium, c.Low, c.Unknown = by[4], by[3], by[2], by[1], by[0]
		switch {
		case by[4]+by[3] > 0:
			c.Level = "High"
		case by[2] > 0:
			c.Level = "Medium"
		case c.Num > 0:
			c.Level = "Low"
		}
		want[id] = c
	}
	if d := gocmp.Diff(want, w.counted()); d != "" {
		w.t.Errorf("counters: %s", d)
	}
	stored := map[string]bool{}
	w.rows(`SELECT f.package_id, v.advisory, f.severity, f.fix_state, f.fixed_version FROM finding f JOIN vulnerability v ON v.id = f.vul_id`, func(r *sql.Rows) error {
		var id, rank int64
		var adv, state, fixed string
		err := r.Scan(&id, &adv, &rank, &state, &fixed)
		stored[fmt.Sprint(id, " ", adv, " ", rank, " ", state, " ", fixed)] = true
		return err
	})
	if d := gocmp.Diff(findings, stored); d != "" {
		w.t.Errorf("findings: %s", d)
	}
	named := map[string]bool{}
	w.rows(`SELECT v.advisory, e.cve_id FROM vulnerability_cve e JOIN vulnerability v ON v.id = e.vul_id WHERE EXISTS (SELECT 1 FROM finding f WHERE f.vul_id = v.id)`, func(r *sql.Rows) error {
		var adv, cve string
		err := r.Scan(&adv, &cve)
		named[adv+" "+cve] = true
		return err
	})
	if d := gocmp.Diff(cves, named); d != "" {
		w.t.Errorf("CVEs of advisories: %s", d)
	}
	var left int64
	if err := w.read.QueryRow(`SELECT COUNT(*) FROM rematch_queue`).Scan(&left); err != nil || left != 0 {
		w.t.Errorf("%d rows are left in the work tables, %v", left, err)
	}
}

func (w *world) rematch() Rematched {
	w.t.Helper()
	r, err := w.Rematch(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func key(names ...string) []advisory.Key {
	var out []advisory.Key
	for _, n := range names {
		out = append(out, advisory.Key{Ecosystem: "any", Name: n})
	}
	return out
}

func TestRematchFollowsTheDifference(t *testing.T) { onEngines(t, testRematchFollowsTheDifference) }

func testRematchFollowsTheDifference(t *testing.T) {
	w := newWorld(t)
	w.scanAll(w.agent("a", state(1, ref("old", "1")), state(2, ref("new", "1"))), 1, 2)
	if r := w.rematch(); !r.Whole || r.To != "test" || r.Changes != 0 {
		t.Errorf("the first generation: %+v", r)
	}
	if r := w.rematch(); r != (Rematched{}) {
		t.Errorf("nothing to do: %+v", r)
	}
	w.check()

	// One advisory goes, one comes, one is rated anew, one gets a fix.
	changed := slices.Clone(rules[1:])
	changed[0].severity = report.SeverityLow
	changed[1].fixed = "1:1.3.dfsg-1"
	changed = append(changed, rule{"DEBIAN-CVE-2026-0001", "CVE-2026-0001", report.TypeDeb, "openssl", "Debian:12", "3.0.16-1", report.SeverityCritical, 9.1})
	w.table.replace("second", &advisory.Diff{Packages: key("openssl", "zlib")}, changed...)
	w.add(time.Hour)
	r := w.rematch()
	// libssl3 and openssl in two versions, zlib1g.
	want := Rematched{From: "test", To: "second", Packages: 5, Changes: 2 + 2 + 4, Elapsed: r.Elapsed}
	if d := gocmp.Diff(want, r); d != "" {
		t.Error(d)
	}
	w.check()
	if i := w.images()["old:1"]; i.VulNum != 4 || i.SeverityLevel != "High" {
		t.Errorf("old:1 %+v", i)
	}
	kinds := map[string]int{}
	w.rows(`SELECT kind FROM finding_event`, func(r *sql.Rows) error {
		var kind string
		err := r.Scan(&kind)
		kinds[kind]++
		return err
	})
	if d := gocmp.Diff(map[string]int{EventNew: 4, EventGone: 2, EventChanged: 3}, kinds); d != "" {
		t.Error(d)
	}
	// What was there before keeps its date, what came has that of now.
	rows, _, err := w.Affected(t.Context(), w.project(), "DEBIAN-CVE-2026-0001", AffectedFilter{}, Page{Limit: 10})
	if err != nil || len(rows) != 2 || rows[0].FirstSeen != w.ms() {
		t.Errorf("affected %+v, %v", rows, err)
	}
	rows, _, err = w.Affected(t.Context(), w.project(), rules[1].id, AffectedFilter{}, Page{Limit: 10})
	if err != nil || len(rows) != 1 || rows[0].FirstSeen != w.ms()-time.Hour.Milliseconds() {
		t.Errorf("affected %+v, %v", rows, err)
	}
}

// TestRematchMatchesOnlyTheDifference changes more than the difference tells:
// what it does not tell of is not looked at.
func TestRematchMatchesOnlyTheDifference(t *testing.T) {
	onEngines(t, testRematchMatchesOnlyTheDifference)
}

func testRematchMatchesOnlyTheDifference(t *testing.T) {
	w := newWorld(t)
	w.scanAll(w.agent("a", state(1, ref("old", "1"))), 1)
	w.rematch()
	w.table.replace("empty", &advisory.Diff{Packages: key("zlib", "not-in-the-fleet")})
	if r := w.rematch(); r.Packages != 1 || r.Changes != 1 || r.Whole {
		t.Errorf("got %+v", r)
	}
	if i := w.images()["old:1"]; i.VulNum != 3 {
		t.Errorf("%d vulnerabilities, want the 3 of openssl and requests", i.VulNum)
	}
	// Without a difference everything is looked at.
	w.table.replace("empty again", nil)
	if r := w.rematch(); !r.Whole || r.Changes != 5 {
		t.Errorf("got %+v", r)
	}
	w.check()
	if i := w.images()["old:1"]; i.VulNum != 0 || i.SeverityLevel != "Security" {
		t.Errorf("%+v", i)
	}
}

// TestRematchUntilWarned holds that an image is no longer called safe when the
// advisories stop covering it, and is again when they do.
func TestRematchUntilWarned(t *testing.T) { onEngines(t, testRematchUntilWarned) }

func testRematchUntilWarned(t *testing.T) {
	w := newWorld(t)
	w.table.replace("first", nil)
	w.scanAll(w.agent("a", state(1, ref("web", "1"))), 1)
	w.rematch()
	for i, warnings := range [][]string{{"no advisories for Debian"}, nil} {
		w.table.replace(fmt.Sprint("then ", i), &advisory.Diff{})
		w.table.warnings = warnings
		w.rematch()
		want := "Security"
		if warnings != nil {
			want = ""
		}
		if i := w.images()["web:1"]; i.SeverityLevel != want {
			t.Errorf("with warnings %v: %q", warnings, i.SeverityLevel)
		}
	}
}

// TestScanDuringRematch finishes scans between the batches of a re-match, of
// packages that it has done, will do, and has never seen.
func TestScanDuringRematch(t *testing.T) { onEngines(t, testScanDuringRematch) }

func testScanDuringRematch(t *testing.T) {
	w := newWorld(t)
	w.Store.cfg.rematchBatch = 1
	k := w.agent("a", state(1, ref("web", "1")), state(2, ref("web", "2")))
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, List: []ScanImage{{Name: "web", Version: "1"}}}); err != nil {
		t.Fatal(err)
	}
	w.work(k, 1)
	w.rematch()
	changed := slices.Clone(rules)
	changed[0].severity, changed[2].severity, changed[0].fixed = report.SeverityLow, report.SeverityLow, "3.0.17-1"
	w.table.replace("second", &advisory.Diff{Packages: key("openssl", "zlib")}, changed...)
	batches := 0
	w.table.asked = func() {
		batches++
		if batches != 2 {
			return
		}
		w.table.asked = nil
		if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
			t.Fatal(err)
		}
		w.work(k, 1, 2)
	}
	if r := w.rematch(); r.Packages != 3 {
		t.Errorf("got %+v", r)
	}
	if batches != 2 {
		t.Fatalf("no scan was made")
	}
	w.check()
}

// TestGenerationMovesDuringScan replaces the advisories between the matching of
// a scan and its end.
func TestGenerationMovesDuringScan(t *testing.T) { onEngines(t, testGenerationMovesDuringScan) }

func testGenerationMovesDuringScan(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")))
	w.table.asked = func() {
		w.table.asked = nil
		w.table.replace("second", nil)
		w.rematch()
	}
	w.scanAll(k, 1)
	w.check()
	if i := w.images()["web:1"]; i.VulNum != 0 {
		t.Errorf("%d vulnerabilities of the generation before", i.VulNum)
	}
}

// TestManyRematches runs random differences over random images, cut into
// batches of random size and interrupted, and counts from the ground up.
func TestManyRematches(t *testing.T) { onEngines(t, testManyRematches) }

func testManyRematches(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")), state(2, ref("web", "2")), state(3, ref("web", "3")), state(4, ref("web", "4")))
	other, err := w.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	first := w.first.Project
	w.first.Project = other
	b := w.agent("b", state(1, ref("web", "1")), state(5, ref("web", "5")))
	w.scanAll(b, 1, 5)
	w.first.Project = first
	names := []string{"openssl", "zlib", "requests"}
	types := map[string]string{"openssl": report.TypeDeb, "zlib": report.TypeDeb, "requests": report.TypePython}
	levels := []string{report.SeverityUnknown, report.SeverityLow, report.SeverityMedium, report.SeverityHigh, report.SeverityCritical}
	have := slices.Clone(rules)
	for round := range 25 {
		touched := map[string]bool{}
		for range 1 + rnd.IntN(4) {
			name := names[rnd.IntN(len(names))]
			touched[name] = true
			if i := rnd.IntN(12); i < len(have) {
				touched[have[i].source] = true
				if rnd.IntN(2) == 0 {
					have = slices.Delete(have, i, i+1)
				} else {
					have[i].severity = levels[rnd.IntN(len(levels))]
				}
				continue
			}
			have = append(have, rule{
				id: fmt.Sprintf("X-%d", rnd.IntN(8)), cve: []string{"CVE-1", "CVE-1,CVE-2", "CVE-2,CVE-3"}[rnd.IntN(3)], typ: types[name], source: name, ecosystem: "PyPI",
				fixed: []string{"", "2.30", "3.0.10"}[rnd.IntN(3)], severity: levels[rnd.IntN(len(levels))],
			})
		}
		slices.SortFunc(have, func(a, b rule) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.source, b.source)) })
		have = slices.CompactFunc(have, func(a, b rule) bool { return a.id == b.id && a.source == b.source })
		var diff *advisory.Diff
		if rnd.IntN(4) > 0 {
			diff = &advisory.Diff{}
			for name := range touched {
				diff.Packages = append(diff.Packages, key(name)...)
			}
		}
		w.table.replace(fmt.Sprint("round ", round), diff, slices.Clone(have)...)
		w.Store.cfg.rematchBatch = 1 + rnd.IntN(4)
		if rnd.IntN(3) == 0 {
			ctx, cancel := context.WithCancel(t.Context())
			var n atomic.Int64
			n.Store(rnd.Int64N(4))
			w.table.asked = func() {
				if n.Add(-1) < 0 {
					cancel()
				}
			}
			_, _ = w.Rematch(ctx) // cut short or not
			w.table.asked = nil
			cancel()
		}
		w.rematch()
		if rnd.IntN(4) == 0 {
			w.scanAll(k, 1, 2, 3, 4)
		}
		w.check()
		if t.Failed() {
			t.Fatalf("in round %d with %+v", round, have)
		}
	}
}

// The child of TestRematchIsKilled: it re-matches slowly.
const (
	envVictim = "ONCEOVER_TEST_REMATCH"
	victims   = 5
)

func TestRematchIsKilled(t *testing.T) { onEngines(t, testRematchIsKilled) }

// testRematchIsKilled kills a process in the middle of a re-match with SIGKILL
// and goes on with it in this one.
func testRematchIsKilled(t *testing.T) {
	if where := os.Getenv(envVictim); where != "" {
		return // TestVictim works
	}
	w := newWorld(t)
	w.scanAll(w.agent("a", state(1, ref("web", "1")), state(2, ref("web", "2"))), 1, 2)
	w.rematch()
	changed := secondRules()
	for kill := range victims {
		if err := w.Store.Close(); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.count=1")
		cmd.Env = append(os.Environ(), envVictim+"="+cmp.Or(w.url, w.path))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The victim writes a dot for each package that it matches, and something
		// else when none is left: on a busy machine the ones before it may have
		// been quicker than their end.
		b := []byte(".")
		for n := 0; n < 1+kill%2 && b[0] == '.'; n++ {
			if _, err := out.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		w.open()
		var state string
		var left int64
		if err := w.read.QueryRow(`SELECT state, (SELECT COUNT(*) FROM rematch_queue) FROM matching`).Scan(&state, &left); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed with %d packages to go, %s", left, state)
		// Whatever is there agrees with itself.
		was := w.counted()
		for id := range was {
			if err := w.inTx(t.Context(), func(tx *sql.Tx) error { _, err := countContent(t.Context(), tx, id); return err }); err != nil {
				t.Fatal(err)
			}
		}
		if d := gocmp.Diff(w.counted(), was); d != "" {
			t.Errorf("after the kill: %s", d)
		}
	}
	w.table.replace("second", &advisory.Diff{Packages: key("openssl", "zlib", "requests")}, changed...)
	w.rematch()
	w.check()
	var events, distinct int64
	if err := w.read.QueryRow(`SELECT COUNT(*), (SELECT COUNT(*) FROM (SELECT DISTINCT vul_id, package_id FROM finding_event) d) FROM finding_event`).Scan(&events, &distinct); err != nil || events == 0 || events != distinct {
		t.Errorf("%d events, %d of them distinct, %v", events, distinct, err)
	}
}

func secondRules() []rule {
	changed := slices.Clone(rules)
	for i := range changed {
		changed[i].severity = report.SeverityLow
	}
	return changed
}

// TestVictim is what testRematchIsKilled kills.
func TestVictim(t *testing.T) {
	where := os.Getenv(envVictim)
	if where == "" {
		t.Skip("is started by TestRematchIsKilled")
	}
	w := &world{t: t, clk: &clock{time.Now()}, table: newTable(), batch: 1}
	if strings.HasPrefix(where, "postgres:") {
		w.url = where
	} else {
		w.path = where
	}
	w.table.replace("second", &advisory.Diff{Packages: key("openssl", "zlib", "requests")}, secondRules()...)
	w.table.asked = func() {
		fmt.Print(".")
		time.Sleep(10 * time.Millisecond)
	}
	w.open()
	w.rematch()
	fmt.Print("!")
	select {} // until it is killed
}
