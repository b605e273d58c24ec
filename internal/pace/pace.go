package pace

import (
	"log/slog"
	"os"
	"sync"
	"time"
)

// Defaults of the contract of an agent.
const (
	DefaultCPUPercent = 20
	DefaultMemory     = 256 << 20
)

const (
	// tick is how often the keeper looks while children run.
	tick = 20 * time.Millisecond
	// hostEvery is how often it asks how busy the host is.
	hostEvery = 250 * time.Millisecond
	// burst is how much processor time may be saved up: a child that
	// starts after a rest need not wait.
	burst = 30 * time.Millisecond
	// maxDebt bounds what is to be made up for.
	maxDebt = 2 * time.Second
)

// Config is a contract.
type Config struct {
	// CPUPercent of one processor, for this process and its children
	// together, while the host is busy. 0 means DefaultCPUPercent.
	CPUPercent int
	// Group is whether to use a control group if there can be one.
	Group bool
	// Memory bounds the children together in bytes, in a control group.
	Memory int64
	// Log may be nil.
	Log *slog.Logger
}

// A Keeper keeps a contract. A nil Keeper holds nothing back. Safe for
// concurrent use.
type Keeper struct {
	cfg   Config
	host  host
	group *group // nil: pace by signals
	base  float64

	mu      sync.Mutex
	kids    map[int]time.Duration // what each had taken when last looked at
	running bool
	stopped bool
	since   time.Time // of the stop
	held    time.Duration
	share   float64 // of one processor, now
}

// New makes a keeper.
func New(cfg Config) *Keeper {
	if cfg.CPUPercent <= 0 {
		cfg.CPUPercent = DefaultCPUPercent
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{cfg: cfg, host: newHost(), kids: map[int]time.Duration{}, base: float64(cfg.CPUPercent) / 100}
	k.share = k.base
	if cfg.Group {
		g, err := newGroup(cgroupRoot, os.Getpid())
		if err == nil {
			err = g.setMemory(cfg.Memory)
		}
		if err == nil {
			err = g.setCPU(k.base)
		}
		if err == nil {
			k.group = g
		} else {
			g.close()
			cfg.Log.Debug("no control group for layers", "reason", err)
		}
	}
	return k
}

// Cgroup is an open directory of the control group that children are to start
// in; nil if there is none.
func (k *Keeper) Cgroup() *os.File {
	if k == nil || k.group == nil {
		return nil
	}
	return k.group.dir
}

// Means says how the contract is kept: by "cgroup" or by "signals".
func (k *Keeper) Means() string {
	if k.group != nil {
		return "cgroup"
	}
	return "signals"
}

// Add puts a child under the contract until release is called, after which it
// runs freely. Call release before waiting for its end.
func (k *Keeper) Add(pid int) (release func()) {
	if k == nil {
		return func() {}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kids[pid], _ = processCPU(pid)
	if k.stopped {
		signalStop(pid)
	}
	if !k.running {
		k.running = true
		go k.run()
	}
	return sync.OnceFunc(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.kids, pid)
		if k.stopped {
			signalContinue(pid)
		}
		if len(k.kids) == 0 {
			k.resume(time.Now())
		}
	})
}

// Held is for how long children have been held back by signals.
func (k *Keeper) Held() time.Duration {
	if k == nil {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return k.held + time.Since(k.since)
	}
	return k.held
}

// run looks after the children until there are none.
func (k *Keeper) run() {
	t := time.NewTicker(tick)
	defer t.Stop()
	own, _ := processCPU(os.Getpid())
	k.host.reset()
	last, asked := time.Now(), time.Now()
	budget := burst
	var taken time.Duration // since asked
	for range t.C {
		now := time.Now()
		used, ownNow, ok := k.measure(own)
		if !ok {
			return
		}
		own = ownNow
		taken += used
		if d := now.Sub(asked); d >= hostEvery {
			k.adjust(k.host.look(d, taken))
			asked, taken = now, 0
		}
		if k.group != nil {
			continue
		}
		k.mu.Lock()
		budget += time.Duration(k.share*float64(now.Sub(last))) - used
		budget = max(-maxDebt, min(budget, burst))
		switch {
		case budget < 0 && !k.stopped:
			k.stop(now)
		case budget > 0 && k.stopped:
			k.resume(now)
		}
		k.mu.Unlock()
		last = now
	}
}

// measure is what this process and its children took since the last time; ok
// is false if there are no children any more.
func (k *Keeper) measure(own time.Duration) (used, ownNow time.Duration, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kids) == 0 {
		k.running = false
		return 0, 0, false
	}
	ownNow, _ = processCPU(os.Getpid())
	used = ownNow - own
	for pid, before := range k.kids {
		// One that has ended is released soon.
		if now, err := processCPU(pid); err == nil {
			used += max(0, now-before)
			k.kids[pid] = now
		}
	}
	return used, ownNow, true
}

// adjust sets the share by how the host fares.
func (k *Keeper) adjust(s state) {
	share := allowance(k.base, s)
	k.mu.Lock()
	changed := share != k.share
	k.share = share
	k.mu.Unlock()
	if changed && k.group != nil {
		if err := k.group.setCPU(share); err != nil {
			k.cfg.Log.Debug("control group not adjusted", "error", err)
		}
	}
}

// state is how a host fares.
type state struct {
	// Idle is what nobody used, in processors; what this program took is
	// counted as idle.
	Idle float64
	// Pressure is set if others wait for the processor; Thrashing if they
	// wait for memory or the disk.
	Pressure, Thrashing bool
}

// allowance is the share of one processor that may be taken: that of the
// contract, or half of what nobody else uses if that is more; half the contract
// where the host is short of memory or its disks are.
func allowance(base float64, s state) float64 {
	switch {
	case s.Thrashing:
		return base / 2
	case s.Pressure:
		return base
	}
	return max(base, s.Idle/2)
}

// stop holds all children back. k.mu is held.
func (k *Keeper) stop(now time.Time) {
	k.stopped, k.since = true, now
	for pid := range k.kids {
		signalStop(pid)
	}
}

// resume lets them go on. k.mu is held.
func (k *Keeper) resume(now time.Time) {
	if !k.stopped {
		return
	}
	k.stopped = false
	k.held += now.Sub(k.since)
	for pid := range k.kids {
		signalContinue(pid)
	}
}

// Close gives back the control group. There must be no children.
func (k *Keeper) Close() {
	if k != nil && k.group != nil {
		k.group.close()
	}
}
