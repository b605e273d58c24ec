package storage

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/image"
)

// Whatever the records of a store say, no layer leads out of it.
func FuzzRecords(f *testing.F) {
	diffID := image.DigestOf([]byte("layer"))
	config, err := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"diff_ids": []image.Digest{diffID}}})
	if err != nil {
		f.Fatal(err)
	}
	id := image.DigestOf(config).Hex()
	layer := strings.Repeat("ab", 32)
	f.Add([]byte(`[{"id":"`+id+`","names":["localhost/a:1"],"layer":"`+layer+`","big-data-names":["manifest"]}]`),
		[]byte(`[{"id":"`+layer+`","diff-digest":"`+string(diffID)+`","diff-size":1}]`),
		[]byte(`[{"id":"c","names":["web"],"image":"`+id+`","layer":"x","metadata":"{\"image-id\":\"`+id+`\"}"}]`))
	f.Add([]byte(`[{"id":"`+id+`","layer":"b"}]`), []byte(`[{"id":"../../b","parent":"b"},{"id":"b","parent":"../../b"}]`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, images, layers, containers []byte) {
		root := filepath.Join(t.TempDir(), "root")
		for name, content := range map[string][]byte{
			"overlay-images/images.json":         images,
			"overlay-layers/layers.json":         layers,
			"overlay-containers/containers.json": containers,
		} {
			// Files that make no sense are read again for a while.
			if !json.Valid(content) {
				t.Skip("no JSON")
			}
			p := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(root, "overlay-images", id), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "overlay-images", id, dataName("sha256:"+id)), config, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, "overlay", layer, "diff"), 0o755); err != nil {
			t.Fatal(err)
		}
		src, err := New(Config{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		list, err := src.Images(t.Context())
		if err != nil {
			return
		}
		for _, img := range list {
			o, err := src.Open(t.Context(), img)
			if err != nil {
				continue
			}
			for _, l := range o.Layers {
				for _, dir := range append([]string{l.Dir}, l.Lower...) {
					if dir != "" && !strings.HasPrefix(dir, root+"/overlay/") {
						t.Errorf("layer %s lies in %s", l.DiffID, dir)
					}
				}
			}
			o.Close()
		}
	})
}
