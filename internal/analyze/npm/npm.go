package npm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "npm/1"

// Limits. Packages with a large registry-made "readme" reach 1 MB. The registry
// allows 214 characters for a name and 256 for a version; older packages have
// more.
const (
	maxFileBytes = 8 << 20
	maxTextBytes = 512
	maxLicenses  = 20
)

const base = "/package.json"

// An Analyzer reads package.json files.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes every package.json.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool { return strings.HasSuffix(p, base) }

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("parse package.json: %w", analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("parse package.json: %w", err)
	}
	content, err := io.ReadAll(f.Reader())
	if err != nil {
		return nil, fmt.Errorf("read package.json: %w", err)
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, nil
	}
	var raw struct {
		Name     json.RawMessage `json:"name"`
		Version  json.RawMessage `json:"version"`
		License  json.RawMessage `json:"license"`
		Licenses json.RawMessage `json:"licenses"`
	}
	if err := json.Unmarshal(content, &raw); err != nil {
		return nil, fmt.Errorf("parse package.json: %w", err)
	}
	name, version := text(raw.Name), text(raw.Version)
	if name == "" || version == "" {
		return nil, nil // the marker of a module format, or an application without a name
	}
	if !plain(name) || !plain(version) {
		return nil, fmt.Errorf("parse package.json: package %.60q, version %.60q: not usable", name, version)
	}
	return &report.Facts{Packages: []report.Package{{
		Type: report.TypeNPM, Name: name, Version: version, Path: f.Path,
		Licenses: append(licenses(raw.License), licenses(raw.Licenses)...),
		Declared: !ownRoot(f.Path),
	}}}, nil
}

// ownRoot reports whether p is the package.json of a package itself: directly
// in node_modules/name or node_modules/@scope/name, or outside of node_modules.
func ownRoot(p string) bool {
	const modules = "/node_modules/"
	i := strings.LastIndex(p, modules)
	if i < 0 {
		return true
	}
	dir := strings.TrimSuffix(p[i+len(modules):], base)
	if strings.HasPrefix(dir, "@") {
		return strings.Count(dir, "/") == 1
	}
	return !strings.Contains(dir, "/")
}

// text is a JSON string, "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return strings.TrimSpace(s)
}

// licenses reads the three forms in use: "MIT", {"type": "MIT"}, and a list of
// either.
func licenses(raw json.RawMessage) []string {
	if len(raw) == 0 {
		return nil
	}
	switch raw[0] {
	case '"':
		if s := text(raw); s != "" && len(s) <= maxTextBytes {
			return []string{s}
		}
	case '{':
		var o struct {
			Type json.RawMessage `json:"type"`
		}
		if json.Unmarshal(raw, &o) == nil && len(o.Type) > 0 && o.Type[0] == '"' {
			return licenses(o.Type)
		}
	case '[':
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return nil
		}
		var out []string
		for _, e := range list[:min(len(list), maxLicenses)] {
			if e[0] != '[' {
				out = append(out, licenses(e)...)
			}
		}
		return out
	}
	return nil
}

// plain reports whether s can be a name or a version: no blanks, no control
// characters, not too long.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(s) <= maxTextBytes
}
