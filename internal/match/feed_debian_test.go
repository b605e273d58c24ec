package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/report"
)

func TestDebianFeed(t *testing.T) {
	m := fromFeed(t, "debian", map[string][]byte{
		"tracker.json": feedtest.Sample(t, feedtest.Sources, "pkg/fetch/debian/tracker/api/testdata/fixtures/advisory.json"),
	})
	bullseye := report.Distro{ID: "debian", VersionID: "11"}
	ignored := func(v string) brief {
		return brief{"CVE-2016-5416", "Unknown", "", "wont-fix", v + " >= 0"}
	}
	for _, tc := range []struct {
		name, source, version string
		distro                report.Distro
		want                  []brief
	}{
		{"older than the fix", "389-ds-base", "1.3.5.14-1", bullseye, []brief{
			{"CVE-2016-5405", "Unknown", "1.3.5.15-1", "fixed", "1.3.5.14-1 < 1.3.5.15-1"},
			ignored("1.3.5.14-1"),
		}},
		{"the fix, and what is ignored", "389-ds-base", "1.4.4.11-2", bullseye, []brief{ignored("1.4.4.11-2")}},
		{"a release that the feed does not have", "389-ds-base", "1.3.5.14-1", bookworm, nil},
		{"not affected", "wordpress", "5.7.5+dfsg1-0+deb11u1", bullseye, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := m.Package(tc.distro, report.Package{Type: "deb", Name: tc.source + "-bin", Source: tc.source, Version: tc.version})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
