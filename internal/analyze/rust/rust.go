package rust

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "rust/2"

// Limits. A program with 800 crates has a list of 15 kB, 150 kB inflated;
// cargo-auditable's own reader stops at 8 MB. Headers and list together are less
// than may be read.
const (
	minFileBytes  = 16 << 10
	maxFileBytes  = 4 << 30
	maxReadBytes  = 32 << 20
	maxListBytes  = 8 << 20
	maxPackages   = 20_000
	maxTextBytes  = 512
	sectionOfList = ".dep-v0"
	// maxCommandBytes is for the load commands of a Mach-O file, some kB.
	maxCommandBytes = 1 << 20
)

// An Analyzer reads programs and libraries.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes what may be a program, and libraries that extend other languages.
// Of the libraries of the system, which are many and cost a read each where they
// are not in memory, hardly any is built so.
func (Analyzer) Wants(p string, info fs.FileInfo) bool {
	if info.Size() < minFileBytes || info.Size() > maxFileBytes {
		return false
	}
	switch path.Ext(p) {
	case "", ".exe", ".node", ".dll", ".dylib", ".pyd":
		return true
	case ".so":
		return strings.Contains(p, "-packages/")
	}
	return info.Mode()&0o111 != 0
}

// Sniff implements analyze.Sniffer: ELF, PE, or Mach-O for one processor.
func (Analyzer) Sniff(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\x7fELF")) || bytes.HasPrefix(head, []byte("MZ")) || isMachO(head)
}

func isMachO(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\xcf\xfa\xed\xfe")) || bytes.HasPrefix(head, []byte("\xce\xfa\xed\xfe"))
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	b := analyze.NewBudget(ctx, f, maxReadBytes)
	list := section(b)
	if b.Err() != nil {
		return nil, fmt.Errorf("read sections: %w", b.Err())
	}
	if list == nil {
		return nil, nil
	}
	facts, err := crates(ctx, f.Path, list)
	if b.Err() != nil {
		err = b.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read list of crates: %w", err)
	}
	return facts, nil
}

// section is the content of the list, compressed, nil if r has none. Programs
// whose headers are damaged run nowhere and say nothing.
func section(r io.ReaderAt) io.Reader {
	var head [4]byte
	if n, _ := r.ReadAt(head[:], 0); n < len(head) {
		return nil
	}
	switch {
	case head[0] == 0x7f:
		if s, _ := analyze.FindSection(r, sectionOfList); s != nil {
			return s
		}
	case head[0] == 'M':
		if p := analyze.OpenPE(r); p != nil {
			if s := p.Section(sectionOfList); s != nil {
				return s
			}
		}
	case isMachO(head[:]):
		if s := machO(r); s != nil {
			return s
		}
	}
	return nil
}

// machO finds the list in a Mach-O file: among its load commands are segments,
// which are followed by the headers of their sections (mach-o/loader.h).
// debug/macho also reads every symbol.
func machO(r io.ReaderAt) *io.SectionReader {
	le := binary.LittleEndian
	var head [32]byte
	if n, _ := r.ReadAt(head[:], 0); n < len(head) {
		return nil
	}
	// Header, segment command and section of 64 bits, or of 32.
	header, segment, command, section := 32, 72, uint32(0x19), 80
	if head[0] == 0xce {
		header, segment, command, section = 28, 56, 1, 68
	}
	size := le.Uint32(head[20:])
	if size > maxCommandBytes {
		return nil
	}
	b := make([]byte, size)
	if n, _ := r.ReadAt(b, int64(header)); n < len(b) {
		return nil
	}
	for len(b) >= 8 {
		n := int(le.Uint32(b[4:]))
		if n < 8 || n > len(b) {
			return nil
		}
		if le.Uint32(b) == command && n >= segment {
			for s := b[segment:n]; len(s) >= section; s = s[section:] {
				if name, _, _ := bytes.Cut(s[:16], []byte{0}); string(name) != sectionOfList {
					continue
				}
				if section == 80 {
					return io.NewSectionReader(r, int64(le.Uint32(s[48:])), int64(le.Uint64(s[40:])&(1<<62-1)))
				}
				return io.NewSectionReader(r, int64(le.Uint32(s[40:])), int64(le.Uint32(s[36:])))
			}
		}
		b = b[n:]
	}
	return nil
}

// crate is one entry of the list.
type crate struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

var errNoCrates = errors.New("no crates in it")

// crates are the packages of the list.
func crates(ctx context.Context, p string, r io.Reader) (*report.Facts, error) {
	z, err := zlib.NewReader(io.LimitReader(r, maxListBytes))
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(z, maxListBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxListBytes {
		return nil, analyze.Limited("bytes", int64(len(content)), maxListBytes)
	}
	facts := &report.Facts{}
	var problems analyze.Problems
	d := json.NewDecoder(bytes.NewReader(content))
	n := 0
	err = analyze.JSONObject(ctx, d, func(field string) error {
		if field != "packages" {
			return analyze.JSONSkip(d)
		}
		return analyze.JSONArray(ctx, d, func() error {
			if n++; n > maxPackages {
				return analyze.Limited("crates", int64(n), maxPackages)
			}
			var c crate
			if err := analyze.JSONValue(d, &c); err != nil {
				return err
			}
			if !plain(c.Name) || !plain(c.Version) {
				problems.Add(p, key, "a crate cannot be called %q, version %q", analyze.Clip(c.Name), analyze.Clip(c.Version))
				return nil
			}
			facts.Packages = append(facts.Packages, report.Package{
				Type: report.TypeCargo, Name: c.Name, Version: c.Version, Path: p, Declared: c.Kind == "build",
			})
			return nil
		})
	})
	if err == nil && n == 0 {
		err = errNoCrates
	}
	if err != nil {
		return nil, err
	}
	facts.Problems = problems.List()
	return facts, nil
}

// plain reports whether s can be a name or a version.
func plain(s string) bool { return analyze.Plain(s) && len(s) <= maxTextBytes }
