package storage

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/inotify"
)

var _ image.Watcher = (*Source)(nil)

// Files whose change can change the list. The library replaces its own as a
// whole; the others are podman's databases and CRI-O's record of a container,
// which say which containers run.
var (
	recordFiles = map[string]bool{
		"images.json": true, "layers.json": true, "containers.json": true,
		"volatile-layers.json": true, "volatile-containers.json": true,
	}
	databases = map[string]bool{"db.sql": true, "bolt_state.db": true}
)

const crioState = "state.json"

// Watch implements image.Watcher by the files of the store: no engine needs to
// run. A store made for another driver is noticed by its directory.
func (s *Source) Watch(ctx context.Context, changed func()) error {
	return inotify.Watch{
		Dirs: s.watchDirs, Contents: true,
		Relevant: func(dir, name string) bool {
			return recordFiles[name] || databases[name] || name == crioState || strings.HasSuffix(name, "-images")
		},
	}.Run(ctx, changed)
}

// watchDirs are the directories with such files.
func (s *Source) watchDirs() []string {
	dirs := append(s.Dirs(), s.cfg.Root, filepath.Join(s.cfg.Root, "libpod"))
	if s.cfg.Engine != EngineCRIO {
		return dirs
	}
	stores, err := s.stores()
	if err != nil {
		return dirs // gone: its parent is watched
	}
	for _, st := range stores {
		containers, _ := os.ReadDir(st.path("containers")) // none yet
		for _, c := range containers {
			if c.IsDir() {
				dirs = append(dirs, filepath.Join(st.path("containers"), c.Name(), "userdata"))
			}
		}
	}
	return dirs
}

// Places are where a graph root may come to be: the system's, and that of
// CRI-O.
func (h Host) Places() []string {
	system := h.systemConf()
	out := []string{system.config(EnginePodman).Root}
	if c, ok := h.crio(system); ok {
		out = append(out, c.Root)
	}
	return out
}
