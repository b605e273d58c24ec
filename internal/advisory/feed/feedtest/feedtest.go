package feedtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/test/shareddata"
)

// The archives of shared test data, by the part of their name before
// ".tar.zst".
const (
	// Sources has feeds as their publishers serve them
	// (pkg/fetch/*/testdata/fixtures), and what another program reads in
	// them (golden, pkg/extract).
	Sources = "vuls-source-fixtures"
	// Scenarios has records of matching tests, in vunnel's shape.
	Scenarios = "grype-matcher-testdata"
)

var (
	mu       sync.Mutex
	archives = map[string]map[string][]byte{}
)

// Files are the regular files of an archive whose names begin with prefix, by
// the rest of their name. There must be one at least. Without shared data the
// test is skipped.
func Files(t testing.TB, archive, prefix string) map[string][]byte {
	t.Helper()
	dir := shareddata.Dir(t)
	mu.Lock()
	defer mu.Unlock()
	all, ok := archives[archive]
	if !ok {
		var err error
		if all, err = unpack(filepath.Join(dir, "fixtures", archive+".tar.zst")); err != nil {
			t.Fatal(err)
		}
		archives[archive] = all
	}
	out := map[string][]byte{}
	for name, b := range all {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out[strings.TrimPrefix(rest, "/")] = b
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s holds no file %s…", archive, prefix)
	}
	return out
}

// Sample is one file of an archive.
func Sample(t testing.TB, archive, name string) []byte {
	t.Helper()
	b, ok := Files(t, archive, name)[""]
	if !ok {
		t.Fatalf("%s holds no file %s", archive, name)
	}
	return b
}

func unpack(name string) (map[string][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer z.Close()
	out, err := untar(z)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

func untar(in io.Reader) (map[string][]byte, error) {
	out := map[string][]byte{}
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		out[path.Clean(h.Name)] = b
	}
}

// Untar are the regular files of a .tar.gz that is a sample itself.
func Untar(t testing.TB, b []byte) map[string][]byte {
	t.Helper()
	out, err := untar(bytes.NewReader(Gunzip(t, b)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Gunzip takes the compression off a sample.
func Gunzip(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Sound checks what a fuzz test reads: errors name the file, and records have
// what every record must have.
func Sound(t testing.TB, name string, rs []feed.Record, err error) {
	t.Helper()
	var e *feed.Error
	if err != nil && (!errors.As(err, &e) || e.File != name) {
		t.Errorf("error %q does not name the file", err)
	}
	for _, r := range rs {
		for _, a := range r.Affected {
			if a.Ecosystem == "" {
				t.Errorf("%s: a package without an ecosystem", r.ID)
			}
			for _, g := range a.Ranges {
				if g.Introduced == "" || g.Fixed != "" && g.LastAffected != "" {
					t.Errorf("%s: range %+v", r.ID, g)
				}
			}
			if len(a.Ranges)+len(a.Versions) == 0 && a.State != feed.StateNotAffected && a.State != feed.StateUndetermined {
				t.Errorf("%s: %s, and no version that is", r.ID, a.State)
			}
		}
	}
}

// Records are what f reads in one file, which it must want, in the order it
// emits them. An error fails the test.
func Records(t testing.TB, f feed.Feed, name string, content []byte) []feed.Record {
	t.Helper()
	if !f.Wants(name) {
		t.Fatalf("feed %s does not want %s", f.Info().Name, name)
	}
	out, err := Read(f, name, content)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Read has f read one file.
func Read(f feed.Feed, name string, content []byte) ([]feed.Record, error) {
	var out []feed.Record
	err := f.Read(context.Background(), feed.File{Name: name, Reader: bytes.NewReader(content)}, func(r feed.Record) error {
		out = append(out, r)
		return nil
	})
	return out, err
}

// Rejects fails the test unless f refuses a file with an error that names the
// file and the line, 0 for any but none.
func Rejects(t testing.TB, f feed.Feed, name, content string, line int) {
	t.Helper()
	_, err := Read(f, name, []byte(content))
	var e *feed.Error
	switch {
	case err == nil:
		t.Errorf("feed %s reads %.60q without an error", f.Info().Name, content)
	case !errors.As(err, &e) || e.File != name || e.Line < 1:
		t.Errorf("feed %s, %.60q: error %q names no file and line", f.Info().Name, content, err)
	case line != 0 && e.Line != line:
		t.Errorf("feed %s, %.60q: error %q, want line %d", f.Info().Name, content, err, line)
	}
}

// RejectsCut fails the test unless f refuses a JSON or XML file that is cut off,
// wherever that is.
func RejectsCut(t testing.TB, f feed.Feed, name string, whole []byte) {
	t.Helper()
	whole = bytes.TrimSpace(whole)
	step := max(1, len(whole)/200)
	for n := 0; n < len(whole); n += step {
		Rejects(t, f, name, string(whole[:n]), 0)
	}
	Rejects(t, f, name, string(whole[:len(whole)-1]), 0)
}

// Server serves files by their path until the test ends, and returns its
// address without a slash at the end.
func Server(t testing.TB, files map[string][]byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(b)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Get reads a text from a server, as feed.Fetched wants it.
func Get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, res.Status)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, feed.MaxDocumentBytes))
	return string(b), err
}

// Dir lays files out in a directory of the test, by their path.
func Dir(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, files[name], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
