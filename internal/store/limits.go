package store

import (
	"context"
	"database/sql"
	"fmt"
)

// limits is how many jobs each task with a rate limit may give out still, in the
// hour that ends now. Tasks without a limit are not in it.
//
// When a task is made its jobs are spread over time (queue), and this is what
// holds when the fleet lags behind: what is overdue is made up for, but no more
// scans begin in any hour than were asked for, whichever servers and agents take
// part. Writers take turns, so a count is still so when it is acted on.
type limits map[string]int64

const (
	sqlLimited     = `SELECT st.id, st.rate_limit - (SELECT COUNT(*) FROM scan_start x WHERE x.task_id = st.id AND x.at > $1) FROM scan_task st WHERE st.project_id = $2 AND st.state = 'running' AND st.rate_limit > 0`
	sqlPutStart    = `INSERT INTO scan_start (task_id, at, job_id) VALUES ($1, $2, $3) ON CONFLICT (task_id, at, job_id) DO NOTHING`
	sqlForgetStart = `DELETE FROM scan_start WHERE task_id = $1 AND at <= $2`
)

func readLimits(ctx context.Context, tx *sql.Tx, project string, nowMS int64) (limits, error) {
	out := limits{}
	err := each(ctx, tx, sqlLimited, []any{nowMS - msPerHour, project}, func(r *sql.Rows) error {
		var task string
		var left int64
		err := r.Scan(&task, &left)
		out[task] = left
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read rate limits: %w", err)
	}
	return out, nil
}

// spent are the tasks that may give out nothing now.
func (l limits) spent() (out []any) {
	for task, left := range l {
		if left <= 0 {
			out = append(out, task)
		}
	}
	return out
}

// begin notes that a job is given out; false says that its task may not.
func (l limits) begin(ctx context.Context, tx *sql.Tx, task, job string, nowMS int64) (bool, error) {
	left, ok := l[task]
	if !ok {
		return true, nil
	}
	if left <= 0 {
		return false, nil
	}
	l[task] = left - 1
	if _, err := tx.ExecContext(ctx, sqlForgetStart, task, nowMS-msPerHour); err != nil {
		return false, fmt.Errorf("forget starts: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlPutStart, task, nowMS, job); err != nil {
		return false, fmt.Errorf("note start: %w", err)
	}
	return true, nil
}
