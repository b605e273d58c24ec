package report

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLedgers(t *testing.T) {
	layer := func(id string, passed ...string) *LayerReport {
		l := &LayerReport{DiffID: id, Complete: true, Passed: hashesOf(passed...)}
		l.Ledger.Files, l.Ledger.Passed = int64(len(passed)), int64(len(passed))
		return l
	}
	low := layer("1", "/usr/lib/a", "/usr/lib/b", "/srv/own")
	mid := layer("2", "/usr/lib/c", "/usr/lib/b.orig")
	// The list of what is owned stands in a layer above the files, and is
	// said again, in the same words and in others.
	mid.Ownership = []Ownership{{Path: "/db", Owner: "rpm:x", Files: hashesOf("/usr/lib/a")}}
	top := layer("3")
	top.Ownership = []Ownership{
		{Path: "/db", Owner: "rpm:x", Files: hashesOf("/usr/lib/a")},
		{Path: "/db", Owner: "rpm:y", Files: hashesOf("/usr/lib/b", "/usr/lib/c", "/usr/lib/none")},
		{Path: "/app/x.deps.json", Owner: "nuget:own", Files: hashesOf("/srv/own")},
		{Path: "/var/lib/dpkg/diversions", Owner: "deb:z", Diverted: []Diversion{{From: PathHash("/usr/lib/b"), To: PathHash("/usr/lib/b.orig")}}},
	}
	layers := []*LayerReport{low, mid, top}
	want := []Ledger{
		{Files: 3, Passed: 3, Owned: 1, Unowned: 2},
		{Files: 2, Passed: 2, Owned: 2},
		{},
	}
	if diff := cmp.Diff(want, Ledgers(layers)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Ledger{Files: 5, Passed: 5, Owned: 3, Unowned: 2}, Merge(layers).Ledger); diff != "" {
		t.Error(diff)
	}
	if low.Ledger.Owned != 0 {
		t.Error("a layer report was changed")
	}
}

func TestCommon(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		in := map[uint64]int{}
		set := func(n int) Hashes {
			l := &LayerReport{}
			for range n {
				l.Passed = append(l.Passed, rnd.Uint64N(200))
			}
			l.Normalize()
			for _, h := range l.Passed {
				in[h]++
			}
			return l.Passed
		}
		a, b := set(rnd.IntN(5)), set(rnd.IntN(150))
		want := int64(0)
		for _, n := range in {
			if n == 2 {
				want++
			}
		}
		if got := common(a, b); got != want {
			t.Fatalf("common(%v, %v) = %d, want %d", a, b, got, want)
		}
	}
}

// BenchmarkMerge joins 30 layers of 120,000 files each, a database that every
// layer writes anew, and 200 language packages in each.
func TestSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 1023, 1024, 1025, 50_000} {
		for name, next := range map[string]func() uint64{
			"even":  rng.Uint64,
			"low":   func() uint64 { return rng.Uint64N(1000) },
			"high":  func() uint64 { return ^rng.Uint64N(1000) },
			"equal": func() uint64 { return 7 },
		} {
			h := make(Hashes, n)
			for i := range h {
				h[i] = next()
			}
			want := slices.Sorted(slices.Values(h))
			if got := sorted(h); !slices.Equal(got, want) {
				t.Errorf("%d of %s values are not sorted", n, name)
			}
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	const count, files, pkgs = 30, 120_000, 400
	var layers []*LayerReport
	for i := range count {
		l := &LayerReport{DiffID: fmt.Sprint("sha256:", i), Complete: true, Symlinks: map[string]string{}}
		for k := range files {
			// Most are new; some take the place of one below.
			n := k
			if k >= files/100 {
				n = i*files + k
			}
			p := fmt.Sprintf("/usr/lib/dir%d/sub%d/file%d", n%97, n%1009, n)
			l.Passed = append(l.Passed, PathHash(p))
			if k%10 == 0 {
				l.Dirs = append(l.Dirs, PathHash(p[:len(p)-len(fmt.Sprintf("/file%d", n))]))
			}
			if k%200 == 0 {
				l.Symlinks[p+".so"] = p
				l.Hides = append(l.Hides, PathHash(p+".so"))
			}
			if k%600 == 0 {
				l.Packages = append(l.Packages, Package{Type: TypeNPM, Name: fmt.Sprint("n", n), Version: "1", Path: p})
			}
		}
		db := Database{Path: "/var/lib/rpm/rpmdb.sqlite"}
		l.Hides = append(l.Hides, PathHash(db.Path))
		for k := range pkgs {
			name := fmt.Sprint("p", k)
			db.Packages = append(db.Packages, Package{Type: TypeRPM, Name: name, Version: "1", Path: db.Path})
			o := Ownership{Path: db.Path, Owner: "rpm:" + name}
			for f := k; f < files; f += pkgs {
				o.Files = append(o.Files, PathHash(fmt.Sprintf("/usr/lib/dir%d/sub%d/file%d", f%97, f%1009, f)))
			}
			l.Ownership = append(l.Ownership, o)
		}
		l.Databases = []Database{db}
		l.Ledger.Files, l.Ledger.Passed = files, files
		l.Normalize()
		layers = append(layers, l)
	}
	b.ReportAllocs()
	for b.Loop() {
		if inv := Merge(layers); len(inv.Packages) < pkgs {
			b.Fatal(len(inv.Packages))
		}
	}
}
