package layer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// dirFile is a regular file of a directory.
type dirFile struct {
	w    *dirWalker
	dir  int
	name string
	path string
	// folder is where the merged view has the file.
	folder *folder
}

func (f *dirFile) open() (*Content, error) {
	c, a, err := f.w.openAt(f.dir, f.name)
	if err != nil || !a.metacopy {
		return c, err
	}
	c.Close()
	c, err = f.w.data(f.folder, f.name)
	if err != nil {
		f.w.unsupportedAt(f.path, err)
	}
	return c, err
}

func (f *dirFile) stream() (io.ReadCloser, error) {
	c, err := f.open()
	if err != nil {
		return nil, err
	}
	return c.stream(), nil
}

func (f *dirFile) sibling(name string, max int64) ([]byte, error) {
	if name == "" || name != path.Base(name) || name == "." || name == ".." {
		return nil, fs.ErrNotExist
	}
	g := *f
	g.name, g.path = name, path.Join(path.Dir(f.path), name)
	if f.folder.fd < 0 {
		// It may lie in another layer than f.
		found, err := f.w.look(f.folder.stack, name)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fs.ErrNotExist
		}
		if g.dir, err = f.w.openPlace(place{found[0].layer, parentOf(found[0].path)}); err != nil {
			return nil, err
		}
		defer unix.Close(g.dir)
	}
	c, err := g.open()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if c.Size > max {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrLimit, name, c.Size)
	}
	return io.ReadAll(io.NewSectionReader(c, 0, c.Size))
}

// openAt opens a regular file beneath dir, never following a link and never
// waiting for a pipe.
func (w *dirWalker) openAt(dir int, name string) (*Content, attrs, error) {
	fd, err := w.openFD(dir, name, unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, attrs{}, fmt.Errorf("open: %w", err)
	}
	f := &fdFile{name: name}
	f.fd.Store(int64(fd))
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		f.Close()
		return nil, attrs{}, fmt.Errorf("open: not a regular file any more")
	}
	a, err := w.attributes(fd)
	if err != nil {
		f.Close()
		return nil, attrs{}, fmt.Errorf("open: %w", err)
	}
	w.stats.FilesOpened.Add(1)
	return &Content{ReaderAt: &countedReaderAt{f, &w.stats.BytesRead}, Size: st.Size, close: f.Close}, a, nil
}

// fdFile is an open file. os.File costs as much again as opening does: it asks the
// poller whether the file can be waited for, and has a finalizer.
type fdFile struct {
	name string
	fd   atomic.Int64 // -1 when closed
}

// ReadAt implements io.ReaderAt.
func (f *fdFile) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: unix.EINVAL}
	}
	for n < len(p) {
		fd := f.fd.Load()
		if fd < 0 {
			return n, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrClosed}
		}
		k, err := unix.Pread(int(fd), p[n:], off+int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return n, &fs.PathError{Op: "read", Path: f.name, Err: err}
		case k == 0:
			return n, io.EOF
		}
		n += k
	}
	return n, nil
}

// Close closes the file, which nobody reads any more.
func (f *fdFile) Close() error {
	fd := f.fd.Swap(-1)
	if fd < 0 {
		return fs.ErrClosed
	}
	return unix.Close(int(fd))
}

// attrWhiteout reports whether a regular file is a whiteout by attribute.
func (w *dirWalker) attrWhiteout(dir int, name string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	if st.Size != 0 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false, nil
	}
	c, a, err := w.openAt(dir, name)
	if err != nil {
		return false, err
	}
	c.Close()
	return a.whiteout, nil
}

// openFD opens a file or directory for reading, without leaving a trace: a
// time of access would have to be written. Only its owner may ask for that, or
// root.
func (w *dirWalker) openFD(dir int, name string, flags int) (int, error) {
	flags |= unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, name, flags|w.noatime, 0)
	if errors.Is(err, unix.EPERM) && w.noatime != 0 {
		w.noatime = 0
		fd, err = unix.Openat(dir, name, flags, 0)
	}
	return fd, err
}

// dirInfo asks the kernel only when somebody wants to know.
type dirInfo struct {
	dir    int
	name   string
	folder bool // a directory
	root   rootID
	done   bool
	st     unix.Stat_t
}

func (i *dirInfo) stat() *unix.Stat_t {
	if !i.done {
		i.done = true
		if err := unix.Fstatat(i.dir, i.name, &i.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			i.st = unix.Stat_t{} // gone: size 0, mode 0
		}
	}
	return &i.st
}

func (i *dirInfo) Name() string       { return i.name }
func (i *dirInfo) Size() int64        { return i.stat().Size }
func (i *dirInfo) ModTime() time.Time { return time.Unix(i.stat().Mtim.Unix()) }
func (i *dirInfo) IsDir() bool        { return i.folder }

// Sys is a *unix.Stat_t.
func (i *dirInfo) Sys() any { return i.stat() }
func (i *dirInfo) Mode() fs.FileMode {
	m := i.stat().Mode
	out := fs.FileMode(m & 0o777)
	if m&unix.S_ISUID != 0 {
		out |= fs.ModeSetuid
	}
	if m&unix.S_ISGID != 0 {
		out |= fs.ModeSetgid
	}
	if m&unix.S_ISVTX != 0 {
		out |= fs.ModeSticky
	}
	if i.folder {
		out |= fs.ModeDir
	}
	return out
}

// Owner is the owner and group within the image, -1 where the numbers of this
// host do not tell.
func (i *dirInfo) Owner() (uid, gid int) {
	st := i.stat()
	if st.Mode == 0 {
		return unknownID, unknownID // gone
	}
	o := i.root.owner(st)
	return o.uid, o.gid
}

var _ fs.FileInfo = (*dirInfo)(nil)
