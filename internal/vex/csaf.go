package vex

import (
	"fmt"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// maxBranchDepth bounds the product tree of a CSAF document.
const maxBranchDepth = 64

// The part of CSAF 2.0 that is used
// (https://docs.oasis-open.org/csaf/csaf/v2.0/csaf-v2.0.html, profile 5).
type (
	wireCSAF struct {
		Document struct {
			Category string `json:"category"`
			Tracking struct {
				Current string `json:"current_release_date"`
			} `json:"tracking"`
		} `json:"document"`
		ProductTree struct {
			Branches  []wireBranch      `json:"branches"`
			Names     []wireFullName    `json:"full_product_names"`
			Relations []wireRelatedName `json:"relationships"`
		} `json:"product_tree"`
		Vulnerabilities []struct {
			CVE string `json:"cve"`
			IDs []struct {
				Text string `json:"text"`
			} `json:"ids"`
			Status struct {
				NotAffected   []string `json:"known_not_affected"`
				Fixed         []string `json:"fixed"`
				Affected      []string `json:"known_affected"`
				Investigation []string `json:"under_investigation"`
			} `json:"product_status"`
			Flags        []wireRemark `json:"flags"`
			Threats      []wireRemark `json:"threats"`
			Remediations []wireRemark `json:"remediations"`
		} `json:"vulnerabilities"`
	}
	wireBranch struct {
		Branches []wireBranch  `json:"branches"`
		Product  *wireFullName `json:"product"`
	}
	wireFullName struct {
		ID     string `json:"product_id"`
		Helper struct {
			PURL string `json:"purl"`
		} `json:"product_identification_helper"`
	}
	wireRelatedName struct {
		Name    wireFullName `json:"full_product_name"`
		Part    string       `json:"product_reference"`
		Whole   string       `json:"relates_to_product_reference"`
		Meaning string       `json:"category"`
	}
	wireRemark struct {
		Label    string   `json:"label"` // of flags
		Category string   `json:"category"`
		Details  string   `json:"details"`
		Products []string `json:"product_ids"`
	}
)

// csaf reads a CSAF document of the profile VEX, or a security advisory: the
// states are the same. Products without a package URL cannot be told in an
// image and are left out.
func csaf(b []byte) ([]statement, error) {
	var doc wireCSAF
	if err := unmarshal(b, &doc); err != nil {
		return nil, err
	}
	if c := doc.Document.Category; c != "csaf_vex" && c != "csaf_security_advisory" {
		return nil, fault.New(fault.Invalid, "a CSAF document of category %q says nothing about products", c)
	}
	at, err := parseTime(doc.Document.Tracking.Current)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "current_release_date")
	}
	t := tree{products: map[string]product{}}
	if err := t.read(&doc); err != nil {
		return nil, err
	}
	var out []statement
	named := 0
	for i, v := range doc.Vulnerabilities {
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
		for _, s := range []struct {
			status   string
			products []string
			reasons  []wireRemark
			category string
		}{
			{report.StatusNotAffected, v.Status.NotAffected, v.Threats, "impact"},
			{report.StatusFixed, v.Status.Fixed, nil, ""},
			{report.StatusAffected, v.Status.Affected, v.Remediations, ""},
			{report.StatusInvestigation, v.Status.Investigation, nil, ""},
		} {
			flags, words := remarks(v.Flags, ""), remarks(s.reasons, s.category)
			for _, id := range s.products {
				if named++; named > maxProducts {
					return nil, fault.New(fault.TooLarge, "more than %d products", maxProducts)
				}
				p, ok := t.products[id]
				if !ok {
					continue
				}
				st := statement{ids: ids, products: []product{p}, status: s.status, words: words[id].Details, at: at}
				if s.status == report.StatusNotAffected {
					st.justification = flags[id].Label
				}
				if st.words == "" {
					st.words = words[""].Details
				}
				st.words = cut(st.words)
				out = append(out, st)
			}
		}
		if len(out) > maxProducts {
			return nil, fault.New(fault.TooLarge, "more than %d statements", maxProducts)
		}
	}
	return out, nil
}

// remarks are those of a category, or of any, by product; one that names no
// product stands under "".
func remarks(all []wireRemark, category string) map[string]wireRemark {
	out := map[string]wireRemark{}
	for _, r := range all {
		if category != "" && r.Category != category {
			continue
		}
		if len(r.Products) == 0 {
			out[""] = r
		}
		for _, id := range r.Products {
			if _, again := out[id]; !again {
				out[id] = r
			}
		}
	}
	return out
}

// A tree is the product tree of a document.
type tree struct{ products map[string]product }

func (t *tree) read(doc *wireCSAF) error {
	for _, n := range doc.ProductTree.Names {
		if err := t.name(n); err != nil {
			return err
		}
	}
	for _, b := range doc.ProductTree.Branches {
		if err := t.branch(b, 0); err != nil {
			return err
		}
	}
	for _, r := range doc.ProductTree.Relations {
		if err := t.name(r.Name); err != nil {
			return err
		}
		if _, ok := t.products[r.Name.ID]; ok {
			continue
		}
		// "openssl as a component of web": the part within the whole, if
		// both can be told, else the part.
		part, hasPart := t.products[r.Part]
		whole, hasWhole := t.products[r.Whole]
		switch {
		case hasPart && hasWhole && len(whole.subs) == 0:
			t.products[r.Name.ID] = product{purl: whole.purl, subs: []purl{*part.purl}}
		case hasPart:
			t.products[r.Name.ID] = part
		}
	}
	return nil
}

func (t *tree) branch(b wireBranch, depth int) error {
	if depth > maxBranchDepth {
		return fault.New(fault.TooLarge, "branches nested deeper than %d", maxBranchDepth)
	}
	if b.Product != nil {
		if err := t.name(*b.Product); err != nil {
			return err
		}
	}
	for _, sub := range b.Branches {
		if err := t.branch(sub, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) name(n wireFullName) error {
	if !strings.HasPrefix(n.Helper.PURL, "pkg:") {
		return nil
	}
	u, err := parsePURL(n.Helper.PURL)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, fmt.Sprintf("product %s", n.ID))
	}
	if len(t.products) >= maxProducts {
		return fault.New(fault.TooLarge, "more than %d products", maxProducts)
	}
	t.products[n.ID] = product{purl: &u}
	return nil
}
