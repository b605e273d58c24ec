package engine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// dockerFlags leave the machine's network alone; containers run without one.
func (e *Engine) dockerFlags() []string {
	return []string{
		"--data-root", e.DataRoot,
		"--exec-root", filepath.Join(e.runDir, "exec"),
		"--pidfile", filepath.Join(e.runDir, "dockerd.pid"),
		"-H", "unix://" + e.Socket,
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false",
	}
}

func (e *Engine) prepareDocker() ([]string, error) {
	dockerd, err := find("dockerd")
	if err != nil {
		return nil, err
	}
	for _, bin := range []string{"containerd", "runc"} {
		if _, err := find(bin); err != nil {
			return nil, err
		}
	}
	if err := e.dockerEndpoint(); err != nil {
		return nil, err
	}
	driver := "overlay2"
	if e.Kind == KindDockerVFS {
		driver = "vfs"
	}
	// dockerd starts a containerd of its own, or joins the machine's if one
	// listens at the usual place.
	argv := append([]string{dockerd}, e.dockerFlags()...)
	return append(argv, "--config-file", filepath.Join(e.runDir, "daemon.json"), "--storage-driver="+driver), nil
}

// dockerEndpoint sets what the docker kinds have in common.
func (e *Engine) dockerEndpoint() error {
	e.Socket = filepath.Join(e.runDir, "docker.sock")
	e.client = unixClient(e.Socket)
	features := "{}"
	if e.Kind == KindDockerContainerd {
		features = `{"features":{"containerd-snapshotter":true}}`
	}
	return os.WriteFile(filepath.Join(e.runDir, "daemon.json"), []byte(features), 0o600)
}

func (e *Engine) prepareContainerd() ([]string, error) {
	containerd, err := find("containerd")
	if err != nil {
		return nil, err
	}
	for _, bin := range []string{"ctr", "runc"} {
		if _, err := find(bin); err != nil {
			return nil, err
		}
	}
	e.Socket = filepath.Join(e.runDir, "containerd.sock")
	e.ContainerdSocket, e.ContainerdRoot = e.Socket, e.DataRoot
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
[grpc]
  address = %q
[ttrpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  # This process may not be allowed to give others a better score than its own.
  restrict_oom_score_adj = true
`, e.DataRoot, filepath.Join(e.runDir, "state"), e.Socket, e.Socket+".ttrpc", filepath.Join(e.runDir, "opt"), PauseImage)
	file := filepath.Join(e.runDir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return []string{containerd, "--config", file}, nil
}

// find looks in PATH and in the directories of system programs, which an
// unprivileged PATH lacks. The packaged daemon wins over another one that is
// earlier in PATH, because containerd and runc have to fit it.
func find(name string) (string, error) {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		p := filepath.Join(dir, name)
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: no %s: install the packages docker.io, containerd and runc", ErrMissing, name)
	}
	return p, nil
}
