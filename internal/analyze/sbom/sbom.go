package sbom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "sbom/1"

// Limits. A bill of an image with 5,000 packages and their files has 30 MB, a
// bill of packages alone 5 MB.
const (
	maxFileBytes = 128 << 20
	// maxXMLBytes is lower, since XML is read in parts of any length.
	maxXMLBytes = 16 << 20
	maxPackages = 50_000
	// maxDepth is how deep components and the values around them nest,
	// maxSkipDepth how deep a value that is passed over.
	maxDepth     = 64
	maxSkipDepth = 1000
	// maxTokenBytes bounds one string or number of JSON.
	maxTokenBytes = 4 << 20
	maxFieldBytes = 1024
	maxPURLBytes  = 4096
	// checkEvery is how many tokens pass between two looks at the context.
	checkEvery = 4096
)

// An Analyzer reads bills of materials.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes bills by their names.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	switch {
	case strings.HasSuffix(p, ".json"):
		name := p[:len(p)-len(".json")]
		return strings.HasSuffix(name, ".cdx") || strings.HasSuffix(name, ".spdx") || strings.HasSuffix(name, "bom") && bomName(name) || builders(p)
	case strings.HasSuffix(p, ".xml"):
		name := p[:len(p)-len(".xml")]
		return strings.HasSuffix(name, ".cdx") || strings.HasSuffix(name, "bom") && bomName(name) || builders(p)
	case strings.HasSuffix(p, ".spdx"):
		return true
	}
	return false
}

// bomName reports whether the last word of name, which ends in "bom", is "bom"
// or "sbom".
func bomName(name string) bool {
	name = strings.TrimSuffix(name[:len(name)-len("bom")], "s")
	return name == "" || strings.IndexByte("/.-_", name[len(name)-1]) >= 0
}

// builderDirs are where builders of images put bills of what they install.
var builderDirs = []string{
	"/usr/local/share/sbom/", "/usr/share/sbom/", "/var/lib/db/sbom/", "/opt/docker/sbom/", "/sbom/",
}

func builders(p string) bool {
	for _, d := range builderDirs {
		if strings.HasPrefix(p, d) {
			return true
		}
	}
	return false
}

// installed reports whether the bill at p is that of the image's builder.
func installed(p string) bool {
	return builders(p) || strings.HasPrefix(p, "/opt/bitnami/") || strings.LastIndexByte(p, '/') == 0
}

// Sniff implements analyze.Sniffer: JSON, XML, or tags and values, which begin
// with SPDXVersion or a comment.
func (Analyzer) Sniff(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n")
	return len(head) == 0 || head[0] == '{' || head[0] == '<' || head[0] == 'S' || head[0] == '#'
}

const byteOrderMark = "\xef\xbb\xbf"

// Analyze implements analyze.Analyzer. What a broken document says before it
// breaks comes with the error.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("read bill of materials: %w", analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read bill of materials: %w", err)
	}
	head := make([]byte, 512)
	n, err := f.Content.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read bill of materials: %w", err)
	}
	c := &collector{path: f.Path, declared: !installed(f.Path), seen: map[[3]string]bool{}}
	r := io.Reader(f.Reader())
	head, marked := bytes.CutPrefix(head[:n], []byte(byteOrderMark))
	if marked {
		r = io.NewSectionReader(f.Content, int64(len(byteOrderMark)), f.Size-int64(len(byteOrderMark)))
	}
	switch first := bytes.TrimLeft(head, " \t\r\n"); {
	case len(first) == 0:
		return nil, nil
	case first[0] == '{':
		err = readJSON(ctx, r, c)
	case first[0] == '<' && f.Size > maxXMLBytes:
		err = analyze.Limited("bytes of XML", f.Size, maxXMLBytes)
	case first[0] == '<':
		err = readXML(ctx, r, c)
	default:
		err = readTags(ctx, r, c)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	var facts *report.Facts
	if len(c.pkgs) > 0 || len(c.problems.List()) > 0 {
		facts = &report.Facts{Packages: c.pkgs, Problems: c.problems.List()}
	}
	if err != nil {
		return facts, fmt.Errorf("read bill of materials: %w", err)
	}
	return facts, nil
}

// A collector turns package URLs into packages, each once.
type collector struct {
	path     string
	declared bool
	pkgs     []report.Package
	seen     map[[3]string]bool
	problems analyze.Problems
}

func (c *collector) add(purl string) error {
	if purl == "" {
		return nil
	}
	p, ok, err := fromPURL(purl)
	if err != nil {
		c.problems.Add(c.path, key, "%q: %v", analyze.Clip(purl), err)
		return nil
	}
	id := [3]string{p.Type, p.Name, p.Version}
	if !ok || c.seen[id] {
		return nil
	}
	if len(c.pkgs) == maxPackages {
		return analyze.Limited("packages", maxPackages+1, maxPackages)
	}
	c.seen[id] = true
	p.Path, p.SBOM, p.Declared = c.path, true, c.declared
	c.pkgs = append(c.pkgs, p)
	return nil
}
