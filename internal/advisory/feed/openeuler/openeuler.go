package openeuler

import (
	"cmp"
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/csaf"
)

const (
	// address is where openEuler publishes.
	address = "https://repo.openeuler.org/security/data/"
	// maxDocuments bounds what the lists of documents name.
	maxDocuments = 1_000_000
)

// A Feed reads the documents of one directory.
type Feed struct {
	// seen are the advisories that have been read.
	seen map[string]bool
}

// New returns a Feed that has read nothing.
func New() *Feed { return &Feed{seen: map[string]bool{}} }

// Info implements feed.Feed.
func (*Feed) Info() feed.Info {
	return feed.Info{Name: "openeuler", Title: "openEuler security advisories", Replaces: []string{"openEuler"}, Documents: true}
}

var namePattern = regexp.MustCompile(`(?i)^(csaf-openeuler-(sa|cve)-[0-9-]+\.json|cvrf-openeuler-(hotpatch)?sa-[0-9-]+\.xml)$`)

// Wants implements feed.Feed.
func (*Feed) Wants(name string) bool { return namePattern.MatchString(csaf.FileName(name)) }

// Read implements feed.Feed.
func (f *Feed) Read(_ context.Context, file feed.File, emit func(feed.Record) error) error {
	b, err := feed.ReadAll(file)
	if err != nil {
		return err
	}
	var rs []feed.Record
	if path.Ext(file.Name) == ".xml" {
		rs, err = readCVRF(file.Name, b)
	} else {
		rs, err = readCSAF(file.Name, b)
	}
	if err != nil {
		return err
	}
	for _, r := range rs {
		if f.seen[r.ID] || len(r.Affected) == 0 {
			continue
		}
		f.seen[r.ID] = true
		if err := emit(r); err != nil {
			return err
		}
	}
	return nil
}

func readCSAF(file string, b []byte) ([]feed.Record, error) {
	d, err := csaf.Parse(file, withoutCommas(b))
	if err != nil {
		return nil, err
	}
	switch {
	case advisoryPattern.MatchString(d.ID):
		return []feed.Record{advisory(d)}, nil
	case cvePattern.MatchString(d.ID):
		return cves(d), nil
	}
	return nil, d.Errorf(d.ID, "%.100q is the id of neither an advisory nor a CVE", d.ID)
}

var (
	advisoryPattern = regexp.MustCompile(`^openEuler-(HotPatch)?SA-[0-9]{4}-[0-9]+$`)
	cvePattern      = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]+$`)
)

func advisory(d *csaf.Document) feed.Record {
	r := feed.Record{
		ID: d.ID, Aliases: aliases(d.ID), Summary: cmp.Or(d.Note("general"), d.Title),
		Severity: d.Severity, Published: d.Published, Modified: d.Modified, URL: d.Self(),
	}
	for _, n := range d.Notes {
		if n.Title == "Description" {
			r.Details = n.Text
		}
	}
	var ps packages
	for i := range d.Vulnerabilities {
		v := &d.Vulnerabilities[i]
		r.CVEs = append(r.CVEs, v.CVE)
		for _, o := range v.Verdicts() {
			if o.Status.IsFixed() {
				ps.add(release(o.Product.Base().ID), o.Product.Leaf().ID)
			}
		}
		// Vectors of one CVE are not those of an advisory on several.
		if len(d.Vulnerabilities) == 1 && len(v.Scores) > 0 {
			r.CVSS = v.Scores[0].Vectors
		}
	}
	r.Affected = ps.affected()
	return r
}

// cves are the records of a document on CVEs: what no advisory says.
func cves(d *csaf.Document) []feed.Record {
	var out []feed.Record
	for i := range d.Vulnerabilities {
		v := &d.Vulnerabilities[i]
		r := feed.Record{
			ID: "OPENEULER-" + v.CVE, CVEs: []string{v.CVE},
			Summary: v.Title, Details: v.Note("description"),
			Severity: d.Severity, Published: d.Published, Modified: d.Modified, URL: d.Self(),
		}
		if r.Summary == v.CVE {
			r.Summary = "" // says nothing; the first line of the details does
		}
		if len(v.Scores) > 0 {
			r.CVSS = v.Scores[0].Vectors
		}
		for _, o := range v.Verdicts() {
			a := feed.Affected{Ecosystem: release(o.Product.Base().ID), Name: source(o.Product.Leaf().ID)}
			switch {
			case a.Ecosystem == "" || a.Name == "" || o.Status.IsFixed():
				continue
			case o.Status.IsAffected():
				a.Ranges = []feed.Range{{Introduced: "0"}}
				if m := o.Remediation("no_fix_planned"); m != nil {
					a.State, a.Note = feed.StateWontFix, m.Details
				}
			case o.Status == csaf.UnderInvestigation:
				a.State = feed.StateUndetermined
			default:
				a.State, a.Note = feed.StateNotAffected, cmp.Or(o.Flag, reason(&o))
			}
			if !slices.ContainsFunc(r.Affected, func(b feed.Affected) bool { return b.Ecosystem == a.Ecosystem && b.Name == a.Name }) {
				r.Affected = append(r.Affected, a)
			}
		}
		out = append(out, r)
	}
	return out
}

// reason is why a product is not affected, in free words. Where a document
// gives the severity there, it is none.
func reason(o *csaf.Verdict) string {
	switch strings.ToLower(o.Impact) {
	case "critical", "high", "medium", "low":
		return ""
	}
	return o.Impact
}

// source is the package of a product that may be without a version.
func source(product string) string {
	if name, _, _, ok := csaf.SplitRPM(product); ok {
		return name
	}
	return product
}

var releasePattern = regexp.MustCompile(`^openEuler-([0-9]{2}\.[0-9]{2}(-[A-Za-z0-9]+)*)$`)

// release is the ecosystem of a product, "openEuler-22.03-LTS-SP3", and "" of
// anything else.
func release(product string) string {
	m := releasePattern.FindStringSubmatch(product)
	if m == nil {
		return ""
	}
	return "openEuler:" + m[1]
}

// aliases are the ids of an advisory elsewhere: OSV writes OESA.
func aliases(id string) []string {
	if n, ok := strings.CutPrefix(id, "openEuler-SA-"); ok {
		return []string{"OESA-" + n}
	}
	return nil
}

// packages gathers the rpms of an advisory.
type packages struct {
	sources, binaries []feed.Affected
}

func (p *packages) add(ecosystem, rpm string) {
	name, version, arch, ok := csaf.SplitRPM(rpm)
	if ecosystem == "" || !ok {
		return
	}
	to := &p.binaries
	if arch == "src" {
		to = &p.sources
	}
	a := feed.Affected{Ecosystem: ecosystem, Name: name, Ranges: []feed.Range{{Introduced: "0", Fixed: version}}}
	same := func(b feed.Affected) bool {
		return b.Ecosystem == a.Ecosystem && b.Name == a.Name && b.Ranges[0] == a.Ranges[0]
	}
	if !slices.ContainsFunc(*to, same) {
		*to = append(*to, a)
	}
}

// affected are the sources, and the binaries of releases that have none.
func (p *packages) affected() []feed.Affected {
	out := slices.Clone(p.sources)
	for _, b := range p.binaries {
		if !slices.ContainsFunc(p.sources, func(s feed.Affected) bool { return s.Ecosystem == b.Ecosystem }) {
			out = append(out, b)
		}
	}
	slices.SortStableFunc(out, func(a, b feed.Affected) int {
		return cmp.Or(cmp.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// withoutCommas is b with a space for each comma that stands before the end of
// a list or an object. Lines and offsets stay.
func withoutCommas(b []byte) []byte {
	text, comma := false, -1
	var out []byte
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text, comma = !text, -1
		case text, c == ' ', c == '\n', c == '\t', c == '\r':
		case c == ',':
			comma = i
		case (c == ']' || c == '}') && comma >= 0:
			if out == nil {
				out = slices.Clone(b)
			}
			out[comma], comma = ' ', -1
		default:
			comma = -1
		}
	}
	if out == nil {
		return b
	}
	return out
}

// Remotes implements feed.Fetched. Advisories are fetched as CVRF only if they
// are not there as CSAF.
func (*Feed) Remotes(ctx context.Context, base string, get func(ctx context.Context, url string) (string, error)) ([]feed.Remote, error) {
	base = strings.TrimSuffix(cmp.Or(base, address), "/") + "/"
	var out []feed.Remote
	have := map[string]bool{}
	for _, dir := range []string{"csaf/advisories/", "csaf/cve/", "cvrf/", "hotpatch_cvrf/"} {
		text, err := get(ctx, base+dir+"index.txt")
		if err != nil {
			return nil, err
		}
		n := 0
		for line := range strings.Lines(text) {
			n++
			name := strings.TrimSpace(line)
			if name == "" {
				continue
			}
			if !indexPattern.MatchString(name) || !namePattern.MatchString(path.Base(name)) {
				return nil, feed.Errorf(dir+"index.txt", n, "%.200q is no name of a document", name)
			}
			id := strings.ToLower(strings.TrimSuffix(path.Base(name), path.Ext(name)))
			id = strings.TrimPrefix(strings.TrimPrefix(id, "csaf-"), "cvrf-")
			if have[id] {
				continue
			}
			have[id] = true
			if len(out) >= maxDocuments {
				return nil, feed.Errorf(dir+"index.txt", n, "more than %d documents: %w", maxDocuments, feed.ErrTooLarge)
			}
			out = append(out, feed.Remote{URL: base + dir + name, Name: dir + name})
		}
	}
	return out, nil
}

var indexPattern = regexp.MustCompile(`^[0-9]{4}/[A-Za-z0-9.-]+$`)
