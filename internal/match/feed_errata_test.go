package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/report"
)

func TestAlmaFeed(t *testing.T) {
	m := fromFeed(t, "alma", map[string][]byte{
		"8/errata.full.json": feedtest.Sample(t, feedtest.Sources, "pkg/fetch/alma/errata/testdata/fixtures/errata.full.json"),
	})
	const el85 = "1.0.5-18.module_el8.5.0+2632+14ced695"
	for _, tc := range []struct {
		name, version, module string
		want                  []brief
	}{
		{"older build of the stream", "1.0.5-17.module_el8.3.0+1+a", "mariadb:10.3:8030020210324132345:229f0a1c", []brief{
			{"ALSA-2019:3708", "Medium", el85, "fixed", "1.0.5-17.module_el8.3.0+1+a < " + el85}}},
		{"one of the builds of the stream", el85, "mariadb:10.3:8050020220427075058:c5368500", nil},
		{"another stream has its own fix", el85, "mariadb:10.5:8060020220420124706:9edba152", []brief{
			{"ALSA-2019:3708", "Medium", "1.0.5-18.module_el8.6.0+2761+593e5e59", "fixed", el85 + " < 1.0.5-18.module_el8.6.0+2761+593e5e59"}}},
		{"a stream that the advisory does not name", "1.0.5-17.module_el8.3.0+1+a", "mariadb:10.11:1:b", nil},
		{"built for no module", "1.0.5-1.el8", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := m.Package(alma8, report.Package{Type: "rpm", Name: "Judy", Source: "Judy", Version: tc.version, Module: tc.module})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRockyFeed(t *testing.T) {
	m := fromFeed(t, "rocky", map[string][]byte{
		"page-0001.json": feedtest.Sample(t, feedtest.Sources, "pkg/fetch/rocky/errata/testdata/fixtures/happy/page1.json"),
		"page-0002.json": []byte(`{"advisories":[{"name":"RLSA-2024:0001","severity":"Important","cves":[{"cve":"CVE-2024-0001"}],"packages":[
			{"nevra":"podman-3:4.0.2-8.module+el8.9.0+1+a.x86_64.rpm","module_name":"container-tools","module_stream":"rhel8","product_name":"Rocky Linux 8 x86_64"},
			{"nevra":"kernel-core-0:4.18.0-425.10.1.el8_7.cloud.x86_64.rpm","product_name":"Rocky Linux SIG Cloud 8 x86_64"}]}]}`),
	})
	for _, tc := range []struct {
		name, release string
		p             report.Package
		want          []brief
	}{
		{"older", "10.0", report.Package{Name: "golang-bin", Version: "1.24.1-1.el10_0", Source: "golang", SourceVersion: "1.24.1-1.el10_0"}, []brief{
			{"RLSA-2025:21816", "Medium", "1.25.3-1.el10_1", "fixed", "1.24.1-1.el10_0 < 1.25.3-1.el10_1"}}},
		{"fixed", "10.1", report.Package{Name: "golang-bin", Version: "1.25.3-1.el10_1", Source: "golang", SourceVersion: "1.25.3-1.el10_1"}, nil},
		{"another release", "9.6", report.Package{Name: "golang-bin", Version: "1.24.1-1.el9", Source: "golang"}, nil},
		{"its stream", "8.9", report.Package{Name: "podman", Version: "3:4.0.1-1.module+el8.7.0+1+a", Module: "container-tools:rhel8:1:a"}, []brief{
			{"RLSA-2024:0001", "High", "3:4.0.2-8.module+el8.9.0+1+a", "fixed", "3:4.0.1-1.module+el8.7.0+1+a < 3:4.0.2-8.module+el8.9.0+1+a"}}},
		{"another stream", "8.9", report.Package{Name: "podman", Version: "1:1.0.0-1.module+el8.7.0+1+a", Module: "container-tools:1.0:1:a"}, nil},
		{"rebuilt by an interest group", "8.7", report.Package{Name: "kernel-core", Version: "4.18.0-425.10.1.el8_7"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.p.Type = "rpm"
			got, err := m.Package(report.Distro{ID: "rocky", VersionID: tc.release}, tc.p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
