package version

import "strings"

// compareGem orders versions as RubyGems does
// (https://docs.ruby-lang.org/en/master/Gem/Version.html): runs of digits are
// numbers, runs of letters words, a dash stands for ".pre.", and every word is
// older than every number, so that a version with a word is a pre-release.
//
// osv-scalibr/semantic reads "1.0.0-1" as newer than "1.0.0.pre", and leaves
// zeros before a dash where they are.
func compareGem(a, b string) int {
	as, bs := gemSegments(a), gemSegments(b)
	for i := range max(len(as), len(bs)) {
		x, y := "0", "0"
		if i < len(as) {
			x = as[i]
		}
		if i < len(bs) {
			y = bs[i]
		}
		if c := compareIdentifiers(x, y, isDigit(x[0]), isDigit(y[0]), 1); c != 0 {
			return c
		}
	}
	return 0
}

// gemSegments are the canonical segments: zeros at the end of the numbers
// before the first word mean nothing, nor do those at the very end.
func gemSegments(s string) []string {
	s = strings.ReplaceAll(strings.TrimSpace(s), "-", ".pre.")
	var out []string
	word := false
	for s != "" {
		var seg string
		switch {
		case isDigit(s[0]):
			seg, s = digits(s)
		case isAlpha(s[0]):
			i := 1
			for i < len(s) && isAlpha(s[i]) {
				i++
			}
			seg, s = s[:i], s[i:]
			if !word {
				out = trimZeros(out)
			}
			word = true
		default:
			s = s[1:]
			continue
		}
		out = append(out, seg)
	}
	return trimZeros(out)
}

func trimZeros(segs []string) []string {
	for len(segs) > 0 && strings.Trim(segs[len(segs)-1], "0") == "" {
		segs = segs[:len(segs)-1]
	}
	return segs
}
