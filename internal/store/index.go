package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"sync"
)

// maxRevised is how many contents an index takes in one by one; if more have
// changed it reads all of them, which is quicker then.
const maxRevised = 5_000

// An index keeps in memory who has what: the contents of each part, the images,
// hosts and containers of each content, and in short what its checks have found
// (see facts). With it the question which hosts are concerned is one pass over
// small numbers, however many there are, and so is a page far down a list of
// images; in SQL they are a join, or a sort, of the whole fleet. It follows the
// database by the revisions of contents, so that other processes may write as
// well: whatever changes something that is kept here gives its content a new
// one. The zero value is empty; it is safe for concurrent use.
//
// An image with its content takes about 600 bytes.
type index struct {
	refreshing sync.Mutex // held by the one refresh that runs

	mu       sync.RWMutex
	loaded   bool
	revision int64
	slots    []slot
	byID     map[int64]int32 // content id to its slot
	parts    map[int64][]int32
	projects map[string]int32
	agents   []string // by their numbers
	agentNum map[string]int32
	albums   map[int32][]*picture // of each project, in the order of lists
	titles   map[int32][]title    // of the albums
	words    map[string]string    // one copy of each

	baselines numbering[int64]  // ids
	risks     numbering[string] // ids of rules
}

// A slot is one content.
type slot struct {
	content int64
	project int32
	images  int32
	running int32 // containers
	files   int8  // content.files
	apps    int32 // places of installed software
	parts   []int64
	hosts   []int32 // numbers of agents
	facts
	pictures []*picture
}

const (
	sqlRevision       = `SELECT revision FROM matching WHERE id = 1`
	sqlRevised        = `SELECT c.id, c.project_id, c.files, c.app_num, c.scan_status, c.severity_level, c.latest_scan_time, c.vul_num FROM content c WHERE c.revision > $1 ORDER BY c.revision LIMIT $2`
	sqlIndexContents  = `SELECT id, project_id, files, app_num, scan_status, severity_level, latest_scan_time, vul_num FROM content`
	sqlIndexParts     = `SELECT content_id, part_id FROM content_part {which}`
	sqlIndexHosts     = `SELECT DISTINCT content_id, h.agent_id FROM image i JOIN image_host h ON h.image_id = i.id {which}`
	sqlIndexContainer = `SELECT t.content_id, COUNT(*) FROM (SELECT DISTINCT content_id, k.agent_id, k.engine, k.container_id FROM image i JOIN container k ON k.image_id = i.id AND k.running = 1 {which}) t GROUP BY t.content_id`
)

// refresh takes in what has changed since the last time.
func (x *index) refresh(ctx context.Context, s *Store) error {
	var revision int64
	if err := s.read.QueryRowContext(ctx, sqlRevision).Scan(&revision); err != nil {
		return fmt.Errorf("read revision: %w", err)
	}
	if x.at(revision) {
		return nil
	}
	return s.inView(ctx, func(tx *sql.Tx) error {
		_, err := x.follow(ctx, tx)
		return err
	})
}

// follow takes in what has changed until the view of the database that a
// transaction has, and returns its revision.
func (x *index) follow(ctx context.Context, tx *sql.Tx) (revision int64, err error) {
	if err := tx.QueryRowContext(ctx, sqlRevision).Scan(&revision); err != nil {
		return 0, fmt.Errorf("read revision: %w", err)
	}
	if x.at(revision) {
		return revision, nil
	}
	x.refreshing.Lock()
	defer x.refreshing.Unlock()
	if x.loaded && x.now() >= revision {
		return revision, nil
	}
	whole := !x.loaded
	var changed []slot
	var names []string // of projects
	if !whole {
		err := each(ctx, tx, sqlRevised, []any{x.revision, maxRevised + 1}, scanContent(&changed, &names))
		if err != nil {
			return 0, fmt.Errorf("read changed contents: %w", err)
		}
		whole = len(changed) > maxRevised
	}
	if whole {
		changed, names = nil, nil
		if err := each(ctx, tx, sqlIndexContents, nil, scanContent(&changed, &names)); err != nil {
			return 0, fmt.Errorf("read contents: %w", err)
		}
	}
	hosts, pictures, err := x.readSlots(ctx, tx, changed, whole)
	if err != nil {
		return 0, fmt.Errorf("read fleet: %w", err)
	}
	x.take(changed, names, hosts, pictures, whole, revision)
	return revision, nil
}

// which puts a condition into a query.
func which(query, condition string) string { return strings.Replace(query, "{which}", condition, 1) }

func (x *index) at(revision int64) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.loaded && x.revision == revision
}

func scanContent(to *[]slot, projects *[]string) func(*sql.Rows) error {
	return func(r *sql.Rows) error {
		s := slot{facts: noFacts}
		var project string
		var vuls int64
		err := r.Scan(&s.content, &project, &s.files, &s.apps, &s.status, &s.level, &s.scanned, &vuls)
		s.hasVul = vuls > 0
		*to, *projects = append(*to, s), append(*projects, project)
		return err
	}
}

// take makes changed contents part of the index.
func (x *index) take(changed []slot, projects []string, hosts [][]string, pictures [][]*picture, whole bool, revision int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if whole {
		x.albums, x.titles, x.words = map[int32][]*picture{}, map[int32][]title{}, map[string]string{}
		x.slots, x.byID, x.parts = nil, make(map[int64]int32, len(changed)), map[int64][]int32{}
		x.projects, x.agents, x.agentNum = map[string]int32{}, nil, map[string]int32{}
		inListOrder(changed, projects, hosts, pictures)
	}
	for i, c := range changed {
		n, ok := x.projects[projects[i]]
		if !ok {
			n = int32(len(x.projects))
			x.projects[projects[i]] = n
		}
		c.project = n
		for _, agent := range hosts[i] {
			n, ok := x.agentNum[agent]
			if !ok {
				n = int32(len(x.agents))
				x.agents = append(x.agents, agent)
				x.agentNum[agent] = n
			}
			c.hosts = append(c.hosts, n)
		}
		at, ok := x.byID[c.content]
		if !ok {
			at = int32(len(x.slots))
			x.byID[c.content] = at
			x.slots = append(x.slots, slot{})
		}
		c.pictures = pictures[i]
		x.share(&c, pictures[i])
		for _, p := range pictures[i] {
			p.slot = at
		}
		for _, p := range x.slots[at].parts {
			if !slices.Contains(c.parts, p) {
				x.parts[p] = slices.DeleteFunc(x.parts[p], func(s int32) bool { return s == at })
				if len(x.parts[p]) == 0 {
					delete(x.parts, p)
				}
			}
		}
		for _, p := range c.parts {
			if !slices.Contains(x.slots[at].parts, p) {
				x.parts[p] = append(x.parts[p], at)
			}
		}
		x.slots[at] = c
	}
	x.paste(changed, pictures)
	x.revision, x.loaded = revision, true
}

// any reports whether someone in a project has one of some parts.
func (x *index) any(project string, parts hits) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	number, ok := x.projects[project]
	if !ok {
		return false
	}
	for p := range parts {
		if slices.ContainsFunc(x.parts[p], func(at int32) bool { return x.slots[at].project == number && x.slots[at].images > 0 }) {
			return true
		}
	}
	return false
}

// partsOf are the parts of some contents.
func (x *index) partsOf(contents []int64) map[int64][]int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := map[int64][]int64{}
	for _, c := range contents {
		if at, ok := x.byID[c]; ok {
			out[c] = x.slots[at].parts
		}
	}
	return out
}

// holders is who has one of some parts.
type holders struct {
	Images, Hosts, Containers int64
	contents                  []weighed // by id
	agents                    []string  // sorted
}

// weighed is a content with its numbers of images and running containers.
type weighed struct {
	id              int64
	images, running int64
}

// now is the revision that the index follows.
func (x *index) now() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.revision
}

// partsSince are all parts, unless the revision is still that one; they are nil
// then.
func (x *index) partsSince(revision int64) (now int64, parts []int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.revision == revision {
		return revision, nil
	}
	return x.revision, slices.Collect(maps.Keys(x.parts))
}

// each calls do once for each content of a project, but for those that no host
// has any more. The caller holds the lock.
func (x *index) each(project string, do func(*slot)) {
	number, ok := x.projects[project]
	if !ok {
		return
	}
	for i := range x.slots {
		if s := &x.slots[i]; s.project == number && s.images > 0 {
			do(s)
		}
	}
}

// having is like each for the contents that have one of some parts, but for those
// that are excepted.
func (x *index) having(project string, parts iter.Seq[int64], except map[int64]bool, do func(*slot)) {
	number, ok := x.projects[project]
	if !ok {
		return
	}
	seen := newBitmap(len(x.slots))
	for p := range parts {
		for _, at := range x.parts[p] {
			if s := &x.slots[at]; s.project == number && s.images > 0 && !except[s.content] && seen.set(at) {
				do(s)
			}
		}
	}
}

// holders finds who in a project has one of some parts. Contents that no host
// has any more do not count, nor do those that are excepted.
func (x *index) holders(project string, parts hits, except map[int64]bool) holders {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out holders
	agents := newBitmap(len(x.agents))
	x.having(project, maps.Keys(parts), except, func(s *slot) {
		out.Images += int64(s.images)
		out.Containers += int64(s.running)
		out.contents = append(out.contents, weighed{s.content, int64(s.images), int64(s.running)})
		for _, h := range s.hosts {
			if agents.set(h) {
				out.Hosts++
			}
		}
	})
	slices.SortFunc(out.contents, func(a, b weighed) int {
		switch {
		case a.id < b.id:
			return -1
		case a.id > b.id:
			return 1
		}
		return 0
	})
	out.agents = make([]string, 0, out.Hosts)
	agents.each(func(n int) { out.agents = append(out.agents, x.agents[n]) })
	slices.Sort(out.agents)
	return out
}

// slice finds the contents that hold a page of images, or of containers, and
// how many of theirs come before it.
func (h holders) slice(p Page, weight func(weighed) int64) (ids []int64, skip int64) {
	at := int64(0)
	for _, c := range h.contents {
		n := weight(c)
		if n == 0 {
			continue
		}
		if at+n > p.Offset && at < p.Offset+p.Limit {
			if len(ids) == 0 {
				skip = p.Offset - at
			}
			ids = append(ids, c.id)
		}
		at += n
	}
	return ids, skip
}

// A bitmap is a set of small numbers.
type bitmap []uint64

func newBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

// set adds n and reports whether it was not there.
func (b bitmap) set(n int32) bool {
	w, m := &b[n/64], uint64(1)<<(n%64)
	if *w&m != 0 {
		return false
	}
	*w |= m
	return true
}

func (b bitmap) has(n int32) bool { return b[n/64]&(1<<(n%64)) != 0 }

// cut is a page of the numbers in the set, and how many there are.
func (b bitmap) cut(p Page) (page []int, total int64) {
	for i, w := range b {
		n := int64(bits.OnesCount64(w))
		for ; w != 0 && total+n > p.Offset && int64(len(page)) < p.Limit; w &= w - 1 {
			if total >= p.Offset {
				page = append(page, i*64+bits.TrailingZeros64(w))
			}
			total++
			n--
		}
		total += n
	}
	return page, total
}

func (b bitmap) each(do func(n int)) {
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			do(i*64 + bits.TrailingZeros64(w))
		}
	}
}
