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

// affected are grype's entries of the record. What has no place in grype's
// database is counted in left, by its ecosystem.
func (r record) affected(rhel string, left map[string]int) []*v6.AffectedPackageHandle {
	var out []*v6.AffectedPackageHandle
	for _, a := range r.Affected {
		name, release, _ := strings.Cut(a.Package.Ecosystem, ":")
		e, ok := ecosystems[name]
		system, known := e.release(release)
		if !ok || !known || e.system == redHat && name != rhel {
			left[name]++
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
		out = append(out, &v6.AffectedPackageHandle{
			Package: &v6.Package{Ecosystem: e.kind, Name: a.Package.Name}, OperatingSystem: system, BlobValue: blob,
		})
	}
	return out
}

// An ecosystem of OSV, in grype's words.
type ecosystem struct {
	// kind of package and version format; system is the distribution.
	kind, format, system string
}

// redHat is where grype looks up Red Hat Enterprise Linux and all that is
// built from it: one database can hold the records of one of them only.
const redHat = "redhat"

// ecosystems that grype knows. It has no distribution for Alpaquita,
// BellSoft's or Docker's hardened images.
var ecosystems = map[string]ecosystem{
	"Debian":      {"deb", "dpkg", "debian"},
	"Ubuntu":      {"deb", "dpkg", "ubuntu"},
	"Alpine":      {"apk", "apk", "alpine"},
	"AlmaLinux":   {"rpm", "rpm", redHat},
	"Rocky Linux": {"rpm", "rpm", redHat},
	"Red Hat":     {"rpm", "rpm", redHat},
	"Azure Linux": {"rpm", "rpm", "azurelinux"},
	"Go":          {"go-module", "go", ""},
	"npm":         {"npm", "semver", ""},
	"PyPI":        {"python", "python", ""},
	"RubyGems":    {"gem", "gem", ""},
	"Maven":       {"java-archive", "maven", ""},
	"crates.io":   {"rust-crate", "semver", ""},
	"Packagist":   {"php-composer", "semver", ""},
	"NuGet":       {"dotnet", "semver", ""},
	"CRAN":        {"R-package", "semver", ""},
	"Bitnami":     {"bitnami", "bitnami", ""},
	"SwiftURL":    {"swift", "semver", ""},
}

// codenames of releases: grype looks a release of Debian or Ubuntu up by
// number and codename together.
var codenames = map[string]string{
	"debian 10": "buster", "debian 11": "bullseye", "debian 12": "bookworm", "debian 13": "trixie", "debian 14": "forky",
	"ubuntu 14.04": "trusty", "ubuntu 16.04": "xenial", "ubuntu 18.04": "bionic", "ubuntu 20.04": "focal",
	"ubuntu 22.04": "jammy", "ubuntu 24.04": "noble", "ubuntu 24.10": "oracular", "ubuntu 25.10": "questing",
}

// release is the distribution of an entry, nil for languages. ok is false for
// streams that grype does not tell apart.
func (e ecosystem) release(release string) (s *v6.OperatingSystem, ok bool) {
	if e.system == "" {
		return nil, true
	}
	s = &v6.OperatingSystem{Name: e.system, ReleaseID: e.system}
	if rest, ok := strings.CutPrefix(release, "Pro:"); ok {
		s.Channel, release = "esm", rest
	}
	if rest, ok := strings.CutPrefix(release, "rhel_eus:"); ok {
		s.Channel, release = "eus", rest
	}
	release = strings.TrimPrefix(release, "enterprise_linux:")
	release, _, _ = strings.Cut(strings.TrimPrefix(release, "v"), ":")
	if release != "edge" && (release == "" || release[0] < '0' || release[0] > '9') {
		return nil, false
	}
	s.MajorVersion, s.MinorVersion, _ = strings.Cut(release, ".")
	if release == "edge" {
		s.MajorVersion, s.LabelVersion = "", release
	}
	s.Codename = codenames[e.system+" "+release]
	return s, true
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
