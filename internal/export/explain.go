package export

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
)

// An Explanation is the result of asking about one id in some images.
type Explanation struct {
	SchemaVersion int        `json:"schema_version"`
	Tool          Tool       `json:"tool"`
	Advisories    Advisories `json:"advisories"`
	// Judged names the documents whose judgements were applied, sorted.
	Judged   []string         `json:"judged,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`
	Images   []ExplainedImage `json:"images"`
}

// ExplainedImage is one image content.
type ExplainedImage struct {
	Names        []string      `json:"names"`
	ConfigDigest image.Digest  `json:"config_digest"`
	Platform     string        `json:"platform"`
	Distro       report.Distro `json:"distro"`
	// Layers is how many there are.
	Layers int `json:"layers"`
	// Complete is true if every layer was read to its end.
	Complete bool `json:"complete"`
	// Error says why the image could not be read; there is no explanation
	// then.
	Error       string             `json:"error,omitempty"`
	Explanation *match.Explanation `json:"explanation,omitempty"`
}

// ExplanationJSON writes e as indented JSON.
func ExplanationJSON(w io.Writer, e *Explanation) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(e); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}

// maxRecordsShown is how many records the text names.
const maxRecordsShown = 20

// ExplanationText writes e for people.
func ExplanationText(w io.Writer, e *Explanation) error {
	t := &explainer{}
	for i := range e.Images {
		if i > 0 {
			t.say(0, "")
		}
		t.image(&e.Images[i])
	}
	for _, s := range e.Warnings {
		t.say(0, "warning: %s", s)
	}
	if e.Advisories.Notice != "" {
		t.say(0, "note: %s", e.Advisories.Notice)
	}
	if _, err := io.WriteString(w, t.out.String()); err != nil {
		return fmt.Errorf("write text: %w", err)
	}
	return nil
}

type explainer struct{ out strings.Builder }

func (t *explainer) say(indent int, format string, args ...any) {
	s := Printable(fmt.Sprintf(format, args...))
	if s != "" {
		t.out.WriteString(strings.Repeat("  ", indent))
	}
	t.out.WriteString(s)
	t.out.WriteByte('\n')
}

// verdicts of an explanation as a whole, in words.
var verdicts = map[string]string{
	match.VerdictAffected:   "the image is affected",
	match.VerdictSuppressed: "there is a finding, and it is suppressed",
	match.VerdictClear:      "no finding: the image has packages that it concerns, and none is affected",
	match.VerdictAbsent:     "no finding: the image has no package that it concerns",
	match.VerdictUnknown:    "the advisory database has no record that is about this id",
}

func (t *explainer) image(im *ExplainedImage) {
	title := strings.Join(im.Names, ", ")
	t.say(0, "%s", cmp.Or(title, string(im.ConfigDigest)))
	if im.Error != "" {
		t.say(1, "not scanned: %s", im.Error)
		return
	}
	e := im.Explanation
	t.say(1, "%s: %s", e.ID, verdicts[e.Verdict])
	if !im.Complete {
		t.say(1, "incomplete: parts of this image could not be read")
	}
	t.about(e)
	for i := range e.Packages {
		t.say(0, "")
		t.pkg(im, &e.Packages[i])
	}
	if e.More > 0 {
		t.say(0, "")
		t.say(1, "and %d more packages", e.More)
	}
	if len(e.Elsewhere) > 0 && len(e.Packages) == 0 {
		t.say(1, "packages that it concerns: %s%s", strings.Join(e.Elsewhere, ", "), more(e.ElsewhereMore))
	}
	for _, w := range e.Warnings {
		t.say(1, "warning: %s", w)
	}
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func (t *explainer) about(e *match.Explanation) {
	if c := e.CVE; c != nil {
		var facts []string
		if c.Score > 0 {
			facts = append(facts, fmt.Sprintf("CVSS %.1f (%s)", c.Score, c.Vector))
		}
		if c.Exploited {
			facts = append(facts, strings.TrimSpace("known to be exploited, in CISA's catalogue since "+c.ExploitedSince))
		}
		if c.EPSS > 0 {
			facts = append(facts, fmt.Sprintf("EPSS %.2f %%, more than %.0f %% of all", 100*c.EPSS, 100*c.EPSSPercentile))
		}
		if len(facts) > 0 {
			t.say(1, "%s", strings.Join(facts, "; "))
		}
	}
	for i, r := range e.Records {
		if i == maxRecordsShown {
			t.say(1, "and %d more records", len(e.Records)-i)
			break
		}
		s := "record " + r.ID
		if ids := slices.DeleteFunc(slices.Concat(r.CVEs, r.Aliases), func(id string) bool { return id == r.ID || id == e.ID }); len(ids) > 0 {
			s += " (" + strings.Join(slices.Compact(ids), ", ") + ")"
		}
		if r.Severity != "" {
			s += ", " + r.Severity
		}
		if r.Summary != "" {
			s += ": " + r.Summary
		}
		t.say(1, "%s", s)
	}
}

func (t *explainer) pkg(im *ExplainedImage, p *match.Explained) {
	name := strings.TrimSpace(p.Package.Name + " " + p.Package.Version)
	if p.Package.Source != "" {
		name += " (from " + strings.TrimSpace(p.Package.Source+" "+p.Package.SourceVersion) + ")"
	}
	t.say(1, "%s: %s", name, p.Verdict)
	t.say(2, "because   %s", p.Because)
	t.say(2, "file      %s", p.Package.Path)
	if p.Layer > 0 {
		t.say(2, "layer     %d of %d, %s", p.Layer, im.Layers, p.Package.Layer)
	}
	if p.BuildCommand != "" {
		t.say(2, "built by  %s", p.BuildCommand)
	}
	t.say(2, "purl      %s", p.PURL)
	for i := range p.Findings {
		t.finding(&p.Findings[i])
	}
	if pr := p.Priority; pr != nil {
		t.say(2, "priority  %d: severity %d, exploited %d, EPSS %d, running %d, fix %d", pr.Total, pr.Severity, pr.Exploited, pr.EPSS, pr.Running, pr.Fix)
	}
	for i := range p.Records {
		t.record(&p.Records[i])
	}
}

func (t *explainer) finding(f *report.Finding) {
	from := map[string]string{"vendor": "the vendor's word", "cvss": "from CVSS"}[f.SeverityFrom]
	s := f.ID + ", " + f.Severity
	if from != "" {
		s += " (" + from + ")"
	}
	if f.Score > 0 {
		s += fmt.Sprintf(", CVSS %.1f", f.Score)
	}
	switch {
	case f.FixedVersion != "":
		s += ", fixed in " + f.FixedVersion
	default:
		s += ", no fixed version" + fixWords(f.FixState)
	}
	t.say(2, "finding   %s", s)
	if len(f.CVEs) > 0 && (len(f.CVEs) > 1 || f.CVEs[0] != f.ID) {
		t.say(2, "CVEs      %s", strings.Join(f.CVEs, ", "))
	}
	if len(f.Aliases) > 0 {
		t.say(2, "folded in %s", strings.Join(f.Aliases, ", "))
	}
	if f.Judgement != nil {
		t.say(2, "judged    %s", judgementText(f.Judgement))
	}
}

func (t *explainer) record(r *match.Record) {
	s := fmt.Sprintf("record    %s of %s", r.ID, r.Source)
	if r.Date != "" {
		s += ", as of " + r.Date
	}
	if r.Licence != "" {
		s += ", " + r.Licence
	}
	t.say(2, "%s", s)
	t.say(7, "%s %s, compared with %s: %s", r.Ecosystem, r.Name, r.Version, r.Verdict)
	if r.VetoedBy != "" {
		t.say(7, "set aside by %s", r.VetoedBy)
	}
	for _, e := range r.Entries {
		var about []string
		if e.State != match.VerdictAffected {
			about = append(about, "says "+e.State)
		}
		if e.Stream != "" {
			about = append(about, "for module "+e.Stream)
		}
		if e.Advisory != "" {
			about = append(about, "published as "+e.Advisory)
		}
		if e.Note != "" {
			about = append(about, e.Note)
		}
		if e.Verdict == match.VerdictOtherModule {
			about = append(about, "not comparable: another module stream")
		}
		if len(about) > 0 {
			t.say(7, "%s", strings.Join(about, "; "))
		}
		for _, st := range e.Steps {
			holds := "does not hold it"
			if st.Holds {
				holds = "holds it"
			}
			t.say(7, "%s: %s: %s", st.Range, strings.Join(st.Compared, ", "), holds)
		}
	}
}
