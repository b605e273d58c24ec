package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/check/text"
)

// A scan is the state of one file.
type scan struct {
	*Engine
	ctx   context.Context
	path  string
	class pathClass
	work  int64
	err   error // what ends the scan
	limit error // what it left out on the way

	buf  []byte // the chunk with what is before and behind it
	base int64  // offset of buf[0] in the file
	line int    // newlines before buf[0]

	// The maps are made when something is put in: few files need them.
	open  map[int32]span // windows of Regex rules that may grow
	paths map[int32]bool // whether the path is one of the rule's
	count map[string]int
	found []match
}

// A match is a secret of buf.
type match struct {
	Secret
	from, to int64 // offsets in the file
	rank     int
}

type span struct{ from, to int }

// file reads the file chunk by chunk.
func (s *scan) file(r io.ReaderAt, size int64) error {
	pooled := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(pooled)
	limit := min(size, maxFile)
	n, err := readAt(r, (*pooled)[:firstBytes], 0, limit)
	if err != nil {
		return err
	}
	s.buf = (*pooled)[:n]
	binary := isBinary(s.buf)
	if binary && !isKeyStore(s.buf, size) {
		return nil
	}
	if n == firstBytes {
		more, err := readAt(r, (*pooled)[n:], int64(n), limit)
		if err != nil {
			return err
		}
		s.buf = (*pooled)[:n+more]
	}
	if binary {
		s.keyStore(size)
		return nil
	}
	s.structured()
	for at := int64(0); s.err == nil; {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		from := int(at - s.base)
		to := min(from+chunkBytes, len(s.buf))
		s.chunk(from, to)
		at += int64(to - from)
		if to == from { // the file is shorter than its size says
			size = at
		}
		if at >= limit || to == from {
			break
		}
		// The next chunk, and overlap bytes of this one before it.
		keep := max(to-overlap, 0)
		s.line += bytes.Count(s.buf[:keep], []byte{'\n'})
		s.base += int64(keep)
		if n, err = readAt(r, *pooled, s.base, limit); err != nil {
			return err
		}
		s.buf = (*pooled)[:n]
	}
	if s.err == nil && size > maxFile {
		s.err = fmt.Errorf("%w: only the first %d bytes of the file were read", ErrLimit, int64(maxFile))
	}
	return s.err
}

// readAt fills b from offset off of r; a file that is shorter than its size
// says is no error.
func readAt(r io.ReaderAt, b []byte, off, limit int64) (int, error) {
	if left := limit - off; int64(len(b)) > left {
		b = b[:max(left, 0)]
	}
	n, err := r.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read: %w", err)
	}
	return n, nil
}

// chunk finds what belongs to the keywords that end within buf[from:to].
func (s *scan) chunk(from, to int) {
	s.words.find(s.buf, max(0, from-maxKeyword), from, to, func(word int32, end int) bool {
		at := end - s.lengths[word]
		for _, n := range s.of[word] {
			if n < 0 {
				builtins[-1-n].find(s, at, end)
				continue
			}
			s.try(n, at, end)
		}
		return s.err == nil
	})
	if len(s.open) == 0 {
		return
	}
	// In the order of the rules: the same file gives the same answer.
	for _, n := range slices.Sorted(maps.Keys(s.open)) {
		s.window(n, s.open[n])
	}
	clear(s.open)
}

// try looks at what a keyword says to a rule.
func (s *scan) try(n int32, at, end int) {
	r := s.rules[n]
	if r.Generic && s.class != configuration {
		return
	}
	if r.Path != "" {
		ok, known := s.paths[n]
		if !known {
			ok = r.compile() == nil && r.dir.MatchString(s.path)
			if s.paths == nil {
				s.paths = map[int32]bool{}
			}
			s.paths[n] = ok
		}
		if !ok {
			return
		}
	}
	switch {
	case r.Token != "":
		if !r.Loose && at > 0 && text.IsWord(s.buf[at-1]) && text.IsWord(s.buf[at]) && !isEscape(s.buf, at) {
			return
		}
		w := cut(s.buf, at, after)
		if !s.spend(callBytes) || r.compile() != nil || !r.start.may(w) {
			return
		}
		if m := r.pattern.FindSubmatchIndex(w); m != nil {
			s.spend(m[1] * r.cost)
			if !r.Loose && m[1] < len(w) && (text.IsWord(w[m[1]]) || w[m[1]] == '-') && text.IsWord(w[m[1]-1]) {
				return
			}
			v, to := r.secret(m)
			s.add(r, at+v, at+to, span{max(0, at-before), min(len(s.buf), at+after)})
		}
	case r.Assign != "":
		a, ok := assignmentAt(s.buf, at, end-at)
		if !ok || !s.spend(callBytes+a.end-a.value) || r.compile() != nil {
			return
		}
		name := strings.ToLower(string(s.buf[a.name:a.nameEnd]))
		if r.name != nil {
			if !r.name.MatchString(name) {
				return
			}
		} else if !saysSecret(name) {
			return
		}
		if (r.Generic || r.Path != "") && !s.plausible(a) {
			return
		}
		s.spend((a.end - a.value) * r.cost)
		if m := r.pattern.FindSubmatchIndex(s.buf[a.value:a.end]); m != nil {
			v, to := r.secret(m)
			s.add(r, a.value+v, a.value+to, span{max(0, at-after), min(len(s.buf), at+after)})
		}
	default:
		w := span{max(0, at-before), min(len(s.buf), end+after)}
		if o, ok := s.open[n]; ok {
			if o.to >= w.from && w.to-o.from <= maxWindow {
				s.open[n] = span{o.from, w.to}
				return
			}
			s.window(n, o)
		}
		if s.open == nil {
			s.open = map[int32]span{}
		}
		s.open[n] = w
	}
}

// isEscape tells whether the letter before b[at] is the one of "\n" or "\t".
func isEscape(b []byte, at int) bool {
	return at > 1 && b[at-2] == '\\' && (b[at-1] == 'n' || b[at-1] == 't' || b[at-1] == 'r')
}

var secretWords = []string{"key", "token", "secret", "pass", "pwd", "auth", "cred", "api", "pat", "sig", "dsn"}

// saysSecret tells whether a name of an assignment is one of a secret.
func saysSecret(name string) bool {
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// window tries the pattern of a rule on a window.
func (s *scan) window(n int32, w span) {
	r := s.rules[n]
	if s.err != nil || r.compile() != nil {
		return
	}
	for from := w.from; from < w.to; {
		if !s.spend(callBytes + (w.to-from)*r.cost) {
			return
		}
		m := r.pattern.FindSubmatchIndex(s.buf[from:w.to])
		if m == nil || m[1] == 0 {
			return
		}
		if v, to := r.secret(m); v >= 0 {
			s.add(r, from+v, from+to, w)
		}
		from += m[1]
	}
}

// spend takes n bytes of work off the budget.
func (s *scan) spend(n int) bool {
	s.work -= int64(n)
	if s.work < 0 && s.err == nil {
		s.err = fmt.Errorf("%w: too many keywords of secrets in the file", ErrLimit)
	}
	return s.work >= 0
}

// add notes the secret buf[from:to] of a rule unless something speaks against
// it. The other half of a pair is looked for in w.
func (s *scan) add(r *rule, from, to int, w span) {
	if to <= from {
		return
	}
	if s.class == packaged && r.Path == "" && (r.Kind == Password || r.Kind == Connection) {
		return // of an example, in a package
	}
	v := string(s.buf[from:to])
	if !r.Weak && (isPlaceholder(v) || r.Entropy > 0 && text.Entropy(v) < r.Entropy) {
		return
	}
	low := strings.ToLower(v)
	for _, stop := range r.Allow.Stopwords {
		if strings.Contains(low, strings.ToLower(stop)) {
			return
		}
	}
	for _, re := range r.allowed {
		if re.MatchString(v) {
			return
		}
	}
	if r.with != nil && (!s.spend((w.to-w.from)*r.cost) || !r.with.Match(s.buf[w.from:w.to])) {
		return
	}
	s.note(Secret{Rule: r.ID, Title: r.Description, Kind: r.Kind, Severity: r.Severity}, r.rank, from, to)
}

// note fills in what a secret at buf[from:to] needs.
func (s *scan) note(f Secret, rank, from, to int) {
	if s.class == material {
		return
	}
	if s.count == nil {
		s.count = map[string]int{}
	}
	// Many of one kind must not hide those of another behind them.
	if s.count[f.Rule]++; s.count[f.Rule] > maxOfRule {
		s.limit = fmt.Errorf("%w: more than %d secrets of the rule %s", ErrLimit, maxOfRule, f.Rule)
		return
	}
	if len(s.found) >= maxMatches {
		s.err = fmt.Errorf("%w: more than %d places that could be secrets", ErrLimit, maxMatches)
		return
	}
	v := string(s.buf[from:to])
	f.Path = s.path
	f.Line = s.line + bytes.Count(s.buf[:from], []byte{'\n'}) + 1
	if start := bytes.LastIndexByte(s.buf[:from], '\n'); start >= 0 || s.base == 0 {
		f.Column = from - start
	}
	f.Length = len(v)
	f.Hash = digest(s.salt, v)
	if f.Masked == "" {
		f.Masked = mask(v, f.Kind)
	}
	f.Context = s.context(from, f.Masked)
	if s.class == tests {
		f.Test, f.Severity = true, f.Severity.lowered()
	}
	s.found = append(s.found, match{f, s.base + int64(from), s.base + int64(to), rank})
}

// context is the name before buf[from], and the mask. Nothing else of the line
// is shown: it could hold a secret that no rule knows.
func (s *scan) context(from int, masked string) string {
	i := from
	for limit := max(0, from-8); i > limit && s.buf[i-1] > ' ' && !isNameByte(s.buf[i-1]) || i > limit && s.buf[i-1] == ' '; i-- {
	}
	sign := i
	for limit := max(0, sign-maxName); i > limit && isNameByte(s.buf[i-1]); i-- {
	}
	name := string(s.buf[i:sign])
	// A name says that a secret follows. What is no such word, looks like a
	// token itself, or follows something as in user:password:token, could
	// be a secret of its own.
	if !saysSecret(strings.ToLower(name)) || len(name) >= 12 && text.Entropy(name) > 3.6 && strings.ContainsAny(name, "0123456789") || i > 0 && strings.IndexByte(":=@/", s.buf[i-1]) >= 0 {
		name = ""
	}
	c := name + printable(string(s.buf[sign:from])) + masked
	return c[:min(len(c), maxContext)]
}

// finish sorts the secrets and drops those that a better one covers.
func (s *scan) finish() []Secret {
	slices.SortStableFunc(s.found, func(a, b match) int {
		if a.rank != b.rank {
			return b.rank - a.rank
		}
		return int(max(-1, min(1, a.from-b.from)))
	})
	var kept []match
next:
	for _, m := range s.found {
		for _, k := range kept {
			if m.from < k.to && k.from < m.to || m.from == k.from && m.to == k.to {
				continue next
			}
		}
		kept = append(kept, m)
	}
	slices.SortStableFunc(kept, func(a, b match) int { return int(max(-1, min(1, a.from-b.from))) })
	if len(kept) > maxSecrets {
		kept = kept[:maxSecrets]
		s.limit = fmt.Errorf("%w: more than %d secrets", ErrLimit, maxSecrets)
	}
	if len(kept) == 0 {
		return nil
	}
	out := make([]Secret, len(kept))
	for i := range kept {
		out[i] = kept[i].Secret
	}
	return out
}
