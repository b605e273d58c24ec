package report

import (
	"path"
	"slices"
	"strings"
)

// view answers which paths of which layers survive. Paths are compared as they
// are: a layer report has them as they stand in the layer's own directory,
// parents included, and the kernel never looks below through a symbolic link.
type view struct {
	layers []*LayerReport
	// deleted and opaque are the whiteouts and opaque directories of each
	// layer, by PathHash.
	deleted, opaque []map[uint64]bool
	// above is, for a directory, the topmost layer that lets nothing below
	// it be seen in there, -1 if none does.
	above map[string]int
}

func newView(layers []*LayerReport) *view {
	v := &view{layers: layers, above: map[string]int{}}
	for _, l := range layers {
		v.deleted = append(v.deleted, hashSet(l.Whiteouts))
		v.opaque = append(v.opaque, hashSet(l.Opaques))
	}
	return v
}

func hashSet(paths []string) map[uint64]bool {
	out := make(map[uint64]bool, len(paths))
	for _, p := range paths {
		out[PathHash(p)] = true
	}
	return out
}

// hidden reports whether the file at p of a layer is hidden by a layer above
// it: one that deletes the file or a directory on the way, hides what is below
// such a directory, or has an entry of its own in the place of one of them.
func (v *view) hidden(p string, layer int) bool {
	if v.topAbove(parent(p)) > layer {
		return true
	}
	h := PathHash(p)
	// A fact may rest on a directory: one above it joins it, unless opaque.
	isDir := has(v.layers[layer].Dirs, h)
	for i := layer + 1; i < len(v.layers); i++ {
		l := v.layers[i]
		if v.deleted[i][h] || v.opaque[i][h] || has(l.Hides, h) || has(l.Passed, h) || has(l.Dirs, h) && !isDir {
			return true
		}
	}
	return false
}

// topAbove looks up above. What closes a directory closes those in it.
func (v *view) topAbove(dir string) int {
	if top, ok := v.above[dir]; ok {
		return top
	}
	least := -1
	if dir != "/" {
		least = v.topAbove(parent(dir))
	}
	top, h := len(v.layers)-1, PathHash(dir)
	for top > least && !v.closes(h, top) {
		top--
	}
	v.above[dir] = top
	return top
}

// parent is the directory that p, which is not "/", lies in.
func parent(p string) string {
	if i := strings.LastIndexByte(p, '/'); i > 0 {
		return p[:i]
	}
	return "/"
}

// closes reports whether layer i hides everything that lies below it in a
// directory.
func (v *view) closes(dir uint64, i int) bool {
	l := v.layers[i]
	return v.deleted[i][dir] || v.opaque[i][dir] || has(l.Hides, dir) || has(l.Passed, dir)
}

// gone reports whether one of the layers above low, up to high, deletes the
// file at p, or hides the directory it stands in.
func (v *view) gone(p string, low, high int) bool {
	for i := low + 1; i <= high; i++ {
		if v.deleted[i][PathHash(p)] {
			return true
		}
		for dir := range parents(p) {
			if v.closes(PathHash(dir), i) {
				return true
			}
		}
	}
	return false
}

// maxLinks is how many symbolic links one path may lead through, as in the
// kernel.
const maxLinks = 40

// follow is where a process in the image ends that opens p, "" if its links go
// round in circles.
func (v *view) follow(p string) string {
	rest := strings.Split(p, "/")
	cur := "/"
	for links := 0; len(rest) > 0; {
		elem := rest[0]
		rest = rest[1:]
		switch elem {
		case "", ".":
			continue
		case "..":
			cur = path.Dir(cur)
			continue
		}
		next := path.Join(cur, elem)
		target, ok := v.link(next)
		if !ok {
			cur = next
			continue
		}
		if links++; links > maxLinks {
			return ""
		}
		if path.IsAbs(target) {
			cur = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return cur
}

// link is the target of the symbolic link that stands at p in the image.
func (v *view) link(p string) (string, bool) {
	h := PathHash(p)
	for i := len(v.layers) - 1; i >= 0; i-- {
		l := v.layers[i]
		if target, ok := l.Symlinks[p]; ok {
			return target, !v.hidden(p, i)
		}
		if has(l.Hides, h) || has(l.Passed, h) || has(l.Dirs, h) {
			return "", false
		}
	}
	return "", false
}

// parents are the directories that p lies in, "/" among them.
func parents(p string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if !yield("/") {
			return
		}
		for i := 1; i < len(p); i++ {
			if p[i] == '/' && !yield(p[:i]) {
				return
			}
		}
	}
}

func has(sorted Hashes, h uint64) bool {
	_, ok := slices.BinarySearch(sorted, h)
	return ok
}
