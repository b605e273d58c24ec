package conan

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const key = "conan/1"

// Limits. A file has 4 kB, with every option of 100 dependencies 100 kB.
const (
	maxFileBytes = 4 << 20
	maxRequires  = 5_000
	maxTextBytes = 512
)

// An Analyzer reads conaninfo.txt.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the file in a cache of packages.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	return strings.HasSuffix(p, "/conaninfo.txt") && strings.Contains(p, "/package/")
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("read conaninfo.txt: %w", analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	facts := &report.Facts{}
	var problems analyze.Problems
	add := func(name, version string, declared bool) {
		if !plain(name) || !plain(version) {
			problems.Add(f.Path, key, "a package cannot be called %q, version %q", analyze.Clip(name), analyze.Clip(version))
			return
		}
		facts.Packages = append(facts.Packages, report.Package{
			Type: report.TypeConan, Name: name, Version: version, Path: f.Path, Declared: declared,
		})
	}
	if name, version, ok := reference(f.Path); ok {
		add(name, version, false)
	}
	inside, n := false, 0
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		line := strings.TrimSpace(string(r.Line()))
		if strings.HasPrefix(line, "[") {
			inside = line == "[full_requires]"
			continue
		}
		if !inside || line == "" {
			continue
		}
		if n++; n > maxRequires {
			return facts, fmt.Errorf("read conaninfo.txt: %w", analyze.Limited("requirements", int64(n), maxRequires))
		}
		// name/version@user/channel#revision:package
		if i := strings.IndexAny(line, "@#:"); i >= 0 {
			line = line[:i]
		}
		name, version, _ := strings.Cut(line, "/")
		add(name, version, true)
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("read conaninfo.txt: %w", r.Err())
	}
	facts.Problems = problems.List()
	if len(facts.Packages) == 0 && len(facts.Problems) == 0 {
		return nil, nil
	}
	return facts, nil
}

// reference takes the path …/NAME/VERSION/USER/CHANNEL/package/ID/conaninfo.txt
// apart.
func reference(p string) (name, version string, ok bool) {
	part := strings.Split(p, "/")
	n := len(part)
	if n < 8 || part[n-3] != "package" {
		return "", "", false
	}
	return part[n-7], part[n-6], true
}

// plain reports whether s can be a name or a version.
func plain(s string) bool { return analyze.Plain(s) && len(s) <= maxTextBytes }
