package analyze

import (
	"bytes"
	"context"
	"io"
)

// ReadAll is the content of f without a byte order mark, for the small files
// that are easiest understood as a whole. A file of more than max bytes gives an
// error that wraps ErrLimit, before a byte of it is read.
func ReadAll(ctx context.Context, f File, max int64) ([]byte, error) {
	if f.Size > max {
		return nil, Limited("bytes", f.Size, max)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f.Reader())
	if err != nil {
		return nil, err
	}
	return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), nil
}
