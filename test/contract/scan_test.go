package contract

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

// statuses maps each image to its scan_status.
func (s *server) statuses() map[string]string {
	s.t.Helper()
	resp, err := s.client().ListImageLocal(&model.ListImageLocalRequest{Limit: new(int32(200))})
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, i := range *resp.DataList {
		out[*i.ImageName+":"+*i.ImageVersion] = *i.ScanStatus
	}
	return out
}

// waiting lists the images that are queued, and lets the agent scan them.
func (s *server) waiting() []string {
	s.t.Helper()
	out := []string{}
	st := s.statuses()
	for _, name := range []string{none, broken, swr, web} {
		if st[name] == "waiting" {
			out = append(out, name)
		}
	}
	s.work()
	return out
}

func infos(list ...model.LocalImageInfo) *[]model.LocalImageInfo { return &list }

func TestBatchScanSelects(t *testing.T) {
	s := newServer(t)
	c := s.client()
	webID, noneID := s.imageID(web), s.imageID(none)
	for _, tc := range []struct {
		name string
		body model.LocalImageBatchScanRequestBody
		want []string
	}{
		{"all", model.LocalImageBatchScanRequestBody{OperateAll: new(true)}, []string{none, swr, web}},
		{"all ignores the list", model.LocalImageBatchScanRequestBody{OperateAll: new(true), ImageInfoList: infos(model.LocalImageInfo{ImageId: &webID})}, []string{none, swr, web}},
		{"all narrowed by a filter", model.LocalImageBatchScanRequestBody{OperateAll: new(true), ImageName: new("web")}, []string{swr, web}},
		{"all narrowed to nothing", model.LocalImageBatchScanRequestBody{OperateAll: new(true), ImageName: new("nothing")}, []string{}},
		{"id", model.LocalImageBatchScanRequestBody{OperateAll: new(false), ImageInfoList: infos(model.LocalImageInfo{ImageId: &webID})}, []string{web}},
		{"id decides", model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageId: &webID, ImageDigest: new(string(configDigest(2))), ImageName: new("x")})}, []string{web}},
		{"config digest", model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageDigest: new(string(configDigest(3)))})}, []string{none}},
		{"manifest digest", model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageDigest: new(string(digest(101)))})}, []string{web}},
		{"repository digest", model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageDigest: new(string(digest(102)))})}, []string{swr}},
		{"name and version", model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageName: new("web"), ImageVersion: new("1.0")})}, []string{web}},
		{"name alone, exact", model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageName: new("web")})}, []string{web}},
		{"the list hides the filters", model.LocalImageBatchScanRequestBody{ImageName: new("nothing"), ImageInfoList: infos(model.LocalImageInfo{ImageId: &noneID})}, []string{none}},
		{"an unknown member beside a known one", model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageId: new("nope")}, model.LocalImageInfo{ImageId: &webID})}, []string{web}},
		{"a member twice", model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageId: &webID}, model.LocalImageInfo{ImageName: new("web")})}, []string{web}},
		{"a broken one beside a good one", model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageName: new("broken")}, model.LocalImageInfo{ImageId: &webID})}, []string{web}},
		{"filter alone", model.LocalImageBatchScanRequestBody{LocalImageType: new("swr_image")}, []string{swr}},
		{"filter by size", model.LocalImageBatchScanRequestBody{ImageSize: new(int64(3000))}, []string{none}},
		{"filter by status", model.LocalImageBatchScanRequestBody{ScanStatus: new("failed")}, []string{}},
		{"filter without a match", model.LocalImageBatchScanRequestBody{ImageName: new("nothing")}, []string{}},
		{"every member", model.LocalImageBatchScanRequestBody{OperateAll: new(false), ImageName: new("web"), ImageVersion: new("1.0"), LocalImageType: new("other_image"),
			ScanStatus: new("success"), ImageSize: new(int64(1000)), StartLatestUpdateTime: new(int64(1)), EndLatestUpdateTime: new(nowMS()),
			StartLatestScanTime: new(int64(1)), EndLatestScanTime: new(nowMS() + 1_000_000)}, []string{web}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Region: "cn-north-4", EnterpriseProjectId: new("all_granted_eps"), Body: &tc.body})
			if err != nil {
				t.Fatal(err)
			}
			if resp.HttpStatusCode != 200 {
				t.Errorf("status %d", resp.HttpStatusCode)
			}
			if d := cmp.Diff(tc.want, s.waiting()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBatchScanRefusals(t *testing.T) {
	s := newServer(t)
	c := s.client()
	long := make([]model.LocalImageInfo, 10_241)
	for i := range long {
		long[i].ImageName = new("web")
	}
	for _, tc := range []struct {
		name string
		body *model.LocalImageBatchScanRequestBody
		code string
	}{
		{"no body", nil, "HSS.0001"},
		{"empty object", &model.LocalImageBatchScanRequestBody{}, "HSS.0001"},
		{"empty list", &model.LocalImageBatchScanRequestBody{OperateAll: new(false), ImageInfoList: infos()}, "HSS.0001"},
		{"a version alone, which does not filter", &model.LocalImageBatchScanRequestBody{ImageVersion: new("1.0")}, "HSS.0001"},
		{"half a pair of times", &model.LocalImageBatchScanRequestBody{StartLatestUpdateTime: new(int64(1_705_000_000_000))}, "HSS.0001"},
		{"a pair of times in the wrong order", &model.LocalImageBatchScanRequestBody{StartLatestScanTime: new(int64(2)), EndLatestScanTime: new(int64(1))}, "HSS.0001"},
		{"only unknown images", &model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageId: new("nope")})}, "HSS.0011"},
		{"a member that names nothing", &model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{})}, "HSS.0011"},
		{"only what cannot be scanned", &model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageName: new("broken")})}, "Onceover.0409"},
		{"too long a list", &model.LocalImageBatchScanRequestBody{ImageInfoList: &long}, "HSS.0001"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Body: tc.body})
			refused(t, err, 400, tc.code)
		})
	}
	long = long[:10_240]
	if _, err := c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Body: &model.LocalImageBatchScanRequestBody{ImageInfoList: &long}}); err != nil {
		t.Errorf("the longest list: %v", err)
	}
	if d := cmp.Diff([]string{web}, s.waiting()); d != "" {
		t.Error(d)
	}
}

// TestStates follows one image through its states, as a client sees them.
func TestStates(t *testing.T) {
	s := newServer(t)
	c := s.client()
	id := s.imageID(none)
	scan := func() {
		t.Helper()
		_, err := c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Body: &model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageId: &id})}})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(status string) {
		t.Helper()
		if got := s.statuses()[none]; got != status {
			t.Errorf("status %s, want %s", got, status)
		}
	}
	want("unscan")
	scan()
	want("waiting")
	scan() // a repeat is harmless
	if n := s.tasks(model.ListImageScanTaskRequest{}); len(n) != 2 {
		t.Errorf("%d tasks, want that of the start and one more", len(n))
	}
	jobs := s.sync(nil).Jobs
	want("scanning")
	task := s.tasks(model.ListImageScanTaskRequest{TaskStatus: new("scanning")})
	if len(task) != 1 || *task[0].TaskStatus != 0 || *task[0].TotalNum != 1 {
		t.Errorf("running tasks: %v", task)
	}
	scan()
	s.finish(jobs[0])
	want("success")
	if got := s.tasks(model.ListImageScanTaskRequest{TaskStatus: new("scanning")}); len(got) != 0 {
		t.Errorf("tasks run on: %v", got)
	}
	if s.imageID(none) != id {
		t.Error("the image has another id after the scan")
	}
}

func (s *server) tasks(req model.ListImageScanTaskRequest) []model.ImageScanTaskInfo {
	s.t.Helper()
	if req.Type == "" {
		req.Type = "image_scan"
	}
	resp, err := s.client().ListImageScanTask(&req)
	if err != nil {
		s.t.Fatal(err)
	}
	if int(*resp.TotalNum) != len(*resp.DataList) {
		s.t.Errorf("total_num %d, %d rows", *resp.TotalNum, len(*resp.DataList))
	}
	return *resp.DataList
}

func TestCreateManualImageScanTask(t *testing.T) {
	s := newServer(t)
	c := s.client()
	for _, tc := range []struct {
		name string
		body model.CreateManualImageScanTaskReqInfo
		want []string
	}{
		{"all", model.CreateManualImageScanTaskReqInfo{IsAll: new(true)}, []string{none, swr, web}},
		{"all narrowed", model.CreateManualImageScanTaskReqInfo{IsAll: new(true), QueryInfo: &model.CreateManualImageScanTaskReqInfoQueryInfo{HasVul: new(true)}}, []string{web}},
		{"listed", model.CreateManualImageScanTaskReqInfo{IsAll: new(false), ImageInfo: &[]model.CreateManualImageScanTaskReqInfoImageInfo{{ImageName: new("web"), ImageVersion: new("1.0")}}}, []string{web}},
		{"by the filter alone", model.CreateManualImageScanTaskReqInfo{QueryInfo: &model.CreateManualImageScanTaskReqInfoQueryInfo{AppName: new("zlib")}}, []string{web}},
		{"what only registries have", model.CreateManualImageScanTaskReqInfo{IsAll: new(true), QueryInfo: &model.CreateManualImageScanTaskReqInfoQueryInfo{Namespace: new("library")}}, []string{}},
		{"clusters", model.CreateManualImageScanTaskReqInfo{IsAll: new(true), QueryInfo: &model.CreateManualImageScanTaskReqInfoQueryInfo{ClusterId: new("c")}}, []string{}},
		{"every filter", model.CreateManualImageScanTaskReqInfo{IsAll: new(true), RateLimit: new(int32(0)), ScanScope: new(int32(0x7fffffff)), QueryInfo: &model.CreateManualImageScanTaskReqInfoQueryInfo{
			LocalImageType: new("other_image"), HostId: new("host-id-1"), HostName: new("node"), PublicIp: new("203.0.113.9"), PrivateIp: new("10.1.2.3"),
			ContainerName: new("front"), PodId: new("pod-id-1"), PodName: new("front"), AppName: new("ssl"), HasVul: new(true),
			ImageName: new("web"), ImageVersion: new("1.0"), ScanStatus: new("success"), ImageSize: new(int64(1000))}}, []string{web}},
	} {
		for _, family := range []string{"local", "local_image"} {
			t.Run(tc.name+" "+family, func(t *testing.T) {
				resp, err := c.CreateManualImageScanTask(&model.CreateManualImageScanTaskRequest{GlobalImageType: &family, Region: new("cn-north-4"), EnterpriseProjectId: new("0"), Body: &tc.body})
				if err != nil {
					t.Fatal(err)
				}
				if resp.HttpStatusCode != 200 {
					t.Errorf("status %d", resp.HttpStatusCode)
				}
				if d := cmp.Diff(tc.want, s.waiting()); d != "" {
					t.Error(d)
				}
			})
		}
	}
	for _, tc := range []struct {
		name   string
		family *string
		body   *model.CreateManualImageScanTaskReqInfo
		status int
		code   string
	}{
		{"registry by default", nil, &model.CreateManualImageScanTaskReqInfo{IsAll: new(true)}, 501, "Onceover.0501"},
		{"registry", new("registry"), &model.CreateManualImageScanTaskReqInfo{IsAll: new(true)}, 501, "Onceover.0501"},
		{"unknown family", new("x"), &model.CreateManualImageScanTaskReqInfo{IsAll: new(true)}, 400, "HSS.0001"},
		{"no body", new("local"), nil, 400, "HSS.0001"},
		{"nothing selected", new("local"), &model.CreateManualImageScanTaskReqInfo{}, 400, "HSS.0001"},
		{"a version alone", new("local"), &model.CreateManualImageScanTaskReqInfo{QueryInfo: &model.CreateManualImageScanTaskReqInfoQueryInfo{ImageVersion: new("1.0")}}, 400, "HSS.0001"},
		{"unknown image", new("local"), &model.CreateManualImageScanTaskReqInfo{ImageInfo: &[]model.CreateManualImageScanTaskReqInfoImageInfo{{Id: new(int64(7))}}}, 400, "HSS.0011"},
		{"rate", new("local"), &model.CreateManualImageScanTaskReqInfo{IsAll: new(true), RateLimit: new(int32(1001))}, 400, "HSS.0001"},
		{"scope", new("local"), &model.CreateManualImageScanTaskReqInfo{IsAll: new(true), ScanScope: new(int32(-1))}, 400, "HSS.0001"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := c.CreateManualImageScanTask(&model.CreateManualImageScanTaskRequest{GlobalImageType: tc.family, Body: tc.body})
			refused(t, err, tc.status, tc.code)
		})
	}
}

func TestTasks(t *testing.T) {
	s := newServer(t)
	c := s.client()
	start := s.tasks(model.ListImageScanTaskRequest{})[0]
	if *start.TaskStatus != 100 || *start.TotalNum != 2 || *start.SuccessNum != 2 || *start.FailedNum != 0 || *start.RiskyNum != 1 ||
		*start.TaskType != "manual" || *start.ImageType != "local" || *start.RemainMin != 0 || *start.EndTime < *start.BeginTime ||
		*start.ScanScope != 0x7fffffff || start.FailedImages == nil || len(*start.FailedImages) != 0 || *start.IsAll {
		t.Errorf("finished task: %v", start)
	}
	yes, no := 1, 0
	for _, tc := range []struct {
		name string
		req  model.ListImageScanTaskRequest
		want int
	}{
		{"local", model.ListImageScanTaskRequest{GlobalImageType: new("local")}, yes},
		{"local_image", model.ListImageScanTaskRequest{GlobalImageType: new("local_image")}, yes},
		{"registry", model.ListImageScanTaskRequest{GlobalImageType: new("registry")}, no},
		{"sync tasks", model.ListImageScanTaskRequest{Type: "image_sync"}, no},
		{"manual", model.ListImageScanTaskRequest{TaskType: new("manual")}, yes},
		{"cycle", model.ListImageScanTaskRequest{TaskType: new("cycle")}, no},
		{"name", model.ListImageScanTaskRequest{TaskName: new("anual_")}, yes},
		{"id", model.ListImageScanTaskRequest{TaskId: start.TaskId}, yes},
		{"another id", model.ListImageScanTaskRequest{TaskId: new("x")}, no},
		{"created since", model.ListImageScanTaskRequest{CreateTime: start.BeginTime}, yes},
		{"created later", model.ListImageScanTaskRequest{CreateTime: new(*start.BeginTime + 1)}, no},
		{"created until", model.ListImageScanTaskRequest{EndTime: start.BeginTime}, yes},
		{"created earlier", model.ListImageScanTaskRequest{EndTime: new(*start.BeginTime - 1)}, no},
		{"finished", model.ListImageScanTaskRequest{TaskStatus: new("finished")}, yes},
		{"running", model.ListImageScanTaskRequest{TaskStatus: new("scanning")}, no},
		{"scope", model.ListImageScanTaskRequest{ScanScope: new(int32(0xf0000))}, yes},
		{"no scope", model.ListImageScanTaskRequest{ScanScope: new(int32(0))}, no},
		{"past the end", model.ListImageScanTaskRequest{Limit: new(int32(10)), EnterpriseProjectId: new("0")}, yes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := len(s.tasks(tc.req)); got != tc.want {
				t.Errorf("%d tasks, want %d", got, tc.want)
			}
		})
	}
	for name, req := range map[string]*model.ListImageScanTaskRequest{
		"no type":        {},
		"unknown type":   {Type: "x"},
		"unknown status": {Type: "image_scan", TaskStatus: new("x")},
		"negative time":  {Type: "image_scan", CreateTime: new(int64(-1))},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListImageScanTask(req)
			refused(t, err, 400, "HSS.0001")
		})
	}

	if _, err := c.CreateManualImageScanTask(&model.CreateManualImageScanTaskRequest{GlobalImageType: new("local"), Body: &model.CreateManualImageScanTaskReqInfo{IsAll: new(true), RateLimit: new(int32(60))}}); err != nil {
		t.Fatal(err)
	}
	running := s.tasks(model.ListImageScanTaskRequest{TaskStatus: new("scanning")})[0]
	if *running.RemainMin != 3 || *running.RateLimit != 60 || !*running.IsAll || *running.EndTime != 0 {
		t.Errorf("running task: %v", running)
	}
	before := s.statuses()
	stop := &model.StopImageScanTaskRequest{TaskId: *running.TaskId, Region: new("cn-north-4"), EnterpriseProjectId: new("0")}
	resp, err := c.StopImageScanTask(stop)
	if err != nil || resp.HttpStatusCode != 200 {
		t.Fatalf("stop: %v, %v", resp, err)
	}
	if got := s.tasks(model.ListImageScanTaskRequest{TaskId: running.TaskId})[0]; *got.TaskStatus != -1 {
		t.Errorf("stopped task: %v", got)
	}
	after := s.statuses()
	if before[web] != "waiting" || after[web] != "success" || after[none] != "unscan" {
		t.Errorf("before the stop %v, after %v", before, after)
	}
	_, err = c.StopImageScanTask(stop)
	refused(t, err, 400, "HSS.0011")
	_, err = c.StopImageScanTask(&model.StopImageScanTaskRequest{TaskId: *start.TaskId})
	refused(t, err, 400, "HSS.0011")
	_, err = c.StopImageScanTask(&model.StopImageScanTaskRequest{TaskId: "nope"})
	refused(t, err, 400, "HSS.0011")
}

// TestExampleRequest sends a request with every member of the list set,
// whose images are not here, and then with the images that are.
func TestExampleRequest(t *testing.T) {
	s := newServer(t)
	b, err := os.ReadFile("testdata/batch-scan.json")
	if err != nil {
		t.Fatal(err)
	}
	var body model.LocalImageBatchScanRequestBody
	if err := json.Unmarshal(b, &body); err != nil {
		t.Fatal(err)
	}
	c := s.client()
	_, err = c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Region: "cn-north-4", Body: &body})
	refused(t, err, 400, "HSS.0011")
	list := *body.ImageInfoList
	list[0] = model.LocalImageInfo{ImageName: new("web"), ImageVersion: new("1.0"), ImageDigest: new(string(configDigest(1))), ImageId: new(s.imageID(web))}
	list[1] = model.LocalImageInfo{ImageName: new(swrName), ImageVersion: new("2.0"), ImageDigest: new(string(configDigest(2))), ImageId: new(s.imageID(swr))}
	if _, err := c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Region: "cn-north-4", Body: &body}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{swr, web}, s.waiting()); d != "" {
		t.Error(d)
	}
}
