package match

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/shareddata"
)

func TestX(t *testing.T) {
	to := filepath.Join(t.TempDir(), "a.db")
	_, err := advisory.Build(context.Background(), advisory.BuildOptions{From: filepath.Join(shareddata.Dir(t), "osv"), To: to})
	if err != nil {
		t.Fatal(err)
	}
	db, err := advisory.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m := New(db)
	d12 := report.Distro{ID: "debian", VersionID: "12"}
	for _, c := range []struct {
		d report.Distro
		p report.Package
	}{
		{d12, report.Package{Type: "deb", Name: "libcurl4", Version: "7.88.1-10+deb12u1", Source: "curl"}},
		{d12, report.Package{Type: "golang", Name: "stdlib", Version: "1.25.3"}},
		{d12, report.Package{Type: "maven", Name: "org.apache.logging.log4j:log4j-core", Version: "2.14.1"}},
		{d12, report.Package{Type: "pypi", Name: "django", Version: "4.2.1"}},
		{report.Distro{ID: "alpine", VersionID: "3.18.9"}, report.Package{Type: "apk", Name: "libcrypto3", Source: "openssl", Version: "3.1.0-r0"}},
		{report.Distro{ID: "almalinux", VersionID: "8.9"}, report.Package{Type: "rpm", Name: "nodejs", Module: "nodejs:18:8090020231018:dead", Version: "1:18.14.2-2.module_el8.7.0+3451+ee2a27bf"}},
	} {
		fs, err := m.Package(c.d, c.p)
		t.Log(c.p.Name, len(fs), err)
		for i, f := range fs {
			if i > 3 {
				break
			}
			t.Logf("%s %v %v %s %.1f %s fix=%s %+v %.60s", f.ID, f.CVEs, f.Aliases, f.Severity, f.Score, f.SeverityFrom, f.FixedVersion, f.Evidence, f.Summary)
		}
	}
}
