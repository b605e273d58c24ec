package layer

import "strings"

// Whiteouts in tar layers (OCI image specification, "Whiteouts"), and in the
// directories of fuse-overlayfs.
const (
	whiteoutPrefix = ".wh."
	// whiteoutMeta begins the names of what aufs kept for itself.
	whiteoutMeta   = ".wh..wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// whiteoutOf is the name that a file called base deletes. ok is false for the
// bookkeeping of aufs, and for names that name no file: no engine takes those,
// and ".wh.." read as a whiteout would delete its own directory.
func whiteoutOf(base string) (name string, ok bool) {
	name, ok = strings.CutPrefix(base, whiteoutPrefix)
	if !ok || strings.HasPrefix(base, whiteoutMeta) || name == "" || name == "." || name == ".." {
		return "", false
	}
	return name, true
}
