package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An application's list of packages, over two layers: what stands claimed is
// seen once, what brought no file is declared, what nobody claims stays.
func TestClaims(t *testing.T) {
	const list = "/app/app.deps.json"
	pkg := func(name, version, p string) Package {
		return Package{Type: TypeNuGet, Name: name, Version: version, Path: p, Layer: "2"}
	}
	lower := &LayerReport{DiffID: "1", Complete: true, Hides: hashesOf("/app/a.dll"), Packages: []Package{
		{Type: TypeNuGet, Name: "a", Version: "1.0.0.0", Path: "/app/a.dll"},
	}}
	upper := &LayerReport{DiffID: "2", Complete: true, Hides: hashesOf(list, "/app/c.dll"), Packages: []Package{
		{Type: TypeNuGet, Name: "A", Version: "1.0.3", Path: list},
		{Type: TypeNuGet, Name: "B", Version: "2.0", Path: list},
		{Type: TypeNuGet, Name: "c", Version: "3.0", Path: "/app/c.dll"},
		{Type: TypeGeneric, Name: "a", Version: "9", Path: "/app/a.dll"},
	}, Ownership: []Ownership{
		{Path: list, Owner: "nuget:A", Files: hashesOf("/app/a.dll")},
		{Path: list, Owner: "nuget:B", Files: hashesOf("/app/b.dll", "/app/b.so")},
	}}
	declared := pkg("B", "2.0", list)
	declared.Declared = true
	generic := Package{Type: TypeGeneric, Name: "a", Version: "9", Path: "/app/a.dll", Layer: "2"}
	want := []Package{generic, pkg("A", "1.0.3", list), declared, pkg("c", "3.0", "/app/c.dll")}
	if diff := cmp.Diff(want, Merge([]*LayerReport{lower, upper}).Packages); diff != "" {
		t.Error(diff)
	}

	// A list that a later layer deletes claims nothing.
	gone := &LayerReport{DiffID: "3", Complete: true, Whiteouts: []string{list}}
	want = []Package{generic, {Type: TypeNuGet, Name: "a", Version: "1.0.0.0", Path: "/app/a.dll", Layer: "1"}, pkg("c", "3.0", "/app/c.dll")}
	if diff := cmp.Diff(want, Merge([]*LayerReport{lower, upper, gone}).Packages); diff != "" {
		t.Error(diff)
	}
}

func hashesOf(paths ...string) Hashes {
	r := &LayerReport{}
	for _, p := range paths {
		r.Hides = append(r.Hides, PathHash(p))
	}
	r.Normalize()
	return r.Hides
}
