package overlay

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// perMount is how many stacks share one temporary file system.
const perMount = 250

// TestMergeAgainstKernel unpacks each layer with system calls into a directory
// of its own, and mounts the directories as an overlay. What the mount shows
// must be what Merge says, of the tars and of the directories.
func TestMergeAgainstKernel(t *testing.T) {
	t.Parallel()
	needMounts(t)
	p := newPipeline(t)
	root := t.TempDir()
	// The chroot below is of this thread alone, which ends with the test.
	errs, seed := make(chan error), first(t)
	go func() {
		runtime.LockOSThread()
		errs <- func() error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
			total, files, refused := stacks(200), 0, 0
			for done := 0; done < total; {
				n, f, r, err := batch(p, root, &seed, min(perMount, total-done))
				if err != nil {
					return err
				}
				done, files, refused = done+n, files+f, refused+r
			}
			t.Logf("%d stacks, %d files alike; %d stacks that no engine unpacks", total, files, refused)
			return nil
		}()
	}()
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
}

// needMounts skips the test where overlay file systems cannot be mounted. In
// CI they must be.
func needMounts(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m")
	if err == nil {
		unix.Unmount(dir, 0)
		return
	}
	if os.Getenv("REQUIRE_RUNTIMES") != "" {
		t.Fatal("cannot mount: ", err)
	}
	t.Skip("cannot mount: ", err)
}

// batch compares n stacks on one temporary file system.
func batch(p *pipeline, root string, seed *int, n int) (same, files, refused int, err error) {
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=512m,nr_inodes=0"); err != nil {
		return 0, 0, 0, fmt.Errorf("mount: %w", err)
	}
	defer unix.Unmount(root, unix.MNT_DETACH)
	at := filepath.Join(root, "merged")
	if err := os.Mkdir(at, 0o755); err != nil {
		return 0, 0, 0, err
	}
	for same < n {
		s := *seed
		*seed++
		layers := randomStack(rand.New(rand.NewPCG(uint64(s), 2)))
		dirs, refusal, err := unpackAll(filepath.Join(root, fmt.Sprint(s)), layers)
		if err != nil {
			return 0, 0, 0, fmt.Errorf("seed %d: %w\n%s", s, err, describe(layers))
		}
		var tars [][]byte
		for _, l := range layers {
			tars = append(tars, tarOf(p.t, l))
		}
		got, complete := p.merged(blobs(tars))
		if refusal != nil {
			if refused++; complete {
				return 0, 0, 0, fmt.Errorf("seed %d: cannot be unpacked (%w), and is called complete\n%s", s, refusal, describe(layers))
			}
			continue
		}
		same++
		want, err := mounted(at, dirs)
		if err != nil {
			return 0, 0, 0, fmt.Errorf("seed %d: %w\n%s", s, err, describe(layers))
		}
		files += len(want)
		if diff := compare(want, got); diff != "" || !complete {
			return 0, 0, 0, fmt.Errorf("seed %d, tars, complete %v:\n%s%s", s, complete, diff, describe(layers))
		}
		got, complete = p.merged(places(dirs))
		if diff := compare(want, got); diff != "" || !complete {
			return 0, 0, 0, fmt.Errorf("seed %d, directories, complete %v:\n%s%s", s, complete, diff, describe(layers))
		}
	}
	return same, files, refused, nil
}

// places are layers as an engine's directories.
func places(dirs []string) []image.Layer {
	out := make([]image.Layer, len(dirs))
	for i, d := range dirs {
		// Reports are made anew for each: no cache, so that the id is free.
		out[i] = image.Layer{DiffID: image.DigestOf([]byte(d)), Dir: d}
		for j := i - 1; j >= 0; j-- {
			out[i].Lower = append(out[i].Lower, dirs[j])
		}
	}
	return out
}

// mounted is what an overlay of the directories shows.
func mounted(at string, dirs []string) (map[string]string, error) {
	lower := ""
	for _, d := range dirs {
		lower = ":" + d + lower
	}
	if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+lower[1:]); err != nil {
		return nil, fmt.Errorf("mount overlay: %w", err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	out := map[string]string{}
	err := filepath.WalkDir(at, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		out[report.ValidPath(strings.TrimPrefix(p, at))] = string(b)
		return err
	})
	return out, err
}

// unpackAll unpacks layers beneath root. refused is why one cannot be.
func unpackAll(root string, layers [][]item) (dirs []string, refused, err error) {
	old, err := os.Open("/")
	if err != nil {
		return nil, nil, err
	}
	defer old.Close()
	for i, l := range layers {
		dir := filepath.Join(root, fmt.Sprint(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, nil, err
		}
		dirs = append(dirs, dir)
		if err := unix.Chroot(dir); err != nil {
			return nil, nil, err
		}
		if err := unix.Chdir("/"); err != nil {
			return nil, nil, err
		}
		refused := unpackHere(l)
		err := errors.Join(unix.Fchdir(int(old.Fd())), unix.Chroot("."))
		if err != nil || refused != nil {
			return nil, refused, err
		}
	}
	return dirs, nil, nil
}

// Marks of what a layer deletes, until it is unpacked: attributes of the
// directory, so that they go with it. A whiteout has its say about the layers
// below wherever it stands among the entries of its own.
const deletedMark = "trusted.deleted."

// unpackHere unpacks a layer into the root of this thread, as engines do.
func unpackHere(layer []item) error {
	for _, it := range layer {
		dir, base := path.Split(path.Clean("/" + it.name))
		dir, err := resolve(dir)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		p := path.Join(dir, base)
		target, err := resolve(path.Dir(path.Clean("/" + it.link)))
		if err != nil && it.kind == tar.TypeLink {
			return err
		}
		target = path.Join(target, path.Base(it.link))
		if base == ".wh..wh..opq" {
			if err := unix.Setxattr(dir, "trusted.overlay.opaque", []byte("y"), 0); err != nil {
				return err
			}
			continue
		}
		if name, ok := strings.CutPrefix(base, ".wh."); ok {
			if err := unix.Setxattr(dir, deletedMark+name, nil, 0); err != nil {
				return err
			}
			continue
		}
		fi, err := os.Lstat(p)
		if err == nil && it.kind == tar.TypeLink {
			// To itself, by whatever name.
			if to, err := os.Lstat(target); err == nil && os.SameFile(fi, to) {
				continue
			}
		}
		if err == nil && !(fi.IsDir() && it.kind == tar.TypeDir) && it.kind != tar.TypeLink {
			if err := os.RemoveAll(p); err != nil {
				return err
			}
		}
		switch it.kind {
		case tar.TypeDir:
			err = os.Mkdir(p, 0o755)
			if errors.Is(err, fs.ErrExist) {
				err = nil
			}
		case tar.TypeSymlink:
			err = os.Symlink(it.link, p)
		case tar.TypeChar:
			err = unix.Mknod(p, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3)))
		case tar.TypeLink:
			// The target may lie in what the link replaces.
			const aside = "/.aside"
			if err = os.Link(target, aside); err == nil {
				if err = os.RemoveAll(p); err == nil {
					err = os.Rename(aside, p)
				}
				os.Remove(aside)
			}
		default:
			err = os.WriteFile(p, []byte(it.data), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return filepath.WalkDir("/", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return markWhiteouts(p)
	})
}

// markWhiteouts turns the marks of a directory into the kernel's whiteouts.
func markWhiteouts(dir string) error {
	list := make([]byte, 4096)
	n, err := unix.Listxattr(dir, list)
	if err != nil {
		return err
	}
	for attr := range strings.SplitSeq(string(list[:n]), "\x00") {
		name, ok := strings.CutPrefix(attr, deletedMark)
		if !ok {
			continue
		}
		if err := unix.Removexattr(dir, attr); err != nil {
			return err
		}
		p := path.Join(dir, name)
		switch fi, err := os.Lstat(p); {
		case err != nil:
			err = unix.Mknod(p, unix.S_IFCHR, 0)
			if err != nil {
				return err
			}
		case fi.IsDir():
			if err := unix.Setxattr(p, "trusted.overlay.opaque", []byte("y"), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve is the directory that dir leads to, without links. Where one leads
// through what is missing, engines go on by name.
func resolve(dir string) (string, error) {
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
		return filepath.EvalSymlinks(dir)
	}
	cur, rest := "/", strings.Split(dir, "/")
	for links := 0; len(rest) > 0; {
		elem := rest[0]
		rest = rest[1:]
		next := path.Join(cur, elem)
		fi, err := os.Lstat(next)
		switch {
		case err != nil || fi.IsDir():
			cur = next
		case fi.Mode()&fs.ModeSymlink == 0:
			return "", unix.ENOTDIR
		default:
			if links++; links > 40 {
				return "", unix.ELOOP
			}
			to, err := os.Readlink(next)
			if err != nil {
				return "", err
			}
			if path.IsAbs(to) {
				cur = "/"
			}
			rest = append(strings.Split(to, "/"), rest...)
		}
	}
	return cur, nil
}
