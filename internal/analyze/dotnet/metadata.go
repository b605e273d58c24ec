package dotnet

import (
	"fmt"
	"math/bits"
	"strings"
)

// identity is what an assembly calls itself.
type identity struct{ name, version, culture string }

// maxStreams is the number of streams looked at; compilers write five or six.
const maxStreams = 16

// identity reads the Assembly table of the metadata (ECMA-335, II.24.2).
func (m *image) identity(clr uint32) (identity, error) {
	header, err := m.read(clr, 16, 16)
	if err != nil {
		return identity{}, fmt.Errorf("CLR header: %w", err)
	}
	root := le.Uint32(header[8:])
	tables, names, err := m.streams(root)
	if err != nil {
		return identity{}, fmt.Errorf("metadata: %w", err)
	}
	row, wide, err := m.assemblyRow(tables)
	if err != nil || row == nil {
		return identity{}, err
	}
	id := identity{version: fmt.Sprintf("%d.%d.%d.%d", le.Uint16(row[4:]), le.Uint16(row[6:]), le.Uint16(row[8:]), le.Uint16(row[10:]))}
	at := 16 + wide.blob
	for _, to := range []*string{&id.name, &id.culture} {
		i := uint32(le.Uint16(row[at:]))
		if wide.text == 4 {
			i = le.Uint32(row[at:])
		}
		at += wide.text
		if i == 0 {
			continue
		}
		if *to, err = m.text(names + i); err != nil {
			return identity{}, fmt.Errorf("name of the assembly: %w", err)
		}
	}
	return id, nil
}

// streams finds the addresses of the tables and of the heap of names.
func (m *image) streams(root uint32) (tables, names uint32, err error) {
	b, err := m.read(root, 20, 20+256+4+maxStreams*(8+32))
	if err != nil {
		return 0, 0, err
	}
	if string(b[:4]) != "BSJB" {
		return 0, 0, fmt.Errorf("signature: %w", errDamaged)
	}
	n := le.Uint32(b[12:])
	if n > 256 || 16+int(n)+4 > len(b) {
		return 0, 0, fmt.Errorf("length of the version: %w", errDamaged)
	}
	count := min(int(le.Uint16(b[16+n+2:])), maxStreams)
	b = b[16+n+4:]
	for range count {
		if len(b) < 12 {
			break
		}
		off := le.Uint32(b)
		end := strings.IndexByte(string(b[8:min(8+32, len(b))]), 0)
		if end < 0 {
			break
		}
		switch string(b[8 : 8+end]) {
		case "#~", "#-":
			tables = root + off
		case "#Strings":
			names = root + off
		}
		next := 8 + (end+4)&^3
		if next > len(b) {
			break
		}
		b = b[next:]
	}
	if tables == 0 || names == 0 {
		return 0, 0, fmt.Errorf("no tables or no names: %w", errDamaged)
	}
	return tables, names, nil
}

// widths are the sizes of indexes into the heaps.
type widths struct{ text, guid, blob int }

// assemblyTable is the number of the Assembly table.
const assemblyTable = 0x20

// assemblyRow is the only row of the Assembly table, nil if the file is a module
// without one.
func (m *image) assemblyRow(tables uint32) ([]byte, widths, error) {
	head, err := m.read(tables, 24, 24+64*4)
	if err != nil {
		return nil, widths{}, fmt.Errorf("tables: %w", err)
	}
	heaps, valid := head[6], le.Uint64(head[8:])
	if valid&(1<<assemblyTable) == 0 {
		return nil, widths{}, nil
	}
	width := func(bit byte) int {
		if heaps&bit != 0 {
			return 4
		}
		return 2
	}
	w := widths{text: width(1), guid: width(2), blob: width(4)}
	var rows [64]uint32
	at := 24
	for v := valid; v != 0; v &= v - 1 {
		if at+4 > len(head) {
			return nil, widths{}, fmt.Errorf("tables: %w", errDamaged)
		}
		rows[bits.TrailingZeros64(v)] = le.Uint32(head[at:])
		at += 4
	}
	if heaps&0x40 != 0 {
		at += 4
	}
	off := int64(at)
	for t := range assemblyTable {
		off += int64(rows[t]) * int64(rowBytes(t, &rows, w))
	}
	if off > maxTableBytes {
		return nil, widths{}, fmt.Errorf("tables of %d bytes: %w", off, errDamaged)
	}
	size := 16 + w.blob + 2*w.text
	row, err := m.read(tables+uint32(off), size, size)
	if err != nil {
		return nil, widths{}, fmt.Errorf("assembly table: %w", err)
	}
	return row, w, nil
}

// A column of a metadata table is so many bytes, or an index.
type column int

const (
	heapText column = -1 - iota
	heapGUID
	heapBlob
	typeDefOrRef
	hasConstant
	hasCustomAttribute
	hasFieldMarshal
	hasDeclSecurity
	memberRefParent
	hasSemantics
	methodDefOrRef
	memberForwarded
	customAttributeType
	resolutionScope
)

// index is a column that holds a row number of a table.
func index(table int) column { return column(0x100 + table) }

// columns of the tables that stand before the Assembly table (II.22).
var columns = [assemblyTable][]column{
	0x00: {2, heapText, heapGUID, heapGUID, heapGUID},
	0x01: {resolutionScope, heapText, heapText},
	0x02: {4, heapText, heapText, typeDefOrRef, index(0x04), index(0x06)},
	0x03: {index(0x04)},
	0x04: {2, heapText, heapBlob},
	0x05: {index(0x06)},
	0x06: {8, heapText, heapBlob, index(0x08)},
	0x07: {index(0x08)},
	0x08: {4, heapText},
	0x09: {index(0x02), typeDefOrRef},
	0x0a: {memberRefParent, heapText, heapBlob},
	0x0b: {2, hasConstant, heapBlob},
	0x0c: {hasCustomAttribute, customAttributeType, heapBlob},
	0x0d: {hasFieldMarshal, heapBlob},
	0x0e: {2, hasDeclSecurity, heapBlob},
	0x0f: {6, index(0x02)},
	0x10: {4, index(0x04)},
	0x11: {heapBlob},
	0x12: {index(0x02), index(0x14)},
	0x13: {index(0x14)},
	0x14: {2, heapText, typeDefOrRef},
	0x15: {index(0x02), index(0x17)},
	0x16: {index(0x17)},
	0x17: {2, heapText, heapBlob},
	0x18: {2, index(0x06), hasSemantics},
	0x19: {index(0x02), methodDefOrRef, methodDefOrRef},
	0x1a: {heapText},
	0x1b: {heapBlob},
	0x1c: {2, memberForwarded, heapText, index(0x1a)},
	0x1d: {4, index(0x04)},
	0x1e: {8},
	0x1f: {4},
}

// coded lists, for an index into one of several tables, the bits that say which
// and the tables (II.24.2.6).
func coded(c column) (tag int, tables []int) {
	switch c {
	case typeDefOrRef:
		return 2, []int{0x02, 0x01, 0x1b}
	case hasConstant:
		return 2, []int{0x04, 0x08, 0x17}
	case hasCustomAttribute:
		return 5, []int{0x06, 0x04, 0x01, 0x02, 0x08, 0x09, 0x0a, 0x00, 0x0e, 0x17, 0x14, 0x11, 0x1a, 0x1b, 0x20, 0x23, 0x26, 0x27, 0x28, 0x2a, 0x2c, 0x2b}
	case hasFieldMarshal:
		return 1, []int{0x04, 0x08}
	case hasDeclSecurity:
		return 2, []int{0x02, 0x06, 0x20}
	case memberRefParent:
		return 3, []int{0x02, 0x01, 0x1a, 0x06, 0x1b}
	case hasSemantics:
		return 1, []int{0x14, 0x17}
	case methodDefOrRef:
		return 1, []int{0x06, 0x0a}
	case memberForwarded:
		return 1, []int{0x04, 0x06}
	case customAttributeType:
		return 3, []int{0x06, 0x0a}
	default: // resolutionScope
		return 2, []int{0x00, 0x1a, 0x23, 0x01}
	}
}

// rowBytes is the size of a row of table t.
func rowBytes(t int, rows *[64]uint32, w widths) int {
	size := 0
	for _, c := range columns[t] {
		switch {
		case c == heapText:
			size += w.text
		case c == heapGUID:
			size += w.guid
		case c == heapBlob:
			size += w.blob
		case c >= 0x100:
			size += indexBytes(rows[c-0x100], 16)
		case c > 0:
			size += int(c)
		default:
			tag, tables := coded(c)
			most := uint32(0)
			for _, t := range tables {
				most = max(most, rows[t])
			}
			size += indexBytes(most, 16-tag)
		}
	}
	return size
}

// indexBytes is the size of an index to one of n rows where it has so many bits
// if it is short.
func indexBytes(n uint32, bits int) int {
	if n < 1<<bits {
		return 2
	}
	return 4
}
