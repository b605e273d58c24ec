package vunnel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// ErrNoAdvisory is what records are that say nothing of packages by name: NVD's,
// which name products by CPE, and the ends of life of releases.
var ErrNoAdvisory = fmt.Errorf("no advisory about packages")

// An envelope is around every record.
type envelope struct {
	Schema     string
	Identifier string
	Item       json.RawMessage
}

// Translate is one record as an advisory.
func Translate(b []byte) (feed.Record, error) {
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return feed.Record{}, err
	}
	var r feed.Record
	var err error
	switch kind := path.Base(path.Dir(e.Schema)); kind {
	case "os":
		r, err = fromDistribution(e.Item)
	case "osv":
		r, err = fromOSV(e.Item)
	case "github-security-advisory":
		r, err = fromGitHub(e.Item)
	case "annotated-openvex":
		r, err = fromOpenVEX(e.Item)
	case "csaf-vex":
		r, err = fromCSAF(e.Item)
	case "nvd", "eol":
		err = ErrNoAdvisory
	default:
		err = fmt.Errorf("schema %q is not known", kind)
	}
	if err != nil {
		return feed.Record{}, fmt.Errorf("%s: %w", e.Identifier, err)
	}
	return r, nil
}

// Custom is the advisories in the format of feed "custom", one a line.
func Custom(rs []feed.Record) ([]byte, error) {
	type object = map[string]any
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, r := range rs {
		var affected []object
		for _, a := range r.Affected {
			var ranges []object
			for _, g := range a.Ranges {
				ranges = append(ranges, without(object{"introduced": g.Introduced, "fixed": g.Fixed, "last_affected": g.LastAffected}))
			}
			o := without(object{
				"ecosystem": a.Ecosystem, "name": a.Name, "state": a.State.String(), "stream": a.Stream, "advisory": a.Advisory, "note": a.Note,
			})
			if ranges != nil {
				o["ranges"] = ranges
			}
			if a.Versions != nil {
				o["versions"] = a.Versions
			}
			affected = append(affected, o)
		}
		o := without(object{"id": r.ID, "summary": r.Summary, "severity": r.Severity})
		o["affected"] = affected
		if r.CVEs != nil {
			o["cves"] = r.CVEs
		}
		if r.Aliases != nil {
			o["aliases"] = r.Aliases
		}
		if err := enc.Encode(o); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// without leaves out what is empty.
func without(o map[string]any) map[string]any {
	for k, v := range o {
		if v == "" {
			delete(o, k)
		}
	}
	return o
}

func fromDistribution(item json.RawMessage) (feed.Record, error) {
	var doc struct {
		Vulnerability struct {
			Name, NamespaceName, Severity string
			FixedIn                       []struct {
				Name, Version, Module, VulnerableRange string
				VendorAdvisory                         struct {
					NoAdvisory      bool
					AdvisorySummary []struct{ ID string }
				}
				Advisories []struct{ Advisory, Version string }
			}
			Metadata struct{ CVE []struct{ Name string } }
		}
	}
	if err := json.Unmarshal(item, &doc); err != nil {
		return feed.Record{}, err
	}
	v := doc.Vulnerability
	eco, err := release(v.NamespaceName)
	if err != nil {
		return feed.Record{}, err
	}
	r := feed.Record{ID: v.Name, Severity: severity(v.Severity)}
	if strings.HasPrefix(v.Name, "CVE-") {
		// A distribution's record about a CVE; its streams have one each.
		r.ID = strings.ToUpper(strings.NewReplacer(":", "-", "+", "-", ".", "-").Replace(v.NamespaceName)) + "-" + v.Name
		r.CVEs = []string{v.Name}
	}
	for _, c := range v.Metadata.CVE {
		r.CVEs = append(r.CVEs, c.Name)
	}
	for _, f := range v.FixedIn {
		a := feed.Affected{Ecosystem: eco, Name: f.Name, Stream: f.Module}
		if as := f.VendorAdvisory.AdvisorySummary; len(as) > 0 {
			a.Advisory = as[0].ID
		}
		switch {
		case f.Version == "0":
			// "No version is vulnerable".
			a.State = feed.StateNotAffected
		case f.Version == "None":
			a.Ranges = []feed.Range{{Introduced: "0"}}
			if f.VendorAdvisory.NoAdvisory {
				a.State = feed.StateWontFix // there will be none
			}
		case f.VulnerableRange != "":
			if a.Ranges, err = ranges(f.VulnerableRange, "||"); err != nil {
				return feed.Record{}, err
			}
		case len(f.Advisories) > 1:
			// One fix for each minor release.
			for _, each := range f.Advisories[1:] {
				other := a
				other.Advisory, other.Ranges = each.Advisory, []feed.Range{{Introduced: "0", Fixed: each.Version}}
				r.Affected = append(r.Affected, other)
			}
			fallthrough
		default:
			a.Ranges = []feed.Range{{Introduced: "0", Fixed: f.Version}}
		}
		r.Affected = append(r.Affected, a)
	}
	return r, nil
}

// release is the ecosystem of a namespace like "rhel:9.4+eus".
func release(namespace string) (string, error) {
	name, v, _ := strings.Cut(namespace, ":")
	v, channel, _ := strings.Cut(v, "+")
	switch name + "+" + channel {
	case "alpine+":
		return "Alpine:v" + v, nil
	case "wolfi+":
		return "Wolfi", nil
	case "debian+":
		return "Debian:" + v, nil
	case "ubuntu+":
		return "Ubuntu:" + v + ":LTS", nil
	case "ubuntu+esm":
		return "Ubuntu:Pro:" + v + ":LTS", nil
	case "rhel+":
		return "Red Hat:enterprise_linux:" + v, nil
	case "rhel+eus":
		return "Red Hat:rhel_eus:" + v, nil
	case "ol+":
		return "Oracle Linux:" + v, nil
	case "sles+":
		major, pack, ok := strings.Cut(v, ".")
		if ok {
			major += " SP" + pack
		}
		return "SUSE:Linux Enterprise Server " + major, nil
	}
	return "", fmt.Errorf("namespace %q is not known", namespace)
}

func severity(s string) string {
	switch s {
	case "Unknown":
		return ""
	case "Negligible":
		return "Low"
	default:
		return s
	}
}

func fromOSV(item json.RawMessage) (feed.Record, error) {
	var doc struct {
		ID                string
		Summary           string
		Aliases, Upstream []string
		Related           []string
		Affected          []struct {
			Package           struct{ Ecosystem, Name string }
			Ranges            []struct{ Events []map[string]string }
			EcosystemSpecific json.RawMessage `json:"ecosystem_specific"`
		}
	}
	if err := json.Unmarshal(item, &doc); err != nil {
		return feed.Record{}, err
	}
	r := feed.Record{ID: doc.ID, Summary: doc.Summary}
	for _, id := range slices.Concat(doc.Aliases, doc.Upstream, doc.Related) {
		switch {
		case !strings.HasPrefix(id, "CVE-"):
			r.Aliases = append(r.Aliases, id)
		case !slices.Contains(r.CVEs, id):
			r.CVEs = append(r.CVEs, id)
		}
	}
	for _, a := range doc.Affected {
		out := feed.Affected{Ecosystem: a.Package.Ecosystem, Name: a.Package.Name}
		// Other records have other things in this place.
		var specific struct {
			Modularity string `json:"rpm_modularity"`
		}
		if len(a.EcosystemSpecific) > 0 && json.Unmarshal(a.EcosystemSpecific, &specific) == nil {
			out.Stream = specific.Modularity
		}
		for _, g := range a.Ranges {
			open := false
			for _, e := range g.Events {
				if v, ok := e["introduced"]; ok {
					out.Ranges = append(out.Ranges, feed.Range{Introduced: v})
					open = true
				}
				if v, ok := e["fixed"]; ok && open {
					// root.io lists later builds too: the first has the fix.
					out.Ranges[len(out.Ranges)-1].Fixed = v
					open = false
				}
			}
		}
		r.Affected = append(r.Affected, out)
	}
	return r, nil
}

func fromGitHub(item json.RawMessage) (feed.Record, error) {
	var doc struct {
		Advisory struct {
			GHSAID            string `json:"ghsaId"`
			Summary, Severity string
			CVE               []string
			FixedIn           []struct{ Ecosystem, Name, Range, Identifier string }
		}
	}
	if err := json.Unmarshal(item, &doc); err != nil {
		return feed.Record{}, err
	}
	a := doc.Advisory
	r := feed.Record{ID: a.GHSAID, CVEs: a.CVE, Summary: a.Summary, Severity: severity(a.Severity)}
	ecosystems := map[string]string{"go": "Go", "gem": "RubyGems", "java": "Maven", "npm": "npm", "python": "PyPI"}
	for _, f := range a.FixedIn {
		eco, ok := ecosystems[f.Ecosystem]
		if !ok {
			return feed.Record{}, fmt.Errorf("ecosystem %q is not known", f.Ecosystem)
		}
		gs, err := ranges(f.Range, "||")
		if err != nil {
			return feed.Record{}, err
		}
		if n := len(gs) - 1; gs[n].LastAffected != "" && f.Identifier != "None" {
			gs[n].LastAffected, gs[n].Fixed = "", f.Identifier // the next release
		}
		r.Affected = append(r.Affected, feed.Affected{Ecosystem: eco, Name: f.Name, Ranges: gs})
	}
	return r, nil
}

var bound = regexp.MustCompile(`(<=|>=|<|>|=)\s*([^\s,]+)`)

// ranges reads "< a || >= b, < c".
func ranges(s, or string) ([]feed.Range, error) {
	var out []feed.Range
	for _, part := range strings.Split(s, or) {
		g := feed.Range{Introduced: "0"}
		ms := bound.FindAllStringSubmatch(part, -1)
		if len(ms) == 0 {
			return nil, fmt.Errorf("range %q is not understood", s)
		}
		for _, m := range ms {
			switch m[1] {
			case ">=":
				g.Introduced = m[2]
			case "<":
				g.Fixed = m[2]
			case "<=":
				g.LastAffected = m[2]
			default:
				return nil, fmt.Errorf("range %q is not understood", s)
			}
		}
		out = append(out, g)
	}
	return out, nil
}

// fromOpenVEX makes of "fixed" in these very versions that they are not
// affected.
func fromOpenVEX(item json.RawMessage) (feed.Record, error) {
	var doc struct {
		Document struct {
			Status        string
			Products      []struct{ Identifiers struct{ PURL string } }
			Vulnerability struct {
				Name    string
				Aliases []string
			}
		}
	}
	if err := json.Unmarshal(item, &doc); err != nil {
		return feed.Record{}, err
	}
	d := doc.Document
	if d.Status != "fixed" && d.Status != "not_affected" {
		return feed.Record{}, fmt.Errorf("status %q is not known", d.Status)
	}
	r := feed.Record{ID: d.Vulnerability.Name}
	for _, id := range d.Vulnerability.Aliases {
		if strings.HasPrefix(id, "CVE-") {
			r.CVEs = append(r.CVEs, id)
		} else {
			r.Aliases = append(r.Aliases, id)
		}
	}
	for _, p := range d.Products {
		rest, ok := strings.CutPrefix(p.Identifiers.PURL, "pkg:")
		name, v, ok2 := strings.Cut(rest, "@")
		kind, name, ok3 := strings.Cut(name, "/")
		if !ok || !ok2 || !ok3 {
			return feed.Record{}, fmt.Errorf("package URL %q", p.Identifiers.PURL)
		}
		v, err := url.PathUnescape(v)
		if err != nil {
			return feed.Record{}, err
		}
		eco := map[string]string{"maven": "Maven", "pypi": "PyPI", "npm": "npm"}[kind]
		if kind == "maven" {
			name = strings.Replace(name, "/", ":", 1)
		}
		r.Affected = append(r.Affected, feed.Affected{Ecosystem: eco, Name: name, Versions: []string{v}, State: feed.StateNotAffected, Note: "fixed in this build"})
	}
	return r, nil
}

// fromCSAF reads Red Hat's documents about its hardened images, whose packages
// are rpms of a release of their own, and which operators import by its id.
func fromCSAF(item json.RawMessage) (feed.Record, error) {
	var doc struct {
		Document        struct{ Title string }
		Vulnerabilities []struct {
			CVE           string
			ProductStatus struct {
				Fixed         []string
				KnownAffected []string `json:"known_affected"`
			} `json:"product_status"`
		}
	}
	if err := json.Unmarshal(item, &doc); err != nil {
		return feed.Record{}, err
	}
	if len(doc.Vulnerabilities) != 1 {
		return feed.Record{}, fmt.Errorf("%d vulnerabilities", len(doc.Vulnerabilities))
	}
	v := doc.Vulnerabilities[0]
	r := feed.Record{ID: "HUMMINGBIRD-" + v.CVE, CVEs: []string{v.CVE}, Summary: doc.Document.Title}
	for _, p := range v.ProductStatus.Fixed {
		product, pkg, _ := strings.Cut(p, ":")
		m := nevr.FindStringSubmatch(pkg)
		if m == nil || product != "hummingbird-1" {
			return feed.Record{}, fmt.Errorf("product %q", p)
		}
		r.Affected = append(r.Affected, feed.Affected{Ecosystem: "rpm:hummingbird:1", Name: m[1], Ranges: []feed.Range{{Introduced: "0", Fixed: m[2]}}})
	}
	for _, p := range v.ProductStatus.KnownAffected {
		_, pkg, _ := strings.Cut(p, ":")
		if strings.HasSuffix(pkg, ".src") {
			continue // its binary packages are listed
		}
		r.Affected = append(r.Affected, feed.Affected{Ecosystem: "rpm:hummingbird:1", Name: pkg, Ranges: []feed.Range{{Introduced: "0"}}})
	}
	return r, nil
}

// nevr takes "perl-Errno-0:1.38-524.1.hum1" apart.
var nevr = regexp.MustCompile(`^(.+)-([0-9]+:[^-]+-[^-]+)$`)
