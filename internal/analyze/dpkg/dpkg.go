package dpkg

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const (
	key = "dpkg/3"

	dpkgDir    = "/var/lib/dpkg/"
	statusPath = "/var/lib/dpkg/status"
	statusDir  = "/var/lib/dpkg/status.d/"
	infoDir    = "/var/lib/dpkg/info/"

	diversionsPath = "/var/lib/dpkg/diversions"
)

// Limits. A full desktop has about 5,000 packages, 8 MB of status, no list
// above 3 MB and 100 diversions.
const (
	maxStatusBytes = 64 << 20
	maxListBytes   = 64 << 20
	maxPackages    = 50_000
	maxFieldBytes  = 1024
	// maxOwned bounds the hashes kept of one file list; the longest, of a
	// package of icons, has 150,000 lines.
	maxOwned = 500_000
	// maxDiversions bounds the files that were moved aside.
	maxDiversions = 10_000
	maxPathBytes  = 4096
)

// An Analyzer reads dpkg's databases.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// opkgDirs are where opkg keeps the same: on OpenWrt, and on Yocto's systems.
var opkgDirs = [...]string{"/usr/lib/opkg/", "/var/lib/opkg/"}

// Wants takes the status database, the files of status.d, the file lists and
// the diversions.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	for _, dir := range opkgDirs {
		if rest, ok := strings.CutPrefix(p, dir); ok {
			return rest == "status" || list(rest)
		}
	}
	rest, ok := strings.CutPrefix(p, dpkgDir)
	if !ok {
		return false
	}
	switch rest {
	case "status", "diversions":
		return true
	}
	if name, ok := strings.CutPrefix(rest, "status.d/"); ok {
		return !strings.Contains(name, "/")
	}
	return list(rest)
}

func list(p string) bool {
	name, ok := strings.CutPrefix(p, "info/")
	return ok && strings.HasSuffix(name, ".list") && !strings.Contains(name, "/")
}

// typeAt is the type of the packages that the file at p tells of.
func typeAt(p string) string {
	if strings.HasPrefix(p, dpkgDir) {
		return report.TypeDeb
	}
	return report.TypeOpkg
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	base := path.Base(f.Path)
	switch {
	case base == "status" && !strings.HasPrefix(f.Path, statusDir):
		return database(ctx, f)
	case f.Path == diversionsPath:
		return diversions(ctx, f)
	case strings.HasSuffix(base, ".list"):
		name, _, _ := strings.Cut(strings.TrimSuffix(base, ".list"), ":")
		return ownership(ctx, f, name, func(line string) string {
			p, _, _ := strings.Cut(line, "\t") // opkg's lists go on with the mode
			return p
		})
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
			p.Type, p.Path = typeAt(f.Path), f.Path
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
		s.err = fmt.Errorf("a line is no field: %q", analyze.Clip(line))
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
			return nil, fmt.Errorf("package %q has no status", analyze.Clip(s.name))
		}
		return nil, s.err
	}
	if !analyze.Plain(s.name) || !analyze.Plain(s.version) {
		return nil, fmt.Errorf("package %q, version %q: not usable", analyze.Clip(s.name), analyze.Clip(s.version))
	}
	p := &report.Package{Name: s.name, Version: s.version, Arch: s.arch}
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

// ownership reads a file list; file takes the path out of a line. dpkg lists
// directories too, each before what it holds: those that hold nothing of the
// package are kept, since nothing tells them from files.
func ownership(ctx context.Context, f analyze.File, name string, file func(line string) string) (*report.Facts, error) {
	if f.Size > maxListBytes {
		return nil, fmt.Errorf("read file list: %w", analyze.Limited("bytes", f.Size, maxListBytes))
	}
	if !analyze.Plain(name) {
		return nil, fmt.Errorf("read file list: no package is called %q", analyze.Clip(name))
	}
	o := report.Ownership{Path: f.Path, Owner: typeAt(f.Path) + ":" + name}
	last := ""
	r := lines.New(ctx, f.Reader())
	for r.Next() && len(o.Files) <= maxOwned {
		if len(r.Line()) == 0 || r.Cut() {
			continue
		}
		p := file(string(r.Line()))
		if !inside(p, last) {
			o.Files = analyze.AppendOwned(o.Files, last)
		}
		last = p
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("read file list: %w", r.Err())
	}
	o.Files = analyze.AppendOwned(o.Files, last)
	if len(o.Files) > maxOwned {
		return nil, fmt.Errorf("read file list: %w", analyze.Limited("owned files", int64(len(o.Files)), maxOwned))
	}
	if len(o.Files) == 0 {
		return nil, nil
	}
	slices.Sort(o.Files)
	o.Files = slices.Compact(o.Files)
	return &report.Facts{Ownership: []report.Ownership{o}}, nil
}

// inside reports whether p lies in the directory dir.
func inside(p, dir string) bool {
	return len(p) > len(dir) && p[:len(dir)] == dir && p[len(dir)] == '/'
}

// diversions reads which files dpkg put elsewhere, three lines each: the path
// that packages list, the path where the file stands, and the package that is
// exempt from it, or ":" if the administrator made the diversion
// (dpkg-divert(1); lib/dpkg/db-ctrl and divertdb.c).
func diversions(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxListBytes {
		return nil, fmt.Errorf("read diversions: %w", analyze.Limited("bytes", f.Size, maxListBytes))
	}
	var (
		by       = map[string][]report.Diversion{}
		problems analyze.Problems
		group    [3]string
		n        int
	)
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		group[n%3] = string(r.Line())
		if n++; n%3 != 0 {
			continue
		}
		if n/3 > maxDiversions {
			return nil, fmt.Errorf("read diversions: %w", analyze.Limited("diversions", int64(n/3), maxDiversions))
		}
		from, to, pkg := group[0], group[1], group[2]
		if !divertible(from) || !divertible(to) || !analyze.Plain(pkg) || len(pkg) > maxFieldBytes {
			problems.Add(f.Path, key, "line %d: no diversion of %q to %q", n, analyze.Clip(from), analyze.Clip(to))
			continue
		}
		owner := ""
		if pkg != ":" {
			owner = report.TypeDeb + ":" + pkg
		}
		places := analyze.AppendOwned(nil, to)
		for i, h := range analyze.AppendOwned(nil, from) {
			by[owner] = append(by[owner], report.Diversion{From: h, To: places[min(i, len(places)-1)]})
		}
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("read diversions: %w", r.Err())
	}
	if n%3 != 0 {
		problems.Add(f.Path, key, "ends within a diversion")
	}
	facts := &report.Facts{Problems: problems.List()}
	for _, owner := range slices.Sorted(maps.Keys(by)) {
		facts.Ownership = append(facts.Ownership, report.Ownership{Path: f.Path, Owner: owner, Diverted: by[owner]})
	}
	if len(facts.Ownership) == 0 && len(facts.Problems) == 0 {
		return nil, nil
	}
	return facts, nil
}

func divertible(p string) bool {
	return len(p) <= maxPathBytes && strings.HasPrefix(p, "/") && path.Clean(p) != "/"
}
