package storage_test

import (
	"testing"

	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/internal/runtime/storage"
	"github.com/onceover/onceover/test/engine"
)

func TestWatch(t *testing.T) {
	e := engine.Podman(t)
	ctx := t.Context()
	sleeper := runtimetest.DockerArchive(t, runtimetest.Sleeper(t, "sleeper:1"))
	if err := e.Load(ctx, runtimetest.DockerArchive(t, runtimetest.Debian(t, "base:1", runtimetest.Gzip))); err != nil {
		t.Fatal(err) // so that there is a store
	}
	src, err := storage.New(storage.Config{Root: e.DataRoot})
	if err != nil {
		t.Fatal(err)
	}
	var id string
	runtimetest.Watch(t, src, []runtimetest.Change{
		{Name: "load", Do: func() error { return e.Load(ctx, sleeper) }},
		{Name: "tag", Do: func() error { return e.Retag(ctx, "sleeper:1", "sleeper", "2") }},
		{Name: "untag", Do: func() error { _, err := e.Podman(ctx, "untag", "sleeper:2", "sleeper:2"); return err }},
		{Name: "run", Do: func() (err error) {
			id, err = e.Run(ctx, engine.Container{Image: "sleeper:1", Name: "awake", Cmd: []string{"/sleeper"}})
			return err
		}},
		{Name: "stop", Do: func() error { return e.KillContainer(ctx, id) }},
		{Name: "remove", Do: func() error { return e.RemoveContainer(ctx, id) }},
		{Name: "delete", Do: func() error { return e.RemoveImage(ctx, "", "base:1") }},
	}, []runtimetest.Change{
		{Name: "list", Do: func() error { _, err := src.Images(ctx); return err }},
		{Name: "podman images", Do: func() error { _, err := e.Podman(ctx, "images"); return err }},
		{Name: "podman ps", Do: func() error { _, err := e.Podman(ctx, "ps"); return err }},
	})
}
