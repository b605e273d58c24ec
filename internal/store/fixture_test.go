package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
	"github.com/onceover/onceover/test/postgres"
)

const testAnalyzers = "0123456789abcdef"

// A rule is a fact that the tests match with, its CVEs with commas between them: DSA-5764-1 and DSA-5532-1 are
// real, CVE-2023-45853 has no fix in Debian 12.
type rule struct {
	id, cve, typ, source, ecosystem, fixed, severity string
	score                                            float64
}

var rules = []rule{
	{"DEBIAN-CVE-2024-6119", "CVE-2024-6119", report.TypeDeb, "openssl", "Debian:12", "3.0.14-1~deb12u2", report.SeverityHigh, 7.5},
	{"DEBIAN-CVE-2023-5363", "CVE-2023-5363", report.TypeDeb, "openssl", "Debian:12", "3.0.11-1~deb12u2", report.SeverityHigh, 7.5},
	{"DEBIAN-CVE-2023-45853", "CVE-2023-45853", report.TypeDeb, "zlib", "Debian:12", "", report.SeverityCritical, 9.8},
	{"GHSA-9wx4-h78v-vm56", "CVE-2024-35195", report.TypePython, "requests", "PyPI", "2.32.0", report.SeverityMedium, 5.6},
}

// table is a generation that is made of rules, matched by the real comparison
// of versions. Tests replace what is in it.
type table struct {
	mu       sync.Mutex
	id       string
	rules    []rule
	warnings []string
	diff     *advisory.Diff // to the generation in use
	asked    func()         // before each package is matched, if not nil
	exploits map[string]Exploits
}

func newTable() *table { return &table{id: "test", rules: rules} }

// replace brings a new generation into use.
func (a *table) replace(id string, diff *advisory.Diff, rules ...rule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.id, a.diff, a.rules = id, diff, rules
}

func (a *table) Acquire() (Generation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	exploits := a.exploits
	return Generation{ID: a.id, Matcher: tableMatcher{a, a.rules, a.warnings}, Release: func() {},
		Exploits: func(cve string) Exploits { return exploits[cve] }}, nil
}

func (a *table) Diff(context.Context, string, string) (*advisory.Diff, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.diff, nil
}

type tableMatcher struct {
	table    *table
	rules    []rule
	warnings []string
}

func (m tableMatcher) Warnings(report.Inventory) []string { return m.warnings }

func (m tableMatcher) Keys(_ report.Distro, p report.Package) []advisory.Key {
	return []advisory.Key{{Name: cmp.Or(p.Source, p.Name)}}
}

func (m tableMatcher) Package(_ report.Distro, p report.Package) ([]report.Finding, error) {
	if m.table.asked != nil {
		m.table.asked()
	}
	var out []report.Finding
	for _, a := range m.rules {
		if a.typ != p.Type || a.source != cmp.Or(p.Source, p.Name) {
			continue
		}
		f := report.Finding{
			ID: a.id, CVEs: strings.Split(a.cve, ","), Severity: a.severity, Score: a.score, Package: p,
			Summary: "about " + a.source, URL: "https://example.org/" + a.id, Published: 1725235200000,
			FixState: report.FixNone, Evidence: report.Evidence{Ecosystem: a.ecosystem, Name: a.source},
		}
		if a.fixed != "" {
			n, err := version.Compare(a.ecosystem, p.Version, a.fixed)
			if err != nil {
				return nil, err
			}
			if n >= 0 {
				continue
			}
			f.FixState, f.FixedVersion = report.FixAvailable, a.fixed
		}
		out = append(out, f)
	}
	return out, nil
}

// onEngines runs a test with each database.
func onEngines(t *testing.T, test func(*testing.T)) {
	t.Run("sqlite", test)
	t.Run("postgres", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short leaves engines out, PostgreSQL among them")
		}
		test(t)
	})
}

func TestMain(m *testing.M) {
	code := m.Run()
	postgres.Stop()
	os.Exit(code)
}

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time      { return c.t }
func (c *clock) ms() int64           { return c.t.UnixMilli() }
func (c *clock) add(d time.Duration) { c.t = c.t.Add(d) }
func digest(n int) image.Digest      { return image.Digest(fmt.Sprintf("sha256:%064x", n)) }
func ref(name, tag string) image.Ref { return image.Ref{Name: name, Tag: tag} }

// world is a store with one project and some agents.
type world struct {
	t *testing.T
	*Store
	clk   *clock
	first First
	table *table
	path  string // of SQLite
	url   string // of PostgreSQL
	batch int    // of a re-match
}

// migratedURL and migratedFile are databases with the schema: to make it takes
// longer than most tests. Those of migrations start from an empty one.
var (
	migratedURL = postgres.Copies(func(ctx context.Context, url string) error {
		return makeSchema(ctx, Config{URL: url})
	})
	migratedFile = sync.OnceValues(func() ([]byte, error) {
		dir, err := os.MkdirTemp("", "onceover-store")
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(dir) }() // left for the system's sweeper otherwise
		path := filepath.Join(dir, FileName)
		if err := makeSchema(context.Background(), Config{Path: path}); err != nil {
			return nil, err
		}
		return os.ReadFile(path)
	})
)

func makeSchema(ctx context.Context, cfg Config) error {
	cfg.SealKey, cfg.Log = []byte(strings.Repeat("k", SealKeyBytes)), slog.New(slog.DiscardHandler)
	s, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	return s.Close()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clk: &clock{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}, table: newTable()}
	if strings.Contains(t.Name()+"/", "/postgres/") {
		w.url = migratedURL(t)
	} else {
		w.path = filepath.Join(t.TempDir(), FileName)
		b, err := migratedFile()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.open()
	created, first, err := w.Bootstrap(t.Context())
	if err != nil || !created {
		t.Fatalf("bootstrap: created %v, %v", created, err)
	}
	w.first = first
	t.Cleanup(func() { _ = w.Store.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	s, err := Open(w.t.Context(), Config{
		URL: w.url, Path: w.path, SealKey: []byte(strings.Repeat("k", SealKeyBytes)), Advisories: w.table,
		Now: w.clk.now, Log: slog.New(slog.DiscardHandler), rematchBatch: w.batch,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Store = s
}

// reopen closes the store and opens it again, as a restart does.
func (w *world) reopen() {
	w.t.Helper()
	if err := w.Store.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

func (w *world) ms() int64           { return w.clk.ms() }
func (w *world) add(d time.Duration) { w.clk.add(d) }

func (w *world) project() string { return w.first.Project.ID }

// agent enrols a host and syncs its images.
func (w *world) agent(name string, images ...fleet.ImageState) auth.Key {
	w.t.Helper()
	key, err := w.CreateEnrollKey(w.t.Context(), w.project(), 1, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := w.Enroll(w.t.Context(), fleet.EnrollRequest{EnrollKey: key, Host: fleet.Host{ID: "id-" + name, Name: name}}, w.ms())
	if err != nil {
		w.t.Fatal(err)
	}
	k, err := w.Key(w.t.Context(), resp.AccessKey)
	if err != nil {
		w.t.Fatal(err)
	}
	w.sync(k, 0, nil, append([]fleet.ImageState{}, images...))
	return k
}

// sync sends a heartbeat; images nil keeps the list.
func (w *world) sync(k auth.Key, want int, holds []string, images []fleet.ImageState) fleet.SyncResponse {
	w.t.Helper()
	resp, err := w.Store.Sync(w.t.Context(), k, w.request(k, want, holds, images), w.ms())
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func (w *world) request(k auth.Key, want int, holds []string, images []fleet.ImageState) fleet.SyncRequest {
	w.t.Helper()
	var id, name string
	if err := w.write.QueryRow("SELECT host_id, host_name FROM agent WHERE id = $1", k.AgentID).Scan(&id, &name); err != nil {
		w.t.Fatal(err)
	}
	req := fleet.SyncRequest{
		Host: fleet.Host{ID: id, Name: name, PrivateIP: "10.0.0.7", Version: "1",
			Engines: []fleet.Engine{{Name: "docker", Version: "20.10.24"}}},
		Analyzers: testAnalyzers, ImagesHash: "same", Want: want, Holds: holds,
	}
	if images != nil {
		req.Images = &images
	}
	return req
}

// state is an image with one layer.
func state(n int, names ...image.Ref) fleet.ImageState {
	return fleet.ImageState{
		Engine: "docker", ConfigDigest: configDigest(n), ManifestDigest: digest(1_000_000 + n), Names: names,
		Size: int64(n) * 1000, CreatedMS: int64(n) * 1000,
	}
}

func config(n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]},"history":[{"created_by":"COPY %d /"}]}`, digest(n), n))
}

func configDigest(n int) image.Digest { return image.DigestOf(config(n)) }

// layer is a Debian 12 with an openssl, an older one for odd n, zlib, and
// Python software.
func layer(n int) *report.LayerReport {
	v := "3.0.15-1~deb12u1"
	if n%2 == 1 {
		v = "3.0.9-1"
	}
	return &report.LayerReport{
		DiffID: string(digest(n)), Analyzers: testAnalyzers, Complete: true,
		OSReleases: map[string]map[string]string{"/etc/os-release": {"ID": "debian", "VERSION_ID": "12"}},
		Databases: []report.Database{{Path: "/var/lib/dpkg/status", Packages: []report.Package{
			{Type: report.TypeDeb, Name: "libssl3", Version: v, Arch: "amd64", Source: "openssl", Path: "/var/lib/dpkg/status"},
			{Type: report.TypeDeb, Name: "openssl", Version: v, Arch: "amd64", Path: "/var/lib/dpkg/status"},
			{Type: report.TypeDeb, Name: "zlib1g", Version: "1:1.2.13.dfsg-1", Arch: "amd64", Source: "zlib", Path: "/var/lib/dpkg/status"},
		}}},
		Packages: []report.Package{
			{Type: report.TypePython, Name: "requests", Version: "2.28.1", Path: "/opt/venv/requests-2.28.1.dist-info/METADATA"},
			{Type: report.TypePython, Name: "declared-only", Version: "1", Path: "/srv/requirements.txt", Declared: true},
		},
	}
}

func imageReport(n int) *fleet.ImageReport {
	return &fleet.ImageReport{ConfigDigest: configDigest(n), Analyzers: testAnalyzers, DiffIDs: []image.Digest{digest(n)}, Config: config(n)}
}

// scanAll queues everything and lets the agent do it, images by number.
func (w *world) scanAll(k auth.Key, numbers ...int) {
	w.t.Helper()
	if _, err := w.Scan(w.t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
		w.t.Fatal(err)
	}
	w.work(k, numbers...)
}

// work leases and finishes every job that waits for the agent.
func (w *world) work(k auth.Key, numbers ...int) {
	w.t.Helper()
	for {
		jobs := w.sync(k, maxLease, nil, nil).Jobs
		if len(jobs) == 0 {
			return
		}
		for _, j := range jobs {
			w.finish(k, j, numbers...)
		}
	}
}

func (w *world) finish(k auth.Key, j fleet.Job, numbers ...int) {
	w.t.Helper()
	for _, n := range numbers {
		if configDigest(n) != j.ConfigDigest {
			continue
		}
		if err := w.PutLayer(w.t.Context(), layer(n)); err != nil {
			w.t.Fatal(err)
		}
		if err := w.Finish(w.t.Context(), k, j.ID, fleet.FinishRequest{Image: imageReport(n)}, w.ms()); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	w.t.Fatalf("job for unexpected image %s", j.ConfigDigest)
}

// images lists all images by "name:version".
func (w *world) images() map[string]Image {
	w.t.Helper()
	rows, _, err := w.Images(w.t.Context(), w.project(), ImageFilter{}, Page{Limit: 200})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]Image{}
	for _, r := range rows {
		out[r.Name+":"+r.Version] = r
	}
	return out
}
