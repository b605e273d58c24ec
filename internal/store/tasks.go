package store

import (
	"context"
	"database/sql"
	"fmt"
)

// States of a task.
const (
	taskRunning  = "running"
	taskStopped  = "stopped"
	taskTimedOut = "timed_out" // no image was scanned, and all for want of time
	taskError    = "error"     // no image was scanned
)

// What the status of a task is beside percents.
const (
	statusFinished = 100
	statusStopped  = -1
	statusTimedOut = -2
	statusError    = -3
)

const (
	// maxFailedImages is how many failed images one task lists; FailedNum
	// counts all.
	maxFailedImages = 1000
)

// A Task is one scan of some images.
type Task struct {
	ID, Name, TaskType string
	PolicyID           string // of the policy that made it, "" if none did
	// By is the access key that asked for it, "" for the server itself.
	By string
	// State is running, finished, stopped, timed_out or error.
	State string
	// Status is 0 to 99 percent while it runs, 100 finished, -1 stopped,
	// -2 timed out, -3 failed altogether.
	Status                                   int64
	BeginTime, EndTime                       int64 // Unix milliseconds; EndTime 0 while it runs
	RemainMin                                int64 // estimate, minutes
	Scope, RateLimit                         int64
	All                                      bool
	TotalNum, SuccessNum, FailedNum, RiskNum int64
	// FailedReason says what keeps a running task from going on, or why
	// one ended.
	FailedReason string
	FailedImages []FailedImage
}

// A FailedImage is an image whose scan failed in a task.
type FailedImage struct {
	Name, Version string
	// Reason is one of the fleet.Failure constants.
	Reason string
}

// TaskFilter selects tasks; the zero value selects all.
type TaskFilter struct {
	ID       string
	Name     string // substring
	TaskType string
	By       string
	// Running selects those that run, or those that have ended.
	Running *bool
	// From and To bound the time of creation, inclusive; Unix
	// milliseconds.
	From, To *int64
	// Scope selects tasks that share a risk class with the mask.
	Scope *int64
}

const (
	sqlCountTasks = `SELECT COUNT(*) FROM scan_task st WHERE {where}`
	sqlListTasks  = `SELECT st.id, st.name, st.task_type, st.state, st.scan_scope, st.rate_limit, st.is_all, st.total_num, st.success_num, st.failed_num, st.risky_num, st.failed_reason, st.created_at, st.ended_at, st.created_by, st.policy_id
FROM scan_task st WHERE {where} ORDER BY st.created_at DESC, st.id DESC LIMIT ? OFFSET ?`
)

// Tasks lists scan tasks, newest first.
func (s *Store) Tasks(ctx context.Context, project string, f TaskFilter, p Page) (out []Task, total int64, err error) {
	w := f.where(project)
	now := s.now().UnixMilli()
	err = s.inView(ctx, func(tx *sql.Tx) error {
		q, args := w.query(sqlCountTasks)
		if err := tx.QueryRowContext(ctx, q, args...).Scan(&total); err != nil {
			return err
		}
		q, args = w.query(sqlListTasks, p.Limit, p.Offset)
		err := each(ctx, tx, q, args, func(r *sql.Rows) error {
			t, err := scanTask(r)
			out = append(out, t)
			return err
		})
		if err != nil {
			return err
		}
		if err := s.readFailed(ctx, tx, out); err != nil {
			return err
		}
		for i := range out {
			if err := s.fillTask(ctx, tx, &out[i], now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list tasks: %w", err)
	}
	// What is running is never forgotten, so there can be more than HSS
	// counts.
	return out, min(total, maxTasks), nil
}

func (f TaskFilter) where(project string) *where {
	w := &where{}
	w.add("st.project_id = ?", project)
	w.equal("st.id", f.ID)
	w.contains("st.name", f.Name)
	w.equal("st.task_type", f.TaskType)
	w.equal("st.created_by", f.By)
	if f.Running != nil {
		w.add("(st.state = 'running') = (? = 1)", boolInt(*f.Running))
	}
	if f.From != nil {
		w.add("st.created_at >= ?", *f.From)
	}
	if f.To != nil {
		w.add("st.created_at <= ?", *f.To)
	}
	if f.Scope != nil {
		w.add("(st.scan_scope & ?) <> 0", *f.Scope)
	}
	return w
}

func scanTask(r *sql.Rows) (Task, error) {
	var t Task
	var all int64
	err := r.Scan(&t.ID, &t.Name, &t.TaskType, &t.State, &t.Scope, &t.RateLimit, &all, &t.TotalNum, &t.SuccessNum, &t.FailedNum, &t.RiskNum, &t.FailedReason, &t.BeginTime, &t.EndTime, &t.By, &t.PolicyID)
	if err != nil {
		return t, err
	}
	t.All = all != 0
	switch t.State {
	case taskRunning:
		done := t.SuccessNum + t.FailedNum
		t.Status = min(99, done*100/max(1, t.TotalNum))
	case taskStopped:
		t.Status = statusStopped
	case taskTimedOut:
		t.Status = statusTimedOut
	case taskError:
		t.Status = statusError
	default:
		t.Status = statusFinished
	}
	return t, nil
}

// fillTask adds what keeps a task from going on or ended it.
func (s *Store) fillTask(ctx context.Context, tx *sql.Tx, t *Task, now int64) (err error) {
	switch t.Status {
	case statusTimedOut, statusError:
		t.FailedReason, err = whyFailed(ctx, tx, t.ID)
		return err
	case statusStopped, statusFinished:
		return nil
	}
	return s.progress(ctx, tx, t, now)
}
