package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// ErrDeferred is what Open returns for a hard link whose content went by
// earlier in the stream. Walk shows the entry again, with its content, when
// the rest of the layer has been read.
var ErrDeferred = errors.New("content of a hard link comes later")

// maxSparse is the largest sparse file that is opened, and maxHoles how much of
// them is read in one layer: holes cost a tar nothing.
const (
	maxSparse = 256 << 20
	maxHoles  = 4 << 30
)

// maxRecent bounds the contents that are kept for hard links to come: links
// mostly follow their target closely, and reading the stream again for their
// sake costs as much as the layer.
const maxRecent = 16 << 20

// blobFile is a regular file of a stream.
type blobFile struct {
	w *blobWalker
	// r is where the content goes by; nil for a hard link, which is called
	// link.
	r    io.Reader
	size int64
	link string
	// content is the entry that has it.
	content int32
	sparse  bool
	// opened is what is open already, err why it is not.
	opened *Content
	err    error
	// direct is set while the content is read by offset, ahead of r.
	direct *direct
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func (f *blobFile) sibling(string, int64) ([]byte, error) { return nil, fs.ErrNotExist }

// open reads the present file, to memory if it fits.
func (f *blobFile) open() (*Content, error) {
	switch {
	case f.err != nil:
		return nil, f.err
	case f.opened != nil:
		return &Content{ReaderAt: f.opened.ReaderAt, Size: f.opened.Size}, nil
	case f.r == nil && f.content == 0:
		return nil, fmt.Errorf("hard link to a file that is not in the layer: %w", fs.ErrNotExist)
	case f.r == nil:
		for _, c := range f.w.recent {
			if c.n == f.content {
				return &Content{ReaderAt: bytes.NewReader(c.b), Size: int64(len(c.b))}, nil
			}
		}
		f.w.links[f.content] = append(f.w.links[f.content], f.link)
		return nil, ErrDeferred
	case f.size > maxContent:
		return nil, fmt.Errorf("%w: file of %d bytes", ErrLimit, f.size)
	}
	if err := f.checkHoles(); err != nil {
		return nil, err
	}
	f.w.stats.FilesOpened.Add(1)
	if at := f.w.stream.at; at != nil && f.size > min(maxCopied, f.w.opts.Memory) && !f.sparse {
		f.direct = newDirect(at, f.w.stream.n, f.size, f.w.stats)
		return &Content{ReaderAt: f.direct, Size: f.size}, nil
	}
	if f.size > f.w.opts.Memory {
		if f.w.opts.Spool != nil {
			return spoolTo(f.w.opts.Spool, f.r)
		}
		return spool(f.r)
	}
	var buf bytes.Buffer
	buf.Grow(int(min(f.size, 1<<20)) + bytes.MinRead)
	if _, err := buf.ReadFrom(f.r); err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	f.w.remember(f.content, buf.Bytes())
	return &Content{ReaderAt: bytes.NewReader(buf.Bytes()), Size: int64(buf.Len())}, nil
}

// checkHoles refuses what costs the layer nothing and the reader much.
func (f *blobFile) checkHoles() error {
	if !f.sparse {
		return nil
	}
	if f.size > maxSparse {
		return fmt.Errorf("%w: sparse file of %d bytes", ErrLimit, f.size)
	}
	if f.w.holes += f.size; f.w.holes > maxHoles {
		return fmt.Errorf("%w: sparse files of more than %d bytes", ErrLimit, int64(maxHoles))
	}
	return nil
}

// stream reads the present file as it goes by.
func (f *blobFile) stream() (io.ReadCloser, error) {
	if f.err != nil || f.opened != nil || f.r == nil {
		c, err := f.open()
		if err != nil {
			return nil, err
		}
		return c.stream(), nil
	}
	if err := f.checkHoles(); err != nil {
		return nil, err
	}
	f.w.stats.FilesOpened.Add(1)
	return io.NopCloser(f.r), nil
}

// settle is called when the file was shown, before the stream goes on.
func (f *blobFile) settle() error {
	if f.direct == nil {
		return nil
	}
	return f.direct.settle(f.r)
}

// remember keeps a content for hard links, in place of the oldest.
func (w *blobWalker) remember(n int32, b []byte) {
	limit := int(min(maxRecent, w.opts.Memory))
	if cap(b) > limit/2 {
		return
	}
	w.recent = append(w.recent, recentFile{n, b})
	for w.recentBytes += cap(b); w.recentBytes > limit; w.recent = w.recent[1:] {
		w.recentBytes -= cap(w.recent[0].b)
	}
}

// spool copies r to a temporary file that has no name and goes with its
// descriptor.
func spool(r io.Reader) (*Content, error) {
	f, err := os.CreateTemp("", "onceover-*")
	if err != nil {
		return nil, fmt.Errorf("%w: spool file: %w", ErrHost, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: spool file: %w", ErrHost, err)
	}
	n, err := io.Copy(f, r)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: spool file: %w", ErrHost, err)
	}
	return &Content{ReaderAt: f, Size: n, close: f.Close}, nil
}

// spoolTo copies r to f in place of what it held, and leaves f open.
func spoolTo(f *os.File, r io.Reader) (*Content, error) {
	err := f.Truncate(0)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	var n int64
	if err == nil {
		n, err = io.Copy(struct{ io.Writer }{f}, r)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: spool file: %w", ErrHost, err)
	}
	return &Content{ReaderAt: f, Size: n}, nil
}

// tarInfo is the stat data of a tar entry under the name of its path. It holds
// on to nothing of the header, which can be large.
type tarInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
	owner   owner
}

func (i tarInfo) Name() string       { return i.name }
func (i tarInfo) Size() int64        { return i.size }
func (i tarInfo) Mode() fs.FileMode  { return i.mode }
func (i tarInfo) ModTime() time.Time { return i.modTime }
func (i tarInfo) IsDir() bool        { return i.mode.IsDir() }
func (i tarInfo) Sys() any           { return nil }

// Owner is the owner and group of the header, -1 for what can be none.
func (i tarInfo) Owner() (uid, gid int) { return i.owner.uid, i.owner.gid }
