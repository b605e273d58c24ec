package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

// No sample of Oracle's OVAL is at hand: this one is ours.
func TestOracleFeed(t *testing.T) {
	definition := func(id, cve, criteria string) string {
		return `<definition class="patch"><metadata><title>` + id + `: security update (IMPORTANT)</title>
			<reference source="elsa" ref_id="` + id + `"/><reference source="CVE" ref_id="` + cve + `"/>
			<advisory><severity>IMPORTANT</severity></advisory></metadata>
			<criteria operator="AND"><criterion comment="Oracle Linux 8 is installed"/>` + criteria + `</criteria></definition>`
	}
	m := fromFeed(t, "oracle", map[string][]byte{"com.oracle.elsa-all.xml": []byte(`<oval_definitions><definitions>` +
		definition("ELSA-2021-9280", "CVE-2021-3326", `<criterion comment="glibc is earlier than 0:2.28-151.0.1.el8"/>`) +
		definition("ELSA-2021-9344", "CVE-2021-3326", `<criterion comment="glibc is earlier than 2:2.28-151.0.1.ksplice2.el8"/>`) +
		definition("ELSA-2021-0711", "CVE-2020-35517", `<criteria operator="AND"><criterion comment="Module virt:ol is enabled"/>
			<criterion comment="qemu-kvm is earlier than 15:4.2.0-34.module+el8.3.0+9659+37db3dbd.4"/></criteria>`) +
		`</definitions></oval_definitions>`)})
	for _, tc := range []struct {
		name string
		p    report.Package
		want []brief
	}{
		{"before the fix", report.Package{Name: "glibc", Version: "2.28-127.0.3.el8_3.2"},
			[]brief{{"ELSA-2021-9280", "High", "2.28-151.0.1.el8", "fixed", "2.28-127.0.3.el8_3.2 < 2.28-151.0.1.el8"}}},
		{"the fix is not compared with the one for Ksplice, whose epoch is higher", report.Package{Name: "glibc", Version: "2.28-151.0.1.el8"}, nil},
		{"a build for Ksplice", report.Package{Name: "glibc", Version: "2:2.28-127.0.3.ksplice1.el8_3.2"},
			[]brief{{"ELSA-2021-9344", "High", "2:2.28-151.0.1.ksplice2.el8", "fixed", "2:2.28-127.0.3.ksplice1.el8_3.2 < 2:2.28-151.0.1.ksplice2.el8"}}},
		{"the fix for Ksplice", report.Package{Name: "glibc", Version: "2:2.28-151.0.1.ksplice2.el8"}, nil},
		{"a module", report.Package{Name: "qemu-kvm", Version: "15:4.2.0-34.module+el8.3.0+7860+a7792d29", Module: "virt:ol:8030:1"},
			[]brief{{"ELSA-2021-0711", "High", "15:4.2.0-34.module+el8.3.0+9659+37db3dbd.4", "fixed",
				"15:4.2.0-34.module+el8.3.0+7860+a7792d29 < 15:4.2.0-34.module+el8.3.0+9659+37db3dbd.4"}}},
		{"another stream", report.Package{Name: "qemu-kvm", Version: "15:4.2.0-34.module+el8.3.0+7860+a7792d29", Module: "virt:kvm_utils:8030:1"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.p.Type = report.TypeRPM
			fs, err := m.Package(report.Distro{ID: "ol", VersionID: "8.4"}, tc.p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, briefs(fs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
