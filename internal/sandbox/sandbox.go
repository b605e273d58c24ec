package sandbox

import (
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ChildArg is the first argument of a child. A program that calls Start must
// look for it before anything else, and do the child's work then.
const ChildArg = "sandbox-child"

// IsChild reports whether the program was started by Start.
func IsChild(args []string) bool { return len(args) > 1 && args[1] == ChildArg }

// FirstFile is the descriptor of the first of Command.Files in the child.
const FirstFile = 3

// ErrUnsupported means that this system has no sandbox.
var ErrUnsupported = errors.New("no sandbox on this system")

// Limits are what a child may take. Zero means no limit of that kind, save
// where it says otherwise.
type Limits struct {
	// Memory bounds the private writable memory in bytes (RLIMIT_DATA), on
	// top of what the program takes when it starts. What a Go program frees
	// still counts, so it is a bound of the peak. The address space
	// (RLIMIT_AS) gets a bound that follows from it.
	Memory int64
	// CPU is processor time; the child is killed within a second of it.
	CPU time.Duration
	// FileSize bounds the files that the child was given to write into.
	FileSize int64
	// Procs is how many processors its code uses at once, 0 for all.
	Procs int
	// Idle asks for the lowest priority on the processors and the disks.
	Idle bool
}

// A Command says what to start.
type Command struct {
	// Files are handed to the child, from FirstFile on. For one that is nil the
	// child has none of that number.
	Files []*os.File
	// Limits as far as the parent sets them; the child gets its own copy by
	// other ways and passes it to Enter.
	Limits Limits
	// Cgroup is an open directory of a version 2 control group that the
	// child starts in; nil for the group of the parent.
	Cgroup *os.File
}

// A Policy is what the child keeps when Enter takes the rest.
type Policy struct {
	// Dirs are directories of the host whose content it may read.
	Dirs []string
	// Limits as in Command.
	Limits Limits
}

// Exit is how a child ended.
type Exit struct {
	// Code is the exit code, -1 if a signal ended it.
	Code   int
	Signal syscall.Signal
	// CPU is what it took.
	CPU time.Duration
	// Stderr is the beginning of what it wrote to standard error.
	Stderr string
}

// Cause says why a child that ended early did.
type Cause int

// The causes.
const (
	// CauseOther is a failure of the child's own code.
	CauseOther Cause = iota
	// CauseMemory is the limit on memory, or a host without any.
	CauseMemory
	// CauseCPU is the limit on processor time.
	CauseCPU
	// CauseForbidden is an attempt at something that the policy kills for.
	CauseForbidden
)

// Cause reads the cause from how the child ended under these limits. A child
// that the caller killed is for the caller to tell.
func (e Exit) Cause(l Limits) Cause {
	// The kernel holds the limit against ticks of the clock, and reports
	// what was really taken.
	const nearly = 3. / 4
	switch {
	case e.Signal == syscall.Signal(31) /* SIGSYS */ :
		return CauseForbidden
	case e.Signal == syscall.SIGKILL && l.CPU > 0 && float64(e.CPU) >= nearly*float64(l.CPU):
		return CauseCPU
	case e.Signal == syscall.SIGKILL: // nobody else kills it
		return CauseMemory
	case strings.Contains(e.Stderr, "out of memory"), strings.Contains(e.Stderr, "cannot allocate memory"):
		return CauseMemory
	}
	return CauseOther
}

// wholeSeconds rounds up: the kernel counts in seconds.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// head keeps the beginning of what is written to it.
type head struct {
	mu sync.Mutex
	b  []byte
}

// maxStderr is how much of a child's last words is kept.
const maxStderr = 4 << 10

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b = append(h.b, p[:min(len(p), maxStderr-len(h.b))]...)
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.ToValidUTF8(string(h.b), "\uFFFD")
}
