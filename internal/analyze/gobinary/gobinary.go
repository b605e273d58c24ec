package gobinary

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime/debug"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "gobinary/2"

// Limits. The smallest Go program has about 1 MB, or 300 kB if packed; the
// largest we have met 700 MB. Of these only headers, the start of the data and
// the build information are read, less than 1 MB; a file without a section
// table makes the search read its data segment.
const (
	minFileBytes   = 64 << 10
	maxFileBytes   = 4 << 30
	maxReadBytes   = 64 << 20
	maxModules     = 20_000
	maxStringBytes = 1024
)

// An Analyzer reads Go executables.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes what may be a program: executable by its mode, or by its name
// (no extension, ".exe"), and neither tiny nor absurdly large.
func (Analyzer) Wants(p string, info fs.FileInfo) bool {
	if info.Size() < minFileBytes || info.Size() > maxFileBytes {
		return false
	}
	ext := path.Ext(p)
	return info.Mode()&0o111 != 0 || ext == "" || ext == ".exe"
}

// magics are the first bytes of ELF, PE and Mach-O (32 and 64 bit in both byte
// orders, and universal) files.
var magics = []string{
	"\x7fELF", "MZ",
	"\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe",
}

// Sniff implements analyze.Sniffer.
func (Analyzer) Sniff(head []byte) bool {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m)) {
			return true
		}
	}
	return false
}

// Analyze implements analyze.Analyzer. A program that is not Go's says
// nothing, whatever state it is in.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	b := analyze.NewBudget(ctx, f, maxReadBytes)
	if plainELF(b) && b.Err() == nil {
		return nil, nil
	}
	bi, err := buildinfo.Read(b)
	if b.Err() != nil {
		return nil, fmt.Errorf("read build information: %w", b.Err())
	}
	if err != nil {
		if foreign(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read build information: %w", err)
	}
	if version := bi.Main.Version; bi.Main.Path != "" && unreleased(version) {
		stamped, err := stampedVersion(ctx, f, bi)
		if err != nil {
			return nil, fmt.Errorf("search for the version: %w", err)
		}
		if stamped != "" {
			bi.Main.Version = stamped
		}
	}
	return modules(f.Path, bi)
}

// modules are the packages that the program at p is built from.
func modules(p string, bi *debug.BuildInfo) (*report.Facts, error) {
	if n := len(bi.Deps); n > maxModules {
		return nil, fmt.Errorf("read build information: %w", analyze.Limited("modules", int64(n), maxModules))
	}
	var problems analyze.Problems
	facts := &report.Facts{}
	add := func(name, version string) {
		if !plain(name) || len(version) > maxStringBytes {
			problems.Add(p, key, "a module cannot be called %q", name[:min(len(name), 60)])
			return
		}
		facts.Packages = append(facts.Packages, report.Package{
			Type: report.TypeGo, Name: name, Version: version, Path: p,
		})
	}
	if bi.Main.Path != "" {
		add(resolve(&bi.Main))
	}
	if bi.Main.Path == "" && strings.HasPrefix(bi.Path, "cmd/") {
		// The Go distribution's own tools. The Go vulnerability database
		// calls them by this name.
		add("toolchain", toolchain(bi.GoVersion))
	}
	for _, m := range bi.Deps {
		add(resolve(m))
	}
	add("stdlib", toolchain(bi.GoVersion))
	facts.Problems = problems.List()
	return facts, nil
}

// plainELF reports whether r is an ELF file with a section table in which the
// section of Go's build information is missing. For such a file the standard
// library would search the whole data segment, which is most of the cost of an
// image full of C programs. Go's linker always writes the section and strip(1)
// keeps it; only a file without any section table has to be searched.
func plainELF(r io.ReaderAt) bool {
	section, table := analyze.FindSection(r, ".go.buildinfo")
	return table && section == nil
}

// foreign tells the errors of debug/buildinfo that mean "not a Go program"
// from those that mean "damaged". The package has no sentinels for them.
func foreign(err error) bool {
	s := err.Error()
	return strings.Contains(s, "not a Go executable") || strings.Contains(s, "unrecognized file format")
}

// resolve is the module that was really built: m, or what replaces it. A
// replacement by a directory keeps the name, and its version is unknown.
func resolve(m *debug.Module) (name, version string) {
	name, version = m.Path, m.Version
	if r := m.Replace; r != nil {
		if local(r.Path) {
			return name, ""
		}
		name, version = r.Path, r.Version
	}
	if version == "(devel)" {
		version = ""
	}
	return name, version
}

func local(p string) bool {
	return strings.HasPrefix(p, "./") || strings.HasPrefix(p, "../") || p == "." || p == ".." ||
		path.IsAbs(p) || strings.Contains(p, `\`)
}

// toolchain is the version of the Go distribution: "go1.22.1 X:boringcrypto"
// is 1.22.1; that of a development tree is unknown.
func toolchain(s string) string {
	s, _, _ = strings.Cut(s, " ")
	s, ok := strings.CutPrefix(s, "go")
	if !ok || s == "" || s[0] < '0' || s[0] > '9' || len(s) > maxStringBytes {
		return ""
	}
	if i := strings.IndexAny(s, "-+"); i >= 0 {
		s = s[:i] // a vendor's suffix: go1.22.5-fips
	}
	return s
}

// plain reports whether s can be a module path.
func plain(s string) bool {
	return analyze.Plain(s) && len(s) <= maxStringBytes
}
