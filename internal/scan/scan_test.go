package scan

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/cache"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/layer"
	"github.com/onceover/onceover/internal/report"
)

type entry struct{ name, content, link string }

func tarOf(t testing.TB, es ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range es {
		h := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(e.content))}
		if e.link != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, e.link, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, e.content)
	}
	w.Close()
	return b.Bytes()
}

func layerOf(b []byte) image.Layer {
	return image.Layer{DiffID: image.DigestOf(b), Blob: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

func memory(t testing.TB) *cache.Cache {
	t.Helper()
	c, err := cache.New(cache.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const dpkgStatus = `Package: libfoo
Status: install ok installed
Architecture: amd64
Source: foo (1.0-1)
Version: 1.0-1+b2

`

func npmPackage(name, v string) string { return `{"name":"` + name + `","version":"` + v + `"}` }

func TestLayer(t *testing.T) {
	b := tarOf(t,
		entry{name: "var/lib/dpkg/status", content: dpkgStatus},
		entry{name: "usr/lib/os-release", content: "ID=debian\nVERSION_ID=\"12\"\n"},
		entry{name: "app/node_modules/a/package.json", content: npmPackage("old", "1.0.0")},
		entry{name: "app/node_modules/a/package.json", content: npmPackage("a", "2.0.0")},
		entry{name: "app/node_modules/b/package.json", link: "app/node_modules/a/package.json"},
		entry{name: "app/node_modules/c/package.json", content: `{"name":`},
		entry{name: "app/readme.txt", content: "x"},
	)
	s := New(Config{Set: all.Set(), Cache: memory(t)})
	r, err := s.Layer(context.Background(), layerOf(b))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Complete {
		t.Errorf("incomplete: %v", r.Problems)
	}
	var got []string
	for _, p := range r.Packages {
		got = append(got, p.Type+" "+p.Name+" "+p.Version+" "+p.Path)
	}
	want := []string{"npm a 2.0.0 /app/node_modules/a/package.json", "npm a 2.0.0 /app/node_modules/b/package.json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(r.Databases) != 1 || r.Databases[0].Packages[0].Source != "foo" {
		t.Errorf("dpkg: got %+v", r.Databases)
	}
	// Two entries of one path are one file: the later one.
	l := r.Ledger
	if l.Files != 6 || l.Files != l.Parsed+l.Examined+l.Passed+l.Skipped[skipDamaged] || l.Skipped[skipDamaged] != 1 {
		t.Errorf("ledger does not add up: %+v", l)
	}
	if len(r.Problems) != 1 || r.Problems[0].Path != "/app/node_modules/c/package.json" {
		t.Errorf("problems: %+v", r.Problems)
	}

	before := s.Stats()
	if _, err := s.Layer(context.Background(), layerOf(b)); err != nil {
		t.Fatal(err)
	}
	after := s.Stats()
	if after.FilesOpened != before.FilesOpened || after.BytesRead != before.BytesRead || after.LayersCached != 1 {
		t.Errorf("a cached layer was opened: %+v, %+v", before, after)
	}
}

func TestLayerDirectoryAndBlobAgree(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "var/lib/dpkg/status")
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(dpkgStatus), 0o644); err != nil {
		t.Fatal(err)
	}
	b := tarOf(t, entry{name: "var/lib/dpkg/status", content: dpkgStatus})
	s := New(Config{Set: all.Set()})
	fromBlob, err := s.Layer(context.Background(), layerOf(b))
	if err != nil {
		t.Fatal(err)
	}
	fromDir, err := s.Layer(context.Background(), image.Layer{DiffID: image.DigestOf(b), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromBlob.Databases, fromDir.Databases); diff != "" {
		t.Error(diff)
	}
}

func TestDamagedLayerIsIncompleteAndNotKept(t *testing.T) {
	b := tarOf(t, entry{name: "var/lib/dpkg/status", content: dpkgStatus}, entry{name: "big", content: strings.Repeat("x", 4096)})
	for name, l := range map[string]image.Layer{
		"truncated":     layerOf(b[:len(b)-4096]),
		"wrong diff ID": {DiffID: image.DigestOf(nil), Blob: layerOf(b).Blob},
	} {
		t.Run(name, func(t *testing.T) {
			l.DiffID = image.DigestOf([]byte(name))
			c := memory(t)
			s := New(Config{Set: all.Set(), Cache: c})
			r, err := s.Layer(context.Background(), l)
			if err != nil {
				t.Fatal(err)
			}
			if r.Complete || len(r.Problems) == 0 || len(r.Databases) != 1 {
				t.Errorf("want what was read, marked incomplete: %+v", r)
			}
			if _, ok := c.Get(string(l.DiffID), all.Set().Key()); ok {
				t.Error("an incomplete report was kept")
			}
		})
	}
}

// What this host fails to do says nothing about the layer: another host, or a
// later scan, must not take such a report for the whole.
func TestTroubleOfTheHostIsNotKept(t *testing.T) {
	const large = 64<<20 + 1 // goes through a temporary file
	b := tarOf(t, entry{name: "bad", content: strings.Repeat("x", large)}, entry{name: "var/lib/dpkg/status", content: dpkgStatus})
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	c := memory(t)
	set := analyze.NewSet(report.CheckPackages, append([]analyze.Analyzer{hostile{func(context.Context) error { return nil }}}, all.Set().Analyzers()...)...)
	l := layerOf(b)
	r, err := New(Config{Set: set, Cache: c}).Layer(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if r.Complete || r.Ledger.Skipped[skipUnread] != 1 || len(r.Databases) != 1 {
		t.Errorf("complete %v, %+v, %d databases", r.Complete, r.Ledger, len(r.Databases))
	}
	if _, ok := c.Get(string(l.DiffID), set.Key()); ok {
		t.Error("the report was kept")
	}

	w := &worker{ctx: t.Context(), watch: newWatchdog(nil, nil), want: []wanted{{0, reader{}}}}
	defer w.watch.close()
	e := &layer.Entry{Kind: layer.File, Path: "/bad", Info: analyzetest.Info{}}
	w.analyze(e, &layer.Content{ReaderAt: brokenDisk{}, Size: 10})
	if !errors.Is(w.trouble, syscall.EIO) {
		t.Errorf("a broken disk went by: %v", w.trouble)
	}
}

// reader is an analyser that hides why it could not read.
type reader struct{}

func (reader) Key() string                    { return "reader/1" }
func (reader) Wants(string, fs.FileInfo) bool { return true }
func (reader) Analyze(_ context.Context, f analyze.File) (*report.Facts, error) {
	if _, err := f.Content.ReadAt(make([]byte, 1), 0); err != nil {
		return nil, errors.New("damaged")
	}
	return nil, nil
}

type brokenDisk struct{}

func (brokenDisk) ReadAt([]byte, int64) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}
}

func TestLayerGone(t *testing.T) {
	s := New(Config{Set: all.Set()})
	_, err := s.Layer(context.Background(), image.Layer{DiffID: image.DigestOf(nil), Dir: filepath.Join(t.TempDir(), "none")})
	if fault.CodeOf(err) != fault.NotFound {
		t.Errorf("missing directory: got %v", err)
	}
	b := tarOf(t, entry{name: "var/lib/dpkg/status", content: dpkgStatus})
	l := layerOf(b)
	l.Check = func(context.Context) error { return fault.New(fault.NotFound, "snapshot is gone") }
	c := memory(t)
	s = New(Config{Set: all.Set(), Cache: c})
	if _, err := s.Layer(context.Background(), l); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("deleted while read: got %v", err)
	}
	if _, ok := c.Get(string(l.DiffID), all.Set().Key()); ok {
		t.Error("the report of a deleted layer was kept")
	}
}

// hostile is an analyser that does what image content might make one do.
type hostile struct {
	do func(ctx context.Context) error
}

func (hostile) Key() string                        { return "hostile/1" }
func (hostile) Wants(p string, _ fs.FileInfo) bool { return p == "/bad" }
func (h hostile) Analyze(ctx context.Context, _ analyze.File) (*report.Facts, error) {
	return nil, h.do(ctx)
}

func TestHostileContentCostsOneFile(t *testing.T) {
	b := tarOf(t, entry{name: "bad", content: "x"}, entry{name: "var/lib/dpkg/status", content: dpkgStatus})
	for reason, do := range map[string]func(context.Context) error{
		skipPanic:    func(context.Context) error { panic("index out of range") },
		skipDamaged:  func(context.Context) error { return errors.New("bad header") },
		skipTooLarge: func(context.Context) error { return fault.New(fault.TooLarge, "x") },
		skipTime:     func(context.Context) error { return context.DeadlineExceeded },
	} {
		t.Run(reason, func(t *testing.T) {
			s := New(Config{Set: analyze.NewSet(report.CheckPackages, append([]analyze.Analyzer{hostile{do}}, all.Set().Analyzers()...)...)})
			r, err := s.Layer(context.Background(), layerOf(b))
			if err != nil {
				t.Fatal(err)
			}
			if r.Ledger.Skipped[reason] != 1 || len(r.Problems) != 1 || len(r.Databases) != 1 {
				t.Errorf("got %+v, problems %+v", r.Ledger, r.Problems)
			}
			if p := r.Problems[0]; p.Reason != reason || p.Path != "/bad" {
				t.Errorf("the problem does not say what the ledger counts: %+v", p)
			}
			// What was given up half-way might say more another time.
			if r.Complete != (reason != skipTime) {
				t.Errorf("complete %v", r.Complete)
			}
		})
	}
}

// TestOneLayerIsReadOnce has many askers; the first of them gives up.
func TestOneLayerIsReadOnce(t *testing.T) {
	b := tarOf(t, entry{name: "var/lib/dpkg/status", content: dpkgStatus})
	gate := make(chan struct{})
	l := image.Layer{DiffID: image.DigestOf(b), Blob: func(ctx context.Context) (io.ReadCloser, error) {
		select {
		case <-gate:
			return io.NopCloser(bytes.NewReader(b)), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	s := New(Config{Set: all.Set(), Cache: memory(t), Parallel: 8})
	first, giveUp := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Layer(first, l) })
	errs := make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			_, err := s.Layer(context.Background(), l)
			errs <- err
		})
	}
	giveUp()
	close(gate)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := s.Stats().LayersAnalyzed; n != 1 {
		t.Errorf("layer was analysed %d times", n)
	}
}

func FuzzLayer(f *testing.F) {
	f.Add(tarOf(f, entry{name: "var/lib/dpkg/status", content: dpkgStatus}))
	f.Add(tarOf(f, entry{name: "lib/apk/db/installed", content: "P:musl\nV:1.2-r0\nA:x86_64\n\n"}))
	s := New(Config{Set: all.Set().WithFiles()})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := s.Layer(context.Background(), layerOf(b))
		if err != nil {
			t.Skip(err)
		}
		for _, p := range r.Problems {
			if strings.HasPrefix(p.Message, errPanic.Error()) {
				t.Errorf("%+v", p)
			}
		}
		report.Merge([]*report.LayerReport{r, r})
	})
}
