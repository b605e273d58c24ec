package pace

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU is the processor time that a process has taken, threads that have
// ended included.
func processCPU(pid int) (time.Duration, error) {
	const scheduler = 2 // as clock_getcpuclockid(3) makes it
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}

func signalStop(pid int)     { _ = unix.Kill(pid, unix.SIGSTOP) }
func signalContinue(pid int) { _ = unix.Kill(pid, unix.SIGCONT) }

// host reads how busy this machine is.
type host struct {
	proc string // "/proc", another in tests
	cpus float64
	busy time.Duration
	ok   bool
	// pressure last time: total stall in microseconds.
	stalls map[string]float64
}

func newHost() host { return host{proc: "/proc", cpus: float64(runtime.NumCPU())} }

func (h *host) reset() {
	h.busy, h.ok = h.busyTime()
	h.stalls = h.readStalls()
}

// Pressure beyond which the host counts as short: the part of the time in
// which some process waited for the processor, or all did for memory or disk.
const (
	cpuPressure = 0.25
	memPressure = 0.10
	ioPressure  = 0.30
)

// look tells how the host fared in the last d, in which this program took own.
func (h *host) look(d, own time.Duration) state {
	busy, ok := h.busyTime()
	stalls := h.readStalls()
	part := func(name string) float64 {
		before, had := h.stalls[name]
		now, has := stalls[name]
		if !had || !has {
			return 0
		}
		return (now - before) / float64(d.Microseconds())
	}
	var s state
	if ok && h.ok {
		others := max(0, busy-h.busy-own)
		s.Idle = max(0, h.cpus-float64(others)/float64(d))
	}
	// Some wait for the processor whenever we take one that they want. If
	// one is idle it is not they who wait.
	s.Pressure = part("cpu") > cpuPressure && s.Idle < 1
	s.Thrashing = part("memory") > memPressure || part("io") > ioPressure && s.Idle < h.cpus/2
	h.busy, h.ok, h.stalls = busy, ok, stalls
	return s
}

// busyTime is the processor time that all processes have taken since the host
// started (proc_stat(5)).
func (h *host) busyTime() (time.Duration, bool) {
	b, err := os.ReadFile(h.proc + "/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	f := strings.Fields(string(line))
	if len(f) < 9 || f[0] != "cpu" {
		return 0, false
	}
	var ticks int64
	for i, s := range f[1:9] {
		const idle, iowait = 3, 4
		if i == idle || i == iowait {
			continue
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, false
		}
		ticks += n
	}
	const perSecond = 100 // USER_HZ of every port of Linux that Go has
	return time.Duration(ticks) * time.Second / perSecond, true
}

// readStalls are the total stall times, in microseconds (kernel documentation,
// accounting/psi). Kernels without them give none.
func (h *host) readStalls() map[string]float64 {
	out := map[string]float64{}
	for name, kind := range map[string]string{"cpu": "some", "memory": "full", "io": "full"} {
		b, err := os.ReadFile(h.proc + "/pressure/" + name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 2 || f[0] != kind {
				continue
			}
			if s, ok := strings.CutPrefix(f[len(f)-1], "total="); ok {
				if n, err := strconv.ParseFloat(s, 64); err == nil {
					out[name] = n
				}
			}
		}
	}
	return out
}
