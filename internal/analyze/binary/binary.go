package binary

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "binary/1"

// Limits. The smallest program of the table is a su-exec of 9 kB, scripts are
// smaller; the largest are database servers and browsers of 200 to 400 MB.
const (
	maxFileBytes = 1 << 30
	maxTextBytes = 1 << 20
)

// An Analyzer finds programs by their content.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes files that are called like a program of the table.
func (Analyzer) Wants(p string, info fs.FileInfo) bool {
	if info.Size() == 0 || info.Size() > maxFileBytes {
		return false
	}
	return programOf(p[lastSlash(p)+1:]) != nil
}

func lastSlash(p string) int {
	i := len(p) - 1
	for i >= 0 && p[i] != '/' {
		i--
	}
	return i
}

// Sniff implements analyze.Sniffer: executables and text.
func (Analyzer) Sniff(head []byte) bool {
	return executable(head) || text(head)
}

// magics are the first bytes of ELF, PE and Mach-O (64 bit, and universal)
// files.
var magics = [...]string{"\x7fELF", "MZ", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe"}

func executable(head []byte) bool {
	for _, m := range magics {
		if len(head) >= len(m) && string(head[:len(m)]) == m {
			return true
		}
	}
	return false
}

func text(head []byte) bool {
	for _, c := range head {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return len(head) > 0
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	p := programOf(path.Base(f.Path))
	if p == nil {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	head := make([]byte, min(f.Size, analyze.SniffBytes))
	if _, err := f.Content.ReadAt(head, 0); err != nil && len(head) < analyze.SniffBytes {
		return nil, nil // no file of the table is that short
	}
	found, err := p.find(ctx, f, executable(head))
	if err != nil {
		return nil, fmt.Errorf("search for the version of %s: %w", p.files[0], err)
	}
	if found == nil {
		return nil, nil
	}
	return &report.Facts{Packages: []report.Package{{
		Type: report.TypeGeneric, Name: found.name, Version: found.version, Path: f.Path,
	}}}, nil
}

// A finding is the program that a file turned out to be.
type finding struct{ name, version string }

// find looks for the evidence of p in f.
func (p *program) find(ctx context.Context, f analyze.File, exe bool) (*finding, error) {
	if p.text == exe {
		return nil, nil
	}
	if p.goes != "" {
		return findGo(ctx, f, p.goes)
	}
	if p.text {
		if f.Size > maxTextBytes {
			return nil, nil // a text this long is something else of that name
		}
		s := newSearch(p.evidence, "")
		if err := s.run(ctx, f.Content, []span{{0, f.Size}}); err != nil {
			return nil, err
		}
		return s.answer(), nil
	}
	s := newSearch(p.evidence, number(path.Base(f.Path)))
	b := analyze.NewBudget(ctx, f, maxReadBytes)
	for _, spans := range order(b, f.Size) {
		if err := s.run(ctx, b, spans); err != nil {
			return nil, err
		}
		if a := s.answer(); a != nil {
			return a, nil
		}
	}
	return nil, nil
}
