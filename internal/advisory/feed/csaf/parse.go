package csaf

import (
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// The document as it is written. Only what is used is decoded.
type (
	wireDocument struct {
		Document struct {
			Severity struct {
				Text string `json:"text"`
			} `json:"aggregate_severity"`
			Category  string `json:"category"`
			Version   string `json:"csaf_version"`
			Notes     []Note `json:"notes"`
			Publisher struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
			} `json:"publisher"`
			References []Reference `json:"references"`
			Title      string      `json:"title"`
			Tracking   struct {
				ID       string `json:"id"`
				Initial  string `json:"initial_release_date"`
				Current  string `json:"current_release_date"`
				Status   string `json:"status"`
				Revision string `json:"version"`
			} `json:"tracking"`
		} `json:"document"`
		Tree struct {
			Branches      []wireBranch  `json:"branches"`
			Products      []wireProduct `json:"full_product_names"`
			Relationships []wireLink    `json:"relationships"`
			Groups        []struct {
				ID       string   `json:"group_id"`
				Products []string `json:"product_ids"`
			} `json:"product_groups"`
		} `json:"product_tree"`
		Vulnerabilities []wireVulnerability `json:"vulnerabilities"`
	}
	wireBranch struct {
		Category string       `json:"category"`
		Name     string       `json:"name"`
		Product  *wireProduct `json:"product"`
		Branches []wireBranch `json:"branches"`
	}
	wireProduct struct {
		ID     string `json:"product_id"`
		Name   string `json:"name"`
		Helper struct {
			CPE    string   `json:"cpe"`
			PURL   string   `json:"purl"`
			PURLs  []string `json:"purls"`
			Hashes []struct {
				Files []struct {
					Algorithm string `json:"algorithm"`
					Value     string `json:"value"`
				} `json:"file_hashes"`
			} `json:"hashes"`
		} `json:"product_identification_helper"`
	}
	wireLink struct {
		Category  string      `json:"category"`
		Product   wireProduct `json:"full_product_name"`
		Component string      `json:"product_reference"`
		Platform  string      `json:"relates_to_product_reference"`
	}
	wireVulnerability struct {
		CVE string `json:"cve"`
		CWE struct {
			ID string `json:"id"`
		} `json:"cwe"`
		IDs         []ID        `json:"ids"`
		Title       string      `json:"title"`
		Notes       []Note      `json:"notes"`
		References  []Reference `json:"references"`
		ReleaseDate string      `json:"release_date"`
		Disclosed   string      `json:"disclosure_date"`
		Status      struct {
			KnownNotAffected   []string `json:"known_not_affected"`
			Fixed              []string `json:"fixed"`
			FirstFixed         []string `json:"first_fixed"`
			Recommended        []string `json:"recommended"`
			KnownAffected      []string `json:"known_affected"`
			FirstAffected      []string `json:"first_affected"`
			LastAffected       []string `json:"last_affected"`
			UnderInvestigation []string `json:"under_investigation"`
		} `json:"product_status"`
		Remediations []struct {
			wireScope
			Category string `json:"category"`
			Details  string `json:"details"`
			URL      string `json:"url"`
			Date     string `json:"date"`
		} `json:"remediations"`
		Threats []struct {
			wireScope
			Category string `json:"category"`
			Details  string `json:"details"`
		} `json:"threats"`
		Flags []struct {
			wireScope
			Label string `json:"label"`
		} `json:"flags"`
		Scores []struct {
			Products []string `json:"products"`
			wireVectors
		} `json:"scores"`
		Metrics []struct {
			Products []string    `json:"products"`
			Content  wireVectors `json:"content"`
		} `json:"metrics"`
	}
	wireScope struct {
		Products []string `json:"product_ids"`
		Groups   []string `json:"group_ids"`
	}
	wireVectors struct {
		V4 wireVector `json:"cvss_v4"`
		V3 wireVector `json:"cvss_v3"`
		V2 wireVector `json:"cvss_v2"`
	}
	wireVector struct {
		Vector string `json:"vectorString"`
	}
)

// Read parses a whole document.
func Read(f feed.File) (*Document, error) {
	b, err := feed.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return Parse(f.Name, b)
}

// Parse reads the document b, which stands in a file of this name. It keeps b.
// Errors name the file and the line. A document that names a product which its
// tree does not have is refused, as the format demands.
func Parse(file string, b []byte) (*Document, error) {
	var w wireDocument
	if err := feed.UnmarshalJSON(file, b, &w); err != nil {
		return nil, err
	}
	h := &w.Document
	d := &Document{
		ID: h.Tracking.ID, Title: h.Title, Category: h.Category,
		Publisher: h.Publisher.Name, Namespace: h.Publisher.Namespace,
		Status: h.Tracking.Status, Version: h.Tracking.Revision,
		Published: millis(h.Tracking.Initial), Modified: millis(h.Tracking.Current),
		Severity: h.Severity.Text, Notes: h.Notes, References: h.References,
		file: file, raw: b, products: map[string]*Product{}, groups: map[string][]string{},
	}
	switch {
	case h.Version == "":
		return nil, d.Errorf("document", "no csaf_version: not a CSAF document")
	case h.Version != "2.0" && h.Version != "2.1":
		return nil, d.Errorf("csaf_version", "CSAF version %.20q, want 2.0 or 2.1", h.Version)
	case d.ID == "":
		return nil, d.Errorf("tracking", "the document has no id")
	case len(w.Vulnerabilities) > maxVulnerabilities:
		return nil, d.Errorf("vulnerabilities", "more than %d vulnerabilities: %w", maxVulnerabilities, feed.ErrTooLarge)
	}
	if err := d.branches(w.Tree.Branches, nil); err != nil {
		return nil, err
	}
	for i := range w.Tree.Products {
		if err := d.product(&w.Tree.Products[i], nil); err != nil {
			return nil, err
		}
	}
	if err := d.relate(w.Tree.Relationships); err != nil {
		return nil, err
	}
	for _, g := range w.Tree.Groups {
		if err := d.known(g.Products); err != nil {
			return nil, err
		}
		d.groups[g.ID] = g.Products
	}
	for i := range w.Vulnerabilities {
		if err := d.vulnerability(&w.Vulnerabilities[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Document) branches(bs []wireBranch, way []Branch) error {
	if len(way) > maxDepth {
		return d.Errorf(way[len(way)-1].Name, "more than %d branches above one another: %w", maxDepth, feed.ErrTooLarge)
	}
	for i := range bs {
		b := &bs[i]
		here := append(slices.Clip(way), Branch{b.Category, b.Name})
		if b.Product != nil {
			if err := d.product(b.Product, here); err != nil {
				return err
			}
		}
		if err := d.branches(b.Branches, here); err != nil {
			return err
		}
	}
	return nil
}

// product notes a product. Some publishers name one product twice; the first
// counts.
func (d *Document) product(w *wireProduct, way []Branch) error {
	switch {
	case w.ID == "":
		return d.Errorf(w.Name, "product %.100q has no id", w.Name)
	case d.products[w.ID] != nil:
		return nil
	case len(d.products) >= maxProducts:
		return d.Errorf(w.ID, "more than %d products: %w", maxProducts, feed.ErrTooLarge)
	}
	p := &Product{ID: w.ID, Name: w.Name, CPE: w.Helper.CPE, PURLs: w.Helper.PURLs, Branches: way}
	if w.Helper.PURL != "" && !slices.Contains(p.PURLs, w.Helper.PURL) {
		p.PURLs = append(p.PURLs, w.Helper.PURL)
	}
	for _, h := range w.Helper.Hashes {
		for _, f := range h.Files {
			if strings.EqualFold(f.Algorithm, "sha256") {
				p.SHA256 = append(p.SHA256, strings.ToLower(f.Value))
			}
		}
	}
	d.products[w.ID] = p
	d.ids = append(d.ids, w.ID)
	return nil
}

// relate makes the products of relationships. One may stand on another that
// is listed later, so they are named first and tied together then.
func (d *Document) relate(links []wireLink) error {
	made := make([]*Product, len(links))
	for i := range links {
		l := &links[i]
		before := len(d.products)
		if err := d.product(&l.Product, nil); err != nil {
			return err
		}
		if len(d.products) > before {
			made[i] = d.products[l.Product.ID]
		}
	}
	for i, p := range made {
		l := &links[i]
		c, b := d.products[l.Component], d.products[l.Platform]
		if c == nil || b == nil {
			return d.Errorf(l.Product.ID, "the relationship %.200q relates %.200q and %.200q, which are not both in the product tree",
				l.Product.ID, l.Component, l.Platform)
		}
		if p != nil {
			p.Relation, p.Component, p.Platform = l.Category, c, b
		}
	}
	for _, p := range made {
		if p != nil && depth(p, 0) > maxLinks {
			return d.Errorf(p.ID, "more than %d relationships stand on one another: %w", maxLinks, feed.ErrTooLarge)
		}
	}
	return nil
}

// depth counts the relationships below p, no further than the limit, so that
// a circle ends.
func depth(p *Product, n int) int {
	if p == nil || p.Component == nil || n > maxLinks {
		return n
	}
	return max(depth(p.Component, n+1), depth(p.Platform, n+1))
}

// known fails unless all ids are products.
func (d *Document) known(ids []string) error {
	for _, id := range ids {
		if d.products[id] == nil {
			return d.Errorf(id, "product %.200q is not in the product tree", id)
		}
	}
	return nil
}

func (d *Document) vulnerability(w *wireVulnerability) error {
	v := Vulnerability{
		CVE: w.CVE, IDs: w.IDs, Title: w.Title, CWE: w.CWE.ID, Notes: w.Notes, References: w.References,
		Published: millis(w.ReleaseDate), Status: map[Status][]string{}, doc: d,
	}
	if v.Published == 0 {
		v.Published = millis(w.Disclosed)
	}
	s := &w.Status
	for status, ids := range map[Status][]string{
		KnownNotAffected: s.KnownNotAffected, Fixed: s.Fixed, FirstFixed: s.FirstFixed, Recommended: s.Recommended,
		KnownAffected: s.KnownAffected, FirstAffected: s.FirstAffected, LastAffected: s.LastAffected,
		UnderInvestigation: s.UnderInvestigation,
	} {
		if len(ids) == 0 {
			continue
		}
		if err := d.known(ids); err != nil {
			return err
		}
		v.Status[status] = ids
	}
	for _, r := range w.Remediations {
		ids, err := d.scope(r.wireScope)
		if err != nil {
			return err
		}
		v.Remediations = append(v.Remediations, Remediation{r.Category, r.Details, r.URL, millis(r.Date), ids})
	}
	for _, t := range w.Threats {
		ids, err := d.scope(t.wireScope)
		if err != nil {
			return err
		}
		v.Threats = append(v.Threats, Threat{t.Category, t.Details, ids})
	}
	for _, f := range w.Flags {
		ids, err := d.scope(f.wireScope)
		if err != nil {
			return err
		}
		v.Flags = append(v.Flags, Flag{f.Label, ids})
	}
	for _, c := range w.Scores {
		v.score(c.wireVectors, c.Products)
	}
	for _, c := range w.Metrics {
		v.score(c.Content, c.Products)
	}
	d.Vulnerabilities = append(d.Vulnerabilities, v)
	return nil
}

// scope are the products that something is about, groups resolved.
func (d *Document) scope(w wireScope) ([]string, error) {
	ids := w.Products
	for _, g := range w.Groups {
		members, ok := d.groups[g]
		if !ok {
			return nil, d.Errorf(g, "group %.200q is not in the product tree", g)
		}
		ids = append(slices.Clip(ids), members...)
	}
	return ids, d.known(ids)
}

func (v *Vulnerability) score(w wireVectors, ids []string) {
	s := Score{Products: ids}
	for _, vec := range []string{w.V4.Vector, w.V3.Vector, w.V2.Vector} {
		if vec != "" {
			s.Vectors = append(s.Vectors, vec)
		}
	}
	if len(s.Vectors) > 0 {
		v.Scores = append(v.Scores, s)
	}
}
