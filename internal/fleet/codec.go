package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/fault"
)

const (
	encodingZstd = "zstd"
	// compressFrom is the size from which a body is worth compressing.
	compressFrom = 4 << 10
	// errorCode stands in every error of the agent protocol, whose client
	// goes by the status alone.
	errorCode = "ONCEOVER.AGENT"
)

// statuses is the one table between fault codes and HTTP statuses of the
// agent protocol. The client reads it backwards.
var statuses = [...]struct {
	code   fault.Code
	status int
}{
	{fault.Invalid, http.StatusBadRequest},
	{fault.Unparsable, http.StatusUnprocessableEntity},
	{fault.NotFound, http.StatusNotFound},
	{fault.Unauthenticated, http.StatusUnauthorized},
	{fault.Forbidden, http.StatusForbidden},
	{fault.Conflict, http.StatusConflict},
	{fault.TooLarge, http.StatusRequestEntityTooLarge},
	{fault.Unavailable, http.StatusServiceUnavailable},
	{fault.Unsupported, http.StatusNotImplemented},
}

func statusOf(code fault.Code) int {
	for _, s := range statuses {
		if s.code == code {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

func codeOf(status int) fault.Code {
	for _, s := range statuses {
		if s.status == status {
			return s.code
		}
	}
	if status == http.StatusTooManyRequests || status == http.StatusBadGateway || status == http.StatusGatewayTimeout {
		return fault.Unavailable
	}
	return fault.Internal
}

// encode makes a body and says how it is compressed.
func encode(v any) (body []byte, encoding string, err error) {
	body, err = json.Marshal(v)
	if err != nil {
		return nil, "", fmt.Errorf("encode request: %w", err)
	}
	if len(body) < compressFrom {
		return body, "", nil
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow/2))
	if err != nil {
		return nil, "", fmt.Errorf("compress request: %w", err)
	}
	defer enc.Close()
	return enc.EncodeAll(body, nil), encodingZstd, nil
}

// decode reads one JSON value, and nothing after it, from the body.
func decode(r *http.Request, most int64, v any) error {
	var body io.Reader = r.Body
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "", "identity":
	case encodingZstd:
		dec, err := zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(most)))
		if err != nil {
			return fmt.Errorf("read compressed body: %w", err)
		}
		defer dec.Close()
		body = dec
	default:
		return fault.New(fault.Unparsable, "the content encoding must be zstd or none")
	}
	limited := &io.LimitedReader{R: body, N: most + 1}
	d := json.NewDecoder(&objectCounter{r: limited, left: MaxObjects})
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is more than one value")
		}
	}
	var over *http.MaxBytesError
	if limited.N <= 0 || errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.As(err, &over) {
		return fault.New(fault.TooLarge, "the body is larger than %d bytes", most)
	}
	if errors.Is(err, errObjects) {
		return fault.New(fault.TooLarge, "the body has more than %d objects", MaxObjects)
	}
	if err != nil {
		return fault.New(fault.Unparsable, "the body is not the JSON it should be: %s", err)
	}
	return nil
}

func bodyReader(b []byte) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }

var errObjects = errors.New("too many objects")

// objectCounter fails a JSON text that opens more than left objects. A decoder
// reads a value whole before it makes anything of it, so that nothing is
// allocated for one that fails.
type objectCounter struct {
	r        io.Reader
	left     int
	inText   bool
	escaping bool
}

func (c *objectCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for _, b := range p[:n] {
		switch {
		case c.escaping:
			c.escaping = false
		case c.inText:
			c.escaping = b == '\\'
			c.inText = b != '"'
		case b == '"':
			c.inText = true
		case b == '{':
			if c.left--; c.left < 0 {
				return 0, errObjects
			}
		}
	}
	return n, err
}
