package layer

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync"
)

// maxCopied is the largest file of a plain layer that is copied to memory
// though it could be read where it lies: that is cheaper for a small one, and
// serves the hard links to it.
const maxCopied = maxRecent / 2

// errChanged means that a blob was written to while it was read.
var errChanged = errors.New("the layer was changed while it was read")

// direct reads the content of one file of a plain layer by offset, ahead of the
// stream. What the stream hashes afterwards is another read of the same bytes,
// so settle compares the two: a report must rest on the bytes that have the
// diff ID, also if somebody writes to the file meanwhile.
type direct struct {
	at        io.ReaderAt
	off, size int64
	stats     *Stats

	mu     sync.Mutex
	seed   maphash.Seed
	sums   map[int64]uint64 // of the blocks that were read, by number
	block  []byte           // the one read last
	number int64
	err    error
}

// directBlock is how much is read, and compared, at a time.
const directBlock = 64 << 10

func newDirect(at io.ReaderAt, off, size int64, stats *Stats) *direct {
	return &direct{at: at, off: off, size: size, stats: stats, seed: maphash.MakeSeed(), sums: map[int64]uint64{}, number: -1}
}

// ReadAt implements io.ReaderAt.
func (d *direct) ReadAt(p []byte, off int64) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off < 0 {
		return 0, errors.New("read file: negative offset")
	}
	for n < len(p) && off < d.size {
		if err := d.load(off / directBlock); err != nil {
			return n, err
		}
		// The last block is shorter.
		m := copy(p[n:], d.block[off%directBlock:])
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// load reads a block. d.mu is held.
func (d *direct) load(number int64) error {
	if d.err != nil || number == d.number {
		return d.err
	}
	if d.block == nil {
		d.block = make([]byte, min(directBlock, d.size))
	}
	start := number * directBlock
	d.block, d.number = d.block[:min(directBlock, d.size-start)], number
	n, err := d.at.ReadAt(d.block, d.off+start)
	d.stats.BytesRead.Add(int64(n))
	if n < len(d.block) {
		d.number = -1
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read file: %w", err)
	}
	sum := maphash.Bytes(d.seed, d.block)
	if old, ok := d.sums[number]; ok && old != sum {
		d.err = errChanged
		return d.err
	}
	d.sums[number] = sum
	return nil
}

// settle compares what was read with the content as it goes by in r.
func (d *direct) settle(r io.Reader) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.number = -1
	for number := int64(0); d.err == nil && number*directBlock < d.size && len(d.sums) > 0; number++ {
		d.block = d.block[:min(directBlock, d.size-number*directBlock)]
		if _, err := io.ReadFull(r, d.block); err != nil {
			return fmt.Errorf("read layer: %w", err)
		}
		sum, ok := d.sums[number]
		if ok && sum != maphash.Bytes(d.seed, d.block) {
			d.err = errChanged
		}
		delete(d.sums, number)
	}
	return d.err
}
