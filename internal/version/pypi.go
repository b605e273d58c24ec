package version

import "strings"

// comparePyPI orders versions by PEP 440
// (https://packaging.python.org/en/latest/specifications/version-specifiers/),
// as Python's own package packaging does. ok is false if one of them is no
// version by it. It gives what osv-scalibr/semantic gives without regular
// expressions and large numbers, which were a fifth of a re-match.
func comparePyPI(a, b string) (c int, ok bool) {
	av, aok := parsePyPI(a)
	bv, bok := parsePyPI(b)
	if !aok || !bok {
		return 0, false
	}
	if c := compareNumbers(av.epoch, bv.epoch); c != 0 {
		return c, true
	}
	if c := compareReleases(av.release, bv.release); c != 0 {
		return c, true
	}
	if c := sign(av.phase() - bv.phase()); c != 0 {
		return c, true
	}
	if c := compareNumbers(av.pre, bv.pre); c != 0 {
		return c, true
	}
	if c := compareOptional(av.hasPost, bv.hasPost, av.post, bv.post, -1); c != 0 {
		return c, true
	}
	if c := compareOptional(av.hasDev, bv.hasDev, av.dev, bv.dev, 1); c != 0 {
		return c, true
	}
	return compareLocals(av.local, bv.local), true
}

// A pythonVersion is a version by its segments. Numbers are digits, "" for 0.
type pythonVersion struct {
	epoch, release string
	letter         byte // of the pre-release: 'a', 'b', 'c', or 0 for none
	pre            string
	hasPost        bool
	post           string
	hasDev         bool
	dev            string
	local          string // without "+"
}

// phase orders what comes before a release: a development release that is of
// nothing else, alpha, beta, candidate, and then the release.
func (v pythonVersion) phase() int {
	switch {
	case v.letter != 0:
		return int(v.letter-'a') + 1
	case v.hasDev && !v.hasPost:
		return 0
	default:
		return 4
	}
}

func parsePyPI(s string) (v pythonVersion, ok bool) {
	s = strings.ToLower(strings.Trim(s, " \t\n\v\f\r"))
	s = strings.TrimPrefix(s, "v")
	if num, rest := digits(s); num != "" && strings.HasPrefix(rest, "!") {
		v.epoch, s = num, rest[1:]
	}
	whole := s
	for {
		num, rest := digits(s)
		if num == "" {
			return v, false
		}
		s = rest
		if len(s) < 2 || s[0] != '.' || !isDigit(s[1]) {
			break
		}
		s = s[1:]
	}
	v.release = whole[:len(whole)-len(s)]
	if word, num, rest := pythonWord(s, "alpha", "a", "beta", "b", "preview", "pre", "rc", "c"); word != "" {
		v.pre, s = num, rest
		switch word[0] {
		case 'a', 'b':
			v.letter = word[0]
		default:
			v.letter = 'c'
		}
	}
	if len(s) > 1 && s[0] == '-' && isDigit(s[1]) {
		v.hasPost = true
		v.post, s = digits(s[1:])
	} else if word, num, rest := pythonWord(s, "post", "rev", "r"); word != "" {
		v.hasPost, v.post, s = true, num, rest
	}
	if word, num, rest := pythonWord(s, "dev"); word != "" {
		v.hasDev, v.dev, s = true, num, rest
	}
	if !strings.HasPrefix(s, "+") {
		return v, s == ""
	}
	v.local = s[1:]
	for rest := v.local; ; {
		var part string
		part, rest, ok = cutLocal(rest)
		if part == "" || strings.TrimFunc(part, func(r rune) bool { return r < 0x80 && (isDigit(byte(r)) || isAlpha(byte(r))) }) != "" {
			return v, false
		}
		if !ok {
			return v, true
		}
	}
}

// pythonWord takes one of some words off s, with a separator before it and
// behind it, and a number. A word stands before those that it begins with.
func pythonWord(s string, words ...string) (word, num, rest string) {
	rest = trimSeparator(s)
	for _, w := range words {
		if after, ok := strings.CutPrefix(rest, w); ok {
			num, rest = digits(trimSeparator(after))
			return w, num, rest
		}
	}
	return "", "", s
}

func trimSeparator(s string) string {
	if s != "" && (s[0] == '-' || s[0] == '_' || s[0] == '.') {
		return s[1:]
	}
	return s
}

// compareReleases orders lists of numbers; those that are missing are 0.
func compareReleases(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if c := compareNumbers(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// compareOptional orders segments that may be missing, which makes a version
// older or newer than one with any: none is -1 or 1.
func compareOptional(hasA, hasB bool, a, b string, none int) int {
	switch {
	case hasA && hasB:
		return compareNumbers(a, b)
	case hasA:
		return -none
	case hasB:
		return none
	default:
		return 0
	}
}

// compareLocals orders local versions part by part: words by their letters and
// before numbers; what is a beginning of the other is older, and nothing the
// oldest.
func compareLocals(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = cutLocal(a)
		y, b, _ = cutLocal(b)
		if c := compareIdentifiers(x, y, isNumber(x), isNumber(y), 1); c != 0 {
			return c
		}
	}
	return sign(len(a) - len(b))
}

// cutLocal cuts a local version at its first separator; ok is false if there is
// none.
func cutLocal(s string) (part, rest string, ok bool) {
	i := strings.IndexAny(s, "-_.")
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
