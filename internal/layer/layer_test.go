package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/image"
)

// seen walks l, opens every file, and lists what it saw.
func seen(t testing.TB, l image.Layer) ([]string, error) {
	t.Helper()
	var out []string
	var st Stats
	err := Walk(context.Background(), l, &st, func(e *Entry) error {
		switch e.Kind {
		case Reset:
			out = nil
		case Dir:
			out = append(out, e.Path+"/")
		case Symlink:
			out = append(out, e.Path+" -> "+e.Target)
		case Other:
			out = append(out, e.Path+" other")
		case Whiteout:
			out = append(out, "!"+e.Path)
		case Opaque:
			out = append(out, "%"+e.Path)
		case File:
			c, err := e.Open()
			if errors.Is(err, ErrDeferred) {
				return nil
			}
			if err != nil {
				out = append(out, e.Path+" error")
				return nil
			}
			defer c.Close()
			b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
			if err != nil {
				return err
			}
			out = append(out, fmt.Sprintf("%s=%s", e.Path, b))
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

func tarOf(t testing.TB, hs ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range hs {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content = h.PAXRecords["TEST.content"]
			h.PAXRecords = nil
			h.Size = int64(len(content))
		}
		h.Mode = 0o644
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, content string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeReg, PAXRecords: map[string]string{"TEST.content": content}}
}

func blob(b []byte, id image.Digest) image.Layer {
	return image.Layer{DiffID: id, Blob: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func TestBlob(t *testing.T) {
	plain := tarOf(t,
		&tar.Header{Name: "./", Typeflag: tar.TypeDir},
		&tar.Header{Name: "etc/", Typeflag: tar.TypeDir},
		file("./etc/a", "1"),
		file("../../escape", "2"),
		&tar.Header{Name: "etc/b", Typeflag: tar.TypeLink, Linkname: "etc/a"},
		&tar.Header{Name: "etc/c", Typeflag: tar.TypeLink, Linkname: "./etc/b"},
		&tar.Header{Name: "lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"},
		&tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3},
		file("var/.wh.gone", ""),
		file("srv/.wh..wh..opq", ""),
		file(".wh..wh.plnk", ""),
		file(strings.Repeat("long/", 40)+"name", "3"),
		file("twice", "first"),
		&tar.Header{Name: "link1", Typeflag: tar.TypeLink, Linkname: "twice"},
		file("twice", "second"),
		&tar.Header{Name: "link2", Typeflag: tar.TypeLink, Linkname: "twice"},
	)
	want := []string{
		"!/var/gone", "%/srv", "/dev/", "/srv/", "/var/", "/dev/null other", "/escape=2", "/etc/", "/etc/a=1", "/etc/b=1",
		"/etc/c=1", "/lib -> usr/lib", "/" + strings.Repeat("long/", 40) + "name=3",
		"/twice=second", "/link1=first", "/link2=second",
	}
	for i := range 40 {
		want = append(want, "/"+strings.Repeat("long/", i+1))
	}
	slices.Sort(want)
	var zst bytes.Buffer
	zw, _ := zstd.NewWriter(&zst)
	zw.Write(plain)
	zw.Close()
	for name, b := range map[string][]byte{"plain": plain, "gzip": gz(plain), "zstd": zst.Bytes()} {
		t.Run(name, func(t *testing.T) {
			got, err := seen(t, blob(b, image.DigestOf(plain)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if _, err := seen(t, blob(b, image.DigestOf([]byte("other")))); !errors.Is(err, ErrDigest) {
				t.Errorf("wrong diff ID: got %v", err)
			}
		})
	}
	t.Run("truncated", func(t *testing.T) {
		z := gz(plain)
		got, err := seen(t, blob(z[:len(z)-20], image.DigestOf(plain)))
		if err == nil || len(got) == 0 {
			t.Errorf("got %v, %v; want what came before the damage, and an error", got, err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		if got, err := seen(t, blob(nil, image.DigestOf(nil))); err != nil || len(got) != 0 {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestBlobLimits(t *testing.T) {
	t.Run("path", func(t *testing.T) {
		b := tarOf(t, file(strings.Repeat("x", maxPath+1), ""))
		if _, err := seen(t, blob(b, "")); !errors.Is(err, ErrLimit) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("depth", func(t *testing.T) {
		b := tarOf(t, file(strings.Repeat("d/", maxDepth+1)+"x", ""))
		if _, err := seen(t, blob(b, "")); !errors.Is(err, ErrLimit) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("names", func(t *testing.T) {
		if testing.Short() {
			t.Skip("reads 256 MB of names")
		}
		long := strings.Repeat("n", maxPath-1)
		b := tarOf(t, &tar.Header{Name: long, Typeflag: tar.TypeSymlink, Linkname: long})
		entry := b[:len(b)-1024] // without the end of the archive
		var many []io.Reader
		for range maxNames/(2*len(long)) + 1 {
			many = append(many, bytes.NewReader(entry))
		}
		l := image.Layer{Blob: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(io.MultiReader(many...)), nil }}
		if err := Walk(context.Background(), l, &Stats{}, func(*Entry) error { return nil }); !errors.Is(err, ErrLimit) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("extended headers", func(t *testing.T) {
		// What an entry carries beside its name is not kept.
		const records, size = 64, 512 << 10
		value := strings.Repeat("v", size)
		r, w := io.Pipe()
		go func() {
			tw := tar.NewWriter(w)
			for i := range records {
				if tw.WriteHeader(&tar.Header{Name: fmt.Sprint(i, strings.Repeat("é", 80)), Typeflag: tar.TypeReg, PAXRecords: map[string]string{"TEST.value": value}}) != nil {
					return
				}
			}
			w.CloseWithError(tw.Close())
		}()
		defer r.Close()
		l := image.Layer{Blob: func(context.Context) (io.ReadCloser, error) { return r, nil }}
		held := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, n := held(), 0
		err := Walk(context.Background(), l, &Stats{}, func(*Entry) error {
			if n++; n == records {
				if grown := int64(held()) - int64(before); grown > records*size/4 {
					t.Errorf("%d bytes held after %d headers", grown, n)
				}
			}
			return nil
		})
		if err != nil || n != records {
			t.Errorf("%d entries, %v", n, err)
		}
	})
	t.Run("content", func(t *testing.T) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		w.WriteHeader(&tar.Header{Name: "big", Typeflag: tar.TypeReg, Size: maxContent + 1})
		got, _ := seen(t, blob(b.Bytes(), ""))
		if diff := cmp.Diff([]string{"/big error"}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("ratio", func(t *testing.T) {
		// One frame of zeros again and again, behind the header of a file
		// that has room for them.
		var head bytes.Buffer
		tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: 4 << 30})
		zw, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		frame := zw.EncodeAll(make([]byte, 64<<20), nil)
		l := blob(append(zw.EncodeAll(head.Bytes(), nil), bytes.Repeat(frame, 64)...), "")
		err = Walk(context.Background(), l, &Stats{}, func(*Entry) error { return nil })
		if !errors.Is(err, ErrLimit) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDir(t *testing.T) {
	root := t.TempDir()
	at := func(p string) string { return filepath.Join(root, p) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(at("etc"), 0o755))
	must(os.WriteFile(at("etc/a"), []byte("1"), 0o644))
	must(os.Link(at("etc/a"), at("etc/b")))
	must(os.Symlink("/etc/shadow", at("etc/s")))
	must(unix.Mkfifo(at("pipe"), 0o644))
	want := []string{"/etc/", "/etc/a=1", "/etc/b=1", "/etc/s -> /etc/shadow", "/pipe other"}
	if os.Getuid() == 0 {
		must(unix.Mknod(at("gone"), unix.S_IFCHR, 0))
		must(unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		must(os.Mkdir(at("opq"), 0o755))
		want = append(want, "!/gone", "/null other", "/opq/")
		if err := unix.Setxattr(at("opq"), "trusted.overlay.opaque", []byte("y"), 0); err == nil {
			want = append(want, "%/opq")
		}
	}
	slices.Sort(want)
	got, err := seen(t, image.Layer{Dir: root})
	must(err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	t.Run("sibling", func(t *testing.T) {
		err := Walk(context.Background(), image.Layer{Dir: root}, &Stats{}, func(e *Entry) error {
			if e.Path != "/etc/a" {
				return nil
			}
			if b, err := e.Sibling("b", 10); err != nil || string(b) != "1" {
				t.Errorf("got %q, %v", b, err)
			}
			for _, bad := range []string{"s", "../pipe", "..", "none", ""} {
				if b, err := e.Sibling(bad, 10); err == nil {
					t.Errorf("%q: got %q", bad, b)
				}
			}
			if _, err := e.Sibling("b", 0); !errors.Is(err, ErrLimit) {
				t.Errorf("limit: got %v", err)
			}
			return nil
		})
		must(err)
	})
	t.Run("redirect", func(t *testing.T) {
		if err := unix.Setxattr(at("etc"), "trusted.overlay.redirect", []byte("/x"), 0); err != nil {
			t.Skip("no trusted attributes here: ", err)
		}
		if _, err := seen(t, image.Layer{Dir: root}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("missing", func(t *testing.T) {
		if _, err := seen(t, image.Layer{Dir: at("none")}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("too deep", func(t *testing.T) {
		deep := t.TempDir()
		must(os.MkdirAll(filepath.Join(deep, strings.Repeat("d/", maxDepth+2)), 0o755))
		if _, err := seen(t, image.Layer{Dir: deep}); !errors.Is(err, ErrLimit) {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzBlob(f *testing.F) {
	plain := tarOf(f, file("a", "1"), &tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"}, file("x/.wh.y", ""))
	f.Add(plain)
	f.Add(gz(plain))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = Walk(context.Background(), blob(b, ""), &Stats{}, func(e *Entry) error {
			if !path.IsAbs(e.Path) || path.Clean(e.Path) != e.Path {
				t.Errorf("path escapes: %q", e.Path)
			}
			if e.Kind == File {
				if c, err := e.Open(); err == nil {
					io.Copy(io.Discard, io.NewSectionReader(c, 0, c.Size))
					c.Close()
				}
			}
			return nil
		})
	})
}

// TestDirLeavesNoTrace reads a file and a directory whose times of access a
// mount of the usual kind would renew.
func TestDirLeavesNoTrace(t *testing.T) {
	root := t.TempDir()
	name := filepath.Join(root, "d", "f")
	if err := errors.Join(os.Mkdir(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("1"), 0o644)); err != nil {
		t.Fatal(err)
	}
	times := func() []int64 {
		var out []int64
		for _, p := range []string{root, filepath.Dir(name), name} {
			var st unix.Stat_t
			if err := unix.Stat(p, &st); err != nil {
				t.Fatal(err)
			}
			out = append(out, st.Atim.Nano())
		}
		return out
	}
	for _, p := range []string{root, filepath.Dir(name), name} {
		if err := os.Chtimes(p, time.Unix(1, 0), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	before := times()
	if _, err := seen(t, image.Layer{Dir: root}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, times()); diff != "" {
		t.Error(diff)
	}
}
