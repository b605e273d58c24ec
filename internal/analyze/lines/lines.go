package lines

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// MaxLineBytes is the longest line that is handed out whole. The longest line
// of a real Debian status file (a Depends of texlive) has about 20,000 bytes.
const MaxLineBytes = 1 << 20

const (
	bufferBytes    = 64 << 10
	minBufferBytes = 512
	// checkEvery is how many reads pass between two looks at the context.
	checkEvery = 64
)

// A Reader reads lines. Use New.
type Reader struct {
	ctx   context.Context
	br    *bufio.Reader
	line  []byte
	long  []byte // holds a line that spans buffers
	isCut bool
	n     int
	err   error
}

// New makes a reader of r that stops with the error of ctx.
func New(ctx context.Context, r io.Reader) *Reader {
	size := int64(bufferBytes)
	// Most files of a package manager are much shorter than the buffer.
	if s, ok := r.(interface{ Size() int64 }); ok {
		size = max(minBufferBytes, min(size, s.Size()+1))
	}
	return &Reader{ctx: ctx, br: bufio.NewReaderSize(r, int(size))}
}

// Next reads the next line and reports whether there is one.
func (r *Reader) Next() bool {
	if r.err != nil {
		return false
	}
	r.isCut = false
	r.long = r.long[:0]
	for {
		if r.n%checkEvery == 0 && r.ctx.Err() != nil {
			r.err = r.ctx.Err()
			return false
		}
		part, err := r.br.ReadSlice('\n')
		r.n++
		switch {
		case err == nil:
			r.line = bytes.TrimSuffix(part[:len(part)-1], []byte{'\r'})
		case errors.Is(err, bufio.ErrBufferFull):
			r.keep(part)
			continue
		case errors.Is(err, io.EOF):
			r.err = io.EOF
			if len(part) == 0 && len(r.long) == 0 {
				return false
			}
			r.line = part
		default:
			r.err = fmt.Errorf("read line: %w", err)
			return false
		}
		if len(r.long) > 0 {
			r.keep(r.line)
			r.line = r.long
		}
		return true
	}
}

func (r *Reader) keep(part []byte) {
	if room := MaxLineBytes - len(r.long); len(part) > room {
		part = part[:room]
		r.isCut = true
	}
	r.long = append(r.long, part...)
}

// Line is the line without its end ("\n" or "\r\n"), at most MaxLineBytes of
// it. It is valid until the next call of Next.
func (r *Reader) Line() []byte { return r.line }

// Cut reports whether the line was longer than MaxLineBytes.
func (r *Reader) Cut() bool { return r.isCut }

// Err is the error that ended the reading, or nil at the end of the text.
func (r *Reader) Err() error {
	if errors.Is(r.err, io.EOF) {
		return nil
	}
	return r.err
}
