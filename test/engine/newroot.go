package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// newRootSuite is the Debian suite with a docker that has the containerd
// store.
const newRootSuite = "forky"

// enterRoot gives a command another root file system in a mount namespace of
// its own. A plain chroot does not do: runc has to pivot_root again below it.
// The directories after the root are seen inside under the same path, so that
// the paths which the daemon reports are true outside too.
const enterRoot = `set -e
root=$1 data=$2 run=$3
shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
for d in "$data" "$run"; do
	mkdir -p "$root$d"
	mount --bind "$d" "$root$d"
done
mkdir -p "$root/.outside"
cd "$root"
pivot_root . .outside
umount -l /.outside
exec "$@"`

func (e *Engine) prepareDockerContainerd(ctx context.Context) ([]string, error) {
	unshare, err := find("unshare")
	if err != nil {
		return nil, err
	}
	root, err := newRoot(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.dockerEndpoint(); err != nil {
		return nil, err
	}
	e.ContainerdSocket = filepath.Join(e.runDir, "exec", "containerd", "containerd.sock")
	e.ContainerdRoot = filepath.Join(e.DataRoot, "containerd", "daemon")
	argv := []string{
		unshare, "--mount", "--propagation", "private",
		"/bin/sh", "-c", enterRoot, "enter-root", root, e.DataRoot, e.runDir,
		"/usr/bin/env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "/usr/sbin/dockerd",
	}
	return append(append(argv, e.dockerFlags()...), "--config-file", filepath.Join(e.runDir, "daemon.json")), nil
}

// newRoot is a root file system with a newer docker, built on first use.
// Several processes may ask at once; one builds.
func newRoot(ctx context.Context) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, newRootSuite+"-root.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	root := filepath.Join(cache, newRootSuite+"-root")
	if _, err := os.Stat(filepath.Join(root, "usr/sbin/dockerd")); err == nil {
		return root, nil
	}
	mmdebstrap, err := find("mmdebstrap")
	if err != nil {
		return "", fmt.Errorf("%w: no mmdebstrap to build a root with a newer docker: install the package mmdebstrap", ErrMissing)
	}
	building := root + ".building"
	if err := os.RemoveAll(building); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, mmdebstrap, "--variant=minbase",
		"--aptopt=Acquire::Check-Valid-Until \"false\"", // a mirror may be an old snapshot
		"--include=docker.io,docker-cli,containerd,runc,iptables", newRootSuite, building)
	if out, err := cmd.CombinedOutput(); err != nil {
		_ = os.RemoveAll(building)
		const tail = 2000
		return "", fmt.Errorf("%w: build a root of Debian %s: %w\n%s", ErrMissing, newRootSuite, err, out[max(0, len(out)-tail):])
	}
	return root, os.Rename(building, root)
}
