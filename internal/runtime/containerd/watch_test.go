package containerd_test

import (
	"testing"

	"github.com/onceover/onceover/internal/runtime/containerd"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

func TestWatch(t *testing.T) {
	e := engine.Containerd(t)
	src := source(t, containerd.Config{Socket: e.Socket})
	ctx := t.Context()
	const ns, name = engine.DefaultNamespace, "docker.io/library/sleeper:1"
	sleeper := runtimetest.DockerArchive(t, runtimetest.Sleeper(t, "sleeper:1"))
	run := func() error {
		_, err := e.Run(ctx, engine.Container{Image: name, Name: "awake", Cmd: []string{"/sleeper"}})
		return err
	}
	load := runtimetest.Change{Name: "load", Do: func() error { return e.Load(ctx, sleeper) }}
	runtimetest.Watch(t, src, []runtimetest.Change{
		load,
		{Name: "another namespace", Do: func() error { return e.Import(ctx, "elsewhere", sleeper, false) }},
		{Name: "tag", Do: func() error { return e.Tag(ctx, ns, name, "docker.io/library/sleeper:2") }},
		{Name: "untag", Do: func() error { return e.RemoveImage(ctx, ns, "docker.io/library/sleeper:2") }},
		{Name: "run", Do: run},
		{Name: "stop", Do: func() error { return e.KillContainer(ctx, "awake") }},
		{Name: "remove", Do: func() error { return e.RemoveContainer(ctx, "awake") }},
		{Name: "run again", Do: run},
	}, []runtimetest.Change{
		{Name: "list", Do: func() error { _, err := src.Images(ctx); return err }},
		{Name: "exec", Do: func() error { return e.Exec(ctx, "awake", "/sleeper", "-h") }},
	})
	only := source(t, containerd.Config{Socket: e.Socket, Only: "elsewhere"})
	skip := source(t, containerd.Config{Socket: e.Socket, Skip: ns})
	for name, src := range map[string]*containerd.Source{"only": only, "skip": skip} {
		t.Run(name, func(t *testing.T) {
			runtimetest.Watch(t, src, []runtimetest.Change{
				{Name: "tag", Do: func() error { return e.Tag(ctx, "elsewhere", "docker.io/library/sleeper:1", name+":3") }},
			}, []runtimetest.Change{
				{Name: "tag", Do: func() error { return e.Tag(ctx, ns, "docker.io/library/sleeper:1", name+":3") }},
			})
		})
	}
	if err := e.RemoveContainer(ctx, "awake"); err != nil {
		t.Fatal(err)
	}
	runtimetest.Watch(t, src, []runtimetest.Change{
		{Name: "delete", Do: func() error { return e.RemoveImage(ctx, ns, name) }},
	}, nil)
}

func TestWatchEnds(t *testing.T) {
	e := engine.Containerd(t)
	runtimetest.WatchEnds(t, source(t, containerd.Config{Socket: e.Socket}), e.Kill, func() error { return e.Restart(t.Context()) })
}
