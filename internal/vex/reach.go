package vex

import (
	"maps"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/onceover/onceover/internal/report"
)

// A Reach says what the judgement of a finding depends on. Whoever judges a
// whole fleet need not ask about every image.
type Reach int

// Reaches, each wider than the one before.
const (
	// ReachNone: no statement is about the vulnerability.
	ReachNone Reach = iota
	// ReachNamed: in an image that no statement names (Judge.Names) the
	// judgement is that of the package alone, with a zero Image.
	ReachNamed
	// ReachContent: it depends on the other packages of the image as well.
	ReachContent
)

// Reach tells how far the statements about f reach.
func (j *Judge) Reach(f *report.Finding) Reach {
	j.build()
	out := ReachNone
	if len(j.index) == 0 {
		return out
	}
	for _, ids := range [][]string{{f.ID}, f.CVEs, f.Aliases} {
		for _, id := range ids {
			a := j.index[strings.ToUpper(id)]
			if a == nil {
				continue
			}
			out = max(out, ReachNamed)
			for _, r := range a.others {
				for _, p := range j.Documents[r.document].statements[r.statement].products {
					if len(p.subs) > 0 && p.purl != nil && !p.purl.ofImage() {
						return ReachContent
					}
				}
			}
		}
	}
	return out
}

// Names reports whether a statement has the image as its product.
func (j *Judge) Names(img Image) bool {
	j.build()
	if j.images == nil {
		j.images = map[string][]purl{}
		for _, d := range j.Documents {
			for _, s := range d.statements {
				for _, p := range s.products {
					if p.purl != nil && p.purl.ofImage() {
						j.addImage(*p.purl)
					}
				}
			}
		}
	}
	is := func(p purl) bool { return p.is(img) }
	names := img.lastNames()
	if len(names) == 0 {
		for _, ps := range j.images {
			if slices.ContainsFunc(ps, is) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(names, func(n string) bool { return slices.ContainsFunc(j.images[n], is) })
}

// lastNames are the last parts of the names of an image, without tags.
func (img Image) lastNames() []string {
	var out []string
	add := func(name string) {
		if n := name[strings.LastIndexByte(name, '/')+1:]; !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	for _, n := range img.Names {
		if i := strings.LastIndexByte(n, ':'); i > strings.LastIndexByte(n, '/') {
			n = n[:i]
		}
		add(n)
	}
	for _, d := range img.RepoDigests {
		if n, _, ok := strings.Cut(d, "@"); ok {
			add(n)
		}
	}
	return out
}

// addImage keeps one of the same package URLs; most documents repeat few.
func (j *Judge) addImage(p purl) {
	have := j.images[p.name]
	if len(have) > 0 && have[len(have)-1].same(p) {
		return
	}
	j.images[p.name] = append(have, p)
}

func (p purl) same(o purl) bool {
	return p.kind == o.kind && p.namespace == o.namespace && p.name == o.name && p.version == o.version && maps.Equal(p.qualifiers, o.qualifiers)
}

func (p purl) ofImage() bool {
	return p.kind == packageurl.TypeOCI || p.kind == packageurl.TypeDocker
}
