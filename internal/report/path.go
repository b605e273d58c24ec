package report

import "path"

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
