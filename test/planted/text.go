package planted

import (
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/check/text"
)

// Text makes a random text that a pattern matches. Classes give printable
// ASCII, and open repetitions a few more than they ask for.
func Text(r *rand.Rand, pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	write(r, &b, re)
	return b.String()
}

func write(r *rand.Rand, b *strings.Builder, re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		// Without regard to case: as people write it, in lower case.
		if re.Flags&syntax.FoldCase != 0 {
			b.WriteString(strings.ToLower(string(re.Rune)))
			break
		}
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(pick(r, re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte("abcdefghijkmnopqrstuvwyzABCDEFGHJKLMNPQRSTUVWYZ0123456789"[r.IntN(57)])
	case syntax.OpCapture, syntax.OpConcat:
		for _, s := range re.Sub {
			write(r, b, s)
		}
	case syntax.OpAlternate:
		write(r, b, re.Sub[r.IntN(len(re.Sub))])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		low, high := 0, 1
		switch re.Op {
		case syntax.OpPlus:
			low, high = 1, 2
		case syntax.OpRepeat:
			low, high = re.Min, re.Max
			if high < 0 {
				high = low + 2
			}
			high = min(high, max(low+2, 12))
		}
		for range low + r.IntN(high-low+1) {
			write(r, b, re.Sub[0])
		}
	}
}

// pick is a rune of a class: letters and digits before anything else.
func pick(r *rand.Rand, class []rune) rune {
	var good, rest []rune
	for i := 0; i < len(class); i += 2 {
		for c := max(class[i], ' '); c <= min(class[i+1], '~'); c++ {
			if c < 0x80 && text.IsWord(byte(c)) && c != '_' {
				good = append(good, c)
			} else {
				rest = append(rest, c)
			}
		}
	}
	if len(good) == 0 {
		good = rest
	}
	if len(good) == 0 {
		return class[0]
	}
	return slices.Clone(good)[r.IntN(len(good))]
}
