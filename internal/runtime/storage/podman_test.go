package storage

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// records writes podman's records of testdata where podman has them. Both are
// of a real podman: 4.3 of Debian 12, 5.8 of Debian forky.
func records(t *testing.T, from, to string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", from))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	p := filepath.Join(root, to)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestPodmanRecords(t *testing.T) {
	type brief struct{ Command, PodID, PodName, RunDir string }
	for _, tc := range []struct {
		name, from, to string
		runRoot        string
		want           map[string]brief
	}{
		{
			"bolt", "podman-4.3-bolt_state.db.gz", "libpod/bolt_state.db", "/tmp/h2/p/r", map[string]brief{
				"733fcedbe5a96c2a7d6dd5982d95108179cb8d7044c17e7b90940293141770b3": {
					Command: "sleep 2000",
					RunDir:  "/tmp/h2/p/r/overlay-containers/733fcedbe5a96c2a7d6dd5982d95108179cb8d7044c17e7b90940293141770b3/userdata",
				},
				"65cfb2b2bcfaad3be903dcc75afc67796eeadfbad011d6413844133027f43df3": {
					Command: "sleep 3000",
					RunDir:  "/tmp/h2/p/r/overlay-containers/65cfb2b2bcfaad3be903dcc75afc67796eeadfbad011d6413844133027f43df3/userdata",
				},
				"8f255df45b8dd8e2972c8a0a2f5cbff17c6b50c0bae55f59af5ae633acf2ef32": {
					Command: "sleep 1000", PodID: "9d884e4ac3f1ee9cccf9e4207c688cd29da877e66f042597548d3b4f0f708aa8", PodName: "mypod",
					RunDir: "/tmp/h2/p/r/overlay-containers/8f255df45b8dd8e2972c8a0a2f5cbff17c6b50c0bae55f59af5ae633acf2ef32/userdata",
				},
			},
		},
		{
			"SQLite", "podman-5.8-db.sql.gz", "db.sql", "/tmp/h2/f5/run/state", map[string]brief{
				"4f8f503a2c1fd4ed37691225980cd5ce3e66e24470ebf0a42ffac921570c57c6": {
					Command: "sleep 1000", PodID: "327db8daa34cde9425cf56c8bbc8433b05beb271c3db4bf1c264642059309d29", PodName: "front",
					RunDir: "/tmp/h2/f5/run/state/overlay-containers/4f8f503a2c1fd4ed37691225980cd5ce3e66e24470ebf0a42ffac921570c57c6/userdata",
				},
				"59128116af7979476428b581f011736a830f936055047e28b827a338d3bae8c3": {
					Command: "/bin/sh -c x",
					RunDir:  "/tmp/h2/f5/run/state/overlay-containers/59128116af7979476428b581f011736a830f936055047e28b827a338d3bae8c3/userdata",
				},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := records(t, tc.from, tc.to)
			st := podmanRecords(t.Context(), root)
			got := map[string]brief{}
			for id, k := range st.containers {
				got[id] = brief{k.command, k.podID, k.podName, k.runDir}
			}
			if d := cmp.Diff(tc.want, got); d != "" || st.runRoot != tc.runRoot {
				t.Errorf("run root %q, want %q; -want +got:\n%s", st.runRoot, tc.runRoot, d)
			}

			// A transaction that is under way, or a database cut short: as
			// if there were none.
			p := filepath.Join(root, tc.to)
			if err := os.WriteFile(p+"-journal", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if st := podmanRecords(t.Context(), root); len(st.containers) > 0 {
				t.Error("read in the middle of a transaction")
			}
			if err := os.Remove(p + "-journal"); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(p, 6000); err != nil {
				t.Fatal(err)
			}
			if st := podmanRecords(t.Context(), root); len(st.containers) > 0 {
				t.Error("a database that was cut short was read")
			}
		})
	}
}

// TestStable: a database is taken whole, and up to a limit.
func TestStable(t *testing.T) {
	p := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(p, bytes.Repeat([]byte("a"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := stable(p); err != nil || len(b) != 100 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := os.Truncate(p, maxDatabaseBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := stable(p); err == nil {
		t.Error("no limit")
	}
}

// TestRandomRecords lists and opens stores whose records are put together at
// random from values that are right, wrong, or lead elsewhere. It is no fuzz
// test because instrumenting the database drivers takes minutes; the records
// themselves are read by encoding/json.
func TestRandomRecords(t *testing.T) {
	const id = "24d58df9dfe44a87e8fd5adf846fb625afe0d9be2b2cdd3ebcd2d46654da07e3"
	values := []any{
		id, "sha256:" + id, strings.Repeat("0", idLen), "", "../../../etc", "x", nil, 0, -1, 1 << 62, true, []string{id}, []string{"a:1", "b@sha256:" + id, ":@:"},
		map[string]any{"incomplete": true}, "manifest-sha256:" + id, []string{"manifest-sha256:" + id, "manifest-"}, `{"name":"../.."}`,
	}
	keys := []string{
		"id", "names", "layer", "digest", "big-data-names", "parent", "diff-digest", "diff-size", "toc-digest", "flags", "image", "metadata",
	}
	r := rand.New(rand.NewPCG(1, 2))
	root := t.TempDir()
	for _, dir := range []string{"images/" + id, "layers", "containers"} {
		if err := os.MkdirAll(filepath.Join(root, "overlay-"+dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	src, err := New(Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	for range 1000 {
		for _, kind := range []string{"images", "layers", "containers"} {
			var recs []map[string]any
			for range r.IntN(4) {
				rec := map[string]any{"id": id}
				for range r.IntN(6) {
					key := keys[r.IntN(len(keys))]
					v := values[r.IntN(len(values))]
					// A value of the wrong type spoils the file, which has a
					// test of its own.
					if _, list := v.([]string); v != nil && list != (key == "names" || key == "big-data-names") {
						continue
					}
					if _, number := v.(int); v != nil && number != (key == "diff-size") {
						continue
					}
					if _, object := v.(map[string]any); v != nil && object != (key == "flags") || v == true {
						continue
					}
					rec[key] = v
				}
				recs = append(recs, rec)
			}
			b, err := json.Marshal(recs)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "overlay-"+kind, kind+".json"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		manifest := []string{"{", `{"manifests":[]}`, `{"schemaVersion":2,"config":{"digest":"sha256:` + id + `"},"layers":[]}`}[r.IntN(3)]
		if err := os.WriteFile(filepath.Join(root, "overlay-images", id, "manifest"), []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		imgs, err := src.Images(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range imgs {
			listed++
			if img.ConfigDigest == "" || img.NonScanReason == "" {
				t.Fatalf("an image without a configuration can be read: %+v", img)
			}
			if o, err := src.Open(t.Context(), img); err == nil {
				t.Fatalf("opened %+v", o)
			}
		}
	}
	if listed == 0 {
		t.Error("nothing was ever listed: the test is worth nothing")
	}
}
