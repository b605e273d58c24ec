package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/onceover/onceover/internal/image"
)

// changing is a blob that can be read anywhere, and that somebody may write to.
type changing struct {
	*bytes.Reader
	ahead func(p []byte, off int64) // sees what is read by offset
	asked int
}

func (c *changing) Close() error { return nil }

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	c.asked++
	n, err := c.Reader.ReadAt(p, off)
	if c.ahead != nil {
		c.ahead(p[:n], off)
	}
	return n, err
}

func noise(n int) string {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(b)
	return string(b)
}

// Large files of a plain layer are read by offset: nothing is copied to memory
// or to a spool file, and what is read is what the stream holds.
func TestDirect(t *testing.T) {
	large := noise(maxCopied + 3*directBlock/2)
	b := tarOf(t, file("small", "small"), file("large", large), &tar.Header{Name: "link", Typeflag: tar.TypeLink, Linkname: "large"}, file("after", "after"))
	unwritable, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer unwritable.Close()
	for _, tc := range []struct {
		name string
		// offsets and lengths to read of the large file, in order; nil for
		// all of it from the start.
		reads [][2]int
		ahead func() func([]byte, int64)
		want  error
	}{
		{name: "whole"},
		{name: "parts", reads: [][2]int{{maxCopied, 100}, {0, 4}, {directBlock - 3, 7}, {len(large) - 5, 5}, {0, 3 * directBlock}}},
		{name: "nothing", reads: [][2]int{}},
		{name: "beyond the end", reads: [][2]int{{len(large) - 5, 50}, {len(large) + directBlock, 1}}},
		{name: "another content by offset", ahead: func() func([]byte, int64) {
			return func(p []byte, _ int64) { p[len(p)/2] ^= 1 }
		}, want: errChanged},
		{name: "another content each time", reads: [][2]int{{0, 1}, {maxCopied, 1}, {0, 1}}, ahead: func() func([]byte, int64) {
			n := byte(0)
			return func(p []byte, _ int64) { n++; p[0] ^= n }
		}, want: errChanged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &changing{}
			if tc.ahead != nil {
				c.ahead = tc.ahead()
			}
			l := image.Layer{DiffID: image.DigestOf(b), Blob: func(context.Context) (io.ReadCloser, error) {
				c.Reader = bytes.NewReader(b)
				return c, nil
			}}
			seen := map[string]bool{}
			err := Options{Spool: unwritable}.Walk(t.Context(), l, func(e *Entry) error {
				if e.Kind != File {
					return nil
				}
				got, err := e.Open()
				if errors.Is(err, ErrDeferred) {
					return nil
				}
				if err != nil {
					return err
				}
				defer got.Close()
				seen[e.Path] = true
				if e.Path != "/large" && e.Path != "/link" {
					return nil
				}
				reads := tc.reads
				if reads == nil {
					reads = [][2]int{{0, len(large)}}
				}
				for _, r := range reads {
					p := make([]byte, r[1])
					n, err := got.ReadAt(p, int64(r[0]))
					if tc.want != nil {
						continue
					}
					rest := large[min(r[0], len(large)):]
					want := rest[:min(r[1], len(rest))]
					if string(p[:n]) != want || (err == io.EOF) != (n < r[1]) || err != nil && err != io.EOF {
						t.Errorf("%s: %d bytes at %d: %d bytes, %v, equal: %v", e.Path, r[1], r[0], n, err, string(p[:n]) == want)
					}
				}
				return nil
			})
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if tc.want == nil && len(seen) != 4 {
				t.Errorf("read %v", seen)
			}
			if tc.reads == nil && c.asked == 0 {
				t.Error("nothing was read by offset")
			}
		})
	}
}
