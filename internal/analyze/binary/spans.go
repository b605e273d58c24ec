package binary

import (
	"encoding/binary"
	"io"
	"slices"
)

// maxSections is how many sections of an ELF file are looked at. Shared
// libraries built with -ffunction-sections have 50 at most once linked.
const maxSections = 1024

// Values of the ELF specification (System V ABI, chapter 4).
const (
	elfClass32, elfClass64 = 1, 2
	elfLSB, elfMSB         = 1, 2
	shtProgbits            = 1
	shfWrite               = 0x1
	shfAlloc               = 0x2
	shfExecinstr           = 0x4
)

// order divides a file into parts that are searched one after the other, each
// ordered by offset: the read-only data of an ELF file, its other data, and the
// rest. A file whose headers make no sense is one part.
func order(r io.ReaderAt, size int64) [][]span {
	ro, rw := sections(r, size)
	if len(ro) == 0 {
		return [][]span{{{0, size}}}
	}
	return [][]span{ro, rw, without(size, append(slices.Clone(ro), rw...))}
}

// sections are the parts of an ELF file that hold read-only and writable data.
func sections(r io.ReaderAt, size int64) (ro, rw []span) {
	var h [64]byte
	if n, _ := r.ReadAt(h[:], 0); n < len(h) || string(h[:4]) != "\x7fELF" {
		return nil, nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if h[5] == elfMSB {
		order = binary.BigEndian
	}
	wide := h[4] == elfClass64
	var off int64
	var each, count int
	if wide {
		off, each, count = int64(order.Uint64(h[40:])), int(order.Uint16(h[58:])), int(order.Uint16(h[60:]))
	} else {
		off, each, count = int64(order.Uint32(h[32:])), int(order.Uint16(h[46:])), int(order.Uint16(h[48:]))
	}
	need := 40
	if wide {
		need = 64
	}
	count = min(count, maxSections)
	if each < need || each > 256 || count == 0 || off <= 0 || off > size-int64(each*count) {
		return nil, nil
	}
	table := make([]byte, each*count)
	if n, _ := r.ReadAt(table, off); n < len(table) {
		return nil, nil
	}
	for s := range slices.Chunk(table, each) {
		var flags uint64
		var at, n int64
		if wide {
			flags, at, n = order.Uint64(s[8:]), int64(order.Uint64(s[24:])), int64(order.Uint64(s[32:]))
		} else {
			flags, at, n = uint64(order.Uint32(s[8:])), int64(order.Uint32(s[16:])), int64(order.Uint32(s[20:]))
		}
		if order.Uint32(s[4:]) != shtProgbits || flags&shfAlloc == 0 || flags&shfExecinstr != 0 ||
			at < 0 || at >= size || n <= 0 {
			continue
		}
		n = min(n, size-at)
		if flags&shfWrite != 0 {
			rw = append(rw, span{at, n})
		} else {
			ro = append(ro, span{at, n})
		}
	}
	return disjoint(ro), disjoint(rw)
}

// disjoint sorts spans and joins those that touch, so that sections which claim
// the same bytes a thousand times are read once.
func disjoint(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return int(min(max(a.off-b.off, -1), 1)) })
	var out []span
	for _, s := range spans {
		if len(out) > 0 {
			last := &out[len(out)-1]
			if end := last.off + last.size; s.off <= end {
				last.size = max(end, s.off+s.size) - last.off
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// without is what of a file of a size lies in none of the spans.
func without(size int64, spans []span) []span {
	var out []span
	at := int64(0)
	for _, s := range disjoint(spans) {
		if s.off > at {
			out = append(out, span{at, s.off - at})
		}
		at = s.off + s.size
	}
	if at < size {
		out = append(out, span{at, size - at})
	}
	return out
}
