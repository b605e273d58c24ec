package advisory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/onceover/onceover/internal/fault"
)

// DefaultKeep is how many former generations stay beside the present one.
const DefaultKeep = 3

const (
	// minIDPrefix is the shortest beginning of an id that names a
	// generation.
	minIDPrefix = 4
	// nameDigits is how much of the id the file of a former generation is
	// called by.
	nameDigits = 12
	// dirLockWait is how long to wait for another process that puts a
	// generation in place, which takes it milliseconds.
	dirLockWait = 30 * time.Second
	// workMarker is in every working directory, locked by the process that
	// uses it.
	workMarker = ".onceover"
)

// workPrefixes begin the names of working directories beside a generation.
var workPrefixes = []string{".build-", ".export-", ".fetch-", ".import-"}

// A Generation is one that lies at its place or is kept beside it.
type Generation struct {
	// Path of the file.
	Path string
	// Present is set for the one in use.
	Present bool
	// Meta describes it; the zero Meta if Err is set.
	Meta Meta
	// Err says why the file cannot be used.
	Err error
}

// KeptDir is the directory of the former generations of the one at path:
// advisories.d beside advisories.db.
func KeptDir(path string) string { return strings.TrimSuffix(path, ".db") + ".d" }

// Generations lists the one at path, if there is one, and then the former ones,
// the newest first.
func Generations(path string) ([]Generation, error) {
	var out []Generation
	present := ""
	if _, err := os.Stat(path); err == nil {
		m, err := Status(path)
		present = m.ID
		out = append(out, Generation{path, true, m, err})
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list generations: %w", err)
	}
	former, err := formerOf(path)
	if err != nil {
		return nil, err
	}
	for _, g := range former {
		if g.Err != nil || g.Meta.ID != present {
			out = append(out, g)
		}
	}
	return out, nil
}

// formerOf lists the files of the former generations, the newest first and
// those that cannot be read last.
func formerOf(path string) ([]Generation, error) {
	entries, err := os.ReadDir(KeptDir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list generations: %w", err)
	}
	var out []Generation
	for _, e := range entries {
		if !isKeptName(e.Name()) || !e.Type().IsRegular() {
			continue // a foreign file, or a copy that was not finished
		}
		p := filepath.Join(KeptDir(path), e.Name())
		m, err := Status(p)
		if err == nil && !strings.HasPrefix(m.ID, strings.TrimSuffix(e.Name(), ".db")) {
			m, err = Meta{}, fault.New(fault.Unavailable, "%s is generation %.12s, not what its name says", p, m.ID)
		}
		out = append(out, Generation{Path: p, Meta: m, Err: err})
	}
	slices.SortStableFunc(out, func(a, b Generation) int {
		return cmp.Or(b.Meta.Built.Compare(a.Meta.Built), strings.Compare(a.Path, b.Path))
	})
	return out, nil
}

func isKeptName(name string) bool {
	id, ok := strings.CutSuffix(name, ".db")
	return ok && len(id) == nameDigits && isHex(id)
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// Kept finds the file of a generation, the one at path or a former one, by its
// id or a beginning of it. The error is fault.NotFound if it is not here,
// fault.Invalid if the beginning fits several.
func Kept(path, id string) (string, error) {
	id = strings.ToLower(id)
	if len(id) < minIDPrefix || !isHex(id) {
		return "", fault.New(fault.Invalid, "%q is not the id of a generation: want %d hexadecimal digits of it or more", id, minIDPrefix)
	}
	all, err := Generations(path)
	if err != nil {
		return "", err
	}
	var found []string
	for _, g := range all {
		if g.Err == nil && strings.HasPrefix(g.Meta.ID, id) {
			found = append(found, g.Path)
		}
	}
	switch len(found) {
	case 0:
		return "", fault.New(fault.NotFound, "generation %.12s is not kept beside %s: `onceover db list` shows those that are", id, path)
	case 1:
		return found[0], nil
	default:
		return "", fault.New(fault.Invalid, "%s is the beginning of %d generations: give more digits", id, len(found))
	}
}

// Rollback puts a former generation in place of the one at path, after every
// byte of it was checked; the one that was there is kept. Without an id it is
// the newest that is older than the present one.
func Rollback(ctx context.Context, path, id string, keep int) (Meta, error) {
	from, err := rollbackTo(path, id)
	if err != nil {
		return Meta{}, err
	}
	m, err := verified(ctx, from)
	if err != nil {
		return Meta{}, fmt.Errorf("roll back: %w", err)
	}
	w, err := newWork(filepath.Dir(path), ".import-")
	if err != nil {
		return Meta{}, fmt.Errorf("roll back: %w", err)
	}
	defer w.close()
	tmp := filepath.Join(w.dir, "generation")
	if err := linkOrCopy(from, tmp); err != nil {
		return Meta{}, fmt.Errorf("roll back: %w", err)
	}
	if err := place(tmp, path, keep, nil); err != nil {
		return Meta{}, fmt.Errorf("roll back: %w", err)
	}
	return m, nil
}

func rollbackTo(path, id string) (string, error) {
	present, err := Status(path)
	if id == "" && err != nil {
		return "", fmt.Errorf("say which generation to go back to, `onceover db list` shows them: %w", err)
	}
	if id != "" {
		from, err := Kept(path, id)
		if err == nil && from == path {
			return "", fault.New(fault.Conflict, "generation %.12s is the present one", present.ID)
		}
		return from, err
	}
	former, err := formerOf(path)
	if err != nil {
		return "", err
	}
	for _, g := range former {
		if g.Err == nil && g.Meta.ID != present.ID && g.Meta.Built.Before(present.Built) {
			return g.Path, nil
		}
	}
	return "", fault.New(fault.NotFound, "no generation older than the present one is kept beside %s", path)
}

// verified reads every byte of the generation at path.
func verified(ctx context.Context, path string) (Meta, error) {
	db, err := Open(path)
	if err != nil {
		return Meta{}, err
	}
	err = db.Verify(ctx)
	m := db.Meta()
	if e := db.Close(); e != nil && err == nil {
		err = e
	}
	if err != nil {
		return Meta{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// place puts a finished and synced file in place of the generation at to, in
// one step: whoever opens to gets the old generation or the new one, whole. The
// old one is kept, and of those kept before the oldest are removed until there
// are keep: DefaultKeep if that is 0, none if it is negative. check, which may
// be nil, can refuse the new one for what the old one is, the zero Meta if there
// is none that can be read.
func place(from, to string, keep int, check func(old Meta) error) error {
	unlock, err := lockDir(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer unlock()
	next, err := Status(from)
	if err != nil {
		return err
	}
	old, err := Status(to)
	readable := err == nil
	if check != nil {
		if err := check(old); err != nil {
			return err
		}
	}
	if keep == 0 {
		keep = DefaultKeep
	}
	if readable && keep > 0 && old.ID != next.ID {
		if err := keepFormer(to, old); err != nil {
			return fmt.Errorf("keep the former generation: %w", err)
		}
	}
	if err := replace(from, to); err != nil {
		return err
	}
	return prune(to, next.ID, old.ID, max(keep, 0))
}

// keepFormer gives the file at path a second name among the former ones.
func keepFormer(path string, m Meta) error {
	dir := KeptDir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := filepath.Join(dir, m.ID[:nameDigits]+".db")
	if kept, err := Status(name); err == nil && kept.ID == m.ID {
		return nil
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := linkOrCopy(path, name); err != nil {
		return err
	}
	return syncDir(dir)
}

// linkOrCopy gives a file a second name or, on a file system that has no hard
// links, a copy that appears when it is complete.
func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(to), ".copy-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := copyFile(tmp, from); err != nil {
		return err
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return err
	}
	if err := os.Chtimes(tmp.Name(), fi.ModTime(), fi.ModTime()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}

// prune removes the oldest of the former generations; never the one that was
// present until now, which others may still want to compare with.
func prune(path, present, former string, keep int) error {
	all, err := formerOf(path)
	if err != nil {
		return err
	}
	left := keep
	if keep > 0 && slices.ContainsFunc(all, func(g Generation) bool { return g.Err == nil && g.Meta.ID == former && former != present }) {
		left--
	}
	for _, g := range all {
		switch {
		case g.Err == nil && g.Meta.ID == present: // a second name of the present one
		case g.Err == nil && g.Meta.ID == former && keep > 0:
			continue
		case g.Err == nil && left > 0:
			left--
			continue
		case g.Err != nil && !unusable(g.Err):
			continue
		}
		if err := os.Remove(g.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a former generation: %w", err)
		}
	}
	copies, err := filepath.Glob(filepath.Join(globQuote(KeptDir(path)), ".copy-*"))
	if err != nil {
		return err
	}
	for _, c := range copies { // of a process that was killed: we hold the lock
		os.Remove(c)
	}
	return nil
}

// unusable reports whether a generation will not be better later: the system
// may have had no file or memory left just now.
func unusable(err error) bool {
	var errno syscall.Errno
	return !errors.As(err, &errno) && !errors.Is(err, bolterrors.ErrTimeout)
}

// globQuote makes a path its own pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// A work is a directory beside a generation in which a new one is made. It is
// locked for as long as its process lives, so that others can tell it from what
// a killed one left behind.
type work struct {
	dir    string
	marker *os.File
}

// newWork makes a working directory in dir, and removes those of processes that
// are dead.
func newWork(dir, prefix string) (*work, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	sweep(dir)
	w := &work{}
	if w.dir, err = os.MkdirTemp(dir, prefix); err != nil {
		return nil, err
	}
	w.marker, err = os.OpenFile(filepath.Join(w.dir, workMarker), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = flock(w.marker, syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *work) close() {
	os.RemoveAll(w.dir)
	if w.marker != nil {
		w.marker.Close()
	}
}

// sweep removes the working directories in dir that nobody uses. It is called
// with dir locked, so none is just being made. What it cannot remove stays.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() && slices.ContainsFunc(workPrefixes, func(p string) bool { return strings.HasPrefix(e.Name(), p) }) {
			sweepOne(filepath.Join(dir, e.Name()))
		}
	}
}

func sweepOne(dir string) {
	f, err := os.OpenFile(filepath.Join(dir, workMarker), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		// Killed before it had a marker, or somebody else's: only an
		// empty one goes.
		os.Remove(dir)
		return
	}
	if err != nil {
		return
	}
	defer f.Close()
	if flock(f, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		// The marker goes last: a sweep that is killed too leaves
		// something that the next one knows.
		entries, err := os.ReadDir(dir)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.Name() != workMarker {
				os.RemoveAll(filepath.Join(dir, e.Name()))
			}
		}
		os.RemoveAll(dir)
	}
}

// lockDir makes this process the only one that puts generations in place in
// dir. It is held for moments.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(dirLockWait); ; time.Sleep(10 * time.Millisecond) {
		err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			// A file system without locks on directories: everything
			// but the removal of leftovers works without one.
			return func() { f.Close() }, nil
		case time.Now().After(end):
			f.Close()
			return nil, fault.New(fault.Conflict, "another process keeps %s locked", dir)
		}
	}
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
