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

	index map[string][]ref // statements by vulnerability id
	built int
	// images are the package URLs of images in the statements, by the last
	// part of the name; nil until someone asks.
	images map[string][]purl
}

// A ref is a statement of a document.
type ref struct{ document, statement int }

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
	j.index, j.built, j.images = map[string][]ref{}, len(j.Documents), nil
	for i, d := range j.Documents {
		for k, s := range d.statements {
			for _, id := range s.ids {
				id = strings.ToUpper(id)
				if rs := j.index[id]; len(rs) == 0 || rs[len(rs)-1] != (ref{i, k}) {
					j.index[id] = append(rs, ref{i, k})
				}
			}
		}
	}
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
	pkgs := []purl(nil)
	for _, id := range ids {
		for _, r := range j.index[strings.ToUpper(id)] {
			d := j.Documents[r.document]
			s := &d.statements[r.statement]
			if best != nil && !outranks(d, s, from, best) {
				continue
			}
			if pkgs == nil {
				pkgs = candidates(f)
			}
			if slices.ContainsFunc(s.products, func(p product) bool { return p.concerns(img, have, pkgs) }) {
				best, from = s, d
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
// hands over goes before what an image says of itself, however new that is.
func outranks(d *Document, s *statement, from *Document, best *statement) bool {
	if d.By != from.By {
		return d.By == report.JudgedByVEX
	}
	return !s.at.Before(best.at)
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
