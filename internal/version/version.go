package version

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/osv-scalibr/semantic"

	"github.com/onceover/onceover/internal/fault"
)

// MaxBytes is the longest version that is compared. The longest in 70,000 real
// advisory records is 78 bytes; a longer one comes from a damaged or hostile
// file, and some algorithms need time that grows with its square.
const MaxBytes = 512

// ErrTooLong is wrapped by Compare if a version is longer than MaxBytes.
var ErrTooLong = errors.New("version is too long")

// Compare returns -1 if a is older than b, 0 if they are the same, and +1 if a
// is newer, by the rules of the ecosystem. "0" is older than or equal to every
// version, as it is in OSV ranges.
//
// An unknown ecosystem is a fault.Unsupported error; a version that the
// ecosystem's rules cannot read is a plain error.
func Compare(ecosystem, a, b string) (int, error) {
	if len(a) > MaxBytes || len(b) > MaxBytes {
		return 0, fmt.Errorf("compare versions of %s: %w", ecosystem, ErrTooLong)
	}
	base := Base(unrooted(ecosystem))
	switch schemeOf(base) {
	case schemeDeb:
		return compareDeb(a, b)
	case schemeRPM:
		return compareRPM(a, b), nil
	case schemeAPK:
		return compareAPK(a, b), nil
	case schemeGo:
		a, b = goSemver(a), goSemver(b)
		if c, ok := compareSemver(a, b); ok {
			return c, nil
		}
		return compareSemantic("Go", a, b)
	case schemeSemver:
		if c, ok := compareSemver(a, b); ok {
			return c, nil
		}
		return compareSemantic("npm", a, b)
	case schemeGem:
		return compareGem(a, b), nil
	case schemeBitnami:
		return compareBitnami(a, b)
	case schemeComposer:
		return compareSemantic("Packagist", a, b)
	case schemePyPI:
		if c, ok := comparePyPI(a, b); ok {
			return c, nil
		}
		return compareSemantic("PyPI", a, b)
	case schemeMaven:
		return compareMaven(a, b), nil
	case schemeNuGet:
		if c, ok := compareNuGet(a, b); ok {
			return c, nil
		}
		return compareSemantic("NuGet", a, b)
	case schemePub:
		if c, ok := comparePub(a, b); ok {
			return c, nil
		}
		return compareSemantic("Pub", a, b)
	case schemeNative:
		return compareSemantic(base, a, b)
	default:
		return 0, fault.New(fault.Unsupported, "compare versions: ecosystem %q is not known", ecosystem)
	}
}

// Known reports whether Compare knows the ecosystem.
func Known(ecosystem string) bool { return schemeOf(Base(unrooted(ecosystem))) != schemeNone }

// unrooted is the ecosystem that one of root.io is made from: "Root:Debian:12"
// and "Root:npm" are ordered as Debian and npm are.
func unrooted(ecosystem string) string { return strings.TrimPrefix(ecosystem, "Root:") }

// Base is the ecosystem without its release: "Debian" for "Debian:12".
func Base(ecosystem string) string {
	base, _, _ := strings.Cut(ecosystem, ":")
	return base
}

type scheme int

const (
	schemeNone scheme = iota
	schemeDeb
	schemeRPM
	schemeAPK
	schemeGo
	schemeSemver
	schemeGem
	schemeComposer
	schemeBitnami
	schemePyPI
	schemeMaven
	schemeNuGet
	schemePub
	schemeNative // osv-scalibr/semantic knows the ecosystem by its own name
)

// schemeOf lists the ecosystems of the OSV schema
// (https://ossf.github.io/osv-schema/#affectedpackage-field) by the rules that
// order their versions. "DHI" and "CBL-Mariner" are names that published
// records use beside the schema's. "rpm", "deb" and "apk" stand before the id and
// release of a distribution without a name of its own here.
func schemeOf(base string) scheme {
	switch base {
	case "Debian", "Ubuntu", "Echo", "openKylin", "Kylin Desktop", "UOS Desktop", "deepin", "deb":
		return schemeDeb
	case "AlmaLinux", "Rocky Linux", "Red Hat", "openSUSE", "SUSE", "openEuler",
		"Mageia", "Azure Linux", "CBL-Mariner", "Photon OS", "Oracle Linux",
		"Amazon Linux", "CentOS", "Fedora", "TuxCare", "EulerOS",
		"Huawei Cloud EulerOS", "Kylin", "UOS", "Anolis OS",
		"Alibaba Cloud Linux", "TencentOS", "OpenCloudOS", "rpm":
		return schemeRPM
	case "Alpine", "Alpaquita", "BellSoft Hardened Containers", "Chainguard",
		"Wolfi", "MinimOS", "apk":
		return schemeAPK
	case "Go":
		return schemeGo
	case "npm", "crates.io", "Docker Hardened Images", "DHI",
		"Bioconductor", "ConanCenter", "GHC", "Hex", "Julia", "SwiftURL":
		return schemeSemver
	case "Bitnami":
		return schemeBitnami
	case "RubyGems":
		return schemeGem
	case "Packagist":
		return schemeComposer
	case "PyPI":
		return schemePyPI
	case "Maven":
		return schemeMaven
	case "NuGet":
		return schemeNuGet
	case "Pub":
		return schemePub
	case "CRAN", "Hackage":
		return schemeNative
	default:
		return schemeNone
	}
}

func compareSemantic(ecosystem, a, b string) (int, error) {
	if a == b {
		return 0, nil
	}
	v, err := semantic.Parse(a, ecosystem)
	if err != nil {
		return 0, fmt.Errorf("parse version %q of %s: %w", a, ecosystem, err)
	}
	c, err := v.CompareStr(b)
	if err != nil {
		return 0, fmt.Errorf("compare version %q of %s: %w", b, ecosystem, err)
	}
	return sign(c), nil
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	default:
		return 0
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlpha(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// compareNumbers orders two strings of digits by value, whatever their length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

// compareIdentifiers orders two parts of versions: numbers by value, words by
// their bytes. A number against a word is as number says, -1 for older.
func compareIdentifiers(a, b string, aNumber, bNumber bool, number int) int {
	switch {
	case aNumber && bNumber:
		return compareNumbers(a, b)
	case aNumber:
		return number
	case bNumber:
		return -number
	default:
		return strings.Compare(a, b)
	}
}

// digits splits s after its leading digits.
func digits(s string) (num, rest string) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i], s[i:]
}
