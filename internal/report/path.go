package report

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// PathHash is a stable 64-bit hash of an absolute, clean path (FNV-1a, RFC
// 9923). Two paths of one layer collide with a chance of about n²/2⁶⁵: one in
// a billion for 200,000 files. A path and its ValidPath have the same.
func PathHash(p string) uint64 {
	const (
		offset = 14695981039346656037
		prime  = 1099511628211
	)
	h := uint64(offset)
	ascii := true
	for i := range len(p) {
		if ascii && p[i] >= utf8.RuneSelf {
			if !utf8.ValidString(p) {
				return PathHash(ValidPath(p))
			}
			ascii = false
		}
		h ^= uint64(p[i])
		h *= prime
	}
	return h
}

// ValidPath is p with each byte that is not part of UTF-8 as "\xNN". File names
// are bytes, JSON is not: paths that differ must still differ when a report
// comes back from the cache.
func ValidPath(p string) string {
	if utf8.ValidString(p) {
		return p
	}
	var b strings.Builder
	for len(p) > 0 {
		r, n := utf8.DecodeRuneInString(p)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, p[0])
		} else {
			b.WriteString(p[:n])
		}
		p = p[n:]
	}
	return b.String()
}

// CleanPath makes p absolute within the image and clean: "./usr//bin/x" is
// "/usr/bin/x". It never escapes: "../../x" is "/x".
func CleanPath(p string) string { return path.Clean("/" + p) }
