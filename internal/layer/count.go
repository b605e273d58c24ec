package layer

import (
	"io"
	"sync/atomic"
)

// countedReaderAt adds what is read to a counter.
type countedReaderAt struct {
	r io.ReaderAt
	n *atomic.Int64
}

func (c *countedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n.Add(int64(n))
	return n, err
}

// countedReader is the same for streams.
type countedReader struct {
	r io.Reader
	n *atomic.Int64
	// own counts this reader alone.
	own atomic.Int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	c.own.Add(int64(n))
	return n, err
}
