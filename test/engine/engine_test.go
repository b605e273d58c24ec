package engine_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

// TestStop leaves nothing behind: no process, no mount, no file.
func TestStop(t *testing.T) {
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			e := start(t, kind, "")
			img := runtimetest.Sleeper(t, "sleeper:1")
			if err := e.Load(t.Context(), runtimetest.DockerArchive(t, img)); err != nil {
				t.Fatal(err)
			}
			name := "sleeper:1"
			if kind == engine.KindContainerd {
				name = "docker.io/library/" + name
			}
			if _, err := e.Run(t.Context(), engine.Container{Image: name, Name: "awake", Cmd: []string{"/sleeper"}}); err != nil {
				t.Fatal(err)
			}
			if got := mentioning(t, filepath.Dir(e.Socket)); len(got) == 0 {
				t.Fatal("no process mentions its directory: the check below would be worth nothing")
			}
			e.Stop()
			e.Stop()       // is allowed
			for range 50 { // a killed container takes a moment to go
				if len(mentioning(t, filepath.Dir(e.Socket))) == 0 {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			for _, path := range []string{e.DataRoot, filepath.Dir(e.Socket)} {
				if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: %v, want it gone", path, err)
				}
				if got := mentioning(t, path); len(got) > 0 {
					t.Errorf("still running: %v", got)
				}
			}
			mounts, err := os.ReadFile("/proc/self/mounts")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(mounts), e.DataRoot) {
				t.Errorf("still mounted:\n%s", mounts)
			}
		})
	}
}

// TestDirIsKept: data in a directory of the caller outlives the engine.
func TestDirIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	e := start(t, engine.KindDocker, dir)
	if err := e.Load(t.Context(), runtimetest.DockerArchive(t, runtimetest.Build(t, "a:1", runtimetest.Gzip, map[string]string{"a": "1"}))); err != nil {
		t.Fatal(err)
	}
	e.Stop()
	if _, err := os.Stat(filepath.Join(dir, "image/overlay2/imagedb")); err != nil {
		t.Error(err)
	}
}

// TestCommand runs the program for scripts and interrupts it.
func TestCommand(t *testing.T) {
	if os.Geteuid() != 0 {
		start(t, engine.KindContainerd, "") // skips or fails, as all do
	}
	bin := filepath.Join(t.TempDir(), "engine")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/engine").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin, "containerd")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	socket := strings.TrimSpace(string(line[:n]))
	if _, err := os.Stat(socket); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v, want it gone", socket, err)
	}
}

// TestOrphan: the daemon ends when the program that started it is killed.
func TestOrphan(t *testing.T) {
	if os.Geteuid() != 0 {
		start(t, engine.KindContainerd, "")
	}
	bin := filepath.Join(t.TempDir(), "engine")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/engine").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin, "containerd", "--dir", filepath.Join(t.TempDir(), "data"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(strings.TrimSpace(string(line[:n])))
	defer os.RemoveAll(dir)
	if len(mentioning(t, dir)) == 0 {
		t.Fatal("no daemon")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for range 100 {
		if len(mentioning(t, dir)) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("still running: %v", mentioning(t, dir))
}

func start(t *testing.T, kind engine.Kind, dir string) *engine.Engine {
	t.Helper()
	e, err := engine.Start(t.Context(), kind, dir)
	if errors.Is(err, engine.ErrMissing) && os.Getenv("REQUIRE_RUNTIMES") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return e
}

// mentioning are the command lines of processes that have path in theirs.
func mentioning(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		if strings.Contains(string(b), path) {
			out = append(out, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}
