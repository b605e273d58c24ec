package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// States of a task.
const (
	taskRunning  = "running"
	taskStopped  = "stopped"
	taskTimedOut = "timed_out"
)

const (
	// maxFailedImages is how many failed images one task lists; FailedNum
	// counts all.
	maxFailedImages = 1000
	// guessPerImage is how long a scan takes until a task knows better.
	guessPerImage = 10 * time.Second
)

// A Task is one scan of some images.
type Task struct {
	ID, Name, TaskType string
	// By is the access key that asked for it, "" for the server itself.
	By string
	// State is running, finished, stopped or timed_out.
	State string
	// Status is 0 to 99 percent while it runs, 100 finished, -1 stopped,
	// -2 timed out.
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
	sqlListTasks  = `SELECT st.id, st.name, st.task_type, st.state, st.scan_scope, st.rate_limit, st.is_all, st.total_num, st.success_num, st.failed_num, st.risky_num, st.failed_reason, st.created_at, st.ended_at, st.created_by
FROM scan_task st WHERE {where} ORDER BY st.created_at DESC, st.id DESC LIMIT ? OFFSET ?`
	sqlTaskFailed = `SELECT ti.name, ti.version, j.failure FROM task_image ti JOIN scan_job j ON j.id = ti.job_id WHERE ti.task_id = $1 AND j.state = 'failed' ORDER BY ti.name, ti.version, ti.image_id LIMIT $2`
	// The hosts that can read images which no host that is online can read.
	sqlTaskOffline = `SELECT COUNT(DISTINCT h.agent_id) FROM scan_job j JOIN image i ON i.content_id = j.content_id JOIN image_host h ON h.image_id = i.id
WHERE j.task_id = $1 AND j.state = 'waiting' AND h.non_scan_reason = '' AND NOT EXISTS (
SELECT 1 FROM image i2 JOIN image_host h2 ON h2.image_id = i2.id JOIN agent a2 ON a2.id = h2.agent_id WHERE i2.content_id = j.content_id AND h2.non_scan_reason = '' AND a2.last_seen >= $2)`
)

// Tasks lists scan tasks, newest first.
func (s *Store) Tasks(ctx context.Context, project string, f TaskFilter, p Page) (out []Task, total int64, err error) {
	w := f.where(project)
	now := s.now()
	err = s.inView(ctx, func(tx *sql.Tx) error {
		q, args := w.query(sqlCountTasks)
		if err := tx.QueryRowContext(ctx, q, args...).Scan(&total); err != nil {
			return err
		}
		q, args = w.query(sqlListTasks, p.Limit, p.Offset)
		err := each(ctx, tx, q, args, func(r *sql.Rows) error {
			t, err := scanTask(r, now.UnixMilli())
			out = append(out, t)
			return err
		})
		if err != nil {
			return err
		}
		for i := range out {
			if err := fillTask(ctx, tx, &out[i], now.Add(-OnlineTime).UnixMilli()); err != nil {
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

func scanTask(r *sql.Rows, now int64) (Task, error) {
	var t Task
	var all int64
	err := r.Scan(&t.ID, &t.Name, &t.TaskType, &t.State, &t.Scope, &t.RateLimit, &all, &t.TotalNum, &t.SuccessNum, &t.FailedNum, &t.RiskNum, &t.FailedReason, &t.BeginTime, &t.EndTime, &t.By)
	if err != nil {
		return t, err
	}
	t.All = all != 0
	switch t.State {
	case taskRunning:
		done := t.SuccessNum + t.FailedNum
		t.Status = min(99, done*100/max(1, t.TotalNum))
		t.RemainMin = remaining(t, done, now)
	case taskStopped:
		t.Status = -1
	case taskTimedOut:
		t.Status = -2
		t.FailedReason = "no host that holds the images came online in time"
	default:
		t.Status = 100
	}
	return t, nil
}

// remaining estimates the minutes that a running task still takes, from the
// pace so far or its rate limit, rounded up.
func remaining(t Task, done, now int64) int64 {
	left := t.TotalNum - done
	per := guessPerImage.Milliseconds()
	if done > 0 {
		per = max(0, now-t.BeginTime) / done
	}
	if t.RateLimit > 0 {
		per = max(per, msPerHour/t.RateLimit)
	}
	const minute = int64(time.Minute / time.Millisecond)
	return (left*per + minute - 1) / minute
}

// fillTask adds the failed images, and the hosts that a running task waits
// for.
func fillTask(ctx context.Context, tx *sql.Tx, t *Task, onlineMS int64) error {
	t.FailedImages = []FailedImage{}
	if t.FailedNum > 0 {
		err := each(ctx, tx, sqlTaskFailed, []any{t.ID, maxFailedImages}, func(r *sql.Rows) error {
			var f FailedImage
			err := r.Scan(&f.Name, &f.Version, &f.Reason)
			t.FailedImages = append(t.FailedImages, f)
			return err
		})
		if err != nil {
			return err
		}
	}
	if t.Status < 0 || t.Status == 100 {
		return nil
	}
	var offline int64
	if err := tx.QueryRowContext(ctx, sqlTaskOffline, t.ID, onlineMS).Scan(&offline); err != nil {
		return err
	}
	switch {
	case offline == 1:
		t.FailedReason = "waiting for 1 host that is offline"
	case offline > 1:
		t.FailedReason = fmt.Sprintf("waiting for %d hosts that are offline", offline)
	}
	return nil
}
