package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/image"
)

// stats are mode, owner and group of the files and directories of a layer.
func stats(t *testing.T, l image.Layer) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := Walk(t.Context(), l, nil, func(e *Entry) error {
		switch {
		case e.Kind == Reset:
			clear(out)
		case e.Info != nil:
			if e.Info.IsDir() != (e.Kind == Dir) {
				t.Errorf("%s: IsDir is %v", e.Path, e.Info.IsDir())
			}
			if c, err := e.Open(); err == nil {
				c.Close()
			} else if errors.Is(err, ErrDeferred) {
				return nil
			}
			uid, gid := e.Info.(interface{ Owner() (uid, gid int) }).Owner()
			out[e.Path] = fmt.Sprintf("%v %d:%d", e.Info.Mode(), uid, gid)
		case e.Kind == Dir:
			out[e.Path] = "implied"
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A layer is the same as a directory and as a stream.
func TestModesAndOwners(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	root := t.TempDir()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name     string
		mode     uint32
		uid, gid int
	}{
		{"tmp/", 0o1777, 0, 0}, {"srv/", 0o2775, 0, 33}, {"home/", 0o755, 0, 0}, {"home/app/", 0o700, 1000, 1000}, {"none/", 0, 65534, 65534},
		{"home/app/f", 0o640, 1000, 0}, {"bin/su", 0o4755, 0, 0}, {"bin/wall", 0o2755, 0, 5}, {"tmp/sticky", 0o1644, 3_000_000_000, 4_000_000_000},
	} {
		p := filepath.Join(root, f.name)
		h := &tar.Header{Name: f.name, Mode: int64(f.mode), Uid: f.uid, Gid: f.gid, Typeflag: tar.TypeDir, Format: tar.FormatPAX}
		var err error
		if f.name[len(f.name)-1] == '/' {
			err = os.Mkdir(p, 0o755)
		} else {
			h.Typeflag = tar.TypeReg
			err = errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, nil, 0o644))
		}
		err = errors.Join(err, os.Chown(p, f.uid, f.gid), unix.Chmod(p, f.mode), w.WriteHeader(h))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Link(filepath.Join(root, "bin/su"), filepath.Join(root, "bin/su2")),
		w.WriteHeader(&tar.Header{Name: "bin/su2", Linkname: "bin/su", Typeflag: tar.TypeLink}), w.Close()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/tmp": "dtrwxrwxrwx 0:0", "/srv": "dgrwxrwxr-x 0:33", "/home": "drwxr-xr-x 0:0", "/home/app": "drwx------ 1000:1000", "/none": "d--------- 65534:65534",
		"/home/app/f": "-rw-r----- 1000:0", "/bin": "drwxr-xr-x 0:0", "/bin/su": "urwxr-xr-x 0:0", "/bin/su2": "urwxr-xr-x 0:0", "/bin/wall": "grwxr-xr-x 0:5",
		"/tmp/sticky": "trw-r--r-- 3000000000:4000000000",
	}
	if diff := cmp.Diff(want, stats(t, image.Layer{Dir: root})); diff != "" {
		t.Errorf("directory: %s", diff)
	}
	want["/bin"] = "implied"
	if diff := cmp.Diff(want, stats(t, blob(b.Bytes(), ""))); diff != "" {
		t.Errorf("stream: %s", diff)
	}
}

// What an engine without privileges keeps belongs to numbers of the host.
func TestOwnersOfUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	for _, tc := range []struct {
		name       string
		above, top int
		uid        int
		want       string
	}{
		{"root", 0, 0, 1000, "1000:1000"},
		{"a user", 1000, 1000, 1000, "0:0"},
		{"a user's range", 1000, 1000, 100_032, "-1:-1"},
		{"one range for all", 165_536, 165_536, 165_536 + 33, "33:33"},
		{"beyond the range", 165_536, 165_536, 165_536 + 65_536, "-1:-1"},
		{"an image whose top belongs to someone", 0, 1000, 1000, "1000:1000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			above := t.TempDir()
			top := filepath.Join(above, "diff")
			f := filepath.Join(top, "f")
			if err := errors.Join(os.Mkdir(top, 0o755), os.WriteFile(f, nil, 0o644),
				os.Chown(above, tc.above, tc.above), os.Chown(top, tc.top, tc.top), os.Chown(f, tc.uid, tc.uid)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"/f": "-rw-r--r-- " + tc.want}, stats(t, image.Layer{Dir: top})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The last entry of a directory says how it is, wherever it stands.
func TestDirectoryTwice(t *testing.T) {
	dir := func(name string, mode int64, uid int) *tar.Header {
		return &tar.Header{Name: name, Mode: mode, Uid: uid, Typeflag: tar.TypeDir}
	}
	for _, tc := range []struct {
		name    string
		headers []*tar.Header
		want    map[string]string
	}{
		{"the same", []*tar.Header{dir("a", 0o755, 1), dir("a/", 0o755, 1)}, map[string]string{"/a": "drwxr-xr-x 1:0"}},
		{"another mode", []*tar.Header{dir("a", 0o755, 1), dir("a", 0o1777, 1)}, map[string]string{"/a": "dtrwxrwxrwx 1:0"}},
		{"implied before", []*tar.Header{dir("a/b", 0o755, 0), dir("a", 0o700, 7)}, map[string]string{"/a": "drwx------ 7:0", "/a/b": "drwxr-xr-x 0:0"}},
		{"implied", []*tar.Header{dir("a/b", 0o755, 0)}, map[string]string{"/a": "implied", "/a/b": "drwxr-xr-x 0:0"}},
		{"no number", []*tar.Header{dir("a", 0o755, math.MaxUint32+1), dir("b", 0o755, -5)}, map[string]string{"/a": "drwxr-xr-x -1:0", "/b": "drwxr-xr-x -1:0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, h := range tc.headers {
				h.Format = tar.FormatGNU
				if err := w.WriteHeader(h); err != nil {
					t.Fatal(err)
				}
			}
			w.Close()
			if diff := cmp.Diff(tc.want, stats(t, blob(b.Bytes(), ""))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOwnersAreNumbered(t *testing.T) {
	var o owners
	h := &tar.Header{}
	for i := range math.MaxUint16 + 10 {
		h.Uid = i
		want := owner{i, 0}
		if i >= math.MaxUint16 {
			want = owner{unknownID, unknownID}
		}
		if got := o.get(o.of(h)); got != want {
			t.Fatalf("owner %d: got %v", i, got)
		}
	}
	h.Uid = 7
	if got := o.get(o.of(h)); got != (owner{7, 0}) {
		t.Errorf("again: got %v", got)
	}
	// A layer may have maxEntries of them.
	if n := unsafe.Sizeof(node{}); n > 24 {
		t.Errorf("a node takes %d bytes", n)
	}
}
