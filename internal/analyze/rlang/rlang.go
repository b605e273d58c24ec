package rlang

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const key = "rlang/1"

// Limits. The largest DESCRIPTION of the 20,000 packages of CRAN has 20 kB.
const (
	maxFileBytes = 4 << 20
	maxTextBytes = 512
)

// An Analyzer reads DESCRIPTION files.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes every DESCRIPTION.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool { return strings.HasSuffix(p, "/DESCRIPTION") }

var errNoName = errors.New("no usable name or version")

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("read DESCRIPTION: %w", analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	var name, version, license, built string
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		line := string(r.Line())
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			continue // the rest of a folded field
		}
		field, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch field {
		case "Package":
			name = value
		case "Version":
			version = value
		case "License":
			license = value
		case "Built":
			built = value
		}
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("read DESCRIPTION: %w", r.Err())
	}
	if !strings.HasPrefix(built, "R ") && !strings.HasPrefix(license, "Part of R ") {
		return nil, nil
	}
	if !plain(name) || !plain(version) {
		return nil, fmt.Errorf("read DESCRIPTION: package %q, version %q: %w", analyze.Clip(name), analyze.Clip(version), errNoName)
	}
	pkg := report.Package{Type: report.TypeCRAN, Name: name, Version: version, Path: f.Path}
	if license != "" && len(license) <= maxTextBytes {
		pkg.Licenses = []string{license}
	}
	return &report.Facts{Packages: []report.Package{pkg}}, nil
}

// plain reports whether s can be a name or a version.
func plain(s string) bool { return analyze.Plain(s) && len(s) <= maxTextBytes }
