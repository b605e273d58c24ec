package contract

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	hss "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

// shareContent lets the agent hold the first image under a second name, which
// comes to what is known of the first.
func (s *server) shareContent() {
	s.t.Helper()
	list := images()
	list[0].Names = append(list[0].Names, image.Ref{Name: "shop", Tag: "1.0"})
	req := fleet.SyncRequest{Host: fleet.Host{ID: "host-id-1", Name: "node-1"}, Analyzers: analyzers, ImagesHash: "shared", Images: &list}
	if _, err := s.store.Sync(s.t.Context(), s.agent, req, nowMS()); err != nil {
		s.t.Fatal(err)
	}
}

const shop = "shop:1.0"

// vulsOf are the vulnerabilities of an image in one state.
func vulsOf(t *testing.T, c *hss.HssClient, id, state string) []string {
	t.Helper()
	resp, err := c.ListImageVulnerabilities(&model.ListImageVulnerabilitiesRequest{ImageId: id, ImageType: "local_image", HandleStatus: &state})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, v := range *resp.DataList {
		out = append(out, *v.VulId)
	}
	if int(*resp.TotalNum) != len(out) {
		t.Errorf("%s: total_num %d of %v", state, *resp.TotalNum, out)
	}
	return out
}

// TestHandleImageVulnerability asks with each select_type what would be done, does
// it, looks at every list, and undoes it.
func TestHandleImageVulnerability(t *testing.T) {
	s := newServer(t)
	s.shareContent()
	c := s.client()
	id, twin := s.imageID(web), s.imageID(shop)
	type selection = model.HandleImageVulnerabilityRequestBody
	for _, tc := range []struct {
		name string
		body selection
		want []string
	}{
		{"all", selection{SelectType: "all_vul"}, []string{zlib, openssl}},
		{"images", selection{SelectType: "specific_image_all_vul", ImageIdList: &[]string{id, "nope"}}, []string{zlib, openssl}},
		{"vulnerabilities", selection{SelectType: "specific_vul_all_image", VulIdList: &[]string{zlib, requests, "nope"}}, []string{zlib}},
		{"by vulnerability", selection{SelectType: "vul_view", VulDataList: &[]model.HandleImageVulnerabilityRequestBodyVulDataList{
			{VulId: new(openssl), ImageIdList: &[]string{id, "nope"}}, {VulId: new("nope"), ImageIdList: &[]string{id}}}}, []string{openssl}},
		{"by image", selection{SelectType: "image_view", ImageDataList: &[]model.HandleImageVulnerabilityRequestBodyImageDataList{
			{ImageId: new(twin), VulIdList: &[]string{openssl, zlib}}}}, []string{zlib, openssl}},
		{"everything given", selection{SelectType: "all_vul", HandleStatus: new("unhandled"), Remark: new("风险可接受"), ImageIdList: &[]string{"nope"}, VulIdList: &[]string{"nope"},
			VulDataList: &[]model.HandleImageVulnerabilityRequestBodyVulDataList{}, ImageDataList: &[]model.HandleImageVulnerabilityRequestBodyImageDataList{}}, []string{zlib, openssl}},
	} {
		for _, action := range []string{"ignore", "manual_repair"} {
			t.Run(tc.name+" "+action, func(t *testing.T) {
				body := tc.body
				body.ImageType, body.Type, body.OperateType = "local", "linux_vul", action
				dry, err := c.ListImageHandleAffectVulnerabilities(&model.ListImageHandleAffectVulnerabilitiesRequest{Limit: 10, Body: &body})
				if err != nil {
					t.Fatal(err)
				}
				var pairs [][2]string
				for _, p := range *dry.DataList {
					pairs = append(pairs, [2]string{*p.ImageId, *p.VulId})
				}
				var want [][2]string
				for _, i := range []string{twin, id} {
					for _, v := range slices.Sorted(slices.Values(tc.want)) {
						want = append(want, [2]string{i, v})
					}
				}
				if d := cmp.Diff(want, pairs); d != "" || int(*dry.TotalVulNum) != len(want) || int(*dry.VulNum) != len(tc.want) || *dry.ImageNum != 2 {
					t.Errorf("dry run: %d pairs, %d vulnerabilities, %d images: %s", *dry.TotalVulNum, *dry.VulNum, *dry.ImageNum, d)
				}
				if _, err := c.HandleImageVulnerability(&model.HandleImageVulnerabilityRequest{Body: &body}); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tc.want, vulsOf(t, c, id, "handled")); d != "" {
					t.Error(d)
				}
				if n := len(vulsOf(t, c, twin, "unhandled")); n != 3-len(tc.want) {
					t.Errorf("%d are open under the other name", n)
				}
				counted(t, s, tc.want)
				body.OperateType, body.HandleStatus = "not_ignore", nil
				if _, err := c.HandleImageVulnerability(&model.HandleImageVulnerabilityRequest{Body: &body}); err != nil {
					t.Fatal(err)
				}
				counted(t, s, nil)
			})
		}
	}
	// Filters of the dry run, and pages of it.
	body := selection{ImageType: "local_image", Type: "linux_vul", OperateType: "ignore", SelectType: "all_vul"}
	req := &model.ListImageHandleAffectVulnerabilitiesRequest{Limit: 10, ImageName: new("ho"), VulName: new("6119"), EnterpriseProjectId: new("all_granted_eps"), Body: &body}
	dry, err := c.ListImageHandleAffectVulnerabilities(req)
	if err != nil || *dry.TotalVulNum != 1 || *(*dry.DataList)[0].ImageName != "shop" || *(*dry.DataList)[0].VulName != openssl {
		t.Errorf("filtered: %v, %v", dry, err)
	}
	req.Offset = 1
	if dry, err = c.ListImageHandleAffectVulnerabilities(req); err != nil || *dry.TotalVulNum != 1 || dry.DataList == nil || len(*dry.DataList) != 0 {
		t.Errorf("past the end: %v, %v", dry, err)
	}
	body.ImageType = "registry"
	if dry, err = c.ListImageHandleAffectVulnerabilities(req); err != nil || *dry.TotalVulNum != 0 || dry.DataList == nil {
		t.Errorf("registry: %v, %v", dry, err)
	}
}

// counted compares every list and number with what of the first image is handled.
// Its content has two names.
func counted(t *testing.T, s *server, handled []string) {
	t.Helper()
	c := s.client()
	open := int64(3 - len(handled))
	local, err := c.ListImageLocal(&model.ListImageLocalRequest{ImageName: new("shop"), ImageVersion: new("1.0")})
	if err != nil {
		t.Fatal(err)
	}
	level := "High"
	switch {
	case slices.Contains(handled, zlib) && slices.Contains(handled, openssl) && open > 0:
		level = "Medium"
	case open == 0:
		level = "" // these few advisories do not cover the image
	}
	// Another name of the repository has "shop" in it.
	at := slices.IndexFunc(*local.DataList, func(i model.ImageLocalInfo) bool { return *i.ImageName == "shop" })
	i := (*local.DataList)[at]
	if i.SeverityLevel == nil {
		i.SeverityLevel = new(string)
	}
	if *i.VulNum != open || *i.SeverityLevel != level {
		t.Errorf("with %v handled: vul_num %d, severity_level %q", handled, *i.VulNum, *i.SeverityLevel)
	}
	risky, err := c.ListImageLocal(&model.ListImageLocalRequest{HasVul: new(true)})
	if err != nil || (*risky.TotalNum == 2) != (open > 0) {
		t.Errorf("with %v handled: %d have vulnerabilities, %v", handled, *risky.TotalNum, err)
	}
	global, err := c.ListGlobalVulnerabilities(&model.ListGlobalVulnerabilitiesRequest{Limit: 10})
	if err != nil || *global.TotalNum != 3 {
		t.Fatalf("%v, %v", global, err)
	}
	for _, v := range *global.DataList {
		want := int32(2)
		if slices.Contains(handled, *v.VulId) {
			want = 0
		}
		if *v.HistoryNumber != 2 || *v.UndealNumber != want {
			t.Errorf("with %v handled: %s has history_number %d, undeal_number %d", handled, *v.VulId, *v.HistoryNumber, *v.UndealNumber)
		}
	}
	for state, status := range map[string]string{"handled": "vul_status_ignored", "unhandled": "vul_status_unfix"} {
		var got []string
		for _, typ := range []string{"linux_vul", "app_vul"} {
			list, err := c.ListGeneralImageVuls(&model.ListGeneralImageVulsRequest{Type: typ, ImageType: "local", HandleStatus: state, Status: &status})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range *list.DataList {
				got = append(got, *v.VulId)
				if *v.ImageNum != 2 {
					t.Errorf("%s concerns %d images", *v.VulId, *v.ImageNum)
				}
				affected, err := c.ListVulAffectImages(&model.ListVulAffectImagesRequest{VulId: *v.VulId, Type: typ, ImageType: "local", IsHandled: state == "handled", Status: &status})
				if err != nil || *affected.TotalNum != 2 || *(*affected.DataList)[0].Status != status {
					t.Errorf("images of %s: %v, %v", *v.VulId, affected, err)
				}
				containers, err := c.ListVulContainers(&model.ListVulContainersRequest{VulId: *v.VulId, Type: typ, HandleStatus: &state})
				if err != nil || *containers.TotalNum != 1 || *(*containers.DataList)[0].Status != status {
					t.Errorf("containers of %s: %v, %v", *v.VulId, containers, err)
				}
				for is, want := range map[bool]int32{state == "handled": 1, state != "handled": 0} {
					apps, err := c.ListVulAffectImageApps(&model.ListVulAffectImageAppsRequest{ImageId: *i.ImageId, VulId: *v.VulId, ImageType: "local", IsHandled: is})
					if err != nil || *apps.TotalNum != want {
						t.Errorf("software of %s: %v, %v", *v.VulId, apps, err)
					}
				}
			}
		}
		var want []string
		for _, v := range []string{zlib, openssl, requests} {
			if slices.Contains(handled, v) == (state == "handled") {
				want = append(want, v)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", state, d)
		}
	}
}

func TestHandlingIsRefused(t *testing.T) {
	s := newServer(t)
	c := s.client()
	type selection = model.HandleImageVulnerabilityRequestBody
	good := selection{ImageType: "local", Type: "linux_vul", OperateType: "ignore", SelectType: "all_vul"}
	with := func(f func(b *selection)) *selection {
		b := good
		f(&b)
		return &b
	}
	for name, tc := range map[string]struct {
		body   *selection
		status int
		code   string
	}{
		"no body":          {nil, 400, "HSS.0001"},
		"no type":          {with(func(b *selection) { b.Type = "" }), 400, "HSS.0001"},
		"no image_type":    {with(func(b *selection) { b.ImageType = "" }), 400, "HSS.0001"},
		"no operate_type":  {with(func(b *selection) { b.OperateType = "" }), 400, "HSS.0001"},
		"no select_type":   {with(func(b *selection) { b.SelectType = "" }), 400, "HSS.0001"},
		"type":             {with(func(b *selection) { b.Type = "web_cms" }), 400, "HSS.0001"},
		"operate_type":     {with(func(b *selection) { b.OperateType = "forget" }), 400, "HSS.0001"},
		"select_type":      {with(func(b *selection) { b.SelectType = "some" }), 400, "HSS.0001"},
		"handle_status":    {with(func(b *selection) { b.HandleStatus = new("x") }), 400, "HSS.0001"},
		"remark":           {with(func(b *selection) { b.Remark = new(strings.Repeat("漏", 513)) }), 400, "HSS.0001"},
		"no images":        {with(func(b *selection) { b.SelectType = "specific_image_all_vul" }), 400, "HSS.0001"},
		"no vulns":         {with(func(b *selection) { b.SelectType, b.VulIdList = "specific_vul_all_image", &[]string{} }), 400, "HSS.0001"},
		"no pairs":         {with(func(b *selection) { b.SelectType = "vul_view" }), 400, "HSS.0001"},
		"no pairs of any":  {with(func(b *selection) { b.SelectType = "image_view" }), 400, "HSS.0001"},
		"too many":         {with(func(b *selection) { b.SelectType, b.VulIdList = "specific_vul_all_image", new(make([]string, 10_241)) }), 400, "HSS.0001"},
		"unknown image":    {with(func(b *selection) { b.SelectType, b.ImageIdList = "specific_image_all_vul", &[]string{"nope"} }), 400, "HSS.0011"},
		"unknown advisory": {with(func(b *selection) { b.SelectType, b.VulIdList = "specific_vul_all_image", &[]string{"nope"} }), 400, "HSS.0011"},
		"registry":         {with(func(b *selection) { b.ImageType = "registry" }), 501, "Onceover.0501"},
		"cicd":             {with(func(b *selection) { b.ImageType = "cicd" }), 501, "Onceover.0501"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.HandleImageVulnerability(&model.HandleImageVulnerabilityRequest{Body: tc.body})
			refused(t, err, tc.status, tc.code)
			if tc.status != 501 {
				_, err = c.ListImageHandleAffectVulnerabilities(&model.ListImageHandleAffectVulnerabilitiesRequest{Limit: 10, Body: tc.body})
				refused(t, err, tc.status, tc.code)
			}
		})
	}
	if n := len(vulsOf(t, c, s.imageID(web), "handled")); n != 0 {
		t.Errorf("%d are handled", n)
	}
}

func TestListGeneralImageVulOperations(t *testing.T) {
	s := newServer(t)
	c := s.client()
	id := s.imageID(web)
	for _, action := range []string{"ignore", "manual_repair", "not_ignore", "add_to_whitelist"} {
		body := &model.HandleImageVulnerabilityRequestBody{ImageType: "local", Type: "app_vul", OperateType: action, SelectType: "image_view", Remark: new("ticket 7: " + action),
			ImageDataList: &[]model.HandleImageVulnerabilityRequestBodyImageDataList{{ImageId: &id, VulIdList: &[]string{requests}}}}
		if _, err := c.HandleImageVulnerability(&model.HandleImageVulnerabilityRequest{Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	type question = model.ListGeneralImageVulOperationsRequest
	all := []string{"add_to_whitelist", "not_ignore", "ignore"}
	for name, tc := range map[string]struct {
		req  question
		want []string
	}{
		"all":     {question{}, all},
		"image":   {question{ImageId: &id}, all},
		"ignored": {question{Status: new("vul_status_ignored")}, []string{"add_to_whitelist", "ignore"}},
		"open":    {question{Status: new("vul_status_unfix")}, []string{"not_ignore"}},
		"page":    {question{Offset: new(int32(2))}, all[2:]},
		"end":     {question{Offset: new(int32(3))}, []string{}},
		"every filter": {question{EnterpriseProjectId: new("0"), Offset: new(int32(0)), Limit: new(int32(10)), ImageId: &id, ImageName: new("we"), Status: new("vul_status_ignored"),
			UserName: &s.first.Key.AK, HandleType: new("ignore"), AppName: new("request"), AppVersion: new("2.28"), Remark: new("ticket 7")}, []string{"ignore"}},
		"other user": {question{UserName: new("nobody")}, []string{}},
		"registry":   {question{ImageType: "registry"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.req.VulId = requests
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local"
			}
			resp, err := c.ListGeneralImageVulOperations(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, r := range *resp.DataList {
				got = append(got, *r.HandleType)
				if *r.ImageId != id || *r.ImageName != "web" || *r.ImageVersion != "1.0" || *r.ImageDigest != string(configDigest(1)) || *r.UserName != s.first.Key.AK || *r.HandleTime < 1 ||
					*r.AppName != "requests" || *r.AppVersion != "2.28.1" || *r.AppPath != "/opt/app/requests.dist-info/METADATA" || *r.Remark != "ticket 7: "+*r.HandleType || *r.AgentId != s.agent.AgentID {
					t.Errorf("row %+v", r)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	_, err := c.ListGeneralImageVulOperations(&question{VulId: "nope", ImageType: "local"})
	refused(t, err, 400, "HSS.0011")
	_, err = c.ListGeneralImageVulOperations(&question{VulId: requests, ImageType: "local", HandleType: new("manual_repair")})
	refused(t, err, 400, "HSS.0001")
}
