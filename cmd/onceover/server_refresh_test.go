package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/minisign"
)

// buildAdvisories writes a generation with n advisories in place of to.
func buildAdvisories(t *testing.T, to string, n int) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range n {
		w, err := z.Create(fmt.Sprintf("%d.json", i))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, `{"id":"GHSA-%04d-aaaa-bbbb","modified":"2026-01-02T00:00:00Z","summary":"number %d of them, %d squared",
			"affected":[{"package":{"ecosystem":"npm","name":"p%d"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.1"}]}]}]}`, i, i, i*i, i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "npm.zip"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := advisory.Build(t.Context(), advisory.BuildOptions{From: dir, To: to})
	if err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// background runs what a server runs for its advisories.
func background(t *testing.T, data string, flags advisoryFlags) (*advisories, *httptest.Server) {
	t.Helper()
	a, err := openAdvisories("", data, flags, streams{io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	a.fetch = advisory.FetchOptions{Backoff: time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	go func() { a.watch(ctx); done <- struct{}{} }()
	go func() { a.refresh(ctx); done <- struct{}{} }()
	reg := prometheus.NewRegistry()
	reg.MustRegister(a)
	srv := httptest.NewServer(&router{advisories: a, metrics: promhttp.HandlerFor(reg, promhttp.HandlerOpts{})})
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
		srv.Close()
		a.close()
	})
	return a, srv
}

func getBody(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func statusOf(t *testing.T, srv *httptest.Server) (s advisoryState) {
	t.Helper()
	code, body := getBody(t, srv.URL+"/advisories/v1/status")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits for something that goes on in the background.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not come to that", what)
		}
	}
}

// One server follows another: the whole at first, then what changed, signed;
// when the other is gone, it says so and stays as it is.
func TestAServerFollowsAnother(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	upData, downData := t.TempDir(), t.TempDir()
	key, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	secret, public := filepath.Join(t.TempDir(), "k.key"), filepath.Join(t.TempDir(), "k.pub")
	for name, text := range map[string][]byte{secret: key.Encode(), public: key.Public().Encode()} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	upDB := filepath.Join(upData, advisoryFile)
	first := buildAdvisories(t, upDB, 200)
	up, upSrv := background(t, upData, advisoryFlags{Serve: true, Sign: secret})
	eventually(t, "the first is offered", func() bool { code, _ := getBody(t, upSrv.URL+"/advisories/v1/index.json"); return code == 200 })

	_, downSrv := background(t, downData, advisoryFlags{
		UpdateEvery: 50 * time.Millisecond, URL: upSrv.URL, Trust: trustFlags{Key: []string{public}}, keepFlag: keepFlag{Keep: 2}})
	eventually(t, "the first arrives", func() bool { return statusOf(t, downSrv).Generation == first })

	second := buildAdvisories(t, upDB, 201)
	up.look <- struct{}{}
	eventually(t, "the second arrives", func() bool { return statusOf(t, downSrv).Generation == second })
	s := statusOf(t, downSrv)
	if len(s.Kept) != 1 || s.Kept[0] != first || s.Starter || s.Served || s.Records != 201 || !s.Old || s.AgeDays < 14 || s.Update.Succeeded == "" {
		t.Errorf("%+v", s)
	}
	if len(s.Feeds) != 1 || s.Feeds[0].Feed != "npm.zip" || s.Feeds[0].Date != "2026-01-02T00:00:00Z" || !s.Feeds[0].Old {
		t.Errorf("%+v", s.Feeds)
	}
	if code, body := getBody(t, downSrv.URL+"/advisories/v1/index.json"); code != http.StatusNotFound || !strings.Contains(body, "--serve-advisories") {
		t.Errorf("%d %s", code, body)
	}

	upSrv.Close()
	eventually(t, "failures are counted", func() bool { return statusOf(t, downSrv).Update.Failing })
	if s := statusOf(t, downSrv); s.Generation != second || s.Update.Failures == 0 {
		t.Errorf("%+v", s)
	}
	code, body := getBody(t, downSrv.URL+"/metrics")
	for _, want := range []string{
		"# TYPE onceover_advisories_info gauge\n",
		"onceover_advisories_info{generation=\"" + second + "\",source=\"osv\",starter=\"false\"} 1\n",
		"onceover_advisories_newest_record_timestamp_seconds 1.767312e+09\n",
		"onceover_advisories_feed_timestamp_seconds{feed=\"npm.zip\"} 1.767312e+09\n",
		"onceover_advisories_records 201\n",
		"onceover_advisories_update_success_timestamp_seconds ",
	} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d, without %q:\n%s", code, want, body)
		}
	}
	if strings.Contains(body, "onceover_advisories_update_failures_total 0\n") {
		t.Errorf("no failures:\n%s", body)
	}
}

func TestNextUpdate(t *testing.T) {
	for _, tc := range []struct {
		failures int
		want     time.Duration
	}{{0, 6 * time.Hour}, {1, firstRetry}, {2, 2 * firstRetry}, {3, 4 * firstRetry}, {99, 6 * time.Hour}} {
		for range 100 {
			if got := nextUpdate(6*time.Hour, tc.failures); got < tc.want*9/10 || got > tc.want*11/10+1 {
				t.Fatalf("after %d failures: %v, want %v and a tenth", tc.failures, got, tc.want)
			}
		}
	}
}

func TestAdvisoryFlags(t *testing.T) {
	for _, tc := range []struct {
		flags advisoryFlags
		good  bool
	}{
		{advisoryFlags{}, true},
		{advisoryFlags{UpdateEvery: time.Hour}, true},
		{advisoryFlags{UpdateEvery: time.Second}, false},
		{advisoryFlags{UpdateEvery: -time.Hour}, false},
		{advisoryFlags{Sign: "key"}, false},
		{advisoryFlags{Sign: "key", Serve: true}, true},
		{advisoryFlags{keepFlag: keepFlag{Keep: -1}}, false},
	} {
		if err := tc.flags.Validate(); (err == nil) != tc.good {
			t.Errorf("%+v: %v", tc.flags, err)
		}
	}
}
