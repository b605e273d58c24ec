package composer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "composer/1"

// Limits. A shop with 400 packages has a file of 1 MB.
const (
	maxFileBytes = 32 << 20
	maxPackages  = 20_000
	maxTextBytes = 512
	maxLicenses  = 20
)

// An Analyzer reads installed.json.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes Composer's list. The directory around "composer" can be called
// anything but is "vendor" as a rule.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	return strings.HasSuffix(p, "/composer/installed.json")
}

// installed is one package of the list.
type installed struct {
	Name    string          `json:"name"`
	Version string          `json:"version"`
	License json.RawMessage `json:"license"`
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	content, err := analyze.ReadAll(ctx, f, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read installed.json: %w", err)
	}
	content = bytes.TrimSpace(content)
	if len(content) == 0 {
		return nil, nil
	}
	db := &report.Database{Path: f.Path}
	var problems analyze.Problems
	d := json.NewDecoder(bytes.NewReader(content))
	n := 0
	element := func() error {
		if n++; n > maxPackages {
			return analyze.Limited("packages", int64(n), maxPackages)
		}
		var p installed
		if err := analyze.JSONValue(d, &p); err != nil {
			return err
		}
		if !plain(p.Name) || !plain(p.Version) {
			problems.Add(f.Path, key, "a package cannot be called %q, version %q", analyze.Clip(p.Name), analyze.Clip(p.Version))
			return nil
		}
		db.Packages = append(db.Packages, report.Package{
			Type: report.TypeComposer, Name: strings.ToLower(p.Name), Version: p.Version,
			Licenses: licenses(p.License), Path: f.Path,
		})
		return nil
	}
	if content[0] == '[' {
		err = analyze.JSONArray(ctx, d, element)
	} else {
		err = analyze.JSONObject(ctx, d, func(key string) error {
			if key != "packages" {
				return analyze.JSONSkip(d)
			}
			return analyze.JSONArray(ctx, d, element)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read installed.json: %w", err)
	}
	return &report.Facts{Database: db, Problems: problems.List()}, nil
}

// licenses are a list of names, or one name.
func licenses(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		var one string
		if json.Unmarshal(raw, &one) != nil {
			return nil
		}
		list = []string{one}
	}
	var out []string
	for _, s := range list {
		if s != "" && len(s) <= maxTextBytes && len(out) < maxLicenses {
			out = append(out, s)
		}
	}
	return out
}

// plain reports whether s can be a name or a version.
func plain(s string) bool { return analyze.Plain(s) && len(s) <= maxTextBytes }
