package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/onceover/onceover/internal/store"
)

func get(t *testing.T, h http.Handler, method, path string) string {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	b, err := io.ReadAll(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wants(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains("\n"+text, "\n"+l+"\n") {
			t.Errorf("no line %q in\n%s", l, text)
		}
	}
}

// figures fail after the first n times.
type figures struct {
	n, asked int
	f        store.Figures
}

func (f *figures) Figures(context.Context) (store.Figures, error) {
	if f.asked++; f.asked > f.n {
		return store.Figures{}, errors.New("gone")
	}
	return f.f, nil
}

func TestStoreCollector(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	from := &figures{n: 1, f: store.Figures{
		Images: map[string]int64{"success": 3, "failed": 0}, Waiting: 2, Leased: 1, QueueSince: now.Add(-90 * time.Second).UnixMilli(),
		Tasks: 1, Online: 4, Offline: 5, Rematching: true, RematchLeft: 6, RematchEnded: 1_600_000_000_000, Bytes: 7,
	}}
	h := NewStoreCollector(from, func() time.Time { return now }).Handler(prometheus.NewRegistry())
	want := []string{
		"onceover_store_up 1", `onceover_images{scan_status="success"} 3`, `onceover_images{scan_status="failed"} 0`,
		`onceover_scan_jobs{state="waiting"} 2`, `onceover_scan_jobs{state="leased"} 1`, "onceover_scan_tasks_running 1",
		"onceover_scan_queue_age_seconds 90", `onceover_agents{state="online"} 4`, `onceover_agents{state="offline"} 5`,
		"onceover_rematch_running 1", "onceover_rematch_packages_left 6", "onceover_rematch_end_timestamp_seconds 1.6e+09", "onceover_store_bytes 7",
	}
	wants(t, get(t, h, "GET", "/metrics"), want...)
	wants(t, get(t, h, "GET", "/metrics"), want...)
	if from.asked != 1 {
		t.Errorf("asked %d times", from.asked)
	}
	now = now.Add(figuresFor)
	text := get(t, h, "GET", "/metrics")
	wants(t, text, "onceover_store_up 0")
	if strings.Contains(text, "onceover_images{") {
		t.Error("shows figures of a store that does not answer")
	}
}

func TestRequests(t *testing.T) {
	reg := prometheus.NewRegistry()
	q := NewRequests(reg, func(_ *http.Request, route string) string {
		if route == "" {
			return "other"
		}
		return route
	})
	r := chi.NewRouter()
	r.Get("/v1/{project}/things", func(w http.ResponseWriter, _ *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		_, _ = io.WriteString(w, "ok")
	})
	r.Get("/v1/{project}/bad", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	r.Get("/v1/{project}/gone", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	h := q.Watch(r)
	for _, p := range []string{"a/things", "b/things", "a/bad", "nowhere"} {
		get(t, h, "GET", "/v1/"+p)
	}
	get(t, h, "BREW", "/v1/a/things")
	func() {
		defer func() { _ = recover() }()
		get(t, h, "GET", "/v1/a/gone")
	}()
	text := get(t, NewStoreCollector(&figures{}, nil).Handler(reg), "GET", "/metrics")
	wants(t, text,
		`onceover_http_requests_total{operation="/v1/{project}/things",status="200"} 2`,
		`onceover_http_requests_total{operation="/v1/{project}/bad",status="400"} 1`,
		`onceover_http_requests_total{operation="/v1/{project}/gone",status="aborted"} 1`,
		`onceover_http_requests_total{operation="other",status="404"} 1`,
		`onceover_http_requests_total{operation="other",status="405"} 1`,
		`onceover_http_request_duration_seconds_count{operation="/v1/{project}/things"} 2`,
		"onceover_http_requests_open 0",
	)
}
