package audit

import (
	"context"
	"sync"
	"time"
)

const (
	// flushEvery is how often refused requests are written down, and so how
	// many seconds of them a kill may lose.
	flushEvery = 5 * time.Second
	// maxRefusals are the rows of one such time. Further refusals are put
	// into one row together: whoever is refused must not fill the database.
	maxRefusals = 20
	// others is the client of that row.
	others = "(others)"
)

// refusals counts refused requests that are alike.
type refusals struct {
	mu    sync.Mutex
	order []refusalKey
	rows  map[refusalKey]Entry
}

type refusalKey struct {
	user, ak, client, operation, project, enterprise string
	status                                           int
}

func (r *refusals) add(e Entry) {
	k := refusalKey{e.User, e.AK, e.Client, e.Operation, e.Project, e.EnterpriseProject, e.Status}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.rows[k]; !ok && len(r.order) >= maxRefusals {
		k = refusalKey{client: others}
		e = Entry{At: e.At, Client: others, Status: e.Status, Refused: true}
	}
	row, ok := r.rows[k]
	if !ok {
		if r.rows == nil {
			r.rows = map[refusalKey]Entry{}
		}
		row = e
		row.Count, row.Objects = 0, nil
		r.order = append(r.order, k)
	}
	row.Count++
	r.rows[k] = row
}

func (r *refusals) take() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Entry
	for _, k := range r.order {
		out = append(out, r.rows[k])
	}
	r.order, r.rows = nil, nil
	return out
}

// Run writes refused requests down until ctx is done, and then once more.
func (l *Log) Run(ctx context.Context) {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			l.Flush(context.WithoutCancel(ctx))
			return
		case <-t.C:
			l.Flush(ctx)
		}
	}
}

// Flush writes down what was refused since the last time.
func (l *Log) Flush(ctx context.Context) {
	rows := l.refusals.take()
	if len(rows) == 0 {
		return
	}
	if err := l.ledger.PutAudit(ctx, rows); err != nil {
		l.log.ErrorContext(ctx, "write audit log", "refused", len(rows), "error", err)
	}
}
