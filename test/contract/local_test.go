package contract

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

// names lists images as "name:version", in the order of the answer.
func names(t *testing.T, list *[]model.ImageLocalInfo) []string {
	t.Helper()
	if list == nil {
		t.Fatal("data_list is null")
	}
	out := []string{}
	for _, i := range *list {
		out = append(out, *i.ImageName+":"+*i.ImageVersion)
	}
	return out
}

const (
	none   = "<none>:<none>"
	broken = "broken:1"
	swr    = swrName + ":2.0"
	web    = "web:1.0"
)

func TestListImageLocalFilters(t *testing.T) {
	s := newServer(t)
	c := s.client()
	all, err := c.ListImageLocal(&model.ListImageLocalRequest{})
	if err != nil {
		t.Fatal(err)
	}
	scanned := *(*all.DataList)[3].LatestScanTime
	now := nowMS()
	for _, tc := range []struct {
		name string
		req  model.ListImageLocalRequest
		want []string
	}{
		{"none", model.ListImageLocalRequest{}, []string{none, broken, swr, web}},
		{"all enterprise projects", model.ListImageLocalRequest{EnterpriseProjectId: new("all_granted_eps")}, []string{none, broken, swr, web}},
		{"name is a substring", model.ListImageLocalRequest{ImageName: new("eb")}, []string{swr, web}},
		{"name is case-sensitive", model.ListImageLocalRequest{ImageName: new("WEB")}, []string{}},
		{"name is no pattern", model.ListImageLocalRequest{ImageName: new("w%b")}, []string{}},
		{"name and version", model.ListImageLocalRequest{ImageName: new("web"), ImageVersion: new("1.0")}, []string{web}},
		{"version is exact", model.ListImageLocalRequest{ImageName: new("web"), ImageVersion: new("1")}, []string{}},
		{"version alone has no effect", model.ListImageLocalRequest{ImageVersion: new("1.0")}, []string{none, broken, swr, web}},
		{"success", model.ListImageLocalRequest{ScanStatus: new("success")}, []string{swr, web}},
		{"unscan", model.ListImageLocalRequest{ScanStatus: new("unscan")}, []string{none, broken}},
		{"waiting_for_scan", model.ListImageLocalRequest{ScanStatus: new("waiting_for_scan")}, []string{}},
		{"waiting", model.ListImageLocalRequest{ScanStatus: new("waiting")}, []string{}},
		{"unknown status", model.ListImageLocalRequest{ScanStatus: new("SUCCESS")}, []string{}},
		{"swr", model.ListImageLocalRequest{LocalImageType: new("swr_image")}, []string{swr}},
		{"other", model.ListImageLocalRequest{LocalImageType: new("other_image")}, []string{none, broken, web}},
		{"unknown type", model.ListImageLocalRequest{LocalImageType: new("x")}, []string{}},
		{"size", model.ListImageLocalRequest{ImageSize: new(int64(3000))}, []string{none}},
		{"updated", model.ListImageLocalRequest{StartLatestUpdateTime: new(int64(1_705_000_000_000)), EndLatestUpdateTime: new(int64(1_715_000_000_000))}, []string{swr}},
		{"half a pair", model.ListImageLocalRequest{StartLatestUpdateTime: new(int64(1_705_000_000_000))}, []string{none, broken, swr, web}},
		{"a pair in the wrong order", model.ListImageLocalRequest{StartLatestUpdateTime: new(int64(2)), EndLatestUpdateTime: new(int64(1))}, []string{none, broken, swr, web}},
		{"scanned", model.ListImageLocalRequest{StartLatestScanTime: new(scanned - 30_000), EndLatestScanTime: new(now)}, []string{swr, web}},
		{"scanned before", model.ListImageLocalRequest{StartLatestScanTime: new(int64(0)), EndLatestScanTime: new(scanned - 60_000)}, []string{}},
		{"with vulnerabilities", model.ListImageLocalRequest{HasVul: new(true)}, []string{web}},
		{"without vulnerabilities", model.ListImageLocalRequest{HasVul: new(false)}, []string{swr}},
		{"host name", model.ListImageLocalRequest{HostName: new("ode-1")}, []string{none, broken, swr, web}},
		{"another host name", model.ListImageLocalRequest{HostName: new("Node-1")}, []string{}},
		{"host id", model.ListImageLocalRequest{HostId: new("host-id-1")}, []string{none, broken, swr, web}},
		{"host id is exact", model.ListImageLocalRequest{HostId: new("host-id")}, []string{}},
		{"private address", model.ListImageLocalRequest{HostIp: new("10.1.2.3")}, []string{none, broken, swr, web}},
		{"public address", model.ListImageLocalRequest{HostIp: new("203.0.113.9")}, []string{none, broken, swr, web}},
		{"another address", model.ListImageLocalRequest{HostIp: new("10.1.2.4")}, []string{}},
		{"container id", model.ListImageLocalRequest{ContainerId: new(strings.Repeat("c1", 32))}, []string{web}},
		{"container name", model.ListImageLocalRequest{ContainerName: new("front")}, []string{web}},
		{"pod id", model.ListImageLocalRequest{PodId: new("pod-id-1")}, []string{web}},
		{"pod id is exact", model.ListImageLocalRequest{PodId: new("pod-id")}, []string{}},
		{"pod name", model.ListImageLocalRequest{PodName: new("ron")}, []string{web}},
		{"software", model.ListImageLocalRequest{AppName: new("zlib")}, []string{web}},
		{"with containers", model.ListImageLocalRequest{HasContainer: new(true)}, []string{web}},
		{"without containers", model.ListImageLocalRequest{HasContainer: new(false)}, []string{none, broken, swr}},
		{"as Terraform asks", model.ListImageLocalRequest{HasVul: new(false), HasContainer: new(false), Limit: new(int32(200)), Offset: new(int32(0))}, []string{swr}},
		{"everything at once", model.ListImageLocalRequest{
			EnterpriseProjectId: new("0"), Offset: new(int32(0)), Limit: new(int32(10)), ImageName: new("web"), ImageVersion: new("1.0"),
			ScanStatus: new("success"), LocalImageType: new("other_image"), ImageSize: new(int64(1000)),
			StartLatestUpdateTime: new(int64(1)), EndLatestUpdateTime: new(now), StartLatestScanTime: new(int64(1)), EndLatestScanTime: new(now + 1),
			HasVul: new(true), HostName: new("node"), HostId: new("host-id-1"), HostIp: new("10.1.2.3"), ContainerId: new(strings.Repeat("c1", 32)),
			ContainerName: new("front-1"), PodId: new("pod-id-1"), PodName: new("front"), AppName: new("libssl3"), HasContainer: new(true)}, []string{web}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.ListImageLocal(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, names(t, resp.DataList)); d != "" {
				t.Error(d)
			}
			if int(*resp.TotalNum) != len(tc.want) {
				t.Errorf("total_num %d", *resp.TotalNum)
			}
		})
	}
}

func TestListImageLocalRow(t *testing.T) {
	s := newServer(t)
	resp, err := s.client().ListImageLocal(&model.ListImageLocalRequest{ImageName: new("web"), ImageVersion: new("1.0")})
	if err != nil {
		t.Fatal(err)
	}
	got := (*resp.DataList)[0]
	if len(*got.ImageId) != 36 || time.Since(time.UnixMilli(*got.LatestScanTime)) > time.Minute {
		t.Errorf("id %q, scan time %d", *got.ImageId, *got.LatestScanTime)
	}
	got.ImageId, got.LatestScanTime = nil, nil
	want := model.ImageLocalInfo{
		ImageName: new("web"), ImageVersion: new("1.0"), ImageDigest: new(string(configDigest(1))), LocalImageType: new("other_image"),
		ScanStatus: new("success"), ImageSize: new(int64(1000)), LatestUpdateTime: new(int64(1_700_000_000_000)),
		VulNum: new(int64(3)), HostNum: new(int64(1)),
		ContainerNum: new(int64(1)), ComponentNum: new(int64(4)), ScanFailedDesc: new(""), SeverityLevel: new("High"),
		HostName: new("node-1"), HostId: new("host-id-1"), AgentId: new(s.agent.AgentID), NonScanReason: new(""),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	resp, err = s.client().ListImageLocal(&model.ListImageLocalRequest{ImageName: new("broken")})
	if err != nil {
		t.Fatal(err)
	}
	row := (*resp.DataList)[0]
	if *row.NonScanReason != "layer is missing" || *row.LatestScanTime != 0 || *row.ScanStatus != "unscan" || row.SeverityLevel != nil {
		t.Errorf("image that cannot be scanned: %v", row)
	}
}

func TestPaging(t *testing.T) {
	s := newServer(t)
	c := s.client()
	for _, tc := range []struct {
		name          string
		offset, limit *int32
		want          []string
	}{
		{"past the end", new(int32(4)), new(int32(10)), []string{}},
		{"far past the end", new(int32(2_000_000)), nil, []string{}},
		{"the last one", new(int32(3)), nil, []string{web}},
		{"limit below its range", nil, new(int32(1)), []string{none, broken, swr, web}},
		{"limit above its range", nil, new(int32(10_000)), []string{none, broken, swr, web}},
		{"negative", new(int32(-5)), new(int32(-5)), []string{none, broken, swr, web}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.ListImageLocal(&model.ListImageLocalRequest{Offset: tc.offset, Limit: tc.limit})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, names(t, resp.DataList)); d != "" || *resp.TotalNum != 4 {
				t.Errorf("total %d\n%s", *resp.TotalNum, d)
			}
		})
	}
}

func TestSoftwareHostsContainers(t *testing.T) {
	s := newServer(t)
	c := s.client()
	id := s.imageID(web)
	apps, err := c.ListLocalImageAppInfo(&model.ListLocalImageAppInfoRequest{ImageId: id})
	if err != nil {
		t.Fatal(err)
	}
	want := []model.LocalImageAppList{
		{AppName: new("libc6"), AppType: new("deb"), AppVersion: new("2.36-9+deb12u9"), VulNum: new(int32(0))},
		{AppName: new("libssl3"), AppType: new("deb"), AppVersion: new("3.0.9-1"), VulNum: new(int32(1))},
		{AppName: new("requests"), AppType: new("pypi"), AppVersion: new("2.28.1"), VulNum: new(int32(1))},
		{AppName: new("zlib1g"), AppType: new("deb"), AppVersion: new("1:1.2.13.dfsg-1"), VulNum: new(int32(1))},
	}
	if d := cmp.Diff(want, *apps.DataList); d != "" || *apps.TotalNum != 4 {
		t.Errorf("total %d\n%s", *apps.TotalNum, d)
	}
	apps, err = c.ListLocalImageAppInfo(&model.ListLocalImageAppInfoRequest{ImageId: id, AppName: new("ssl"), Offset: new(int32(0)), Limit: new(int32(10)), EnterpriseProjectId: new("0")})
	if err != nil || len(*apps.DataList) != 1 {
		t.Errorf("by name: %v, %v", apps, err)
	}
	_, err = c.ListLocalImageAppInfo(&model.ListLocalImageAppInfoRequest{ImageId: "no-such-image"})
	refused(t, err, 400, "HSS.0011")
	_, err = c.ListLocalImageAppInfo(&model.ListLocalImageAppInfoRequest{})
	refused(t, err, 400, "HSS.0001")

	for _, digest := range []string{string(configDigest(1)), string(digest(101)), strings.TrimPrefix(string(configDigest(1)), "sha256:")} {
		hosts, err := c.ListLocalImageHosts(&model.ListLocalImageHostsRequest{ImageDigest: &digest, ImageName: new("web"), ImageVersion: new("1.0"),
			AgentId: &s.agent.AgentID, HostName: new("node"), Offset: new(int32(0)), Limit: new(int32(10)), EnterpriseProjectId: new("0")})
		if err != nil {
			t.Fatal(err)
		}
		want := []model.LocalImageHostInfo{{
			AgentId: &s.agent.AgentID, AgentStatus: new("online"), HostName: new("node-1"), HostId: new("host-id-1"),
			PrivateIp: new("10.1.2.3"), PublicIp: new("203.0.113.9"), DockerName: new("docker"), DockerType: new("docker"),
		}}
		if d := cmp.Diff(want, *hosts.DataList); d != "" {
			t.Errorf("digest %s\n%s", digest, d)
		}
	}
	hosts, err := c.ListLocalImageHosts(&model.ListLocalImageHostsRequest{})
	if err != nil || *hosts.TotalNum != 1 {
		t.Errorf("all hosts: %v, %v", hosts, err)
	}
	hosts, err = c.ListLocalImageHosts(&model.ListLocalImageHostsRequest{ImageDigest: new("sha256:00")})
	if err != nil || hosts.DataList == nil || len(*hosts.DataList) != 0 {
		t.Errorf("no hosts: %v, %v", hosts, err)
	}

	container := model.LocalImageContainerInfo{
		AgentId: &s.agent.AgentID, ContainerName: new("front-1"), ContainerId: new(strings.Repeat("c1", 32)), HostId: new("host-id-1"), HostName: new("node-1"),
		PodId: new("pod-id-1"), PodName: new("front"), PrivateIp: new("10.1.2.3"), PublicIp: new("203.0.113.9"), EntryPoint: new("nginx -g"),
	}
	for _, req := range []model.ListLocalImageContainersRequest{
		{},
		{ImageDigest: new(string(configDigest(1))), ImageName: new("web"), ImageVersion: new("1.0"), AgentId: &s.agent.AgentID,
			ContainerId: container.ContainerId, Offset: new(int32(0)), Limit: new(int32(10)), EnterpriseProjectId: new("0"), Region: "cn-north-4"},
	} {
		resp, err := c.ListLocalImageContainers(&req)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]model.LocalImageContainerInfo{container}, *resp.DataList); d != "" {
			t.Error(d)
		}
	}
	resp, err := c.ListLocalImageContainers(&model.ListLocalImageContainersRequest{ImageName: new(swrName)})
	if err != nil || resp.DataList == nil || len(*resp.DataList) != 0 || *resp.TotalNum != 0 {
		t.Errorf("no containers: %v, %v", resp, err)
	}
	stats, err := c.ShowImageAssetStatistics(&model.ShowImageAssetStatisticsRequest{EnterpriseProjectId: new("all_granted_eps")})
	if err != nil || *stats.LocalNum != 4 || *stats.RegistryNum != 0 || *stats.CicdNum != 0 {
		t.Errorf("statistics: %v, %v", stats, err)
	}
}

// imageID finds an image by "name:version".
func (s *server) imageID(name string) string {
	s.t.Helper()
	resp, err := s.client().ListImageLocal(&model.ListImageLocalRequest{Limit: new(int32(200))})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, i := range *resp.DataList {
		if *i.ImageName+":"+*i.ImageVersion == name {
			return *i.ImageId
		}
	}
	s.t.Fatalf("no image %s", name)
	return ""
}
