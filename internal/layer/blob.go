package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// blobWalker shows a tar stream as the directory that an overlay engine makes
// of it. Entries are shown as they go by. If one turns out to take the place of
// another that was shown before, the rest is only read, and once it is known
// what remains, Walk begins anew and shows that.
type blobWalker struct {
	ctx   context.Context
	layer image.Layer
	opts  Options
	stats *Stats
	visit Visitor

	stream *stream // of the present pass
	tree   *tree
	// replay is whether entries replace one another; final is the tree at
	// the end then.
	replay bool
	final  *tree
	// refused is the first entry that cannot be unpacked.
	refused error

	// links are the hard links to be shown again, by the entry that has
	// their content, and origins the paths of those.
	links   map[int32][]string
	origins map[int32]string

	// owners are those of nodes, in all passes.
	owners owners

	// recent are the contents opened last, oldest first.
	recent      []recentFile
	recentBytes int

	entry Entry
	file  blobFile
	again bool // links are shown for the second time
	holes int64
}

// recentFile is the content of an entry.
type recentFile struct {
	n int32
	b []byte
}

func walkBlob(ctx context.Context, l image.Layer, opts Options, visit Visitor) error {
	w := &blobWalker{ctx: ctx, layer: l, opts: opts, stats: opts.Stats, visit: visit}
	w.begin()
	if err := w.pass(w.show); err != nil {
		return err
	}
	if w.replay {
		w.final = w.tree
		w.begin()
		if err := w.emit(Reset, "/", ""); err != nil {
			return err
		}
		if err := w.pass(w.show); err != nil {
			return err
		}
	}
	if len(w.links) > 0 {
		w.tree, w.final, w.again = nil, nil, true
		if err := w.pass(w.showLinks); err != nil {
			return err
		}
	}
	return w.refused
}

func (w *blobWalker) begin() {
	w.tree, w.refused = newTree(), nil
	w.links, w.origins = map[int32][]string{}, map[int32]string{}
	w.recent, w.recentBytes = nil, 0
}

// pass reads the whole stream once, and checks it against the diff ID.
func (w *blobWalker) pass(each func(n int32, h *tar.Header, tr *tar.Reader) error) error {
	blob, err := w.layer.Blob(w.ctx)
	if err != nil {
		return fmt.Errorf("open layer: %w", err)
	}
	defer blob.Close()
	w.stats.FilesOpened.Add(1)
	stream, err := newStream(w.ctx, blob, w.stats)
	if err != nil {
		return err
	}
	defer stream.close()
	w.stream = stream

	tr := tar.NewReader(stream)
	names := 0
	for n := int32(1); ; n++ {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read layer: %w", err)
		}
		if n > maxEntries {
			return fmt.Errorf("%w: more than %d entries", ErrLimit, maxEntries)
		}
		if len(h.Name) > maxPath || len(h.Linkname) > maxPath {
			return fmt.Errorf("%w: a path longer than %d bytes", ErrLimit, maxPath)
		}
		if names += len(h.Name) + len(h.Linkname); names > maxNames {
			return fmt.Errorf("%w: names of more than %d bytes", ErrLimit, maxNames)
		}
		// They can be parts of a long extended header.
		h.Name, h.Linkname = strings.Clone(h.Name), strings.Clone(h.Linkname)
		if err := each(n, h, tr); err != nil {
			return err
		}
	}
	err = stream.drain()
	got := stream.digest()
	if errors.Is(err, gzip.ErrHeader) && got == w.layer.DiffID {
		err = nil // something behind the last member; the layer is whole
	}
	if err != nil {
		return fmt.Errorf("read layer: %w", err)
	}
	if w.layer.DiffID != "" && got != w.layer.DiffID {
		return fmt.Errorf("%w: got %s", ErrDigest, got)
	}
	return nil
}

// show unpacks an entry into the tree, and shows it if it is there to stay.
func (w *blobWalker) show(n int32, h *tar.Header, tr *tar.Reader) error {
	p := report.ValidPath(report.CleanPath(h.Name))
	if p == "/" || h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if strings.Count(p, "/") > maxDepth {
		return fmt.Errorf("%w: directories deeper than %d", ErrLimit, maxDepth)
	}
	hidden := strings.HasPrefix(p[1:], whiteoutMeta) && p[1:] != whiteoutOpaque
	dir, base := path.Split(p)
	in, err := w.tree.enter(dir, n, func(p string) error {
		if hidden {
			return nil
		}
		return w.showDir(n, p, node{})
	})
	if err != nil {
		return w.refuse(p, err)
	}
	if !hidden && strings.HasPrefix(base, whiteoutPrefix) {
		return w.whiteout(in, base)
	}
	p = in.path + "/" + base
	err = w.unpack(n, h, tr, p, in, hidden)
	return w.refuse(p, err)
}

// refuse remembers an entry that no engine unpacks; other errors end the walk.
func (w *blobWalker) refuse(p string, err error) error {
	if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrUnsupported) {
		return err
	}
	if w.refused == nil {
		w.refused = fmt.Errorf("%s: %w", p, err)
	}
	return nil
}

// whiteout shows what a whiteout deletes from the layers below. It has no say
// about the layer's own entries, wherever it stands among them.
func (w *blobWalker) whiteout(in folderAt, base string) error {
	if base == whiteoutOpaque {
		if in.path == "" {
			return nil // the kernel merges the tops of all layers, whatever they say
		}
		return w.hide(Opaque, in.path, in)
	}
	if name, ok := whiteoutOf(base); ok {
		return w.hide(Whiteout, in.path+"/"+name, in)
	}
	return nil
}

// unpack puts the entry at p.
func (w *blobWalker) unpack(n int32, h *tar.Header, tr *tar.Reader, p string, in folderAt, hidden bool) error {
	at := node{born: n, file: n, hidden: hidden}
	target := ""
	switch h.Typeflag {
	case tar.TypeDir:
		at.kind, at.mode, at.owner = Dir, fs.ModeDir|modeOf(h), w.owners.of(h)
		old, ok := w.tree.get(p, in.born)
		ok = ok && old.kind == Dir // and was shown
		if ok {
			at.born, at.file, at.hidden = old.born, old.file, old.hidden
			if at != old {
				// The last entry says how the directory is.
				w.tree.nodes[w.tree.hash(p)] = at
				w.replay = w.replay || !hidden
			}
		} else {
			w.put(p, in, at, "")
		}
		if hidden {
			return nil
		}
		if err := w.overlayAttrs(h, p, folderAt{p, at.born}); err != nil || ok {
			return err
		}
		return w.showDir(n, p, at)
	case tar.TypeReg, tar.TypeGNUSparse:
		if err := w.overlayAttrs(h, p, in); err != nil {
			return err
		}
		at.kind, at.size, at.mode, at.owner = File, h.Size, modeOf(h), w.owners.of(h)
	case tar.TypeSymlink:
		at.kind, target = Symlink, report.ValidPath(h.Linkname)
	case tar.TypeChar:
		at.kind = Other
		if h.Devmajor == 0 && h.Devminor == 0 {
			at.kind = Whiteout // as the kernel sees the device
		}
	case tar.TypeBlock, tar.TypeFifo:
		at.kind = Other
	case tar.TypeLink:
		return w.hardLink(n, h, p, in, hidden)
	default:
		return fmt.Errorf("%w: an entry of type %q", ErrRefused, h.Typeflag)
	}
	w.put(p, in, at, target)
	switch {
	case hidden || !w.stays(n, p):
		return nil
	case at.kind == File:
		w.file = blobFile{w: w, size: h.Size, r: tr, content: n, sparse: isSparse(h)}
		if err := w.showFile(p, at, "", h.ModTime); err != nil {
			return err
		}
		return w.file.settle()
	default:
		return w.emit(at.kind, p, target)
	}
}

// hardLink gives what stands at the link's target another name.
func (w *blobWalker) hardLink(n int32, h *tar.Header, p string, in folderAt, hidden bool) error {
	dir, base := path.Split(report.ValidPath(report.CleanPath(h.Linkname)))
	at, target, found := node{}, "", false
	from, err := w.tree.enter(dir, -1, nil)
	switch {
	case err == nil:
		target = from.path + "/" + base
		at, found = w.tree.get(target, from.born)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	to := w.tree.targets[w.tree.hash(target)]
	switch {
	case !found:
		// Engines that unpack onto a copy of the layers below may find it
		// there; nobody else does.
		at = node{kind: File}
		target = path.Join(dir, base)
		if err := w.refuse(p, fmt.Errorf("%w: hard link to %s, which is not in the layer", ErrRefused, target)); err != nil {
			return err
		}
	case at.kind == Dir:
		return fmt.Errorf("%w: hard link to directory %s", ErrRefused, target)
	case target == p:
		return nil
	}
	at.born, at.hidden = n, hidden
	w.put(p, in, at, to)
	if hidden || !w.stays(n, p) {
		return nil
	}
	if at.kind != File {
		return w.emit(at.kind, p, to)
	}
	w.file = blobFile{w: w, link: p, content: at.file}
	if found && w.origins[at.file] == "" {
		w.origins[at.file] = target
	}
	if found {
		target = w.origin(at.file)
	}
	return w.showFile(p, at, target, time.Time{})
}

// origin is the path at which entry n was shown, "" if it was not.
func (w *blobWalker) origin(n int32) string {
	p := w.origins[n]
	if w.final != nil {
		if at, ok := w.final.find(p); !ok || at.born != n {
			return ""
		}
	}
	return p
}

// put sets what stands at p, and stops showing if that replaces something
// that was shown.
func (w *blobWalker) put(p string, in folderAt, at node, target string) {
	var replaced bool
	if at.kind == Symlink {
		replaced = w.tree.link(p, in, at, target)
	} else {
		replaced = w.tree.put(p, in, at)
	}
	if replaced {
		w.replay = true
	}
}

// stays reports whether entry n is to be shown at p: unless it is known, or
// about to be found out, that something else takes its place.
func (w *blobWalker) stays(n int32, p string) bool {
	if w.final == nil {
		return !w.replay
	}
	at, ok := w.final.find(p)
	return ok && at.born == n
}

// showDir shows the directory that entry n has made, as it is in the end.
func (w *blobWalker) showDir(n int32, p string, at node) error {
	if !w.stays(n, p) {
		return nil
	}
	if w.final != nil {
		at, _ = w.final.find(p)
	}
	w.entry = Entry{Kind: Dir, Path: p}
	if at.mode != 0 {
		w.entry.Info = tarInfo{name: path.Base(p), mode: at.mode, owner: w.owners.get(at.owner)}
	}
	return w.visit(&w.entry)
}

// overlayAttrs shows an opaque directory that is marked as the kernel does:
// engines unpack the attribute, and the kernel obeys it. dir is the directory
// that has it, for a directory.
func (w *blobWalker) overlayAttrs(h *tar.Header, p string, dir folderAt) error {
	const prefix = "SCHILY.xattr." + trustedPrefix
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, prefix)
		switch {
		case !ok:
		case name == "opaque" && value == "y" && h.Typeflag == tar.TypeDir:
			if err := w.hide(Opaque, p, dir); err != nil {
				return err
			}
		case name == "redirect", name == "metacopy", name == "whiteout", name == "opaque" && value == "x":
			if err := w.refuse(p, fmt.Errorf("%w: attribute %s%s in a tar layer", ErrUnsupported, trustedPrefix, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// hide shows what hides something below, unless the directory that it is kept
// in goes.
func (w *blobWalker) hide(kind Kind, p string, in folderAt) error {
	switch {
	case w.final == nil && w.replay:
		return nil
	case w.final != nil && in.path != "":
		if at, ok := w.final.find(in.path); !ok || at.kind != Dir || at.born != in.born {
			return nil
		}
	}
	return w.emit(kind, p, "")
}

// emit shows an entry that is not a file.
func (w *blobWalker) emit(kind Kind, p, target string) error {
	w.entry = Entry{Kind: kind, Path: p, Target: target}
	return w.visit(&w.entry)
}

// showFile shows a file, whose content is w.file.
func (w *blobWalker) showFile(p string, at node, linkTo string, modTime time.Time) error {
	info := tarInfo{name: path.Base(p), size: at.size, mode: at.mode, modTime: modTime, owner: w.owners.get(at.owner)}
	w.entry = Entry{Kind: File, Path: p, Info: info, LinkTo: linkTo, Again: w.again, src: &w.file}
	return w.visit(&w.entry)
}

// showLinks shows the deferred hard links, where their content goes by.
func (w *blobWalker) showLinks(n int32, h *tar.Header, tr *tar.Reader) error {
	links := w.links[n]
	if len(links) == 0 {
		return nil
	}
	first := blobFile{w: w, size: h.Size, r: tr, sparse: isSparse(h)}
	c, err := first.open()
	if err == nil {
		defer c.Close()
	}
	for _, p := range links {
		w.file = blobFile{w: w, opened: c, err: err}
		if err := w.showFile(p, node{size: h.Size, mode: modeOf(h), owner: w.owners.of(h)}, "", h.ModTime); err != nil {
			return err
		}
	}
	return first.settle()
}
