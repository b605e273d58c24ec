package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/layer"
	"github.com/onceover/onceover/internal/runtime/archive"
	"github.com/onceover/onceover/internal/runtime/oci"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
)

func opener(file, tag string, open func(t *testing.T, file, tag string) (*archive.Source, error)) func(t *testing.T) image.Source {
	return func(t *testing.T) image.Source {
		src, err := open(t, file, tag)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { src.Close() })
		return src
	}
}

func openDocker(t *testing.T, file, _ string) (*archive.Source, error) {
	return archive.OpenDocker(t.Context(), file)
}

func openLayout(t *testing.T, dir, tag string) (*archive.Source, error) {
	return archive.OpenLayout(t.Context(), dir, tag)
}

func openOCIArchive(t *testing.T, file, tag string) (*archive.Source, error) {
	return archive.OpenOCIArchive(t.Context(), file, tag)
}

// images are one of each compression, and real Alpine if it is there.
func images(t *testing.T) []runtimetest.Image {
	imgs := []runtimetest.Image{
		runtimetest.Debian(t, "base:1", runtimetest.Gzip),
		runtimetest.Build(t, "plain:1", runtimetest.Plain, map[string]string{"a": "1"}, map[string]string{"b": "2"}),
		runtimetest.Build(t, "zstd:1", runtimetest.Zstd, map[string]string{"c": "3"}),
	}
	if img, ok := runtimetest.Alpine(t, "alpine:3.20"); ok {
		imgs = append(imgs, img)
	}
	return imgs
}

func wants(imgs []runtimetest.Image) (ws []runtimetest.WantImage) {
	for _, img := range imgs {
		ws = append(ws, img.Want)
	}
	return ws
}

func TestSuite(t *testing.T) {
	imgs := images(t)
	dir := runtimetest.Layout(t, imgs...)
	for _, tc := range []struct {
		name string
		path string
		open func(t *testing.T, file, tag string) (*archive.Source, error)
	}{
		{"docker-archive", runtimetest.DockerArchive(t, imgs...), openDocker},
		{"oci", dir, openLayout},
		{"oci-archive", runtimetest.PackDir(t, dir), openOCIArchive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			runtimetest.Suite(t, opener(tc.path, "", tc.open), runtimetest.Want{Images: wants(imgs), Watch: []string{filepath.Dir(tc.path)}})
		})
	}
}

// plainDocker is a docker-archive as dockerd before 25 writes it: plain layers
// in directories, and a link where two images share one.
func plainDocker(t *testing.T, change func(*[]tarEntry)) (string, runtimetest.WantImage) {
	t.Helper()
	img := runtimetest.Build(t, "web:1", runtimetest.Plain, map[string]string{"a": "1"}, map[string]string{"b": "2"})
	cfg, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var blobs []string
	for _, l := range layers {
		rc, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, string(b))
	}
	configName := img.Want.Config.Hex() + ".json"
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": configName, "RepoTags": []string{"web:1"}, "Layers": []string{"one/layer.tar", "two/layer.tar"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	entries := []tarEntry{
		{name: "three/layer.tar", body: blobs[0]},
		{name: "one/layer.tar", link: "../three/layer.tar"},
		{name: "two/layer.tar", body: blobs[1]},
		{name: configName, body: string(cfg)},
		{name: "manifest.json", body: string(manifest)},
	}
	if change != nil {
		change(&entries)
	}
	return writeTar(t, entries), img.Want
}

type tarEntry struct {
	name, body, link string
	typ              byte
}

func writeTar(t *testing.T, entries []tarEntry) string {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: 0o644, Size: int64(len(e.body))}
		if e.link != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.link, 0
		}
		if e.typ != 0 {
			h.Typeflag = e.typ
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "images.tar")
	if err := os.WriteFile(file, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPlainDockerArchive(t *testing.T) {
	file, want := plainDocker(t, nil)
	runtimetest.Suite(t, opener(file, "", openDocker), runtimetest.Want{Images: []runtimetest.WantImage{want}})

	src := opener(file, "", openDocker)(t)
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o, err := src.Open(t.Context(), imgs[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range o.Layers {
		rc, err := l.Blob(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sized, ok := rc.(interface {
			io.ReaderAt
			Size() int64
		})
		if !ok || sized.Size() != l.BlobSize {
			t.Errorf("layer %d of a plain archive cannot be read by offset: %T", i, rc)
		}
		rc.Close()
	}
}

// readEverything reads every layer of every image and gives the first error.
func readEverything(t *testing.T, file, tag string, open func(t *testing.T, file, tag string) (*archive.Source, error)) error {
	t.Helper()
	src, err := open(t, file, tag)
	if err != nil {
		return err
	}
	defer src.Close()
	imgs, err := src.Images(t.Context())
	if err != nil {
		return err
	}
	for _, img := range imgs {
		o, err := src.Open(t.Context(), img)
		if err != nil {
			return err
		}
		defer o.Close()
		for _, l := range o.Layers {
			if err := layer.Walk(t.Context(), l, nil, func(*layer.Entry) error { return nil }); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestMultiPlatform(t *testing.T) {
	host := oci.Host()
	other := image.Platform{OS: "linux", Arch: "s390x"}
	third := image.Platform{OS: "linux", Arch: "riscv64"}
	mine := runtimetest.BuildFor(t, "app:1", host, map[string]string{"mine": "1"})
	theirs := runtimetest.BuildFor(t, "app:1", other, map[string]string{"theirs": "1"})
	thirds := runtimetest.BuildFor(t, "app:1", third, map[string]string{"thirds": "1"})

	flat := filepath.Join(t.TempDir(), "layout")
	if _, err := layout.Write(flat, runtimetest.Index(t, theirs, mine)); err != nil {
		t.Fatal(err)
	}
	deep := runtimetest.Layout(t)
	nested := runtimetest.Index(t, mine)
	for range 5 {
		nested = wrapIndex(nested)
	}
	p, err := layout.FromPath(deep)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendIndex(nested); err != nil {
		t.Fatal(err)
	}

	for _, tc := range []struct {
		name string
		dir  string
		want image.Digest // "" for an error
		err  string
	}{
		{"host is chosen", runtimetest.MultiPlatformLayout(t, "app:1", theirs, mine), mine.Want.Config, ""},
		{"index.json itself lists the platforms", flat, mine.Want.Config, ""},
		{"the only one", runtimetest.MultiPlatformLayout(t, "app:1", theirs), theirs.Want.Config, ""},
		{"none for the host", runtimetest.MultiPlatformLayout(t, "app:1", theirs, thirds), "", "no image for " + host.String() + "; there are linux/riscv64, linux/s390x"},
		{"nested too deep", deep, "", "nested deeper than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.want == "" {
				if err := readEverything(t, tc.dir, "", openLayout); err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want an error with %q", err, tc.err)
				}
				return
			}
			src := opener(tc.dir, "", openLayout)(t)
			imgs, err := src.Images(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(imgs) != 1 || imgs[0].ConfigDigest != tc.want {
				t.Errorf("got %+v, want one image with configuration %s", imgs, tc.want)
			}
		})
	}
}

func TestTags(t *testing.T) {
	one := runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"a": "1"})
	two := runtimetest.Build(t, "app:2", runtimetest.Gzip, map[string]string{"a": "2"})
	dir := runtimetest.Layout(t, one, two)
	for _, tc := range []struct {
		tag  string
		want []string
		err  string
	}{
		{"", []string{"app:1", "app:2"}, ""},
		{"2", []string{"app:2"}, ""},
		{"app:1", []string{"app:1"}, ""},
		{"docker.io/library/app:2", []string{"app:2"}, ""},
		{"3", nil, `no image "3"; there is app:1, app:2`},
	} {
		t.Run("tag "+tc.tag, func(t *testing.T) {
			src, err := archive.OpenLayout(t.Context(), dir, tc.tag)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || fault.CodeOf(err) != fault.NotFound {
					t.Errorf("got %v, want not found with %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			imgs, err := src.Images(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, img := range imgs {
				got = append(got, img.Names[0].String())
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
