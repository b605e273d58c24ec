package runtime

import (
	"context"
	"os"
	"path/filepath"

	"github.com/onceover/onceover/internal/runtime/inotify"
)

// WatchPlaces calls changed once when it has begun, and again when a socket or
// a graph root that Discover would look at comes or goes; more calls are fine.
// Homes of users are not watched: Discover finds what is new there when it is
// called again. It returns nil when ctx is done, and a fault.Unavailable error
// where the kernel does not let us watch.
func WatchPlaces(ctx context.Context, cfg Config, changed func()) error {
	var places map[string]bool
	return inotify.Watch{
		Dirs: func() []string {
			var dirs []string
			places = cfg.places()
			for path := range places {
				dirs = append(dirs, filepath.Dir(path))
			}
			return dirs
		},
		Relevant: func(dir, name string) bool { return places[filepath.Join(dir, name)] },
	}.Run(ctx, changed)
}

// places are the paths that Discover looks at.
func (cfg Config) places() map[string]bool {
	d := discovery{cfg: cfg}
	host := cfg.Host
	if host.Getenv == nil {
		host.Getenv = cfg.Getenv
	}
	var paths []string
	if paths = append(paths, cfg.Docker...); cfg.Docker == nil {
		paths = append(append(paths, d.fromEnv("DOCKER_HOST")...), dockerSockets...)
	}
	if paths = append(paths, cfg.Containerd...); cfg.Containerd == nil {
		paths = append(paths, containerdSockets...)
	}
	if paths = append(paths, cfg.Storage...); cfg.Storage == nil {
		paths = append(paths, host.Places()...)
	}
	paths = append(paths, cfg.Podman...)
	out := map[string]bool{}
	for _, p := range paths {
		if dir, err := filepath.EvalSymlinks(filepath.Dir(p)); err == nil {
			p = filepath.Join(dir, filepath.Base(p)) // /var/run is a link
		} else if !os.IsNotExist(err) {
			continue
		}
		out[p] = true
	}
	return out
}
