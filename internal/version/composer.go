package version

import (
	"regexp"
	"strings"
)

// composerVersion is what Composer takes for a version of numbers, with what
// may follow it
// (https://getcomposer.org/doc/articles/versions.md#stability-constraints).
var composerVersion = regexp.MustCompile(`(?i)^v?([0-9]{1,5})(\.[0-9]+)?(\.[0-9]+)?(\.[0-9]+)?[._-]?(?:(stable|beta|b|rc|alpha|a|patch|pl|p)((?:[.-]?[0-9]+)*))?([.-]?dev)?$`)

// Normal brings a version into the form in which the ecosystem's package
// manager compares it, where it does not compare what is written. That is so
// for Packagist: Composer gives every version four numbers and the long word
// for its stability, so that "1.0" and "1.0.0.0" are the same and "1.0.0-beta"
// is older than both; PHP's version_compare, which Compare follows as the OSV
// fixtures do, has "1.0" for the oldest. Other versions are returned as they
// are.
func Normal(ecosystem, v string) string {
	if schemeOf(Base(ecosystem)) == schemeComposer {
		return normalComposer(v)
	}
	return v
}

// normalComposer leaves alone what is not of the form of a version of numbers.
func normalComposer(s string) string {
	s = strings.TrimSpace(s)
	base, _, _ := strings.Cut(s, "+") // a build has no order
	m := composerVersion.FindStringSubmatch(base)
	if m == nil {
		return s
	}
	out := m[1]
	for _, part := range m[2:5] {
		if part == "" {
			part = ".0"
		}
		out += part
	}
	if word := strings.ToLower(m[5]); word != "" && word != "stable" {
		switch word {
		case "a":
			word = "alpha"
		case "b":
			word = "beta"
		case "p", "pl":
			word = "patch"
		case "rc":
			word = "RC"
		}
		out += "-" + word + strings.TrimLeft(m[6], ".-")
	}
	if m[7] != "" {
		out += "-dev"
	}
	return out
}
