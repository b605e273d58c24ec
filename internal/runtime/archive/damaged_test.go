package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/runtime/archive"
	"github.com/onceover/onceover/internal/runtime/oci"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
)

func TestDamagedDockerArchives(t *testing.T) {
	huge := strings.Repeat(" ", oci.MaxManifestBytes+1)
	rename := func(name, to string) func(*[]tarEntry) {
		return func(es *[]tarEntry) {
			for i := range *es {
				if (*es)[i].name == name {
					(*es)[i].name = to
				}
			}
		}
	}
	body := func(name string, f func(string) string) func(*[]tarEntry) {
		return func(es *[]tarEntry) {
			for i := range *es {
				if (*es)[i].name == name {
					(*es)[i].body = f((*es)[i].body)
				}
			}
		}
	}
	manifest := func(layers int, images int) func(*[]tarEntry) {
		return body("manifest.json", func(s string) string {
			var m []map[string]any
			if err := json.Unmarshal([]byte(s), &m); err != nil {
				t.Fatal(err)
			}
			if layers > 0 {
				m[0]["Layers"] = strings.Split(strings.Repeat("two/layer.tar,", layers-1)+"two/layer.tar", ",")
			}
			for len(m) < images {
				m = append(m, m[0])
			}
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		})
	}
	for _, tc := range []struct {
		name   string
		change func(*[]tarEntry)
		want   string // in the error of opening the archive, the image or reading the layers
	}{
		{"no manifest", rename("manifest.json", "x.json"), "no manifest.json"},
		{"huge manifest", body("manifest.json", func(string) string { return huge }), "the limit is"},
		{"manifest is no JSON", body("manifest.json", func(string) string { return "[{" }), "parse manifest.json"},
		{"too many layers", manifest(1001, 0), "1001 layers: the limit is 1000"},
		{"most layers, not as in the configuration", manifest(1000, 0), "1000 layers in the manifest and 2 in the configuration"},
		{"too many images", manifest(0, 1001), "1001 images: the limit is 1000"},
		{"layer missing", rename("two/layer.tar", "x/layer.tar"), "two/layer.tar is not in"},
		{"link to nothing", rename("three/layer.tar", "x/layer.tar"), "is a link to three/layer.tar, which is not there"},
		{"configuration damaged", func(es *[]tarEntry) { (*es)[3].body += " " }, "is damaged"},
		{"plain layer of another content", body("two/layer.tar", func(s string) string { return strings.Replace(s, "2", "3", 1) }), "read layer"},
		{"member twice", func(es *[]tarEntry) { *es = append(*es, (*es)[2]) }, "more than once"},
		{"manifest twice", func(es *[]tarEntry) { *es = append(*es, (*es)[4]) }, "more than once"},
		{"layer leads out", body("manifest.json", func(s string) string { return strings.Replace(s, "two/layer.tar", "../../etc/passwd", 1) }), "leads out of the archive"},
		{"layer is absolute", body("manifest.json", func(s string) string { return strings.Replace(s, "two/layer.tar", "/etc/passwd", 1) }), "leads out of the archive"},
		{"member leads out", rename("two/layer.tar", "../layer.tar"), "leads out of the archive"},
		{"link leads out", func(es *[]tarEntry) { (*es)[1].link = "../../../etc/passwd" }, "is no plain file"},
		{"link is absolute", func(es *[]tarEntry) { (*es)[1].link = "/etc/passwd" }, "is no plain file"},
		{"links in a circle", func(es *[]tarEntry) { (*es)[0] = tarEntry{name: "three/layer.tar", link: "../one/layer.tar"} }, "goes over more than"},
		{"layer is a device", func(es *[]tarEntry) { (*es)[2].typ = tar.TypeFifo; (*es)[2].body = "" }, "is no plain file"},
		{"empty", func(es *[]tarEntry) { *es = nil }, "is no tar archive"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file, _ := plainDocker(t, tc.change)
			if err := readEverything(t, file, "", openDocker); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestNotAnArchive(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	whole, _ := plainDocker(t, nil)
	b, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var many bytes.Buffer
	tw := tar.NewWriter(&many)
	for i := range 100_001 {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	var names bytes.Buffer
	nw := tar.NewWriter(&names)
	for i := range 17 {
		if err := nw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i) + strings.Repeat("x", 1<<20-200)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name string
		file string
		want string
		code fault.Code
	}{
		{"missing", filepath.Join(dir, "nothing"), "no such file", fault.NotFound},
		{"directory", dir, "no regular file", fault.Invalid},
		{"text", write("text", []byte(strings.Repeat("not a tar\n", 200))), "read the archive", fault.Invalid},
		{"empty", write("empty", nil), "no tar archive", fault.Invalid},
		{"compressed as a whole", write("gz", gz.Bytes()), "compressed with gzip as a whole", fault.Invalid},
		{"cut off", write("cut", b[:700]), "cut off", fault.Invalid},
		{"too many members", write("many", many.Bytes()), "more than 100000 members", fault.TooLarge},
		{"too long names", write("names", names.Bytes()), "names of more than", fault.TooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := archive.OpenDocker(t.Context(), tc.file)
			if err == nil || !strings.Contains(err.Error(), tc.want) || fault.CodeOf(err) != tc.code {
				t.Errorf("got %v (%v), want an error with %q (%v)", err, fault.CodeOf(err), tc.want, tc.code)
			}
		})
	}
}

func TestDamagedLayouts(t *testing.T) {
	img := runtimetest.Debian(t, "base:1", runtimetest.Gzip)
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	blob := func(hex string) string { return "blobs/sha256/" + hex }
	damage := func(name string) func(dir string) error {
		return func(dir string) error {
			p := filepath.Join(dir, name)
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			b[len(b)-9] ^= 1
			return os.WriteFile(p, b, 0o600)
		}
	}
	remove := func(name string) func(dir string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
	}
	write := func(name, content string) func(dir string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600) }
	}
	link := func(name, target string) func(dir string) error {
		return func(dir string) error {
			if err := remove(name)(dir); err != nil {
				return err
			}
			return os.Symlink(target, filepath.Join(dir, name))
		}
	}
	for _, tc := range []struct {
		name   string
		change func(dir string) error
		want   string
	}{
		{"no oci-layout", remove("oci-layout"), "no oci-layout file"},
		{"version 2", write("oci-layout", `{"imageLayoutVersion":"2.0.0"}`), "only version 1 is known"},
		{"no index", remove("index.json"), "index.json is not in"},
		{"index is no JSON", write("index.json", "{"), "parse manifest"},
		{"index of nothing", write("index.json", `{"schemaVersion":2,"manifests":[]}`), "no image in it"},
		{"index with a wrong digest", write("index.json", `{"schemaVersion":2,"manifests":[{"digest":"sha256:../../../etc/passwd","size":1}]}`), "want sha256: and 64"},
		{"huge index", write("index.json", strings.Repeat(" ", oci.MaxManifestBytes+1)), "the limit is"},
		{"manifest damaged", damage(blob(digest.Hex)), "is damaged"},
		{"manifest missing", remove(blob(digest.Hex)), "no image whose manifest is here"},
		{"configuration damaged", damage(blob(m.Config.Digest.Hex)), "is damaged"},
		{"configuration missing", remove(blob(m.Config.Digest.Hex)), "is not in"},
		{"layer damaged", damage(blob(m.Layers[2].Digest.Hex)), "read layer"},
		{"layer missing", remove(blob(m.Layers[1].Digest.Hex)), "is not in"},
		{"layer is a link out", link(blob(m.Layers[0].Digest.Hex), "/etc/passwd"), "escapes"},
		{"layer is a directory", func(dir string) error {
			p := filepath.Join(dir, blob(m.Layers[0].Digest.Hex))
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o700)
		}, "no regular file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := runtimetest.Layout(t, img)
			if err := tc.change(dir); err != nil {
				t.Fatal(err)
			}
			if err := readEverything(t, dir, "", openLayout); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func FuzzDockerArchive(f *testing.F) {
	f.Add([]byte("x"), "manifest.json")
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, n := range []string{"manifest.json", name} {
			if w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: n, Size: int64(len(body))}) != nil {
				return
			}
			w.Write(body)
		}
		w.Close()
		file := filepath.Join(t.TempDir(), "a.tar")
		for _, b := range [][]byte{body, buf.Bytes()} {
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := readEverything(t, file, "", openDocker); err == nil {
				t.Skip("a whole image")
			}
		}
	})
}
