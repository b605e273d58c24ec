package gem

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

const key = "gem/1"

// Limits. A gemspec that lists every file of a large gem has about 1 MB.
const (
	maxFileBytes = 8 << 20
	maxTextBytes = 512
	maxLicenses  = 20
)

// An Analyzer reads gem specifications.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the gemspecs beneath a specifications directory. Those that lie
// in a gem's own directory are sources, not proof of an installation.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	return strings.HasSuffix(p, ".gemspec") && strings.Contains(p, "/specifications/")
}

var errNoName = errors.New("no literal name or version")

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("read gemspec: %w", analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	var name, version, platform string
	var licenses []string
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		attribute, value, ok := assignment(string(r.Line()))
		if !ok {
			continue
		}
		list := literals(value)
		if len(list) == 0 {
			continue
		}
		switch attribute {
		case "name":
			name = first(name, list[0])
		case "version":
			version = first(version, list[0])
		case "platform":
			platform = first(platform, list[0])
		case "license", "licenses":
			licenses = append(licenses, list...)
		}
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("read gemspec: %w", r.Err())
	}
	if !analyze.Plain(name) || !analyze.Plain(version) {
		return nil, fmt.Errorf("read gemspec: name %.60q, version %.60q: %w", name, version, errNoName)
	}
	if platform == "ruby" || !analyze.Plain(platform) {
		platform = ""
	}
	return &report.Facts{Packages: []report.Package{{
		Type: report.TypeGem, Name: name, Version: version, Arch: platform,
		Licenses: licenses[:min(len(licenses), maxLicenses)], Path: f.Path,
	}}}, nil
}

// assignment takes "  s.name = VALUE" apart. Any receiver will do.
func assignment(line string) (attribute, value string, ok bool) {
	left, value, ok := strings.Cut(line, "=")
	if !ok {
		return "", "", false
	}
	left = strings.TrimSpace(left)
	receiver, attribute, ok := strings.Cut(left, ".")
	if !ok || strings.ContainsAny(receiver, " \t#\"'(") || strings.ContainsAny(attribute, " \t.(\"'") {
		return "", "", false
	}
	return attribute, strings.TrimSpace(value), true
}

// literals are the quoted strings in value, in order, without what cannot be a
// short text.
func literals(value string) []string {
	var out []string
	for len(out) < maxLicenses {
		i := strings.IndexAny(value, `"'`)
		if i < 0 {
			break
		}
		quote := value[i]
		value = value[i+1:]
		j := strings.IndexByte(value, quote)
		if j < 0 {
			break
		}
		if s := value[:j]; s != "" && len(s) <= maxTextBytes && !strings.Contains(s, "#{") {
			out = append(out, s)
		}
		value = value[j+1:]
	}
	return out
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
