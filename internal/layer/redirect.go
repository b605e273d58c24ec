package layer

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Directories that were renamed on an overlay mount, and files whose owner or
// mode was changed there, can leave their content in a lower layer and say so
// in an attribute. The layer that an engine would pack from such a directory
// holds the content all the same, and so does what we show: the merged lower
// view of the origin at the new place, as an opaque directory.
//
// The rules are those of the kernel's ovl_lookup.

// A place is a directory, or a file, of one of the walker's layers.
type place struct {
	layer int
	// path from the layer's top, "" for the top itself.
	path string
}

// found is a directory of the merged view, by its path in the image and its
// name as the kernel knows it.
type found struct {
	path, name string
	info       dirInfo // asked already
}

// redirected shows a directory whose lower content is elsewhere. done is false
// if that content is not to be had: what the directory holds itself is shown
// then, and the layer is incomplete.
func (w *dirWalker) redirected(f *folder, depth int) (done bool, err error) {
	if w.redirects++; w.redirects > w.limits.redirects {
		return false, fmt.Errorf("%w: more than %d redirects", ErrLimit, w.limits.redirects)
	}
	if err := w.show(Opaque, f.path, ""); err != nil {
		return false, err
	}
	stack, err := w.stackOf(f)
	if err == nil && len(stack) < 2 {
		err = fmt.Errorf("%w: the origin of a redirected directory is not in the layers below", ErrUnsupported)
	}
	if errors.Is(err, ErrUnsupported) {
		w.unsupportedAt(f.path, err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, w.merged(&folder{fd: -1, path: f.path, stack: stack}, depth)
}

// merged shows what the merged view has in f.
func (w *dirWalker) merged(f *folder, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("%w: directories deeper than %d", ErrLimit, maxDepth)
	}
	seen := map[string]bool{}
	var dirs []found
	for _, at := range f.stack {
		fd, err := w.openPlace(at)
		if err != nil {
			return fmt.Errorf("directory %s: %w", f.path, err)
		}
		err = w.mergedPlace(f, fd, depth, seen, &dirs)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	seen = nil
	for _, d := range dirs {
		p := d.path
		if err := w.showDir(p, d.info); err != nil {
			return err
		}
		stack, err := w.look(f.stack, d.name)
		if err != nil {
			if !errors.Is(err, ErrUnsupported) {
				return err
			}
			w.unsupportedAt(p, err)
		}
		if len(stack) == 0 {
			continue
		}
		if err := w.merged(&folder{fd: -1, path: p, stack: stack}, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// mergedPlace shows what one directory of the stack adds to those above it,
// and appends to dirs the directories among it.
func (w *dirWalker) mergedPlace(f *folder, fd, depth int, seen map[string]bool, dirs *[]found) error {
	a, err := w.attributes(fd)
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return fmt.Errorf("directory %s: %w", f.path, err)
	}
	var whiteouts []string
	err = w.each(fd, depth, func(name []byte, typ uint8) error {
		if seen[string(name)] {
			return nil
		}
		p, base, err := w.join(f.path, name)
		if err != nil {
			return err
		}
		if typ == unix.DT_UNKNOWN {
			if typ, err = typeAt(fd, base); err != nil {
				return fmt.Errorf("stat %s: %w", p, err)
			}
		}
		if strings.HasPrefix(base, whiteoutPrefix) {
			if hidden, ok := whiteoutOf(base); ok {
				whiteouts = append(whiteouts, hidden)
			}
			return nil
		}
		white := false
		switch {
		case typ == unix.DT_CHR:
			white, err = deviceWhiteout(fd, base)
		case typ == unix.DT_REG && a.opaque == 'x':
			white, err = w.attrWhiteout(fd, base)
		}
		if err != nil {
			return fmt.Errorf("stat %s: %w", p, err)
		}
		seen[base] = true
		switch {
		case white:
			return nil
		case typ == unix.DT_DIR:
			info := dirInfo{dir: fd, name: base}
			info.stat()
			*dirs = append(*dirs, found{p, base, info})
			return nil
		case typ == unix.DT_REG:
			return w.showFile(p, fd, base, f)
		default:
			return w.showOther(p, fd, base, typ)
		}
	})
	for _, name := range whiteouts {
		seen[name] = true
	}
	return err
}

// data opens the data of a metacopy file: that of the first file of the same
// name, by the redirects on the way, that is not a metacopy itself.
func (w *dirWalker) data(f *folder, name string) (*Content, error) {
	if w.redirects++; w.redirects > w.limits.redirects {
		return nil, fmt.Errorf("%w: more than %d redirects", ErrLimit, w.limits.redirects)
	}
	stack, err := w.stackOf(f)
	if err != nil {
		return nil, err
	}
	chain, err := w.look(stack, name)
	if err != nil {
		return nil, err
	}
	if len(chain) > 0 {
		last := chain[len(chain)-1]
		dir, err := w.openPlace(place{last.layer, parentOf(last.path)})
		if err != nil {
			return nil, err
		}
		defer unix.Close(dir)
		c, a, err := w.openAt(dir, path.Base(last.path))
		if err != nil || !a.metacopy {
			return c, err
		}
		c.Close()
	}
	return nil, fmt.Errorf("%w: the data of a metacopy file is not in the layers below", ErrUnsupported)
}

// stackOf is what the merged view has at f: the directories of this layer and
// of those below it, nearest first.
func (w *dirWalker) stackOf(f *folder) ([]place, error) {
	if f.stack != nil {
		return f.stack, nil
	}
	if f.parent == nil {
		for i := range w.layers {
			f.stack = append(f.stack, place{layer: i})
		}
		return f.stack, nil
	}
	above, err := w.stackOf(f.parent)
	if err != nil {
		return nil, err
	}
	f.stack, err = w.look(above, f.name)
	return f.stack, err
}

// lookup is the state of one name on its way down the layers.
type lookup struct {
	// name is one element to be found in each directory of the stack, or
	// an absolute path to be found from the top of each layer.
	name string
	// found so far: directories, or the files of a metacopy chain.
	found    []place
	dir      bool
	metacopy bool
	stop     bool
	// moved is whether a redirect to an absolute path was met.
	moved bool
}

// look follows a name down a stack of directories.
func (w *dirWalker) look(stack []place, name string) ([]place, error) {
	l := &lookup{name: name}
	for i := 0; i < len(stack) && !l.stop; i++ {
		l.moved = false
		n := len(l.found)
		if err := w.lookLayer(l, stack[i]); err != nil {
			return nil, err
		}
		if len(l.found) == n || !l.moved {
			continue
		}
		// From here on every layer counts, not only those of the stack.
		next := stack[i].layer + 1
		stack, i = nil, -1
		for layer := next; layer < len(w.layers); layer++ {
			stack = append(stack, place{layer: layer})
		}
	}
	return l.found, nil
}

// lookLayer looks for the name in one layer.
func (w *dirWalker) lookLayer(l *lookup, base place) error {
	if !strings.HasPrefix(l.name, "/") {
		_, err := w.lookOne(l, base, l.name, 0, "")
		return err
	}
	// The name may change on the way, but only in what lies before rest.
	at, rest := place{layer: base.layer}, l.name[1:]
	for {
		elem, after, more := strings.Cut(rest, "/")
		post := ""
		if more {
			post = "/" + after
		}
		ok, err := w.lookOne(l, at, elem, len(l.name)-len(rest), post)
		if err != nil || !ok || !more {
			return err
		}
		at.path, rest = path.Join(at.path, elem), after
	}
}

// lookOne looks for one element in one directory. prefix is the length of the
// name before the element, post what follows it. It reports whether the
// element is there to go on from.
func (w *dirWalker) lookOne(l *lookup, in place, elem string, prefix int, post string) (bool, error) {
	if w.lookups++; w.lookups > w.limits.lookups {
		return false, fmt.Errorf("%w: more than %d names looked up in lower layers", ErrLimit, w.limits.lookups)
	}
	if err := w.ctx.Err(); err != nil {
		return false, err
	}
	if len(in.path)+len(elem) >= maxPath || strings.Count(in.path, "/") > maxDepth {
		return false, fmt.Errorf("%w: a path longer than %d bytes", ErrLimit, maxPath)
	}
	dir, err := w.openPlace(in)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(dir)

	var st unix.Stat_t
	if err := unix.Fstatat(dir, elem, &st, unix.AT_SYMLINK_NOFOLLOW); errors.Is(err, unix.ENOENT) {
		l.stop = unix.Faccessat(dir, whiteoutPrefix+elem, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("stat in a lower layer: %w", err)
	}
	last := post == ""
	kind := st.Mode & unix.S_IFMT
	white := kind == unix.S_IFCHR && st.Rdev == 0
	var a attrs
	switch kind {
	case unix.S_IFREG:
		above, err := w.attributes(dir)
		if err != nil && !errors.Is(err, ErrUnsupported) {
			return false, err
		}
		c, own, err := w.openAt(dir, elem)
		if err != nil {
			return false, err
		}
		c.Close()
		a, white = own, above.opaque == 'x' && st.Size == 0 && own.whiteout
	case unix.S_IFDIR:
		fd, err := w.openFD(dir, elem, unix.O_DIRECTORY)
		if err != nil {
			return false, fmt.Errorf("open directory in a lower layer: %w", err)
		}
		a, err = w.attributes(fd)
		unix.Close(fd)
		if err != nil {
			return false, err
		}
	}
	here := place{in.layer, path.Join(in.path, elem)}
	switch {
	case white, last && l.metacopy && kind != unix.S_IFREG:
		l.stop = true
		return false, nil
	case kind != unix.S_IFDIR:
		if l.dir || !last {
			l.stop = true
			return false, nil
		}
		l.found = append(l.found, here)
		l.metacopy = a.metacopy
		l.stop = !a.metacopy
		if l.stop {
			return true, nil
		}
	default:
		if last {
			l.dir = true
			l.found = append(l.found, here)
		}
		if a.opaque == 'y' {
			l.stop = true
			return true, nil
		}
	}
	if a.redirect != "" {
		if strings.HasPrefix(a.redirect, "/") {
			l.name, l.moved = a.redirect+post, true
		} else {
			l.name = l.name[:prefix] + a.redirect + post
		}
		if len(l.name) > maxPath {
			return false, fmt.Errorf("%w: a path longer than %d bytes", ErrLimit, maxPath)
		}
	}
	return true, nil
}

// openPlace opens a directory of a layer, element by element, so that no link
// leads out of it.
func (w *dirWalker) openPlace(p place) (int, error) {
	root, err := w.root(p.layer)
	if err != nil {
		return -1, fmt.Errorf("open lower layer: %w", err)
	}
	fd, err := w.openFD(root, ".", unix.O_DIRECTORY)
	for elem := range strings.SplitSeq(p.path, "/") {
		if err != nil {
			break
		}
		if elem == "" {
			continue
		}
		up := fd
		fd, err = w.openFD(up, elem, unix.O_DIRECTORY)
		unix.Close(up)
	}
	if err != nil {
		return -1, fmt.Errorf("open directory in a lower layer: %w", err)
	}
	return fd, nil
}

// parentOf is the directory of a path of a place.
func parentOf(p string) string {
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i]
	}
	return ""
}
