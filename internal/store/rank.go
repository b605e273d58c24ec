package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// A Ranked is one advisory that concerns something in a project.
type Ranked struct {
	ID           string
	CVEs         []string
	Summary, URL string
	// Severity is the worst report.SeverityRank of its findings, Score the
	// CVSS base score, 0 if there is none.
	Severity int64
	Score    float64
	// Exploits is the worst of the CVEs.
	Exploits Exploits
	// Fixable says that a package has a fixed version.
	Fixable bool
	// Images, Hosts and Containers (running) have a finding that stands;
	// Suppressed is the number of images in which VEX documents set all of
	// its findings aside.
	Images, Hosts, Containers, Suppressed int64
	// Judgements are what the documents say, at most maxJudgements.
	Judgements []report.Judgement
	// Priority is the highest report.PriorityOf of the findings that stand;
	// if none does, of all.
	Priority int

	packages []int64
	except   map[int64]bool // contents in which nothing of it stands
}

// Orders of a list of vulnerabilities. All but OrderID are from the highest.
const (
	OrderPriority = "priority"
	OrderSeverity = "severity"
	OrderEPSS     = "epss"
	OrderImages   = "image_num"
	OrderID       = "id"
)

// RankFilter selects vulnerabilities; the zero value all that stand somewhere.
type RankFilter struct {
	Severities []int64 // report.SeverityRanks, nil for all
	// Exploited, Fixable and Running select those that are, nil all.
	Exploited, Fixable, Running *bool
	// Suppressed adds those that stand nowhere.
	Suppressed bool
}

func (f RankFilter) holds(r *Ranked) bool {
	is := func(want *bool, have bool) bool { return want == nil || *want == have }
	return (f.Suppressed || r.Images > 0) && (f.Severities == nil || slices.Contains(f.Severities, r.Severity)) &&
		is(f.Exploited, r.Exploits.Known) && is(f.Fixable, r.Fixable) && is(f.Running, r.Containers > 0)
}

// ranks keep in memory what is found in the packages of the fleet, and what
// each project makes of it. They follow the re-matches, the generation, the
// index and the documents; nothing of them is stored.
type ranks struct {
	mu         sync.Mutex
	state      matchState
	generation string
	vuls       map[int64]*vulFact
	partsOf    map[int64][]int64 // of packages with findings
	parts      map[int64]bool    // that were read
	revision   int64             // of the index when they were
	lists      map[string]*rankList
	together   map[string]*rankList
	held       map[string]*heldVuls
	changes    int64 // of what is above
}

// A matchState is different after every batch of a re-match: a batch takes the
// first packages off the queue.
type matchState struct {
	generation, state              string
	total, changed, started, ended int64
	next                           int64
}

// A rankList is what one project had at one moment, or some had together. It does
// not change, apart from what is counted late.
type rankList struct {
	project  string
	revision int64
	version  string // of the documents
	all      []Ranked
	of       []*rankList // that it was put together from, nil for one project
	places   [][]rankPlace
	mu       sync.Mutex
	hosts    map[int]int64
	orders   map[string][]int32
}

const (
	sqlMatchState = `SELECT m.generation, m.state, m.total, m.changed, m.started_at, m.ended_at, COALESCE((SELECT MIN(q.package_id) FROM rematch_queue q), 0), m.handled_revision FROM matching m WHERE m.id = 1`
	sqlRankParts  = `SELECT DISTINCT pp.package_id, pp.part_id FROM (SELECT DISTINCT f.package_id FROM finding f) t CROSS JOIN part_package pp WHERE pp.package_id = t.package_id AND pp.counted = 1`
	sqlRankHeld   = `SELECT pt.id FROM part pt`
	sqlPartsHeld  = `SELECT pt.id FROM part pt WHERE pt.id IN {in}`
	sqlPartCounts = `SELECT DISTINCT pp.package_id, pp.part_id FROM part_package pp WHERE pp.part_id IN {in} AND pp.counted = 1`
	sqlVulsIn     = `SELECT f.vul_id, f.package_id, f.severity, f.fix_state, f.vul_type, f.first_seen FROM finding f WHERE f.package_id IN {in}`
)

// Ranked lists the advisories that concern something in some projects, each once.
// total is of the list; suppressed is how many match the filter and stand nowhere,
// whether or not they are listed.
func (s *Store) Ranked(ctx context.Context, projects []string, f RankFilter, order string, p Page) (out []Ranked, total, suppressed int64, err error) {
	if !slices.Contains([]string{OrderPriority, OrderSeverity, OrderEPSS, OrderImages, OrderID}, order) {
		return nil, 0, 0, fault.New(fault.Invalid, "sort %q: want priority, severity, epss, image_num or id", order)
	}
	l, err := s.rankLists(ctx, projects)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("rank vulnerabilities: %w", err)
	}
	every := f
	every.Suppressed = true
	for _, at := range l.ordered(order) {
		r := &l.all[at]
		if !every.holds(r) {
			continue
		}
		if r.Images == 0 {
			suppressed++
		}
		if !f.holds(r) {
			continue
		}
		if total >= p.Offset && int64(len(out)) < p.Limit {
			one := *r
			one.Hosts = l.hostsOf(s, int(at))
			out = append(out, one)
		}
		total++
	}
	return out, total, suppressed, nil
}

// ordered are the numbers of all in an order.
func (l *rankList) ordered(order string) []int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.orders[order]; o != nil {
		return o
	}
	o := make([]int32, len(l.all))
	for i := range o {
		o[i] = int32(i)
	}
	slices.SortFunc(o, func(i, j int32) int {
		a, b := &l.all[i], &l.all[j]
		switch order {
		case OrderID:
			return cmp.Compare(a.ID, b.ID)
		case OrderSeverity:
			if c := cmp.Compare(b.Severity, a.Severity); c != 0 {
				return c
			}
		case OrderEPSS:
			if c := cmp.Compare(b.Exploits.EPSS, a.Exploits.EPSS); c != 0 {
				return c
			}
		case OrderImages:
			if c := cmp.Compare(b.Images, a.Images); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.Exploits.EPSS, a.Exploits.EPSS),
			cmp.Compare(b.Images, a.Images), cmp.Compare(a.ID, b.ID))
	})
	l.orders[order] = o
	return o
}

// hostsOf counts the hosts of one, once: that takes longer than the images, and
// is wanted for a page only.
func (l *rankList) hostsOf(s *Store, at int) (n int64) {
	if l.of != nil {
		for _, p := range l.places[at] {
			n += p.list.hostsOf(s, p.at)
		}
		return n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.hosts[at]
	if !ok {
		s.ranks.mu.Lock()
		parts := newHits()
		for _, pkg := range l.all[at].packages {
			for _, part := range s.ranks.partsOf[pkg] {
				parts.add(part, pkg)
			}
		}
		s.ranks.mu.Unlock()
		n = s.index.hosts(l.project, parts, l.all[at].except)
		l.hosts[at] = n
	}
	return n
}

// hosts counts the hosts that have one of some parts in other contents than
// those excepted.
func (x *index) hosts(project string, parts hits, except map[int64]bool) (n int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	agents := newBitmap(len(x.agents))
	x.having(project, maps.Keys(parts), except, func(s *slot) {
		for _, h := range s.hosts {
			if agents.set(h) {
				n++
			}
		}
	})
	return n
}

// rankList is that of a project, up to date.
func (s *Store) rankList(ctx context.Context, project string) (*rankList, error) {
	if err := s.index.refresh(ctx, s); err != nil {
		return nil, err
	}
	g, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer g.Release()
	r := &s.ranks
	r.mu.Lock()
	defer r.mu.Unlock()
	var out *rankList
	err = s.inView(ctx, func(tx *sql.Tx) error {
		now, _, err := readMatchState(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.refreshRanks(ctx, tx, g, now); err != nil {
			return err
		}
		d, err := s.docket(ctx, tx, project)
		if err != nil {
			return err
		}
		version := ""
		if d != nil {
			version = d.version
		}
		if out = r.lists[project]; out != nil && out.revision == r.revision && out.version == version {
			return nil
		}
		h, err := s.hear(ctx, tx, project, r.vuls)
		if err != nil {
			return err
		}
		defer h.close()
		out = &rankList{project: project, revision: r.revision, version: version, hosts: map[int]int64{}, orders: map[string][]int32{}}
		if out.all, err = s.rank(project, h); err != nil {
			return err
		}
		r.lists[project] = out
		return nil
	})
	return out, err
}

// readMatchState reads how far matching is, and the revision of what is handled.
func readMatchState(ctx context.Context, tx *sql.Tx) (now matchState, handled int64, err error) {
	err = tx.QueryRowContext(ctx, sqlMatchState).Scan(&now.generation, &now.state, &now.total, &now.changed, &now.started, &now.ended, &now.next, &handled)
	if err != nil {
		err = fmt.Errorf("read state of matching: %w", err)
	}
	return now, handled, err
}

// refreshRanks takes in what has changed: everything after a batch of a
// re-match and with a new generation, else the parts that are new.
func (s *Store) refreshRanks(ctx context.Context, tx *sql.Tx, g Generation, now matchState) error {
	r := &s.ranks
	if r.vuls != nil && r.state == now {
		if r.generation != g.ID {
			for _, v := range r.vuls {
				v.enrich(g)
			}
			r.generation, r.lists, r.together = g.ID, map[string]*rankList{}, nil
		}
		revision, parts := s.index.partsSince(r.revision)
		if r.revision == revision {
			return nil
		}
		// The index may be ahead of this view: its newest parts come with the
		// next one.
		var seen int64
		if err := tx.QueryRowContext(ctx, sqlRevision).Scan(&seen); err != nil {
			return fmt.Errorf("read revision: %w", err)
		}
		if err := r.addParts(ctx, tx, g, parts); err != nil {
			return err
		}
		r.revision = min(revision, seen)
		r.changes++
		return nil
	}
	var revision int64
	if err := tx.QueryRowContext(ctx, sqlRevision).Scan(&revision); err != nil {
		return fmt.Errorf("read revision: %w", err)
	}
	revision = min(revision, s.index.now())
	vuls, err := readVulFacts(ctx, tx, nil, g)
	if err != nil {
		return err
	}
	partsOf := map[int64][]int64{}
	err = each(ctx, tx, sqlRankParts, nil, func(rows *sql.Rows) error {
		var pkg, part int64
		err := rows.Scan(&pkg, &part)
		partsOf[pkg] = append(partsOf[pkg], part)
		return err
	})
	if err != nil {
		return fmt.Errorf("read places of findings: %w", err)
	}
	held := map[int64]bool{}
	if err := each(ctx, tx, sqlRankHeld, nil, scanPart(held)); err != nil {
		return fmt.Errorf("read parts: %w", err)
	}
	r.vuls, r.partsOf, r.parts, r.lists, r.together = vuls, partsOf, held, map[string]*rankList{}, nil
	r.state, r.generation, r.revision = now, g.ID, revision
	r.changes++
	return nil
}

// addParts reads the parts that scans have brought. A part does not change, and
// neither do the findings of a package but by a re-match.
func (r *ranks) addParts(ctx context.Context, tx *sql.Tx, g Generation, parts []int64) error {
	parts = slices.DeleteFunc(parts, func(p int64) bool { return r.parts[p] })
	if len(parts) == 0 {
		return nil
	}
	partsOf := map[int64][]int64{}
	var fresh []int64
	err := eachIn(ctx, tx, sqlPartCounts, parts, func(rows *sql.Rows) error {
		var pkg, part int64
		err := rows.Scan(&pkg, &part)
		if r.partsOf[pkg] == nil && partsOf[pkg] == nil {
			fresh = append(fresh, pkg)
		}
		partsOf[pkg] = append(partsOf[pkg], part)
		return err
	})
	if err != nil {
		return fmt.Errorf("read new parts: %w", err)
	}
	held := map[int64]bool{}
	if err := eachIn(ctx, tx, sqlPartsHeld, parts, scanPart(held)); err != nil {
		return fmt.Errorf("read new parts: %w", err)
	}
	found := map[int64][]findingFact{}
	has := map[int64]bool{}
	err = eachIn(ctx, tx, sqlVulsIn, fresh, func(rows *sql.Rows) error {
		vul, f, err := scanFindingFact(rows)
		found[vul] = append(found[vul], f)
		has[f.pkg] = true
		return err
	})
	if err != nil {
		return fmt.Errorf("read new findings: %w", err)
	}
	var unknown []int64
	for vul := range found {
		if r.vuls[vul] == nil {
			unknown = append(unknown, vul)
		}
	}
	slices.Sort(unknown)
	if len(unknown) > 0 {
		vuls, err := readVulFacts(ctx, tx, unknown, g)
		if err != nil {
			return err
		}
		maps.Copy(r.vuls, vuls)
	}
	for vul, list := range found {
		v := r.vuls[vul]
		if v == nil || slices.Contains(unknown, vul) {
			continue // it has all of its findings
		}
		v.findings = append(v.findings, list...)
		slices.SortFunc(v.findings, func(a, b findingFact) int { return cmp.Compare(a.pkg, b.pkg) })
		v.findings = slices.CompactFunc(v.findings, func(a, b findingFact) bool { return a.pkg == b.pkg })
	}
	for pkg, list := range partsOf {
		if r.partsOf[pkg] != nil || has[pkg] {
			r.partsOf[pkg] = append(r.partsOf[pkg], list...)
		}
	}
	maps.Copy(r.parts, held)
	return nil
}

// scanPart marks parts that are in the database. The index knows others as
// well, of contents that were forgotten; they may come back.
func scanPart(to map[int64]bool) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var part int64
		err := rows.Scan(&part)
		to[part] = true
		return err
	}
}

// rank makes the list of a project.
func (s *Store) rank(project string, h *hearing) ([]Ranked, error) {
	x := &s.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	number, ok := x.projects[project]
	if !ok {
		return nil, nil
	}
	t := newTally(x, number, h, s.ranks.partsOf)
	var out []Ranked
	for _, id := range slices.Sorted(maps.Keys(s.ranks.vuls)) {
		v := s.ranks.vuls[id]
		c, err := t.count(v)
		if err != nil {
			return nil, err
		}
		if c.images+c.suppressed == 0 {
			continue
		}
		one := Ranked{
			ID: v.advisory, CVEs: v.cves, Summary: v.summary, URL: v.url, Severity: c.severity, Score: v.score, Exploits: v.exploits, Fixable: c.fixed,
			Images: c.images, Containers: c.running, Suppressed: c.suppressed, Judgements: c.words, Priority: c.priority, except: c.except,
		}
		for _, f := range v.findings {
			if len(t.of(f.pkg).slots) > 0 {
				one.packages = append(one.packages, f.pkg)
			}
		}
		out = append(out, one)
	}
	return out, nil
}
