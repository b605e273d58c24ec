package runtime_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/runtime"
)

// A socket that comes in a directory that was not there, and one that goes,
// are noticed.
func TestWatchPlaces(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "run", "docker.sock")
	cfg := runtime.Config{Docker: []string{socket}, Containerd: []string{}, Storage: []string{}}
	seen := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		if err := runtime.WatchPlaces(ctx, cfg, func() {
			select {
			case seen <- struct{}{}:
			default:
			}
		}); err != nil {
			t.Error(err)
		}
	}()
	await := func(what string) {
		t.Helper()
		select {
		case <-seen:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: not noticed", what)
		}
		for { // the rest of the same change
			select {
			case <-seen:
			case <-time.After(300 * time.Millisecond):
				return
			}
		}
	}
	await("begin")
	if err := os.Mkdir(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	await("the directory")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	await("the socket")
	l.Close()
	await("its end")
}
