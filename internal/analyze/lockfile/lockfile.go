package lockfile

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const key = "lockfile/2"

// Limits. The package-lock.json of a large monorepo has 3 MB and 5,000 packages;
// others have less than 1 MB.
const (
	maxFileBytes  = 32 << 20
	maxWholeBytes = 2 << 20 // of a file that is held or costs more
	maxPackages   = 50_000
	maxTextBytes  = 512
)

// An Analyzer reads lock files.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes files by their names, unless they belong to a dependency.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	return formatOf(p[strings.LastIndexByte(p, '/')+1:]) != nil && !ofDependency(p)
}

// A format tells the packages of a file. Its error means that the rest could
// not be read.
type format func(ctx context.Context, f analyze.File, l *list) error

// formatOf is how a file called base is read, nil if it is none of a lock.
func formatOf(base string) format {
	switch base {
	case "package-lock.json", "npm-shrinkwrap.json":
		return npmLock
	case "yarn.lock":
		return yarnLock
	case "pnpm-lock.yaml":
		return pnpmLock
	case "bun.lock":
		return bunLock
	case "Pipfile.lock":
		return pipfileLock
	case "poetry.lock", "uv.lock", "pdm.lock", "pylock.toml":
		return pythonTOML
	case "Gemfile.lock", "gems.locked":
		return gemfileLock
	case "go.mod":
		return goMod
	case "Cargo.lock":
		return cargoLock
	case "composer.lock":
		return composerLock
	case "packages.lock.json":
		return nugetLock
	case "pom.xml":
		return pomXML
	case "gradle.lockfile", "buildscript-gradle.lockfile":
		return gradleLock
	case "mix.lock":
		return mixLock
	case "rebar.lock":
		return rebarLock
	case "Package.resolved":
		return swiftResolved
	case "conan.lock":
		return conanLock
	}
	if strings.HasSuffix(base, ".txt") && strings.Contains(base, "requirements") {
		return requirements
	}
	return nil
}

// ofDependency reports whether p lies where a package manager puts what it has
// fetched.
func ofDependency(p string) bool {
	for _, dir := range []string{"/node_modules/", "/site-packages/", "/dist-packages/", "/gems/", "/vendor/", "/pkg/mod/", "/.cargo/", "/.m2/", "/.nuget/"} {
		if strings.Contains(p, dir) {
			return true
		}
	}
	return false
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	base := f.Path[strings.LastIndexByte(f.Path, '/')+1:]
	read := formatOf(base)
	if read == nil {
		return nil, nil
	}
	if f.Size > maxFileBytes {
		return nil, fmt.Errorf("read %s: %w", base, analyze.Limited("bytes", f.Size, maxFileBytes))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", base, err)
	}
	if f.Size == 0 {
		return nil, nil
	}
	l := &list{path: f.Path}
	err := read(ctx, f, l)
	if err == nil && l.dropped > 0 {
		err = analyze.Limited("packages", maxPackages+l.dropped, maxPackages)
	}
	if err != nil {
		err = fmt.Errorf("read %s: %w", base, err)
	}
	return l.facts(), err
}

// A list collects packages of one file.
type list struct {
	path     string
	packages []report.Package
	dropped  int64
	problems analyze.Problems
}

// add notes a package. One without a version, or from a place instead of a
// registry (a path, an address), is nothing to compare and is left out.
func (l *list) add(typ, name, version string) { l.addFor(typ, name, version, "") }

func (l *list) addFor(typ, name, version, arch string) {
	switch {
	case name == "" || version == "" || strings.ContainsAny(version, "/:"):
	case !plain(name) || !plain(version) || len(arch) > maxTextBytes:
		l.problems.Add(l.path, key, "a package cannot be called %q, version %q", analyze.Clip(name), analyze.Clip(version))
	case len(l.packages) >= maxPackages:
		l.dropped++
	default:
		l.packages = append(l.packages, report.Package{Type: typ, Name: name, Version: version, Arch: arch, Path: l.path, Declared: true})
	}
}

// facts are the packages, each once, in order. A lock file that asks for nothing
// says nothing.
func (l *list) facts() *report.Facts {
	slices.SortFunc(l.packages, report.Package.Compare)
	l.packages = slices.CompactFunc(l.packages, func(a, b report.Package) bool { return a.Compare(b) == 0 })
	problems := l.problems.List()
	if len(l.packages) == 0 && len(problems) == 0 {
		return nil
	}
	return &report.Facts{Packages: l.packages, Problems: problems}
}

// plain reports whether s can be a name or a version. A line that was cut in two
// shows by the signs of its format.
func plain(s string) bool {
	return analyze.Plain(s) && len(s) <= maxTextBytes && !strings.ContainsAny(s, "\"'<>{}()[],;")
}

// decode reads a JSON file into v. A file of nothing but empty objects takes many
// times its size, so that less of it is read than of others.
func decode(ctx context.Context, f analyze.File, v any) error {
	b, err := analyze.ReadAll(ctx, f, maxWholeBytes)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// each calls fn for each line of f until l is full.
func each(ctx context.Context, f analyze.File, l *list, fn func(line string)) error {
	r := lines.New(ctx, f.Reader())
	for l.dropped == 0 && r.Next() {
		fn(string(r.Line()))
	}
	return r.Err()
}

// between is the text in s after the first before and up to the next after; rest
// is what follows.
func between(s, before, after string) (text, rest string, ok bool) {
	_, s, ok = strings.Cut(s, before)
	if !ok {
		return "", "", false
	}
	return strings.Cut(s, after)
}
