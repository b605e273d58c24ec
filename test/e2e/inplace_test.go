package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/test/engine"
	"github.com/onceover/onceover/test/fixture"
)

// engines are the ways in which images lie on a host, with the flags that
// point the command line at them.
var engines = []engineCase{
	{"docker", engine.Docker, func(e *engine.Engine) []string { return []string{"--docker-socket", e.Socket} }},
	{"containerd", engine.Containerd, func(e *engine.Engine) []string { return []string{"--containerd-socket", e.Socket} }},
	{"docker with the containerd store", engine.DockerContainerdStore, func(e *engine.Engine) []string {
		return []string{"--docker-socket", e.Socket, "--containerd-socket", e.ContainerdSocket}
	}},
}

type engineCase struct {
	name  string
	start func(testing.TB) *engine.Engine
	flags func(*engine.Engine) []string
}

// scanOut runs onceover scan in an environment of its own.
func scanOut(t *testing.T, tmp, cache string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"scan", "--cache", cache}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, msg.String())
	}
	return out.String(), msg.String()
}

var opened = regexp.MustCompile(`(\d+) layers? analysed, (\d+) from cache, (\d+) files? opened`)

// TestInPlace scans real images where they lie: nothing is written to the
// engine's data root or to the temporary directory, a second run opens no
// file of any layer, and both runs write the same bytes.
func TestInPlace(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			eng := e.start(t)
			for _, name := range []string{"debian-web", "alpine-3.16.9", "scratch-go"} {
				if err := eng.Load(t.Context(), fixture.Image(t, name).Archive); err != nil {
					t.Fatal(err)
				}
			}
			roots := []string{eng.DataRoot}
			if eng.ContainerdRoot != "" {
				roots = append(roots, eng.ContainerdRoot)
			}
			tmp, cache := t.TempDir(), t.TempDir()
			created := watch(t, tmp)
			before := settled(t, roots...)

			args := append([]string{"--all", "--format", "json"}, e.flags(eng)...)
			first, msg1 := scanOut(t, tmp, cache, args...)
			if diff := cmp.Diff(before, listing(t, roots...)); diff != "" {
				t.Errorf("the engine's data changed:\n%s", diff)
			}
			if n := created(); n != 0 {
				t.Errorf("%d files were made in the temporary directory", n)
			}

			second, msg2 := scanOut(t, tmp, cache, args...)
			if first != second {
				t.Errorf("two runs differ:\n%s", cmp.Diff(first, second))
			}
			m1, m2 := opened.FindStringSubmatch(msg1), opened.FindStringSubmatch(msg2)
			if m1 == nil || m2 == nil {
				t.Fatalf("no summary:\n%s\n%s", msg1, msg2)
			}
			if m1[1] == "0" || m1[3] == "0" {
				t.Errorf("the first run opened nothing: %s", m1[0])
			}
			if m2[1] != "0" || m2[3] != "0" {
				t.Errorf("the second run opened layers: %s", m2[0])
			}

			var doc struct {
				Images []struct {
					Names    []string `json:"names"`
					Packages []any    `json:"packages"`
					Findings []any    `json:"findings"`
				} `json:"images"`
			}
			if err := json.Unmarshal([]byte(first), &doc); err != nil {
				t.Fatal(err)
			}
			if len(doc.Images) != 3 {
				t.Errorf("got %d images, want 3", len(doc.Images))
			}
			for _, img := range doc.Images {
				t.Logf("%s: %d packages, %d findings", strings.Join(img.Names, " "), len(img.Packages), len(img.Findings))
				if len(img.Packages) == 0 {
					t.Errorf("%v: no packages", img.Names)
				}
			}
		})
	}
}

// listing is every file below roots with its size and times.
func listing(t *testing.T, roots ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			out[p] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// settled is the listing once the engine has done what follows a load: its
// garbage collection writes too.
func settled(t *testing.T, roots ...string) map[string]string {
	t.Helper()
	last := listing(t, roots...)
	for range 20 {
		time.Sleep(time.Second)
		now := listing(t, roots...)
		if maps.Equal(last, now) {
			return now
		}
		last = now
	}
	t.Fatal("the engine does not stop writing")
	return nil
}

// watch counts what is made in dir from now on, even if it is gone again.
func watch(t *testing.T, dir string) func() int {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	return func() int {
		n := 0
		buf := make([]byte, 64<<10)
		for {
			got, err := unix.Read(fd, buf)
			if err != nil || got <= 0 {
				return n
			}
			n++
		}
	}
}
