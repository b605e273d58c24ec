package contract

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/store"
)

func policyTypes() (cycle, manual model.ListImageScanPolicyRequestType) {
	e := model.GetListImageScanPolicyRequestTypeEnum()
	return e.CYCLE, e.MANUAL
}

func TestScanPolicy(t *testing.T) {
	s := newServer(t)
	c := s.client()
	cycle, manual := policyTypes()
	get := func(req model.ListImageScanPolicyRequest) *model.ListImageScanPolicyResponse {
		t.Helper()
		got, err := c.ListImageScanPolicy(&req)
		if err != nil {
			t.Fatal(err)
		}
		got.HttpStatusCode = 0
		return got
	}
	none := &[]model.ImageScanPolicyRespInfoRegistryList{}
	want := &model.ListImageScanPolicyResponse{IsAll: new(true), Enabled: new(false), ScanCycle: new(int32(7)), ScanScope: new(int32(0x7fffffff)),
		RateLimit: new(int32(0)), TimeScope: new(int32(0)), TotalRegistryNum: new(int32(0)), RegistryList: none}
	if d := cmp.Diff(want, get(model.ListImageScanPolicyRequest{Type: cycle})); d != "" {
		t.Errorf("before it is set: %s", d)
	}
	body := func() *model.CycleImageScanPolicyReqInfo {
		return &model.CycleImageScanPolicyReqInfo{Enabled: true, ScanCycle: 3, ScanScope: 0xf0000, RateLimit: 1000, TimeScope: 0, RegistryInfo: []model.CycleImageScanPolicyReqInfoRegistryInfo{}}
	}
	resp, err := c.ModifyImageScanPolicy(&model.ModifyImageScanPolicyRequest{Region: new("cn-north-4"), EnterpriseProjectId: new("0"), Body: body()})
	if err != nil || resp.HttpStatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	want.Enabled, want.ScanCycle, want.ScanScope, want.RateLimit = new(true), new(int32(3)), new(int32(0xf0000)), new(int32(1000))
	if d := cmp.Diff(want, get(model.ListImageScanPolicyRequest{Type: cycle, GlobalImageType: new("local"), EnterpriseProjectId: new("all_granted_eps")})); d != "" {
		t.Error(d)
	}

	if n, err := s.store.FirePolicies(t.Context(), nowMS()); n != 1 || err != nil {
		t.Fatalf("fired %d, %v", n, err)
	}
	task := s.tasks(model.ListImageScanTaskRequest{TaskType: new("cycle")})
	if len(task) != 1 || task[0].PolicyId == nil || *task[0].PolicyId == "" || *task[0].RateLimit != 1000 || *task[0].ScanScope != 0xf0000 || !*task[0].IsAll || *task[0].TotalNum != 3 {
		t.Errorf("%v", task)
	}
	if manually := s.tasks(model.ListImageScanTaskRequest{TaskType: new("manual")})[0]; manually.PolicyId != nil {
		t.Errorf("a manual task of a policy: %v", manually)
	}

	for name, change := range map[string]func(*model.CycleImageScanPolicyReqInfo){
		"cycle":        func(b *model.CycleImageScanPolicyReqInfo) { b.ScanCycle = 4 },
		"scope":        func(b *model.CycleImageScanPolicyReqInfo) { b.ScanScope = -1 },
		"rate":         func(b *model.CycleImageScanPolicyReqInfo) { b.RateLimit = 1001 },
		"time scope":   func(b *model.CycleImageScanPolicyReqInfo) { b.TimeScope = 2 },
		"registries":   func(b *model.CycleImageScanPolicyReqInfo) { b.RegistryInfo = nil },
		"nothing":      func(b *model.CycleImageScanPolicyReqInfo) { *b = model.CycleImageScanPolicyReqInfo{} },
		"negative day": func(b *model.CycleImageScanPolicyReqInfo) { b.ScanCycle = -3 },
	} {
		t.Run(name, func(t *testing.T) {
			b := body()
			change(b)
			_, err := c.ModifyImageScanPolicy(&model.ModifyImageScanPolicyRequest{Body: b})
			refused(t, err, 400, "HSS.0001")
		})
	}
	if d := cmp.Diff(want, get(model.ListImageScanPolicyRequest{Type: cycle})); d != "" {
		t.Errorf("after refusals: %s", d)
	}
	_, err = c.ModifyImageScanPolicy(&model.ModifyImageScanPolicyRequest{})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ListImageScanPolicy(&model.ListImageScanPolicyRequest{})
	refused(t, err, 400, "HSS.0001")

	// The last manual scan was that of the test server, of a list.
	got := get(model.ListImageScanPolicyRequest{Type: manual})
	if d := cmp.Diff(&model.ListImageScanPolicyResponse{IsAll: new(false), ScanScope: new(int32(0x7fffffff)), RateLimit: new(int32(0)), TotalRegistryNum: new(int32(0)), RegistryList: none}, got); d != "" {
		t.Error(d)
	}
	time.Sleep(2 * time.Millisecond) // so that it is the later one
	if err := s.store.StopTask(t.Context(), s.first.Project.ID, *task[0].TaskId, store.Actor{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateManualImageScanTask(&model.CreateManualImageScanTaskRequest{GlobalImageType: new("local"), Body: &model.CreateManualImageScanTaskReqInfo{IsAll: new(true), RateLimit: new(int32(60)), ScanScope: new(int32(0xf000))}}); err != nil {
		t.Fatal(err)
	}
	if got := get(model.ListImageScanPolicyRequest{Type: manual}); !*got.IsAll || *got.RateLimit != 60 || *got.ScanScope != 0xf000 || got.Enabled != nil {
		t.Errorf("%v", got)
	}
}
