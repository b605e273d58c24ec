package runtimetest

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/oci"
	"github.com/onceover/onceover/test/shareddata"
)

// Compression of a layer that Build makes.
type Compression = compression.Compression

// The compressions that engines know.
const (
	Plain = compression.None
	Gzip  = compression.GZip
	Zstd  = compression.ZStd
)

// An Image is a built image with what is to be found again.
type Image struct {
	v1.Image
	Want WantImage
}

// created is the build time of every image.
var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Build makes an image of a name from layers of files. A path ".wh.NAME"
// deletes.
func Build(t testing.TB, ref string, c Compression, layers ...map[string]string) Image {
	t.Helper()
	var tars [][]byte
	for _, files := range layers {
		tars = append(tars, Tar(t, files))
	}
	img := build(t, ref, oci.Host(), c, tars)
	if len(layers) > 0 {
		img.Want.Files = map[string]string{}
		for p, content := range layers[len(layers)-1] {
			if !strings.HasPrefix(path.Base(p), ".wh.") {
				img.Want.Files[p] = content
			}
		}
	}
	return img
}

// BuildFor is Build for another platform.
func BuildFor(t testing.TB, ref string, p image.Platform, files map[string]string) Image {
	t.Helper()
	return build(t, ref, p, Gzip, [][]byte{Tar(t, files)})
}

func build(t testing.TB, ref string, p image.Platform, c Compression, tars [][]byte) Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	w := WantImage{Name: ref}
	mediaType := types.OCILayer
	switch c {
	case Plain:
		mediaType = types.OCIUncompressedLayer
	case Zstd:
		mediaType = types.OCILayerZStd
	}
	for i, b := range tars {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
			tarball.WithCompression(c), tarball.WithMediaType(mediaType))
		must(t, err)
		diffID, err := l.DiffID()
		must(t, err)
		w.DiffIDs = append(w.DiffIDs, image.Digest(diffID.String()))
		img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: mediaType, History: v1.History{
			Created: v1.Time{Time: created}, CreatedBy: "COPY part-" + string(rune('1'+i)) + " /",
		}})
		must(t, err)
	}
	cfg, err := img.ConfigFile()
	must(t, err)
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Variant = p.OS, p.Arch, p.Variant
	cfg.Created = v1.Time{Time: created}
	cfg.Config.Cmd = []string{"/sleeper"}
	img, err = mutate.ConfigFile(img, cfg)
	must(t, err)
	id, err := img.ConfigName()
	must(t, err)
	w.Config = image.Digest(id.String())
	return Image{img, w}
}

// Debian makes an image like a small Debian one with two layers on top, of
// which one deletes a file below.
func Debian(t testing.TB, ref string, c Compression) Image {
	t.Helper()
	return Build(t, ref, c,
		map[string]string{
			"etc/os-release":       "ID=debian\nVERSION_ID=\"12\"\n",
			"var/lib/dpkg/status":  "Package: base-files\nStatus: install ok installed\nVersion: 12.4+deb12u5\nArchitecture: amd64\n\n",
			"usr/share/doc/README": "read me\n",
		},
		map[string]string{"usr/share/doc/.wh.README": "", "usr/bin/tool": "#!/bin/sh\n"},
		map[string]string{"srv/app/data": strings.Repeat("0123456789abcdef", 4096), "etc/app.conf": "a=1\n"},
	)
}

// Sleeper makes an image with one program, SleeperProgram.
func Sleeper(t testing.TB, ref string) Image {
	t.Helper()
	return Build(t, ref, Gzip, map[string]string{"sleeper": string(SleeperProgram(t))})
}

// SleeperProgram is a static program that never ends, or at once if it is given
// an argument.
func SleeperProgram(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	const program = "package main\n\nimport (\n\"os\"\n\"time\"\n)\n\nfunc main() {\nif len(os.Args) == 1 {\ntime.Sleep(1 << 62)\n}\n}\n"
	must(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600))
	bin := filepath.Join(dir, "sleeper")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, filepath.Join(dir, "main.go"))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOOS=linux")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build a program: %v\n%s", err, out)
	}
	b, err := os.ReadFile(bin)
	must(t, err)
	return b
}

// Alpine makes an image from a real Alpine root file system of the shared test
// data; false without it.
func Alpine(t testing.TB, ref string) (Image, bool) {
	t.Helper()
	dir := shareddata.Find()
	if dir == "" {
		return Image{}, false
	}
	files, err := filepath.Glob(filepath.Join(dir, "images", "alpine-minirootfs-3.20.*-x86_64.tar.gz"))
	must(t, err)
	if len(files) == 0 {
		return Image{}, false
	}
	l, err := tarball.LayerFromFile(files[0])
	must(t, err)
	rc, err := l.Uncompressed()
	must(t, err)
	defer rc.Close()
	b, err := io.ReadAll(rc)
	must(t, err)
	return build(t, ref, image.Platform{OS: "linux", Arch: "amd64"}, Gzip, [][]byte{b}), true
}

// Tar writes files as a layer, in the order of their paths.
func Tar(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	dirs := map[string]bool{".": true}
	for _, p := range slices.Sorted(maps.Keys(files)) {
		for i, c := range p {
			if c == '/' && !dirs[p[:i]] {
				dirs[p[:i]] = true
				must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: p[:i] + "/", Mode: 0o755, ModTime: created}))
			}
		}
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: p, Mode: 0o755, Size: int64(len(files[p])), ModTime: created}))
		_, err := io.WriteString(w, files[p])
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

// DockerArchive writes images as docker save does and returns the file.
func DockerArchive(t testing.TB, imgs ...Image) string {
	t.Helper()
	refs := map[name.Reference]v1.Image{}
	for _, img := range imgs {
		tag, err := name.NewTag(img.Want.Name)
		must(t, err)
		refs[tag] = img.Image
	}
	file := filepath.Join(t.TempDir(), "images.tar")
	must(t, tarball.MultiRefWriteToFile(file, refs))
	return file
}

// Layout writes images as an OCI layout and returns the directory.
func Layout(t testing.TB, imgs ...Image) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	must(t, err)
	for _, img := range imgs {
		must(t, p.AppendImage(img.Image, layout.WithAnnotations(nameAnnotations(img.Want.Name))))
	}
	return dir
}

// MultiPlatformLayout writes one index of images for several platforms and
// returns the directory.
func MultiPlatformLayout(t testing.TB, ref string, imgs ...Image) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	must(t, err)
	must(t, p.AppendIndex(Index(t, imgs...), layout.WithAnnotations(nameAnnotations(ref))))
	return dir
}

// Index is an index of images for several platforms.
func Index(t testing.TB, imgs ...Image) v1.ImageIndex {
	t.Helper()
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range imgs {
		cfg, err := img.ConfigFile()
		must(t, err)
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img.Image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant},
		}})
	}
	return idx
}

func nameAnnotations(ref string) map[string]string {
	full := ref
	if !strings.Contains(ref, "/") {
		full = "docker.io/library/" + ref
	}
	_, tag, _ := strings.Cut(ref, ":")
	return map[string]string{oci.AnnotationContainerdName: full, oci.AnnotationRefName: tag}
}

// PackDir writes a directory as a tar, as OCI archives are, and returns the
// file.
func PackDir(t testing.TB, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "archive.tar")
	f, err := os.Create(file)
	must(t, err)
	defer f.Close()
	w := tar.NewWriter(f)
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(rel), Mode: 0o644, Size: int64(len(b)), ModTime: created}); err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}))
	must(t, w.Close())
	return file
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
