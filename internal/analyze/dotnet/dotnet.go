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

const key = "dotnet/4"

// Limits. The deps.json of the ASP.NET framework has 40 kB, that of the largest
// tool of the SDK 200 kB with 300 libraries; it is held as a whole, in many times
// its size if it is nothing but empty objects. The largest assembly in common use
// has 25 MB; of each only headers, one heap of names and the version resource
// are read, as a rule less than 1 MB.
const (
	maxDepsBytes  = 4 << 20
	maxLibraries  = 20_000
	maxAssets     = 200_000
	minPEBytes    = 512
	maxPEBytes    = 1 << 30
	maxTextBytes  = 512
	maxReadBytes  = maxDepsBytes + maxDataBytes + 1<<20
	maxTableBytes = 32 << 20
	// The smallest program that starts an application has 70 kB, a bundle
	// with the whole framework 150 MB.
	minBundleBytes = 64 << 10
	maxBundleBytes = 4 << 30
)

// An Analyzer reads deps.json files and assemblies.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the lists of dependencies and what may be an assembly or an
// application in a single file.
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
	return info.Mode()&0o111 != 0 && info.Size() >= minBundleBytes && info.Size() <= maxBundleBytes
}

// Sniff implements analyze.Sniffer: JSON, with or without a byte order mark, an
// ELF file or one of DOS descent.
func (Analyzer) Sniff(head []byte) bool {
	if isELF(head) || bytes.HasPrefix(head, []byte("MZ")) || bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		return true
	}
	head = bytes.TrimLeft(head, " \t\r\n")
	return len(head) == 0 || head[0] == '{'
}

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte("\x7fELF")) }

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if strings.HasSuffix(f.Path, ".deps.json") {
		facts, err := dependencies(ctx, f)
		if err != nil {
			return facts, fmt.Errorf("read deps.json: %w", err)
		}
		return facts, nil
	}
	var head [4]byte
	if n, _ := f.Content.ReadAt(head[:], 0); n < len(head) {
		return nil, ctx.Err()
	}
	if !isELF(head[:]) {
		facts, native, err := assembly(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("read assembly: %w", err)
		}
		if !native {
			return facts, nil
		}
	}
	facts, err := bundle(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("read single-file application: %w", err)
	}
	return facts, nil
}
