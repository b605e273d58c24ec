package planted

import (
	"maps"
	"slices"
)

// Leaks finds values in texts, in all their Forms. The zero value knows none.
type Leaks struct {
	// byHead are forms by their first bytes.
	byHead map[[headBytes]byte][]form
}

type form struct{ text, value string }

// headBytes is the length of the shortest form.
const headBytes = 7

// NewLeaks finds these values, which have at least seven bytes each.
func NewLeaks(values []string) *Leaks {
	l := &Leaks{byHead: map[[headBytes]byte][]form{}}
	for _, v := range values {
		for _, f := range Forms(v) {
			head := [headBytes]byte([]byte(f))
			l.byHead[head] = append(l.byHead[head], form{f, v})
		}
	}
	return l
}

// In are the values that stand in a text, in order.
func (l *Leaks) In(text []byte) []string {
	found := map[string]bool{}
	for i := 0; i+headBytes <= len(text); i++ {
		for _, f := range l.byHead[[headBytes]byte(text[i:])] {
			if end := i + len(f.text); end <= len(text) && string(text[i:end]) == f.text {
				found[f.value] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
