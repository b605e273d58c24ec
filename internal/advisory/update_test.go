package advisory

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/fault"
)

// A server serves the shared records as osv.dev does, and can be told to go
// wrong.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string // method-less: path, status
	// fault may answer a request itself.
	fault func(w http.ResponseWriter, r *http.Request, body []byte) (done bool)
}

// ecosystems small enough to build in a moment.
var served = map[string]string{"Ubuntu": "Ubuntu.zip", "Rocky Linux": "RockyLinux.zip", "Alpine": "Alpine.zip"}

func newServer(t *testing.T, flat bool) *server {
	t.Helper()
	return serve(t, flat, shared)
}

func serve(t *testing.T, flat bool, read func(t testing.TB, name string) []byte) *server {
	t.Helper()
	files := map[string][]byte{}
	list := ""
	for eco, name := range served {
		at := "/" + eco + "/all.zip"
		if flat {
			at = "/" + name
		}
		files[at] = read(t, name)
		list += eco + "\n" + eco + ":7\n"
	}
	files["/ecosystems.txt"] = []byte(list)
	files["/kev.json"] = read(t, FileKEV)
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w, status: 200}
		defer func() {
			s.mu.Lock()
			s.requests = append(s.requests, fmt.Sprintf("%s %d", r.URL.Path, rec.status))
			s.mu.Unlock()
		}()
		body, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(rec, r)
			return
		}
		sum := md5.Sum(body)
		rec.Header().Set("X-Goog-Hash", "md5="+base64.StdEncoding.EncodeToString(sum[:]))
		rec.Header().Set("ETag", fmt.Sprintf("%q", hex.EncodeToString(sum[:])))
		if s.fault != nil && s.fault(rec, r, body) {
			return
		}
		http.ServeContent(rec, r, path.Base(r.URL.Path), time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC), bytes.NewReader(body))
	}))
	t.Cleanup(s.Close)
	return s
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(n int) { r.status = n; r.ResponseWriter.WriteHeader(n) }

func (s *server) count(suffix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.HasSuffix(r, suffix) {
			n++
		}
	}
	return n
}

func update(t *testing.T, s *server, to string) (UpdateResult, error) {
	t.Helper()
	return Update(context.Background(), UpdateOptions{URL: s.URL, To: to, Fetch: FetchOptions{Backoff: time.Millisecond}})
}

func TestUpdate(t *testing.T) {
	for _, flat := range []bool{false, true} {
		t.Run(fmt.Sprintf("flat=%t", flat), func(t *testing.T) {
			s := newServer(t, flat)
			to := filepath.Join(t.TempDir(), "a.db")
			first, err := update(t, s, to)
			if err != nil {
				t.Fatal(err)
			}
			if !first.Rebuilt || first.Downloaded != 4 || len(first.Missing) != 0 {
				t.Fatalf("first: %+v", first)
			}
			if first.Meta.KEV == 0 || first.Meta.Ecosystems["Rocky Linux:8"].Records == 0 || first.Meta.Records < atLeast(2600) {
				t.Fatalf("first: %+v", first.Meta)
			}
			before, err := os.Stat(to)
			if err != nil {
				t.Fatal(err)
			}
			second, err := update(t, s, to)
			if err != nil {
				t.Fatal(err)
			}
			if second.Rebuilt || second.Downloaded != 0 || second.Unchanged != 4 || s.count(" 304") != 4 {
				t.Errorf("second: %+v, %d answers 304", second, s.count(" 304"))
			}
			after, err := os.Stat(to)
			if err != nil {
				t.Fatal(err)
			}
			if !os.SameFile(before, after) || second.Meta.ID != first.Meta.ID {
				t.Error("the generation was replaced although nothing had changed")
			}
			// A build from the same server is the same generation.
			m, err := Build(context.Background(), BuildOptions{From: s.URL, To: filepath.Join(t.TempDir(), "b.db"), Fetch: FetchOptions{Backoff: time.Millisecond}})
			if err != nil || m.ID != first.Meta.ID {
				t.Errorf("build from the URL: %v, generation %.12s, want %.12s", err, m.ID, first.Meta.ID)
			}
		})
	}
}

func TestUpdateResumesWhatWasCutOff(t *testing.T) {
	s := newServer(t, false)
	var ranges []string
	cutOff, part := 0, 0
	s.fault = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.URL.Path != "/Alpine/all.zip" {
			return false
		}
		ranges = append(ranges, r.Header.Get("Range"))
		if cutOff == 2 {
			return false
		}
		cutOff++
		var start int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)-start))
		if start > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(body)-1, len(body)))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(body[start : start+len(body)/4])
		part = len(body) / 4
		w.(*recorder).ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	res, err := update(t, s, filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ranges, ","); got != fmt.Sprintf(",bytes=%d-,bytes=%d-", part, 2*part) {
		t.Errorf("ranges asked for: %s", got)
	}
	if res.Meta.Ecosystems["Alpine:v3.18"].Records < atLeast(2000) {
		t.Errorf("got %+v", res.Meta.Ecosystems["Alpine:v3.18"])
	}
}

func TestUpdateTriesAgain(t *testing.T) {
	s := newServer(t, false)
	refusals := map[string]int{}
	s.fault = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if refusals[r.URL.Path]++; refusals[r.URL.Path] > 2 {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	if _, err := update(t, s, filepath.Join(t.TempDir(), "a.db")); err != nil {
		t.Fatal(err)
	}
	if n := s.count(" 503"); n != 10 {
		t.Errorf("%d answers 503, want two for each of five files", n)
	}
}

// Whatever goes wrong, the generation that stood before stands afterwards.
func TestUpdateKeepsTheOldGeneration(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request, body []byte) bool
		want  error
	}{
		{"damaged on the way", func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			bad := bytes.Clone(body)
			bad[len(bad)/2] ^= 1
			w.Header().Set("ETag", `"new"`)
			w.Write(bad)
			return true
		}, errChecksum},
		{"server is down", func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}, nil},
		{"not a zip", func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
			w.Header().Del("X-Goog-Hash")
			w.Header().Set("ETag", `"new"`)
			w.Write([]byte("<html>login please</html>"))
			return true
		}, zip.ErrFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t, false)
			to := filepath.Join(t.TempDir(), "a.db")
			first, err := update(t, s, to)
			if err != nil {
				t.Fatal(err)
			}
			s.fault = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				return strings.HasSuffix(r.URL.Path, ".zip") && tc.fault(w, r, body)
			}
			if _, err := update(t, s, to); fault.CodeOf(err) != fault.Unavailable || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
			if m, err := Status(to); err != nil || m.ID != first.Meta.ID {
				t.Errorf("the old generation is gone: %v", err)
			}
			s.fault = nil
			if again, err := update(t, s, to); err != nil || again.Meta.ID != first.Meta.ID {
				t.Errorf("the next update: %v", err)
			}
		})
	}
}

// Files of a failed update are built by the next, although that one downloads
// nothing.
func TestUpdateBuildsWhatAnEarlierOneFetched(t *testing.T) {
	s := newServer(t, false)
	to := filepath.Join(t.TempDir(), "a.db")
	s.fault = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.URL.Path != "/kev.json" {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	if _, err := update(t, s, to); err == nil {
		t.Fatal("a refused file went unnoticed")
	}
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a generation was built from a part: %v", err)
	}
	s.fault = nil
	res, err := update(t, s, to)
	if err != nil || !res.Rebuilt || res.Downloaded != 1 {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestUpdateChecksTheSumBeside(t *testing.T) {
	body := []byte("not much")
	sum := sha256.Sum256(body)
	beside := hex.EncodeToString(sum[:])
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			fmt.Fprintln(w, beside+"  file")
			return
		}
		w.Write(body)
	}))
	defer srv.Close()
	f := newFetcher(FetchOptions{Backoff: time.Millisecond}, nil)
	dest := filepath.Join(t.TempDir(), "file")
	if _, changed, err := f.get(context.Background(), srv.URL+"/file", dest, fileState{}); err != nil || !changed {
		t.Fatalf("%v", err)
	}
	beside = strings.Repeat("0", 64)
	if _, _, err := f.get(context.Background(), srv.URL+"/file", dest, fileState{}); !errors.Is(err, errChecksum) {
		t.Errorf("got %v", err)
	}
}

func TestUpdateRefusesASecondOne(t *testing.T) {
	cache := t.TempDir()
	d, err := newDownload(UpdateOptions{URL: "http://localhost", Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newDownload(UpdateOptions{URL: "http://localhost", Cache: cache}); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
	d.close()
	d, err = newDownload(UpdateOptions{URL: "http://localhost", Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	d.close()
}

func TestFetchRefusesTooMuch(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(int64(maxDownloadBytes)+1))
		w.WriteHeader(200)
	}))
	defer srv.Close()
	f := newFetcher(FetchOptions{Backoff: time.Millisecond}, nil)
	if _, _, err := f.get(context.Background(), srv.URL, filepath.Join(t.TempDir(), "x"), fileState{}); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("got %v", err)
	}
	list := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), maxSmallBytes+1))
	}))
	defer list.Close()
	if _, err := f.list(context.Background(), list.URL); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("got %v", err)
	}
}

func TestSourceIsWhereTheRecordsComeFrom(t *testing.T) {
	for url, want := range map[string]string{
		DefaultURL: SourceOSVDev, DefaultURL + "/": SourceOSVDev,
		"https://mirror.example.org/osv": SourceOSV, "": SourceOSV,
	} {
		if got := sourceOf(url); got != want {
			t.Errorf("%q: got %s, want %s", url, got, want)
		}
	}
}
