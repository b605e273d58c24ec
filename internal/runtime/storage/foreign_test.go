package storage_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/internal/runtime/storage"
	"github.com/onceover/onceover/test/engine"
)

// rootless fills a store of another user.
func rootless(t *testing.T, driver string, imgs ...runtimetest.Image) engine.Rootless {
	t.Helper()
	engine.Podman(t)                                 // skips or fails where there is none
	dir, err := os.MkdirTemp("/tmp", "oe-rootless-") // reachable for that user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "images.tar")
	b, err := os.ReadFile(runtimetest.DockerArchive(t, imgs...))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := engine.LoadRootless(t.Context(), dir, driver, file)
	if errors.Is(err, engine.ErrMissing) && os.Getenv("REQUIRE_RUNTIMES") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRootless: the store of another user is read by root, in a form that is
// checked against the diff ID whatever the driver.
func TestRootless(t *testing.T) {
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			img := runtimetest.Debian(t, "base:1", runtimetest.Gzip)
			r := rootless(t, driver, img)
			want := img.Want
			want.Name = "localhost/base:1"
			runtimetest.Suite(t, func(t *testing.T) image.Source { return source(t, storage.Config{Root: r.Root}) },
				runtimetest.Want{Images: []runtimetest.WantImage{want}, Watch: []string{r.Home}})
		})
	}
}

func digestOf(ctx context.Context, l image.Layer) (string, error) {
	rc, err := l.Blob(ctx)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	h := sha256.New()
	_, err = io.Copy(h, rc)
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), err
}

// TestForeignTampering: whatever a user puts into their own store, a layer is
// what its diff ID says or an error, and nothing of root's is read.
func TestForeignTampering(t *testing.T) {
	img := runtimetest.Debian(t, "base:1", runtimetest.Gzip)
	secret := filepath.Join(t.TempDir(), "secret")
	const size = 16 * 4096
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", size)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		tamper func(t *testing.T, data, top string)
		gone   bool // the image cannot even be opened
	}{
		{name: "other bytes", tamper: func(t *testing.T, data, _ string) {
			write(t, data, strings.Repeat("x", size), 65534)
		}},
		{name: "shorter file", tamper: func(t *testing.T, data, _ string) {
			write(t, data, "x", 65534)
		}},
		{name: "link to a file of root", tamper: func(t *testing.T, data, _ string) {
			replace(t, data, func() error { return os.Symlink(secret, data) })
		}},
		{name: "hard link to a file of root", tamper: func(t *testing.T, data, _ string) {
			replace(t, data, func() error { return os.WriteFile(data, []byte(strings.Repeat("s", size)), 0o600) })
		}},
		{name: "directory that leads out", tamper: func(t *testing.T, data, _ string) {
			dir := filepath.Dir(data)
			replace(t, dir, func() error { return os.Symlink(filepath.Dir(secret), dir) })
		}},
		{name: "layer that is a link", gone: true, tamper: func(t *testing.T, _, top string) {
			replace(t, top, func() error { return os.Symlink("/etc", top) })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := rootless(t, "overlay", img)
			data, err := filepath.Glob(filepath.Join(r.Root, "overlay/*/diff/srv/app/data"))
			if err != nil || len(data) != 1 {
				t.Fatal(data, err)
			}
			tc.tamper(t, data[0], strings.TrimSuffix(data[0], "/srv/app/data"))
			src := source(t, storage.Config{Root: r.Root})
			found := lookup(t, src, "localhost/base:1")
			o, err := src.Open(t.Context(), found)
			if tc.gone {
				if err == nil || found.NonScanReason == "" {
					t.Errorf("opened: %v, reason %q", err, found.NonScanReason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			top := o.Layers[2]
			if got, err := digestOf(t.Context(), top); err == nil && got == string(top.DiffID) {
				t.Error("a layer that was tampered with has its diff ID")
			}
		})
	}
}

func write(t *testing.T, path, content string, owner int) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte(content), 0o644), os.Chown(path, owner, owner)); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, path string, f func() error) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(path), f()); err != nil {
		t.Fatal(err)
	}
}

// edit rewrites the records of a kind in a store.
func edit(t *testing.T, root, kind string, change func(recs []map[string]any) any) {
	t.Helper()
	p := filepath.Join(root, "overlay-"+kind, kind+".json")
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	var recs []map[string]any
	if err := json.Unmarshal(b, &recs); err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(change(recs)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReasons: what cannot be read is listed with the reason.
func TestReasons(t *testing.T) {
	each := func(change func(map[string]any)) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			edit(t, root, "layers", func(recs []map[string]any) any {
				for _, r := range recs {
					change(r)
				}
				return recs
			})
		}
	}
	imageDir := func(root string) string {
		dirs, _ := filepath.Glob(filepath.Join(root, "overlay-images", "*", "manifest"))
		return filepath.Dir(dirs[0])
	}
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, root string)
		want   string
	}{
		{"pulled in part", each(func(r map[string]any) { delete(r, "diff-digest"); r["toc-digest"] = "sha256:x" }), "enable_partial_images"},
		{"incomplete", each(func(r map[string]any) { r["flags"] = map[string]any{"incomplete": true} }), "incomplete"},
		{"another diff ID", each(func(r map[string]any) { r["diff-digest"] = "sha256:" + strings.Repeat("0", 64) }), "diff ID"},
		{"a circle", each(func(r map[string]any) { r["parent"] = r["id"] }), "more than"},
		{"no layer", func(t *testing.T, root string) {
			edit(t, root, "layers", func([]map[string]any) any { return []any{} })
		}, "is not in"},
		{"composefs", func(t *testing.T, root string) {
			dirs, _ := filepath.Glob(filepath.Join(root, "overlay", "*", "diff"))
			for _, d := range dirs {
				if err := os.Mkdir(filepath.Join(filepath.Dir(d), "composefs-data"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}, "composefs"},
		{"no directory", func(t *testing.T, root string) {
			dirs, _ := filepath.Glob(filepath.Join(root, "overlay", "*", "diff"))
			for _, d := range dirs {
				if err := os.RemoveAll(d); err != nil {
					t.Fatal(err)
				}
			}
		}, "no such file"},
		{"no record of a layer that nothing vouches for", func(t *testing.T, root string) {
			each(func(r map[string]any) { delete(r, "diff-digest") })(t, root)
			records, _ := filepath.Glob(filepath.Join(root, "overlay-layers", "*.tar-split.gz"))
			for _, r := range records {
				if err := os.Remove(r); err != nil {
					t.Fatal(err)
				}
			}
		}, "cannot be put together"},
		{"manifest that is none", func(t *testing.T, root string) {
			write(t, filepath.Join(imageDir(root), "manifest"), "{", 0)
		}, "parse manifest"},
		{"manifest that is too large", func(t *testing.T, root string) {
			write(t, filepath.Join(imageDir(root), "manifest"), strings.Repeat(" ", 5<<20), 0)
		}, "larger than"},
		{"configuration that was changed", func(t *testing.T, root string) {
			files, _ := filepath.Glob(filepath.Join(imageDir(root), "=c2hhMjU2O*"))
			write(t, files[0], "{}", 0)
		}, "damaged"},
		{"another driver", func(t *testing.T, root string) {
			for _, kind := range []string{"images", "layers", "containers"} {
				if err := os.Rename(filepath.Join(root, "overlay-"+kind), filepath.Join(root, "zfs-"+kind)); err != nil {
					t.Fatal(err)
				}
			}
		}, "storage driver zfs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := small(t)
			tc.change(t, root)
			src := source(t, storage.Config{Root: root})
			imgs := images(t, src)
			if len(imgs) != 1 || !strings.Contains(imgs[0].NonScanReason, tc.want) {
				t.Fatalf("got %+v, want one with a reason that has %q", imgs, tc.want)
			}
			if imgs[0].ConfigDigest == "" {
				t.Error("no configuration digest")
			}
			if _, err := src.Open(t.Context(), imgs[0]); err == nil {
				t.Error("it was opened all the same")
			}
		})
	}
}

// small is a copy of a real store with one image, made once.
func small(t *testing.T) string {
	t.Helper()
	if smallStore == "" {
		e := engine.Podman(t)
		load(t, e, runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"a": "1"}))
		dir, err := os.MkdirTemp("", "oe-small-")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(e.DataRoot)); err != nil && !strings.Contains(err.Error(), "symlink") {
			t.Log(err)
		}
		smallStore = dir
	}
	root := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(root, os.DirFS(smallStore)); err != nil {
		t.Log(err) // sockets and links that point nowhere
	}
	return root
}

var smallStore string

func TestMain(m *testing.M) {
	code := m.Run()
	if smallStore != "" {
		os.RemoveAll(smallStore)
	}
	os.Exit(code)
}

// TestTorn: records that cannot be parsed are read again, and reported if they
// stay so.
func TestTorn(t *testing.T) {
	root := small(t)
	p := filepath.Join(root, "overlay-images", "images.json")
	whole, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	src := source(t, storage.Config{Root: root})
	if _, err := src.Images(t.Context()); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	go func() {
		_ = os.WriteFile(p, whole, 0o600)
	}()
	if imgs, err := src.Images(t.Context()); err != nil || len(imgs) != 1 {
		t.Errorf("got %d images, %v", len(imgs), err)
	}
}

// TestTooLarge crosses the limits on the records.
func TestTooLarge(t *testing.T) {
	root := small(t)
	p := filepath.Join(root, "overlay-images", "images.json")
	if err := os.WriteFile(p, []byte("["+strings.Repeat("{},", 200_000)+"{}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	src := source(t, storage.Config{Root: root})
	if _, err := src.Images(t.Context()); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("got %v, want too large", err)
	}
	if err := os.Truncate(p, 129<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Images(t.Context()); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("got %v, want too large", err)
	}
}
