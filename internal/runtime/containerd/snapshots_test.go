package containerd

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

// write sets the id of each of n committed snapshots to gen, in one
// transaction, in containerd's layout.
func write(t testing.TB, db *bolt.DB, n int, gen uint64) {
	t.Helper()
	err := db.Update(func(tx *bolt.Tx) error {
		v1, err := tx.CreateBucketIfNotExists([]byte("v1"))
		if err != nil {
			return err
		}
		all, err := v1.CreateBucketIfNotExists([]byte("snapshots"))
		if err != nil {
			return err
		}
		for i := range n {
			b, err := all.CreateBucketIfNotExists(fmt.Appendf(nil, "default/%d/%s", i, image.DigestOf(fmt.Append(nil, i))))
			if err != nil {
				return err
			}
			for k, v := range map[string][]byte{
				"kind": {kindCommitted}, "id": binary.AppendUvarint(nil, gen), "size": binary.AppendUvarint(nil, 7),
				"labels": []byte(strings.Repeat("x", int(gen%300))), // so that pages move
			} {
				if err := b.Put([]byte(k), v); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func openDB(t testing.TB, root string) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(filepath.Join(root, "metadata.db"), 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestRefreshIsWhole reads the database while another handle, which holds the
// lock, writes to it without pause: each reading must be the state between two
// transactions.
func TestRefreshIsWhole(t *testing.T) {
	root := t.TempDir()
	db := openDB(t, root)
	const n = 400
	write(t, db, n, 1)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for gen := uint64(2); ; gen++ {
			select {
			case <-stop:
				return
			default:
				write(t, db, n, gen)
			}
		}
	}()
	whole, generations := 0, map[uint64]bool{}
	for range 300 {
		var s snapshots
		err := s.refresh(root)
		if fault.CodeOf(err) == fault.Unavailable {
			continue // each copy was overtaken, and it says so
		}
		if err != nil {
			t.Error(err)
			break
		}
		ids := map[uint64]bool{}
		for _, snap := range s.index.by {
			ids[snap.id] = true
			generations[snap.id] = true
		}
		if len(s.index.by) != n || len(ids) != 1 {
			t.Errorf("%d snapshots of %d generations, want %d of one", len(s.index.by), len(ids), n)
			break
		}
		whole++
	}
	close(stop)
	<-stopped
	t.Logf("%d whole readings, %d generations", whole, len(generations))
	var s snapshots
	if err := s.refresh(root); err != nil || len(s.index.by) != n {
		t.Errorf("in quiet: %d snapshots, %v", len(s.index.by), err)
	}
}

func TestReadIndex(t *testing.T) {
	root := t.TempDir()
	db := openDB(t, root)
	chain := image.DigestOf([]byte("layer"))
	err := db.Update(func(tx *bolt.Tx) error {
		v1, err := tx.CreateBucket([]byte("v1"))
		if err != nil {
			return err
		}
		all, err := v1.CreateBucket([]byte("snapshots"))
		if err != nil {
			return err
		}
		for key, v := range map[string]struct {
			kind byte
			id   uint64
		}{
			"two/9/" + string(chain):                            {kindCommitted, 9},
			"one/5/" + string(chain):                            {kindCommitted, 5}, // the lower id, always the same
			"one/6/" + string(image.DigestOf([]byte("active"))): {2, 6},
			"one/7/extract-1 " + string(chain):                  {kindCommitted, 7},
			"one/8/" + chain.Hex():                              {kindCommitted, 8},
			string(image.DigestOf([]byte("no namespace"))):      {kindCommitted, 10},
		} {
			b, err := all.CreateBucket([]byte(key))
			if err != nil {
				return err
			}
			if err := b.Put([]byte("kind"), []byte{v.kind}); err != nil {
				return err
			}
			if err := b.Put([]byte("id"), binary.AppendUvarint(nil, v.id)); err != nil {
				return err
			}
		}
		b, err := all.CreateBucket([]byte("one/11/" + string(image.DigestOf([]byte("no id")))))
		if err != nil {
			return err
		}
		return b.Put([]byte("kind"), []byte{kindCommitted})
	})
	if err != nil {
		t.Fatal(err)
	}
	var s snapshots
	if err := s.refresh(root); err != nil {
		t.Fatal(err)
	}
	if len(s.index.by) != 1 || s.index.by[chain].id != 5 {
		t.Errorf("got %+v, want snapshot 5 alone", s.index.by)
	}
}

func TestDamagedDatabase(t *testing.T) {
	root := t.TempDir()
	db := openDB(t, root)
	write(t, db, 200, 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(root, "metadata.db"))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	damage := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), whole...)) }
	for _, tc := range []struct {
		name string
		b    []byte
	}{
		{"empty", nil},
		{"short", whole[:10]},
		{"one page", whole[:page]},
		{"page size", damage(func(b []byte) []byte { binary.NativeEndian.PutUint32(b[24:], 1<<20); return b })},
		{"meta pages", damage(func(b []byte) []byte { clear(b[32 : 2*page]); return b })},
		{"page numbers", damage(func(b []byte) []byte {
			for at := 2 * page; at < len(b); at += page {
				const branch, header, element = 1, 16, 16 // of bbolt's page format
				if binary.NativeEndian.Uint16(b[at+8:]) != branch {
					continue
				}
				for i := range int(binary.NativeEndian.Uint16(b[at+10:])) {
					binary.NativeEndian.PutUint64(b[at+header+i*element+8:], 1<<30)
				}
			}
			return b
		})},
		{"all other pages", damage(func(b []byte) []byte {
			for i := 2 * page; i < len(b); i++ {
				b[i] ^= 0x55
			}
			return b
		})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "metadata.db"), tc.b, 0o600); err != nil {
				t.Fatal(err)
			}
			var s snapshots
			if err := s.refresh(dir); err == nil {
				t.Error("no error")
			}
			if len(s.index.by) != 0 {
				t.Errorf("%d snapshots of a damaged database", len(s.index.by))
			}
		})
	}
}

func TestHugeDatabase(t *testing.T) {
	root := t.TempDir()
	db := openDB(t, root)
	write(t, db, 1, 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "metadata.db")
	for _, tc := range []struct {
		size int64
		want fault.Code
		ok   bool
	}{{maxMetadataBytes + 1, fault.TooLarge, false}, {1 << 20, fault.Internal, true}} {
		if err := os.Truncate(file, tc.size); err != nil { // sparse
			t.Fatal(err)
		}
		var s snapshots
		if err := s.refresh(root); (err == nil) != tc.ok || fault.CodeOf(err) != tc.want {
			t.Errorf("%d bytes: got %v", tc.size, err)
		}
	}
}
