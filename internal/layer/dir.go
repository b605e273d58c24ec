package layer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/report"
)

// Limits on what a layer directory may ask of the layers below it.
const (
	// maxRedirects is the number of redirected directories of one layer,
	// and of metacopy files that are opened.
	maxRedirects = 200_000
	// maxLookups is how often a name is looked up in a lower layer.
	maxLookups = 5_000_000
)

// direntBytes is how much of a directory is read at a time; one buffer is
// held for each level of depth.
const direntBytes = 32 << 10

// pathBlock is how much room is made for paths at a time. One that is kept
// keeps its block, so blocks are small.
const pathBlock = 4 << 10

// dirWalker shows a layer directory as the layer it stands for.
type dirWalker struct {
	ctx   context.Context
	stats *Stats
	visit Visitor
	// layers are the directory itself and those below it, nearest first.
	// Their descriptors are opened when they are needed.
	layers   []string
	roots    []int
	prefixes []string

	entries, names     int // names in bytes
	redirects, lookups int
	limits             dirLimits
	// unsupported is the first entry that could not be shown as it is.
	unsupported error

	owner    rootID
	noatime  int      // O_NOATIME while that is allowed
	bufs     [][]byte // by depth
	attrList []byte
	paths    *strings.Builder
	// What is shown next; made once, since layers have many entries.
	entry Entry
	info  dirInfo
	file  dirFile
}

// dirLimits are the limits that a test lowers.
type dirLimits struct{ redirects, lookups, entries int }

// A folder is a directory that is being visited.
type folder struct {
	fd   int
	path string // in the image, "/" for the top
	// parent and name lead to it from the top of the layer.
	parent *folder
	name   string
	// stack are the directories that the merged view shows here; nil
	// until somebody asks.
	stack []place
	// x is whether whiteouts may be regular files with an attribute.
	x bool
}

func walkDir(ctx context.Context, root string, lower []string, stats *Stats, visit Visitor) error {
	w := newDirWalker(ctx, root, lower, stats, visit)
	defer w.close()
	return w.walk()
}

func newDirWalker(ctx context.Context, root string, lower []string, stats *Stats, visit Visitor) *dirWalker {
	w := &dirWalker{
		ctx: ctx, stats: stats, visit: visit,
		layers: append([]string{root}, lower...), prefixes: prefixes(root),
		noatime:  unix.O_NOATIME,
		limits:   dirLimits{maxRedirects, maxLookups, maxEntries},
		attrList: make([]byte, 512), paths: &strings.Builder{},
	}
	w.roots = make([]int, len(w.layers))
	for i := range w.roots {
		w.roots[i] = -1
	}
	return w
}

func (w *dirWalker) close() {
	for _, fd := range w.roots {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (w *dirWalker) walk() error {
	fd, err := w.root(0)
	if err != nil {
		return fmt.Errorf("open layer directory: %w", err)
	}
	w.owner = rootOf(fd)
	if err := w.folder(&folder{fd: fd, path: "/"}, 0); err != nil {
		return err
	}
	return w.unsupported
}

// root is the descriptor of a layer's top.
func (w *dirWalker) root(layer int) (int, error) {
	if w.roots[layer] >= 0 {
		return w.roots[layer], nil
	}
	fd, err := unix.Open(w.layers[layer], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|w.noatime, 0)
	if errors.Is(err, unix.EPERM) {
		w.noatime = 0
		fd, err = unix.Open(w.layers[layer], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: w.layers[layer], Err: err}
	}
	w.roots[layer] = fd
	return fd, nil
}

// folder visits what is in f.
func (w *dirWalker) folder(f *folder, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("%w: directories deeper than %d", ErrLimit, maxDepth)
	}
	a, err := w.attributes(f.fd)
	if errors.Is(err, ErrUnsupported) {
		w.unsupportedAt(f.path, err)
	} else if err != nil {
		return fmt.Errorf("directory %s: %w", f.path, err)
	}
	f.x = a.opaque == 'x'
	switch {
	case f.parent == nil:
		// The kernel merges the tops of all layers, whatever they say.
	case a.opaque == 'y':
		if err := w.show(Opaque, f.path, ""); err != nil {
			return err
		}
	case a.redirect != "":
		done, err := w.redirected(f, depth)
		if done || err != nil {
			return err
		}
	}
	return w.each(f.fd, depth, func(name []byte, typ uint8) error { return w.dirent(f, name, typ, depth) })
}

// each calls do for every name of the directory fd. The name is valid until
// do returns.
func (w *dirWalker) each(fd, depth int, do func(name []byte, typ uint8) error) error {
	for len(w.bufs) <= depth {
		w.bufs = append(w.bufs, make([]byte, direntBytes))
	}
	buf := w.bufs[depth]
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read directory: %w", err)
		}
		if n <= 0 {
			return nil
		}
		for rest := buf[:n]; len(rest) > 0; {
			name, typ, size := parseDirent(rest)
			if size == 0 {
				return fmt.Errorf("read directory: damaged entry")
			}
			rest = rest[size:]
			if name == nil {
				continue
			}
			if w.entries++; w.entries > w.limits.entries {
				return fmt.Errorf("%w: more than %d entries", ErrLimit, w.limits.entries)
			}
			if err := do(name, typ); err != nil {
				return err
			}
		}
	}
}

// dirent shows one entry of f.
func (w *dirWalker) dirent(f *folder, name []byte, typ uint8, depth int) error {
	p, base, err := w.join(f.path, name)
	if err != nil {
		return err
	}
	if typ == unix.DT_UNKNOWN {
		if typ, err = typeAt(f.fd, base); err != nil {
			return fmt.Errorf("stat %s: %w", p, err)
		}
	}
	if strings.HasPrefix(base, whiteoutPrefix) {
		return w.fuseWhiteout(f.path, base)
	}
	switch typ {
	case unix.DT_DIR:
		if err := w.showDir(p, dirInfo{dir: f.fd, name: base}); err != nil {
			return err
		}
		fd, err := w.openFD(f.fd, base, unix.O_DIRECTORY)
		if err != nil {
			return fmt.Errorf("open directory %s: %w", p, err)
		}
		defer unix.Close(fd)
		return w.folder(&folder{fd: fd, path: p, parent: f, name: base}, depth+1)
	case unix.DT_REG:
		if f.x {
			white, err := w.attrWhiteout(f.fd, base)
			if err != nil {
				return fmt.Errorf("file %s: %w", p, err)
			}
			if white {
				return w.show(Whiteout, p, "")
			}
		}
		return w.showFile(p, f.fd, base, f)
	default:
		return w.showOther(p, f.fd, base, typ)
	}
}

// fuseWhiteout shows a whiteout in the form of the tar format. fuse-overlayfs
// writes it where it may not make devices.
func (w *dirWalker) fuseWhiteout(dir, base string) error {
	switch name, ok := whiteoutOf(base); {
	case base == whiteoutOpaque && dir != "/":
		return w.show(Opaque, dir, "")
	case ok:
		return w.show(Whiteout, path.Join(dir, report.ValidPath(name)), "")
	default:
		return nil
	}
}

// showOther shows what is neither a directory nor a regular file.
func (w *dirWalker) showOther(p string, dir int, base string, typ uint8) error {
	switch typ {
	case unix.DT_LNK:
		target, err := readlinkAt(dir, base)
		if err != nil {
			return fmt.Errorf("read link %s: %w", p, err)
		}
		return w.show(Symlink, p, report.ValidPath(target))
	case unix.DT_CHR:
		white, err := deviceWhiteout(dir, base)
		if err != nil {
			return fmt.Errorf("stat %s: %w", p, err)
		}
		if white {
			return w.show(Whiteout, p, "")
		}
	}
	return w.show(Other, p, "")
}

// show shows an entry that is not a file.
func (w *dirWalker) show(kind Kind, p, target string) error {
	w.entry = Entry{Kind: kind, Path: p, Target: target}
	return w.visit(&w.entry)
}

// showDir shows a directory with its stat data.
func (w *dirWalker) showDir(p string, info dirInfo) error {
	w.info = info
	w.info.folder, w.info.root = true, w.owner
	w.entry = Entry{Kind: Dir, Path: p, Info: &w.info}
	return w.visit(&w.entry)
}

// showFile shows the regular file base that the directory dir holds for f.
func (w *dirWalker) showFile(p string, dir int, base string, f *folder) error {
	w.info = dirInfo{dir: dir, name: base, root: w.owner}
	w.file = dirFile{w: w, dir: dir, name: base, path: p, folder: f}
	w.entry = Entry{Kind: File, Path: p, Info: &w.info, src: &w.file}
	return w.visit(&w.entry)
}

// join is the path of name in directory at, and the name as the kernel knows it.
func (w *dirWalker) join(at string, name []byte) (p, base string, err error) {
	if !utf8.Valid(name) {
		base = string(name)
		name = []byte(report.ValidPath(base))
	}
	n := len(at) + 1 + len(name)
	if n > maxPath {
		return "", "", fmt.Errorf("%w: a path longer than %d bytes", ErrLimit, maxPath)
	}
	if w.names += n; w.names > maxNames {
		return "", "", fmt.Errorf("%w: names of more than %d bytes", ErrLimit, maxNames)
	}
	if w.paths.Cap()-w.paths.Len() < n {
		// What was handed out stays in the old block.
		w.paths = &strings.Builder{}
		w.paths.Grow(max(pathBlock, n))
	}
	start := w.paths.Len()
	if at != "/" {
		w.paths.WriteString(at)
	}
	w.paths.WriteByte('/')
	w.paths.Write(name)
	p = w.paths.String()[start:]
	if base == "" {
		base = p[len(p)-len(name):]
	}
	return p, base, nil
}

// unsupportedAt remembers that the entry at p could not be shown as it is.
func (w *dirWalker) unsupportedAt(p string, err error) {
	if w.unsupported == nil {
		if !errors.Is(err, ErrUnsupported) {
			err = fmt.Errorf("%w: %w", ErrUnsupported, err)
		}
		w.unsupported = fmt.Errorf("%s: %w", p, err)
	}
}

// parseDirent reads one struct linux_dirent64: inode and offset of 8 bytes
// each, length of 2, type of 1, and the name with a zero behind it. The name
// is nil for the directory itself and its parent; size is 0 for damage.
func parseDirent(b []byte) (name []byte, typ uint8, size int) {
	const fixed = 19
	if len(b) < fixed {
		return nil, 0, 0
	}
	size = int(b[16]) | int(b[17])<<8
	if size < fixed || size > len(b) {
		return nil, 0, 0
	}
	name = b[fixed:size]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	if string(name) == "." || string(name) == ".." || len(name) == 0 {
		return nil, 0, size
	}
	return name, b[18], size
}

// typeAt asks for the type of an entry where the directory does not tell.
func typeAt(dir int, name string) (uint8, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, err
	}
	return uint8(st.Mode & unix.S_IFMT >> 12), nil
}

// deviceWhiteout reports whether a character device has the number 0:0.
func deviceWhiteout(dir int, name string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0, nil
}

func readlinkAt(dir int, name string) (string, error) {
	var buf [maxPath]byte
	n, err := unix.Readlinkat(dir, name, buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
