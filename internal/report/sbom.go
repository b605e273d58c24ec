package report

import "slices"

// foldSBOM drops the packages of bills of materials that other evidence tells
// of too, so that each piece of software counts once. Where the image has a
// package database, that says which packages of its type are installed: a bill
// that a lower layer brought may be out of date. A package of another
// distribution than d is declared: its version means nothing to the advisories
// of d. Of several bills that name a package, the one of the first path is kept.
// pkgs is sorted.
func foldSBOM(pkgs []Package, d Distro) []Package {
	type id struct{ typ, name, version string }
	type from struct {
		sbom, declared bool
	}
	databases := map[string]bool{}
	best := map[id]from{}
	bills := false
	rank := func(f from) int {
		switch {
		case !f.sbom && !f.declared:
			return 3
		case f.sbom && !f.declared:
			return 2
		case !f.sbom:
			return 1
		default:
			return 0
		}
	}
	for i, p := range pkgs {
		if p.SBOM && OSType(p.Type) && !sameDistro(p.Vendor, d.ID) {
			p.Declared, pkgs[i].Declared = true, true
		}
		bills = bills || p.SBOM
		if !p.SBOM && OSType(p.Type) {
			databases[p.Type] = true
		}
		k, f := id{p.Type, p.Name, p.Version}, from{p.SBOM, p.Declared}
		if cur, ok := best[k]; !ok || rank(f) > rank(cur) {
			best[k] = f
		}
	}
	if !bills {
		return pkgs
	}
	kept := map[id]bool{}
	return slices.DeleteFunc(pkgs, func(p Package) bool {
		if !p.SBOM {
			return false
		}
		k := id{p.Type, p.Name, p.Version}
		if databases[p.Type] || kept[k] || best[k] != (from{p.SBOM, p.Declared}) {
			return true
		}
		kept[k] = true
		return false
	})
}

// sameDistro reports whether the namespace of a package URL means the
// distribution with this ID in os-release.
func sameDistro(namespace, id string) bool {
	switch namespace {
	case "redhat":
		return id == "rhel" || id == "redhat"
	case "suse":
		return id == "sles" || id == "sled"
	case "amazon":
		return id == "amzn"
	case "oracle":
		return id == "ol"
	}
	return namespace == id
}
