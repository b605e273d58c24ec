package advisory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/onceover/onceover/internal/fault"
)

// Buckets of a generation. Their keys are sorted, which is what "the content
// in order" means for the id.
var (
	bucketCVE      = []byte("cve")     // CVE id -> CVE
	bucketMeta     = []byte("meta")    // metaKey -> Meta as JSON
	bucketPackages = []byte("package") // ecosystem NUL name -> list of Affected
	bucketVulns    = []byte("vuln")    // advisory id -> Vuln

	metaKey = []byte("meta")
)

const (
	// pageSize is fixed, so that a file is the same on every machine.
	pageSize = 4096
	// lockWait is how long Open waits for a writer to go away. Nothing
	// writes to a finished generation, so any wait is a mistake.
	lockWait = 2 * time.Second
	// maxMetaBytes bounds the meta record of a foreign file.
	maxMetaBytes = 8 << 20
)

// A DB is an open generation. It is safe for concurrent use.
type DB struct {
	bolt *bolt.DB
	meta Meta

	// mu is held for reading while tx is used, which is open until Close. To
	// begin a transaction for each read takes longer than most reads.
	mu       sync.RWMutex
	tx       *bolt.Tx
	packages table
	vulns    table
	cves     table

	// reads since the map was released last; see touched.
	reads atomic.Uint32
}

// releaseAfter is how many reads pass until the memory of the map is given
// back. The kernel maps 64 KiB around each page that is touched, so that a few
// thousand reads make all of a generation resident: 50 MB for what is known of
// a few thousand packages. This many hold it below about 8 MB, at a tenth more
// CPU time for the pages that are touched again.
const releaseAfter = 128

// touched counts a read, and gives the memory of the map back now and then.
func (db *DB) touched() {
	if n := db.reads.Add(1); n%releaseAfter == 0 {
		releaseMap(db.bolt.Info().Data, uintptr(db.meta.Bytes))
	}
}

// Open opens the generation at path. Without a file the error is
// fault.NotFound and says how to get one; a file that is damaged or of another
// schema is fault.Unavailable.
func Open(path string) (*DB, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound,
			"no advisory database at %s: get one with `onceover db update --to %s`, or without a network `onceover db build` or `onceover db import`", path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open advisory database: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return nil, fault.New(fault.Invalid, "advisory database %s: not a regular file", path)
	}
	// The size counts of the file that is opened: the one of this name may
	// have been replaced meanwhile.
	var file *os.File
	b, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: lockWait, NoStatistics: true,
		OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		}})
	if err != nil {
		return nil, damaged(path, err)
	}
	db := &DB{bolt: b}
	if fi, err = file.Stat(); err != nil {
		b.Close()
		return nil, damaged(path, err)
	}
	if err := db.load(fi); err != nil {
		b.Close()
		return nil, damaged(path, err)
	}
	if err := db.keep(); err != nil {
		b.Close()
		return nil, damaged(path, err)
	}
	if db.meta.Schema != Schema {
		db.Close()
		return nil, fault.New(fault.Unavailable,
			"advisory database %s has schema %d, this program reads %d: get a new one with `onceover db update` or `onceover db build`", path, db.meta.Schema, Schema)
	}
	return db, nil
}

func damaged(path string, err error) error {
	return fault.New(fault.Unavailable,
		"advisory database %s cannot be read, get a new one with `onceover db update` or `onceover db build`: %w", path, err)
}

func (db *DB) load(fi fs.FileInfo) error {
	return db.view(func(tx *bolt.Tx) error {
		if size := tx.Size(); size > fi.Size() {
			return fmt.Errorf("%w: %d bytes of %d", errCorrupt, fi.Size(), size)
		}
		b := tx.Bucket(bucketMeta)
		if b == nil || tx.Bucket(bucketPackages) == nil || tx.Bucket(bucketVulns) == nil || tx.Bucket(bucketCVE) == nil {
			return errors.New("not an advisory database")
		}
		raw := b.Get(metaKey)
		if len(raw) > maxMetaBytes {
			return fmt.Errorf("%w: a description of %d bytes", errCorrupt, len(raw))
		}
		if err := json.Unmarshal(raw, &db.meta); err != nil {
			return fmt.Errorf("read its description: %w", err)
		}
		db.meta.Built = fi.ModTime().UTC()
		db.meta.Bytes = fi.Size()
		return nil
	})
}

// A table is a bucket that single values are read from.
type table struct {
	bucket *bolt.Bucket
	// cursors that are at rest. One serves one read at a time.
	cursors sync.Pool
}

// keep opens the transaction that single values are read in.
func (db *DB) keep() (err error) {
	if db.tx, err = db.bolt.Begin(false); err != nil {
		return err
	}
	return guarded(func() error {
		db.packages.bucket, db.vulns.bucket, db.cves.bucket = db.tx.Bucket(bucketPackages), db.tx.Bucket(bucketVulns), db.tx.Bucket(bucketCVE)
		return nil
	})
}

// read returns a copy of what stands at key, "" if nothing does.
func (db *DB) read(from *table, key []byte) (raw string, err error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.tx == nil {
		return "", fmt.Errorf("read advisory database: %w", berrors.ErrDatabaseNotOpen)
	}
	db.touched() // while the transaction keeps the map from going away
	err = guarded(func() error {
		c, ok := from.cursors.Get().(*bolt.Cursor)
		if !ok {
			c = from.bucket.Cursor()
		}
		if k, v := c.Seek(key); bytes.Equal(k, key) {
			raw = string(v)
		}
		from.cursors.Put(c)
		return nil
	})
	return raw, err
}

// guarded runs fn, which reads the map. Damage that bbolt meets there (a page
// that makes no sense, a file that was cut short under us) surfaces as a panic or
// a memory fault, and becomes an error here.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read advisory database: %w: %v", errCorrupt, p)
		}
	}()
	return fn()
}

// view runs fn in a read transaction of its own.
func (db *DB) view(fn func(*bolt.Tx) error) (err error) {
	tx, err := db.bolt.Begin(false)
	if err != nil {
		return fmt.Errorf("read advisory database: %w", err)
	}
	defer func() {
		if e := tx.Rollback(); e != nil && err == nil {
			err = fmt.Errorf("read advisory database: %w", e)
		}
	}()
	db.touched()
	return guarded(func() error { return fn(tx) })
}

// Close closes the file. It waits for queries that are running.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.tx != nil {
		// It was opened for reading: there is nothing that could fail.
		_ = db.tx.Rollback()
		db.tx = nil
	}
	db.mu.Unlock()
	if err := db.bolt.Close(); err != nil {
		return fmt.Errorf("close advisory database: %w", err)
	}
	return nil
}

// Meta describes the generation. The caller must not change its maps.
func (db *DB) Meta() Meta { return db.meta }

// Starter reports whether this is the generation that is part of the program.
func (db *DB) Starter() bool { return db.meta.Starter }

// HasEcosystem reports whether there are records for exactly this ecosystem,
// release included: "Debian:12".
func (db *DB) HasEcosystem(ecosystem string) bool {
	_, ok := db.meta.Ecosystems[ecosystem]
	return ok
}

// Affected returns what concerns a package, by advisory id; nil if nothing
// does. The name is brought into the ecosystem's form first (see Name).
func (db *DB) Affected(ecosystem, name string) ([]Affected, error) {
	raw, err := db.read(&db.packages, packageKey(ecosystem, name))
	if err != nil || raw == "" {
		return nil, err
	}
	return decodeAffected(ecosystem, name, raw)
}

func decodeAffected(ecosystem, name, raw string) ([]Affected, error) {
	d := decoder{s: raw}
	out := make([]Affected, d.count())
	for i := range out {
		d.more = len(out) - i
		d.affected(&out[i])
		out[i].Ecosystem, out[i].Name = ecosystem, name
	}
	if err := d.err(); err != nil {
		return nil, fmt.Errorf("read advisories of %s %s: %w", ecosystem, name, err)
	}
	return out, nil
}

func packageKey(ecosystem, name string) []byte {
	return []byte(ecosystem + "\x00" + Name(ecosystem, name))
}

// Vuln returns an advisory by its id; nil if there is none.
func (db *DB) Vuln(id string) (*Vuln, error) {
	raw, err := db.get(&db.vulns, id)
	if err != nil || raw == "" {
		return nil, err
	}
	v, err := decodeVuln(id, raw)
	if err != nil {
		return nil, fmt.Errorf("read advisory %s: %w", id, err)
	}
	return &v, nil
}

// CVE returns what is known about a CVE; nil if that is nothing.
func (db *DB) CVE(id string) (*CVE, error) {
	raw, err := db.get(&db.cves, id)
	if err != nil || raw == "" {
		return nil, err
	}
	c, err := decodeCVE(id, raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", id, err)
	}
	return &c, nil
}

func (db *DB) get(from *table, key string) (string, error) {
	if key == "" {
		return "", nil
	}
	return db.read(from, []byte(key))
}

// Verify reads everything and compares it with the id.
func (db *DB) Verify(ctx context.Context) error {
	h := newContentHash()
	err := db.view(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketCVE, bucketPackages, bucketVulns} {
			c := tx.Bucket(name).Cursor()
			n := 0
			for k, v := c.First(); k != nil; k, v = c.Next() {
				h.add(name, k, v)
				if n++; n%1024 == 0 && ctx.Err() != nil {
					return fmt.Errorf("verify advisory database: %w", ctx.Err())
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	got, err := h.sum(db.meta)
	if err != nil {
		return err
	}
	if got != db.meta.ID {
		return fault.New(fault.Unavailable, "advisory database: %w: its content is not that of generation %.12s", errCorrupt, db.meta.ID)
	}
	return nil
}

// contentHash makes the id of a generation.
type contentHash struct{ h hash.Hash }

func newContentHash() contentHash { return contentHash{sha256.New()} }

func (c contentHash) add(bucket, k, v []byte) {
	var e encoder
	e.string(string(bucket))
	e.uint(uint64(len(k)))
	e.uint(uint64(len(v)))
	c.h.Write(e)
	c.h.Write(k)
	c.h.Write(v)
}

func (c contentHash) sum(m Meta) (string, error) {
	m.ID = ""
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encode description: %w", err)
	}
	if _, err := c.h.Write(b); err != nil {
		return "", fmt.Errorf("hash description: %w", err)
	}
	return hex.EncodeToString(c.h.Sum(nil)), nil
}

// Each calls fn for every package of the generation with what concerns it, in
// the order of their keys. fn may keep what it is given.
func (db *DB) Each(ctx context.Context, fn func(ecosystem, name string, as []Affected) error) error {
	return db.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketPackages).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			ecosystem, name, _ := strings.Cut(string(k), "\x00")
			as, err := decodeAffected(ecosystem, name, string(v))
			if err != nil {
				return err
			}
			if err := fn(ecosystem, name, as); err != nil {
				return err
			}
		}
		return nil
	})
}
