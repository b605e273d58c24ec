package layer

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"path"
	"strings"
)

// ErrRefused means that no engine can unpack the layer: an entry lies beneath
// a file, say.
var ErrRefused = errors.New("no engine can unpack the layer")

const (
	// maxLinks is how many symbolic links one path may lead through, as in
	// the kernel.
	maxLinks = 40
	// maxSteps is how many elements of paths are looked up in one layer.
	maxSteps = 200_000_000
)

// A tree is a tar layer as it is unpacked into an empty directory, which is
// what overlay engines do: later entries replace earlier ones, symbolic links
// of the layer itself are followed, and those of the layers below are not. It
// holds hashes in place of paths; their seed is its own, so that nobody can
// make two paths collide.
type tree struct {
	seed  maphash.Seed
	nodes map[uint64]node
	// targets of the symbolic links.
	targets map[uint64]string
	steps   int

	// The directory that was entered last, by its name in the entry.
	lastName string
	last     folderAt
}

// A node is what stands at a path, and has stood there since the born'th entry
// of the layer. It is gone if the directory above it is younger.
type node struct {
	size int64
	born int32
	// file is the entry that has the content: born, but for hard links.
	file int32
	// mode of a file, and of a directory that has an entry of its own; 0
	// for one that is implied.
	mode fs.FileMode
	// owner of the same, as owners numbers them.
	owner uint16
	kind  Kind
	// hidden is what aufs kept for itself: links may lead to it.
	hidden bool
}

// folderAt is a directory of the tree.
type folderAt struct {
	path string // "" for the top
	born int32
}

func newTree() *tree {
	return &tree{seed: maphash.MakeSeed(), nodes: map[uint64]node{}, targets: map[uint64]string{}}
}

func (t *tree) hash(p string) uint64 { return maphash.String(t.seed, p) }

// get is what stands at p, in a directory that has been there since born.
func (t *tree) get(p string, born int32) (node, bool) {
	n, ok := t.nodes[t.hash(p)]
	return n, ok && n.born >= born
}

// put sets what stands at p, and reports whether that takes the place of
// something else.
func (t *tree) put(p string, in folderAt, n node) (replaced bool) {
	_, replaced = t.get(p, in.born)
	t.nodes[t.hash(p)] = n
	if replaced || n.kind == Symlink {
		t.lastName = ""
	}
	return replaced
}

// link sets a symbolic link.
func (t *tree) link(p string, in folderAt, n node, target string) (replaced bool) {
	t.targets[t.hash(p)] = target
	return t.put(p, in, n)
}

// find is the entry that stands at the very path p, with directories all the
// way.
func (t *tree) find(p string) (node, bool) {
	born := int32(0)
	for i := 1; i < len(p); i++ {
		if p[i] != '/' {
			continue
		}
		n, ok := t.get(p[:i], born)
		if !ok || n.kind != Dir {
			return node{}, false
		}
		born = n.born
	}
	return t.get(p, born)
}

// enter follows the path of a directory, links of the layer included, and
// makes what is missing as entry number n; made is called for each directory
// made. With n < 0 a missing directory is fs.ErrNotExist.
func (t *tree) enter(dir string, n int32, made func(p string) error) (folderAt, error) {
	if dir == t.lastName && dir != "" {
		return t.last, nil
	}
	way := []folderAt{{}}
	rest := strings.Split(strings.Trim(dir, "/"), "/")
	for links := 0; len(rest) > 0; {
		if t.steps++; t.steps > maxSteps {
			return folderAt{}, fmt.Errorf("%w: more than %d path elements", ErrLimit, maxSteps)
		}
		elem := rest[0]
		rest = rest[1:]
		in := way[len(way)-1]
		missing := in.born < 0
		switch elem {
		case "", ".":
			continue
		case "..":
			way = way[:max(1, len(way)-1)]
			continue
		}
		p := in.path + "/" + elem
		if len(p) > maxPath || len(way) > maxDepth {
			return folderAt{}, fmt.Errorf("%w: a path longer than %d bytes or deeper than %d directories", ErrLimit, maxPath, maxDepth)
		}
		at, ok := node{}, false
		if !missing {
			at, ok = t.get(p, in.born)
		}
		switch {
		case !ok:
			way = append(way, folderAt{p, -1}) // ".." may leave it again
		case at.kind == Dir:
			way = append(way, folderAt{p, at.born})
		case at.kind == Symlink:
			if links++; links > maxLinks {
				return folderAt{}, fmt.Errorf("%w: %s leads through too many links", ErrRefused, dir)
			}
			target := t.targets[t.hash(p)]
			if path.IsAbs(target) {
				way = way[:1]
			}
			rest = append(strings.Split(target, "/"), rest...)
		default:
			return folderAt{}, fmt.Errorf("%w: %s is not a directory", ErrRefused, p)
		}
	}
	for i := range way {
		if way[i].born >= 0 {
			continue
		}
		if n < 0 {
			return folderAt{}, fs.ErrNotExist
		}
		way[i].born = n
		t.put(way[i].path, way[i-1], node{born: n, kind: Dir})
		if err := made(way[i].path); err != nil {
			return folderAt{}, err
		}
	}
	last := way[len(way)-1]
	if n >= 0 {
		t.lastName, t.last = dir, last
	}
	return last, nil
}
