package e2e

import (
	"path/filepath"
	"testing"

	"github.com/onceover/onceover/test/engine"
	"github.com/onceover/onceover/test/fixture"
)

// TestServerOnEngines scans the images of real engines through the API, the
// one that a container runs from included.
func TestServerOnEngines(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			eng := e.start(t)
			for _, name := range []string{"debian-web", "alpine-3.16.9", "scratch-go"} {
				if err := eng.Load(t.Context(), fixture.Image(t, name).Archive); err != nil {
					t.Fatal(err)
				}
			}
			s := startServer(t, filepath.Join(t.TempDir(), "data"), append(e.flags(eng), "--sample", "never")...)
			images := s.awaitImages(3, "known", func(localImage) bool { return true })
			ref := images[0].Name + ":" + images[0].Version // with its registry
			for _, img := range images {
				if img.Status != "unscan" {
					t.Errorf("%s is %s before any scan", img.Name, img.Status)
				}
			}
			// A stopped container counts as well.
			if _, err := eng.Run(t.Context(), engine.Container{Image: ref, Name: "web", Cmd: []string{"/bin/sh"}, Stopped: true}); err != nil {
				t.Fatal(err)
			}
			s.scanAll()
			s.scanAll() // repeats are harmless
			for _, img := range s.awaitImages(3, "scanned", succeeded) {
				t.Logf("%s:%s: %d components, %d vulnerabilities", img.Name, img.Version, img.ComponentNum, img.VulNum)
				if img.ComponentNum == 0 {
					t.Errorf("%s: no components", img.Name)
				}
			}
			s.awaitImages(1, "used by a container", func(img localImage) bool {
				return img.Name == images[0].Name && img.ContainerNum == 1
			})
			for _, task := range s.tasks() {
				if task.Failed != 0 || task.Success != 3 {
					t.Errorf("task %+v", task)
				}
			}
		})
	}
}
