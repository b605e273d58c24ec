package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A cost is what one run of a program took.
type cost struct {
	CPU, Wall time.Duration
	// Peak, Read and Written in bytes.
	Peak, Read, Written int64
	// Fetched from and Stored on disks, in bytes.
	Fetched, Stored int64
	// Engine is the CPU time of the engine during the run.
	Engine time.Duration
}

// helperArg makes this program a helper that runs another and measures it.
// The peak of a process counts what its parent had resident when it was
// started, so the parent has to be small.
const helperArg = "measure-one"

// measure runs a program in a helper process.
func measure(env []string, argv ...string) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	cmd := exec.Command(self, append([]string{helperArg}, argv...)...)
	cmd.Env = append(os.Environ(), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, errs.String())
	}
	var c cost
	return c, json.Unmarshal(out, &c)
}

// helper runs argv and writes its cost to standard output.
func helper(argv []string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	tree := watchTree(cmd.Process.Pid)
	// The process has ended and is not reaped: /proc still knows it.
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait: %w", err)
		}
	}
	c := cost{Wall: time.Since(start)}
	sum := tree.stop()
	ioErr := c.readIO(cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		return err
	}
	if ioErr != nil {
		return ioErr
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("no resource usage on this system")
	}
	c.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	c.Peak = max(usage.Maxrss<<10, sum) // getrusage(2): kilobytes
	return json.NewEncoder(os.Stdout).Encode(c)
}

// readIO reads what proc(5) says of the input and output of a process and of
// its children that it has waited for.
func (c *cost) readIO(pid int) error {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("read /proc/%d/io: %w", pid, err)
		}
		switch name {
		case "rchar":
			c.Read = n
		case "wchar":
			c.Written = n
		case "read_bytes":
			c.Fetched = n
		case "write_bytes":
			c.Stored = n
		}
	}
	return nil
}

// clockTick is the unit of times in /proc/PID/stat on every Linux that Go
// runs on.
const clockTick = time.Second / 100

// processCPU is the user and system time of a running process.
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The command's name, in parentheses, may hold anything.
	i := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[i+1:]))
	const user, system = 11, 12 // fields 14 and 15 of the line
	if i < 0 || len(f) <= system {
		return 0, fmt.Errorf("read /proc/%d/stat: unexpected form", pid)
	}
	u, err1 := strconv.ParseInt(f[user], 10, 64)
	s, err2 := strconv.ParseInt(f[system], 10, 64)
	return time.Duration(u+s) * clockTick, errors.Join(err1, err2)
}
