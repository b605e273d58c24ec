package python

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const key = "python/2"

// Limits. Descriptions of 1 MB exist; fields stand before them, fewer than 400
// in the packages with the most extras.
const (
	maxFileBytes = 32 << 20
	maxLines     = 20_000
	maxTextBytes = 512
	maxLicenses  = 20
	// maxDistributions is the number read in one archive; the largest
	// applications have some hundred.
	maxDistributions = 2_000
	maxHeadBytes     = 1 << 20
)

// An Analyzer reads core metadata.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the four kinds of metadata file, and archives that Python imports
// from.
func (Analyzer) Wants(p string, info fs.FileInfo) bool {
	return isMetadata(p) || isArchive(p)
}

// isMetadata reports whether the file at p is core metadata. File systems that
// know no case have left their mark on some wheels.
func isMetadata(p string) bool {
	if len(p) == 0 {
		return false
	}
	switch p[len(p)-1] {
	case 'A', 'a':
		return ends(p, ".dist-info/METADATA")
	case 'O', 'o':
		return ends(p, ".egg-info/PKG-INFO") || ends(p, "/EGG-INFO/PKG-INFO") || ends(p, ".egg-info")
	}
	return false
}

func isArchive(p string) bool {
	return strings.HasSuffix(p, ".egg") || strings.HasSuffix(p, ".pyz") || strings.HasSuffix(p, ".pex")
}

// ends reports whether p ends in suffix, in whatever case.
func ends(p, suffix string) bool {
	return len(p) >= len(suffix) && strings.EqualFold(p[len(p)-len(suffix):], suffix)
}

var errNoName = errors.New("no usable name or version")

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if isArchive(f.Path) {
		facts, err := archive(ctx, f)
		if err != nil {
			return facts, fmt.Errorf("read archive: %w", err)
		}
		return facts, nil
	}
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("read core metadata: %w", analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	pkg, err := parse(ctx, f.Reader(), f.Path)
	if err != nil {
		return nil, fmt.Errorf("read core metadata: %w", err)
	}
	if pkg == nil {
		return nil, nil
	}
	return &report.Facts{Packages: []report.Package{*pkg}}, nil
}

// parse reads core metadata up to the description, nil if there is nothing to
// read: pip leaves empty files behind a cut-off install.
func parse(ctx context.Context, text io.Reader, p string) (*report.Package, error) {
	var m metadata
	r := lines.New(ctx, text)
	n := 0
	for r.Next() {
		if n++; n > maxLines {
			return nil, analyze.Limited("lines", int64(n), maxLines)
		}
		line := r.Line()
		if len(line) == 0 {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue // the rest of a folded field: only licence texts are folded
		}
		name, value, ok := strings.Cut(string(line), ":")
		if ok {
			m.add(strings.ToLower(name), strings.TrimSpace(value))
		}
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	name := normalize(m.name)
	if !plain(name) || !plain(m.version) {
		if n == 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("package %.60q, version %.60q: %w", m.name, m.version, errNoName)
	}
	return &report.Package{Type: report.TypePython, Name: name, Version: m.version, Licenses: m.licenses(), Path: p}, nil
}

// metadata are the fields that matter. The first of a name counts.
type metadata struct {
	name, version, license, expression string
	classifiers                        []string
}

func (m *metadata) add(field, value string) {
	var to *string
	switch field {
	case "name":
		to = &m.name
	case "version":
		to = &m.version
	case "license":
		to = &m.license
	case "license-expression":
		to = &m.expression
	case "classifier":
		if rest, ok := strings.CutPrefix(value, "License ::"); ok && len(value) <= maxTextBytes && len(m.classifiers) < maxLicenses {
			m.classifiers = append(m.classifiers, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest), "OSI Approved ::")))
		}
		return
	default:
		return
	}
	if *to == "" {
		*to = value
	}
}

// licenses prefers the SPDX expression of PEP 639, then the short text of the
// old field, then the classifiers.
func (m *metadata) licenses() []string {
	for _, s := range []string{m.expression, m.license} {
		if s != "" && len(s) <= maxTextBytes && !strings.EqualFold(s, "unknown") {
			return []string{s}
		}
	}
	slices.Sort(m.classifiers)
	return slices.Compact(m.classifiers)
}

// normalize is the rule of PEP 503: lower case, and one "-" for each run of
// "-", "_" and ".".
func normalize(name string) string {
	var b strings.Builder
	b.Grow(min(len(name), maxTextBytes))
	run := false
	for _, c := range strings.ToLower(name) {
		if c == '-' || c == '_' || c == '.' {
			if !run {
				b.WriteByte('-')
			}
			run = true
			continue
		}
		run = false
		b.WriteRune(c)
	}
	return b.String()
}

// plain reports whether s can be a name or a version.
func plain(s string) bool {
	return analyze.Plain(s) && len(s) <= maxTextBytes
}
