package match

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/report"
)

func TestFeedSUSE(t *testing.T) {
	files := map[string][]byte{
		"csaf.tar.bz2": feedtest.Sample(t, feedtest.Sources, "pkg/fetch/suse/csaf/testdata/fixtures/csaf.tar.bz2"),
	}
	const samples = "../advisory/feed/suse/testdata"
	entries, err := os.ReadDir(samples)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files["csaf-vex/"+e.Name()], err = os.ReadFile(filepath.Join(samples, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	m := New(compileFeed(t, "suse", files))
	sles := func(v string) report.Distro { return report.Distro{ID: "sles", VersionID: v} }
	rpm := func(name, version, source string) report.Package {
		return report.Package{Type: report.TypeRPM, Name: name, Version: version, Source: source}
	}
	const bind = "CVE-2012-1667 CVE-2012-3817 CVE-2012-4244 CVE-2012-5166 CVE-2013-4854 CVE-2014-0591 CVE-2014-8500"
	tests := []struct {
		name string
		d    report.Distro
		p    report.Package
		want []found
	}{
		{"before the fix", sles("11.2"), rpm("bind-libs", "9.9.4P2-0.5.1", "bind"),
			[]found{{bind, "9.9.4P2-0.6.1", report.FixAvailable}}},
		{"with the fix", sles("11.2"), rpm("bind-libs", "9.9.4P2-0.6.1", "bind"), nil},
		{"another service pack", sles("11.3"), rpm("bind-libs", "9.9.4P2-0.5.1", "bind"), nil},
		{"not fixed, by its source", sles("11.4"), rpm("libpcre0", "7.8-2.1", "pcre"),
			[]found{{"CVE-2015-3217", "", report.FixNone}}},
		{"said to be affected beside its fix", sles("12.4"), rpm("libpcre1", "8.45-8.7.1", "pcre"), nil},
		{"will not be fixed", sles("15.4"), rpm("python-aiohttp", "3.4.4-150200.1", "python-aiohttp"),
			[]found{{"CVE-2023-47627", "", report.FixWont}}},
		{"not affected", sles("15.6"), rpm("python311-Werkzeug", "2.3.6-150400.6.6.1", "python-Werkzeug"), nil},
		{"not known", report.Distro{ID: "opensuse-leap", VersionID: "15.6"}, rpm("python311-aiohttp", "3.8.5-1", "python-aiohttp"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, founds(t, m, tt.d, tt.p)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFeedSUSELongSupport: what was mended for those who pay concerns every
// image of the service pack.
func TestFeedSUSELongSupport(t *testing.T) {
	m := New(compileFeed(t, "suse", map[string][]byte{
		"csaf.tar.bz2": feedtest.Sample(t, feedtest.Sources, "pkg/fetch/suse/csaf/testdata/fixtures/csaf.tar.bz2"),
	}))
	fs, err := m.Package(report.Distro{ID: "sles", VersionID: "11.1"},
		report.Package{Type: report.TypeRPM, Name: "libopenssl0_9_8", Version: "0.9.8j-0.60.1", Source: "openssl"})
	if err != nil {
		t.Fatal(err)
	}
	if len(fs) != 1 || fs[0].ID != "SUSE-SU-403" || len(fs[0].CVEs) != 54 || fs[0].FixedVersion != "0.9.8j-0.66.1" ||
		fs[0].Evidence.Ecosystem != "SUSE:Linux Enterprise Server 11 SP1-LTSS" {
		t.Errorf("findings %+v", fs)
	}
}

// TestSUSEReleases: service packs ended with 15.
func TestSUSEReleases(t *testing.T) {
	all := []string{"SUSE:Linux Enterprise Server 15 SP6", "SUSE:Linux Enterprise Server 15 SP6-LTSS", "SUSE:Linux Enterprise Server 15",
		"SUSE:Linux Enterprise Module for Basesystem 15 SP6", "SUSE:Linux Enterprise Server 16.0", "SUSE:Linux Enterprise Server 16.1"}
	for v, want := range map[string][]string{
		"15.6": {all[3], all[0], all[1]},
		"15":   {all[2]},
		"16.0": {all[4]},
		"16.1": {all[5]},
	} {
		if diff := cmp.Diff(want, suseEcosystems("sles", v, all)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", v, diff)
		}
	}
}
