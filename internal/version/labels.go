package version

// NuGet and pub have labels of their own kind: what their platforms read as a
// number is one. No tool of either is at hand where the tests run; the rules are
// those of the sources of NuGet.Client and dart-lang/pub_semver.

import (
	"cmp"
	"strconv"
	"strings"
)

// compareNuGet orders versions as NuGet.Versioning's VersionComparer does
// (https://learn.microsoft.com/nuget/concepts/package-versioning): up to four
// numbers, of which missing ones are zero, and labels of a pre-release without
// regard to case. A label is a number if .NET reads it as one of 32 bits, with a
// sign too: "rc.-1" is before "rc.0". What follows "+" says nothing.
//
// osv-scalibr/semantic has "-1" for a word, and so after all numbers. ok is
// false for what NuGet does not take.
func compareNuGet(a, b string) (c int, ok bool) {
	av, aok := parseLabelled(a, 4)
	bv, bok := parseLabelled(b, 4)
	if !aok || !bok {
		return 0, false
	}
	if c := av.compareCore(bv); c != 0 {
		return c, true
	}
	return comparePreLabels(strings.ToUpper(av.pre), strings.ToUpper(bv.pre), 32), true
}

// comparePub orders versions as Dart's pub_semver does
// (https://pub.dev/packages/pub_semver): semantic versioning, in which a version
// with a build is newer than one without, and builds are ordered as the labels of
// a pre-release are. A label is a number if Dart reads it as one of 64 bits, with
// a sign, and in hexadecimal, too.
//
// osv-scalibr/semantic compares builds by their bytes: "+10" before "+9". ok is
// false for what pub does not take.
func comparePub(a, b string) (c int, ok bool) {
	av, aok := parseLabelled(a, 3)
	bv, bok := parseLabelled(b, 3)
	if !aok || !bok || av.numbers != 3 || bv.numbers != 3 {
		return 0, false
	}
	if c := av.compareCore(bv); c != 0 {
		return c, true
	}
	if c := comparePreLabels(av.pre, bv.pre, 64); c != 0 {
		return c, true
	}
	return compareLabels(av.build, bv.build, 64), true
}

// A labelledVersion is one of up to four numbers, and dotted labels.
type labelledVersion struct {
	core       [4]string
	numbers    int
	pre, build string
}

func parseLabelled(s string, most int) (v labelledVersion, ok bool) {
	s = strings.TrimPrefix(s, "v")
	s, build, hasBuild := strings.Cut(s, "+")
	s, pre, hasPre := strings.Cut(s, "-")
	if hasBuild && !areLabels(build) || hasPre && !areLabels(pre) {
		return v, false
	}
	v.pre, v.build = pre, build
	for {
		num, rest := digits(s)
		if num == "" || v.numbers == most {
			return v, false
		}
		v.core[v.numbers] = num
		v.numbers++
		if rest == "" {
			return v, true
		}
		if rest[0] != '.' {
			return v, false
		}
		s = rest[1:]
	}
}

func areLabels(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !isDigit(c) && !isAlpha(c) && c != '-' {
				return false
			}
		}
	}
	return true
}

func (v labelledVersion) compareCore(o labelledVersion) int {
	for i := range v.core {
		if c := compareNumbers(v.core[i], o.core[i]); c != 0 {
			return c
		}
	}
	return 0
}

// comparePreLabels has the version without labels for the newer one.
func comparePreLabels(a, b string, bits int) int {
	if (a == "") != (b == "") {
		return sign(len(b) - len(a))
	}
	return compareLabels(a, b, bits)
}

// compareLabels orders labels one by one: numbers by value and before words,
// words by their bytes; what is a beginning of the other is older.
func compareLabels(a, b string, bits int) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		xn, xok := labelNumber(x, bits)
		yn, yok := labelNumber(y, bits)
		c := 0
		switch {
		case xok && yok:
			c = cmp.Compare(xn, yn)
		case xok:
			c = -1
		case yok:
			c = 1
		default:
			c = strings.Compare(x, y)
		}
		if c != 0 {
			return c
		}
	}
	return sign(len(a) - len(b))
}

// labelNumber reads a number as .NET (32 bits) and Dart (64 bits) do. Dart takes
// what is too large for a signed number, in hexadecimal, for a negative one.
func labelNumber(s string, bits int) (int64, bool) {
	if bits == 64 {
		unsigned, minus := strings.CutPrefix(s, "-")
		if len(unsigned) > 2 && (unsigned[:2] == "0x" || unsigned[:2] == "0X") {
			n, err := strconv.ParseUint(unsigned[2:], 16, bits)
			if minus {
				n = -n
			}
			return int64(n), err == nil
		}
	}
	n, err := strconv.ParseInt(s, 10, bits)
	return n, err == nil
}
