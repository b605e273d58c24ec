package analyzetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// Info is stat data for a file that stands nowhere.
type Info struct {
	Base  string
	Bytes int64
	Perm  fs.FileMode
}

// Name implements fs.FileInfo.
func (i Info) Name() string { return i.Base }

// Size implements fs.FileInfo.
func (i Info) Size() int64 { return i.Bytes }

// Mode implements fs.FileInfo.
func (i Info) Mode() fs.FileMode { return i.Perm }

// ModTime implements fs.FileInfo.
func (i Info) ModTime() time.Time { return time.Time{} }

// IsDir implements fs.FileInfo.
func (i Info) IsDir() bool { return i.Perm.IsDir() }

// Sys implements fs.FileInfo.
func (i Info) Sys() any { return nil }

// File is content that lies at p in a layer, with mode 0644.
func File(p string, content []byte) analyze.File {
	return analyze.File{
		Path:    p,
		Info:    Info{Base: path.Base(p), Bytes: int64(len(content)), Perm: 0o644},
		Content: bytes.NewReader(content),
		Size:    int64(len(content)),
	}
}

// Open is the file name of this machine, as if it lay at p in a layer. It is
// closed with the test.
func Open(t testing.TB, p, name string) analyze.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return analyze.File{Path: p, Info: fi, Content: f, Size: fi.Size()}
}

// Facts runs a on f, which must be wanted and pass its Sniff, and returns what
// it learned; an error fails the test.
func Facts(t testing.TB, a analyze.Analyzer, f analyze.File) *report.Facts {
	t.Helper()
	if !a.Wants(f.Path, f.Info) {
		t.Fatalf("%s does not want %s", a.Key(), f.Path)
	}
	if s, ok := a.(analyze.Sniffer); ok {
		head := make([]byte, min(analyze.SniffBytes, f.Size))
		if _, err := f.Content.ReadAt(head, 0); err != nil {
			t.Fatal(err)
		}
		if !s.Sniff(head) {
			t.Fatalf("%s sniffs and refuses %s", a.Key(), f.Path)
		}
	}
	facts, err := a.Analyze(t.Context(), f)
	if err != nil {
		t.Fatalf("analyse %s: %v", f.Path, err)
	}
	return facts
}

var keyForm = regexp.MustCompile(`^[a-z]+/[1-9][0-9]*$`)

// Suite is what every analyser must hold to, tried on good, a file it
// understands: its key has the form "name/1"; the same file gives the same
// facts; an empty, shortened or damaged file makes an error or facts, never a
// panic; an ended context ends the work.
//
// With ONCEOVER_SAMPLES=DIR the good file is left in DIR as a Sample, for tests
// of the whole program.
func Suite(t *testing.T, a analyze.Analyzer, p string, good []byte) {
	leave(t, Sample{Key: a.Key(), Path: p, Content: good})
	t.Run("key", func(t *testing.T) {
		if !keyForm.MatchString(a.Key()) {
			t.Errorf("key %q: want name/number", a.Key())
		}
	})
	t.Run("same facts twice", func(t *testing.T) {
		first, second := encode(t, a, p, good), encode(t, a, p, good)
		if !bytes.Equal(first, second) {
			t.Errorf("first\n%s\nthen\n%s", first, second)
		}
		if string(first) == "null" {
			t.Error("the good file gives no facts")
		}
	})
	t.Run("empty", func(t *testing.T) {
		analyseAnything(t, a, File(p, nil))
	})
	t.Run("shortened", func(t *testing.T) {
		step := max(1, len(good)/64)
		for n := 0; n < len(good); n += step {
			analyseAnything(t, a, File(p, good[:n]))
		}
	})
	t.Run("shorter than its size", func(t *testing.T) {
		f := File(p, good[:len(good)/2])
		f.Size = int64(len(good))
		analyseAnything(t, a, f)
	})
	t.Run("damaged", func(t *testing.T) {
		step := max(1, len(good)/64)
		for i := 0; i < len(good); i += step {
			bad := bytes.Clone(good)
			for j := i; j < min(i+4, len(bad)); j++ {
				bad[j] ^= 0xff
			}
			analyseAnything(t, a, File(p, bad))
		}
	})
	t.Run("ended context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Analyze(ctx, File(p, good)); err == nil {
			t.Error("an ended context gives no error")
		}
	})
}

// A Sample is a file that an analyser understands.
type Sample struct {
	Key     string `json:"key"`
	Path    string `json:"path"`
	Content []byte `json:"content"`
}

func leave(t *testing.T, s Sample) {
	t.Helper()
	dir := os.Getenv("ONCEOVER_SAMPLES")
	if dir == "" {
		return
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if err := os.WriteFile(filepath.Join(dir, hex.EncodeToString(sum[:])+".json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func encode(t *testing.T, a analyze.Analyzer, p string, content []byte) []byte {
	t.Helper()
	facts, err := a.Analyze(t.Context(), File(p, content))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// maxTime is far above what any damaged file of these tests may take.
const maxTime = 20 * time.Second

func analyseAnything(t *testing.T, a analyze.Analyzer, f analyze.File) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), maxTime)
	defer cancel()
	_, _ = a.Analyze(ctx, f) // any answer will do, a panic or a hang will not
	if ctx.Err() != nil {
		t.Error("the analysis takes too long")
	}
}
