package analyze

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// A File is one regular file of a layer, opened.
type File struct {
	// Path is absolute within the image and clean.
	Path string
	// Info is its size and mode as the layer says.
	Info fs.FileInfo
	// Content is positioned nowhere: use ReadAt, or NewReader for a
	// stream. It holds Size bytes, which may be fewer than Info.Size
	// claims.
	Content io.ReaderAt
	Size    int64
	// Sibling reads another file of the same layer from the directory of
	// this one ("Packages.db-wal"), up to max bytes. It returns
	// fs.ErrNotExist if the layer has none. It may be nil.
	Sibling func(name string, max int64) ([]byte, error)
}

// Reader reads the file from its start.
func (f File) Reader() *io.SectionReader { return io.NewSectionReader(f.Content, 0, f.Size) }

// An Analyzer extracts facts from single files of one layer. Implementations
// are safe for concurrent use and must not retain f after Analyze returns.
type Analyzer interface {
	// Key identifies the analyser and the shape of its output, for example
	// "dpkg/3". It is part of the layer-report cache key: change it whenever
	// the same bytes would give a different answer.
	Key() string

	// Wants reports, from the name and stat data alone, whether Analyze has
	// to see the file. It is called once for every regular file of a layer,
	// with an absolute, clean path.
	Wants(path string, info fs.FileInfo) bool

	// Analyze returns what f says; (nil, nil) if it says nothing. An error
	// means that f is damaged: it becomes a problem of the report. Facts
	// that were read before the damage may come with the error.
	Analyze(ctx context.Context, f File) (*report.Facts, error)
}

// A Sniffer is an Analyzer that can rule a file out by its first bytes, so
// that the rest is never read.
type Sniffer interface {
	// Sniff gets up to SniffBytes from the start of a file that Wants
	// accepted, and reports whether Analyze has to see it.
	Sniff(head []byte) bool
}

// SniffBytes is how much of a file a Sniffer sees.
const SniffBytes = 4

// A DirAnalyzer is an Analyzer that also says something of directories, from
// their stat data.
type DirAnalyzer interface {
	// Dir returns what the directory at an absolute, clean path says; nil if
	// it says nothing. It is called for every directory that the layer has an
	// entry for, and must be quick.
	Dir(path string, info fs.FileInfo) *report.Facts
}

// A StatAnalyzer is an Analyzer that also says something of files from their
// stat data, whatever they hold.
type StatAnalyzer interface {
	// Stat returns what the file at an absolute, clean path says by its mode,
	// owner and size; nil if it says nothing. It is called for every regular
	// file of a layer and must be quick. An analyser speaks of a file
	// here or in Analyze, not in both.
	Stat(path string, info fs.FileInfo) *report.Facts
}

// A Set is an ordered list of analysers with one key, for one check.
type Set struct {
	check     string
	analyzers []Analyzer
	files     bool
	key       string
}

// filesKey stands in the key of a set that takes the digests of files: change
// it whenever the same layer would give others.
const filesKey = "files/2"

// NewSet makes a set for a check (report.Checks). Its key changes with the key
// of any member.
func NewSet(check string, as ...Analyzer) *Set { return newSet(check, as, false) }

// WithFiles is the set with the digests of files (report.LayerReport.Files)
// beside what the analysers say.
func (s *Set) WithFiles() *Set { return newSet(s.check, s.analyzers, true) }

func newSet(check string, as []Analyzer, files bool) *Set {
	keys := make([]string, len(as))
	for i, a := range as {
		keys[i] = a.Key()
	}
	if files {
		keys = append(keys, filesKey)
	}
	slices.Sort(keys)
	sum := sha256.Sum256([]byte(strings.Join(keys, "\n")))
	return &Set{check: check, analyzers: as, files: files, key: check + "-" + hex.EncodeToString(sum[:8])}
}

// Check is what the set looks for.
func (s *Set) Check() string { return s.check }

// Files reports whether the digests of files are taken.
func (s *Set) Files() bool { return s.files }

// Key is the name of the check with a short hash of the members' keys
// (report.CheckOf).
func (s *Set) Key() string { return s.key }

// Analyzers are the members. The caller must not change the slice.
func (s *Set) Analyzers() []Analyzer { return s.analyzers }

// Owner is the owner and group of a file or directory of a layer, as numbers; -1
// where the layer does not tell.
func Owner(info fs.FileInfo) (uid, gid int) {
	if o, ok := info.(interface{ Owner() (uid, gid int) }); ok {
		return o.Owner()
	}
	return -1, -1
}
