package contract

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

func TestListContainerImageLogs(t *testing.T) {
	s := newServer(t)
	c := s.client()
	ask := func(change func(*model.ListContainerImageLogsRequest)) (total int32, lines []string) {
		t.Helper()
		var req model.ListContainerImageLogsRequest
		change(&req)
		resp, err := c.ListContainerImageLogs(&req)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range *resp.DataList {
			if *e.EventId == "" || *e.Time < 1_700_000_000_000 || !strings.HasSuffix(*e.Content, ".") {
				t.Errorf("got %v", e)
			}
			name := *e.ResourceName
			if *e.ResourceType == "scan_task" {
				name = "a task"
			}
			lines = append(lines, strings.Join([]string{*e.EventType, *e.EventName, *e.ResourceType, name, *e.SourceIp, *e.UserName}, " "))
		}
		return *resp.TotalNum, lines
	}
	all := func(*model.ListContainerImageLogsRequest) {}
	// What the server was made with, newest first.
	seeded := []string{
		"scan scan_succeeded image " + swrName + ":2.0 10.1.2.3 agent node-1",
		"scan scan_succeeded image web:1.0 10.1.2.3 agent node-1",
		"scan scan_requested scan_task a task  onceover",
		"image image_appeared image web:1.0 10.1.2.3 agent node-1",
		"image image_appeared image " + swrName + ":2.0 10.1.2.3 agent node-1",
		"image image_appeared image broken:1 10.1.2.3 agent node-1",
		"image image_appeared image <none>:<none> 10.1.2.3 agent node-1",
	}
	sorted := cmp.Transformer("scans", func(lines []string) map[string]int { // in the order of jobs
		out := map[string]int{}
		for _, l := range lines {
			out[l]++
		}
		return out
	})
	if n, got := ask(all); n != 7 || !cmp.Equal(seeded, got, sorted) {
		t.Error(n, cmp.Diff(seeded, got, sorted))
	}

	// What a client does carries its access key and address.
	if _, err := c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Body: &model.LocalImageBatchScanRequestBody{
		ImageInfoList: infos(model.LocalImageInfo{ImageId: new(s.imageID(web))})}}); err != nil {
		t.Fatal(err)
	}
	tasks, err := c.ListImageScanTask(&model.ListImageScanTaskRequest{Type: "image_scan", GlobalImageType: new("local"), TaskStatus: new("scanning")})
	if err != nil || len(*tasks.DataList) != 1 {
		t.Fatal(tasks, err)
	}
	if _, err := c.StopImageScanTask(&model.StopImageScanTaskRequest{TaskId: *(*tasks.DataList)[0].TaskId}); err != nil {
		t.Fatal(err)
	}
	ak := s.first.Key.AK
	mine := []string{"scan scan_stopped scan_task a task 127.0.0.1 " + ak, "scan scan_requested image web:1.0 127.0.0.1 " + ak}
	resp, err := c.ListContainerImageLogs(&model.ListContainerImageLogsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	rows := *resp.DataList
	newest, oldest := rows[0].Time, rows[len(rows)-1].Time
	for _, tc := range []struct {
		name   string
		change func(*model.ListContainerImageLogsRequest)
		want   []string
		total  int32
	}{
		{"required", all, append(mine[:2:2], seeded...), 9},
		{"user", func(r *model.ListContainerImageLogsRequest) { r.UserName = &ak }, mine, 2},
		{"a part of a user", func(r *model.ListContainerImageLogsRequest) { r.UserName = new("agent") }, nil, 0},
		{"address", func(r *model.ListContainerImageLogsRequest) { r.SourceIp = new("127.0.0.1") }, mine, 2},
		{"name", func(r *model.ListContainerImageLogsRequest) { r.EventName = new("scan_stopped") }, mine[:1], 1},
		{"type", func(r *model.ListContainerImageLogsRequest) { r.EventType = new("image") }, seeded[3:], 4},
		{"resource type", func(r *model.ListContainerImageLogsRequest) { r.ResourceType = new("scan_task") }, []string{mine[0], seeded[2]}, 2},
		{"resource", func(r *model.ListContainerImageLogsRequest) { r.ResourceName = new("broken") }, seeded[5:6], 1},
		{"from", func(r *model.ListContainerImageLogsRequest) { r.StartTime = new(*newest + 1) }, nil, 0},
		{"to", func(r *model.ListContainerImageLogsRequest) { r.EndTime = new(*oldest - 1) }, nil, 0},
		{"everything", func(r *model.ListContainerImageLogsRequest) {
			r.ResourceName, r.ResourceType, r.EventType, r.EventName = new("web"), new("image"), new("scan"), new("scan_requested")
			r.SourceIp, r.UserName, r.StartTime, r.EndTime, r.Limit, r.Offset = new("127.0.0.1"), &ak, oldest, newest, new(int32(10)), new(int32(0))
		}, mine[1:], 1},
		{"past the end", func(r *model.ListContainerImageLogsRequest) { r.Offset = new(int32(9)) }, nil, 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if n, got := ask(tc.change); n != tc.total || !cmp.Equal(tc.want, got, sorted) {
				t.Error(n, cmp.Diff(tc.want, got, sorted))
			}
		})
	}
}
