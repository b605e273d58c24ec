package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/onceover/onceover/internal/fault"
)

// StatusStopped is the state of an image whose task was stopped before it was
// scanned; the others are those of the list of images.
const StatusStopped = "stopped"

// A TaskImage is an image of a scan task.
type TaskImage struct {
	ID, Name, Version string
	ConfigDigest      string // "" if the image is gone
	// Status in this task: StatusWaiting, StatusScanning, StatusSuccess,
	// StatusFailed or StatusStopped.
	Status string
	// FailedReason is one of the fleet.Failure constants.
	FailedReason string
	EndTime      int64 // Unix milliseconds, 0 until it has ended
	// Done is how many images of the task had ended with this one and those
	// of the same content; 0 until it has ended, and if it was stopped. It
	// orders them.
	Done int64
	// Vuls are the vulnerabilities of the image as they are counted now.
	Vuls VulNums
	// SeverityLevel as in the list of images.
	SeverityLevel string
}

// VulNums counts distinct vulnerabilities by severity.
type VulNums struct{ Critical, High, Medium, Low, Unknown int64 }

const (
	sqlCountTaskImages = `SELECT COUNT(*) FROM task_image ti JOIN scan_job j ON j.id = ti.job_id WHERE {where}`
	sqlTaskImage       = `SELECT ti.image_id, ti.name, ti.version, COALESCE(c.config_digest, ''), j.state, j.failure, j.ended_at, j.done_num,
COALESCE(c.vul_critical, 0), COALESCE(c.vul_high, 0), COALESCE(c.vul_medium, 0), COALESCE(c.vul_low, 0), COALESCE(c.vul_unknown, 0), COALESCE(c.severity_level, '')
`
	sqlListTaskImages = sqlTaskImage + `FROM task_image ti JOIN scan_job j ON j.id = ti.job_id LEFT JOIN content c ON c.id = j.content_id WHERE {where} ORDER BY ti.name, ti.version, ti.image_id LIMIT ? OFFSET ?`
	// The jobs are cut, not their images: those of one job come together.
	sqlEndedSince = sqlTaskImage + `FROM (SELECT id FROM scan_job WHERE task_id = $1 AND done_num > $2 ORDER BY done_num LIMIT $3) t
JOIN scan_job j ON j.id = t.id JOIN task_image ti ON ti.job_id = j.id LEFT JOIN content c ON c.id = j.content_id ORDER BY j.done_num, ti.name, ti.version, ti.image_id`
)

// taskImageStatuses are the states of a job in the words of a list of images.
var taskImageStatuses = map[string]string{
	jobWaiting: StatusWaiting, jobLeased: StatusScanning, jobDone: StatusSuccess, jobFailed: StatusFailed, jobStopped: StatusStopped,
}

// TaskImages lists the images of a task by name, version and id; status ""
// selects all. A task that is unknown is fault.NotFound.
func (s *Store) TaskImages(ctx context.Context, project, taskID, status string, p Page) (out []TaskImage, total int64, err error) {
	w := &where{}
	w.add("ti.task_id = ?", taskID)
	if status != "" {
		state := "" // selects none
		for job, name := range taskImageStatuses {
			if name == status {
				state = job
			}
		}
		w.add("j.state = ?", state)
	}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		if _, err := readTask(ctx, tx, project, taskID); err != nil {
			return err
		}
		q, args := w.query(sqlCountTaskImages)
		if err := tx.QueryRowContext(ctx, q, args...).Scan(&total); err != nil {
			return err
		}
		q, args = w.query(sqlListTaskImages, p.Limit, p.Offset)
		out, err = readTaskImages(ctx, tx, q, args...)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list images of task: %w", err)
	}
	return out, total, nil
}

// Progress tells how a task stands, without its failed images, and which images
// have ended since the first done of them had: those of at most limit contents,
// in the order in which they ended. A task that is unknown is fault.NotFound. It
// is asked again and again, so it reads what is new alone.
func (s *Store) Progress(ctx context.Context, project, taskID string, done, limit int64) (t Task, ended []TaskImage, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		if t, err = readTask(ctx, tx, project, taskID); err != nil {
			return err
		}
		if t.State == taskRunning {
			if err := s.progress(ctx, tx, &t, s.now().UnixMilli()); err != nil {
				return err
			}
		}
		if t.SuccessNum+t.FailedNum <= done {
			return nil
		}
		ended, err = readTaskImages(ctx, tx, sqlEndedSince, text(taskID), done, limit)
		return err
	})
	if err != nil {
		return Task{}, nil, fmt.Errorf("read progress of task: %w", err)
	}
	return t, ended, nil
}

// readTask reads one task as its row has it.
func readTask(ctx context.Context, tx *sql.Tx, project, taskID string) (t Task, err error) {
	w := &where{}
	w.add("st.project_id = ? AND st.id = ?", project, taskID)
	q, args := w.query(sqlListTasks, 1, 0)
	err = each(ctx, tx, q, args, func(r *sql.Rows) (err error) {
		t, err = scanTask(r)
		return err
	})
	if err == nil && t.ID == "" {
		return t, fault.New(fault.NotFound, "there is no scan task %s", taskID)
	}
	return t, err
}

func readTaskImages(ctx context.Context, tx *sql.Tx, query string, args ...any) (out []TaskImage, err error) {
	err = each(ctx, tx, query, args, func(r *sql.Rows) error {
		var i TaskImage
		var state string
		err := r.Scan(&i.ID, &i.Name, &i.Version, &i.ConfigDigest, &state, &i.FailedReason, &i.EndTime, &i.Done,
			&i.Vuls.Critical, &i.Vuls.High, &i.Vuls.Medium, &i.Vuls.Low, &i.Vuls.Unknown, &i.SeverityLevel)
		i.Status = taskImageStatuses[state]
		out = append(out, i)
		return err
	})
	return out, err
}
