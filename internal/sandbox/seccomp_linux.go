//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// allowed are the system calls that the Go runtime and reading files take.
// Whatever is in no list fails with EPERM.
var allowed = []uint32{
	// reading, and writing to what is open
	unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_READV, unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_WRITEV,
	unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_FTRUNCATE, unix.SYS_FADVISE64,
	unix.SYS_FSTAT, sysFstatat, unix.SYS_STATX, unix.SYS_FSTATFS, unix.SYS_GETDENTS64, unix.SYS_READLINKAT,
	unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_FGETXATTR, unix.SYS_FLISTXATTR, unix.SYS_GETXATTR, unix.SYS_LGETXATTR, unix.SYS_LISTXATTR, unix.SYS_LLISTXATTR,
	// memory
	unix.SYS_BRK, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MINCORE,
	// threads, time and signals of the runtime
	unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_RESTART_SYSCALL, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM, unix.SYS_RSEQ, unix.SYS_GETRUSAGE,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	// waiting for pipes
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
}

// deadly are system calls that only somebody who has taken over the child
// would make.
var deadly = []uint32{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_SETNS, unix.SYS_UNSHARE,
	unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_IO_URING_SETUP,
}

// absent system calls fail as if the kernel were older: the runtime and the
// standard library have another way then.
var absent = []uint32{unix.SYS_CLONE3, unix.SYS_OPENAT2, unix.SYS_COPY_FILE_RANGE, unix.SYS_SPLICE, unix.SYS_SENDFILE}

// writing are the flags of open(2) that change anything.
const writing = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND | (unix.O_TMPFILE &^ unix.O_DIRECTORY)

// filter forbids all system calls but those that are needed.
func (e *enterer) filter() error {
	prog := program(uint32(os.Getpid()))
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	switch {
	case errno == syscall.ENOSYS || errno == syscall.EINVAL:
		return e.lacks("filter of system calls", errno)
	case errno != 0:
		return fmt.Errorf("filter system calls: %w", errno)
	case r != 0:
		return fmt.Errorf("filter system calls: thread %d has another filter", r)
	}
	return nil
}

// Offsets in struct seccomp_data (seccomp(2)).
const (
	atNumber = 0
	atArch   = 4
)

// argument is the offset of the low half of an argument; both processors are
// little-endian.
func argument(n uint32) uint32 { return 16 + 8*n }

var (
	retAllow  = ret(unix.SECCOMP_RET_ALLOW)
	retDenied = ret(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	retAbsent = ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	retKill   = ret(unix.SECCOMP_RET_KILL_PROCESS)
)

func ret(v uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v} }

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

// jump goes yes or no instructions further.
func jump(op uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

// program is the filter of a process.
func program(pid uint32) []unix.SockFilter {
	p := []unix.SockFilter{
		load(atArch), jump(unix.BPF_JEQ, auditArch, 1, 0), retKill,
		load(atNumber), jump(unix.BPF_JGE, 0x40000000, 0, 1), retKill, // the x32 calls of amd64
	}
	list := func(numbers []uint32, then unix.SockFilter) {
		for _, n := range numbers {
			p = append(p, jump(unix.BPF_JEQ, n, 0, 1), then)
		}
	}
	// when runs the given instructions, which must return, for one call.
	when := func(number uint32, then ...unix.SockFilter) {
		p = append(p, jump(unix.BPF_JEQ, number, 0, uint8(len(then))))
		p = append(p, then...)
	}
	list(allowed, retAllow)
	list(deadly, retKill)
	list(absent, retAbsent)
	when(unix.SYS_OPENAT, load(argument(2)), jump(unix.BPF_JSET, writing, 0, 1), retDenied, retAllow)
	noExec := []unix.SockFilter{load(argument(2)), jump(unix.BPF_JSET, unix.PROT_EXEC, 0, 1), retDenied, retAllow}
	when(unix.SYS_MMAP, noExec...)
	when(unix.SYS_MPROTECT, noExec...)
	when(unix.SYS_CLONE, load(argument(0)), jump(unix.BPF_JSET, unix.CLONE_THREAD, 1, 0), retDenied, retAllow)
	when(unix.SYS_TGKILL, load(argument(0)), jump(unix.BPF_JEQ, pid, 1, 0), retDenied, retAllow)
	when(unix.SYS_PRCTL, load(argument(0)), jump(unix.BPF_JEQ, unix.PR_SET_VMA, 1, 0), retDenied, retAllow)
	when(unix.SYS_PRLIMIT64, // asking, not setting
		load(argument(2)), jump(unix.BPF_JEQ, 0, 0, 3),
		load(argument(2)+4), jump(unix.BPF_JEQ, 0, 0, 1), retAllow, retDenied)
	when(unix.SYS_FCNTL, load(argument(1)),
		jump(unix.BPF_JEQ, unix.F_GETFL, 4, 0), jump(unix.BPF_JEQ, unix.F_SETFL, 3, 0), jump(unix.BPF_JEQ, unix.F_GETFD, 2, 0),
		jump(unix.BPF_JEQ, unix.F_DUPFD_CLOEXEC, 1, 0), retDenied, retAllow)
	return append(p, retDenied)
}
