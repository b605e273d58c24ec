package contract

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

const (
	openssl  = "CVE-2024-6119"
	zlib     = "CVE-2023-45853"
	requests = "CVE-2024-35195"
)

func TestListImageVulnerabilities(t *testing.T) {
	s := newServer(t)
	c := s.client()
	id := s.imageID(web)
	for _, tc := range []struct {
		name string
		req  model.ListImageVulnerabilitiesRequest
		want []string
	}{
		{"all", model.ListImageVulnerabilitiesRequest{}, []string{zlib, openssl, requests}},
		{"local_image", model.ListImageVulnerabilitiesRequest{ImageType: "local_image", ImageName: "web", TagName: "1.0"}, []string{zlib, openssl, requests}},
		{"local", model.ListImageVulnerabilitiesRequest{ImageType: "local", Namespace: "x"}, []string{zlib, openssl, requests}},
		{"a documented type", model.ListImageVulnerabilitiesRequest{ImageType: "private_image"}, []string{zlib, openssl, requests}},
		{"now", model.ListImageVulnerabilitiesRequest{RepairNecessity: new("immediate_repair")}, []string{zlib, openssl}},
		{"later", model.ListImageVulnerabilitiesRequest{RepairNecessity: new("delay_repair")}, []string{requests}},
		{"never", model.ListImageVulnerabilitiesRequest{RepairNecessity: new("not_needed_repair")}, []string{}},
		{"id", model.ListImageVulnerabilitiesRequest{VulId: new("CVE-2024-6")}, []string{openssl}},
		{"software", model.ListImageVulnerabilitiesRequest{AppName: new("zlib")}, []string{zlib}},
		{"linux", model.ListImageVulnerabilitiesRequest{Type: new("linux_vul")}, []string{zlib, openssl}},
		{"applications", model.ListImageVulnerabilitiesRequest{Type: new("app_vul")}, []string{requests}},
		{"open", model.ListImageVulnerabilitiesRequest{HandleStatus: new("unhandled")}, []string{zlib, openssl, requests}},
		{"handled", model.ListImageVulnerabilitiesRequest{HandleStatus: new("handled")}, []string{}},
		{"everything", model.ListImageVulnerabilitiesRequest{EnterpriseProjectId: new("0"), Offset: new(int32(0)), Limit: new(int32(10)), InstanceId: new("i"),
			RepairNecessity: new("immediate_repair"), VulId: new("6119"), AppName: new("libssl3"), Type: new("linux_vul"), HandleStatus: new("unhandled")}, []string{openssl}},
		{"a page", model.ListImageVulnerabilitiesRequest{Offset: new(int32(2))}, []string{requests}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.ImageId = id
			resp, err := c.ListImageVulnerabilities(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, v := range *resp.DataList {
				got = append(got, *v.VulId)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	resp, err := c.ListImageVulnerabilities(&model.ListImageVulnerabilitiesRequest{ImageId: id})
	if err != nil {
		t.Fatal(err)
	}
	rows := *resp.DataList
	want := []model.ImageVulInfo{
		{VulId: new(zlib), RepairNecessity: new("immediate_repair"), AppName: new("zlib1g"), Version: new("1:1.2.13.dfsg-1"), Solution: new("No fixed version is available yet.")},
		{VulId: new(openssl), RepairNecessity: new("immediate_repair"), AppName: new("libssl3"), Version: new("3.0.9-1"), Solution: new("Upgrade libssl3 to 3.0.14-1~deb12u2 or later.")},
		{VulId: new(requests), RepairNecessity: new("delay_repair"), AppName: new("requests"), AppPath: new("/opt/app/requests.dist-info/METADATA"), Version: new("2.28.1"), Solution: new("Upgrade requests to 2.32.0 or later.")},
	}
	for i := range rows {
		if *rows[i].Position != string(digest(1)) || *rows[i].Description == "" {
			t.Errorf("row %d: position %q, description %q", i, *rows[i].Position, *rows[i].Description)
		}
		rows[i].Position, rows[i].Description, rows[i].Url = nil, nil, nil
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Error(d)
	}
	_, err = c.ListImageVulnerabilities(&model.ListImageVulnerabilitiesRequest{ImageId: "nope", ImageType: "local"})
	refused(t, err, 400, "HSS.0011")
	_, err = c.ListImageVulnerabilities(&model.ListImageVulnerabilitiesRequest{ImageId: id, ImageType: "x"})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ListImageVulnerabilities(&model.ListImageVulnerabilitiesRequest{ImageId: id, Type: new("x")})
	refused(t, err, 400, "HSS.0001")
}

func TestListVulnerabilityCve(t *testing.T) {
	s := newServer(t)
	c := s.client()
	resp, err := c.ListVulnerabilityCve(&model.ListVulnerabilityCveRequest{VulId: openssl, Offset: new(int32(0)), Limit: new(int32(10)), Region: new("r"), EnterpriseProjectId: new("0")})
	if err != nil {
		t.Fatal(err)
	}
	got := (*resp.DataList)[0]
	if *resp.TotalNum != 1 || *got.CveId != "CVE-2024-6119" || *got.CvssScore != 7.5 || *got.PublishTime != 1725380107000 || *got.Description == "" {
		t.Errorf("got %v", resp)
	}
	_, err = c.ListVulnerabilityCve(&model.ListVulnerabilityCveRequest{VulId: "CVE-1999-0001"})
	refused(t, err, 400, "HSS.0011")
}

func TestVulnerabilitiesOverAllImages(t *testing.T) {
	s := newServer(t)
	c := s.client()
	necessity := model.GetListGlobalVulnerabilitiesRequestRepairNecessityEnum()
	for _, tc := range []struct {
		name string
		req  model.ListGlobalVulnerabilitiesRequest
		want []string
	}{
		{"all", model.ListGlobalVulnerabilitiesRequest{Limit: 10}, []string{zlib, openssl, requests}},
		{"page", model.ListGlobalVulnerabilitiesRequest{Offset: 1, Limit: 10}, []string{openssl, requests}},
		{"urgent", model.ListGlobalVulnerabilitiesRequest{Limit: 10, RepairNecessity: &necessity.DELAY_REPAIR}, []string{requests}},
		{"id", model.ListGlobalVulnerabilitiesRequest{Limit: 10, VulId: new("2024-6")}, []string{openssl}},
		{"type", model.ListGlobalVulnerabilitiesRequest{Limit: 10, Type: new("app_vul"), Region: new("r"), EnterpriseProjectId: new("0")}, []string{requests}},
	} {
		t.Run("global "+tc.name, func(t *testing.T) {
			resp, err := c.ListGlobalVulnerabilities(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, v := range *resp.DataList {
				got = append(got, *v.VulId)
				if *v.UndealNumber != 1 || *v.HistoryNumber != 1 || len(*v.DataList) != 1 || *v.Decription == "" || *v.Solution == "" {
					t.Errorf("row %v", v)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for _, tc := range []struct {
		name string
		req  model.ListGeneralImageVulsRequest
		want []string
	}{
		{"linux", model.ListGeneralImageVulsRequest{}, []string{zlib, openssl}},
		{"local_image", model.ListGeneralImageVulsRequest{ImageType: "local_image"}, []string{zlib, openssl}},
		{"registry", model.ListGeneralImageVulsRequest{ImageType: "registry"}, []string{}},
		{"applications", model.ListGeneralImageVulsRequest{Type: "app_vul"}, []string{requests}},
		{"handled", model.ListGeneralImageVulsRequest{HandleStatus: "handled"}, []string{}},
		{"critical", model.ListGeneralImageVulsRequest{SeverityLevel: new("Critical")}, []string{zlib}},
		{"low", model.ListGeneralImageVulsRequest{SeverityLevel: new("Low")}, []string{}},
		{"id", model.ListGeneralImageVulsRequest{VulId: new(zlib)}, []string{zlib}},
		{"name", model.ListGeneralImageVulsRequest{VulName: new("6119")}, []string{openssl}},
		{"id and name", model.ListGeneralImageVulsRequest{VulId: new(zlib), VulName: new("6119")}, []string{}},
		{"cve", model.ListGeneralImageVulsRequest{CveId: new("CVE-2024-6119")}, []string{openssl}},
		{"labels", model.ListGeneralImageVulsRequest{LabelList: &[]string{"b", "a"}}, []string{}},
		{"an empty label beside another", model.ListGeneralImageVulsRequest{LabelList: &[]string{"", "a"}}, []string{}},
		{"an empty label", model.ListGeneralImageVulsRequest{LabelList: &[]string{""}}, []string{zlib, openssl}},
		{"open", model.ListGeneralImageVulsRequest{Status: new("vul_status_unfix")}, []string{zlib, openssl}},
		{"ignored", model.ListGeneralImageVulsRequest{Status: new("vul_status_ignored")}, []string{}},
		{"cluster", model.ListGeneralImageVulsRequest{ClusterId: new("c")}, []string{}},
	} {
		t.Run("general "+tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local"
			}
			if tc.req.Type == "" {
				tc.req.Type = "linux_vul"
			}
			if tc.req.HandleStatus == "" {
				tc.req.HandleStatus = "unhandled"
			}
			resp, err := c.ListGeneralImageVuls(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, v := range *resp.DataList {
				got = append(got, *v.VulId)
				if *v.Type != tc.req.Type || *v.ImageType != "local" || *v.ImageNum != 1 || *v.ScanTime == 0 || len(*v.CveList) != 1 || *v.MaxCvssScore < 4 || v.LabelList == nil {
					t.Errorf("row %v", v)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for name, req := range map[string]*model.ListGeneralImageVulsRequest{
		"no type":           {HandleStatus: "unhandled", ImageType: "local"},
		"no handle_status":  {Type: "app_vul", ImageType: "local"},
		"no image_type":     {Type: "app_vul", HandleStatus: "unhandled"},
		"unknown severity":  {Type: "app_vul", HandleStatus: "unhandled", ImageType: "local", SeverityLevel: new("x")},
		"unknown type":      {Type: "x", HandleStatus: "unhandled", ImageType: "local"},
		"unknown imagetype": {Type: "app_vul", HandleStatus: "unhandled", ImageType: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListGeneralImageVuls(req)
			refused(t, err, 400, "HSS.0001")
		})
	}
}

func TestListVulAffectImages(t *testing.T) {
	s := newServer(t)
	c := s.client()
	base := model.ListVulAffectImagesRequest{VulId: openssl, Type: "linux_vul", ImageType: "local"}
	resp, err := c.ListVulAffectImages(&base)
	if err != nil {
		t.Fatal(err)
	}
	got := (*resp.DataList)[0]
	want := model.VulAffectImagesResponseInfo{
		ImageId: new(s.imageID(web)), ImageName: new("web"), ImageVersion: new("1.0"), VulId: new(openssl), RepairNecessity: new("High"),
		ContainerNum: new(int32(1)), ImageDigest: new(string(configDigest(1))), AgentId: &s.agent.AgentID, Status: new("vul_status_unfix"),
		ImageType: new("local_image"), ImageSize: new("1000"), IsMultiArch: new("false"),
	}
	if got.FirstScanTime == nil || len(*got.FirstScanTime) != 13 || *got.FirstScanTime != *got.LatestScanTime {
		t.Errorf("times: %v", got)
	}
	got.FirstScanTime, got.LatestScanTime = nil, nil
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, tc := range []struct {
		name   string
		change func(*model.ListVulAffectImagesRequest)
		want   int
	}{
		{"local_image", func(r *model.ListVulAffectImagesRequest) { r.ImageType = "local_image" }, 1},
		{"registry", func(r *model.ListVulAffectImagesRequest) { r.ImageType = "registry" }, 0},
		{"handled", func(r *model.ListVulAffectImagesRequest) { r.IsHandled = true }, 0},
		{"another vulnerability", func(r *model.ListVulAffectImagesRequest) { r.VulId = "CVE-2024-611" }, 0},
		{"another type", func(r *model.ListVulAffectImagesRequest) { r.Type = "app_vul" }, 0},
		{"severity", func(r *model.ListVulAffectImagesRequest) { r.RepairNecessity = new("High") }, 1},
		{"another severity", func(r *model.ListVulAffectImagesRequest) { r.RepairNecessity = new("Low") }, 0},
		{"image", func(r *model.ListVulAffectImagesRequest) { r.ImageId = want.ImageId }, 1},
		{"another image", func(r *model.ListVulAffectImagesRequest) { r.ImageId = new("x") }, 0},
		{"name", func(r *model.ListVulAffectImagesRequest) { r.ImageName = new("eb") }, 1},
		{"registry name", func(r *model.ListVulAffectImagesRequest) { r.RegistryName = new("x") }, 0},
		{"registry type", func(r *model.ListVulAffectImagesRequest) { r.RegistryType = new("Harbor") }, 0},
		{"open", func(r *model.ListVulAffectImagesRequest) { r.Status = new("vul_status_unfix") }, 1},
		{"ignored", func(r *model.ListVulAffectImagesRequest) { r.Status = new("vul_status_ignored") }, 0},
		{"cluster", func(r *model.ListVulAffectImagesRequest) { r.ClusterId = new("c") }, 0},
		{"page", func(r *model.ListVulAffectImagesRequest) {
			r.Offset, r.Limit, r.EnterpriseProjectId = new(int32(1)), new(int32(10)), new("0")
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := base
			tc.change(&req)
			resp, err := c.ListVulAffectImages(&req)
			if err != nil {
				t.Fatal(err)
			}
			if resp.DataList == nil || len(*resp.DataList) != tc.want {
				t.Errorf("got %v, want %d", resp, tc.want)
			}
		})
	}
	_, err = c.ListVulAffectImages(&model.ListVulAffectImagesRequest{Type: "linux_vul", ImageType: "local"})
	refused(t, err, 400, "HSS.0001")
}
