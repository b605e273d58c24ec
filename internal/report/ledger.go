package report

import (
	"math/bits"
	"slices"
	"strings"
)

// Ledgers are the ledgers of an image's layers, in their order, with Owned and
// Unowned set: a file passed over by name is owned if any layer says that a
// distribution package put it there.
func Ledgers(layers []*LayerReport) []Ledger {
	return newMerger(layers).ledgers()
}

// checked are the ledgers of those checks that all layers have.
func (m *merger) checked() map[string]Ledger {
	var out map[string]Ledger
	for _, check := range Checks {
		sum := Ledger{}
		n := 0
		for _, l := range m.layers {
			led, ok := l.Checked[check]
			if !ok {
				break
			}
			sum.Add(led)
			n++
		}
		if n > 0 && n == len(m.layers) {
			if out == nil {
				out = map[string]Ledger{}
			}
			out[check] = sum
		}
	}
	return out
}

func (m *merger) ledgers() []Ledger {
	owned := m.owned()
	out := make([]Ledger, len(m.layers))
	for i, l := range m.layers {
		led := Ledger{}
		led.Add(l.Ledger)
		led.Owned = common(owned, l.Passed)
		led.Unowned = max(0, led.Passed-led.Owned)
		out[i] = led
	}
	return out
}

// owned are the hashes of all files that distribution packages have put in
// place, sorted.
func (m *merger) owned() Hashes {
	var all Hashes
	diverted := m.diversions()
	for o := range m.ownerships() {
		if typ, _, _ := strings.Cut(o.Owner, ":"); !OSType(typ) {
			continue
		}
		start := len(all)
		all = append(all, o.Files...)
		if len(diverted) > 0 {
			for k, h := range all[start:] {
				all[start+k] = diverted.place(o.Owner, h)
			}
		}
	}
	return slices.Compact(sorted(all))
}

// sorted is h in order. Hashes are spread evenly, so that one pass by their
// first bits leaves runs of a few: an image can have a million.
func sorted(h Hashes) Hashes {
	const few = 8
	if len(h) < 1<<10 {
		slices.Sort(h)
		return h
	}
	shift := 64 - bits.Len(uint(len(h)/few))
	ends := make([]int, 1<<(64-shift))
	for _, v := range h {
		ends[v>>shift]++
	}
	for i, at := 0, 0; i < len(ends); i++ {
		ends[i], at = at, at+ends[i]
	}
	out := make(Hashes, len(h))
	for _, v := range h {
		out[ends[v>>shift]] = v
		ends[v>>shift]++
	}
	start := 0
	for _, end := range ends {
		slices.Sort(out[start:end])
		start = end
	}
	return out
}

// ownerships are the ownerships of all layers, highest first, without those
// that a layer above says in the same words: where a database is one file, each
// layer that touches it says everything again.
func (m *merger) ownerships() func(yield func(*Ownership) bool) {
	return func(yield func(*Ownership) bool) {
		type name struct{ path, owner string }
		last := map[name]Hashes{}
		for i := len(m.layers) - 1; i >= 0; i-- {
			for j := range m.layers[i].Ownership {
				o := &m.layers[i].Ownership[j]
				k := name{o.Path, o.Owner}
				if files, ok := last[k]; ok && slices.Equal(files, o.Files) {
					continue
				}
				last[k] = o.Files
				if !yield(o) {
					return
				}
			}
		}
	}
}

// common counts what two sorted lists have in common.
func common(a, b Hashes) int64 {
	if len(a) > len(b) {
		a, b = b, a
	}
	search := len(b) > 16*len(a)
	var n int64
	for _, h := range a {
		if search {
			k, _ := slices.BinarySearch(b, h)
			b = b[k:]
		} else {
			for len(b) > 0 && b[0] < h {
				b = b[1:]
			}
		}
		if len(b) == 0 {
			break
		}
		if b[0] == h {
			n++
		}
	}
	return n
}
