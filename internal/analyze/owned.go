package analyze

import (
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// AppendOwned appends to files the hash of p, absolute and clean, if it is a
// path of which the owner matters. Where a package lists a file in a directory
// that a merged /usr moves ("/lib/x"), the new place is added: which of the two
// an image has is known only after the merge.
func AppendOwned(files []uint64, p string) []uint64 {
	if p == "/" || !report.Ownable(p) {
		return files
	}
	files = append(files, report.PathHash(p))
	for _, dir := range []string{"/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/"} {
		if strings.HasPrefix(p, dir) {
			return append(files, report.PathHash("/usr"+p))
		}
	}
	return files
}
