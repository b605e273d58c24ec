package vex

import (
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/report"
)

// A Judge applies documents and rules. It is used by one goroutine at a time.
type Judge struct {
	// Documents in the order of their precedence: of two statements of the
	// same time the one of the later document counts.
	Documents []*Document
	// Rules may be nil.
	Rules *Rules
	// Now is the day on which rules are judged.
	Now time.Time

	index map[string]*about // by vulnerability id
	built int
	steps int64
	// images are the package URLs of images in the statements, by the last
	// part of the name; nil until someone asks.
	images map[string][]purl
}

// An about is the statements about one vulnerability. Most documents are about
// images, and only those about an image of the same name are looked at.
type about struct {
	all []ref
	// byImage are those whose products are images or parts of them, by the
	// last part of their names; others all the rest.
	byImage map[string][]ref
	others  []ref
}

// A ref is a statement of a document.
type ref struct{ document, statement int }

// Steps is how many statements were compared with findings so far: what the
// judging costs.
func (j *Judge) Steps() int64 { return j.steps }

// Image returns the function that sets the Judgement of findings of one image;
// what no document and no rule has a word about is left as it is.
func (j *Judge) Image(img Image) func(f *report.Finding) {
	j.build()
	var have []purl
	for _, s := range img.PURLs {
		if len(j.index) == 0 {
			break
		}
		if p, err := parsePURL(s); err == nil {
			have = append(have, p)
		}
	}
	return func(f *report.Finding) {
		if v := j.vex(img, have, f); v != nil {
			f.Judgement = v
		}
		if f.Judgement.Suppresses() {
			return
		}
		if r := j.Rules.judge(f, j.Now); r != nil {
			f.Judgement = r
		}
	}
}

func (j *Judge) build() {
	if j.index != nil && j.built == len(j.Documents) {
		return
	}
	j.index, j.built, j.images = map[string]*about{}, len(j.Documents), nil
	for i, d := range j.Documents {
		for k, s := range d.statements {
			for _, id := range s.ids {
				id = strings.ToUpper(id)
				a := j.index[id]
				if a == nil {
					a = &about{byImage: map[string][]ref{}}
					j.index[id] = a
				}
				a.add(ref{i, k}, s.products)
			}
		}
	}
}

// add adds a statement, once: its ids may differ in their case alone.
func (a *about) add(r ref, products []product) {
	last := func(rs []ref) bool { return len(rs) > 0 && rs[len(rs)-1] == r }
	if last(a.all) {
		return
	}
	a.all = append(a.all, r)
	if slices.ContainsFunc(products, func(p product) bool { return p.purl == nil || !p.purl.ofImage() }) {
		a.others = append(a.others, r)
		return
	}
	for _, p := range products {
		if !last(a.byImage[p.purl.name]) {
			a.byImage[p.purl.name] = append(a.byImage[p.purl.name], r)
		}
	}
}

// lists are the statements that may be about an image, or a package in it.
func (a *about) lists(img Image) [][]ref {
	names := img.lastNames()
	if len(names) == 0 && len(img.Digests) > 0 {
		return [][]ref{a.all} // it is known by its digest, whatever its name
	}
	out := [][]ref{a.others}
	for _, n := range names {
		if rs := a.byImage[n]; len(rs) > 0 {
			out = append(out, rs)
		}
	}
	return out
}

// vex is what the documents say of f. A finding of several CVEs is judged by a
// statement about its id, or by statements about each of its CVEs: then by the
// one that sets aside least.
func (j *Judge) vex(img Image, have []purl, f *report.Finding) *report.Judgement {
	if len(j.index) == 0 {
		return nil
	}
	if len(f.CVEs) <= 1 {
		return j.newest(img, have, f, append(append([]string{f.ID}, f.CVEs...), f.Aliases...))
	}
	if v := j.newest(img, have, f, []string{f.ID}); v != nil {
		return v
	}
	var out *report.Judgement
	open := false
	for _, c := range f.CVEs {
		v := j.newest(img, have, f, []string{c})
		switch {
		case v == nil:
			open = true
		case out == nil || out.Suppresses() && !v.Suppresses():
			out = v
		}
	}
	if open && out.Suppresses() {
		return nil // the rest of it stands
	}
	return out
}

// newest is the newest statement about one of ids and the package of f.
func (j *Judge) newest(img Image, have []purl, f *report.Finding, ids []string) *report.Judgement {
	var best *statement
	var from *Document
	var at ref
	pkgs := []purl(nil)
	for _, id := range ids {
		a := j.index[strings.ToUpper(id)]
		if a == nil {
			continue
		}
		for _, list := range a.lists(img) {
			for _, r := range list {
				j.steps++
				d := j.Documents[r.document]
				s := &d.statements[r.statement]
				if best != nil && !outranks(d, s, r, from, best, at) {
					continue
				}
				if pkgs == nil {
					pkgs = candidates(f)
				}
				if slices.ContainsFunc(s.products, func(p product) bool { return p.concerns(img, have, pkgs) }) {
					best, from, at = s, d, r
				}
			}
		}
	}
	if best == nil {
		return nil
	}
	out := &report.Judgement{By: from.By, Status: best.status, Justification: best.justification, Statement: best.words, Document: from.Name}
	if !best.at.IsZero() {
		out.Date = best.at.Format(time.RFC3339)
	}
	return out
}

// outranks reports whether a statement goes before another one. What the user
// hands over goes before what an image says of itself, however new that is; of
// the same time the later one counts.
func outranks(d *Document, s *statement, r ref, from *Document, best *statement, at ref) bool {
	switch {
	case d.By != from.By:
		return d.By == report.JudgedByVEX
	case !s.at.Equal(best.at):
		return s.at.After(best.at)
	case r.document != at.document:
		return r.document > at.document
	default:
		return r.statement >= at.statement
	}
}

// concerns reports whether p is the package, or holds it.
func (p product) concerns(img Image, have, pkgs []purl) bool {
	is := func(want purl) bool {
		return slices.ContainsFunc(pkgs, want.holds)
	}
	switch {
	case p.purl == nil || p.purl.is(img):
		return len(p.subs) == 0 || slices.ContainsFunc(p.subs, is)
	case len(p.subs) == 0:
		return is(*p.purl)
	default: // a part of a package that is in the image
		return slices.ContainsFunc(p.subs, is) && slices.ContainsFunc(have, p.purl.holds)
	}
}
