package layer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/image"
)

const (
	// maxZstdWindow bounds the memory of the zstd decoder; images use
	// 8 MiB, the format allows more than we are ready to give.
	maxZstdWindow = 128 << 20
	// blockBytes is how much of a layer goes from the one who uncompresses
	// it to the one who hashes and parses it at a time, and blocks how many
	// are on the way at most.
	blockBytes = 256 << 10
	blocks     = 4
	// firstBlock is the size of the first block: many layers are small.
	firstBlock = 16 << 10
	// storedBytes is how much is read at a time of a compressed layer.
	storedBytes = 64 << 10
)

// stream is a layer uncompressed, hashed and bounded. It skips forward without
// copying. While the reader hashes and parses one block, a goroutine
// uncompresses the next; a plain layer is read by the reader itself, since
// handing blocks from one processor to another costs more than reading them.
type stream struct {
	ctx  context.Context
	r    io.Reader
	read *atomic.Int64 // as stored
	at   io.ReaderAt   // a plain layer that can be read anywhere, or nil
	made int64         // bytes uncompressed
	done func()

	sum hash.Hash
	n   int64 // bytes taken out

	block []byte // what is left of the present block
	whole []byte // the present block, to be used again
	err   error  // how it ended

	// full is nil if there is no goroutine.
	full chan filled
	free chan []byte
	stop chan struct{}
	wait sync.WaitGroup
}

type filled struct {
	b   []byte
	err error
}

// newStream looks at the first bytes and uncompresses.
func newStream(ctx context.Context, blob io.Reader, stats *Stats) (*stream, error) {
	in := &countedReader{r: blob, n: &stats.BytesRead}
	br := bufio.NewReaderSize(in, storedBytes)
	head, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read layer: %w", err)
	}
	s := &stream{ctx: ctx, r: br, read: &in.own, sum: sha256.New(), done: func() {}}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("read gzip layer: %w", err)
		}
		s.r, s.done = zr, func() { zr.Close() }
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(head) == 4 && bytes.Equal(head[1:], []byte{0x2a, 0x4d, 0x18}) && head[0]&0xf0 == 0x50:
		zr, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("read zstd layer: %w", err)
		}
		s.r, s.done = zr, zr.Close
	default:
		s.at, _ = blob.(io.ReaderAt)
		return s, nil
	}
	s.full, s.free, s.stop = make(chan filled, blocks), make(chan []byte, blocks), make(chan struct{})
	for range blocks {
		s.free <- nil // made when it is needed
	}
	s.wait.Go(s.ahead)
	return s, nil
}

// ahead uncompresses block by block.
func (s *stream) ahead() {
	for {
		var b []byte
		select {
		case b = <-s.free:
		case <-s.stop:
			return
		}
		f := s.fill(b)
		s.full <- f // has room for every block there is
		if f.err != nil {
			return
		}
	}
}

// fill uncompresses the next block, to b if that has the size of one.
func (s *stream) fill(b []byte) filled {
	switch {
	case s.made == 0:
		b = make([]byte, firstBlock)
	case len(b) < blockBytes:
		b = make([]byte, blockBytes)
	}
	n, err := io.ReadFull(s.r, b)
	if errors.Is(err, io.ErrUnexpectedEOF) && n > 0 {
		err = nil // an end, or damage: the next read says which
	}
	s.made += int64(n)
	switch {
	case s.made > maxLayerBytes:
		err = fmt.Errorf("%w: layer larger than %d bytes", ErrLimit, int64(maxLayerBytes))
	case s.made > ratioAllowance && s.made > maxRatio*s.read.Load():
		err = fmt.Errorf("%w: layer grows more than %d times", ErrLimit, maxRatio)
	case s.ctx.Err() != nil:
		err = s.ctx.Err()
	}
	return filled{b[:n], err}
}

// next makes sure that block holds something, and hashes it.
func (s *stream) next() error {
	for len(s.block) == 0 {
		if s.err != nil {
			return s.err
		}
		var f filled
		if s.full == nil {
			f = s.fill(s.whole[:cap(s.whole)])
		} else {
			if s.whole != nil {
				s.free <- s.whole[:cap(s.whole)]
			}
			f = <-s.full
		}
		s.block, s.whole, s.err = f.b, f.b, f.err
		s.sum.Write(f.b)
	}
	return nil
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.next(); err != nil {
		return 0, err
	}
	n := copy(p, s.block)
	s.block = s.block[n:]
	s.n += int64(n)
	return n, nil
}

// Seek implements io.Seeker as far as package tar uses it: to ask for the
// offset, and to go forward.
func (s *stream) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 {
		return 0, errors.New("a stream goes forward only")
	}
	for offset > 0 {
		if err := s.next(); err != nil {
			return s.n, err
		}
		n := min(int64(len(s.block)), offset)
		s.block = s.block[n:]
		s.n += n
		offset -= n
	}
	return s.n, nil
}

// drain reads to the end.
func (s *stream) drain() error {
	for {
		if err := s.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		s.n += int64(len(s.block))
		s.block = nil
	}
}

// close ends the goroutine. It waits for a read that is going on.
func (s *stream) close() {
	if s.stop != nil {
		close(s.stop)
		s.wait.Wait()
	}
	s.done()
}

// digest is that of what was read, the diff ID at the end.
func (s *stream) digest() image.Digest {
	return image.Digest("sha256:" + hex.EncodeToString(s.sum.Sum(nil)))
}
