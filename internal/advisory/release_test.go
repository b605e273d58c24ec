package advisory

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/onceover/onceover/test/shareddata"
)

// Reading what a generation knows must not leave all of it resident.
func TestGenerationDoesNotStayResident(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	to := t.TempDir() + "/db"
	if testing.Short() {
		writeLarge(t, to) // with the race detector a build of all records takes a minute
	} else if _, err := Build(t.Context(), BuildOptions{From: shareddata.Dir(t) + "/osv", To: to}); err != nil {
		t.Fatal(err)
	}
	db, err := Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	type name struct{ ecosystem, name string }
	var names []name
	if err := db.Each(t.Context(), func(e, n string, _ []Affected) error { names = append(names, name{e, n}); return nil }); err != nil {
		t.Fatal(err)
	}
	most := 0
	for i, n := range names {
		if i%7 != 0 {
			continue
		}
		as, err := db.Affected(n.ecosystem, n.name)
		if err != nil || len(as) == 0 {
			t.Fatalf("%v: %d entries, %v", n, len(as), err)
		}
		if _, err := db.Vuln(as[0].ID); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			most = max(most, resident(t, to))
		}
	}
	const limit = 24 << 20
	t.Logf("at most %d bytes of %d resident", most, db.Meta().Bytes)
	if db.Meta().Bytes < 3*limit/2 {
		t.Errorf("a generation of %d bytes shows nothing", db.Meta().Bytes)
	}
	if most > limit {
		t.Errorf("%d bytes of the generation are resident, limit %d", most, limit)
	}
}

// writeLarge writes a generation of as many bytes as one of all records, of few
// and long records.
func writeLarge(t *testing.T, path string) {
	t.Helper()
	out, err := newOutput(path)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := json.Marshal(Meta{Schema: Schema})
	if err != nil {
		t.Fatal(err)
	}
	details := strings.Repeat("long ", 1600)
	err = out.put(bucketMeta, metaKey, meta)
	for i := 0; i < 6000 && err == nil; i++ {
		var e encoder
		e.uint(1)
		e.affected(Affected{ID: fmt.Sprintf("A-%05d", i), Ranges: []Range{{Introduced: "0"}}})
		err = out.content(bucketPackages, fmt.Appendf(nil, "npm\x00p%05d", i), e)
	}
	for i := 0; i < 6000 && err == nil; i++ {
		err = out.content(bucketVulns, fmt.Appendf(nil, "A-%05d", i), encodeVuln(Vuln{Details: details}))
	}
	if err := errors.Join(err, out.close()); err != nil {
		t.Fatal(err)
	}
}

// resident is how many bytes of the map of a file are resident, by
// /proc/self/smaps (proc(5)).
func resident(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	ours, sum := false, 0
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		line := lines.Text()
		if f := strings.Fields(line); len(f) >= 5 && strings.Contains(f[0], "-") {
			ours = strings.HasSuffix(line, path)
		}
		var kb int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &kb); err == nil && ours {
			sum += kb << 10
		}
	}
	return sum
}
