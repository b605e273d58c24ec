package advisory

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"

	"github.com/onceover/onceover/internal/fault"
)

// What the payload of a bundle consists of. Each change begins with its kind
// and, but for the end, the bucket, both one byte, and the key with its length
// in front. They are sorted by bucket and key, no key twice.
const (
	opEnd    = 0 // description as JSON with its length in front; the last
	opPut    = 1 // value with its length in front
	opDelete = 2
	// opPatch makes a value of the one that the base has: how many bytes of
	// its beginning and of its end stay, and what comes between, with its
	// length in front. Daily scores change at the end of values that
	// begin with a long text.
	opPatch = 3
)

// payloadBuckets are the buckets in the order of the content, with the bytes
// that stand for them.
var payloadBuckets = []struct {
	kind byte
	name []byte
}{{kindCVE, bucketCVE}, {kindPackage, bucketPackages}, {kindVuln, bucketVulns}}

// A packer writes the payload of a bundle.
type packer struct {
	w *bufio.Writer
	e encoder
}

func (p *packer) whole(ctx context.Context, db *DB) error {
	return db.view(func(tx *bolt.Tx) error {
		for _, b := range payloadBuckets {
			c := tx.Bucket(b.name).Cursor()
			n := 0
			for k, v := c.First(); k != nil; k, v = c.Next() {
				if n++; n%1024 == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				if err := p.put(b.kind, k, v); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (p *packer) delta(ctx context.Context, base, db *DB) error {
	return base.view(func(from *bolt.Tx) error {
		return db.view(func(to *bolt.Tx) error {
			for _, b := range payloadBuckets {
				err := merge(ctx, from, to, b.name, func(k, old, v []byte) error {
					switch {
					case v == nil:
						return p.delete(b.kind, k)
					case old == nil:
						return p.put(b.kind, k, v)
					case bytes.Equal(old, v):
						return nil
					default:
						return p.patch(b.kind, k, old, v)
					}
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (p *packer) begin(op, kind byte, key []byte) {
	p.e = append(p.e[:0], op, kind)
	p.e.uint(uint64(len(key)))
	p.e = append(p.e, key...)
}

func (p *packer) put(kind byte, key, value []byte) error {
	p.begin(opPut, kind, key)
	p.e.uint(uint64(len(value)))
	return p.write(value)
}

func (p *packer) delete(kind byte, key []byte) error {
	p.begin(opDelete, kind, key)
	return p.write(nil)
}

func (p *packer) patch(kind byte, key, old, value []byte) error {
	short := min(len(old), len(value))
	front := 0
	for front < short && old[front] == value[front] {
		front++
	}
	back := 0
	for back < short-front && old[len(old)-1-back] == value[len(value)-1-back] {
		back++
	}
	if front+back < 16 {
		return p.put(kind, key, value)
	}
	middle := value[front : len(value)-back]
	p.begin(opPatch, kind, key)
	p.e.uint(uint64(front))
	p.e.uint(uint64(back))
	p.e.uint(uint64(len(middle)))
	return p.write(middle)
}

func (p *packer) end(m Meta) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode description: %w", err)
	}
	p.e = append(p.e[:0], opEnd)
	p.e.uint(uint64(len(raw)))
	if err := p.write(raw); err != nil {
		return err
	}
	return p.w.Flush()
}

// write writes what was encoded and then tail.
func (p *packer) write(tail []byte) error {
	if _, err := p.w.Write(p.e); err != nil {
		return err
	}
	_, err := p.w.Write(tail)
	return err
}

// An unpacker reads the payload of a bundle. What it reads is hostile.
type unpacker struct {
	r *bufio.Reader
	// last is the key before with its bucket in front.
	last []byte
}

// A change is one element of a payload.
type change struct {
	op, kind byte
	key      []byte
	// value of a put, middle of a patch, or the description.
	value       []byte
	front, back uint64
}

func newUnpacker(r io.Reader) *unpacker { return &unpacker{r: bufio.NewReaderSize(r, 1<<16)} }

// next reads one change. Its slices are its own.
func (u *unpacker) next() (change, error) {
	c, err := u.read()
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return c, fault.New(fault.Invalid, "the bundle is %w: its payload ends in the middle of a change", ErrTruncated)
	case errors.Is(err, errLimit):
		return c, fault.New(fault.TooLarge, "the payload of the bundle is larger than its header says, or a value in it than any can be: %w", err)
	case err != nil:
		return c, fault.New(fault.Invalid, "the payload of the bundle cannot be read: %w", err)
	}
	return c, nil
}

func (u *unpacker) read() (c change, err error) {
	if c.op, err = u.r.ReadByte(); err != nil {
		return c, err
	}
	if c.op == opEnd {
		if c.value, err = u.bytes(maxMetaBytes); err != nil {
			return c, err
		}
		if _, err = u.r.ReadByte(); errors.Is(err, io.EOF) {
			return c, nil
		}
		return c, errors.Join(err, fmt.Errorf("%w: something follows its end", errCorrupt))
	}
	if c.kind, err = u.r.ReadByte(); err != nil {
		return c, err
	}
	if c.op > opPatch || c.kind != kindCVE && c.kind != kindPackage && c.kind != kindVuln {
		return c, fmt.Errorf("%w: a change of kind %d in bucket %d", errCorrupt, c.op, c.kind)
	}
	if c.key, err = u.bytes(bolt.MaxKeySize); err != nil {
		return c, err
	}
	place := append([]byte{c.kind}, c.key...)
	if len(c.key) == 0 || bytes.Compare(u.last, place) >= 0 {
		return c, fmt.Errorf("%w: its keys are out of order at %q", errCorrupt, c.key)
	}
	u.last = place
	if c.op == opDelete {
		return c, nil
	}
	if c.op == opPatch {
		if c.front, err = binary.ReadUvarint(u.r); err != nil {
			return c, err
		}
		if c.back, err = binary.ReadUvarint(u.r); err != nil {
			return c, err
		}
	}
	c.value, err = u.bytes(maxSpoolValue)
	return c, err
}

// bytes reads a length and as many bytes. Memory is taken as they come, not as
// they are announced.
func (u *unpacker) bytes(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(u.r)
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%d bytes: %w", n, errLimit)
	}
	if n <= 1<<16 {
		b := make([]byte, n)
		_, err := io.ReadFull(u.r, b)
		return b, err
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, u.r, int64(n)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// into writes the generation that the payload makes of base, nil for none,
// into a new file, and checks that it is the one that was announced.
func (u *unpacker) into(ctx context.Context, base *bolt.Tx, id, path string) (err error) {
	out, err := newOutput(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.close(); e != nil && err == nil {
			err = e
		}
	}()
	last, err := u.apply(ctx, base, out)
	if err != nil {
		return err
	}
	var m Meta
	if err := json.Unmarshal(last.value, &m); err != nil {
		return fault.New(fault.Invalid, "the payload of the bundle cannot be read: description: %w", err)
	}
	got, err := out.hash.sum(m)
	if err != nil {
		return err
	}
	if got != id || m.ID != id || m.Schema != Schema {
		return fault.New(fault.Invalid, "the bundle does not lead to generation %.12s as it says, but to %.12s: %w", id, got, errCorrupt)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode description: %w", err)
	}
	return out.put(bucketMeta, metaKey, raw)
}

// apply walks through base and the changes side by side, and returns the
// change that ends the payload.
func (u *unpacker) apply(ctx context.Context, base *bolt.Tx, out *output) (change, error) {
	c, err := u.next()
	if err != nil {
		return c, err
	}
	n := 0
	for _, b := range payloadBuckets {
		var k, v, last []byte
		var cursor *bolt.Cursor
		if base != nil {
			cursor = base.Bucket(b.name).Cursor()
			k, v = cursor.First()
		}
		for {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return c, ctx.Err()
			}
			here := c.op != opEnd && c.kind == b.kind
			if !here && k == nil {
				break
			}
			order := 1 // of the base's key against that of the change
			switch {
			case !here:
				order = -1
			case k != nil:
				order = bytes.Compare(k, c.key)
			}
			key, value := k, v
			if order >= 0 {
				var old []byte
				if order == 0 {
					old = v
				}
				if key, value, err = c.result(old); err != nil {
					return c, err
				}
			}
			if key != nil {
				// Damage can make a cursor of the base go in circles.
				if last != nil && bytes.Compare(last, key) >= 0 {
					return c, fmt.Errorf("%w: keys of the base are out of order", errCorrupt)
				}
				last = append(last[:0], key...)
				if err := out.content(b.name, key, value); err != nil {
					return c, err
				}
			}
			if order >= 0 {
				if c, err = u.next(); err != nil {
					return c, err
				}
			}
			if order <= 0 {
				k, v = cursor.Next()
			}
		}
	}
	return c, nil
}

// result is what stands at the key afterwards; key is nil if nothing does. old
// is nil if the base has no such key.
func (c change) result(old []byte) (key, value []byte, err error) {
	if c.op == opPut {
		return c.key, c.value, nil
	}
	if old == nil {
		return nil, nil, fault.New(fault.Invalid, "the delta does not fit its base: %q is not there: %w", c.key, errCorrupt)
	}
	if c.op == opDelete {
		return nil, nil, nil
	}
	n := uint64(len(old))
	if c.front > n || c.back > n-c.front {
		return nil, nil, fault.New(fault.Invalid, "the delta does not fit its base: %q is too short: %w", c.key, errCorrupt)
	}
	if n+uint64(len(c.value)) > maxSpoolValue {
		return nil, nil, fault.New(fault.TooLarge, "the delta makes a value of more than %d bytes", maxSpoolValue)
	}
	value = make([]byte, 0, c.front+uint64(len(c.value))+c.back)
	value = append(value, old[:c.front]...)
	value = append(value, c.value...)
	return c.key, append(value, old[n-c.back:]...), nil
}
