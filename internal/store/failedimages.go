package store

import (
	"context"
	"database/sql"
	"sync"
)

const (
	// fewFailed is of how many failed images those of all tasks of a page are
	// read at once.
	fewFailed = 50
	// maxFailedKept is how many failed images are kept of tasks that have ended,
	// some hundred bytes each.
	maxFailedKept = 50_000

	sqlFewFailed  = `SELECT ti.task_id, ti.name, ti.version, j.failure FROM task_image ti JOIN scan_job j ON j.id = ti.job_id WHERE ti.task_id IN {in} AND j.state = 'failed' ORDER BY ti.name, ti.version, ti.image_id`
	sqlTaskFailed = `SELECT ti.name, ti.version, j.failure FROM task_image ti JOIN scan_job j ON j.id = ti.job_id WHERE ti.task_id = $1 AND j.state = 'failed' ORDER BY ti.name, ti.version, ti.image_id LIMIT $2`
)

// failedImages keeps the failed images of tasks that have ended: to find the few
// of a large task, all its images are looked at. The zero value is empty; it is
// safe for concurrent use.
type failedImages struct {
	mu   sync.Mutex
	num  int
	kept map[endedTask][]FailedImage
}

// An endedTask says what would change if a task had not ended after all.
type endedTask struct {
	id                     string
	ended, success, failed int64
}

func (t *Task) ended() endedTask { return endedTask{t.ID, t.EndTime, t.SuccessNum, t.FailedNum} }

func (f *failedImages) of(t *Task) (images []FailedImage, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	images, ok = f.kept[t.ended()]
	return images, ok
}

func (f *failedImages) keep(t *Task) {
	if t.EndTime == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.num += len(t.FailedImages); f.kept == nil || f.num > maxFailedKept {
		f.num, f.kept = len(t.FailedImages), map[endedTask][]FailedImage{}
	}
	f.kept[t.ended()] = t.FailedImages
}

// readFailed adds the failed images of tasks, at most maxFailedImages of each.
func (s *Store) readFailed(ctx context.Context, tx *sql.Tx, tasks []Task) error {
	few := map[string]*Task{}
	var ids []string
	for i := range tasks {
		t := &tasks[i]
		t.FailedImages = []FailedImage{}
		images, ok := s.failedImages.of(t)
		switch {
		case ok:
			t.FailedImages = images
			continue
		case t.FailedNum == 0:
			continue
		case t.FailedNum <= fewFailed:
			few[t.ID], ids = t, append(ids, t.ID)
			continue
		}
		err := each(ctx, tx, sqlTaskFailed, []any{t.ID, maxFailedImages}, func(r *sql.Rows) error {
			var f FailedImage
			err := r.Scan(&f.Name, &f.Version, &f.Reason)
			t.FailedImages = append(t.FailedImages, f)
			return err
		})
		if err != nil {
			return err
		}
		s.failedImages.keep(t)
	}
	err := eachIn(ctx, tx, sqlFewFailed, ids, func(r *sql.Rows) error {
		var task string
		var f FailedImage
		err := r.Scan(&task, &f.Name, &f.Version, &f.Reason)
		few[task].FailedImages = append(few[task].FailedImages, f)
		return err
	})
	if err != nil {
		return err
	}
	for _, t := range few {
		s.failedImages.keep(t)
	}
	return nil
}
