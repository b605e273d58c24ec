package npm

import (
	"archive/zip"
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

const key = "npm/2"

// Limits. Packages with a large registry-made "readme" reach 1 MB. The registry
// allows 214 characters for a name and 256 for a version; older packages have
// more.
const (
	maxFileBytes = 8 << 20
	maxTextBytes = 512
	maxLicenses  = 20
	// An archive of Yarn holds one package and what it bundles.
	maxArchived      = 2_000
	maxArchivedBytes = 1 << 20
)

const (
	base    = "/package.json"
	modules = "/node_modules/"
)

// An Analyzer reads package.json files.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes every package.json, and the archives that Yarn runs packages
// from.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	return strings.HasSuffix(p, base) || isArchive(p)
}

// isArchive reports whether p is a package in a cache of Yarn, that of a project
// or that of a user.
func isArchive(p string) bool {
	return strings.HasSuffix(p, ".zip") && (strings.Contains(p, "/.yarn/cache/") || strings.Contains(p, "/.yarn/berry/cache/"))
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if isArchive(f.Path) {
		facts, err := archive(ctx, f)
		if err != nil {
			return facts, fmt.Errorf("read archive of Yarn: %w", err)
		}
		return facts, nil
	}
	content, err := analyze.ReadAll(ctx, f, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read package.json: %w", err)
	}
	return parse(content, f.Path)
}

// archive reads the package.json of each package in a ZIP file, one as a rule.
func archive(ctx context.Context, f analyze.File) (*report.Facts, error) {
	z, err := analyze.OpenZip(ctx, f)
	if z == nil || err != nil {
		return nil, err
	}
	facts := &report.Facts{}
	var problems analyze.Problems
	for _, e := range z.Files {
		name := "/" + e.Name
		if !strings.HasSuffix(name, base) || !strings.HasPrefix(name, modules) || !ownRoot(name) {
			continue
		}
		if len(facts.Packages) == maxArchived {
			return facts, analyze.Limited("packages", maxArchived+1, maxArchived)
		}
		content, err := inflate(e)
		if z.Err() != nil {
			return facts, z.Err()
		}
		var got *report.Facts
		if err == nil {
			got, err = parse(content, f.Path+"!"+e.Name)
		}
		if err != nil {
			problems.Add(f.Path, key, "%s: %v", analyze.Clip(e.Name), err)
		}
		if got != nil {
			facts.Packages = append(facts.Packages, got.Packages...)
		}
	}
	facts.Problems = problems.List()
	if len(facts.Packages) == 0 && len(facts.Problems) == 0 {
		return nil, nil
	}
	return facts, nil
}

// inflate is the content of one entry.
func inflate(e *zip.File) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxArchivedBytes+1))
	if err == nil && len(b) > maxArchivedBytes {
		err = analyze.Limited("bytes", int64(len(b)), maxArchivedBytes)
	}
	return b, err
}

// parse reads the package.json that stands at p.
func parse(content []byte, p string) (*report.Facts, error) {
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
		Type: report.TypeNPM, Name: name, Version: version, Path: p,
		Licenses: append(licenses(raw.License), licenses(raw.Licenses)...),
		Declared: !ownRoot(p),
	}}}, nil
}

// ownRoot reports whether p is the package.json of a package itself: directly
// in node_modules/name or node_modules/@scope/name, or outside of node_modules.
func ownRoot(p string) bool {
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
	return (s == "" || analyze.Plain(s)) && len(s) <= maxTextBytes
}
