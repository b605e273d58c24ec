package report

import (
	"path"
	"strings"
)

// PathHash is a stable 64-bit hash of an absolute, clean path (FNV-1a, RFC
// 9923). Two paths of one layer collide with a chance of about n²/2⁶⁵: one in
// a billion for 200,000 files.
func PathHash(p string) uint64 {
	const (
		offset = 14695981039346656037
		prime  = 1099511628211
	)
	h := uint64(offset)
	for i := range len(p) {
		h ^= uint64(p[i])
		h *= prime
	}
	return h
}

// CleanPath makes p absolute within the image and clean: "./usr//bin/x" is
// "/usr/bin/x". It never escapes: "../../x" is "/x".
func CleanPath(p string) string { return path.Clean("/" + p) }

// ownable are the endings of files that analysers of language packages take
// as evidence.
var ownable = []string{
	"/METADATA", "/PKG-INFO", ".egg-info", "/package.json", ".gemspec",
	".jar", ".war", ".ear", ".par", ".sar", ".jpi", ".hpi", ".kar", ".lpkg", ".nar", ".rar",
}

// Ownable reports whether a language package can rest on the file at p, so
// that its owner matters: a known metadata file, an archive, or a file without
// an extension in a directory of programs.
func Ownable(p string) bool {
	for _, s := range ownable {
		if strings.HasSuffix(p, s) {
			return true
		}
	}
	dir, base := path.Split(p)
	if strings.HasPrefix(dir, "/usr/share/") || strings.HasPrefix(dir, "/etc/") {
		return false
	}
	return strings.Contains(dir, "bin/") || !strings.Contains(base, ".")
}
