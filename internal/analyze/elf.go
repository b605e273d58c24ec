package analyze

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Limits of FindSection. Programs have some 40 sections; objects compiled with
// one for each function are no programs.
const (
	maxSections     = 0xff00
	maxSectionNames = 4 << 20
)

// FindSection looks for a section of an ELF file by its name. It reads three
// pieces of the file where debug/elf reads and decodes every table, which is
// felt when each program of an image is asked. table is false if r is not an ELF
// file with a readable section table; the section is nil if there is none of
// that name.
func FindSection(r io.ReaderAt, name string) (section *io.SectionReader, table bool) {
	var head [64]byte
	if n, _ := r.ReadAt(head[:], 0); n < 52 || string(head[:4]) != "\x7fELF" {
		return nil, false
	}
	var bo binary.ByteOrder = binary.LittleEndian
	if head[5] == 2 {
		bo = binary.BigEndian
	}
	wide := head[4] == 2
	var off int64
	var size, count, names int
	if wide {
		off = int64(bo.Uint64(head[0x28:]))
		size, count, names = int(bo.Uint16(head[0x3a:])), int(bo.Uint16(head[0x3c:])), int(bo.Uint16(head[0x3e:]))
	} else {
		off = int64(bo.Uint32(head[0x20:]))
		size, count, names = int(bo.Uint16(head[0x2e:])), int(bo.Uint16(head[0x30:])), int(bo.Uint16(head[0x32:]))
	}
	least := 40
	if wide {
		least = 64
	}
	if off <= 0 || size < least || size > 256 || count == 0 || count > maxSections || names >= count {
		return nil, false
	}
	headers := make([]byte, size*count)
	if n, _ := r.ReadAt(headers, off); n < len(headers) {
		return nil, false
	}
	// place is where a section lies; those without content have no bytes.
	place := func(i int) (off, n int64) {
		h := headers[i*size:]
		if wide {
			off, n = int64(bo.Uint64(h[0x18:])), int64(bo.Uint64(h[0x20:]))
		} else {
			off, n = int64(bo.Uint32(h[0x10:])), int64(bo.Uint32(h[0x14:]))
		}
		const noBits = 8
		if bo.Uint32(h[4:]) == noBits || off < 0 || n < 0 {
			n = 0
		}
		return off, n
	}
	at, n := place(names)
	if n == 0 || n > maxSectionNames {
		return nil, false
	}
	list := make([]byte, n)
	if n, _ := r.ReadAt(list, at); n < len(list) {
		return nil, false
	}
	want := append([]byte(name), 0)
	for i := range count {
		if o := bo.Uint32(headers[i*size:]); int64(o) < int64(len(list)) && bytes.HasPrefix(list[o:], want) {
			at, n := place(i)
			return io.NewSectionReader(r, at, n), true
		}
	}
	return nil, true
}
