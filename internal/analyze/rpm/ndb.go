package rpm

import "encoding/binary"

// NDB, rpm's own format: a table of 16-byte slots, whose first two are the
// file's header, and blobs that begin at multiples of 16 bytes. All numbers are
// little-endian.
const (
	ndbMagic     = "RpmP"
	ndbSlotMagic = "Slot"
	ndbBlobMagic = "BlbS"

	ndbPage       = 4096
	ndbSlotBytes  = 16
	ndbHeadSlots  = 2
	ndbBlobHeader = 16
)

func walkNDB(s *source, each func([]byte) error) error {
	// Each page of slots once, and two reads for each blob, of which there
	// are not more than blocks.
	s.pages = 1 + s.size/ndbPage + 2*(s.size/ndbSlotBytes)
	head := make([]byte, ndbHeadSlots*ndbSlotBytes)
	if err := s.page(head, 0); err != nil {
		return err
	}
	le := binary.LittleEndian
	if v := le.Uint32(head[4:]); v != 0 {
		return damaged("unknown NDB version %d", v)
	}
	slotPages := int64(le.Uint32(head[12:]))
	if slotPages == 0 || slotPages > s.size/ndbPage {
		return damaged("%d pages of slots in %d bytes", slotPages, s.size)
	}
	page := make([]byte, ndbPage)
	for no := range slotPages {
		if err := s.page(page, no*ndbPage); err != nil {
			return err
		}
		first := 0
		if no == 0 {
			first = ndbHeadSlots * ndbSlotBytes
		}
		for at := first; at < ndbPage; at += ndbSlotBytes {
			slot := page[at : at+ndbSlotBytes]
			if string(slot[:4]) != ndbSlotMagic {
				return damaged("slot %d has no magic number", (no*ndbPage+int64(at))/ndbSlotBytes)
			}
			index, offset := le.Uint32(slot[4:]), int64(le.Uint32(slot[8:]))
			if index == 0 || offset == 0 {
				continue // free
			}
			blob, err := ndbBlob(s, index, offset*ndbSlotBytes, int64(le.Uint32(slot[12:]))*ndbSlotBytes)
			if err != nil {
				return err
			}
			if err := each(blob); err != nil {
				return err
			}
		}
	}
	return nil
}

// ndbBlob reads the blob of package index at byte off, which may take up room
// bytes.
func ndbBlob(s *source, index uint32, off, room int64) ([]byte, error) {
	head := make([]byte, ndbBlobHeader)
	if err := s.page(head, off); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	size := int64(le.Uint32(head[12:]))
	if string(head[:4]) != ndbBlobMagic || le.Uint32(head[4:]) != index {
		return nil, damaged("no blob of package %d where its slot points", index)
	}
	if size+ndbBlobHeader > room {
		return nil, damaged("the blob of package %d is larger than its room", index)
	}
	if off+ndbBlobHeader+size > s.size {
		return nil, damaged("the blob of package %d goes beyond the end", index)
	}
	if err := s.take(size); err != nil {
		return nil, err
	}
	blob := make([]byte, size)
	return blob, s.page(blob, off+ndbBlobHeader)
}
