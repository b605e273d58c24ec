package gobinary

import (
	"context"
	"runtime/debug"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/onceover/onceover/internal/analyze"
)

// unreleased reports whether v tells no release: it is unknown, or what Go 1.24
// makes of a checkout without tags.
func unreleased(v string) bool {
	return v == "" || v == "(devel)" || strings.HasPrefix(v, "v0.0.0-")
}

// stampedVersion is the release number that the linker was told to store: that
// of the recorded flags, or where they were not recorded (-trimpath leaves them
// out, and Go before 1.18 kept none) the one that stands in the program. Text of
// C code looks alike, so programs with cgo are not searched.
func stampedVersion(ctx context.Context, f analyze.File, bi *debug.BuildInfo) (string, error) {
	if v := linkedVersion(bi); v != "" {
		return v, nil
	}
	var trimmed, cgo bool
	for _, s := range bi.Settings {
		trimmed = trimmed || s.Key == "-trimpath" && s.Value == "true"
		cgo = cgo || s.Key == "CGO_ENABLED" && s.Value != "0"
	}
	if cgo || len(bi.Settings) > 0 && !trimmed {
		return "", nil
	}
	v, err := analyze.LinkedVersion(ctx, f.Reader())
	if v == "" || err != nil {
		return "", err
	}
	return "v" + v, nil
}

// linkedVersion is the release number that the linker was told to store in a
// variable called version or the like, if all such variables agree, in the form
// "v1.2.3"; "" otherwise. Projects that are built from a checkout without
// version control (Kubernetes, Docker) tell their version only there.
func linkedVersion(bi *debug.BuildInfo) string {
	var flags string
	for _, s := range bi.Settings {
		if s.Key == "-ldflags" {
			flags = s.Value
		}
	}
	found := ""
	for _, word := range strings.FieldsFunc(flags, func(r rune) bool { return r == ' ' || r == '"' || r == '\'' }) {
		// Both "-X" "pkg.name=value" and "-X=pkg.name=value".
		word = strings.TrimPrefix(word, "-X=")
		target, value, ok := strings.Cut(word, "=")
		if !ok || !versionVariable(target) {
			continue
		}
		v := "v" + strings.TrimPrefix(value, "v")
		if len(v) > maxStringBytes || !semver.IsValid(v) || strings.Count(semver.Canonical(v), ".") < 2 || strings.Count(v, ".") < 2 {
			continue
		}
		if found != "" && found != v {
			return ""
		}
		found = v
	}
	return found
}

// versionVariable reports whether a linker target, "path/to/pkg.Name", is
// named like the version of a program.
func versionVariable(target string) bool {
	switch strings.ToLower(target[strings.LastIndexByte(target, '.')+1:]) {
	case "version", "gitversion", "buildversion", "appversion", "versionstring", "versionnumber", "tag", "gittag", "ver":
		return strings.Contains(target, ".")
	}
	return false
}
