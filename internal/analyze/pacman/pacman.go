package pacman

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const (
	key = "pacman/1"

	localDir = "/var/lib/pacman/local/"
)

// Limits. A description has 2 KB; the list of the largest package, of fonts or
// firmware, has 30,000 lines.
const (
	maxDescBytes  = 1 << 20
	maxListBytes  = 64 << 20
	maxFieldBytes = 1024
	maxLicenses   = 50
	maxOwned      = 500_000
)

// An Analyzer reads pacman's local database.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the descriptions and the file lists.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	rest, ok := strings.CutPrefix(p, localDir)
	if !ok {
		return false
	}
	_, base, ok := strings.Cut(rest, "/")
	return ok && (base == "desc" || base == "files")
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if path.Base(f.Path) == "files" {
		return ownership(ctx, f)
	}
	return description(ctx, f)
}

// sections calls each with every line of the file and the section it is in,
// without the signs around it. Sections end at an empty line.
func sections(ctx context.Context, f analyze.File, each func(section, line string)) error {
	section := ""
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		line := string(r.Line())
		switch {
		case r.Cut():
		case line == "":
			section = ""
		case section == "" && len(line) > 2 && line[0] == '%' && line[len(line)-1] == '%':
			section = line[1 : len(line)-1]
		case section != "":
			each(section, line)
		}
	}
	return r.Err()
}

func description(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxDescBytes {
		return nil, fmt.Errorf("read description: %w", analyze.Limited("bytes", f.Size, maxDescBytes))
	}
	p := report.Package{Type: report.TypeAlpm, Path: f.Path}
	var long string
	err := sections(ctx, f, func(section, line string) {
		if len(line) > maxFieldBytes {
			switch section {
			case "NAME", "VERSION", "BASE", "ARCH":
				long = section
			}
			return
		}
		switch section {
		case "NAME":
			p.Name = line
		case "VERSION":
			p.Version = line
		case "BASE":
			p.Source = line
		case "ARCH":
			p.Arch = line
		case "PACKAGER":
			if line != "Unknown Packager" {
				p.Vendor = line
			}
		case "LICENSE":
			if len(p.Licenses) < maxLicenses {
				p.Licenses = append(p.Licenses, line)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read description: %w", err)
	}
	if long != "" {
		return nil, fmt.Errorf("read description: field %s: %w: at most %d bytes", long, analyze.ErrLimit, maxFieldBytes)
	}
	if !analyze.Plain(p.Name) || !analyze.Plain(p.Version) {
		return nil, fmt.Errorf("read description: package %q, version %q: not usable", analyze.Clip(p.Name), analyze.Clip(p.Version))
	}
	if p.Source == p.Name || !analyze.Plain(p.Source) {
		p.Source = ""
	}
	if !analyze.Plain(p.Arch) {
		p.Arch = ""
	}
	return &report.Facts{Packages: []report.Package{p}}, nil
}

func ownership(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxListBytes {
		return nil, fmt.Errorf("read file list: %w", analyze.Limited("bytes", f.Size, maxListBytes))
	}
	name := packageOf(path.Base(path.Dir(f.Path)))
	if !analyze.Plain(name) {
		return nil, fmt.Errorf("read file list: no package is called %q", analyze.Clip(path.Dir(f.Path)))
	}
	o := report.Ownership{Path: f.Path, Owner: report.TypeAlpm + ":" + name}
	err := sections(ctx, f, func(section, line string) {
		// Directories end in a slash.
		if section == "FILES" && line[len(line)-1] != '/' && len(o.Files) <= maxOwned {
			o.Files = analyze.AppendOwned(o.Files, line)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read file list: %w", err)
	}
	if len(o.Files) > maxOwned {
		return nil, fmt.Errorf("read file list: %w", analyze.Limited("owned files", int64(len(o.Files)), maxOwned))
	}
	if len(o.Files) == 0 {
		return nil, nil
	}
	slices.Sort(o.Files)
	o.Files = slices.Compact(o.Files)
	return &report.Facts{Ownership: []report.Ownership{o}}, nil
}

// packageOf is the name in "NAME-VERSION-RELEASE"; neither a version nor a
// release has a dash.
func packageOf(dir string) string {
	for range 2 {
		i := strings.LastIndexByte(dir, '-')
		if i < 0 {
			return ""
		}
		dir = dir[:i]
	}
	return dir
}
