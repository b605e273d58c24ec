package hss

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/wire"
)

// stallTime is how long a client may take for a piece of a file. The server's limit
// for a whole answer is none for a large file on a slow line.
const stallTime = time.Minute

// stream is an answer of bytes that a client can fetch in parts and go on with later
// (RFC 9110, range requests).
type stream struct {
	name, contentType string
	etag              string // quoted
	modified          time.Time
	size, pieceSize   int64
	// piece reads one piece of the body, from 0.
	piece func(ctx context.Context, n int64) ([]byte, error)
}

func (s *stream) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", s.contentType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": s.name}))
	h.Set("ETag", s.etag)
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	body := &streamReader{s: s, ctx: r.Context(), deadline: http.NewResponseController(w), held: -1}
	http.ServeContent(&errorsAsJSON{ResponseWriter: w, r: r}, r, "", s.modified, body)
}

// streamReader reads a stream for http.ServeContent, which seeks.
type streamReader struct {
	s        *stream
	ctx      context.Context
	deadline *http.ResponseController
	at       int64
	held     int64 // number of the piece in hand, -1 for none
	piece    []byte
}

// Read implements io.Reader. A piece that is gone breaks the connection off, so that
// no client takes half of a file for the whole.
func (r *streamReader) Read(b []byte) (int, error) {
	if r.at >= r.s.size {
		return 0, io.EOF
	}
	if n := r.at / r.s.pieceSize; n != r.held {
		piece, err := r.s.piece(r.ctx, n)
		if err != nil {
			return 0, err
		}
		r.held, r.piece = n, piece
		// Not every writer has a deadline; one without needs none.
		_ = r.deadline.SetWriteDeadline(time.Now().Add(stallTime))
	}
	from := r.at - r.held*r.s.pieceSize
	if from >= int64(len(r.piece)) {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, r.piece[from:])
	r.at += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (r *streamReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.s.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	r.at = offset
	return offset, nil
}

// errorsAsJSON writes the errors of http.ServeContent, of which there is one, in the
// form of all others.
type errorsAsJSON struct {
	http.ResponseWriter
	r      *http.Request
	failed bool
}

// WriteHeader implements http.ResponseWriter.
func (w *errorsAsJSON) WriteHeader(status int) {
	if status < http.StatusBadRequest {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.failed = true
	for _, name := range []string{"Content-Disposition", "Content-Length"} {
		w.Header().Del(name)
	}
	wire.WriteError(w.ResponseWriter, w.r, status, answers[fault.Invalid].code, "Range: the file has no such part")
}

// Write implements io.Writer.
func (w *errorsAsJSON) Write(b []byte) (int, error) {
	if w.failed {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}
