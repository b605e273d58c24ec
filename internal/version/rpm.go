package version

import "strings"

// compareRPM orders [epoch:]version[-release] as rpm does. A missing epoch is
// 0; a version without a release is older than the same version with one.
//
// osv-scalibr/semantic splits the release at the first dash, rpm at the last.
func compareRPM(a, b string) int {
	ae, av, ar, ahas := splitRPM(a)
	be, bv, br, bhas := splitRPM(b)
	if c := compareNumbers(ae, be); c != 0 {
		return c
	}
	if c := compareRPMPart(av, bv); c != 0 {
		return c
	}
	switch {
	case ahas && !bhas:
		return 1
	case bhas && !ahas:
		return -1
	}
	return compareRPMPart(ar, br)
}

// splitRPM takes an epoch only if it is made of digits alone, as rpm does.
func splitRPM(s string) (epoch, version, release string, hasRelease bool) {
	if num, rest := digits(s); strings.HasPrefix(rest, ":") {
		epoch, s = num, rest[1:]
	}
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		return epoch, s[:i], s[i+1:], true
	}
	return epoch, s, "", false
}

// compareRPMPart compares runs of digits and runs of letters in turn;
// everything else only separates them. "~" sorts before the end of the
// string, "^" after the end and before everything else.
func compareRPMPart(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" || b != "" {
		a, b = trimRPM(a), trimRPM(b)
		at, bt := strings.HasPrefix(a, "~"), strings.HasPrefix(b, "~")
		switch {
		case at && bt:
			a, b = a[1:], b[1:]
			continue
		case at:
			return -1
		case bt:
			return 1
		}
		ac, bc := strings.HasPrefix(a, "^"), strings.HasPrefix(b, "^")
		switch {
		case ac && bc:
			a, b = a[1:], b[1:]
			continue
		case ac && b == "", bc && a != "":
			return 1
		case bc && a == "", ac:
			return -1
		}
		if a == "" || b == "" {
			break
		}
		var as, bs string
		if isDigit(a[0]) {
			as, a = digits(a)
			bs, b = digits(b)
			if bs == "" {
				return 1 // numbers are newer than letters
			}
			if c := compareNumbers(as, bs); c != 0 {
				return c
			}
			continue
		}
		as, a = letters(a)
		bs, b = letters(b)
		if bs == "" {
			return -1
		}
		if c := strings.Compare(as, bs); c != 0 {
			return c
		}
	}
	switch {
	case a == "" && b == "":
		return 0
	case a == "":
		return -1
	default:
		return 1
	}
}

func trimRPM(s string) string {
	for s != "" && !isDigit(s[0]) && !isAlpha(s[0]) && s[0] != '~' && s[0] != '^' {
		s = s[1:]
	}
	return s
}

func letters(s string) (run, rest string) {
	i := 0
	for i < len(s) && isAlpha(s[i]) {
		i++
	}
	return s[:i], s[i:]
}
