package version

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/onceover/onceover/internal/fault"
)

func TestCompare(t *testing.T) {
	for _, tc := range []struct {
		name, eco, a, b string
		want            int
	}{
		{"a missing rpm epoch is 0", "AlmaLinux:9", "1.2-3", "0:1.2-3", 0},
		{"an rpm epoch wins", "Rocky Linux:9", "1:1.0-1", "9.9-1", 1},
		{"a tilde is before the release", "Red Hat:enterprise_linux:9::baseos", "1.0~rc1-1", "1.0-1", -1},
		{"apk: a missing number is older", "Alpine:v3.18", "2.9-r1", "2.9.0-r0", -1},
		{"apk: a missing revision is older", "Wolfi", "2.9", "2.9-r0", -1},
		{"dpkg: security update", "Debian:12", "3.0.11-1~deb12u2", "3.0.11-1~deb12u10", -1},
		{"dpkg: a tilde is before nothing", "Ubuntu:22.04:LTS", "1.0~", "1.0", -1},
		{"Go: v is dropped", "Go", "v1.2.3", "1.2.3", 0},
		{"Go: go is dropped", "Go", "go1.21.3", "1.21.3", 0},
		{"Go: release candidates", "Go", "go1.22rc1", "1.22.0-0", 1},
		{"Go: release candidates are before the release", "Go", "go1.22rc1", "1.22.0", -1},
		{"Go: a build note is no part of the version", "Go", "go1.22.1 X:boringcrypto", "1.22.1", 0},
		{"Go: incompatible", "Go", "v24.0.7+incompatible", "24.0.7", 0},
		{"Go: pseudo-versions", "Go", "v0.0.0-20230101000000-abcdefabcdef", "0.0.0-20231016150651-428517fef5b9", -1},
		{"npm", "npm", "1.0.0-beta", "1.0.0", -1},
		{"crates.io", "crates.io", "0.9.10", "0.9.9", 1},
		{"Bitnami", "Bitnami", "5.15.12", "5.15.13", -1},
		{"Docker hardened images", "DHI", "1.2.3", "1.2.4", -1},
		{"PyPI", "PyPI", "1.0rc1", "1.0", -1},
		{"Maven", "Maven", "2.17.0", "2.17.1-alpha", -1},
		{"Maven: a dot before a word is a dash", "Maven", "1.5.9.RC1", "1.5.9-rc-1", 0},
		{"Maven: candidates in order, whatever is before them", "Maven", "1.5.9-RC0", "1.5.9.RC1", -1},
		{"Maven: words for the release say nothing", "Maven", "5.3.20.RELEASE", "5.3.20", 0},
		{"Maven: Guava's builds", "Maven", "31.1-android", "31.1-jre", -1},
		{"NuGet", "NuGet", "1.0.0.1", "1.0.0", 1},
		{"NuGet: a missing number is zero", "NuGet", "1.0", "1.0.0.0", 0},
		{"NuGet: case says nothing", "NuGet", "1.0.0-RC.1+a", "1.0.0-rc.1", 0},
		{"NuGet: a label may have a sign", "NuGet", "1.0.0-rc.-1", "1.0.0-rc.0", -1},
		{"NuGet: so may all of them", "NuGet", "1.0.0--2", "1.0.0--1", -1},
		{"NuGet: a number has 32 bits", "NuGet", "1.0.0-rc.2147483647", "1.0.0-rc.10000000000", -1},
		{"NuGet: beyond them it is a word", "NuGet", "1.0.0-rc.10000000000", "1.0.0-rc.9999999999", -1},
		{"Pub: a build is newer than none", "Pub", "1.0.0", "1.0.0+1", -1},
		{"Pub: builds are numbers", "Pub", "1.0.0+9", "1.0.0+10", -1},
		{"Pub: and words after them", "Pub", "1.0.0+10", "1.0.0+a", -1},
		{"Pub: the longer build is newer", "Pub", "1.0.0+1.hotfix", "1.0.0+1.hotfix.1", -1},
		{"Pub: a pre-release with a build", "Pub", "1.0.0-pre+build", "1.0.0", -1},
		{"Pub: a label may have a sign", "Pub", "1.0.0-a.-1", "1.0.0-a.0", -1},
		{"Pub: or be hexadecimal", "Pub", "1.0.0+0x1f", "1.0.0+31", 0},
		{"Pub: case is kept", "Pub", "1.0.0-A", "1.0.0-a", -1},
		{"RubyGems", "RubyGems", "1.0.0.pre", "1.0.0", -1},
		{"Packagist", "Packagist", "1.0.0-beta", "1.0.0", -1},
		{"root.io's builds of Debian", "Root:Debian:12", "15.14-0+deb12u1.root.io.5", "15.14-0+deb12u1.root.io.6", -1},
		{"root.io's builds of Alpine", "Root:Alpine:3.18", "1.21.4-r00071", "1.21.4-r2", 1},
		{"root.io's builds of npm", "Root:npm", "0.2.3-root.io.1", "0.2.3-root.io.2", -1},
		{"zero starts every range", "Debian:12", "0", "0.1-1", -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Compare(tc.eco, tc.a, tc.b)
			if err != nil || got != tc.want {
				t.Errorf("%s against %s: got %d, %v, want %d", tc.a, tc.b, got, err, tc.want)
			}
		})
	}
}

func TestCompareRefuses(t *testing.T) {
	if _, err := Compare("Haiku:1", "1", "2"); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("unknown ecosystem: got %v", err)
	}
	if _, err := Compare("Debian:12", "x:1", "2"); err == nil {
		t.Error("an epoch that is no number was taken")
	}
	for _, eco := range []string{"Debian", "AlmaLinux", "Alpine", "Go", "npm", "PyPI", "Maven"} {
		if _, err := Compare(eco, strings.Repeat("1", MaxBytes), "2"); err != nil {
			t.Errorf("%s: %d bytes: %v", eco, MaxBytes, err)
		}
		if _, err := Compare(eco, strings.Repeat("1", MaxBytes+1), "2"); !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %d bytes: got %v", eco, MaxBytes+1, err)
		}
	}
}

// An order must not depend on which side a version stands.
func TestCompareIsAntisymmetric(t *testing.T) {
	for _, eco := range []string{"Debian", "AlmaLinux", "Alpine", "Go", "npm", "PyPI", "RubyGems"} {
		t.Run(eco, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				v := rapid.StringMatching(`[0-9]{1,2}([.~^+_-]?([0-9]{1,2}|rc|alpha|p|a|r1)){0,5}`)
				a, b := v.Draw(t, "a"), v.Draw(t, "b")
				ab, errA := Compare(eco, a, b)
				ba, errB := Compare(eco, b, a)
				if errA == nil && errB == nil && ab != -ba {
					t.Fatalf("%s against %s: %d, the other way %d", a, b, ab, ba)
				}
			})
		})
	}
}

func BenchmarkCompareDeb(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if c, err := Compare("Debian:12", "3.0.11-1~deb12u2", "3.0.11-1~deb12u10"); c != -1 || err != nil {
			b.Fatal(c, err)
		}
	}
}
