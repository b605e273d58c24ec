package secret

import (
	"errors"
	"slices"

	"github.com/onceover/onceover/internal/check/text"
)

var errAutomaton = errors.New("too many keywords")

const maxStates = 60000

// An automaton is what matcher has to agree with: it finds all keywords of all
// rules, ASCII letters in either case (Aho and Corasick 1975, with the failure
// function folded into the table).
type automaton struct {
	class [256]uint8
	shift uint
	next  []uint16
	// hits are the keywords that end in a state: those of state s are
	// hits[first[s]:first[s+1]].
	first []int32
	hits  []int32
	// speaks is the first state with hits: states are numbered so that all
	// of them come last.
	speaks uint16
}

// newAutomaton is for keywords in lower case; a hit is an index of words.
func newAutomaton(words []string) (*automaton, error) {
	a := &automaton{}
	classes := 1 // 0 is every byte that no keyword has
	for _, w := range words {
		for i := range len(w) {
			if a.class[w[i]] == 0 {
				a.class[w[i]] = uint8(classes)
				classes++
			}
		}
	}
	for c := byte('A'); c <= 'Z'; c++ {
		a.class[c] = a.class[text.Lower(c)]
	}
	for 1<<a.shift < classes {
		a.shift++
	}
	width := 1 << a.shift

	states := 1
	for _, w := range words {
		states += len(w)
	}
	trie := make([]uint16, width, min(states, maxStates)*width) // 0: no edge, the root is nobody's child
	ends := [][]int32{nil}
	for n, w := range words {
		s := 0
		for i := range len(w) {
			at := s<<a.shift | int(a.class[w[i]])
			if trie[at] == 0 {
				if len(ends) >= maxStates {
					return nil, errAutomaton
				}
				trie[at] = uint16(len(ends))
				trie = append(trie, make([]uint16, width)...)
				ends = append(ends, nil)
			}
			s = int(trie[at])
		}
		ends[s] = append(ends[s], int32(n))
	}

	// Breadth first: the failure state of a child is shallower, so its row
	// is complete when the child's row is filled from it.
	fail := make([]uint16, len(ends))
	queue := []uint16{0}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		for c := range width {
			at := int(s)<<a.shift | c
			onFail := uint16(0)
			if s != 0 {
				onFail = trie[int(fail[s])<<a.shift|c]
			}
			if t := trie[at]; t != 0 {
				fail[t] = onFail
				ends[t] = append(ends[t], ends[onFail]...)
				queue = append(queue, t)
			} else {
				trie[at] = onFail
			}
		}
	}
	a.number(trie, ends)
	return a, nil
}

// number gives the states that end a keyword the highest numbers.
func (a *automaton) number(trie []uint16, ends [][]int32) {
	order := make([]int, 0, len(ends))
	for s := range ends {
		if len(ends[s]) == 0 {
			order = append(order, s)
		}
	}
	a.speaks = uint16(len(order))
	for s := range ends {
		if len(ends[s]) > 0 {
			order = append(order, s)
		}
	}
	to := make([]uint16, len(ends))
	for i, s := range order {
		to[s] = uint16(i)
	}
	width := 1 << a.shift
	a.next = make([]uint16, len(trie))
	a.first = make([]int32, len(ends)+1)
	for i, s := range order {
		for c := range width {
			a.next[i<<a.shift|c] = to[trie[s<<a.shift|c]]
		}
		a.first[i] = int32(len(a.hits))
		slices.Sort(ends[s])
		a.hits = append(a.hits, slices.Compact(ends[s])...)
	}
	a.first[len(order)] = int32(len(a.hits))
}

// find calls hit with each keyword that ends at or before to and after from,
// and the index of the byte behind its end, until hit returns false. The walk
// starts at byte start, for keywords that lie across from.
func (a *automaton) find(b []byte, start, from, to int, hit func(word int32, end int) bool) {
	s := uint16(0)
	next, shift, speaks := a.next, a.shift, a.speaks
	for i, c := range b[start:to] {
		s = next[int(s)<<shift|int(a.class[c])]
		if s >= speaks {
			end := start + i + 1
			if end <= from {
				continue
			}
			for _, w := range a.hits[a.first[s]:a.first[s+1]] {
				if !hit(w, end) {
					return
				}
			}
		}
	}
}
