package dotnet

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// signature is the SHA-256 of ".net core bundle". The eight bytes before it are
// the offset of the header, zero in a program that only starts an application.
var signature = []byte{
	0x8b, 0x12, 0x02, 0xb9, 0x6a, 0x61, 0x20, 0x38, 0x72, 0x7b, 0x93, 0x02, 0x14, 0xd7, 0xa0, 0x32,
	0x13, 0xf5, 0xb9, 0xe6, 0xef, 0xae, 0x33, 0x18, 0xee, 0x3b, 0x2d, 0xce, 0x24, 0xb3, 0x6a, 0xae,
}

// maxDataBytes bounds the data section that is searched for the signature; the
// runtime's has 120 kB.
const maxDataBytes = 16 << 20

// bundle is what an application in a single file contains, nil if f is another
// program.
func bundle(ctx context.Context, f analyze.File) (*report.Facts, error) {
	b := analyze.NewBudget(ctx, f, maxReadBytes)
	data := data(b, f.Size)
	if b.Err() != nil {
		return nil, b.Err()
	}
	i := bytes.Index(data, signature)
	if i < 8 {
		return nil, nil
	}
	at := int64(le.Uint64(data[i-8:]))
	if at == 0 {
		return nil, nil
	}
	content, err := bundled(b, at, f.Size)
	if b.Err() != nil {
		return nil, b.Err()
	}
	if err != nil || content == nil {
		return nil, err
	}
	facts, err := libraries(ctx, f.Path, content)
	if facts != nil {
		facts.Ownership = nil // the files are inside
	}
	return facts, err
}

// bundled is the deps.json of the bundle with its header at an offset.
func bundled(r io.ReaderAt, at, size int64) ([]byte, error) {
	// Two numbers of the version, the number of files, an identity of up to
	// 127 bytes after its length, place and size of the deps.json.
	var head [12 + 1 + 127 + 16]byte
	if at < 0 || at >= size {
		return nil, fmt.Errorf("header at %d: %w", at, errDamaged)
	}
	n, _ := r.ReadAt(head[:], at)
	if n < 13 {
		return nil, fmt.Errorf("header: %w", errDamaged)
	}
	if version := le.Uint32(head[:]); version < 2 {
		return nil, nil // .NET Core 3, whose header does not say where
	}
	id := int(head[12])
	if id > 127 || n < 13+id+16 {
		return nil, fmt.Errorf("header: %w", errDamaged)
	}
	off, length := int64(le.Uint64(head[13+id:])), int64(le.Uint64(head[13+id+8:]))
	switch {
	case off == 0 || length == 0:
		return nil, nil
	case off < 0 || length < 0 || off > size || length > size-off:
		return nil, fmt.Errorf("deps.json: %w", errDamaged)
	case length > maxDepsBytes:
		return nil, analyze.Limited("bytes", length, maxDepsBytes)
	}
	content := make([]byte, length)
	if n, err := r.ReadAt(content, off); n < len(content) {
		return nil, fmt.Errorf("deps.json: %w: %w", errDamaged, err)
	}
	return bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")), nil
}

// data is the data section of a program that has something appended to it, nil
// for any other.
func data(r io.ReaderAt, size int64) []byte {
	var head [64]byte
	if n, _ := r.ReadAt(head[:], 0); n < len(head) {
		return nil
	}
	var section *io.SectionReader
	if isELF(head[:]) {
		// The table of sections ends what a linker writes. Programs of .NET
		// are for little-endian processors of 64 or, on ARM, 32 bits.
		end := int64(le.Uint64(head[0x28:])) + int64(le.Uint16(head[0x3a:]))*int64(le.Uint16(head[0x3c:]))
		if head[4] == 1 {
			end = int64(le.Uint32(head[0x20:])) + int64(le.Uint16(head[0x2e:]))*int64(le.Uint16(head[0x30:]))
		}
		if end < 0 || end >= size {
			return nil
		}
		section, _ = analyze.FindSection(r, ".data")
	} else if p := analyze.OpenPE(r); p != nil {
		section = p.Section(".data")
	}
	if section == nil || section.Size() > maxDataBytes || section.Size() > size {
		return nil
	}
	b := make([]byte, section.Size())
	n, _ := section.ReadAt(b, 0)
	return b[:n]
}
