package analyze

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func zipOf(t *testing.T, n int, name string, content []byte, method uint16) File {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for range n {
		e, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return File{Path: "/a.zip", Content: bytes.NewReader(b.Bytes()), Size: int64(b.Len())}
}

func TestOpenZip(t *testing.T) {
	f := zipOf(t, 1, "a", []byte("text"), zip.Deflate)
	z, err := OpenZip(t.Context(), f)
	if err != nil || len(z.Files) != 1 {
		t.Fatalf("got %v, %v", z, err)
	}
	r, err := z.Files[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); string(b) != "text" || err != nil || z.Err() != nil {
		t.Errorf("got %q, %v, %v", b, err, z.Err())
	}
	for name, text := range map[string]string{"empty": "", "script": "#!/bin/sh\n"} {
		if z, err := OpenZip(t.Context(), File{Content: strings.NewReader(text), Size: int64(len(text))}); z != nil || err != nil {
			t.Errorf("%s: got %v, %v", name, z, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenZip(ctx, f); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v", err)
	}
}

func TestZipLimits(t *testing.T) {
	for what, f := range map[string]File{
		"bytes:":         {Size: maxZipBytes + 1},
		"entries":        zipOf(t, maxZipEntries+1, "a", nil, zip.Store),
		"bytes to read:": zipOf(t, maxZipDirectory/60_000+1, strings.Repeat("a", 60_000), nil, zip.Store),
	} {
		if _, err := OpenZip(t.Context(), f); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	z, err := OpenZip(t.Context(), zipOf(t, 1, "a", make([]byte, maxZipReadBytes+1), zip.Store))
	if err != nil {
		t.Fatal(err)
	}
	r, err := z.Files[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); !errors.Is(z.Err(), ErrLimit) {
		t.Errorf("content: got %v, %v", err, z.Err())
	}
}
