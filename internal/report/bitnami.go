package report

import "strings"

const bitnamiDir = "/opt/bitnami/"

// setBitnamiOwners gives the programs that are known by their content alone to
// the component of Bitnami in whose directory they stand, if it is listed: both
// are the same software, and have the same advisories. Libraries of languages in
// there keep theirs, which the component's advisories do not repeat.
func setBitnamiOwners(pkgs []Package) {
	components := map[string]bool{}
	for _, p := range pkgs {
		if p.Type == TypeBitnami && !p.Declared {
			components[p.Name] = true
		}
	}
	if len(components) == 0 {
		return
	}
	for i := range pkgs {
		p := &pkgs[i]
		rest, ok := strings.CutPrefix(p.Path, bitnamiDir)
		if !ok || p.Type != TypeGeneric || p.OwnedBy != "" {
			continue
		}
		if name, _, ok := strings.Cut(rest, "/"); ok && components[name] {
			p.OwnedBy = TypeBitnami + ":" + name
		}
	}
}
