package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/store"
)

var _ store.Advisories = (*advisories)(nil)

// matchers keeps the matcher of the generation in use, which remembers what it
// has matched.
type matchers struct {
	mu sync.Mutex
	db *advisory.DB
	m  *match.Matcher
}

func (k *matchers) of(db *advisory.DB) *match.Matcher {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.db != db {
		k.db, k.m = db, match.New(db)
	}
	return k.m
}

// Acquire implements store.Advisories.
func (a *advisories) Acquire() (store.Generation, error) {
	db, release := a.holder.Acquire()
	if db == nil {
		release()
		return store.Generation{}, fault.New(fault.Unavailable, "the advisory database is closed")
	}
	return store.GenerationOf(db, a.matchers.of(db), release), nil
}

// Diff implements store.Advisories. The generation before is one of those that
// are kept beside the file; if it is not, everything is matched again.
func (a *advisories) Diff(ctx context.Context, from, to string) (*advisory.Diff, error) {
	db, release := a.holder.Acquire()
	defer release()
	if db == nil || db.Meta().ID != to {
		return nil, nil // replaced meanwhile: the store asks anew
	}
	a.mu.Lock()
	path := a.path
	a.mu.Unlock()
	if path == "" {
		return nil, nil
	}
	kept, err := advisory.Kept(path, from)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	before, err := advisory.Open(kept)
	if err != nil {
		slog.WarnContext(ctx, "former generation cannot be read, everything is matched again", "path", kept, "error", err)
		return nil, nil
	}
	defer before.Close()
	return advisory.Compare(ctx, before, db)
}
