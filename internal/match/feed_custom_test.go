package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

func TestCustomFeed(t *testing.T) {
	m := fromFeed(t, "custom", map[string][]byte{"euler.jsonl": []byte(
		`{"id":"EulerOS-SA-2024-1","cves":["CVE-2024-0001"],"source":"huawei","severity":"Important","affected":[{"ecosystem":"EulerOS:2.0-SP12","name":"openssl-libs","ranges":[{"introduced":"0","fixed":"1:1.1.1m-15.h30.eulerosv2r12"}]}]}
{"id":"EulerOS-CVE-2024-0002","cves":["CVE-2024-0002"],"affected":[{"ecosystem":"EulerOS:2.0-SP12","name":"openssl-libs","ranges":[{"introduced":"0"}],"state":"wont-fix","severity":"low"}]}
{"id":"EulerOS-CVE-2024-0003","cves":["CVE-2024-0003"],"affected":[{"ecosystem":"EulerOS:2.0-SP12","name":"openssl-libs","state":"not-affected"}]}
`)})
	d := report.Distro{ID: "euleros", VersionID: "2.0", Name: "EulerOS 2.0 (SP12x86_64)"}
	wont := brief{"CVE-2024-0002", "Low", "", "wont-fix", "1:1.1.1m-15.h29.eulerosv2r12 >= 0"}
	for v, want := range map[string][]brief{
		"1:1.1.1m-15.h29.eulerosv2r12": {{"EulerOS-SA-2024-1", "High", "1:1.1.1m-15.h30.eulerosv2r12", "fixed",
			"1:1.1.1m-15.h29.eulerosv2r12 < 1:1.1.1m-15.h30.eulerosv2r12"}, wont},
		"1:1.1.1m-15.h30.eulerosv2r12": {{"CVE-2024-0002", "Low", "", "wont-fix", "1:1.1.1m-15.h30.eulerosv2r12 >= 0"}},
	} {
		fs, err := m.Package(d, report.Package{Type: "rpm", Name: "openssl-libs", Version: v})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, briefs(fs)); diff != "" {
			t.Errorf("%s: %s", v, diff)
		}
		for _, f := range fs {
			if source := map[bool]string{true: "custom:huawei/EulerOS", false: "custom/EulerOS"}[f.ID == "EulerOS-SA-2024-1"]; f.Evidence.Source != source {
				t.Errorf("%s comes from %q", f.ID, f.Evidence.Source)
			}
		}
	}
	_, warnings, err := m.Inventory(report.Inventory{Distro: d, Packages: []report.Package{{Type: "rpm", Name: "a", Version: "1-1"}}}, nil)
	if err != nil || len(warnings) != 0 {
		t.Errorf("got %q, %v", warnings, err)
	}
}

// A distribution that we have no name for has advisories by its id.
func TestCustomFeedByID(t *testing.T) {
	m := fromFeed(t, "custom", map[string][]byte{"a.jsonl": []byte(
		`{"id":"CTY-1","cves":["CVE-2024-0001"],"affected":[{"ecosystem":"rpm:ctyunos:2.0.1","name":"a","ranges":[{"introduced":"0","fixed":"2-1.ctl2"}]}]}
{"id":"CTY-2","cves":["CVE-2024-0002"],"affected":[{"ecosystem":"rpm:ctyunos:2","name":"a","ranges":[{"introduced":"0","fixed":"2-1.ctl2"}]}]}
{"id":"MINT-1","cves":["CVE-2024-0003"],"affected":[{"ecosystem":"deb:linuxmint:21.3","name":"mintupdate","ranges":[{"introduced":"0","fixed":"6.1"}]}]}
`)})
	for _, tc := range []struct {
		name string
		d    report.Distro
		p    report.Package
		want []string
	}{
		{"of a release and of its line", report.Distro{ID: "ctyunos", VersionID: "2.0.1"}, report.Package{Type: "rpm", Name: "a", Version: "1-1.ctl2"}, []string{"CTY-1", "CTY-2"}},
		{"of the line alone", report.Distro{ID: "ctyunos", VersionID: "2.1"}, report.Package{Type: "rpm", Name: "a", Version: "1-1.ctl2"}, []string{"CTY-2"}},
		{"another distribution", report.Distro{ID: "bclinux", VersionID: "2.0.1"}, report.Package{Type: "rpm", Name: "a", Version: "1-1"}, nil},
		{"packages of another kind", report.Distro{ID: "ctyunos", VersionID: "2.0.1"}, report.Package{Type: "deb", Name: "a", Version: "1-1"}, nil},
		{"beside those of the parent", report.Distro{ID: "linuxmint", VersionID: "21.3", Base: "jammy"}, report.Package{Type: "deb", Name: "mintupdate", Version: "6.0"}, []string{"MINT-1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fs, err := m.Package(tc.d, tc.p)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range fs {
				got = append(got, f.ID)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	d := report.Distro{ID: "linuxmint", VersionID: "21.3", Base: "jammy"}
	got := m.distroWarnings(d, distroEcosystems(d, m.ecosystems), map[string]int{"deb": 3})
	if len(got) != 1 || got[0] != "the advisory database has nothing for Ubuntu:22.04:LTS: 3 packages of linuxmint 21.3 are not matched" {
		t.Errorf("got %q", got)
	}
}

func TestUpdateinfoFeed(t *testing.T) {
	m := fromFeed(t, "updateinfo", map[string][]byte{"Anolis OS:8/BaseOS/updateinfo.xml": []byte(`<updates>
<update type="security"><id>ANSA-2024:0001</id><severity>Important</severity><references><reference id="CVE-2024-0001" type="cve"/></references>
<pkglist><collection><package name="xz-libs" epoch="0" version="5.2.4" release="4.0.1.an8" arch="x86_64"/></collection></pkglist></update></updates>`)})
	for v, want := range map[string][]brief{
		"5.2.4-3.an8":     {{"ANSA-2024:0001", "High", "5.2.4-4.0.1.an8", "fixed", "5.2.4-3.an8 < 5.2.4-4.0.1.an8"}},
		"5.2.4-4.0.1.an8": nil,
	} {
		fs, err := m.Package(report.Distro{ID: "anolis", VersionID: "8.8"}, report.Package{Type: "rpm", Name: "xz-libs", Version: v})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, briefs(fs)); diff != "" {
			t.Errorf("%s: %s", v, diff)
		}
	}
}
