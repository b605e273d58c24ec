package advisory

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/version"
)

// Limits on one record. Real records stay far below: the longest id is 60
// bytes, the longest name 180, the largest record names 3,000 packages.
const (
	maxIDBytes       = 256
	maxNameBytes     = 1024
	maxAffected      = 100_000
	maxEvents        = 10_000
	maxVersions      = 100_000
	maxIDs           = 10_000
	maxSummaryBytes  = 300
	maxDetailsBytes  = 4000
	maxURLBytes      = 2000
	maxVectorBytes   = 400
	earliestModified = 1990
)

// errLimit is wrapped by the error about a record that crosses a limit.
var errLimit = errors.New("limit crossed")

// record is an OSV record as far as we use it
// (https://ossf.github.io/osv-schema/).
type record struct {
	ID         string            `json:"id"`
	Modified   string            `json:"modified"`
	Published  string            `json:"published"`
	Withdrawn  string            `json:"withdrawn"`
	Aliases    []string          `json:"aliases"`
	Related    []string          `json:"related"`
	Upstream   []string          `json:"upstream"`
	Summary    string            `json:"summary"`
	Details    string            `json:"details"`
	Severity   []severity        `json:"severity"`
	Affected   []affectedPackage `json:"affected"`
	References []reference       `json:"references"`
	Specific   json.RawMessage   `json:"database_specific"`
}

type severity struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

type reference struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

type affectedPackage struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Severity  []severity      `json:"severity"`
	Ranges    []eventRange    `json:"ranges"`
	Versions  []string        `json:"versions"`
	Ecosystem json.RawMessage `json:"ecosystem_specific"`
	Database  json.RawMessage `json:"database_specific"`
}

type eventRange struct {
	Type   string  `json:"type"`
	Events []event `json:"events"`
}

// specific gathers the keys that databases put into their own objects.
type specific struct {
	Severity     json.RawMessage `json:"severity"`
	URL          json.RawMessage `json:"url"`
	License      json.RawMessage `json:"license"`
	Urgency      json.RawMessage `json:"urgency"`         // Debian
	Priority     json.RawMessage `json:"ubuntu_priority"` // Ubuntu
	CVSS         json.RawMessage `json:"cvss"`            // RustSec
	CVSS3        json.RawMessage `json:"cvss_v3"`
	CustomRanges []eventRange    `json:"custom_ranges"` // Go
	Imports      []struct {
		GOOS []string `json:"goos"`
	} `json:"imports"` // Go
}

// parseSpecific never fails: what a database adds for itself is optional, and
// of any shape.
func parseSpecific(raw json.RawMessage) specific {
	var s specific
	if len(raw) == 0 || json.Unmarshal(raw, &s) == nil {
		return s
	}
	// One key of an unexpected shape must not lose the others.
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return specific{}
	}
	return specific{Severity: m["severity"], URL: m["url"], License: m["license"],
		Urgency: m["urgency"], Priority: m["ubuntu_priority"], CVSS: m["cvss"], CVSS3: m["cvss_v3"]}
}

// text is a JSON string, or "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func parseRecord(b []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("parse record: %w", err)
	}
	return &r, r.check()
}

func (r *record) check() error {
	if err := checkString("id", r.ID, maxIDBytes); err != nil {
		return err
	}
	if n := len(r.Aliases) + len(r.Related) + len(r.Upstream); n > maxIDs {
		return fmt.Errorf("%s: %d ids of other records: %w", r.ID, n, errLimit)
	}
	for _, id := range slices.Concat(r.Aliases, r.Related, r.Upstream) {
		if len(id) > maxIDBytes {
			return fmt.Errorf("%s: id of another record: %w", r.ID, errLimit)
		}
	}
	if len(r.Affected) > maxAffected {
		return fmt.Errorf("%s: %d packages: %w", r.ID, len(r.Affected), errLimit)
	}
	for i := range r.Affected {
		a := &r.Affected[i]
		if a.Package.Name == "" && a.Package.Ecosystem == "" {
			continue
		}
		if err := checkString("package", a.Package.Name, maxNameBytes); err != nil {
			return fmt.Errorf("%s: %w", r.ID, err)
		}
		if err := checkString("ecosystem", a.Package.Ecosystem, maxNameBytes); err != nil {
			return fmt.Errorf("%s: %w", r.ID, err)
		}
		if len(a.Versions) > maxVersions {
			return fmt.Errorf("%s: %d versions: %w", r.ID, len(a.Versions), errLimit)
		}
		for _, rg := range a.Ranges {
			if len(rg.Events) > maxEvents {
				return fmt.Errorf("%s: %d events: %w", r.ID, len(rg.Events), errLimit)
			}
		}
	}
	return nil
}

func checkString(what, s string, limit int) error {
	switch {
	case s == "":
		return fmt.Errorf("a record without %s", what)
	case len(s) > limit:
		return fmt.Errorf("%s of %d bytes: %w", what, len(s), errLimit)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }):
		return fmt.Errorf("%s %q: control characters", what, s)
	}
	return nil
}

// vuln is the part of the record that is not about versions.
func (r *record) vuln() Vuln {
	ds := parseSpecific(r.Specific)
	v := Vuln{
		ID:        r.ID,
		Summary:   r.summary(),
		Details:   cut(strings.TrimSpace(r.Details), maxDetailsBytes),
		Aliases:   r.aliases(),
		CVEs:      r.cves(),
		Published: millis(r.Published),
		Modified:  millis(r.Modified),
		URL:       r.url(ds),
		Licence:   licence(r.ID),
	}
	if l := text(ds.License); l != "" && len(l) <= maxIDBytes {
		v.Licence = l
	}
	v.Severity, v.Score, v.Vector = r.severity(ds)
	return v
}

// severity is the vendor's level and the best CVSS vector of the record.
func (r *record) severity(ds specific) (level string, score float64, vector string) {
	level = vendorSeverity(text(ds.Severity))
	if level == "" {
		level = summarySeverity(r.Summary)
	}
	for _, s := range r.Severity {
		if s.Type == "Ubuntu" && level == "" {
			level = vendorSeverity(s.Score)
		}
	}
	for _, ref := range r.References {
		// Red Hat links to the definition of the level it gave.
		if _, word, ok := strings.Cut(ref.URL, "/security/updates/classification/#"); ok && level == "" {
			level = vendorSeverity(word)
		}
	}
	if level == "" && strings.HasPrefix(r.ID, "MAL-") {
		level = vendorSeverity("critical") // a package that is malicious as such
	}
	score, vector = bestVector(r.Severity)
	if vector == "" {
		score, vector = bestVector([]severity{{Score: text(ds.CVSS)}})
	}
	return level, score, vector
}

func bestVector(ss []severity) (score float64, vector string) {
	best := 0
	for _, s := range ss {
		v := strings.TrimSpace(s.Score)
		if len(v) > maxVectorBytes {
			continue
		}
		sc, rank, ok := parseCVSS(v)
		if ok && (rank > best || rank == best && (sc > score || sc == score && v < vector)) {
			best, score, vector = rank, sc, v
		}
	}
	return score, vector
}

func (r *record) summary() string {
	s := strings.TrimSpace(r.Summary)
	if s == "" {
		s, _, _ = strings.Cut(strings.TrimSpace(r.Details), "\n")
	}
	return cut(s, maxSummaryBytes)
}

func (r *record) url(ds specific) string {
	if u := text(ds.URL); u != "" && len(u) <= maxURLBytes {
		return u
	}
	for _, kind := range []string{"ADVISORY", "REPORT", "WEB"} {
		for _, ref := range r.References {
			if ref.Type == kind && len(ref.URL) <= maxURLBytes &&
				(strings.HasPrefix(ref.URL, "https://") || strings.HasPrefix(ref.URL, "http://")) {
				return ref.URL
			}
		}
	}
	return ""
}

// aliases are the ids that name the same vulnerability: what the record calls
// aliases, and the one record it is derived from.
func (r *record) aliases() []string {
	ids := slices.Clone(r.Aliases)
	if len(r.Upstream) == 1 {
		ids = append(ids, r.Upstream[0])
	}
	return sortedSet(slices.DeleteFunc(ids, func(id string) bool { return id == r.ID || id == "" }))
}

var cvePattern = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,19}`)

// cves are the CVEs the record is about. Distributions of rpm packages bundle
// several in one advisory and list them as "related"; elsewhere "related" is
// only a hint and not taken.
func (r *record) cves() []string {
	ids := []string{cvePattern.FindString(r.ID)}
	ids = append(ids, r.Aliases...)
	ids = append(ids, r.Upstream...)
	if r.bundles() {
		ids = append(ids, r.Related...)
	}
	return sortedSet(slices.DeleteFunc(ids, func(id string) bool {
		return cvePattern.FindString(id) != id || id == ""
	}))
}

// bundles reports whether the record is an advisory of a distribution that
// lists its CVEs as related.
func (r *record) bundles() bool {
	for _, p := range []string{"ALSA-", "ALBA-", "ALEA-", "RLSA-", "RLBA-", "RLEA-", "RXSA-",
		"RHSA-", "RHBA-", "RHEA-", "SUSE-", "openSUSE-", "OESA-", "MGASA-", "PHSA-", "ELSA-",
		"DSA-", "DLA-", "DTSA-", "USN-", "LSN-"} {
		if strings.HasPrefix(r.ID, p) {
			return true
		}
	}
	return false
}

// notSecurity reports whether the record is a bug-fix or enhancement advisory
// that mends no CVE. Distributions publish them in the same series.
func (r *record) notSecurity() bool {
	for _, p := range []string{"ALBA-", "ALEA-", "RLBA-", "RLEA-", "RHBA-", "RHEA-"} {
		if strings.HasPrefix(r.ID, p) {
			return len(r.cves()) == 0
		}
	}
	return false
}

// modulePattern finds the module stream in a summary such as "Important:
// nodejs:18 security update".
var modulePattern = regexp.MustCompile(`(?:^|: )([a-z0-9][a-zA-Z0-9_.+-]*:[a-zA-Z0-9_.+-]+) `)

// packages returns the entries of all packages, in the order of the record.
func (r *record) packages(left func(reason string)) []Affected {
	var out []Affected
	for i := range r.Affected {
		a := &r.Affected[i]
		eco := a.Package.Ecosystem
		switch {
		case a.Package.Name == "":
			left(LeftNoPackage)
			continue
		case !version.Known(eco):
			left(LeftUnknown)
			continue
		}
		es, ds := parseSpecific(a.Ecosystem), parseSpecific(a.Database)
		if version.Base(eco) == "Go" && notForLinux(es) {
			left(LeftNotLinux)
			continue
		}
		e := Affected{ID: r.ID, Ecosystem: eco, Name: Name(eco, a.Package.Name)}
		e.Ranges = r.ranges(eco, a.Ranges, left)
		e.Custom = r.ranges(eco, es.CustomRanges, left)
		e.Versions = extraVersions(eco, a.Versions, e.Ranges)
		if len(e.Ranges) == 0 && len(e.Versions) == 0 {
			continue // never affected, or only known by commits
		}
		e.Severity, e.Score, e.Vector = packageSeverity(a, es, ds)
		if text(es.Urgency) == "end-of-life" {
			e.State = feed.StateWontFix
		}
		if m := modulePattern.FindStringSubmatch(r.Summary); m != nil && modular(e.Ranges) {
			e.Stream = m[1]
		}
		out = append(out, e)
	}
	return out
}

func packageSeverity(a *affectedPackage, es, ds specific) (level string, score float64, vector string) {
	for _, raw := range []json.RawMessage{es.Urgency, es.Priority, es.Severity, ds.Severity} {
		if level = vendorSeverity(text(raw)); level != "" {
			break
		}
	}
	score, vector = bestVector(append(slices.Clone(a.Severity), severity{Score: text(ds.CVSS)}))
	return level, score, vector
}

// notForLinux reports whether every affected package of the module is built
// for other systems only.
func notForLinux(es specific) bool {
	for _, im := range es.Imports {
		if len(im.GOOS) == 0 || slices.Contains(im.GOOS, "linux") {
			return false
		}
	}
	return len(es.Imports) > 0
}

func modular(rs []Range) bool {
	return slices.ContainsFunc(rs, func(r Range) bool { return Modular(r.Fixed) })
}

// Modular reports whether an rpm version was built for a module: its release
// carries the mark of the module build system.
func Modular(v string) bool {
	return strings.Contains(v, ".module_") || strings.Contains(v, ".module+")
}

// ranges splits and joins all ranges that concern versions.
func (r *record) ranges(eco string, rs []eventRange, left func(string)) []Range {
	var out []Range
	for _, rg := range rs {
		if rg.Type == "GIT" {
			left(LeftGit)
			continue
		}
		parts, err := split(eco, rg.Events)
		if err != nil {
			// A version that the ecosystem's rules cannot read cannot
			// be compared with an installed one either.
			left(LeftBad)
			continue
		}
		out = append(out, parts...)
	}
	slices.SortStableFunc(out, func(a, b Range) int {
		c, err := compareFromZero(eco, a.Introduced, b.Introduced)
		if err != nil {
			return strings.Compare(a.Introduced, b.Introduced)
		}
		return c
	})
	return slices.Compact(out)
}

// extraVersions drops the versions that lie in a range anyway. Many records
// list every version of a package; after this few lists are left.
func extraVersions(eco string, vs []string, rs []Range) []string {
	var out []string
	for _, v := range vs {
		if v == "" || len(v) > version.MaxBytes {
			continue
		}
		inside := slices.ContainsFunc(rs, func(r Range) bool {
			in, _, err := r.Contains(eco, v)
			return err == nil && in
		})
		if !inside {
			out = append(out, v)
		}
	}
	return sortedSet(out)
}

func sortedSet(ss []string) []string {
	slices.Sort(ss)
	ss = slices.Compact(ss)
	if len(ss) == 0 {
		return nil
	}
	return ss
}

// millis reads an RFC 3339 time as Unix milliseconds; 0 for none, and for the
// zero times that some exports write.
func millis(s string) int64 {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < earliestModified {
		return 0
	}
	return t.UnixMilli()
}

// cut shortens s to n bytes at the border of a character, and marks that.
func cut(s string, n int) string {
	if len(s) <= n {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	const mark = "…"
	n -= len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.ToValidUTF8(s[:n], "\uFFFD") + mark
}

// licence is the licence of the database a record comes from, by its prefix
// (https://google.github.io/osv.dev/data/), "" where that is not settled.
func licence(id string) string {
	for _, l := range []struct{ prefix, spdx string }{
		{"GHSA-", "CC-BY-4.0"}, {"GO-", "CC-BY-4.0"}, {"PYSEC-", "CC-BY-4.0"},
		{"PSF-", "CC-BY-4.0"}, {"OSV-", "CC-BY-4.0"}, {"GSD-", "CC0-1.0"},
		{"RUSTSEC-", "CC0-1.0"}, {"HSEC-", "CC0-1.0"}, {"MAL-", "Apache-2.0"},
		{"ALSA-", "MIT"}, {"ALBA-", "MIT"}, {"ALEA-", "MIT"}, {"BELL-", "MIT"},
		{"RLSA-", "BSD-3-Clause"}, {"RXSA-", "BSD-3-Clause"},
		{"RHSA-", "CC-BY-4.0"}, {"RHBA-", "CC-BY-4.0"}, {"RHEA-", "CC-BY-4.0"},
		{"UBUNTU-", "CC-BY-SA-4.0"}, {"USN-", "CC-BY-SA-4.0"}, {"LSN-", "CC-BY-SA-4.0"},
		{"BIT-", "Apache-2.0"}, {"DEBIAN-", "MIT"}, {"DSA-", "MIT"}, {"DLA-", "MIT"}, {"DTSA-", "MIT"},
	} {
		if strings.HasPrefix(id, l.prefix) {
			return l.spdx
		}
	}
	return ""
}
