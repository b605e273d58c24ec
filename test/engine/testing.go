package engine

import (
	"errors"
	"os"
	"testing"
)

// Docker starts dockerd with overlay2 for one test.
func Docker(t testing.TB) *Engine { t.Helper(); return forTest(t, KindDocker) }

// Containerd starts containerd for one test.
func Containerd(t testing.TB) *Engine { t.Helper(); return forTest(t, KindContainerd) }

// DockerContainerdStore starts a dockerd that keeps its images in containerd
// for one test. The first call on a machine builds a root file system for it.
func DockerContainerdStore(t testing.TB) *Engine { t.Helper(); return forTest(t, KindDockerContainerd) }

// DockerVFS starts dockerd with the graph driver vfs for one test.
func DockerVFS(t testing.TB) *Engine { t.Helper(); return forTest(t, KindDockerVFS) }

// Podman starts podman's service with the driver overlay for one test.
func Podman(t testing.TB) *Engine { t.Helper(); return forTest(t, KindPodman) }

// PodmanVFS starts podman's service with the driver vfs for one test.
func PodmanVFS(t testing.TB) *Engine { t.Helper(); return forTest(t, KindPodmanVFS) }

func forTest(t testing.TB, kind Kind) *Engine {
	t.Helper()
	if testing.Short() {
		t.Skipf("%s is not started by short tests", kind)
	}
	e, err := Start(t.Context(), kind, "")
	if errors.Is(err, ErrMissing) && os.Getenv("REQUIRE_RUNTIMES") != "1" {
		t.Skipf("%s: %v", kind, err)
	}
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of %s:\n%s", kind, e.logTail())
		}
		e.Stop()
	})
	return e
}
