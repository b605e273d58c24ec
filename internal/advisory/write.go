package advisory

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// txBytes is how much is written in one transaction: bbolt keeps what is not
// committed in memory.
const txBytes = 32 << 20

// write sorts everything into a new file beside the target and renames it.
func (b *builder) write(ctx context.Context) (Meta, error) {
	b.progress("write", filepath.Base(b.opts.To), 0, 0)
	tmp := filepath.Join(b.work.dir, "generation")
	if err := b.writeFile(ctx, tmp); err != nil {
		return Meta{}, fmt.Errorf("build advisory database: %w", err)
	}
	var check func(Meta) error
	if b.opts.check != nil {
		check = func(old Meta) error { return b.opts.check(old, b.meta) }
	}
	if err := place(tmp, b.opts.To, b.opts.Keep, check); err != nil {
		return Meta{}, fmt.Errorf("build advisory database: %w", err)
	}
	fi, err := os.Stat(b.opts.To)
	if err != nil {
		return Meta{}, fmt.Errorf("build advisory database: %w", err)
	}
	m := b.meta
	m.Built, m.Bytes = fi.ModTime().UTC(), fi.Size()
	return m, nil
}

func (b *builder) writeFile(ctx context.Context, path string) (err error) {
	out, err := newOutput(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.close(); e != nil && err == nil {
			err = e
		}
	}()
	err = b.spool.groups(func(key []byte, values [][]byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return b.writeGroup(out, key[0], key[1:], values)
	})
	if err != nil {
		return err
	}
	if b.meta.ID, err = out.hash.sum(b.meta); err != nil {
		return err
	}
	raw, err := json.Marshal(b.meta)
	if err != nil {
		return fmt.Errorf("encode description: %w", err)
	}
	return out.put(bucketMeta, metaKey, raw)
}

func (b *builder) writeGroup(out *output, kind byte, key []byte, values [][]byte) error {
	switch kind {
	case kindCVE:
		c, ok, err := joinCVE(string(key), values)
		if err != nil || !ok {
			return err
		}
		b.meta.CVEs++
		if c.KEV {
			b.meta.KEV++
		}
		if c.EPSS > 0 {
			b.meta.EPSS++
		}
		return out.content(bucketCVE, key, encodeCVE(c))
	case kindPackage:
		as, err := joinAffected(values)
		if err != nil {
			return err
		}
		b.count(string(key), len(as))
		var e encoder
		e.uint(uint64(len(as)))
		for _, a := range as {
			e.affected(a)
		}
		return out.content(bucketPackages, key, e)
	default:
		v, err := joinVuln(string(key), values)
		if err != nil {
			return err
		}
		b.meta.Records++
		return out.content(bucketVulns, key, encodeVuln(v))
	}
}

// An output writes a generation in ascending order of keys.
type output struct {
	db     *bolt.DB
	tx     *bolt.Tx
	bucket *bolt.Bucket
	name   string
	size   int
	hash   contentHash
}

func newOutput(path string) (*output, error) {
	db, err := bolt.Open(path, 0o644, &bolt.Options{
		NoSync:         true, // synced once, at the end
		NoFreelistSync: true,
		NoGrowSync:     true,
		FreelistType:   bolt.FreelistArrayType, // the other one allocates pages in random order
		PageSize:       pageSize,
	})
	if err != nil {
		return nil, fmt.Errorf("create database: %w", err)
	}
	o := &output{db: db, hash: newContentHash()}
	if o.tx, err = db.Begin(true); err != nil {
		db.Close()
		return nil, fmt.Errorf("create database: %w", err)
	}
	for _, name := range [][]byte{bucketCVE, bucketMeta, bucketPackages, bucketVulns} {
		if err := o.open(name); err != nil {
			o.close()
			return nil, err
		}
	}
	return o, nil
}

// content puts what counts for the id.
func (o *output) content(bucket, k, v []byte) error {
	o.hash.add(bucket, k, v)
	return o.put(bucket, k, v)
}

func (o *output) put(bucket, k, v []byte) error {
	if o.name != string(bucket) || o.size >= txBytes {
		if err := o.open(bucket); err != nil {
			return err
		}
	}
	o.size += len(k) + len(v)
	if err := o.bucket.Put(k, v); err != nil {
		return fmt.Errorf("write %q: %w", k, err)
	}
	return nil
}

// open commits, and begins a transaction for one bucket alone: with several in
// one transaction bbolt places their pages in random order.
func (o *output) open(bucket []byte) error {
	if err := o.tx.Commit(); err != nil {
		return fmt.Errorf("write database: %w", err)
	}
	var err error
	if o.tx, err = o.db.Begin(true); err != nil {
		return fmt.Errorf("write database: %w", err)
	}
	if o.bucket, err = o.tx.CreateBucketIfNotExists(bucket); err != nil {
		return fmt.Errorf("write database: %w", err)
	}
	o.bucket.FillPercent = 1 // keys ascend, so pages are never split again
	o.name, o.size = string(bucket), 0
	return nil
}

func (o *output) close() error {
	var err error
	if o.tx != nil {
		err = o.tx.Commit()
	}
	if err == nil {
		err = o.db.Sync()
	}
	if e := o.db.Close(); e != nil && err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("write database: %w", err)
	}
	return nil
}

// replace puts the finished file in place of the old one: synced, readable for
// all, in one step.
func replace(from, to string) error {
	if err := os.Chmod(from, 0o644); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}
