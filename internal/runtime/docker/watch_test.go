package docker_test

import (
	"testing"

	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

func TestWatch(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *engine.Engine{
		"graph driver":     engine.Docker,
		"containerd store": engine.DockerContainerdStore,
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			src := source(t, e)
			ctx := t.Context()
			sleeper := runtimetest.DockerArchive(t, runtimetest.Sleeper(t, "sleeper:1"))
			var id string
			runtimetest.Watch(t, src, []runtimetest.Change{
				{Name: "load", Do: func() error { return e.Load(ctx, sleeper) }},
				{Name: "tag", Do: func() error { return e.Retag(ctx, "sleeper:1", "sleeper", "2") }},
				{Name: "untag", Do: func() error { return e.RemoveImage(ctx, "", "sleeper:2") }},
				{Name: "run", Do: func() (err error) {
					id, err = e.Run(ctx, engine.Container{Image: "sleeper:1", Name: "awake", Cmd: []string{"/sleeper"}})
					return err
				}},
				{Name: "stop", Do: func() error { return e.KillContainer(ctx, id) }},
				{Name: "remove", Do: func() error { return e.RemoveContainer(ctx, id) }},
				{Name: "run again", Do: func() (err error) {
					id, err = e.Run(ctx, engine.Container{Image: "sleeper:1", Name: "again", Cmd: []string{"/sleeper"}})
					return err
				}},
			}, []runtimetest.Change{
				{Name: "list", Do: func() error { _, err := src.Images(ctx); return err }},
				{Name: "exec", Do: func() error { return e.Exec(ctx, id, "/sleeper", "-h") }},
			})
			if err := e.RemoveContainer(ctx, id); err != nil {
				t.Fatal(err)
			}
			runtimetest.Watch(t, src, []runtimetest.Change{
				{Name: "delete", Do: func() error { return e.RemoveImage(ctx, "", "sleeper:1") }},
			}, nil)
		})
	}
}

func TestWatchEnds(t *testing.T) {
	e := engine.Docker(t)
	runtimetest.WatchEnds(t, source(t, e), e.Kill, func() error { return e.Restart(t.Context()) })
}
