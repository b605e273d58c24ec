package advisory

import (
	"encoding/binary"
	"errors"
	"math"
)

// Values are a sequence of unsigned varints and of strings with their length
// in front. Fields follow each other in the order of the struct; nothing is
// tagged, because a file is only read by the schema that wrote it.

var errCorrupt = errors.New("the database is damaged")

type encoder []byte

func (e *encoder) uint(n uint64) { *e = binary.AppendUvarint(*e, n) }

func (e *encoder) int(n int64) { *e = binary.AppendVarint(*e, n) }

func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) strings(ss []string) {
	e.uint(uint64(len(ss)))
	for _, s := range ss {
		e.string(s)
	}
}

func (e *encoder) bool(b bool) {
	n := uint64(0)
	if b {
		n = 1
	}
	e.uint(n)
}

// fixed keeps x, which is not negative, with the given number of decimals.
func (e *encoder) fixed(x float64, decimals int) {
	e.uint(uint64(math.Round(x * math.Pow10(decimals))))
}

func (e *encoder) ranges(rs []Range) {
	e.uint(uint64(len(rs)))
	for _, r := range rs {
		e.string(r.Introduced)
		e.string(r.Fixed)
		e.string(r.LastAffected)
		e.string(r.Limit)
	}
}

// A decoder remembers that it ran out of bytes and returns zeros from then
// on. Strings are parts of the one string it was made from.
type decoder struct {
	s string
	// at is how much of s has been read. It moves instead of the beginning of s:
	// a pointer that is written for every byte costs while the memory is
	// tidied up.
	at  int
	bad bool
	// more is how many values are still to come of which each has ranges;
	// spare is room for those, to be cut off.
	more  int
	spare []Range
}

func (d *decoder) uint() uint64 {
	if d.at < len(d.s) && d.s[d.at] < 0x80 { // as nearly all are
		d.at++
		return uint64(d.s[d.at-1])
	}
	return d.longUint()
}

func (d *decoder) longUint() uint64 {
	var n uint64
	for shift := 0; shift < 64 && d.at < len(d.s); shift += 7 {
		c := d.s[d.at]
		d.at++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	d.fail()
	return 0
}

// fail leaves nothing to read.
func (d *decoder) fail() { d.bad, d.at = true, len(d.s) }

// left is how many bytes have not been read.
func (d *decoder) left() uint64 { return uint64(len(d.s) - d.at) }

func (d *decoder) int() int64 {
	n := d.uint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) string() string {
	n := d.uint()
	if n > d.left() {
		d.fail()
		return ""
	}
	d.at += int(n)
	return d.s[d.at-int(n) : d.at]
}

// count is a length that the rest of the value can hold.
func (d *decoder) count() int {
	n := d.uint()
	if n > d.left() {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) strings() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	ss := make([]string, n)
	for i := range ss {
		ss[i] = d.string()
	}
	return ss
}

func (d *decoder) bool() bool { return d.uint() != 0 }

func (d *decoder) fixed(decimals int) float64 {
	return float64(d.uint()) / math.Pow10(decimals)
}

func (d *decoder) ranges() []Range {
	n := d.count()
	if n == 0 {
		return nil
	}
	if n > len(d.spare) {
		d.spare = make([]Range, max(n, d.more))
	}
	rs := d.spare[:n:n]
	d.spare = d.spare[n:]
	for i := range rs {
		rs[i] = Range{d.string(), d.string(), d.string(), d.string()}
	}
	return rs
}

func (d *decoder) err() error {
	if d.bad || d.at < len(d.s) {
		return errCorrupt
	}
	return nil
}

func (e *encoder) affected(a Affected) {
	e.string(a.ID)
	e.ranges(a.Ranges)
	e.ranges(a.Custom)
	e.strings(a.Versions)
	e.string(a.Stream)
	e.uint(uint64(a.State))
	e.string(a.Advisory)
	e.string(a.Note)
	e.string(a.Source)
	e.string(a.Severity)
	e.fixed(a.Score, 1)
	e.string(a.Vector)
}

// affected fills a in, but for where it stands.
func (d *decoder) affected(a *Affected) {
	a.ID = d.string()
	a.Ranges = d.ranges()
	a.Custom = d.ranges()
	a.Versions = d.strings()
	a.Stream = d.string()
	a.State = State(d.uint())
	a.Advisory = d.string()
	a.Note = d.string()
	a.Source = d.string()
	a.Severity = d.string()
	a.Score = d.fixed(1)
	a.Vector = d.string()
}

func encodeVuln(v Vuln) []byte {
	var e encoder
	e.string(v.Summary)
	e.string(v.Details)
	e.strings(v.Aliases)
	e.strings(v.CVEs)
	e.string(v.Severity)
	e.fixed(v.Score, 1)
	e.string(v.Vector)
	e.int(v.Published)
	e.int(v.Modified)
	e.string(v.URL)
	e.string(v.Licence)
	return e
}

func decodeVuln(id, s string) (Vuln, error) {
	d := decoder{s: s}
	v := Vuln{
		ID:        id,
		Summary:   d.string(),
		Details:   d.string(),
		Aliases:   d.strings(),
		CVEs:      d.strings(),
		Severity:  d.string(),
		Score:     d.fixed(1),
		Vector:    d.string(),
		Published: d.int(),
		Modified:  d.int(),
		URL:       d.string(),
		Licence:   d.string(),
	}
	return v, d.err()
}

func encodeCVE(c CVE) []byte {
	var e encoder
	e.string(c.Description)
	e.fixed(c.Score, 1)
	e.string(c.Vector)
	e.int(c.Published)
	e.bool(c.KEV)
	e.string(c.KEVDate)
	e.fixed(c.EPSS, 5)
	e.fixed(c.Percentile, 5)
	return e
}

func decodeCVE(id, s string) (CVE, error) {
	d := decoder{s: s}
	c := CVE{
		ID:          id,
		Description: d.string(),
		Score:       d.fixed(1),
		Vector:      d.string(),
		Published:   d.int(),
		KEV:         d.bool(),
		KEVDate:     d.string(),
		EPSS:        d.fixed(5),
		Percentile:  d.fixed(5),
	}
	return c, d.err()
}
