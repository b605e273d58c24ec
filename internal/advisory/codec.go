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
	s   string
	bad bool
	// left is how many values are still to come of which each has ranges;
	// spare is room for those, to be cut off.
	left  int
	spare []Range
}

func (d *decoder) uint() uint64 {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		if d.s == "" {
			break
		}
		c := d.s[0]
		d.s = d.s[1:]
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	d.bad = true
	d.s = ""
	return 0
}

func (d *decoder) int() int64 {
	n := d.uint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) string() string {
	n := d.uint()
	if n > uint64(len(d.s)) {
		d.bad = true
		d.s = ""
		return ""
	}
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

// count is a length that the rest of the value can hold.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.s)) {
		d.bad = true
		d.s = ""
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
		d.spare = make([]Range, max(n, d.left))
	}
	rs := d.spare[:n:n]
	d.spare = d.spare[n:]
	for i := range rs {
		rs[i] = Range{d.string(), d.string(), d.string(), d.string()}
	}
	return rs
}

func (d *decoder) err() error {
	if d.bad || d.s != "" {
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

func (d *decoder) affected() Affected {
	return Affected{
		ID:       d.string(),
		Ranges:   d.ranges(),
		Custom:   d.ranges(),
		Versions: d.strings(),
		Stream:   d.string(),
		State:    State(d.uint()),
		Advisory: d.string(),
		Note:     d.string(),
		Source:   d.string(),
		Severity: d.string(),
		Score:    d.fixed(1),
		Vector:   d.string(),
	}
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
