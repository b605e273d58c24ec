package store

import (
	"cmp"
	"slices"
)

// maxVulLists is how many lists of vulnerabilities are kept: some 160 kilobytes
// each for 20,000 advisories.
const maxVulLists = 64

// A vulRow is an advisory in a list, with what its findings say that a filter
// selects.
type vulRow struct {
	at       int32 // in heldVuls.list
	severity int8  // the worst
	fixable  bool
	app      bool // one is of VulApp
}

// A vulListKey is what a list of vulnerabilities was asked for.
type vulListKey struct {
	id, name, cve    string
	typ, severities  string
	handled, decided bool
}

func (f VulFilter) key() vulListKey {
	k := vulListKey{id: f.ID, name: f.Name, cve: f.CVE, typ: f.Type, severities: f.severities(), decided: f.Handled != nil}
	k.handled = k.decided && *f.Handled
	return k
}

// severities are those of the filter as a text.
func (f VulFilter) severities() (out string) {
	for _, n := range f.Severities {
		out += string(rune('0' + n))
	}
	if f.Severities != nil {
		out += "." // none is not all
	}
	return out
}

// rows are the advisories that a filter selects, the worst first, and by id among
// those alike. They are found once for each filter.
func (h *heldVuls) rows(x *index, project string, revision int64, f VulFilter) ([]vulRow, error) {
	k := f.key()
	h.mu.Lock()
	rows, ok := h.lists[k]
	h.mu.Unlock()
	if ok {
		return rows, nil
	}
	var err error
	if wider := (VulFilter{Type: f.Type, Severities: f.Severities}); k == wider.key() {
		rows = h.found(f)
	} else {
		if rows, err = h.rows(x, project, revision, wider); err != nil {
			return nil, err
		}
		if rows, err = h.narrow(x, project, revision, rows, f); err != nil {
			return nil, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lists) >= maxVulLists {
		clear(h.lists)
	}
	h.lists[k] = rows
	return rows, nil
}

// found are the rows of all advisories with a finding that the filter selects.
func (h *heldVuls) found(f VulFilter) (rows []vulRow) {
	for at := range h.list {
		row := vulRow{at: int32(at), severity: -1}
		for _, x := range h.list[at].findings {
			if f.findingHolds(x) {
				row.severity, row.fixable, row.app = max(row.severity, int8(x.severity)), row.fixable || x.fixed, row.app || x.app
			}
		}
		if row.severity >= 0 {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b vulRow) int { return cmp.Compare(b.severity, a.severity) })
	return rows
}

// narrow leaves the rows of which the advisory is what a filter asks for.
func (h *heldVuls) narrow(x *index, project string, revision int64, rows []vulRow, f VulFilter) (out []vulRow, err error) {
	for _, row := range rows {
		v := &h.list[row.at]
		if !f.vulHolds(v) {
			continue
		}
		if is, err := h.somewhere(x, project, revision, v, f); err != nil {
			return nil, err
		} else if is {
			out = append(out, row)
		}
	}
	return out, nil
}
