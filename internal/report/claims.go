package report

import (
	"slices"
	"strings"
)

// settleClaims lets each piece of software of a language count once. A list of
// what was installed (an application's deps.json) claims the files that its
// packages brought, as Ownership of "type:name". A package of that type that
// rests on a claimed file is the same software seen again, and is dropped. A
// package of the list of which no claimed file stands in any layer is declared.
func (m *merger) settleClaims(pkgs []Package) []Package {
	type claimant struct{ path, owner string }
	claimed := map[uint64]string{}
	absent := map[claimant]bool{}
	for i, l := range m.layers {
		for _, o := range l.Ownership {
			typ, _, _ := strings.Cut(o.Owner, ":")
			if OSType(typ) {
				continue
			}
			if m.hidden(o.Path, i) {
				continue
			}
			for _, h := range o.Files {
				claimed[h] = typ
			}
			if !slices.ContainsFunc(o.Files, m.inAnyLayer) {
				absent[claimant{o.Path, o.Owner}] = true
			}
		}
	}
	if len(claimed) == 0 {
		return pkgs
	}
	pkgs = slices.DeleteFunc(pkgs, func(p Package) bool {
		file, _, _ := strings.Cut(p.Path, "!")
		return claimed[PathHash(file)] == p.Type
	})
	for i := range pkgs {
		if absent[claimant{pkgs[i].Path, pkgs[i].Type + ":" + pkgs[i].Name}] {
			pkgs[i].Declared = true
		}
	}
	return pkgs
}

// inAnyLayer reports whether any layer has a file of that path hash.
func (m *merger) inAnyLayer(h uint64) bool {
	return slices.ContainsFunc(m.layers, func(l *LayerReport) bool { return has(l.Hides, h) || has(l.Passed, h) })
}
