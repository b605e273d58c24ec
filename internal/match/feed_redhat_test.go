package match

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
)

// compileFeed builds a generation from the files of one feed.
func compileFeed(t testing.TB, name string, files map[string][]byte) *advisory.DB {
	t.Helper()
	dir := t.TempDir()
	for file, b := range files {
		p := filepath.Join(dir, advisory.FeedsDir, name, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(dir, "test.db")
	_, err := advisory.Build(context.Background(), advisory.BuildOptions{From: dir, To: to,
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

// A found is what the tests of feeds look at.
type found struct{ CVEs, Fix, State string }

func founds(t testing.TB, m *Matcher, d report.Distro, p report.Package) []found {
	t.Helper()
	fs, err := m.Package(d, p)
	if err != nil {
		t.Fatal(err)
	}
	var out []found
	for _, f := range fs {
		out = append(out, found{strings.Join(f.CVEs, " "), f.FixedVersion, f.FixState})
	}
	return out
}

func TestFeedRedHat(t *testing.T) {
	const samples = "../advisory/feed/redhat/testdata"
	entries, err := os.ReadDir(samples)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(samples, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	m := New(compileFeed(t, "redhat", files))
	rhel8, rhel9 := report.Distro{ID: "rhel", VersionID: "8.5"}, report.Distro{ID: "rhel", VersionID: "9.4"}
	rpm := func(name, version, source, module string) report.Package {
		return report.Package{Type: report.TypeRPM, Name: name, Version: version, Source: source, Module: module}
	}
	const (
		deferred, wont = report.FixDeferred, report.FixWont
		available      = report.FixAvailable
		glibc          = "CVE-2023-4813"
		nodejs         = "CVE-2020-7788"
	)
	tests := []struct {
		name string
		d    report.Distro
		p    report.Package
		want []found
	}{
		{"a module below the fix", rhel8, rpm("nodejs", "1:14.18.2-1.module+el8.5.0+1+a", "nodejs", "nodejs:14:8050:c5368500"),
			[]found{{nodejs, "1:14.18.2-2.module+el8.5.0+13644+8d46dafd", available}}},
		{"a module with the fix", rhel8, rpm("nodejs", "1:14.18.2-2.module+el8.5.0+13644+8d46dafd", "nodejs", "nodejs:14:8050:c5368500"), nil},
		{"another stream, above the fix of the first", rhel8, rpm("nodejs", "1:12.19.0-1.module+el8.3.0+1+a", "nodejs", "nodejs:12:8030:a"),
			[]found{{nodejs, "1:12.20.1-1.module+el8.3.0+9503+19cb079c", available}}},
		{"a stream nobody speaks of", rhel8, rpm("nodejs", "1:10.1.0-1.module+el8.3.0+1+a", "nodejs", "nodejs:10:8030:a"), nil},
		{"a stream that is not affected", rhel8, rpm("mariadb-devel", "3:10.5.1-1.module+el8.3.0+1+a", "mariadb", "mariadb:10.5:8030:a"), nil},
		{"a stream that is", rhel8, rpm("mariadb-devel", "3:10.3.27-1.module+el8.3.0+1+a", "mariadb", "mariadb:10.3:8030:a"),
			[]found{{"CVE-2021-27928", "3:10.3.28-1.module+el8.3.0+10472+7adc332a", available}}},
		{"not fixed, by the name of the source", rhel9, rpm("kernel-core", "5.14.0-503.11.1.el9_5", "kernel", ""),
			[]found{{"CVE-2021-47527", "", deferred}}},
		{"another source", rhel9, rpm("kernel-srpm-macros", "1.0-13.el9", "kernel-srpm-macros", ""), nil},
		{"will not be fixed", rhel8, rpm("tar", "2:1.30-9.el8", "tar", ""), []found{{"CVE-2005-2541", "", wont}}},
		{"a source that is not known", rhel8, rpm("tar", "2:1.30-9.el8", "", ""), []found{{"CVE-2005-2541", "", wont}}},
		{"another release", rhel9, rpm("tar", "2:1.34-7.el9", "tar", ""), nil},
		{"before all fixes", rhel9, rpm("glibc", "2.34-60.el9_2.3", "glibc", ""), []found{{glibc, "2.34-60.el9_2.7", available}}},
		{"with the fix of its minor release", rhel9, rpm("glibc", "2.34-60.el9_2.8", "glibc", ""), nil},
		{"of a minor release between", rhel9, rpm("glibc", "2.34-83.el9_3.7", "glibc", ""), []found{{glibc, "2.34-100.el9", available}}},
		{"after all fixes", rhel9, rpm("glibc", "2.34-125.el9_5.1", "glibc", ""), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, founds(t, m, tt.d, tt.p)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
