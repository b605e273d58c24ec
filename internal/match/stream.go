package match

import (
	"regexp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/report"
)

// extendedEcosystems are those of a stream of Red Hat Enterprise Linux with
// extended support: "Red Hat:rhel_eus:9.4::baseos" for an image of 9.4 whose
// packages were taken from its EUS repositories.
func extendedEcosystems(d report.Distro, all []string) []string {
	if d.Stream == "" || d.VersionID == "" {
		return nil
	}
	release := d.VersionID
	if d.Stream == "els" {
		release, _, _ = strings.Cut(release, ".") // of a whole major release
	}
	want := regexp.MustCompile(`^Red Hat:rhel_` + regexp.QuoteMeta(d.Stream) + `:` + regexp.QuoteMeta(release) + `(::.*)?$`)
	return selected(all, want.MatchString)
}

// rootLookups are the places of root.io's own records. It builds packages of
// distributions and languages anew with fixes put in, under versions of its own
// (1.6-2.1.root.io.2, 1.21.4-r00071) and mostly under other names (rootio-jq,
// @rootio/json-schema, io.root.org.springframework:spring-core). Its records name the latter.
func rootLookups(l lookup) []lookup {
	name := rootName(l.ecosystem, l.name)
	if name == l.name && !strings.Contains(l.version, "root.io") {
		return nil
	}
	eco := l.ecosystem
	if rest, ok := strings.CutPrefix(eco, "Alpine:v"); ok {
		eco = "Alpine:" + rest
	}
	eco = strings.TrimSuffix(eco, ":LTS")
	return []lookup{{"Root:" + eco, rootPrefix(eco) + name, l.version}}
}

// rootPrefix is what root.io puts before the names of what it builds.
func rootPrefix(ecosystem string) string {
	switch ecosystem {
	case "npm":
		return "@rootio/"
	case "Maven":
		return "io.root."
	default:
		return "rootio-"
	}
}

// rootName is the name of what root.io has built anew.
func rootName(ecosystem, name string) string {
	return strings.TrimPrefix(name, rootPrefix(ecosystem))
}

// firstWord reports ecosystems whose records stand above those of the release
// or the project as a whole: streams with support of their own, and whoever
// builds packages anew. What they say of a vulnerability replaces what the
// latter say: whether the package has it, and in which version it is mended.
func firstWord(ecosystem string) bool {
	return strings.HasPrefix(ecosystem, "Red Hat:rhel_") || strings.HasPrefix(ecosystem, "Ubuntu:Pro:") || strings.HasPrefix(ecosystem, "Root:")
}

// settles reports whether the entries of a record decide about the package, so
// that other records about the vulnerability have no say: an entry of one who
// has the first word and gives a fix, and one that calls this very version not
// affected.
func settles(l lookup, p report.Package, entries []advisory.Affected) bool {
	for i := range entries {
		a := &entries[i]
		switch {
		case a.State == feed.StateNotAffected:
			if slices.Contains(a.Versions, l.version) {
				return true
			}
		case !firstWord(l.ecosystem) || !hasFix(a) || a.State == feed.StateUndetermined:
		case a.Stream != "" && (p.Module == "" || a.Stream != stream(p.Module)):
		case p.Type == report.TypeRPM && hasModularFix(a) != (p.Module != "" || advisory.Modular(l.version)):
		default:
			return true
		}
	}
	return false
}

// dropSettled leaves out hits about vulnerabilities that records with the first
// word have decided; the own hits of those stay.
func (m *Matcher) dropSettled(hits []hit, decided []veto, t *tracer) ([]hit, error) {
	if len(decided) == 0 {
		return hits, nil
	}
	by := map[string]veto{} // by any name of the vulnerability
	for _, d := range decided {
		v, err := m.records.vuln(d.id)
		if err != nil {
			return nil, err
		}
		by[d.id] = d
		if v == nil {
			continue
		}
		for _, n := range identities(hit{vuln: v, cves: v.CVEs}) {
			by[n] = d
		}
	}
	return slices.DeleteFunc(hits, func(h hit) bool {
		if firstWord(h.in.Ecosystem) {
			return false
		}
		for _, n := range identities(h) {
			if d, ok := by[n]; ok {
				t.vetoed(h.affected.ID, d)
				return true
			}
		}
		return false
	}), nil
}

// proFixes counts the findings of an image of Ubuntu that have no fix for
// everyone and have one for subscribers of Ubuntu Pro.
func (m *Matcher) proFixes(d report.Distro, findings []report.Finding) (int, error) {
	if strings.ToLower(d.ID) != "ubuntu" || d.VersionID == "" {
		return 0, nil
	}
	n := 0
	for i := range findings {
		f := &findings[i]
		if f.FixState == report.FixAvailable || f.Package.Type != report.TypeDeb {
			continue
		}
		as, err := m.db.Affected("Ubuntu:Pro:"+d.VersionID+":LTS", f.Evidence.Name)
		if err != nil {
			return 0, err
		}
		for _, a := range as {
			if !hasFix(&a) {
				continue
			}
			v, err := m.records.vuln(a.ID)
			if err != nil {
				return 0, err
			}
			if v != nil && slices.ContainsFunc(identities(hit{vuln: v, cves: v.CVEs}), func(id string) bool {
				return id == f.ID || slices.Contains(f.CVEs, id) || slices.Contains(f.Aliases, id)
			}) {
				n++
				break
			}
		}
	}
	return n, nil
}
