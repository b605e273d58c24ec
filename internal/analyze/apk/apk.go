package apk

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const key = "apk/2"

// Limits. Every package of one Alpine release together, about 30,000, would
// make a database of 300 MB; a large image has 500 packages and 5 MB.
const (
	maxDatabaseBytes = 128 << 20
	maxPackages      = 50_000
	maxFieldBytes    = 1024
	// maxOwned bounds the hashes of owned files in all. What is above it has
	// no owner, which shows packages twice rather than not at all.
	maxOwned = 500_000
)

// An Analyzer reads apk's database.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the two places of the database.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	return p == "/lib/apk/db/installed" || p == "/usr/lib/apk/db/installed"
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxDatabaseBytes {
		return nil, fmt.Errorf("read apk database: %w", analyze.Limited("bytes", f.Size, maxDatabaseBytes))
	}
	d := decoder{path: f.Path}
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		d.line++
		if err := d.add(r.Line()); err != nil {
			return d.facts(), fmt.Errorf("read apk database: %w", err)
		}
	}
	if r.Err() != nil {
		return d.facts(), fmt.Errorf("read apk database: %w", r.Err())
	}
	if err := d.finish(); err != nil {
		return d.facts(), fmt.Errorf("read apk database: %w", err)
	}
	return d.facts(), nil
}

// A decoder holds the paragraph being read and what was read before.
type decoder struct {
	path     string
	line     int
	pkgs     []report.Package
	owns     []report.Ownership
	problems analyze.Problems
	owned    int  // hashes in owns
	unowned  bool // some owned files were left out

	cur    report.Package
	folder string
	files  []uint64
	seen   bool
	bad    error
}

func (d *decoder) facts() *report.Facts {
	if d.unowned {
		d.problems.Add(d.path, key, "owned files: %v: at most %d", analyze.ErrLimit, maxOwned)
	}
	return &report.Facts{
		Database:  &report.Database{Path: d.path, Packages: d.pkgs},
		Ownership: d.owns,
		Problems:  d.problems.List(),
	}
}

func (d *decoder) add(line []byte) error {
	if len(line) == 0 {
		return d.finish()
	}
	d.seen = true
	if len(line) < 2 || line[1] != ':' {
		d.bad = fmt.Errorf("a line is no field: %q", analyze.Clip(line))
		return nil
	}
	kind, value := line[0], line[2:]
	switch kind {
	case 'P', 'V', 'A', 'o', 'L':
		if len(value) > maxFieldBytes {
			d.bad = fmt.Errorf("field %c: %w", kind, analyze.Limited("bytes", int64(len(value)), maxFieldBytes))
			return nil
		}
	}
	switch kind {
	case 'P':
		d.cur.Name = string(value)
	case 'V':
		d.cur.Version = string(value)
	case 'A':
		d.cur.Arch = string(value)
	case 'o':
		d.cur.Source = string(value)
	case 'L':
		if len(value) > 0 {
			d.cur.Licenses = []string{string(value)}
		}
	case 'F':
		d.folder = string(value)
	case 'R':
		if d.owned+len(d.files) >= maxOwned {
			d.unowned = true
			return nil
		}
		d.files = analyze.AppendOwned(d.files, "/"+d.folder+"/"+string(value))
	}
	return nil
}

// finish ends a paragraph. A package with a name and a version is kept even if
// another of its lines is broken; the line is told as a problem.
func (d *decoder) finish() error {
	if !d.seen {
		return nil
	}
	p, files, bad := d.cur, d.files, d.bad
	d.cur, d.files, d.bad, d.folder, d.seen = report.Package{}, nil, nil, "", false
	if bad == nil && (!analyze.Plain(p.Name) || !analyze.Plain(p.Version)) {
		bad = fmt.Errorf("package %q, version %q: not usable", analyze.Clip(p.Name), analyze.Clip(p.Version))
	}
	if bad != nil {
		d.problems.Add(d.path, key, "paragraph that ends at line %d: %v", d.line, bad)
	}
	if !analyze.Plain(p.Name) || !analyze.Plain(p.Version) {
		return nil
	}
	if len(d.pkgs) == maxPackages {
		return analyze.Limited("packages", maxPackages+1, maxPackages)
	}
	p.Type, p.Path = report.TypeAPK, d.path
	if p.Source == p.Name {
		p.Source = ""
	}
	d.pkgs = append(d.pkgs, p)
	if len(files) > 0 {
		slices.Sort(files)
		d.owned += len(files)
		d.owns = append(d.owns, report.Ownership{
			Path: d.path, Owner: report.TypeAPK + ":" + p.Name, Files: slices.Compact(files),
		})
	}
	return nil
}
