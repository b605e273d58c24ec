package match

import (
	"fmt"
	"slices"
	"time"

	"github.com/onceover/onceover/internal/advisory"
)

// A Record is what one record of the database says of one package, for people.
type Record struct {
	// ID of the record, Ecosystem and Name under which it was found.
	ID        string `json:"id"`
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
	// Version that was compared: of the source package for deb and apk.
	Version string `json:"version"`
	// Source is the feed that the record is from, Licence its licence as an
	// SPDX identifier, and Date when the feed was last changed, RFC 3339;
	// empty if unknown.
	Source  string `json:"source"`
	Licence string `json:"licence,omitempty"`
	Date    string `json:"date,omitempty"`
	// Verdict is VerdictAffected, VerdictFixed, VerdictNotAffected,
	// VerdictUndetermined or VerdictOtherModule.
	Verdict string `json:"verdict"`
	// VetoedBy is the record that says that the package is not affected,
	// and that comes before this one.
	VetoedBy string  `json:"vetoed_by,omitempty"`
	Entries  []Entry `json:"entries"`
}

// An Entry is one statement of a record: a release or a module stream.
type Entry struct {
	// State is the distribution's word, "affected" for most.
	State  string `json:"state"`
	Note   string `json:"note,omitempty"`
	Stream string `json:"stream,omitempty"`
	// Advisory under which the fix was published.
	Advisory string `json:"advisory,omitempty"`
	// Steps are the comparisons in the order in which they were made.
	Steps   []Step `json:"steps"`
	Verdict string `json:"verdict"`
}

// A Step compares the version with one range.
type Step struct {
	// Range that was looked at: ">= 0, < 2.3-4".
	Range string `json:"range"`
	// Compared are the comparisons, all of them true: "2.3-1 < 2.3-4".
	Compared []string `json:"compared"`
	// Holds says whether the range holds the version.
	Holds bool `json:"holds"`
}

// A tracer is told what is decided about the records that it wants. A nil
// tracer wants all and keeps nothing.
type tracer struct {
	db      *advisory.DB
	ids     map[string]bool // of records
	notice  string          // of entries
	records []Record
	entries []Entry
	problem string
}

func (t *tracer) wants(entries []advisory.Affected) bool {
	if t == nil || t.ids[entries[0].ID] {
		return true
	}
	return slices.ContainsFunc(entries, func(a advisory.Affected) bool { return a.Advisory == t.notice })
}

func (t *tracer) unreadable(l lookup, err error) {
	if t != nil {
		t.problem = fmt.Sprintf("%s cannot read the version: %v", l.ecosystem, err)
	}
}

func (t *tracer) entry(a *advisory.Affected) {
	if t != nil {
		t.entries = append(t.entries, Entry{State: a.State.String(), Note: a.Note, Stream: a.Stream, Advisory: a.Advisory, Steps: []Step{}})
	}
}

func (t *tracer) end(v verdict) {
	if t != nil {
		t.entries[len(t.entries)-1].Verdict = v.String()
	}
}

func (t *tracer) compare(l lookup, r advisory.Range, in bool, decided string) {
	if t == nil {
		return
	}
	s := Step{Range: r.String(), Holds: in, Compared: []string{decided}}
	if r.Introduced != "0" && decided != l.version+" < "+r.Introduced && decided != l.version+" >= "+r.Introduced {
		s.Compared = []string{l.version + " >= " + r.Introduced, decided}
	}
	t.add(s)
}

// mended tells that the fix of the package's own minor release is installed.
func (t *tracer) mended(l lookup, entries []advisory.Affected) {
	if t == nil {
		return
	}
	for i := range entries {
		t.entry(&entries[i])
		// What cannot be compared leaves no step.
		_, _, _ = contains(l, &entries[i], t)
		t.end(fixed)
	}
	t.entries[len(t.entries)-1].Note = "the fix for its own minor release is installed"
}

func (t *tracer) listed(l lookup, in bool) {
	if t == nil {
		return
	}
	s := Step{Range: "versions listed one by one", Holds: in, Compared: []string{l.version + " is listed"}}
	if !in {
		s.Compared[0] = l.version + " is not listed"
	}
	t.add(s)
}

func (t *tracer) add(s Step) {
	e := &t.entries[len(t.entries)-1]
	e.Steps = append(e.Steps, s)
}

func (t *tracer) record(l lookup, entries []advisory.Affected, v verdict) {
	if t == nil {
		return
	}
	meta := t.db.Meta()
	r := Record{ID: entries[0].ID, Ecosystem: l.ecosystem, Name: l.name, Version: l.version, Source: entries[0].Source, Verdict: v.String(), Entries: t.entries}
	if r.Source == "" {
		r.Source = meta.Source
	}
	if f, ok := meta.Feeds[r.Source]; ok {
		r.Licence = f.Licence
		if f.Date > 0 {
			r.Date = time.UnixMilli(f.Date).UTC().Format(time.RFC3339)
		}
	}
	t.entries = nil
	t.records = append(t.records, r)
}

func (t *tracer) vetoed(id string, v veto) {
	if t == nil {
		return
	}
	for i := range t.records {
		if t.records[i].ID == id && t.records[i].Verdict == VerdictAffected {
			t.records[i].VetoedBy = v.id
		}
	}
}

// Verdicts of a record, and of a package.
const (
	VerdictAffected     = "affected"
	VerdictFixed        = "fixed"
	VerdictNotAffected  = "not-affected"
	VerdictUndetermined = "undetermined"
	VerdictOtherModule  = "other-module"
	// Of a package alone.
	VerdictSuppressed   = "suppressed"
	VerdictOwned        = "owned"
	VerdictDeclared     = "declared"
	VerdictNoVersion    = "no-version"
	VerdictBadVersion   = "unreadable-version"
	VerdictNoAdvisories = "no-advisories"
)

func (v verdict) String() string {
	return [...]string{fixed: VerdictFixed, affected: VerdictAffected, notAffected: VerdictNotAffected,
		undetermined: VerdictUndetermined, otherModule: VerdictOtherModule}[v]
}
