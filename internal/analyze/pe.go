package analyze

import (
	"bytes"
	"encoding/binary"
	"io"
)

// A PE is what matters of a program or library in the Portable Executable format
// ("PE Format" in the Windows documentation): where things lie. debug/pe also
// reads every symbol, of which a hostile file can have millions.
type PE struct {
	Sections []PESection
	// Directories are the addresses of the data directories, 0 for one that
	// is empty.
	Directories []uint32
}

// A PESection is a part of a PE file, and its place in memory.
type PESection struct {
	// Name has at most eight bytes; longer ones stand elsewhere.
	Name    string
	Address uint32
	*io.SectionReader
}

const (
	maxPESections    = 96 // that is what Windows loads
	maxPEDirectories = 16
)

// OpenPE reads the headers of r, nil if it has none.
func OpenPE(r io.ReaderAt) *PE {
	le := binary.LittleEndian
	var dos [64]byte
	if n, _ := r.ReadAt(dos[:], 0); n < len(dos) || string(dos[:2]) != "MZ" {
		return nil
	}
	at := int64(le.Uint32(dos[0x3c:]))
	var head [24]byte // the signature and the file header
	if n, _ := r.ReadAt(head[:], at); n < len(head) || string(head[:4]) != "PE\x00\x00" {
		return nil
	}
	at += int64(len(head))
	sections, size := int(le.Uint16(head[6:])), int(le.Uint16(head[20:]))
	if sections > maxPESections {
		return nil
	}
	b := make([]byte, size+sections*40)
	if n, _ := r.ReadAt(b, at); n < len(b) {
		return nil
	}
	p := &PE{}
	optional := b[:size]
	// The number of directories stands at 92 in a header for 32 bits, at 108
	// in one for 64.
	count := 92
	if size >= 2 && le.Uint16(optional) == 0x20b {
		count = 108
	}
	if size >= count+4 {
		n := min(int(le.Uint32(optional[count:])), maxPEDirectories)
		for d := optional[count+4:]; n > 0 && len(d) >= 8; n, d = n-1, d[8:] {
			addr := le.Uint32(d)
			if le.Uint32(d[4:]) == 0 {
				addr = 0
			}
			p.Directories = append(p.Directories, addr)
		}
	}
	for s := b[size:]; len(s) >= 40; s = s[40:] {
		name, _, _ := bytes.Cut(s[:8], []byte{0})
		p.Sections = append(p.Sections, PESection{
			Name: string(name), Address: le.Uint32(s[12:]),
			SectionReader: io.NewSectionReader(r, int64(le.Uint32(s[20:])), int64(le.Uint32(s[16:]))),
		})
	}
	return p
}

// Section is the section of that name, nil if there is none.
func (p *PE) Section(name string) *io.SectionReader {
	for _, s := range p.Sections {
		if s.Name == name {
			return s.SectionReader
		}
	}
	return nil
}
