package sandbox

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// landlockAccess is what the file system half of each version of Landlock can
// control (kernel documentation, userspace-api/landlock).
func landlockAccess(abi int) uint64 {
	rights := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1) - 1 // version 1
	if abi >= 2 {
		rights |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		rights |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		rights |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return rights
}

const (
	landlockNet   = 1<<0 | 1<<1 // bind and connect of TCP, from version 4
	landlockScope = 1 << 0      // abstract Unix sockets, from version 6
	// Signals are not scoped: threads of one process send them to each
	// other, which some kernels take for another domain. The filter keeps
	// them inside the process.
)

// landlock forbids every access to files but reading beneath the directories
// of the policy.
func (e *enterer) landlock() error {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return e.lacks("Landlock", errno)
	}
	abi := int(v)
	attr := struct{ fs, net, scoped uint64 }{fs: landlockAccess(abi)}
	size := unsafe.Sizeof(attr.fs)
	if abi >= 4 {
		attr.net, size = landlockNet, size+unsafe.Sizeof(attr.net)
	}
	if abi >= 6 {
		attr.scoped, size = landlockScope, size+unsafe.Sizeof(attr.scoped)
	}
	r, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return e.lacks("Landlock", errno)
	}
	ruleset := int(r)
	defer unix.Close(ruleset)
	for _, dir := range e.policy.Dirs {
		if err := allowReading(ruleset, dir); err != nil {
			return err
		}
	}
	if err := all(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); err != nil {
		return e.lacks("Landlock", err)
	}
	return nil
}

// allowReading adds a rule for a directory. One that is gone needs none.
func allowReading(ruleset int, dir string) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // the reader will meet and tell it
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{
		Allowed_access: unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR,
		Parent_fd:      int32(fd),
	}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("allow reading: %w", &os.PathError{Op: "landlock", Path: dir, Err: errno})
	}
	return nil
}
