package analyze

import (
	"path"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// AppendOwned appends to files the hash of each place at which the file that a
// package lists as p may stand. p need not be clean; without a leading slash it
// is taken from the root.
//
// A merged /usr moves "/lib/x" to "/usr/lib/x", and some distributions have
// moved "/usr/sbin/x" to "/usr/bin/x" since: which of the places an image has
// is known only after the merge, and a package that does not stand at the
// others claims nothing wrong by naming them.
func AppendOwned(files []uint64, p string) []uint64 {
	if strings.HasPrefix(p, "/") {
		p = path.Clean(p)
	} else {
		p = report.CleanPath(p)
	}
	if p == "/" {
		return files
	}
	files = append(files, report.PathHash(p))
	for _, dir := range movable {
		if !strings.HasPrefix(p, dir) {
			continue
		}
		p = "/usr" + p
		files = append(files, report.PathHash(p))
		break
	}
	if rest, ok := strings.CutPrefix(p, "/usr/sbin/"); ok {
		files = append(files, report.PathHash("/usr/bin/"+rest))
	}
	return files
}

// movable are the directories that a merged /usr takes in.
var movable = []string{"/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/"}
