package rpm

import (
	"bytes"
	"encoding/binary"
	"iter"

	"github.com/onceover/onceover/internal/analyze"
)

// Tags of rpm's rpmtag.h that are read.
const (
	tagName            = 1000
	tagVersion         = 1001
	tagRelease         = 1002
	tagEpoch           = 1003
	tagVendor          = 1011
	tagLicense         = 1014
	tagArch            = 1022
	tagOldFileNames    = 1027
	tagFileModes       = 1030
	tagSourceRPM       = 1044
	tagDirIndexes      = 1116
	tagBaseNames       = 1117
	tagDirNames        = 1118
	tagModularityLabel = 5096
)

// Types of header entries.
const (
	typeInt16       = 3
	typeInt32       = 4
	typeString      = 6
	typeStringArray = 8
	typeI18NString  = 9
)

// Limits of one header. rpm itself allows 65,535 tags (hdrchkTags in its
// header.c); a kernel or texlive package has about 100,000 files.
const (
	maxTags      = 65_535
	maxFiles     = 1_000_000
	maxTextBytes = 4096
)

const (
	preambleBytes = 8
	entryBytes    = 16
)

// An entry is one row of a header's index.
type entry struct {
	kind, offset, count uint32
}

// A header is one record: an index of tags and the data they point into.
type header struct {
	tags map[uint32]entry
	data []byte
}

// parseHeader reads a record as the database holds it: the number of index
// entries, the number of data bytes (both big-endian), the index, the data.
// There is no magic number. The header refers to blob.
func parseHeader(blob []byte) (*header, error) {
	if len(blob) < preambleBytes {
		return nil, damaged("a header of %d bytes", len(blob))
	}
	n, size := int64(binary.BigEndian.Uint32(blob)), int64(binary.BigEndian.Uint32(blob[4:]))
	if n > maxTags {
		return nil, analyze.Limited("tags in one header", n, maxTags)
	}
	start := preambleBytes + n*entryBytes
	if start+size > int64(len(blob)) {
		return nil, damaged("a header of %d tags and %d bytes in %d", n, size, len(blob))
	}
	h := &header{tags: make(map[uint32]entry, 16), data: blob[start : start+size]}
	for i := range n {
		row := blob[preambleBytes+i*entryBytes:]
		tag := binary.BigEndian.Uint32(row)
		if !wanted(tag) {
			continue
		}
		e := entry{binary.BigEndian.Uint32(row[4:]), binary.BigEndian.Uint32(row[8:]), binary.BigEndian.Uint32(row[12:])}
		if int64(e.offset) > size {
			return nil, damaged("tag %d points outside of the header", tag)
		}
		if _, twice := h.tags[tag]; !twice {
			h.tags[tag] = e
		}
	}
	if n := max(h.tags[tagBaseNames].count, h.tags[tagOldFileNames].count); n > maxFiles {
		return nil, analyze.Limited("files in one package", int64(n), maxFiles)
	}
	return h, nil
}

func wanted(tag uint32) bool {
	switch tag {
	case tagName, tagVersion, tagRelease, tagEpoch, tagVendor, tagLicense, tagArch, tagOldFileNames, tagFileModes,
		tagSourceRPM, tagDirIndexes, tagBaseNames, tagDirNames, tagModularityLabel:
		return true
	}
	return false
}

// text is the string of a tag, "" if it has none or an unreasonable one.
func (h *header) text(tag uint32) string {
	for s := range h.strings(tag) {
		if len(s) > maxTextBytes {
			return ""
		}
		return string(s)
	}
	return ""
}

// number is the first number of a tag.
func (h *header) number(tag uint32) (uint32, bool) {
	b := h.numbers(tag)
	if len(b) < 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// numbers are the bytes of an array of 32-bit numbers; fewer than the tag
// claims where the data ends.
func (h *header) numbers(tag uint32) []byte { return h.array(tag, typeInt32, 4) }

// array are the bytes of an array of numbers of one kind and size.
func (h *header) array(tag, kind uint32, size int64) []byte {
	e, ok := h.tags[tag]
	if !ok || e.kind != kind {
		return nil
	}
	b := h.data[e.offset:]
	return b[:min(int64(len(b))/size, int64(e.count))*size]
}

// strings are the zero-ended strings of a tag.
func (h *header) strings(tag uint32) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		e, ok := h.tags[tag]
		if !ok {
			return
		}
		n := e.count
		switch e.kind {
		case typeString:
			n = 1
		case typeStringArray, typeI18NString:
		default:
			return
		}
		rest := h.data[e.offset:]
		for range n {
			i := bytes.IndexByte(rest, 0)
			if i < 0 || !yield(rest[:i]) {
				return
			}
			rest = rest[i+1:]
		}
	}
}

// modeType and modeDir are S_IFMT and S_IFDIR of stat(2).
const (
	modeType = 0xf000
	modeDir  = 0x4000
)

// files are the paths that the package put in place, but for directories:
// directories and base names, joined by an index for each file; whole paths in
// packages built before rpm 4. What rpm calls a ghost is made when the package
// runs, and belongs to it no less.
func (h *header) files() iter.Seq[string] {
	return func(yield func(string) bool) {
		var dirs []string
		for d := range h.strings(tagDirNames) {
			if len(dirs) == maxFiles {
				return
			}
			dirs = append(dirs, string(d))
		}
		index, modes := h.numbers(tagDirIndexes), h.array(tagFileModes, typeInt16, 2)
		for base := range h.strings(tagBaseNames) {
			if len(index) < 4 {
				return
			}
			d := binary.BigEndian.Uint32(index)
			index = index[4:]
			isDir := false
			if len(modes) >= 2 {
				isDir = binary.BigEndian.Uint16(modes)&modeType == modeDir
				modes = modes[2:]
			}
			if isDir || int64(d) >= int64(len(dirs)) || len(dirs[d])+len(base) > maxTextBytes {
				continue
			}
			if !yield(dirs[d] + string(base)) {
				return
			}
		}
		for p := range h.strings(tagOldFileNames) {
			if len(p) <= maxTextBytes && !yield(string(p)) {
				return
			}
		}
	}
}
