package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkRank makes the list of a project anew, as after each scan: 10,000
// images in 300 families, 17,000 advisories of one to eight packages.
func BenchmarkRank(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := &Store{}
	x := &s.index
	x.projects, x.parts, x.byID = map[string]int32{"p": 0}, map[int64][]int32{}, map[int64]int32{}
	for at := range int32(10_000) {
		family := int64(rng.IntN(300))
		c := slot{content: int64(at), images: 1, running: int32(rng.IntN(2)), parts: []int64{family, 1000 + int64(rng.IntN(3000)), 10_000 + int64(at)}}
		for _, p := range c.parts {
			x.parts[p] = append(x.parts[p], at)
		}
		x.slots = append(x.slots, c)
	}
	s.ranks.partsOf, s.ranks.vuls = map[int64][]int64{}, map[int64]*vulFact{}
	for pkg := range int64(8000) {
		for range 40 {
			s.ranks.partsOf[pkg] = append(s.ranks.partsOf[pkg], int64(rng.IntN(300)), 1000+int64(rng.IntN(3000)))
		}
	}
	for id := range int64(17_000) {
		v := &vulFact{id: id, advisory: fmt.Sprint("DSA-", id), cves: []string{"CVE-1"}}
		first := int64(rng.IntN(7900))
		for n := range 1 + int64(rng.IntN(8)) {
			v.findings = append(v.findings, findingFact{pkg: first + n, severity: int64(rng.IntN(5))})
		}
		s.ranks.vuls[id] = v
	}
	for b.Loop() {
		if list, err := s.rank("p", nil); err != nil || len(list) != 17_000 {
			b.Fatal(len(list), err)
		}
	}
}
