package binary

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/onceover/onceover/internal/analyze"
)

// Limits of a search.
const (
	// maxReadBytes is read of one file, headers and overlaps included.
	maxReadBytes = 2 * maxFileBytes
	// chunkBytes is read at a time.
	chunkBytes = 256 << 10
	// windowBytes before and after a literal are what a pattern sees. The
	// longest text of the table has 200.
	windowBytes = 256
	// maxHits is how many places of one literal in one file are looked at. In
	// 340 real packages no literal that gave an answer was met more than 454 times.
	maxHits = 4096
	// maxVersionBytes is the longest version that is believed.
	maxVersionBytes = 48
)

// A span is a part of a file.
type span struct{ off, size int64 }

// search looks for all evidence of a program in one pass.
type search struct {
	evidence []evidence
	hits     []int
	// versions are the answers of each evidence, two at most: a second one
	// spoils the first.
	versions [][]string
	// also reports which of the evidence's other literals were met.
	also []bool
	// number is that in the file's name.
	number string
	buf    []byte
}

func newSearch(es []evidence, number string) *search {
	s := &search{evidence: es, number: number,
		hits: make([]int, len(es)), versions: make([][]string, len(es)), also: make([]bool, len(es))}
	for i, e := range es {
		s.also[i] = e.also == ""
	}
	return s
}

// run searches spans of r, and stops when there is an answer that nothing after
// it can change.
func (s *search) run(ctx context.Context, r io.ReaderAt, spans []span) error {
	if s.buf == nil {
		s.buf = make([]byte, windowBytes+chunkBytes+2*windowBytes)
	}
	for _, sp := range spans {
		for off := sp.off; off < sp.off+sp.size; off += chunkBytes {
			if err := ctx.Err(); err != nil {
				return err
			}
			// The chunk, with a window before it, and two after it: a literal
			// that begins in the chunk ends there with its window. What lies
			// beyond the span is read too: the zero byte before the first
			// string of a section belongs to the section before.
			size := min(chunkBytes, sp.off+sp.size-off)
			from := max(0, off-windowBytes)
			b := s.buf[:off+size+2*windowBytes-from]
			n, err := r.ReadAt(b, from)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			s.chunk(b[:n], max(0, int(off-from)-1), int(off-from+size))
			if s.done() {
				return nil
			}
		}
	}
	return nil
}

// chunk looks for literals that begin in b[lo:hi]. Those that begin at the edge
// of two chunks are met twice, which does no harm.
func (s *search) chunk(b []byte, lo, hi int) {
	for i := range s.evidence {
		e := &s.evidence[i]
		if !s.also[i] {
			s.also[i] = bytes.Contains(b, []byte(e.also))
		}
		for at := lo; at < min(hi, len(b)) && s.hits[i] < maxHits && len(s.versions[i]) < 2; {
			n := bytes.Index(b[at:], []byte(e.literal))
			if n < 0 || at+n >= hi {
				break
			}
			at += n
			s.hits[i]++
			v := e.version(b, at)
			if e.named && !continues(v, s.number) {
				v = ""
			}
			if v != "" && (len(s.versions[i]) == 0 || s.versions[i][0] != v) {
				s.versions[i] = append(s.versions[i], v)
			}
			at += len(e.literal)
		}
	}
}

// done reports whether the first evidence has answered and is sure of it.
func (s *search) done() bool {
	return len(s.versions[0]) == 1 && !s.evidence[0].alone && s.also[0]
}

// answer is that of the first evidence which found one version.
func (s *search) answer() *finding {
	for i, vs := range s.versions {
		if len(vs) == 1 && s.also[i] {
			return &finding{s.evidence[i].name, vs[0]}
		}
	}
	return nil
}

// version is what the pattern of e finds around the literal at b[at:], or "".
func (e *evidence) version(b []byte, at int) string {
	from := max(0, at-windowBytes)
	w := b[from:min(len(b), at+len(e.literal)+windowBytes)]
	begin, end := at-from, at-from+len(e.literal)
	for _, m := range e.pattern().FindAllSubmatchIndex(w, -1) {
		if m[0] > begin || m[1] < end || m[2] < 0 {
			continue // another place of the same window
		}
		if v := string(w[m[2]:m[3]]); plausible(v) {
			return v
		}
	}
	return ""
}

// plausible reports whether v can be the version of a release: it has a number
// other than 0, and no number that is longer than any version's.
func plausible(v string) bool {
	if len(v) > maxVersionBytes || !analyze.Plain(v) || v[0] < '0' || v[0] > '9' {
		return false
	}
	digits, zero := 0, true
	for _, c := range []byte(v) {
		if c < '0' || c > '9' {
			digits = 0
			continue
		}
		if zero = zero && c == '0'; digits >= 8 {
			return false
		}
		digits++
	}
	return !zero
}
