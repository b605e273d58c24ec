package match

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

// No file of Microsoft's OVAL is at hand: this one is ours.
func TestAzureLinuxFeed(t *testing.T) {
	file := func(cve, pkg, operation, evr string) []byte {
		return fmt.Appendf(nil, `<oval_definitions><definitions><definition class="vulnerability"><metadata>
			<reference source="CVE" ref_id="%s"/><severity>High</severity></metadata>
			<criteria operator="AND"><criterion test_ref="t"/></criteria></definition></definitions>
			<tests><rpminfo_test id="t"><object object_ref="o"/><state state_ref="s"/></rpminfo_test></tests>
			<objects><rpminfo_object id="o"><name>%s</name></rpminfo_object></objects>
			<states><rpminfo_state id="s"><evr operation="%s">%s</evr></rpminfo_state></states></oval_definitions>`, cve, pkg, operation, evr)
	}
	m := fromFeed(t, "azurelinux", map[string][]byte{
		"azurelinux-3.0-oval.xml":  file("CVE-2024-6874", "curl", "less than", "0:8.8.0-1.azl3"),
		"cbl-mariner-2.0-oval.xml": file("CVE-2023-4039", "gcc", "less than or equal", "0:11.2.0-7.cm2"),
	})
	azure, mariner := report.Distro{ID: "azurelinux", VersionID: "3.0"}, report.Distro{ID: "mariner", VersionID: "2.0"}
	for _, tc := range []struct {
		name string
		d    report.Distro
		p    report.Package
		want []brief
	}{
		{"before the fix, by the source", azure, report.Package{Name: "curl-libs", Source: "curl", Version: "8.7.1-2.azl3", SourceVersion: "8.7.1-2.azl3"},
			[]brief{{"CVE-2024-6874", "High", "8.8.0-1.azl3", "fixed", "8.7.1-2.azl3 < 8.8.0-1.azl3"}}},
		{"the fix", azure, report.Package{Name: "curl", Version: "8.8.0-1.azl3"}, nil},
		{"no fix", mariner, report.Package{Name: "gcc", Version: "11.2.0-7.cm2"},
			[]brief{{"CVE-2023-4039", "High", "", "not-fixed", "11.2.0-7.cm2 <= 11.2.0-7.cm2"}}},
		{"later than what is affected", mariner, report.Package{Name: "gcc", Version: "11.2.0-8.cm2"}, nil},
		{"the other release", mariner, report.Package{Name: "curl", Version: "8.7.1-2.cm2"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.p.Type = report.TypeRPM
			fs, err := m.Package(tc.d, tc.p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(fs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
