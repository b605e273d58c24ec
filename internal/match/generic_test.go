package match

import (
	"slices"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/shareddata"
)

// Advisories whose facts are known, on the programs of their authors: a version
// that has the flaw, and one that has the fix.
func TestProgramsWithoutPackageManager(t *testing.T) {
	shareddata.Dir(t)
	if testing.Short() {
		t.Skip("compiles every shared record")
	}
	db, err := sharedDB()
	if err != nil {
		t.Fatal(err)
	}
	m := New(db)
	for _, c := range []struct{ name, affected, fixed, cve string }{
		{"nginx", "1.20.0", "1.20.1", "CVE-2021-23017"},
		{"node", "18.19.0", "18.19.1", "CVE-2024-21892"},
		{"redis", "7.0.14", "7.0.15", "CVE-2023-41056"},
		{"httpd", "2.4.49", "2.4.50", "CVE-2021-41773"},
		{"php-fpm", "8.1.28", "8.1.29", "CVE-2024-4577"},
		{"postgresql", "15.3", "15.4", "CVE-2023-39417"},
		{"python", "3.11.3", "3.11.4", "CVE-2007-4559"},
		{"haproxy", "2.8.1", "2.8.2", "CVE-2023-40225"},
		{"openjdk", "17.0.9+9", "17.0.10+7", "CVE-2024-20918"},
		{"mariadb", "10.11.2", "10.11.18", "CVE-2023-22084"},
		{"sqlite", "3.43.0", "3.44.0", "CVE-2023-7104"},
		{"openjdk", "1.7.0_80", "1.8.0_402", ""},
		{"nginx", "", "1.31.3", ""},
	} {
		find := func(version string) []string {
			fs, err := m.Package(report.Distro{}, report.Package{Type: report.TypeGeneric, Name: c.name, Version: version, Path: "/opt/x"})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, f := range fs {
				ids = append(append(ids, f.ID), f.CVEs...)
			}
			return ids
		}
		if got := slices.Contains(find(c.affected), c.cve); got != (c.cve != "") {
			t.Errorf("%s %s and %q: %v: %v", c.name, c.affected, c.cve, got, find(c.affected))
		}
		if slices.Contains(find(c.fixed), c.cve) {
			t.Errorf("%s %s has %s", c.name, c.fixed, c.cve)
		}
	}
}

// Each name has records in the shared data.
func TestGenericNamesHaveAdvisories(t *testing.T) {
	dir := shareddata.Dir(t)
	if testing.Short() {
		t.Skip("reads every shared record")
	}
	all := records(t, dir+"/osv")["Bitnami"]
	for program, name := range genericNames {
		if len(all[advisory.Name("Bitnami", name)]) == 0 {
			t.Errorf("%s: no records for %s", program, name)
		}
	}
}

func TestUncoveredProgramsAreNamed(t *testing.T) {
	m := New(compile(t, rec("BIT-nginx-1", "Bitnami", "nginx", `{"introduced":"0"},{"fixed":"1.20.1"}`, "")))
	pkg := func(name, version string) report.Package {
		return report.Package{Type: report.TypeGeneric, Name: name, Version: version}
	}
	owned := pkg("bash", "5.2.15")
	owned.OwnedBy = "deb:bash"
	inv := report.Inventory{Packages: []report.Package{pkg("nginx", "1.25.3"), pkg("openssl", "3.0.13"), pkg("curl", "8.5.0"), owned}}
	var got []string
	for _, w := range m.warnings(inv, nil) {
		if strings.Contains(w, "no package manager") {
			got = append(got, w)
		}
	}
	want := "no advisories are written for some programs that no package manager installed, they are not matched: curl 8.5.0, openssl 3.0.13"
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
