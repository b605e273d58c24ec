package kernel

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "kernel/1"

// Limits. The largest modules, of graphics drivers, have 60 MB, 20 MB
// compressed; a section of module information has 1 to 50 KB.
const (
	maxModuleBytes = 256 << 20
	maxPlainBytes  = 96 << 20
	maxInfoBytes   = 1 << 20
	maxSections    = 20_000
	maxFieldBytes  = 256
	// zstdWindow is above what the kernel's build uses, and the most that a
	// stream may make us hold.
	zstdWindow = 32 << 20
)

// An Analyzer recognises kernels and modules.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes kernels in the places where they are started from, and modules
// beneath /lib/modules that are not part of a kernel.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	if rest, ok := strings.CutPrefix(p, "/boot/"); ok {
		return image(rest)
	}
	if _, rest, ok := modules(p); ok {
		return rest == "vmlinuz" || outside(rest)
	}
	return strings.HasPrefix(p, "/vmlinuz") && image(p[1:])
}

// image reports whether the last element of p is the name of a kernel.
func image(p string) bool {
	base := p[strings.LastIndexByte(p, '/')+1:]
	return strings.HasPrefix(base, "vmlinuz") || base == "bzImage"
}

// modules takes "/lib/modules/VERSION/REST" apart.
func modules(p string) (version, rest string, ok bool) {
	p, _ = strings.CutPrefix(p, "/usr")
	p, ok = strings.CutPrefix(p, "/lib/modules/")
	if !ok {
		return "", "", false
	}
	return strings.Cut(p, "/")
}

// outside reports whether rest, beneath the directory of a version, is a module
// that does not belong to the kernel.
func outside(rest string) bool {
	return !strings.HasPrefix(rest, "kernel/") && (strings.HasSuffix(rest, ".ko") ||
		strings.HasSuffix(rest, ".ko.xz") || strings.HasSuffix(rest, ".ko.zst") || strings.HasSuffix(rest, ".ko.gz"))
}

// Sniff implements analyze.Sniffer: a boot sector or a PE program (a kernel for
// x86 is both), an ELF file, or something compressed.
func (Analyzer) Sniff(head []byte) bool {
	for _, magic := range []string{"MZ", "\x7fELF", "\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd7zX", "\xea\x05"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read kernel: %w", err)
	}
	if _, rest, ok := modules(f.Path); ok && outside(rest) {
		facts, err := readModule(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("read module: %w", err)
		}
		return facts, nil
	}
	facts, err := readImage(f)
	if err != nil {
		return nil, fmt.Errorf("read kernel: %w", err)
	}
	return facts, nil
}

// Offsets in the image of a kernel for x86.
const (
	bootFlagAt   = 0x1fe
	headerAt     = 0x202
	versionAt    = 0x20e
	versionBase  = 0x200
	setupBytes   = 0x264
	maxTextBytes = 512
)

// readImage reads the version at the place that the setup header names:
// "6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP …".
func readImage(f analyze.File) (*report.Facts, error) {
	head := make([]byte, setupBytes)
	if n, err := f.Content.ReadAt(head, 0); n < len(head) {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, err
	}
	if binary.LittleEndian.Uint16(head[bootFlagAt:]) != 0xaa55 || string(head[headerAt:headerAt+4]) != "HdrS" {
		return nil, nil // another architecture
	}
	at := int64(binary.LittleEndian.Uint16(head[versionAt:]))
	if at == 0 {
		return nil, nil
	}
	text := make([]byte, maxTextBytes)
	n, err := f.Content.ReadAt(text, at+versionBase)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	text, _, ended := bytes.Cut(text[:n], []byte{0})
	version, _, _ := strings.Cut(string(text), " ")
	if !ended || !analyze.Plain(version) || len(version) > maxFieldBytes || version[0] < '0' || version[0] > '9' {
		return nil, fmt.Errorf("%q is no version", analyze.Clip(text))
	}
	return &report.Facts{Packages: []report.Package{{Type: report.TypeKernel, Name: "linux-kernel", Version: version, Arch: "x86_64", Path: f.Path}}}, nil
}

// readModule reads the module information. A module without a version of its
// own is listed, and matched with nothing.
func readModule(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxModuleBytes {
		return nil, analyze.Limited("bytes", f.Size, maxModuleBytes)
	}
	base := path.Base(f.Path)
	name, _, _ := strings.Cut(base, ".ko")
	p := report.Package{Type: report.TypeKernelModule, Name: strings.ReplaceAll(name, "-", "_"), Path: f.Path}
	content := f.Content
	switch path.Ext(base) {
	case ".xz":
		return &report.Facts{Packages: []report.Package{p}}, nil
	case ".gz", ".zst":
		b, err := inflate(ctx, f, path.Ext(base))
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	info, err := modinfo(content)
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		k, v, _ := strings.Cut(string(field), "=")
		if len(v) > maxFieldBytes {
			continue
		}
		switch k {
		case "name":
			if analyze.Plain(v) {
				p.Name = v
			}
		case "version":
			if analyze.Plain(v) {
				p.Version = v
			}
		case "license":
			if v != "" && len(p.Licenses) == 0 {
				p.Licenses = []string{v}
			}
		}
	}
	if !analyze.Plain(p.Name) {
		return nil, fmt.Errorf("%q is no name", analyze.Clip(p.Name))
	}
	return &report.Facts{Packages: []report.Package{p}}, nil
}

// inflate is the content of a compressed module.
func inflate(ctx context.Context, f analyze.File, ext string) ([]byte, error) {
	var r io.Reader
	if ext == ".gz" {
		z, err := gzip.NewReader(f.Reader())
		if err != nil {
			return nil, err
		}
		r = z
	} else {
		z, err := zstd.NewReader(f.Reader(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	}
	var out bytes.Buffer
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := io.CopyN(&out, r, 1<<20)
		if out.Len() > maxPlainBytes {
			return nil, analyze.Limited("bytes inflated", int64(out.Len()), maxPlainBytes)
		}
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// modinfo is the section of module information.
func modinfo(r io.ReaderAt) ([]byte, error) {
	e, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	if len(e.Sections) > maxSections {
		return nil, analyze.Limited("sections", int64(len(e.Sections)), maxSections)
	}
	s := e.Section(".modinfo")
	if s == nil || s.Type == elf.SHT_NOBITS {
		return nil, errors.New("no module information")
	}
	if s.Size > maxInfoBytes {
		return nil, analyze.Limited("bytes of module information", int64(min(s.Size, 1<<62)), maxInfoBytes)
	}
	return io.ReadAll(io.NewSectionReader(s.ReaderAt, 0, int64(s.Size)))
}
