package version

import "strings"

// compareBitnami orders versions of Bitnami's packages: a semantic version, and
// the revision of Bitnami's own build behind it, "1.25.3-0", which semantic
// versioning would take for a pre-release. Most records name versions without
// one and mean every revision, so that two versions of which one has none are
// the same; some tell in which revision a fix came.
func compareBitnami(a, b string) (int, error) {
	va, ra := splitRevision(a)
	vb, rb := splitRevision(b)
	if c, err := compareSemantic("npm", va, vb); c != 0 || err != nil {
		return c, err
	}
	if ra == "" || rb == "" {
		return 0, nil
	}
	return compareNumbers(ra, rb), nil
}

// splitRevision takes the number behind the last dash off.
func splitRevision(v string) (base, revision string) {
	i := strings.LastIndexByte(v, '-')
	if i <= 0 || i+1 == len(v) {
		return v, ""
	}
	if num, rest := digits(v[i+1:]); num == "" || rest != "" {
		return v, ""
	}
	return v[:i], v[i+1:]
}
