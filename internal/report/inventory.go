package report

import (
	"slices"
	"strings"
)

// A Distro is the distribution an image is built from, as os-release says.
type Distro struct {
	// ID is lower-case, "debian"; empty for an image without one.
	ID        string   `json:"id"`
	VersionID string   `json:"version_id,omitempty"`
	IDLike    []string `json:"id_like,omitempty"`
	Codename  string   `json:"codename,omitempty"`
	// Base is the codename of the release of Debian or Ubuntu that a
	// derivative says it is made from, "jammy".
	Base string `json:"base,omitempty"`
	// Stream is the extended support that the packages of Red Hat
	// Enterprise Linux were taken from: "eus", "e4s", "aus", "tus" or "els";
	// empty for the release as a whole.
	Stream string `json:"stream,omitempty"`
	// Name for people, "Debian GNU/Linux 12 (bookworm)".
	Name string `json:"name,omitempty"`
}

// An Inventory is what is really in an image, after the merge.
type Inventory struct {
	Distro   Distro    `json:"distro"`
	Packages []Package `json:"packages"`
	// Secrets of all layers, also of files that a later layer hides.
	Secrets []Secret `json:"secrets,omitempty"`
	// Malware of all layers, also in files that a later layer hides.
	Malware []Malware `json:"malware,omitempty"`
	// Settings of the files and directories that can be seen.
	Settings []Setting `json:"settings,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	Ledger   Ledger    `json:"ledger"`
	// Checked are the ledgers of the checks beside that for packages, by
	// their names: those that every layer was looked at for. What no check
	// was made for was not found to be clean.
	Checked map[string]Ledger `json:"checked,omitempty"`
	// Complete is false if any layer could not be read to its end by a check;
	// Partial names the checks for which that is so.
	Complete bool     `json:"complete"`
	Partial  []string `json:"partial,omitempty"`
}

// Severities, worst first. They are HSS's levels for vulnerabilities; a
// vulnerability without vendor severity or CVSS is SeverityUnknown.
const (
	SeverityCritical = "Critical"
	SeverityHigh     = "High"
	SeverityMedium   = "Medium"
	SeverityLow      = "Low"
	SeverityUnknown  = "Unknown"
)

// severities by rank.
var severities = [...]string{SeverityUnknown, SeverityLow, SeverityMedium, SeverityHigh, SeverityCritical}

// SeverityRank orders severities: higher is worse, 0 is unknown.
func SeverityRank(s string) int { return max(0, slices.Index(severities[:], s)) }

// SeverityOf is the severity that a word names in any case, as HSS writes them
// in places; SeverityUnknown for any other.
func SeverityOf(word string) string {
	for _, s := range severities {
		if strings.EqualFold(s, word) {
			return s
		}
	}
	return SeverityUnknown
}

// SeverityName is the severity of a rank.
func SeverityName[R int | int64](rank R) string {
	if rank < 0 || int(rank) >= len(severities) {
		return SeverityUnknown
	}
	return severities[rank]
}

// Fix states of a finding.
const (
	FixAvailable = "fixed"
	FixNone      = "not-fixed"
	FixWont      = "wont-fix"
	FixDeferred  = "deferred"
	FixUnknown   = "unknown"
)

// A Finding is one advisory that concerns one package of an image.
type Finding struct {
	// ID is that of the advisory under which the distribution published the
	// fix ("DSA-5678-1", "ALSA-2024:1"), else the CVE if there is just one,
	// else that of the record: "GHSA-…", "GO-2024-1".
	ID string `json:"id"`
	// CVEs behind it, sorted; empty if none is assigned.
	CVEs []string `json:"cves,omitempty"`
	// Aliases are other ids of the same vulnerability, sorted; advisories
	// folded into this one among them.
	Aliases  []string `json:"aliases,omitempty"`
	Severity string   `json:"severity"`
	// Score is the CVSS base score, 0 if there is none; Vector its vector.
	Score  float64 `json:"score,omitempty"`
	Vector string  `json:"vector,omitempty"`
	// SeverityFrom says where Severity comes from: "vendor", "cvss" or "".
	SeverityFrom string `json:"severity_from,omitempty"`
	Summary      string `json:"summary,omitempty"`
	URL          string `json:"url,omitempty"`
	// Published in Unix milliseconds, 0 if unknown.
	Published int64 `json:"published,omitempty"`
	// Exploited says that one of the CVEs is in CISA's catalogue of those
	// known to be exploited, ExploitedSince since when ("2021-12-10").
	Exploited      bool   `json:"exploited,omitempty"`
	ExploitedSince string `json:"exploited_since,omitempty"`
	// EPSS is the probability of exploitation in the next 30 days, of the
	// CVEs the highest, and EPSSPercentile its rank, both from 0 to 1; 0 if
	// unknown.
	EPSS           float64 `json:"epss,omitempty"`
	EPSSPercentile float64 `json:"epss_percentile,omitempty"`
	// Priority from 0 to 100 says what to mend first; see PriorityOf.
	Priority int `json:"priority"`

	Package Package `json:"package"`
	PURL    string  `json:"purl"`

	FixState string `json:"fix_state"`
	// FixedVersion is the lowest version above the installed one that is
	// not affected; empty if there is none.
	FixedVersion string   `json:"fixed_version,omitempty"`
	Evidence     Evidence `json:"evidence"`
	// Judgement is what a document of the user says of it, nil for none.
	Judgement *Judgement `json:"judgement,omitempty"`
}

// A Judgement is what a VEX document or a file of ignore rules says of a
// finding.
type Judgement struct {
	// By is JudgedByVEX, JudgedByAttached or JudgedByRule.
	By string `json:"by"`
	// Status is one of VEX's words, or StatusIgnored.
	Status string `json:"status"`
	// Justification is VEX's word for why the status is not_affected.
	Justification string `json:"justification,omitempty"`
	// Statement is why, in words: VEX's impact or action statement, the
	// reason of a rule.
	Statement string `json:"statement,omitempty"`
	// Document that says so, with the line of a rule: "web.vex.json",
	// ".onceoverignore.yaml:4".
	Document string `json:"document"`
	// Date of the statement, RFC 3339, and the day after which a rule no
	// longer counts ("2026-12-31"); empty if there is none.
	Date  string `json:"date,omitempty"`
	Until string `json:"until,omitempty"`
}

// Who judges.
const (
	JudgedByVEX      = "vex"
	JudgedByAttached = "attached-vex"
	JudgedByRule     = "rule"
)

// Statuses of a judgement: those of OpenVEX, and that of an ignore rule.
const (
	StatusNotAffected   = "not_affected"
	StatusAffected      = "affected"
	StatusFixed         = "fixed"
	StatusInvestigation = "under_investigation"
	StatusIgnored       = "ignored"
)

// Suppresses reports whether a finding that is judged so is set aside.
func (j *Judgement) Suppresses() bool {
	return j != nil && (j.Status == StatusNotAffected || j.Status == StatusFixed || j.Status == StatusIgnored)
}

// Evidence is why a finding is there.
type Evidence struct {
	// Source of the advisory record ("osv.dev/Debian"), Ecosystem as the
	// record names it ("Debian:12").
	Source    string `json:"source"`
	Ecosystem string `json:"ecosystem"`
	// Record is the id of the record that decided, "DEBIAN-CVE-2024-1".
	Record string `json:"record,omitempty"`
	// Name that was looked up: the source package for deb and apk.
	Name string `json:"name"`
	// Range that holds the version, ">= 0, < 2.3-4".
	Range string `json:"range"`
	// Compared is the comparison that decided, "2.3-1 < 2.3-4".
	Compared string `json:"compared"`
	// Note is what the record adds in words: "Minor issue".
	Note string `json:"note,omitempty"`
	// BuildCommand is what brought the layer of the package.
	BuildCommand string `json:"build_command,omitempty"`
}
