package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

// bigComponents is how many components bigImage has. The package database lies
// in the layer that takes long to read: a report that lost a part of it shows.
const bigComponents = 3

// bigImage is an archive with an image whose upper layer takes a while to read.
func bigImage(t *testing.T, name string) string {
	t.Helper()
	top := map[string]string{
		"var/lib/dpkg/status":                    status,
		"srv/node_modules/left-pad/package.json": `{"name":"left-pad","version":"1.3.0"}`,
	}
	for i := range 4000 {
		top[fmt.Sprintf("srv/data/%d/%d", i%100, i)] = "x"
	}
	return runtimetest.DockerArchive(t, runtimetest.Build(t, name, runtimetest.Gzip,
		map[string]string{"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\nNAME=\"Debian GNU/Linux\"\n"}, top))
}

// descendants are a process and what it started.
func descendants(pid int) []int {
	out := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(task) // it may have ended
		for _, f := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(f); err == nil {
				out = append(out, descendants(child)...)
			}
		}
	}
	return out
}

// reads reports whether a process has a file or directory below root open.
func reads(pid int, root string) bool {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, root+"/") {
			return true
		}
	}
	return false
}

// freeze waits until the process, or one that it started, reads below root,
// and stops them all. The function returned lets them go on.
func (p *process) freeze(root string) (thaw func()) {
	p.t.Helper()
	signal := func(pids []int, s syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, s) // a worker may have ended
		}
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		pids := descendants(p.cmd.Process.Pid)
		signal(pids, syscall.SIGSTOP)
		for _, pid := range pids {
			if reads(pid, root) {
				return func() { signal(pids, syscall.SIGCONT) }
			}
		}
		signal(pids, syscall.SIGCONT)
		time.Sleep(2 * time.Millisecond)
	}
	p.t.Fatalf("nobody reads below %s", root)
	return nil
}

// midscan is a server, an agent of its own, and an engine with one image that
// the agent is reading when begin returns.
type midscan struct {
	*server
	agent *process
	eng   *engine.Engine
	dir   string // the agent's
}

func newMidscan(t *testing.T, e engineCase) *midscan {
	t.Helper()
	m := &midscan{eng: e.start(t), dir: t.TempDir()}
	if err := m.eng.Load(t.Context(), bigImage(t, "big:1")); err != nil {
		t.Fatal(err)
	}
	m.server = startServer(t, filepath.Join(t.TempDir(), "data"), "--no-agent")
	m.agent = start(t, append([]string{"agent", "--server", m.url, "--data", m.dir, "--enroll-key", m.enrollKey}, e.flags(m.eng)...)...)
	m.awaitImages(1, "known", func(localImage) bool { return true })
	return m
}

// begin asks for a scan and stops the agent in the middle of it.
func (m *midscan) begin() (thaw func()) {
	m.t.Helper()
	m.scanAll()
	root := m.eng.DataRoot
	if m.eng.Kind == engine.KindContainerd {
		root = filepath.Join(root, "io.containerd.snapshotter.v1.overlayfs")
	}
	return m.agent.freeze(root)
}

// name is what the engine calls an image.
func (m *midscan) name(n string) string {
	if m.eng.Kind == engine.KindContainerd {
		return "docker.io/library/" + n
	}
	return n
}

// whole scans what is there and checks that nothing is missing: what went wrong
// before has left nothing wrong behind, and the agent works.
func (m *midscan) whole() {
	m.t.Helper()
	m.scanAll()
	for _, img := range m.awaitImages(1, "scanned", func(i localImage) bool { return i.Status == "success" && strings.HasSuffix(i.Name, "big") }) {
		if img.ComponentNum != bigComponents {
			m.t.Errorf("%s:%s has %d components, want %d", img.Name, img.Version, img.ComponentNum, bigComponents)
		}
	}
	select {
	case <-m.agent.done:
		m.t.Error("the agent has ended")
	default:
	}
}

// ended waits for the end of all tasks and returns the newest.
func (s *server) ended() task {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		running := false
		tasks := s.tasks()
		for _, k := range tasks {
			running = running || k.Success+k.Failed < k.Total
		}
		if len(tasks) > 0 && !running {
			return tasks[0]
		}
	}
	s.t.Fatalf("tasks do not end: %+v", s.tasks())
	return task{}
}

var midscanEngines = []engineCase{engines[0], engines[1], podman}

func TestImageRemovedInMidScan(t *testing.T) {
	for _, e := range midscanEngines {
		t.Run(e.name, func(t *testing.T) {
			m := newMidscan(t, e)
			thaw := m.begin()
			err := m.eng.RemoveImage(t.Context(), engine.DefaultNamespace, m.name("big:1"))
			thaw()
			if err != nil {
				t.Fatal(err)
			}
			if k := m.ended(); k.Failed != 1 || k.Success != 0 {
				t.Errorf("task %+v, want the image failed", k)
			}
			for end := time.Now().Add(10 * time.Second); len(m.images()) > 0; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("still listed: %+v", m.images())
				}
			}
			if err := m.eng.Load(t.Context(), bigImage(t, "big:1")); err != nil {
				t.Fatal(err)
			}
			m.awaitImages(1, "known again", func(localImage) bool { return true })
			m.whole()
		})
	}
}

// The name goes to another image while its content is read. The content has
// the right result, under whatever name it has then, and the other image none.
func TestRetaggedInMidScan(t *testing.T) {
	for _, e := range midscanEngines {
		t.Run(e.name, func(t *testing.T) {
			m := newMidscan(t, e)
			old := m.images()[0].ID
			other := runtimetest.DockerArchive(t, runtimetest.Build(t, "big:1", runtimetest.Gzip, map[string]string{"other": "1"}))
			thaw := m.begin()
			err := m.eng.Load(t.Context(), other)
			thaw()
			if err != nil {
				t.Fatal(err)
			}
			k := m.ended()
			// containerd forgets an image whose last name is gone; docker
			// and podman keep it without one.
			keeps := m.eng.Kind != engine.KindContainerd
			want := task{Status: k.Status, Total: 1, Failed: 1}
			if keeps {
				want.Failed, want.Success = 0, 1
			}
			if k != want {
				t.Errorf("task %+v, want %+v", k, want)
			}
			n := 1
			if keeps {
				n = 2
			}
			images := m.awaitImages(n, "listed", func(localImage) bool { return true })
			for _, img := range images {
				switch {
				case img.ID == old:
					t.Errorf("the old image is listed under its old name: %+v", img)
				case img.Name == "<none>" || img.Version == "<none>":
					if img.Status != "success" || img.ComponentNum != bigComponents {
						t.Errorf("the image that lost its name: %+v", img)
					}
				case img.Status != "unscan" || img.ComponentNum != 0:
					t.Errorf("the image that took the name: %+v", img)
				}
			}
		})
	}
}

// The daemon is killed in the middle and comes back.
func TestEngineRestartedInMidScan(t *testing.T) {
	for _, e := range engines[:2] {
		t.Run(e.name, func(t *testing.T) {
			m := newMidscan(t, e)
			thaw := m.begin()
			start := time.Now()
			if err := m.eng.Kill(); err != nil {
				t.Fatal(err)
			}
			thaw()
			time.Sleep(2 * time.Second)
			if n := len(m.images()); n != 1 {
				t.Errorf("%d images while the engine is down, want the one on its disk", n)
			}
			if err := m.eng.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("the engine is back after %v", time.Since(start).Round(time.Millisecond))
			if k := m.ended(); k.Success != 1 {
				t.Errorf("task %+v, want a success", k)
			}
			t.Logf("the scan has ended after %v", time.Since(start).Round(time.Millisecond))
			m.whole()
			if err := m.eng.Load(t.Context(), runtimetest.DockerArchive(t, runtimetest.Build(t, "new:1", runtimetest.Gzip, map[string]string{"a": "1"}))); err != nil {
				t.Fatal(err)
			}
			m.awaitImages(2, "known after the restart", func(localImage) bool { return true })
		})
	}
}

// smallDisk mounts a file system of some megabytes.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", megabytes)); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves no room in a file system. The function returned gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// The disk of the layer cache is full: it costs the cache and nothing else.
func TestDiskFullAtTheCache(t *testing.T) {
	e := engines[0]
	m := &midscan{eng: e.start(t), dir: smallDisk(t, 8)}
	if err := m.eng.Load(t.Context(), bigImage(t, "big:1")); err != nil {
		t.Fatal(err)
	}
	m.server = startServer(t, filepath.Join(t.TempDir(), "data"), "--no-agent")
	m.agent = start(t, append([]string{"agent", "--server", m.url, "--data", m.dir, "--enroll-key", m.enrollKey}, e.flags(m.eng)...)...)
	m.awaitImages(1, "known", func(localImage) bool { return true })
	fill(t, m.dir)
	m.whole()
	if !strings.Contains(m.agent.stderr.String(), "layer report not kept") {
		t.Error("the cache kept a report on a full disk, or says nothing")
	}
	if k := m.ended(); k.Success != 1 {
		t.Errorf("task %+v, want a success", k)
	}
}

// The disk of the server is full when the results come: no success is told that
// is not stored, and all goes on when there is room again.
func TestDiskFullAtTheServer(t *testing.T) {
	e := engines[0]
	m := &midscan{eng: e.start(t), dir: t.TempDir()}
	if err := m.eng.Load(t.Context(), bigImage(t, "big:1")); err != nil {
		t.Fatal(err)
	}
	disk := smallDisk(t, 48)
	m.server = startServer(t, filepath.Join(disk, "data"), "--no-agent")
	m.agent = start(t, append([]string{"agent", "--server", m.url, "--data", m.dir, "--enroll-key", m.enrollKey}, e.flags(m.eng)...)...)
	m.awaitImages(1, "known", func(localImage) bool { return true })
	thaw := m.begin()
	free := fill(t, disk)
	thaw()
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, img := range m.images() {
			if img.Status == "success" {
				t.Errorf("a success with a full disk: %+v", img)
			}
		}
	}
	free()
	k := m.ended()
	t.Logf("task after there was room again: %+v, %+v", k, m.images())
	if k.Success == 0 {
		if img := m.images()[0]; img.Status != "failed" || img.Failed == "" {
			t.Errorf("no clear failure: %+v", img)
		}
	}
	m.whole()
}
