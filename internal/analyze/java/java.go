package java

import (
	"archive/zip"
	"bytes"
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

const key = "java/3"

// Limits for one file of an image with everything inside it.
const (
	// maxFileBytes bounds the archive itself. The largest real ones have a
	// few hundred MB.
	maxFileBytes = 2 << 30
	// maxDepth is how deep archives nest: ear, war, jar, a jar in it.
	maxDepth = 5
	// maxArchives is far above the 2,000 jars of the largest applications.
	maxArchives = 10_000
	// maxDirectoryBytes bounds all central directories together, and with
	// them the memory for their entries. 300 jars of 500 classes have 16 MB.
	maxDirectoryBytes = 32 << 20
	// maxNestedBytes bounds one nested archive that is compressed,
	// maxHeldBytes all that are open at one time.
	maxNestedBytes = 96 << 20
	maxHeldBytes   = 128 << 20
	// maxInflatedBytes bounds all work of inflating, about five seconds.
	maxInflatedBytes = 512 << 20
	// maxRatio is the most that an entry above ratioFreeBytes may grow. An
	// archive inside an archive hardly shrinks; text shrinks to a tenth.
	maxRatio       = 100
	ratioFreeBytes = 1 << 20
	// maxTextBytes bounds a manifest or a pom.properties, maxFieldBytes a
	// value in it, maxNameBytes the name of an entry.
	maxTextBytes  = 4 << 20
	maxFieldBytes = 512
	maxNameBytes  = 4096
	// maxPOMs bounds the pom.xml files of one archive that are remembered.
	maxPOMs = 10_000
	// maxPackages bounds what one file of an image is said to contain.
	maxPackages = 50_000
)

// isArchive goes by the extension, in letters of any case. It is asked of every
// file of a layer.
func isArchive(name string) bool {
	n := len(name)
	if n < 5 {
		return false
	}
	if name[n-5] == '.' {
		return strings.EqualFold(name[n-4:], "lpkg")
	}
	if name[n-4] != '.' {
		return false
	}
	ext := [3]byte{name[n-3] | 0x20, name[n-2] | 0x20, name[n-1] | 0x20}
	switch string(ext[:]) {
	case "jar", "war", "ear", "par", "sar", "jpi", "hpi", "kar", "nar", "rar":
		return true
	}
	return false
}

// An Analyzer reads Java archives.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes Java archives by their extension.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool { return isArchive(p) }

// Sniff implements analyze.Sniffer: a ZIP archive, or a script with one behind
// it (an executable Spring Boot archive). WinRAR's .rar is neither.
func (Analyzer) Sniff(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK")) || bytes.HasPrefix(head, []byte("#!"))
}

// Analyze implements analyze.Analyzer. A nested archive that cannot be read is
// a problem; a limit that is crossed ends the reading with an error, and what
// was found before comes with it.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("read archive: %w", analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	w := &walk{ctx: ctx, top: f.Path}
	err := w.archive(f.Path, f.Content, f.Size, 1)
	if errors.Is(err, zip.ErrFormat) && len(w.pkgs) == 0 {
		if head := make([]byte, 2); readFull(f.Content, head) && string(head) == "#!" {
			return nil, nil // only a script with an odd name
		}
	}
	var facts *report.Facts
	if len(w.pkgs) > 0 || len(w.problems.List()) > 0 {
		facts = &report.Facts{Packages: w.pkgs, Problems: w.problems.List()}
	}
	if err != nil {
		return facts, fmt.Errorf("read archive: %w", err)
	}
	return facts, nil
}

// A walk is the reading of one file of an image with everything in it.
type walk struct {
	ctx       context.Context
	top       string
	archives  int
	directory int64
	inflated  int64
	held      int64
	pkgs      []report.Package
	problems  analyze.Problems
}

func readFull(r io.ReaderAt, b []byte) bool {
	n, _ := r.ReadAt(b, 0)
	return n == len(b)
}

// archive reads the archive p. An error that wraps analyze.ErrLimit or comes
// from the context ends the whole walk, any other only this archive.
func (w *walk) archive(p string, r io.ReaderAt, size int64, depth int) error {
	if depth > maxDepth {
		return analyze.Limited("levels of archives", int64(depth), maxDepth)
	}
	if w.archives++; w.archives > maxArchives {
		return analyze.Limited("archives", int64(w.archives), maxArchives)
	}
	g := &guard{w: w, r: r, opening: true}
	zr, err := zip.NewReader(g, size)
	if g.err != nil {
		return g.err
	}
	// ErrInsecurePath comes with a good reader; no path of it is ever used
	// to write anything.
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	g.opening = false
	var id identity
	var nested []*zip.File
	for _, e := range zr.File {
		switch {
		case len(e.Name) > maxNameBytes:
			w.problems.Add(p, key, "entry %.60q…: %v", e.Name, analyze.Limited("bytes in a name", int64(len(e.Name)), maxNameBytes))
		case strings.HasSuffix(e.Name, "/"):
		case strings.TrimPrefix(e.Name, "/") == "META-INF/MANIFEST.MF":
			err = w.text(e, func(r io.Reader) error { return id.readManifest(w.ctx, r) })
		case path.Base(e.Name) == "pom.properties":
			err = w.text(e, func(r io.Reader) error { return id.readProperties(w.ctx, e.Name, r) })
		case path.Base(e.Name) == "pom.xml":
			id.addPOM(e.Name)
		case isArchive(e.Name):
			nested = append(nested, e)
		}
		if err = w.tolerate(err, p, e.Name); err != nil {
			return err
		}
	}
	for _, a := range id.artifacts(p) {
		if len(w.pkgs) == maxPackages {
			return analyze.Limited("packages", maxPackages+1, maxPackages)
		}
		w.pkgs = append(w.pkgs, report.Package{
			Type: report.TypeJava, Name: a.name(), Version: a.version, Licenses: a.licenses, Path: p,
		})
	}
	for _, e := range nested {
		err := w.nested(p+"!"+path.Clean("/"+e.Name), e, r, size, depth)
		if err = w.tolerate(err, p, e.Name); err != nil {
			return err
		}
	}
	return nil
}

// tolerate turns an error that concerns only one entry into a problem.
func (w *walk) tolerate(err error, p, entry string) error {
	if err == nil || errors.Is(err, analyze.ErrLimit) {
		return err
	}
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	// A problem's path is that of the image's file, or it could not be
	// hidden together with it.
	w.problems.Add(w.top, key, "%s!%.200s: %v", p, path.Clean("/"+entry), err)
	return nil
}

// text reads a small text entry.
func (w *walk) text(e *zip.File, read func(io.Reader) error) error {
	rc, err := e.Open()
	if err != nil {
		return err
	}
	defer rc.Close()
	return read(&inflating{w: w, e: e, r: rc, max: maxTextBytes})
}

// nested reads an archive inside of the one that parent holds in room bytes.
func (w *walk) nested(p string, e *zip.File, parent io.ReaderAt, room int64, depth int) error {
	if e.Method == zip.Store && e.Flags&1 == 0 && e.CompressedSize64 == e.UncompressedSize64 {
		off, err := e.DataOffset()
		if err != nil {
			return err
		}
		size := int64(e.UncompressedSize64)
		if off < 0 || off > room || size < 0 || size > room-off {
			return zip.ErrFormat
		}
		return w.archive(p, io.NewSectionReader(parent, off, size), size, depth+1)
	}
	rc, err := e.Open()
	if err != nil {
		return err
	}
	defer rc.Close()
	b := &chunks{}
	in := &inflating{w: w, e: e, r: rc, max: maxNestedBytes, held: true}
	defer func() { w.held -= in.n }()
	if err := b.fill(in); err != nil {
		return err
	}
	return w.archive(p, b, b.size, depth+1)
}

// chunkBytes is how much memory a nested archive takes at a time. A buffer that
// grows by doubling would hold up to three times the archive.
const chunkBytes = 1 << 20

// chunks are an inflated archive.
type chunks struct {
	list [][]byte
	size int64
}

// fill reads r to its end. io.ReadFull would not do: it makes an early end of a
// damaged archive look like a short last chunk.
func (c *chunks) fill(r io.Reader) error {
	var err error
	for err == nil {
		b, n := make([]byte, chunkBytes), 0
		for n < len(b) && err == nil {
			var m int
			m, err = r.Read(b[n:])
			n += m
		}
		c.list = append(c.list, b[:n])
		c.size += int64(n)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// ReadAt implements io.ReaderAt.
func (c *chunks) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	n := 0
	for n < len(b) && off < c.size {
		m := copy(b[n:], c.list[off/chunkBytes][off%chunkBytes:])
		n += m
		off += int64(m)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// An inflating is the content of an entry, within its limits.
type inflating struct {
	w    *walk
	e    *zip.File
	r    io.Reader
	n    int64
	max  int64
	held bool
}

// Read implements io.Reader.
func (i *inflating) Read(b []byte) (int, error) {
	if err := i.w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := i.r.Read(b)
	i.n += int64(n)
	i.w.inflated += int64(n)
	if i.held {
		i.w.held += int64(n)
	}
	switch {
	case i.n > i.max:
		return 0, analyze.Limited("bytes in an entry", i.n, i.max)
	case i.n > ratioFreeBytes && uint64(i.n) > maxRatio*i.e.CompressedSize64:
		return 0, fmt.Errorf("an entry of %d bytes: %w", i.e.CompressedSize64, analyze.Limited("bytes inflated from it", i.n, maxRatio*int64(i.e.CompressedSize64)))
	case i.w.inflated > maxInflatedBytes:
		return 0, analyze.Limited("bytes inflated", i.w.inflated, maxInflatedBytes)
	case i.w.held > maxHeldBytes:
		return 0, analyze.Limited("bytes of open archives", i.w.held, maxHeldBytes)
	}
	return n, err
}

// A guard reads an archive; while its directory is read it counts the bytes.
type guard struct {
	w       *walk
	r       io.ReaderAt
	opening bool
	err     error
}

// ReadAt implements io.ReaderAt.
func (g *guard) ReadAt(b []byte, off int64) (int, error) {
	if g.err == nil {
		g.err = g.w.ctx.Err()
	}
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.ReadAt(b, off)
	if g.opening {
		if g.w.directory += int64(n); g.w.directory > maxDirectoryBytes+slackBytes*int64(g.w.archives) {
			g.err = analyze.Limited("bytes of directories", g.w.directory, maxDirectoryBytes)
			return 0, g.err
		}
	}
	return n, err
}

// slackBytes is what opening any archive reads beside its directory: the search
// for its end, and what the buffer reads too much.
const slackBytes = 72 << 10
