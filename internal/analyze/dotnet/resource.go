package dotnet

import (
	"strings"
	"unicode/utf16"
)

const (
	resourceVersion = 16 // RT_VERSION
	// maxVersionBytes is far above the 1 kB of a usual version resource.
	maxVersionBytes = 64 << 10
	maxResources    = 4096
	maxBlocks       = 256
)

// versionInfo are the texts of the version resource of a file
// (VS_VERSIONINFO in the Windows documentation), as far as they can be read:
// without them the version of the assembly counts.
func (m *image) versionInfo() map[string]string {
	root := m.directory(directoryResources)
	if root == 0 {
		return nil
	}
	// Type, name, language: each a directory of the next.
	entry, ok := m.resource(root, root, resourceVersion)
	for level := 0; ok && entry&(1<<31) != 0 && level < 2; level++ {
		entry, ok = m.resource(root, root+entry&^(1<<31), -1)
	}
	if !ok || entry&(1<<31) != 0 {
		return nil
	}
	leaf, err := m.read(root+entry, 8, 8)
	if err != nil {
		return nil
	}
	n := min(int(le.Uint32(leaf[4:])), maxVersionBytes)
	if n <= 0 {
		return nil
	}
	b, err := m.read(le.Uint32(leaf), 1, n)
	if err != nil {
		return nil
	}
	texts := map[string]string{}
	for _, info := range parts(part(b).children) {
		if info.key != "StringFileInfo" {
			continue
		}
		for _, table := range parts(info.children) {
			for _, text := range parts(table.children) {
				if _, ok := texts[text.key]; !ok {
					texts[text.key] = text.value
				}
			}
		}
	}
	return texts
}

// resource is the entry of a resource directory with an id, or the first with
// any if id is negative.
func (m *image) resource(root, addr uint32, id int) (uint32, bool) {
	head, err := m.read(addr, 16, 16)
	if err != nil {
		return 0, false
	}
	n := min(int(le.Uint16(head[12:]))+int(le.Uint16(head[14:])), maxResources)
	if n == 0 {
		return 0, false
	}
	list, err := m.read(addr+16, n*8, n*8)
	if err != nil {
		return 0, false
	}
	for ; len(list) >= 8; list = list[8:] {
		if id < 0 || le.Uint32(list) == uint32(id) {
			return le.Uint32(list[4:]), true
		}
	}
	return 0, false
}

// A block is one element of a version resource: a key with a text, or with
// further blocks.
type block struct {
	key, value string
	children   []byte
}

// parts are the blocks that b consists of, up to the first damage.
func parts(b []byte) []block {
	var out []block
	for len(b) >= 6 && len(out) < maxBlocks {
		n := int(le.Uint16(b))
		if n < 6 || n > len(b) {
			break
		}
		out = append(out, part(b[:n]))
		b = b[min((n+3)&^3, len(b)):]
	}
	return out
}

// part takes one block apart. Its pieces stand at multiples of four bytes.
func part(b []byte) block {
	if len(b) < 6 {
		return block{}
	}
	n, isText := int(le.Uint16(b[2:])), le.Uint16(b[4:]) == 1
	key, size := wide(b[6:])
	rest := b[min((6+size+3)&^3, len(b)):]
	switch {
	case n == 0:
		return block{key: key, children: rest}
	case isText:
		// The length of a text counts characters, and some compilers
		// count bytes: the text ends with its zero in any case.
		value, _ := wide(rest)
		return block{key: key, value: value}
	default:
		return block{key: key, children: rest[min((n+3)&^3, len(rest)):]}
	}
}

// wide is the zero-terminated UTF-16 text at the start of b and its size in
// bytes.
func wide(b []byte) (string, int) {
	var u []uint16
	for i := 0; i+1 < len(b); i += 2 {
		c := le.Uint16(b[i:])
		if c == 0 {
			return strings.TrimSpace(string(utf16.Decode(u))), i + 2
		}
		u = append(u, c)
	}
	return strings.TrimSpace(string(utf16.Decode(u))), len(b)
}
