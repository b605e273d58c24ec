// Package suse reads the CSAF documents of SUSE and openSUSE
// (https://ftp.suse.com/pub/projects/security/): those of advisories
// (csaf.tar.bz2), which say what is fixed, and VEX documents of CVEs
// (csaf-vex.tar.bz2), which say what is affected without a fix, will not be fixed,
// or is not affected. SUSE's OVAL files say less: they have no state beside
// affected and fixed.
//
// Both name binary packages. What has no version is named in the product's
// id: the package URL beside it takes part of some names for a version.
//
// A product is an ecosystem, as OSV spells them: "SUSE Linux Enterprise Module
// for Basesystem 15 SP5" is "SUSE:Linux Enterprise Module for Basesystem
// 15 SP5". Package match asks for all products and modules of a service pack, for an image
// does not show its subscriptions. What several of them say alike is therefore
// kept once, for the server before modules and long support.
//
// SUSE's lists of what is affected keep packages, and sources of packages, that
// have been fixed since in the same service pack, by long support at times.
// Where the same document names such a fix, "affected" is stale and left out;
// unless it is said that there will be no fix.
package suse

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/csaf"
)

// address is where SUSE publishes.
const address = "https://ftp.suse.com/pub/projects/security/"

// A Feed reads SUSE's documents. The zero value is ready.
type Feed struct{}

// New returns a Feed.
func New() *Feed { return &Feed{} }

// Info implements feed.Feed.
func (*Feed) Info() feed.Info {
	return feed.Info{
		Name: "suse", Title: "SUSE and openSUSE CSAF", Licence: "CC-BY-4.0",
		Replaces: []string{"SUSE", "openSUSE"}, Documents: true, Large: true,
	}
}

var (
	namePattern     = regexp.MustCompile(`^((open)?suse-[a-z]u-|cve-[0-9]).*\.json$`)
	advisoryPattern = regexp.MustCompile(`^(open)?SUSE-[A-Z]U-[0-9][0-9:.-]*$`)
	cvePattern      = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]+$`)
)

// Wants implements feed.Feed.
func (*Feed) Wants(name string) bool { return namePattern.MatchString(csaf.FileName(name)) }

// Read implements feed.Feed.
func (*Feed) Read(_ context.Context, file feed.File, emit func(feed.Record) error) error {
	d, err := csaf.Read(file)
	if err != nil {
		return err
	}
	var rs []feed.Record
	switch {
	case advisoryPattern.MatchString(d.ID):
		rs = []feed.Record{advisory(d)}
	case cvePattern.MatchString(d.ID):
		rs = cves(d)
	default:
		return d.Errorf(d.ID, "%.100q is the id of neither an advisory nor a CVE", d.ID)
	}
	for _, r := range rs {
		if len(r.Affected) == 0 {
			continue
		}
		if err := emit(r); err != nil {
			return err
		}
	}
	return nil
}

func advisory(d *csaf.Document) feed.Record {
	r := feed.Record{
		ID: d.ID, Summary: d.Title, Details: strings.TrimSpace(d.Note("description")),
		Severity: d.Severity, Published: d.Published, Modified: d.Modified, URL: d.Self(),
	}
	for _, ref := range d.References {
		if ref.Summary == "URL for "+d.ID {
			r.URL = ref.URL
		}
	}
	var es entries
	for i := range d.Vulnerabilities {
		v := &d.Vulnerabilities[i]
		if v.CVE != "" {
			r.CVEs = append(r.CVEs, v.CVE)
		}
		for _, o := range v.Verdicts() {
			p := platformOf(o.Product)
			name, version, _, ok := csaf.SplitRPM(o.Product.Leaf().ID)
			if !ok || p.ecosystem == "" || !o.Status.IsFixed() {
				continue
			}
			es.add(p, feed.Affected{Name: name, Ranges: []feed.Range{{Introduced: "0", Fixed: version}}})
		}
		// Vectors of one CVE are not those of an advisory on several.
		if len(d.Vulnerabilities) == 1 && len(v.Scores) > 0 {
			r.CVSS = v.Scores[0].Vectors
		}
	}
	r.Affected = es.sorted()
	return r
}

// cves are the records of a VEX document: what no advisory says.
func cves(d *csaf.Document) []feed.Record {
	if rejected(d.Note("description")) {
		return nil
	}
	var out []feed.Record
	for i := range d.Vulnerabilities {
		v := &d.Vulnerabilities[i]
		r := feed.Record{
			ID: "SUSE-" + v.CVE, CVEs: []string{v.CVE},
			Details:  cmp.Or(v.Note("description"), d.Note("description"), v.Note("general")),
			Severity: d.Severity, Published: d.Published, Modified: d.Modified,
			URL: "https://www.suse.com/security/cve/" + v.CVE + "/",
		}
		if len(v.Scores) > 0 {
			r.CVSS = v.Scores[0].Vectors
		}
		for _, t := range v.Threats {
			if t.Category == "impact" && len(t.Products) == 0 {
				r.Severity = t.Details
			}
		}
		verdicts := v.Verdicts()
		fixed := fixes(verdicts)
		var es entries
		// What is affected comes first: it outweighs what is not.
		for _, affected := range []bool{true, false} {
			for j := range verdicts {
				o := &verdicts[j]
				if o.Status.IsAffected() == affected {
					es.state(o, fixed)
				}
			}
		}
		r.Affected = es.sorted()
		out = append(out, r)
	}
	return out
}

// A build is a package of one release.
type build struct{ release, name string }

// fixes are the packages that a document calls fixed, true, and their sources,
// false.
func fixes(verdicts []csaf.Verdict) map[build]bool {
	out := map[build]bool{}
	for i := range verdicts {
		o := &verdicts[i]
		name, source := purl(o.Product.Leaf())
		if !o.Status.IsFixed() || name == "" {
			continue
		}
		release := platformOf(o.Product).release
		out[build{release, name}] = true
		if !out[build{release, source}] {
			out[build{release, source}] = false
		}
	}
	return out
}

// purl is the package and the source of a product whose package URL has a
// version: one that names the build of the source.
func purl(p *csaf.Product) (name, source string) {
	if len(p.PURLs) == 0 {
		return "", ""
	}
	u, err := packageurl.FromString(p.PURLs[0])
	if err != nil || u.Type != packageurl.TypeRPM || u.Version == "" {
		return "", ""
	}
	source, _, _, ok := csaf.SplitRPM(u.Qualifiers.Map()["upstream"])
	if !ok {
		return "", ""
	}
	return u.Name, source
}

// state notes what a verdict says of a package that has no fix.
func (e *entries) state(o *csaf.Verdict, fixed map[build]bool) {
	p := platformOf(o.Product)
	leaf := o.Product.Leaf()
	if p.ecosystem == "" || o.Status.IsFixed() {
		return
	}
	a := feed.Affected{Name: leaf.ID}
	if name, _ := purl(leaf); name != "" {
		a.Name = name
	}
	binary, known := fixed[build{p.release, a.Name}]
	switch {
	case o.Status.IsAffected():
		a.Ranges = []feed.Range{{Introduced: "0"}}
		if m := o.Remediation("no_fix_planned"); m != nil {
			a.State, a.Note = feed.StateWontFix, m.Details
			known = known && binary
		}
	case o.Status == csaf.UnderInvestigation:
		a.State = feed.StateUndetermined
	default:
		a.State, a.Note = feed.StateNotAffected, o.Flag
	}
	if !known {
		e.add(p, a)
	}
}

// rejected reports whether a CVE has been taken back, which only its
// description says.
func rejected(description string) bool {
	return strings.HasPrefix(description, "** REJECT **") || strings.Contains(description, "DO NOT USE THIS C") ||
		strings.Contains(description, "has been rejected or withdrawn")
}

// A platform is a product of SUSE. Release is the same for all that one image
// is matched with; rank says which of them speaks for the others.
type platform struct {
	ecosystem, release string
	rank               int
}

var enterprise = regexp.MustCompile(`^Linux Enterprise .*?([0-9]+( SP[0-9]+|\.[0-9]+)?)(-LTSS|-ESPOS)?$`)

// platformOf is the platform of a product. Images and charts, which are named
// otherwise, have none.
func platformOf(o *csaf.Product) platform {
	if o.Platform == nil {
		return platform{} // a product as a whole
	}
	name := o.Base().ID
	if rest, ok := strings.CutPrefix(name, "openSUSE "); ok {
		return platform{ecosystem: "openSUSE:" + rest, release: name}
	}
	rest, ok := strings.CutPrefix(name, "SUSE ")
	if !ok {
		return platform{}
	}
	p := platform{ecosystem: "SUSE:" + rest, release: name}
	m := enterprise.FindStringSubmatch(rest)
	if m == nil || strings.HasPrefix(rest, "Linux Enterprise Micro ") {
		return p
	}
	p.release = m[1]
	switch {
	case m[3] != "":
		p.rank = 3
	case rest == "Linux Enterprise Server "+m[1]:
	case strings.HasPrefix(rest, "Linux Enterprise Module "):
		p.rank = 1
	default:
		p.rank = 2
	}
	return p
}

// entries gathers packages, those of one release once.
type entries struct {
	list []feed.Affected
	at   map[entryKey]int // in list
	rank []int            // of list
}

type entryKey struct{ release, name, fixed string }

func (e *entries) add(p platform, a feed.Affected) {
	a.Ecosystem = p.ecosystem
	k := entryKey{p.release, a.Name, ""}
	if len(a.Ranges) > 0 {
		k.fixed = a.Ranges[0].Fixed
	}
	if e.at == nil {
		e.at = map[entryKey]int{}
	}
	i, ok := e.at[k]
	if !ok {
		e.at[k] = len(e.list)
		e.list, e.rank = append(e.list, a), append(e.rank, p.rank)
		return
	}
	if before := &e.list[i]; p.rank < e.rank[i] && before.State == a.State && len(before.Ranges) == len(a.Ranges) {
		before.Ecosystem, e.rank[i] = a.Ecosystem, p.rank
	}
}

func (e *entries) sorted() []feed.Affected {
	slices.SortStableFunc(e.list, func(a, b feed.Affected) int {
		return cmp.Or(cmp.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Name, b.Name))
	})
	return e.list
}

// Remotes implements feed.Fetched.
func (*Feed) Remotes(_ context.Context, base string, _ func(ctx context.Context, url string) (string, error)) ([]feed.Remote, error) {
	base = strings.TrimSuffix(cmp.Or(base, address), "/") + "/"
	var out []feed.Remote
	for _, name := range []string{"csaf.tar.bz2", "csaf-vex.tar.bz2"} {
		out = append(out, feed.Remote{URL: base + name, Name: name})
	}
	return out, nil
}
