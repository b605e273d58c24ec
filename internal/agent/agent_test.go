package agent_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/agent"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/runtime"
	"github.com/onceover/onceover/internal/scan"
	"github.com/onceover/onceover/internal/store"
)

// site is a server on a real network with the real store.
type site struct {
	t       *testing.T
	store   *store.Store
	project string
	client  *fleet.Client
	log     *slog.Logger
	down    atomic.Bool // the server answers 503
	uploads atomic.Int64
	syncs   atomic.Int64

	latency time.Duration // of the answer to a sync
	mu      sync.Mutex
	leases  map[string]int // how often each job was given out; kept with a latency only
}

// nothing is a generation without advisories.
type nothing struct{}

func (nothing) Acquire() (store.Generation, error) {
	return store.Generation{ID: "nothing", Matcher: nothing{}, Release: func() {}}, nil
}
func (nothing) Diff(context.Context, string, string) (*advisory.Diff, error)    { return nil, nil }
func (nothing) Package(report.Distro, report.Package) ([]report.Finding, error) { return nil, nil }
func (nothing) Keys(report.Distro, report.Package) []advisory.Key               { return nil }
func (nothing) Warnings(report.Inventory) []string                              { return nil }

// stores holds what emptyStore makes, for as long as the tests run.
var stores string

func TestMain(m *testing.M) {
	var err error
	if stores, err = os.MkdirTemp("", "onceover-agent-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(stores)
	os.Exit(code)
}

// emptyStore is the directory of a store without anything in it. Each site has a
// copy: making the tables takes half of the time of most tests.
var emptyStore = sync.OnceValues(func() (string, error) {
	st, err := store.Open(context.Background(), store.Config{
		DataDir: stores, SealKey: bytes.Repeat([]byte{7}, 32), Log: slog.New(slog.DiscardHandler), Advisories: nothing{},
	})
	if err != nil {
		return "", err
	}
	return stores, st.Close()
})

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, log: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
	dir := t.TempDir()
	empty, err := emptyStore()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(empty)); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Config{
		DataDir: dir, SealKey: bytes.Repeat([]byte{7}, 32), Log: s.log,
		Advisories: nothing{},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, first, err := st.Bootstrap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.store, s.project = st, first.Project.ID
	fs := fleet.NewServer(fleet.ServerConfig{
		Auth: auth.New(auth.Config{Keys: st, Projects: st, Log: s.log}), Enroller: st, Work: st, Reports: st, Log: s.log,
	})
	h := fs.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			http.Error(w, "restarting", http.StatusServiceUnavailable)
			return
		}
		if r.Method == http.MethodPut {
			s.uploads.Add(1)
		}
		if r.URL.Path == fleet.PathSync {
			s.syncs.Add(1)
		}
		if r.URL.Path == fleet.PathSync && s.latency > 0 {
			s.slowSync(h, w, r)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		fs.Close()
		srv.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.client, err = fleet.NewClient(fleet.ClientConfig{Endpoint: srv.URL}); err != nil {
		t.Fatal(err)
	}
	return s
}

// slowSync answers after a while and counts the leases in the answer.
func (s *site) slowSync(h http.Handler, w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	var resp fleet.SyncResponse
	if err := json.Unmarshal(rec.Body.Bytes(), &resp); err == nil {
		s.mu.Lock()
		for _, j := range resp.Jobs {
			s.leases[j.ID]++
		}
		s.mu.Unlock()
	}
	time.Sleep(s.latency)
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// testWriter sends the log to the test.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil { // after that t must not be used
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func (s *site) enrollKey(ctx context.Context) (string, error) {
	return s.store.CreateEnrollKey(ctx, s.project, 1, time.Minute)
}

// config is an agent that reads the layouts given.
func (s *site) config(stateDir string, sources ...image.Source) agent.Config {
	scanner := scan.New(scan.Config{Set: all.Set()})
	return agent.Config{
		Client: s.client, StateDir: stateDir, EnrollKey: s.enrollKey, Version: "test", Log: s.log,
		Discover: func(context.Context) ([]image.Source, []fleet.Engine) {
			return sources, []fleet.Engine{{Name: "archive"}}
		},
		Scanner: func() agent.LayerScanner { return scanner }, ListEvery: 50 * time.Millisecond,
	}
}

// start runs an agent until the returned function is called.
func (s *site) start(cfg agent.Config) (*agent.Agent, func()) {
	s.t.Helper()
	a, err := agent.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil && !errors.Is(err, context.Canceled) {
					s.t.Errorf("run: %v", err)
				}
			case <-time.After(10 * time.Second):
				s.t.Error("the agent does not end")
			}
		})
	}
	s.t.Cleanup(stop)
	select {
	case <-a.Ready():
	case <-time.After(10 * time.Second):
		s.t.Fatal("the server does not know the images")
	}
	return a, stop
}

func (s *site) scan() {
	s.t.Helper()
	if _, err := s.store.Scan(s.t.Context(), s.project, store.ScanRequest{All: true, TaskType: store.TaskManual}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) images() []store.Image {
	s.t.Helper()
	images, _, err := s.store.Images(s.t.Context(), s.project, store.ImageFilter{}, store.Page{Limit: 200})
	if err != nil {
		s.t.Fatal(err)
	}
	return images
}

// await waits until every image has left the queue.
func (s *site) await() []store.Image {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		images, busy := s.images(), false
		for _, img := range images {
			busy = busy || img.Status == store.StatusWaiting || img.Status == store.StatusScanning
		}
		if len(images) > 0 && !busy {
			return images
		}
	}
	s.t.Fatalf("still busy: %+v", s.images())
	return nil
}

// layout writes an OCI layout of one image with one layer for each set of
// files, and opens it.
func layout(t *testing.T, name string, layers ...map[string]string) image.Source {
	t.Helper()
	dir := t.TempDir()
	blob := func(b []byte, mediaType string) map[string]any {
		d := image.DigestOf(b)
		path := filepath.Join(dir, "blobs", "sha256", d.Hex())
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
		return map[string]any{"mediaType": mediaType, "digest": d, "size": len(b)}
	}
	doc := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var descs []map[string]any
	var diffIDs []any
	for _, files := range layers {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for path, content := range files {
			err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Size: int64(len(content)), Mode: 0o644})
			if _, werr := io.WriteString(w, content); errors.Join(err, werr) != nil {
				t.Fatal(err, werr)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		d := blob(buf.Bytes(), "application/vnd.oci.image.layer.v1.tar")
		descs, diffIDs = append(descs, d), append(diffIDs, d["digest"])
	}
	config := blob(doc(map[string]any{"os": "linux", "architecture": "amd64",
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}}), "application/vnd.oci.image.config.v1+json")
	manifest := blob(doc(map[string]any{"schemaVersion": 2, "config": config, "layers": descs}), "application/vnd.oci.image.manifest.v1+json")
	manifest["annotations"] = map[string]string{"io.containerd.image.name": "docker.io/library/" + name}
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "index.json"), doc(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}}), 0o644),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	src, _, err := runtime.Open(t.Context(), "oci:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.CloseAll(src) })
	return src
}

const dpkgStatus = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2\n"

func debianLayers(extra string) []map[string]string {
	return []map[string]string{
		{"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n", "var/lib/dpkg/status": dpkgStatus},
		{"app/data": extra},
	}
}

func TestAgentScans(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := t.TempDir()
	cfg := s.config(dir, layout(t, "web:1", debianLayers("1")...), layout(t, "web:2", debianLayers("2")...))
	cfg.Jobs = 2
	s.start(cfg)
	s.scan()
	images := s.await()
	if len(images) != 2 {
		t.Fatalf("images %+v", images)
	}
	for _, img := range images {
		if img.Status != store.StatusSuccess || img.ComponentNum != 1 || img.Name != "web" {
			t.Errorf("image %+v", img)
		}
	}
	if n := s.uploads.Load(); n != 3 && n != 4 { // two jobs at once may both send the layer they share
		t.Errorf("%d layer reports were sent for 3 layers", n)
	}
	before := s.uploads.Load()
	s.scan()
	s.await()
	if n := s.uploads.Load() - before; n != 0 {
		t.Errorf("%d layer reports were sent again", n)
	}
	fi, err := os.Stat(filepath.Join(dir, "agent.json"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("identity %v %v", fi, err)
	}
}

func TestAgentKeepsItsIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := t.TempDir()
	cfg := s.config(dir, layout(t, "web:1", debianLayers("1")...))
	_, stop := s.start(cfg)
	stop()
	cfg.EnrollKey = func(context.Context) (string, error) {
		return "", errors.New("it was enrolled before")
	}
	s.start(cfg)
	s.scan()
	if images := s.await(); images[0].Status != store.StatusSuccess {
		t.Errorf("image %+v", images[0])
	}
}

// An agent whose key the server does not know enrols again.
func TestAgentEnrolsAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := t.TempDir()
	cfg := s.config(dir, layout(t, "web:1", debianLayers("1")...))
	_, stop := s.start(cfg)
	stop()
	path := filepath.Join(dir, "agent.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var id fleet.EnrollResponse
	if err := json.Unmarshal(b, &id); err != nil {
		t.Fatal(err)
	}
	id.AccessKey = "GONE"
	if b, err = json.Marshal(id); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(cfg)
	s.scan()
	if images := s.await(); images[0].Status != store.StatusSuccess {
		t.Errorf("image %+v", images[0])
	}
}

func TestAgentWithoutAKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, tt := range map[string]struct {
		key  string
		want fault.Code
	}{"none": {"", fault.Invalid}, "wrong": {"nonsense", fault.Unauthenticated}} {
		cfg := s.config(t.TempDir())
		cfg.EnrollKey = func(context.Context) (string, error) { return tt.key, nil }
		a, err := agent.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Run(t.Context()); fault.CodeOf(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDamagedIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.New(s.config(dir)); err == nil || !strings.Contains(err.Error(), "agent.json") {
		t.Errorf("got %v", err)
	}
}

// A new image, and one that is gone, reach the server without a restart.
func TestAgentReportsChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var mu sync.Mutex
	sources := []image.Source{layout(t, "web:1", debianLayers("1")...)}
	changing := &sourceFunc{images: func(ctx context.Context) (out []image.Image, err error) {
		mu.Lock()
		defer mu.Unlock()
		for _, src := range sources {
			images, err := src.Images(ctx)
			if err != nil {
				return nil, err
			}
			out = append(out, images...)
		}
		return out, nil
	}}
	s.start(s.config(t.TempDir(), changing))
	await := func(want ...string) {
		t.Helper()
		var got []string
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			got = nil
			for _, img := range s.images() {
				got = append(got, img.Name+":"+img.Version)
			}
			if fmt.Sprint(got) == fmt.Sprint(want) {
				return
			}
		}
		t.Fatalf("the server knows %v, want %v", got, want)
	}
	await("web:1")
	mu.Lock()
	sources = append(sources, layout(t, "web:2", debianLayers("2")...))
	mu.Unlock()
	await("web:1", "web:2")
	mu.Lock()
	sources = sources[1:]
	mu.Unlock()
	await("web:2")
	mu.Lock()
	sources = nil
	mu.Unlock()
	await()
}

// A host without an image has a list too, and says it once.
func TestNoImages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.config(t.TempDir()))
	before := s.syncs.Load()
	time.Sleep(time.Second)
	if n := s.syncs.Load() - before; n > 3 {
		t.Errorf("%d syncs in a second with nothing to say", n)
	}
}

// sourceFunc is a source that misbehaves as a test wants, in front of a real
// one.
type sourceFunc struct {
	image.Source
	images func(ctx context.Context) ([]image.Image, error)
	open   func(ctx context.Context, img image.Image) (*image.Opened, error)
}

func (f sourceFunc) Engine() string { return "docker" }

func (f sourceFunc) Images(ctx context.Context) ([]image.Image, error) {
	if f.images != nil {
		return f.images(ctx)
	}
	return f.Source.Images(ctx)
}

func (f sourceFunc) Open(ctx context.Context, img image.Image) (*image.Opened, error) {
	if f.open != nil {
		return f.open(ctx, img)
	}
	return f.Source.Open(ctx, img)
}

func TestFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		open func(ctx context.Context, img image.Image) (*image.Opened, error)
		want string
	}{
		{"gone", func(context.Context, image.Image) (*image.Opened, error) {
			return nil, fault.New(fault.NotFound, "no such image")
		}, fleet.FailureImageGone},
		{"engine offline", func(context.Context, image.Image) (*image.Opened, error) {
			return nil, fault.New(fault.Unavailable, "connection refused")
		}, fleet.FailureEngineOffline},
		{"too large", func(context.Context, image.Image) (*image.Opened, error) {
			return nil, fault.New(fault.TooLarge, "a manifest of 9 GB")
		}, fleet.FailureTooLarge},
		{"no permission", func(context.Context, image.Image) (*image.Opened, error) {
			return nil, fmt.Errorf("open layer: %w", os.ErrPermission)
		}, fleet.FailureNoRoot},
		{"too slow", func(ctx context.Context, _ image.Image) (*image.Opened, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, fleet.FailureTimeout},
		{"panic", func(context.Context, image.Image) (*image.Opened, error) {
			panic("hostile bytes")
		}, fleet.FailureUnknown},
		{"other", func(context.Context, image.Image) (*image.Opened, error) {
			return nil, errors.New("disk on fire")
		}, fleet.FailureUnknown},
		{"layers do not fit", func(context.Context, image.Image) (*image.Opened, error) {
			return &image.Opened{Config: image.Config{DiffIDs: []image.Digest{"x"}}}, nil
		}, fleet.FailureUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			good := layout(t, "good:1", debianLayers("good")...)
			cfg := s.config(t.TempDir(), &sourceFunc{Source: layout(t, "bad:1", debianLayers("bad")...), open: tt.open}, good)
			cfg.ImageDeadline = 2 * time.Second
			s.start(cfg)
			s.scan()
			for _, img := range s.await() {
				switch {
				case img.Name == "good" && img.Status != store.StatusSuccess:
					t.Errorf("the agent did not go on: %+v", img)
				case img.Name == "bad" && (img.Status != store.StatusFailed || img.FailedDesc != tt.want):
					t.Errorf("status %s, %s, want %s", img.Status, img.FailedDesc, tt.want)
				}
			}
		})
	}
}

// What an engine says may hold anything, and must not silence the agent.
func TestEngineWithUglyWords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cfg := s.config(t.TempDir(), layout(t, "web:1", debianLayers("1")...))
	discover := cfg.Discover
	cfg.Discover = func(ctx context.Context) ([]image.Source, []fleet.Engine) {
		sources, _ := discover(ctx)
		return sources, []fleet.Engine{
			{Name: "docker", Error: "cannot connect\nto \x1b[31mdocker\xff" + strings.Repeat("!", fleet.MaxMessage)},
			{Name: "containerd", Version: strings.Repeat("1", fleet.MaxText+1)},
		}
	}
	s.start(cfg)
	if images := s.images(); len(images) != 1 {
		t.Errorf("images %+v", images)
	}
}

// A job that ends calls for news, and must not cut off the answer that brings
// the next ones: a lease that is lost on the way counts as an attempt.
func TestNewsLosesNoLease(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.latency, s.leases = 50*time.Millisecond, map[string]int{}
	const images = 60
	var sources []image.Source
	for i := range images {
		sources = append(sources, layout(t, fmt.Sprintf("web%d:1", i), debianLayers(fmt.Sprint(i))...))
	}
	cfg := s.config(t.TempDir(), sources...)
	cfg.Jobs, cfg.ListEvery = 16, time.Hour
	s.start(cfg)
	s.scan()
	for _, img := range s.await() {
		if img.Status != store.StatusSuccess {
			t.Errorf("%s: %s %s", img.Name, img.Status, img.FailedDesc)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.leases) != images {
		t.Errorf("%d jobs were given out, want %d", len(s.leases), images)
	}
	for id, n := range s.leases {
		if n != 1 {
			t.Errorf("job %s was given out %d times", id, n)
		}
	}
}

// If one engine cannot open an image, another that holds it does.
func TestSecondEngineStandsIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	src := layout(t, "web:1", debianLayers("1")...)
	bad := &sourceFunc{Source: src, open: func(context.Context, image.Image) (*image.Opened, error) {
		return nil, fault.New(fault.Unavailable, "connection refused")
	}}
	s.start(s.config(t.TempDir(), bad, src))
	s.scan()
	if images := s.await(); images[0].Status != store.StatusSuccess {
		t.Errorf("image %+v", images[0])
	}
}

// An engine that does not answer for a while keeps its images.
func TestEngineThatIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var away atomic.Bool
	real := layout(t, "web:1", debianLayers("1")...)
	src := &sourceFunc{Source: real, images: func(ctx context.Context) ([]image.Image, error) {
		if away.Load() {
			return nil, fault.New(fault.Unavailable, "connection refused")
		}
		return real.Images(ctx)
	}}
	s.start(s.config(t.TempDir(), src))
	away.Store(true)
	time.Sleep(300 * time.Millisecond)
	if images := s.images(); len(images) != 1 {
		t.Errorf("images %+v", images)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	opened := make(chan struct{})
	ended := make(chan error, 1)
	src := &sourceFunc{Source: layout(t, "web:1", debianLayers("1")...), open: func(ctx context.Context, _ image.Image) (*image.Opened, error) {
		close(opened)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}}
	s.start(s.config(t.TempDir(), src))
	task, err := s.store.Scan(t.Context(), s.project, store.ScanRequest{All: true, TaskType: store.TaskManual})
	if err != nil {
		t.Fatal(err)
	}
	<-opened
	if err := s.store.StopTask(t.Context(), s.project, task, store.Actor{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("ended by %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the job goes on")
	}
	if images := s.images(); images[0].Status == store.StatusFailed || images[0].Status == store.StatusScanning {
		t.Errorf("image %+v", images[0])
	}
}

// Words reach the agent at once, and before the jobs of the same answer.
func TestWordsReachTheAgent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cfg := s.config(t.TempDir(), layout(t, "web:1", debianLayers("1")...))
	told := make(chan []string, 100)
	var version atomic.Value
	version.Store("")
	cfg.WordsVersion = func() string { return version.Load().(string) }
	cfg.Words = func(v string, words []string) {
		version.Store(v)
		told <- words
	}
	s.start(cfg)
	want := []string{"ours", "theirs"}
	if err := s.store.SetWords(t.Context(), s.project, want); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-told:
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	case <-time.After(10 * time.Second): // less than a sync is parked
		t.Fatal("the agent is not told")
	}
	// Words that the agent cannot use are not sent over and over.
	version.Store("")
	syncs := s.syncs.Load()
	s.scan()
	s.await()
	if n := s.syncs.Load() - syncs; n > 20 || len(told) > 0 {
		t.Errorf("%d syncs, told %d times more", n, len(told))
	}
}

// A server that is away for a moment costs nothing but the moment.
func TestServerThatIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	src := layout(t, "web:1", debianLayers("1")...)
	slow := &sourceFunc{Source: src, open: func(ctx context.Context, img image.Image) (*image.Opened, error) {
		s.down.Store(true)
		time.AfterFunc(time.Second, func() { s.down.Store(false) })
		return src.Open(ctx, img)
	}}
	s.start(s.config(t.TempDir(), slow))
	s.scan()
	if images := s.await(); images[0].Status != store.StatusSuccess {
		t.Errorf("image %+v", images[0])
	}
}

// An agent that is cut off in the middle of a job does it again.
func TestRestartInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := t.TempDir()
	src := layout(t, "web:1", debianLayers("1")...)
	opened := make(chan struct{})
	stuck := &sourceFunc{Source: src, open: func(ctx context.Context, _ image.Image) (*image.Opened, error) {
		close(opened)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	_, stop := s.start(s.config(dir, stuck))
	s.scan()
	<-opened
	stop()
	if images := s.images(); images[0].Status != store.StatusScanning {
		t.Errorf("image %+v", images[0])
	}
	start := time.Now()
	s.start(s.config(dir, src))
	if images := s.await(); images[0].Status != store.StatusSuccess {
		t.Errorf("image %+v", images[0])
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v: the lease was not freed at once", took)
	}
}

// A damaged layer does not lose what the others say, and is no success.
func TestDamagedLayer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	src := layout(t, "web:1", debianLayers("1")...)
	cut := &sourceFunc{Source: src, open: func(ctx context.Context, img image.Image) (*image.Opened, error) {
		o, err := src.Open(ctx, img)
		if err != nil {
			return nil, err
		}
		o.Layers[1].Blob = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("\x1f\x8b\x08 not gzip at all")), nil
		}
		return o, nil
	}}
	s.start(s.config(t.TempDir(), cut))
	s.scan()
	images := s.await()
	if images[0].Status != store.StatusFailed || images[0].ComponentNum != 1 {
		t.Errorf("image %+v", images[0])
	}
	if n := s.uploads.Load(); n != 1 {
		t.Errorf("%d layer reports were kept for the fleet, want 1", n)
	}
}
