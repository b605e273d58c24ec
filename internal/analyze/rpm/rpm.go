package rpm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "rpm/2"

// Limits. A full workstation has about 3,000 packages and a database of 300
// MB; the largest header we have met, a kernel's, has 4 MB.
const (
	maxDatabaseBytes = 2 << 30
	maxHeaderBytes   = 64 << 20
	maxPackages      = 50_000
	// maxOwned bounds the hashes of owned files in all. What is above it has
	// no owner, which shows packages twice rather than not at all.
	maxOwned = 2_000_000
)

// An Analyzer reads RPM databases.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the three database files in the three directories that
// distributions use.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	switch p {
	case "/var/lib/rpm/Packages", "/usr/lib/sysimage/rpm/Packages", "/usr/share/rpm/Packages",
		"/var/lib/rpm/Packages.db", "/usr/lib/sysimage/rpm/Packages.db", "/usr/share/rpm/Packages.db",
		"/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite", "/usr/share/rpm/rpmdb.sqlite":
		return true
	}
	return false
}

// errFormat is wrapped by the errors of all readers for a file that does not
// hold to its format.
var errFormat = errors.New("damaged database")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errFormat, fmt.Sprintf(format, args...))
}

// A source is an opened database file and what reading it may cost.
type source struct {
	ctx  context.Context
	r    io.ReaderAt
	size int64
	// left is how many bytes of headers may still be handed out. A sound
	// file holds each header once, so the file's size is the bound; a
	// hostile one lets many records share the same pages.
	left int64
	// pages is how many pages may still be read.
	pages int64
}

// take accounts for a header of n bytes before it is read.
func (s *source) take(n int64) error {
	if n > maxHeaderBytes {
		return analyze.Limited("bytes in one header", n, maxHeaderBytes)
	}
	if s.left -= n; s.left < 0 {
		return damaged("the records are larger than the file")
	}
	return nil
}

// page reads len(buf) bytes at off.
func (s *source) page(buf []byte, off int64) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if s.pages--; s.pages < 0 {
		return damaged("pages are used more than once")
	}
	if _, err := s.r.ReadAt(buf, off); err != nil {
		if errors.Is(err, io.EOF) {
			return damaged("ends before byte %d", off+int64(len(buf)))
		}
		return err
	}
	return nil
}

// A walker calls each for every header record of the database. It stops with
// the error of each.
type walker func(s *source, each func(blob []byte) error) error

// Analyze implements analyze.Analyzer. A header that cannot be understood is a
// problem and the others are kept; a file that breaks off gives an error with
// the packages found before.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxDatabaseBytes {
		return nil, fmt.Errorf("read rpm database: %w", analyze.Limited("bytes", f.Size, maxDatabaseBytes))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read rpm database: %w", err)
	}
	if f.Size == 0 {
		return nil, nil // rpm makes an empty file before the first package
	}
	walk, err := format(f)
	if err != nil {
		return nil, fmt.Errorf("read rpm database: %w", err)
	}
	c := collector{path: f.Path}
	err = walk(&source{ctx: ctx, r: f.Content, size: f.Size, left: f.Size}, c.add)
	if err != nil {
		return c.facts(), fmt.Errorf("read rpm database: %w", err)
	}
	return c.facts(), nil
}

// format finds the walker by the file's first bytes; its name is no proof.
func format(f analyze.File) (walker, error) {
	head := make([]byte, 16)
	if n, err := f.Content.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if n < len(head) {
		return nil, damaged("%d bytes are no database", n)
	}
	switch {
	case string(head) == sqliteMagic:
		wal, err := readWAL(f)
		if err != nil {
			return nil, err
		}
		return func(s *source, each func([]byte) error) error { return walkSQLite(s, wal, each) }, nil
	case string(head[:4]) == ndbMagic:
		return walkNDB, nil
	case bdbOrder(head) != nil:
		return walkBDB, nil
	}
	return nil, damaged("unknown format, begins with %x", head)
}

// readWAL reads the write-ahead log beside an SQLite database, nil if there is
// none.
func readWAL(f analyze.File) ([]byte, error) {
	if f.Sibling == nil {
		return nil, nil
	}
	wal, err := f.Sibling(path.Base(f.Path)+"-wal", maxWALBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read write-ahead log: %w", err)
	}
	return wal, nil
}

// A collector turns header records into packages.
type collector struct {
	path     string
	n        int
	pkgs     []report.Package
	owns     []report.Ownership
	problems analyze.Problems
	owned    int  // hashes in owns
	unowned  bool // some owned files were left out
}

func (c *collector) facts() *report.Facts {
	if c.unowned {
		c.problems.Add(c.path, key, "owned files: %v: at most %d", analyze.ErrLimit, maxOwned)
	}
	return &report.Facts{
		Database:  &report.Database{Path: c.path, Packages: c.pkgs},
		Ownership: c.owns,
		Problems:  c.problems.List(),
	}
}

func (c *collector) add(blob []byte) error {
	c.n++
	if c.n > maxPackages {
		return analyze.Limited("packages", int64(c.n), maxPackages)
	}
	h, err := parseHeader(blob)
	if err != nil {
		c.problems.Add(c.path, key, "record %d: %v", c.n, err)
		return nil
	}
	name, version, release := h.text(tagName), h.text(tagVersion), h.text(tagRelease)
	if name == "gpg-pubkey" {
		return nil
	}
	if !analyze.Plain(name) || !analyze.Plain(version) || !analyze.Plain(release) {
		c.problems.Add(c.path, key, "record %d: package %.60q, version %.60q, release %.60q: not usable", c.n, name, version, release)
		return nil
	}
	evr := version + "-" + release
	p := report.Package{
		Type: report.TypeRPM, Name: name, Version: evr, Arch: h.text(tagArch),
		Module: h.text(tagModularityLabel), Vendor: h.text(tagVendor), Path: c.path,
	}
	if epoch, ok := h.number(tagEpoch); ok && epoch != 0 {
		p.Version = fmt.Sprintf("%d:%s", epoch, evr)
	}
	if l := h.text(tagLicense); l != "" {
		p.Licenses = []string{l}
	}
	source, sourceEVR := splitSource(h.text(tagSourceRPM))
	if source != name {
		p.Source = source
	}
	if sourceEVR != evr {
		p.SourceVersion = sourceEVR
	}
	c.pkgs = append(c.pkgs, p)
	var files []uint64
	for file := range h.files() {
		if c.owned+len(files) >= maxOwned {
			c.unowned = true
			break
		}
		files = analyze.AppendOwned(files, file)
	}
	if len(files) > 0 {
		slices.Sort(files)
		c.owned += len(files)
		c.owns = append(c.owns, report.Ownership{
			Path: c.path, Owner: report.TypeRPM + ":" + name, Files: slices.Compact(files),
		})
	}
	return nil
}

// splitSource takes "bash-5.1.8-6.el9.src.rpm" apart. The name of the file has
// no epoch.
func splitSource(s string) (name, versionRelease string) {
	s = strings.TrimSuffix(strings.TrimSuffix(s, ".rpm"), ".src")
	s = strings.TrimSuffix(s, ".nosrc")
	r := strings.LastIndexByte(s, '-')
	if r <= 0 {
		return "", ""
	}
	v := strings.LastIndexByte(s[:r], '-')
	if v <= 0 {
		return "", ""
	}
	return s[:v], s[v+1:]
}
