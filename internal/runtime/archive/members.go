package archive

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxMembers bounds a tar's members. An image of 500 layers in the old
	// docker form has 1,500.
	maxMembers = 100_000
	// maxNamesBytes bounds the names and link targets kept of one tar.
	maxNamesBytes = 16 << 20
	// maxLinks bounds a chain of links between members.
	maxLinks = 8
)

// A member is the content of one file of an archive. Close gives back what
// Open took.
type member struct {
	*io.SectionReader
	close func() error
}

func (m member) Close() error {
	if m.close == nil {
		return nil
	}
	return m.close()
}

// members are the files of an archive by clean, slash-separated name. Both
// implementations are safe for concurrent use. An absent member is a
// fault.NotFound error.
type members interface {
	open(name string) (member, error)
	close() error
}

// dirMembers are files below a directory; links out of it do not resolve.
type dirMembers struct{ root *os.Root }

func openDir(dir string) (*dirMembers, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, openFault(err, dir)
	}
	return &dirMembers{root}, nil
}

func (d *dirMembers) open(name string) (member, error) {
	// Non-blocking, so that a FIFO does not hold us up.
	f, err := d.root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return member{}, fault.New(fault.NotFound, "%s is not in %s", name, d.root.Name())
	}
	if err != nil {
		return member{}, fault.New(fault.Invalid, "%s in %s: %w", name, d.root.Name(), err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fault.New(fault.Invalid, "%s in %s is no regular file", name, d.root.Name())
	}
	if err != nil {
		f.Close()
		return member{}, err
	}
	return member{io.NewSectionReader(f, 0, fi.Size()), f.Close}, nil
}

func (d *dirMembers) close() error { return d.root.Close() }

// tarMembers are the members of a tar, found by offset.
type tarMembers struct {
	f     *os.File
	index map[string]tarMember
}

type tarMember struct {
	offset, size int64
	link         string // clean name of another member, "" for a file
	twice        bool
	other        bool // neither file nor link, or stored in pieces
}

func openTar(ctx context.Context, file string) (*tarMembers, error) {
	fi, err := os.Stat(file)
	if err != nil {
		return nil, openFault(err, file)
	}
	if !fi.Mode().IsRegular() {
		return nil, fault.New(fault.Invalid, "%s is no regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, openFault(err, file)
	}
	t := &tarMembers{f: f, index: map[string]tarMember{}}
	if err := t.scan(ctx, fi.Size()); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

// scan goes over the headers. tar.Reader seeks over what lies between.
func (t *tarMembers) scan(ctx context.Context, size int64) error {
	file := t.f.Name()
	var head [4]byte
	if n, _ := t.f.ReadAt(head[:], 0); n == len(head) {
		if c := compression(head[:]); c != "" {
			return fault.New(fault.Invalid, "%s is compressed with %s as a whole: decompress it first, layers are found by their offsets", file, c)
		}
	}
	names := 0
	tr := tar.NewReader(t.f)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fault.New(fault.Invalid, "read the archive %s: %w", file, err)
		}
		at, err := t.f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		name, err := cleanName(h.Name)
		if err != nil {
			return fault.New(fault.Invalid, "%s: %w", file, err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if len(t.index) >= maxMembers {
			return fault.New(fault.TooLarge, "%s has more than %d members", file, maxMembers)
		}
		if names += len(h.Name) + len(h.Linkname); names > maxNamesBytes {
			return fault.New(fault.TooLarge, "%s has names of more than %d bytes", file, maxNamesBytes)
		}
		m := tarMember{offset: at, size: h.Size}
		switch h.Typeflag {
		case tar.TypeReg:
			if m.other = sparse(h); !m.other && h.Size > size-at {
				return fault.New(fault.Invalid, "%s is cut off in %s", file, name)
			}
		case tar.TypeSymlink:
			m.link, err = cleanName(path.Join(path.Dir(name), h.Linkname))
		case tar.TypeLink:
			m.link, err = cleanName(h.Linkname)
		default:
			m.other = true
		}
		if err != nil || path.IsAbs(h.Linkname) {
			m = tarMember{other: true} // leads out; an error if it is asked for
		}
		_, m.twice = t.index[name]
		t.index[name] = m
	}
	if len(t.index) == 0 {
		return fault.New(fault.Invalid, "%s is no tar archive, or an empty one", file)
	}
	return nil
}

func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func (t *tarMembers) open(name string) (member, error) {
	asked := name
	for range maxLinks {
		m, ok := t.index[name]
		switch {
		case !ok && name != asked:
			return member{}, fault.New(fault.NotFound, "%s in %s is a link to %s, which is not there", asked, t.f.Name(), name)
		case !ok:
			return member{}, fault.New(fault.NotFound, "%s is not in %s", asked, t.f.Name())
		case m.twice:
			// Programs differ in whether the first or the last counts.
			return member{}, fault.New(fault.Invalid, "%s is in %s more than once", name, t.f.Name())
		case m.other:
			return member{}, fault.New(fault.Invalid, "%s in %s is no plain file", name, t.f.Name())
		case m.link == "":
			return member{SectionReader: io.NewSectionReader(t.f, m.offset, m.size)}, nil
		}
		name = m.link
	}
	return member{}, fault.New(fault.Invalid, "%s in %s is a link that goes over more than %d others", asked, t.f.Name(), maxLinks)
}

func (t *tarMembers) close() error { return t.f.Close() }

// cleanName is a member's name without "./" and the like. A name that leads
// out of the archive is an error.
func cleanName(name string) (string, error) {
	clean := path.Clean(name)
	if !fs.ValidPath(clean) {
		return "", fault.New(fault.Invalid, "the name %q leads out of the archive", name)
	}
	return clean, nil
}

func openFault(err error, what string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, "%s: no such file or directory", what)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Forbidden, "%s: permission denied", what)
	}
	return fault.New(fault.Invalid, "open %s: %w", what, err)
}
