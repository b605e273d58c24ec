package hss

import (
	"context"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

const (
	// maxImageList is how many images one request may list.
	maxImageList = 10_240
	// scopeAll asks for every class of risk.
	scopeAll = 0x7fffffff
	// maxRate is the highest rate limit, in images per hour.
	maxRate = 1000
	// maxTaskNum is how many tasks HSS counts.
	maxTaskNum = 1000
)

type batchScanIn struct {
	BatchScanLocalImageParams
	Body LocalImageBatchScanRequestBody `body:"json"`
}

func (a *api) batchScanLocalImage(ctx context.Context, c call, in *batchScanIn) (*none, error) {
	b := &in.Body
	req := store.ScanRequest{
		All: value(b.OperateAll), TaskType: store.TaskManual, Scope: scopeAll,
		Filter: store.ImageFilter{
			Name: value(b.ImageName), Version: value(b.ImageVersion),
			LocalType: value(b.LocalImageType), Status: scanStatus(value(b.ScanStatus)), Size: b.ImageSize,
			UpdatedFrom: b.StartLatestUpdateTime, UpdatedTo: b.EndLatestUpdateTime,
			ScannedFrom: b.StartLatestScanTime, ScannedTo: b.EndLatestScanTime,
		},
	}
	for _, i := range value(b.ImageInfoList) {
		req.List = append(req.List, store.ScanImage{
			ID: value(i.ImageId), Digest: value(i.ImageDigest), Name: value(i.ImageName), Version: value(i.ImageVersion)})
	}
	return nil, a.scan(ctx, c, req, "operate_all, image_info_list")
}

type createScanTaskIn struct {
	CreateManualImageScanTaskParams
	Body CreateManualImageScanTaskReqInfo `body:"json"`
}

func (a *api) createManualImageScanTask(ctx context.Context, c call, in *createScanTaskIn) (*none, error) {
	if !isLocal(value(in.GlobalImageType)) { // the default is registry
		return nil, fault.New(fault.Unsupported, "registry images are not supported: set global_image_type=local")
	}
	b := &in.Body
	rate, scope := int64(value(b.RateLimit)), int64(scopeAll)
	if rate < 0 || rate > maxRate {
		return nil, fault.New(fault.Invalid, "rate_limit: %d is not from 0 to %d", rate, maxRate)
	}
	if b.ScanScope != nil {
		if scope = int64(*b.ScanScope); scope < 0 {
			return nil, fault.New(fault.Invalid, "scan_scope: %d is not a mask of risk classes", scope)
		}
	}
	req := store.ScanRequest{All: value(b.IsAll), TaskType: store.TaskManual, Scope: scope, RateLimit: rate}
	for _, i := range value(b.ImageInfo) {
		req.List = append(req.List, store.ScanImage{
			ID: value(i.ImageId), Digest: value(i.ImageDigest), Name: value(i.ImageName), Version: value(i.ImageVersion)})
	}
	if q := b.QueryInfo; q != nil {
		byFilter := req.All || len(req.List) == 0
		if byFilter && (value(q.ClusterId) != "" || value(q.Namespace) != "" || value(q.ImageType) != "" && !isLocal(value(q.ImageType))) {
			// No local image has these, so nothing is selected.
			return nil, nil
		}
		req.Filter = queryFilter(q)
	}
	return nil, a.scan(ctx, c, req, "is_all, image_info")
}

func queryFilter(q *CreateManualImageScanTaskReqInfoQueryInfo) store.ImageFilter {
	return store.ImageFilter{
		Name: value(q.ImageName), Version: value(q.ImageVersion),
		LocalType: value(q.LocalImageType), Status: scanStatus(value(q.ScanStatus)), Size: q.ImageSize,
		UpdatedFrom: q.StartLatestUpdateTime, UpdatedTo: q.EndLatestUpdateTime,
		ScannedFrom: q.StartLatestScanTime, ScannedTo: q.EndLatestScanTime,
		HasVul:   q.HasVul,
		HostName: value(q.HostName), HostID: value(q.HostId), PrivateIP: value(q.PrivateIp), PublicIP: value(q.PublicIp),
		ContainerID: value(q.ContainerId), ContainerName: value(q.ContainerName),
		PodID: value(q.PodId), PodName: value(q.PodName), AppName: value(q.AppName),
	}
}

// scan applies the precedence of both scan requests: all, narrowed by the
// filters; else the list; else the filters; else an error that names the
// members that are missing.
func (a *api) scan(ctx context.Context, c call, req store.ScanRequest, members string) error {
	if len(req.List) > maxImageList {
		return fault.New(fault.Invalid, "%d images are listed: the limit is %d", len(req.List), maxImageList)
	}
	switch {
	case req.All:
		req.List = nil
	case len(req.List) > 0:
		req.Filter = store.ImageFilter{}
	case req.Filter.IsZero():
		return fault.New(fault.Invalid, "the request selects no image: give %s or a filter", members)
	}
	req.By = c.Actor()
	return tenant.Act(c.Call, func(t string) error {
		_, err := a.store.Scan(ctx, t, req)
		return err
	})
}

func (a *api) listImageScanTask(ctx context.Context, c call, in *ListImageScanTaskParams) (*ListImageScanTaskResponse, error) {
	var rows []store.Task
	var total int64
	kind := value(in.GlobalImageType)
	if in.Type == "image_scan" && (kind == "" || isLocal(kind)) {
		f := store.TaskFilter{
			ID: value(in.TaskId), Name: value(in.TaskName), TaskType: value(in.TaskType), From: in.CreateTime, To: in.EndTime,
		}
		if s := value(in.TaskStatus); s != "" {
			f.Running = new(s == "scanning")
		}
		if in.ScanScope != nil {
			f.Scope = new(int64(*in.ScanScope))
		}
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.Task, int64, error) {
			return a.store.Tasks(ctx, t, f, p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageScanTaskInfo, len(rows))
	for i, r := range rows {
		failed := make([]ImageScanTaskInfoFailedImages, len(r.FailedImages))
		for j, f := range r.FailedImages {
			failed[j] = ImageScanTaskInfoFailedImages{ImageName: &f.Name, ImageVersion: &f.Version, FailedReason: &f.Reason}
		}
		list[i] = ImageScanTaskInfo{
			TaskId: &r.ID, TaskName: &r.Name, TaskType: &r.TaskType, PolicyId: given(r.PolicyID), ImageType: new("local"),
			BeginTime: &r.BeginTime, EndTime: &r.EndTime, RemainMin: &r.RemainMin, TaskStatus: new(int32(r.Status)),
			ScanScope: int32p(r.Scope), RateLimit: int32p(r.RateLimit), IsAll: &r.All,
			TotalNum: int32p(r.TotalNum), SuccessNum: int32p(r.SuccessNum), FailedNum: int32p(r.FailedNum), RiskyNum: int32p(r.RiskNum),
			FailedReason: &r.FailedReason, FailedImages: &failed,
		}
	}
	return &ListImageScanTaskResponse{TotalNum: int32p(min(total, maxTaskNum)), DataList: &list}, nil
}

type stopTaskIn struct {
	StopImageScanTaskParams
	TaskID string `path:"task_id"`
}

func (a *api) stopImageScanTask(ctx context.Context, c call, in *stopTaskIn) (*none, error) {
	return nil, tenant.Act(c.Call, func(t string) error { return a.store.StopTask(ctx, t, strings.TrimSpace(in.TaskID), c.Actor()) })
}
