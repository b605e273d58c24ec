package match

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// redHatSource is the name under which Red Hat says of a source package what
// is not fixed: "openssl.src", "nodejs:18/nodejs.src" for a module stream. Such
// entries have no versions, so those of binary and source are not compared.
func redHatSource(p report.Package) string {
	name := cmp.Or(p.Source, p.Name) + ".src"
	if p.Module != "" {
		name = stream(p.Module) + "/" + name
	}
	return name
}

var minorRelease = regexp.MustCompile(`\.el[0-9]+_[0-9]+`)

// mended reports whether the version has the fix that was made for its own
// minor release. Red Hat fixes one vulnerability several times: glibc in 9.2
// as 2.34-60.el9_2.7, and in 9.4 as 2.34-100.el9. Who has 2.34-60.el9_2.8 is
// below the latter and mended. A build for another minor release says nothing:
// 2.34-83.el9_3.7 is above the first and still needs the second.
func mended(l lookup, entries []advisory.Affected) bool {
	if base(l.ecosystem) != "Red Hat" || len(entries) < 2 {
		return false
	}
	minor := minorRelease.FindString(l.version)
	if minor == "" {
		return false
	}
	for _, a := range entries {
		for _, r := range a.Ranges {
			if r.Fixed == "" || minorRelease.FindString(r.Fixed) != minor {
				continue
			}
			if c, err := version.Compare(l.ecosystem, l.version, r.Fixed); err == nil && c >= 0 {
				return true
			}
		}
	}
	return false
}

// redHatSourceName reports whether an entry's name is one that redHatSource
// makes.
func redHatSourceName(name string) bool { return strings.HasSuffix(name, ".src") }
