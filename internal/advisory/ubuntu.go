package advisory

import "strings"

// withoutPro adds what Ubuntu's records leave unsaid. They name a package under
// "Ubuntu:Pro:20.04:LTS" alone where only subscribers get the fix; everyone
// else has the same package, affected as well and without a fix
// (https://documentation.ubuntu.com/security/security-updates/osv/). Products
// with builds of their own (FIPS, Realtime) say nothing of them.
func withoutPro(entries []Affected) []Affected {
	var said map[[2]string]bool // of release and package
	out := entries
	for _, a := range entries {
		release, ok := strings.CutPrefix(a.Ecosystem, "Ubuntu:Pro:")
		if !ok || release == "" || release[0] < '0' || release[0] > '9' {
			continue
		}
		if said == nil {
			said = map[[2]string]bool{}
			for _, b := range entries {
				said[[2]string{b.Ecosystem, b.Name}] = true
			}
		}
		b := a
		b.Ecosystem, b.Ranges = "Ubuntu:"+release, make([]Range, len(a.Ranges))
		if said[[2]string{b.Ecosystem, b.Name}] {
			continue
		}
		for i, r := range a.Ranges {
			if r.Fixed != "" {
				b.Note = "fixed with Ubuntu Pro in " + r.Fixed
				r.Fixed, r.Limit = "", r.Fixed
			}
			b.Ranges[i] = r
		}
		out = append(out, b)
	}
	return out
}
