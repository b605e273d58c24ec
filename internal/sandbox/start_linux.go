package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Process is a running child.
type Process struct {
	pid  int
	done chan struct{}
	exit Exit
}

// self is the running program, even if its file was replaced meanwhile.
const self = "/proc/self/exe"

// Start starts a child. The caller calls Wait, and may close the files.
func Start(c Command) (*Process, error) {
	path := self
	if _, err := os.Stat(path); err != nil {
		if path, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find own program: %w", err)
		}
	}
	p := &Process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel kills the child when the thread ends that started
		// it, so that thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		p.run(path, c, started)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start sandboxed process: %w", err)
	}
	return p, nil
}

func (p *Process) run(path string, c Command, started chan<- error) {
	stderr := &head{}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 && !noNetNamespace.Load() {
		attr.Cloneflags = unix.CLONE_NEWNET | unix.CLONE_NEWIPC
	}
	if c.Cgroup != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(c.Cgroup.Fd())
	}
	command := func() *exec.Cmd {
		cmd := exec.Command(path, ChildArg)
		cmd.Args[0] = "onceover"
		cmd.Env = c.environment()
		cmd.Stderr = stderr
		cmd.Dir = "/"
		cmd.ExtraFiles = c.Files
		cmd.SysProcAttr = attr
		return cmd
	}
	cmd := command()
	err := cmd.Start()
	if err != nil && attr.Cloneflags != 0 {
		// Root of a container, as a rule. The filter of system calls
		// forbids sockets in any case.
		noNetNamespace.Store(true)
		attr.Cloneflags = 0
		cmd = command()
		err = cmd.Start()
	}
	if err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	_ = cmd.Wait() // the state says it all
	st := cmd.ProcessState
	p.exit = Exit{Code: st.ExitCode(), CPU: st.UserTime() + st.SystemTime(), Stderr: stderr.String()}
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		p.exit.Signal = ws.Signal()
	}
}

// environment of the child: nothing of the parent's, which may hold secrets,
// but for what tests need to write down what they cover.
func (c Command) environment() []string {
	env := []string{"GOTRACEBACK=none"}
	if n := c.Limits.Procs; n > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(n))
	} else {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(runtime.GOMAXPROCS(0)))
	}
	if m := c.Limits.Memory; m > 0 {
		// The collector works harder before the limit hits.
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(m*goMemoryPercent/100, 10))
	}
	for _, name := range []string{"GOCOVERDIR", "GORACE"} { // of programs that are built for tests
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// goMemoryPercent is the part of Limits.Memory that the collector tries to
// keep to.
const goMemoryPercent = 70

// PID of the child.
func (p *Process) PID() int { return p.pid }

// Kill ends the child at once. It may have ended already.
func (p *Process) Kill() {
	select {
	case <-p.done:
	default:
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
}

// Wait waits for the end of the child.
func (p *Process) Wait() Exit {
	<-p.done
	return p.exit
}

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// CPU is the processor time that the child has taken so far.
func (p *Process) CPU() time.Duration {
	d, _ := CPU(p.pid)
	return d
}

// CPU is the processor time that process pid has taken so far.
func CPU(pid int) (time.Duration, error) {
	// As clock_getcpuclockid(3) makes it.
	const scheduler = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}
