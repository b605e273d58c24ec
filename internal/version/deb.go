package version

import (
	"fmt"
	"strings"
)

// compareDeb orders versions as dpkg does (deb-version(7)):
// [epoch:]upstream[-revision], where a missing epoch is 0 and a missing
// revision equals "0".
//
// It differs from osv-scalibr/semantic in what dpkg takes and semantic does
// not weigh as dpkg: characters outside of the letters sort by their ASCII
// value plus 256, so that every letter comes before them.
func compareDeb(a, b string) (int, error) {
	ae, au, ar, err := splitDeb(a)
	if err != nil {
		return 0, err
	}
	be, bu, br, err := splitDeb(b)
	if err != nil {
		return 0, err
	}
	if c := compareNumbers(ae, be); c != 0 {
		return c, nil
	}
	if c := compareDebPart(au, bu); c != 0 {
		return c, nil
	}
	return compareDebPart(ar, br), nil
}

func splitDeb(s string) (epoch, upstream, revision string, err error) {
	s = strings.TrimSpace(s)
	if e, rest, ok := strings.Cut(s, ":"); ok {
		if num, tail := digits(e); num == "" || tail != "" {
			return "", "", "", fmt.Errorf("parse Debian version %q: the epoch is not a number", s)
		}
		epoch, s = e, rest
	}
	upstream = s
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		upstream, revision = s[:i], s[i+1:]
	}
	return epoch, upstream, revision, nil
}

// compareDebPart walks both strings by turns of non-digits, which compare by
// debOrder, and digits, which compare as numbers.
func compareDebPart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !isDigit(a[0]) || b != "" && !isDigit(b[0]) {
			if c := debOrder(a) - debOrder(b); c != 0 {
				return sign(c)
			}
			a, b = a[1:], b[1:]
		}
		var an, bn string
		an, a = digits(a)
		bn, b = digits(b)
		if c := compareNumbers(an, bn); c != 0 {
			return c
		}
	}
	return 0
}

// debOrder is the weight of the first byte of s: "~" before the end, the end
// and digits before letters, letters before everything else.
func debOrder(s string) int {
	switch {
	case s == "" || isDigit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case isAlpha(s[0]):
		return int(s[0])
	default:
		return int(s[0]) + 256
	}
}
