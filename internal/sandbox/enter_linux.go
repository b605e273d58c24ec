package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// noNetNamespace is set when the kernel refused a network namespace once.
var noNetNamespace atomic.Bool

const (
	// maxFiles is how many descriptors a child may have: one for each
	// directory on the way down, and some.
	maxFiles = 1024
	// addressRoom is how much address space a Go program reserves beyond
	// the memory it uses: tables of its heap, mapped without access.
	addressRoom = 1 << 30
	// nobody is the user that a child runs as which has no files to open.
	nobody = 65534
)

// Enter takes from the calling process what p does not leave it, for good. It
// returns what the kernel could not do. An error means that a restriction
// which should have worked did not, and that the process must end.
func Enter(p Policy) (lacking []string, err error) {
	e := enterer{policy: p}
	// Lowest first: what the later steps forbid, the earlier ones need.
	for _, step := range []func() error{e.priorities, e.limits, e.noNewPrivileges, e.landlock, e.user, e.capabilities, e.filter} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("enter sandbox: %w", err)
		}
	}
	return e.lacking, nil
}

type enterer struct {
	policy  Policy
	lacking []string
}

func (e *enterer) lacks(what string, err error) error {
	e.lacking = append(e.lacking, fmt.Sprintf("%s: %v", what, err))
	return nil
}

// all makes a system call on every thread of the process. The kernel keeps
// these things by thread, and the Go runtime has several.
func all(trap, a1, a2, a3 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall(trap, a1, a2, a3)
	if errno != 0 {
		return errno
	}
	return nil
}

// priorities makes the child the first to go when memory runs out, and the
// last to be served if it is to be idle.
func (e *enterer) priorities() error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		_ = e.lacks("preferred victim of the out-of-memory killer", err)
	}
	if !e.policy.Limits.Idle {
		return nil
	}
	const (
		lowest       = 19
		whoProcess   = 1 // IOPRIO_WHO_PROCESS, which is a thread
		classIdle    = 3 // IOPRIO_CLASS_IDLE
		classShift   = 13
		thisThread   = 0
		priorityProc = unix.PRIO_PROCESS
	)
	if err := all(unix.SYS_SETPRIORITY, priorityProc, thisThread, lowest); err != nil {
		_ = e.lacks("lowest processor priority", err)
	}
	if err := all(unix.SYS_IOPRIO_SET, whoProcess, thisThread, classIdle<<classShift); err != nil {
		_ = e.lacks("idle disk priority", err)
	}
	return nil
}

func (e *enterer) limits() error {
	l := e.policy.Limits
	set := func(name string, resource int, v uint64) error {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: v, Max: v}); err != nil {
			return fmt.Errorf("limit %s: %w", name, err)
		}
		return nil
	}
	errs := []error{set("core files", unix.RLIMIT_CORE, 0), set("descriptors", unix.RLIMIT_NOFILE, maxFiles), set("file size", unix.RLIMIT_FSIZE, uint64(l.FileSize))}
	if l.CPU > 0 {
		errs = append(errs, set("processor time", unix.RLIMIT_CPU, uint64(wholeSeconds(l.CPU)/time.Second)))
	}
	if l.Memory > 0 {
		data, space, err := sizes()
		if err != nil {
			return e.lacks("limit on memory", err)
		}
		errs = append(errs, set("memory", unix.RLIMIT_DATA, data+uint64(l.Memory)),
			set("address space", unix.RLIMIT_AS, space+uint64(l.Memory)+addressRoom))
	}
	return errors.Join(errs...)
}

// sizes are the private writable memory and the address space now, in bytes.
func sizes() (data, space uint64, err error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		switch name {
		case "VmData":
			data = kb << 10
		case "VmSize":
			space = kb << 10
		}
	}
	if data == 0 || space == 0 {
		return 0, 0, errors.New("the size of the process is not known")
	}
	return data, space, nil
}

func (e *enterer) noNewPrivileges() error {
	err := all(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
	if errors.Is(err, syscall.ENOTSUP) { // built with cgo: the race detector
		_ = e.lacks("restrictions by thread", errors.New("this program was built with cgo, build it with CGO_ENABLED=0"))
		return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	return err
}

// user gives up the identity of root where nothing has to be opened.
func (e *enterer) user() error {
	if os.Geteuid() != 0 || len(e.policy.Dirs) > 0 {
		return nil
	}
	for _, call := range [][4]uintptr{
		{unix.SYS_SETGROUPS, 0, 0, 0},
		{unix.SYS_SETRESGID, nobody, nobody, nobody},
		{unix.SYS_SETRESUID, nobody, nobody, nobody},
	} {
		if err := all(call[0], call[1], call[2], call[3]); err != nil {
			return e.lacks("user nobody", err)
		}
	}
	// The change has switched it off.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	if unix.Getppid() == 1 {
		return errors.New("the parent is gone")
	}
	return nil
}

// capabilities leaves those that reading a directory of the host takes, and
// only for that: files of any user, and the attributes of overlayfs in the
// "trusted" name space, which the kernel shows to CAP_SYS_ADMIN alone. What
// else that capability could do, the filter of system calls forbids.
func (e *enterer) capabilities() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has, keep [2]unix.CapUserData
	if err := unix.Capget(&hdr, &has[0]); err != nil {
		return e.lacks("capabilities", err)
	}
	if len(e.policy.Dirs) > 0 {
		for _, c := range []uint{unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_ADMIN} {
			bit := has[c/32].Permitted & (1 << (c % 32))
			keep[c/32].Permitted |= bit
			keep[c/32].Effective |= bit
		}
	}
	hdr = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := all(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&keep[0])), 0); err != nil {
		return e.lacks("dropped capabilities", err)
	}
	return nil
}

// SpoolFile makes a temporary file without a name, for a child that cannot
// make one itself.
func SpoolFile() (*os.File, error) {
	dir := os.TempDir()
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|unix.O_EXCL, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/(spool)"), nil
	}
	f, err := os.CreateTemp("", "onceover-*") // a file system without such files
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
