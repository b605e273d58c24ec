package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/shareddata"
)

// A build of a version has the advisories of the version: the revision behind
// it makes no pre-release of it.
func TestBitnamiRevisions(t *testing.T) {
	shareddata.Dir(t)
	if testing.Short() {
		t.Skip("compiles every shared record")
	}
	db, err := sharedDB()
	if err != nil {
		t.Fatal(err)
	}
	m := New(db)
	ids := func(name, version string) []string {
		fs, err := m.Package(report.Distro{}, report.Package{Type: report.TypeBitnami, Name: name, Version: version})
		if err != nil {
			t.Fatal(err)
		}
		out := []string{}
		for _, f := range fs {
			out = append(out, f.ID)
		}
		return out
	}
	found := 0
	for _, p := range []struct{ name, version string }{
		{"postgresql", "15.1.0"}, {"postgresql", "15.5.0"}, {"nginx", "1.20.0"}, {"redis", "7.0.0"}, {"node", "18.0.0"}, {"wordpress", "6.0.0"},
	} {
		want := ids(p.name, p.version)
		found += len(want)
		if diff := cmp.Diff(want, ids(p.name, p.version+"-3")); diff != "" {
			t.Errorf("%s %s: %s", p.name, p.version, diff)
		}
	}
	t.Logf("%d findings", found)
	if found == 0 {
		t.Error("no findings: the comparison says nothing")
	}
}
