package match

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

// TestBatch matches packages with one batch from several goroutines, again and
// again: what is remembered gives the same as what is read each time.
func TestBatch(t *testing.T) {
	m := New(compile(t,
		rec("DSA-1-1", "Debian:12", "a", below2, `"upstream":["CVE-2024-1","CVE-2024-2"],"summary":"two of them",`),
		rec("DEBIAN-CVE-2024-1", "Debian:12", "a", below2, `"upstream":["CVE-2024-1"],"aliases":["GHSA-aaaa-bbbb-cccc"],`),
		rec("DEBIAN-CVE-2024-2", "Debian:12", "a", below2, `"upstream":["CVE-2024-2"],"summary":"the second",`),
		rec("DEBIAN-CVE-2024-3", "Debian:12", "a", unfixed, `"upstream":["CVE-2024-3"],`),
		rec("GHSA-aaaa-bbbb-cccc", "npm", "a", below2, `"aliases":["CVE-2024-1"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],`),
	))
	var packages []report.Package
	for i := range 40 {
		packages = append(packages,
			report.Package{Type: report.TypeDeb, Name: "a", Version: fmt.Sprintf("%d.0-1", i%4), Source: "a", SourceVersion: fmt.Sprintf("%d.0-1", i%4)},
			report.Package{Type: report.TypeNPM, Name: "a", Version: fmt.Sprintf("%d.0.0", i%4)})
	}
	want := make([][]report.Finding, len(packages))
	found := 0
	for i, p := range packages {
		var err error
		if want[i], err = m.Package(bookworm, p); err != nil {
			t.Fatal(err)
		}
		found += len(want[i])
	}
	if found < 100 {
		t.Fatalf("%d findings: too few to compare", found)
	}
	batch := m.Batch()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i, p := range packages {
				got, err := batch.Package(bookworm, p)
				if err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(want[i], got); diff != "" {
					t.Errorf("%s %s (-want +got):\n%s", p.Name, p.Version, diff)
				}
			}
		})
	}
	workers.Wait()
}
