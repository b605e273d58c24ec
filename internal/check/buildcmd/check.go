package buildcmd

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/image"
)

// Severities of rules, as HSS writes those of build commands.
const (
	Critical = "critical"
	High     = "high"
	Medium   = "medium"
	Low      = "low"
)

const (
	// maxShown bounds the instruction that a finding shows, in characters:
	// HSS allows 256.
	maxShown = 256
	// maxKnown bounds the values that are masked wherever they stand.
	maxKnown = 200
	// minKnown is the shortest of them; shorter ones are masked in their
	// own place only.
	minKnown = 6
)

// A Rule is one risk.
type Rule struct {
	// ID is stable: "BC-PIPE-SHELL".
	ID string `json:"rule_id"`
	// Title names the risk.
	Title string `json:"risk_name"`
	// Severity is one of the constants.
	Severity string `json:"risk_level"`
	// Description says what the risk is, Remediation what to do instead.
	Description string `json:"description"`
	Remediation string `json:"remediation"`

	// One of these finds it: in a command that RUN, CMD or ENTRYPOINT
	// executes, in an instruction, or in the image as a whole.
	command func(l *look, c *command) bool
	step    func(l *look) bool
	image   func(l *look) (step int, instruction string, found bool)
}

// A Finding is a rule that an instruction breaks.
type Finding struct {
	Rule *Rule `json:"-"`
	// RuleID is the rule's.
	RuleID string `json:"rule_id"`
	// Step is the index of the instruction in the history, -1 if only the
	// configuration tells of it.
	Step int `json:"step"`
	// Layer is the diff ID of the layer that the instruction made, "" if
	// it made none or that is not known.
	Layer string `json:"layer,omitempty"`
	// Instruction as in a Dockerfile, secrets masked, at most 256
	// characters: of a long one the part that matters.
	Instruction string `json:"build_instruction"`
}

// A Result is what Check found.
type Result struct {
	// Rules is the version of the rule set.
	Rules string `json:"rules"`
	// Findings by severity, worst first, then by rule and step.
	Findings []Finding `json:"findings,omitempty"`
	// Steps that were looked at; Left were beyond the limit.
	Steps int `json:"steps"`
	Left  int `json:"left,omitempty"`
	// Unparsed are RUN instructions that no shell would take, or that are
	// too long or nested too deep; they were split at spaces instead.
	Unparsed int `json:"unparsed,omitempty"`
	// Cut are instructions longer than what is looked at.
	Cut int `json:"cut,omitempty"`

	seen map[Finding]bool
}

// Version names the rule set; it changes with every rule and with engine.
func Version() string {
	sum := sha256.New()
	for _, r := range Rules() {
		fmt.Fprintf(sum, "%s\x00%s\x00%s\x00%s\x00%s\x00", r.ID, r.Title, r.Severity, r.Description, r.Remediation)
	}
	return engineVersion + "-" + hex.EncodeToString(sum.Sum(nil)[:8])
}

// engineVersion stands for the code of the rules: raise it with any change of
// what they find.
const engineVersion = "buildcmd/1"

// RuleByID is the rule with an id, nil if there is none.
func RuleByID(id string) *Rule {
	for _, r := range Rules() {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// SeverityRank orders severities: higher is worse.
func SeverityRank(s string) int {
	return 4 - slices.Index([]string{Critical, High, Medium, Low}, s)
}

// A look is what rules see.
type look struct {
	img   *Image
	steps []Step
	// at is the index of the instruction that is looked at.
	at int
	Step
	script script
	// shown is the instruction with secrets masked, once it was asked for.
	shown string
}

// Check looks for risks in the history and configuration of an image.
func Check(img Image) Result {
	steps, left := Steps(img)
	res := Result{Rules: Version(), Steps: len(steps), Left: left}
	known := secretsOf(steps)
	rules := Rules()

	l := &look{img: &img, steps: steps}
	for i, s := range steps {
		l.at, l.Step, l.script, l.shown = i, s, script{}, ""
		if s.Cut {
			res.Cut++
		}
		if text := s.runs(); text != "" {
			l.script = parseScript(text)
			if l.script.plain {
				res.Unparsed++
			}
		}
		for _, r := range rules {
			switch {
			case r.command != nil:
				for _, c := range l.script.commands {
					if r.command(l, c) {
						res.add(r, s, l.show(c.text, known))
						break
					}
				}
			case r.step != nil:
				if r.step(l) {
					res.add(r, s, l.show("", known))
				}
			}
		}
	}
	for _, r := range rules {
		if r.image == nil {
			continue
		}
		if at, text, found := r.image(l); found {
			s := Step{Index: -1}
			if at >= 0 {
				s = steps[at]
				text = s.String()
			}
			res.add(r, s, shorten(masked(text, known)))
		}
	}
	slices.SortStableFunc(res.Findings, func(a, b Finding) int {
		if c := SeverityRank(b.Rule.Severity) - SeverityRank(a.Rule.Severity); c != 0 {
			return c
		}
		if c := strings.Compare(a.RuleID, b.RuleID); c != 0 {
			return c
		}
		return a.Step - b.Step
	})
	return res
}

func (res *Result) add(r *Rule, s Step, instruction string) {
	f := Finding{Rule: r, RuleID: r.ID, Step: s.Index, Layer: s.Layer, Instruction: instruction}
	if res.seen[f] {
		return
	}
	if res.seen == nil {
		res.seen = map[Finding]bool{}
	}
	res.seen[f] = true
	res.Findings = append(res.Findings, f)
}

// secretsOf are the values of variables, build arguments and labels whose
// names say that they are secret; they may stand anywhere else in the history.
func secretsOf(steps []Step) []string {
	var out []string
	for _, s := range steps {
		for _, p := range append(s.named(), s.Args...) {
			if secretName(p.Name) && secretValue(p.Value) && len(p.Value) >= minKnown && len(out) < maxKnown && !slices.Contains(out, p.Value) {
				out = append(out, p.Value)
			}
		}
	}
	// The longest first, so that none leaves its end.
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

// named are the pairs of an instruction that has some.
func (s Step) named() []Pair {
	switch s.Keyword {
	case "ENV", "ARG", "LABEL":
		return s.pairs()
	}
	return nil
}

// show is the instruction as a finding shows it. Of a long one it is the command
// that matters.
func (l *look) show(command string, known []string) string {
	if l.shown == "" {
		l.shown = l.Step.masked(known)
	}
	if utf8.RuneCountInString(l.shown) <= maxShown || command == "" {
		return shorten(l.shown)
	}
	part := masked(command[:min(len(command), maxWordBytes)], known)
	if !strings.Contains(l.shown, part) {
		// A mask needed what stands around the command: show its name only.
		part, _, _ = strings.Cut(part, " ")
	}
	return shorten(l.Keyword + " … " + part + " …")
}

// masked is the whole instruction with secrets masked. Masks look at all of
// it: what is before a pipe tells what is secret.
func (s Step) masked(known []string) string {
	text := s.String()
	if s.Keyword == "RUN" && len(s.Args) > 0 && !s.OnBuild {
		var args []string
		for _, a := range s.Args {
			v := a.Value
			if secretName(a.Name) && v != "" {
				v = mask
			}
			args = append(args, a.Name+"="+v)
		}
		text = fmt.Sprintf("RUN |%d %s %s", len(args), strings.Join(args, " "), strings.TrimPrefix(text, "RUN "))
	}
	for _, p := range s.pairs() {
		if secretName(p.Name) && p.Value != "" {
			text = hide(text, p)
		}
	}
	return masked(text, known)
}

// MaskHistory is the history of an image in its order, each entry as an
// instruction with secrets masked: for everyone else who shows build commands.
// Entries beyond the limits are left out.
func MaskHistory(img Image) []string {
	steps, _ := Steps(img)
	known := secretsOf(steps)
	var out []string
	for _, s := range steps {
		if s.Index >= 0 {
			out = append(out, s.masked(known))
		}
	}
	return out
}

// Commands are the build commands of the layers of an image, lowest first, each
// as an instruction with secrets masked; "" where the history does not fit the
// layers or is beyond the limits.
func Commands(c image.Config) []string {
	masked := MaskHistory(Image{Env: c.Env, Labels: c.Labels, History: c.History})
	c.History = slices.Clone(c.History)
	for i := range c.History {
		c.History[i].CreatedBy = ""
		if i < len(masked) {
			c.History[i].CreatedBy = masked[i]
		}
	}
	return c.BuildCommands()
}

// hide masks the value of a pair after its name, as it is written there.
func hide(text string, p Pair) string {
	at := strings.Index(text, p.Name)
	if at < 0 {
		return text
	}
	at += len(p.Name)
	if i := strings.Index(text[at:], p.Value); i >= 0 {
		return text[:at+i] + mask + text[at+i+len(p.Value):]
	}
	// Written with backslashes or quotes: hide the rest of the instruction.
	return text[:at] + "=" + mask
}

// shorten cuts a text to what may be shown, on one line.
func shorten(text string) string {
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "\\\n", " ")), " ")
	if utf8.RuneCountInString(text) <= maxShown {
		return text
	}
	return string([]rune(text)[:maxShown-1]) + "…"
}
