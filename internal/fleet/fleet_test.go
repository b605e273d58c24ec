package fleet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// site is a server with the real store, reached over a real network.
type site struct {
	t       *testing.T
	store   *store.Store
	fleet   *fleet.Server
	url     string
	first   store.First
	refused atomic.Int64 // answers 503 to as many requests
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

func newSite(t *testing.T) *site {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	st, err := store.Open(t.Context(), store.Config{
		DataDir: t.TempDir(), SealKey: bytes.Repeat([]byte{7}, 32), Log: quiet,
		Advisories: nothing{},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, store: st}
	if _, s.first, err = st.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.fleet = fleet.NewServer(fleet.ServerConfig{
		Auth: auth.New(auth.Config{Keys: st, Projects: st, Log: quiet}), Enroller: st, Work: st, Reports: st, Log: quiet,
	})
	h := s.fleet.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.refused.Add(-1) >= 0 {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "restarting", http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	}))
	s.url = srv.URL
	t.Cleanup(func() {
		s.fleet.Close()
		srv.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) client() *fleet.Client {
	s.t.Helper()
	c, err := fleet.NewClient(fleet.ClientConfig{Endpoint: s.url})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// agent enrols an agent and returns its client and key pair.
func (s *site) agent() (*fleet.Client, fleet.EnrollResponse) {
	s.t.Helper()
	key, err := s.store.CreateEnrollKey(s.t.Context(), s.first.Project.ID, 1, time.Minute)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := s.client().Enroll(s.t.Context(), fleet.EnrollRequest{EnrollKey: key, Host: host})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.client().WithKey(id.AccessKey, id.SecretKey), id
}

var host = fleet.Host{ID: "h1", Name: "host", PrivateIP: "10.0.0.1", Engines: []fleet.Engine{{Name: "docker", Version: "29"}}}

const analyzers = "0123456789abcdef"

// testImage is an image of n layers and its configuration.
func testImage(n int) (fleet.ImageState, []byte, []image.Digest) {
	var ds []image.Digest
	for i := range n {
		ds = append(ds, image.DigestOf([]byte(fmt.Sprint("layer", n, i))))
	}
	config, _ := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ds},
	})
	return fleet.ImageState{
		Engine: "docker", ConfigDigest: image.DigestOf(config), Names: []image.Ref{{Name: "web", Tag: fmt.Sprint(n)}},
		Platform: image.Platform{OS: "linux", Arch: "amd64"}, Size: 1,
	}, config, ds
}

func layerReport(d image.Digest) *report.LayerReport {
	return &report.LayerReport{
		DiffID: string(d), Analyzers: analyzers, Complete: true,
		Packages: []report.Package{{Type: report.TypeNPM, Name: "left-pad", Version: "1.0.0", Path: "/app/node_modules/left-pad/package.json"}},
	}
}

func syncRequest(images ...fleet.ImageState) fleet.SyncRequest {
	return fleet.SyncRequest{Host: host, Analyzers: analyzers, ImagesHash: fmt.Sprint("hash", len(images)), Images: &images}
}

func TestJobFromSyncToFinish(t *testing.T) {
	s := newSite(t)
	c, _ := s.agent()
	ctx := t.Context()
	img, config, ds := testImage(3)

	req := syncRequest(img)
	images := req.Images
	req.Images = nil
	resp, err := c.Sync(ctx, req)
	if err != nil || !resp.SendImages {
		t.Fatalf("sync with an unknown hash: %+v %v", resp, err)
	}
	req.Images = images
	if resp, err = c.Sync(ctx, req); err != nil || resp.SendImages || len(resp.Jobs) > 0 {
		t.Fatalf("sync with the list: %+v %v", resp, err)
	}

	// A parked sync comes back as soon as there is work.
	req.Images, req.Want, req.WaitMS = nil, 1, 20_000
	type answer struct {
		resp fleet.SyncResponse
		err  error
	}
	parked := make(chan answer, 1)
	go func() {
		resp, err := c.Sync(ctx, req)
		parked <- answer{resp, err}
	}()
	time.Sleep(100 * time.Millisecond)
	start := time.Now()
	if _, err := s.store.Scan(ctx, s.first.Project.ID, store.ScanRequest{All: true, TaskType: store.TaskManual}); err != nil {
		t.Fatal(err)
	}
	got := <-parked
	if got.err != nil || len(got.resp.Jobs) != 1 || got.resp.Jobs[0].ConfigDigest != img.ConfigDigest {
		t.Fatalf("parked sync: %+v", got)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the job came after %v", took)
	}
	job := got.resp.Jobs[0].ID

	missing, err := c.MissingLayers(ctx, analyzers, ds)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ds, missing); diff != "" {
		t.Errorf("missing layers (-want +got)\n%s", diff)
	}
	finish := fleet.FinishRequest{Image: &fleet.ImageReport{ConfigDigest: img.ConfigDigest, Analyzers: analyzers, DiffIDs: ds, Config: config}}
	for _, d := range ds[:2] {
		if err := c.PutLayer(ctx, layerReport(d)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Finish(ctx, job, finish); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("finish with a layer missing: %v", err)
	}
	if missing, err = c.MissingLayers(ctx, analyzers, ds); err != nil || len(missing) != 1 || missing[0] != ds[2] {
		t.Errorf("missing %v, %v", missing, err)
	}
	partial := layerReport(ds[2])
	partial.Complete = false
	finish.Image.Partial = []report.LayerReport{*partial}
	for range 2 { // finishing twice is harmless
		if err := c.Finish(ctx, job, finish); err != nil {
			t.Fatal(err)
		}
	}
	list, _, err := s.store.Images(ctx, s.first.Project.ID, store.ImageFilter{}, store.Page{Limit: 10})
	if err != nil || len(list) != 1 || list[0].Status != store.StatusFailed || list[0].ComponentNum != 1 {
		t.Errorf("a partial report counts and is no success: images %+v, %v", list, err)
	}
}

func TestCloseReleasesParkedSyncs(t *testing.T) {
	s := newSite(t)
	c, _ := s.agent()
	if _, err := c.Sync(t.Context(), syncRequest()); err != nil {
		t.Fatal(err)
	}
	req := syncRequest()
	req.Images, req.WaitMS = nil, 60_000
	done := make(chan error, 1)
	go func() {
		_, err := c.Sync(t.Context(), req)
		done <- err
	}()
	time.Sleep(100 * time.Millisecond)
	s.fleet.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the sync is still parked")
	}
}

// A later sync supersedes a parked one, whose holds are out of date.
func TestLaterSyncSupersedes(t *testing.T) {
	s := newSite(t)
	c, _ := s.agent()
	if _, err := c.Sync(t.Context(), syncRequest()); err != nil {
		t.Fatal(err)
	}
	req := syncRequest()
	req.Images, req.WaitMS, req.Want = nil, 60_000, 1
	later := req
	later.WaitMS = 0
	first := make(chan fleet.SyncResponse, 1)
	go func() {
		resp, _ := c.Sync(t.Context(), req)
		first <- resp
	}()
	time.Sleep(100 * time.Millisecond)
	if _, err := c.Sync(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	select {
	case resp := <-first:
		if len(resp.Jobs) > 0 {
			t.Errorf("the superseded sync took jobs: %+v", resp)
		}
	case <-time.After(5 * time.Second):
		t.Error("the first sync is still parked")
	}
}

// TestAgentGoesOver has an agent that was parked at one server ask at another of
// the same database: what the first still knows of its leases is out of date, and
// news there must not take away what it was given since.
func TestAgentGoesOver(t *testing.T) {
	s := newSite(t)
	quiet := slog.New(slog.DiscardHandler)
	second := fleet.NewServer(fleet.ServerConfig{
		Auth: auth.New(auth.Config{Keys: s.store, Projects: s.store, Log: quiet}), Enroller: s.store, Work: s.store, Reports: s.store, Log: quiet,
	})
	srv := httptest.NewServer(second.Handler())
	t.Cleanup(func() {
		second.Close()
		srv.Close()
	})
	c, id := s.agent()
	img, _, _ := testImage(1)
	first := syncRequest(img)
	if _, err := c.Sync(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	parked := syncRequest(img)
	parked.Images, parked.WaitMS = nil, 5_000
	answered := make(chan fleet.SyncResponse, 1)
	go func() {
		resp, err := c.Sync(t.Context(), parked)
		if err != nil {
			t.Error(err)
		}
		answered <- resp
	}()
	time.Sleep(100 * time.Millisecond)
	if _, err := s.store.Scan(t.Context(), id.ProjectID, store.ScanRequest{TaskType: store.TaskManual}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // it wants no job, and waits on

	there, err := fleet.NewClient(fleet.ClientConfig{Endpoint: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	want := parked
	want.Want, want.WaitMS = 1, 0
	resp, err := there.WithKey(id.AccessKey, id.SecretKey).Sync(t.Context(), want)
	if err != nil || len(resp.Jobs) != 1 {
		t.Fatalf("%+v, %v", resp, err)
	}
	if err := s.store.SetWords(t.Context(), id.ProjectID, []string{"news"}); err != nil { // wakes what is parked
		t.Fatal(err)
	}
	if got := <-answered; len(got.Jobs)+len(got.Stop) > 0 {
		t.Errorf("the poll that was left: %+v", got)
	}
	want.Want, want.Holds = 0, []string{resp.Jobs[0].ID}
	if resp, err := there.WithKey(id.AccessKey, id.SecretKey).Sync(t.Context(), want); err != nil || len(resp.Stop) > 0 {
		t.Errorf("the lease was taken away: %+v, %v", resp, err)
	}
}

func TestWhoMaySpeak(t *testing.T) {
	s := newSite(t)
	_, id := s.agent()
	ctx := t.Context()
	tests := []struct {
		name   string
		ak, sk string
		want   fault.Code
	}{
		{"nobody", "", "", fault.Unauthenticated},
		{"wrong secret", id.AccessKey, "wrong", fault.Unauthenticated},
		{"a user", s.first.Key.AK, s.first.Key.Secret, fault.Forbidden},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := s.client().WithKey(tt.ak, tt.sk)
			_, syncErr := c.Sync(ctx, syncRequest())
			_, missErr := c.MissingLayers(ctx, analyzers, nil)
			for what, err := range map[string]error{
				"sync": syncErr, "missing": missErr,
				"put":    c.PutLayer(ctx, layerReport(image.DigestOf(nil))),
				"finish": c.Finish(ctx, "j", fleet.FinishRequest{Failure: fleet.FailureUnknown}),
			} {
				if fault.CodeOf(err) != tt.want {
					t.Errorf("%s: %v, want %v", what, err, tt.want)
				}
			}
		})
	}
}

func TestEnroll(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	for name, key := range map[string]string{"unknown": "nonsense", "empty": "", "too long": strings.Repeat("x", fleet.MaxText+1)} {
		if _, err := s.client().Enroll(ctx, fleet.EnrollRequest{EnrollKey: key, Host: host}); fault.CodeOf(err) != fault.Unauthenticated {
			t.Errorf("%s key: %v", name, err)
		}
	}
	if _, err := s.client().Enroll(ctx, fleet.EnrollRequest{EnrollKey: s.first.EnrollKey, Host: host}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client().Enroll(ctx, fleet.EnrollRequest{EnrollKey: s.first.EnrollKey, Host: host}); fault.CodeOf(err) != fault.Unauthenticated {
		t.Errorf("spent key: %v", err)
	}
	// Guessing is slowed down.
	var last error
	for range 200 {
		if _, last = s.client().Enroll(ctx, fleet.EnrollRequest{EnrollKey: "guess", Host: host}); fault.CodeOf(last) == fault.Unavailable {
			break
		}
	}
	if fault.CodeOf(last) != fault.Unavailable || !strings.Contains(last.Error(), "429") {
		t.Errorf("after many guesses: %v", last)
	}
}

func TestClientRetries(t *testing.T) {
	s := newSite(t)
	c, _ := s.agent()
	s.refused.Store(2)
	d := image.DigestOf([]byte("x"))
	if err := c.PutLayer(t.Context(), layerReport(d)); err != nil {
		t.Fatal(err)
	}
	if missing, err := c.MissingLayers(t.Context(), analyzers, []image.Digest{d}); err != nil || len(missing) > 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	s.refused.Store(1000)
	if err := c.PutLayer(ctx, layerReport(d)); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("server that stays away: %v", err)
	}
	nobody, err := fleet.NewClient(fleet.ClientConfig{Endpoint: "http://127.0.0.1:1", HTTP: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nobody.Sync(t.Context(), syncRequest()); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("no server: %v", err)
	}
}

// TestClientGoesOver has two servers of which one at a time is there.
func TestClientGoesOver(t *testing.T) {
	s := newSite(t)
	_, id := s.agent()
	var away [2]atomic.Bool
	var asked [2]atomic.Int64
	var urls [2]string
	for n := range urls {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[n].Add(1)
			if away[n].Load() {
				panic(http.ErrAbortHandler)
			}
			s.fleet.Handler().ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		urls[n] = srv.URL
	}
	first, err := fleet.NewClient(fleet.ClientConfig{Endpoint: urls[0], Others: urls[1:]})
	if err != nil {
		t.Fatal(err)
	}
	c := first.WithKey(id.AccessKey, id.SecretKey)
	put := func(n int) {
		t.Helper()
		if err := c.PutLayer(t.Context(), layerReport(image.DigestOf([]byte{byte(n)}))); err != nil {
			t.Fatal(err)
		}
	}
	for n, step := range []struct {
		away [2]bool
		want [2]int64 // requests so far
	}{
		{[2]bool{false, false}, [2]int64{1, 0}},
		{[2]bool{true, false}, [2]int64{2, 1}},
		{[2]bool{true, false}, [2]int64{2, 2}}, // it does not come back by itself
		{[2]bool{false, false}, [2]int64{2, 3}},
		{[2]bool{false, true}, [2]int64{3, 4}},
	} {
		away[0].Store(step.away[0])
		away[1].Store(step.away[1])
		put(n)
		if got := [2]int64{asked[0].Load(), asked[1].Load()}; got != step.want {
			t.Errorf("step %d: asked %v, want %v", n, got, step.want)
		}
	}
	// Who gives up himself has nothing against the server.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = c.PutLayer(ctx, layerReport(image.DigestOf(nil)))
	away[1].Store(false)
	put(9)
	if got := asked[1].Load(); got != 4 {
		t.Errorf("asked the other server %d times", got)
	}
	// WithKey keeps to the server that answers.
	if _, err := first.WithKey(id.AccessKey, id.SecretKey).Sync(t.Context(), syncRequest()); err != nil || asked[1].Load() != 4 {
		t.Errorf("another client asks another server: %v", err)
	}
}

func TestNewClientWantsAServer(t *testing.T) {
	for _, endpoint := range []string{"", "host:1", "ftp://host", "http://", "://"} {
		if _, err := fleet.NewClient(fleet.ClientConfig{Endpoint: endpoint}); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

// A layer report with a million hidden paths travels compressed and comes out
// as it went in.
func TestLargeLayer(t *testing.T) {
	if testing.Short() {
		t.Skip("sends a layer report of the largest size")
	}
	s := newSite(t)
	c, _ := s.agent()
	d := image.DigestOf([]byte("large"))
	r := layerReport(d)
	for i := range 1_000_000 {
		r.Hides = append(r.Hides, uint64(i)*0x9E3779B97F4A7C15)
	}
	r.Normalize()
	if err := c.PutLayer(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if missing, err := c.MissingLayers(t.Context(), analyzers, []image.Digest{d}); err != nil || len(missing) != 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
}

// send makes a signed request that the client would never make.
func (s *site) send(id fleet.EnrollResponse, method, path, encoding string, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	req.Header.Set("Content-Type", "application/json")
	if err := auth.Sign(req, id.AccessKey, id.SecretKey, time.Now()); err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var e struct {
		Code    string `json:"error_code"`
		Message string `json:"error_msg"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&e); resp.StatusCode >= 400 && (err != nil || e.Message == "" || e.Code == "") {
		return resp.StatusCode, errors.Join(errors.New("error without a message"), err)
	}
	return resp.StatusCode, nil
}

func TestHostileBodies(t *testing.T) {
	s := newSite(t)
	_, id := s.agent()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	bomb := enc.EncodeAll(bytes.Repeat([]byte(" "), fleet.MaxPlainBytes+2), nil)
	// Three bytes each, some three hundred in memory.
	objects := enc.EncodeAll([]byte(`{"packages":[{}`+strings.Repeat(",{}", fleet.MaxObjects)+`]}`), nil)
	wide, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer wide.Close()
	var window bytes.Buffer
	wide.Reset(&window)
	for range 3 {
		if _, err := wide.Write(bytes.Repeat([]byte("abc "), 8<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := wide.Close(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, encoding string
		body           []byte
		want           int
	}{
		{"bomb", "zstd", bomb, 413},
		{"window", "zstd", window.Bytes(), 413},
		{"objects", "zstd", objects, 413},
		{"too large as sent", "", bytes.Repeat([]byte(" "), fleet.MaxBodyBytes+1), 413},
		{"not zstd", "zstd", []byte("{}"), 422},
		{"gzip", "gzip", []byte("{}"), 422},
		{"not JSON", "", []byte("{"), 422},
		{"two values", "", []byte(`{}{}`), 422},
		{"wrong type", "", []byte(`{"diff_id":1}`), 422},
		{"empty", "", nil, 422},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && len(tt.body) > 0 && tt.want == 413 {
				t.Skip("fills the largest body")
			}
			got, err := s.send(id, "PUT", fleet.PathLayers+string(image.DigestOf(nil)), tt.encoding, tt.body)
			if err != nil || got != tt.want {
				t.Errorf("answer %d %v, want %d", got, err, tt.want)
			}
		})
	}
	for _, path := range []string{"/agent/v1/nothing", "/agent/v1/layers/", "/agent/v1/jobs/x"} {
		if got, err := s.send(id, "POST", path, "", []byte("{}")); err != nil || got != 404 && got != 405 {
			t.Errorf("%s: %d %v", path, got, err)
		}
	}
	spaces := enc.EncodeAll(append(bytes.Repeat([]byte(" "), 1<<20), `{"analyzers":"k"}`...), nil)
	if got, err := s.send(id, "POST", fleet.PathMissing, "zstd", spaces); err != nil || got != 413 {
		t.Errorf("a long question: %d %v", got, err)
	}
	other := layerReport(image.DigestOf([]byte("other")))
	b, _ := json.Marshal(other)
	if got, err := s.send(id, "PUT", fleet.PathLayers+string(image.DigestOf(nil)), "", b); err != nil || got != 400 {
		t.Errorf("report of another layer: %d %v", got, err)
	}
}
