package secret

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/check/text"
)

// A find is what newMatcher and newAutomaton make.
type find func(b []byte, start, from, to int, hit func(word int32, end int) bool)

// hits are at most most of what f finds.
func hits(f find, b []byte, start, from, to, most int) []wordHit {
	var all []wordHit
	f(b, start, from, to, func(w int32, end int) bool {
		all = append(all, wordHit{end, w})
		return len(all) < most
	})
	return all
}

// TestMatcherAgreesWithAutomaton puts keywords, parts of them and noise of few
// letters together, at every distance from the ends of what is looked at.
func TestMatcherAgreesWithAutomaton(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	own := engine(t).words.words
	ownAutomaton, err := newAutomaton(own)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	rounds := 3000
	if testing.Short() {
		rounds = 300 // the detector of races is slow
	}
	for round := range rounds {
		words, a := own, ownAutomaton
		if round%3 > 0 { // few letters: they lie within and across each other
			words = nil
			seen := map[string]bool{}
			for range 1 + r.IntN(40) {
				w := make([]byte, minKeyword+r.IntN(8))
				for i := range w {
					w[i] = "ab-\xe9"[r.IntN(4)]
				}
				if !seen[string(w)] {
					seen[string(w)] = true
					words = append(words, string(w))
				}
			}
			if a, err = newAutomaton(words); err != nil {
				t.Fatal(err)
			}
		}
		m := newMatcher(words)
		var content []byte
		for n := r.IntN(400); len(content) < n; {
			w := words[r.IntN(len(words))]
			switch r.IntN(4) {
			case 0:
				content = append(content, strings.ToUpper(w)...)
			case 1:
				content = append(content, w[r.IntN(len(w)):]...)
			case 2:
				content = append(content, byte(r.IntN(256)))
			default:
				content = append(content, w...)
			}
		}
		from := r.IntN(len(content) + 1)
		start := r.IntN(from + 1)
		to := from + r.IntN(len(content)-from+1)
		most := 1 + r.IntN(200)
		want := hits(a.find, content, start, from, to, most)
		found += len(want)
		if d := cmp.Diff(want, hits(m.find, content, start, from, to, most), cmp.AllowUnexported(wordHit{})); d != "" {
			t.Fatalf("%q in %q[%d:%d:%d]: %s", words, content, start, from, to, d)
		}
	}
	if found < 10_000*rounds/3000 {
		t.Errorf("only %d keywords", found)
	}
}

func FuzzMatcher(f *testing.F) {
	f.Add("her she his hers er's", []byte("uSHErs his"), 0, 0)
	f.Add("aaa aaaa", []byte("bAaAaAaAaAaAaAaAaAaAaAa"), 2, 4)
	f.Fuzz(func(t *testing.T, list string, content []byte, start, from int) {
		seen := map[string]bool{}
		var words []string
		for w := range strings.FieldsSeq(list) {
			low := []byte(w)
			for i := range low {
				low[i] = text.Lower(low[i])
			}
			if w = string(low); len(w) >= minKeyword && len(w) <= maxKeyword && !seen[w] {
				seen[w] = true
				words = append(words, w)
			}
		}
		if len(words) > 100 || from < 0 || from > len(content) || start < 0 || start > from {
			return
		}
		a, err := newAutomaton(words)
		if err != nil {
			t.Fatal(err)
		}
		want, got := hits(a.find, content, start, from, len(content), 1000), hits(newMatcher(words).find, content, start, from, len(content), 1000)
		if d := cmp.Diff(want, got, cmp.AllowUnexported(wordHit{})); d != "" {
			t.Fatal(d)
		}
	})
}

// BenchmarkKeywords is the search alone, over the text of BenchmarkScan.
func BenchmarkKeywords(b *testing.B) {
	e := engine(b)
	content := sourceText()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		e.words.find(content, 0, 0, len(content), func(int32, int) bool { return true })
	}
}
