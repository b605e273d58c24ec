package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

// No sample of Fedora is at hand: this one is ours.
func TestFedoraFeed(t *testing.T) {
	m := fromFeed(t, "fedora", map[string][]byte{"updateinfo.xml": []byte(`<updates>
<update type="security"><id>FEDORA-2024-d02c7bb266</id><severity>Critical</severity>
  <references><reference id="2272210" title="CVE-2024-3094 xz: malicious code in distributed source"/></references>
  <pkglist><collection short="F41"><package name="xz-libs" epoch="1" version="5.4.6" release="3.fc41" arch="x86_64"/></collection></pkglist></update>
<update type="security"><id>FEDORA-MODULAR-2023-d5b2eefe50</id><severity>Important</severity>
  <references><reference id="2244394" title="CVE-2023-44487 nodejs"/></references>
  <pkglist><collection short="F38M"><module name="nodejs" stream="18"/>
    <package name="nodejs" epoch="1" version="18.18.2" release="1.module_f38+17506+8a1b1ab9" arch="x86_64"/></collection></pkglist></update>
</updates>`)})
	old := "1:18.17.1-1.module_f38+17400+1"
	for _, tc := range []struct {
		name, release string
		p             report.Package
		want          []brief
	}{
		{"before the fix", "41", report.Package{Name: "xz-libs", Version: "5.6.0-2.fc41"},
			[]brief{{"FEDORA-2024-d02c7bb266", "Critical", "1:5.4.6-3.fc41", "fixed", "5.6.0-2.fc41 < 1:5.4.6-3.fc41"}}},
		{"the fix, which goes back and has an epoch", "41", report.Package{Name: "xz-libs", Version: "1:5.4.6-3.fc41"}, nil},
		{"another release", "40", report.Package{Name: "xz-libs", Version: "5.6.0-2.fc40"}, nil},
		{"a module", "38", report.Package{Name: "nodejs", Version: old, Module: "nodejs:18:3820230918:f27b74a8"},
			[]brief{{"FEDORA-MODULAR-2023-d5b2eefe50", "High", "1:18.18.2-1.module_f38+17506+8a1b1ab9", "fixed", old + " < 1:18.18.2-1.module_f38+17506+8a1b1ab9"}}},
		{"another stream", "38", report.Package{Name: "nodejs", Version: "1:16.17.1-1.module_f38+1+1", Module: "nodejs:16:1:1"}, nil},
		{"no module", "38", report.Package{Name: "nodejs", Version: "1:18.17.1-1.fc38"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.p.Type = report.TypeRPM
			fs, err := m.Package(report.Distro{ID: "fedora", VersionID: tc.release}, tc.p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(fs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
