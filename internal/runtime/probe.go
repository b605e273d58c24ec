package runtime

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/containerd"
	"github.com/onceover/onceover/internal/runtime/docker"
	"github.com/onceover/onceover/internal/runtime/storage"
)

// The usual places of sockets.
var (
	dockerSockets = []string{"/run/docker.sock", "/var/run/docker.sock"}
	// The second is the containerd that dockerd starts if the host has
	// none, the others those of k3s and RKE2, and of MicroK8s.
	containerdSockets = []string{
		"/run/containerd/containerd.sock",
		"/run/docker/containerd/containerd.sock",
		"/run/k3s/containerd/containerd.sock",
		"/var/snap/microk8s/common/run/containerd.sock",
	}
)

type discovery struct {
	cfg     Config
	seen    map[string]bool // resolved sockets, since /var/run is a link to /run
	moby    map[string]bool // resolved containerd sockets whose images docker lists
	sources []image.Source
	engines []EngineState
}

// docker finds dockerd.
func (d *discovery) docker(ctx context.Context) {
	named := d.cfg.Docker != nil
	sockets := d.cfg.Docker
	if !named {
		sockets = append(d.fromEnv("DOCKER_HOST"), dockerSockets...)
	}
	d.moby = map[string]bool{}
	for _, socket := range sockets {
		if !d.take(socket, named) {
			continue
		}
		src, err := docker.New(docker.Config{Socket: socket, Containerd: d.containerdFor(socket)})
		if err != nil {
			d.engines = append(d.engines, EngineState{Name: docker.Engine, Socket: socket, Error: err.Error()})
			continue
		}
		if !d.add(ctx, src, docker.Engine, socket) {
			continue
		}
		if inner, err := src.ContainerdSocket(ctx); err == nil && inner != "" {
			d.moby[resolve(inner)] = true
		}
	}
}

// containerdFor are the places to look for the containerd of a dockerd that
// does not say where it is: its exec root is usually /run/docker beside the
// socket /run/docker.sock.
func (d *discovery) containerdFor(socket string) []string {
	managed := filepath.Join(filepath.Dir(socket), "docker", "containerd", "containerd.sock")
	if d.cfg.Containerd != nil {
		return append([]string{managed}, d.cfg.Containerd...)
	}
	return append([]string{managed}, containerdSockets...)
}

// containerd finds containerd.
func (d *discovery) containerd(ctx context.Context) {
	named := d.cfg.Containerd != nil
	sockets := d.cfg.Containerd
	if !named {
		sockets = containerdSockets
	}
	for _, socket := range sockets {
		if !d.take(socket, named) {
			continue
		}
		cfg := containerd.Config{Socket: socket}
		if d.moby[resolve(socket)] {
			cfg.Skip = containerd.MobyNamespace
		}
		src, err := containerd.New(cfg)
		if err != nil {
			d.engines = append(d.engines, EngineState{Name: "containerd", Socket: socket, Error: err.Error()})
			continue
		}
		d.add(ctx, src, src.Engine(), socket)
	}
}

// storage finds the graph roots of podman, CRI-O and buildah.
func (d *discovery) storage(ctx context.Context) {
	host := d.cfg.Host
	if host.Getenv == nil {
		host.Getenv = d.cfg.Getenv
	}
	for _, socket := range d.cfg.Podman {
		cfg, version, err := storage.Ask(ctx, socket)
		if err != nil {
			d.engines = append(d.engines, EngineState{Name: storage.EnginePodman, Socket: socket, Error: err.Error()})
			continue
		}
		known := host.Configured(cfg.Root)
		cfg.Engine, cfg.Additional = cmp.Or(known.Engine, cfg.Engine), known.Additional
		d.root(ctx, cfg, version)
	}
	if d.cfg.Storage == nil {
		for _, cfg := range host.Roots() {
			d.root(ctx, cfg, "")
		}
	}
	for _, root := range d.cfg.Storage {
		d.root(ctx, host.Configured(root), "")
	}
}

func (d *discovery) root(ctx context.Context, cfg storage.Config, version string) {
	real := resolve(cfg.Root)
	if d.seen[real] {
		return
	}
	d.seen[real] = true
	src, err := storage.New(cfg)
	if err == nil {
		err = src.Check(ctx)
	}
	state := EngineState{Name: cmp.Or(cfg.Engine, storage.EnginePodman), Socket: cfg.Root}
	if err != nil {
		state.Error = err.Error()
	} else {
		state.Version = version
		d.sources = append(d.sources, src)
	}
	d.engines = append(d.engines, state)
}

// take reports whether to try a socket: not twice, and a usual place only if
// something is there.
func (d *discovery) take(socket string, named bool) bool {
	real := resolve(socket)
	if d.seen[real] {
		return false
	}
	if _, err := os.Stat(real); err != nil && !named && os.IsNotExist(err) {
		return false
	}
	d.seen[real] = true
	return true
}

type probed interface {
	image.Source
	Version(ctx context.Context) (string, error)
}

// add asks for the version and keeps the source if there is an answer.
func (d *discovery) add(ctx context.Context, src probed, name, socket string) bool {
	version, err := src.Version(ctx)
	if err != nil {
		CloseAll(src)
		d.engines = append(d.engines, EngineState{Name: name, Socket: socket, Error: err.Error()})
		return false
	}
	d.engines = append(d.engines, EngineState{Name: name, Version: version, Socket: socket})
	d.sources = append(d.sources, src)
	return true
}

// fromEnv is the unix socket that a variable names, if it names one. Engines
// on other hosts have their own agents.
func (d *discovery) fromEnv(name string) []string {
	getenv := d.cfg.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	path, ok := strings.CutPrefix(getenv(name), "unix://")
	if !ok || !filepath.IsAbs(path) {
		return nil
	}
	return []string{path}
}

func resolve(socket string) string {
	real, _ := filepath.EvalSymlinks(socket)
	return cmp.Or(real, socket)
}
