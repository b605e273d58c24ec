package csaf

import (
	"bytes"
	"fmt"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// Limits on one document beside feed.MaxDocumentBytes. The largest documents,
// Red Hat's of old flaws in the kernel, have some ten thousand products.
const (
	maxProducts        = 1_000_000
	maxDepth           = 64
	maxVulnerabilities = 50_000
	// maxLinks bounds how many relationships stand on one another.
	maxLinks = 8
)

// A Document is one CSAF document.
type Document struct {
	// ID as its publisher gave it ("RHSA-2024:1", "CVE-2024-1"), Title, and
	// Category ("csaf_vex", "csaf_security_advisory").
	ID, Title, Category string
	// Publisher is its name, Namespace its address, which identifies it.
	Publisher, Namespace string
	// Status is "final", "interim" or "draft"; Version counts up.
	Status, Version string
	// Published and Modified in Unix milliseconds, 0 if not said.
	Published, Modified int64
	// Severity is the aggregate severity in the publisher's words.
	Severity        string
	Notes           []Note
	References      []Reference
	Vulnerabilities []Vulnerability

	file     string
	raw      []byte
	products map[string]*Product
	ids      []string // of products, in the document's order
	groups   map[string][]string
}

// A Note is a text; Category says of what kind ("summary", "description",
// "details", "general" …).
type Note struct {
	Category string `json:"category"`
	Title    string `json:"title"`
	Text     string `json:"text"`
}

// A Reference leads elsewhere; Category is "self" or "external".
type Reference struct {
	Category string `json:"category"`
	Summary  string `json:"summary"`
	URL      string `json:"url"`
}

// A Product is a product of the tree, or one that a relationship makes of two.
type Product struct {
	ID, Name string
	// CPE and PURLs identify it, as far as its own helper says. Those of a
	// relationship most often stand with Component and Platform.
	CPE   string
	PURLs []string
	// SHA256 are digests of its files, in hexadecimal digits.
	SHA256 []string
	// Branches is the way through the tree, from the vendor to the product itself. It is
	// empty for a relationship.
	Branches []Branch
	// Relation is the category of the relationship ("default_component_of",
	// "installed_on"), Component the product that is related and Platform
	// that which it is related to. They are empty for products of the tree.
	Relation            string
	Component, Platform *Product
}

// A Branch is one step in the tree: "architecture" "x86_64".
type Branch struct{ Category, Name string }

// Branch is the name of the step of a category, "" if there is none.
func (p *Product) Branch(category string) string {
	for _, b := range p.Branches {
		if b.Category == category {
			return b.Name
		}
	}
	return ""
}

// Leaf follows the component to the product that no relationship made: the package itself.
func (p *Product) Leaf() *Product {
	for p.Component != nil {
		p = p.Component
	}
	return p
}

// Base follows the platform to its end: the product that all else is part
// of.
func (p *Product) Base() *Product {
	for p.Platform != nil {
		p = p.Platform
	}
	return p
}

// A Status is what is said of a product and a vulnerability.
type Status uint8

// The statuses of section 3.2.3.9 of CSAF 2.0. Unknown is that of products
// which only a remediation or a score names.
const (
	Unknown Status = iota
	KnownNotAffected
	Fixed
	FirstFixed
	Recommended
	KnownAffected
	FirstAffected
	LastAffected
	UnderInvestigation
)

var statusNames = [...]string{
	"", "known_not_affected", "fixed", "first_fixed", "recommended",
	"known_affected", "first_affected", "last_affected", "under_investigation",
}

// String is the word of the format.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status %d", s)
}

// IsFixed reports whether the product is one in which the vulnerability is mended.
func (s Status) IsFixed() bool { return s == Fixed || s == FirstFixed || s == Recommended }

// IsAffected reports whether the product has the vulnerability.
func (s Status) IsAffected() bool {
	return s == KnownAffected || s == FirstAffected || s == LastAffected
}

// A Vulnerability is what a document says of one flaw.
type Vulnerability struct {
	// CVE is its id there, "" if it has none; IDs are ids elsewhere.
	CVE   string
	IDs   []ID
	Title string
	CWE   string
	// Published in Unix milliseconds, 0 if not said.
	Published  int64
	Notes      []Note
	References []Reference
	// Status lists ids of products by status, in the document's order.
	Status       map[Status][]string
	Remediations []Remediation
	Threats      []Threat
	Flags        []Flag
	Scores       []Score

	doc *Document
}

// An ID is an id in another system ("GitHub Advisory", "GHSA-…").
type ID struct {
	System string `json:"system_name"`
	Text   string `json:"text"`
}

// A Remediation is what can be done. Category is one of vendor_fix,
// mitigation, workaround, no_fix_planned, none_available, and in 2.1
// fix_planned and optional_patch.
type Remediation struct {
	Category, Details, URL string
	// Date in Unix milliseconds, 0 if not said.
	Date int64
	// Products are ids, groups resolved; none means the document does not
	// say for which.
	Products []string
}

// A Threat is what may come of it. Category is exploit_status, impact (its
// Details are often a severity) or target_set.
type Threat struct {
	Category, Details string
	Products          []string // see Remediation
}

// A Flag says why products are not affected. Label is one of
// component_not_present, inline_mitigations_already_exist,
// vulnerable_code_cannot_be_controlled_by_adversary,
// vulnerable_code_not_in_execute_path, vulnerable_code_not_present.
type Flag struct {
	Label    string
	Products []string // see Remediation
}

// A Score is CVSS vectors for products.
type Score struct {
	Vectors  []string // the newest version of CVSS first
	Products []string // see Remediation
}

// A Verdict is what a vulnerability says of one product.
type Verdict struct {
	Product *Product
	Status  Status
	// Flag is why the product is not affected, "" if not said.
	Flag string
	// Impact is the threat of category "impact": a severity, or in VEX
	// documents why the product is not affected in free words.
	Impact       string
	Remediations []*Remediation
	Vectors      []string
}

// Remediation is the first of a category, nil if there is none.
func (v *Verdict) Remediation(category string) *Remediation {
	for _, r := range v.Remediations {
		if r.Category == category {
			return r
		}
	}
	return nil
}

// Product is the product with an id, nil if there is none.
func (d *Document) Product(id string) *Product { return d.products[id] }

// Products are the ids of all products, in the document's order.
func (d *Document) Products() []string { return d.ids }

// Note is the text of the first note of a category, "" if there is none.
func (d *Document) Note(category string) string { return note(d.Notes, category) }

// Note is the text of the first note of a category, "" if there is none.
func (v *Vulnerability) Note(category string) string { return note(v.Notes, category) }

func note(ns []Note, category string) string {
	for _, n := range ns {
		if n.Category == category {
			return n.Text
		}
	}
	return ""
}

// Self is the address of the document at its publisher, "" if not said.
func (d *Document) Self() string {
	for _, r := range d.References {
		if r.Category == "self" {
			return r.URL
		}
	}
	return ""
}

// Errorf makes an error about the place where a string of the document, such
// as an id, first stands.
func (d *Document) Errorf(at, format string, args ...any) error {
	line := 1
	if i := bytes.Index(d.raw, []byte(`"`+at+`"`)); i >= 0 {
		line = feed.LineAt(d.raw, int64(i))
	}
	return feed.Errorf(d.file, line, format, args...)
}

// Verdicts says product by product what is known, in the order in which the
// statuses name them. A product that has several statuses has the last of the
// order in which the constants stand: a contradiction is no reason to hide a
// vulnerability. Products without a status are left out.
func (v *Vulnerability) Verdicts() []Verdict {
	at := map[string]int{}
	var out []Verdict
	for s := KnownNotAffected; s <= UnderInvestigation; s++ {
		for _, id := range v.Status[s] {
			i, ok := at[id]
			if !ok {
				i = len(out)
				at[id] = i
				out = append(out, Verdict{Product: v.doc.products[id]})
			}
			if out[i].Status < s && !(out[i].Status.IsAffected() && s == UnderInvestigation) {
				out[i].Status = s
			}
		}
	}
	each := func(ids []string, fn func(*Verdict)) {
		if len(ids) == 0 {
			for i := range out {
				fn(&out[i])
			}
			return
		}
		for _, id := range ids {
			if i, ok := at[id]; ok {
				fn(&out[i])
			}
		}
	}
	for i := range v.Remediations {
		r := &v.Remediations[i]
		each(r.Products, func(o *Verdict) { o.Remediations = append(o.Remediations, r) })
	}
	for _, t := range v.Threats {
		if t.Category != "impact" {
			continue
		}
		each(t.Products, func(o *Verdict) {
			// What is said of the product goes before what is said of all.
			if o.Impact == "" || len(t.Products) > 0 {
				o.Impact = t.Details
			}
		})
	}
	for _, f := range v.Flags {
		each(f.Products, func(o *Verdict) {
			if o.Flag == "" || len(f.Products) > 0 {
				o.Flag = f.Label
			}
		})
	}
	for _, s := range v.Scores {
		each(s.Products, func(o *Verdict) { o.Vectors = append(o.Vectors, s.Vectors...) })
	}
	return out
}

// millis reads a date-time; it is 0 if s is none. Publishers write some
// without a zone, which are taken as UTC.
func millis(s string) int64 {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return max(0, t.UnixMilli())
		}
	}
	return 0
}
