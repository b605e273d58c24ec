package advisory

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/onceover/onceover/test/shareddata"
)

// manifold writes every entry of a generation n times under different keys; if
// other is set, without one advisory in a hundred.
func manifold(b *testing.B, db *DB, n int, other bool) *DB {
	b.Helper()
	path := filepath.Join(b.TempDir(), "a.db")
	out, err := newOutput(path)
	if err != nil {
		b.Fatal(err)
	}
	m := db.Meta()
	err = db.view(func(tx *bolt.Tx) error {
		for i := range n {
			for _, bucket := range payloadBuckets {
				seen := 0
				err := tx.Bucket(bucket.name).ForEach(func(k, v []byte) error {
					seen++
					if other && bucket.kind == kindVuln && seen%100 == 0 {
						return nil
					}
					return out.content(bucket.name, fmt.Appendf(nil, "%02d%s", i, k), v)
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	if m.ID, err = out.hash.sum(m); err != nil {
		b.Fatal(err)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	if err := out.put(bucketMeta, metaKey, raw); err != nil {
		b.Fatal(err)
	}
	if err := out.close(); err != nil {
		b.Fatal(err)
	}
	wide, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { wide.Close() })
	return wide
}

// BenchmarkCompare compares all shared records, and ten times as many, with the
// same without one advisory in a hundred.
func BenchmarkCompare(b *testing.B) {
	to := filepath.Join(b.TempDir(), "a.db")
	if _, err := Build(b.Context(), BuildOptions{From: filepath.Join(shareddata.Dir(b), "osv"), To: to}); err != nil {
		b.Fatal(err)
	}
	db, err := Open(to)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("x%d", n), func(b *testing.B) {
			old, next := manifold(b, db, n, false), manifold(b, db, n, true)
			b.ReportAllocs()
			for b.Loop() {
				d, err := Compare(b.Context(), old, next)
				if err != nil || len(d.Removed) == 0 || len(d.Added) > 0 {
					b.Fatalf("%d packages: %v", len(d.Packages), err)
				}
			}
			b.ReportMetric(float64(next.Meta().Bytes)/1e6, "MB/generation")
		})
	}
}
