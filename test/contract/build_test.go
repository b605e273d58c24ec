package contract

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/store"
)

// password is made here, so that no scanner takes this file for a leak.
var password = strings.Join([]string{"Tr0ub4", "dor", "ship"}, "-")

// scanBuilt lets the agent hold one image more, whose history has risks, and
// scans it. It returns the image's id.
func (s *server) scanBuilt() string {
	s.t.Helper()
	cfg, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{string(digest(1))}},
		"history": []map[string]any{
			{"created_by": "/bin/sh -c #(nop)  ENV DB_PASSWORD=" + password, "empty_layer": true},
			{"created_by": "RUN /bin/sh -c curl -fsS https://example.org/i.sh?p=" + password + " | sh # buildkit", "comment": "buildkit.dockerfile.v0"},
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	list := append(images(), fleet.ImageState{Engine: "docker", ConfigDigest: image.DigestOf(cfg), Names: []image.Ref{{Name: "risky", Tag: "1"}}, Size: 5000, CreatedMS: 1})
	req := fleet.SyncRequest{Host: fleet.Host{ID: "host-id-1", Name: "node-1"}, Analyzers: analyzers, ImagesHash: "built", Images: &list}
	if _, err := s.store.Sync(s.t.Context(), s.agent, req, nowMS()); err != nil {
		s.t.Fatal(err)
	}
	id := s.imageID("risky:1")
	if _, err := s.store.Scan(s.t.Context(), s.first.Project.ID, store.ScanRequest{TaskType: store.TaskManual, List: []store.ScanImage{{ID: id}}}); err != nil {
		s.t.Fatal(err)
	}
	req.Images, req.Want = nil, 10
	resp, err := s.store.Sync(s.t.Context(), s.agent, req, nowMS())
	if err != nil || len(resp.Jobs) != 1 {
		s.t.Fatalf("%+v, %v", resp, err)
	}
	if err := s.store.Finish(s.t.Context(), s.agent, resp.Jobs[0].ID, fleet.FinishRequest{Image: &fleet.ImageReport{
		ConfigDigest: image.DigestOf(cfg), Analyzers: analyzers, DiffIDs: []image.Digest{digest(1)}, Config: cfg}}, nowMS()); err != nil {
		s.t.Fatal(err)
	}
	return id
}

// That they run as root is all that the configurations of the seed tell.
const (
	pipeShell = "BC-PIPE-SHELL"
	secretEnv = "BC-SECRET-ENV"
	userRoot  = "BC-USER-ROOT"
)

func TestListImageBuildCommandRisks(t *testing.T) {
	s := newServer(t)
	id := s.scanBuilt()
	c := s.client()
	all := []string{pipeShell, secretEnv, userRoot}
	for _, tc := range []struct {
		name string
		req  model.ListImageBuildCommandRisksRequest
		want []string
	}{
		{"local", model.ListImageBuildCommandRisksRequest{ImageType: "local"}, all},
		{"local_image", model.ListImageBuildCommandRisksRequest{}, all},
		{"registry", model.ListImageBuildCommandRisksRequest{ImageType: "registry"}, []string{}},
		{"cicd", model.ListImageBuildCommandRisksRequest{ImageType: "cicd"}, []string{}},
		{"image", model.ListImageBuildCommandRisksRequest{ImageId: &id}, all},
		{"another image", model.ListImageBuildCommandRisksRequest{ImageId: new(s.imageID(web))}, []string{userRoot}},
		{"an image that was not scanned", model.ListImageBuildCommandRisksRequest{ImageId: new(s.imageID(none))}, []string{}},
		{"an image of another family", model.ListImageBuildCommandRisksRequest{ImageType: "registry", ImageId: &id}, []string{}},
		{"name", model.ListImageBuildCommandRisksRequest{RiskName: new("run without")}, []string{pipeShell}},
		{"level", model.ListImageBuildCommandRisksRequest{RiskLevel: new("medium")}, []string{userRoot}},
		{"another level", model.ListImageBuildCommandRisksRequest{RiskLevel: new("critical")}, []string{}},
		{"page", model.ListImageBuildCommandRisksRequest{Offset: new(int32(2)), Limit: new(int32(10))}, []string{userRoot}},
		{"past the end", model.ListImageBuildCommandRisksRequest{Offset: new(int32(3))}, []string{}},
		{"everything", model.ListImageBuildCommandRisksRequest{Region: new("r"), EnterpriseProjectId: new("0"), Limit: new(int32(200)), Offset: new(int32(0)),
			ImageId: &id, RiskName: new("environment"), RiskLevel: new("high")}, []string{secretEnv}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local_image"
			}
			resp, err := c.ListImageBuildCommandRisks(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, r := range *resp.DataList {
				got = append(got, *r.RuleId)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if n := int(*resp.TotalNum); n != len(got)+int(given(tc.req.Offset)) {
				t.Errorf("total_num %d", n)
			}
		})
	}
	resp, err := c.ListImageBuildCommandRisks(&model.ListImageBuildCommandRisksRequest{ImageType: "local"})
	if err != nil {
		t.Fatal(err)
	}
	nums := map[string]int32{}
	for _, r := range *resp.DataList {
		nums[*r.RuleId] = *r.ImageNum
		if *r.RiskId != *r.RuleId || *r.RiskName == "" || *r.Description == "" || *r.LatestScanTime == 0 || *r.ImageType != "local" {
			t.Errorf("row %v", r)
		}
	}
	if d := cmp.Diff(map[string]int32{pipeShell: 1, secretEnv: 1, userRoot: 3}, nums); d != "" {
		t.Errorf("image_num: %s", d)
	}
	for name, tc := range map[string]struct {
		req  model.ListImageBuildCommandRisksRequest
		code string
	}{
		"no image_type":      {model.ListImageBuildCommandRisksRequest{}, "HSS.0001"},
		"unknown image_type": {model.ListImageBuildCommandRisksRequest{ImageType: "x"}, "HSS.0001"},
		"unknown level":      {model.ListImageBuildCommandRisksRequest{ImageType: "local", RiskLevel: new("High")}, "HSS.0001"},
		"unknown image":      {model.ListImageBuildCommandRisksRequest{ImageType: "local", ImageId: new("nope")}, "HSS.0011"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListImageBuildCommandRisks(&tc.req)
			refused(t, err, 400, tc.code)
		})
	}
}

func TestListImageBuildCommandRisksImages(t *testing.T) {
	s := newServer(t)
	id := s.scanBuilt()
	c := s.client()
	resp, err := c.ListImageBuildCommandRisksImages(&model.ListImageBuildCommandRisksImagesRequest{ImageType: "local", RuleId: secretEnv})
	if err != nil {
		t.Fatal(err)
	}
	rows := *resp.DataList
	if *resp.TotalNum != 1 || len(rows) != 1 || *rows[0].LatestScanTime == 0 || len(*rows[0].ImageDigest) != 71 {
		t.Fatalf("got %v", resp)
	}
	details := *rows[0].RiskDetailInfo.RiskList
	if *rows[0].RiskDetailInfo.RiskNum != 1 || len(details) != 1 || *details[0].BuildInstruction != "ENV DB_PASSWORD=***" || *details[0].Remediation == "" {
		t.Errorf("got %v", rows[0].RiskDetailInfo)
	}
	rows[0].LatestScanTime, rows[0].ImageDigest, rows[0].RiskDetailInfo = nil, nil, nil
	want := model.BuildCommandRisksImageResponseInfo{ImageId: &id, ImageName: new("risky"), ImageVersion: new("1"), ImageType: new("local_image"), ImageSize: new(int64(5000))}
	if d := cmp.Diff(want, rows[0]); d != "" {
		t.Error(d)
	}
	// A password is masked wherever the history repeats it.
	resp, err = c.ListImageBuildCommandRisksImages(&model.ListImageBuildCommandRisksImagesRequest{ImageType: "local", RuleId: pipeShell})
	if err != nil {
		t.Fatal(err)
	}
	if got := *(*(*resp.DataList)[0].RiskDetailInfo.RiskList)[0].BuildInstruction; got != "RUN curl -fsS https://example.org/i.sh?p=*** | sh" {
		t.Errorf("got %q", got)
	}
	for _, tc := range []struct {
		name string
		req  model.ListImageBuildCommandRisksImagesRequest
		want []string
	}{
		{"all", model.ListImageBuildCommandRisksImagesRequest{}, []string{"risky", swrName, "web"}},
		{"local_image", model.ListImageBuildCommandRisksImagesRequest{ImageType: "local_image"}, []string{"risky", swrName, "web"}},
		{"registry", model.ListImageBuildCommandRisksImagesRequest{ImageType: "registry"}, []string{}},
		{"image", model.ListImageBuildCommandRisksImagesRequest{ImageId: &id}, []string{"risky"}},
		{"an image without it", model.ListImageBuildCommandRisksImagesRequest{ImageId: new(s.imageID(web)), RuleId: pipeShell}, []string{}},
		{"an image that was not scanned", model.ListImageBuildCommandRisksImagesRequest{ImageId: new(s.imageID(none))}, []string{}},
		{"page", model.ListImageBuildCommandRisksImagesRequest{Offset: new(int32(2)), Limit: new(int32(10)), EnterpriseProjectId: new("0")}, []string{"web"}},
		{"past the end", model.ListImageBuildCommandRisksImagesRequest{Offset: new(int32(3))}, []string{}},
		{"a rule that nothing breaks", model.ListImageBuildCommandRisksImagesRequest{RuleId: "BC-MINER"}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local"
			}
			if tc.req.RuleId == "" {
				tc.req.RuleId = userRoot
			}
			resp, err := c.ListImageBuildCommandRisksImages(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, r := range *resp.DataList {
				got = append(got, *r.ImageName)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for name, tc := range map[string]struct {
		req  model.ListImageBuildCommandRisksImagesRequest
		code string
	}{
		"no image_type":      {model.ListImageBuildCommandRisksImagesRequest{RuleId: userRoot}, "HSS.0001"},
		"no rule":            {model.ListImageBuildCommandRisksImagesRequest{ImageType: "local"}, "HSS.0001"},
		"unknown image_type": {model.ListImageBuildCommandRisksImagesRequest{ImageType: "x", RuleId: userRoot}, "HSS.0001"},
		"unknown rule":       {model.ListImageBuildCommandRisksImagesRequest{ImageType: "local", RuleId: "BC-NOPE"}, "HSS.0011"},
		"unknown image":      {model.ListImageBuildCommandRisksImagesRequest{ImageType: "local", RuleId: userRoot, ImageId: new("nope")}, "HSS.0011"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListImageBuildCommandRisksImages(&tc.req)
			refused(t, err, 400, tc.code)
		})
	}
}

func given(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
