package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// packageNames keeps the names of all packages, which only grow in number: a part
// of a name has to be looked for in all of them. They take some 30 bytes each. The
// zero value is empty; it is safe for concurrent use.
type packageNames struct {
	mu    sync.Mutex
	names string  // each with a NUL before and behind
	ids   []int64 // in the same order
}

// Packages get their ids in the order in which they become visible.
const sqlNewPackages = `SELECT newer.id, newer.name FROM package newer WHERE newer.id > $1 ORDER BY newer.id`

// with are the ids of the packages with a part of a name, in order.
func (p *packageNames) with(ctx context.Context, tx *sql.Tx, part string) (out []int64, err error) {
	names, ids, err := p.all(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("read names of packages: %w", err)
	}
	matches(names, text(part), "\x00", func(n int64, _ int) { out = append(out, ids[n]) })
	return out, nil
}

// all are the names and ids of all packages.
func (p *packageNames) all(ctx context.Context, tx *sql.Tx) (names string, ids []int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := int64(0)
	if n := len(p.ids); n > 0 {
		last = p.ids[n-1]
	}
	var more strings.Builder
	added := slices.Clip(p.ids) // those who read have the old ones
	err = each(ctx, tx, sqlNewPackages, []any{last}, func(r *sql.Rows) error {
		var id int64
		var name string
		err := r.Scan(&id, &name)
		added = append(added, id)
		more.WriteString(name + "\x00")
		return err
	})
	if err != nil {
		return "", nil, err
	}
	if more.Len() > 0 {
		if p.names == "" {
			p.names = "\x00"
		}
		p.names, p.ids = p.names+more.String(), added
	}
	return p.names, p.ids, nil
}
