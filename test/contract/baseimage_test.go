package contract

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// scanMore lets the agent hold one image more, made of some layers, and scans it.
// It returns the image's id.
func (s *server) scanMore(name string, layers ...*report.LayerReport) string {
	s.t.Helper()
	var ids []image.Digest
	for _, l := range layers {
		if err := s.store.PutLayer(s.t.Context(), l); err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, image.Digest(l.DiffID))
	}
	cfg, err := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
	if err != nil {
		s.t.Fatal(err)
	}
	list := append(images(), fleet.ImageState{Engine: "docker", ConfigDigest: image.DigestOf(cfg), Names: []image.Ref{{Name: name, Tag: "1"}}, Size: 5000, CreatedMS: 1})
	req := fleet.SyncRequest{Host: fleet.Host{ID: "host-id-1", Name: "node-1"}, Analyzers: analyzers, ImagesHash: name, Images: &list}
	if _, err := s.store.Sync(s.t.Context(), s.agent, req, nowMS()); err != nil {
		s.t.Fatal(err)
	}
	id := s.imageID(name + ":1")
	if _, err := s.store.Scan(s.t.Context(), s.first.Project.ID, store.ScanRequest{TaskType: store.TaskManual, List: []store.ScanImage{{ID: id}}}); err != nil {
		s.t.Fatal(err)
	}
	req.Images, req.Want = nil, 10
	resp, err := s.store.Sync(s.t.Context(), s.agent, req, nowMS())
	if err != nil || len(resp.Jobs) != 1 {
		s.t.Fatalf("%+v, %v", resp, err)
	}
	if err := s.store.Finish(s.t.Context(), s.agent, resp.Jobs[0].ID, fleet.FinishRequest{Image: &fleet.ImageReport{
		ConfigDigest: image.DigestOf(cfg), Analyzers: analyzers, DiffIDs: ids, Config: cfg}}, nowMS()); err != nil {
		s.t.Fatal(err)
	}
	return id
}

func TestListImageBasicImage(t *testing.T) {
	s := newServer(t)
	top := &report.LayerReport{DiffID: string(digest(50)), Analyzers: analyzers, Complete: true}
	id := s.scanMore("child", layer(1), top)
	c := s.client()
	base := []model.ImageBasicImageInfo{{OsName: new("Debian GNU/Linux 12 (bookworm)"), OsVersion: new("12"), LayerDigest: new(string(digest(1)))}}
	nothing := []model.ImageBasicImageInfo{}
	for _, tc := range []struct {
		name string
		req  model.ListImageBasicImageRequest
		want []model.ImageBasicImageInfo
	}{
		{"by layers", model.ListImageBasicImageRequest{}, base},
		{"local", model.ListImageBasicImageRequest{ImageType: "local"}, base},
		{"registry", model.ListImageBasicImageRequest{ImageType: "shared_image"}, nothing},
		{"an image that was not scanned", model.ListImageBasicImageRequest{ImageId: s.imageID(none)}, nothing},
		{"system", model.ListImageBasicImageRequest{OsName: new("Debian")}, base},
		{"another system", model.ListImageBasicImageRequest{OsName: new("Alpine")}, nothing},
		{"past the end", model.ListImageBasicImageRequest{Offset: new(int32(1))}, nothing},
		{"everything", model.ListImageBasicImageRequest{Region: "r", EnterpriseProjectId: new("0"), Limit: new(int32(10)), Offset: new(int32(0)), Namespace: new("n"),
			ImageName: new("child"), ImageVersion: new("1"), OsName: new("GNU")}, base},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local_image"
			}
			if tc.req.ImageId == "" {
				tc.req.ImageId = id
			}
			resp, err := c.ListImageBasicImage(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, *resp.DataList); d != "" {
				t.Error(d)
			}
			if n := int(*resp.TotalNum); n != len(tc.want)+int(given(tc.req.Offset)) {
				t.Errorf("total_num %d", n)
			}
		})
	}
	// The base itself shows its system.
	resp, err := c.ListImageBasicImage(&model.ListImageBasicImageRequest{ImageType: "local", ImageId: s.imageID(web)})
	if err != nil || len(*resp.DataList) != 1 || *(*resp.DataList)[0].LayerDigest != string(digest(1)) {
		t.Errorf("%v, %v", resp, err)
	}
	_, err = c.ListImageBasicImage(&model.ListImageBasicImageRequest{ImageId: id})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ListImageBasicImage(&model.ListImageBasicImageRequest{ImageId: "nope", ImageType: "local"})
	refused(t, err, 400, "HSS.0011")
}
