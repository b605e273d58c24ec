package contract

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

// TestImageWhiteLists adds, lists, changes and deletes rules, and sees the counts
// follow.
func TestImageWhiteLists(t *testing.T) {
	s := newServer(t)
	s.shareContent()
	c := s.client()
	id := s.imageID(web)
	add := func(b model.AddImageWhiteListsRequestBody) {
		t.Helper()
		if _, err := c.AddImageWhiteLists(&model.AddImageWhiteListsRequest{GlobalImageType: "local", Type: "vulnerability", EnterpriseProjectId: new("0"), Body: &b}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(req model.ListImageWhiteListsRequest) []model.ImageWhiteListDetailResponseInfo {
		t.Helper()
		req.GlobalImageType, req.Type = "local", "vulnerability"
		resp, err := c.ListImageWhiteLists(&req)
		if err != nil || int(*resp.TotalNum) < len(*resp.DataList) {
			t.Fatalf("%v, %v", resp, err)
		}
		return *resp.DataList
	}
	add(model.AddImageWhiteListsRequestBody{RuleType: "specific_images", VulType: new("app_vul"), VulIds: &[]string{requests, "nope"}, Description: new("内部使用"),
		QueryInfo: &model.AddImageWhiteListsRequestBodyQueryInfo{}, ImageInfo: &[]model.AddImageWhiteListsRequestBodyImageInfo{{ImageId: &id, ImageName: new("web"), ImageType: new("local_image")}, {ImageId: new("nope")}}})
	counted(t, s, []string{requests})
	add(model.AddImageWhiteListsRequestBody{RuleType: "all_images", VulIds: &[]string{zlib, openssl}})
	counted(t, s, []string{zlib, openssl, requests})

	rules := map[string]model.ImageWhiteListDetailResponseInfo{}
	for _, r := range list(model.ListImageWhiteListsRequest{}) {
		rules[*r.VulId] = r
	}
	if len(rules) != 3 {
		t.Fatalf("%d rules", len(rules))
	}
	if r := rules[requests]; *r.VulName != requests || *r.VulType != "app_vul" || *r.RuleType != "specific_images" || *r.Description != "内部使用" || r.ImageInfo != nil ||
		len(*r.Cves) != 1 || *(*r.Cves)[0].CveId != requests || *(*r.Cves)[0].Cvss <= 0 {
		t.Errorf("rule %v", r)
	}
	for name, tc := range map[string]struct {
		req  model.ListImageWhiteListsRequest
		want int
	}{
		"name":   {model.ListImageWhiteListsRequest{VulName: new("2023")}, 1},
		"type":   {model.ListImageWhiteListsRequest{VulType: new("linux_vul")}, 2},
		"both":   {model.ListImageWhiteListsRequest{VulName: new("CVE"), VulType: new("app_vul"), EnterpriseProjectId: new("all_granted_eps"), Limit: new(int32(200))}, 1},
		"offset": {model.ListImageWhiteListsRequest{Offset: new(int32(2))}, 1},
		"end":    {model.ListImageWhiteListsRequest{Offset: new(int32(3))}, 0},
	} {
		if got := list(tc.req); len(got) != tc.want {
			t.Errorf("%s: %d rules, want %d", name, len(got), tc.want)
		}
	}
	detail := func(vul string) *model.ShowImageWhiteListDetailResponse {
		t.Helper()
		resp, err := c.ShowImageWhiteListDetail(&model.ShowImageWhiteListDetailRequest{Id: *rules[vul].Id, GlobalImageType: "local", Type: "vulnerability"})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	d := detail(requests)
	if diff := cmp.Diff([]model.ImageWhiteListDetailResponseInfoImageInfo{{ImageId: &id, ImageName: new("web")}}, *d.ImageInfo); diff != "" {
		t.Error(diff)
	}
	if *d.VulId != requests || *d.VulName != requests || *d.VulType != "app_vul" || *d.RuleType != "specific_images" || *d.Description != "内部使用" || len(*d.Cves) != 1 || *(*d.Cves)[0].CveId != requests {
		t.Errorf("detail %v", d)
	}

	change := func(vul string, b model.ChangeImageWhiteListRequestBody) {
		t.Helper()
		if _, err := c.ChangeImageWhiteList(&model.ChangeImageWhiteListRequest{Id: *rules[vul].Id, GlobalImageType: "local", Type: "vulnerability", Body: &b}); err != nil {
			t.Fatal(err)
		}
	}
	fine := s.imageID(swr)
	change(zlib, model.ChangeImageWhiteListRequestBody{RuleType: new("specific_images"), ImageInfo: &[]model.AddImageWhiteListsRequestBodyImageInfo{{ImageId: &fine}}})
	counted(t, s, []string{openssl, requests})
	change(zlib, model.ChangeImageWhiteListRequestBody{RuleType: new("all_images"), Description: new("again")})
	counted(t, s, []string{zlib, openssl, requests})
	if d := detail(zlib); *d.Description != "again" || *d.RuleType != "all_images" || len(*d.ImageInfo) != 0 {
		t.Errorf("detail %v", d)
	}
	if _, err := c.DeleteImageWhiteLists(&model.DeleteImageWhiteListsRequest{GlobalImageType: "local", Type: "vulnerability",
		Body: &model.DeleteImageWhiteListsRequestBody{Ids: &[]string{*rules[zlib].Id, "nope", *rules[requests].Id}}}); err != nil {
		t.Fatal(err)
	}
	counted(t, s, []string{openssl})
	if got := list(model.ListImageWhiteListsRequest{}); len(got) != 1 || *got[0].VulId != openssl {
		t.Errorf("left: %v", got)
	}
	empty, err := c.ListImageWhiteLists(&model.ListImageWhiteListsRequest{GlobalImageType: "registry", Type: "vulnerability"})
	if err != nil || *empty.TotalNum != 0 || empty.DataList == nil {
		t.Errorf("registry: %v, %v", empty, err)
	}
}

func TestImageWhiteListsAreRefused(t *testing.T) {
	s := newServer(t)
	c := s.client()
	id := s.imageID(web)
	type body = model.AddImageWhiteListsRequestBody
	some := &[]model.AddImageWhiteListsRequestBodyImageInfo{{ImageId: &id}}
	for name, tc := range map[string]struct {
		family string
		body   *body
		status int
		code   string
	}{
		"no body":        {"local", nil, 400, "HSS.0001"},
		"no rule_type":   {"local", &body{VulIds: &[]string{zlib}}, 400, "HSS.0001"},
		"rule_type":      {"local", &body{VulIds: &[]string{zlib}, RuleType: "x"}, 400, "HSS.0001"},
		"registry types": {"local", &body{VulIds: &[]string{zlib}, RuleType: "specific_image_types", QueryInfo: &model.AddImageWhiteListsRequestBodyQueryInfo{ImageType: new("harbor")}}, 400, "HSS.0001"},
		"vul_type":       {"local", &body{VulIds: &[]string{zlib}, RuleType: "all_images", VulType: new("x")}, 400, "HSS.0001"},
		"no vul_ids":     {"local", &body{RuleType: "all_images"}, 400, "HSS.0001"},
		"no images":      {"local", &body{VulIds: &[]string{zlib}, RuleType: "specific_images"}, 400, "HSS.0001"},
		"other type":     {"local", &body{VulIds: &[]string{zlib}, RuleType: "all_images", VulType: new("app_vul")}, 400, "HSS.0011"},
		"unknown":        {"local", &body{VulIds: &[]string{"nope"}, RuleType: "specific_images", ImageInfo: some}, 400, "HSS.0011"},
		"no family":      {"", &body{VulIds: &[]string{zlib}, RuleType: "all_images"}, 400, "HSS.0001"},
		"registry":       {"registry", &body{VulIds: &[]string{zlib}, RuleType: "all_images"}, 501, "Onceover.0501"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.AddImageWhiteLists(&model.AddImageWhiteListsRequest{GlobalImageType: tc.family, Type: "vulnerability", Body: tc.body})
			refused(t, err, tc.status, tc.code)
		})
	}
	_, err := c.AddImageWhiteLists(&model.AddImageWhiteListsRequest{GlobalImageType: "local", Type: "malware", Body: &body{VulIds: &[]string{zlib}, RuleType: "all_images"}})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ShowImageWhiteListDetail(&model.ShowImageWhiteListDetailRequest{Id: "nope", GlobalImageType: "local", Type: "vulnerability"})
	refused(t, err, 400, "HSS.0011")
	_, err = c.ShowImageWhiteListDetail(&model.ShowImageWhiteListDetailRequest{Id: "nope", GlobalImageType: "registry", Type: "vulnerability"})
	refused(t, err, 400, "HSS.0011")
	_, err = c.ChangeImageWhiteList(&model.ChangeImageWhiteListRequest{Id: "nope", GlobalImageType: "local", Type: "vulnerability", Body: &model.ChangeImageWhiteListRequestBody{RuleType: new("all_images")}})
	refused(t, err, 400, "HSS.0011")
	_, err = c.ChangeImageWhiteList(&model.ChangeImageWhiteListRequest{Id: "nope", GlobalImageType: "local", Type: "vulnerability", Body: &model.ChangeImageWhiteListRequestBody{}})
	refused(t, err, 400, "HSS.0001")
	_, err = c.DeleteImageWhiteLists(&model.DeleteImageWhiteListsRequest{GlobalImageType: "local", Type: "vulnerability"})
	refused(t, err, 400, "HSS.0001")
	_, err = c.DeleteImageWhiteLists(&model.DeleteImageWhiteListsRequest{GlobalImageType: "local", Type: "vulnerability", Body: &model.DeleteImageWhiteListsRequestBody{Ids: &[]string{"nope"}}})
	refused(t, err, 400, "HSS.0011")
	if got := vulsOf(t, c, id, "handled"); len(got) != 0 {
		t.Errorf("handled: %v", got)
	}
}

func TestListVulWhiteListVulOptions(t *testing.T) {
	s := newServer(t)
	c := s.client()
	type question = model.ListVulWhiteListVulOptionsRequest
	for name, tc := range map[string]struct {
		req  question
		want []string
	}{
		"required only": {question{}, []string{}}, // of hosts
		"linux":         {question{Category: new("image"), ImageType: new("local")}, []string{zlib, openssl}},
		"applications":  {question{Category: new("image"), ImageType: new("local_image"), VulType: new("app_vul")}, []string{requests}},
		"name":          {question{Category: new("image"), ImageType: new("local"), VulType: new("linux_vul"), VulName: new("6119"), Offset: new(int32(0)), EnterpriseProjectId: new("0")}, []string{openssl}},
		"windows":       {question{Category: new("image"), ImageType: new("local"), VulType: new("windows_vul")}, []string{}},
		"registry":      {question{Category: new("image"), ImageType: new("registry")}, []string{}},
		"page":          {question{Category: new("image"), ImageType: new("local"), Offset: new(int32(1))}, []string{openssl}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.req.Limit = 10
			resp, err := c.ListVulWhiteListVulOptions(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, v := range *resp.DataList {
				got = append(got, *v.VulId)
				if *v.VulName != *v.VulId {
					t.Errorf("row %v", v)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	_, err := c.ListVulWhiteListVulOptions(&question{Limit: 10, Category: new("image")})
	refused(t, err, 400, "HSS.0001")
}
