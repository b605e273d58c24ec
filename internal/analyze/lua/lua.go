package lua

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

const key = "lua/1"

// Limits. A rockspec has some kB; those that list every module 100 kB.
const (
	maxFileBytes = 4 << 20
	maxTextBytes = 512
)

// An Analyzer reads rockspecs.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the specifications in a tree of rocks.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	return strings.HasSuffix(p, ".rockspec") && strings.Contains(p, "/luarocks/rocks")
}

var errName = errors.New("the path does not name a rock")

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("read rockspec: %w", analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	name, version, ok := rock(f.Path)
	if !ok {
		return nil, fmt.Errorf("read rockspec: %w", errName)
	}
	pkg := report.Package{Type: report.TypeLua, Name: name, Version: version, Path: f.Path}
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		if s := license(string(r.Line())); s != "" {
			pkg.Licenses = []string{s}
			break
		}
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("read rockspec: %w", r.Err())
	}
	return &report.Facts{Packages: []report.Package{pkg}}, nil
}

// rock takes the path …/NAME/VERSION/NAME-VERSION.rockspec apart.
func rock(p string) (name, version string, ok bool) {
	part := strings.Split(p, "/")
	if len(part) < 4 {
		return "", "", false
	}
	name, version = part[len(part)-3], part[len(part)-2]
	return name, version, plain(name) && plain(version) && part[len(part)-1] == name+"-"+version+".rockspec"
}

// license is the licence that `license = "MIT"` names anywhere in a line, "" if
// nothing like it is there.
func license(line string) string {
	const field = "license"
	for {
		i := strings.Index(line, field)
		if i < 0 {
			return ""
		}
		apart := i == 0 || strings.IndexByte(" \t{,;", line[i-1]) >= 0
		line = line[i+len(field):]
		value, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), "=")
		value = strings.TrimLeft(value, " \t")
		if !apart || !ok || value == "" || value[0] != '"' && value[0] != '\'' {
			continue
		}
		s, _, ok := strings.Cut(value[1:], value[:1])
		if !ok || len(s) > maxTextBytes {
			return ""
		}
		return s
	}
}

// plain reports whether s can be a name or a version.
func plain(s string) bool { return analyze.Plain(s) && len(s) <= maxTextBytes }
