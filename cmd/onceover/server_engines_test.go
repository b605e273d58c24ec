package main

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/onceover/onceover/internal/runtime"
)

// daemon answers on a socket as dockerd does when asked who it is.
func daemon(t *testing.T, socket, version string) (stop func()) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		_, _ = w.Write([]byte(`{"ServerVersion":"` + version + `","Version":"` + version + `","Driver":"overlay2"}`))
	})}
	go srv.Serve(l) //nolint:errcheck // it ends with Close
	t.Cleanup(func() { _ = srv.Close() })
	return func() { _ = srv.Close() }
}

// TestSilentEngineKeepsItsImages: a daemon that is restarted while engines are
// looked for stays a source, so that its images do not count as deleted.
func TestSilentEngineKeepsItsImages(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.sock"), filepath.Join(dir, "two.sock")
	e := &engines{cfg: runtime.Config{Docker: []string{one, two}, Containerd: []string{}}}
	stop := daemon(t, one, "20.10.24")
	first, _ := e.discover(context.Background())
	if len(first) != 1 {
		t.Fatalf("%d sources, want 1", len(first))
	}
	stop()
	silent, states := e.discover(context.Background())
	if len(silent) != 1 || silent[0] != first[0] {
		t.Errorf("a silent engine is no longer a source: %v", silent)
	}
	if len(states) != 2 || states[0].Error == "" {
		t.Errorf("nobody is told that it is silent: %+v", states)
	}
	daemon(t, two, "28.0.0")
	if both, _ := e.discover(context.Background()); len(both) != 2 || both[0] != first[0] {
		t.Errorf("with another engine: %v", both)
	}
	daemon(t, one, "20.10.25")
	upgraded, states := e.discover(context.Background())
	if len(upgraded) != 2 || upgraded[0] == first[0] || states[0].Error != "" {
		t.Errorf("after an upgrade: %v, %+v", upgraded, states)
	}
	if again, _ := e.discover(context.Background()); len(again) != 2 || again[0] != upgraded[0] || again[1] != upgraded[1] {
		t.Errorf("sources changed while nothing did: %v", again)
	}
}
