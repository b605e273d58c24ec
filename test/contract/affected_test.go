package contract

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

// container is the one that runs.
var container = strings.Repeat("c1", 32)

func TestListVulAffectImageApps(t *testing.T) {
	s := newServer(t)
	c := s.client()
	ask := func(change func(*model.ListVulAffectImageAppsRequest)) (*model.ListVulAffectImageAppsResponse, error) {
		req := model.ListVulAffectImageAppsRequest{ImageId: s.imageID(web), VulId: openssl, ImageType: "local"}
		change(&req)
		return c.ListVulAffectImageApps(&req)
	}
	ssl := []model.VulAffectImageAppsResponseInfo{{AppName: new("libssl3"), Rule: new(">= 0, < 3.0.14-1~deb12u2"),
		Paths: &[]model.VulAffectImageAppPathResponseInfo{{Status: new("vul_status_unfix"), AppVersion: new("3.0.9-1")}}}}
	py := []model.VulAffectImageAppsResponseInfo{{AppName: new("requests"), Rule: new(">= 0, < 2.32.0"),
		Paths: &[]model.VulAffectImageAppPathResponseInfo{{Status: new("vul_status_unfix"), AppVersion: new("2.28.1"), AppPath: new("/opt/app/requests.dist-info/METADATA")}}}}
	none := []model.VulAffectImageAppsResponseInfo{}
	for _, tc := range []struct {
		name   string
		change func(*model.ListVulAffectImageAppsRequest)
		want   []model.VulAffectImageAppsResponseInfo
		total  int32
	}{
		{"required", func(*model.ListVulAffectImageAppsRequest) {}, ssl, 1},
		{"an application", func(r *model.ListVulAffectImageAppsRequest) { r.VulId = requests }, py, 1},
		{"everything", func(r *model.ListVulAffectImageAppsRequest) {
			r.ImageType, r.EnterpriseProjectId, r.Offset, r.Limit = "local_image", new("0"), new(int32(0)), new(int32(200))
		}, ssl, 1},
		{"past the end", func(r *model.ListVulAffectImageAppsRequest) { r.Offset = new(int32(1)) }, none, 1},
		{"handled", func(r *model.ListVulAffectImageAppsRequest) { r.IsHandled = true }, none, 0},
		{"registry", func(r *model.ListVulAffectImageAppsRequest) { r.ImageType, r.ImageId = "registry", "x" }, none, 0},
		{"another vulnerability", func(r *model.ListVulAffectImageAppsRequest) { r.VulId = "CVE-1999-0001" }, none, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := ask(tc.change)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, *resp.DataList); d != "" || *resp.TotalNum != tc.total {
				t.Errorf("%d rows, %s", *resp.TotalNum, d)
			}
		})
	}
	_, err := ask(func(r *model.ListVulAffectImageAppsRequest) { r.ImageId = "nope" })
	refused(t, err, 400, "HSS.0011")
	_, err = ask(func(r *model.ListVulAffectImageAppsRequest) { r.VulId = "" })
	refused(t, err, 400, "HSS.0001")
	_, err = ask(func(r *model.ListVulAffectImageAppsRequest) { r.ImageType = "x" })
	refused(t, err, 400, "HSS.0001")
}

func TestListVulAffectImageContainers(t *testing.T) {
	s := newServer(t)
	c := s.client()
	// The key is a row of ListVulAffectImages.
	images, err := c.ListVulAffectImages(&model.ListVulAffectImagesRequest{VulId: openssl, Type: "linux_vul", ImageType: "local"})
	if err != nil {
		t.Fatal(err)
	}
	row := (*images.DataList)[0]
	ask := func(change func(*model.ListVulAffectImageContainersRequest)) (*model.ListVulAffectImageContainersResponse, error) {
		req := model.ListVulAffectImageContainersRequest{ImageId: *row.ImageId, ImageDigest: *row.ImageDigest, ImageName: *row.ImageName,
			ImageVersion: *row.ImageVersion, AgentId: *row.AgentId}
		change(&req)
		return c.ListVulAffectImageContainers(&req)
	}
	want := []model.VulAffectImageContainersResponseInfo{{ContainerName: new("front-1"), ContainerId: &container, HostName: new("node-1"),
		PublicIp: new("203.0.113.9"), PrivateIp: new("10.1.2.3"), PodName: new("front"), PodId: new("pod-id-1")}}
	for name, change := range map[string]func(*model.ListVulAffectImageContainersRequest){
		"required":        func(*model.ListVulAffectImageContainersRequest) {},
		"manifest digest": func(r *model.ListVulAffectImageContainersRequest) { r.ImageDigest = string(digest(101)) },
		"everything": func(r *model.ListVulAffectImageContainersRequest) {
			r.EnterpriseProjectId, r.Offset, r.Limit = new("all_granted_eps"), new(int32(0)), new(int32(200))
		},
	} {
		resp, err := ask(change)
		if err != nil {
			t.Fatal(name, err)
		}
		if d := cmp.Diff(want, *resp.DataList); d != "" || *resp.TotalNum != 1 {
			t.Errorf("%s: %d rows, %s", name, *resp.TotalNum, d)
		}
	}
	resp, err := ask(func(r *model.ListVulAffectImageContainersRequest) { r.Offset = new(int32(1)) })
	if err != nil || len(*resp.DataList) != 0 || *resp.TotalNum != 1 {
		t.Errorf("past the end: %v, %v", resp, err)
	}
	for name, tc := range map[string]struct {
		change func(*model.ListVulAffectImageContainersRequest)
		code   string
	}{
		"another image":   {func(r *model.ListVulAffectImageContainersRequest) { r.ImageId = "x" }, "HSS.0011"},
		"another digest":  {func(r *model.ListVulAffectImageContainersRequest) { r.ImageDigest = string(configDigest(2)) }, "HSS.0011"},
		"another name":    {func(r *model.ListVulAffectImageContainersRequest) { r.ImageName = "we" }, "HSS.0011"},
		"another version": {func(r *model.ListVulAffectImageContainersRequest) { r.ImageVersion = "1" }, "HSS.0011"},
		"another agent":   {func(r *model.ListVulAffectImageContainersRequest) { r.AgentId = "x" }, "HSS.0011"},
		"no digest":       {func(r *model.ListVulAffectImageContainersRequest) { r.ImageDigest = "" }, "HSS.0001"},
		"no name":         {func(r *model.ListVulAffectImageContainersRequest) { r.ImageName = "" }, "HSS.0001"},
		"no version":      {func(r *model.ListVulAffectImageContainersRequest) { r.ImageVersion = "" }, "HSS.0001"},
		"no agent":        {func(r *model.ListVulAffectImageContainersRequest) { r.AgentId = "" }, "HSS.0001"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(tc.change)
			refused(t, err, 400, tc.code)
		})
	}
}

func TestListVulContainers(t *testing.T) {
	s := newServer(t)
	c := s.client()
	ask := func(change func(*model.ListVulContainersRequest)) (*model.ListVulContainersResponse, error) {
		req := model.ListVulContainersRequest{VulId: openssl, Type: "linux_vul"}
		change(&req)
		return c.ListVulContainers(&req)
	}
	resp, err := ask(func(*model.ListVulContainersRequest) {})
	if err != nil || len(*resp.DataList) != 1 {
		t.Fatal(resp, err)
	}
	got := (*resp.DataList)[0]
	seen := got.FirstScanTime
	if seen == nil || *seen < 1_700_000_000_000 || *seen != *got.ScanTime {
		t.Errorf("times: %v", got)
	}
	got.FirstScanTime, got.ScanTime = nil, nil
	want := model.VulContainerInfo{ContainerId: &container, ContainerName: new("front-1"), SeverityLevel: new("High"), ImageId: new(s.imageID(web)),
		ImageName: new("web"), ImageVersion: new("1.0"), ImageType: new("local_image"), HostName: new("node-1"), HostIp: new("10.1.2.3"),
		PrivateIp: new("10.1.2.3"), Status: new("vul_status_unfix")}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, tc := range []struct {
		name   string
		change func(*model.ListVulContainersRequest)
		want   int
	}{
		{"name", func(r *model.ListVulContainersRequest) { r.ContainerName = new("ront") }, 1},
		{"another name", func(r *model.ListVulContainersRequest) { r.ContainerName = new("Front") }, 0},
		{"cluster", func(r *model.ListVulContainersRequest) { r.ClusterId = new("c") }, 0},
		{"open", func(r *model.ListVulContainersRequest) { r.Status = new("vul_status_unfix") }, 1},
		{"ignored", func(r *model.ListVulContainersRequest) { r.Status = new("vul_status_ignored") }, 0},
		{"being fixed", func(r *model.ListVulContainersRequest) { r.Status = new("vul_status_fixing") }, 0},
		{"unhandled", func(r *model.ListVulContainersRequest) { r.HandleStatus = new("unhandled") }, 1},
		{"handled", func(r *model.ListVulContainersRequest) { r.HandleStatus = new("handled") }, 0},
		{"severity", func(r *model.ListVulContainersRequest) { r.SeverityLevel = new("High") }, 1},
		{"another severity", func(r *model.ListVulContainersRequest) { r.SeverityLevel = new("Low") }, 0},
		{"from", func(r *model.ListVulContainersRequest) { r.MinScanTime = seen }, 1},
		{"from later", func(r *model.ListVulContainersRequest) { r.MinScanTime = new(*seen + 1) }, 0},
		{"to", func(r *model.ListVulContainersRequest) { r.MaxScanTime = seen }, 1},
		{"to earlier", func(r *model.ListVulContainersRequest) { r.MaxScanTime = new(*seen - 1) }, 0},
		{"another type", func(r *model.ListVulContainersRequest) { r.Type = "app_vul" }, 0},
		{"a type that local images do not have", func(r *model.ListVulContainersRequest) { r.Type = "windows_vul" }, 0},
		{"another vulnerability", func(r *model.ListVulContainersRequest) { r.VulId = "CVE-2024-611" }, 0},
		{"past the end", func(r *model.ListVulContainersRequest) { r.Offset = new(int32(1)) }, 0},
		{"everything", func(r *model.ListVulContainersRequest) {
			r.EnterpriseProjectId, r.ContainerName, r.Status, r.HandleStatus, r.SeverityLevel = new("0"), new("front-1"), new("vul_status_unfix"), new("unhandled"), new("High")
			r.MinScanTime, r.MaxScanTime, r.Limit, r.Offset = seen, seen, new(int32(10)), new(int32(0))
		}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := ask(tc.change)
			if err != nil {
				t.Fatal(err)
			}
			if resp.DataList == nil || len(*resp.DataList) != tc.want {
				t.Errorf("got %v, want %d", resp, tc.want)
			}
		})
	}
	for name, change := range map[string]func(*model.ListVulContainersRequest){
		"no vulnerability": func(r *model.ListVulContainersRequest) { r.VulId = "" },
		"no type":          func(r *model.ListVulContainersRequest) { r.Type = "" },
		"unknown type":     func(r *model.ListVulContainersRequest) { r.Type = "x" },
		"unknown status":   func(r *model.ListVulContainersRequest) { r.Status = new("x") },
		"unknown severity": func(r *model.ListVulContainersRequest) { r.SeverityLevel = new("x") },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(change)
			refused(t, err, 400, "HSS.0001")
		})
	}
}

func TestListVulContainerApps(t *testing.T) {
	s := newServer(t)
	c := s.client()
	ask := func(change func(*model.ListVulContainerAppsRequest)) (*model.ListVulContainerAppsResponse, error) {
		req := model.ListVulContainerAppsRequest{ContainerId: container, VulId: requests, HandleStatus: "unhandled"}
		change(&req)
		return c.ListVulContainerApps(&req)
	}
	want := []model.VulAffectContainerAppInfo{{AppName: new("requests"), Rule: new(">= 0, < 2.32.0"), Paths: &[]model.VulAffectContainerAppPath{
		{Status: new("vul_status_unfix"), AppVersion: new("2.28.1"), AppPath: new("/opt/app/requests.dist-info/METADATA")}}}}
	for _, tc := range []struct {
		name   string
		change func(*model.ListVulContainerAppsRequest)
		want   []model.VulAffectContainerAppInfo
	}{
		{"required", func(*model.ListVulContainerAppsRequest) {}, want},
		{"everything", func(r *model.ListVulContainerAppsRequest) {
			r.EnterpriseProjectId, r.Limit, r.Offset = new("0"), new(int32(10)), new(int32(0))
		}, want},
		{"handled", func(r *model.ListVulContainerAppsRequest) { r.HandleStatus = "handled" }, []model.VulAffectContainerAppInfo{}},
		{"past the end", func(r *model.ListVulContainerAppsRequest) { r.Offset = new(int32(1)) }, []model.VulAffectContainerAppInfo{}},
		{"another vulnerability", func(r *model.ListVulContainerAppsRequest) { r.VulId = "CVE-1999-0001" }, []model.VulAffectContainerAppInfo{}},
	} {
		resp, err := ask(tc.change)
		if err != nil {
			t.Fatal(tc.name, err)
		}
		if d := cmp.Diff(tc.want, *resp.DataList); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
	_, err := ask(func(r *model.ListVulContainerAppsRequest) { r.ContainerId = "nope" })
	refused(t, err, 400, "HSS.0011")
	_, err = ask(func(r *model.ListVulContainerAppsRequest) { r.HandleStatus = "" })
	refused(t, err, 400, "HSS.0001")
}

func TestListVulRepoImage(t *testing.T) {
	s := newServer(t)
	c := s.client()
	ask := func(change func(*model.ListVulRepoImageRequest)) (*model.ListVulRepoImageResponse, error) {
		req := model.ListVulRepoImageRequest{VulId: openssl}
		change(&req)
		return c.ListVulRepoImage(&req)
	}
	id := s.imageID(web)
	want := []model.VulRepoImageInfo{{ImageId: &id, ImageName: new("web"), AppName: new("libssl3"), Version: new("3.0.9-1"), TagCount: new(int32(1)),
		DataList: &[]model.VulRepoImagesTagInfo{{TagId: &id, TagName: new("1.0"), AppName: new("libssl3"), Size: new(int32(1000))}}}}
	for _, tc := range []struct {
		name   string
		change func(*model.ListVulRepoImageRequest)
		want   int
	}{
		{"required", func(*model.ListVulRepoImageRequest) {}, 1},
		{"name", func(r *model.ListVulRepoImageRequest) { r.ImageName = new("eb") }, 1},
		{"another name", func(r *model.ListVulRepoImageRequest) { r.ImageName = new("x") }, 0},
		{"image", func(r *model.ListVulRepoImageRequest) { r.ImageId = &id }, 1},
		{"another image", func(r *model.ListVulRepoImageRequest) { r.ImageId = new("x") }, 0},
		{"software", func(r *model.ListVulRepoImageRequest) { r.AppName = new("ssl") }, 1},
		{"other software", func(r *model.ListVulRepoImageRequest) { r.AppName = new("x") }, 0},
		{"organization", func(r *model.ListVulRepoImageRequest) { r.Namespace = new("shop") }, 0},
		{"another vulnerability", func(r *model.ListVulRepoImageRequest) { r.VulId = "CVE-1999-0001" }, 0},
		{"past the end", func(r *model.ListVulRepoImageRequest) { r.Offset = new(int32(1)) }, 0},
		{"everything", func(r *model.ListVulRepoImageRequest) {
			r.EnterpriseProjectId, r.Limit, r.Offset, r.Region = new("0"), new(int32(10)), new(int32(0)), new("r")
			r.ImageName, r.ImageId, r.AppName = new("web"), &id, new("libssl3")
		}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := ask(tc.change)
			if err != nil {
				t.Fatal(err)
			}
			got := *resp.DataList
			for i := range got {
				got[i].ImageType = nil // an enumeration that does not know local images
			}
			if d := cmp.Diff(want[:tc.want], got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestListContainerImages(t *testing.T) {
	s := newServer(t)
	c := s.client()
	for _, tc := range []struct {
		name string
		req  model.ListContainerImagesRequest
		want []string
	}{
		{"required", model.ListContainerImagesRequest{}, []string{"<none>:<none>", "broken:1", swrName + ":2.0", "web:1.0"}},
		{"keyword", model.ListContainerImagesRequest{Keyword: new("web:")}, []string{swrName + ":2.0", "web:1.0"}},
		{"version", model.ListContainerImagesRequest{Keyword: new("1.0")}, []string{"web:1.0"}},
		{"no match", model.ListContainerImagesRequest{Keyword: new("WEB")}, nil},
		{"everything", model.ListContainerImagesRequest{EnterpriseProjectId: new("0"), Limit: new(int32(10)), Offset: new(int32(3)), Keyword: new(":")}, []string{"web:1.0"}},
		{"past the end", model.ListContainerImagesRequest{Offset: new(int32(4))}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.ListContainerImages(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range *resp.DataList {
				got = append(got, *i.ImageName+":"+*i.ImageVersion)
				if *i.ImageName == "web" && (*i.ImageId != s.imageID(web) || *i.CreateTime != 1_700_000_000_000) {
					t.Errorf("got %v", i)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestShowImagePayPerScanStatistics(t *testing.T) {
	c := newServer(t).client()
	local := func(n int32) *model.ImageTypeRiskInfo {
		return &model.ImageTypeRiskInfo{Local: &n, Registriy: new(int32), Cicd: new(int32)}
	}
	want := &model.ShowImagePayPerScanStatisticsResponse{
		RepositoryScanNum: new(int32), CicdScanNum: new(int32), FreeQuotaNum: new(int32), ImageFreeQuota: new(int32), AlreadyGiven: new(bool),
		Total: local(4), HighRisk: local(1), HasRisk: local(1), Unscan: local(2), HttpStatusCode: 200,
	}
	for _, eps := range []*string{nil, new("0"), new("all_granted_eps")} {
		resp, err := c.ShowImagePayPerScanStatistics(&model.ShowImagePayPerScanStatisticsRequest{EnterpriseProjectId: eps})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, resp); d != "" {
			t.Error(d)
		}
	}
}

// TestUnknownVulnerability asks for one that was never found. Lists of where it is
// are empty, as they are once it is repaired everywhere; what is about itself is
// refused.
func TestUnknownVulnerability(t *testing.T) {
	s := newServer(t)
	a := &asker{client: s.client()}
	id := s.imageID(web)
	for op, ask := range map[string]terms{
		"ListVulAffectImages":           members("image_type", "local", "type", "linux_vul", "is_handled", false),
		"ListVulAffectImageApps":        members("image_type", "local", "is_handled", false, "image_id", id),
		"ListVulRepoImage":              members(),
		"ListVulContainers":             members("type", "linux_vul"),
		"ListVulContainerApps":          members("container_id", container, "handle_status", "unhandled"),
		"ListVulnerabilityCve":          nil,
		"ListGeneralImageVulOperations": nil,
	} {
		t.Run(op, func(t *testing.T) {
			about := ask == nil
			if about {
				ask = members("image_type", "local")
			}
			ask["vul_id"] = "CVE-1999-0001"
			rows, total, err := a.ask(listing{op: op}, ask)
			if about {
				refused(t, err, 400, "HSS.0011")
			} else if err != nil || len(rows) != 0 || total != 0 {
				t.Errorf("%d rows, total_num %d, %v", len(rows), total, err)
			}
		})
	}
}
