package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// ExportLease is how long a server may be silent about a file that it
	// makes before another makes it anew. It renews the lease each quarter of
	// that, and whoever looks for a lapsed one waits behind that renewal, so a
	// long transaction of someone else takes nothing from a server that lives.
	ExportLease = 20 * time.Second
	// ExportKeep is how long a file can be fetched.
	ExportKeep = 24 * time.Hour
	// ExportPiece is the size of each piece of a file but the last, in bytes.
	ExportPiece = 1 << 20
	// maxExports is how many exports of a project are kept that have ended,
	// and maxExportsWaiting how many may wait.
	maxExports        = 100
	maxExportsWaiting = 20
	// MaxExportAttempts is how often a file is begun: one that takes its
	// server down with it must not do so for ever.
	MaxExportAttempts = 3
	// exportPieces is how many pieces of a file are dropped at a time.
	exportPieces = 16
)

// States of an export.
const (
	ExportWaiting = "waiting"
	ExportRunning = "running"
	ExportSuccess = "success"
	ExportFailure = "failure"
)

// Formats of files: CSV in a zip archive, and Office Open XML.
const (
	FormatCSV  = "csv"
	FormatXLSX = "xlsx"
)

// An Export is a task that makes a file of a report.
type Export struct {
	ID, Name string
	// Tenants are the projects it is about, in the order of the file.
	Tenants []string
	Query   ReportQuery
	Format  string
	// MaxRecords bounds the records of the file; RecordNum is how many it was
	// to have when the task was accepted.
	MaxRecords, RecordNum int64
	CreatedBy             string // access key id
	CreatedAt             int64  // Unix milliseconds
	State                 string
	Reason                string // of a failure
	Attempts              int64  // at the file, with the one under way

	FileID, FileName string
	Size             int64 // bytes
	Digest           string
	EndedAt          int64 // Unix milliseconds
}

const (
	exportColumns   = `id, tenants, name, query, format, max_records, record_num, state, created_by, created_at, ended_at, reason, file_id, file_name, size, digest, attempts`
	sqlInsertExport = `INSERT INTO export_task (id, project_id, tenants, name, query, format, max_records, record_num, state, created_by, created_at,
attempts, lease_until, ended_at, expires_at, reason, file_id, file_name, size, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting', $9, $10, 0, 0, 0, 0, '', '', '', 0, '')`
	sqlExportsWaiting = `SELECT COUNT(*) FROM export_task WHERE project_id = $1 AND state IN ('waiting', 'running')`
	sqlOldExports     = `SELECT id FROM export_task WHERE project_id = $1 AND state IN ('success', 'failure') ORDER BY created_at DESC, id DESC LIMIT 1000 OFFSET $2`
	sqlExport         = `SELECT ` + exportColumns + ` FROM export_task WHERE id = $1`
	sqlExportFile     = `SELECT ` + exportColumns + ` FROM export_task WHERE file_id = $1 AND state = 'success' AND expires_at > $2`
	sqlExportChunk    = `SELECT body FROM export_chunk WHERE file_id = $1 AND n = $2`
	sqlExpiredExports = `SELECT id FROM export_task WHERE expires_at > 0 AND expires_at <= $1 LIMIT 1000`
	sqlQueueFile      = `INSERT INTO export_drop (file_id) SELECT file_id FROM export_task WHERE id = $1 AND file_id <> '' ON CONFLICT DO NOTHING`
	sqlDropExport     = `DELETE FROM export_task WHERE id = $1`
	sqlNextDrop       = `SELECT file_id FROM export_drop ORDER BY file_id LIMIT 1`
	sqlDropPieces     = `DELETE FROM export_chunk WHERE file_id = $1 AND n IN (SELECT x.n FROM export_chunk x WHERE x.file_id = $2 ORDER BY x.n LIMIT $3)`
	sqlDropDone       = `DELETE FROM export_drop WHERE file_id = $1`
)

// AddExport accepts a task and returns its id. fault.Conflict means that too many
// wait already. The oldest that have ended make room.
func (s *Store) AddExport(ctx context.Context, e Export) (id string, err error) {
	tenants, err := json.Marshal(e.Tenants)
	if err != nil {
		return "", fmt.Errorf("encode tenants: %w", err)
	}
	query, err := json.Marshal(e.Query)
	if err != nil {
		return "", fmt.Errorf("encode query: %w", err)
	}
	owner := e.Tenants[0]
	now := s.now().UnixMilli()
	id = uuid.NewString()
	name := "export_" + e.Query.Kind + "_" + time.UnixMilli(now).UTC().Format("20060102T150405Z") + "_" + id[:8]
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		var waiting int64
		if err := tx.QueryRowContext(ctx, sqlExportsWaiting, owner).Scan(&waiting); err != nil {
			return err
		}
		if waiting >= maxExportsWaiting {
			return fault.New(fault.Conflict, "%d exports wait already: wait for one to end", waiting)
		}
		_, err := tx.ExecContext(ctx, sqlInsertExport, id, owner, string(tenants), name, jsonText(query), e.Format, e.MaxRecords, e.RecordNum, e.CreatedBy, now)
		if err != nil {
			return err
		}
		old, err := readStrings(ctx, tx, sqlOldExports, owner, maxExports)
		if err != nil {
			return err
		}
		return dropExports(ctx, tx, old)
	})
	if err != nil {
		return "", fmt.Errorf("create export: %w", err)
	}
	wakeLoop(s.exportAdded)
	return id, nil
}

// ExportAdded has a message when a task was accepted by this process.
func (s *Store) ExportAdded() <-chan struct{} { return s.exportAdded }

// Export is a task. One that is unknown, that has expired, or that is about a
// project beside these is fault.NotFound.
func (s *Store) Export(ctx context.Context, tenants []string, id string) (Export, error) {
	e, err := readExport(s.read.QueryRowContext(ctx, sqlExport, text(id)))
	return e, seen(err, e, tenants, "task", id)
}

// ExportFile is the task that made a file. The errors are those of Export; a file
// that is not whole yet is not there.
func (s *Store) ExportFile(ctx context.Context, tenants []string, file string) (Export, error) {
	e, err := readExport(s.read.QueryRowContext(ctx, sqlExportFile, text(file), s.now().UnixMilli()))
	return e, seen(err, e, tenants, "file", file)
}

// seen is fault.NotFound for what is not there, or belongs to others as well.
func seen(err error, e Export, tenants []string, what, id string) error {
	hidden := func(t string) bool { return !slices.Contains(tenants, t) }
	if errors.Is(err, sql.ErrNoRows) || err == nil && slices.ContainsFunc(e.Tenants, hidden) {
		return fault.New(fault.NotFound, "there is no export %s %q", what, id)
	}
	if err != nil {
		return fmt.Errorf("read export: %w", err)
	}
	return nil
}

// ExportChunk is a piece of a file, from 0. A file that has been dropped is
// fault.NotFound.
func (s *Store) ExportChunk(ctx context.Context, file string, n int64) (body []byte, err error) {
	err = s.read.QueryRowContext(ctx, sqlExportChunk, file, n).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "the file has expired")
	}
	if err != nil {
		return nil, fmt.Errorf("read export file: %w", err)
	}
	return body, nil
}

// sweepExports drops what has expired, and pieces of files some at a time.
func (s *Store) sweepExports(ctx context.Context) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		old, err := readStrings(ctx, tx, sqlExpiredExports, s.now().UnixMilli())
		if err != nil {
			return err
		}
		return dropExports(ctx, tx, old)
	})
	if err != nil {
		return fmt.Errorf("drop exports: %w", err)
	}
	_, err = inBatches("drop export files", func() (n int, err error) {
		err = s.inTx(ctx, func(tx *sql.Tx) error {
			files, err := readStrings(ctx, tx, sqlNextDrop)
			if err != nil || len(files) == 0 {
				return err
			}
			res, err := tx.ExecContext(ctx, sqlDropPieces, files[0], files[0], exportPieces)
			if err != nil {
				return err
			}
			dropped, err := res.RowsAffected()
			if err == nil && dropped < exportPieces {
				_, err = tx.ExecContext(ctx, sqlDropDone, files[0])
			}
			n = 1
			return err
		})
		return n, err
	})
	return err
}

// dropExports drops tasks, and has their files dropped.
func dropExports(ctx context.Context, tx *sql.Tx, ids []string) error {
	for _, id := range ids {
		for _, q := range []string{sqlQueueFile, sqlDropExport} {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func readExport(row interface{ Scan(...any) error }) (e Export, err error) {
	var tenants, query []byte
	err = row.Scan(&e.ID, &tenants, &e.Name, &query, &e.Format, &e.MaxRecords, &e.RecordNum, &e.State, &e.CreatedBy, &e.CreatedAt, &e.EndedAt, &e.Reason,
		&e.FileID, &e.FileName, &e.Size, &e.Digest, &e.Attempts)
	if err == nil {
		err = json.Unmarshal(tenants, &e.Tenants)
	}
	if err == nil {
		err = json.Unmarshal(query, &e.Query)
	}
	return e, err
}

// newFileID is an id that cannot be guessed.
func newFileID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }
