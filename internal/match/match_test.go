package match

import (
	"archive/zip"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
)

// compile builds a generation from records given as JSON.
func compile(t testing.TB, records ...string) *advisory.DB {
	t.Helper()
	return compileWith(t, nil, records...)
}

// compileWith is compile with files beside the records, by name.
func compileWith(t testing.TB, files map[string]string, records ...string) *advisory.DB {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "test.zip"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for i, r := range records {
		w, err := z.Create(strings.Repeat("x", i+1) + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "test.db")
	_, err = advisory.Build(context.Background(), advisory.BuildOptions{From: dir, To: to,
		Problem: func(p advisory.Problem) { t.Errorf("record %s: %v", p.Record, p.Err) }})
	if err != nil {
		t.Fatal(err)
	}
	db, err := advisory.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// rec writes a record with one package.
func rec(id, ecosystem, name, events, more string) string {
	return `{"id":"` + id + `","modified":"2026-01-02T03:04:05Z",` + more + `
		"affected":[{"package":{"ecosystem":"` + ecosystem + `","name":"` + name + `"},
		"ranges":[{"type":"ECOSYSTEM","events":[` + events + `]}]}]}`
}

const unfixed, below2 = `{"introduced":"0"}`, `{"introduced":"0"},{"fixed":"2.0-1"}`

var (
	bookworm = report.Distro{ID: "debian", VersionID: "12"}
	alma8    = report.Distro{ID: "almalinux", VersionID: "8.9"}
)

// brief is what most tests look at.
type brief struct {
	ID, Severity, Fix, State, Compared string
}

func briefs(fs []report.Finding) []brief {
	var out []brief
	for _, f := range fs {
		out = append(out, brief{f.ID, f.Severity, f.FixedVersion, f.FixState, f.Evidence.Compared})
	}
	return out
}

func TestPackage(t *testing.T) {
	mod := func(v string) string {
		return `{"introduced":"0"},{"fixed":"` + v + `"}`
	}
	db := compile(t,
		rec("DEBIAN-CVE-2026-1001", "Debian:12", "src", below2, `"upstream":["CVE-2026-1001"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],`),
		rec("DEBIAN-CVE-2026-1002", "Debian:12", "src", unfixed, `"upstream":["CVE-2026-1002"],`),
		rec("DEBIAN-CVE-2026-1003", "Debian:13", "src", unfixed, ``),
		rec("UBUNTU-CVE-2026-1004", "Ubuntu:22.04:LTS", "src", unfixed, `"severity":[{"type":"Ubuntu","score":"medium"}],`),
		rec("UBUNTU-CVE-2026-1005", "Ubuntu:Pro:22.04:LTS", "src", `{"introduced":"0"},{"fixed":"2.0-1+esm2"}`, ``),
		rec("ALPINE-CVE-2026-1006", "Alpine:v3.18", "src", `{"introduced":"0"},{"fixed":"2.9.0-r0"}`, ``),
		rec("ALPINE-CVE-2026-1007", "Alpine:v3.18", "src", `{"introduced":"0"},{"fixed":"0"}`, ``),
		rec("ALSA-2026:1008", "AlmaLinux:8", "nodejs", mod("1:18.2-1.module_el8.9.0+1+a"), `"summary":"Important: nodejs:18 security update","related":["CVE-2026-1","CVE-2026-2"],`),
		rec("ALSA-2026:1009", "AlmaLinux:8", "nodejs", mod("1:20.2-1.module_el8.9.0+1+a"), `"summary":"Moderate: nodejs:20 security update","related":["CVE-2026-1003"],`),
		rec("ALSA-2026:1010", "AlmaLinux:8", "perl", mod("4:5.26-2.el8"), `"summary":"Low: perl security update","related":["CVE-2026-1004"],`),
		rec("ALBA-2026:1011", "AlmaLinux:8", "perl", mod("4:9.9-2.el8"), `"summary":"perl bug fix update",`),
		rec("RLSA-2026:1012", "Rocky Linux:9", "openssl", mod("1:3.0-3.el9"), `"summary":"Important: openssl security update","related":["CVE-2026-1005"],`),
		rec("GO-2026-1013", "Go", "stdlib", `{"introduced":"1.21.0-0"},{"fixed":"1.21.5"},{"introduced":"1.22.0-0"},{"fixed":"1.22.1"}`, ``),
		`{"id":"GO-2026-1014","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Go","name":"example.com/m"},
			"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
			"ecosystem_specific":{"custom_ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"24.0.9"}]}]}}]}`,
		rec("PYSEC-2026-1015", "PyPI", "Some_Package", `{"introduced":"1.0"},{"last_affected":"1.9"},{"introduced":"2.0"},{"fixed":"2.1"}`, ``),
		`{"id":"PYSEC-2026-1016","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"PyPI","name":"listed"},"versions":["1.0","1.1"]}]}`,
		rec("GHSA-aaaa-bbbb-cccc", "Maven", "g:a", `{"introduced":"0"},{"fixed":"2.17.1"}`, `"database_specific":{"severity":"MODERATE"},`),
		`{"id":"OESA-2026-1017","modified":"2026-01-01T00:00:00Z","related":["CVE-2026-1006"],"affected":[{"package":{"ecosystem":"openEuler:22.03-LTS-SP3","name":"src"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.0-2"}]}],"database_specific":{"severity":"High"}}]}`,
		`{"id":"DEBIAN-CVE-2026-1018","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Debian:12","name":"old"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}],"ecosystem_specific":{"urgency":"end-of-life"}}]}`,
	)
	m := New(db)
	deb := func(v string) report.Package {
		return report.Package{Type: "deb", Name: "bin", Source: "src", Version: v}
	}
	rpm := func(name, v string) report.Package { return report.Package{Type: "rpm", Name: name, Version: v} }
	unfixed1002 := brief{"CVE-2026-1002", "Unknown", "", "not-fixed", "1.0-1 >= 0"}
	for _, tc := range []struct {
		name string
		d    report.Distro
		p    report.Package
		want []brief
	}{
		{"by source, worst first, unfixed too", bookworm, deb("1.0-1"), []brief{
			{"CVE-2026-1001", "Critical", "2.0-1", "fixed", "1.0-1 < 2.0-1"}, unfixed1002}},
		{"the fix itself is not affected", bookworm, deb("2.0-1"), []brief{
			{"CVE-2026-1002", "Unknown", "", "not-fixed", "2.0-1 >= 0"}}},
		{"a rebuild is judged by the source version", bookworm,
			report.Package{Type: "deb", Name: "bin", Source: "src", Version: "1:9-1+b1", SourceVersion: "1.0-1"},
			[]brief{{"CVE-2026-1001", "Critical", "2.0-1", "fixed", "1.0-1 < 2.0-1"}, unfixed1002}},
		{"another release", report.Distro{ID: "debian", VersionID: "11"}, deb("1.0-1"), nil},
		{"a release by its name only", report.Distro{ID: "debian", Codename: "trixie"}, deb("1.0-1"), []brief{
			{"CVE-2026-1003", "Unknown", "", "not-fixed", "1.0-1 >= 0"}}},
		{"Ubuntu without Pro", report.Distro{ID: "ubuntu", VersionID: "22.04"}, deb("1.0-1"), []brief{
			{"CVE-2026-1004", "Medium", "", "not-fixed", "1.0-1 >= 0"},
			{"CVE-2026-1005", "Unknown", "", "not-fixed", "1.0-1 < 2.0-1+esm2"}}},
		{"Ubuntu with a package from Pro", report.Distro{ID: "ubuntu", VersionID: "22.04"}, deb("2.0-1+esm1"), []brief{
			{"CVE-2026-1004", "Medium", "", "not-fixed", "2.0-1+esm1 >= 0"},
			{"CVE-2026-1005", "Unknown", "2.0-1+esm2", "fixed", "2.0-1+esm1 < 2.0-1+esm2"}}},
		{"Alpine by origin and apk's order", report.Distro{ID: "alpine", VersionID: "3.18.4"},
			report.Package{Type: "apk", Name: "bin", Source: "src", Version: "2.9-r1"},
			[]brief{{"CVE-2026-1006", "Unknown", "2.9.0-r0", "fixed", "2.9-r1 < 2.9.0-r0"}}},
		{"end of life is not going to be fixed", bookworm, report.Package{Type: "deb", Name: "old", Version: "1"},
			[]brief{{"CVE-2026-1018", "Unknown", "", "wont-fix", "1 >= 0"}}},

		{"a module is compared with its own stream only", alma8,
			report.Package{Type: "rpm", Name: "nodejs", Version: "1:18.1-1.module_el8.7.0+9+b", Module: "nodejs:18:8070:ab"},
			[]brief{{"ALSA-2026:1008", "High", "1:18.2-1.module_el8.9.0+1+a", "fixed", "1:18.1-1.module_el8.7.0+9+b < 1:18.2-1.module_el8.9.0+1+a"}}},
		{"no module is not compared with modules", alma8, rpm("nodejs", "1:10.1-1.el8"), nil},
		{"rpm epoch", alma8, rpm("perl", "4:5.26-1.el8"), []brief{{"ALSA-2026:1010", "Low", "4:5.26-2.el8", "fixed", "4:5.26-1.el8 < 4:5.26-2.el8"}}},
		{"AlmaLinux is not looked up by source", alma8,
			report.Package{Type: "rpm", Name: "perl-Carp", Source: "perl", Version: "1.50-1.el8", SourceVersion: "5.26-1.el8"}, nil},
		{"Rocky Linux is, with the epoch of the package", report.Distro{ID: "rocky", VersionID: "9.3"},
			report.Package{Type: "rpm", Name: "openssl-libs", Source: "openssl", Version: "1:3.0-2.el9", SourceVersion: "3.0-2.el9"},
			[]brief{{"RLSA-2026:1012", "High", "1:3.0-3.el9", "fixed", "1:3.0-2.el9 < 1:3.0-3.el9"}}},
		{"openEuler's release stands in its name", report.Distro{ID: "openEuler", VersionID: "22.03", Name: "openEuler 22.03 (LTS-SP3)"}, rpm("src", "2.0-1"),
			[]brief{{"OESA-2026-1017", "High", "2.0-2", "fixed", "2.0-1 < 2.0-2"}}},

		{"Go release", report.Distro{}, report.Package{Type: "golang", Name: "stdlib", Version: "go1.21.4"},
			[]brief{{"GO-2026-1013", "Unknown", "1.21.5", "fixed", "go1.21.4 < 1.21.5"}}},
		{"Go release between the ranges", report.Distro{}, report.Package{Type: "golang", Name: "stdlib", Version: "1.21.5"}, nil},
		{"Go custom ranges judge +incompatible", report.Distro{}, report.Package{Type: "golang", Name: "example.com/m", Version: "v24.0.9+incompatible"}, nil},
		{"below them", report.Distro{}, report.Package{Type: "golang", Name: "example.com/m", Version: "v24.0.7+incompatible"},
			[]brief{{"GO-2026-1014", "Unknown", "24.0.9", "fixed", "v24.0.7+incompatible < 24.0.9"}}},
		{"and say nothing about a bare commit", report.Distro{}, report.Package{Type: "golang", Name: "example.com/m", Version: "v0.0.0-20260101000000-abcdefabcdef"},
			[]brief{{"GO-2026-1014", "Unknown", "", "not-fixed", "v0.0.0-20260101000000-abcdefabcdef >= 0"}}},
		{"a Go working copy", report.Distro{}, report.Package{Type: "golang", Name: "example.com/m", Version: "(devel)"}, nil},
		{"Python names in any form", report.Distro{}, report.Package{Type: "pypi", Name: "some.package", Version: "2.0"},
			[]brief{{"PYSEC-2026-1015", "Unknown", "2.1", "fixed", "2.0 < 2.1"}}},
		{"the last affected version is affected", report.Distro{}, report.Package{Type: "pypi", Name: "some-package", Version: "1.9"},
			[]brief{{"PYSEC-2026-1015", "Unknown", "2.1", "fixed", "1.9 <= 1.9"}}},
		{"the one after is not", report.Distro{}, report.Package{Type: "pypi", Name: "some-package", Version: "1.9.1"}, nil},
		{"versions that are listed", report.Distro{}, report.Package{Type: "pypi", Name: "listed", Version: "1.1"},
			[]brief{{"PYSEC-2026-1016", "Unknown", "", "not-fixed", "1.1 is listed"}}},
		{"Maven", report.Distro{}, report.Package{Type: "maven", Name: "g:a", Version: "2.14.1"},
			[]brief{{"GHSA-aaaa-bbbb-cccc", "Medium", "2.17.1", "fixed", "2.14.1 < 2.17.1"}}},
		{"what a distribution package installed is its affair", report.Distro{}, report.Package{Type: "maven", Name: "g:a", Version: "2.14.1", OwnedBy: "deb:liba-java"}, nil},
		{"what is only asked for is not there", report.Distro{}, report.Package{Type: "maven", Name: "g:a", Version: "2.14.1", Declared: true}, nil},
		{"no version", report.Distro{}, report.Package{Type: "maven", Name: "g:a"}, nil},
		{"a version that is none", bookworm, deb("x:y"), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
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

func TestFold(t *testing.T) {
	maven := func(id, more string) string {
		return rec(id, "PyPI", "p", `{"introduced":"0"},{"fixed":"2.0"}`, more)
	}
	db := compile(t,
		// One vulnerability, three databases; only one has a severity.
		maven("PYSEC-2026-1", `"aliases":["CVE-2026-1001"],`),
		maven("GHSA-aaaa-aaaa-aaaa", `"aliases":["CVE-2026-1001"],"database_specific":{"severity":"HIGH"},"summary":"the flaw",`),
		maven("CVE-2026-1001", ``),
		// Related is not the same.
		maven("PYSEC-2026-2", `"related":["CVE-2026-1001"],`),
		// Aliases that only name each other.
		maven("PYSEC-2026-3", `"aliases":["GHSA-bbbb-bbbb-bbbb"],`),
		rec("GHSA-bbbb-bbbb-bbbb", "PyPI", "p", `{"introduced":"0"}`, ``),
		// A DSA bundles two CVEs that have records of their own,
		rec("DSA-1-1", "Debian:12", "s", below2, `"upstream":["CVE-2026-2001","CVE-2026-2002"],`),
		rec("DEBIAN-CVE-2026-2001", "Debian:12", "s", below2, `"upstream":["CVE-2026-2001"],`),
		rec("DEBIAN-CVE-2026-2002", "Debian:12", "s", below2, `"upstream":["CVE-2026-2002"],`),
		// and another one that has not.
		rec("DSA-2-1", "Debian:12", "s", below2, `"upstream":["CVE-2026-2001","CVE-2026-2003"],`),
	)
	type folded struct {
		ID, Severity, Summary, Fix string
		CVEs, Aliases              []string
	}
	list := func(d report.Distro, p report.Package) []folded {
		fs, err := New(db).Package(d, p)
		if err != nil {
			t.Fatal(err)
		}
		var out []folded
		for _, f := range fs {
			out = append(out, folded{f.ID, f.Severity, f.Summary, f.FixedVersion, f.CVEs, f.Aliases})
		}
		return out
	}
	want := []folded{
		{"CVE-2026-1001", "High", "the flaw", "2.0", []string{"CVE-2026-1001"}, []string{"GHSA-aaaa-aaaa-aaaa", "PYSEC-2026-1"}},
		{"GHSA-bbbb-bbbb-bbbb", "Unknown", "", "2.0", nil, []string{"PYSEC-2026-3"}},
		{"PYSEC-2026-2", "Unknown", "", "2.0", nil, nil},
	}
	if diff := cmp.Diff(want, list(report.Distro{}, report.Package{Type: "pypi", Name: "p", Version: "1.0"})); diff != "" {
		t.Error(diff)
	}
	want = []folded{
		{"DSA-1-1", "Unknown", "", "2.0-1", []string{"CVE-2026-2001", "CVE-2026-2002"}, []string{"DEBIAN-CVE-2026-2001", "DEBIAN-CVE-2026-2002"}},
		{"DSA-2-1", "Unknown", "", "2.0-1", []string{"CVE-2026-2003"}, nil},
	}
	if diff := cmp.Diff(want, list(bookworm, report.Package{Type: "deb", Name: "s", Version: "1.0-1"})); diff != "" {
		t.Error(diff)
	}
}

func TestInventory(t *testing.T) {
	db := compile(t,
		rec("DEBIAN-CVE-2026-1001", "Debian:12", "src", below2, ``),
		rec("GHSA-aaaa-bbbb-cccc", "npm", "left", `{"introduced":"0"}`, ``))
	m := New(db)
	inv := report.Inventory{Distro: bookworm, Packages: []report.Package{
		{Type: "deb", Name: "bin", Source: "src", Version: "1-1", Layer: "sha256:aa"},
		{Type: "npm", Name: "left", Version: "1.0.0", Path: "/a/package.json", Layer: "sha256:bb"},
		{Type: "npm", Name: "left", Version: "1.0.0", Path: "/b/package.json", Layer: "sha256:aa"},
		{Type: "npm", Name: "left", Version: "1.0.0", Path: "/c/package.json", OwnedBy: "deb:node-left"},
	}}
	fs, _, err := m.Inventory(inv, map[string]string{"sha256:bb": "RUN npm install"})
	if err != nil {
		t.Fatal(err)
	}
	type place struct{ ID, Path, PURL, Command string }
	var got []place
	for _, f := range fs {
		got = append(got, place{f.ID, f.Package.Path, f.PURL, f.Evidence.BuildCommand})
	}
	want := []place{
		{"CVE-2026-1001", "", "pkg:deb/debian/bin@1-1?distro=debian-12&upstream=src", ""},
		{"GHSA-aaaa-bbbb-cccc", "/a/package.json", "pkg:npm/left@1.0.0", "RUN npm install"},
		{"GHSA-aaaa-bbbb-cccc", "/b/package.json", "pkg:npm/left@1.0.0", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	m.now = func() time.Time { return time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC) }
	if _, warnings, err := m.Inventory(inv, nil); err != nil || warnings != nil {
		t.Errorf("got %v, %v", warnings, err)
	}
}

func TestWarnings(t *testing.T) {
	m := New(compile(t, rec("DEBIAN-CVE-2026-1001", "Debian:12", "src", below2, ``)))
	m.now = func() time.Time { return time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC) }
	deb := []report.Package{{Type: "deb", Name: "a", Version: "1"}, {Type: "deb", Name: "b", Version: "1"}}
	for _, tc := range []struct {
		name string
		inv  report.Inventory
		now  time.Time
		want []string
	}{
		{"all is well", report.Inventory{Distro: bookworm, Packages: deb}, time.Time{}, nil},
		{"no os-release", report.Inventory{Packages: deb}, time.Time{},
			[]string{"the image does not say which distribution it is: its 2 distribution packages are not matched"}},
		{"unknown distribution", report.Inventory{Distro: report.Distro{ID: "haiku", VersionID: "1"}, Packages: deb}, time.Time{},
			[]string{"no advisories for distribution haiku 1: its 2 packages are not matched"}},
		{"release without advisories", report.Inventory{Distro: report.Distro{ID: "debian", VersionID: "13"}, Packages: deb}, time.Time{},
			[]string{"the advisory database has nothing for Debian:13: 2 packages of debian 13 are not matched"}},
		{"ecosystem without advisories", report.Inventory{Distro: bookworm, Packages: []report.Package{{Type: "npm", Name: "x", Version: "1"}}}, time.Time{},
			[]string{"the advisory database has nothing for npm: 1 packages are not matched"}},
		{"nothing to match, nothing to warn about", report.Inventory{}, time.Time{}, nil},
		{"old", report.Inventory{Distro: bookworm, Packages: deb}, time.Date(2026, 2, 2, 12, 0, 0, 0, time.UTC),
			[]string{"the advisory database has nothing newer than 2026-01-02: bring it up to date with `onceover db update`"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := *m
			if !tc.now.IsZero() {
				m.now = func() time.Time { return tc.now }
			}
			_, got, err := m.Inventory(tc.inv, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStarterIsNamed(t *testing.T) {
	db, err := advisory.OpenStarter(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fs, warnings, err := New(db).Inventory(report.Inventory{Distro: bookworm, Packages: []report.Package{
		{Type: "deb", Name: "libcurl4", Source: "curl", Version: "7.88.1-10+deb12u3"},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(fs, func(f report.Finding) bool { return slices.Contains(f.CVEs, "CVE-2023-38545") })
	if i < 0 {
		t.Fatal("CVE-2023-38545 is not found")
	}
	if f := fs[i]; f.FixedVersion != "7.88.1-10+deb12u4" || f.Severity != report.SeverityUnknown || f.Evidence.Source != "debian-changelogs/Debian" {
		t.Errorf("got %+v", f)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "starter") || !strings.Contains(warnings[0], "onceover db update") {
		t.Errorf("got %q", warnings)
	}
}

// The order of packages must not show in the findings.
func TestInventoryDoesNotDependOnOrder(t *testing.T) {
	db := compile(t,
		rec("DEBIAN-CVE-2026-1001", "Debian:12", "a", below2, `"upstream":["CVE-2026-1001"],`),
		rec("DSA-1-1", "Debian:12", "a", below2, `"upstream":["CVE-2026-1001","CVE-2026-1002"],`),
		rec("DSA-2-1", "Debian:12", "a", `{"introduced":"0"},{"fixed":"1.4"}`, `"upstream":["CVE-2026-1001","CVE-2026-1003"],`),
		rec("DSA-3-1", "Debian:12", "a", below2, `"upstream":["CVE-2026-1001","CVE-2026-1003"],`),
		rec("DEBIAN-CVE-2026-1003", "Debian:12", "a", `{"introduced":"0"},{"fixed":"1.4"}`, `"upstream":["CVE-2026-1003"],`),
		rec("DEBIAN-CVE-2026-1002", "Debian:12", "b", unfixed, `"database_specific":{"severity":"high"},`),
		rec("GHSA-aaaa-bbbb-cccc", "npm", "a", `{"introduced":"0"},{"fixed":"1.5.0"}`, `"aliases":["CVE-2026-1001"],`),
		rec("NSWG-ECO-1", "npm", "a", `{"introduced":"0"},{"fixed":"1.2.0"}`, `"aliases":["CVE-2026-1001"],`))
	m := New(db)
	rapid.Check(t, func(t *rapid.T) {
		pkgs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) report.Package {
			return report.Package{
				Type:    rapid.SampledFrom([]string{"deb", "npm"}).Draw(t, "type"),
				Name:    rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"),
				Version: rapid.SampledFrom([]string{"1.0", "1.3", "2.0-1", "3"}).Draw(t, "version"),
				Source:  rapid.SampledFrom([]string{"", "a"}).Draw(t, "source"),
				Path:    rapid.SampledFrom([]string{"/1", "/2"}).Draw(t, "path"),
			}
		}), 0, 12).Draw(t, "packages")
		seed := rapid.Uint64().Draw(t, "seed")
		mixed := slices.Clone(pkgs)
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		one, w1, err1 := m.Inventory(report.Inventory{Distro: bookworm, Packages: pkgs}, nil)
		two, w2, err2 := m.Inventory(report.Inventory{Distro: bookworm, Packages: mixed}, nil)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if diff := cmp.Diff(one, two); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(w1, w2); diff != "" {
			t.Fatal(diff)
		}
	})
}
