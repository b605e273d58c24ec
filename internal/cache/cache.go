package cache

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

const (
	// DefaultMaxBytes bounds the directory if Config says nothing: reports
	// of some ten thousand layers.
	DefaultMaxBytes = 1 << 30
	// maxHotBytes bounds the reports that are held ready for use.
	maxHotBytes = 32 << 20
	// maxTempAge is how long an unfinished file may lie before it counts
	// as left behind by a process that died.
	maxTempAge = time.Hour
	// measureAfter is the part of the bound, one in so many, that a process
	// may write before it looks what others have written.
	measureAfter = 8
	// touchAfter is how old a use mark may be before it is renewed: finer
	// marks would cost a write for every read.
	touchAfter = time.Minute

	// room is the directory inside Config.Dir. Its name changes with the
	// form of the files.
	room   = "layers-v1"
	suffix = ".layer"
	temp   = ".tmp-"
)

// Config says where reports are kept and how much room they may take.
type Config struct {
	// Dir is created if needed, readable by its owner only. Empty means
	// memory only.
	Dir string
	// MaxBytes bounds what the directory, or the memory, holds; 0 means
	// DefaultMaxBytes.
	MaxBytes int64
}

// A Cache holds layer reports. It is safe for concurrent use, and several
// processes may use one directory.
type Cache struct {
	max  int64
	root *os.Root // nil: memory only

	mu sync.Mutex
	// hot are reports as they are used, cold compressed ones that were hot.
	// With a directory nothing is cold: it has them all.
	hot     lru[*report.LayerReport]
	cold    lru[[]byte]
	onDisk  int64 // an estimate: other processes write too
	written int64 // since it was last measured
}

// New opens or creates a cache. The caller closes it.
func New(cfg Config) (*Cache, error) {
	if cfg.MaxBytes < 0 {
		return nil, fault.New(fault.Invalid, "layer cache: a bound of %d bytes makes no sense", cfg.MaxBytes)
	}
	c := &Cache{max: cmp.Or(cfg.MaxBytes, DefaultMaxBytes)}
	c.hot.max = min(c.max, maxHotBytes)
	if cfg.Dir == "" {
		c.cold.max = c.max - c.hot.max
		return c, nil
	}
	root, err := openRoom(filepath.Join(cfg.Dir, room))
	if err != nil {
		return nil, fmt.Errorf("open layer cache: %w", err)
	}
	c.root = root
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.sweep(); err != nil {
		root.Close()
		return nil, fmt.Errorf("read layer cache: %w", err)
	}
	return c, nil
}

// openRoom opens the directory that holds the files. Reports decide what a
// scan finds, so nobody else may write there: a directory of another owner is
// refused, a permissive one is closed.
func openRoom(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	fi, err := root.Stat(".")
	if err == nil {
		err = checkOwner(dir, fi)
	}
	if err == nil && fi.Mode().Perm()&0o077 != 0 {
		err = root.Chmod(".", 0o700)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// Close gives back the directory. The cache must not be used afterwards.
func (c *Cache) Close() error {
	if c.root == nil {
		return nil
	}
	return c.root.Close()
}

// Get returns the report of a layer by an analyser set. The caller must not
// change it: others get the same one.
func (c *Cache) Get(diffID, analyzers string) (*report.LayerReport, bool) {
	name := fileName(diffID, analyzers)
	c.mu.Lock()
	r, ok := c.hot.get(name)
	data, _ := c.cold.get(name)
	c.mu.Unlock()
	if !ok {
		if data == nil && c.root != nil {
			data = c.read(name)
		}
		if data == nil {
			return nil, false
		}
		var err error
		r, err = decode(data)
		if err != nil || r.DiffID != diffID || r.Analyzers != analyzers || !r.Complete {
			c.drop(name)
			return nil, false
		}
		c.mu.Lock()
		c.remember(name, r, sizeOf(r))
		c.mu.Unlock()
	}
	if c.root != nil {
		c.touch(name)
	}
	return r, true
}

// Put keeps r, which must not be changed any more. A report that is not
// complete is fault.Invalid, one beyond the limits of this package
// fault.TooLarge; r is not kept then, nor if it would not fit beneath the bound
// at all, which is no error.
func (c *Cache) Put(r *report.LayerReport) error {
	if r == nil || !r.Complete || r.DiffID == "" || r.Analyzers == "" {
		return fault.New(fault.Invalid, "keep layer report: only complete reports with a diff ID and an analyser set are kept")
	}
	name, size := fileName(r.DiffID, r.Analyzers), sizeOf(r)
	var data []byte
	if c.root != nil || size > c.hot.max {
		var err error
		if data, err = encode(r); err != nil {
			return fmt.Errorf("keep layer report %s: %w", r.DiffID, err)
		}
		if int64(len(data)) > c.max {
			return nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remember(name, r, size); c.root == nil {
		if data != nil {
			c.cold.put(name, data, int64(len(data)))
		}
		return nil
	}
	if err := c.write(name, data); err != nil {
		return fmt.Errorf("keep layer report %s: %w", r.DiffID, err)
	}
	// Others may have filled the rest meanwhile.
	if c.onDisk > c.max || c.written > c.max/measureAfter {
		if err := c.sweep(); err != nil {
			return fmt.Errorf("make room in layer cache: %w", err)
		}
	}
	return nil
}

// remember makes r, of a size in bytes, hot, and what has to make room for it
// cold. c.mu is held.
func (c *Cache) remember(name string, r *report.LayerReport, size int64) {
	c.cold.forget(name)
	gone := c.hot.put(name, r, size)
	if c.cold.max == 0 {
		return
	}
	for _, h := range gone {
		if data, err := encode(h.value); err == nil {
			c.cold.put(h.name, data, int64(len(data)))
		}
	}
}

// fileName is where a report lies: two hexadecimal digits as directory, then
// the whole hash of its key.
func fileName(diffID, analyzers string) string {
	sum := sha256.Sum256([]byte(diffID + "\x00" + analyzers))
	h := hex.EncodeToString(sum[:])
	return path.Join(h[:2], h+suffix)
}

// read returns the bytes of a file, nil if there is none that can be used.
func (c *Cache) read(name string) []byte {
	data, err := readFile(c.root, name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.drop(name)
		}
		return nil
	}
	return data
}

// touch keeps a file from being the next to go. Failing to costs nothing but
// a report that is made again.
func (c *Cache) touch(name string) {
	fi, err := c.root.Lstat(name)
	if err != nil || time.Since(fi.ModTime()) < touchAfter {
		return
	}
	_ = c.root.Chtimes(name, time.Time{}, time.Now())
}

// drop forgets an entry that is damaged.
func (c *Cache) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hot.forget(name)
	c.cold.forget(name)
	if c.root != nil {
		_ = c.root.RemoveAll(name)
	}
}

// write puts a file in place whole. c.mu is held.
func (c *Cache) write(name string, data []byte) error {
	dir := path.Dir(name)
	if err := c.root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	tmp := path.Join(dir, temp+rand.Text())
	// The checksum tells a file torn by a power cut, so nothing is synced.
	if err := c.root.WriteFile(tmp, data, 0o600); err != nil {
		_ = c.root.Remove(tmp)
		return err
	}
	if err := c.root.Rename(tmp, name); err != nil {
		_ = c.root.Remove(tmp)
		return err
	}
	c.onDisk += int64(len(data))
	c.written += int64(len(data))
	return nil
}

// sweep measures the directory and, beyond the bound, removes the least
// recently used files until a tenth of it is free. c.mu is held.
func (c *Cache) sweep() error {
	type file struct {
		name string
		size int64
		used time.Time
	}
	var files []file
	var total int64
	err := fs.WalkDir(c.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another process made room meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(d.Name(), temp):
			if time.Since(fi.ModTime()) > maxTempAge {
				_ = c.root.Remove(name)
			}
		case strings.HasSuffix(d.Name(), suffix):
			files = append(files, file{name, fi.Size(), fi.ModTime()})
			total += fi.Size()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if total > c.max {
		slices.SortFunc(files, func(a, b file) int {
			return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.name, b.name))
		})
		for _, f := range files {
			if total <= c.max-c.max/10 {
				break
			}
			if err := c.root.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			total -= f.size
		}
	}
	c.onDisk, c.written = total, 0
	return nil
}
