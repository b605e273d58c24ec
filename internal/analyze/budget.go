package analyze

import (
	"context"
	"errors"
	"io"
)

// A Budget is a reader of a file for the debug packages of the standard
// library: it bounds how much is read in all, stops with its context, and keeps
// its error, which those packages hide.
type Budget struct {
	ctx       context.Context
	r         io.ReaderAt
	max, left int64
	err       error
}

// NewBudget lets max bytes of f be read.
func NewBudget(ctx context.Context, f File, max int64) *Budget {
	return &Budget{ctx: ctx, r: f.Reader(), max: max, left: max}
}

// Err is the end of the context, the limit, or what the file answered in place
// of content; nil if all was read that was asked for.
func (b *Budget) Err() error { return b.err }

// ReadAt implements io.ReaderAt.
func (b *Budget) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case b.err != nil:
	case b.ctx.Err() != nil:
		b.err = b.ctx.Err()
	case int64(len(p)) > b.left:
		b.err = Limited("bytes to read", b.max-b.left+int64(len(p)), b.max)
	}
	if b.err != nil {
		return 0, b.err
	}
	b.left -= int64(len(p))
	n, err := b.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
