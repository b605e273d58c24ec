package advisory

import (
	"archive/zip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/advisory/starter"
	"github.com/onceover/onceover/internal/version"
	"github.com/onceover/onceover/test/shareddata"
)

// maxStarterPacked is what the list may add to the program.
const maxStarterPacked = 400_000

func TestStarter(t *testing.T) {
	if n := len(starter.Data); n > maxStarterPacked {
		t.Errorf("the list has %d bytes, at most %d are wanted", n, maxStarterPacked)
	}
	dir := t.TempDir()
	for _, in := range []string{dir, dir, ""} { // made, found again, temporary
		db, err := OpenStarter(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		m := db.Meta()
		if !db.Starter() || !db.HasEcosystem("Debian:12") || !db.HasEcosystem("Debian:13") || m.Records < 5000 ||
			!strings.Contains(m.Note, "bookworm-security") || m.DataDate == 0 || m.Source != sourceStarter {
			t.Errorf("got %+v", m)
		}
		if err := db.Verify(context.Background()); err != nil {
			t.Error(err)
		}
		as, err := db.Affected("Debian:12", "curl")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, a := range as {
			if a.ID == "DEBIAN-CVE-2023-38545" {
				found = true
				if len(a.Ranges) != 1 || a.Ranges[0] != (Range{Introduced: "0", Fixed: "7.88.1-10+deb12u4"}) {
					t.Errorf("got %+v", a)
				}
			}
			if v, err := db.Vuln(a.ID); err != nil || v == nil || v.Severity != "" || v.Vector != "" {
				t.Errorf("%s: a changelog knows no severity: %+v, %v", a.ID, v, err)
			}
		}
		if !found {
			t.Error("CVE-2023-38545 of curl is missing")
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// The shared Debian records were read from changelogs by somebody else. Where
// both read the same source, they must agree on nearly all; what is not equal
// is listed.
func TestStarterAgainstAnotherReader(t *testing.T) {
	z, err := zip.OpenReader(filepath.Join(shareddata.Dir(t), "osv", "Debian.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	type key struct{ source, id string }
	theirs, sources := map[key]string{}, map[string]bool{}
	for _, f := range z.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var r record
		err = json.NewDecoder(rc).Decode(&r)
		rc.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range r.Affected {
			theirs[key{a.Package.Name, r.ID}] = a.Ranges[0].Events[1].Fixed
			sources[a.Package.Name] = true
		}
	}
	records, _, _, err := parseStarter(starter.Data)
	if err != nil {
		t.Fatal(err)
	}
	ours, common := map[key]string{}, map[string]bool{}
	for id, r := range records {
		for _, a := range r.Affected {
			if a.Package.Ecosystem == "Debian:12" && sources[a.Package.Name] {
				ours[key{a.Package.Name, id}] = a.Ranges[0].Events[1].Fixed
				common[a.Package.Name] = true
			}
		}
	}
	same, older, newer, missing, more := 0, 0, 0, 0, 0
	for k, v := range theirs {
		if !common[k.source] {
			continue
		}
		o, ok := ours[k]
		if !ok {
			missing++
			t.Logf("only theirs: %s %s %s", k.source, k.id, v)
			continue
		}
		c, err := version.Compare("Debian:12", o, v)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c == 0:
			same++
		case c < 0:
			older++
			t.Logf("ours is older: %s %s %s, theirs %s", k.source, k.id, o, v)
		default:
			newer++
			t.Logf("ours is newer: %s %s %s, theirs %s", k.source, k.id, o, v)
		}
	}
	for k := range ours {
		if _, ok := theirs[k]; !ok {
			more++
		}
	}
	t.Logf("%d sources in common: %d equal, %d older, %d newer, %d only theirs, %d only ours", len(common), same, older, newer, missing, more)
	if total := same + older + newer + missing; total < 1000 || same*100 < total*95 {
		t.Errorf("only %d of %d agree", same, total)
	}
}

func TestStarterRefusesABadList(t *testing.T) {
	if _, _, _, err := parseStarter([]byte("not zstd")); err == nil {
		t.Error("taken")
	}
}
