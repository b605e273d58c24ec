//go:build unix

package cache

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/onceover/onceover/internal/fault"
)

// checkOwner refuses a directory that another user owns.
func checkOwner(dir string, fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if ok && int(st.Uid) != os.Geteuid() {
		return fault.New(fault.Forbidden, "%s belongs to user %d, not to %d who runs this: choose another directory", dir, st.Uid, os.Geteuid())
	}
	return nil
}
