package matrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/internal/runtime/storage"
	"github.com/onceover/onceover/internal/scan"
	"github.com/onceover/onceover/test/engine"
	"github.com/onceover/onceover/test/fixture"
)

// kinds are the images, with what each is in the matrix for.
var kinds = []struct{ kind, fixture string }{
	{"Debian", "debian-web"},
	{"Alpine", "alpine-3.18.9"},
	{"rpm", "rpm"},
	{"scratch-Go", "scratch-go"},
	{"Node", "node"},
	{"Java", "app"},
	{"whiteout-and-opaque", "whiteout"},
	{"hard-link", "hardlink"},
	{"symlinked-parent", "symlinked-parent"},
	{"zstd", "zstd"},
	{"multi-platform", "alpine-3.20.3"},
}

// foreign is the image for another processor in the multi-platform index.
const foreign = "alpine-3.20.3-arm64"

// A form is one image in all forms in which it can be handed to an engine.
type form struct {
	kind   string
	config image.Digest
	// dockerArchive holds one platform and layers packed with gzip, since
	// that is what the form and docker 20.10 know.
	dockerArchive, layout, ociArchive string
}

// forms lays the images out.
func forms(t *testing.T) []form {
	t.Helper()
	var out []form
	for _, k := range kinds {
		p := fixture.Image(t, k.fixture)
		f := form{kind: k.kind, dockerArchive: p.Archive, layout: p.OCI}
		switch k.kind {
		case "zstd":
			f.layout = p.Zstd
		case "multi-platform":
			f.layout = multiPlatform(t, p, fixture.Image(t, foreign))
		}
		f.ociArchive = runtimetest.PackDir(t, f.layout)
		f.config = only(t, "docker-archive:"+f.dockerArchive)
		out = append(out, f)
	}
	return out
}

// multiPlatform is a layout with one index over two images.
func multiPlatform(t *testing.T, paths ...fixture.Paths) string {
	t.Helper()
	// podman takes a path for a reference, which has no capitals.
	dir, err := os.MkdirTemp("", "oe-layout-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var imgs []runtimetest.Image
	for _, p := range paths {
		from, err := layout.ImageIndexFromPath(p.OCI)
		if err != nil {
			t.Fatal(err)
		}
		m, err := from.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		img, err := from.Image(m.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		imgs = append(imgs, runtimetest.Image{Image: img})
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	named := layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": paths[0].Ref, "io.containerd.image.name": paths[0].Ref,
	})
	if err := l.AppendIndex(runtimetest.Index(t, imgs...), named); err != nil {
		t.Fatal(err)
	}
	return dir
}

// only is the configuration digest of the one image of an archive.
func only(t *testing.T, target string) image.Digest {
	t.Helper()
	imgs := listed(t, open(t, target))
	if len(imgs) != 1 {
		t.Fatalf("%s: %d images, want one", target, len(imgs))
	}
	return imgs[0].ConfigDigest
}

func open(t *testing.T, target string) image.Source {
	t.Helper()
	src, ok, err := runtime.Open(t.Context(), target)
	if err != nil || !ok {
		t.Fatal(target, ok, err)
	}
	t.Cleanup(func() { runtime.CloseAll(src) })
	return src
}

func listed(t *testing.T, src image.Source) []image.Image {
	t.Helper()
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return imgs
}

// A place is one column of the matrix: the sources that hold the images once
// they were put there.
type place struct {
	name string
	// fill stores the images and returns where they are read.
	fill func(t *testing.T, fs []form) []image.Source
}

var places = []place{
	{"docker overlay2", func(t *testing.T, fs []form) []image.Source {
		e := engine.Docker(t)
		load(t, e, fs, func(f form) string { return f.dockerArchive })
		return discover(t, runtime.Config{Docker: []string{e.Socket}})
	}},
	{"docker containerd store", func(t *testing.T, fs []form) []image.Source {
		e := engine.DockerContainerdStore(t)
		load(t, e, fs, func(f form) string { return f.ociArchive })
		return discover(t, runtime.Config{Docker: []string{e.Socket}, Containerd: []string{e.ContainerdSocket}})
	}},
	{"containerd", func(t *testing.T, fs []form) []image.Source {
		e := engine.Containerd(t)
		load(t, e, fs, func(f form) string { return f.ociArchive })
		return discover(t, runtime.Config{Containerd: []string{e.Socket}})
	}},
	{"podman", func(t *testing.T, fs []form) []image.Source {
		e := engine.Podman(t)
		load(t, e, fs, func(f form) string { return f.dockerArchive })
		return discover(t, runtime.Config{Podman: []string{e.Socket}})
	}},
	{"CRI-O storage", func(t *testing.T, fs []form) []image.Source {
		// What CRI-O does to pull an image: a copy by the same library, from
		// a form with a manifest.
		e := engine.Podman(t)
		for _, f := range fs {
			if _, err := e.Podman(t.Context(), "pull", "--quiet", "oci:"+f.layout); err != nil {
				t.Fatal(err)
			}
		}
		host := storage.Host{Prefix: t.TempDir()}
		conf := filepath.Join(host.Prefix, "etc", "crio", "crio.conf")
		if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(conf, fmt.Appendf(nil, "[crio]\nroot = %q\nrunroot = %q\n", e.DataRoot, e.RunRoot), 0o644); err != nil {
			t.Fatal(err)
		}
		sources, engines := runtime.Discover(t.Context(), runtime.Config{Docker: []string{}, Containerd: []string{}, Host: host})
		i := slices.IndexFunc(engines, func(e runtime.EngineState) bool { return e.Name == storage.EngineCRIO })
		if i < 0 || engines[i].Error != "" {
			t.Fatalf("no CRI-O among %+v", engines)
		}
		return slices.DeleteFunc(sources, func(s image.Source) bool { return s.Engine() != storage.EngineCRIO })
	}},
	{"docker-archive", targets("docker-archive:", func(f form) string { return f.dockerArchive })},
	{"OCI layout", targets("oci:", func(f form) string { return f.layout })},
	{"OCI archive", targets("oci-archive:", func(f form) string { return f.ociArchive })},
}

func load(t *testing.T, e *engine.Engine, fs []form, path func(form) string) {
	t.Helper()
	for _, f := range fs {
		if err := e.Load(t.Context(), path(f)); err != nil {
			t.Fatalf("%s: %v", f.kind, err)
		}
	}
}

func discover(t *testing.T, cfg runtime.Config) []image.Source {
	t.Helper()
	for _, list := range []*[]string{&cfg.Docker, &cfg.Containerd, &cfg.Storage} {
		if *list == nil {
			*list = []string{}
		}
	}
	sources, engines := runtime.Discover(t.Context(), cfg)
	t.Cleanup(func() { runtime.CloseAll(sources...) })
	for _, e := range engines {
		if e.Error != "" {
			t.Fatalf("%+v", e)
		}
	}
	return sources
}

func targets(prefix string, path func(form) string) func(*testing.T, []form) []image.Source {
	return func(t *testing.T, fs []form) []image.Source {
		var out []image.Source
		for _, f := range fs {
			out = append(out, open(t, prefix+path(f)))
		}
		return out
	}
}

// A result is everything that was found out about one image.
type result struct {
	inventory []byte
	layers    map[string][]byte // by diff ID
}

// scanAll scans the images of a place, each layer anew.
func scanAll(t *testing.T, sources []image.Source, fs []form) map[string]result {
	t.Helper()
	s := scan.New(scan.Config{Set: all.Set(), Parallel: 2})
	out := map[string]result{}
	for _, src := range sources {
		for _, img := range listed(t, src) {
			i := slices.IndexFunc(fs, func(f form) bool { return f.config == img.ConfigDigest })
			if i < 0 {
				continue // another platform
			}
			r, err := s.Image(t.Context(), src, img, nil)
			if err != nil {
				t.Errorf("%s: %v", fs[i].kind, err)
				continue
			}
			got := result{layers: map[string][]byte{}}
			if got.inventory, err = json.MarshalIndent(r.Inventory, "", " "); err != nil {
				t.Fatal(err)
			}
			for _, l := range r.Layers {
				if !l.Complete {
					t.Errorf("%s: layer %s is incomplete: %+v", fs[i].kind, l.DiffID, l.Problems)
				}
				if got.layers[l.DiffID], err = json.MarshalIndent(l, "", " "); err != nil {
					t.Fatal(err)
				}
			}
			out[fs[i].kind] = got
		}
	}
	return out
}

// facts are packages that have to be in an inventory, or must not be: equal
// results could be equally wrong.
var facts = map[string]struct{ has, lacks []string }{
	"Debian":              {has: []string{"bookworm", `"nginx`}, lacks: []string{`"name": "less"`}},
	"Alpine":              {has: []string{`"name": "musl"`}},
	"rpm":                 {has: []string{"6.el9_1"}, lacks: []string{`"5.1.8-4.el9"`}},
	"scratch-Go":          {has: []string{`"name": "stdlib"`}},
	"Node":                {has: []string{`"name": "lodash"`, `"name": "musl"`}},
	"Java":                {has: []string{`log4j-core`}},
	"whiteout-and-opaque": {has: []string{`"name": "kept"`, `"3.0.0"`, `"2.0.0"`}, lacks: []string{"hidden", "file-deleted"}},
	"hard-link":           {has: []string{"/app/node_modules/again/package.json", `"2.0.0"`}},
	// An engine makes a directory of the layer's own parent, which hides the
	// link below.
	"symlinked-parent": {has: []string{`"/lib/node_modules/two/package.json"`, `"/lib/node_modules/one/package.json"`, `"/usr/lib/node_modules/one/package.json"`}},
	"zstd":             {has: []string{`"name": "musl"`, `"name": "kept"`}, lacks: []string{"hidden"}},
	"multi-platform":   {has: []string{`"name": "musl"`, `"arch": "x86_64"`}, lacks: []string{"aarch64"}},
}

func TestMatrix(t *testing.T) {
	fs := forms(t)
	// The OCI layouts are what all others are compared with.
	var want map[string]result
	t.Run("facts", func(t *testing.T) {
		var sources []image.Source
		for _, f := range fs {
			sources = append(sources, open(t, "oci:"+f.layout))
		}
		want = scanAll(t, sources, fs)
		for _, f := range fs {
			inventory := string(want[f.kind].inventory)
			for _, s := range facts[f.kind].has {
				if !strings.Contains(inventory, s) {
					t.Errorf("%s: the inventory lacks %s", f.kind, s)
				}
			}
			for _, s := range facts[f.kind].lacks {
				if strings.Contains(inventory, s) {
					t.Errorf("%s: the inventory has %s", f.kind, s)
				}
			}
		}
	})
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel() // an engine waits for its disk more than it works
			got := scanAll(t, p.fill(t, fs), fs)
			for _, f := range fs {
				t.Run(f.kind, func(t *testing.T) {
					r, ok := got[f.kind]
					if !ok {
						t.Fatal("the image is not here")
					}
					differ(t, "inventory", want[f.kind].inventory, r.inventory)
					if len(r.layers) != len(want[f.kind].layers) {
						t.Errorf("%d layers, want %d", len(r.layers), len(want[f.kind].layers))
					}
					for id, b := range want[f.kind].layers {
						differ(t, "report of layer "+id, b, r.layers[id])
					}
				})
			}
		})
	}
}

// differ reports the first line in which two documents differ.
func differ(t *testing.T, what string, want, got []byte) {
	t.Helper()
	if bytes.Equal(want, got) {
		return
	}
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range w {
		if i == len(g) || w[i] != g[i] {
			at := max(0, i-2)
			t.Errorf("%s differs at line %d:\nwant %s\ngot  %s", what, i+1,
				strings.Join(w[at:min(len(w), i+3)], "\n     "), strings.Join(g[at:min(len(g), i+3)], "\n     "))
			return
		}
	}
	t.Errorf("%s: %d lines, want %d", what, len(g), len(w))
}
