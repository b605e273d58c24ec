package hss

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// streamed is a stream of pieces of four bytes; it fails at the piece named.
func streamed(body string, fails int64) *stream {
	return &stream{
		name: "a \"b\" é.zip", contentType: "application/zip", etag: `"tag"`, modified: time.Unix(1_700_000_000, 0), size: int64(len(body)), pieceSize: 4,
		piece: func(_ context.Context, n int64) ([]byte, error) {
			if n == fails {
				return nil, errors.New("gone")
			}
			return []byte(body[n*4 : min(len(body), int(n+1)*4)]), nil
		},
	}
}

func TestStream(t *testing.T) {
	const whole = "0123456789ab"
	for _, tc := range []struct {
		name    string
		headers map[string]string
		status  int
		length  string
		part    string // Content-Range
		want    string
	}{
		{"whole", nil, 200, "12", "", whole},
		{"from the middle", map[string]string{"Range": "bytes=5-"}, 206, "7", "bytes 5-11/12", "56789ab"},
		{"a part over two pieces", map[string]string{"Range": "bytes=3-4"}, 206, "2", "bytes 3-4/12", "34"},
		{"the end", map[string]string{"Range": "bytes=-2"}, 206, "2", "bytes 10-11/12", "ab"},
		{"more than there is", map[string]string{"Range": "bytes=10-99"}, 206, "2", "bytes 10-11/12", "ab"},
		{"of the same file", map[string]string{"Range": "bytes=10-", "If-Range": `"tag"`}, 206, "2", "bytes 10-11/12", "ab"},
		{"of another file", map[string]string{"Range": "bytes=10-", "If-Range": `"other"`}, 200, "12", "", whole},
		{"known", map[string]string{"If-None-Match": `"tag"`}, 304, "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			for k, v := range tc.headers {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			streamed(whole, -1).serve(w, r)
			h := w.Header()
			got := []string{h.Get("Content-Length"), h.Get("Content-Range"), h.Get("ETag"), w.Body.String()}
			if d := cmp.Diff([]string{tc.length, tc.part, `"tag"`, tc.want}, got); d != "" || w.Code != tc.status {
				t.Errorf("status %d, want %d: %s", w.Code, tc.status, d)
			}
			if w.Code < 300 && (h.Get("Accept-Ranges") != "bytes" || h.Get("Content-Type") != "application/zip" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment; filename")) {
				t.Errorf("headers %v", h)
			}
		})
	}
}

// A part that there is not is an error as all others are.
func TestStreamOutOfRange(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Range", "bytes=12-")
	w := httptest.NewRecorder()
	streamed("0123456789ab", -1).serve(w, r)
	if w.Code != http.StatusRequestedRangeNotSatisfiable || w.Header().Get("Content-Range") != "bytes */12" ||
		!strings.Contains(w.Body.String(), `"error_code":"HSS.0001"`) || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// A file that goes while it is fetched breaks the connection off.
func TestStreamThatBreaks(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { streamed("0123456789ab", 2).serve(w, r) }))
	defer s.Close()
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", body, err)
	}
}
