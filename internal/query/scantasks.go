package query

import (
	"net/http"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
	"github.com/onceover/onceover/internal/wire"
)

const tasksPath = Prefix + "{project_id}/scan-tasks/"

// Whose tasks latest looks for, beside the id of an access key.
const (
	byMe  = "me"
	byAny = "any"
)

type scanTask struct {
	ID    string `json:"task_id"`
	Name  string `json:"task_name"`
	Type  string `json:"task_type"`
	By    string `json:"created_by"`
	State string `json:"state"`
	// Progress is how much of the images has ended, in percent; 100 at the
	// end alone.
	Progress     int64  `json:"progress"`
	BeginTime    int64  `json:"begin_time"`
	EndTime      int64  `json:"end_time,omitempty"`
	RemainMin    int64  `json:"remain_min"`
	Scope        int64  `json:"scan_scope"`
	RateLimit    int64  `json:"rate_limit"`
	All          bool   `json:"is_all"`
	TotalNum     int64  `json:"total_num"`
	SuccessNum   int64  `json:"success_num"`
	FailedNum    int64  `json:"failed_num"`
	RiskyNum     int64  `json:"risky_num"`
	FailedReason string `json:"failed_reason,omitempty"`
}

type taskImage struct {
	ID            string    `json:"image_id"`
	Name          string    `json:"image_name"`
	Version       string    `json:"image_version"`
	Digest        string    `json:"image_digest,omitempty"`
	Status        string    `json:"status"`
	FailedReason  string    `json:"failed_reason,omitempty"`
	EndTime       int64     `json:"end_time,omitempty"`
	SeverityLevel string    `json:"severity_level,omitempty"`
	Vuls          *taskVuls `json:"vulnerabilities,omitempty"` // of a success
}

type taskVuls struct {
	Critical int64 `json:"critical"`
	High     int64 `json:"high"`
	Medium   int64 `json:"medium"`
	Low      int64 `json:"low"`
	Unknown  int64 `json:"unknown"`
}

type taskDetail struct {
	scanTask
	ImageNum int64       `json:"image_num"` // of the status that was asked for
	Images   []taskImage `json:"images"`
}

// latestTask answers what BatchScanLocalImage does not: which task it made.
func (a *api) latestTask(r *http.Request, c tenant.Call) (any, error) {
	if err := known(r, "by", "task_type"); err != nil {
		return nil, err
	}
	f := store.TaskFilter{By: r.URL.Query().Get("by"), TaskType: r.URL.Query().Get("task_type")}
	switch f.TaskType {
	case "", store.TaskManual, store.TaskCycle:
	default:
		return nil, fault.New(fault.Invalid, "task_type %q: want %s or %s", f.TaskType, store.TaskManual, store.TaskCycle)
	}
	switch f.By {
	case "", byMe:
		f.By = c.Key.By()
	case byAny:
		f.By = ""
	}
	var newest *store.Task
	err := tenant.Act(c, func(t string) error {
		list, _, err := a.store.Tasks(r.Context(), t, f, store.Page{Limit: 1})
		if len(list) > 0 && (newest == nil || list[0].BeginTime > newest.BeginTime) {
			newest = &list[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if newest == nil {
		return nil, fault.New(fault.NotFound, "there is no such scan task yet")
	}
	return newScanTask(*newest), nil
}

func (a *api) scanTask(r *http.Request, c tenant.Call) (any, error) {
	id, err := wire.PathParam(r, "id")
	if err != nil {
		return nil, err
	}
	_, page, err := listParams(r, "status", "offset", "limit")
	if err != nil {
		return nil, err
	}
	status := r.URL.Query().Get("status")
	switch status {
	case "", store.StatusWaiting, store.StatusScanning, store.StatusSuccess, store.StatusFailed, store.StatusStopped:
	default:
		return nil, fault.New(fault.Invalid, "status %q: want waiting, scanning, success, failed or stopped", status)
	}
	return tenant.Found(c, func(t string) (*taskDetail, error) {
		images, total, err := a.store.TaskImages(r.Context(), t, id, status, page)
		if err != nil {
			return nil, err
		}
		list, _, err := a.store.Tasks(r.Context(), t, store.TaskFilter{ID: id}, store.Page{Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, fault.New(fault.NotFound, "there is no scan task %s", id)
		}
		out := &taskDetail{scanTask: newScanTask(list[0]), ImageNum: total, Images: []taskImage{}}
		for _, i := range images {
			out.Images = append(out.Images, newTaskImage(i))
		}
		return out, nil
	})
}

func newScanTask(t store.Task) scanTask {
	out := scanTask{
		ID: t.ID, Name: t.Name, Type: t.TaskType, By: t.By, State: t.State, BeginTime: t.BeginTime, EndTime: t.EndTime, RemainMin: t.RemainMin,
		Scope: t.Scope, RateLimit: t.RateLimit, All: t.All,
		TotalNum: t.TotalNum, SuccessNum: t.SuccessNum, FailedNum: t.FailedNum, RiskyNum: t.RiskNum, FailedReason: t.FailedReason,
	}
	switch {
	case t.TotalNum > 0:
		out.Progress = (t.SuccessNum + t.FailedNum) * 100 / t.TotalNum
	case t.EndTime > 0:
		out.Progress = 100
	}
	return out
}

func newTaskImage(i store.TaskImage) taskImage {
	out := taskImage{ID: i.ID, Name: i.Name, Version: i.Version, Digest: i.ConfigDigest, Status: i.Status, FailedReason: i.FailedReason, EndTime: i.EndTime}
	if i.Status == store.StatusSuccess {
		out.SeverityLevel, out.Vuls = i.SeverityLevel, new(taskVuls(i.Vuls))
	}
	return out
}
