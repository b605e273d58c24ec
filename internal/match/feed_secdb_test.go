package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/report"
)

func TestAlpineFeed(t *testing.T) {
	const dir = "pkg/fetch/alpine/secdb/testdata/fixtures/"
	m := fromFeed(t, "alpine", map[string][]byte{
		"v3.16/main.json": feedtest.Sample(t, feedtest.Sources, dir+"v3.16/main.json"),
		"edge/main.json":  feedtest.Sample(t, feedtest.Sources, dir+"edge/main.json"),
		"v3.18/main.json": []byte(`{"distroversion":"v3.18","reponame":"main","packages":[{"pkg":{"name":"bind","secfixes":{"0":["CVE-2019-6470"]}}},
			{"pkg":{"name":"dhcp","secfixes":{"4.4.1-r0":["CVE-2019-6470"]}}}]}`),
	})
	release := func(v string) report.Distro { return report.Distro{ID: "alpine", VersionID: v} }
	for _, tc := range []struct {
		name, source, version string
		distro                report.Distro
		want                  []brief
	}{
		{"older than one fix", "apache2", "2.4.34-r9", release("3.16.9"), []brief{
			{"CVE-2018-11763", "Unknown", "2.4.35-r0", "fixed", "2.4.34-r9 < 2.4.35-r0"}}},
		{"the last fix", "apache2", "2.4.35-r0", release("3.16.9"), nil},
		{"another release", "apache2", "2.4.34-r9", release("3.17.0"), nil},
		{"edge", "aom", "3.1.1_rc1-r0", release("3.21.0_alpha20240807"), []brief{
			{"CVE-2021-30473", "Unknown", "3.1.1-r0", "fixed", "3.1.1_rc1-r0 < 3.1.1-r0"},
			{"CVE-2021-30474", "Unknown", "3.1.1-r0", "fixed", "3.1.1_rc1-r0 < 3.1.1-r0"},
			{"CVE-2021-30475", "Unknown", "3.1.1-r0", "fixed", "3.1.1_rc1-r0 < 3.1.1-r0"}}},
		{"not affected", "bind", "9.18.11-r0", release("3.18.0"), nil},
		{"affected by the same", "dhcp", "4.3.6-r0", release("3.18.0"), []brief{
			{"CVE-2019-6470", "Unknown", "4.4.1-r0", "fixed", "4.3.6-r0 < 4.4.1-r0"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := m.Package(tc.distro, report.Package{Type: "apk", Name: tc.source + "-sub", Source: tc.source, Version: tc.version})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWolfiFeed has the facts of grype's scenario "wolfi-rolling".
func TestWolfiFeed(t *testing.T) {
	m := fromFeed(t, "wolfi", map[string][]byte{"security.json": []byte(`{"packages":[
		{"pkg":{"name":"openssl","secfixes":{"3.2.1-r0":["CVE-2024-0727"]}}},
		{"pkg":{"name":"akhq","secfixes":{"0":["CVE-2024-47535"]}}},
		{"pkg":{"name":"apicurio-registry","secfixes":{"3.0.6-r1":["CVE-2024-47535"]}}}]}`)})
	for _, tc := range []struct {
		source, version string
		want            []brief
	}{
		{"openssl", "3.2.0-r5", []brief{{"CVE-2024-0727", "Unknown", "3.2.1-r0", "fixed", "3.2.0-r5 < 3.2.1-r0"}}},
		{"openssl", "3.2.1-r0", nil},
		{"akhq", "0.25.0-r0", nil},
		{"apicurio-registry", "3.0.6-r0", []brief{{"CVE-2024-47535", "Unknown", "3.0.6-r1", "fixed", "3.0.6-r0 < 3.0.6-r1"}}},
	} {
		got, err := m.Package(report.Distro{ID: "wolfi", VersionID: "20230201"}, report.Package{Type: "apk", Name: tc.source, Source: tc.source, Version: tc.version})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, briefs(got)); diff != "" {
			t.Errorf("%s %s: %s", tc.source, tc.version, diff)
		}
	}
}
