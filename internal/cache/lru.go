package cache

import (
	"container/list"

	"github.com/onceover/onceover/internal/report"
)

// An lru holds values by name, the least recently used of which go first when
// they take more than max. The zero value holds nothing.
type lru[V any] struct {
	max    int64
	held   int64
	byName map[string]*list.Element // of *held[V]
	recent list.List                // most recently used first
}

type held[V any] struct {
	name  string
	value V
	size  int64
}

// get returns a value and marks it as used.
func (l *lru[V]) get(name string) (v V, ok bool) {
	el := l.byName[name]
	if el == nil {
		return v, false
	}
	l.recent.MoveToFront(el)
	return el.Value.(*held[V]).value, true
}

// put holds v and returns what had to go for it. What alone is larger than max
// is not held.
func (l *lru[V]) put(name string, v V, size int64) (gone []*held[V]) {
	l.forget(name)
	if size > l.max {
		return nil
	}
	if l.byName == nil {
		l.byName = map[string]*list.Element{}
	}
	l.byName[name] = l.recent.PushFront(&held[V]{name, v, size})
	for l.held += size; l.held > l.max; {
		last := l.recent.Back().Value.(*held[V])
		l.forget(last.name)
		gone = append(gone, last)
	}
	return gone
}

// forget drops a value.
func (l *lru[V]) forget(name string) {
	el := l.byName[name]
	if el == nil {
		return
	}
	delete(l.byName, name)
	l.recent.Remove(el)
	l.held -= el.Value.(*held[V]).size
}

// Sizes of what a report is made of, in bytes: a little more than what 64-bit
// programs need for the structures alone.
const (
	packageBytes = 320
	entryBytes   = 128 // a list's or map's entry with its header
)

// sizeOf is about what r takes in memory, in bytes.
func sizeOf(r *report.LayerReport) int64 {
	n := 8*(len(r.Hides)+len(r.Passed)+len(r.Dirs)) + entryBytes*(1+len(r.Databases)+len(r.Ownership)+len(r.Problems))
	packages := func(ps []report.Package) {
		n += packageBytes * len(ps)
		for i := range ps {
			p := &ps[i]
			n += len(p.Name) + len(p.Version) + len(p.Arch) + len(p.Source) + len(p.SourceVersion) + len(p.Module) + len(p.Vendor) + len(p.Path)
			for _, l := range p.Licenses {
				n += entryBytes + len(l)
			}
		}
	}
	packages(r.Packages)
	for i := range r.Databases {
		packages(r.Databases[i].Packages)
	}
	for i := range r.Ownership {
		o := &r.Ownership[i]
		n += 8*len(o.Files) + 16*len(o.Diverted) + len(o.Path) + len(o.Owner)
	}
	for i := range r.Secrets {
		x := &r.Secrets[i]
		n += packageBytes + len(x.Rule) + len(x.Title) + len(x.Path) + len(x.Masked) + len(x.Context)
	}
	for i := range r.Problems {
		n += len(r.Problems[i].Path) + len(r.Problems[i].Message)
	}
	for _, list := range [][]string{r.Whiteouts, r.Opaques} {
		for _, p := range list {
			n += entryBytes + len(p)
		}
	}
	pairs := func(m map[string]string) {
		for k, v := range m {
			n += entryBytes + len(k) + len(v)
		}
	}
	pairs(r.Symlinks)
	for i := range r.Files {
		n += packageBytes + len(r.Files[i].Path)
	}
	for _, kv := range r.OSReleases {
		n += entryBytes
		pairs(kv)
	}
	return int64(n)
}
