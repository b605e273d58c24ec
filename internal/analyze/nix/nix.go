package nix

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const (
	key = "nix/1"

	storeDir = "/nix/store/"
	// hashBytes is the length of the hash in base 32.
	hashBytes = 32
	// maxNameBytes is Nix's own limit for the name of a store path.
	maxNameBytes = 211
	// maxBelow is how deep below its store path a file tells of it.
	maxBelow = 2
)

// An Analyzer recognises store paths.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes files near the top of a store path that has a version.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	rest, ok := strings.CutPrefix(p, storeDir)
	if !ok {
		return false
	}
	base, below, _ := strings.Cut(rest, "/")
	if strings.Count(below, "/") >= maxBelow && !strings.HasPrefix(below, "etc/") {
		return false
	}
	_, version := split(base)
	return version != ""
}

// Analyze implements analyze.Analyzer. It reads nothing.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read store path: %w", err)
	}
	base, _, _ := strings.Cut(strings.TrimPrefix(f.Path, storeDir), "/")
	name, version := split(base)
	if version == "" {
		return nil, nil
	}
	return &report.Facts{Packages: []report.Package{{Type: report.TypeNix, Name: name, Version: version, Path: storeDir + base}}}, nil
}

// split takes "HASH-openssl-3.0.7-dev" apart. It gives no version for what is
// no package.
func split(base string) (name, version string) {
	if len(base) < hashBytes+2 || len(base) > hashBytes+1+maxNameBytes || base[hashBytes] != '-' || !plain(base) {
		return "", ""
	}
	rest := base[hashBytes+1:]
	at := -1
	for i := 1; i+1 < len(rest); i++ {
		if rest[i] == '-' && !letter(rest[i+1]) {
			at = i
			break
		}
	}
	if at < 0 {
		return "", ""
	}
	name, version = rest[:at], rest[at+1:]
	for _, s := range notPackages {
		if strings.HasSuffix(version, s) {
			return "", ""
		}
	}
	if version[0] < '0' || version[0] > '9' {
		return "", ""
	}
	if i := strings.LastIndexByte(version, '-'); i > 0 && output(version[i+1:]) {
		version = version[:i]
	}
	return name, version
}

// notPackages are the endings of store paths that hold sources, patches and
// recipes.
var notPackages = []string{
	".drv", ".patch", ".diff", ".sh", ".json", ".lock", ".zip", ".tgz", ".gem", ".crate",
	".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".tar.lz", ".tar",
}

// output reports whether s is the name of an output, by the custom of nixpkgs
// (its manual, "Multiple-output packages").
func output(s string) bool {
	switch s {
	case "bin", "dev", "lib", "man", "doc", "devdoc", "info", "debug", "out", "static", "data", "devman", "dist", "modules", "getent", "tools", "py", "python":
		return true
	}
	return false
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// plain reports whether s holds only what Nix allows in the name of a path.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if !letter(c) && (c < '0' || c > '9') && strings.IndexByte("+-._?=", c) < 0 {
			return false
		}
	}
	return true
}
