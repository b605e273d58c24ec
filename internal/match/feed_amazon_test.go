package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/report"
)

func TestAmazonFeed(t *testing.T) {
	sample := func(name string) []byte {
		return feedtest.Sample(t, feedtest.Sources, "pkg/fetch/amazon/testdata/fixtures/updateinfo_"+name+".xml.gz")
	}
	m := fromFeed(t, "amazon", map[string][]byte{
		"1/updates/updateinfo.xml.gz":            sample("1"),
		"2/core/updateinfo.xml.gz":               sample("2"),
		"2/extras/kernel-5.15/updateinfo.xml.gz": sample("2_kernel-5.15"),
		"2023/core/updateinfo.xml.gz":            sample("2023"),
	})
	amazon := func(v string) report.Distro { return report.Distro{ID: "amzn", VersionID: v} }
	for _, tc := range []struct {
		name         string
		d            report.Distro
		pkg, version string
		want         []brief
	}{
		{"before the fix", amazon("2023"), "rsyslog", "8.2204.0-3.amzn2023.0.1",
			[]brief{{"ALAS2023-2023-001", "High", "8.2204.0-3.amzn2023.0.2", "fixed", "8.2204.0-3.amzn2023.0.1 < 8.2204.0-3.amzn2023.0.2"}}},
		{"the fix", amazon("2023"), "rsyslog", "8.2204.0-3.amzn2023.0.2", nil},
		{"another release", amazon("2"), "rsyslog", "8.2204.0-3.amzn2023.0.1", nil},
		{"a release counted by month", amazon("2018.03"), "httpd-devel", "2.2.21-1.17.amzn1",
			[]brief{{"ALAS-2011-1", "Medium", "2.2.21-1.18.amzn1", "fixed", "2.2.21-1.17.amzn1 < 2.2.21-1.18.amzn1"}}},
		{"the kernel of the core", amazon("2"), "kernel", "4.9.75-1.56.amzn2",
			[]brief{{"ALAS2-2018-939", "Critical", "4.9.76-38.79.amzn2", "fixed", "4.9.75-1.56.amzn2 < 4.9.76-38.79.amzn2"}}},
		{"a mended kernel of the core is no old kernel of extras", amazon("2"), "kernel", "4.14.336-257.562.amzn2", nil},
		{"the kernel of extras", amazon("2"), "kernel", "5.15.29-16.111.amzn2",
			[]brief{{"ALAS2KERNEL-5.15-2022-001", "High", "5.15.43-20.123.amzn2", "fixed", "5.15.29-16.111.amzn2 < 5.15.43-20.123.amzn2"}}},
		{"the mended kernel of extras", amazon("2"), "kernel", "5.15.43-20.123.amzn2", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fs, err := m.Package(tc.d, report.Package{Type: "rpm", Name: tc.pkg, Version: tc.version})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(fs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
