package contract

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/check/policy"
)

// deny brings a deny list into use and has everything judged by it.
func (s *server) deny(rules string) {
	s.t.Helper()
	p, err := policy.Parse("deny.yaml", []byte("deny:\n"+rules))
	if err != nil {
		s.t.Fatal(err)
	}
	s.store.SetPolicy(p)
	if _, err := s.store.RecheckPolicy(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// Image 1 has both, image 2 neither.
const denyRules = `- {id: old-ssl, reason: r, name: libssl3, type: deb, versions: "< 3.0.14-1~deb12u2"}
- {id: no-requests, reason: r, purl: pkg:pypi/requests@2.28.1}
`

func TestListImageApps(t *testing.T) {
	s := newServer(t)
	c := s.client()
	for _, tc := range []struct {
		name string
		req  model.ListImageAppsRequest
		want []string
	}{
		{"all", model.ListImageAppsRequest{}, []string{"libc6 0", "libssl3 1", "requests 1", "zlib1g 1"}},
		{"local", model.ListImageAppsRequest{ImageType: "local"}, []string{"libc6 0", "libssl3 1", "requests 1", "zlib1g 1"}},
		{"registry", model.ListImageAppsRequest{ImageType: "private_image"}, []string{}},
		{"cicd", model.ListImageAppsRequest{ImageType: "cicd"}, []string{}},
		{"name", model.ListImageAppsRequest{AppName: new("lib")}, []string{"libc6 0", "libssl3 1", "zlib1g 1"}},
		{"another image", model.ListImageAppsRequest{ImageId: s.imageID(swr)}, []string{"libc6 0", "libssl3 0", "requests 0"}},
		{"an image that was not scanned", model.ListImageAppsRequest{ImageId: s.imageID(none)}, []string{}},
		{"past the end", model.ListImageAppsRequest{Offset: new(int32(4))}, []string{}},
		{"everything", model.ListImageAppsRequest{EnterpriseProjectId: new("0"), Offset: new(int32(1)), Limit: new(int32(10)), Namespace: new("n"),
			ImageName: new("web"), TagName: new("1.0"), AppName: new("lib")}, []string{"libssl3 1", "zlib1g 1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local_image"
			}
			if tc.req.ImageId == "" {
				tc.req.ImageId = s.imageID(web)
			}
			resp, err := c.ListImageApps(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, a := range *resp.DataList {
				if *a.AppType == "" || *a.AppVersion == "" {
					t.Errorf("row %v", a)
				}
				got = append(got, fmt.Sprint(*a.AppName, " ", *a.VulNum))
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if n := int(*resp.TotalNum); n != len(got)+int(given(tc.req.Offset)) {
				t.Errorf("total_num %d", n)
			}
		})
	}
	_, err := c.ListImageApps(&model.ListImageAppsRequest{ImageId: s.imageID(web)})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ListImageApps(&model.ListImageAppsRequest{ImageId: s.imageID(web), ImageType: "x"})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ListImageApps(&model.ListImageAppsRequest{ImageId: "nope", ImageType: "local_image"})
	refused(t, err, 400, "HSS.0011")
}

func TestListGlobalImageApps(t *testing.T) {
	s := newServer(t)
	c := s.client()
	list := func(req model.ListGlobalImageAppsRequest) ([]model.ImageAppResponseInfo, int32) {
		t.Helper()
		resp, err := c.ListGlobalImageApps(&req)
		if err != nil {
			t.Fatal(err)
		}
		return *resp.DataList, *resp.TotalNum
	}
	// Without a deny list nobody knows what is compliant.
	rows, total := list(model.ListGlobalImageAppsRequest{Limit: new(int32(200))})
	if total != 7 || len(rows) != 7 {
		t.Fatalf("%d rows of %d", len(rows), total)
	}
	for _, r := range rows {
		if r.IsCompliant != nil || r.Namespace != nil || *r.LatestScanTime == 0 || *r.ImageType != "local_image" {
			t.Errorf("row %v", r)
		}
	}
	if rows, total := list(model.ListGlobalImageAppsRequest{IsCompliant: new(false)}); total != 0 || len(rows) != 0 {
		t.Errorf("without a list: %v", rows)
	}
	s.deny(denyRules)
	for _, tc := range []struct {
		name string
		req  model.ListGlobalImageAppsRequest
		want map[string]int
	}{
		{"all", model.ListGlobalImageAppsRequest{}, map[string]int{"1.0 libc6 true": 1, "1.0 libssl3 false": 1, "1.0 requests false": 1, "1.0 zlib1g true": 1,
			"2.0 libc6 true": 1, "2.0 libssl3 true": 1, "2.0 requests true": 1}},
		{"denied", model.ListGlobalImageAppsRequest{IsCompliant: new(false), ImageType: new("local")}, map[string]int{"1.0 libssl3 false": 1, "1.0 requests false": 1}},
		{"true is no filter", model.ListGlobalImageAppsRequest{IsCompliant: new(true), AppName: new("requests")}, map[string]int{"1.0 requests false": 1, "2.0 requests true": 1}},
		{"name", model.ListGlobalImageAppsRequest{AppName: new("ssl"), ImageType: new("local_image")}, map[string]int{"1.0 libssl3 false": 1, "2.0 libssl3 true": 1}},
		{"denied by name", model.ListGlobalImageAppsRequest{AppName: new("ssl"), IsCompliant: new(false), Region: new("r"), EnterpriseProjectId: new("0")}, map[string]int{"1.0 libssl3 false": 1}},
		{"no name", model.ListGlobalImageAppsRequest{AppName: new("nope")}, map[string]int{}},
		{"registry", model.ListGlobalImageAppsRequest{ImageType: new("registry")}, map[string]int{}},
		{"cicd", model.ListGlobalImageAppsRequest{ImageType: new("cicd")}, map[string]int{}},
		{"past the end", model.ListGlobalImageAppsRequest{Offset: new(int32(7)), Limit: new(int32(10))}, map[string]int{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, total := list(tc.req)
			got := map[string]int{}
			for _, r := range rows {
				got[fmt.Sprint(*r.ImageVersion, " ", *r.AppName, " ", *r.IsCompliant)]++
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if int(total) != len(rows)+int(given(tc.req.Offset)) {
				t.Errorf("total_num %d", total)
			}
		})
	}
	rows, _ = list(model.ListGlobalImageAppsRequest{AppName: new("zlib")})
	rows[0].LatestScanTime = nil
	want := model.ImageAppResponseInfo{AppName: new("zlib1g"), AppType: new("deb"), AppVersion: new("1:1.2.13.dfsg-1"), VulNum: new(int32(1)), AppPath: new("/var/lib/dpkg/status"),
		LayerDigest: new(string(digest(1))), IsCompliant: new(true), ImageType: new("local_image"), ImageName: new("web"), ImageVersion: new("1.0"), ImageId: new(s.imageID(web))}
	if d := cmp.Diff(want, rows[0]); d != "" {
		t.Error(d)
	}
	_, err := c.ListGlobalImageApps(&model.ListGlobalImageAppsRequest{ImageType: new("x")})
	refused(t, err, 400, "HSS.0001")
}

func TestListImageNonCompliantApp(t *testing.T) {
	s := newServer(t)
	c := s.client()
	list := func(req model.ListImageNonCompliantAppRequest) ([]model.ImageNonCompliantAppInfo, int32) {
		t.Helper()
		if req.ImageType == "" {
			req.ImageType = "local_image"
		}
		if req.ImageId == "" {
			req.ImageId = s.imageID(web)
		}
		resp, err := c.ListImageNonCompliantApp(&req)
		if err != nil {
			t.Fatal(err)
		}
		return *resp.DataList, *resp.TotalNum
	}
	if rows, total := list(model.ListImageNonCompliantAppRequest{}); total != 0 || len(rows) != 0 {
		t.Errorf("without a list: %v", rows)
	}
	s.deny(denyRules)
	both := []string{"libssl3", "requests"}
	for _, tc := range []struct {
		name string
		req  model.ListImageNonCompliantAppRequest
		want []string
	}{
		{"all", model.ListImageNonCompliantAppRequest{}, both},
		{"local", model.ListImageNonCompliantAppRequest{ImageType: "local"}, both},
		{"registry", model.ListImageNonCompliantAppRequest{ImageType: "harbor"}, []string{}},
		{"name", model.ListImageNonCompliantAppRequest{AppName: new("que")}, []string{"requests"}},
		{"another image", model.ListImageNonCompliantAppRequest{ImageId: s.imageID(swr)}, []string{}},
		{"an image that was not scanned", model.ListImageNonCompliantAppRequest{ImageId: s.imageID(none)}, []string{}},
		{"everything", model.ListImageNonCompliantAppRequest{Region: new("r"), EnterpriseProjectId: new("0"), Limit: new(int32(10)), Offset: new(int32(1)),
			Namespace: new("n"), ImageName: new("web"), ImageVersion: new("1.0")}, []string{"requests"}},
		{"past the end", model.ListImageNonCompliantAppRequest{Offset: new(int32(2))}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, total := list(tc.req)
			got := []string{}
			for _, r := range rows {
				got = append(got, *r.AppName)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if int(total) != len(rows)+int(given(tc.req.Offset)) {
				t.Errorf("total_num %d", total)
			}
		})
	}
	rows, _ := list(model.ListImageNonCompliantAppRequest{AppName: new("requests")})
	if *rows[0].Id == "" {
		t.Error("no id")
	}
	rows[0].Id = nil
	want := model.ImageNonCompliantAppInfo{AppName: new("requests"), AppVersion: new("2.28.1"), AppPath: new("/opt/app/requests.dist-info/METADATA"), LayerDigest: new(string(digest(1)))}
	if d := cmp.Diff(want, rows[0]); d != "" {
		t.Error(d)
	}
	_, err := c.ListImageNonCompliantApp(&model.ListImageNonCompliantAppRequest{ImageId: s.imageID(web)})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ListImageNonCompliantApp(&model.ListImageNonCompliantAppRequest{ImageId: "nope", ImageType: "local"})
	refused(t, err, 400, "HSS.0011")
}
