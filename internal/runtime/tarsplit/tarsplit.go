package tarsplit

import (
	"bufio"

	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxLineBytes bounds one entry of a record. Padding comes in pieces of
	// 1 MiB, and an extended header has as much at most; base64 makes a
	// third more of it.
	maxLineBytes = 4 << 20
	// maxNameBytes bounds the name of a file, as the layer reader does.
	maxNameBytes = 4096
	// maxRecordBytes bounds a whole record, unpacked: a layer of a million
	// files has about 1 GiB.
	maxRecordBytes = 4 << 30
)

// ErrLimit is wrapped by errors about a record that crosses a limit.
var ErrLimit = errors.New("tar-split record over its limit")

// Config says what to put together.
type Config struct {
	// Record is the path of the record, Dir the directory of the files.
	// Neither may be a symbolic link.
	Record string
	Dir    string
	// Owner is set where somebody other than root keeps the store: then
	// nothing is read that belongs to root.
	Owner *uint32
}

// Open begins to read the tar. Errors wrap fs.ErrNotExist where the record or
// the directory is not there. The caller closes what it gets.
func Open(ctx context.Context, cfg Config) (io.ReadCloser, error) {
	return open(ctx, cfg, maxRecordBytes)
}

func open(ctx context.Context, cfg Config, limit int64) (io.ReadCloser, error) {
	fd, err := unix.Open(cfg.Record, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: cfg.Record, Err: err}
	}
	f := os.NewFile(uintptr(fd), cfg.Record)
	if err := regular(fd, cfg.Owner); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", cfg.Record, err)
	}
	t, err := openTree(cfg.Dir, cfg.Owner)
	if err != nil {
		f.Close()
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		err = errors.Join(fault.New(fault.Invalid, "%s: %w", cfg.Record, err), f.Close())
		t.close()
		return nil, err
	}
	left := &io.LimitedReader{R: z, N: limit + 1}
	return &reader{ctx: ctx, record: f, lines: bufio.NewReaderSize(left, 64<<10), left: left, tree: t}, nil
}

// reader is the tar. What is current is the rest of a segment or the rest of a
// file.
type reader struct {
	ctx    context.Context
	record *os.File
	lines  *bufio.Reader
	left   *io.LimitedReader
	tree   *tree

	segment  []byte
	file     *os.File
	fileLeft int64
	err      error
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.err == nil {
		switch {
		case len(r.segment) > 0:
			n := copy(p, r.segment)
			r.segment = r.segment[n:]
			return n, nil
		case r.file != nil:
			n, err := r.fromFile(p)
			if err != nil {
				r.err = err
			}
			if n > 0 {
				return n, nil
			}
		default:
			r.err = r.next()
		}
	}
	return 0, r.err
}

// fromFile reads on in the current file, of which exactly the recorded size is
// wanted.
func (r *reader) fromFile(p []byte) (int, error) {
	n, err := r.file.Read(p[:min(int64(len(p)), r.fileLeft)])
	r.fileLeft -= int64(n)
	switch {
	case r.fileLeft == 0:
		err = r.file.Close()
		r.file = nil
	case err == io.EOF:
		err = fault.New(fault.Invalid, "%s is %d bytes shorter than its layer had it", r.file.Name(), r.fileLeft)
	}
	return n, err
}

// An entry of the record (tar-split, tar/storage/entry.go).
type entry struct {
	Type    int    `json:"type"`
	Name    string `json:"name"`
	NameRaw []byte `json:"name_raw"` // where the name is not UTF-8
	Size    int64  `json:"size"`
	Payload []byte `json:"payload"` // of a segment; of a file a checksum
}

const (
	typeFile    = 1
	typeSegment = 2
)

// next takes up the next entry; io.EOF after the last one.
func (r *reader) next() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	line, err := r.line()
	if err != nil {
		return err
	}
	var e entry
	if err := json.Unmarshal(line, &e); err != nil {
		return fault.New(fault.Invalid, "%s: %w", r.record.Name(), err)
	}
	switch e.Type {
	case typeSegment:
		r.segment = e.Payload
		return nil
	case typeFile:
		return r.open(e)
	}
	return fault.New(fault.Invalid, "%s: entry of type %d", r.record.Name(), e.Type)
}

func (r *reader) open(e entry) error {
	name := e.Name
	if len(e.NameRaw) > 0 {
		name = string(e.NameRaw)
	}
	if e.Size < 0 {
		return fault.New(fault.Invalid, "%s: %q has %d bytes", r.record.Name(), name, e.Size)
	}
	if e.Size == 0 {
		return nil // a directory, a link, an empty file: there is nothing to read
	}
	if len(name) > maxNameBytes {
		return fault.New(fault.TooLarge, "%w: a name of %d bytes", ErrLimit, len(name))
	}
	f, err := r.tree.open(name)
	if err != nil {
		return fmt.Errorf("put layer together: %w", err)
	}
	r.file, r.fileLeft = f, e.Size
	return nil
}

// line reads one line, which is not empty.
func (r *reader) line() ([]byte, error) {
	var long []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		if r.left.N <= 0 {
			return nil, fault.New(fault.TooLarge, "%w: %s is too long", ErrLimit, r.record.Name())
		}
		if len(long)+len(part) > maxLineBytes {
			return nil, fault.New(fault.TooLarge, "%w: %s has an entry of more than %d bytes", ErrLimit, r.record.Name(), maxLineBytes)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
			continue
		case errors.Is(err, io.EOF) && len(long)+len(part) == 0:
			return nil, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fault.New(fault.Invalid, "%s: %w", r.record.Name(), err)
		}
		if len(long) > 0 {
			part = append(long, part...)
		}
		if len(part) == 1 { // an empty line
			long = nil
			continue
		}
		return part, nil
	}
}

func (r *reader) Close() error {
	if r.file != nil {
		_ = r.file.Close()
	}
	r.tree.close()
	r.err = os.ErrClosed
	return r.record.Close()
}
