package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Figures are numbers of the whole database, of all projects together.
type Figures struct {
	// Images by their scan status.
	Images map[string]int64
	// Waiting jobs, and those that an agent works on.
	Waiting, Leased int64
	// QueueSince is the moment from which on the oldest of the waiting jobs
	// could have been given out, Unix milliseconds; 0 if none waits.
	QueueSince int64
	// Tasks that run.
	Tasks int64
	// Agents by whether they were heard of within OnlineTime.
	Online, Offline int64
	// Rematching says that a re-match runs, RematchLeft how many packages it
	// has yet to match; RematchEnded is when the last one ended, 0 before.
	Rematching   bool
	RematchLeft  int64
	RematchEnded int64
	// Bytes that the database takes.
	Bytes int64
}

const (
	// These count everything, which takes longer the more there is: who asks
	// keeps the answer for a while.
	sqlImagesByStatus = `SELECT c.scan_status, COUNT(*) FROM image i JOIN content c ON c.id = i.content_id GROUP BY c.scan_status`
	sqlAgentNum       = `SELECT COALESCE(SUM(CASE WHEN last_seen >= $1 THEN 1 ELSE 0 END), 0), COUNT(*) FROM agent`
	sqlTasksRunning   = `SELECT COUNT(*) FROM scan_task WHERE state = 'running'`

	sqlJobNum     = `SELECT COUNT(*) FROM scan_job j WHERE j.state = $1`
	sqlQueueSince = `SELECT COALESCE(MIN(j.not_before), 0) FROM scan_job j WHERE j.state = 'waiting' AND j.not_before <= $1`
	sqlMatchedAt  = `SELECT m.state, m.ended_at FROM matching m WHERE m.id = 1`

	sqlSchemaVersion = `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`
)

// Figures counts.
func (s *Store) Figures(ctx context.Context) (f Figures, err error) {
	now := s.now()
	err = s.inView(ctx, func(tx *sql.Tx) error {
		f.Images = map[string]int64{StatusUnscan: 0, StatusWaiting: 0, StatusScanning: 0, StatusSuccess: 0, StatusFailed: 0}
		err := each(ctx, tx, sqlImagesByStatus, nil, func(r *sql.Rows) error {
			var status string
			var n int64
			err := r.Scan(&status, &n)
			f.Images[status] = n
			return err
		})
		if err != nil {
			return fmt.Errorf("count images: %w", err)
		}
		var agents int64
		var matching string
		for _, q := range []struct {
			text string
			args []any
			to   []any
		}{
			{sqlJobNum, []any{jobWaiting}, []any{&f.Waiting}},
			{sqlJobNum, []any{jobLeased}, []any{&f.Leased}},
			{sqlQueueSince, []any{now.UnixMilli()}, []any{&f.QueueSince}},
			{sqlTasksRunning, nil, []any{&f.Tasks}},
			{sqlAgentNum, []any{now.Add(-OnlineTime).UnixMilli()}, []any{&f.Online, &agents}},
			{sqlQueueLength, nil, []any{&f.RematchLeft}},
			{sqlMatchedAt, nil, []any{&matching, &f.RematchEnded}},
			{s.engine.size, nil, []any{&f.Bytes}},
		} {
			if err := tx.QueryRowContext(ctx, q.text, q.args...).Scan(q.to...); err != nil {
				return err
			}
		}
		f.Offline = agents - f.Online
		f.Rematching = matching != "done"
		return nil
	})
	if err != nil {
		return Figures{}, fmt.Errorf("read figures: %w", err)
	}
	return f, nil
}

// Migrated says whether the database has every table that this program knows;
// that a newer program was here does no harm.
func (s *Store) Migrated(ctx context.Context) error {
	var have int64
	if err := s.read.QueryRowContext(ctx, sqlSchemaVersion).Scan(&have); err != nil {
		return fmt.Errorf("read version of the tables: %w", err)
	}
	want, err := schemaVersion()
	if err != nil {
		return err
	}
	if have < want {
		return fmt.Errorf("the tables have version %d, this program wants %d", have, want)
	}
	return nil
}

// schemaVersion is the number of the newest migration.
func schemaVersion() (newest int64, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return 0, errors.Join(errors.New("there are no migrations"), err)
	}
	for _, f := range files {
		number, _, _ := strings.Cut(strings.TrimPrefix(f, "migrations/"), "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read number of migration %s: %w", f, err)
		}
		newest = max(newest, n)
	}
	return newest, nil
}
