package rpm

import (
	"bytes"
	"encoding/binary"
)

// The SQLite file format (https://www.sqlite.org/fileformat2.html), as far as
// a table has to be read from its first row to its last.
const (
	sqliteMagic = "SQLite format 3\x00"

	sqliteHeader = 100

	sqliteInterior = 0x05
	sqliteLeaf     = 0x0d

	sqliteTable = "Packages"

	// maxDepth is far more than a tree of 2^31 pages can have.
	maxDepth = 20
)

// A sqlite is an opened database.
type sqlite struct {
	*source
	pageSize int64
	usable   int64
	// wal holds the newest committed content of some pages.
	wal map[uint32][]byte
}

func walkSQLite(s *source, wal []byte, each func([]byte) error) error {
	head := make([]byte, sqliteHeader)
	s.pages = 1
	if err := s.page(head, 0); err != nil {
		return err
	}
	d := &sqlite{source: s, pageSize: int64(binary.BigEndian.Uint16(head[16:]))}
	if d.pageSize == 1 {
		d.pageSize = 64 << 10
	}
	d.usable = d.pageSize - int64(head[20])
	if d.pageSize < 512 || d.pageSize&(d.pageSize-1) != 0 || d.usable < 480 {
		return damaged("pages of %d bytes", d.pageSize)
	}
	var err error
	if d.wal, err = committed(wal, d.pageSize); err != nil {
		return err
	}
	// A sound file uses each page once. The schema is read before the table.
	s.pages = 2*(s.size/d.pageSize+int64(len(d.wal))) + 2
	s.left += int64(len(wal))
	root, err := d.table(sqliteTable)
	if err != nil {
		return err
	}
	return d.rows(root, maxDepth, func(row []byte) error {
		cols, err := columns(row)
		if err != nil {
			return err
		}
		// CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)
		if len(cols) < 2 {
			return damaged("a row of %d columns", len(cols))
		}
		return each(cols[1])
	})
}

// table is the root page of the table called name.
func (d *sqlite) table(name string) (uint32, error) {
	var root uint32
	err := d.rows(1, maxDepth, func(row []byte) error {
		cols, err := columns(row)
		if err != nil {
			return err
		}
		// type, name, tbl_name, rootpage, sql
		if len(cols) >= 4 && string(cols[0]) == "table" && string(cols[1]) == name && len(cols[3]) <= 4 {
			root = 0
			for _, b := range cols[3] {
				root = root<<8 | uint32(b)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if root == 0 {
		return 0, damaged("no table %s", name)
	}
	return root, nil
}

// read fills buf, one page long, with page no.
func (d *sqlite) read(buf []byte, no uint32) error {
	if no == 0 {
		return damaged("a link to page 0")
	}
	if b, ok := d.wal[no]; ok {
		if d.pages--; d.pages < 0 {
			return damaged("pages are used more than once")
		}
		copy(buf, b)
		return d.ctx.Err()
	}
	return d.page(buf, int64(no-1)*d.pageSize)
}

// rows calls row with the record of each row of the table b-tree at page no, in
// order.
func (d *sqlite) rows(no uint32, depth int, row func([]byte) error) error {
	if depth == 0 {
		return damaged("a tree deeper than %d pages", maxDepth)
	}
	page := make([]byte, d.pageSize)
	if err := d.read(page, no); err != nil {
		return err
	}
	start := 0
	if no == 1 {
		start = sqliteHeader
	}
	head := page[start:]
	n := int(binary.BigEndian.Uint16(head[3:]))
	size := 8
	if head[0] == sqliteInterior {
		size = 12
	}
	if start+size+2*n > len(page) {
		return damaged("%d cells in page %d", n, no)
	}
	for i := range n {
		at := int(binary.BigEndian.Uint16(head[size+2*i:]))
		if at < start+size+2*n || int64(at+4) > d.usable {
			return damaged("a cell outside of page %d", no)
		}
		switch head[0] {
		case sqliteInterior:
			if err := d.rows(binary.BigEndian.Uint32(page[at:]), depth-1, row); err != nil {
				return err
			}
		case sqliteLeaf:
			payload, err := d.payload(page[at:d.usable:d.usable])
			if err != nil {
				return err
			}
			if err := row(payload); err != nil {
				return err
			}
		}
	}
	switch head[0] {
	case sqliteInterior:
		return d.rows(binary.BigEndian.Uint32(head[8:]), depth-1, row)
	case sqliteLeaf:
		return nil
	}
	return damaged("page %d of type %d in a table", no, head[0])
}

// payload is the record of a leaf cell: its length, the row number, the part
// of it that lies here, and a link to the first overflow page.
func (d *sqlite) payload(cell []byte) ([]byte, error) {
	length, n := varint(cell)
	_, m := varint(cell[n:])
	if n == 0 || m == 0 {
		return nil, damaged("a cell without a length")
	}
	cell = cell[n+m:]
	if length > maxHeaderBytes {
		return nil, d.take(int64(min(length, 1<<62)))
	}
	size := int64(length)
	if err := d.take(size); err != nil {
		return nil, err
	}
	here := d.local(size)
	if here > int64(len(cell)) {
		return nil, damaged("a cell goes beyond its page")
	}
	if here == size {
		return cell[:size], nil
	}
	if here+4 > int64(len(cell)) {
		return nil, damaged("a cell goes beyond its page")
	}
	out := append([]byte(nil), cell[:here]...)
	next := binary.BigEndian.Uint32(cell[here:])
	page := make([]byte, d.pageSize)
	for int64(len(out)) < size {
		if err := d.read(page, next); err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(page)
		part := page[4:d.usable]
		out = append(out, part[:min(int64(len(part)), size-int64(len(out)))]...)
	}
	return out, nil
}

// local is how many of size bytes of a record lie in the leaf page itself
// ("B-tree Cell Format" of the file format page).
func (d *sqlite) local(size int64) int64 {
	most := d.usable - 35
	if size <= most {
		return size
	}
	least := (d.usable-12)*32/255 - 23
	if k := least + (size-least)%(d.usable-4); k <= most {
		return k
	}
	return least
}

// columns takes a record apart into the bytes of its columns. Numbers are
// big-endian; NULL and the constants 0 and 1 are empty.
func columns(record []byte) ([][]byte, error) {
	size, n := varint(record)
	if n == 0 || size > uint64(len(record)) || size < uint64(n) {
		return nil, damaged("a record without a header")
	}
	types, body := record[n:size], record[size:]
	var out [][]byte
	for len(types) > 0 {
		t, n := varint(types)
		if n == 0 {
			return nil, damaged("a record with a broken header")
		}
		types = types[n:]
		var size uint64
		switch {
		case t >= 12:
			size = (t - 12) / 2
		case t == 5:
			size = 6
		case t == 6 || t == 7:
			size = 8
		case t <= 4:
			size = t
		}
		if size > uint64(len(body)) {
			return nil, damaged("a column goes beyond its record")
		}
		out = append(out, body[:size:size])
		body = body[size:]
	}
	return out, nil
}

// varint reads SQLite's big-endian variable-length integer and returns how
// many bytes it takes, 0 if it is cut off.
func varint(b []byte) (uint64, int) {
	var v uint64
	for i := range min(len(b), 9) {
		if i == 8 {
			return v<<8 | uint64(b[i]), 9
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// Write-ahead log: a header, and frames of a page with a header of its own.
const (
	maxWALBytes = 64 << 20

	walHeader   = 32
	walFrame    = 24
	walMagic    = 0x377f0682 // the last bit tells the byte order of the sums
	walMagicAny = ^uint32(1)
)

// committed are the pages that transactions committed to the write-ahead log,
// by number, newest content. The log ends at the first frame that does not
// belong to it: old frames of a log that was started over stand behind.
func committed(wal []byte, pageSize int64) (map[uint32][]byte, error) {
	if len(wal) < walHeader {
		return nil, nil
	}
	be := binary.BigEndian
	magic := be.Uint32(wal)
	if magic&walMagicAny != walMagic {
		return nil, damaged("the write-ahead log has no magic number")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if magic&1 != 0 {
		order = binary.BigEndian
	}
	if int64(be.Uint32(wal[8:])) != pageSize {
		return nil, damaged("the write-ahead log has pages of another size")
	}
	sum := walSum([2]uint32{}, wal[:24], order)
	if sum != [2]uint32{be.Uint32(wal[24:]), be.Uint32(wal[28:])} {
		return nil, nil // never finished: SQLite ignores it
	}
	salt := wal[16:24]
	pages, pending := map[uint32][]byte{}, map[uint32][]byte{}
	for rest := wal[walHeader:]; int64(len(rest)) >= walFrame+pageSize; rest = rest[walFrame+pageSize:] {
		frame, page := rest[:walFrame], rest[walFrame:walFrame+pageSize]
		sum = walSum(walSum(sum, frame[:8], order), page, order)
		if !bytes.Equal(frame[8:16], salt) || sum != [2]uint32{be.Uint32(frame[16:]), be.Uint32(frame[20:])} {
			break
		}
		pending[be.Uint32(frame)] = page
		if be.Uint32(frame[4:]) != 0 { // the last frame of a transaction
			for no, p := range pending {
				pages[no] = p
			}
			clear(pending)
		}
	}
	return pages, nil
}

// walSum is the checksum of "Checksum Algorithm" in the file format page.
func walSum(s [2]uint32, b []byte, order binary.ByteOrder) [2]uint32 {
	for ; len(b) >= 8; b = b[8:] {
		s[0] += order.Uint32(b) + s[1]
		s[1] += order.Uint32(b[4:]) + s[0]
	}
	return s
}
