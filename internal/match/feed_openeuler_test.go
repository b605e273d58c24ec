package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/report"
)

// TestFeedOpenEuler: vim is 2:9.0-… where it is installed, and 9.0-… in the
// advisory, which takes its versions from the names of files.
func TestFeedOpenEuler(t *testing.T) {
	files := map[string][]byte{}
	for name, b := range feedtest.Files(t, feedtest.Sources, "pkg/fetch/openeuler/csaf/testdata/fixtures/happy/advisories") {
		files["csaf/advisories/"+name] = b
	}
	for name, b := range feedtest.Files(t, feedtest.Sources, "pkg/fetch/openeuler/cvrf/testdata/fixtures/happy/") {
		files[name] = b
	}
	m := New(compileFeed(t, "openeuler", files))
	sp3 := report.Distro{ID: "openEuler", VersionID: "22.03", Name: "openEuler 22.03 (LTS-SP3)"}
	sp1 := report.Distro{ID: "openEuler", VersionID: "24.03", Name: "openEuler 24.03 (LTS-SP1)"}
	rpm := func(name, version, source, sourceVersion string) report.Package {
		return report.Package{Type: report.TypeRPM, Name: name, Version: version, Source: source, SourceVersion: sourceVersion}
	}
	vim := []found{{"CVE-2025-29768", "9.0-33.oe2203sp3", report.FixAvailable}}
	tests := []struct {
		name string
		d    report.Distro
		p    report.Package
		want []found
	}{
		{"before the fix", sp3, rpm("vim-minimal", "2:9.0-32.oe2203sp3", "vim", "9.0-32.oe2203sp3"), vim},
		{"with the fix", sp3, rpm("vim-minimal", "2:9.0-33.oe2203sp3", "vim", "9.0-33.oe2203sp3"), nil},
		{"without an epoch", sp3, rpm("vim-minimal", "9.0-32.oe2203sp3", "vim", ""), vim},
		{"another release", sp1, rpm("vim-minimal", "2:9.0.2092-17.oe2403sp1", "vim", ""),
			[]found{{"CVE-2025-29768", "9.0.2092-18.oe2403sp1", report.FixAvailable}}},
		{"another package", sp3, rpm("zlib", "1.2.11-1.oe2203sp3", "zlib", ""), nil},
		{"several CVEs", sp3, rpm("firefox", "102.15.0-1.oe2203sp3", "firefox", ""),
			[]found{{"CVE-2023-32216 CVE-2023-6879", "128.8.0-1.oe2203sp3", report.FixAvailable}}},
		{"the kernel is not its hot patch", sp1, rpm("kernel", "6.6.0-72.0.0.76.oe2403sp1", "kernel", "6.6.0-72.0.0.76.oe2403sp1"), nil},
		{"an old hot patch", sp1, rpm("patch-kernel-6.6.0-72.0.0.76.oe2403sp1-ACC", "1-2", "kernel-6.6.0-72.0.0.76.oe2403sp1-ACC", "1-2"),
			[]found{{"CVE-2025-21631", "1-3", report.FixAvailable}}},
		{"the hot patch", sp1, rpm("patch-kernel-6.6.0-72.0.0.76.oe2403sp1-ACC", "1-3", "kernel-6.6.0-72.0.0.76.oe2403sp1-ACC", "1-3"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, founds(t, m, tt.d, tt.p)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
	fs, err := m.Package(sp3, tests[0].p)
	if err != nil {
		t.Fatal(err)
	}
	if fs[0].ID != "openEuler-SA-2025-1351" || fs[0].Severity != report.SeverityMedium || fs[0].Evidence.Source != "openeuler/openEuler" {
		t.Errorf("finding %+v", fs[0])
	}
}
