package advisory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// A Key is one place of a generation where the advisories of a package stand.
type Key struct{ Ecosystem, Name string }

// A Diff is what changed from one generation to another.
type Diff struct {
	// From and To are ids of generations.
	From, To string
	// Packages whose matching may give another result: their entries
	// differ, or an advisory they name, or the CVSS, date or KEV of a CVE
	// behind one of those. Sorted by ecosystem and name.
	Packages []Key
	// Added, Removed and Changed are ids of advisories, sorted.
	Added, Removed, Changed []string
	// CVEs whose facts beside advisories changed (EPSS, KEV, description,
	// CVSS), sorted. Those whose EPSS or description alone changed touch
	// no package.
	CVEs []string
}

// Empty reports whether nothing changed that a finding can show.
func (d *Diff) Empty() bool {
	return len(d.Packages)+len(d.Added)+len(d.Removed)+len(d.Changed)+len(d.CVEs) == 0
}

// Compare tells what changed from a to b. It walks through both files once,
// side by side, so it takes time in proportion to their size and memory in
// proportion to what changed. What it does not tell is that a whole ecosystem
// came or went without any entry of it; only a warning depends on that.
func Compare(ctx context.Context, a, b *DB) (*Diff, error) {
	d := &Diff{From: a.meta.ID, To: b.meta.ID}
	if d.From == d.To {
		return d, nil
	}
	err := a.view(func(ta *bolt.Tx) error {
		return b.view(func(tb *bolt.Tx) error {
			return d.compare(ctx, ta, tb)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("compare generations %.12s and %.12s: %w", d.From, d.To, err)
	}
	return d, nil
}

func (d *Diff) compare(ctx context.Context, a, b *bolt.Tx) error {
	facts := map[string]bool{} // CVEs that change what a finding says
	err := merge(ctx, a, b, bucketCVE, func(k, va, vb []byte) error {
		if bytes.Equal(va, vb) {
			return nil
		}
		id := string(k)
		d.CVEs = append(d.CVEs, id)
		other, err := otherFacts(id, va, vb)
		if err == nil && other {
			facts[id] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	touched := map[string]bool{} // advisories that packages may name
	err = merge(ctx, a, b, bucketVulns, func(k, va, vb []byte) error {
		switch {
		case va == nil:
			d.Added = append(d.Added, string(k))
		case vb == nil:
			d.Removed = append(d.Removed, string(k))
		case !bytes.Equal(va, vb):
			d.Changed = append(d.Changed, string(k))
		default:
			if len(facts) == 0 {
				return nil
			}
			v, err := decodeVuln(string(k), string(vb))
			if err != nil {
				return fmt.Errorf("advisory %q: %w", k, err)
			}
			if !slices.ContainsFunc(v.CVEs, func(c string) bool { return facts[c] }) {
				return nil
			}
		}
		touched[string(k)] = true
		return nil
	})
	if err != nil {
		return err
	}
	return merge(ctx, a, b, bucketPackages, func(k, va, vb []byte) error {
		if bytes.Equal(va, vb) {
			if len(touched) == 0 {
				return nil
			}
			named, err := names(vb, touched)
			if err != nil {
				return fmt.Errorf("package %q: %w", k, err)
			}
			if !named {
				return nil
			}
		}
		eco, name, _ := strings.Cut(string(k), "\x00")
		d.Packages = append(d.Packages, Key{eco, name})
		return nil
	})
}

// otherFacts reports whether two states of a CVE, nil for none, differ in more
// than EPSS and description.
func otherFacts(id string, va, vb []byte) (bool, error) {
	var facts [2]CVE
	for i, v := range [][]byte{va, vb} {
		if v == nil {
			continue
		}
		c, err := decodeCVE(id, string(v))
		if err != nil {
			return false, fmt.Errorf("%q: %w", id, err)
		}
		c.ID, c.Description, c.EPSS, c.Percentile = "", "", 0, 0
		facts[i] = c
	}
	return facts[0] != facts[1], nil
}

// names reports whether the entries of a package name one of the advisories.
func names(raw []byte, advisories map[string]bool) (bool, error) {
	d := decoder{s: string(raw)}
	found := false
	for range d.count() {
		var a Affected
		if d.affected(&a); advisories[a.ID] {
			found = true
		}
	}
	return found, d.err()
}

// merge calls fn for each key of a bucket in either generation, in order, with
// both values; nil stands for a key that is not there. They are valid until fn
// returns.
func merge(ctx context.Context, a, b *bolt.Tx, bucket []byte, fn func(k, va, vb []byte) error) error {
	ca, cb := a.Bucket(bucket).Cursor(), b.Bucket(bucket).Cursor()
	ka, va := ca.First()
	kb, vb := cb.First()
	var last []byte
	for n := 0; ka != nil || kb != nil; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		order := bytes.Compare(ka, kb)
		if ka == nil {
			order = 1
		} else if kb == nil {
			order = -1
		}
		k, x, y := ka, va, vb
		switch {
		case order < 0:
			y = nil
		case order > 0:
			k, x = kb, nil
		}
		// Damage can make a cursor go in circles.
		if n > 0 && bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("%w: keys of bucket %s are out of order", errCorrupt, bucket)
		}
		last = append(last[:0], k...)
		if err := fn(k, x, y); err != nil {
			return err
		}
		if order <= 0 {
			ka, va = ca.Next()
		}
		if order >= 0 {
			kb, vb = cb.Next()
		}
	}
	return nil
}
