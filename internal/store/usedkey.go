package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

const (
	// booksEvery is how often the times of last use are written down.
	booksEvery = time.Minute
	// pruneEvery is how often the audit log is pruned.
	pruneEvery = time.Hour
)

// usedKeys are access keys and when they were last used, in Unix milliseconds.
// There are no more of them than there are keys.
type usedKeys struct {
	mu   sync.Mutex
	last map[string]int64
}

// UsedKey notes that an access key was used. It is written down within a minute,
// and costs the request no transaction; a kill loses it.
func (s *Store) UsedKey(ak string, at time.Time) {
	s.used.mu.Lock()
	defer s.used.mu.Unlock()
	if s.used.last == nil {
		s.used.last = map[string]int64{}
	}
	s.used.last[ak] = at.UnixMilli()
}

func (s *Store) flushUsed(ctx context.Context) error {
	s.used.mu.Lock()
	last := s.used.last
	s.used.last = nil
	s.used.mu.Unlock()
	if len(last) == 0 {
		return nil
	}
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		for ak, at := range last {
			if _, err := tx.ExecContext(ctx, sqlUsedKey, at, ak); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note the use of access keys: %w", err)
	}
	return nil
}

// keepBooks writes down which keys were used, and prunes the audit log.
func (s *Store) keepBooks(ctx context.Context) {
	t := time.NewTicker(booksEvery)
	defer t.Stop()
	var pruned time.Time
	for {
		if now := s.now(); now.Sub(pruned) >= pruneEvery {
			if err := s.PruneAudit(ctx, now.Add(-s.cfg.AuditKeep).UnixMilli()); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "prune audit log", "err", err)
			}
			pruned = now
		}
		select {
		case <-ctx.Done():
			if err := s.flushUsed(context.WithoutCancel(ctx)); err != nil {
				s.log.Error("keep the books", "err", err)
			}
			return
		case <-t.C:
			if err := s.flushUsed(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "keep the books", "err", err)
			}
		}
	}
}
