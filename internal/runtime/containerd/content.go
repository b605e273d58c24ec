package containerd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	contentapi "github.com/containerd/containerd/api/services/content/v1"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/oci"
)

// content reads the content store: in place where the files can be seen,
// through the API where not.
type content struct {
	src  *Source
	ns   string
	root string // "" if the daemon does not say
}

func (s *Source) content(ns string, rs roots) content {
	return content{src: s, ns: ns, root: rs.content}
}

func (c content) path(d image.Digest) string {
	return filepath.Join(c.root, "blobs", "sha256", d.Hex())
}

// open opens the blob file. The error is fs.ErrNotExist or fs.ErrPermission
// where the API may still know better.
func (c content) open(d image.Digest) (*os.File, int64, error) {
	if c.root == "" {
		return nil, 0, fs.ErrNotExist
	}
	f, err := os.Open(c.path(d))
	if err != nil {
		return nil, 0, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, fi.Size(), nil
}

// fetch reads a manifest or configuration and verifies its digest. It is an
// oci.Fetch.
func (c content) fetch(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	rc, _, err := c.blob(ctx, d.Digest)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, oci.MaxManifestBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > oci.MaxManifestBytes {
		return nil, fault.New(fault.TooLarge, "%s is larger than %d bytes", d.Digest, oci.MaxManifestBytes)
	}
	if got := image.DigestOf(b); got != d.Digest {
		return nil, fault.New(fault.Invalid, "%s is damaged: its content has the digest %s", d.Digest, got)
	}
	return b, nil
}

// size of a blob that is here; fault.NotFound if it is not.
func (c content) size(ctx context.Context, d oci.Descriptor) (int64, error) {
	if d.Encrypted() {
		return 0, fault.New(fault.Unsupported, "%s is encrypted", d.Digest)
	}
	if c.root != "" {
		if fi, err := os.Stat(c.path(d.Digest)); err == nil {
			return fi.Size(), nil
		} else if errors.Is(err, fs.ErrNotExist) && c.visible() {
			return 0, fault.New(fault.NotFound, "%s is not in the content store", d.Digest)
		}
	}
	resp, err := c.src.contentClient().Info(inNamespace(ctx, c.ns), &contentapi.InfoRequest{Digest: string(d.Digest)})
	if err != nil {
		return 0, c.src.fault(err, "look up "+string(d.Digest))
	}
	return resp.GetInfo().GetSize(), nil
}

// visible reports whether the content store itself can be seen from here, so
// that an absent file is an absent blob.
func (c content) visible() bool {
	fi, err := os.Stat(filepath.Join(c.root, "blobs", "sha256"))
	return err == nil && fi.IsDir()
}

// opener is the Blob function of a layer.
func (c content) opener(d oci.Descriptor) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		rc, _, err := c.blob(ctx, d.Digest)
		return rc, err
	}
}

func (c content) blob(ctx context.Context, d image.Digest) (io.ReadCloser, int64, error) {
	f, size, err := c.open(d)
	if err == nil {
		return &fileBlob{SectionReader: io.NewSectionReader(f, 0, size), f: f}, size, nil
	}
	if errors.Is(err, fs.ErrNotExist) && c.root != "" && c.visible() {
		return nil, 0, fault.New(fault.NotFound, "%s is not in the content store", d)
	}
	return c.stream(ctx, d)
}

// fileBlob is a blob read in place. Its digest was verified by containerd when
// it was stored.
type fileBlob struct {
	*io.SectionReader
	f *os.File
}

func (b *fileBlob) Close() error { return b.f.Close() }

// stream reads a blob through the API.
func (c content) stream(ctx context.Context, d image.Digest) (io.ReadCloser, int64, error) {
	info, err := c.src.contentClient().Info(inNamespace(ctx, c.ns), &contentapi.InfoRequest{Digest: string(d)})
	if err != nil {
		return nil, 0, c.src.fault(err, "look up "+string(d))
	}
	ctx, cancel := context.WithCancel(ctx)
	client, err := c.src.contentClient().Read(inNamespace(ctx, c.ns), &contentapi.ReadContentRequest{Digest: string(d)})
	if err != nil {
		cancel()
		return nil, 0, c.src.fault(err, "read "+string(d))
	}
	size := info.GetInfo().GetSize()
	return &streamBlob{src: c.src, client: client, cancel: cancel, left: size, digest: d}, size, nil
}

type streamBlob struct {
	src    *Source
	client contentapi.Content_ReadClient
	cancel context.CancelFunc
	digest image.Digest
	buf    []byte
	left   int64 // bytes that are still to come
}

func (b *streamBlob) Read(p []byte) (int, error) {
	for len(b.buf) == 0 {
		msg, err := b.client.Recv()
		if err == io.EOF && b.left > 0 {
			return 0, io.ErrUnexpectedEOF
		}
		if err == io.EOF {
			return 0, io.EOF
		}
		if err != nil {
			return 0, b.src.fault(err, "read "+string(b.digest))
		}
		b.buf = msg.GetData()
		b.left -= int64(len(b.buf))
	}
	n := copy(p, b.buf)
	b.buf = b.buf[n:]
	return n, nil
}

func (b *streamBlob) Close() error {
	b.cancel()
	return nil
}
