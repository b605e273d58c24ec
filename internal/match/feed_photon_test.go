package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/report"
)

func TestPhotonFeed(t *testing.T) {
	const dir = "pkg/fetch/photon/"
	m := fromFeed(t, "photon", map[string][]byte{
		"cve_data_photon4.0.json":        feedtest.Sample(t, feedtest.Sources, dir+"cve/testdata/fixtures/happy/cve_data_photon4.0.json"),
		"cve_data_photon5.0.json":        feedtest.Sample(t, feedtest.Sources, dir+"cve/testdata/fixtures/happy/cve_data_photon5.0.json"),
		"com.vmware.phsa-photon5.xml.gz": feedtest.Sample(t, feedtest.Sources, dir+"oval/testdata/fixtures/happy/com.vmware.phsa-photon5.xml.gz"),
	})
	for _, tc := range []struct {
		name, release string
		p             report.Package
		want          []brief
	}{
		{"before the fix", "4.0", report.Package{Name: "curl-libs", Source: "curl", Version: "8.15.0-1.ph4", SourceVersion: "8.15.0-1.ph4"},
			[]brief{{"CVE-2025-9086", "High", "8.16.0-1.ph4", "fixed", "8.15.0-1.ph4 < 8.16.0-1.ph4"}}},
		{"the fix", "4.0", report.Package{Name: "curl", Version: "8.16.0-1.ph4"}, nil},
		{"another release", "5.0", report.Package{Name: "curl", Version: "8.15.0-1.ph5"}, nil},
		{"not affected", "5.0", report.Package{Name: "consul", Version: "1.0-1.ph5"}, nil},
		{"an advisory of two CVEs beside the metadata of one", "5.0", report.Package{Name: "ansible", Version: "2.14.11-1.ph5"}, []brief{
			{"PHSA-2024-5.0-0184", "High", "2.14.12-1.ph5", "fixed", "2.14.11-1.ph5 < 2.14.12-1.ph5"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.p.Type = report.TypeRPM
			fs, err := m.Package(report.Distro{ID: "photon", VersionID: tc.release}, tc.p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(fs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
