package store

import (
	byArrival "container/heap"
	"context"
	"database/sql"
	"runtime"
	"sync"
	"time"
)

// turns are the connections that read. Who waits for one gets it in the order in
// which requests have come: sql.DB alone picks any, and the unlucky wait for many
// others, again for each of their questions.
type turns struct {
	*sql.DB
	line *line
}

// newTurns lets some readers use a database at once.
func newTurns(db *sql.DB, readers int) turns {
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	return turns{db, &line{free: readers}}
}

// readers is how many reads run beside the one writer where PostgreSQL works on
// the processors of this machine. More of them only share these: with 50 clients
// on two processors p99 is 86 ms with three readers, 108 with four, 123 with six.
// SQLite, which works in this process, has one less.
func readers() int { return runtime.GOMAXPROCS(0) + 1 }

// readersFar is how many do where it works elsewhere: most wait for the network.
func readersFar() int { return 4 * readers() }

// A turnRow is the answer of turns.QueryRowContext. Who has it calls Scan.
type turnRow struct {
	row  *sql.Row
	done func()
	err  error
}

// QueryRowContext is that of sql.DB, in turn.
func (t turns) QueryRowContext(ctx context.Context, query string, args ...any) *turnRow {
	if err := t.line.wait(ctx); err != nil {
		return &turnRow{err: err}
	}
	return &turnRow{row: t.DB.QueryRowContext(ctx, query, args...), done: t.line.done}
}

// Scan is that of sql.Row.
func (r *turnRow) Scan(to ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.done()
	return r.row.Scan(to...)
}

type arrival struct{}

// Arrived returns a context for what is done for a request that comes now. Who
// waits for a connection lets those go first that came earlier.
func Arrived(ctx context.Context) context.Context {
	return context.WithValue(ctx, arrival{}, time.Now())
}

// A line lets some go on at once, and the others when one of them is done.
type line struct {
	mu      sync.Mutex
	free    int
	waiting waiting
}

// A waiter goes on when its turn is closed.
type waiter struct {
	arrived time.Time
	turn    chan struct{}
	at      int // in waiting
}

// wait waits for a turn, which the caller ends with done.
func (l *line) wait(ctx context.Context) error {
	l.mu.Lock()
	if l.free > 0 {
		l.free--
		l.mu.Unlock()
		return nil
	}
	w := &waiter{turn: make(chan struct{})}
	var ok bool
	if w.arrived, ok = ctx.Value(arrival{}).(time.Time); !ok {
		w.arrived = time.Now()
	}
	byArrival.Push(&l.waiting, w)
	l.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.at < 0 { // the turn came meanwhile
		l.next()
	} else {
		byArrival.Remove(&l.waiting, w.at)
	}
	return ctx.Err()
}

// done ends a turn.
func (l *line) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next()
}

// next gives a turn away. The caller holds the lock.
func (l *line) next() {
	if len(l.waiting) == 0 {
		l.free++
		return
	}
	close(byArrival.Pop(&l.waiting).(*waiter).turn)
}

// waiting is a heap, the earliest first.
type waiting []*waiter

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].arrived.Before(w[j].arrived) }
func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

func (w *waiting) Push(v any) {
	one := v.(*waiter)
	one.at = len(*w)
	*w = append(*w, one)
}

func (w *waiting) Pop() any {
	last := len(*w) - 1
	one := (*w)[last]
	one.at = -1
	(*w)[last] = nil
	*w = (*w)[:last]
	return one
}
