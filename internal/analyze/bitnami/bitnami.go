package bitnami

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const (
	key = "bitnami/1"

	componentsPath = "/opt/bitnami/.bitnami_components.json"
)

// Limits. Real lists have 2 to 15 components and 1 KB.
const (
	maxBytes      = 256 << 10
	maxComponents = 1000
	maxFieldBytes = 1024
)

// An Analyzer reads Bitnami's list of components.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the list of components.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool { return p == componentsPath }

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxBytes {
		return nil, fmt.Errorf("read components: %w", analyze.Limited("bytes", f.Size, maxBytes))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read components: %w", err)
	}
	b, err := io.ReadAll(f.Reader())
	if err != nil {
		return nil, fmt.Errorf("read components: %w", err)
	}
	var list map[string]struct {
		Arch    string `json:"arch"`
		Version string `json:"version"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("parse components: %w", err)
	}
	if len(list) > maxComponents {
		return nil, fmt.Errorf("read components: %w", analyze.Limited("components", int64(len(list)), maxComponents))
	}
	var pkgs []report.Package
	var problems analyze.Problems
	for _, name := range slices.Sorted(maps.Keys(list)) {
		c := list[name]
		if !plain(name) || !plain(c.Version) || c.Arch != "" && !plain(c.Arch) {
			problems.Add(f.Path, key, "component %q, version %q: not usable", analyze.Clip(name), analyze.Clip(c.Version))
			continue
		}
		pkgs = append(pkgs, report.Package{Type: report.TypeBitnami, Name: name, Version: c.Version, Arch: c.Arch, Path: f.Path})
	}
	if len(pkgs) == 0 && len(problems.List()) == 0 {
		return nil, nil
	}
	return &report.Facts{Packages: pkgs, Problems: problems.List()}, nil
}

func plain(s string) bool { return len(s) <= maxFieldBytes && analyze.Plain(s) }
