package rpm

import "encoding/binary"

// Berkeley DB, hash access method. Names follow its db_page.h.
const (
	bdbHashMagic = 0x061561

	bdbPageHeader = 26

	bdbPageHashUnsorted = 2
	bdbPageOverflow     = 7
	bdbPageHashMeta     = 8
	bdbPageHash         = 13

	bdbItemKeyData = 1
	bdbItemOffPage = 3

	bdbMinPage = 512
	bdbMaxPage = 64 << 10

	bdbOffPageBytes = 12
)

// bdbOrder is the byte order of a database that begins with head, nil if it is
// none: the magic number stands at byte 12 in the order of the machine that
// wrote it.
func bdbOrder(head []byte) binary.ByteOrder {
	for _, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if len(head) >= 16 && o.Uint32(head[12:]) == bdbHashMagic {
			return o
		}
	}
	return nil
}

// A bdb is an opened Berkeley DB file.
type bdb struct {
	*source
	order    binary.ByteOrder
	pageSize int64
	last     uint32 // page number
}

// walkBDB reads every page in turn. That finds each record once, as walking
// the buckets would, without trusting any link between pages but those of the
// overflow chains, which hold the headers.
func walkBDB(s *source, each func([]byte) error) error {
	meta := make([]byte, bdbMinPage)
	s.pages = 1
	if err := s.page(meta, 0); err != nil {
		return err
	}
	b := &bdb{source: s, order: bdbOrder(meta)}
	b.pageSize, b.last = int64(b.order.Uint32(meta[20:])), b.order.Uint32(meta[32:])
	if b.pageSize < bdbMinPage || b.pageSize > bdbMaxPage || b.pageSize&(b.pageSize-1) != 0 {
		return damaged("pages of %d bytes", b.pageSize)
	}
	if meta[25] != bdbPageHashMeta {
		return damaged("the first page has type %d", meta[25])
	}
	if meta[24] != 0 {
		return damaged("the database is encrypted")
	}
	total := s.size / b.pageSize
	// Each page once in turn, and once more as a part of an overflow chain.
	s.pages = 2*total + 2
	page := make([]byte, b.pageSize)
	for no := int64(1); no <= int64(b.last) && no < total; no++ {
		if err := s.page(page, no*b.pageSize); err != nil {
			return err
		}
		if page[25] != bdbPageHash && page[25] != bdbPageHashUnsorted {
			continue
		}
		if err := b.hashPage(page, each); err != nil {
			return err
		}
	}
	if int64(b.last) >= total { // what is there was told
		return damaged("has %d pages of %d", total, int64(b.last)+1)
	}
	return nil
}

// hashPage hands out the records of one page. Keys and values alternate; a
// value is stored in the page, or in a chain of overflow pages.
func (b *bdb) hashPage(page []byte, each func([]byte) error) error {
	n := int(b.order.Uint16(page[20:]))
	if bdbPageHeader+2*n > len(page) {
		return damaged("%d items in a page", n)
	}
	offset := func(i int) int { return int(b.order.Uint16(page[bdbPageHeader+2*i:])) }
	for i := 1; i < n; i += 2 {
		at, keyAt := offset(i), offset(i-1)
		if at < bdbPageHeader+2*n || at >= len(page) || keyAt <= at || keyAt > len(page) {
			return damaged("an item lies outside of its page")
		}
		item := page[at:keyAt] // items grow down from the end of the page
		var blob []byte
		switch {
		case item[0] == bdbItemKeyData:
			// The record with key 0 holds the number of the last
			// package, in four bytes.
			if blob = item[1:]; len(blob) < preambleBytes {
				continue
			}
			if err := b.take(int64(len(blob))); err != nil {
				return err
			}
		case item[0] == bdbItemOffPage && len(item) >= bdbOffPageBytes:
			var err error
			if blob, err = b.chain(b.order.Uint32(item[4:]), int64(b.order.Uint32(item[8:]))); err != nil {
				return err
			}
		default:
			continue
		}
		if err := each(blob); err != nil {
			return err
		}
	}
	return nil
}

// chain reads size bytes from the overflow pages that begin with page no.
func (b *bdb) chain(no uint32, size int64) ([]byte, error) {
	if err := b.take(size); err != nil {
		return nil, err
	}
	var blob []byte
	page := make([]byte, b.pageSize)
	for int64(len(blob)) < size {
		if no == 0 || no > b.last {
			return nil, damaged("an overflow chain ends early")
		}
		if err := b.page(page, int64(no)*b.pageSize); err != nil {
			return nil, err
		}
		if page[25] != bdbPageOverflow {
			return nil, damaged("page %d of type %d in an overflow chain", no, page[25])
		}
		n := int64(b.order.Uint16(page[22:])) // bytes in use
		n = min(n, size-int64(len(blob)))
		if n == 0 || bdbPageHeader+n > b.pageSize {
			return nil, damaged("an overflow page with %d bytes", n)
		}
		blob = append(blob, page[bdbPageHeader:bdbPageHeader+n]...)
		no = b.order.Uint32(page[16:])
	}
	return blob, nil
}
