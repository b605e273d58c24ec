package advisory

import "sync"

// A Holder keeps the present generation for a program that runs on while
// generations are replaced. The zero value holds none.
type Holder struct {
	mu  sync.Mutex
	cur *held
}

type held struct {
	db    *DB
	users int
	old   bool // replaced: the last user closes it
}

// Acquire returns the present generation, nil if there is none, and a function
// that must be called once when the caller is done with it.
func (h *Holder) Acquire() (db *DB, release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.cur
	if c == nil {
		return nil, func() {}
	}
	c.users++
	var once sync.Once
	return c.db, func() { once.Do(func() { h.release(c) }) }
}

func (h *Holder) release(c *held) {
	h.mu.Lock()
	c.users--
	last := c.old && c.users == 0
	h.mu.Unlock()
	if last {
		c.db.Close()
	}
}

// Swap makes db the present generation; nil leaves none. The one before is
// closed as soon as nobody uses it any more.
func (h *Holder) Swap(db *DB) {
	h.mu.Lock()
	before := h.cur
	h.cur = nil
	if db != nil {
		h.cur = &held{db: db}
	}
	last := false
	if before != nil {
		before.old = true
		last = before.users == 0
	}
	h.mu.Unlock()
	if last {
		before.db.Close()
	}
}
