package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"sync"
)

// heldVuls are the advisories that concern something in a project at one
// revision of the fleet, by id. They are made from what ranks knows; documents
// (VEX) are not heard.
type heldVuls struct {
	revision, changes int64
	list              []heldVul
	handled           *handledSet
	mu                sync.Mutex
	uses              map[vulQuestion]vulUse // what was counted
	lists             map[vulListKey][]vulRow
}

// A heldVul is an advisory with its findings of packages that images have.
type heldVul struct {
	*vulFact
	findings []findingFact
	parts    [][]int64 // that have the package of each
}

// A vulUse counts the images that have an advisory, and those of them in which it
// is open. The times are those of the latest scans of the open and the others.
type vulUse struct{ images, open, scannedOpen, scannedHandled int64 }

// is narrows a use to what is handled, or open; nil for both.
func (u vulUse) is(handled *bool) (images, open, scanned int64) {
	switch {
	case handled == nil:
		return u.images, u.open, max(u.scannedOpen, u.scannedHandled)
	case *handled:
		return u.images - u.open, 0, u.scannedHandled
	default:
		return u.open, u.open, u.scannedOpen
	}
}

// A vulQuestion is which images have findings of some type and severities.
type vulQuestion struct {
	vul        int64
	typ        string
	severities string
}

func newHeldVuls(revision, changes int64, handled *handledSet, list []heldVul) *heldVuls {
	return &heldVuls{revision: revision, changes: changes, list: list, handled: handled, uses: map[vulQuestion]vulUse{}, lists: map[vulListKey][]vulRow{}}
}

// heldVuls are those of a project in the view of a transaction.
func (s *Store) heldVuls(ctx context.Context, tx *sql.Tx, project string, revision int64) (*heldVuls, error) {
	g, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer g.Release()
	now, revised, err := readMatchState(ctx, tx)
	if err != nil {
		return nil, err
	}
	r := &s.ranks
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := s.refreshRanks(ctx, tx, g, now); err != nil {
		return nil, err
	}
	handled, err := s.handledSet(ctx, tx, revised)
	if err != nil {
		return nil, err
	}
	h := r.held[project]
	if h != nil && h.changes == r.changes && h.revision == r.revision && (revision == h.revision || revision == anyRevision) {
		if h.handled != handled {
			h = newHeldVuls(h.revision, h.changes, handled, h.list)
			r.held[project] = h
		}
		return h, nil
	}
	h = newHeldVuls(r.revision, r.changes, handled, nil)
	err = s.index.view(revision, func() {
		number, ok := s.index.projects[project]
		if !ok {
			return
		}
		held := map[int64]bool{} // packages
		for pkg, parts := range r.partsOf {
			held[pkg] = slices.ContainsFunc(parts, func(p int64) bool {
				return slices.ContainsFunc(s.index.parts[p], func(at int32) bool { o := &s.index.slots[at]; return o.project == number && o.images > 0 })
			})
		}
		for _, v := range r.vuls {
			one := heldVul{vulFact: v}
			for _, f := range v.findings {
				if held[f.pkg] {
					one.findings = append(one.findings, f)
					one.parts = append(one.parts, r.partsOf[f.pkg])
				}
			}
			if len(one.findings) > 0 {
				h.list = append(h.list, one)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(h.list, func(a, b heldVul) int { return strings.Compare(a.advisory, b.advisory) })
	if r.held == nil {
		r.held = map[string]*heldVuls{}
	}
	r.held[project] = h
	return h, nil
}

// find is an advisory by its id, nil if it concerns nothing.
func (h *heldVuls) find(advisory string) *heldVul {
	i, ok := slices.BinarySearchFunc(h.list, text(advisory), func(v heldVul, id string) int { return strings.Compare(v.advisory, id) })
	if !ok {
		return nil
	}
	return &h.list[i]
}

// findingHolds reports whether a finding is of the type and the severities.
func (f VulFilter) findingHolds(x findingFact) bool {
	return (f.Type == "" || x.app == (f.Type == VulApp) && (f.Type == VulApp || f.Type == VulLinux)) &&
		(f.Severities == nil || slices.Contains(f.Severities, x.severity))
}

// vulHolds reports whether an advisory has the parts of its id and of a CVE.
func (f VulFilter) vulHolds(v *heldVul) bool {
	return strings.Contains(v.advisory, f.ID) && strings.Contains(v.advisory, f.Name) &&
		(f.CVE == "" || slices.ContainsFunc(v.cves, func(cve string) bool { return strings.Contains(cve, f.CVE) }))
}

// inMemory reports whether heldVuls can answer by a filter.
func (s *Store) inMemory(f VulFilter) bool { return f.App == "" && s.cfg.Advisories != nil }

const sqlPageVuls = `SELECT v.id, v.score, v.summary, v.url FROM vulnerability v WHERE v.id IN {in}`
const sqlPageVulCVEs = `SELECT e.vul_id, e.cve_id, e.score, e.published, e.description FROM vulnerability_cve e WHERE e.vul_id IN {in} ORDER BY e.vul_id, e.cve_id`

// page lists advisories as Store.Vulnerabilities does, without what the database
// says of them.
func (h *heldVuls) page(x *index, project string, revision int64, f VulFilter, p Page) (out []Vulnerability, ids []int64, total int64, err error) {
	f.ID, f.Name, f.CVE = text(f.ID), text(f.Name), text(f.CVE)
	rows, err := h.rows(x, project, revision, f)
	if err != nil {
		return nil, nil, 0, err
	}
	rows, total = PageOf(rows, p)
	for _, row := range rows {
		v := &h.list[row.at]
		u, err := h.use(x, project, revision, v, f)
		if err != nil {
			return nil, nil, 0, err
		}
		one := Vulnerability{ID: v.advisory, Type: VulLinux, Severity: int64(row.severity), Fixable: row.fixable}
		if row.app {
			one.Type = VulApp
		}
		one.ImageNum, one.OpenNum, one.ScanTime = u.is(f.Handled)
		out, ids = append(out, one), append(ids, v.id)
	}
	return out, ids, total, nil
}

// somewhere reports whether an advisory is handled, or open, in an image, as the
// filter asks. Most are handled nowhere.
func (h *heldVuls) somewhere(x *index, project string, revision int64, v *heldVul, f VulFilter) (bool, error) {
	switch {
	case f.Handled == nil:
		return true, nil
	case h.handled.nowhere(v.id):
		return !*f.Handled, nil
	}
	u, err := h.use(x, project, revision, v, f)
	images, _, _ := u.is(f.Handled)
	return images > 0, err
}

// use counts the images with a finding that the filter selects, once.
func (h *heldVuls) use(x *index, project string, revision int64, v *heldVul, f VulFilter) (u vulUse, err error) {
	q := vulQuestion{v.id, f.Type, f.severities()}
	h.mu.Lock()
	u, ok := h.uses[q]
	h.mu.Unlock()
	if ok {
		return u, nil
	}
	err = x.view(revision, func() {
		x.having(project, v.partsWith(f), nil, func(s *slot) {
			u.images += int64(s.images)
			if h.handled.has(project, s.content, v.id) {
				u.scannedHandled = max(u.scannedHandled, s.scanned)
				return
			}
			u.open += int64(s.images)
			u.scannedOpen = max(u.scannedOpen, s.scanned)
		})
	})
	if err == nil {
		h.mu.Lock()
		h.uses[q] = u
		h.mu.Unlock()
	}
	return u, err
}

// partsWith are the parts with a finding that the filter selects.
func (v *heldVul) partsWith(f VulFilter) func(yield func(int64) bool) {
	return func(yield func(int64) bool) {
		for i, x := range v.findings {
			if !f.findingHolds(x) {
				continue
			}
			for _, p := range v.parts[i] {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// vulnerabilitiesHeld is Store.Vulnerabilities from memory.
func (s *Store) vulnerabilitiesHeld(ctx context.Context, project string, f VulFilter, p Page) (out []Vulnerability, total int64, err error) {
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		h, err := s.heldVuls(ctx, tx, project, revision)
		if err != nil {
			return err
		}
		var ids []int64
		if out, ids, total, err = h.page(&s.index, project, revision, f, p); err != nil {
			return err
		}
		at := map[int64]*Vulnerability{}
		for i, id := range ids {
			at[id] = &out[i]
		}
		err = eachIn(ctx, tx, sqlPageVuls, ids, func(r *sql.Rows) error {
			var id, score int64
			var summary, url string
			err := r.Scan(&id, &score, &summary, &url)
			if v := at[id]; v != nil {
				v.Score, v.Summary, v.URL = float64(score)/10, summary, url
			}
			return err
		})
		if err != nil {
			return err
		}
		return eachIn(ctx, tx, sqlPageVulCVEs, ids, func(r *sql.Rows) error {
			var id, score int64
			var c VulCVE
			err := r.Scan(&id, &c.ID, &score, &c.Published, &c.Description)
			c.Score = float64(score) / 10
			if v := at[id]; v != nil {
				v.CVEs = append(v.CVEs, c)
			}
			return err
		})
	})
	return out, total, err
}

const sqlPageAffected = `SELECT i.id, i.name, i.version, c.config_digest, i.size, c.latest_scan_time, c.first_scan_time,
(SELECT COUNT(*) FROM container k WHERE k.image_id = i.id), COALESCE((SELECT MIN(h.agent_id) FROM image_host h WHERE h.image_id = i.id), '')
FROM image i CROSS JOIN content c WHERE c.id = i.content_id AND i.id IN {in}`

// affectedHeld is Store.Affected from memory.
func (s *Store) affectedHeld(ctx context.Context, project, advisory string, f AffectedFilter, p Page) (out []Affected, total int64, err error) {
	of := VulFilter{Type: f.Type, Severities: f.Severities}
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		out, total = nil, 0
		h, err := s.heldVuls(ctx, tx, project, revision)
		if err != nil {
			return err
		}
		v := h.find(advisory)
		if v == nil {
			return nil
		}
		concerned := newBitmap(0)
		err = s.index.view(revision, func() {
			concerned = newBitmap(len(s.index.slots))
			s.index.having(project, v.partsWith(of), nil, func(o *slot) {
				if f.Handled == nil || *f.Handled == h.handled.has(project, o.content, v.id) {
					concerned.set(s.index.byID[o.content])
				}
			})
		})
		if err != nil {
			return err
		}
		id := text(f.ImageID)
		page, n, err := s.index.images(project, revision, p, ImageSelector{Name: text(f.Name)}, func(m *picture, _ *slot) bool {
			return concerned.has(m.slot) && (id == "" || m.id == id)
		})
		if err != nil {
			return err
		}
		total = n
		contents := make([]int64, len(page))
		contentOf := map[string]int64{}
		for i, m := range page {
			contents[i], contentOf[m.id] = m.content, m.content
		}
		worst := v.worstIn(s.index.partsOf(contents), of)
		out, err = inOrder(ctx, tx, sqlPageAffected, imagesOf(page), func(r *sql.Rows) (string, Affected, error) {
			var a Affected
			var first int64
			err := r.Scan(&a.ImageID, &a.Name, &a.Version, &a.ConfigDigest, &a.Size, &a.ScanTime, &first, &a.ContainerNum, &a.AgentID)
			x := worst[contentOf[a.ImageID]]
			a.Severity, a.FirstSeen = x.severity, max(x.seen, first)
			return a.ImageID, a, err
		})
		return err
	})
	return out, total, err
}

// worstOfParts is the worst severity and the first sight of the findings in each
// part.
func (v *heldVul) worstOfParts(f VulFilter) map[int64]findingFact {
	out := map[int64]findingFact{}
	for i, x := range v.findings {
		if !f.findingHolds(x) {
			continue
		}
		for _, p := range v.parts[i] {
			worst := x
			if w, ok := out[p]; ok {
				worst.severity, worst.seen = max(w.severity, x.severity), min(w.seen, x.seen)
			}
			out[p] = worst
		}
	}
	return out
}

// worstIn is the worst severity and the first sight of the findings in some
// contents, of which the parts are given.
func (v *heldVul) worstIn(partsOf map[int64][]int64, f VulFilter) map[int64]findingFact {
	contents := map[int64][]int64{} // by part
	for content, parts := range partsOf {
		for _, p := range parts {
			contents[p] = append(contents[p], content)
		}
	}
	out := map[int64]findingFact{}
	for i, x := range v.findings {
		if !f.findingHolds(x) {
			continue
		}
		for _, p := range v.parts[i] {
			for _, content := range contents[p] {
				w, ok := out[content]
				if !ok {
					out[content] = x
					continue
				}
				w.severity, w.seen = max(w.severity, x.severity), min(w.seen, x.seen)
				out[content] = w
			}
		}
	}
	return out
}
