package advisory

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/minisign"
)

// A mirrorServer serves bundles as a server of ours does.
type mirrorServer struct {
	*httptest.Server
	db  string
	pub *Publisher

	mu       sync.Mutex
	requests []string
	fault    func(w http.ResponseWriter, r *http.Request) bool
}

func newMirror(t *testing.T, key *minisign.SecretKey) *mirrorServer {
	t.Helper()
	m := &mirrorServer{db: filepath.Join(t.TempDir(), "advisories.db"), pub: &Publisher{Dir: t.TempDir(), Sign: key}}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.requests = append(m.requests, fmt.Sprint(filepath.Base(r.URL.Path), " ", r.Header.Get("Range")))
		m.mu.Unlock()
		if m.fault != nil && m.fault(w, r) {
			return
		}
		if !strings.HasPrefix(r.URL.Path, ServedPath+"/") {
			http.NotFound(w, r)
			return
		}
		m.pub.ServeHTTP(w, r)
	}))
	t.Cleanup(m.Close)
	return m
}

// offer makes the server offer a generation with these advisories.
func (m *mirrorServer) offer(t *testing.T, ids ...string) Index {
	t.Helper()
	if _, err := Import(t.Context(), ImportOptions{File: aged(t, ids...), To: m.db}); err != nil {
		t.Fatal(err)
	}
	idx, err := m.pub.Publish(t.Context(), m.db)
	if err != nil {
		t.Fatal(err)
	}
	return idx
}

// many are enough advisories to make a delta worth while.
func many(more ...string) []string {
	for i := range 300 {
		more = append(more, fmt.Sprintf("CVE-2026-%d", 10000+i*i))
	}
	return more
}

func TestMirror(t *testing.T) {
	key := testKey(t)
	s := newMirror(t, key)
	first := s.offer(t, many()...)
	to := filepath.Join(t.TempDir(), "advisories.db")
	run := func(o UpdateOptions) (UpdateResult, error) {
		o.To, o.Fetch = to, quick
		if o.URL == "" {
			o.URL = s.URL
		}
		return Update(t.Context(), o)
	}
	keys := []minisign.PublicKey{key.Public()}
	res, err := run(UpdateOptions{Keys: keys})
	if err != nil || !res.Mirror || res.Delta || !res.Rebuilt || res.SignedBy != key.Public().ID.String() || res.Meta.ID != first.Generation {
		t.Fatalf("%+v, %v", res, err)
	}
	sameBytes(t, s.db, to)
	if res, err = run(UpdateOptions{URL: s.URL + ServedPath + "/"}); err != nil || res.Rebuilt || res.Meta.ID != first.Generation {
		t.Errorf("the same again: %+v, %v", res, err)
	}

	// What changed is enough, and goes on where it was cut off.
	second := s.offer(t, many("A-1")...)
	if len(second.Deltas) != 1 {
		t.Fatalf("%+v", second)
	}
	cut := false
	s.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if cut || filepath.Base(r.URL.Path) != second.Deltas[0].Name {
			return false
		}
		cut = true
		raw, err := os.ReadFile(filepath.Join(s.pub.Dir, second.Deltas[0].Name))
		if err != nil {
			t.Error(err)
		}
		fi, err := os.Stat(filepath.Join(s.pub.Dir, second.Deltas[0].Name))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, fi.ModTime().UnixNano(), fi.Size()))
		w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
		w.Write(raw[:100])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	if res, err = run(UpdateOptions{Keys: keys}); err != nil || !res.Delta || res.Meta.ID != second.Generation {
		t.Fatalf("%+v, %v", res, err)
	}
	sameBytes(t, s.db, to)
	if all := strings.Join(s.requests, "\n"); !strings.Contains(all, second.Deltas[0].Name+" bytes=100-") || strings.Contains(all, "\n"+second.Whole.Name) {
		t.Errorf("requests:\n%s", all)
	}
	left, err := os.ReadDir(to + ".sources")
	if err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}

	// A delta that is gone or does not fit leaves the whole.
	third := s.offer(t, many("A-1", "A-2")...)
	s.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if filepath.Base(r.URL.Path) == third.Whole.Name {
			return false
		}
		if strings.Contains(r.URL.Path, "-"+third.Generation) {
			http.NotFound(w, r)
			return true
		}
		return false
	}
	if res, err = run(UpdateOptions{Keys: keys}); err != nil || res.Delta || res.Meta.ID != third.Generation {
		t.Fatalf("%+v, %v", res, err)
	}
	s.fault = nil

	// The server goes back, we do not.
	s.offer(t, "CVE-2020-1000") // far fewer
	if _, err := run(UpdateOptions{Keys: keys}); fault.CodeOf(err) != fault.Conflict || !strings.Contains(err.Error(), "lost most") {
		t.Errorf("got %v", err)
	}
	if res, err = run(UpdateOptions{Keys: keys, Force: true}); err != nil || res.Meta.Records != 1 {
		t.Errorf("by force: %+v, %v", res, err)
	}
}

func TestMirrorRefuses(t *testing.T) {
	key := testKey(t)
	s := newMirror(t, key)
	idx := s.offer(t, "A-1", "A-2")
	for _, tc := range []struct {
		name string
		keys []minisign.PublicKey
		do   func(w http.ResponseWriter, name string) bool
		code fault.Code
		want error
		says string
	}{
		{"another key", []minisign.PublicKey{testKey(t).Public()}, nil, fault.Forbidden, minisign.ErrKey, ""},
		{"no signature", []minisign.PublicKey{key.Public()}, func(w http.ResponseWriter, name string) bool {
			w.WriteHeader(http.StatusNotFound)
			return strings.HasSuffix(name, SignatureSuffix)
		}, fault.Forbidden, ErrUnsigned, ""},
		{"another file than the index names", nil, func(w http.ResponseWriter, name string) bool {
			w.Write(make([]byte, idx.Whole.Size))
			return strings.HasSuffix(name, ".bundle")
		}, fault.Unavailable, errChecksum, ""},
		{"more than the index says", nil, func(w http.ResponseWriter, name string) bool {
			w.Write(make([]byte, idx.Whole.Size+1))
			return strings.HasSuffix(name, ".bundle")
		}, fault.TooLarge, nil, ""},
		{"another schema", nil, func(w http.ResponseWriter, name string) bool {
			fmt.Fprintf(w, `{"onceover_advisories":1,"schema":99,"generation":%q,"whole":{"name":"%s.bundle","size":1,"sha256":%q}}`, idx.Generation, idx.Generation, idx.Whole.SHA256)
			return name == IndexName
		}, fault.Unavailable, nil, "schema 99"},
		{"another format", nil, func(w http.ResponseWriter, name string) bool {
			fmt.Fprint(w, `{"onceover_advisories":2}`)
			return name == IndexName
		}, fault.Unavailable, nil, "format 2"},
		{"a name that leads elsewhere", nil, func(w http.ResponseWriter, name string) bool {
			fmt.Fprintf(w, `{"onceover_advisories":1,"schema":%d,"generation":"../x","whole":{"name":"../x.bundle","size":1,"sha256":%q}}`, Schema, idx.Whole.SHA256)
			return name == IndexName
		}, fault.Unavailable, errCorrupt, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.fault = nil
			if tc.do != nil {
				s.fault = func(w http.ResponseWriter, r *http.Request) bool {
					rec := httptest.NewRecorder()
					if !tc.do(rec, filepath.Base(r.URL.Path)) || !strings.HasPrefix(r.URL.Path, ServedPath) {
						return false
					}
					w.WriteHeader(rec.Code)
					w.Write(rec.Body.Bytes())
					return true
				}
			}
			to := filepath.Join(t.TempDir(), "advisories.db")
			_, err := Update(t.Context(), UpdateOptions{URL: s.URL, To: to, Keys: tc.keys, Fetch: quick})
			if fault.CodeOf(err) != tc.code || err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v: %v", fault.CodeOf(err), err)
			}
			if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something was put in place: %v", err)
			}
		})
	}
	// Archives of records are signed by nobody.
	other := newServer(t, false)
	_, err := Update(t.Context(), UpdateOptions{URL: other.URL, To: filepath.Join(t.TempDir(), "a.db"), Keys: []minisign.PublicKey{key.Public()}, Fetch: quick})
	if !errors.Is(err, ErrUnsigned) {
		t.Errorf("archives: %v", err)
	}
}

// The directory holds what the index names and nothing else; what is there is
// not made again; only files of ours are served.
func TestPublisher(t *testing.T) {
	s := newMirror(t, nil)
	a := s.offer(t, many()...)
	b := s.offer(t, many("A-1")...)
	names := func() (out []string) {
		entries, err := os.ReadDir(s.pub.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, e.Name())
		}
		return out
	}
	if got := names(); len(got) != 3 || b.Deltas[0].Base != a.Generation {
		t.Errorf("%v, %+v", got, b)
	}
	before, err := os.Stat(filepath.Join(s.pub.Dir, b.Whole.Name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.pub.Publish(t.Context(), s.db); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(filepath.Join(s.pub.Dir, b.Whole.Name)); err != nil || !os.SameFile(before, after) {
		t.Errorf("made again: %v", err)
	}
	// With a key everything is made again.
	s.pub.Sign = testKey(t)
	if idx, err := s.pub.Publish(t.Context(), s.db); err != nil || idx.SignedBy == "" || len(names()) != 5 {
		t.Errorf("%+v, %v: %v", idx, err, names())
	}
	if err := os.WriteFile(filepath.Join(s.pub.Dir, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		ServedPath + "/" + IndexName: 200, ServedPath + "/" + b.Whole.Name: 200, ServedPath + "/" + b.Whole.Name + SignatureSuffix: 200,
		ServedPath + "/secret": 404, ServedPath + "/": 404, ServedPath + "/..%2fadvisories.db": 404,
		ServedPath + "/" + strings.Repeat("0", 64) + ".bundle": 404,
	} {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
		if etag := resp.Header.Get("ETag"); want == 200 {
			req, err := http.NewRequest(http.MethodGet, s.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("If-None-Match", etag)
			if again, err := http.DefaultClient.Do(req); err != nil || again.StatusCode != http.StatusNotModified {
				t.Errorf("%s with %s: %v, %v", path, etag, again.Status, err)
			}
		}
	}
	if resp, err := http.Post(s.URL+ServedPath+"/"+IndexName, "text/plain", strings.NewReader("x")); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("post: %v, %v", resp.Status, err)
	}
}
