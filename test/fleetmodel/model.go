// Package fleetmodel makes a fleet for benchmarks: hosts, images, and the
// packages in them, in the proportions of real ones. The same parameters and
// the same generation give the same fleet.
//
// Images come in families, as they do where people build them. A few hundred
// base images carry the packages of a distribution; on each stand some stacks
// with a runtime and tools; on these some thousand applications, whose
// dependency layer changes with every few builds, while the layer on top of it
// changes with each. So an image has four layers that bring packages, and only
// the last is its own.
//
// Names and versions are those of the generation where it has them, so that
// advisories concern the packages as they do in life: a version is one that a
// record names as the first affected or the first fixed. The rest, for which no
// advisory was ever written, is made up.
package fleetmodel

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// Params size a fleet.
type Params struct {
	Hosts    int
	Images   int
	Packages int // distinct ones, about
	// PerImage is how many packages an image has, about.
	PerImage int
	Seed     uint64
}

// Full is the fleet of the target: ten thousand hosts.
var Full = Params{Hosts: 10_000, Images: 100_000, Packages: 300_000, PerImage: 400, Seed: 1}

// Tenth is a tenth of it.
var Tenth = Params{Hosts: 1_000, Images: 10_000, Packages: 30_000, PerImage: 400, Seed: 1}

// API is the fleet that the lists of the API are measured with.
var API = Params{Hosts: 5_000, Images: 100_000, Packages: 100_000, PerImage: 120, Seed: 1}

// APITenth is a tenth of it.
var APITenth = Params{Hosts: 500, Images: 10_000, Packages: 20_000, PerImage: 120, Seed: 1}

// A Package is one distinct package: what is matched.
type Package struct {
	report.Package
	// Distro is an index into Fleet.Distros, -1 for packages of languages.
	Distro int
}

// A Part is what one layer brings: indexes into Fleet.Packages.
type Part struct {
	Layer    string // diff ID
	Packages []int32
}

// An Image is one content with one name.
type Image struct {
	Name, Tag string
	Digest    string
	Distro    int
	Parts     []int32 // indexes into Fleet.Parts
}

// A Host has images, some of them with running containers.
type Host struct {
	Images  []int32
	Running []int32 // indexes into Images, one for each container
}

// A Fleet is what was made.
type Fleet struct {
	Distros  []report.Distro
	Packages []Package
	Parts    []Part
	Images   []Image
	Hosts    []Host
}

// source is where packages of one kind come from.
type source struct {
	distro int // -1 for a language
	typ    string
	names  []string
	// versions of each name, ascending.
	versions [][]string
}

// distros that the shared records know well, with their share of the images.
var distros = []struct {
	eco   string
	d     report.Distro
	typ   string
	share int
}{
	{"Debian:12", report.Distro{ID: "debian", VersionID: "12", Codename: "bookworm", Name: "Debian GNU/Linux 12 (bookworm)"}, report.TypeDeb, 35},
	{"AlmaLinux:9", report.Distro{ID: "almalinux", VersionID: "9.4", Name: "AlmaLinux 9.4"}, report.TypeRPM, 18},
	{"AlmaLinux:8", report.Distro{ID: "almalinux", VersionID: "8.10", Name: "AlmaLinux 8.10"}, report.TypeRPM, 12},
	{"Alpine:v3.20", report.Distro{ID: "alpine", VersionID: "3.20.3", Name: "Alpine Linux v3.20"}, report.TypeAPK, 12},
	{"Alpine:v3.18", report.Distro{ID: "alpine", VersionID: "3.18.9", Name: "Alpine Linux v3.18"}, report.TypeAPK, 8},
	{"Azure Linux:3", report.Distro{ID: "azurelinux", VersionID: "3.0", Name: "Microsoft Azure Linux 3.0"}, report.TypeRPM, 5},
	{"Alpaquita:23", report.Distro{ID: "alpaquita", VersionID: "23", Name: "BellSoft Alpaquita Linux 23"}, report.TypeAPK, 5},
	{"Alpine:v3.15", report.Distro{ID: "alpine", VersionID: "3.15.11", Name: "Alpine Linux v3.15"}, report.TypeAPK, 5},
}

var languages = []struct{ eco, typ string }{
	{"npm", report.TypeNPM}, {"PyPI", report.TypePython}, {"Go", report.TypeGo}, {"Maven", report.TypeJava},
	{"RubyGems", report.TypeGem}, {"Packagist", report.TypeComposer}, {"crates.io", report.TypeCargo}, {"NuGet", report.TypeNuGet},
}

// Make makes a fleet from what a generation knows.
func Make(ctx context.Context, db *advisory.DB, p Params) (*Fleet, error) {
	known := map[string]*source{}
	byEco := map[string]int{}
	for i, d := range distros {
		byEco[d.eco] = i
	}
	err := db.Each(ctx, func(eco, name string, as []advisory.Affected) error {
		s := known[eco]
		if s == nil {
			s = &source{distro: -1}
			known[eco] = s
		}
		if vs := versionsOf(eco, as); len(vs) > 0 {
			s.names = append(s.names, name)
			s.versions = append(s.versions, vs)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read generation: %w", err)
	}
	m := &maker{p: p, rng: rand.New(rand.NewPCG(p.Seed, 20261127)), fleet: &Fleet{}, index: map[key]int32{}}
	for i, d := range distros {
		s := cmp.Or(known[d.eco], &source{})
		s.distro, s.typ = i, d.typ
		m.os = append(m.os, s)
		m.fleet.Distros = append(m.fleet.Distros, d.d)
		fill(s, 700, "lib"+d.d.ID+"-%d", d.typ)
	}
	m.lang = make([]*source, len(languages))
	// What the distributions do not make up comes from the languages, with
	// about nine versions a name.
	names := max(200, (p.Packages-60*len(distros))/9/len(languages))
	for i, l := range languages {
		s := cmp.Or(known[l.eco], &source{distro: -1})
		s.typ = l.typ
		fill(s, names, l.typ+"-module-%d", l.typ)
		m.lang[i] = s
	}
	m.bases()
	m.apps()
	m.hosts()
	return m.fleet, nil
}

// versionsOf are the versions that records name, ascending.
func versionsOf(eco string, as []advisory.Affected) []string {
	var out []string
	for _, a := range as {
		for _, r := range a.Ranges {
			for _, v := range []string{r.Introduced, r.Fixed, r.LastAffected} {
				if v != "" && v != "0" && len(v) < 80 {
					out = append(out, v)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		c, err := version.Compare(eco, a, b)
		if err != nil || c == 0 {
			return strings.Compare(a, b)
		}
		return c
	})
	out = slices.Compact(out)
	const most = 24
	if len(out) > most {
		// Spread over the whole history.
		thin := make([]string, most)
		for i := range thin {
			thin[i] = out[i*(len(out)-1)/(most-1)]
		}
		out = thin
	}
	return out
}

// fill adds names that no advisory knows.
func fill(s *source, names int, pattern, typ string) {
	for i := len(s.names); i < names; i++ {
		s.names = append(s.names, fmt.Sprintf(pattern, i))
		vs := make([]string, 9)
		for j := range vs {
			vs[j] = fmt.Sprintf("1.%d.%d", j, i%7)
			switch typ {
			case report.TypeDeb:
				vs[j] += "-1"
			case report.TypeAPK:
				vs[j] += "-r0"
			case report.TypeRPM:
				vs[j] += "-1.el9"
			}
		}
		s.versions = append(s.versions, vs)
	}
}

type key struct {
	typ, name, version string
	distro             int
}

// A maker fills a fleet.
type maker struct {
	p        Params
	rng      *rand.Rand
	fleet    *Fleet
	os, lang []*source
	index    map[key]int32
	stacks   []stack
}

// A stack is what applications stand on.
type stack struct {
	distro int
	parts  []int32
	size   int // packages in parts
	langs  []int
}

func (m *maker) pkg(s *source, name, ver int) int32 {
	vs := s.versions[name]
	k := key{s.typ, s.names[name], vs[min(ver, len(vs)-1)], s.distro}
	if i, ok := m.index[k]; ok {
		return i
	}
	p := Package{Distro: s.distro, Package: report.Package{Type: s.typ, Name: k.name, Version: k.version}}
	i := int32(len(m.fleet.Packages))
	m.fleet.Packages = append(m.fleet.Packages, p)
	m.index[k] = i
	return i
}

// part adds a layer.
func (m *maker) part(packages []int32) int32 {
	slices.Sort(packages)
	i := len(m.fleet.Parts)
	m.fleet.Parts = append(m.fleet.Parts, Part{Layer: digest("layer", i), Packages: slices.Compact(packages)})
	return int32(i)
}

// digest is a made-up digest that looks like one.
func digest(kind string, n int) string {
	r := rand.New(rand.NewPCG(uint64(n), uint64(len(kind))<<32|uint64(kind[0])))
	return fmt.Sprintf("sha256:%016x%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
}

// popular draws an index below n; low ones come far more often, as with real
// packages.
func (m *maker) popular(n int) int {
	x := m.rng.Float64()
	return int(x * x * x * float64(n))
}

// distroOf draws a distribution by its share.
func (m *maker) distroOf() int {
	n := m.rng.IntN(100)
	for i, d := range distros {
		if n -= d.share; n < 0 {
			return i
		}
	}
	return 0
}

// bases makes the base images and the stacks on them.
func (m *maker) bases() {
	bases := max(24, m.p.Images/330)
	for range bases {
		d := m.distroOf()
		s := m.os[d]
		// A base is of one day: its packages are about equally old.
		age := m.rng.Float64()
		n := m.p.PerImage * (30 + m.rng.IntN(25)) / 100
		base := m.part(m.draw(s, n, age, 0))
		for range 8 + m.rng.IntN(5) {
			add := m.p.PerImage * (10 + m.rng.IntN(10)) / 100
			top := m.part(m.draw(s, add, age, len(s.names)/4))
			st := stack{distro: d, parts: []int32{base, top}, langs: []int{m.rng.IntN(len(m.lang)), m.rng.IntN(2)}}
			st.size = len(m.fleet.Parts[base].Packages) + len(m.fleet.Parts[top].Packages)
			m.stacks = append(m.stacks, st)
		}
	}
}

// draw takes n packages of a source, of about one age from 0, the oldest, to 1.
func (m *maker) draw(s *source, n int, age float64, from int) []int32 {
	var out []int32
	for range n {
		name := from + m.popular(len(s.names)-from)
		vs := len(s.versions[name])
		v := int(age*float64(vs)) + m.rng.IntN(3) - 1
		out = append(out, m.pkg(s, name, max(0, min(v, vs-1))))
	}
	return out
}

// apps makes the applications and their builds: the images.
func (m *maker) apps() {
	const builds = 20
	for app := 0; len(m.fleet.Images) < m.p.Images; app++ {
		st := m.stacks[m.popular(len(m.stacks))]
		n := max(10, m.p.PerImage-st.size-2)
		// What an application depends on stays, some of it moves on with
		// every change of the lock file.
		deps := make([][3]int, n) // language, name, version
		for i := range deps {
			l := st.langs[m.rng.IntN(len(st.langs))]
			name := m.popular(len(m.lang[l].names))
			if m.rng.IntN(3) == 0 { // and some that few others have
				name = m.rng.IntN(len(m.lang[l].names))
			}
			deps[i] = [3]int{l, name, m.rng.IntN(len(m.lang[l].versions[name]))}
		}
		var dep int32
		for b := range builds {
			if len(m.fleet.Images) == m.p.Images {
				break
			}
			if b%3 == 0 {
				packages := make([]int32, n)
				for i := range deps {
					d := &deps[i]
					if b > 0 && m.rng.IntN(12) == 0 {
						d[2] = min(d[2]+1, len(m.lang[d[0]].versions[d[1]])-1)
					}
					packages[i] = m.pkg(m.lang[d[0]], d[1], d[2])
				}
				dep = m.part(packages)
			}
			l := m.lang[st.langs[0]]
			name := (app*7919 + 13) % len(l.names)
			own := m.part([]int32{m.pkg(l, name, b%len(l.versions[name]))})
			i := len(m.fleet.Images)
			m.fleet.Images = append(m.fleet.Images, Image{
				Name: fmt.Sprintf("registry.example.org/team-%d/app-%d", app%97, app), Tag: fmt.Sprintf("build-%d", b+1),
				Digest: digest("image", i), Distro: st.distro, Parts: append(slices.Clone(st.parts), dep, own),
			})
		}
	}
}

// hosts spreads the images: each is on some host, popular ones on many.
func (m *maker) hosts() {
	m.fleet.Hosts = make([]Host, m.p.Hosts)
	has := make([]map[int32]bool, m.p.Hosts)
	give := func(h int, i int32) {
		if has[h] == nil {
			has[h] = map[int32]bool{}
		}
		if !has[h][i] {
			has[h][i] = true
			m.fleet.Hosts[h].Images = append(m.fleet.Hosts[h].Images, i)
		}
	}
	for i := range m.fleet.Images {
		give(m.rng.IntN(m.p.Hosts), int32(i))
	}
	for h := range m.fleet.Hosts {
		for range 15 {
			give(h, int32(m.popular(len(m.fleet.Images))))
		}
		n := len(m.fleet.Hosts[h].Images)
		for range 12 {
			m.fleet.Hosts[h].Running = append(m.fleet.Hosts[h].Running, int32(m.rng.IntN(n)))
		}
	}
}
