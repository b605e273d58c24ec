package main

import (
	"context"
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

// Diff implements store.Advisories. A generation that was replaced is not at
// hand any more.
func (a *advisories) Diff(context.Context, string, string) (*advisory.Diff, error) {
	return nil, nil
}
