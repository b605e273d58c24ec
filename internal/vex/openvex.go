package vex

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// openVEXContext begins the @context of OpenVEX, whose version follows
// (https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md).
const openVEXContext = "https://openvex.dev/ns"

var justifications = map[string]bool{
	"component_not_present":                             true,
	"vulnerable_code_not_present":                       true,
	"vulnerable_code_not_in_execute_path":               true,
	"vulnerable_code_cannot_be_controlled_by_adversary": true,
	"inline_mitigations_already_exist":                  true,
}

// The part of the format that is used, of version 0.2.0. Version 0.0.1 has
// strings for vulnerabilities and products.
type (
	wireVEX struct {
		Context     string    `json:"@context"`
		Timestamp   string    `json:"timestamp"`
		LastUpdated string    `json:"last_updated"`
		Statements  []wireSay `json:"statements"`
	}
	wireSay struct {
		Vulnerability   wireVulnerability `json:"vulnerability"`
		Timestamp       string            `json:"timestamp"`
		LastUpdated     string            `json:"last_updated"`
		Products        []wireProduct     `json:"products"`
		Subcomponents   []wireProduct     `json:"subcomponents"`
		Status          string            `json:"status"`
		StatusNotes     string            `json:"status_notes"`
		Justification   string            `json:"justification"`
		ImpactStatement string            `json:"impact_statement"`
		ActionStatement string            `json:"action_statement"`
	}
	wireVulnerability struct {
		ID      string   `json:"@id"`
		Name    string   `json:"name"`
		Aliases []string `json:"aliases"`
	}
	wireProduct struct {
		ID          string `json:"@id"`
		Identifiers struct {
			PURL string `json:"purl"`
		} `json:"identifiers"`
		Subcomponents []wireProduct `json:"subcomponents"`
	}
)

// UnmarshalJSON reads an object, or a string as version 0.0.1 has it.
func (v *wireVulnerability) UnmarshalJSON(b []byte) error {
	type plain wireVulnerability
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &v.Name)
	}
	return json.Unmarshal(b, (*plain)(v))
}

// UnmarshalJSON reads an object, or a string as version 0.0.1 has it.
func (p *wireProduct) UnmarshalJSON(b []byte) error {
	type plain wireProduct
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &p.ID)
	}
	return json.Unmarshal(b, (*plain)(p))
}

// openVEX reads an OpenVEX document. Only in an attestation, which has a
// subject, may a statement be without products.
func openVEX(b []byte, attested bool) ([]statement, error) {
	var doc wireVEX
	if err := unmarshal(b, &doc); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(doc.Context, openVEXContext) {
		return nil, fault.New(fault.Invalid, "@context %q is not OpenVEX's", doc.Context)
	}
	if len(doc.Statements) > maxStatements {
		return nil, fault.New(fault.TooLarge, "%d statements: the limit is %d", len(doc.Statements), maxStatements)
	}
	made, err := newest(doc.Timestamp, doc.LastUpdated)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "timestamp")
	}
	var out []statement
	products := 0
	for i, w := range doc.Statements {
		s := statement{ids: w.Vulnerability.ids(), status: w.Status, justification: w.Justification, at: made}
		if t, err := newest(w.Timestamp, w.LastUpdated); err != nil {
			return nil, bad(i, "timestamp: %w", err)
		} else if !t.IsZero() {
			s.at = t
		}
		if len(s.ids) == 0 {
			return nil, bad(i, "it names no vulnerability")
		}
		if err := s.settle(w); err != nil {
			return nil, bad(i, "%w", err)
		}
		for _, p := range w.Products {
			pr, err := p.parse(w.Subcomponents)
			if err != nil {
				return nil, bad(i, "%w", err)
			}
			s.products = append(s.products, pr...)
			for _, x := range pr {
				products += 1 + len(x.subs)
			}
		}
		if products > maxProducts {
			return nil, fault.New(fault.TooLarge, "more than %d products", maxProducts)
		}
		switch {
		case len(w.Products) == 0 && !attested:
			return nil, bad(i, "it names no products")
		case len(w.Products) == 0:
			s.products = []product{{}}
		}
		out = append(out, s)
	}
	return out, nil
}

// settle checks the status and takes over its reason.
func (s *statement) settle(w wireSay) error {
	switch w.Status {
	case report.StatusNotAffected:
		if w.Justification == "" && w.ImpactStatement == "" {
			return errors.New("not_affected needs a justification or an impact_statement")
		}
		if w.Justification != "" && !justifications[w.Justification] {
			return errors.New("there is no justification " + w.Justification)
		}
		s.words = w.ImpactStatement
	case report.StatusAffected:
		s.words = w.ActionStatement
	case report.StatusFixed, report.StatusInvestigation:
	default:
		return errors.New("there is no status \"" + w.Status + "\"")
	}
	if s.words == "" {
		s.words = w.StatusNotes
	}
	s.words = cut(s.words)
	return nil
}

// ids are the names of the vulnerability; an IRI as its @id is often the page
// of the CVE, whose last part is the name.
func (v wireVulnerability) ids() []string {
	var out []string
	for _, id := range append([]string{v.Name, v.ID[strings.LastIndexByte(v.ID, '/')+1:]}, v.Aliases...) {
		if id = strings.TrimSpace(id); id != "" {
			out = append(out, id)
		}
	}
	return out
}

// parse gives the product for each of its package URLs: its @id may be one, and
// so may its identifier. A product without any cannot be told in an image and
// is left out.
func (p wireProduct) parse(more []wireProduct) ([]product, error) {
	var subs []purl
	for _, s := range append(p.Subcomponents[:len(p.Subcomponents):len(p.Subcomponents)], more...) {
		ps, err := s.purls()
		if err != nil {
			return nil, err
		}
		subs = append(subs, ps...)
	}
	if len(p.Subcomponents)+len(more) > 0 && len(subs) == 0 {
		return nil, nil // parts that cannot be told: not the whole either
	}
	ps, err := p.purls()
	if err != nil {
		return nil, err
	}
	var out []product
	for _, u := range ps {
		out = append(out, product{purl: &u, subs: subs})
	}
	return out, nil
}

func (p wireProduct) purls() ([]purl, error) {
	var out []purl
	for _, s := range []string{p.ID, p.Identifiers.PURL} {
		if !strings.HasPrefix(s, "pkg:") || s == p.ID && len(out) > 0 {
			continue
		}
		u, err := parsePURL(s)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

// newest is the later of two times, either of which may be missing.
func newest(a, b string) (time.Time, error) {
	x, err := parseTime(a)
	if err != nil {
		return x, err
	}
	y, err := parseTime(b)
	if err != nil {
		return y, err
	}
	if y.After(x) {
		return y, nil
	}
	return x, nil
}
