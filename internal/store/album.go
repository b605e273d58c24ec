package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
)

// A picture is what the index knows of one image: what lists sort and filter by.
type picture struct {
	slot       int32
	id         string
	name       string
	version    string
	kind       string // local_type
	size       int64
	updated    int64 // Unix milliseconds
	containers int32 // running or not
}

// compare is the order of lists of images: ORDER BY name, version, id.
func (p *picture) compare(o *picture) int {
	return cmp.Or(strings.Compare(p.name, o.name), strings.Compare(p.version, o.version), strings.Compare(p.id, o.id))
}

// maxWords is how many texts a fleet may have had that is gone.
const maxWords = 10_000

// share lets what many images have in common be one copy.
func (x *index) share(s *slot, pictures []*picture) {
	if len(x.words) > maxWords+4*len(x.byID) {
		x.words = map[string]string{} // most are of images that are gone
	}
	one := func(w *string) {
		if known, ok := x.words[*w]; ok {
			*w = known
		} else {
			x.words[*w] = *w
		}
	}
	one(&s.status)
	one(&s.level)
	for _, p := range pictures {
		one(&p.name)
		one(&p.version)
		one(&p.kind)
	}
}

// paste puts the images of contents that changed in their places.
func (x *index) paste(changed []slot, pictures [][]*picture) {
	moved := map[int32]bool{} // slots
	fresh := map[int32][]*picture{}
	for i := range changed {
		at := x.byID[changed[i].content]
		moved[at] = true
		project := x.slots[at].project
		fresh[project] = append(fresh[project], pictures[i]...)
	}
	for project, list := range fresh {
		slices.SortFunc(list, (*picture).compare)
		old := x.albums[project]
		album := make([]*picture, 0, len(old)+len(list))
		for _, p := range old {
			if moved[p.slot] {
				continue
			}
			for len(list) > 0 && list[0].compare(p) < 0 {
				album, list = append(album, list[0]), list[1:]
			}
			album = append(album, p)
		}
		album = append(album, list...)
		x.albums[project], x.titles[project] = album, titlesOf(album)
	}
}

// A title is a name that images have, side by side in the order of lists.
type title struct {
	name     string
	from, to int32 // places in the list
}

func titlesOf(album []*picture) (out []title) {
	for at, p := range album {
		if n := len(out); n > 0 && out[n-1].name == p.name {
			out[n-1].to++
			continue
		}
		out = append(out, title{p.name, int32(at), int32(at) + 1})
	}
	return out
}

// inListOrder sorts contents as their images are in lists, and lays these side
// by side: a walk through all of them then reads memory from one end to the
// other, which is most of what it costs.
func inListOrder(changed []slot, projects []string, hosts [][]string, pictures [][]*picture) {
	order := make([]int, len(changed))
	total := 0
	for i := range order {
		order[i] = i
		total += len(pictures[i])
		slices.SortFunc(pictures[i], (*picture).compare)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if len(pictures[a]) == 0 || len(pictures[b]) == 0 {
			return len(pictures[b]) - len(pictures[a])
		}
		return cmp.Or(strings.Compare(projects[a], projects[b]), pictures[a][0].compare(pictures[b][0]))
	})
	block := make([]picture, 0, total)
	slots, names, agents, lists := slices.Clone(changed), slices.Clone(projects), slices.Clone(hosts), slices.Clone(pictures)
	for to, from := range order {
		changed[to], projects[to], hosts[to], pictures[to] = slots[from], names[from], agents[from], lists[from]
		for i, p := range pictures[to] {
			block = append(block, *p)
			pictures[to][i] = &block[len(block)-1]
		}
	}
}

// errBehind says that the index is that of a later view of the database.
var errBehind = errors.New("the fleet has changed meanwhile")

// maxMoved is how many views are tried until one is taken that the index has
// left behind: images that were removed since are missing in a page then.
const maxMoved = 5

// anyRevision is that of a view that the index need not agree with.
const anyRevision = -1

// inFleet runs f in a view of the database that the index agrees with. f reads
// the index by its methods that want the revision, and returns their errBehind.
func (s *Store) inFleet(ctx context.Context, f func(tx *sql.Tx, revision int64) error) error {
	for try := 0; ; try++ {
		err := s.inView(ctx, func(tx *sql.Tx) error {
			revision, err := s.index.follow(ctx, tx)
			if err != nil {
				return err
			}
			if try == maxMoved {
				revision = anyRevision
			}
			return f(tx, revision)
		})
		if !errors.Is(err, errBehind) {
			return err
		}
	}
}

// view calls do while the index is of a revision.
func (x *index) view(revision int64, do func()) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if revision != anyRevision && revision != x.revision {
		return errBehind
	}
	do()
	return nil
}

// picked is an image of a page.
type picked struct {
	id      string
	content int64
}

// images lists the selected images of a project that keep holds for, if it is
// given.
func (x *index) images(project string, revision int64, p Page, f ImageSelector, keep func(*picture, *slot) bool) (page []picked, total int64, err error) {
	err = x.view(revision, func() {
		if keep == nil && f == (ImageSelector{}) {
			page, total = x.cut(project, p)
			return
		}
		x.walk(project, f, func(_ int32, m *picture, s *slot) {
			if keep != nil && !keep(m, s) {
				return
			}
			if total >= p.Offset && total < p.Offset+p.Limit {
				page = append(page, picked{m.id, s.content})
			}
			total++
		})
	})
	return page, total, err
}

// imagesOf is index.images with the set that a filter selects kept for who asks again:
// key stands for the selector, the filter and the project. A nil key keeps nothing.
func (s *Store) imagesOf(project string, revision int64, p Page, key any, f ImageSelector, keep func(*picture, *slot) bool) (page []picked, total int64, err error) {
	x := &s.index
	if key == nil || keep == nil || f.ID != "" {
		return x.images(project, revision, p, f, keep)
	}
	return s.imagesIn(project, revision, p, key, func() (set bitmap, err error) {
		err = x.view(revision, func() {
			set = newBitmap(len(x.albums[x.projects[project]]))
			x.walk(project, f, func(at int32, m *picture, s *slot) {
				if keep(m, s) {
					set.set(at)
				}
			})
		})
		return set, err
	})
}

// imagesIn lists the images of a project that are in a set of their places in the
// list of all, which is kept for who asks again.
func (s *Store) imagesIn(project string, revision int64, p Page, key any, find func() (bitmap, error)) (page []picked, total int64, err error) {
	x := &s.index
	set, err := remember(&s.sets, revision, key, find)
	if err != nil {
		return nil, 0, err
	}
	err = x.view(revision, func() {
		number, ok := x.projects[project]
		if !ok {
			return
		}
		var found []int
		found, total = set.cut(p)
		for _, at := range found {
			m := x.albums[number][at]
			page = append(page, picked{m.id, x.slots[m.slot].content})
		}
	})
	return page, total, err
}

// cut is a page of all images of a project. The caller holds the lock.
func (x *index) cut(project string, p Page) (page []picked, total int64) {
	number, ok := x.projects[project]
	if !ok {
		return nil, 0
	}
	list, total := PageOf(x.albums[number], p)
	for _, m := range list {
		page = append(page, picked{m.id, x.slots[m.slot].content})
	}
	return page, total
}

// walk calls do for the selected images of a project and their places, in the
// order of lists. A selector with an id is what known made of it, and has no
// places. The caller holds the lock.
func (x *index) walk(project string, f ImageSelector, do func(at int32, m *picture, s *slot)) {
	number, ok := x.projects[project]
	if !ok {
		return
	}
	if f.ID != "" {
		if at, ok := x.byID[f.content]; ok && x.slots[at].project == number {
			s := &x.slots[at]
			for _, m := range s.pictures {
				if m.id == f.ID {
					do(-1, m, s)
				}
			}
		}
		return
	}
	album := x.albums[number]
	if f.Name == "" {
		for at, m := range album {
			do(int32(at), m, &x.slots[m.slot])
		}
		return
	}
	for _, t := range x.titles[number] {
		if !strings.Contains(t.name, f.Name) {
			continue
		}
		for at := t.from; at < t.to; at++ {
			if m := album[at]; f.Version == "" || m.version == f.Version {
				do(at, m, &x.slots[m.slot])
			}
		}
	}
}

func imagesOf(page []picked) []string {
	out := make([]string, len(page))
	for i, p := range page {
		out[i] = p.id
	}
	return out
}
