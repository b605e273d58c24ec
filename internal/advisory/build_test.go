package advisory

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/onceover/onceover/test/shareddata"
)

func TestBuildSharedData(t *testing.T) {
	to := filepath.Join(t.TempDir(), "a.db")
	m, err := Build(context.Background(), BuildOptions{From: filepath.Join(shareddata.Dir(t), "osv"), To: to,
		Problem: func(p Problem) { t.Log(p) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", m)
	db, err := Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Verify(context.Background()); err != nil {
		t.Fatal(err)
	}
	as, err := db.Affected("Debian:12", "openssl")
	t.Log(len(as), err, as[0])
	t.Log(db.Vuln(as[0].ID))
	t.Log(db.CVE("CVE-2021-44228"))
}
