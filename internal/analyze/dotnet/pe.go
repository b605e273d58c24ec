package dotnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// Entries of the data directory of a PE file.
const (
	directoryResources = 2
	directoryCLR       = 14
)

var errDamaged = errors.New("damaged")

// assembly is the package that the assembly f is; native tells that f is a
// program for Windows of another kind.
func assembly(ctx context.Context, f analyze.File) (facts *report.Facts, native bool, err error) {
	b := analyze.NewBudget(ctx, f, maxReadBytes)
	p := analyze.OpenPE(b)
	if b.Err() != nil {
		return nil, false, b.Err()
	}
	if p == nil {
		return nil, false, nil // for DOS, or of no interest to Windows
	}
	img := &image{file: p}
	clr := img.directory(directoryCLR)
	if clr == 0 {
		return nil, true, nil
	}
	id, err := img.identity(clr)
	if b.Err() != nil {
		return nil, false, b.Err()
	}
	if err != nil {
		return nil, false, err
	}
	if id.name == "" || id.culture != "" {
		return nil, false, nil // a module of another assembly, or its translation
	}
	info := img.versionInfo()
	if b.Err() != nil {
		return nil, false, b.Err()
	}
	if !plain(id.name) {
		return nil, false, fmt.Errorf("an assembly cannot be called %q: %w", analyze.Clip(id.name), errDamaged)
	}
	return &report.Facts{Packages: []report.Package{{
		Type: report.TypeNuGet, Name: id.name, Path: f.Path,
		Version: packageVersion(info["ProductVersion"], info["FileVersion"], id.version),
	}}}, false, nil
}

// packageVersion is the version of the package that an assembly came in. The
// SDK writes the package's version, with the commit after "+", as the product
// version; older projects keep the file version in step. The assembly version
// changes least often, because other assemblies are bound to it.
func packageVersion(product, file, assembly string) string {
	for _, v := range []string{product, file, assembly} {
		v, _, _ = strings.Cut(strings.TrimSpace(v), "+")
		v, _, _ = strings.Cut(v, " ")
		if v = version(v); v != "" {
			return v
		}
	}
	return ""
}

// version is what of s has the form of a NuGet version: two to four numbers and
// a word for a release to come (1.2, 1.2.3.4, 1.2.3-rc.1). Numbers that can be
// none of a version, and what follows them, are the marks of a build.
func version(s string) string {
	numbers, word, ahead := strings.Cut(s, "-")
	var keep []string
	for _, n := range strings.Split(numbers, ".") {
		if _, err := strconv.ParseUint(n, 10, 31); err != nil || len(keep) == 4 {
			break
		}
		keep = append(keep, n)
	}
	v := strings.Join(keep, ".")
	if len(keep) < 2 || strings.Trim(v, "0.") == "" || len(s) > maxTextBytes {
		return ""
	}
	if ahead && v == numbers && word != "" && strings.IndexFunc(word, odd) < 0 {
		v += "-" + word
	}
	return v
}

func odd(c rune) bool {
	return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '.' && c != '-'
}

// image is a PE file as it would lie in memory.
type image struct{ file *analyze.PE }

// directory is the address of an entry of the data directory, 0 if there is
// none.
func (m *image) directory(i int) uint32 {
	if i >= len(m.file.Directories) {
		return 0
	}
	return m.file.Directories[i]
}

// read is up to n bytes at an address; fewer than least are an error.
func (m *image) read(addr uint32, least, n int) ([]byte, error) {
	for _, s := range m.file.Sections {
		if addr < s.Address || int64(addr-s.Address) >= s.Size() {
			continue
		}
		b := make([]byte, n)
		got, err := s.ReadAt(b, int64(addr-s.Address))
		if got < least {
			return nil, fmt.Errorf("address %#x: %w: %w", addr, errDamaged, err)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return b[:got], nil
	}
	return nil, fmt.Errorf("address %#x is in no section: %w", addr, errDamaged)
}

var le = binary.LittleEndian

// text is the zero-terminated string at an address.
func (m *image) text(addr uint32) (string, error) {
	b, err := m.read(addr, 1, maxTextBytes+1)
	if err != nil {
		return "", err
	}
	s, _, ok := strings.Cut(string(b), "\x00")
	if !ok {
		return "", fmt.Errorf("a name without an end: %w", errDamaged)
	}
	return s, nil
}
