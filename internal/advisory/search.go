package advisory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

const (
	// MaxMentions bounds the records that Mentioning returns.
	MaxMentions = 1000
	// MaxConcerned bounds the packages that Concerned returns.
	MaxConcerned = 20_000
	// checkEvery is how many values a search reads before it asks whether it
	// is still wanted.
	checkEvery = 1024
)

// Mentioning returns the records that have id, or name it as an alias or a CVE,
// by id and at most MaxMentions. It reads every record, which takes up to a
// second: it is for people who ask, not for matching.
func (db *DB) Mentioning(ctx context.Context, id string) ([]Vuln, error) {
	if id == "" {
		return nil, nil
	}
	var out []Vuln
	err := db.view(func(tx *bolt.Tx) error {
		return search(ctx, tx.Bucket(bucketVulns), func(k, raw []byte) error {
			if string(k) != id && !bytes.Contains(raw, []byte(id)) || len(out) >= MaxMentions {
				return nil
			}
			v, err := decodeVuln(string(k), string(raw))
			if err != nil {
				return fmt.Errorf("read advisory %s: %w", k, err)
			}
			if v.ID == id || slices.Contains(v.Aliases, id) || slices.Contains(v.CVEs, id) {
				out = append(out, v)
			}
			return nil
		})
	})
	return out, err
}

// A Concern is a package that a record is about.
type Concern struct{ Ecosystem, Name string }

// Concerned returns the packages that have an entry of one of the records, or
// one whose Advisory is notice, in order and at most MaxConcerned. Like
// Mentioning it reads everything.
func (db *DB) Concerned(ctx context.Context, records map[string]bool, notice string) ([]Concern, error) {
	// An id that holds another one needs no search of its own.
	var needles []string
	for id := range records {
		if !strings.Contains(id, notice) || notice == "" {
			needles = append(needles, id)
		}
	}
	if notice != "" {
		needles = append(needles, notice)
	}
	slices.SortFunc(needles, func(a, b string) int { return len(a) - len(b) })
	var few [][]byte
	for _, n := range needles {
		if !slices.ContainsFunc(few, func(f []byte) bool { return strings.Contains(n, string(f)) }) {
			few = append(few, []byte(n))
		}
	}
	var out []Concern
	err := db.view(func(tx *bolt.Tx) error {
		return search(ctx, tx.Bucket(bucketPackages), func(k, raw []byte) error {
			if len(out) >= MaxConcerned || !slices.ContainsFunc(few, func(n []byte) bool { return bytes.Contains(raw, n) }) {
				return nil
			}
			eco, name, _ := strings.Cut(string(k), "\x00")
			d := decoder{s: string(raw)}
			var a Affected
			for range d.count() {
				if d.affected(&a); records[a.ID] || notice != "" && a.Advisory == notice {
					out = append(out, Concern{eco, name})
					break
				}
			}
			if d.bad {
				return fmt.Errorf("read advisories of %s %s: %w", eco, name, errCorrupt)
			}
			return nil
		})
	})
	return out, err
}

// search hands every key and value of a bucket to fn, which must not keep them.
func search(ctx context.Context, b *bolt.Bucket, fn func(k, v []byte) error) error {
	c := b.Cursor()
	n := 0
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return fmt.Errorf("search advisory database: %w", ctx.Err())
		}
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}
