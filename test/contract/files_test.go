package contract

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/report"
)

// scanFiles scans an image of two layers with files, of which the upper hides
// one. It returns the image's id.
func (s *server) scanFiles() string {
	s.t.Helper()
	of := func(n int, files ...report.File) *report.LayerReport {
		l := &report.LayerReport{DiffID: string(digest(n)), Analyzers: analyzers, Complete: true, FilesRead: true, Files: files}
		for _, f := range files {
			l.Passed = append(l.Passed, report.PathHash(f.Path))
		}
		l.Normalize()
		return l
	}
	return s.scanMore("files", of(60, report.File{Path: "/bin/ls", Size: 10}, report.File{Path: "/bin/tool", Size: 20}),
		of(61, report.File{Path: "/bin/tool", Size: 30}, report.File{Path: "/srv/big", Size: 3 << 30}))
}

func TestListImageFiles(t *testing.T) {
	s := newServer(t)
	id := s.scanFiles()
	c := s.client()
	all := []string{"/bin/ls", "/bin/tool", "/srv/big"}
	for _, tc := range []struct {
		name string
		req  model.ListImageFilesRequest
		want []string
	}{
		{"all", model.ListImageFilesRequest{}, all},
		{"local", model.ListImageFilesRequest{ImageType: "local"}, all},
		{"registry", model.ListImageFilesRequest{ImageType: "instance_image"}, []string{}},
		{"name", model.ListImageFilesRequest{FileName: new("oo")}, []string{"/bin/tool"}},
		{"not the directory", model.ListImageFilesRequest{FileName: new("bin")}, []string{}},
		{"an image that was not scanned", model.ListImageFilesRequest{ImageId: s.imageID(none)}, []string{}},
		{"past the end", model.ListImageFilesRequest{Offset: new(int32(3))}, []string{}},
		{"everything", model.ListImageFilesRequest{EnterpriseProjectId: new("0"), Limit: new(int32(10)), Offset: new(int32(1)), Namespace: new("n"),
			ImageName: new("files"), TagName: new("1"), FileName: new("l")}, []string{"/bin/tool"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local_image"
			}
			if tc.req.ImageId == "" {
				tc.req.ImageId = id
			}
			resp, err := c.ListImageFiles(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, f := range *resp.DataList {
				got = append(got, *f.FilePath)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if n := int(*resp.TotalNum); n != len(got)+int(given(tc.req.Offset)) {
				t.Errorf("total_num %d", n)
			}
		})
	}
	resp, err := c.ListImageFiles(&model.ListImageFilesRequest{ImageType: "local", ImageId: id, FileName: new("tool")})
	if err != nil {
		t.Fatal(err)
	}
	// The size is that of the file on top.
	if d := cmp.Diff([]model.ImageFileInfo{{FileName: new("tool"), FilePath: new("/bin/tool"), Size: new(int32(30))}}, *resp.DataList); d != "" {
		t.Error(d)
	}
	_, err = c.ListImageFiles(&model.ListImageFilesRequest{ImageId: id})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ListImageFiles(&model.ListImageFilesRequest{ImageId: "nope", ImageType: "local"})
	refused(t, err, 400, "HSS.0011")
	// One that was scanned without its files does not look empty.
	_, err = c.ListImageFiles(&model.ListImageFilesRequest{ImageId: s.imageID(web), ImageType: "local"})
	refused(t, err, 400, "Onceover.0409")
}

func TestShowImageFilesStat(t *testing.T) {
	s := newServer(t)
	id := s.scanFiles()
	c := s.client()
	show := func(req model.ShowImageFilesStatRequest) *model.ShowImageFilesStatResponse {
		t.Helper()
		resp, err := c.ShowImageFilesStat(&req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	for _, req := range []model.ShowImageFilesStatRequest{
		{ImageId: id, ImageType: "local_image"},
		{ImageId: id, ImageType: "local", Region: "r", EnterpriseProjectId: new("0"), Namespace: new("n"), ImageName: new("files"), TagName: new("1")},
	} {
		// Sizes beyond 2 GiB do not fit: they are cut.
		if resp := show(req); resp.TotalFilesNum == nil || *resp.TotalFilesNum != 3 || *resp.TotalFilesSize != 1<<31-1 {
			t.Errorf("got %v", resp)
		}
	}
	for _, req := range []model.ShowImageFilesStatRequest{{ImageId: id, ImageType: "private_image"}, {ImageId: s.imageID(none), ImageType: "local"}} {
		if resp := show(req); resp.TotalFilesNum != nil || resp.TotalFilesSize != nil {
			t.Errorf("got %v", resp)
		}
	}
	for code, req := range map[string]model.ShowImageFilesStatRequest{
		"HSS.0001":      {ImageId: id},
		"HSS.0011":      {ImageId: "nope", ImageType: "local"},
		"Onceover.0409": {ImageId: s.imageID(web), ImageType: "local"},
	} {
		_, err := c.ShowImageFilesStat(&req)
		refused(t, err, 400, code)
	}
}

func TestListGlobalImageFiles(t *testing.T) {
	s := newServer(t)
	c := s.client()
	// Images were scanned, and the files of none were read.
	_, err := c.ListGlobalImageFiles(&model.ListGlobalImageFilesRequest{})
	refused(t, err, 400, "Onceover.0409")
	s.scanFiles()
	all := map[string]int64{"/bin/ls": 10, "/bin/tool": 30, "/srv/big": 3 << 30}
	for _, tc := range []struct {
		name string
		req  model.ListGlobalImageFilesRequest
		want map[string]int64
	}{
		{"all", model.ListGlobalImageFilesRequest{}, all},
		{"local", model.ListGlobalImageFilesRequest{ImageType: new("local")}, all},
		{"registry", model.ListGlobalImageFilesRequest{ImageType: new("registry")}, map[string]int64{}},
		{"name", model.ListGlobalImageFilesRequest{FileName: new("ls")}, map[string]int64{"/bin/ls": 10}},
		{"past the end", model.ListGlobalImageFilesRequest{Offset: new(int32(3))}, map[string]int64{}},
		{"everything", model.ListGlobalImageFilesRequest{Region: new("r"), EnterpriseProjectId: new("0"), Limit: new(int32(10)), Offset: new(int32(0)),
			ImageType: new("local_image"), FileName: new("big")}, map[string]int64{"/srv/big": 3 << 30}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.ListGlobalImageFiles(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int64{}
			for _, f := range *resp.DataList {
				got[*f.FilePath] = *f.Size
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if n := int(*resp.TotalNum); n != len(got)+int(given(tc.req.Offset)) {
				t.Errorf("total_num %d", n)
			}
		})
	}
	_, err = c.ListGlobalImageFiles(&model.ListGlobalImageFilesRequest{ImageType: new("x")})
	refused(t, err, 400, "HSS.0001")
}
