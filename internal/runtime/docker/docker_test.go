package docker_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/docker"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

// fill loads the images and starts containers of one of them.
func fill(t *testing.T, e *engine.Engine) []runtimetest.WantImage {
	t.Helper()
	// One name after the other: loading a name again takes it from the
	// image that had it and leaves that one without.
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
	for _, c := range []engine.Container{
		{Image: "sleeper:1", Name: "awake", Cmd: []string{"/sleeper"}},
		{Image: "sleeper:1", Name: "never-started", Cmd: []string{"/sleeper"}, Stopped: true},
		{Image: "sleeper:1", Name: "k8s_web_pod", Cmd: []string{"/sleeper"}, Labels: map[string]string{
			"io.kubernetes.container.name": "web", "io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.uid": "uid-0",
		}},
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
		want[i].Dirs = e.Kind != engine.KindDockerVFS
	}
	return want
}

func load(t *testing.T, e *engine.Engine, imgs ...runtimetest.Image) {
	t.Helper()
	if err := e.Load(t.Context(), runtimetest.DockerArchive(t, imgs...)); err != nil {
		t.Fatal(err)
	}
}

func source(t *testing.T, e *engine.Engine) *docker.Source {
	t.Helper()
	cfg := docker.Config{Socket: e.Socket}
	if e.ContainerdSocket != "" {
		cfg.Containerd = []string{e.ContainerdSocket}
	}
	src, err := docker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

func TestSuite(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *engine.Engine{
		"overlay2":         engine.Docker,
		"vfs":              engine.DockerVFS,
		"containerd store": engine.DockerContainerdStore,
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			want := fill(t, e)
			runtimetest.Suite(t, func(t *testing.T) image.Source { return source(t, e) }, runtimetest.Want{
				Images: want, Watch: []string{e.DataRoot},
			})

			src := source(t, e)
			imgs, err := src.Images(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(imgs) != len(want) {
				t.Errorf("%d images, want %d: %+v", len(imgs), len(want), imgs)
			}
			for _, img := range imgs {
				if img.Engine != "docker" {
					t.Errorf("engine %q", img.Engine)
				}
				for _, c := range img.Containers {
					if c.Name == "web" && (c.PodID != "uid-0" || c.PodName != "web-0") {
						t.Errorf("pod of %+v", c)
					}
					if c.EntryPoint != "/sleeper" {
						t.Errorf("entry point of %+v", c)
					}
				}
			}
			testDeleted(t, e, src, want)
			testWhiteout(t, src, want)
		})
	}
}

// testDeleted removes an image between listing and opening, and while it is
// open.
func testDeleted(t *testing.T, e *engine.Engine, src *docker.Source, want []runtimetest.WantImage) {
	img := lookup(t, src, "app:1")
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
	}
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(imgs) != len(want)-1 {
		t.Errorf("%d images after one was deleted, want %d", len(imgs), len(want)-1)
	}
}

// testWhiteout makes sure that layers are in the form that overlay uses.
func testWhiteout(t *testing.T, src *docker.Source, want []runtimetest.WantImage) {
	o, err := src.Open(t.Context(), lookup(t, src, "base:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if o.Layers[1].Dir == "" {
		return // a tar: its digest was checked
	}
	fi, err := os.Lstat(filepath.Join(o.Layers[1].Dir, "usr/share/doc/README"))
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Type() != os.ModeDevice|os.ModeCharDevice {
		t.Errorf("the deleted file is %s, want a character device", fi.Mode())
	}
}

func lookup(t *testing.T, src *docker.Source, name string) image.Image {
	t.Helper()
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(imgs, func(img image.Image) bool { return slices.Contains(img.Names, image.ParseRef(name)) })
	if i < 0 {
		t.Fatalf("no image %s in %+v", name, imgs)
	}
	return imgs[i]
}

// TestDamagedStore changes what the daemon's own files say. The daemon stays
// as it is; only what we read is wrong.
func TestDamagedStore(t *testing.T) {
	e := engine.Docker(t)
	img := runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"a": "1"}, map[string]string{"b": "1"})
	load(t, e, img)
	chain := image.ChainIDs(img.Want.DiffIDs)[1]
	layer := filepath.Join(e.DataRoot, "image/overlay2/layerdb/sha256", chain.Hex())
	config := filepath.Join(e.DataRoot, "image/overlay2/imagedb/content/sha256", img.Want.Config.Hex())
	outside := t.TempDir()
	if err := os.Mkdir(filepath.Join(outside, "diff"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		file string
		to   string
		want string
		code fault.Code
	}{
		{"cache ID leads out", filepath.Join(layer, "cache-id"), "../../../../../.." + outside, "cache ID that is none", fault.Invalid},
		{"cache ID is empty", filepath.Join(layer, "cache-id"), "", "cache ID that is none", fault.Invalid},
		{"cache ID is too long", filepath.Join(layer, "cache-id"), strings.Repeat("a", 129), "cache ID that is none", fault.Invalid},
		{"cache ID is as long as can be", filepath.Join(layer, "cache-id"), strings.Repeat("a", 128), "is not in", fault.NotFound},
		{"cache ID file is huge", filepath.Join(layer, "cache-id"), strings.Repeat("a", 257), "larger than 256 bytes", fault.TooLarge},
		{"another diff ID", filepath.Join(layer, "diff"), string(img.Want.DiffIDs[0]), "has diff ID", fault.Invalid},
		{"configuration changed", config, "{}", "is damaged", fault.Invalid},
		{"configuration is huge", config, strings.Repeat(" ", image.MaxConfigBytes+1), "larger than", fault.TooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src := source(t, e)
			whole := lookup(t, src, "app:1")
			before, err := os.ReadFile(tc.file)
			if err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(tc.file, before, 0o600)
			if err := os.WriteFile(tc.file, []byte(tc.to), 0o600); err != nil {
				t.Fatal(err)
			}
			// The daemon no longer lists an image whose configuration it
			// finds damaged itself.
			imgs, err := src.Images(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tc.file != config && len(imgs) != 1 {
				t.Errorf("%d images, want 1", len(imgs))
			}
			for _, listed := range imgs {
				if !strings.Contains(listed.NonScanReason, tc.want) {
					t.Errorf("listed with the reason %q, want one with %q", listed.NonScanReason, tc.want)
				}
			}
			if _, err := src.Open(t.Context(), whole); fault.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	src, err := docker.New(docker.Config{Socket: filepath.Join(t.TempDir(), "none.sock")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Images(t.Context()); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "is docker running?") {
		t.Errorf("got %v, want unavailable and what to do", err)
	}
	if _, err := docker.New(docker.Config{Socket: "docker.sock"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("relative socket: got %v, want invalid", err)
	}
}

// TestSecondList is stable while nothing happens.
func TestSecondList(t *testing.T) {
	e := engine.Docker(t)
	load(t, e, runtimetest.Build(t, "b:1", runtimetest.Gzip, map[string]string{"a": "1"}), runtimetest.Build(t, "a:1", runtimetest.Gzip, map[string]string{"a": "2"}))
	src := source(t, e)
	first, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := source(t, e).Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(first, second); d != "" {
		t.Error(d)
	}
}
