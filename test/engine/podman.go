package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// podmanFlags give podman a store and a state of its own. Containers need no
// systemd.
func (e *Engine) podmanFlags() []string {
	driver := "overlay"
	if e.Kind == KindPodmanVFS {
		driver = "vfs"
	}
	return append([]string{
		"--root", e.DataRoot, "--runroot", e.RunRoot, "--tmpdir", filepath.Join(e.runDir, "tmp"),
		"--storage-driver", driver, "--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime", "/usr/sbin/runc",
	}, e.PodmanFlags...)
}

// preparePodman runs podman's service, which speaks dockerd's API too. Images
// and containers do not need it: it is there to be spoken to.
func (e *Engine) preparePodman() ([]string, error) {
	podman, err := find("podman")
	if err != nil {
		return nil, fmt.Errorf("%w: no podman: install the packages podman, conmon and runc", ErrMissing)
	}
	for _, bin := range []string{"conmon", "runc"} {
		if _, err := find(bin); err != nil {
			return nil, err
		}
	}
	e.Socket, e.RunRoot = filepath.Join(e.runDir, "podman.sock"), filepath.Join(e.runDir, "state")
	e.client = unixClient(e.Socket)
	return append(append([]string{podman}, e.podmanFlags()...), "system", "service", "--time=0", "unix://"+e.Socket), nil
}

// awaitCleanup waits for the commands that podman leaves to tidy up behind a
// container: they would make again what is being removed. Their command lines
// name the directories.
func (e *Engine) awaitCleanup() {
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is sound
		busy := slices.ContainsFunc(files, func(f string) bool {
			b, err := os.ReadFile(f)
			return err == nil && bytes.Contains(b, []byte(e.runDir))
		})
		if !busy {
			return
		}
	}
}

// Podman runs a podman command on the engine's store and returns its output.
func (e *Engine) Podman(ctx context.Context, args ...string) (string, error) {
	podman, err := find("podman")
	if err != nil {
		return "", err
	}
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, podman, append(e.podmanFlags(), args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("podman %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// loadPodman loads an archive by the command line: the service takes one image
// from an archive, the command all.
func (e *Engine) loadPodman(ctx context.Context, file string) error {
	_, err := e.Podman(ctx, "load", "--quiet", "--input", file)
	return err
}

func (e *Engine) runPodman(ctx context.Context, c Container) (string, error) {
	args := []string{"run", "--detach"}
	if c.Stopped {
		args = []string{"create"}
	}
	// The limits that podman takes from its user may be more than this
	// process is allowed.
	args = append(args, "--ulimit", "nofile=1024:20000", "--ulimit", "nproc=1024:1024")
	if c.Pod != "" {
		args = append(args, "--pod", c.Pod)
	}
	args = append(args, "--net=none", "--name", c.Name)
	for k, v := range c.Labels {
		args = append(args, "--label", k+"="+v)
	}
	return e.Podman(ctx, append(append(args, c.Image), c.Cmd...)...)
}

// Rootless is a store that podman filled as somebody other than root.
type Rootless struct {
	// Home is the user's home directory, Root the graph root below it.
	Home, Root string
	// UID is the user's number.
	UID uint32
}

// nobody is a user that every system has. It has no subordinate users, so
// that all files are its own.
const nobody = 65534

// LoadRootless makes a store of the user nobody with the images of an archive.
func LoadRootless(ctx context.Context, dir, driver, file string) (Rootless, error) {
	r := Rootless{Home: filepath.Join(dir, "home"), UID: nobody}
	r.Root = filepath.Join(r.Home, ".local/share/containers/storage")
	run := filepath.Join(dir, "run")
	for _, d := range []string{r.Home, run} {
		if err := errors.Join(os.MkdirAll(d, 0o700), os.Chown(d, nobody, nobody)); err != nil {
			return r, err
		}
	}
	podman, err := find("podman")
	if err != nil {
		return r, err
	}
	f, err := os.Open(file)
	if err != nil {
		return r, err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, podman, "--storage-driver", driver, "--storage-opt", driver+".ignore_chown_errors=true",
		"--cgroup-manager=cgroupfs", "--events-backend=none", "load", "--quiet")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + r.Home, "XDG_RUNTIME_DIR=" + run, "TMPDIR=" + run}
	cmd.Dir, cmd.Stdin = "/", f
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	// podman leaves a process that keeps its user namespace.
	if b, perr := os.ReadFile(filepath.Join(run, "libpod", "tmp", "pause.pid")); perr == nil {
		if pid, perr := strconv.Atoi(strings.TrimSpace(string(b))); perr == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
	if err != nil {
		return r, fmt.Errorf("%w: podman without root: %w: %s", ErrMissing, err, out)
	}
	return r, nil
}
