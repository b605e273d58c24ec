package secret

import "regexp/syntax"

// A prefix is which bytes the first of a match may be, place by place: most
// words that begin as a token are turned away without the pattern.
type prefix []*[256]bool

const maxPrefix = 24

// prefixOf is the prefix of what an expression matches.
func prefixOf(e *syntax.Regexp) prefix {
	var p prefix
	p.add(e)
	return p
}

// add appends what an expression begins with, and reports whether that is all of
// it, so that what follows has a fixed place.
func (p *prefix) add(e *syntax.Regexp) bool {
	if len(*p) >= maxPrefix {
		return false
	}
	switch e.Op {
	case syntax.OpLiteral:
		for _, r := range e.Rune {
			fold := e.Flags&syntax.FoldCase != 0
			// Letters beyond ASCII fold to k and s.
			if r >= 0x80 || fold && (r|0x20 == 'k' || r|0x20 == 's') {
				return false
			}
			set := &[256]bool{}
			set[r] = true
			if low := r | 0x20; fold && 'a' <= low && low <= 'z' {
				set[low], set[low^0x20] = true, true
			}
			*p = append(*p, set)
		}
		return true
	case syntax.OpCharClass:
		set := &[256]bool{}
		for i := 0; i < len(e.Rune); i += 2 {
			if e.Rune[i+1] >= 0x80 {
				return false
			}
			for r := e.Rune[i]; r <= e.Rune[i+1]; r++ {
				set[r] = true
			}
		}
		*p = append(*p, set)
		return true
	case syntax.OpConcat:
		for _, s := range e.Sub {
			if !p.add(s) {
				return false
			}
		}
		return true
	case syntax.OpCapture:
		return p.add(e.Sub[0])
	case syntax.OpRepeat:
		for range e.Min {
			if !p.add(e.Sub[0]) {
				return false
			}
		}
		return e.Min == e.Max
	case syntax.OpPlus:
		p.add(e.Sub[0])
	}
	return false
}

// may reports whether b can begin with a match.
func (p prefix) may(b []byte) bool {
	if len(b) < len(p) {
		return false
	}
	for i, set := range p {
		if !set[b[i]] {
			return false
		}
	}
	return true
}
