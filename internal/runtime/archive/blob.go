package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"

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

// layerOf describes a layer that lies in a member: a part of a file, as it is.
// Whoever reads it checks the diff ID, which is all that counts; a digest of
// the member tells nothing more.
func layerOf(ms members, name string, diffID image.Digest) (image.Layer, error) {
	m, err := ms.open(name)
	if err != nil {
		return image.Layer{}, err
	}
	size := m.Size()
	if err := m.Close(); err != nil {
		return image.Layer{}, err
	}
	return image.Layer{DiffID: diffID, BlobSize: size, Blob: func(context.Context) (io.ReadCloser, error) {
		m, err := ms.open(name)
		if err != nil {
			return nil, err
		}
		return m, nil
	}}, nil
}
