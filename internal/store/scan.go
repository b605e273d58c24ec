package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

// Types of a scan task, as HSS names them.
const (
	TaskManual = "manual"
	TaskCycle  = "cycle"
)

// maxTasks is how many tasks of a project are kept; HSS lists at most 1000.
const maxTasks = 1000

const msPerHour = int64(time.Hour / time.Millisecond)

// A ScanRequest says which images to scan.
type ScanRequest struct {
	// List names the images; if it is empty Filter selects them.
	List   []ScanImage
	Filter ImageFilter
	// All is what the task tells of itself.
	All bool
	// TaskType is TaskManual or TaskCycle.
	TaskType string
	// Scope is the mask of risk classes that was asked for.
	Scope int64
	// RateLimit is in images per hour, 0 for no limit: no more scans than
	// that begin in any hour.
	RateLimit int64
	// By asks for it: an access key, or the server itself.
	By Actor

	policy string // the id of the policy that asks, "" for none
}

// A ScanImage names one image, or several, by the first of ID, Digest (with
// Name and Version where given), and Name (with Version where given).
type ScanImage struct{ ID, Digest, Name, Version string }

const (
	sqlSelectImages = `SELECT i.id, i.content_id, i.name, i.version, i.non_scan_reason, c.scan_status FROM image i JOIN content c ON c.id = i.content_id WHERE {where} ORDER BY i.name, i.version, i.id`
	sqlActiveJobs   = `SELECT content_id FROM scan_job WHERE content_id IN {in} AND state IN ('waiting', 'leased')`
	sqlInsertTask   = `INSERT INTO scan_task (id, project_id, name, task_type, state, scan_scope, rate_limit, is_all, total_num, success_num, failed_num, risky_num, failed_reason, created_at, ended_at, created_by, policy_id) VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, $8, 0, 0, 0, '', $9, 0, $10, $11)`
	sqlInsertJob    = `INSERT INTO scan_job (id, task_id, project_id, content_id, state, agent_id, lease_until, attempts, not_before, failure, message, created_at, ended_at) VALUES`
	sqlInsertImage  = `INSERT INTO task_image (task_id, image_id, job_id, name, version) VALUES`
	sqlQueueContent = `UPDATE content SET prior_status = scan_status, scan_status = 'waiting' WHERE id IN {in}`
	sqlHoldersOf    = `SELECT DISTINCT h.agent_id FROM image i JOIN image_host h ON h.image_id = i.id WHERE i.content_id IN {in}`

	sqlOldTasks       = `SELECT id FROM scan_task WHERE project_id = $1 AND state <> 'running' ORDER BY created_at DESC, id DESC LIMIT 1000 OFFSET $2`
	sqlDropTaskImages = `DELETE FROM task_image WHERE task_id = $1`
	sqlDropTaskJobs   = `DELETE FROM scan_job WHERE task_id = $1`
	sqlDropTaskStarts = `DELETE FROM scan_start WHERE task_id = $1`
	sqlDropTask       = `DELETE FROM scan_task WHERE id = $1`

	sqlTaskState   = `SELECT state FROM scan_task WHERE id = $1 AND project_id = $2`
	sqlTaskAgents  = `SELECT DISTINCT agent_id FROM scan_job WHERE task_id = $1 AND state = 'leased'`
	sqlUnqueue     = `UPDATE content SET scan_status = prior_status WHERE id IN (SELECT j.content_id FROM scan_job j WHERE j.task_id = $1 AND j.state IN ('waiting', 'leased'))`
	sqlStopJobs    = `UPDATE scan_job SET state = 'stopped', failure = '', message = '', agent_id = '', lease_until = 0, ended_at = $1 WHERE task_id = $2 AND state IN ('waiting', 'leased')`
	sqlTaskStopped = `UPDATE scan_task SET state = 'stopped', ended_at = $1 WHERE id = $2`
)

// selected is an image that a request selects.
type selected struct {
	id, name, version string
	content           int64
	reason, status    string
}

// Scan queues a scan of the images that req selects and returns its task.
// Images that are queued or being scanned are not queued twice, and images
// that cannot be scanned are left out; if nothing remains there is no task and
// the id is empty. A list that names no known image is fault.NotFound; one
// that names only images that cannot be scanned is fault.Conflict.
func (s *Store) Scan(ctx context.Context, project string, req ScanRequest) (taskID string, err error) {
	now := s.now().UnixMilli()
	err = s.inTxAndWake(ctx, func(tx *sql.Tx) (wake []string, err error) {
		taskID, wake, err = makeTask(ctx, tx, project, req, now)
		return wake, err
	})
	if err != nil {
		return "", err
	}
	return taskID, nil
}

// makeTask makes the task of a scan and returns the agents that can begin.
func makeTask(ctx context.Context, tx *sql.Tx, project string, req ScanRequest, now int64) (id string, wake []string, err error) {
	images, err := selectImages(ctx, tx, project, req)
	if err != nil {
		return "", nil, err
	}
	if images, err = idleImages(ctx, tx, images); err != nil || len(images) == 0 {
		return "", nil, err
	}
	id = uuid.NewString()
	name := req.TaskType + "_" + time.UnixMilli(now).UTC().Format("20060102T150405Z") + "_" + id[:8]
	_, err = tx.ExecContext(ctx, sqlInsertTask, id, project, name, req.TaskType, req.Scope, req.RateLimit, boolInt(req.All), len(images), now, text(req.By.Name), req.policy)
	if err != nil {
		return "", nil, fmt.Errorf("create task: %w", err)
	}
	if wake, err = queue(ctx, tx, id, project, images, req.RateLimit, now); err != nil {
		return "", nil, err
	}
	if err := logRequested(ctx, tx, project, name, req.By, req.TaskType, images, now); err != nil {
		return "", nil, err
	}
	return id, wake, trimTasks(ctx, tx, project, maxTasks-1)
}

func selectImages(ctx context.Context, tx *sql.Tx, project string, req ScanRequest) ([]selected, error) {
	if len(req.List) == 0 {
		w := req.Filter.where(project)
		w.add("i.non_scan_reason = ''")
		return readSelected(ctx, tx, w)
	}
	var out []selected
	known, reason := false, ""
	seen := map[string]bool{}
	for _, k := range req.List {
		w := k.where(project)
		if w == nil {
			continue
		}
		images, err := readSelected(ctx, tx, w)
		if err != nil {
			return nil, err
		}
		for _, i := range images {
			known = true
			if i.reason != "" {
				reason = i.reason
				continue
			}
			if !seen[i.id] {
				seen[i.id] = true
				out = append(out, i)
			}
		}
	}
	switch {
	case !known:
		return nil, fault.New(fault.NotFound, "none of the %d images is known", len(req.List))
	case len(out) == 0:
		return nil, fault.New(fault.Conflict, "none of the images can be scanned: %s", reason)
	}
	return out, nil
}

// where is nil for a member that names nothing.
func (k ScanImage) where(project string) *where {
	w := &where{}
	switch {
	case k.ID != "":
		w.add("i.id = ? AND i.project_id = ?", k.ID, project)
		return w
	case k.Digest != "":
		digest := k.Digest
		if d, err := image.ParseDigest(digest); err == nil {
			digest = string(d)
		}
		// Two small look-ups instead of an OR, which would read every
		// image of the project for each member of a long list.
		w.add(`i.id IN (SELECT x.id FROM image x JOIN content y ON y.id = x.content_id WHERE y.project_id = ? AND y.config_digest = ?
UNION SELECT d.image_id FROM image_digest d WHERE d.project_id = ? AND d.digest = ?)`, project, digest, project, digest)
	case k.Name != "":
		w.add("i.project_id = ?", project)
	default:
		return nil
	}
	w.equal("i.name", k.Name)
	w.equal("i.version", k.Version)
	return w
}

func readSelected(ctx context.Context, tx *sql.Tx, w *where) ([]selected, error) {
	var out []selected
	q, args := w.query(sqlSelectImages)
	err := each(ctx, tx, q, args, func(r *sql.Rows) error {
		var i selected
		err := r.Scan(&i.id, &i.content, &i.name, &i.version, &i.reason, &i.status)
		out = append(out, i)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("select images: %w", err)
	}
	return out, nil
}

// idleImages leaves out the images whose content has a job already.
func idleImages(ctx context.Context, tx *sql.Tx, images []selected) ([]selected, error) {
	contents := make([]int64, len(images))
	for n, i := range images {
		contents[n] = i.content
	}
	slices.Sort(contents)
	busy := map[int64]bool{}
	err := eachIn(ctx, tx, sqlActiveJobs, slices.Compact(contents), func(r *sql.Rows) error {
		var content int64
		err := r.Scan(&content)
		busy[content] = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for jobs: %w", err)
	}
	return slices.DeleteFunc(images, func(i selected) bool { return busy[i.content] }), nil
}

// queue makes one job for each content and returns the agents that can take
// one. A rate limit spreads the jobs over time.
func queue(ctx context.Context, tx *sql.Tx, task, project string, images []selected, rate, now int64) ([]string, error) {
	ids := map[int64]string{}
	var contents []int64
	var jobs, rows [][]any
	for _, i := range images {
		job, ok := ids[i.content]
		if !ok {
			job = uuid.NewString()
			notBefore := now
			if rate > 0 {
				notBefore += int64(len(jobs)) * msPerHour / rate
			}
			ids[i.content] = job
			contents = append(contents, i.content)
			jobs = append(jobs, []any{job, task, project, i.content, jobWaiting, "", 0, 0, notBefore, "", "", now, 0})
		}
		rows = append(rows, []any{task, i.id, job, i.name, i.version})
	}
	if err := putRows(ctx, tx, sqlInsertJob, "", jobs); err != nil {
		return nil, fmt.Errorf("create jobs: %w", err)
	}
	if err := putRows(ctx, tx, sqlInsertImage, "", rows); err != nil {
		return nil, fmt.Errorf("store images of task: %w", err)
	}
	if err := execIn(ctx, tx, sqlQueueContent, contents); err != nil {
		return nil, fmt.Errorf("set scan status: %w", err)
	}
	seen := map[string]bool{}
	err := eachIn(ctx, tx, sqlHoldersOf, contents, func(r *sql.Rows) error {
		var agent string
		err := r.Scan(&agent)
		seen[agent] = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read hosts: %w", err)
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// trimTasks forgets the oldest tasks that have ended, beyond as many as are to
// be kept.
func trimTasks(ctx context.Context, tx *sql.Tx, project string, keep int) error {
	old, err := readStrings(ctx, tx, sqlOldTasks, project, keep)
	if err != nil {
		return fmt.Errorf("read old tasks: %w", err)
	}
	for _, id := range old {
		for _, q := range []string{sqlDropTaskImages, sqlDropTaskJobs, sqlDropTaskStarts, sqlDropTask} {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return fmt.Errorf("drop old task: %w", err)
			}
		}
	}
	return nil
}

// StopTask stops a running task: its images return to the state they had
// before. A task that has ended or is unknown is fault.NotFound.
func (s *Store) StopTask(ctx context.Context, project, taskID string, by Actor) error {
	now := s.now().UnixMilli()
	return s.inTxAndWake(ctx, func(tx *sql.Tx) (wake []string, err error) {
		var state string
		err = tx.QueryRowContext(ctx, sqlTaskState, text(taskID), project).Scan(&state)
		if errors.Is(err, sql.ErrNoRows) || err == nil && state != taskRunning {
			return nil, fault.New(fault.NotFound, "there is no running scan task %s", taskID)
		}
		if err != nil {
			return nil, fmt.Errorf("read task: %w", err)
		}
		if wake, err = readStrings(ctx, tx, sqlTaskAgents, taskID); err != nil {
			return nil, err
		}
		// All at once: a task may have 100,000 jobs, and others wait.
		if _, err := tx.ExecContext(ctx, sqlUnqueue, taskID); err != nil {
			return nil, fmt.Errorf("set scan status: %w", err)
		}
		res, err := tx.ExecContext(ctx, sqlStopJobs, now, taskID)
		if err != nil {
			return nil, fmt.Errorf("stop jobs: %w", err)
		}
		stopped, err := res.RowsAffected()
		if err != nil {
			return nil, fmt.Errorf("stop jobs: %w", err)
		}
		if _, err := tx.ExecContext(ctx, sqlTaskStopped, now, taskID); err != nil {
			return nil, fmt.Errorf("stop task: %w", err)
		}
		return wake, logStopped(ctx, tx, project, taskID, by, int(stopped), now)
	})
}
