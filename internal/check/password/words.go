package password

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/fault"
)

// engineVersion is part of a word list's version: raise it when the same words
// would give another answer.
const engineVersion = "password/1"

const (
	// MaxOwnWords is how many words an operator may add
	// (ChangeExtendedWeakPassword takes 300).
	MaxOwnWords = 300
	// MaxWordBytes is the longest word.
	MaxWordBytes = 128
	// topWords is how many words are tried against a hash whose guesses
	// are slow.
	topWords = 50
	// slowPrice is the price of a guess from which a hash counts as slow.
	slowPrice = 4e6 // nanoseconds
)

//go:embed words.txt
var builtIn string

// The passwords that people choose most, best first, one a line: facts known
// from published leaks and from what devices and software are delivered with.
var builtInWords = sync.OnceValue(func() []string { return strings.Fields(builtIn) })

// A Words is a list of guesses: ours and those of the operator. Make one with
// NewWords. It is safe for concurrent use.
type Words struct {
	all []string
	// own holds the operator's words.
	own     map[string]bool
	common  map[string]bool
	version string
}

// NewWords makes the list of our words and the operator's, which take turns,
// so that neither can use up the budget of the other. A word that is empty,
// too long, or not UTF-8 is a fault.Invalid error that gives its place only.
func NewWords(own []string) (*Words, error) {
	if len(own) > MaxOwnWords {
		return nil, fault.New(fault.Invalid, "%d weak passwords: at most %d are allowed", len(own), MaxOwnWords)
	}
	w := &Words{own: map[string]bool{}, common: map[string]bool{}}
	for i, word := range own {
		switch {
		case word == "":
			return nil, fault.New(fault.Invalid, "weak password %d is empty", i+1)
		case len(word) > MaxWordBytes:
			return nil, fault.New(fault.Invalid, "weak password %d is longer than %d bytes", i+1, MaxWordBytes)
		case !utf8.ValidString(word) || strings.ContainsAny(word, "\x00\n"):
			return nil, fault.New(fault.Invalid, "weak password %d is not one line of UTF-8", i+1)
		}
		w.own[word] = true
	}
	ours := builtInWords()
	for _, word := range ours {
		w.common[word] = true
	}
	seen := make(map[string]bool, len(ours)+len(own))
	add := func(list []string, i int) {
		if i < len(list) && !seen[list[i]] {
			seen[list[i]] = true
			w.all = append(w.all, list[i])
		}
	}
	for i := range max(len(ours), len(own)) {
		add(ours, i)
		add(own, i)
	}
	sum := sha256.New()
	sum.Write([]byte(engineVersion))
	for _, word := range w.all {
		sum.Write([]byte(word))
		sum.Write([]byte{0})
		if w.own[word] {
			sum.Write([]byte{1})
		}
	}
	w.version = engineVersion + "-" + hex.EncodeToString(sum.Sum(nil)[:8])
	return w, nil
}

var defaultWords = sync.OnceValue(func() *Words {
	w, _ := NewWords(nil) // nil words are never refused
	return w
})

// Version names the list and what is done with it: it is part of the cache key
// of every verdict.
func (w *Words) Version() string { return w.version }

// Len is the number of words.
func (w *Words) Len() int { return len(w.all) }

// list are the words for a hash whose guess has this price.
func (w *Words) list(price int64) []string {
	if price < slowPrice {
		return w.all
	}
	n := min(topWords+min(len(w.own), topWords), len(w.all))
	return w.all[:n]
}

// variants are guesses made from the name of an account, likeliest first, the
// empty password before them.
func variants(user string) []string {
	if user == "" || len(user) > MaxWordBytes/2 {
		return []string{""}
	}
	title := strings.ToUpper(user[:1]) + user[1:]
	out := []string{"", user, user + "123", user + "@123", title + "@123", user + "1234"}
	for _, v := range []string{title + "123", user + "123456", user + "1", reversed(user), strings.ToUpper(user), title, user + user} {
		if v != user {
			out = append(out, v)
		}
	}
	return out
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// masked is what may be shown of a weak password: its ends, and nothing of a
// short one. The stars do not tell the length.
func masked(word string) string {
	r := []rune(word)
	switch {
	case len(r) == 0:
		return ""
	case len(r) < 6:
		return "****"
	}
	return string(r[:1]) + "****" + string(r[len(r)-1:])
}
