package pace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cgroupRoot is where the version 2 tree is mounted, on systems that have
// nothing else.
const cgroupRoot = "/sys/fs/cgroup"

// group is a control group of version 2 for the children (kernel
// documentation, admin-guide/cgroup-v2).
type group struct {
	dir  *os.File
	path string
}

var errNoGroup = errors.New("no version 2 control group with the cpu and memory controllers is ours")

// newGroup makes a group beneath that of process pid. A group that has
// processes of its own cannot give controllers to those beneath it; so if the
// process is alone in its group, as a service is that systemd was told to
// delegate to, it moves into a leaf first. Otherwise there is no group.
func newGroup(root string, pid int) (*group, error) {
	own, err := ownGroup(root, pid)
	if err != nil {
		return nil, err
	}
	has, err := words(filepath.Join(own, "cgroup.controllers"))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(has, "cpu") || !slices.Contains(has, "memory") {
		return nil, errNoGroup
	}
	procs, err := words(filepath.Join(own, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	self := strconv.Itoa(pid)
	if len(procs) != 1 || procs[0] != self {
		return nil, fmt.Errorf("%w: other processes are in ours", errNoGroup)
	}
	leaf := filepath.Join(own, "onceover-agent")
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := write(leaf, "cgroup.procs", self); err != nil {
		return nil, err
	}
	if err := write(own, "cgroup.subtree_control", "+cpu +memory"); err != nil {
		_ = write(own, "cgroup.procs", self)
		_ = os.Remove(leaf)
		return nil, err
	}
	path := filepath.Join(own, "onceover-layers")
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &group{dir: dir, path: path}, nil
}

// ownGroup is the directory of the group of a process.
func ownGroup(root string, pid int) (string, error) {
	lines, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(lines)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(root, filepath.Clean("/"+p)), nil
		}
	}
	return "", errNoGroup
}

func words(name string) ([]string, error) {
	b, err := os.ReadFile(name)
	return strings.Fields(string(b)), err
}

func write(dir, name, value string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644)
}

// setCPU bounds the group to a share of one processor.
func (g *group) setCPU(share float64) error {
	const period = 100_000 // microseconds
	quota := max(1000, int(share*period))
	return write(g.path, "cpu.max", fmt.Sprintf("%d %d", quota, period))
}

// setMemory bounds the group in bytes; 0 for no bound.
func (g *group) setMemory(n int64) error {
	if n <= 0 {
		return nil
	}
	_ = write(g.path, "memory.swap.max", "0")
	return write(g.path, "memory.max", strconv.FormatInt(n, 10))
}

func (g *group) close() {
	if g == nil {
		return
	}
	g.dir.Close()
	_ = os.Remove(g.path)
}
