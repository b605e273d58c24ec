package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Attributes of overlayfs (kernel documentation, filesystems/overlayfs). The
// "user" names are those of unprivileged mounts.
var (
	opaqueAttrs   = []string{"trusted.overlay.opaque", "user.overlay.opaque"}
	redirectAttrs = []string{"trusted.overlay.redirect", "user.overlay.redirect"}
	metacopyAttrs = []string{"trusted.overlay.metacopy", "user.overlay.metacopy"}
)

// direntBatch is how many directory entries are read at a time.
const direntBatch = 512

type dirWalker struct {
	ctx     context.Context
	stats   *Stats
	visit   Visitor
	entries int
	names   int // bytes
}

func walkDir(ctx context.Context, root string, stats *Stats, visit Visitor) error {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open layer directory: %w", &fs.PathError{Op: "open", Path: root, Err: err})
	}
	w := &dirWalker{ctx: ctx, stats: stats, visit: visit}
	return w.dir(os.NewFile(uintptr(fd), root), "/", 0)
}

// dir visits what is in the directory f, and closes it.
func (w *dirWalker) dir(f *os.File, at string, depth int) error {
	defer f.Close()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("%w: directories deeper than %d", ErrLimit, maxDepth)
	}
	if err := w.attributes(f, at); err != nil {
		return err
	}
	for {
		ents, err := f.ReadDir(direntBatch)
		for _, e := range ents {
			if w.entries++; w.entries > maxEntries {
				return fmt.Errorf("%w: more than %d entries", ErrLimit, maxEntries)
			}
			if err := w.entry(f, e, path.Join(at, e.Name()), depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(ents) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read directory %s: %w", at, err)
		}
	}
}

// attributes looks for the overlay attributes of a directory.
func (w *dirWalker) attributes(f *os.File, at string) error {
	fd := int(f.Fd())
	n, err := unix.Flistxattr(fd, nil)
	if err != nil || n == 0 {
		return nil // no attributes, or a file system without them
	}
	for _, a := range redirectAttrs {
		if _, err := unix.Fgetxattr(fd, a, nil); err == nil {
			return fmt.Errorf("%w: directory %s is redirected (overlay redirect_dir)", ErrUnsupported, at)
		}
	}
	var v [4]byte
	for _, a := range opaqueAttrs {
		if n, err := unix.Fgetxattr(fd, a, v[:]); err == nil && n == 1 && v[0] == 'y' {
			return w.visit(&Entry{Kind: Opaque, Path: at})
		}
	}
	return nil
}

func (w *dirWalker) entry(dir *os.File, e fs.DirEntry, p string, depth int) error {
	if len(p) > maxPath {
		return fmt.Errorf("%w: a path longer than %d bytes", ErrLimit, maxPath)
	}
	if w.names += len(p); w.names > maxNames {
		return fmt.Errorf("%w: names of more than %d bytes", ErrLimit, maxNames)
	}
	name := e.Name()
	switch t := e.Type(); {
	case t.IsDir():
		if err := w.visit(&Entry{Kind: Dir, Path: p}); err != nil {
			return err
		}
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open directory %s: %w", p, err)
		}
		return w.dir(os.NewFile(uintptr(fd), name), p, depth+1)
	case t&fs.ModeSymlink != 0:
		target, err := readlinkAt(dir, name)
		if err != nil {
			return fmt.Errorf("read link %s: %w", p, err)
		}
		return w.visit(&Entry{Kind: Symlink, Path: p, Target: target})
	case t&fs.ModeCharDevice != 0:
		var st unix.Stat_t
		if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("stat %s: %w", p, err)
		}
		if st.Rdev == 0 {
			return w.visit(&Entry{Kind: Whiteout, Path: p})
		}
		return w.visit(&Entry{Kind: Other, Path: p})
	case t.IsRegular():
		return w.visit(&Entry{
			Kind: File, Path: p,
			Info: &dirInfo{dir: dir, name: name},
			open: func() (*Content, error) { return w.open(dir, name) },
			sib:  func(sibling string, max int64) ([]byte, error) { return w.sibling(dir, sibling, max) },
		})
	default:
		return w.visit(&Entry{Kind: Other, Path: p})
	}
}

// open opens a regular file beneath dir, never following a link and never
// waiting for a pipe.
func (w *dirWalker) open(dir *os.File, name string) (*Content, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		f.Close()
		return nil, fmt.Errorf("open: not a regular file any more")
	}
	for _, a := range metacopyAttrs {
		if _, err := unix.Fgetxattr(fd, a, nil); err == nil {
			f.Close()
			return nil, fmt.Errorf("%w: the data of the file is in a lower layer (overlay metacopy)", ErrUnsupported)
		}
	}
	w.stats.FilesOpened.Add(1)
	return &Content{ReaderAt: &countedReaderAt{f, &w.stats.BytesRead}, Size: st.Size, close: f.Close}, nil
}

func (w *dirWalker) sibling(dir *os.File, name string, max int64) ([]byte, error) {
	if name != path.Base(name) || name == "." || name == ".." {
		return nil, fs.ErrNotExist
	}
	c, err := w.open(dir, name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if c.Size > max {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrLimit, name, c.Size)
	}
	return io.ReadAll(io.NewSectionReader(c, 0, c.Size))
}

func readlinkAt(dir *os.File, name string) (string, error) {
	buf := make([]byte, maxPath)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// dirInfo asks the kernel only when somebody wants to know.
type dirInfo struct {
	dir  *os.File
	name string
	done bool
	st   unix.Stat_t
}

func (i *dirInfo) stat() *unix.Stat_t {
	if !i.done {
		i.done = true
		if err := unix.Fstatat(int(i.dir.Fd()), i.name, &i.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			i.st = unix.Stat_t{} // gone: size 0, mode 0
		}
	}
	return &i.st
}

func (i *dirInfo) Name() string       { return i.name }
func (i *dirInfo) Size() int64        { return i.stat().Size }
func (i *dirInfo) ModTime() time.Time { return time.Unix(i.stat().Mtim.Unix()) }
func (i *dirInfo) IsDir() bool        { return false }
func (i *dirInfo) Sys() any           { return nil }
func (i *dirInfo) Mode() fs.FileMode {
	m := i.stat().Mode
	out := fs.FileMode(m & 0o777)
	if m&unix.S_ISUID != 0 {
		out |= fs.ModeSetuid
	}
	if m&unix.S_ISGID != 0 {
		out |= fs.ModeSetgid
	}
	return out
}

var _ fs.FileInfo = (*dirInfo)(nil)
