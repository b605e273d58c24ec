package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// needMounts skips the test where overlay file systems cannot be mounted. In
// CI they must be.
func needMounts(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		if os.Getenv("REQUIRE_RUNTIMES") != "" {
			t.Fatal("cannot mount: ", err)
		}
		t.Skip("cannot mount: ", err)
	}
	unix.Unmount(dir, 0)
}

// stack makes layer directories by really mounting an overlay.
type stack struct {
	t      *testing.T
	root   string
	layers []string // nearest first
}

func newStack(t *testing.T) *stack {
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(root, unix.MNT_DETACH) })
	for _, d := range []string{"m", "empty"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &stack{t: t, root: root}
}

// commit lets change work on a mount above the layers so far, and makes the
// upper directory a layer.
func (s *stack) commit(change func(dir string)) {
	s.t.Helper()
	n := len(s.layers)
	upper, work, at := filepath.Join(s.root, fmt.Sprint("u", n)), filepath.Join(s.root, fmt.Sprint("w", n)), filepath.Join(s.root, "m")
	for _, d := range []string{upper, work, at} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	if n == 0 {
		change(upper)
	} else {
		opts := "redirect_dir=on,metacopy=on,lowerdir=" + strings.Join(s.layers, ":") + ",upperdir=" + upper + ",workdir=" + work
		if err := unix.Mount("overlay", at, "overlay", 0, opts); err != nil {
			s.t.Fatal(err)
		}
		change(at)
		if err := unix.Unmount(at, 0); err != nil {
			s.t.Fatal(err)
		}
	}
	s.layers = append([]string{upper}, s.layers...)
}

// layer i, lowest first.
func (s *stack) layer(i int) image.Layer {
	k := len(s.layers) - 1 - i
	return image.Layer{Dir: s.layers[k], Lower: s.layers[k+1:]}
}

// kernel lists what a mount of all layers shows.
func (s *stack) kernel() map[string]string {
	s.t.Helper()
	at := filepath.Join(s.root, "m")
	// overlayfs wants two layers.
	if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "redirect_dir=follow,metacopy=on,lowerdir="+strings.Join(s.layers, ":")+":"+filepath.Join(s.root, "empty")); err != nil {
		s.t.Fatal(err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	return listTree(s.t, at)
}

func listTree(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		name := report.ValidPath(strings.TrimPrefix(p, root))
		switch {
		case d.IsDir():
			info, err := d.Info()
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			out[name] = fmt.Sprintf("/%v %d:%d", info.Mode(), st.Uid, st.Gid)
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			out[name] = "->" + to
		case d.Type().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			out[name] = fmt.Sprintf("%v %s", info.Mode(), b)
		default:
			out[name] = "other"
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// applied are the layers one upon the other, as the tar format has it.
func applied(t *testing.T, layers ...image.Layer) (map[string]string, error) {
	t.Helper()
	tree := map[string]string{}
	remove := func(p string, self bool) {
		for q := range tree {
			if self && q == p || strings.HasPrefix(q, p+"/") {
				delete(tree, q)
			}
		}
	}
	var failed error
	for _, l := range layers {
		own := map[string]string{}
		err := Walk(context.Background(), l, &Stats{}, func(e *Entry) error {
			switch e.Kind {
			case Whiteout:
				remove(e.Path, true)
			case Opaque:
				remove(e.Path, false)
			case Dir:
				uid, gid := e.Info.(interface{ Owner() (uid, gid int) }).Owner()
				own[e.Path] = fmt.Sprintf("/%v %d:%d", e.Info.Mode(), uid, gid)
			case Symlink:
				own[e.Path] = "->" + e.Target
			case Other:
				own[e.Path] = "other"
			case File:
				if _, twice := own[e.Path]; twice {
					t.Errorf("%s twice in one layer", e.Path)
				}
				c, err := e.Open()
				if err != nil {
					own[e.Path] = "error"
					return nil
				}
				defer c.Close()
				b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
				if err != nil {
					return err
				}
				if int64(len(b)) != e.Info.Size() {
					t.Errorf("%s: %d bytes, stat says %d", e.Path, len(b), e.Info.Size())
				}
				own[e.Path] = fmt.Sprintf("%v %s", e.Info.Mode(), b)
			}
			return nil
		})
		failed = errors.Join(failed, err)
		for _, p := range sortedKeys(own) {
			v := own[p]
			if !strings.HasPrefix(v, "/") || !strings.HasPrefix(tree[p], "/") {
				remove(p, true)
			}
			tree[p] = v
		}
	}
	return tree, failed
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// all are the layers, lowest first.
func (s *stack) all() []image.Layer {
	var out []image.Layer
	for i := range s.layers {
		out = append(out, s.layer(i))
	}
	return out
}

// hasAttr reports whether any file beneath dir has the attribute.
func hasAttr(dir, name string) bool {
	found := false
	filepath.WalkDir(dir, func(p string, _ fs.DirEntry, _ error) error {
		if _, err := unix.Lgetxattr(p, name, nil); err == nil {
			found = true
		}
		return nil
	})
	return found
}

// TestOverlayRedirect makes layers with redirects and metacopy files by hand.
func TestOverlayRedirect(t *testing.T) {
	needMounts(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(p, s string) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(p), 0o755))
		must(os.WriteFile(p, []byte(s), 0o644))
	}
	s := newStack(t)
	s.commit(func(d string) {
		write(d+"/usr/lib/a", "a")
		write(d+"/usr/lib/sub/deep/b", "b")
		write(d+"/usr/lib/sub/c", "c")
		write(d+"/etc/conf", "conf")
		must(os.Symlink("a", d+"/usr/lib/link"))
	})
	s.commit(func(d string) {
		write(d+"/usr/lib/middle", "middle")
		must(os.Remove(d + "/usr/lib/sub/c"))
		must(os.Chmod(d+"/etc/conf", 0o600))
	})
	s.commit(func(d string) {
		must(os.Rename(d+"/usr/lib/sub", d+"/usr/lib/beside")) // relative
		must(os.Rename(d+"/usr/lib", d+"/moved"))              // absolute
		write(d+"/moved/own", "own")
		must(os.Remove(d + "/moved/a"))
		must(os.Chown(d+"/etc/conf", 5, 5))
		must(os.Rename(d+"/etc/conf", d+"/etc/renamed"))
	})
	s.commit(func(d string) {
		must(os.Rename(d+"/moved", d+"/usr/again"))
		must(os.Chmod(d+"/usr/again/middle", 0o711))
	})
	top := s.layers[0]
	if !hasAttr(top, "trusted.overlay.redirect") || !hasAttr(top, "trusted.overlay.metacopy") {
		t.Fatal("the kernel made no redirect or metacopy: the test shows nothing")
	}
	want := s.kernel()
	got, err := applied(t, s.all()...)
	must(err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got["/usr/again/beside/deep/b"] != "-rw-r--r-- b" || got["/etc/renamed"] != "-rw------- conf" {
		t.Errorf("got %v", got)
	}

	t.Run("sibling in another layer", func(t *testing.T) {
		err := Walk(context.Background(), s.layer(3), &Stats{}, func(e *Entry) error {
			if e.Path != "/usr/again/middle" {
				return nil
			}
			if b, err := e.Sibling("own", 10); err != nil || string(b) != "own" {
				t.Errorf("got %q, %v", b, err)
			}
			if b, err := e.Sibling("a", 10); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("deleted: got %q, %v", b, err)
			}
			return nil
		})
		must(err)
	})
	t.Run("without the layers below", func(t *testing.T) {
		got, err := applied(t, image.Layer{Dir: top})
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("got %v", err)
		}
		if got["/usr/again/middle"] != "error" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("origin gone", func(t *testing.T) {
		l := s.layer(3)
		l.Lower = []string{s.layers[2]}
		if _, err := applied(t, l); !errors.Is(err, ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("limits", func(t *testing.T) {
		for _, lim := range []dirLimits{{redirects: 0, lookups: 1000, entries: 1000}, {redirects: 1000, lookups: 3, entries: 1000}, {redirects: 1000, lookups: 1000, entries: 4}} {
			l := s.layer(3)
			w := newDirWalker(context.Background(), l.Dir, l.Lower, &Stats{}, func(*Entry) error { return nil })
			w.limits = lim
			if err := w.walk(); !errors.Is(err, ErrLimit) {
				t.Errorf("%+v: got %v", lim, err)
			}
			w.close()
		}
	})
}

// TestOverlayCrafted sets attributes that a kernel does not write, and compares
// with what it makes of them.
func TestOverlayCrafted(t *testing.T) {
	needMounts(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(p, s string) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(p), 0o755))
		must(os.WriteFile(p, []byte(s), 0o644))
	}
	set := func(p, name, value string) {
		t.Helper()
		must(unix.Lsetxattr(p, name, []byte(value), 0))
	}
	base := func(d string) {
		write(d+"/x/a", "a")
		write(d+"/x/y/b", "b")
		write(d+"/z/c", "c")
		must(os.Symlink("/x", d+"/link"))
	}
	for _, tc := range []struct {
		name   string
		layers []func(d string)
		// unsupported is where the layer must be called incomplete.
		unsupported bool
	}{
		{name: "opaque top", layers: []func(string){base, func(d string) { write(d+"/own", "1"); set(d, "trusted.overlay.opaque", "y") }}},
		{name: "user names do not count", layers: []func(string){base, func(d string) { write(d+"/x/own", "1"); set(d+"/x", "user.overlay.opaque", "y") }}},
		{name: "opaque before redirect", layers: []func(string){base, func(d string) {
			write(d+"/n/own", "1")
			set(d+"/n", "trusted.overlay.opaque", "y")
			set(d+"/n", "trusted.overlay.redirect", "x")
		}}},
		{name: "two to one origin", layers: []func(string){base, func(d string) {
			write(d+"/n1/own", "1")
			write(d+"/n2/own", "1")
			set(d+"/n1", "trusted.overlay.redirect", "x")
			set(d+"/n2", "trusted.overlay.redirect", "/x/y")
		}}},
		{name: "redirect of a redirect", layers: []func(string){base,
			func(d string) { write(d+"/n/own", "1"); set(d+"/n", "trusted.overlay.redirect", "/x") },
			func(d string) { write(d+"/x/more", "2") },
			func(d string) { write(d+"/o/p/own", "3"); set(d+"/o/p", "trusted.overlay.redirect", "/n/y") }}},
		{name: "opaque in the middle", layers: []func(string){base,
			func(d string) { write(d+"/x/new", "1"); set(d+"/x", "trusted.overlay.opaque", "y") },
			func(d string) { write(d+"/n/own", "3"); set(d+"/n", "trusted.overlay.redirect", "x") }}},
		{name: "whiteout in the middle", layers: []func(string){base,
			func(d string) { must(unix.Mknod(d+"/x", unix.S_IFCHR, 0)) },
			func(d string) { write(d+"/x/new", "1") },
			func(d string) { write(d+"/n/own", "3"); set(d+"/n", "trusted.overlay.redirect", "x") }}},
		{name: "file in the middle", layers: []func(string){base,
			func(d string) { write(d+"/x", "file") },
			func(d string) { write(d+"/x/new", "1") },
			func(d string) { write(d+"/n/own", "3"); set(d+"/n", "trusted.overlay.redirect", "x") }}},
		{name: "through a link", unsupported: true, layers: []func(string){base,
			func(d string) { write(d+"/n/own", "3"); set(d+"/n", "trusted.overlay.redirect", "/link/y") }}},
		{name: "nowhere", unsupported: true, layers: []func(string){base,
			func(d string) { write(d+"/n/own", "3"); set(d+"/n", "trusted.overlay.redirect", "/none") }}},
		{name: "attribute whiteouts", layers: []func(string){base,
			func(d string) {
				write(d+"/x/a", "")
				set(d+"/x", "trusted.overlay.opaque", "x")
				set(d+"/x/a", "trusted.overlay.whiteout", "")
				write(d+"/x/full", "not empty")
				set(d+"/x/full", "trusted.overlay.whiteout", "")
			},
			func(d string) { write(d+"/n/own", "3"); set(d+"/n", "trusted.overlay.redirect", "x") }}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStack(t)
			for i, l := range tc.layers {
				dir := filepath.Join(s.root, fmt.Sprint(i))
				must(os.Mkdir(dir, 0o755))
				l(dir)
				s.layers = append([]string{dir}, s.layers...)
			}
			got, err := applied(t, s.all()...)
			if tc.unsupported {
				if !errors.Is(err, ErrUnsupported) {
					t.Errorf("got %v", err)
				}
			} else if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(s.kernel(), got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("long redirect behind many attributes", func(t *testing.T) {
		s := newStack(t)
		long := strings.Repeat("d", 200)
		write(s.root+"/0/"+long+"/"+long+"/f", "1")
		write(s.root+"/1/n/own", "2")
		for i := range 40 {
			set(s.root+"/1/n", fmt.Sprintf("user.attribute.of.no.meaning.%d", i), "x")
		}
		set(s.root+"/1/n", "trusted.overlay.redirect", "/"+long+"/"+long)
		s.layers = []string{s.root + "/1", s.root + "/0"}
		got, err := applied(t, s.all()...)
		must(err)
		if diff := cmp.Diff(s.kernel(), got); diff != "" {
			t.Error(diff)
		}
	})
	for name, value := range map[string]string{"redirect": "../x", "metacopy": "\x01"} {
		t.Run("refused "+name, func(t *testing.T) {
			s := newStack(t)
			write(s.root+"/0/f/g", "")
			set(s.root+"/0/f", "trusted.overlay."+name, value)
			set(s.root+"/0/f/g", "trusted.overlay."+name, value)
			if _, err := applied(t, image.Layer{Dir: s.root + "/0"}); !errors.Is(err, ErrUnsupported) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("digest of the data", func(t *testing.T) {
		s := newStack(t)
		write(s.root+"/0/f", "data")
		write(s.root+"/1/f", "")
		must(os.Truncate(s.root+"/1/f", 4))
		set(s.root+"/1/f", "trusted.overlay.metacopy", "\x00\x24\x00\x01"+strings.Repeat("d", 32))
		s.layers = []string{s.root + "/1", s.root + "/0"}
		got, err := applied(t, s.layer(1))
		must(err)
		if diff := cmp.Diff(map[string]string{"/f": "-rw-r--r-- data"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestRootless reads the forms of engines that are not root: theirs are the
// "user" names, and files in the form of the tar format.
func TestRootless(t *testing.T) {
	needMounts(t)
	s := newStack(t)
	root := filepath.Join(s.root, "store", "diff")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"user", "fuse", "file"} {
		must(os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(os.Chown(filepath.Dir(root), 1000, 1000))
	must(unix.Setxattr(filepath.Join(root, "user"), "user.overlay.opaque", []byte("y"), 0))
	must(unix.Setxattr(filepath.Join(root, "fuse"), "user.fuseoverlayfs.opaque", []byte("y"), 0))
	for _, f := range []string{"file/.wh..wh..opq", ".wh.gone", ".wh..wh.orph", ".wh..", ".wh."} {
		must(os.WriteFile(filepath.Join(root, f), nil, 0o644))
	}
	got, err := seen(t, image.Layer{Dir: root})
	must(err)
	want := []string{"!/gone", "%/file", "%/fuse", "%/user", "/file/", "/fuse/", "/user/"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestOverlayRandom changes mounts at random and compares what their layers
// say with what the kernel shows.
func TestOverlayRandom(t *testing.T) {
	needMounts(t)
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	redirects := 0
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 7))
			s := newStack(t)
			for range 2 + rnd.IntN(4) {
				s.commit(func(d string) {
					if len(s.layers) == 0 {
						for _, p := range []string{"a/b/c", "b/a/c", "c/a/a", "a/c/b"} {
							os.MkdirAll(filepath.Join(d, path.Dir(p)), 0o755)
							os.WriteFile(filepath.Join(d, p), []byte(p), 0o644)
						}
					}
					for range 3 + rnd.IntN(12) {
						change(rnd, d)
					}
				})
				if hasAttr(s.layers[0], "trusted.overlay.redirect") {
					redirects++
				}
			}
			got, err := applied(t, s.all()...)
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(s.kernel(), got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if redirects < rounds/4 {
		t.Errorf("only %d layers with redirects: the test shows little", redirects)
	}
}

// change does one random thing; much of it is refused, which is fine.
func change(rnd *rand.Rand, root string) {
	at := func() string {
		p := ""
		for range 1 + rnd.IntN(3) {
			p = path.Join(p, []string{"a", "b", "c", "\xe9"}[rnd.IntN(4)])
		}
		return filepath.Join(root, p)
	}
	p := at()
	switch rnd.IntN(12) {
	case 0, 1:
		os.MkdirAll(p, 0o755)
	case 2, 3:
		os.MkdirAll(filepath.Dir(p), 0o755)
		os.WriteFile(p, fmt.Append(nil, rnd.Uint32()), 0o644)
	case 4, 5, 6, 7:
		os.Rename(p, at())
	case 8:
		os.Chmod(p, fs.FileMode(0o700|rnd.IntN(0o100)))
	case 9:
		os.Lchown(p, rnd.IntN(9), rnd.IntN(9))
	case 10:
		os.RemoveAll(p)
	case 11:
		if rnd.IntN(2) == 0 {
			os.Link(p, at())
		} else {
			os.Symlink("x", p)
		}
	}
}
