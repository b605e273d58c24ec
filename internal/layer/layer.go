package layer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/onceover/onceover/internal/image"
)

// Limits on what a layer may hold. A layer that crosses one is read no
// further.
const (
	// maxEntries is the number of entries in one layer. The largest image
	// we met has 123,000.
	maxEntries = 5_000_000
	// maxPath is the length of a path in bytes: PATH_MAX of Linux.
	maxPath = 4096
	// maxNames bounds the names and link targets of one layer, in bytes:
	// some are held until its end. 123,000 entries have 10 MB.
	maxNames = 256 << 20
	// maxDepth is how deep directories may be nested.
	maxDepth = 256
	// maxLayerBytes is the uncompressed size of a layer stream.
	maxLayerBytes = 256 << 30
	// maxContent is the largest single file of a stream that can be
	// opened. Directories have no such limit, since nothing is copied.
	maxContent = 2 << 30
	// maxMemory is the largest file of a stream that is held in memory if
	// Options say nothing; larger ones are spooled.
	maxMemory = 64 << 20
	// maxRatio is how much a compressed layer may grow, beyond
	// ratioAllowance. Real layers grow 3 to 20 times; deflate reaches
	// 1,032 on a file of zeros.
	maxRatio       = 200
	ratioAllowance = 1 << 30
)

// Errors that Walk and Open wrap.
var (
	// ErrLimit means that a limit was crossed.
	ErrLimit = errors.New("limit exceeded")
	// ErrDigest means that the stream is not the layer it claims to be.
	ErrDigest = errors.New("content does not have the layer's diff ID")
	// ErrHost means that this host, not the layer, stands in the way: there
	// is no room for a temporary file, say.
	ErrHost = errors.New("this host cannot read the file now")
	// ErrUnsupported means that the layer uses a form that is not read.
	ErrUnsupported = errors.New("unsupported layer form")
)

// Kind says what an entry is.
type Kind uint8

// The kinds. A hard link is a File.
const (
	File Kind = iota
	Dir
	Symlink
	// Other is a device, pipe or socket.
	Other
	// Whiteout deletes Path from the layers below.
	Whiteout
	// Opaque hides what the layers below have in directory Path.
	Opaque
	// Reset means that everything shown so far does not count: entries of
	// the layer replace one another, and those that remain come now.
	Reset
)

// An Entry is one entry of a layer. It is valid until the visitor returns.
type Entry struct {
	Kind Kind
	// Path is absolute within the image and clean.
	Path string
	// Target of a symbolic link, as written.
	Target string
	// LinkTo is the path of the file that a hard link in a stream is
	// another name of. Empty in directories, where names are equals, and
	// where nothing stands at that path any more.
	LinkTo string
	// Info is the stat data of a File, and of a Dir that has an entry of
	// its own: one that is only implied by what lies in it has none in a
	// stream. Its methods may cost a system call the first time. It has a
	// method Owner, which returns owner and group within the image as
	// numbers, -1 where the layer does not tell. Size and ModTime of a
	// directory mean nothing.
	Info fs.FileInfo
	// Again marks a hard link that was shown before and answered
	// ErrDeferred.
	Again bool

	src source
}

// source is where the content of an entry comes from.
type source interface {
	open() (*Content, error)
	stream() (io.ReadCloser, error)
	sibling(name string, max int64) ([]byte, error)
}

// Open opens a File for reading. The caller closes the content before the
// visitor returns. It may be called once. For a hard link in a stream it
// returns ErrDeferred: the entry is shown again later, with its content.
func (e *Entry) Open() (*Content, error) {
	if e.src == nil {
		return nil, fs.ErrNotExist
	}
	return e.src.open()
}

// Stream is Open for who reads the file once from its start: nothing is copied
// for that, and the limits of Open on its size do not hold.
func (e *Entry) Stream() (io.ReadCloser, error) {
	if e.src == nil {
		return nil, fs.ErrNotExist
	}
	return e.src.stream()
}

// Sibling reads another file of the same directory of the layer, if the
// layer's form allows random access. The error is fs.ErrNotExist if there is
// none.
func (e *Entry) Sibling(name string, max int64) ([]byte, error) {
	if e.src == nil {
		return nil, fs.ErrNotExist
	}
	return e.src.sibling(name, max)
}

// Content is an opened file.
type Content struct {
	io.ReaderAt
	Size  int64
	close func() error
}

// stream reads the content from its start.
func (c *Content) stream() io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(c, 0, c.Size), c}
}

// Close gives the file back.
func (c *Content) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// A Visitor is shown each entry. An error ends the walk and is returned as it
// is.
type Visitor func(e *Entry) error

// Stats counts what reading costs. The zero value counts from nothing. Safe
// for concurrent use.
type Stats struct {
	// FilesOpened is the number of files of layers, and of layer blobs,
	// that were opened.
	FilesOpened atomic.Int64
	// BytesRead is what was read of them, as stored (compressed).
	BytesRead atomic.Int64
}

// Options say how Walk reads.
type Options struct {
	// Stats may be nil.
	Stats *Stats
	// Memory is the largest file of a stream that is held in memory, 0 for
	// the default.
	Memory int64
	// Spool is where a larger file goes, one at a time; nil for temporary
	// files of Walk's own. It is given where the process may open none.
	Spool *os.File
}

// Walk shows visit every entry of l, in no order that means anything. An
// error means that the layer was not read to its end, or is not what it claims
// to be; what was visited before stands.
func Walk(ctx context.Context, l image.Layer, stats *Stats, visit Visitor) error {
	return Options{Stats: stats}.Walk(ctx, l, visit)
}

// Walk is Walk with options.
func (o Options) Walk(ctx context.Context, l image.Layer, visit Visitor) error {
	if o.Stats == nil {
		o.Stats = &Stats{}
	}
	if o.Memory <= 0 {
		o.Memory = maxMemory
	}
	if l.Dir != "" {
		return walkDir(ctx, l.Dir, l.Lower, o.Stats, visit)
	}
	return walkBlob(ctx, l, o, visit)
}
