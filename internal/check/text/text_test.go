package text

import (
	"bytes"
	"math"
	"testing"
)

func TestEntropy(t *testing.T) {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	for text, want := range map[string]float64{"": 0, "aaaa": 0, "abab": 1, string(all[:]): 8} {
		if got := Entropy(text); math.Abs(got-want) > 1e-9 || got != Entropy([]byte(text)) {
			t.Errorf("%.8q: %v, want %v", text, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for i := range 256 {
		c := byte(i)
		if c < 0x80 && Lower(c) != bytes.ToLower([]byte{c})[0] || c >= 0x80 && Lower(c) != c {
			t.Errorf("%q becomes %q", c, Lower(c))
		}
		word := bytes.IndexByte([]byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"), c) >= 0
		if IsWord(c) != word {
			t.Errorf("%q is of a word: %v", c, IsWord(c))
		}
	}
}
