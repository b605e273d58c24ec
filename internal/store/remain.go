package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// guessPerImage is how long a host takes for a scan until a task knows
	// better.
	guessPerImage = 10 * time.Second
	// recentEnds is how many of the latest scans tell the pace of a task.
	recentEnds = 50
	// reachAge is how long it is remembered which hosts a task waits for:
	// with many images that is the dear part of listing a task.
	reachAge = 30 * time.Second
	// maxReach is how many tasks are remembered.
	maxReach = 1000
	// maxReasons is how many reasons a task names why its images failed.
	maxReasons = 2
)

const (
	sqlRecentEnds = `SELECT j.ended_at, (SELECT COUNT(*) FROM task_image ti WHERE ti.job_id = j.id) FROM scan_job j WHERE j.task_id = $1 AND j.ended_at > 0 ORDER BY j.ended_at DESC LIMIT $2`
	// The hosts that can read images which no host that is online can read.
	sqlTaskOffline = `SELECT COUNT(DISTINCT h.agent_id) FROM scan_job j JOIN image i ON i.content_id = j.content_id JOIN image_host h ON h.image_id = i.id
WHERE j.task_id = $1 AND j.state = 'waiting' AND h.non_scan_reason = '' AND NOT EXISTS (
SELECT 1 FROM image i2 JOIN image_host h2 ON h2.image_id = i2.id JOIN agent a2 ON a2.id = h2.agent_id WHERE i2.content_id = j.content_id AND h2.non_scan_reason = '' AND a2.last_seen >= $2)`
	// The images that wait for those.
	sqlTaskUnreached = `SELECT COUNT(*) FROM scan_job j JOIN task_image ti ON ti.job_id = j.id WHERE j.task_id = $1 AND j.state = 'waiting' AND NOT EXISTS (
SELECT 1 FROM image i JOIN image_host h ON h.image_id = i.id JOIN agent a ON a.id = h.agent_id WHERE i.content_id = j.content_id AND h.non_scan_reason = '' AND a.last_seen >= $2)`
	// The hosts that are online and can do something of the rest.
	sqlTaskOnline = `SELECT COUNT(DISTINCT h.agent_id) FROM scan_job j JOIN image i ON i.content_id = j.content_id JOIN image_host h ON h.image_id = i.id JOIN agent a ON a.id = h.agent_id
WHERE j.task_id = $1 AND j.state IN ('waiting', 'leased') AND h.non_scan_reason = '' AND a.last_seen >= $2`
	sqlTaskReasons = `SELECT j.failure, COUNT(*) FROM scan_job j JOIN task_image ti ON ti.job_id = j.id WHERE j.task_id = $1 AND j.state = 'failed' GROUP BY j.failure ORDER BY COUNT(*) DESC, j.failure`
)

// reach is what a running task can do now.
type reach struct {
	at      int64
	offline int64 // hosts that it waits for
	images  int64 // that wait for them
	online  int64 // hosts that work, or could
}

// reaches remembers the reach of tasks. The zero value is empty.
type reaches struct {
	mu     sync.Mutex
	byTask map[string]reach
}

// get is what is known of a task. ok is false for the one who is to find it out
// anew; the others are content with what was known while he does.
func (r *reaches) get(task string, now int64) (v reach, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, ok = r.byTask[task]; !ok {
		return v, false
	}
	age := now - v.at
	if age >= 0 && age < reachAge.Milliseconds() {
		return v, true
	}
	v.at = now
	r.byTask[task] = v
	return v, false
}

func (r *reaches) put(task string, v reach) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byTask == nil || len(r.byTask) >= maxReach {
		r.byTask = map[string]reach{}
	}
	r.byTask[task] = v
}

// progress fills in how long a running task still takes, and what it waits for.
func (s *Store) progress(ctx context.Context, tx *sql.Tx, t *Task, now int64) error {
	r, ok := s.reaches.get(t.ID, now)
	if !ok {
		r = reach{at: now}
		for query, to := range map[string]*int64{sqlTaskOffline: &r.offline, sqlTaskUnreached: &r.images, sqlTaskOnline: &r.online} {
			if err := tx.QueryRowContext(ctx, query, t.ID, now-OnlineTime.Milliseconds()).Scan(to); err != nil {
				return fmt.Errorf("look for hosts of task: %w", err)
			}
		}
		s.reaches.put(t.ID, r)
	}
	switch {
	case r.offline == 1:
		t.FailedReason = "waiting for 1 host that is offline"
	case r.offline > 1:
		t.FailedReason = fmt.Sprintf("waiting for %d hosts that are offline", r.offline)
	}
	per, err := perImage(ctx, tx, t, r, now)
	if err != nil {
		return err
	}
	left := t.TotalNum - t.SuccessNum - t.FailedNum
	remain := (left - min(left, r.images)) * per
	if remain == 0 && left > 0 {
		// All that is left waits for hosts, until that is given up.
		remain = max(1, t.BeginTime+s.cfg.WaitTimeout.Milliseconds()-now)
	}
	const minute = int64(time.Minute / time.Millisecond)
	t.RemainMin = (remain + minute - 1) / minute
	return nil
}

// perImage is the milliseconds for one image: measured on the latest scans up to
// now, so that it grows while nothing ends; guessed before the first has ended;
// and never quicker than the rate limit.
func perImage(ctx context.Context, tx *sql.Tx, t *Task, r reach, now int64) (int64, error) {
	since, ends, images := t.BeginTime, 0, int64(0)
	err := each(ctx, tx, sqlRecentEnds, []any{t.ID, recentEnds}, func(rows *sql.Rows) error {
		var at, n int64
		if err := rows.Scan(&at, &n); err != nil {
			return err
		}
		if ends++; ends == recentEnds {
			since = at // the clock starts with the end of this one
		} else {
			images += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read pace of task: %w", err)
	}
	per := guessPerImage.Milliseconds() / max(1, r.online)
	if images > 0 {
		per = max(1, (now-since)/images)
	}
	if t.RateLimit > 0 {
		per = max(per, msPerHour/t.RateLimit)
	}
	return per, nil
}

// whyFailed says why a task of which no image was scanned has failed.
func whyFailed(ctx context.Context, tx *sql.Tx, task string) (string, error) {
	var reasons []string
	err := each(ctx, tx, sqlTaskReasons, []any{task}, func(r *sql.Rows) error {
		var failure string
		var n int64
		err := r.Scan(&failure, &n)
		reasons = append(reasons, fmt.Sprintf("%s (%d)", failure, n))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read failures of task: %w", err)
	}
	more := ""
	if len(reasons) > maxReasons {
		reasons, more = reasons[:maxReasons], " and others"
	}
	return "every image failed: " + strings.Join(reasons, ", ") + more, nil
}
