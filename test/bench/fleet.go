package main

import (
	"archive/zip"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/test/fleetmodel"
	"github.com/onceover/onceover/test/postgres"
	"github.com/onceover/onceover/test/shareddata"
)

// fleetSettings of one run of "fleet".
type fleetSettings struct {
	params  fleetmodel.Params
	engine  string
	dir     string
	delta   int
	queries int
	rounds  int
	check   bool
	keep    bool
}

// Limits that -check holds a run against.
const (
	maxRematch = 5 * time.Second
	maxQuery   = 50 * time.Millisecond
)

// fleet makes a fleet, loads it into a store, re-matches it with a difference
// of some hundred advisories, counts again from the ground up, and asks who has
// what.
func fleet(ctx context.Context, args []string, out io.Writer) error {
	s := fleetSettings{}
	f := flag.NewFlagSet("fleet", flag.ContinueOnError)
	size := f.String("size", "", "full or tenth (default: full on PostgreSQL, tenth on SQLite)")
	f.StringVar(&s.engine, "database", "postgresql", "postgresql or sqlite")
	f.StringVar(&s.dir, "dir", "", "work in DIR (default: build/cache/fleet)")
	f.IntVar(&s.delta, "delta", 500, "advisories that are new in the second generation")
	f.IntVar(&s.queries, "queries", 2000, "advisories that are asked for")
	f.IntVar(&s.rounds, "rounds", 3, "times the difference is re-matched, and taken back in between")
	f.BoolVar(&s.check, "check", false, "fail above the limits")
	f.BoolVar(&s.keep, "keep", false, "leave the database for a look at it")
	if err := f.Parse(args); err != nil {
		return err
	}
	switch cmp.Or(*size, map[string]string{"sqlite": "tenth"}[s.engine], "full") {
	case "full":
		s.params = fleetmodel.Full
	case "tenth":
		s.params = fleetmodel.Tenth
	default:
		return fmt.Errorf("-size %s: want full or tenth", *size)
	}
	if s.engine != "postgresql" && s.engine != "sqlite" {
		return fmt.Errorf("-database %s: want postgresql or sqlite", s.engine)
	}
	if s.dir == "" {
		s.dir = filepath.Join("build", "cache", "fleet")
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, "run-")
	if err != nil {
		return err
	}
	if !s.keep {
		defer os.RemoveAll(work)
	}
	// The server runs as its own user and has to come in.
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	return (&fleetRun{s: s, work: work, out: out}).run(ctx)
}

// A fleetRun is one run.
type fleetRun struct {
	s     fleetSettings
	work  string
	out   io.Writer
	fleet *fleetmodel.Fleet
	adv   *twoGenerations
	store *store.Store
	raw   *sql.DB
	began time.Time
}

func (r *fleetRun) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

func (r *fleetRun) run(ctx context.Context) (err error) {
	r.began = time.Now()
	if err := r.generations(ctx); err != nil {
		return err
	}
	defer r.adv.close()
	cfg := store.Config{Advisories: r.adv, SealKey: make([]byte, 32), Log: slog.New(slog.DiscardHandler)}
	if _, err := rand.Read(cfg.SealKey); err != nil {
		return err
	}
	var load loader
	if r.s.engine == "sqlite" {
		cfg.Path = filepath.Join(r.work, store.FileName)
	} else {
		// What an operator gives a server of this size, and nothing that
		// makes data less safe.
		pg, err := postgres.Start(postgres.Config{Dir: filepath.Join(r.work, "pg"), Settings: []string{
			"fsync=on", "synchronous_commit=on", "shared_buffers=2GB", "work_mem=64MB", "maintenance_work_mem=512MB",
			"effective_cache_size=8GB", "max_wal_size=8GB", "random_page_cost=1.1", "autovacuum_naptime=60s"}})
		if err != nil {
			return err
		}
		defer pg.Stop()
		if cfg.URL, err = pg.Create(ctx, "fleet"); err != nil {
			return err
		}
		r.say("PostgreSQL runs")
	}
	if r.store, err = store.Open(ctx, cfg); err != nil {
		return err
	}
	defer r.store.Close()
	if r.s.engine == "sqlite" {
		if load, r.raw, err = newSQLiteLoader(cfg.Path); err != nil {
			return err
		}
	} else if load, r.raw, err = newPostgresLoader(ctx, cfg.URL); err != nil {
		return err
	}
	defer r.raw.Close()
	if err := loadFleet(ctx, load, r.fleet); err != nil {
		return fmt.Errorf("load fleet: %w", err)
	}
	r.say("fleet loaded")
	return r.measure(ctx)
}

// generations builds the whole generation and one that lacks the newest
// advisories, and makes the fleet between them.
func (r *fleetRun) generations(ctx context.Context) error {
	data := shareddata.Find()
	if data == "" {
		return errors.New("no shared test data: set ONCEOVER_TESTDATA")
	}
	osv := filepath.Join(data, "osv")
	whole := filepath.Join(r.work, "whole.db")
	if _, err := advisory.Build(ctx, advisory.BuildOptions{From: osv, To: whole}); err != nil {
		return err
	}
	to, err := advisory.Open(whole)
	if err != nil {
		return err
	}
	if r.fleet, err = fleetmodel.Make(ctx, to, r.s.params); err != nil {
		return err
	}
	r.say("made a fleet of %d hosts, %d images, %d distinct packages", len(r.fleet.Hosts), len(r.fleet.Images), len(r.fleet.Packages))
	without, err := chooseDelta(ctx, to, r.fleet, r.s.delta)
	if err != nil {
		return err
	}
	dir := filepath.Join(r.work, "osv")
	if err := copyWithout(osv, dir, without); err != nil {
		return err
	}
	before := filepath.Join(r.work, "before.db")
	if _, err := advisory.Build(ctx, advisory.BuildOptions{From: dir, To: before}); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	from, err := advisory.Open(before)
	if err != nil {
		return err
	}
	r.adv = &twoGenerations{dbs: [2]*advisory.DB{from, to}, matchers: [2]*match.Matcher{match.New(from), match.New(to)}}
	r.say("built two generations, %d advisories apart", len(without))
	return nil
}

// chooseDelta draws advisories that are about packages of the fleet, each as
// likely as the other.
func chooseDelta(ctx context.Context, db *advisory.DB, f *fleetmodel.Fleet, n int) (map[string]bool, error) {
	names := map[string]bool{}
	for _, p := range f.Packages {
		names[p.Name] = true
	}
	seen := map[string]bool{}
	err := db.Each(ctx, func(eco, name string, as []advisory.Affected) error {
		if names[name] {
			for _, a := range as {
				seen[a.ID] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(seen))
	for id := range seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(ids) < n {
		return nil, fmt.Errorf("%d advisories concern the fleet, want %d", len(ids), n)
	}
	rng := mrand.New(mrand.NewPCG(5, 500))
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	out := map[string]bool{}
	for _, id := range ids[:n] {
		out[id] = true
	}
	return out, nil
}

// copyWithout copies the archives of a directory without some records.
func copyWithout(from, to string, without map[string]bool) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case strings.HasSuffix(e.Name(), ".zip"):
			err = copyZipWithout(src, dst, without)
		case e.Type().IsRegular():
			err = os.Symlink(src, dst)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyZipWithout(src, dst string, without map[string]bool) (err error) {
	z, err := zip.OpenReader(src)
	if err != nil {
		return err
	}
	defer z.Close()
	f, err := os.Create(dst)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := zip.NewWriter(f)
	for _, e := range z.File {
		id, _, _ := strings.Cut(strings.TrimSuffix(e.Name, ".json"), "~")
		if without[id] {
			continue
		}
		if err := w.Copy(e); err != nil {
			return err
		}
	}
	return w.Close()
}

// twoGenerations are the advisories before and after.
type twoGenerations struct {
	dbs      [2]*advisory.DB
	matchers [2]*match.Matcher
	now      atomic.Int32
}

// Acquire implements store.Advisories.
func (a *twoGenerations) Acquire() (store.Generation, error) {
	i := a.now.Load()
	return store.GenerationOf(a.dbs[i], a.matchers[i], func() {}), nil
}

// Diff implements store.Advisories.
func (a *twoGenerations) Diff(ctx context.Context, from, to string) (*advisory.Diff, error) {
	switch {
	case from == a.dbs[0].Meta().ID && to == a.dbs[1].Meta().ID:
		return advisory.Compare(ctx, a.dbs[0], a.dbs[1])
	case from == a.dbs[1].Meta().ID && to == a.dbs[0].Meta().ID:
		return advisory.Compare(ctx, a.dbs[1], a.dbs[0])
	}
	return nil, nil
}

func (a *twoGenerations) close() {
	for _, db := range a.dbs {
		db.Close()
	}
}

// measure is what the run is for.
func (r *fleetRun) measure(ctx context.Context) error {
	first, err := r.store.Rematch(ctx)
	if err != nil {
		return err
	}
	r.say("every package matched: %d findings came", first.Changes)
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.recount(ctx); err != nil {
		return fmt.Errorf("after the first match: %w", err)
	}

	second, rematches, err := r.rematches(ctx)
	if err != nil {
		return err
	}
	rematch := at(rematches, 0.5)
	if err := r.recount(ctx); err != nil {
		return fmt.Errorf("after the re-match: %w", err)
	}
	touched, err := r.touched(ctx)
	if err != nil {
		return err
	}
	who, worst, err := r.who(ctx)
	if err != nil {
		return err
	}
	ranges, err := r.ranges(ctx)
	if err != nil {
		return err
	}
	ranked, err := r.ranked(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s, %d hosts, %d images, %d distinct packages\n", r.s.engine, len(r.fleet.Hosts), len(r.fleet.Images), len(r.fleet.Packages))
	fmt.Fprintf(w, "every package matched\t%d packages, %d findings\t%.1f s\n", first.Packages, first.Changes, first.Elapsed.Seconds())
	fmt.Fprintf(w, "difference of %d advisories\t%d packages, %d findings, %d images\tmedian of %d: %.2f s\n", r.s.delta, second.Packages, second.Changes, touched, len(rematches), rematch.Seconds())
	fmt.Fprintf(w, "who has CVE-X, %d of them\t%s\n", len(who), percentiles(who))
	fmt.Fprintf(w, "  the slowest\t%s\n", worst)
	fmt.Fprintf(w, "who has package P in range R, %d of them\t%s\n", len(ranges), percentiles(ranges))
	for _, line := range ranked {
		fmt.Fprintln(w, line)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.s.check && (rematch > maxRematch || at(who, 0.99) > maxQuery) {
		return fmt.Errorf("above the limits: re-match %v of %v, p99 of who has CVE-X %v of %v", rematch, maxRematch, at(who, 0.99), maxQuery)
	}
	return nil
}

// rematches applies the difference some times, and takes it back in between.
func (r *fleetRun) rematches(ctx context.Context) (last store.Rematched, took []time.Duration, err error) {
	for range max(r.s.rounds, 1) {
		if len(took) > 0 {
			r.adv.now.Store(0)
			if _, err := r.store.Rematch(ctx); err != nil {
				return last, nil, err
			}
		}
		r.adv.now.Store(1)
		begin := time.Now()
		if last, err = r.store.Rematch(ctx); err != nil {
			return last, nil, err
		}
		took = append(took, time.Since(begin))
		r.say("difference re-matched in %.2f s: %d packages, %d findings changed", took[len(took)-1].Seconds(), last.Packages, last.Changes)
		if last.Whole {
			return last, nil, errors.New("the difference was not used: everything was matched")
		}
	}
	return last, took, nil
}

// settle does what the engine does by itself in a fleet that grows over weeks
// instead of seconds.
func (r *fleetRun) settle(ctx context.Context) error {
	q := "VACUUM ANALYZE"
	if r.s.engine == "sqlite" {
		q = "ANALYZE"
	}
	_, err := r.raw.ExecContext(ctx, q)
	return err
}

// sqlRecount counts contents from the ground up, by other means than the
// store: all findings of some thousand images at a time.
const sqlRecount = `SELECT COUNT(*), COALESCE(SUM(CASE WHEN c.vul_num = COALESCE(t.n, 0) AND c.vul_critical = COALESCE(t.n4, 0) AND c.vul_high = COALESCE(t.n3, 0)
AND c.vul_medium = COALESCE(t.n2, 0) AND c.vul_low = COALESCE(t.n1, 0) AND c.vul_unknown = COALESCE(t.n0, 0) THEN 0 ELSE 1 END), 0), COALESCE(SUM(c.vul_num), 0)
FROM content c LEFT JOIN (
SELECT v.content_id, COUNT(*) AS n, SUM(CASE v.severity WHEN 4 THEN 1 ELSE 0 END) AS n4, SUM(CASE v.severity WHEN 3 THEN 1 ELSE 0 END) AS n3,
SUM(CASE v.severity WHEN 2 THEN 1 ELSE 0 END) AS n2, SUM(CASE v.severity WHEN 1 THEN 1 ELSE 0 END) AS n1, SUM(CASE v.severity WHEN 0 THEN 1 ELSE 0 END) AS n0
FROM (SELECT cp.content_id, f.vul_id, MAX(f.severity) AS severity
FROM content_part cp JOIN part_package pp ON pp.part_id = cp.part_id AND pp.counted = 1 JOIN finding f ON f.package_id = pp.package_id
WHERE cp.content_id > %[1]d AND cp.content_id <= %[2]d GROUP BY cp.content_id, f.vul_id) v
GROUP BY v.content_id) t ON t.content_id = c.id WHERE c.id > %[1]d AND c.id <= %[2]d`

func (r *fleetRun) recount(ctx context.Context) error {
	const step = 4000
	var n, wrong, sum int64
	for from := 0; from < len(r.fleet.Images); from += step {
		var some, bad, findings int64
		if err := r.raw.QueryRowContext(ctx, fmt.Sprintf(sqlRecount, from, from+step)).Scan(&some, &bad, &findings); err != nil {
			return err
		}
		n, wrong, sum = n+some, wrong+bad, sum+findings
	}
	if n != int64(len(r.fleet.Images)) || sum == 0 {
		return fmt.Errorf("%d images with %d findings counted, there are %d images", n, sum, len(r.fleet.Images))
	}
	if wrong > 0 {
		return fmt.Errorf("the counters of %d of %d images are wrong", wrong, n)
	}
	r.say("counted again: the counters of %d images, %d findings in all, are right", n, sum)
	return nil
}

// who asks for vulnerabilities of the fleet, each as likely as the other, and
// for those that concern the most packages. Each is asked for its first page of
// images, with the numbers of images, hosts and running containers.
func (r *fleetRun) who(ctx context.Context) (took []time.Duration, worst string, err error) {
	var names []string
	rows, err := r.raw.QueryContext(ctx, `SELECT DISTINCT e.cve_id FROM vulnerability_cve e ORDER BY e.cve_id`)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			return nil, "", err
		}
		names = append(names, n)
	}
	if err := rows.Err(); err != nil {
		return nil, "", err
	}
	rng := mrand.New(mrand.NewPCG(9, 9))
	rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var slowest time.Duration
	begin := time.Now()
	if _, err := r.store.WhoHas(ctx, benchProject, names[0], store.WhoseImages, store.Page{Limit: 100}); err != nil {
		return nil, "", err
	}
	r.say("the first question took %.2f s", time.Since(begin).Seconds())
	for _, n := range names[:min(len(names), r.s.queries)] {
		begin := time.Now()
		w, err := r.store.WhoHas(ctx, benchProject, n, store.WhoseImages, store.Page{Limit: 100})
		d := time.Since(begin)
		if err != nil {
			return nil, "", err
		}
		took = append(took, d)
		if d > slowest {
			slowest = d
			worst = fmt.Sprintf("%s: %d images, %d hosts, %d running containers", n, w.Images, w.Hosts, w.Containers)
		}
	}
	return took, worst, nil
}

// ranges asks for packages below a version that some image has, as one does
// before an advisory is written.
func (r *fleetRun) ranges(ctx context.Context) (took []time.Duration, err error) {
	rng := mrand.New(mrand.NewPCG(10, 10))
	for range min(500, r.s.queries) {
		p := r.fleet.Packages[rng.IntN(len(r.fleet.Packages))]
		begin := time.Now()
		_, err := r.store.WhoHasPackage(ctx, benchProject, store.PackageQuestion{Type: p.Type, Name: p.Name, Range: "<= " + p.Version}, store.WhoseImages, store.Page{Limit: 100})
		if err != nil {
			return nil, fmt.Errorf("who has %s %s: %w", p.Name, p.Version, err)
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// touched is how many images the difference concerned.
func (r *fleetRun) touched(ctx context.Context) (n int64, err error) {
	err = r.raw.QueryRowContext(ctx, `SELECT COUNT(DISTINCT cp.content_id) FROM content_part cp WHERE cp.part_id IN (
SELECT pp.part_id FROM part_package pp WHERE pp.counted = 1 AND pp.package_id IN (
SELECT e.package_id FROM finding_event e JOIN matching m ON m.id = 1 AND m.generation = e.generation))`).Scan(&n)
	return n, err
}

func at(ds []time.Duration, q float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	ds = slices.Sorted(slices.Values(ds))
	return ds[min(int(q*float64(len(ds))), len(ds)-1)]
}

func percentiles(ds []time.Duration) string {
	ms := func(q float64) float64 { return float64(at(ds, q).Microseconds()) / 1000 }
	return fmt.Sprintf("p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, max %.1f ms", ms(0.5), ms(0.95), ms(0.99), ms(1))
}
