package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/fleet"
)

const (
	// sweepEvery is how often Run sweeps.
	sweepEvery = 10 * time.Second
	// rematchEvery is how often Run looks whether the advisories were
	// replaced.
	rematchEvery = 2 * time.Second
	// keepGone is how long the results of a content are kept after its
	// last image has left the fleet.
	keepGone = 7 * 24 * time.Hour
)

const (
	// Jobs that have waited too long, and no host that can read the image and
	// has not failed to was online in all that time: one that is restarted
	// while a long task runs loses nothing.
	sqlExpired = `SELECT j.id, j.content_id, j.attempts FROM scan_job j WHERE j.state = 'waiting' AND j.created_at < $1 AND j.not_before < $1
AND NOT EXISTS (SELECT 1 FROM image i JOIN image_host h ON h.image_id = i.id JOIN agent a ON a.id = h.agent_id WHERE i.content_id = j.content_id AND h.non_scan_reason = '' AND a.last_seen >= $2 AND j.refused_by NOT LIKE '%' || a.id || ' %')
LIMIT 1000`
	sqlNextProject = `SELECT id FROM project WHERE id > $1 ORDER BY id LIMIT 1`
	sqlGone        = `SELECT c.id FROM content c WHERE c.gone_at > 0 AND c.gone_at < $1 LIMIT 1000`
	sqlDropContent = `DELETE FROM content WHERE id = $1`
	sqlDropDetail  = `DELETE FROM content_detail WHERE content_id = $1`
	sqlPartsOf     = `SELECT part_id FROM content_part WHERE content_id = $1`
	// Parts go with their last content. Packages stay: they are facts that
	// the next image may have again.
	sqlPartHeld   = `SELECT COUNT(*) FROM (SELECT 1 FROM content_part WHERE part_id = $1 LIMIT 1) t`
	sqlDropPlaced = `DELETE FROM part_package WHERE part_id = $1`
	sqlDropPart   = `DELETE FROM part WHERE id = $1`
)

// Run sweeps, fires the scan policies that are due, listens to other servers,
// re-matches when the advisories are replaced, and checks anew what
// was checked with other rules or judged by another deny list, until ctx is done.
// Errors are logged and tried again.
func (s *Store) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.recheck(ctx) })
	running.Go(func() { s.listen(ctx) })
	running.Go(func() { s.keepBooks(ctx) })
	if s.cfg.Advisories != nil {
		running.Go(func() { s.follow(ctx) })
	}
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	defer running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := s.Sweep(ctx, s.now().UnixMilli()); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "sweep store", "err", err)
			}
			if _, err := s.FirePolicies(ctx, s.now().UnixMilli()); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "fire scan policies", "err", err)
			}
			if err := s.settleSecrets(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "settle secrets", "err", err)
			}
			if err := s.sweepExports(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "sweep exports", "err", err)
			}
		}
	}
}

// follow re-matches, at the start what was left undone.
func (s *Store) follow(ctx context.Context) {
	t := time.NewTicker(rematchEvery)
	defer t.Stop()
	for {
		var r Rematched
		var err error
		if s.leads() {
			r, err = s.Rematch(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.ErrorContext(ctx, "re-match", "err", err)
		case r != Rematched{}:
			s.log.InfoContext(ctx, "re-match done", "from", r.From, "to", r.To, "packages", r.Packages,
				"changes", r.Changes, "whole", r.Whole, "elapsed", r.Elapsed)
		}
		// Whoever asks finds the index warm.
		if err := s.index.refresh(ctx, s); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "refresh the index of the fleet", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Sweep frees leases that have lapsed, ends jobs that have waited too long for
// hosts that are offline, and forgets contents that left the fleet a while
// ago. It does a bounded amount of work at a time.
func (s *Store) Sweep(ctx context.Context, nowMS int64) error {
	err := s.inTxAndWake(ctx, func(tx *sql.Tx) ([]string, error) {
		wake, err := s.freeLapsed(ctx, tx, nowMS)
		if err != nil {
			return nil, err
		}
		since := nowMS - s.cfg.WaitTimeout.Milliseconds()
		jobs, err := readJobs(ctx, tx, sqlExpired, since, since)
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			if err := s.failContent(ctx, tx, j.content, fleet.FailureNoAgent, "no host that holds the image came online in time", nowMS); err != nil {
				return nil, err
			}
		}
		if err := s.trimNext(ctx, tx); err != nil {
			return nil, err
		}
		return wake, dropGone(ctx, tx, nowMS-keepGone.Milliseconds())
	})
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}

// trimNext forgets the oldest tasks of one project, each time of the next: those
// that ran when there were too many are forgotten as well.
func (s *Store) trimNext(ctx context.Context, tx *sql.Tx) error {
	var last string
	if p := s.trimmed.Load(); p != nil {
		last = *p
	}
	var project string
	err := tx.QueryRowContext(ctx, sqlNextProject, last).Scan(&project)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("look for old tasks: %w", err)
	}
	s.trimmed.Store(&project) // "" begins anew
	if project == "" {
		return nil
	}
	return trimTasks(ctx, tx, project, maxTasks)
}

func dropGone(ctx context.Context, tx *sql.Tx, beforeMS int64) error {
	var gone []int64
	err := each(ctx, tx, sqlGone, []any{beforeMS}, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		gone = append(gone, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("read contents that are gone: %w", err)
	}
	for _, id := range gone {
		parts, err := readInts(ctx, tx, sqlPartsOf, id)
		if err != nil {
			return fmt.Errorf("read parts: %w", err)
		}
		for _, q := range append([]string{sqlDropParts, sqlDropBuild, sqlDropDetail, sqlDropContent}, dropChecks...) {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return fmt.Errorf("drop content: %w", err)
			}
		}
		if err := dropParts(ctx, tx, parts); err != nil {
			return err
		}
	}
	return nil
}

// dropParts drops those of some parts that no content has any more.
func dropParts(ctx context.Context, tx *sql.Tx, parts []int64) error {
	for _, id := range parts {
		var held int64
		if err := tx.QueryRowContext(ctx, sqlPartHeld, id).Scan(&held); err != nil {
			return fmt.Errorf("look for contents of part: %w", err)
		}
		if held > 0 {
			continue
		}
		if err := dropFilePart(ctx, tx, id); err != nil {
			return err
		}
		for _, q := range []string{sqlDropDenied, sqlDropPlaced, sqlDropPart} {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return fmt.Errorf("drop part: %w", err)
			}
		}
	}
	return nil
}

func readInts(ctx context.Context, tx *sql.Tx, query string, args ...any) (out []int64, err error) {
	err = each(ctx, tx, query, args, func(r *sql.Rows) error {
		var v int64
		err := r.Scan(&v)
		out = append(out, v)
		return err
	})
	return out, err
}
