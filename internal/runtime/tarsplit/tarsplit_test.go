package tarsplit_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/runtime/tarsplit"
)

// A split is a record being made: what the engines' library does when it
// unpacks a layer.
type split struct {
	t     testing.TB
	lines bytes.Buffer
}

func (s *split) add(entry map[string]any) {
	b, err := json.Marshal(entry)
	if err != nil {
		s.t.Fatal(err)
	}
	s.lines.Write(append(b, '\n'))
}

func (s *split) segment(b []byte) { s.add(map[string]any{"type": 2, "payload": b}) }

func (s *split) file(name string, size int) {
	s.add(map[string]any{"type": 1, "name": name, "size": size, "payload": []byte("checksum")})
}

// write is the record as a file.
func (s *split) write() string {
	s.t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(s.lines.Bytes()); err != nil {
		s.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		s.t.Fatal(err)
	}
	p := filepath.Join(s.t.TempDir(), "record.gz")
	if err := os.WriteFile(p, b.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// ofTar takes a tar apart: headers and padding to the record, contents away.
func ofTar(t testing.TB, b []byte) *split {
	t.Helper()
	s := &split{t: t}
	r := bytes.NewReader(b)
	tr := tar.NewReader(r)
	at := 0
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data := len(b) - r.Len() // where the content begins
		s.segment(b[at:data])
		s.file(h.Name, int(h.Size))
		at = data + int(h.Size)
	}
	s.segment(b[at:])
	return s
}

func makeTar(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.Linkname
		if h.Typeflag == tar.TypeReg {
			h.Size, h.Linkname = int64(len(content)), ""
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t *testing.T, record, dir string) ([]byte, error) {
	t.Helper()
	r, err := tarsplit.Open(t.Context(), tarsplit.Config{Record: record, Dir: dir})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// file is a header whose Linkname stands for the content.
func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o644}
}

// TestRoundTrip: what comes out is the tar, byte for byte.
func TestRoundTrip(t *testing.T) {
	long := strings.Repeat("d/", 100) + "file"
	want := makeTar(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "usr/lib/", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "lib", Linkname: "/usr/lib"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "up", Linkname: "../../usr/../usr"},
		file("lib/through-link", "one"), // the file lies in usr/lib
		file("up/lib/second", strings.Repeat("two", 100_000)),
		file("./usr/../third", "three"),
		file("empty", ""),
		file(".wh.gone", ""),
		tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "third"},
		file(long, "deep"),
		file("not utf-8 \xff", "four"),
	)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"usr/lib/through-link": "one", "usr/lib/second": strings.Repeat("two", 100_000), "third": "three", long: "deep", "not utf-8 \xff": "four",
	} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("/usr/lib", filepath.Join(dir, "lib")), os.Symlink("../../usr/../usr", filepath.Join(dir, "up"))); err != nil {
		t.Fatal(err)
	}
	s := ofTar(t, want)
	// The library keeps names that JSON cannot hold as bytes.
	lines := strings.Replace(s.lines.String(), `"name":"not utf-8 \ufffd"`, `"name_raw":"bm90IHV0Zi04IP8="`, 1)
	if lines == s.lines.String() {
		t.Fatal("no such name in the record")
	}
	s.lines.Reset()
	s.lines.WriteString(lines)
	got, err := read(t, s.write(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came out, %d went in, and they differ", len(got), len(want))
	}
}

// TestRefused: a record leads to nothing but regular files beneath its
// directory.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	fill := func(errs ...error) {
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	fill(
		os.WriteFile(outside, []byte("secret"), 0o600),
		os.Symlink(outside, filepath.Join(dir, "link")),
		os.Symlink(filepath.Dir(outside), filepath.Join(dir, "out")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
		os.WriteFile(filepath.Join(dir, "short"), []byte("s"), 0o600),
		mkfifo(filepath.Join(dir, "pipe")),
		os.Mkdir(filepath.Join(dir, "dir"), 0o700),
	)
	for _, tc := range []struct {
		name string
		make func(s *split)
		code fault.Code
		is   error
	}{
		{name: "link", make: func(s *split) { s.file("link", 6) }},
		{name: "directory that leads out", make: func(s *split) { s.file("out/secret", 6) }, is: fs.ErrNotExist},
		{name: "dots that lead out", make: func(s *split) { s.file("../../../../../../../.."+outside, 6) }, is: fs.ErrNotExist},
		{name: "loop", make: func(s *split) { s.file("loop/x", 6) }},
		{name: "pipe", make: func(s *split) { s.file("pipe", 6) }, code: fault.Invalid},
		{name: "directory", make: func(s *split) { s.file("dir", 6) }, code: fault.Invalid},
		{name: "the root itself", make: func(s *split) { s.file("/", 6) }, is: fs.ErrInvalid},
		{name: "absent", make: func(s *split) { s.file("absent", 6) }, is: fs.ErrNotExist},
		{name: "shorter file", make: func(s *split) { s.file("short", 6) }, code: fault.Invalid},
		{name: "claimed size", make: func(s *split) { s.file("short", 1<<60) }, code: fault.Invalid},
		{name: "negative size", make: func(s *split) { s.file("short", -1) }, code: fault.Invalid},
		{name: "long name", make: func(s *split) { s.file(strings.Repeat("a", 4097), 1) }, code: fault.TooLarge, is: tarsplit.ErrLimit},
		{name: "long entry", make: func(s *split) { s.segment(make([]byte, 4<<20)) }, code: fault.TooLarge, is: tarsplit.ErrLimit},
		{name: "another type", make: func(s *split) { s.add(map[string]any{"type": 3}) }, code: fault.Invalid},
		{name: "no JSON", make: func(s *split) { s.lines.WriteString("{\n") }, code: fault.Invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &split{t: t}
			tc.make(s)
			_, err := read(t, s.write(), dir)
			if err == nil || fault.CodeOf(err) != tc.code || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("got %v (%v), want %v, %v", err, fault.CodeOf(err), tc.code, tc.is)
			}
		})
	}
	t.Run("cut record", func(t *testing.T) {
		s := &split{t: t}
		s.segment(bytes.Repeat([]byte("abcdefgh"), 10_000))
		record := s.write()
		if err := os.Truncate(record, 100); err != nil {
			t.Fatal(err)
		}
		if _, err := read(t, record, dir); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("got %v, want invalid", err)
		}
	})
	t.Run("long record", func(t *testing.T) {
		s := &split{t: t}
		s.lines.WriteString(strings.Repeat("\n", 1001))
		r, err := tarsplit.OpenLimited(t.Context(), tarsplit.Config{Record: s.write(), Dir: dir}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.ReadAll(r); !errors.Is(err, tarsplit.ErrLimit) {
			t.Errorf("got %v, want the limit", err)
		}
	})
	t.Run("no gzip", func(t *testing.T) {
		if _, err := read(t, filepath.Join(dir, "short"), dir); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("got %v, want invalid", err)
		}
	})
	t.Run("no record", func(t *testing.T) {
		if _, err := read(t, filepath.Join(dir, "absent"), dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want that it does not exist", err)
		}
	})
	t.Run("record that is a link", func(t *testing.T) {
		if _, err := read(t, filepath.Join(dir, "link"), dir); err == nil {
			t.Error("no error")
		}
	})
}

func TestCancelled(t *testing.T) {
	s := &split{t: t}
	s.segment([]byte("a"))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := tarsplit.Open(ctx, tarsplit.Config{Record: s.write(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
}

// FuzzRecord reads any record over a small tree: no panic, no hang, and never
// more than the record and the files can give.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("{\"type\":2,\"payload\":\"YWJj\",\"position\":0}\n{\"type\":1,\"name\":\"a\",\"size\":3,\"payload\":\"eA==\",\"position\":1}\n"))
	f.Add([]byte("{\"type\":1,\"name\":\"l/a\",\"size\":1}\n\n{\"type\":1,\"name_raw\":\"YQ==\",\"size\":2}"))
	f.Add([]byte("{\"type\":1,\"name\":\"l/../l/./..//b/l\",\"size\":9223372036854775807}\n"))
	dir := f.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "b"), 0o755), os.Symlink("/b/../b", filepath.Join(dir, "l")), os.Symlink("l", filepath.Join(dir, "b", "l")),
		os.WriteFile(filepath.Join(dir, "a"), []byte("abc"), 0o600), os.WriteFile(filepath.Join(dir, "b", "a"), []byte("def"), 0o600)); err != nil {
		f.Fatal(err)
	}
	tmp := f.TempDir()
	f.Fuzz(func(t *testing.T, lines []byte) {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(lines)
		_ = w.Close()
		record := filepath.Join(tmp, fmt.Sprintf("%d.gz", os.Getpid()))
		if err := os.WriteFile(record, z.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := tarsplit.Open(t.Context(), tarsplit.Config{Record: record, Dir: dir})
		if err != nil {
			return
		}
		defer r.Close()
		n, _ := io.Copy(io.Discard, r)
		if most := int64(len(lines)) * 4; n > most {
			t.Errorf("%d bytes of a record of %d", n, len(lines))
		}
	})
}
