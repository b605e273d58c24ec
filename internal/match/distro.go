package match

import (
	"regexp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// A target says where the advisories for a distribution's packages stand.
type target struct {
	// ecosystems in the order of their weight; none if the distribution is
	// not supported or its release is not known.
	ecosystems []string
	// parent is the distribution whose advisories stand in, for people; it
	// is empty where the distribution has its own.
	parent string
	// why they hold for it, or how far.
	why string
}

// resolve finds the advisories for d: its own, or those of the distribution
// that it takes its packages from unchanged. A derivative that builds them
// anew has other versions, for which nothing its parent says holds.
func resolve(d report.Distro, all []string) target {
	imported := importedEcosystems(d, all)
	if own := ownEcosystems(d, all); len(own) > 0 {
		return target{ecosystems: append(own, imported...)}
	}
	parent, name, why := parentOf(d)
	ecos := ownEcosystems(parent, all)
	if len(ecos) == 0 {
		return target{ecosystems: imported}
	}
	return target{ecosystems: append(ecos, imported...), parent: name, why: why}
}

// importedEcosystems are those that an operator has given a distribution by
// its id: "rpm:ctyunos:2.0.1", or "rpm:ctyunos:2" for all releases of a line.
func importedEcosystems(d report.Distro, all []string) []string {
	if d.ID == "" || d.VersionID == "" {
		return nil
	}
	id := strings.ToLower(d.ID)
	major, _, _ := strings.Cut(d.VersionID, ".")
	var out []string
	for _, t := range []string{report.TypeAPK, report.TypeDeb, report.TypeRPM} {
		for _, v := range slices.Compact([]string{d.VersionID, major}) {
			if eco := t + ":" + id + ":" + v; slices.Contains(all, eco) {
				out = append(out, eco)
			}
		}
	}
	return out
}

// distroEcosystems are the ecosystems that the packages of a distribution are
// looked up in.
func distroEcosystems(d report.Distro, all []string) []string { return resolve(d, all).ecosystems }

const (
	whyRebuilt   = "which it rebuilds version by version"
	whyRepackage = "whose packages it takes over"
	whyStream    = "which it comes before: its fixes may have other versions, so that some vulnerabilities may be missed"
)

// parentOf is the release that d takes its packages from, by the name for
// people, and why its advisories hold for d.
func parentOf(d report.Distro) (parent report.Distro, name, why string) {
	major, _, _ := strings.Cut(d.VersionID, ".")
	debian := func(release string) (report.Distro, string, string) {
		return report.Distro{ID: "debian", VersionID: release}, "Debian " + release, whyRepackage
	}
	switch id := strings.ToLower(d.ID); id {
	case "centos":
		why = whyRebuilt
		if strings.Contains(d.Name, "Stream") {
			why = whyStream
		}
		return report.Distro{ID: "rhel", VersionID: d.VersionID}, "Red Hat Enterprise Linux " + major, why
	case "scientific", "eurolinux":
		return report.Distro{ID: "rhel", VersionID: d.VersionID}, "Red Hat Enterprise Linux " + major, whyRebuilt
	case "fedora-asahi-remix", "nobara", "ultramarine", "bazzite", "bluefin", "aurora":
		return report.Distro{ID: "fedora", VersionID: major}, "Fedora " + major, whyRepackage
	case "raspbian":
		if major == "" {
			major = debianReleases(d.Codename)
		}
		return debian(major)
	case "devuan":
		if r, ok := devuanReleases[major]; ok {
			return debian(r)
		}
	case "postmarketos":
		if r, ok := postmarketReleases[strings.TrimPrefix(d.VersionID, "v")]; ok {
			return report.Distro{ID: "alpine", VersionID: r}, "Alpine " + r, whyRepackage
		}
	case "kali", "parrot", "pureos", "deepin", "uos", "uniontech", "kylin", "openkylin":
		// They build anew what they have changed, or follow no release.
	default:
		if r := ubuntuReleases[d.Base]; r != "" {
			return report.Distro{ID: "ubuntu", VersionID: r}, "Ubuntu " + r, whyRepackage
		}
		if r := debianReleases(d.Base); r != "" {
			return debian(r)
		}
	}
	return report.Distro{}, "", ""
}

// ubuntuReleases by codename.
var ubuntuReleases = map[string]string{
	"trusty": "14.04", "xenial": "16.04", "bionic": "18.04", "focal": "20.04", "jammy": "22.04",
	"noble": "24.04", "oracular": "24.10", "plucky": "25.04", "questing": "25.10", "resolute": "26.04",
}

// devuanReleases gives the release of Debian that one of Devuan is made from.
var devuanReleases = map[string]string{"3": "10", "4": "11", "5": "12", "6": "13"}

// postmarketReleases gives the release of Alpine that one of postmarketOS is
// made from.
var postmarketReleases = map[string]string{
	"edge": "edge", "22.06": "3.16", "22.12": "3.17", "23.06": "3.18", "23.12": "3.19",
	"24.06": "3.20", "24.12": "3.21", "25.06": "3.22", "25.12": "3.23",
}

// byID reports the ecosystems of importedEcosystems.
func byID(ecosystem string) bool {
	switch base(ecosystem) {
	case report.TypeAPK, report.TypeDeb, report.TypeRPM:
		return true
	default:
		return false
	}
}

// amazonRelease is "1" for the releases that were counted by month.
func amazonRelease(major string) string {
	switch major {
	case "2010", "2011", "2012", "2013", "2014", "2015", "2016", "2017", "2018":
		return "1"
	default:
		return major
	}
}

var servicePack = regexp.MustCompile(`\bSP ?([0-9]+)`)

// packOf is "-SP12" if the name of a release has a service pack: "EulerOS 2.0
// (SP12x86_64)".
func packOf(name string) string {
	if m := servicePack.FindStringSubmatch(name); m != nil {
		return "-SP" + m[1]
	}
	return ""
}

// eulerRelease is "2.0-SP12".
func eulerRelease(d report.Distro) string {
	if d.VersionID == "" {
		return ""
	}
	return d.VersionID + packOf(d.Name)
}

// kylinPacks are the service packs of Kylin Linux Advanced Server V10, which
// its release files know by codename only.
var kylinPacks = []struct{ codename, pack string }{
	{"Tercel", "-SP1"}, {"Sword", "-SP2"}, {"Lance", "-SP3"}, {"Halberd", "-SP3"},
}

// kylinEcosystems tells the server, which is made of rpms, from the desktop,
// which is made of debs and has the same id.
func kylinEcosystems(d report.Distro) []string {
	release := strings.ToUpper(d.VersionID)
	if release == "" {
		return nil
	}
	pack := packOf(d.Name)
	if slices.Contains(d.IDLike, "debian") || slices.Contains(d.IDLike, "ubuntu") || strings.Contains(d.Name, "Desktop") {
		return []string{"Kylin Desktop:" + release + pack}
	}
	for _, k := range kylinPacks {
		if pack == "" && release == "V10" && strings.Contains(d.Name, k.codename) {
			pack = k.pack
		}
	}
	return []string{"Kylin:" + release + pack}
}

// uosEcosystems: the servers are rpms in two lines whose versions have nothing
// to do with each other, e (made from openEuler, codename fuyu) and a (made
// from Anolis OS, codename kongzi); another server line and the desktop are
// debs. All of them have one id and one number.
func uosEcosystems(d report.Distro) []string {
	major, _, _ := strings.Cut(d.VersionID, ".")
	if major == "" {
		return nil
	}
	switch strings.ToLower(d.Codename) {
	case "fuyu":
		return []string{"UOS:" + major + "e", "UOS:" + major}
	case "kongzi":
		return []string{"UOS:" + major + "a", "UOS:" + major}
	}
	if strings.Contains(d.Name, "Desktop") {
		return []string{"UOS Desktop:" + major}
	}
	return []string{"UOS:" + major, "UOS Desktop:" + major}
}

// packageType is the type of the packages that an ecosystem of a distribution
// is about.
func packageType(ecosystem string) string {
	switch base(ecosystem) {
	case "Debian", "Ubuntu", "Echo", "openKylin", "Kylin Desktop", "UOS Desktop", "deepin", "deb":
		return report.TypeDeb
	case "Alpine", "Alpaquita", "BellSoft Hardened Containers", "Chainguard", "Wolfi", "MinimOS", "apk":
		return report.TypeAPK
	default:
		return report.TypeRPM
	}
}

// bringYourOwn reports ecosystems for which no feed is published that we could
// read.
func bringYourOwn(ecosystem string) bool {
	switch base(ecosystem) {
	case "EulerOS", "Huawei Cloud EulerOS", "Kylin", "Kylin Desktop", "openKylin", "UOS", "UOS Desktop", "Anolis OS",
		"Alibaba Cloud Linux", "TencentOS", "OpenCloudOS", "deepin":
		return true
	default:
		return false
	}
}

// releaseName writes an ecosystem for people: "EulerOS 2.0 SP12".
func releaseName(ecosystem string) string {
	return strings.NewReplacer(":", " ", "-", " ").Replace(ecosystem)
}
