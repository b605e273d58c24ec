package version

import "strings"

// compareAPK orders versions as apk-tools does (apk-package(5)):
// number{.number}…{letter}{_suffix{number}}…{~hash}{-r#}.
//
// Both are cut into tokens, and the first difference decides. If the kinds of
// token differ, the version whose next token comes later in the grammar is
// older, unless the other continues with the suffix of a pre-release. So
// "2.9-r1" is older than "2.9.0-r0", and "2.9" older than "2.9-r0": the two
// cases in which osv-scalibr/semantic fills up missing parts with zeros
// instead.
//
// What no apk-tools takes for a version ("1-ruff", "1.2_blah") is older than
// what can be read of it, as the OSV project's fixtures have it. What 2.10 and
// 2.14 take outside of the grammar ("0.r1", "0r2") is ordered as they do.
func compareAPK(a, b string) int {
	ta, tb := apkScanner{rest: a}, apkScanner{rest: b}
	ta.first()
	tb.first()
	for ta.kind == tb.kind && ta.kind < apkEnd {
		if c := compareAPKTokens(&ta, &tb); c != 0 {
			return c
		}
		ta.next()
		tb.next()
	}
	switch {
	case ta.kind == tb.kind:
		return 0
	case ta.kind == apkSuffix && ta.weight < 0:
		return -1
	case tb.kind == apkSuffix && tb.weight < 0:
		return 1
	case ta.kind > tb.kind:
		return -1
	default:
		return 1
	}
}

// Kinds of token, in the order of the grammar. The order decides between
// versions that are equal as far as the shorter goes.
type apkKind int

const (
	apkFirstNumber apkKind = iota
	apkNumber
	apkLetter
	apkSuffix
	apkSuffixNumber
	apkHash
	apkRevision
	apkEnd
	apkInvalid
)

type apkScanner struct {
	kind   apkKind
	value  string // of numbers, letters and hashes
	weight int    // of suffixes: negative before the release, positive after
	rest   string
}

func (t *apkScanner) first() {
	t.kind = apkFirstNumber
	t.number() // may be missing: apk-tools takes ".2" and "a" too
}

func (t *apkScanner) number() { t.value, t.rest = digits(t.rest) }

func (t *apkScanner) next() {
	if t.rest == "" {
		t.kind = apkEnd
		return
	}
	before := t.kind
	c := t.rest[0]
	switch {
	case c >= 'a' && c <= 'z' && before <= apkNumber:
		t.kind, t.value, t.rest = apkLetter, t.rest[:1], t.rest[1:]
	case c == '.' && before <= apkNumber:
		t.rest = t.rest[1:]
		t.kind = apkNumber
		t.number()
	case isDigit(c) && before == apkLetter:
		// Outside of today's grammar, taken by apk-tools 2: "5.7.1p1".
		t.kind = apkNumber
		t.number()
	case isDigit(c) && before == apkSuffix:
		t.kind = apkSuffixNumber
		t.number()
	case c == '_' && before <= apkSuffixNumber:
		t.suffix()
	case c == '~' && before < apkHash:
		n := 1
		for n < len(t.rest) && strings.IndexByte("0123456789abcdef", t.rest[n]) >= 0 {
			n++
		}
		t.kind, t.value, t.rest = apkHash, t.rest[1:n], t.rest[n:]
	case strings.HasPrefix(t.rest, "-r") && before < apkRevision && (len(t.rest) == 2 || !isAlpha(t.rest[2])):
		t.kind, t.rest = apkRevision, t.rest[2:]
		t.number()
	default:
		t.kind = apkInvalid
	}
}

func (t *apkScanner) suffix() {
	name := t.rest[1:]
	n := 0
	for n < len(name) && name[n] >= 'a' && name[n] <= 'z' {
		n++
	}
	t.kind, t.rest = apkSuffix, name[n:]
	switch name[:n] {
	case "alpha":
		t.weight = -4
	case "beta":
		t.weight = -3
	case "pre":
		t.weight = -2
	case "rc":
		t.weight = -1
	case "cvs":
		t.weight = 1
	case "svn":
		t.weight = 2
	case "git":
		t.weight = 3
	case "hg":
		t.weight = 4
	case "p":
		t.weight = 5
	default:
		t.kind = apkInvalid
	}
}

func leadingZeros(s string) int { return len(s) - len(strings.TrimLeft(s, "0")) }

func compareAPKTokens(a, b *apkScanner) int {
	switch a.kind {
	case apkSuffix:
		return sign(a.weight - b.weight)
	case apkNumber:
		// Zeros in front are a token of their own: the more, the older.
		az, bz := leadingZeros(a.value), leadingZeros(b.value)
		if az != bz {
			return sign(bz - az)
		}
		return compareNumbers(a.value, b.value)
	case apkFirstNumber, apkSuffixNumber, apkRevision:
		return compareNumbers(a.value, b.value)
	default:
		return strings.Compare(a.value, b.value)
	}
}
