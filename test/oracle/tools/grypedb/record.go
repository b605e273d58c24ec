package main

import (
	"strings"

	v6 "github.com/anchore/grype/grype/db/v6"
)

// A record is what is needed of an OSV record (https://ossf.github.io/osv-schema).
type record struct {
	ID        string   `json:"id"`
	Aliases   []string `json:"aliases"`
	Upstream  []string `json:"upstream"`
	Related   []string `json:"related"`
	Summary   string   `json:"summary"`
	Withdrawn string   `json:"withdrawn"`
	Severity  []struct {
		Type  string `json:"type"`
		Score string `json:"score"`
	} `json:"severity"`
	Affected []struct {
		Package struct {
			Ecosystem string `json:"ecosystem"`
			Name      string `json:"name"`
		} `json:"package"`
		Ranges []struct {
			Type   string              `json:"type"`
			Events []map[string]string `json:"events"`
		} `json:"ranges"`
		Versions []string `json:"versions"`
	} `json:"affected"`
}

func (r record) vulnerability(p *v6.Provider) *v6.VulnerabilityHandle {
	blob := &v6.VulnerabilityBlob{ID: r.ID, Description: r.Summary, Aliases: r.cves()}
	for _, s := range r.Severity {
		version, _, ok := strings.Cut(strings.TrimPrefix(s.Score, "CVSS:"), "/")
		if ok {
			blob.Severities = append(blob.Severities, v6.Severity{
				Scheme: v6.SeveritySchemeCVSS,
				Value:  v6.CVSSSeverity{Vector: s.Score, Version: version},
			})
		}
	}
	return &v6.VulnerabilityHandle{Name: r.ID, Status: v6.VulnerabilityActive, ProviderID: p.ID, Provider: p, BlobValue: blob}
}

func (r record) cves() []string {
	var out []string
	for _, ids := range [][]string{r.Aliases, r.Upstream, r.Related} {
		for _, id := range ids {
			if strings.HasPrefix(id, "CVE-") {
				out = append(out, id)
			}
		}
	}
	return out
}

func (r record) affected() []*v6.AffectedPackageHandle {
	var out []*v6.AffectedPackageHandle
	for _, a := range r.Affected {
		name, release, _ := strings.Cut(a.Package.Ecosystem, ":")
		e, ok := ecosystems[name]
		if !ok {
			continue
		}
		blob := &v6.PackageBlob{CVEs: r.cves()}
		for _, g := range a.Ranges {
			if g.Type != "GIT" {
				blob.Ranges = append(blob.Ranges, intervals(g.Events, e.format)...)
			}
		}
		for _, v := range a.Versions {
			blob.Ranges = append(blob.Ranges, interval("= "+v, "", e.format))
		}
		if len(blob.Ranges) == 0 {
			continue // says nothing that can be matched
		}
		h := &v6.AffectedPackageHandle{Package: &v6.Package{Ecosystem: e.kind, Name: a.Package.Name}, BlobValue: blob}
		if e.system != "" {
			h.OperatingSystem = system(e.system, release)
		}
		out = append(out, h)
	}
	return out
}

// An ecosystem of OSV, in grype's words.
type ecosystem struct {
	// kind of package and version format; system is the distribution.
	kind, format, system string
}

var ecosystems = map[string]ecosystem{
	"Debian":    {"deb", "dpkg", "debian"},
	"Alpine":    {"apk", "apk", "alpine"},
	"AlmaLinux": {"rpm", "rpm", "redhat"}, // where grype looks AlmaLinux up
	"Go":        {"go-module", "go", ""},
	"npm":       {"npm", "semver", ""},
	"PyPI":      {"python", "python", ""},
	"RubyGems":  {"gem", "gem", ""},
	"Maven":     {"java-archive", "maven", ""},
}

// codenames of Debian's releases: grype looks a release up by number and
// codename together.
var codenames = map[string]string{
	"10": "buster", "11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky",
}

func system(name, release string) *v6.OperatingSystem {
	release = strings.TrimPrefix(release, "v")
	major, minor, _ := strings.Cut(release, ".")
	s := &v6.OperatingSystem{Name: name, ReleaseID: name, MajorVersion: major, MinorVersion: minor}
	if name == "debian" {
		s.Codename = codenames[major]
	}
	return s
}

// intervals are what lies between the events of one range, in their order.
func intervals(events []map[string]string, format string) []v6.Range {
	var out []v6.Range
	lower, open := "", false
	for _, e := range events {
		switch {
		case e["introduced"] != "":
			open, lower = true, ""
			if v := e["introduced"]; v != "0" {
				lower = ">= " + v
			}
		case e["fixed"] != "" && open:
			out = append(out, interval(and(lower, "< "+e["fixed"]), e["fixed"], format))
			open = false
		case e["last_affected"] != "" && open:
			out = append(out, interval(and(lower, "<= "+e["last_affected"]), "", format))
			open = false
		}
	}
	if open {
		out = append(out, interval(lower, "", format))
	}
	return out
}

func and(a, b string) string {
	if a == "" {
		return b
	}
	return a + "," + b
}

func interval(constraint, fixed, format string) v6.Range {
	fix := &v6.Fix{State: v6.NotFixedStatus}
	if fixed != "" {
		fix = &v6.Fix{State: v6.FixedStatus, Version: fixed}
	}
	return v6.Range{Version: v6.Version{Type: format, Constraint: constraint}, Fix: fix}
}
