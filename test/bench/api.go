package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/check/policy"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/test/fleetmodel"
	"github.com/onceover/onceover/test/postgres"
	"github.com/onceover/onceover/test/shareddata"
)

// apiSettings of one run of "api".
type apiSettings struct {
	params   fleetmodel.Params
	engine   string
	dir      string
	only     string
	alone    int
	clients  int
	together time.Duration
	paced    time.Duration
	check    bool
	keep     bool
	plans    bool
	exports  bool
}

// maxList is what -check holds the slowest list against, at p99.
const maxList = 100 * time.Millisecond

// apiBench makes a fleet with everything that the API lists, starts the program
// on it, and asks for every list: one after the other, and from many clients at
// once.
func apiBench(ctx context.Context, args []string, out io.Writer) error {
	s := apiSettings{}
	f := flag.NewFlagSet("api", flag.ContinueOnError)
	size := f.String("size", "", "full or tenth (default: full on PostgreSQL, tenth on SQLite)")
	f.StringVar(&s.engine, "database", "postgresql", "postgresql or sqlite")
	f.StringVar(&s.dir, "dir", "", "work in DIR (default: build/cache/api)")
	f.StringVar(&s.only, "only", "", "ask operations whose name holds this")
	f.IntVar(&s.alone, "alone", 40, "requests of each operation, one after the other")
	f.IntVar(&s.clients, "clients", 50, "clients at once")
	f.DurationVar(&s.together, "together", 40*time.Second, "how long all clients ask as fast as they are answered")
	f.DurationVar(&s.paced, "paced", time.Minute, "how long each client asks once a second")
	f.BoolVar(&s.check, "check", false, "fail above the limits")
	f.BoolVar(&s.plans, "plans", true, "have PostgreSQL explain the statements of all lists at the end, and fail if one reads a large table whole")
	f.BoolVar(&s.exports, "exports", true, "measure two exports of which one has ten times the records, and fail if it takes more memory")
	f.BoolVar(&s.keep, "keep", false, "leave the fleet in DIR, and use the one that was left there")
	if err := f.Parse(args); err != nil {
		return err
	}
	switch cmp.Or(*size, map[string]string{"sqlite": "tenth"}[s.engine], "full") {
	case "full":
		s.params = fleetmodel.API
	case "tenth":
		s.params = fleetmodel.APITenth
	default:
		return fmt.Errorf("-size %s: want full or tenth", *size)
	}
	if s.engine != "postgresql" && s.engine != "sqlite" {
		return fmt.Errorf("-database %s: want postgresql or sqlite", s.engine)
	}
	if s.dir == "" {
		s.dir = filepath.Join("build", "cache", "api")
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	r := &apiRun{s: s, out: out, began: time.Now(), work: filepath.Join(dir, "kept-"+s.engine)}
	if !s.keep {
		if r.work, err = os.MkdirTemp(dir, "run-"); err != nil {
			return err
		}
		defer os.RemoveAll(r.work)
	}
	// PostgreSQL runs as its own user and has to come in.
	if err := os.MkdirAll(r.work, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(r.work, 0o755); err != nil {
		return err
	}
	return r.run(ctx)
}

// An apiRun is one run.
type apiRun struct {
	s        apiSettings
	work     string
	out      io.Writer
	began    time.Time
	fleet    *fleetmodel.Fleet
	raw      *sql.DB
	url      string // of PostgreSQL
	postgres int    // its process
}

func (r *apiRun) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

func (r *apiRun) advisories() string { return filepath.Join(r.work, "advisories.db") }
func (r *apiRun) data() string       { return filepath.Join(r.work, "data") }

func (r *apiRun) run(ctx context.Context) error {
	if err := r.generation(ctx); err != nil {
		return err
	}
	db, err := advisory.Open(r.advisories())
	if err != nil {
		return err
	}
	defer db.Close()
	if r.fleet, err = fleetmodel.Make(ctx, db, r.s.params); err != nil {
		return err
	}
	r.say("made a fleet of %d hosts, %d images, %d distinct packages", len(r.fleet.Hosts), len(r.fleet.Images), len(r.fleet.Packages))
	if r.s.engine == "postgresql" {
		pg, err := postgres.Start(postgres.Config{Dir: filepath.Join(r.work, "pg"), Keep: r.s.keep, Settings: []string{
			"fsync=on", "synchronous_commit=on", "shared_buffers=2GB", "work_mem=64MB", "maintenance_work_mem=512MB",
			"effective_cache_size=8GB", "max_wal_size=1GB", "random_page_cost=1.1", "autovacuum_naptime=60s", "session_preload_libraries=auto_explain"}})
		if err != nil {
			return err
		}
		defer pg.Stop()
		r.postgres, r.url = pg.PID(), pg.URL("fleet")
		if !r.loaded() {
			if _, err := pg.Create(ctx, "fleet"); err != nil {
				return err
			}
		}
	}
	load, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer r.raw.Close()
	if !r.loaded() {
		if err := r.load(ctx, db, load); err != nil {
			return err
		}
	}
	if err := r.census(ctx); err != nil {
		return err
	}
	return r.drive(ctx)
}

// loaded reports whether the fleet is that of an earlier run.
func (r *apiRun) loaded() bool {
	_, err := os.Stat(filepath.Join(r.work, "loaded"))
	return err == nil
}

// generation builds the advisories that the fleet is made of and matched with.
func (r *apiRun) generation(ctx context.Context) error {
	if _, err := os.Stat(r.advisories()); err == nil {
		return nil
	}
	data := shareddata.Find()
	if data == "" {
		return errors.New("no shared test data: set ONCEOVER_TESTDATA")
	}
	_, err := advisory.Build(ctx, advisory.BuildOptions{From: filepath.Join(data, "osv"), To: r.advisories()})
	return err
}

// open makes the schema and opens the database beside the store.
func (r *apiRun) open(ctx context.Context) (load loader, err error) {
	if err := os.MkdirAll(r.data(), 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(r.data(), store.FileName)
	if !r.loaded() {
		key := make([]byte, store.SealKeyBytes)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(r.data(), "seal.key"), []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
			return nil, err
		}
		st, err := store.Open(ctx, store.Config{URL: r.url, Path: path, SealKey: key, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		if err := st.Close(); err != nil {
			return nil, err
		}
	}
	if r.url == "" {
		load, r.raw, err = newSQLiteLoader(path)
	} else {
		load, r.raw, err = newPostgresLoader(ctx, r.url)
	}
	return load, err
}

// load fills the database, and has all packages matched.
func (r *apiRun) load(ctx context.Context, db *advisory.DB, load loader) error {
	if err := loadFleet(ctx, load, r.fleet); err != nil {
		return fmt.Errorf("load fleet: %w", err)
	}
	if err := loadChecks(ctx, load, r.fleet); err != nil {
		return fmt.Errorf("load checks: %w", err)
	}
	r.say("fleet loaded")
	deny, err := policy.Parse("deny.yaml", []byte(denyList))
	if err != nil {
		return err
	}
	for _, q := range []struct {
		query string
		args  []any
	}{
		{`UPDATE content SET files = 1, check_severity = (SELECT MAX(k.severity) FROM content_check k WHERE k.content_id = content.id)`, nil},
		{`UPDATE content SET scan_status = 'failed', scan_failed_desc = 'unreadable' WHERE id % 40 = 0`, nil},
		{`UPDATE content_detail SET build_rules = $1, chain = 'chain-' || content_id`, []any{buildcmd.Version()}},
		{`UPDATE part SET policy = $1, denied = (SELECT COUNT(*) FROM non_compliant d WHERE d.part_id = part.id)`, []any{deny.Version()}},
	} {
		if _, err := r.raw.ExecContext(ctx, q.query, q.args...); err != nil {
			return err
		}
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.match(ctx, db); err != nil {
		return fmt.Errorf("match packages: %w", err)
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	rules := filepath.Join(r.work, "rules", "policy")
	if err := os.MkdirAll(rules, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(rules, "deny.yaml"), []byte(denyList), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.work, "loaded"), nil, 0o644)
}

// match finds what the advisories say of all packages.
func (r *apiRun) match(ctx context.Context, db *advisory.DB) error {
	st, err := store.Open(ctx, store.Config{
		URL: r.url, Path: filepath.Join(r.data(), store.FileName), SealKey: make([]byte, store.SealKeyBytes), Log: slog.New(slog.DiscardHandler),
		Advisories: oneGeneration{db, match.New(db)},
	})
	if err != nil {
		return err
	}
	defer st.Close()
	done, err := st.Rematch(ctx)
	r.say("every package matched in %.0f s: %d findings", done.Elapsed.Seconds(), done.Changes)
	return err
}

// oneGeneration are advisories that are not replaced.
type oneGeneration struct {
	db      *advisory.DB
	matcher *match.Matcher
}

// Acquire implements store.Advisories.
func (g oneGeneration) Acquire() (store.Generation, error) {
	return store.GenerationOf(g.db, g.matcher, func() {}), nil
}

// Diff implements store.Advisories.
func (g oneGeneration) Diff(context.Context, string, string) (*advisory.Diff, error) { return nil, nil }

// settle does what the engine does by itself in a fleet that grows over weeks
// instead of seconds. SQLite has no such thing, and a server of ours does not do
// it there.
func (r *apiRun) settle(ctx context.Context) error {
	if r.url == "" {
		_, err := r.raw.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
		return err
	}
	_, err := r.raw.ExecContext(ctx, "VACUUM ANALYZE")
	return err
}

// census prints how many there are of everything.
func (r *apiRun) census(ctx context.Context) error {
	fmt.Fprintf(r.out, "%s:", r.s.engine)
	for _, n := range []struct{ what, query string }{
		{"images", "SELECT COUNT(*) FROM image"}, {"hosts", "SELECT COUNT(*) FROM agent"}, {"images on hosts", "SELECT COUNT(*) FROM image_host"},
		{"containers", "SELECT COUNT(*) FROM container"}, {"packages", "SELECT COUNT(*) FROM package"}, {"places of packages in layers", "SELECT COUNT(*) FROM part_package"},
		{"places of packages in images", "SELECT SUM(app_num) FROM content"}, {"findings of packages", "SELECT COUNT(*) FROM finding"},
		{"findings in images (image, vulnerability, place of a package)", `SELECT SUM(t.n) FROM (SELECT pp.part_id, COUNT(*) AS n FROM part_package pp JOIN finding f ON f.package_id = pp.package_id WHERE pp.counted = 1 GROUP BY pp.part_id) t JOIN content_part cp ON cp.part_id = t.part_id`},
		{"distinct vulnerabilities of images", "SELECT SUM(vul_num) FROM content"}, {"vulnerabilities", "SELECT COUNT(*) FROM vulnerability"},
		{"secrets", "SELECT COUNT(*) FROM secret"}, {"secrets in images", "SELECT COUNT(*) FROM content_secret"}, {"malicious files", "SELECT COUNT(*) FROM malware"},
		{"answers of baselines in images", "SELECT COUNT(*) FROM content_baseline"}, {"weak passwords", "SELECT COUNT(*) FROM password_account"}, {"rules for passwords", "SELECT COUNT(*) FROM password_rules"},
		{"build risks", "SELECT COUNT(*) FROM build_risk"}, {"files", "SELECT COUNT(*) FROM file_entry"}, {"denied places", "SELECT COUNT(*) FROM non_compliant"},
		{"tasks", "SELECT COUNT(*) FROM scan_task"}, {"images of tasks", "SELECT COUNT(*) FROM task_image"},
	} {
		var count int64
		if err := r.raw.QueryRowContext(ctx, n.query).Scan(&count); err != nil {
			return fmt.Errorf("count %s: %w", n.what, err)
		}
		fmt.Fprintf(r.out, " %d %s;", count, n.what)
	}
	_, err := fmt.Fprintln(r.out)
	return err
}
