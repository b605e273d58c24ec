package dotnet

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "dotnet/1"

// Limits. The deps.json of the ASP.NET framework has 40 kB, that of the largest
// tool of the SDK 200 kB with 300 libraries. The largest assembly in common use
// has 25 MB; of each only headers, one heap of names and the version resource
// are read, as a rule less than 1 MB.
const (
	maxDepsBytes  = 32 << 20
	maxLibraries  = 20_000
	maxAssets     = 200_000
	minPEBytes    = 512
	maxPEBytes    = 1 << 30
	maxTextBytes  = 512
	maxReadBytes  = 64 << 20
	maxTableBytes = 32 << 20
)

// An Analyzer reads deps.json files and assemblies.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the lists of dependencies and what may be an assembly.
func (Analyzer) Wants(p string, info fs.FileInfo) bool {
	if len(p) < 5 {
		return false
	}
	switch ext := p[len(p)-4:]; {
	case ext == "json":
		return strings.HasSuffix(p, ".deps.json")
	case strings.EqualFold(ext, ".dll"), strings.EqualFold(ext, ".exe"):
		return info.Size() >= minPEBytes && info.Size() <= maxPEBytes &&
			!strings.HasSuffix(p, ".resources.dll") && !strings.Contains(p, "/ref/")
	}
	return false
}

// Sniff implements analyze.Sniffer: JSON, with or without a byte order mark, or
// a program of DOS descent.
func (Analyzer) Sniff(head []byte) bool {
	if bytes.HasPrefix(head, []byte("MZ")) || bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		return true
	}
	head = bytes.TrimLeft(head, " \t\r\n")
	return len(head) == 0 || head[0] == '{'
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if strings.HasSuffix(f.Path, ".deps.json") {
		facts, err := dependencies(ctx, f)
		if err != nil {
			return facts, fmt.Errorf("read deps.json: %w", err)
		}
		return facts, nil
	}
	facts, err := assembly(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("read assembly: %w", err)
	}
	return facts, nil
}
