package store

import (
	"context"
	"database/sql"
	"sync"
)

// maxLogCounts is how many filters of the image log keep their count.
const maxLogCounts = 256

// logCounts keeps how many entries of the image log filters select: entries do not
// change, so that those that came since are all there is to count. The zero value is
// empty; it is safe for concurrent use.
type logCounts struct {
	mu   sync.Mutex
	kept map[logQuestion]logCount
}

type logQuestion struct {
	project  string
	filter   LogFilter // without times
	from, to int64
	bounds   [2]bool
}

// A logCount is of the entries from one number to another.
type logCount struct{ first, last, num int64 }

func (f LogFilter) question(project string) logQuestion {
	q := logQuestion{project: project, filter: f, bounds: [2]bool{f.From != nil, f.To != nil}}
	q.filter.From, q.filter.To = nil, nil
	if f.From != nil {
		q.from = *f.From
	}
	if f.To != nil {
		q.to = *f.To
	}
	return q
}

// of counts entries, and returns the number of the last one, selected or not.
// Without a filter they need not be read: the numbers of a project have no gaps.
func (c *logCounts) of(ctx context.Context, tx *sql.Tx, project string, f LogFilter) (num, last int64, err error) {
	now := logCount{}
	if err := tx.QueryRowContext(ctx, sqlFirstLog, project).Scan(&now.first); err != nil {
		return 0, 0, err
	}
	if err := tx.QueryRowContext(ctx, sqlLastLog, project).Scan(&now.last); err != nil {
		return 0, 0, err
	}
	if f == (LogFilter{}) {
		return now.last - now.first + 1, now.last, nil
	}
	question := f.question(project)
	c.mu.Lock()
	known, ok := c.kept[question]
	c.mu.Unlock()
	if !ok || known.first != now.first || known.last > now.last {
		known = logCount{last: now.first - 1}
	}
	if known.last < now.last {
		w := f.where(project)
		w.add("l.id > ?", known.last)
		q, args := w.query(sqlCountLog)
		if err := tx.QueryRowContext(ctx, q, args...).Scan(&now.num); err != nil {
			return 0, 0, err
		}
	}
	now.num += known.num
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= maxLogCounts {
		c.kept = map[logQuestion]logCount{}
	}
	c.kept[question] = now
	return now.num, now.last, nil
}
