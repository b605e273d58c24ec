package report

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFoldSBOM(t *testing.T) {
	bill := func(typ, name, version, path string) Package {
		return Package{Type: typ, Name: name, Version: version, Path: path, SBOM: true}
	}
	declared := func(p Package) Package { p.Declared = true; return p }
	real := func(p Package) Package { p.SBOM = false; return p }
	of := func(distro string, p Package) Package { p.Vendor = distro; return p }
	npm, two := bill(TypeNPM, "a", "1", "/b.json"), bill(TypeNPM, "a", "2", "/b.json")
	deb, old := bill(TypeDeb, "a", "2", "/status"), bill(TypeDeb, "a", "1", "/b.json")
	for _, tc := range []struct {
		name     string
		in, want []Package
	}{
		{"no bill", []Package{real(npm), real(npm)}, []Package{real(npm), real(npm)}},
		{"alone", []Package{npm, two}, []Package{npm, two}},
		{"with evidence", []Package{npm, real(npm), two}, []Package{real(npm), two}},
		{"two bills", []Package{npm, bill(TypeNPM, "a", "1", "/c.json")}, []Package{npm}},
		{"declared and told", []Package{declared(npm), npm}, []Package{npm}},
		{"declared by a lock file", []Package{npm, declared(real(npm))}, []Package{npm, declared(real(npm))}},
		{"two that declare", []Package{declared(npm), declared(real(npm))}, []Package{declared(real(npm))}},
		{"out of date beside a database", []Package{old, real(deb)}, []Package{real(deb)}},
		{"without a database", []Package{of("debian", old), of("debian", deb)}, []Package{of("debian", old), of("debian", deb)}},
		{"of another distribution", []Package{of("ubuntu", old)}, []Package{declared(of("ubuntu", old))}},
		{"of none", []Package{old}, []Package{declared(old)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, foldSBOM(slices.Clone(tc.in), Distro{ID: "debian"})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
