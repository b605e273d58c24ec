package version

import "strings"

// compareSemver orders versions by semantic versioning 2.0.0
// (https://semver.org/#spec-item-11), as npm's own package semver does.
//
// It differs from osv-scalibr/semantic for identifiers of a pre-release that
// begin with a dash: "-1" is a word there and no number, so that "1.0.0-rc.1" is
// older than "1.0.0-rc.-1". ok is false for what does not have three numbers.
func compareSemver(a, b string) (c int, ok bool) {
	av, aok := parseSemver(a)
	bv, bok := parseSemver(b)
	if !aok || !bok {
		return 0, false
	}
	for i := range av.core {
		if c := compareNumbers(av.core[i], bv.core[i]); c != 0 {
			return c, true
		}
	}
	switch {
	case av.pre == bv.pre:
		return 0, true
	case av.pre == "":
		return 1, true
	case bv.pre == "":
		return -1, true
	}
	return comparePre(av.pre, bv.pre), true
}

type semanticVersion struct {
	core [3]string
	pre  string
}

func parseSemver(s string) (v semanticVersion, ok bool) {
	s = strings.TrimPrefix(s, "v")
	s, _, _ = strings.Cut(s, "+")
	s, v.pre, _ = strings.Cut(s, "-")
	for i := range v.core {
		num, rest := digits(s)
		if num == "" {
			return v, false
		}
		v.core[i] = num
		if i == len(v.core)-1 {
			return v, rest == ""
		}
		if !strings.HasPrefix(rest, ".") {
			return v, false
		}
		s = rest[1:]
	}
	return v, true
}

// comparePre orders identifiers one by one: numbers by value and before words,
// words by their bytes; what is a beginning of the other is older.
func comparePre(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if c := compareIdentifiers(x, y, isNumber(x), isNumber(y), -1); c != 0 {
			return c
		}
	}
	return sign(len(a) - len(b))
}
