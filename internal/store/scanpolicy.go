package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// scopeAll asks for every class of risk.
	scopeAll = 0x7fffffff
	// maxRate is the highest rate limit, in images per hour.
	maxRate = 1000
	// defaultCycle is what a policy says that nobody has set, in days.
	defaultCycle = 7
	// maxDue is how many policies one call of FirePolicies fires. The next
	// call goes on.
	maxDue = 100
)

const msPerDay = int64(24 * time.Hour / time.Millisecond)

// Days between scans, and days within which an image was made, 0 for any time,
// that a policy may have.
var (
	cycles     = []int64{3, 7, 14}
	timeScopes = []int64{0, 1, 3, 7}
)

// A ScanPolicy is the periodic scan of a project.
type ScanPolicy struct {
	ID      string // "" while nobody has set it
	Enabled bool
	Cycle   int64 // days
	Scope   int64 // mask of risk classes
	// RateLimit is in images per hour, 0 for no limit.
	RateLimit int64
	// TimeScope leaves out images that were made more days ago, 0 for none.
	TimeScope int64
	// NextAt is when it scans next, 0 if it is not enabled; Unix
	// milliseconds.
	NextAt int64
	// ChangedBy is the access key that set it, ChangedAt when.
	ChangedBy string
	ChangedAt int64
}

const (
	sqlPolicy    = `SELECT id, enabled, cycle, scan_scope, rate_limit, time_scope, last_at, next_at, changed_by, changed_at FROM scan_policy WHERE project_id = $1`
	sqlPutPolicy = `INSERT INTO scan_policy (project_id, id, enabled, cycle, scan_scope, rate_limit, time_scope, last_at, next_at, changed_by, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (project_id) DO UPDATE SET enabled = excluded.enabled, cycle = excluded.cycle, scan_scope = excluded.scan_scope, rate_limit = excluded.rate_limit,
time_scope = excluded.time_scope, next_at = excluded.next_at, changed_by = excluded.changed_by, changed_at = excluded.changed_at`
	sqlDuePolicies = `SELECT project_id FROM scan_policy WHERE enabled = 1 AND next_at <= $1 ORDER BY next_at LIMIT $2`
	sqlFired       = `UPDATE scan_policy SET last_at = $1, next_at = $2 WHERE project_id = $3`
	sqlLastManual  = `SELECT scan_scope, rate_limit, is_all FROM scan_task WHERE project_id = $1 AND task_type = 'manual' ORDER BY created_at DESC, id DESC LIMIT 1`
)

// ScanPolicy is the periodic scan of a project: one that is not enabled if
// nobody has set it.
func (s *Store) ScanPolicy(ctx context.Context, project string) (p ScanPolicy, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		p, _, err = readPolicy(ctx, tx, project)
		return err
	})
	return p, err
}

// LastManual is what the last manual scan of a project asked for: everything,
// without a limit, if there was none.
func (s *Store) LastManual(ctx context.Context, project string) (scope, rate int64, all bool, err error) {
	var a int64
	err = s.read.QueryRowContext(ctx, sqlLastManual, project).Scan(&scope, &rate, &a)
	if errors.Is(err, sql.ErrNoRows) {
		return scopeAll, 0, true, nil
	}
	if err != nil {
		return 0, 0, false, fmt.Errorf("read last manual task: %w", err)
	}
	return scope, rate, a != 0, nil
}

// SetScanPolicy replaces the periodic scan of a project; what is not asked for
// (ID, NextAt, ChangedAt) is not read. The next scan is one cycle after the last
// one was planned, and at once if that is past or there was none: to turn a
// policy off and on again, or to set it twice, brings no scan more. A value that
// a policy cannot have is fault.Invalid.
func (s *Store) SetScanPolicy(ctx context.Context, project string, p ScanPolicy) error {
	if err := p.check(); err != nil {
		return err
	}
	now := s.now().UnixMilli()
	return s.inTx(ctx, func(tx *sql.Tx) error {
		was, last, err := readPolicy(ctx, tx, project)
		if err != nil {
			return err
		}
		id, next := was.ID, now
		if id == "" {
			id = uuid.NewString()
		}
		if last > 0 {
			next = max(now, last+p.Cycle*msPerDay)
		}
		_, err = tx.ExecContext(ctx, sqlPutPolicy, project, id, boolInt(p.Enabled), p.Cycle, p.Scope, p.RateLimit, p.TimeScope, last, next, text(p.ChangedBy), now)
		if err != nil {
			return fmt.Errorf("store scan policy: %w", err)
		}
		return nil
	})
}

func (p ScanPolicy) check() error {
	switch {
	case !slices.Contains(cycles, p.Cycle):
		return fault.New(fault.Invalid, "scan_cycle: %d is not one of %v", p.Cycle, cycles)
	case !slices.Contains(timeScopes, p.TimeScope):
		return fault.New(fault.Invalid, "time_scope: %d is not one of %v", p.TimeScope, timeScopes)
	case p.RateLimit < 0 || p.RateLimit > maxRate:
		return fault.New(fault.Invalid, "rate_limit: %d is not from 0 to %d", p.RateLimit, maxRate)
	case p.Scope < 0 || p.Scope > scopeAll:
		return fault.New(fault.Invalid, "scan_scope: %d is not a mask of risk classes", p.Scope)
	}
	return nil
}

// FirePolicies makes a scan task for every policy that is due and returns how
// many it made. Making a task and planning the next is one transaction: of
// several servers one fires, and a kill neither loses a scan nor doubles it.
// After a time without a server a policy fires once, and then in its old rhythm.
// If there is nothing to scan, or all of it is being scanned, there is no task.
func (s *Store) FirePolicies(ctx context.Context, nowMS int64) (fired int, err error) {
	due, err := s.duePolicies(ctx, nowMS)
	if err != nil {
		return 0, fmt.Errorf("read policies that are due: %w", err)
	}
	var errs []error
	for _, project := range due {
		task, err := s.fire(ctx, project, nowMS)
		if err != nil {
			// Another project's scan does not wait for this one.
			errs = append(errs, fmt.Errorf("scan project %s by its policy: %w", project, err))
			continue
		}
		if task != "" {
			fired++
			s.log.InfoContext(ctx, "periodic scan begins", "project", project, "task", task)
		}
	}
	return fired, errors.Join(errs...)
}

// duePolicies is a read: there is nothing to do most of the time.
func (s *Store) duePolicies(ctx context.Context, nowMS int64) (due []string, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		due, err = readStrings(ctx, tx, sqlDuePolicies, nowMS, maxDue)
		return err
	})
	return due, err
}

func (s *Store) fire(ctx context.Context, project string, nowMS int64) (task string, err error) {
	err = s.inTxAndWake(ctx, func(tx *sql.Tx) (wake []string, err error) {
		task = ""
		p, _, err := readPolicy(ctx, tx, project)
		if err != nil || !p.Enabled || p.NextAt > nowMS {
			return nil, err // another server was faster, or it was changed
		}
		req := ScanRequest{All: true, TaskType: TaskCycle, Scope: p.Scope, RateLimit: p.RateLimit, policy: p.ID}
		if p.TimeScope > 0 {
			from, to := nowMS-p.TimeScope*msPerDay, int64(math.MaxInt64)
			req.Filter.UpdatedFrom, req.Filter.UpdatedTo = &from, &to
		}
		if task, wake, err = makeTask(ctx, tx, project, req, nowMS); err != nil {
			return nil, err
		}
		// The slot of now, if some have passed by.
		cycle := p.Cycle * msPerDay
		slot := p.NextAt + (nowMS-p.NextAt)/cycle*cycle
		if _, err := tx.ExecContext(ctx, sqlFired, slot, slot+cycle, project); err != nil {
			return nil, fmt.Errorf("plan the next scan: %w", err)
		}
		return wake, nil
	})
	return task, err
}

// readPolicy also returns when the last scan was planned for.
func readPolicy(ctx context.Context, tx *sql.Tx, project string) (p ScanPolicy, last int64, err error) {
	var enabled int64
	err = tx.QueryRowContext(ctx, sqlPolicy, project).Scan(&p.ID, &enabled, &p.Cycle, &p.Scope, &p.RateLimit, &p.TimeScope, &last, &p.NextAt, &p.ChangedBy, &p.ChangedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return ScanPolicy{Cycle: defaultCycle, Scope: scopeAll}, 0, nil
	}
	if err != nil {
		return p, 0, fmt.Errorf("read scan policy: %w", err)
	}
	p.Enabled = enabled != 0
	if !p.Enabled {
		p.NextAt = 0
	}
	return p, last, nil
}
