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
	Archive          []string `help:"Offer the images of docker-archive:FILE, oci:DIR or oci-archive:FILE as well; repeatable." placeholder:"TARGET" env:"ONCEOVER_ARCHIVE"`
	NoEngines        bool     `help:"Look for no engines at all." env:"ONCEOVER_NO_ENGINES"`
}

// config names sockets only where the user did: naming the sockets of one
// engine leaves the other to the usual places.
func (f engineFlags) config() runtime.Config {
	if f.NoEngines {
		return runtime.Config{Docker: []string{}, Containerd: []string{}}
	}
	return runtime.Config{Docker: f.DockerSocket, Containerd: f.ContainerdSocket}
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

// engines keeps the sources of an agent. Its discover looks again each time it
// is called, but hands out the same sources for as long as the same engines
// answer: jobs read through them.
type engines struct {
	cfg runtime.Config
	// extra are sources that do not come and go: archives.
	extra []image.Source

	sources []image.Source
	found   []runtime.EngineState
}

func (e *engines) discover(ctx context.Context) ([]image.Source, []fleet.Engine) {
	sources, states := runtime.Discover(ctx, e.cfg)
	answering := slices.DeleteFunc(slices.Clone(states), func(s runtime.EngineState) bool { return s.Error != "" })
	if slices.Equal(answering, e.found) {
		runtime.CloseAll(sources...)
	} else {
		old := e.sources
		e.sources, e.found = sources, answering
		// A job may still read through the old ones, until its deadline.
		time.AfterFunc(agent.DefaultImageDeadline+time.Minute, func() { runtime.CloseAll(old...) })
		for _, s := range answering {
			slog.InfoContext(ctx, "engine found", "engine", s.Name, "version", s.Version, "socket", s.Socket)
		}
	}
	out := make([]fleet.Engine, 0, len(states))
	for _, s := range states {
		out = append(out, fleet.Engine{Name: s.Name, Version: s.Version, Error: s.Error})
	}
	return append(slices.Clone(e.sources), e.extra...), out
}
