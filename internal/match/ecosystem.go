package match

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed/oracle"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// A lookup is one place of the database where a package's advisories stand.
type lookup struct {
	ecosystem, name, version string
}

// settles reports whether what is fixed here is fixed, whatever the same record
// says for the look-ups that follow: Ubuntu Pro goes before the release without
// it, and Red Hat's builds before its source packages, which have no versions.
func (l lookup) settles() bool {
	return strings.HasPrefix(l.ecosystem, "Ubuntu:Pro:") || strings.HasPrefix(l.ecosystem, "Red Hat:") && !redHatSourceName(l.name)
}

// ownEcosystems are the ecosystems of a distribution's own advisories, in the
// spelling of the OSV schema
// (https://ossf.github.io/osv-schema/#defined-ecosystems) where it has them.
// all lists the ecosystems of the database, for distributions whose releases
// are spread over many. No result means that the distribution is not
// known, or that its release is not.
func ownEcosystems(d report.Distro, all []string) []string {
	v := d.VersionID
	major, _, _ := strings.Cut(v, ".")
	with := func(eco, release string) []string {
		if release == "" {
			return nil
		}
		return []string{eco + ":" + release}
	}
	switch strings.ToLower(d.ID) {
	case "debian":
		if major == "" {
			major = debianReleases(d.Codename)
		}
		return with("Debian", major)
	case "ubuntu":
		// Releases with long support carry a suffix.
		if v == "" {
			return nil
		}
		return []string{"Ubuntu:" + v + ":LTS", "Ubuntu:" + v}
	case "alpine":
		return alpineEcosystems(v)
	case "almalinux":
		return with("AlmaLinux", major)
	case "rocky":
		return with("Rocky Linux", major)
	case "rhel", "redhat":
		return append(extendedEcosystems(d, all), redHatEcosystems(major, all)...)
	case "ol", "oracle":
		return with("Oracle Linux", major)
	case "amzn":
		return with("Amazon Linux", amazonRelease(major))
	case "fedora":
		return with("Fedora", major)
	case "euleros":
		return with("EulerOS", eulerRelease(d))
	case "hce":
		return with("Huawei Cloud EulerOS", v)
	case "kylin":
		return kylinEcosystems(d)
	case "uos", "uniontech":
		return uosEcosystems(d)
	case "anolis":
		return with("Anolis OS", major)
	case "alinux", "aliyun":
		return with("Alibaba Cloud Linux", major)
	case "tencentos", "tlinux":
		return with("TencentOS", major)
	case "opencloudos":
		return with("OpenCloudOS", major)
	case "openkylin":
		return with("openKylin", v)
	case "deepin":
		return with("deepin", v)
	case "opensuse-leap", "opensuse":
		return with("openSUSE", prefixed("Leap ", v))
	case "opensuse-leap-micro":
		return with("openSUSE", prefixed("Leap Micro ", v))
	case "opensuse-tumbleweed", "opensuse-microos", "opensuse-kubic":
		return []string{"openSUSE:Tumbleweed"}
	case "sles", "sled", "sles_sap", "sle_hpc", "sle-micro", "sle-micro-rancher", "suse-microos", "sl-micro":
		return suseEcosystems(strings.ToLower(d.ID), v, all)
	case "openeuler":
		return with("openEuler", openEulerRelease(d))
	case "mageia":
		return with("Mageia", major)
	case "azurelinux":
		return with("Azure Linux", major)
	case "mariner":
		return []string{"Azure Linux:" + major, "CBL-Mariner:" + v}
	case "photon":
		return with("Photon OS", v)
	case "wolfi":
		return []string{"Wolfi"}
	case "chainguard":
		return []string{"Chainguard", "Wolfi"}
	case "minimos":
		return []string{"MinimOS"}
	case "alpaquita":
		return with("Alpaquita", strings.ToLower(v))
	case "bellsoft-hardened-containers":
		return with("BellSoft Hardened Containers", strings.ToLower(v))
	case "echo":
		return []string{"Echo"}
	default:
		return nil
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// debianReleases gives the number of releases that do not carry it yet.
func debianReleases(codename string) string {
	switch codename {
	case "buster":
		return "10"
	case "bullseye":
		return "11"
	case "bookworm":
		return "12"
	case "trixie":
		return "13"
	case "forky":
		return "14"
	default:
		return ""
	}
}

// alpineEcosystems: releases are "v3.18"; a version with a suffix
// ("3.21.0_alpha20240807") is the development branch.
func alpineEcosystems(v string) []string {
	if strings.Contains(v, "_") || v == "edge" {
		return []string{"Alpine:edge"}
	}
	part := strings.SplitN(v, ".", 3)
	if len(part) < 2 {
		return nil
	}
	return []string{"Alpine:v" + part[0] + "." + part[1]}
}

// redHatEcosystems are the streams of one major release of Red Hat Enterprise
// Linux: "Red Hat:enterprise_linux:9::baseos" and its like. The streams with
// extended support are those of extendedEcosystems.
func redHatEcosystems(major string, all []string) []string {
	if major == "" {
		return nil
	}
	want := regexp.MustCompile(`^Red Hat:enterprise_linux:` + regexp.QuoteMeta(major) + `(\.[0-9]+)?(::.*)?$`)
	out := selected(all, want.MatchString)
	if len(out) == 0 {
		return []string{"Red Hat:enterprise_linux:" + major}
	}
	return out
}

// suseEcosystems are the products and modules of one service pack: "SUSE:Linux
// Enterprise Server 15 SP5", "SUSE:Linux Enterprise Module for Basesystem 15
// SP5".
func suseEcosystems(id, v string, all []string) []string {
	major, minor, _ := strings.Cut(v, ".")
	if major == "" {
		return nil
	}
	if strings.Contains(id, "micro") {
		return []string{"SUSE:Linux Enterprise Micro " + v, "SUSE:Linux Micro " + v}
	}
	release := major
	switch n, err := strconv.Atoi(major); {
	case err == nil && n >= 16:
		release = v // no service packs any more: "16.0"
	case minor != "" && minor != "0":
		release += " SP" + minor
	}
	out := selected(all, func(eco string) bool {
		rest, ok := strings.CutPrefix(eco, "SUSE:Linux Enterprise ")
		rest = strings.TrimSuffix(strings.TrimSuffix(rest, "-LTSS"), "-ESPOS")
		return ok && (rest == release || strings.HasSuffix(rest, " "+release))
	})
	if len(out) == 0 {
		return []string{"SUSE:Linux Enterprise Server " + release}
	}
	return out
}

func selected(all []string, want func(string) bool) []string {
	var out []string
	for _, e := range all {
		if want(e) {
			out = append(out, e)
		}
	}
	slices.Sort(out)
	return out
}

var openEulerPack = regexp.MustCompile(`\(([^)]+)\)`)

// openEulerRelease is "22.03-LTS-SP3": the service pack stands only in the
// name, "openEuler 22.03 (LTS-SP3)".
func openEulerRelease(d report.Distro) string {
	if d.VersionID == "" {
		return ""
	}
	if m := openEulerPack.FindStringSubmatch(d.Name); m != nil {
		return d.VersionID + "-" + strings.ReplaceAll(m[1], " ", "-")
	}
	return d.VersionID
}

// sourceNamed reports whether the distribution writes advisories for source
// packages although its packages are rpms. AlmaLinux and Red Hat name every
// binary package; looking up sources there would compare versions that have
// nothing to do with each other (perl-Carp 1.50 and perl 5.32).
func sourceNamed(base string) bool {
	switch base {
	case "Rocky Linux", "SUSE", "openSUSE", "openEuler", "Mageia", "Azure Linux", "CBL-Mariner", "Photon OS":
		return true
	default:
		return false
	}
}

// lookups are the places where the advisories of p stand, in an image whose
// distribution has the ecosystems ecos.
func lookups(ecos []string, p report.Package) []lookup {
	v := p.Version
	switch {
	case v == "" || p.Name == "" || p.Declared || p.OwnedBy != "":
		return nil
	case p.Type == report.TypeGeneric:
		return genericLookups(p)
	case !report.OSType(p.Type):
		eco := version.Ecosystem(p.Type)
		if eco == "" || unversioned(p.Type, v) {
			return nil
		}
		l := lookup{eco, p.Name, v}
		own := rootLookups(l)
		if len(own) > 0 {
			l.name = rootName(eco, p.Name)
		}
		return append(own, l)
	case p.Type == report.TypeRPM:
		return rpmLookups(ecos, p)
	}
	name := p.Name
	if p.Source != "" {
		name = p.Source
	}
	if p.SourceVersion != "" {
		v = p.SourceVersion
	}
	var out []lookup
	for _, e := range ecos {
		if packageType(e) != p.Type {
			continue
		}
		if rest, ok := strings.CutPrefix(e, "Ubuntu:"); ok && strings.Contains(v, "esm") {
			// The package came from Ubuntu Pro, whose advisories
			// concern it too and have the first word.
			out = append(out, lookup{"Ubuntu:Pro:" + rest, name, v})
		}
		l := lookup{e, name, v}
		if own := rootLookups(l); len(own) > 0 {
			out = append(out, own...)
			l.name = rootName(e, name)
		}
		out = append(out, l)
	}
	return out
}

// Keys are the places where advisories of p may stand, in this generation and
// any other, in an image of distribution d. The ecosystems of some distributions
// depend on the generation; the names do not.
func (m *Matcher) Keys(d report.Distro, p report.Package) []advisory.Key {
	p.Declared, p.OwnedBy = false, ""
	ecos := distroEcosystems(d, m.ecosystems)
	var out []advisory.Key
	for _, l := range lookups(ecos, p) {
		k := advisory.Key{Ecosystem: l.ecosystem, Name: advisory.Name(l.ecosystem, l.name)}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

func rpmLookups(ecos []string, p report.Package) []lookup {
	if len(ecos) > 0 && base(ecos[0]) == "openEuler" {
		// Its advisories take versions from the names of files, which have
		// no epoch; compared with one, all are fixed.
		p.Version, p.SourceVersion = withoutEpoch(p.Version), withoutEpoch(p.SourceVersion)
	}
	var out []lookup
	for _, e := range ecos {
		if packageType(e) != report.TypeRPM {
			continue
		}
		base, _, _ := strings.Cut(e, ":")
		if base == "Oracle Linux" {
			e += oracle.Variant(p.Version)
		}
		out = append(out, lookup{e, p.Name, p.Version})
		if base == "Red Hat" {
			out = append(out, lookup{e, redHatSource(p), p.Version})
		}
		if p.Source == "" || p.Source == p.Name || !sourceNamed(base) {
			continue
		}
		sv := p.Version
		if p.SourceVersion != "" {
			sv = p.SourceVersion
			// A source rpm's file name, from which its version is
			// known, has no epoch; the packages made from it do.
			if epoch, _, ok := strings.Cut(p.Version, ":"); ok && !strings.Contains(sv, ":") {
				sv = epoch + ":" + sv
			}
		}
		out = append(out, lookup{e, p.Source, sv})
	}
	return out
}

func withoutEpoch(v string) string {
	if epoch, rest, ok := strings.Cut(v, ":"); ok && strings.Trim(epoch, "0123456789") == "" {
		return rest
	}
	return v
}

// unversioned reports versions that say nothing: those of Go binaries built
// from a working copy.
func unversioned(packageType, v string) bool {
	if packageType != report.TypeGo {
		return false
	}
	return v == "(devel)" || v == "devel" || strings.HasPrefix(v, "devel ") || v == "unknown"
}
