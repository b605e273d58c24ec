package scan

import (
	"context"
	"sync"
	"time"
)

// watchdog gives each file its time. In a process of its own that is processor
// time, so that a busy host or one that holds the process back is no reason to
// give a file up; a file whose content does not come has its end all the same.
// Elsewhere it is time on the clock.
type watchdog struct {
	// spent is the processor time of the process; nil if that is not the
	// file's alone.
	spent func() time.Duration
	// onStuck is called when an analyser does not heed the end of its time.
	onStuck func()
	// onLong is called once for a file that takes longer than a tick. It may
	// be nil.
	onLong func()

	stop chan struct{}

	mu     sync.Mutex
	busy   bool
	ticks  int
	before time.Duration // spent when the file was begun
	cancel context.CancelFunc
}

const (
	watchTick = 250 * time.Millisecond
	// analyzeTime is how long the analysers may look at one file.
	analyzeTime = 30 * time.Second
	// graceTime is how long one may go on after that.
	graceTime = 5 * time.Second
	// stallTime is how long a file may take on the clock if processor time
	// is what counts. Ticks that fall into a time in which the process is
	// stopped are not heard, and do not count.
	stallTime = 5 * time.Minute
)

func newWatchdog(spent func() time.Duration, onStuck func()) *watchdog {
	w := &watchdog{spent: spent, onStuck: onStuck, stop: make(chan struct{})}
	go w.run()
	return w
}

func (w *watchdog) close() { close(w.stop) }

func (w *watchdog) run() {
	t := time.NewTicker(watchTick)
	defer t.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-t.C:
			w.tick()
		}
	}
}

func (w *watchdog) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.busy {
		return
	}
	if w.ticks++; w.ticks == 1 && w.onLong != nil {
		w.onLong()
	}
	ran, limit := time.Duration(w.ticks)*watchTick, analyzeTime
	if w.spent != nil {
		if ran > stallTime {
			limit = stallTime
		} else {
			ran = w.spent() - w.before
		}
	}
	if ran > limit && w.cancel != nil {
		w.cancel()
	}
	if ran > limit+graceTime && w.onStuck != nil {
		w.onStuck()
		w.onStuck = nil
	}
}

// begin starts the time of a file, end ends it.
func (w *watchdog) begin() {
	w.mu.Lock()
	w.busy, w.ticks = true, 0
	if w.spent != nil {
		w.before = w.spent()
	}
	w.mu.Unlock()
}

func (w *watchdog) end() {
	w.mu.Lock()
	w.busy = false
	w.mu.Unlock()
}

// context is ctx until the time of the file is over.
func (w *watchdog) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	w.cancel = cancel
	w.mu.Unlock()
	return ctx, func() {
		w.mu.Lock()
		w.cancel = nil
		w.mu.Unlock()
		cancel()
	}
}
