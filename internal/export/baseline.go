package export

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// Names in BaselineRule.Status and Account.Status that the output speaks of.
const (
	ruleFailed      = "failed"
	rulePassed      = "pass"
	ruleNotVerified = "unverified"
	passwordLocked  = "locked"
	passwordStrong  = "strong"
)

// A Baseline is what the rules of baselines say of an image.
type Baseline struct {
	// Passed, Failed, NotApplicable and Unverified count rules. Of those that
	// failed the filters may hide some.
	Passed        int `json:"passed"`
	Failed        int `json:"failed"`
	NotApplicable int `json:"not_applicable"`
	Unverified    int `json:"unverified"`
	// Rules that failed, the worst first, then those that are not verified,
	// then those that passed.
	Rules []BaselineRule `json:"rules"`
}

// A BaselineRule is what one rule says.
type BaselineRule struct {
	// Rule is its id, "SSH-01", Name what it asks in words.
	Rule string `json:"rule"`
	Name string `json:"name"`
	// Check is the baseline that it belongs to, "SSH" or "Debian 12".
	Check     string   `json:"check"`
	Standards []string `json:"standards"`
	Severity  string   `json:"severity"`
	// Status is "failed", "pass", "unverified", or "not_applicable" until the
	// document is finished. Reason says why it is not verified.
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Cases are what was looked at.
	Cases       []BaselineCase `json:"cases,omitempty"`
	Description string         `json:"description"`
	Audit       string         `json:"audit"`
	Remediation string         `json:"remediation"`
	Reference   string         `json:"reference"`
}

// A BaselineCase is one thing that a rule looked at.
type BaselineCase struct {
	Check  string `json:"check,omitempty"`
	Found  string `json:"found"`
	Wanted string `json:"wanted"`
	Pass   bool   `json:"pass"`
}

// Passwords are what was found out about the passwords of an image. None of them,
// and no hash, stands here.
type Passwords struct {
	// Weak counts accounts with a weak or an empty password, Locked those that
	// no password opens, Strong those whose password was not guessed.
	Weak   int `json:"weak"`
	Strong int `json:"strong"`
	Locked int `json:"locked"`
	// Unverified counts those without a verdict, by reason.
	Unverified map[string]int `json:"unverified,omitempty"`
	// Accounts with a weak password, the worst first, then those without a
	// verdict, then the others.
	Accounts []Account `json:"accounts,omitempty"`
	// Complexity is what new passwords must be like; absent for an image that
	// keeps no accounts.
	Complexity *Complexity `json:"complexity,omitempty"`
}

// An Account is one account of the system or of a service.
type Account struct {
	User string `json:"user"`
	// Service is "system", "redis", "tomcat" or "mysql".
	Service string `json:"service"`
	Path    string `json:"path"`
	Line    int    `json:"line"`
	// Layer is the diff ID of the layer.
	Layer string `json:"layer,omitempty"`
	// Kind of the hash, "sha512crypt", or "plain".
	Kind string `json:"kind,omitempty"`
	// Login says whether it has a shell.
	Login bool `json:"login"`
	// Changed is the day of the last change, in days since 1970-01-01.
	Changed int `json:"changed,omitempty"`
	// Status is "weak", "empty", "strong", "unverified" or "locked". Rule says
	// why it is weak, Reason why there is no verdict.
	Status string `json:"status"`
	Rule   string `json:"rule,omitempty"`
	// Masked shows the ends of a weak password.
	Masked string `json:"masked,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Tried of Candidates guesses were made.
	Tried      int `json:"tried"`
	Candidates int `json:"candidates"`
	// Severity of a weak or empty password.
	Severity   string `json:"severity,omitempty"`
	Suggestion string `json:"suggestion,omitempty"`
}

// Complexity is what new passwords must be like.
type Complexity struct {
	// MinLength says whether the length demanded is enough; Length is that
	// length in characters, 0 for none.
	MinLength bool `json:"min_length"`
	Length    int  `json:"length"`
	Upper     bool `json:"uppercase_letter"`
	Lower     bool `json:"lowercase_letter"`
	Digit     bool `json:"number"`
	Special   bool `json:"special_character"`
	// Source decides: a module of PAM, "login.defs", or nothing.
	Source     string `json:"source,omitempty"`
	Path       string `json:"path,omitempty"`
	Layer      string `json:"layer,omitempty"`
	Suggestion string `json:"suggestion,omitempty"`
}

// finish counts, filters and orders the rules.
func (b *Baseline) finish(filters Filters) {
	b.Rules = slices.DeleteFunc(b.Rules, func(r BaselineRule) bool {
		switch r.Status {
		case rulePassed:
			b.Passed++
		case ruleFailed:
			if !filters.shows(r.Severity) {
				return true
			}
			b.Failed++
		case ruleNotVerified:
			b.Unverified++
		default:
			b.NotApplicable++
			return true
		}
		return false
	})
	order := []string{ruleFailed, ruleNotVerified, rulePassed}
	slices.SortFunc(b.Rules, func(x, y BaselineRule) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, x.Status), slices.Index(order, y.Status)),
			cmp.Compare(report.SeverityRank(y.Severity), report.SeverityRank(x.Severity)),
			cmp.Compare(x.Rule, y.Rule),
		)
	})
	b.Rules = notNil(b.Rules)
}

// failed are the rules that failed.
func (b *Baseline) failed() []BaselineRule {
	if b == nil {
		return nil
	}
	return b.Rules[:b.Failed]
}

// Shown is the case that failed first, or the first at all.
func (r BaselineRule) shown() BaselineCase {
	for _, c := range r.Cases {
		if !c.Pass {
			return c
		}
	}
	if len(r.Cases) > 0 {
		return r.Cases[0]
	}
	return BaselineCase{}
}

// finish counts, filters and orders the accounts.
func (p *Passwords) finish(filters Filters) {
	p.Accounts = slices.DeleteFunc(p.Accounts, func(a Account) bool {
		switch {
		case a.Severity != "":
			if !filters.shows(a.Severity) {
				return true
			}
			p.Weak++
		case a.Status == passwordLocked:
			p.Locked++
		case a.Status == passwordStrong:
			p.Strong++
		}
		return false
	})
	order := []string{ruleNotVerified, passwordStrong, passwordLocked}
	slices.SortStableFunc(p.Accounts, func(x, y Account) int {
		return cmp.Or(
			cmp.Compare(report.SeverityRank(y.Severity), report.SeverityRank(x.Severity)),
			cmp.Compare(slices.Index(order, x.Status), slices.Index(order, y.Status)),
			cmp.Compare(x.Path, y.Path), cmp.Compare(x.Line, y.Line),
		)
	})
	if len(p.Unverified) == 0 {
		p.Unverified = nil
	}
}

// weak are the accounts with a weak or an empty password.
func (p *Passwords) weak() []Account {
	if p == nil {
		return nil
	}
	return p.Accounts[:p.Weak]
}

func (p *Passwords) unverified() int {
	n := 0
	for _, k := range p.Unverified {
		n += k
	}
	return n
}

// maxRows is how many rows a table of accounts has.
const maxRows = 30

// baseline lists the rules that failed, and counts the others.
func (t *tableWriter) baseline(b *Baseline) {
	if failed := b.failed(); len(failed) > 0 {
		columns := []column{{title: "SEVERITY", min: 8}, {title: "RULE", min: 8}, {title: "BASELINE", min: 20, flexible: true}, {title: "FOUND", min: 16, flexible: true}, {title: "WANTED", min: 16, flexible: true}}
		cells := make([][]string, len(failed))
		for i, r := range failed {
			c := r.shown()
			cells[i] = []string{r.Severity, Printable(r.Rule), Printable(r.Check + ": " + r.Name), Printable(c.Found), Printable(c.Wanted)}
		}
		t.rows(columns, cells)
	}
	s := fmt.Sprintf("  baseline: %d failed, %d passed, %d not applicable", b.Failed, b.Passed, b.NotApplicable)
	if b.Unverified > 0 {
		s += fmt.Sprintf(", %d not verified; the first: %s", b.Unverified, Printable(b.Rules[b.Failed].Rule+": "+b.Rules[b.Failed].Reason))
	}
	t.line(s)
}

// passwords lists accounts with weak passwords and those without a verdict, and
// says what new passwords must be like.
func (t *tableWriter) passwords(p *Passwords) {
	weak := p.weak()
	if len(weak) > 0 {
		columns := []column{{title: "SEVERITY", min: 8}, {title: "ACCOUNT", min: 12, flexible: true}, {title: "PASSWORD", min: 16, flexible: true}, {title: "PATH", min: 16, flexible: true}}
		cells := make([][]string, min(len(weak), maxRows))
		for i := range cells {
			a := weak[i]
			why := a.Status
			if a.Masked != "" {
				why = a.Masked + " (" + a.Rule + ")"
			}
			cells[i] = []string{a.Severity, Printable(a.User + " of " + a.Service), Printable(why), Printable(a.Path + ":" + strconv.Itoa(a.Line))}
		}
		t.rows(columns, cells)
		if n := len(weak) - len(cells); n > 0 {
			t.line(fmt.Sprintf("  and %d more", n))
		}
	}
	t.line(fmt.Sprintf("  passwords: %d weak, %d not guessed, %d locked, %d not verified", p.Weak, p.Strong, p.Locked, p.unverified()))
	for _, reason := range slices.Sorted(maps.Keys(p.Unverified)) {
		t.line(fmt.Sprintf("    not verified: %s: %s", plural(p.Unverified[reason], "account"), Printable(reason)))
	}
	if p.Complexity != nil {
		t.line("  new passwords: " + Printable(p.Complexity.text()))
	}
}

// text is "8 characters, an upper-case letter; not demanded: a digit".
func (c *Complexity) text() string {
	var demanded, missing []string
	if c.Length > 0 {
		demanded = append(demanded, plural(c.Length, "character"))
	}
	if !c.MinLength {
		missing = append(missing, "enough characters")
	}
	for _, k := range []struct {
		demanded bool
		name     string
	}{{c.Upper, "an upper-case letter"}, {c.Lower, "a lower-case letter"}, {c.Digit, "a digit"}, {c.Special, "a special character"}} {
		if k.demanded {
			demanded = append(demanded, k.name)
		} else {
			missing = append(missing, k.name)
		}
	}
	s := strings.Join(demanded, ", ")
	if s == "" {
		s = "anything goes"
	}
	if c.Source != "" {
		s += " (" + c.Source + ")"
	}
	if len(missing) > 0 {
		s += "; not demanded: " + strings.Join(missing, ", ")
	}
	return s
}

// sarifBaseline are the rules that failed and the accounts with weak passwords.
func sarifBaseline(im *Image, index map[string]int) []sarifResult {
	var out []sarifResult
	for _, r := range im.Baseline.failed() {
		c := r.shown()
		text := fmt.Sprintf("%s: %s in %s (%s)", r.Check, r.Name, im.Title(), r.Severity)
		if c.Found != "" || c.Wanted != "" {
			text += fmt.Sprintf(": found %s; wanted %s", cmp.Or(c.Found, "nothing"), c.Wanted)
		}
		out = append(out, sarifResult{
			RuleID: r.Rule, RuleIndex: index[r.Rule], Level: sarifLevel(r.Severity), Message: sarifText{text},
			Locations:           []sarifLocation{sarifPlace(im, "")},
			PartialFingerprints: map[string]string{"onceover/v1": shortHash(im.Title(), r.Rule)},
			Properties:          map[string]any{"severity": r.Severity, "image": im.ConfigDigest, "check": r.Check, "standards": r.Standards, "found": c.Found, "wanted": c.Wanted},
		})
	}
	for _, a := range im.Passwords.weak() {
		text := fmt.Sprintf("The password of %s of %s in %s is %s (%s)", a.User, a.Service, im.Title(), a.Status, a.Severity)
		if a.Rule != "" && a.Rule != a.Status {
			text += ": " + a.Rule
		}
		props := map[string]any{"severity": a.Severity, "image": im.ConfigDigest, "layer": a.Layer, "user": a.User, "service": a.Service, "login": a.Login}
		if a.Masked != "" {
			props["masked"] = a.Masked
		}
		out = append(out, sarifResult{
			RuleID: passwordRule(a), RuleIndex: index[passwordRule(a)], Level: sarifLevel(a.Severity), Message: sarifText{text},
			Locations:           []sarifLocation{sarifPlace(im, a.Path)},
			PartialFingerprints: map[string]string{"onceover/v1": shortHash(im.Title(), passwordRule(a), a.Path, a.Service, a.User)},
			Properties:          props,
		})
	}
	return out
}

func passwordRule(a Account) string { return "password/" + a.Status }

// sarifBaselineRules are the rules of sarifBaseline that are not seen yet.
func sarifBaselineRules(im *Image, seen map[string]bool) []sarifRule {
	var out []sarifRule
	for _, r := range im.Baseline.failed() {
		if seen[r.Rule] {
			continue
		}
		seen[r.Rule] = true
		out = append(out, sarifRule{
			ID: r.Rule, ShortDescription: sarifText{r.Name}, FullDescription: sarifText{r.Description}, Help: sarifText{r.Remediation},
			Properties: map[string]any{"security-severity": securitySeverity(0, r.Severity), "tags": []string{"security", "baseline"}},
		})
	}
	for _, a := range im.Passwords.weak() {
		id := passwordRule(a)
		if seen[id] {
			continue
		}
		seen[id] = true
		text := "An account of an image has a weak password"
		if a.Status != "weak" {
			text = "An account of an image needs no password"
		}
		out = append(out, sarifRule{
			ID: id, ShortDescription: sarifText{text}, FullDescription: sarifText{text}, Help: sarifText{a.Suggestion},
			Properties: map[string]any{"security-severity": securitySeverity(0, report.SeverityHigh), "tags": []string{"security", "password"}},
		})
	}
	return out
}
