package wordpress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "wordpress/1"

// Limits. WordPress itself looks for the comment in the first 8 KiB;
// version.php has 1 kB.
const (
	maxHeadBytes = 8 << 10
	maxTextBytes = 512
)

// An Analyzer reads the first lines of files of WordPress.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the files that can introduce something.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	switch {
	case strings.HasSuffix(p, ".php"):
		return strings.HasSuffix(p, "/wp-includes/version.php") || within(p, "/wp-content/plugins/", 0, 1) || within(p, "/wp-content/mu-plugins/", 0, 1)
	case strings.HasSuffix(p, "/style.css"):
		return within(p, "/wp-content/themes/", 1, 1)
	}
	return false
}

// within reports whether p lies in a directory dir, at least low and at most
// high directories deeper.
func within(p, dir string, low, high int) bool {
	i := strings.LastIndex(p, dir)
	if i < 0 {
		return false
	}
	n := strings.Count(p[i+len(dir):], "/")
	return low <= n && n <= high
}

var errNoName = errors.New("no usable name or version")

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read WordPress file: %w", err)
	}
	head, err := io.ReadAll(io.LimitReader(f.Reader(), maxHeadBytes))
	if err != nil {
		return nil, fmt.Errorf("read WordPress file: %w", err)
	}
	pkg, ok := introduced(f.Path, string(head))
	if !ok {
		return nil, nil
	}
	if !plain(pkg.Name) || pkg.Version != "" && !plain(pkg.Version) {
		return nil, fmt.Errorf("read WordPress file: name %q, version %q: %w", analyze.Clip(pkg.Name), analyze.Clip(pkg.Version), errNoName)
	}
	pkg.Path = f.Path
	return &report.Facts{Packages: []report.Package{pkg}}, nil
}

// introduced is what the head of the file at p introduces.
func introduced(p, head string) (report.Package, bool) {
	if strings.HasSuffix(p, "/wp-includes/version.php") {
		v := assigned(head, "$wp_version")
		return report.Package{Type: report.TypeGeneric, Name: "wordpress", Version: v}, v != ""
	}
	title := "plugin name"
	if strings.HasSuffix(p, ".css") {
		title = "theme name"
	}
	h := headers(head)
	if h[title] == "" {
		return report.Package{}, false
	}
	name := path.Base(path.Dir(p))
	if name == "plugins" || name == "mu-plugins" {
		name = strings.TrimSuffix(path.Base(p), ".php")
	}
	pkg := report.Package{Type: report.TypeWordPress, Name: name, Version: h["version"]}
	if l := h["license"]; l != "" && len(l) <= maxTextBytes {
		pkg.Licenses = []string{l}
	}
	return pkg, true
}

// headers are the fields of the comment, by their names in lower case. The
// first of a name counts.
func headers(head string) map[string]string {
	out := map[string]string{}
	for line := range strings.SplitSeq(strings.ReplaceAll(head, "\r", "\n"), "\n") {
		line = strings.TrimPrefix(strings.TrimLeft(line, " \t"), "<?php")
		name, value, ok := strings.Cut(strings.TrimLeft(line, " \t/*#@"), ":")
		if !ok {
			continue
		}
		switch name = strings.ToLower(name); name {
		case "plugin name", "theme name", "version", "license":
			value, _, _ = strings.Cut(value, "*/")
			value, _, _ = strings.Cut(value, "?>")
			if value = strings.TrimSpace(value); value != "" && out[name] == "" {
				out[name] = value
			}
		}
	}
	return out
}

// assigned is the literal that a line like `$name = 'value';` gives a variable.
func assigned(text, variable string) string {
	for line := range strings.SplitSeq(text, "\n") {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), variable)
		if !ok {
			continue
		}
		rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), "=")
		rest = strings.TrimLeft(rest, " \t")
		if !ok || rest == "" || rest[0] != '\'' && rest[0] != '"' {
			continue
		}
		if v, _, ok := strings.Cut(rest[1:], rest[:1]); ok {
			return v
		}
	}
	return ""
}

// plain reports whether s can be a name or a version.
func plain(s string) bool { return analyze.Plain(s) && len(s) <= maxTextBytes }
