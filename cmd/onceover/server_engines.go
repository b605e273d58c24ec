package main

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/onceover/onceover/internal/agent"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime"
)

// engineFlags say where to look for engines.
type engineFlags struct {
	DockerSocket     []string `help:"Socket of a docker engine; repeatable. Default: the usual places." placeholder:"PATH" env:"ONCEOVER_DOCKER_SOCKET"`
	ContainerdSocket []string `help:"Socket of a containerd; repeatable. Default: the usual places." placeholder:"PATH" env:"ONCEOVER_CONTAINERD_SOCKET"`
	StorageRoot      []string `help:"Graph root of podman, CRI-O or buildah; repeatable. Default: those that their configuration files name." placeholder:"DIR" env:"ONCEOVER_STORAGE_ROOT"`
	PodmanSocket     []string `help:"Socket of podman's service, to be asked for its graph root; repeatable. Default: none, its configuration files tell." placeholder:"PATH" env:"ONCEOVER_PODMAN_SOCKET"`
	Archive          []string `help:"Offer the images of docker-archive:FILE, oci:DIR or oci-archive:FILE as well; repeatable." placeholder:"TARGET" env:"ONCEOVER_ARCHIVE"`
	NoEngines        bool     `help:"Look for no engines at all." env:"ONCEOVER_NO_ENGINES"`
}

// config names sockets and roots only where the user did: naming the sockets of one
// engine leaves the other to the usual places.
func (f engineFlags) config() runtime.Config {
	if f.NoEngines {
		return runtime.Config{Docker: []string{}, Containerd: []string{}, Storage: []string{}}
	}
	return runtime.Config{Docker: f.DockerSocket, Containerd: f.ContainerdSocket, Storage: f.StorageRoot, Podman: f.PodmanSocket}
}

// find makes what an agent discovers engines with, and opens the archives.
func (f engineFlags) find(ctx context.Context) (*engines, error) {
	e := &engines{cfg: f.config()}
	for _, target := range f.Archive {
		src, ok, err := runtime.Open(ctx, target)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, usagef("--archive %s: want docker-archive:FILE, oci:DIR or oci-archive:FILE", target)
		}
		e.extra = append(e.extra, src)
	}
	return e, nil
}

// silentTime is how long an engine that does not answer keeps its images. They
// are still on its disk: a daemon that is restarted or upgraded must not look
// like one whose images were deleted, which would end the jobs that wait for
// them.
const silentTime = 24 * time.Hour

// engines keeps the sources of an agent. Its discover looks again each time it
// is called, but hands out the same sources for as long as the same engines
// answer, or fall silent: jobs read through them.
type engines struct {
	cfg runtime.Config
	// extra are sources that do not come and go: archives.
	extra []image.Source

	known []foundEngine
}

// foundEngine is one that has answered.
type foundEngine struct {
	src   image.Source
	state runtime.EngineState
	seen  time.Time // when it last answered
}

func (e *engines) discover(ctx context.Context) ([]image.Source, []fleet.Engine) {
	sources, states := runtime.Discover(ctx, e.cfg)
	answering := slices.DeleteFunc(slices.Clone(states), func(s runtime.EngineState) bool { return s.Error != "" })
	e.update(ctx, sources, answering, time.Now())
	out := make([]fleet.Engine, 0, len(states))
	for _, s := range states {
		out = append(out, fleet.Engine{Name: s.Name, Version: s.Version, Error: s.Error})
	}
	var all []image.Source
	for _, k := range e.known {
		all = append(all, k.src)
	}
	return append(all, e.extra...), out
}

// watchPlaces calls changed when discover may find something else.
func (e *engines) watchPlaces(ctx context.Context, changed func()) error {
	return runtime.WatchPlaces(ctx, e.cfg, changed)
}

// update takes over what answered, each with its source. One engine's source
// depends on which others there are, so that a new or changed engine renews
// the sources of all that answer.
func (e *engines) update(ctx context.Context, sources []image.Source, answering []runtime.EngineState, now time.Time) {
	at := func(socket string) int {
		return slices.IndexFunc(e.known, func(k foundEngine) bool { return k.state.Socket == socket })
	}
	renew := false
	for _, s := range answering {
		if i := at(s.Socket); i < 0 || e.known[i].state != s {
			renew = true
			slog.InfoContext(ctx, "engine found", "engine", s.Name, "version", s.Version, "socket", s.Socket)
		}
	}
	var old []image.Source
	for n, s := range answering {
		i := at(s.Socket)
		switch {
		case i < 0:
			e.known = append(e.known, foundEngine{sources[n], s, now})
			continue
		case renew:
			old = append(old, e.known[i].src)
			e.known[i].src, e.known[i].state = sources[n], s
		default:
			runtime.CloseAll(sources[n])
		}
		e.known[i].seen = now
	}
	e.known = slices.DeleteFunc(e.known, func(k foundEngine) bool {
		gone := now.Sub(k.seen) > silentTime
		if gone {
			old = append(old, k.src)
		}
		return gone
	})
	if len(old) > 0 {
		// A job may still read through the old ones, until its deadline.
		time.AfterFunc(agent.DefaultImageDeadline+time.Minute, func() { runtime.CloseAll(old...) })
	}
}
