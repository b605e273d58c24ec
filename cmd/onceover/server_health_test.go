package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/hss"
	"github.com/onceover/onceover/internal/query"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/wire"
)

// watched is a server as serve puts it together, without an agent.
type watched struct {
	t          *testing.T
	store      *store.Store
	advisories *advisories
	end        context.CancelFunc
	handler    http.Handler
	own        http.Handler
	show       http.Handler
	health     *health
	first      store.First
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	quiet := slog.New(slog.DiscardHandler)
	w := &watched{t: t}
	data := t.TempDir()
	buildAdvisories(t, data+"/"+advisoryFile, 3)
	var err error
	if w.advisories, err = openAdvisories("", data, advisoryFlags{Serve: true}, streams{io.Discard, io.Discard}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.advisories.close)
	if w.store, err = store.Open(t.Context(), store.Config{DataDir: data, SealKey: bytes.Repeat([]byte{7}, 32), Log: quiet, Advisories: w.advisories}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	if _, w.first, err = w.store.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	w.end = cancel
	a := auth.New(auth.Config{Keys: w.store, Projects: w.store, Accounts: w.store, Log: quiet})
	requests, show := newMetrics(w.store, w.advisories)
	w.show = show
	w.health = &health{store: w.store, advisories: w.advisories, ending: ctx.Done()}
	w.own = query.New(query.Config{Store: w.store, Authenticate: a.Users, Log: quiet, Version: "1"})
	w.handler = wire.WithRequestID(requests.Watch(&router{
		health: w.health, version: w.health.version(a), metrics: forThisMachine(show), advisories: w.advisories,
		api:    hss.New(hss.Config{Store: w.store, Authenticate: a.Users, Log: quiet}),
		own:    w.own,
		tokens: a.Tokens(), projects: a.Users(a.ListProjects()), temporary: a.SecurityTokens(),
		explain: query.Explain(query.ExplainConfig{Images: w.store, Tenants: w.store.Tenants, Judged: w.store.Judged, Matcher: w.advisories.matcher, Authenticate: a.Users, Log: quiet}),
	}))
	return w
}

// get asks as somebody from afar, or as this machine.
func (w *watched) get(path string, change func(*http.Request)) (int, string) {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://server.example"+path, nil)
	r.RemoteAddr = "192.0.2.1:1234"
	if change != nil {
		change(r)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

func here(r *http.Request) { r.RemoteAddr = "127.0.0.1:1234" }

func (w *watched) signed(r *http.Request) {
	w.t.Helper()
	if err := auth.Sign(r, w.first.Key.AK, w.first.Key.Secret, time.Now()); err != nil {
		w.t.Fatal(err)
	}
}

func TestReady(t *testing.T) {
	w := newWatched(t)
	check := func(name string, want map[string]bool) {
		t.Helper()
		w.health.asked = time.Time{} // an answer holds for a second
		code, body := w.get("/readyz", nil)
		var got readiness
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		ready, checks := true, map[string]bool{}
		for _, c := range got.Checks {
			checks[c.Name] = c.OK
			ready = ready && c.OK
			if !c.OK && c.Reason == "" {
				t.Errorf("%s: %s has no reason", name, c.Name)
			}
		}
		if diff := cmp.Diff(want, checks); diff != "" || (code == http.StatusOK) != ready || (got.Status == "ok") != ready {
			t.Errorf("%s: %d %s %s", name, code, body, diff)
		}
		if code, body := w.get("/healthz", nil); code != http.StatusOK || body != `{"status":"ok"}` {
			t.Errorf("%s: alive: %d %s", name, code, body)
		}
	}
	check("at first", map[string]bool{"database": true, "tables": true, "advisories": true, "running": true})
	w.end()
	check("about to end", map[string]bool{"database": true, "tables": true, "advisories": true, "running": false})
	w.advisories.close()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	check("nothing is left", map[string]bool{"database": false, "tables": false, "advisories": false, "running": false})
}

func TestVersionIsForFriends(t *testing.T) {
	w := newWatched(t)
	for _, tc := range []struct {
		name   string
		change func(*http.Request)
		code   int
		full   bool
	}{
		{"a stranger", nil, http.StatusOK, false},
		{"this machine", here, http.StatusOK, true},
		{"a proxy on this machine", func(r *http.Request) { here(r); r.Header.Set("X-Forwarded-For", "192.0.2.1") }, http.StatusOK, false},
		{"a user", w.signed, http.StatusOK, true},
		{"a wrong token", func(r *http.Request) { r.Header.Set("X-Auth-Token", "x") }, http.StatusUnauthorized, false},
	} {
		code, body := w.get("/version", tc.change)
		var v versions
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		full := v.Version != "" && strings.HasPrefix(v.Go, "go") && v.Generation != ""
		if code != tc.code || full != tc.full || (v.Name == "onceover" && v.APIs["hss"] == "v5") != (code == http.StatusOK) || !full && (v.Version != "" || v.Generation != "" || v.Go != "") {
			t.Errorf("%s: %d %s", tc.name, code, body)
		}
	}
}

func TestMetrics(t *testing.T) {
	w := newWatched(t)
	if code, body := w.get("/metrics", nil); code != http.StatusForbidden || !strings.Contains(body, "--metrics-listen") {
		t.Errorf("for a stranger: %d %s", code, body)
	}
	project := w.first.Project.ID
	for _, path := range []string{"/v5/" + project + "/image/local-repositories", "/v5/" + project + "/moon", "/v1/" + project + "/vex", "/moon", "/readyz"} {
		w.get(path, w.signed)
	}
	w.get("/v5/"+project+"/image/local-repositories", nil)
	_, body := w.get("/metrics", here)
	for _, want := range []string{
		`onceover_http_requests_total{operation="ListImageLocal",status="200"} 1`,
		`onceover_http_requests_total{operation="other",status="401"} 1`,
		`onceover_http_requests_total{operation="GET /v1/{project_id}/vex",status="200"} 1`,
		`onceover_http_requests_total{operation="other",status="404"} 2`,
		`onceover_http_requests_total{operation="/readyz",status="200"} 1`,
		`onceover_http_requests_total{operation="/metrics",status="403"} 1`,
		`onceover_http_request_duration_seconds_count{operation="ListImageLocal"} 1`,
		`onceover_images{scan_status="unscan"} 0`, `onceover_agents{state="online"} 0`, "onceover_store_up 1",
		"onceover_advisories_records 3", "onceover_advisories_update_failures_total 0",
		"# TYPE go_goroutines gauge", "# TYPE process_resident_memory_bytes gauge", `onceover_build_info{goversion="go`,
	} {
		if !strings.Contains("\n"+body, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, project) || strings.Contains(body, w.first.Key.AK) {
		t.Error("a label has the name of a project or a key")
	}
	if t.Failed() {
		t.Log(body)
	}
}

func TestMetricsListen(t *testing.T) {
	w := newWatched(t)
	if err := (&serverCmd{MetricsListen: "moon", Jobs: 1}).Validate(); err == nil {
		t.Error("an address without a port passes")
	}
	addr := ""
	stop, err := serveMetrics("127.0.0.1:0", w.health, w.show, func(a string) { addr = a })
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/version": 404, "/v5/x": 404} {
		if code, body := getBody(t, "http://"+addr+path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	stop(t.Context())
	if resp, err := http.Get("http://" + addr + "/healthz"); err == nil {
		_ = resp.Body.Close()
		t.Error("serves on")
	}
}
