package engine

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
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
