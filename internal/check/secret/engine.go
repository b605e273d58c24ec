package secret

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// ErrLimit is wrapped by the error of a scan that stopped at a limit.
var ErrLimit = errors.New("limit reached")

const (
	// maxFile is how much of a file is read, in bytes.
	maxFile = 256 << 20
	// chunkBytes is how much of a file is in memory at a time, overlap how
	// much of what stands before and behind it.
	chunkBytes = 512 << 10
	overlap    = 32 << 10
	// firstBytes are read of a file before the rest: they tell whether it is
	// text, and most files have no more.
	firstBytes = 32 << 10
	// maxSecrets is how many secrets of one file are told, maxOfRule how
	// many of one rule.
	maxSecrets = 200
	maxOfRule  = 50
	// maxMatches is how many are looked at before those that others cover
	// are dropped.
	maxMatches = 2000
	// A pattern of a window sees before and after many bytes around a
	// keyword; windows that touch are merged up to maxWindow, which is what
	// the quick matcher of package regexp takes for most patterns.
	before    = 160
	after     = 512
	maxWindow = 3 << 10
	// Patterns may be tried on leastWork bytes of text per file and on a
	// quarter of what the file holds, at most on mostWork: two seconds or so
	// at worst. A byte counts for every stepCost instructions of a pattern.
	leastWork = 4 << 20
	mostWork  = 16 << 20
	stepCost  = 64
	// callBytes is what a try of a pattern counts at least.
	callBytes = 32
)

// An Engine finds secrets with one set of rules. It is safe for concurrent
// use.
type Engine struct {
	rules   []*rule
	words   *matcher
	lengths []int     // of the keywords
	of      [][]int32 // keyword to rules
	version string
	salt    []byte
	buffers *sync.Pool
}

// New makes an engine of the rules of this package and those of packs. A rule
// of a pack takes the place of an earlier one with the same id. The error
// names file and line of what is wrong with a pack.
func New(packs ...Pack) (*Engine, error) {
	rules, err := readOwn(ownRules)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%d %s", format, ownRules)
	for _, p := range packs {
		own, err := readPack(p.Name, string(p.Text))
		if err != nil {
			return nil, err
		}
		for _, r := range own {
			if i := slices.IndexFunc(rules, func(o *rule) bool { return o.ID == r.ID }); i >= 0 {
				rules[i] = r
			} else {
				rules = append(rules, r)
			}
		}
		fmt.Fprintf(sum, "\x00%d\x00%s", len(p.Text), p.Text)
	}
	e := &Engine{rules: rules, version: hex.EncodeToString(sum.Sum(nil)[:8])}
	e.buffers = &sync.Pool{New: func() any { b := make([]byte, chunkBytes+2*overlap); return &b }}

	index := map[string]int{}
	var words []string
	add := func(k string) int {
		i, ok := index[k]
		if !ok {
			i = len(words)
			index[k] = i
			words = append(words, k)
			e.of = append(e.of, nil)
			e.lengths = append(e.lengths, len(k))
		}
		return i
	}
	for n, r := range rules {
		for _, k := range r.Keywords {
			i := add(k)
			e.of[i] = append(e.of[i], int32(n))
		}
	}
	for n, b := range builtins {
		for _, k := range b.keywords {
			i := add(k)
			e.of[i] = append(e.of[i], int32(-1-n))
		}
	}
	e.words = newMatcher(words)
	return e, nil
}

// Builtin is the engine of the rules of this package alone, made once.
var Builtin = sync.OnceValues(func() (*Engine, error) { return New() })

// format is part of the version: raise it when the code of this package would
// answer otherwise with the same rules.
const format = 2

// WithSalt is the engine with a key for Secret.Hash: secrets can be compared
// among engines with the same one, and nobody without it can try values.
func (e *Engine) WithSalt(salt []byte) *Engine {
	c := *e
	c.salt = bytes.Clone(salt)
	return &c
}

// Version is 16 hexadecimal digits that change with the rules. It belongs in
// the key of everything that is kept of a scan.
func (e *Engine) Version() string { return e.version }

// Scan finds the secrets of a regular file of an image, sorted by place; none
// is (nil, nil). The path is absolute within the image. Binary files other
// than key stores say nothing. An error wraps ErrLimit, or is that of r or ctx;
// what was found until then comes with it.
func (e *Engine) Scan(ctx context.Context, path string, r io.ReaderAt, size int64) ([]Secret, error) {
	s := &scan{Engine: e, ctx: ctx, path: path, class: classOf(path), work: min(leastWork+size/4, mostWork)}
	err := s.file(r, size)
	found := s.finish()
	if err == nil {
		err = s.limit
	}
	return found, err
}

// ScanBytes is Scan for a content in memory.
func (e *Engine) ScanBytes(ctx context.Context, path string, content []byte) ([]Secret, error) {
	return e.Scan(ctx, path, bytes.NewReader(content), int64(len(content)))
}
