package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

// freshWithin is how soon ListLocalImages has to show a change.
const freshWithin = 2 * time.Second

// list is what ListLocalImages says, by name and tag.
func (s *server) list() map[string]localImage {
	s.t.Helper()
	out := map[string]localImage{}
	for _, img := range s.images() {
		out[img.Name+":"+img.Version] = img
	}
	return out
}

// soon checks that the server shows what a change did within the time allowed,
// counted from when the engine has done it.
func (s *server) soon(what string, change func() error, ok func(map[string]localImage) bool) {
	s.t.Helper()
	if err := change(); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	start := time.Now()
	var got map[string]localImage
	for time.Since(start) < 10*time.Second {
		if got = s.list(); ok(got) {
			took := time.Since(start)
			s.t.Logf("%s: shown after %v", what, took.Round(time.Millisecond))
			if took > freshWithin {
				s.t.Errorf("%s: shown after %v, want at most %v", what, took, freshWithin)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%s: not shown: %+v", what, got)
}

// TestFresh: an image or a container that comes or goes is visible through the
// API within two seconds, whatever the engine. (Whether a container runs has no
// field in the API.)
func TestFresh(t *testing.T) {
	for _, e := range append(engines, podman) {
		t.Run(e.name, func(t *testing.T) {
			eng := e.start(t)
			ctx := t.Context()
			load := func(ref string, files map[string]string) func() error {
				img := runtimetest.Build(t, ref, runtimetest.Gzip, files)
				file := runtimetest.DockerArchive(t, img)
				return func() error { return eng.Load(ctx, file) }
			}
			first := runtimetest.DockerArchive(t, runtimetest.Sleeper(t, "sleeper:1"))
			if err := eng.Load(ctx, first); err != nil {
				t.Fatal(err)
			}
			s := startServer(t, filepath.Join(t.TempDir(), "data"), append(e.flags(eng), "--sample", "never")...)
			ref := ""
			s.awaitImages(1, "known", func(img localImage) bool { ref = img.Name + ":" + img.Version; return true })
			full := func(name string) string {
				if eng.Kind == engine.KindContainerd {
					return "docker.io/library/" + name
				}
				return name
			}
			var id string
			used := func(n int) func(map[string]localImage) bool {
				return func(l map[string]localImage) bool { return l[ref].ContainerNum == n }
			}
			count := func(n int) func(map[string]localImage) bool {
				return func(l map[string]localImage) bool { return len(l) == n }
			}
			for i := range 3 {
				name := fmt.Sprintf("web:%d", i)
				s.soon("load "+name, load(name, map[string]string{"n": name}), count(2+i))
			}
			s.soon("run", func() (err error) {
				id, err = eng.Run(ctx, engine.Container{Image: full("sleeper:1"), Name: "awake", Cmd: []string{"/sleeper"}})
				return err
			}, used(1))
			if err := eng.KillContainer(ctx, id); err != nil {
				t.Fatal(err)
			}
			s.soon("remove the container", func() error { return eng.RemoveContainer(ctx, id) }, used(0))
			s.soon("remove an image", func() error { return eng.RemoveImage(ctx, engine.DefaultNamespace, full("web:1")) }, count(3))
		})
	}
}

var podman = engineCase{"podman", engine.Podman, func(e *engine.Engine) []string {
	return []string{"--storage-root", e.DataRoot}
}}

// TestEngineComesAndGoes: an engine that starts after the agent is found within
// two seconds of being ready. One that ends keeps its images, which are still
// on its disk; and it is listened to again when it is back.
func TestEngineComesAndGoes(t *testing.T) {
	for _, e := range engines[:2] {
		t.Run(e.name, func(t *testing.T) {
			eng := e.start(t)
			ctx := t.Context()
			archive := func(name string) string {
				return runtimetest.DockerArchive(t, runtimetest.Build(t, name, runtimetest.Gzip, map[string]string{"n": name}))
			}
			if err := eng.Load(ctx, archive("web:1")); err != nil {
				t.Fatal(err)
			}
			if err := eng.Kill(); err != nil {
				t.Fatal(err)
			}
			s := startServer(t, filepath.Join(t.TempDir(), "data"), append(e.flags(eng), "--sample", "never")...)
			time.Sleep(2 * time.Second)
			if n := len(s.images()); n != 0 {
				t.Fatalf("%d images of an engine that never answered", n)
			}
			count := func(n int) func(map[string]localImage) bool {
				return func(l map[string]localImage) bool { return len(l) == n }
			}
			s.soon("the engine comes", func() error { return eng.Restart(ctx) }, count(1))
			second, third := archive("web:2"), archive("web:3")
			s.soon("load an image", func() error { return eng.Load(ctx, second) }, count(2))
			if err := eng.Kill(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			if n := len(s.images()); n != 2 {
				t.Errorf("%d images while the engine is down, want the 2 on its disk", n)
			}
			if err := eng.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			s.soon("load an image right after the engine is back", func() error { return eng.Load(ctx, third) }, count(3))
		})
	}
}
