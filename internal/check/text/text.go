// Package text is what several detectors ask of bytes.
package text

import "math"

// Entropy is Shannon's, in bits a byte: 0 of nothing, 8 of noise.
func Entropy[S string | []byte](s S) float64 {
	var counts [256]int
	for i := range len(s) {
		counts[s[i]]++
	}
	h := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(s))
			h -= p * math.Log2(p)
		}
	}
	return h
}

// IsWord reports whether c is a byte of a word: an ASCII letter or digit, or "_".
func IsWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// Lower is c, an ASCII letter in lower case.
func Lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
