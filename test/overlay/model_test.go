package overlay

import (
	"archive/tar"
	"path"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// folder is a directory of the model: names to *folder, file, symlink or
// device.
type folder struct {
	entries map[string]any
	// opaque hides what is below, deleted single names of it.
	opaque  bool
	deleted map[string]bool
}

type (
	file    struct{ data string }
	symlink struct{ to string }
	device  struct{}
)

func newFolder() *folder { return &folder{entries: map[string]any{}, deleted: map[string]bool{}} }

// apply unpacks a layer into a directory of its own and lays that upon the
// image; false if it cannot be unpacked.
func apply(img *folder, layer []item) bool {
	upper := newFolder()
	for _, it := range layer {
		if !unpack(upper, it) {
			return false
		}
	}
	lay(img, upper)
	return true
}

func unpack(top *folder, it item) bool {
	dir, base := path.Split(path.Clean("/" + it.name))
	in, ok := walk(top, dir, true)
	if !ok {
		return false
	}
	if base == ".wh..wh..opq" {
		in.opaque = true
		return true
	}
	if name, ok := strings.CutPrefix(base, ".wh."); ok {
		in.deleted[name] = true
		return true
	}
	old := in.entries[base]
	switch it.kind {
	case tar.TypeDir:
		if _, ok := old.(*folder); !ok {
			in.entries[base] = newFolder()
		}
	case tar.TypeSymlink:
		in.entries[base] = symlink{it.link}
	case tar.TypeChar:
		in.entries[base] = device{}
	case tar.TypeLink:
		dir, name := path.Split(path.Clean("/" + it.link))
		from, ok := walk(top, dir, false)
		if !ok {
			return false
		}
		what, ok := from.entries[name]
		if _, isDir := what.(*folder); !ok || isDir {
			return false
		}
		in.entries[base] = what
	default:
		in.entries[base] = file{it.data}
	}
	return true
}

// walk follows a path of directories and links. What is missing is made, but
// for what ".." leaves again.
func walk(top *folder, dir string, create bool) (*folder, bool) {
	type step struct {
		name string
		at   *folder // nil if it is missing
	}
	way := []step{{"", top}}
	rest := strings.Split(dir, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		var e any
		if cur := way[len(way)-1].at; cur != nil {
			e = cur.entries[name]
		}
		switch e := e.(type) {
		case nil:
			switch name {
			case "", ".":
			case "..":
				way = way[:max(1, len(way)-1)]
			default:
				way = append(way, step{name, nil})
			}
		case *folder:
			way = append(way, step{name, e})
		case symlink:
			if links++; links > 40 {
				return nil, false
			}
			if strings.HasPrefix(e.to, "/") {
				way = way[:1]
			}
			rest = append(strings.Split(e.to, "/"), rest...)
		default:
			return nil, false
		}
	}
	for i, s := range way {
		if s.at == nil {
			if !create {
				return nil, false
			}
			way[i].at = newFolder()
			way[i-1].at.entries[s.name] = way[i].at
		}
	}
	return way[len(way)-1].at, true
}

// lay puts upper upon lower. What the topmost directory says of itself does
// not count: the kernel merges the tops of all layers.
func lay(lower, upper *folder) {
	for name := range upper.deleted {
		delete(lower.entries, name)
	}
	for name, e := range upper.entries {
		up, ok := e.(*folder)
		low, both := lower.entries[name].(*folder)
		if !ok {
			lower.entries[name] = e
			continue
		}
		if !both || up.opaque {
			low = newFolder()
			lower.entries[name] = low
		}
		lay(low, up)
	}
}

// list adds the files beneath f to out.
func (f *folder) list(at string, out map[string]string) {
	for name, e := range f.entries {
		switch e := e.(type) {
		case *folder:
			e.list(at+"/"+name, out)
		case file:
			out[report.ValidPath(at+"/"+name)] = e.data
		}
	}
}
