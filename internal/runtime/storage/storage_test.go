package storage_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/internal/runtime/storage"
	"github.com/onceover/onceover/test/engine"
)

// fill loads images and starts containers, one of them in a pod.
func fill(t *testing.T, e *engine.Engine) []runtimetest.WantImage {
	t.Helper()
	dangling := runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"old": "1"})
	imgs := []runtimetest.Image{
		runtimetest.Debian(t, "base:1", runtimetest.Gzip),
		runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"new": "1"}),
		runtimetest.Sleeper(t, "sleeper:1"),
	}
	if img, ok := runtimetest.Alpine(t, "alpine:3.20"); ok {
		imgs = append(imgs, img)
	}
	load(t, e, dangling)
	load(t, e, imgs...)
	if _, err := e.Podman(t.Context(), "pod", "create", "--infra=false", "--name", "front"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []engine.Container{
		{Image: "sleeper:1", Name: "awake", Cmd: []string{"/sleeper"}},
		{Image: "sleeper:1", Name: "never-started", Cmd: []string{"/sleeper", "x"}, Stopped: true},
		{Image: "sleeper:1", Name: "web", Cmd: []string{"/sleeper"}, Pod: "front"},
	} {
		if _, err := e.Run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	dangling.Want.Name = ""
	imgs[2].Want.Containers = map[string]bool{"awake": true, "never-started": false, "web": true}
	want := []runtimetest.WantImage{dangling.Want}
	for _, img := range imgs {
		want = append(want, img.Want)
	}
	for i := range want {
		want[i].Dirs = e.Kind == engine.KindPodman
		if want[i].Name != "" {
			want[i].Name = "localhost/" + want[i].Name // so podman names what comes from an archive
		}
	}
	return want
}

func load(t *testing.T, e *engine.Engine, imgs ...runtimetest.Image) {
	t.Helper()
	if err := e.Load(t.Context(), runtimetest.DockerArchive(t, imgs...)); err != nil {
		t.Fatal(err)
	}
}

func source(t *testing.T, cfg storage.Config) *storage.Source {
	t.Helper()
	src, err := storage.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func images(t *testing.T, src image.Source) []image.Image {
	t.Helper()
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return imgs
}

func lookup(t *testing.T, src image.Source, name string) image.Image {
	t.Helper()
	for _, img := range images(t, src) {
		for _, n := range img.Names {
			if n.String() == name {
				return img
			}
		}
	}
	t.Fatalf("no image %s", name)
	return image.Image{}
}

func TestSuite(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *engine.Engine{"overlay": engine.Podman, "vfs": engine.PodmanVFS} {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			want := fill(t, e)
			// The run root is not named: podman's records say it.
			runtimetest.Suite(t, func(t *testing.T) image.Source { return source(t, storage.Config{Root: e.DataRoot}) }, runtimetest.Want{
				Images: want, Watch: []string{e.DataRoot, e.RunRoot},
			})
			src := source(t, storage.Config{Root: e.DataRoot})
			if imgs := images(t, src); len(imgs) != len(want) {
				t.Errorf("%d images, want %d: %+v", len(imgs), len(want), imgs)
			}
			testContainers(t, e, src)
			testReboot(t, e)
			testDeleted(t, e, src, len(want))
			testDigests(t, e, src)
		})
	}
}

func testContainers(t *testing.T, e *engine.Engine, src image.Source) {
	pod, err := e.Podman(t.Context(), "pod", "inspect", "--format", "{{.ID}}", "front")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]image.Container{}
	for _, c := range lookup(t, src, "localhost/sleeper:1").Containers {
		if len(c.ID) != 64 {
			t.Errorf("container ID %q", c.ID)
		}
		name := c.Name
		c.ID, c.Name = "", ""
		got[name] = c
	}
	want := map[string]image.Container{
		"awake":         {EntryPoint: "/sleeper", Running: true},
		"never-started": {EntryPoint: "/sleeper x"},
		"web":           {EntryPoint: "/sleeper", Running: true, PodID: pod, PodName: "front"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("containers (-want +got):\n%s", d)
	}
}

// testReboot: what is left after the run root is gone, as it is after a reboot,
// counts as stopped.
func testReboot(t *testing.T, e *engine.Engine) {
	for _, c := range lookup(t, source(t, storage.Config{Root: e.DataRoot, RunRoot: t.TempDir()}), "localhost/sleeper:1").Containers {
		if c.Running && c.Name == "never-started" {
			t.Errorf("%+v", c)
		}
	}
	if _, err := e.Podman(t.Context(), "stop", "--time", "0", "awake"); err != nil {
		t.Fatal(err)
	}
	for _, c := range lookup(t, source(t, storage.Config{Root: e.DataRoot}), "localhost/sleeper:1").Containers {
		if want := c.Name == "web"; c.Running != want {
			t.Errorf("%s after a stop: running %v, want %v", c.Name, c.Running, want)
		}
	}
}

// testDeleted removes an image between listing and opening, and while it is
// open.
func testDeleted(t *testing.T, e *engine.Engine, src image.Source, before int) {
	img := lookup(t, src, "localhost/app:1")
	open, err := src.Open(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := e.RemoveImage(t.Context(), "", "app:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Open(t.Context(), img); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("open a deleted image: got %v, want not found", err)
	}
	for i, l := range open.Layers {
		if err := l.Check(t.Context()); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("layer %d of an image deleted while it was open: got %v, want not found", i, err)
		}
		if l.Blob == nil {
			continue
		}
		if _, err := l.Blob(t.Context()); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("blob %d of a deleted image: got %v, want not found", i, err)
		}
	}
	if n := len(images(t, src)); n != before-1 {
		t.Errorf("%d images after one was deleted, want %d", n, before-1)
	}
}

// testDigests: the digests are those that podman shows.
func testDigests(t *testing.T, e *engine.Engine, src image.Source) {
	img := lookup(t, src, "localhost/base:1")
	got, err := e.Podman(t.Context(), "image", "inspect", "--format", "{{.Digest}} {{.Id}} {{index .RepoDigests 0}}", "base:1")
	if err != nil {
		t.Fatal(err)
	}
	want := string(img.ManifestDigest) + " " + img.ConfigDigest.Hex() + " " + img.RepoDigests[0]
	if got != want {
		t.Errorf("podman says %s, we say %s", got, want)
	}
}

// TestAdditionalStore: a root uses the images of another that is read only, and
// builds on their layers.
func TestAdditionalStore(t *testing.T) {
	base, own := engine.Podman(t), engine.Podman(t)
	load(t, base, runtimetest.Debian(t, "base:1", runtimetest.Gzip))
	own.PodmanFlags = []string{"--storage-opt", "additionalimagestore=" + base.DataRoot}
	id, err := own.Podman(t.Context(), "create", "--net=none", "--ulimit", "nofile=1024:20000", "base:1", "/usr/bin/tool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Podman(t.Context(), "commit", "--format", "oci", id, "mine:1"); err != nil {
		t.Fatal(err)
	}
	src := source(t, storage.Config{Root: own.DataRoot, Additional: []string{filepath.Join(t.TempDir(), "absent"), base.DataRoot}})
	below := lookup(t, src, "localhost/base:1")
	if len(below.Containers) != 1 || below.Containers[0].EntryPoint != "/usr/bin/tool" {
		t.Errorf("containers of an image in the additional store: %+v", below.Containers)
	}
	mine := lookup(t, src, "localhost/mine:1")
	if mine.NonScanReason != "" {
		t.Fatal(mine.NonScanReason)
	}
	o, err := src.Open(t.Context(), mine)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if len(o.Layers) != 4 {
		t.Fatalf("%d layers, want 4", len(o.Layers))
	}
	for i, l := range o.Layers {
		root := base.DataRoot
		if i == 3 {
			root = own.DataRoot
		}
		if rel, err := filepath.Rel(root, l.Dir); err != nil || rel[0] == '.' {
			t.Errorf("layer %d lies in %s, want it below %s", i, l.Dir, root)
		}
		if len(l.Lower) != i || i > 0 && l.Lower[0] != o.Layers[i-1].Dir {
			t.Errorf("layer %d: lower %v", i, l.Lower)
		}
		if err := l.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}

	// Without the additional store the image has no ground to stand on, and
	// says so.
	img := lookup(t, source(t, storage.Config{Root: own.DataRoot}), "localhost/mine:1")
	if img.NonScanReason == "" || img.ConfigDigest != mine.ConfigDigest {
		t.Errorf("got %+v, want the reason why it is not read", img)
	}
}

// TestCRISilent: whoever listens where CRI-O might, or nobody, what the files
// say stays.
func TestCRISilent(t *testing.T) {
	e, other := engine.Podman(t), engine.Containerd(t)
	load(t, e, runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"a": "1"}))
	if _, err := e.Run(t.Context(), engine.Container{Image: "app:1", Name: "one", Cmd: []string{"/x"}, Stopped: true}); err != nil {
		t.Fatal(err)
	}
	for name, socket := range map[string]string{"none": "", "absent": "/nowhere.sock", "of another": other.Socket, "that speaks no CRI": e.Socket} {
		t.Run(name, func(t *testing.T) {
			got := lookup(t, source(t, storage.Config{Root: e.DataRoot, CRI: socket}), "localhost/app:1").Containers
			if len(got) != 1 || got[0].Name != "one" || got[0].EntryPoint != "/x" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestManifestList: a list is no image, and is not shown as a broken one.
func TestManifestList(t *testing.T) {
	e := engine.Podman(t)
	load(t, e, runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"a": "1"}))
	if _, err := e.Podman(t.Context(), "manifest", "create", "list:1", "containers-storage:localhost/app:1"); err != nil {
		t.Fatal(err)
	}
	if imgs := images(t, source(t, storage.Config{Root: e.DataRoot})); len(imgs) != 1 {
		t.Errorf("%d images, want 1: %+v", len(imgs), imgs)
	}
}

func TestNoStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, root := range map[string]string{"absent": "/nowhere/at/all", "empty": t.TempDir(), "file": file} {
		t.Run(name, func(t *testing.T) {
			src := source(t, storage.Config{Root: root})
			if _, err := src.Images(t.Context()); err == nil {
				t.Error("no error")
			}
			if err := src.Check(t.Context()); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := storage.New(storage.Config{Root: "relative"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v, want invalid", err)
	}
}
