package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// sampleEvery is how often a tree of processes is looked at. A peak that is
// shorter can be missed; that of each single process cannot, since the kernel
// remembers it.
const sampleEvery = 5 * time.Millisecond

// A treeWatch adds up what a process and all its descendants have resident,
// and keeps the largest sum. Pages that two processes share count twice.
type treeWatch struct {
	end  chan struct{}
	peak chan int64
}

func watchTree(root int) *treeWatch {
	w := &treeWatch{end: make(chan struct{}), peak: make(chan int64)}
	go w.run(root)
	return w
}

// stop returns the largest sum in bytes.
func (w *treeWatch) stop() int64 {
	close(w.end)
	return <-w.peak
}

func (w *treeWatch) run(root int) {
	var peak int64
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	in := map[int]bool{root: true} // false for processes of others
	for {
		select {
		case <-w.end:
			w.peak <- peak
			return
		case <-tick.C:
			peak = max(peak, sample(in))
		}
	}
}

// sample notes new processes in in, and returns what those of the tree have
// resident. A child is born after its parent and is looked at after it, but
// for a wrap of the numbers; then the next sample finds it.
func sample(in map[int]bool) int64 {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0
	}
	var sum int64
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		member, known := in[pid]
		if !known {
			parent, ok := parentOf(pid)
			if !ok {
				continue
			}
			if _, ok := in[parent]; !ok && parent > pid {
				continue
			}
			member = in[parent]
			in[pid] = member
		}
		if member {
			sum += resident(pid)
		}
	}
	return sum
}

// parentOf is field 4 of /proc/PID/stat.
func parentOf(pid int) (int, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(f[1])
	return parent, err == nil
}

// resident is the second figure of /proc/PID/statm, in bytes.
func resident(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
