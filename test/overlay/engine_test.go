package overlay

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/containerd"
	"github.com/onceover/onceover/internal/runtime/docker"
	"github.com/onceover/onceover/internal/runtime/storage"
	"github.com/onceover/onceover/test/engine"
)

// TestMergeAgainstEngines lets real engines unpack random stacks. The tars and
// what the engine made of them must give the same files, and so must a mount of
// the engine's directories.
func TestMergeAgainstEngines(t *testing.T) {
	needMounts(t)
	for _, tc := range []struct {
		name  string
		start func(testing.TB) *engine.Engine
		open  func(*engine.Engine) (image.Source, error)
	}{
		{"containerd", engine.Containerd, func(e *engine.Engine) (image.Source, error) {
			return containerd.New(containerd.Config{Socket: e.Socket})
		}},
		{"docker", engine.Docker, func(e *engine.Engine) (image.Source, error) {
			return docker.New(docker.Config{Socket: e.Socket})
		}},
		{"podman", engine.Podman, func(e *engine.Engine) (image.Source, error) {
			return storage.New(storage.Config{Root: e.DataRoot, RunRoot: e.RunRoot})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := tc.start(t)
			src, err := tc.open(e)
			if err != nil {
				t.Fatal(err)
			}
			p := newPipeline(t)
			at := t.TempDir()
			const want = 12
			loaded, refused, files := 0, 0, 0
			for seed := uint64(0); loaded < want; seed++ {
				if seed > 30*want {
					t.Fatalf("%d stacks loaded, %d refused", loaded, refused)
				}
				layers := tame(randomStack(rand.New(rand.NewPCG(seed, 3))))
				if !clear(layers) {
					continue
				}
				var tars [][]byte
				for _, l := range layers {
					tars = append(tars, tarOf(t, l))
				}
				archive, config := dockerArchive(t, tars)
				if err := e.Load(t.Context(), archive); err != nil {
					refused++ // each engine has its own idea of bad links
					continue
				}
				loaded++
				got, complete := p.merged(blobs(tars))
				opened := open(t, src, config)
				var dirs []string
				for _, l := range opened.Layers {
					dirs = append(dirs, l.Dir)
				}
				shown, err := mounted(at, dirs)
				if err != nil {
					t.Fatal(err)
				}
				files += len(shown)
				if diff := compare(shown, got); diff != "" || !complete {
					t.Errorf("seed %d, tars, complete %v:\n%s%s", seed, complete, diff, describe(layers))
				}
				got, complete = p.merged(opened.Layers)
				if diff := compare(shown, got); diff != "" || !complete {
					t.Errorf("seed %d, directories, complete %v:\n%s%s", seed, complete, diff, describe(layers))
				}
				opened.Close()
			}
			t.Logf("%d stacks, %d files alike; %d stacks that the engine refused", loaded, files, refused)
		})
	}
}

// tame leaves out what many engines refuse: docker and podman one path twice
// in a layer.
func tame(layers [][]item) [][]item {
	for i, l := range layers {
		seen := map[string]bool{}
		layers[i] = slices.DeleteFunc(l, func(it item) bool {
			p := path.Clean(it.name)
			twice := seen[p]
			seen[p] = true
			return twice || strings.HasPrefix(it.link, "../")
		})
	}
	return layers
}

// clear reports whether engines agree about the layers: about a layer that
// deletes what it holds itself they do not.
func clear(layers [][]item) bool {
	for _, l := range layers {
		upper := newFolder()
		for _, it := range l {
			if !unpack(upper, it) || upper.deletesOwn() {
				return false
			}
		}
	}
	return true
}

func (f *folder) deletesOwn() bool {
	for name, e := range f.entries {
		if f.deleted[name] {
			return true
		}
		if sub, ok := e.(*folder); ok && sub.deletesOwn() {
			return true
		}
	}
	return false
}

// dockerArchive writes an image archive, and returns the digest of its
// configuration too.
func dockerArchive(t *testing.T, tars [][]byte) (string, image.Digest) {
	t.Helper()
	type rootfs struct {
		Type    string         `json:"type"`
		DiffIDs []image.Digest `json:"diff_ids"`
	}
	fs := rootfs{Type: "layers"}
	for _, b := range tars {
		fs.DiffIDs = append(fs.DiffIDs, image.DigestOf(b))
	}
	config, err := json.Marshal(map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{"Cmd": []string{"/x"}}, "rootfs": fs})
	if err != nil {
		t.Fatal(err)
	}
	digest := image.DigestOf(config)
	name := string(digest[len("sha256:"):])
	f, err := os.Create(filepath.Join(t.TempDir(), "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	add := func(name string, b []byte) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(b))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	var layers []string
	for i, b := range tars {
		layers = append(layers, fmt.Sprintf("%d/layer.tar", i))
		add(layers[i], b)
	}
	add(name+".json", config)
	manifest, err := json.Marshal([]map[string]any{{"Config": name + ".json", "RepoTags": []string{"stack/s" + name[:12] + ":1"}, "Layers": layers}})
	if err != nil {
		t.Fatal(err)
	}
	add("manifest.json", manifest)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name(), digest
}

// open opens the image with that configuration.
func open(t *testing.T, src image.Source, config image.Digest) *image.Opened {
	t.Helper()
	images, err := src.Images(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range images {
		if img.ConfigDigest != config {
			continue
		}
		o, err := src.Open(context.Background(), img)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	t.Fatalf("the image is not listed: %v", config)
	return nil
}
