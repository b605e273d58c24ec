package version

import "strings"

// goSemver brings a Go version into the form that Go advisories use: module
// versions lose their "v"; versions of the Go release itself lose "go" and
// become semantic versions, "go1.22rc1" turning into "1.22.0-rc.1"
// (https://go.dev/doc/toolchain#version). Text after a space, as in
// "go1.22.3 X:boringcrypto", names the build and not the version.
func goSemver(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), " ")
	if strings.HasPrefix(s, "v") {
		return s[1:]
	}
	s = strings.TrimPrefix(s, "go")
	for _, pre := range []string{"beta", "rc"} {
		if base, n, ok := strings.Cut(s, pre); ok && isRelease(base) && isNumber(n) {
			if strings.Count(base, ".") == 1 {
				base += ".0"
			}
			return base + "-" + pre + "." + n
		}
	}
	return s
}

func isRelease(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !isNumber(part) {
			return false
		}
	}
	return true
}

func isNumber(s string) bool {
	num, rest := digits(s)
	return num != "" && rest == ""
}
