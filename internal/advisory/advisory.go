package advisory

import (
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/version"
)

// A State is what a record says of a package beside versions.
type State = feed.State

// Schema is the version of the file format. A file of another schema is not
// opened: it is built again.
const Schema = 2

// A Range is one interval of affected versions. It starts with Introduced,
// "0" meaning the first version ever, and ends before Fixed or Limit, or with
// LastAffected; at most one of the three is set, and an interval without an
// end has no fix.
type Range struct {
	Introduced   string
	Fixed        string
	LastAffected string
	// Limit ends the interval without being a fix.
	Limit string
}

// String writes the range for people: ">= 1.2, < 1.4".
func (r Range) String() string {
	s := ">= " + r.Introduced
	switch {
	case r.Fixed != "":
		return s + ", < " + r.Fixed
	case r.Limit != "":
		return s + ", < " + r.Limit
	case r.LastAffected != "":
		return s + ", <= " + r.LastAffected
	default:
		return s
	}
}

// Affected says which versions of one package one advisory concerns.
type Affected struct {
	// ID of the advisory; DB.Vuln has the rest of it.
	ID string
	// Ecosystem and Name as they were asked for.
	Ecosystem, Name string
	// Ranges in ascending order; none overlap.
	Ranges []Range
	// Custom ranges of a Go module whose real versions are not module
	// versions ("+incompatible" and the like). They stand in for Ranges
	// where the installed version can be compared with them.
	Custom []Range
	// Versions that are affected and lie in none of the ranges.
	Versions []string
	// Stream is "name:stream" if the entry concerns packages of one rpm
	// module stream only.
	Stream string
	State  State
	// Advisory is the id under which the distribution published the fix, if
	// that is not ID ("DSA-5678-1" of "DEBIAN-CVE-2024-1").
	Advisory string
	// Note is why State is what it is, in the words of the feed.
	Note string
	// Source names the feed of this entry: "osv.dev", "debian".
	Source string
	// Severity, Score and Vector of this package alone, where the record
	// says so; see Vuln for their meaning.
	Severity string
	Score    float64
	Vector   string
}

// Vuln is what an advisory says apart from versions.
type Vuln struct {
	ID      string
	Summary string
	// Details are cut at maxDetailsBytes.
	Details string
	// Aliases are ids of the same vulnerability in other databases,
	// sorted. They are equivalences; ids that are merely related are not
	// among them.
	Aliases []string
	// CVEs that the advisory is about, sorted.
	CVEs []string
	// Severity by the vendor, one of report's levels, or "".
	Severity string
	// Score and Vector are CVSS's, 0 and "" if the record has none.
	Score  float64
	Vector string
	// Published and Modified in Unix milliseconds, 0 if unknown.
	Published, Modified int64
	URL                 string
	// Licence of the record as an SPDX identifier, "" if unknown.
	Licence string
}

// CVE is what is known about a CVE beside any advisory.
type CVE struct {
	ID          string
	Description string
	// Score and Vector are CVSS's, 0 and "" if unknown.
	Score  float64
	Vector string
	// Published in Unix milliseconds, 0 if unknown.
	Published int64
	// KEV says that it is in CISA's catalogue of vulnerabilities known to
	// be exploited, since KEVDate ("2021-12-10").
	KEV     bool
	KEVDate string
	// EPSS is the probability of exploitation in the next 30 days, and
	// Percentile its rank, both from 0 to 1; 0 if unknown.
	EPSS, Percentile float64
}

// Meta describes a generation.
type Meta struct {
	Schema int `json:"schema"`
	// ID is the SHA-256 of the content, in hexadecimal digits.
	ID string `json:"id"`
	// Source names where the records come from: SourceOSVDev, SourceOSV.
	Source string `json:"source"`
	// Starter marks the generation that is part of the program.
	Starter bool `json:"starter,omitempty"`
	// Note says in a sentence what the generation covers, if that is not
	// everything its ecosystems have.
	Note string `json:"note,omitempty"`
	// DataDate is when the newest record was modified, in Unix
	// milliseconds.
	DataDate int64 `json:"data_date"`
	// Records in the generation, and entries of packages.
	Records  int64 `json:"records"`
	Packages int64 `json:"packages"`
	// CVEs with any facts, of them KEV and EPSS.
	CVEs int64 `json:"cves"`
	KEV  int64 `json:"kev"`
	EPSS int64 `json:"epss"`
	// Left counts what was left out, by reason.
	Left map[string]int64 `json:"left,omitempty"`
	// Ecosystems with release, as the records name them.
	Ecosystems map[string]EcosystemMeta `json:"ecosystems"`
	// Feeds that the records come from, by name.
	Feeds map[string]FeedMeta `json:"feeds,omitempty"`
	// Files that were read, in order.
	Files []FileMeta `json:"files,omitempty"`

	// Built is when the file was written and Bytes its size. They are the
	// file's own and no part of the content.
	Built time.Time `json:"-"`
	Bytes int64     `json:"-"`
}

// EcosystemMeta counts one ecosystem.
type EcosystemMeta struct {
	// Records is the number of (advisory, package) entries.
	Records int64 `json:"records"`
	// Packages is the number of distinct names.
	Packages int64 `json:"packages"`
}

// FeedMeta is one feed that went into a generation.
type FeedMeta struct {
	Title string `json:"title,omitempty"`
	// Licence of its records as an SPDX identifier, "" if they differ or it
	// is not settled.
	Licence string `json:"licence,omitempty"`
	// Records is how many it gave.
	Records int64 `json:"records"`
	// Date is when its newest record was modified, or its newest file where
	// records have no date, in Unix milliseconds.
	Date int64 `json:"date,omitempty"`
}

// FileMeta is one file that went into a generation.
type FileMeta struct {
	Name string `json:"name"`
	// More is how many further files of the feed are counted in with this
	// one.
	More int `json:"more,omitempty"`
	// Feed names the feed that it is part of.
	Feed    string `json:"feed,omitempty"`
	Bytes   int64  `json:"bytes"`
	Records int64  `json:"records"`
	Bad     int64  `json:"bad,omitempty"`
	// Newest is when its newest record was modified, in Unix milliseconds.
	Newest int64 `json:"newest,omitempty"`
	// Licences of its records, sorted.
	Licences []string `json:"licences,omitempty"`
}

// Reasons in Meta.Left.
const (
	LeftWithdrawn   = "withdrawn records"
	LeftBad         = "records that cannot be read"
	LeftNotSecurity = "bug-fix and enhancement advisories without a CVE"
	LeftGit         = "ranges of git commits"
	LeftNoPackage   = "records without a package"
	LeftUnknown     = "packages of ecosystems that cannot be compared"
	LeftReplaced    = "OSV records whose distribution has a feed of its own here"
	LeftNotLinux    = "Go packages that concern other systems than Linux only"
)

// Name is the form of a package name by which an ecosystem's packages are
// found: PEP 503 for PyPI (https://peps.python.org/pep-0503/), lower case
// where names do not depend on it.
func Name(ecosystem, name string) string {
	switch version.Base(ecosystem) {
	case "PyPI":
		var b strings.Builder
		run := false
		for _, r := range strings.ToLower(name) {
			if r == '-' || r == '_' || r == '.' {
				run = true
				continue
			}
			if run && b.Len() > 0 {
				b.WriteByte('-')
			}
			run = false
			b.WriteRune(r)
		}
		return b.String()
	case "NuGet", "Packagist":
		return strings.ToLower(name)
	default:
		return name
	}
}
