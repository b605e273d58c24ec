package match

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"

	"github.com/onceover/onceover/internal/report"
)

// Limits of what a matcher remembers; when one is reached it begins anew. A
// finding takes about 400 bytes, a package without one 40.
const (
	maxMemoPackages = 50_000
	maxMemoFindings = 20_000
)

// memoKey is what the findings of a package depend on, as a digest: the
// ecosystems of its distribution, and of the package what match reads.
type memoKey [16]byte

func newMemoKey(ecosystems string, p *report.Package) memoKey {
	b := make([]byte, 0, 512)
	for _, s := range [...]string{ecosystems, p.Type, p.Name, p.Version, p.Source, p.SourceVersion, p.Module} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	return memoKey(sum[:])
}

// A memo remembers the findings of packages, so that images of one family have
// the packages that they share matched once. The zero value is empty; it is
// safe for concurrent use.
type memo struct {
	mu       sync.Mutex
	packages map[memoKey]packed
	findings int
}

func (m *memo) get(k memoKey) (packed, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fs, ok := m.packages[k]
	return fs, ok
}

func (m *memo) put(k memoKey, fs packed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := fs.len()
	if m.packages == nil || len(m.packages) >= maxMemoPackages || m.findings+n > maxMemoFindings {
		m.packages, m.findings = map[memoKey]packed{}, 0
	}
	if _, again := m.packages[k]; !again {
		m.packages[k] = fs
		m.findings += n
	}
}

// packed are the findings of one package, without what depends on the image, in
// one text: their number, and of each its fields. The texts of findings that are
// taken out are parts of it, so that they are in memory once however many images
// have the package.
type packed string

// pack puts findings into one text, "" for none.
func pack(fs []report.Finding) packed {
	if len(fs) == 0 {
		return ""
	}
	w := packer{b: make([]byte, 0, 512*len(fs))}
	w.uint(uint64(len(fs)))
	last := new(report.Finding)
	for i := range fs {
		f := &fs[i]
		before := packedTexts(last)
		for j, s := range packedTexts(f) {
			w.text(*s, *before[j])
		}
		w.list(f.CVEs)
		w.list(f.Aliases)
		for _, x := range packedNumbers(f) {
			w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(*x))
		}
		w.uint(uint64(f.Published))
		w.uint(uint64(f.Priority))
		exploited := uint64(0)
		if f.Exploited {
			exploited = 1
		}
		w.uint(exploited)
		last = f
	}
	return packed(w.b)
}

// packedTexts are the texts of a finding that pack keeps.
func packedTexts(f *report.Finding) [16]*string {
	return [...]*string{&f.ID, &f.Severity, &f.Vector, &f.SeverityFrom, &f.Summary, &f.URL, &f.ExploitedSince, &f.FixState, &f.FixedVersion,
		&f.Evidence.Source, &f.Evidence.Ecosystem, &f.Evidence.Record, &f.Evidence.Name, &f.Evidence.Range, &f.Evidence.Compared, &f.Evidence.Note}
}

func packedNumbers(f *report.Finding) [3]*float64 {
	return [...]*float64{&f.Score, &f.EPSS, &f.EPSSPercentile}
}

func (p packed) len() int {
	if p == "" {
		return 0
	}
	r := unpacker{string(p)}
	return int(r.uint())
}

// appendTo takes the findings out and appends them to out.
func (p packed) appendTo(out []report.Finding) []report.Finding {
	if p == "" {
		return out
	}
	r := unpacker{string(p)}
	last := new(report.Finding)
	for range r.uint() {
		out = append(out, report.Finding{})
		f := &out[len(out)-1]
		before := packedTexts(last)
		for j, s := range packedTexts(f) {
			*s = r.text(*before[j])
		}
		f.CVEs, f.Aliases = r.list(), r.list()
		for _, x := range packedNumbers(f) {
			*x = math.Float64frombits(r.number())
		}
		f.Published, f.Priority, f.Exploited = int64(r.uint()), int(r.uint()), r.uint() != 0
		last = f
	}
	return out
}

// A packer writes what an unpacker reads. Nothing else ever writes it, so the
// latter does not look for damage.
type packer struct{ b []byte }

func (w *packer) uint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

// text writes s, or that it is the same as in the finding before.
func (w *packer) text(s, before string) {
	if s == before {
		w.uint(0)
		return
	}
	w.uint(uint64(len(s)) + 1)
	w.b = append(w.b, s...)
}

func (w *packer) list(ss []string) {
	w.uint(uint64(len(ss)))
	for _, s := range ss {
		w.uint(uint64(len(s)))
		w.b = append(w.b, s...)
	}
}

type unpacker struct{ s string }

func (r *unpacker) uint() (n uint64) {
	for shift := 0; ; shift += 7 {
		c := r.s[0]
		r.s = r.s[1:]
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
}

func (r *unpacker) take(n uint64) (s string) {
	s, r.s = r.s[:n], r.s[n:]
	return s
}

func (r *unpacker) text(before string) string {
	n := r.uint()
	if n == 0 {
		return before
	}
	return r.take(n - 1)
}

func (r *unpacker) list() []string {
	n := r.uint()
	if n == 0 {
		return nil
	}
	ss := make([]string, n)
	for i := range ss {
		ss[i] = r.take(r.uint())
	}
	return ss
}

func (r *unpacker) number() uint64 {
	return binary.LittleEndian.Uint64([]byte(r.take(8)))
}
