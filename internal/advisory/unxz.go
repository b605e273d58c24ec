package advisory

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// maxXZDictionary is the largest dictionary that is set aside for an xz file:
// that of xz -9. A file may ask for 4 GiB, which is why the container is read
// here and only LZMA2 left to the library.
const maxXZDictionary = 64 << 20

// errXZ is wrapped by errors about the container.
var errXZ = errors.New("damaged xz file")

// An xzReader takes the compression off an xz file of one stream with LZMA2 as
// its only filter, which is what xz and createrepo_c write
// (https://tukaani.org/xz/xz-file-format.txt). Checksums are verified.
type xzReader struct {
	in     *bufio.Reader
	read   int64 // bytes taken from in
	check  byte
	sum    hash.Hash
	block  io.Reader // nil between blocks
	blocks uint64
	err    error
}

func newXZ(r io.Reader) (io.Reader, error) {
	x := &xzReader{in: bufio.NewReader(r)}
	head, err := x.take(12)
	if err != nil {
		return nil, err
	}
	if string(head[:6]) != "\xfd7zXZ\x00" || head[6] != 0 || head[7] > 0x0f || crc32.ChecksumIEEE(head[6:8]) != binary.LittleEndian.Uint32(head[8:]) {
		return nil, fmt.Errorf("header of the stream: %w", errXZ)
	}
	x.check = head[7]
	switch x.check {
	case 0:
		x.sum = nil
	case 1:
		x.sum = crc32.NewIEEE()
	case 4:
		x.sum = crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		x.sum = sha256.New()
	default:
		return nil, fmt.Errorf("checksum of kind %d: %w", x.check, errXZ)
	}
	return x, nil
}

// Read implements io.Reader.
func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			if x.err = x.open(); x.err != nil {
				break
			}
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		switch {
		case errors.Is(err, io.EOF):
			x.err = x.close()
		case err != nil:
			x.err = fmt.Errorf("%w: %w", errXZ, err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, x.err
}

// take reads n bytes, all of them.
func (x *xzReader) take(n int) ([]byte, error) {
	b := make([]byte, n)
	k, err := io.ReadFull(x.in, b)
	x.read += int64(k)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// open reads the header of the next block, or what follows the last one: then
// the error is io.EOF.
func (x *xzReader) open() error {
	size, err := x.in.ReadByte()
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	x.read++
	if size == 0 {
		return x.end()
	}
	head, err := x.take((int(size)+1)*4 - 1)
	if err != nil {
		return err
	}
	head = append([]byte{size}, head...)
	body, sum := head[:len(head)-4], head[len(head)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return fmt.Errorf("header of a block: %w", errXZ)
	}
	flags, rest := body[1], bytes.NewReader(body[2:])
	if flags&0x3f != 0 {
		return fmt.Errorf("more than one filter: %w", errXZ)
	}
	for _, sized := range []byte{0x40, 0x80} {
		if flags&sized != 0 {
			if _, err := binary.ReadUvarint(rest); err != nil {
				return fmt.Errorf("header of a block: %w", errXZ)
			}
		}
	}
	var filter [3]byte // id, bytes of properties, dictionary
	if _, err := io.ReadFull(rest, filter[:]); err != nil || filter[0] != 0x21 || filter[1] != 1 {
		return fmt.Errorf("a filter that is not LZMA2: %w", errXZ)
	}
	dictionary, err := lzma.DecodeDictCap(filter[2])
	if err != nil {
		return fmt.Errorf("%w: %w", errXZ, err)
	}
	if dictionary > maxXZDictionary {
		return fmt.Errorf("dictionary of %d bytes: %w", dictionary, feed.ErrTooLarge)
	}
	if x.sum != nil {
		x.sum.Reset()
	}
	x.read = 0 // blocks are aligned by their own length
	x.block, err = lzma.Reader2Config{DictCap: max(lzma.MinDictCap, int(dictionary))}.NewReader2(&counted{x})
	if err != nil {
		return fmt.Errorf("%w: %w", errXZ, err)
	}
	return nil
}

// close reads what follows the data of a block.
func (x *xzReader) close() error {
	x.block = nil
	x.blocks++
	if err := x.pad(); err != nil {
		return err
	}
	if x.sum == nil {
		return nil
	}
	want, err := x.take(x.sum.Size())
	if err != nil {
		return err
	}
	got := x.sum.Sum(nil)
	if x.check != 10 { // the numbers are written lowest byte first
		for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
			got[i], got[j] = got[j], got[i]
		}
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("checksum: %w", errXZ)
	}
	return nil
}

// pad reads zeros up to a multiple of four bytes.
func (x *xzReader) pad() error {
	b, err := x.take(int(-x.read & 3))
	if err != nil {
		return err
	}
	if len(bytes.Trim(b, "\x00")) > 0 {
		return fmt.Errorf("padding: %w", errXZ)
	}
	return nil
}

// end reads the index and the footer, without which the file is cut off.
func (x *xzReader) end() error {
	x.read = 1
	c := &counted{x}
	blocks, err := binary.ReadUvarint(c)
	if err != nil || blocks != x.blocks {
		return fmt.Errorf("index of %d blocks after %d: %w", blocks, x.blocks, errXZ)
	}
	for range 2 * blocks {
		if _, err := binary.ReadUvarint(c); err != nil {
			return fmt.Errorf("index: %w", errXZ)
		}
	}
	if err := x.pad(); err != nil {
		return err
	}
	tail, err := x.take(4 + 12)
	if err != nil {
		return err
	}
	if string(tail[14:]) != "YZ" || tail[13] != x.check {
		return fmt.Errorf("end of the stream: %w", errXZ)
	}
	if _, err := x.in.ReadByte(); err == nil {
		return fmt.Errorf("something follows the end of the stream: %w", errXZ)
	}
	return io.EOF
}

// counted counts what is read through it.
type counted struct{ x *xzReader }

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.x.in.Read(p)
	c.x.read += int64(n)
	return n, err
}

func (c *counted) ReadByte() (byte, error) {
	b, err := c.x.in.ReadByte()
	if err == nil {
		c.x.read++
	}
	return b, err
}
