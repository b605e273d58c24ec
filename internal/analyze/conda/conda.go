package conda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "conda/1"

// Limits. The record of a package with 30,000 files (a Qt or a toolkit of CUDA)
// has 12 MB.
const (
	maxFileBytes = 32 << 20
	maxTextBytes = 512
)

// An Analyzer reads the records of conda.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the JSON files directly in a directory conda-meta.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	if !strings.HasSuffix(p, ".json") {
		return false
	}
	const dir = "/conda-meta"
	return strings.HasSuffix(p[:strings.LastIndexByte(p, '/')], dir)
}

var errNoName = errors.New("no usable name or version")

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("read conda record: %w", analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	r, err := read(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("read conda record: %w", err)
	}
	if r == (record{}) {
		return nil, nil // no record but something else, a pinning or a state
	}
	if !plain(r.name) || !plain(r.version) {
		return nil, fmt.Errorf("read conda record: package %q, version %q: %w", analyze.Clip(r.name), analyze.Clip(r.version), errNoName)
	}
	pkg := report.Package{Type: report.TypeConda, Name: r.name, Version: r.version, Path: f.Path}
	if plain(r.subdir) && r.subdir != "noarch" {
		pkg.Arch = r.subdir
	}
	if r.license != "" && len(r.license) <= maxTextBytes {
		pkg.Licenses = []string{r.license}
	}
	return &report.Facts{Packages: []report.Package{pkg}}, nil
}

// record is what matters of a record.
type record struct{ name, version, subdir, license string }

// read goes over the record token by token, so that its long lists of files
// are never held.
func read(ctx context.Context, f analyze.File) (record, error) {
	var r record
	if err := ctx.Err(); err != nil {
		return r, err
	}
	if f.Size == 0 {
		return r, nil
	}
	d := json.NewDecoder(f.Reader())
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return r, errors.Join(errors.New("not an object"), err)
	}
	depth := 1
	for n, field := 0, ""; depth > 0; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return r, ctx.Err()
		}
		t, err := d.Token()
		if err != nil {
			return r, err
		}
		switch t := t.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				depth++
			} else {
				depth--
			}
			field = ""
		case string:
			if depth > 1 {
				continue
			}
			if field == "" {
				field = t
				continue
			}
			switch field {
			case "name":
				r.name = t
			case "version":
				r.version = t
			case "subdir":
				r.subdir = t
			case "license":
				r.license = t
			}
			field = ""
		default:
			if depth == 1 {
				field = ""
			}
		}
	}
	return r, nil
}

// plain reports whether s can be a name or a version.
func plain(s string) bool { return analyze.Plain(s) && len(s) <= maxTextBytes }
