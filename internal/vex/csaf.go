package vex

import (
	"errors"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/csaf"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// fromCSAF reads a CSAF document of the profile VEX, or a security advisory:
// the statuses are the same. Products without a package URL cannot be told in an
// image and are left out.
func fromCSAF(b []byte) ([]statement, error) {
	doc, err := csaf.Parse("", b)
	var fe *feed.Error
	switch {
	case errors.As(err, &fe) && fe.Line > 0:
		return nil, &lineError{fe.Line, fault.Wrap(fault.Invalid, fe.Err, "CSAF")}
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, err, "CSAF")
	}
	if c := doc.Category; c != "csaf_vex" && c != "csaf_security_advisory" {
		return nil, fault.New(fault.Invalid, "a CSAF document of category %q says nothing about products", c)
	}
	var at time.Time
	if doc.Modified > 0 {
		at = time.UnixMilli(doc.Modified).UTC()
	}
	products := map[*csaf.Product][]product{}
	var out []statement
	for i := range doc.Vulnerabilities {
		v := &doc.Vulnerabilities[i]
		var ids []string
		if v.CVE != "" {
			ids = append(ids, v.CVE)
		}
		for _, id := range v.IDs {
			if id.Text != "" {
				ids = append(ids, id.Text)
			}
		}
		if len(ids) == 0 {
			return nil, fault.New(fault.Invalid, "vulnerability %d has neither a CVE nor another id", i+1)
		}
		for _, said := range v.Verdicts() {
			ps, again := products[said.Product]
			if !again {
				if ps, err = productsOf(said.Product); err != nil {
					return nil, err
				}
				products[said.Product] = ps
			}
			if len(ps) == 0 {
				continue
			}
			if len(out) >= maxProducts {
				return nil, fault.New(fault.TooLarge, "more than %d statements", maxProducts)
			}
			s := statement{ids: ids, products: ps, at: at}
			switch {
			case said.Status == csaf.KnownNotAffected:
				s.status, s.justification, s.words = report.StatusNotAffected, said.Flag, said.Impact
			case said.Status.IsFixed():
				s.status = report.StatusFixed
			case said.Status.IsAffected():
				s.status = report.StatusAffected
				if len(said.Remediations) > 0 {
					s.words = said.Remediations[0].Details
				}
			case said.Status == csaf.UnderInvestigation:
				s.status = report.StatusInvestigation
			default:
				continue
			}
			s.words = cut(s.words)
			out = append(out, s)
		}
	}
	return out, nil
}

// productsOf gives a product for each of its package URLs. Of "openssl as a
// component of web" it is the part within the whole if both have one, else the
// part.
func productsOf(p *csaf.Product) ([]product, error) {
	own, err := purlsOf(p)
	if err != nil {
		return nil, err
	}
	part, err := purlsOf(p.Leaf())
	if err != nil {
		return nil, err
	}
	var whole []purl
	if base := p.Base(); base != p {
		if whole, err = purlsOf(base); err != nil {
			return nil, err
		}
	}
	if len(own) > 0 {
		part = own
	}
	var out []product
	if len(part) > 0 && len(whole) > 0 {
		for _, w := range whole {
			out = append(out, product{purl: &w, subs: part})
		}
		return out, nil
	}
	for _, u := range part {
		out = append(out, product{purl: &u})
	}
	return out, nil
}

func purlsOf(p *csaf.Product) ([]purl, error) {
	var out []purl
	for _, s := range p.PURLs {
		if !strings.HasPrefix(s, "pkg:") {
			continue
		}
		u, err := parsePURL(s)
		if err != nil {
			return nil, fault.New(fault.Invalid, "product %s: %w", p.ID, err)
		}
		out = append(out, u)
	}
	return out, nil
}
