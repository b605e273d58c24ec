package snap

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "snap/1"

// Limits. The longest real snap.yaml, of a desktop with hundreds of plugs, has
// 30 KB.
const (
	maxBytes      = 256 << 10
	maxFieldBytes = 512
)

// An Analyzer reads the descriptions of snaps.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes meta/snap.yaml.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool { return strings.HasSuffix(p, "/meta/snap.yaml") }

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxBytes {
		return nil, fmt.Errorf("read snap.yaml: %w", analyze.Limited("bytes", f.Size, maxBytes))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read snap.yaml: %w", err)
	}
	b, err := io.ReadAll(f.Reader())
	if err != nil {
		return nil, fmt.Errorf("read snap.yaml: %w", err)
	}
	// The rest of the file is left as it is: only these are decoded.
	var doc struct {
		Name          string    `yaml:"name"`
		Version       string    `yaml:"version"`
		License       string    `yaml:"license"`
		Architectures yaml.Node `yaml:"architectures"`
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("parse snap.yaml: %w", err)
	}
	p := report.Package{Type: report.TypeSnap, Name: doc.Name, Version: doc.Version, Path: f.Path}
	if !plain(p.Name) || !plain(p.Version) {
		return nil, fmt.Errorf("parse snap.yaml: snap %q, version %q: not usable", analyze.Clip(p.Name), analyze.Clip(p.Version))
	}
	// A snap for several architectures has none of its own.
	if a := doc.Architectures; a.Kind == yaml.SequenceNode && len(a.Content) == 1 && plain(a.Content[0].Value) && a.Content[0].Value != "all" {
		p.Arch = a.Content[0].Value
	}
	if doc.License != "" && len(doc.License) <= maxFieldBytes {
		p.Licenses = []string{doc.License}
	}
	return &report.Facts{Packages: []report.Package{p}}, nil
}

func plain(s string) bool { return len(s) <= maxFieldBytes && analyze.Plain(s) }
