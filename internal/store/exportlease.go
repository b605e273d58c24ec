package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/onceover/onceover/internal/fault"
)

const (
	sqlFreeExports = `UPDATE export_task SET state = 'waiting' WHERE state = 'running' AND lease_until < $1`
	// The oldest first.
	sqlNextExport  = `SELECT id FROM export_task WHERE state = 'waiting' ORDER BY created_at, id LIMIT 1`
	sqlLeaseExport = `UPDATE export_task SET state = 'running', attempts = attempts + 1, lease_until = $1, file_id = $2 WHERE id = $3`
	// Whoever has lost the lease, has lost the file id as well.
	sqlKeepExport    = `UPDATE export_task SET lease_until = $1 WHERE id = $2 AND file_id = $3 AND state = 'running'`
	sqlPutChunk      = `INSERT INTO export_chunk (file_id, n, body) VALUES ($1, $2, $3)`
	sqlReleaseExport = `UPDATE export_task SET state = 'waiting', attempts = attempts - 1 WHERE id = $1 AND file_id = $2 AND state = 'running'`
	sqlEndExport     = `UPDATE export_task SET state = $1, reason = $2, file_name = $3, size = $4, digest = $5, ended_at = $6, expires_at = $7
WHERE id = $8 AND file_id = $9 AND state = 'running'`
)

// ErrLeaseLost says that another server makes the file, or that the task is gone.
var ErrLeaseLost = fault.New(fault.Conflict, "the lease of the export has lapsed")

// TakeBackExports gives up all leases where nobody else can hold one: a server that
// has just started on SQLite has the database for itself, so what is being made is
// what was made when it was killed. Servers of PostgreSQL wait for the lease.
func (s *Store) TakeBackExports(ctx context.Context) error {
	if s.engine.lead != "" {
		return nil
	}
	return s.leased(ctx, "take exports back", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, sqlFreeExports, int64(math.MaxInt64))
		return err
	})
}

// LeaseExport gives out the oldest task that nobody makes, with a new file id; nil
// if there is none.
func (s *Store) LeaseExport(ctx context.Context) (*Export, error) {
	var out *Export
	asked := s.now().UnixMilli() // renewals that wait already go first
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlFreeExports, asked); err != nil {
			return err
		}
		for {
			var id string
			err := tx.QueryRowContext(ctx, sqlNextExport).Scan(&id)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			now := s.now().UnixMilli()
			// What was written of it before goes.
			if _, err := tx.ExecContext(ctx, sqlQueueFile, id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, sqlLeaseExport, now+ExportLease.Milliseconds(), newFileID(), id); err != nil {
				return err
			}
			e, err := readExport(tx.QueryRowContext(ctx, sqlExport, id))
			if err != nil {
				return err
			}
			if e.Attempts <= MaxExportAttempts {
				out = &e
				return nil
			}
			e.State, e.Reason = ExportFailure, fmt.Sprintf("the server ended %d times while it made the file", MaxExportAttempts)
			if err := endExport(ctx, tx, e, now); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("lease export: %w", err)
	}
	return out, nil
}

// KeepExport renews a lease; fault.Conflict if it is lost.
func (s *Store) KeepExport(ctx context.Context, e *Export) error {
	return s.leased(ctx, "keep lease of export", func(tx *sql.Tx) error { return s.keepExport(ctx, tx, e) })
}

// PutExportChunk writes a piece of the file, from 0, and renews the lease;
// fault.Conflict if it is lost.
func (s *Store) PutExportChunk(ctx context.Context, e *Export, n int64, body []byte) error {
	return s.leased(ctx, "write export file", func(tx *sql.Tx) error {
		if err := s.keepExport(ctx, tx, e); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlPutChunk, e.FileID, n, body)
		return err
	})
}

// ReleaseExport gives a task back that is not done, as a server does that ends.
func (s *Store) ReleaseExport(ctx context.Context, e *Export) error {
	return s.leased(ctx, "give export back", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, sqlReleaseExport, e.ID, e.FileID)
		return changedOne(res, err)
	})
}

// EndExport stores how a task ended: State, and Reason or FileName, Size and
// Digest. fault.Conflict if the lease is lost.
func (s *Store) EndExport(ctx context.Context, e *Export) error {
	return s.leased(ctx, "end export", func(tx *sql.Tx) error { return endExport(ctx, tx, *e, s.now().UnixMilli()) })
}

func (s *Store) leased(ctx context.Context, what string, do func(*sql.Tx) error) error {
	if err := s.inTx(ctx, do); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (s *Store) keepExport(ctx context.Context, tx *sql.Tx, e *Export) error {
	res, err := tx.ExecContext(ctx, sqlKeepExport, s.now().Add(ExportLease).UnixMilli(), e.ID, e.FileID)
	return changedOne(res, err)
}

func endExport(ctx context.Context, tx *sql.Tx, e Export, now int64) error {
	if e.State == ExportFailure {
		if _, err := tx.ExecContext(ctx, sqlQueueFile, e.ID); err != nil {
			return err
		}
	}
	res, err := tx.ExecContext(ctx, sqlEndExport, e.State, text(e.Reason), e.FileName, e.Size, e.Digest, now, now+ExportKeep.Milliseconds(), e.ID, e.FileID)
	return changedOne(res, err)
}

func changedOne(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrLeaseLost
}
