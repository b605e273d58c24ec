package auth

import (
	"container/list"
	"sync"
	"time"
)

// maxThrottled is how many pairs of key and address a throttle remembers; the
// one that was not used for longest is forgotten.
const maxThrottled = 10_000

// A throttle is a token bucket for each name: burst events at once, then one
// each interval.
type throttle struct {
	burst    float64
	interval time.Duration

	mu      sync.Mutex
	entries map[string]*list.Element
	order   list.List // of *throttleEntry, most recent in front
}

type throttleEntry struct {
	name   string
	tokens float64
	at     time.Time
}

// wait is how long name has to wait before it may try again; 0 if it may now.
// It costs nothing: spend does.
func (t *throttle) wait(name string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	el, ok := t.entries[name]
	if !ok {
		return 0
	}
	e := el.Value.(*throttleEntry)
	t.refill(e, now)
	if e.tokens >= 1 {
		return 0
	}
	return time.Duration((1 - e.tokens) * float64(t.interval))
}

// take counts one event unless name has to wait, and then says how long.
func (t *throttle) take(name string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(name, now)
	if e.tokens < 1 {
		return time.Duration((1 - e.tokens) * float64(t.interval))
	}
	e.tokens--
	return 0
}

// give takes one event back.
func (t *throttle) give(name string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(name, now)
	e.tokens = min(t.burst, e.tokens+1)
}

// spend counts one event.
func (t *throttle) spend(name string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(name, now)
	e.tokens = max(0, e.tokens-1)
}

// entry is the bucket of name, filled up to now.
func (t *throttle) entry(name string, now time.Time) *throttleEntry {
	el, ok := t.entries[name]
	if !ok {
		if t.entries == nil {
			t.entries = map[string]*list.Element{}
		}
		if len(t.entries) >= maxThrottled {
			oldest := t.order.Back()
			delete(t.entries, oldest.Value.(*throttleEntry).name)
			t.order.Remove(oldest)
		}
		el = t.order.PushFront(&throttleEntry{name: name, tokens: t.burst, at: now})
		t.entries[name] = el
	}
	t.order.MoveToFront(el)
	e := el.Value.(*throttleEntry)
	t.refill(e, now)
	return e
}

func (t *throttle) refill(e *throttleEntry, now time.Time) {
	if passed := now.Sub(e.at); passed > 0 {
		e.tokens = min(t.burst, e.tokens+float64(passed)/float64(t.interval))
		e.at = now
	}
}
