package baseline

import (
	"strings"
)

// A Distribution is what os-release(5) says of the image.
type Distribution struct {
	// ID, VersionID and Like are ID, VERSION_ID and the words of ID_LIKE.
	ID        string
	VersionID string
	Like      []string
}

// Families of distributions that rules are written for.
const (
	Debian    = "debian"
	Ubuntu    = "ubuntu"
	RHEL      = "rhel"
	OpenEuler = "openeuler"
	Alpine    = "alpine"
	// Linux is every other one, and an image that does not tell.
	Linux = "linux"
)

// families are all of them, in the order of documents.
var families = []string{Debian, Ubuntu, RHEL, OpenEuler, Alpine, Linux}

// systems say the family of a distribution and how its baseline is named: {}
// stands for the major version, {.} for the version with the minor.
var systems = map[string]struct{ family, name string }{
	"debian":      {Debian, "Debian {}"},
	"raspbian":    {Debian, "Debian {}"},
	"ubuntu":      {Ubuntu, "Ubuntu {.}"},
	"centos":      {RHEL, "CentOS {}"},
	"rhel":        {RHEL, "Redhat {}"},
	"rocky":       {RHEL, "Rocky Linux {}"},
	"almalinux":   {RHEL, "AlmaLinux {}"},
	"ol":          {RHEL, "Oracle Linux {}"},
	"fedora":      {RHEL, "Fedora {}"},
	"amzn":        {RHEL, "Amazon Linux {}"},
	"anolis":      {RHEL, "Anolis OS {}"},
	"alinux":      {RHEL, "Alibaba Cloud Linux {}"},
	"tencentos":   {RHEL, "TencentOS {}"},
	"opencloudos": {RHEL, "OpenCloudOS {}"},
	"openeuler":   {OpenEuler, "openEuler {.}"},
	"euleros":     {OpenEuler, "EulerOS"},
	"hce":         {OpenEuler, "HCE {.}"},
	"kylin":       {OpenEuler, "Kylin {}"},
	"uos":         {OpenEuler, "UOS {}"},
	"alpine":      {Alpine, "Alpine"},
}

// Baseline is the family of the distribution and the name of its baseline, in
// the way HSS names them: "CentOS 7", "Debian 10", "EulerOS", "Ubuntu16".
func (d Distribution) Baseline() (family, checkName string) {
	id := strings.ToLower(d.ID)
	s, ok := systems[id]
	if !ok {
		s.family, s.name = Linux, "Linux"
		for _, like := range d.Like {
			if known, ok := systems[strings.ToLower(like)]; ok {
				s.family = known.family
				break
			}
		}
		return s.family, s.name
	}
	major, minor, _ := strings.Cut(plainVersion(d.VersionID), ".")
	if id == "ubuntu" && len(major) == 2 && major < "20" {
		return s.family, "Ubuntu" + major // as HSS has it up to 18
	}
	dotted := major
	if minor != "" {
		minor, _, _ = strings.Cut(minor, ".")
		dotted += "." + minor
	}
	name := strings.NewReplacer("{}", major, "{.}", dotted).Replace(s.name)
	return s.family, strings.TrimSpace(name)
}

// plainVersion keeps letters, digits and dots: the version comes from the image
// and becomes a segment of a URL.
func plainVersion(v string) string {
	if len(v) > 16 {
		v = v[:16]
	}
	return strings.Map(func(r rune) rune {
		if r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return -1
	}, v)
}
