package portage

import (
	"context"
	"errors"
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
	key = "portage/1"

	databaseDir = "/var/db/pkg/"
)

// Limits. The sources of Linux have the longest list, 80,000 lines and 8 MB.
const (
	maxListBytes  = 128 << 20
	maxOwned      = 500_000
	maxFieldBytes = 1024
)

// An Analyzer reads Gentoo's database.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the lists of files.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	rest, ok := strings.CutPrefix(p, databaseDir)
	return ok && strings.HasSuffix(rest, "/CONTENTS") && strings.Count(rest, "/") == 2
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	dir := path.Dir(f.Path)
	category, pf := path.Base(path.Dir(dir)), path.Base(dir)
	if strings.HasPrefix(pf, "-MERGING-") {
		return nil, nil // the directory of a package that is being installed
	}
	name, version := splitName(pf)
	if name == "" || !analyze.Plain(category) || !analyze.Plain(pf) || len(category)+len(pf) > maxFieldBytes {
		return nil, fmt.Errorf("read package: %q is no name and version", analyze.Clip(category+"/"+pf))
	}
	p := report.Package{Type: report.TypeEbuild, Name: category + "/" + name, Version: version, Path: f.Path}
	facts := &report.Facts{}
	var problems analyze.Problems
	field := func(base string) string {
		if f.Sibling == nil {
			return ""
		}
		b, err := f.Sibling(base, maxFieldBytes)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				problems.Add(f.Path, key, "read %s: %v", base, err)
			}
			return ""
		}
		return strings.Join(strings.Fields(string(b)), " ")
	}
	if l := field("LICENSE"); l != "" {
		p.Licenses = []string{l}
	}
	if r := field("repository"); analyze.Plain(r) {
		p.Vendor = r
	}
	facts.Packages = []report.Package{p}
	owned, err := contents(ctx, f)
	if len(owned) > 0 {
		slices.Sort(owned)
		facts.Ownership = []report.Ownership{{Path: f.Path, Owner: report.TypeEbuild + ":" + p.Name, Files: slices.Compact(owned)}}
	}
	facts.Problems = problems.List()
	if err != nil {
		return facts, fmt.Errorf("read contents: %w", err)
	}
	return facts, nil
}

// contents reads the list: "obj PATH MD5 TIME", "sym PATH -> TARGET TIME", "dir
// PATH", "fif PATH" and "dev PATH". A path may hold blanks.
func contents(ctx context.Context, f analyze.File) (report.Hashes, error) {
	if f.Size > maxListBytes {
		return nil, analyze.Limited("bytes", f.Size, maxListBytes)
	}
	var owned report.Hashes
	r := lines.New(ctx, f.Reader())
	for r.Next() {
		if r.Cut() {
			continue
		}
		kind, rest, _ := strings.Cut(string(r.Line()), " ")
		switch kind {
		case "obj":
			for range 2 {
				rest = rest[:max(0, strings.LastIndexByte(rest, ' '))]
			}
		case "sym":
			rest, _, _ = strings.Cut(rest, " -> ")
		default:
			continue
		}
		if !strings.HasPrefix(rest, "/") {
			continue
		}
		if owned = analyze.AppendOwned(owned, rest); len(owned) > maxOwned {
			return nil, analyze.Limited("owned files", int64(len(owned)), maxOwned)
		}
	}
	return owned, r.Err()
}

// splitName takes "skopeo-1.5.1-r2" apart: the version is what stands behind
// the last "-" that a version follows.
func splitName(pf string) (name, version string) {
	end := len(pf)
	if i := strings.LastIndex(pf, "-r"); i > 0 && digits(pf[i+2:]) {
		end = i
	}
	i := strings.LastIndexByte(pf[:end], '-')
	if i <= 0 || !isVersion(pf[i+1:end]) {
		return "", ""
	}
	return pf[:i], pf[i+1:]
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// isVersion holds s against section 3.2 of the specification: numbers with
// dots, a letter, and suffixes "_alpha", "_beta", "_pre", "_rc" and "_p" with
// numbers.
func isVersion(s string) bool {
	s, suffixes, found := strings.Cut(s, "_")
	if n := len(s); n > 1 && s[n-1] >= 'a' && s[n-1] <= 'z' {
		s = s[:n-1]
	}
	for part := range strings.SplitSeq(s, ".") {
		if !digits(part) {
			return false
		}
	}
	if !found {
		return true
	}
	for part := range strings.SplitSeq(suffixes, "_") {
		switch strings.TrimRight(part, "0123456789") {
		case "alpha", "beta", "pre", "rc", "p":
		default:
			return false
		}
	}
	return true
}
