package advisory

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/fault"
)

// quick is patient for tests: a server has to send 2,000 bytes a second.
var quick = FetchOptions{Backoff: time.Millisecond, Stall: 250 * time.Millisecond, MinRate: 2000, MaxBytes: 8 << 20}

func emptyZip(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := zip.NewWriter(&b).Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// drip sends a byte now and then, for as long as the client stays.
func drip(w http.ResponseWriter, r *http.Request) {
	if rec, ok := w.(*recorder); ok {
		w = rec.ResponseWriter
	}
	flush := w.(http.Flusher)
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-t.C:
			if _, err := w.Write([]byte{'x'}); err != nil {
				return
			}
			flush.Flush()
		}
	}
}

// Each of these servers served real records before, and does something else
// now. The update ends soon, says what is wrong, and the generation, what was
// downloaded and the next update are not harmed.
func TestUpdateFromABadServer(t *testing.T) {
	replaced := func(body []byte) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.Header().Del("X-Goog-Hash")
			w.Header().Set("ETag", `"other"`)
			w.Write(body)
		}
	}
	html := []byte("<!doctype html><title>Log in to the wireless network</title>")
	for _, tc := range []struct {
		name string
		path string // suffix of what is answered badly
		do   func(w http.ResponseWriter, r *http.Request, body []byte)
		code fault.Code
		want error
		says string
		// most requests for one such path.
		most int
	}{
		{"an empty archive", "/Ubuntu/all.zip", replaced(emptyZip(t)), fault.Conflict, nil, "Ubuntu 0 records instead of", 1},
		{"archives that are all empty", ".zip", replaced(emptyZip(t)), fault.Conflict, nil, "holds no advisory at all", 1},
		{"a page instead of an archive", ".zip", replaced(html), fault.Unavailable, zip.ErrFormat, "login page", 1},
		{"a page instead of the catalogue", "/kev.json", replaced(html), fault.Unavailable, nil, `begins with "<!doctype`, 1},
		{"an empty catalogue", "/kev.json", replaced([]byte(`{"vulnerabilities":[]}`)), fault.Conflict, nil, "KEV 0 records", 1},
		{"nothing instead of an archive", ".zip", replaced(nil), fault.Unavailable, zip.ErrFormat, "", 1},
		{"half an archive with the length of half", "/Alpine/all.zip", func(w http.ResponseWriter, r *http.Request, body []byte) {
			replaced(body[:len(body)/2])(w, r, body)
		}, fault.Unavailable, zip.ErrFormat, "", 1},
		{"an empty list", "/ecosystems.txt", replaced(nil), fault.Invalid, nil, "list of 0", 1},
		{"a page instead of the list", "/ecosystems.txt", replaced(html), fault.Unavailable, nil, "login page", 1},
		{"a list without end", "/ecosystems.txt", func(w http.ResponseWriter, r *http.Request, _ []byte) {
			for n := 0; n <= maxSmallBytes; n += 1000 {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 1000)); err != nil {
					return
				}
			}
		}, fault.TooLarge, nil, "", 1},
		{"an archive without end and without length", "/Alpine/all.zip", func(w http.ResponseWriter, r *http.Request, _ []byte) {
			chunk := bytes.Repeat([]byte("x"), 1<<16)
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, fault.TooLarge, errLimit, "more than 8388608 bytes", 1},
		{"an archive of a length beyond the limit", "/Alpine/all.zip", func(w http.ResponseWriter, r *http.Request, _ []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(quick.MaxBytes+1))
			w.WriteHeader(http.StatusOK)
		}, fault.TooLarge, nil, "limit is 8388608", 1},
		{"more than was announced", "/Alpine/all.zip", func(w http.ResponseWriter, r *http.Request, body []byte) {
			conn, buf, err := w.(*recorder).ResponseWriter.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n%s", bytes.Repeat([]byte("x"), 5000))
			buf.Flush()
		}, fault.Unavailable, zip.ErrFormat, "", 1},
		{"a byte now and then", "/Alpine/all.zip", func(w http.ResponseWriter, r *http.Request, _ []byte) { drip(w, r) }, fault.Unavailable, errSlow, "next to nothing", attempts},
		{"a byte now and then of the list", "/ecosystems.txt", func(w http.ResponseWriter, r *http.Request, _ []byte) { drip(w, r) }, fault.Unavailable, errSlow, "next to nothing", attempts},
		{"silence", "/Alpine/all.zip", func(w http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }, fault.Unavailable, nil, "gave up", attempts},
		{"redirects in a circle", "/Alpine/all.zip", func(w http.ResponseWriter, r *http.Request, _ []byte) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, fault.Unavailable, errRedirect, "too many redirects", maxRedirects},
		{"an hour of 429", "/Alpine/all.zip", func(w http.ResponseWriter, r *http.Request, _ []byte) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		}, fault.Unavailable, nil, "left alone for 1h0m0s", 1},
		{"unchanged, says a server that was not asked", "/Alpine/all.zip", func(w http.ResponseWriter, r *http.Request, _ []byte) {
			if r.Header.Get("If-None-Match") == "" {
				w.WriteHeader(http.StatusNotModified)
			}
		}, fault.Unavailable, nil, "", attempts + 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t, false)
			to := filepath.Join(t.TempDir(), "advisories.db")
			run := func() (UpdateResult, error) {
				return Update(t.Context(), UpdateOptions{URL: s.URL, To: to, Fetch: quick})
			}
			first, err := run()
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(tc.name, "unchanged") {
				if err := os.Remove(filepath.Join(to+".sources", "Alpine.zip")); err != nil {
					t.Fatal(err)
				}
			}
			asked := map[string]int{}
			s.fault = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if !strings.HasSuffix(r.URL.Path, tc.path) {
					return false
				}
				s.mu.Lock()
				asked[r.URL.Path]++
				s.mu.Unlock()
				w.Header().Del("ETag")
				tc.do(w, r, body)
				return true
			}
			start := time.Now()
			_, err = run()
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("took %v", d)
			}
			if fault.CodeOf(err) != tc.code || err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v: %v", fault.CodeOf(err), err)
			}
			s.mu.Lock()
			for path, n := range asked {
				if n > tc.most {
					t.Errorf("%s was asked for %d times, want %d at most", path, n, tc.most)
				}
			}
			if len(asked) == 0 {
				t.Error("what is served badly was not asked for")
			}
			s.mu.Unlock()
			if m, err := verified(t.Context(), to); err != nil || m.ID != first.Meta.ID {
				t.Errorf("the old generation is gone: %v", err)
			}
			s.fault = nil
			if again, err := run(); err != nil || again.Meta.ID != first.Meta.ID {
				t.Errorf("the next update: %v", err)
			}
			left, err := filepath.Glob(filepath.Join(to+".sources", "*.part*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A server that gives nothing from the start leaves nothing.
func TestFirstUpdateOfNothing(t *testing.T) {
	s := newServer(t, false)
	s.fault = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if !strings.HasSuffix(r.URL.Path, ".zip") {
			return false
		}
		w.Header().Del("X-Goog-Hash")
		w.Write(emptyZip(t))
		return true
	}
	to := filepath.Join(t.TempDir(), "advisories.db")
	if _, err := update(t, s, to); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty database was taken for a fresh one: %v", err)
	}
	res, err := Update(t.Context(), UpdateOptions{URL: s.URL, To: to, Fetch: quick, Force: true})
	if err != nil || res.Meta.Records != 0 {
		t.Errorf("by force: %+v, %v", res, err)
	}
}

// An ecosystem that is not listed any more is named; its records stay.
func TestUpdateNamesWhatIsNotListedAnyMore(t *testing.T) {
	s := newServer(t, false)
	to := filepath.Join(t.TempDir(), "advisories.db")
	first, err := update(t, s, to)
	if err != nil {
		t.Fatal(err)
	}
	s.fault = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.URL.Path != "/ecosystems.txt" {
			return false
		}
		fmt.Fprintln(w, "Alpine")
		return true
	}
	res, err := update(t, s, to)
	if err != nil || res.Meta.ID != first.Meta.ID || strings.Join(res.Missing, ",") != "Rocky Linux,Ubuntu" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestUpdateWaitsAsLongAsItIsAsked(t *testing.T) {
	s := newServer(t, false)
	refused := false
	s.fault = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if refused || r.URL.Path != "/Alpine/all.zip" {
			return false
		}
		refused = true
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	start := time.Now()
	if _, err := update(t, s, filepath.Join(t.TempDir(), "a.db")); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < time.Second {
		t.Errorf("came back after %v, although the server asked for a second", d)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 27, 16, 0, 0, 0, time.UTC)
	f := newFetcher(FetchOptions{Now: func() time.Time { return now }}, nil)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "soon": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		"Friday, 27-Nov-26 16:00:05 GMT":                  5 * time.Second, // RFC 850
		"999999999999":                                    365 * 24 * time.Hour,
	} {
		if got := f.retryAfter(http.Header{"Retry-After": {value}}); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

// A header that comes a byte at a time is no way to hold a client either.
func TestSlowHeader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX-A: ")
				for {
					select {
					case <-done:
						return
					case <-time.After(10 * time.Millisecond):
						if _, err := c.Write([]byte{'a'}); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	start := time.Now()
	f := newFetcher(quick, nil)
	if _, _, err := f.get(t.Context(), "http://"+l.Addr().String()+"/x", filepath.Join(t.TempDir(), "x"), fileState{}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// The rest of another version is not put behind the beginning of this one,
// even if the server does not look at If-Range.
func TestResumeOfAnotherVersion(t *testing.T) {
	body, version := bytes.Repeat([]byte("a"), 50_000), `"1"`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", version)
		if version == `"1"` {
			version, body = `"2"`, bytes.Repeat([]byte("b"), 50_000)
			w.Header().Set("Content-Length", "50000")
			w.Write(bytes.Repeat([]byte("a"), 20_000))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		var start int
		if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start); n == 1 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(body)-1, len(body)))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(body[start:])
	}))
	defer srv.Close()
	dest := filepath.Join(t.TempDir(), "x")
	if _, _, err := newFetcher(quick, nil).get(t.Context(), srv.URL+"/x", dest, fileState{}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dest); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %d of them of the first version: %v", len(got), bytes.Count(got, []byte("a")), err)
	}
}

// What was cut off goes on in the next process, and so does the bundle of a
// server of ours; see TestMirror.
func TestUpdateGoesOnWhereAnEarlierOneEnded(t *testing.T) {
	s := newServer(t, false)
	to := filepath.Join(t.TempDir(), "a.db")
	var ranges []string
	down, part := true, 0
	s.fault = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.URL.Path != "/Alpine/all.zip" {
			return false
		}
		ranges = append(ranges, r.Header.Get("Range"))
		switch {
		case !down:
			return false
		case len(ranges) == 1:
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.Write(body[:len(body)/4])
			part = len(body) / 4
			w.(*recorder).ResponseWriter.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
	}
	if _, err := update(t, s, to); fault.CodeOf(err) != fault.Unavailable {
		t.Fatalf("got %v", err)
	}
	down, ranges = false, nil
	if _, err := update(t, s, to); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ranges, ","); got != fmt.Sprintf("bytes=%d-", part) {
		t.Errorf("asked for %q", got)
	}
}
