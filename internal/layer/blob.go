package layer

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// ErrDeferred is what Open returns for a hard link whose content went by
// earlier in the stream. Walk shows the entry again, with its content, when
// the rest of the layer has been read.
var ErrDeferred = errors.New("content of a hard link comes later")

// maxZstdWindow bounds the memory of the zstd decoder; images use 8 MiB, the
// format allows more than we are ready to give.
const maxZstdWindow = 128 << 20

type blobWalker struct {
	ctx   context.Context
	layer image.Layer
	opts  Options
	stats *Stats
	visit Visitor
	// files are the regular files seen, by path hash, for hard links.
	files map[uint64]seenFile
	// targets are the files that hard links lead to, link by link.
	targets map[string]string
	// links are the hard links to be shown again, by target.
	links map[string][]hardLink
	// gone counts how often a target has gone by in the second pass.
	gone map[string]int
}

// seenFile is a regular file of a stream. A path may come more than once; nth
// counts from 1.
type seenFile struct {
	info tarInfo
	nth  int
}

// hardLink is another name of the file that came as the nth of its path.
type hardLink struct {
	path string
	nth  int
}

func walkBlob(ctx context.Context, l image.Layer, opts Options, visit Visitor) error {
	w := &blobWalker{
		ctx: ctx, layer: l, opts: opts, stats: opts.Stats, visit: visit,
		files: map[uint64]seenFile{}, targets: map[string]string{}, links: map[string][]hardLink{}, gone: map[string]int{},
	}
	if err := w.pass(w.first); err != nil {
		return err
	}
	if len(w.links) == 0 {
		return nil
	}
	return w.pass(w.second)
}

// pass reads the whole stream once, and checks it against the diff ID.
func (w *blobWalker) pass(each func(*tar.Header, *tar.Reader) error) error {
	blob, err := w.layer.Blob(w.ctx)
	if err != nil {
		return fmt.Errorf("open layer: %w", err)
	}
	defer blob.Close()
	w.stats.FilesOpened.Add(1)
	stream, err := newStream(w.ctx, blob, w.stats)
	if err != nil {
		return err
	}
	defer stream.close()

	tr := tar.NewReader(stream)
	names := 0
	for n := 0; ; n++ {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read layer: %w", err)
		}
		if n >= maxEntries {
			return fmt.Errorf("%w: more than %d entries", ErrLimit, maxEntries)
		}
		if len(h.Name) > maxPath || len(h.Linkname) > maxPath {
			return fmt.Errorf("%w: a path longer than %d bytes", ErrLimit, maxPath)
		}
		if names += len(h.Name) + len(h.Linkname); names > maxNames {
			return fmt.Errorf("%w: names of more than %d bytes", ErrLimit, maxNames)
		}
		// They can be parts of a long extended header.
		h.Name, h.Linkname = strings.Clone(h.Name), strings.Clone(h.Linkname)
		if err := each(h, tr); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return fmt.Errorf("read layer: %w", err)
	}
	if got := stream.digest(); w.layer.DiffID != "" && got != w.layer.DiffID {
		return fmt.Errorf("%w: got %s", ErrDigest, got)
	}
	return nil
}

// first shows every entry.
func (w *blobWalker) first(h *tar.Header, tr *tar.Reader) error {
	p := report.CleanPath(h.Name)
	if p == "/" {
		return nil
	}
	if strings.Count(p, "/") > maxDepth {
		return fmt.Errorf("%w: directories deeper than %d", ErrLimit, maxDepth)
	}
	if dir, base := path.Split(p); strings.HasPrefix(base, whiteoutPrefix) {
		switch {
		case base == whiteoutOpaque:
			return w.visit(&Entry{Kind: Opaque, Path: path.Clean(dir)})
		case strings.HasPrefix(base, whiteoutMeta):
			return w.visit(&Entry{Kind: Other, Path: p}) // bookkeeping of aufs
		default:
			name, ok := whiteoutOf(base)
			if !ok {
				return nil
			}
			return w.visit(&Entry{Kind: Whiteout, Path: path.Join(dir, name)})
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return w.visit(&Entry{Kind: Dir, Path: p})
	case tar.TypeSymlink:
		return w.visit(&Entry{Kind: Symlink, Path: p, Target: h.Linkname})
	case tar.TypeReg, tar.TypeGNUSparse:
		info := newTarInfo(h, path.Base(p))
		key := report.PathHash(p)
		w.files[key] = seenFile{info, w.files[key].nth + 1}
		delete(w.targets, p)
		return w.visit(&Entry{Kind: File, Path: p, Info: info, src: opener(w.opener(h, tr))})
	case tar.TypeLink:
		target := report.CleanPath(h.Linkname)
		if t, ok := w.targets[target]; ok { // a link to a link
			target = t
		}
		file, ok := w.files[report.PathHash(target)]
		if !ok {
			info := newTarInfo(h, path.Base(p))
			return w.visit(&Entry{Kind: File, Path: p, Info: info, LinkTo: target, src: opener(func() (*Content, error) {
				return nil, fmt.Errorf("hard link to %s: %w", target, fs.ErrNotExist)
			})})
		}
		w.targets[p] = target
		return w.visit(&Entry{Kind: File, Path: p, Info: file.info.named(path.Base(p)), LinkTo: target, src: opener(func() (*Content, error) {
			w.links[target] = append(w.links[target], hardLink{p, file.nth})
			return nil, ErrDeferred
		})})
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return w.visit(&Entry{Kind: Other, Path: p})
	}
}

// second shows the deferred hard links, where their content goes by.
func (w *blobWalker) second(h *tar.Header, tr *tar.Reader) error {
	target := report.CleanPath(h.Name)
	links := w.links[target]
	if len(links) == 0 {
		return nil
	}
	if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse {
		return nil
	}
	w.gone[target]++
	var c *Content
	var err error
	for _, l := range links {
		if l.nth != w.gone[target] {
			continue
		}
		if c == nil && err == nil {
			if c, err = w.opener(h, tr)(); err == nil {
				defer c.Close()
			}
		}
		open := func() (*Content, error) {
			if err != nil {
				return nil, err
			}
			return &Content{ReaderAt: c.ReaderAt, Size: c.Size}, nil
		}
		if err := w.visit(&Entry{Kind: File, Path: l.path, Info: newTarInfo(h, path.Base(l.path)), src: opener(open)}); err != nil {
			return err
		}
	}
	return nil
}

// opener is a file of a stream: it has no siblings that are still there.
type opener func() (*Content, error)

func (o opener) open() (*Content, error)               { return o() }
func (o opener) sibling(string, int64) ([]byte, error) { return nil, fs.ErrNotExist }

// opener reads the present file of tr, to memory if it fits.
func (w *blobWalker) opener(h *tar.Header, tr *tar.Reader) func() (*Content, error) {
	return func() (*Content, error) {
		if h.Size > maxContent {
			return nil, fmt.Errorf("%w: file of %d bytes", ErrLimit, h.Size)
		}
		w.stats.FilesOpened.Add(1)
		if h.Size <= w.opts.Memory {
			var b bytes.Buffer
			if _, err := io.Copy(&b, tr); err != nil {
				return nil, fmt.Errorf("read file: %w", err)
			}
			return &Content{ReaderAt: bytes.NewReader(b.Bytes()), Size: int64(b.Len())}, nil
		}
		if w.opts.Spool != nil {
			return spoolTo(w.opts.Spool, tr)
		}
		return spool(tr)
	}
}

// spool copies r to a temporary file that has no name and goes with its
// descriptor.
func spool(r io.Reader) (*Content, error) {
	f, err := os.CreateTemp("", "onceover-*")
	if err != nil {
		return nil, fmt.Errorf("%w: spool file: %w", ErrHost, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: spool file: %w", ErrHost, err)
	}
	n, err := io.Copy(f, r)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: spool file: %w", ErrHost, err)
	}
	return &Content{ReaderAt: f, Size: n, close: f.Close}, nil
}

// spoolTo copies r to f in place of what it held, and leaves f open.
func spoolTo(f *os.File, r io.Reader) (*Content, error) {
	err := f.Truncate(0)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	var n int64
	if err == nil {
		n, err = io.Copy(struct{ io.Writer }{f}, r)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: spool file: %w", ErrHost, err)
	}
	return &Content{ReaderAt: f, Size: n}, nil
}

// tarInfo is the stat data of a tar entry under the name of its path. It holds
// on to nothing of the header, which can be large.
type tarInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
}

func newTarInfo(h *tar.Header, name string) tarInfo {
	fi := h.FileInfo()
	return tarInfo{name: name, size: fi.Size(), mode: fi.Mode(), modTime: fi.ModTime()}
}

// named is the same file under another name.
func (i tarInfo) named(name string) tarInfo {
	i.name = name
	return i
}

func (i tarInfo) Name() string       { return i.name }
func (i tarInfo) Size() int64        { return i.size }
func (i tarInfo) Mode() fs.FileMode  { return i.mode }
func (i tarInfo) ModTime() time.Time { return i.modTime }
func (i tarInfo) IsDir() bool        { return i.mode.IsDir() }
func (i tarInfo) Sys() any           { return nil }

// stream is a layer uncompressed, hashed and bounded.
type stream struct {
	ctx   context.Context
	in    *countedReader
	r     io.Reader
	sum   hash.Hash
	n     int64
	close func()
}

// newStream looks at the first bytes and uncompresses.
func newStream(ctx context.Context, blob io.Reader, stats *Stats) (*stream, error) {
	in := &countedReader{r: blob, n: &stats.BytesRead}
	br := bufio.NewReaderSize(in, 256<<10)
	head, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read layer: %w", err)
	}
	s := &stream{ctx: ctx, in: in, sum: sha256.New(), close: func() {}}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("read gzip layer: %w", err)
		}
		s.r, s.close = zr, func() { zr.Close() }
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(head) == 4 && bytes.Equal(head[1:], []byte{0x2a, 0x4d, 0x18}) && head[0]&0xf0 == 0x50:
		zr, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("read zstd layer: %w", err)
		}
		s.r, s.close = zr, zr.Close
	default:
		s.r = br
	}
	return s, nil
}

// Read hashes and counts what goes by.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	s.n += int64(n)
	if s.n > maxLayerBytes {
		return n, fmt.Errorf("%w: layer larger than %d bytes", ErrLimit, int64(maxLayerBytes))
	}
	if s.n > ratioAllowance && s.n > maxRatio*s.in.own {
		return n, fmt.Errorf("%w: layer grows more than %d times", ErrLimit, maxRatio)
	}
	if cerr := s.ctx.Err(); cerr != nil {
		return n, cerr
	}
	return n, err
}

func (s *stream) digest() image.Digest {
	return image.Digest("sha256:" + hex.EncodeToString(s.sum.Sum(nil)))
}
