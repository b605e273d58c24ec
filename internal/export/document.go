package export

import (
	"cmp"
	"slices"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// SchemaVersion is the version of the JSON form. It grows when a field is
// removed or changes its meaning; new fields do not change it.
const SchemaVersion = 1

// StarterNotice is what every output says that rests on the embedded starter
// advisories.
const StarterNotice = "these findings rest on the small starter database built into onceover; run 'onceover db update' for the full one"

// A Document is the result of scanning some images.
type Document struct {
	SchemaVersion int  `json:"schema_version"`
	Tool          Tool `json:"tool"`
	// AnalyzerSet is the key of the analysers that read the layers.
	AnalyzerSet string     `json:"analyzer_set"`
	Advisories  Advisories `json:"advisories"`
	Filters     Filters    `json:"filters"`
	// Inventory says that the document tells what images contain, and not
	// what is wrong with it: nothing was looked for in advisories.
	Inventory bool `json:"-"`
	// Warnings concern the whole scan; sorted.
	Warnings []string `json:"warnings"`
	Images   []Image  `json:"images"`
}

// Tool is the program that made the document.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Advisories names the generation of the advisory database that was asked.
type Advisories struct {
	// Generation is the id of the database: equal ids, equal content.
	Generation string `json:"generation"`
	// Date of the newest record in it, RFC 3339; empty if unknown.
	Date string `json:"date,omitempty"`
	// Starter is true for the small database built into the program.
	Starter bool `json:"starter"`
	// Notice says what to do about a starter database.
	Notice string `json:"notice,omitempty"`
}

// Names in Filters.Scanners.
const (
	ScanVulnerabilities = "vuln"
	ScanSecrets         = "secret"
	ScanMalware         = "malware"
	ScanBuild           = "build"
	ScanBaseline        = "baseline"
	ScanPasswords       = "password"
	ScanPolicy          = "policy"
)

// Filters are what was asked for, and what to leave out.
type Filters struct {
	// Scanners are what was looked for, sorted; empty for vulnerabilities
	// alone.
	Scanners []string `json:"scanners,omitempty"`
	// Severities that are shown, worst first; empty shows all.
	Severities []string `json:"severities,omitempty"`
	// IgnoreUnfixed leaves out findings without a fixed version.
	IgnoreUnfixed bool `json:"ignore_unfixed"`
	// Sort is what findings are ordered by: SortPriority, or "" for their
	// severity.
	Sort string `json:"sort,omitempty"`
	// ShowSuppressed lists suppressed findings in the table too.
	ShowSuppressed bool `json:"-"`
	// Judged names the documents whose judgements were applied, sorted.
	Judged []string `json:"judged,omitempty"`
}

// SortPriority orders findings by Finding.Priority.
const SortPriority = "priority"

// Shows reports whether f passes the filters.
func (fs Filters) Shows(f report.Finding) bool {
	if fs.IgnoreUnfixed && f.FixState != report.FixAvailable {
		return false
	}
	return fs.shows(f.Severity)
}

// Matched says whether vulnerabilities were looked for.
func (fs Filters) Matched() bool {
	return len(fs.Scanners) == 0 || slices.Contains(fs.Scanners, ScanVulnerabilities)
}

func (fs Filters) shows(severity string) bool {
	return len(fs.Severities) == 0 || slices.Contains(fs.Severities, severity)
}

// An Image is one image content, whatever it is called and whoever holds it.
type Image struct {
	// Names are "name:tag" in docker's short form, sorted; empty for an
	// image without a tag.
	Names []string `json:"names"`
	// RepoDigests are "name@sha256:…", sorted.
	RepoDigests  []string     `json:"repo_digests,omitempty"`
	ConfigDigest image.Digest `json:"config_digest"`
	// ManifestDigests as the engines know them, sorted. One content can
	// have several: layers compressed in another way give another one.
	ManifestDigests []image.Digest `json:"manifest_digests,omitempty"`
	// Engines that hold the image, sorted.
	Engines  []string `json:"engines"`
	Platform string   `json:"platform"`
	// Created is when the image was built, RFC 3339; empty if unknown.
	Created string `json:"created,omitempty"`
	// Size in bytes, as the engines say.
	Size   int64         `json:"size"`
	Distro report.Distro `json:"distro"`
	// SupportEnds is the last day of the distribution's security support for
	// everyone, "2024-06-30"; empty if it is not known.
	SupportEnds string `json:"support_ends,omitempty"`
	// Bases are what the image was built from, nearest first.
	Bases      []Base      `json:"bases,omitempty"`
	Layers     []Layer     `json:"layers"`
	Containers []Container `json:"containers,omitempty"`

	Counts   Counts    `json:"counts"`
	Packages []Package `json:"packages"`
	// Files with their digests, if they were asked for.
	Files    []report.File    `json:"files,omitempty"`
	Findings []report.Finding `json:"findings"`
	// Secrets, if they were looked for, the worst first.
	Secrets []report.Secret `json:"secrets,omitempty"`
	// Malware, if it was looked for, the worst first.
	Malware []report.Malware `json:"malware,omitempty"`
	// BuildRisks in the commands that built the image, if they were looked
	// for, the worst first.
	BuildRisks []BuildRisk `json:"build_risks,omitempty"`
	// Baseline and Passwords, if they were looked for.
	Baseline  *Baseline  `json:"baseline,omitempty"`
	Passwords *Passwords `json:"passwords,omitempty"`
	// Violations of the deny list, if software was judged by one, the worst
	// first; Undecided is what a rule could not tell of.
	Violations []Violation `json:"violations,omitempty"`
	Undecided  []Violation `json:"undecided,omitempty"`
	// Suppressed are findings that a document of the user sets aside. They
	// are in no other count than Counts.Suppressed.
	Suppressed []report.Finding `json:"suppressed,omitempty"`
	Problems   []report.Problem `json:"problems,omitempty"`
	Ledger     report.Ledger    `json:"ledger"`
	// Checked are the ledgers of what else files were looked at for, by
	// report.Checks: "secrets", "malware" …
	Checked map[string]report.Ledger `json:"checked,omitempty"`
	// Complete is true if every layer was read to its end.
	Complete bool `json:"complete"`
	// Error says why the image could not be scanned at all.
	Error string `json:"error,omitempty"`
}

// A Layer is one layer of an image.
type Layer struct {
	DiffID image.Digest `json:"diff_id"`
	// BuildCommand that made it, as the image's history says; passwords, keys
	// and tokens are masked.
	BuildCommand string `json:"build_command,omitempty"`
	// Ledger counts the layer's entries, if it was asked for.
	Ledger *report.Ledger `json:"ledger,omitempty"`
}

// A BuildRisk is a rule that an instruction of the build breaks.
type BuildRisk struct {
	// Rule is its id, "BC-PIPE-SHELL", Title what it is in words.
	Rule  string `json:"rule"`
	Title string `json:"title"`
	// Severity is one of those of findings.
	Severity string `json:"severity"`
	// Instruction as in a Dockerfile, secrets masked; empty if only the
	// configuration tells.
	Instruction string `json:"instruction,omitempty"`
	// Layer is the diff ID of the layer that it made, "" for none.
	Layer       string `json:"layer,omitempty"`
	Description string `json:"description"`
	Remediation string `json:"remediation"`
}

// A Base is an image that another was built from.
type Base struct {
	// How it is known: "layers", "label", "history" or "os-release".
	How string `json:"how"`
	// Names it goes by, sorted.
	Names []string `json:"names,omitempty"`
	// Digests of its configuration, or of the manifest that a label names.
	Digests []image.Digest `json:"digests,omitempty"`
	// Layer is the diff ID of its uppermost layer, Layers how many of the
	// image's layers are its.
	Layer  image.Digest `json:"layer,omitempty"`
	Layers int          `json:"layers,omitempty"`
}

// A Violation is a package that a rule of a deny list denies, or cannot tell of.
type Violation struct {
	// Rule is its id. Reason is what it gives, or why it cannot tell.
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	// Severity is one of those of findings, empty if the rule cannot tell.
	Severity string `json:"severity,omitempty"`
	Type     string `json:"type"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	Path     string `json:"path"`
	Layer    string `json:"layer,omitempty"`
}

// compare puts the worst first, then goes by rule and package.
func (v Violation) compare(o Violation) int {
	return cmp.Or(
		cmp.Compare(report.SeverityRank(o.Severity), report.SeverityRank(v.Severity)), cmp.Compare(v.Rule, o.Rule),
		cmp.Compare(v.Name, o.Name), cmp.Compare(v.Type, o.Type), cmp.Compare(v.Version, o.Version), cmp.Compare(v.Path, o.Path), cmp.Compare(v.Layer, o.Layer),
	)
}

// A Container uses an image.
type Container struct {
	image.Container
	Engine string `json:"engine"`
}

// A Package is a package with its package URL.
type Package struct {
	report.Package
	PURL string `json:"purl"`
}

// Counts sum up an image.
type Counts struct {
	// Packages that are installed; declared ones are not counted.
	Packages int `json:"packages"`
	// Findings that are shown, and by severity.
	Findings int `json:"findings"`
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
	Low      int `json:"low"`
	Unknown  int `json:"unknown"`
	// Fixable findings have a fixed version.
	Fixable int `json:"fixable"`
	// Hidden findings were left out by the filters.
	Hidden int `json:"hidden"`
	// Suppressed findings were set aside by a judgement.
	Suppressed int `json:"suppressed,omitempty"`
	// Secrets that are shown; they are no findings.
	Secrets int `json:"secrets,omitempty"`
	// Malware that is shown; it is no finding.
	Malware int `json:"malware,omitempty"`
	// BuildRisks that are shown; they are no findings.
	BuildRisks int `json:"build_risks,omitempty"`
	// BaselineFailed are rules of baselines that failed and are shown,
	// WeakPasswords accounts with a weak or an empty password; they are no
	// findings.
	BaselineFailed int `json:"baseline_failed,omitempty"`
	WeakPasswords  int `json:"weak_passwords,omitempty"`
	// Violations that are shown; they are no findings. Undecided is not
	// among them.
	Violations int `json:"violations,omitempty"`
	Undecided  int `json:"undecided,omitempty"`

	// Unmatched says that vulnerabilities were not looked for.
	Unmatched bool `json:"-"`
}

// Other counts what is shown beside findings.
func (c Counts) Other() int {
	return c.Secrets + c.Malware + c.BuildRisks + c.BaselineFailed + c.WeakPasswords + c.Violations
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Packages += o.Packages
	c.Findings += o.Findings
	c.Critical += o.Critical
	c.High += o.High
	c.Medium += o.Medium
	c.Low += o.Low
	c.Unknown += o.Unknown
	c.Fixable += o.Fixable
	c.Hidden += o.Hidden
	c.Suppressed += o.Suppressed
	c.Secrets += o.Secrets
	c.Malware += o.Malware
	c.BuildRisks += o.BuildRisks
	c.BaselineFailed += o.BaselineFailed
	c.WeakPasswords += o.WeakPasswords
	c.Violations += o.Violations
	c.Undecided += o.Undecided
	c.Unmatched = c.Unmatched || o.Unmatched
}

// Finish applies the filters, counts, puts everything in its order and fills
// what every document has. It is called once, when all images are there.
func (d *Document) Finish() {
	d.SchemaVersion = SchemaVersion
	d.Tool.Name = cmp.Or(d.Tool.Name, "onceover")
	if d.Advisories.Starter {
		d.Advisories.Notice = StarterNotice
	}
	slices.Sort(d.Warnings)
	d.Warnings = notNil(slices.Compact(d.Warnings))
	for i := range d.Images {
		d.Images[i].finish(d.Filters)
	}
	slices.SortFunc(d.Images, func(a, b Image) int {
		return cmp.Or(slices.Compare(a.Names, b.Names), cmp.Compare(a.ConfigDigest, b.ConfigDigest), cmp.Compare(a.Platform, b.Platform))
	})
	d.Images = notNil(d.Images)
}

// Total sums up all images.
func (d *Document) Total() Counts {
	var c Counts
	for i := range d.Images {
		c.Add(d.Images[i].Counts)
	}
	return c
}

func (im *Image) finish(filters Filters) {
	running := im.Running()
	for i := range im.Findings {
		f := &im.Findings[i]
		f.Priority = report.PriorityOf(*f, running).Total
		if f.Judgement.Suppresses() {
			im.Suppressed = append(im.Suppressed, *f)
		}
	}
	im.Findings = slices.DeleteFunc(im.Findings, func(f report.Finding) bool { return f.Judgement.Suppresses() })
	all := len(im.Findings)
	im.Findings = slices.DeleteFunc(im.Findings, func(f report.Finding) bool { return !filters.Shows(f) })
	im.Secrets = slices.DeleteFunc(im.Secrets, func(s report.Secret) bool { return !filters.shows(s.Severity) })
	im.Malware = slices.DeleteFunc(im.Malware, func(m report.Malware) bool { return !filters.shows(m.Severity) })
	im.BuildRisks = slices.DeleteFunc(im.BuildRisks, func(r BuildRisk) bool { return !filters.shows(r.Severity) })
	slices.SortFunc(im.Secrets, report.Secret.Compare)
	slices.SortFunc(im.Malware, report.Malware.Compare)
	im.Counts = Counts{
		Secrets: len(im.Secrets), Malware: len(im.Malware), BuildRisks: len(im.BuildRisks),
		Unmatched: !filters.Matched(), Findings: len(im.Findings), Hidden: all - len(im.Findings), Suppressed: len(im.Suppressed),
	}
	if im.Baseline != nil {
		im.Baseline.finish(filters)
		im.Counts.BaselineFailed = im.Baseline.Failed
	}
	if im.Passwords != nil {
		im.Passwords.finish(filters)
		im.Counts.WeakPasswords = im.Passwords.Weak
	}
	im.Violations = slices.DeleteFunc(im.Violations, func(v Violation) bool { return !filters.shows(v.Severity) })
	slices.SortFunc(im.Violations, Violation.compare)
	slices.SortFunc(im.Undecided, Violation.compare)
	im.Counts.Violations, im.Counts.Undecided = len(im.Violations), len(im.Undecided)
	for _, f := range im.Findings {
		im.Counts.add(f)
	}
	im.Counts.Packages = im.Installed()
	order := compareFindings
	if filters.Sort == SortPriority {
		order = comparePriorities
	}
	slices.SortFunc(im.Findings, order)
	slices.SortFunc(im.Suppressed, order)
	slices.SortFunc(im.Packages, func(a, b Package) int { return a.Package.Compare(b.Package) })
	slices.SortFunc(im.Problems, report.Problem.Compare)
	slices.SortFunc(im.Containers, func(a, b Container) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Engine, b.Engine))
	})
	im.Names = sortedSet(im.Names)
	im.RepoDigests = sortedSet(im.RepoDigests)
	im.ManifestDigests = sortedSet(im.ManifestDigests)
	im.Engines = notNil(sortedSet(im.Engines))
	im.Names, im.Layers = notNil(im.Names), notNil(im.Layers)
	im.Packages, im.Findings = notNil(im.Packages), notNil(im.Findings)
}

// Running reports whether a container of the image runs.
func (im *Image) Running() bool {
	return slices.ContainsFunc(im.Containers, func(c Container) bool { return c.Running })
}

// Other counts what was found beside vulnerabilities, before the filters.
func (im *Image) Other() int {
	n := len(im.Secrets) + len(im.Malware) + len(im.BuildRisks) + len(im.Violations)
	if im.Baseline != nil {
		for _, r := range im.Baseline.Rules {
			if r.Status == ruleFailed {
				n++
			}
		}
	}
	if im.Passwords != nil {
		for _, a := range im.Passwords.Accounts {
			if a.Severity != "" {
				n++
			}
		}
	}
	return n
}

// Installed is how many packages are installed and not just declared.
func (im *Image) Installed() int {
	n := 0
	for i := range im.Packages {
		if !im.Packages[i].Declared {
			n++
		}
	}
	return n
}

func (c *Counts) add(f report.Finding) {
	switch f.Severity {
	case report.SeverityCritical:
		c.Critical++
	case report.SeverityHigh:
		c.High++
	case report.SeverityMedium:
		c.Medium++
	case report.SeverityLow:
		c.Low++
	default:
		c.Unknown++
	}
	if f.FixState == report.FixAvailable {
		c.Fixable++
	}
}

// compareFindings puts the worst first, then goes by package and advisory.
func compareFindings(a, b report.Finding) int {
	return cmp.Or(
		cmp.Compare(report.SeverityRank(b.Severity), report.SeverityRank(a.Severity)),
		cmp.Compare(b.Score, a.Score),
		a.Package.Compare(b.Package),
		cmp.Compare(a.ID, b.ID),
	)
}

// comparePriorities puts what to mend first in front.
func comparePriorities(a, b report.Finding) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), compareFindings(a, b))
}

// Title is what to call the image: its first name, or its digest.
func (im *Image) Title() string {
	if len(im.Names) > 0 {
		return im.Names[0]
	}
	return string(im.ConfigDigest)
}

func sortedSet[T cmp.Ordered](s []T) []T {
	slices.Sort(s)
	return slices.Compact(s)
}

// notNil makes an empty list of none: JSON then has [] and not null.
func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
