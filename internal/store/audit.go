package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/fault"
)

const (
	// DefaultAuditKeep is how long the audit log is kept.
	DefaultAuditKeep = 90 * 24 * time.Hour
	// maxRefusedRows is how many rows of refused requests are kept, whatever
	// their age: strangers make them.
	maxRefusedRows = 100_000
	// pruneBatch bounds one transaction.
	pruneBatch = 10_000
)

var _ audit.Ledger = (*Store)(nil)

// AuditFilter selects entries; the zero value selects all.
type AuditFilter struct {
	Since, Until int64 // Unix milliseconds, inclusive; 0 for no bound
	User, AK     string
	Client       string
	Operation    string
	Project      string
	// Refused selects refused requests alone, or what was not refused.
	Refused *bool
}

const (
	sqlNextAudit   = `SELECT COALESCE(MAX(id), 0) + 1 FROM audit`
	sqlInsertAudit = `INSERT INTO audit (id, at, request_id, user_name, ak, client, operation, project_id, ep_id, objects, status, refused, count) VALUES`
	sqlEndAudit    = `UPDATE audit SET status = $1 WHERE id = $2 AND status = 0`
	sqlAudit       = `SELECT a.id, a.at, a.request_id, a.user_name, a.ak, a.client, a.operation, a.project_id, a.ep_id, a.objects, a.status, a.refused, a.count FROM audit a WHERE {where} ORDER BY a.at DESC, a.id DESC LIMIT ?`
	sqlOldAudit    = `DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 ORDER BY at, id LIMIT $2)`
	sqlLastRefused = `SELECT id FROM audit WHERE refused = 1 ORDER BY id DESC LIMIT 1 OFFSET $1`
	sqlManyRefused = `DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE refused = 1 AND id <= $1 ORDER BY id LIMIT $2)`
)

// BeginAudit implements audit.Ledger.
func (s *Store) BeginAudit(ctx context.Context, e audit.Entry) (id int64, err error) {
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		id, err = putAudit(ctx, tx, []audit.Entry{e})
		return err
	})
	return id, err
}

// EndAudit implements audit.Ledger.
func (s *Store) EndAudit(ctx context.Context, id int64, status int) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, sqlEndAudit, status, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("end audit entry: %w", err)
	}
	return nil
}

// PutAudit implements audit.Ledger.
func (s *Store) PutAudit(ctx context.Context, entries []audit.Entry) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		_, err := putAudit(ctx, tx, entries)
		return err
	})
}

// Audit calls each with the latest entries that f selects, up to limit of them,
// the latest first.
func (s *Store) Audit(ctx context.Context, f AuditFilter, limit int64, each func(audit.Entry) error) error {
	query, args := f.where().query(sqlAudit, limit)
	err := s.inView(ctx, func(tx *sql.Tx) error {
		return eachAudit(ctx, tx, query, args, each)
	})
	if err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	return nil
}

// PruneAudit forgets entries that came before the time given, and all but the
// last refused ones.
func (s *Store) PruneAudit(ctx context.Context, beforeMS int64) error {
	for more := true; more; {
		err := s.inTx(ctx, func(tx *sql.Tx) error {
			res, err := tx.ExecContext(ctx, sqlOldAudit, beforeMS, pruneBatch)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			more = n == pruneBatch
			var last int64
			switch err := tx.QueryRowContext(ctx, sqlLastRefused, s.maxRefused()).Scan(&last); err {
			case nil:
			case sql.ErrNoRows:
				return nil
			default:
				return err
			}
			res, err = tx.ExecContext(ctx, sqlManyRefused, last, pruneBatch)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			more = more || n == pruneBatch
			return err
		})
		if err != nil {
			return fmt.Errorf("prune audit log: %w", err)
		}
	}
	return nil
}

func (f AuditFilter) where() *where {
	w := &where{}
	w.add("a.at BETWEEN ? AND ?", f.Since, orMax(f.Until))
	w.equal("a.user_name", f.User)
	w.equal("a.ak", f.AK)
	w.equal("a.client", f.Client)
	w.equal("a.operation", f.Operation)
	w.equal("a.project_id", f.Project)
	if f.Refused != nil {
		w.add("a.refused = ?", boolInt(*f.Refused))
	}
	return w
}

func (s *Store) maxRefused() int64 {
	if s.cfg.maxRefused > 0 {
		return s.cfg.maxRefused
	}
	return maxRefusedRows
}

// putAudit writes entries down and returns the id of the first.
func putAudit(ctx context.Context, tx *sql.Tx, entries []audit.Entry) (int64, error) {
	var first int64
	if err := tx.QueryRowContext(ctx, sqlNextAudit).Scan(&first); err != nil {
		return 0, fmt.Errorf("write audit log: %w", err)
	}
	rows := make([][]any, len(entries))
	for i, e := range entries {
		objects := ""
		if len(e.Objects) > 0 {
			b, err := json.Marshal(e.Objects)
			if err != nil {
				return 0, fmt.Errorf("write audit log: %w", err)
			}
			objects = string(b)
		}
		rows[i] = []any{first + int64(i), e.At, e.RequestID, text(e.User), text(e.AK), text(e.Client), text(e.Operation), text(e.Project), text(e.EnterpriseProject),
			text(objects), e.Status, boolInt(e.Refused), max(e.Count, 1)}
	}
	if err := putRows(ctx, tx, sqlInsertAudit, "", rows); err != nil {
		return 0, fmt.Errorf("write audit log: %w", err)
	}
	return first, nil
}

func eachAudit(ctx context.Context, tx *sql.Tx, query string, args []any, do func(audit.Entry) error) error {
	return each(ctx, tx, query, args, func(r *sql.Rows) error {
		var e audit.Entry
		var objects string
		var refused int64
		err := r.Scan(&e.ID, &e.At, &e.RequestID, &e.User, &e.AK, &e.Client, &e.Operation, &e.Project, &e.EnterpriseProject, &objects, &e.Status, &refused, &e.Count)
		if err != nil {
			return err
		}
		e.Refused = refused != 0
		if objects != "" {
			if err := json.Unmarshal([]byte(objects), &e.Objects); err != nil {
				return fault.Wrap(fault.Internal, err, "objects of entry")
			}
		}
		return do(e)
	})
}

func orMax(ms int64) int64 {
	if ms == 0 {
		return 1<<63 - 1
	}
	return ms
}
