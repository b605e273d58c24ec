package export

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// SARIF writes d as SARIF 2.1.0: one run, one rule for each advisory, one
// result for each advisory and package. The location of a result is the image
// and the file within it. Problems and warnings are notifications of the run;
// an image that could not be scanned makes it unsuccessful.
func SARIF(w io.Writer, d *Document) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(sarifLog(d)); err != nil {
		return fmt.Errorf("write sarif: %w", err)
	}
	return nil
}

// The part of the format that we use. Names are the format's own.
type (
	sarifDocument struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
		ColumnKind  string            `json:"columnKind"`
		Properties  map[string]any    `json:"properties"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string         `json:"id"`
		ShortDescription sarifText      `json:"shortDescription"`
		FullDescription  sarifText      `json:"fullDescription"`
		HelpURI          string         `json:"helpUri,omitempty"`
		Help             sarifText      `json:"help"`
		Properties       map[string]any `json:"properties"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications"`
	}
	sarifNotification struct {
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifResult struct {
		RuleID              string             `json:"ruleId"`
		RuleIndex           int                `json:"ruleIndex"`
		Level               string             `json:"level"`
		Message             sarifText          `json:"message"`
		Locations           []sarifLocation    `json:"locations"`
		PartialFingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions        []sarifSuppression `json:"suppressions,omitempty"`
		Properties          map[string]any     `json:"properties"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifLogical struct {
		Name string `json:"name"`
		Full string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

func sarifLog(d *Document) sarifDocument {
	rules, index := sarifRules(d)
	run := sarifRun{
		Tool:       sarifTool{Driver: sarifDriver{Name: d.Tool.Name, Version: d.Tool.Version, Rules: rules}},
		Results:    []sarifResult{},
		ColumnKind: "utf16CodeUnits",
		Properties: map[string]any{
			"analyzerSet":          d.AnalyzerSet,
			"advisoriesGeneration": d.Advisories.Generation,
			"advisoriesDate":       d.Advisories.Date,
			"advisoriesStarter":    d.Advisories.Starter,
		},
	}
	inv := sarifInvocation{ExecutionSuccessful: true, Notifications: []sarifNotification{}}
	if d.Advisories.Notice != "" {
		inv.Notifications = append(inv.Notifications, sarifNotification{Level: "warning", Message: sarifText{d.Advisories.Notice}})
	}
	for _, w := range d.Warnings {
		inv.Notifications = append(inv.Notifications, sarifNotification{Level: "warning", Message: sarifText{w}})
	}
	for i := range d.Images {
		im := &d.Images[i]
		if im.Error != "" {
			inv.ExecutionSuccessful = false
			inv.Notifications = append(inv.Notifications, sarifNotification{
				Level: "error", Message: sarifText{im.Title() + ": " + im.Error}})
		}
		for _, p := range im.Problems {
			inv.Notifications = append(inv.Notifications, sarifNotification{
				Level: "note", Message: sarifText{p.Analyzer + ": " + p.Message},
				Locations: []sarifLocation{sarifPlace(im, p.Path)}})
		}
		for _, fs := range [][]report.Finding{im.Findings, im.Suppressed} {
			for _, f := range fs {
				run.Results = append(run.Results, sarifFinding(im, f, index[f.ID]))
			}
		}
		for _, sec := range im.Secrets {
			run.Results = append(run.Results, sarifSecret(im, sec, index[secretRule(sec)]))
		}
		for _, m := range im.Malware {
			run.Results = append(run.Results, sarifMalware(im, m, index[malwareRule(m)]))
		}
		for _, r := range im.BuildRisks {
			run.Results = append(run.Results, sarifBuildRisk(im, r, index[r.Rule]))
		}
		run.Results = append(run.Results, sarifBaseline(im, index)...)
		for _, v := range im.Violations {
			run.Results = append(run.Results, sarifViolation(im, v, index[violationRule(v)]))
		}
	}
	run.Invocations = []sarifInvocation{inv}
	return sarifDocument{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

// sarifRules makes one rule of each advisory, from its worst finding, of each
// kind of secret, of malware and of risk in the build, of each rule of a baseline
// that failed and of each that denies software, and of weak passwords.
func sarifRules(d *Document) ([]sarifRule, map[string]int) {
	worst := map[string]report.Finding{}
	for i := range d.Images {
		for _, fs := range [][]report.Finding{d.Images[i].Findings, d.Images[i].Suppressed} {
			for _, f := range fs {
				if w, ok := worst[f.ID]; !ok || compareFindings(f, w) < 0 {
					worst[f.ID] = f
				}
			}
		}
	}
	rules, index := make([]sarifRule, 0, len(worst)), map[string]int{}
	for _, f := range worst {
		ids := append([]string{f.ID}, otherIDs(f)...)
		short := cmp.Or(f.Summary, f.ID)
		rules = append(rules, sarifRule{
			ID:               f.ID,
			ShortDescription: sarifText{short},
			FullDescription:  sarifText{f.Severity + " vulnerability " + strings.Join(ids, ", ")},
			HelpURI:          f.URL,
			Help:             sarifText{cmp.Or(f.URL, f.ID)},
			Properties: map[string]any{
				"security-severity": securitySeverity(f.Score, f.Severity),
				"tags":              []string{"security", "vulnerability", strings.ToLower(f.Severity)},
			},
		})
	}
	seen := map[string]bool{}
	for i := range d.Images {
		for _, s := range d.Images[i].Secrets {
			id := secretRule(s)
			if seen[id] {
				continue
			}
			seen[id] = true
			rules = append(rules, sarifRule{
				ID: id, ShortDescription: sarifText{s.Title}, FullDescription: sarifText{"Secret in an image: " + s.Title},
				Help: sarifText{"Revoke it, and build the image without it: who can pull the image has it, also if a later layer deletes the file."},
				Properties: map[string]any{
					"security-severity": securitySeverity(0, s.Severity),
					"tags":              []string{"security", "secret"},
				},
			})
		}
	}
	for i := range d.Images {
		for _, m := range d.Images[i].Malware {
			id := malwareRule(m)
			if seen[id] {
				continue
			}
			seen[id] = true
			rules = append(rules, sarifRule{
				ID: id, ShortDescription: sarifText{m.Name}, FullDescription: sarifText{cmp.Or(m.Description, "Malware in an image: "+m.Name)},
				Help: sarifText{"Do not run the image. Find out how the file came into it, and build it anew from sources that are known to be good."},
				Properties: map[string]any{
					"security-severity": securitySeverity(0, m.Severity),
					"tags":              []string{"security", "malware"},
				},
			})
		}
	}
	for i := range d.Images {
		for _, r := range d.Images[i].BuildRisks {
			if seen[r.Rule] {
				continue
			}
			seen[r.Rule] = true
			rules = append(rules, sarifRule{
				ID: r.Rule, ShortDescription: sarifText{r.Title}, FullDescription: sarifText{r.Description}, Help: sarifText{r.Remediation},
				Properties: map[string]any{
					"security-severity": securitySeverity(0, r.Severity),
					"tags":              []string{"security", "build"},
				},
			})
		}
	}
	for i := range d.Images {
		rules = append(rules, sarifBaselineRules(&d.Images[i], seen)...)
		for _, v := range d.Images[i].Violations {
			id := violationRule(v)
			if seen[id] {
				continue
			}
			seen[id] = true
			rules = append(rules, sarifRule{
				ID: id, ShortDescription: sarifText{"Denied software: " + v.Rule}, FullDescription: sarifText{v.Reason},
				Help: sarifText{"Build the image without it, or change the deny list."},
				Properties: map[string]any{
					"security-severity": securitySeverity(0, v.Severity),
					"tags":              []string{"security", "policy"},
				},
			})
		}
	}
	slices.SortFunc(rules, func(a, b sarifRule) int { return cmp.Compare(a.ID, b.ID) })
	for i, r := range rules {
		index[r.ID] = i
	}
	return rules, index
}

func sarifFinding(im *Image, f report.Finding, rule int) sarifResult {
	text := fmt.Sprintf("%s %s in %s is affected by %s (%s)", f.Package.Name, f.Package.Version, im.Title(), f.ID, f.Severity)
	if f.FixedVersion != "" {
		text += "; fixed in " + f.FixedVersion
	} else {
		text += "; no fixed version is known" + fixWords(f.FixState)
	}
	props := map[string]any{
		"purl":     f.PURL,
		"severity": f.Severity,
		"fixState": f.FixState,
		"range":    f.Evidence.Range,
		"compared": f.Evidence.Compared,
		"layer":    f.Package.Layer,
		"image":    im.ConfigDigest,
		"priority": f.Priority,
	}
	if f.Exploited {
		props["exploitedSince"] = f.ExploitedSince
	}
	if f.EPSS > 0 {
		props["epss"], props["epssPercentile"] = f.EPSS, f.EPSSPercentile
	}
	var suppressions []sarifSuppression
	if j := f.Judgement; j.Suppresses() {
		suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: judgementText(j)}}
	} else if j != nil {
		props["judgement"] = judgementText(j)
	}
	for k, v := range map[string]string{
		"fixedVersion": f.FixedVersion, "buildCommand": f.Evidence.BuildCommand, "vector": f.Vector} {
		if v != "" {
			props[k] = v
		}
	}
	return sarifResult{
		RuleID:    f.ID,
		RuleIndex: rule,
		Level:     sarifLevel(f.Severity),
		Message:   sarifText{text},
		Locations: []sarifLocation{sarifPlace(im, f.Package.Path)},
		// The same advisory for the same package at the same place of an
		// image of the same name is one result, whatever the version:
		// viewers follow it from scan to scan.
		PartialFingerprints: map[string]string{
			"onceover/v1": shortHash(im.Title(), f.ID, f.Package.Type, f.Package.Name, f.Package.Arch, f.Package.Path)},
		Suppressions: suppressions,
		Properties:   props,
	}
}

func secretRule(s report.Secret) string { return "secret/" + s.Rule }

func sarifSecret(im *Image, s report.Secret, rule int) sarifResult {
	text := fmt.Sprintf("%s in %s: %s (%s)", s.Title, im.Title(), cmp.Or(s.Context, s.Masked), s.Severity)
	props := map[string]any{
		"severity": s.Severity, "kind": s.Kind, "masked": s.Masked, "layer": s.Layer, "image": im.ConfigDigest, "deleted": s.Deleted,
	}
	if s.Line > 0 {
		props["line"] = s.Line
	}
	return sarifResult{
		RuleID: secretRule(s), RuleIndex: rule, Level: sarifLevel(s.Severity), Message: sarifText{text},
		Locations: []sarifLocation{sarifPlace(im, s.Path)},
		PartialFingerprints: map[string]string{
			"onceover/v1": shortHash(im.Title(), secretRule(s), s.Path, s.Context, s.Masked, strconv.Itoa(s.Length))},
		Properties: props,
	}
}

func malwareRule(m report.Malware) string { return "malware/" + m.Engine + "/" + m.Rule }

func sarifMalware(im *Image, m report.Malware, rule int) sarifResult {
	where := m.Path
	if m.Inner != "" {
		where += "!" + m.Inner
	}
	text := fmt.Sprintf("%s in %s: %s (%s)", m.Name, im.Title(), where, m.Severity)
	props := map[string]any{
		"severity": m.Severity, "type": m.Type, "engine": m.Engine, "layer": m.Layer, "image": im.ConfigDigest, "deleted": m.Deleted,
	}
	for name, value := range map[string]string{"family": m.Family, "sha256": m.SHA256, "inner": m.Inner, "evidence": m.Evidence} {
		if value != "" {
			props[name] = value
		}
	}
	return sarifResult{
		RuleID: malwareRule(m), RuleIndex: rule, Level: sarifLevel(m.Severity), Message: sarifText{text},
		Locations:           []sarifLocation{sarifPlace(im, m.Path)},
		PartialFingerprints: map[string]string{"onceover/v1": shortHash(im.Title(), malwareRule(m), m.Path, m.Inner, m.SHA256)},
		Properties:          props,
	}
}

func sarifBuildRisk(im *Image, r BuildRisk, rule int) sarifResult {
	text := fmt.Sprintf("%s in the build of %s (%s)", r.Title, im.Title(), r.Severity)
	if r.Instruction != "" {
		text += ": " + r.Instruction
	}
	return sarifResult{
		RuleID: r.Rule, RuleIndex: rule, Level: sarifLevel(r.Severity), Message: sarifText{text},
		Locations:           []sarifLocation{sarifPlace(im, "")},
		PartialFingerprints: map[string]string{"onceover/v1": shortHash(im.Title(), r.Rule, r.Instruction)},
		Properties:          map[string]any{"severity": r.Severity, "layer": r.Layer, "image": im.ConfigDigest, "instruction": r.Instruction},
	}
}

func violationRule(v Violation) string { return "policy/" + v.Rule }

func sarifViolation(im *Image, v Violation, rule int) sarifResult {
	text := fmt.Sprintf("%s %s in %s is denied (%s): %s", v.Name, v.Version, im.Title(), v.Severity, v.Reason)
	return sarifResult{
		RuleID: violationRule(v), RuleIndex: rule, Level: sarifLevel(v.Severity), Message: sarifText{text},
		Locations:           []sarifLocation{sarifPlace(im, v.Path)},
		PartialFingerprints: map[string]string{"onceover/v1": shortHash(im.Title(), violationRule(v), v.Type, v.Name, v.Path)},
		Properties:          map[string]any{"severity": v.Severity, "type": v.Type, "version": v.Version, "layer": v.Layer, "image": im.ConfigDigest},
	}
}

// fixWords adds why there is no fixed version, if the distribution says so.
func fixWords(state string) string {
	switch state {
	case report.FixWont:
		return ", and none will come"
	case report.FixDeferred:
		return ", the distribution has put it off"
	default:
		return ""
	}
}

// sarifPlace is a path within an image, written as a relative URI: the name
// of the image, then the path.
func sarifPlace(im *Image, path string) sarifLocation {
	name := im.Title()
	u := url.URL{Path: name + path}
	uri := u.EscapedPath()
	// A first segment with a colon would read as a scheme.
	if first, rest, ok := strings.Cut(uri, "/"); ok {
		uri = strings.ReplaceAll(first, ":", "%3A") + "/" + rest
	} else {
		uri = strings.ReplaceAll(uri, ":", "%3A")
	}
	return sarifLocation{
		Physical: sarifPhysical{sarifArtifact{uri}},
		Logical:  []sarifLogical{{Name: name, Full: name + "@" + string(im.ConfigDigest) + ":" + path, Kind: "resource"}},
	}
}

func sarifLevel(severity string) string {
	switch severity {
	case report.SeverityCritical, report.SeverityHigh:
		return "error"
	case report.SeverityMedium:
		return "warning"
	default:
		return "note"
	}
}

// securitySeverity is the number that code scanning services sort by: the CVSS
// score, or the middle of the band that the vendor's severity stands for in
// CVSS 3.1.
func securitySeverity(score float64, severity string) string {
	if score == 0 {
		score = map[string]float64{
			report.SeverityCritical: 9.5, report.SeverityHigh: 8, report.SeverityMedium: 5.5, report.SeverityLow: 2,
		}[severity]
	}
	return strconv.FormatFloat(score, 'f', 1, 64)
}
