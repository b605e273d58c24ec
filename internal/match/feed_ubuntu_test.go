package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

// TestUbuntuPro has the facts of grype's scenario "ubuntu-esm": wayland and
// openssh, mended for everyone, for subscribers only, or not at all.
func TestUbuntuPro(t *testing.T) {
	fixed := func(v string) string { return `{"introduced":"0"},{"fixed":"` + v + `"}` }
	medium := func(cve string) string {
		return `"upstream":["` + cve + `"],"severity":[{"type":"Ubuntu","score":"medium"}],`
	}
	m := New(compile(t,
		`{"id":"UBUNTU-CVE-2021-3782","modified":"2026-01-02T03:04:05Z","upstream":["CVE-2021-3782"],"severity":[{"type":"Ubuntu","score":"medium"}],"affected":[
			{"package":{"ecosystem":"Ubuntu:Pro:16.04:LTS","name":"wayland"},"ranges":[{"type":"ECOSYSTEM","events":[`+fixed("1.12.0-1~ubuntu16.04.3+esm1")+`]}]},
			{"package":{"ecosystem":"Ubuntu:20.04:LTS","name":"wayland"},"ranges":[{"type":"ECOSYSTEM","events":[`+fixed("1.18.0-1ubuntu0.1")+`]}]}]}`,
		rec("UBUNTU-CVE-2023-38408", "Ubuntu:Pro:20.04:LTS", "openssh", fixed("1:8.2p1-4ubuntu0.20+esm1"), medium("CVE-2023-38408")),
		rec("UBUNTU-CVE-2025-61985", "Ubuntu:Pro:20.04:LTS", "openssh", fixed("1:8.2p1-4ubuntu0.13+esm1"), medium("CVE-2025-61985")),
		rec("UBUNTU-CVE-2016-9586", "Ubuntu:Pro:16.04:LTS", "curl", unfixed, medium("CVE-2016-9586")),
		rec("UBUNTU-CVE-2024-0001", "Ubuntu:Pro:FIPS:20.04:LTS", "openssl", fixed("1.1.1f-1ubuntu2.fips.22"), ""),
	))
	for _, tc := range []struct {
		name, release, source, version string
		want                           []brief
	}{
		{"fixed for everyone", "20.04", "wayland", "1.18.0-1", []brief{
			{"CVE-2021-3782", "Medium", "1.18.0-1ubuntu0.1", "fixed", "1.18.0-1 < 1.18.0-1ubuntu0.1"}}},
		{"has the fix for everyone", "20.04", "wayland", "1.18.0-1ubuntu0.1", nil},
		{"fixed for subscribers, who is none", "16.04", "wayland", "1.12.0-1~ubuntu16.04.3", []brief{
			{"CVE-2021-3782", "Medium", "", "not-fixed", "1.12.0-1~ubuntu16.04.3 < 1.12.0-1~ubuntu16.04.3+esm1"}}},
		{"has the fix for subscribers", "16.04", "wayland", "1.12.0-1~ubuntu16.04.3+esm1", nil},
		{"several, who is no subscriber", "20.04", "openssh", "1:8.2p1-4ubuntu0.11", []brief{
			{"CVE-2023-38408", "Medium", "", "not-fixed", "1:8.2p1-4ubuntu0.11 < 1:8.2p1-4ubuntu0.20+esm1"},
			{"CVE-2025-61985", "Medium", "", "not-fixed", "1:8.2p1-4ubuntu0.11 < 1:8.2p1-4ubuntu0.13+esm1"}}},
		{"several, subscriber with the first fix", "20.04", "openssh", "1:8.2p1-4ubuntu0.13+esm1", []brief{
			{"CVE-2023-38408", "Medium", "1:8.2p1-4ubuntu0.20+esm1", "fixed", "1:8.2p1-4ubuntu0.13+esm1 < 1:8.2p1-4ubuntu0.20+esm1"}}},
		{"fixed for nobody", "16.04", "curl", "7.47.0-1ubuntu2.19", []brief{
			{"CVE-2016-9586", "Medium", "", "not-fixed", "7.47.0-1ubuntu2.19 >= 0"}}},
		{"fixed for nobody, subscriber", "16.04", "curl", "7.47.0-1ubuntu2.19+esm9", []brief{
			{"CVE-2016-9586", "Medium", "", "not-fixed", "7.47.0-1ubuntu2.19+esm9 >= 0"}}},
		{"a build of its own says nothing of others", "20.04", "openssl", "1.1.1f-1ubuntu2.16", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := m.Package(report.Distro{ID: "ubuntu", VersionID: tc.release},
				report.Package{Type: "deb", Name: tc.source + "-bin", Source: tc.source, Version: tc.version})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestUbuntuFeed has the same facts in the form of Canonical's OVAL, and those
// that only this form has.
func TestUbuntuFeed(t *testing.T) {
	definition := func(cve, comments string) string {
		return `<definition class="vulnerability" id="x"><metadata><title>` + cve + ` on Ubuntu 20.04 LTS (focal) - medium</title>
			<advisory><severity>Medium</severity></advisory></metadata><criteria>` + comments + `</criteria></definition>`
	}
	m := fromFeed(t, "ubuntu", map[string][]byte{"com.ubuntu.focal.cve.oval.xml": []byte("<oval_definitions><definitions>" +
		definition("CVE-2023-38408", `<criterion comment="openssh source package in esm-infra/focal, is affected and has been fixed (note: '1:8.2p1-4ubuntu0.20+esm1')."/>`) +
		definition("CVE-2021-3782", `<criterion comment="wayland source package in focal, is affected and has been fixed (note: '1.18.0-1ubuntu0.1')."/>`) +
		definition("CVE-2024-0001", `<criterion comment="wayland: while related to the CVE in some way, a decision has been made to ignore this issue (note: 'end of life')."/>`) +
		definition("CVE-2024-0002", `<criterion comment="wayland source package in focal, might be affected and may need fixing."/>`) +
		"</definitions></oval_definitions>")})
	for _, tc := range []struct {
		source, version string
		want            []brief
	}{
		{"openssh", "1:8.2p1-4ubuntu0.11", []brief{{"CVE-2023-38408", "Medium", "", "not-fixed", "1:8.2p1-4ubuntu0.11 < 1:8.2p1-4ubuntu0.20+esm1"}}},
		{"openssh", "1:8.2p1-4ubuntu0.13+esm1", []brief{
			{"CVE-2023-38408", "Medium", "1:8.2p1-4ubuntu0.20+esm1", "fixed", "1:8.2p1-4ubuntu0.13+esm1 < 1:8.2p1-4ubuntu0.20+esm1"}}},
		{"openssh", "1:8.2p1-4ubuntu0.20+esm1", nil},
		{"wayland", "1.18.0-1", []brief{
			{"CVE-2021-3782", "Medium", "1.18.0-1ubuntu0.1", "fixed", "1.18.0-1 < 1.18.0-1ubuntu0.1"},
			{"CVE-2024-0001", "Medium", "", "wont-fix", "1.18.0-1 >= 0"}}},
	} {
		got, err := m.Package(report.Distro{ID: "ubuntu", VersionID: "20.04"}, report.Package{Type: "deb", Name: tc.source, Source: tc.source, Version: tc.version})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, briefs(got)); diff != "" {
			t.Errorf("%s %s: %s", tc.source, tc.version, diff)
		}
	}
}
