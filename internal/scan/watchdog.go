package scan

import (
	"context"
	"sync"
	"time"
)

// watchdog gives each file its time. It counts how long the process really
// runs: a process that is held back to leave its processor to others does not
// hear the ticks that fall into its sleep.
type watchdog struct {
	// onStuck is called when an analyser does not heed the end of its time.
	onStuck func()

	stop chan struct{}

	mu     sync.Mutex
	busy   bool
	ticks  int
	cancel context.CancelFunc
}

const (
	watchTick = 250 * time.Millisecond
	// analyzeTime is how long the analysers may look at one file.
	analyzeTime = 30 * time.Second
	// graceTime is how long one may go on after that.
	graceTime = 5 * time.Second
)

func newWatchdog(onStuck func()) *watchdog {
	w := &watchdog{onStuck: onStuck, stop: make(chan struct{})}
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
	w.ticks++
	ran := time.Duration(w.ticks) * watchTick
	if ran > analyzeTime && w.cancel != nil {
		w.cancel()
	}
	if ran > analyzeTime+graceTime && w.onStuck != nil {
		w.onStuck()
		w.onStuck = nil
	}
}

// begin starts the time of a file, end ends it.
func (w *watchdog) begin() {
	w.mu.Lock()
	w.busy, w.ticks = true, 0
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
