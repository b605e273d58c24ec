package advisory

import (
	"slices"

	"github.com/onceover/onceover/internal/version"
)

// An event of an OSV range; exactly one field is set.
type event struct {
	Introduced   string `json:"introduced"`
	Fixed        string `json:"fixed"`
	LastAffected string `json:"last_affected"`
	Limit        string `json:"limit"`
}

func (e event) version() string {
	switch {
	case e.Introduced != "":
		return e.Introduced
	case e.Fixed != "":
		return e.Fixed
	case e.LastAffected != "":
		return e.LastAffected
	default:
		return e.Limit
	}
}

// split turns the events of one range into intervals, as the evaluation
// algorithm of the OSV schema reads them: sorted by version, each introduction
// opens an interval that the next end closes. Events whose versions cannot be
// compared make err.
//
// At one version an end acts first if an interval is open ("fixed 1.0,
// introduced 1.0" has a version 1.0 that is affected again), and an
// introduction first if none is: "introduced 0, fixed 0" is how Alpine says
// that nothing was ever affected.
func split(ecosystem string, events []event) ([]Range, error) {
	events = slices.Clone(events)
	events = slices.DeleteFunc(events, func(e event) bool { return e.version() == "" || e.Limit == "*" })
	var failed error
	for _, e := range events {
		if _, err := version.Compare(ecosystem, e.version(), "0"); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(events, func(a, b event) int {
		c, err := compareFromZero(ecosystem, a.version(), b.version())
		if err != nil {
			failed = err
		}
		return c
	})
	if failed != nil {
		return nil, failed
	}
	var out []Range
	open := false
	var cur Range
	for len(events) > 0 {
		same := 1
		for same < len(events) {
			c, err := compareFromZero(ecosystem, events[0].version(), events[same].version())
			if err != nil {
				return nil, err
			}
			if c != 0 {
				break
			}
			same++
		}
		var opens *event
		var closes *event
		for i := range events[:same] {
			if e := &events[i]; e.Introduced != "" {
				opens = e
			} else if closes == nil || closes.Fixed == "" {
				closes = e
			}
		}
		wasOpen := open
		if open && closes != nil {
			cur.Fixed, cur.LastAffected, cur.Limit = closes.Fixed, closes.LastAffected, closes.Limit
			out = append(out, cur)
			open = false
		}
		if opens != nil && !open {
			cur, open = Range{Introduced: opens.Introduced}, true
			if closes != nil && !wasOpen {
				if closes.LastAffected != "" { // exactly this one version
					cur.LastAffected = closes.LastAffected
					out = append(out, cur)
				}
				open = false
			}
		}
		events = events[same:]
	}
	if open {
		out = append(out, cur)
	}
	return out, nil
}

// compareFromZero compares versions where "0" is before everything, which is
// its meaning in OSV events whatever the ecosystem's rules make of it.
func compareFromZero(ecosystem, a, b string) (int, error) {
	switch {
	case a == b:
		return 0, nil
	case a == "0":
		return -1, nil
	case b == "0":
		return 1, nil
	}
	return version.Compare(ecosystem, version.Normal(ecosystem, a), version.Normal(ecosystem, b))
}

// Contains reports whether v lies in r, and the comparison that decided: the
// one with the end of the range if v is after its start.
func (r Range) Contains(ecosystem, v string) (in bool, decided string, err error) {
	c, err := compareFromZero(ecosystem, v, r.Introduced)
	if err != nil {
		return false, "", err
	}
	if c < 0 && r.Introduced != "0" {
		return false, v + " < " + r.Introduced, nil
	}
	end := r.Fixed
	if end == "" {
		end = r.Limit
	}
	if end != "" {
		c, err := compareFromZero(ecosystem, v, end)
		if err != nil {
			return false, "", err
		}
		if c < 0 {
			return true, v + " < " + end, nil
		}
		return false, v + " >= " + end, nil
	}
	if r.LastAffected != "" {
		c, err := compareFromZero(ecosystem, v, r.LastAffected)
		if err != nil {
			return false, "", err
		}
		if c <= 0 {
			return true, v + " <= " + r.LastAffected, nil
		}
		return false, v + " > " + r.LastAffected, nil
	}
	return true, v + " >= " + r.Introduced, nil
}
