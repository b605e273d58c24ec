package feed

import (
	"context"
	"io"
)

// A State is what a feed says of a package and a vulnerability, beside the
// versions that are affected.
type State uint8

// The states. Their numbers are part of the format of a generation.
const (
	// StateAffected: affected where a range says so. It is fixed if a range
	// has an end, and open otherwise.
	StateAffected State = iota
	// StateWontFix: affected, and the distribution has decided not to fix
	// it (Red Hat's will_not_fix, Debian's ignored, Ubuntu's ignored).
	StateWontFix
	// StateDeferred: affected, and the fix is put off (Red Hat's
	// fix_deferred, Debian's postponed, Ubuntu's deferred).
	StateDeferred
	// StateNotAffected: no version is affected, whatever else is said
	// elsewhere. An entry in this state needs no ranges.
	StateNotAffected
	// StateUndetermined: nobody has looked yet (Debian's undetermined,
	// Red Hat's under_investigation, Ubuntu's needs-triage). It makes no
	// finding and is told by explain.
	StateUndetermined
)

var stateNames = [...]string{"affected", "wont-fix", "deferred", "not-affected", "undetermined"}

// String is the word for the state in output and in the import format.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// ParseState reads what String writes; ok is false for anything else.
func ParseState(s string) (state State, ok bool) {
	for i, n := range stateNames {
		if n == s {
			return State(i), true
		}
	}
	return 0, false
}

// A Range is one interval of affected versions; see advisory.Range. Introduced
// is "0" for "from the first version on". At most one end is set.
type Range struct {
	Introduced   string
	Fixed        string
	LastAffected string
}

// An Affected says what one record says of one package.
type Affected struct {
	// Ecosystem is the distribution and its release, as OSV writes them
	// where it does: "Debian:12", "Red Hat:rhel_eus:9.2::baseos",
	// "openEuler:22.03-LTS-SP3".
	Ecosystem string
	// Name of the source package for dpkg and apk, of the binary package
	// for rpm where the feed names those, else of the source package.
	Name string
	// Ranges that are affected. One from "0" without an end means that
	// every version is; none at all mean that only State counts.
	Ranges []Range
	// Versions that are affected beside the ranges.
	Versions []string
	State    State
	// Stream is "name:stream" for packages of one rpm module stream.
	Stream string
	// Advisory is the id under which the distribution published the fix,
	// where the record is about a CVE and has another ID ("DSA-5678-1",
	// "RHSA-2024:1").
	Advisory string
	// Note is why State is what it is, in the feed's words ("Minor issue",
	// "vulnerable_code_not_present"). It is cut at a few hundred bytes.
	Note string
	// Severity is the feed's word for this package alone, "" if it has
	// none; CVSS are vectors for it alone.
	Severity string
	CVSS     []string
}

// A Record is one advisory of a feed.
type Record struct {
	// ID is unique over all feeds. An advisory has its own ("openEuler-SA-
	// 2024-1001"). A record about one CVE of one distribution, which has no
	// id of its own, is "<NAME>-CVE-…" as OSV writes them: "DEBIAN-CVE-
	// 2024-1".
	ID string
	// Aliases are ids of the same vulnerability elsewhere; CVEs are those
	// the record is about.
	Aliases, CVEs []string
	Summary       string
	Details       string
	// Severity is the feed's word ("Important"), CVSS are vectors.
	Severity string
	CVSS     []string
	// Published and Modified in Unix milliseconds, 0 if not said.
	Published, Modified int64
	URL                 string
	// Licence as an SPDX identifier if the record has one of its own, else
	// that of the feed counts.
	Licence string
	// Source names the publisher where one feed has records of several.
	Source   string
	Affected []Affected
}

// A File is one file of a feed. Compression and archives around it have been
// taken off.
type File struct {
	// Name is the path below the directory of the feed, with "!" between an
	// archive and what is inside: "v3.20/main.json", "csaf.tar.bz2!a.json".
	Name string
	io.Reader
	// Date is called by Dated, if it is not nil.
	Date func(millis int64)
}

// Dated tells when the file was made, in Unix milliseconds, for feeds whose
// records do not say when they were modified.
func (f File) Dated(millis int64) {
	if f.Date != nil {
		f.Date(millis)
	}
}

// An Info describes a feed.
type Info struct {
	// Name is one word that names the feed's directory and its records'
	// source: "debian", "alpine".
	Name string
	// Title says in a few words what it is.
	Title string
	// Licence of its records as an SPDX identifier, "" if that is not
	// settled.
	Licence string
	// OptIn marks feeds whose licence the operator has to accept first; they
	// are not fetched unless they are named.
	OptIn bool
	// Large marks feeds of gigabytes. They are fetched only if they are named.
	Large bool
	// Replaces are ecosystems, without release ("Debian"), whose OSV records
	// are left out where this feed is present, because the feed says
	// everything they say. Advisories that stand for several CVEs (DSA) stay
	// if KeepsBundles is set.
	Replaces     []string
	KeepsBundles bool
	// ByRelease limits that to the releases that the feed speaks of. Who
	// drops a release from a feed when its support is over does not mean
	// that it has no vulnerabilities.
	ByRelease bool
	// Documents is set if every file is one record among many. A file that
	// cannot be read is then left out and counted, like a record of an OSV
	// archive; in other feeds it ends the build.
	Documents bool
}

// A Feed reads the files of one primary feed. One value reads those of one
// directory, in the order of their names and one after the other, so that an
// adapter may keep in mind what an earlier file said.
type Feed interface {
	Info() Info
	// Wants reports whether a file is part of the feed; others are passed
	// over and named.
	Wants(name string) bool
	// Read parses one file and emits its records in any order. It does not
	// keep the file open, and holds no more than it must in memory: some
	// files have hundreds of megabytes. An error of emit is returned as it
	// is. Errors about the content are made with Errorf or come from the
	// readers of this package, so that they name the line.
	Read(ctx context.Context, f File, emit func(Record) error) error
}

// A Remote is one file to fetch for a feed.
type Remote struct {
	URL string
	// Name to keep it under, below the directory of the feed.
	Name string
}

// A Fetched feed knows where it is published.
type Fetched interface {
	Feed
	// Remotes lists the files of the feed. get reads a small index file and
	// returns its text. base replaces the publisher's address, for mirrors
	// and tests, if it is not empty.
	Remotes(ctx context.Context, base string, get func(ctx context.Context, url string) (string, error)) ([]Remote, error)
}
