package flatpak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "flatpak/1"

// Limits. Real files have 300 bytes to 20 KB, with names in many languages.
const (
	maxBytes      = 1 << 20
	maxFieldBytes = 512
)

// An Analyzer reads Flatpak's deployments.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the file "deploy" of each deployment.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	return strings.HasSuffix(p, "/deploy") && deployment(p) != ""
}

// deployment is "app/ID/ARCH/BRANCH/COMMIT/deploy" or "runtime/…", "" if p is
// no such path.
func deployment(p string) string {
	i := strings.LastIndex(p, "/flatpak/")
	if i < 0 {
		return ""
	}
	rest := p[i+len("/flatpak/"):]
	if strings.Count(rest, "/") != 5 || !strings.HasPrefix(rest, "app/") && !strings.HasPrefix(rest, "runtime/") {
		return ""
	}
	return rest
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxBytes {
		return nil, fmt.Errorf("read deployment: %w", analyze.Limited("bytes", f.Size, maxBytes))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read deployment: %w", err)
	}
	data, err := io.ReadAll(f.Reader())
	if err != nil {
		return nil, fmt.Errorf("read deployment: %w", err)
	}
	part := strings.Split(deployment(f.Path), "/")
	if len(part) != 6 {
		return nil, nil
	}
	p := report.Package{Type: report.TypeFlatpak, Name: part[1], Arch: part[2], Version: part[3], Path: f.Path}
	if v := entry(data, "appdata-version"); analyze.Plain(v) && part[0] == "app" {
		p.Version = v
	}
	if l := entry(data, "appdata-license"); l != "" {
		p.Licenses = []string{l}
	}
	for _, s := range []string{p.Name, p.Arch, p.Version} {
		if !analyze.Plain(s) || len(s) > maxFieldBytes {
			return nil, fmt.Errorf("read deployment: %q is no name or version", analyze.Clip(s))
		}
	}
	return &report.Facts{Packages: []report.Package{p}}, nil
}

// entry is the text that the dictionary of data has for key: behind the key
// and its end come padding to a multiple of eight, the text, its end, and the
// type "s" behind another zero (GVariant specification, 2.5).
func entry(data []byte, key string) string {
	i := bytes.Index(data, []byte("\x00"+key+"\x00"))
	if i < 0 {
		return ""
	}
	at := (i + 1 + len(key) + 1 + 7) &^ 7
	if at > len(data) {
		return ""
	}
	text, rest, ok := bytes.Cut(data[at:], []byte{0})
	if !ok || !bytes.HasPrefix(rest, []byte("\x00s")) || len(text) > maxFieldBytes {
		return ""
	}
	return string(text)
}
