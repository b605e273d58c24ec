package dpkg

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const (
	key = "dpkg/1"

	statusPath = "/var/lib/dpkg/status"
	statusDir  = "/var/lib/dpkg/status.d/"
	infoDir    = "/var/lib/dpkg/info/"
)

// Limits. A full desktop has about 5,000 packages, 8 MB of status and no list
// above 3 MB.
const (
	maxStatusBytes = 64 << 20
	maxListBytes   = 64 << 20
	maxPackages    = 50_000
	maxFieldBytes  = 1024
	// maxOwned bounds the hashes kept of one file list; texlive's longest
	// has 150,000 lines, most of them of no interest.
	maxOwned = 250_000
)

// An Analyzer reads dpkg's databases.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the status database, the files of status.d and the file lists.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	if p == statusPath {
		return true
	}
	if rest, ok := strings.CutPrefix(p, statusDir); ok {
		return !strings.Contains(rest, "/")
	}
	if rest, ok := strings.CutPrefix(p, infoDir); ok {
		return strings.HasSuffix(rest, ".list") && !strings.Contains(rest, "/")
	}
	return false
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	base := path.Base(f.Path)
	switch {
	case f.Path == statusPath:
		return database(ctx, f)
	case strings.HasSuffix(base, ".list"):
		name, _, _ := strings.Cut(strings.TrimSuffix(base, ".list"), ":")
		return ownership(ctx, f, name, func(line string) string { return line })
	case strings.HasSuffix(base, ".md5sums"):
		return ownership(ctx, f, strings.TrimSuffix(base, ".md5sums"), func(line string) string {
			_, p, _ := strings.Cut(line, " ")
			return strings.TrimLeft(p, " *")
		})
	default:
		return standalone(ctx, f)
	}
}

// database reads /var/lib/dpkg/status. What stands before a limit or a read
// error is returned with the error.
func database(ctx context.Context, f analyze.File) (*report.Facts, error) {
	var problems analyze.Problems
	pkgs, err := packages(ctx, f, &problems, true)
	return &report.Facts{
		Database: &report.Database{Path: f.Path, Packages: pkgs},
		Problems: problems.List(),
	}, err
}

// standalone reads a file of status.d. Its stanzas have no Status field: that
// the file is there says that the package is.
func standalone(ctx context.Context, f analyze.File) (*report.Facts, error) {
	var problems analyze.Problems
	pkgs, err := packages(ctx, f, &problems, false)
	if len(pkgs) == 0 && err == nil && len(problems.List()) == 0 {
		return nil, nil
	}
	return &report.Facts{Packages: pkgs, Problems: problems.List()}, err
}

// packages reads the stanzas of f.
func packages(ctx context.Context, f analyze.File, problems *analyze.Problems, needStatus bool) ([]report.Package, error) {
	if f.Size > maxStatusBytes {
		return nil, fmt.Errorf("read dpkg status: %w", analyze.Limited("bytes", f.Size, maxStatusBytes))
	}
	var (
		out []report.Package
		st  stanza
		n   int // of the line
	)
	finish := func() error {
		if st.empty() {
			return nil
		}
		p, err := st.pkg(needStatus)
		if err != nil {
			problems.Add(f.Path, key, "stanza that ends at line %d: %v", n, err)
		}
		if p != nil {
			if len(out) == maxPackages {
				return fmt.Errorf("read dpkg status: %w", analyze.Limited("packages", maxPackages+1, maxPackages))
			}
			p.Path = f.Path
			out = append(out, *p)
		}
		st = stanza{}
		return nil
	}
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		n++
		line := r.Line()
		if len(strings.TrimSpace(string(line[:min(len(line), 1)]))) == 0 {
			// Blank lines end a stanza, lines that begin with a blank
			// continue the field above, which is none of ours.
			if strings.TrimSpace(string(line)) == "" {
				if err := finish(); err != nil {
					return out, err
				}
			}
			continue
		}
		st.add(line)
	}
	if r.Err() != nil {
		return out, fmt.Errorf("read dpkg status: %w", r.Err())
	}
	return out, finish()
}

// A stanza holds the fields of one package that matter here.
type stanza struct {
	name, status, version, arch, source string
	err                                 error
	seen                                bool
}

func (s *stanza) empty() bool { return !s.seen }

func (s *stanza) add(line []byte) {
	s.seen = true
	i := strings.IndexByte(string(line[:min(len(line), maxFieldBytes)]), ':')
	if i <= 0 {
		s.err = fmt.Errorf("a line is no field: %q", clip(line))
		return
	}
	var to *string
	switch strings.ToLower(string(line[:i])) {
	case "package":
		to = &s.name
	case "status":
		to = &s.status
	case "version":
		to = &s.version
	case "architecture":
		to = &s.arch
	case "source":
		to = &s.source
	default:
		return
	}
	value := strings.TrimSpace(string(line[i+1:]))
	switch {
	case len(value) > maxFieldBytes:
		s.err = fmt.Errorf("field %s: %w", line[:i], analyze.Limited("bytes", int64(len(value)), maxFieldBytes))
	case *to != "":
		s.err = fmt.Errorf("field %s stands twice", line[:i])
	default:
		*to = value
	}
}

// pkg is the package of s, nil if it is not installed or not usable. A package
// that can be used in spite of an error comes with it.
func (s *stanza) pkg(needStatus bool) (*report.Package, error) {
	if needStatus && !unpacked(s.status) {
		if s.status == "" && s.err == nil {
			return nil, fmt.Errorf("package %q has no status", clip([]byte(s.name)))
		}
		return nil, s.err
	}
	if !plain(s.name) || !plain(s.version) {
		return nil, fmt.Errorf("package %q, version %q: not usable", clip([]byte(s.name)), clip([]byte(s.version)))
	}
	p := &report.Package{Type: report.TypeDeb, Name: s.name, Version: s.version, Arch: s.arch}
	source, rest, _ := strings.Cut(s.source, " ")
	sourceVersion := strings.Trim(strings.TrimSpace(rest), "()")
	if source != s.name {
		p.Source = source
	}
	if sourceVersion != s.version {
		p.SourceVersion = sourceVersion
	}
	return p, s.err
}

// unpacked reports whether the files of a package with this status are in
// place; the third word of the field is the state (dpkg-query(1)).
func unpacked(status string) bool {
	w := strings.Fields(status)
	if len(w) != 3 {
		return false
	}
	switch w[2] {
	case "installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending":
		return true
	}
	return false
}

// plain reports whether s can be a name or a version: not empty, no blanks, no
// control characters.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return s != ""
}

func clip(b []byte) []byte { return b[:min(len(b), 60)] }

// ownership reads a file list; file takes the path out of a line.
func ownership(ctx context.Context, f analyze.File, name string, file func(line string) string) (*report.Facts, error) {
	if f.Size > maxListBytes {
		return nil, fmt.Errorf("read file list: %w", analyze.Limited("bytes", f.Size, maxListBytes))
	}
	if !plain(name) {
		return nil, fmt.Errorf("read file list: no package is called %q", clip([]byte(name)))
	}
	o := report.Ownership{Path: f.Path, Owner: report.TypeDeb + ":" + name}
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		if len(r.Line()) == 0 || r.Cut() {
			continue
		}
		p := report.CleanPath(file(string(r.Line())))
		if o.Files = analyze.AppendOwned(o.Files, p); len(o.Files) > maxOwned {
			return nil, fmt.Errorf("read file list: %w", analyze.Limited("owned files", int64(len(o.Files)), maxOwned))
		}
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("read file list: %w", r.Err())
	}
	if len(o.Files) == 0 {
		return nil, nil
	}
	slices.Sort(o.Files)
	o.Files = slices.Compact(o.Files)
	return &report.Facts{Ownership: []report.Ownership{o}}, nil
}
