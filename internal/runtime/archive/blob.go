package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/oci"
)

// compression names what a stream that starts with head is compressed with,
// "" if it is not.
func compression(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}): // RFC 1952
		return "gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878
		return "zstd"
	case len(head) == 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:], []byte{0x2a, 0x4d, 0x18}): // a skippable frame first: zstd:chunked
		return "zstd"
	}
	return ""
}

// readDocument reads a manifest, index or configuration. With a digest its
// content is verified.
func readDocument(ms members, name string, want image.Digest) ([]byte, error) {
	m, err := ms.open(name)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if m.Size() > oci.MaxManifestBytes {
		return nil, fault.New(fault.TooLarge, "%s has %d bytes: the limit is %d", name, m.Size(), oci.MaxManifestBytes)
	}
	b, err := io.ReadAll(m)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if got := image.DigestOf(b); want != "" && got != want {
		return nil, fault.New(fault.Invalid, "%s is damaged: its content has the digest %s", name, got)
	}
	return b, nil
}

// layers hands out the layers of one archive.
type layers struct {
	members members

	mu       sync.Mutex
	verified map[string]image.Digest // plain layers that were read whole
}

// layer describes a layer that lies in a member. stored is the digest of the
// member's content, "" where the format does not tell.
func (l *layers) layer(name string, stored, diffID image.Digest) (image.Layer, error) {
	m, err := l.members.open(name)
	if err != nil {
		return image.Layer{}, err
	}
	size := m.Size()
	if err := m.Close(); err != nil {
		return image.Layer{}, err
	}
	return image.Layer{DiffID: diffID, BlobSize: size, Blob: func(ctx context.Context) (io.ReadCloser, error) {
		return l.open(ctx, name, stored, diffID)
	}}, nil
}

func (l *layers) open(ctx context.Context, name string, stored, diffID image.Digest) (io.ReadCloser, error) {
	m, err := l.members.open(name)
	if err != nil {
		return nil, err
	}
	var head [4]byte
	n, err := m.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		m.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if compression(head[:n]) != "" {
		if stored == "" {
			return m, nil // a part of a file, as it is
		}
		return &verifier{m: m, name: name, want: stored, hash: sha256.New()}, nil
	}
	// Plain: what is stored is what the diff ID names.
	return &plain{
		verifier: verifier{m: m, name: name, want: diffID, hash: sha256.New()},
		verify:   sync.OnceValue(func() error { return l.verify(ctx, m, name, diffID) }),
	}, nil
}

// plain is a plain layer. Read in order it is verified on the way; who reads
// by offset has it verified as a whole before the first byte.
type plain struct {
	verifier
	verify func() error
}

func (p *plain) ReadAt(b []byte, off int64) (int, error) {
	if err := p.verify(); err != nil {
		return 0, err
	}
	return p.m.ReadAt(b, off)
}

func (p *plain) Size() int64 { return p.m.Size() }

// Outer is the part of a file that the layer is. Who reads there has to check
// the diff ID, and nothing else needs a check.
func (p *plain) Outer() (r io.ReaderAt, off, n int64) { return p.m.Outer() }

func (l *layers) verify(ctx context.Context, m member, name string, want image.Digest) error {
	l.mu.Lock()
	got, ok := l.verified[name]
	l.mu.Unlock()
	if !ok {
		h := sha256.New()
		const chunk = 1 << 20
		for off := int64(0); off < m.Size(); off += chunk {
			if err := ctx.Err(); err != nil {
				return err
			}
			part := io.NewSectionReader(m, off, min(chunk, m.Size()-off))
			if _, err := io.Copy(h, part); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
		}
		got = digestOf(h)
		l.mu.Lock()
		if l.verified == nil {
			l.verified = map[string]image.Digest{}
		}
		l.verified[name] = got
		l.mu.Unlock()
	}
	if got != want {
		return fault.New(fault.Invalid, "%s is damaged: its digest is %s and not %s", name, got, want)
	}
	return nil
}

// verifier checks a stream against a digest at its end.
type verifier struct {
	m    member
	name string
	want image.Digest // "" for no check
	hash hash.Hash
	err  error
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.m.Read(p)
	v.hash.Write(p[:n])
	if err == io.EOF && v.want != "" {
		if got := digestOf(v.hash); got != v.want {
			err = fault.New(fault.Invalid, "%s is damaged: its digest is %s and not %s", v.name, got, v.want)
		}
	}
	v.err = err
	return n, err
}

func (v *verifier) Close() error { return v.m.Close() }

func digestOf(h hash.Hash) image.Digest {
	return image.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}
