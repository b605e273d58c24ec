package baseline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// An Image is what rules are asked about.
type Image struct {
	// Files are the facts of the merged image: one for each path that is
	// really there.
	Files        []*File
	Distribution Distribution
	// Config is nil if it is not known; rules about it then do not apply.
	Config *Config
}

// A Status is what a rule says of an image.
type Status string

const (
	Pass   Status = "pass"
	Failed Status = "failed"
	// NotApplicable means that the image does not have what the rule speaks
	// of.
	NotApplicable Status = "not_applicable"
	// Unverified means that the rule could not be asked: its cost crossed a
	// limit. Reason says which.
	Unverified Status = "unverified"
)

// A Result is the answer of one rule for one image and one standard.
type Result struct {
	// RuleID, CheckName and Standard together are unique in one image.
	RuleID    string `json:"check_rule_id"`
	CheckName string `json:"check_name"`
	Standard  string `json:"standard"`
	// CheckType is CheckName, as HSS has it on Linux; CheckTypeDesc says
	// what the baseline is about.
	CheckType     string `json:"check_type"`
	CheckTypeDesc string `json:"check_type_desc"`
	Name          string `json:"check_rule_name"`
	// Severity is the rule's, failed or not: High, Medium or Low.
	Severity string `json:"severity"`
	Status   Status `json:"scan_result"`
	// Reason says why the rule is not applicable or not verified.
	Reason      string `json:"reason,omitempty"`
	Description string `json:"description"`
	Reference   string `json:"reference"`
	Audit       string `json:"audit"`
	Remediation string `json:"remediation"`
	// Cases are what was looked at; empty unless the rule passed or failed.
	Cases []Case `json:"check_info_list"`
}

// A Case is one thing that a rule looked at.
type Case struct {
	Description string `json:"check_description"`
	// Found is what is there, Wanted what should be.
	Found  string `json:"current_value"`
	Wanted string `json:"suggest_value"`
	Pass   bool   `json:"pass"`
}

// maxFoundItems is how many offenders a case names, maxFoundBytes how long the
// text of what was found may be, maxFileCases how many files one rule lists.
const (
	maxFoundItems = 20
	maxFoundBytes = 2048
	maxFileCases  = 200
)

// Evaluate asks the rules of the set that concern the image's distribution. The
// results are ordered by check name, standard and rule; one that does not apply
// is among them. The same facts give the same results: limits count steps, not
// time.
func Evaluate(set *RuleSet, im Image) []Result {
	family, osName := im.Distribution.Baseline()
	s := newSubject(im, family)
	budget := uint64(maxImageCost)
	var out []Result
	for _, r := range set.rules {
		if len(r.Families) > 0 && !slices.Contains(r.Families, family) {
			continue
		}
		checkName := r.CheckName
		if checkName == CheckNameOS {
			checkName = osName
		}
		status, reason, cases := r.ask(set, s, &budget)
		if cases == nil {
			cases = []Case{} // a list in JSON
		}
		for _, standard := range r.Standards {
			out = append(out, Result{
				RuleID: r.ID, CheckName: checkName, Standard: standard, CheckType: checkName, CheckTypeDesc: set.Describe(checkName),
				Name: r.Name, Severity: r.Severity, Status: status, Reason: reason,
				Description: r.Description, Reference: r.Reference, Audit: r.Audit, Remediation: r.Remediation, Cases: cases,
			})
		}
	}
	slices.SortFunc(out, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.CheckName, b.CheckName), cmp.Compare(a.Standard, b.Standard), cmp.Compare(a.RuleID, b.RuleID))
	})
	return out
}

// ask asks one rule.
func (r *Rule) ask(set *RuleSet, s *subject, budget *uint64) (Status, string, []Case) {
	files := []Node{{}}
	if len(r.Paths) > 0 {
		if files = s.matching(r.Paths); len(files) == 0 {
			return NotApplicable, "none of the files is there: " + strings.Join(r.Paths, ", "), nil
		}
	}
	if err := r.compile(set); err != nil {
		return Unverified, err.Error(), nil
	}
	for _, need := range r.compiled.needs {
		if !s.has[need] {
			return NotApplicable, "the image has no " + sourceOf(need), nil
		}
		if p := s.partial[need]; p != "" {
			return Unverified, "not verified: " + p + " is damaged, or it or what it includes is larger than is read", nil
		}
	}
	vars := make(map[string]any, len(s.vars)+2)
	for k, v := range s.vars {
		vars[k] = v
	}
	status := NotApplicable
	cases := []Case{}
	for _, f := range files {
		if len(r.Paths) > 0 {
			vars["file"] = &f
		}
		if r.compiled.when != nil {
			v, err := eval(r.compiled.when, vars, budget)
			if err != nil {
				return Unverified, err.Error(), nil
			}
			if v != types.True {
				continue
			}
		}
		for i, c := range r.cases {
			result, err := c.ask(r, r.compiled.cases[i], vars, f, budget)
			if err != nil {
				return Unverified, err.Error(), nil
			}
			switch {
			case !result.Pass:
				status = Failed
			case status == NotApplicable:
				status = Pass
			}
			cases = append(cases, result)
		}
	}
	if status == NotApplicable {
		return status, "what the rule speaks of is not in use", nil
	}
	if len(cases) > maxFileCases {
		// Those that fail come first in what is kept.
		slices.SortStableFunc(cases, func(a, b Case) int {
			if a.Pass == b.Pass {
				return 0
			} else if b.Pass {
				return -1
			}
			return 1
		})
		cases = cases[:maxFileCases]
	}
	return status, "", cases
}

func (c ruleCase) ask(r *Rule, cc compiledCase, vars map[string]any, f Node, budget *uint64) (Case, error) {
	out := Case{Description: c.check, Wanted: c.wanted}
	if out.Description == "" {
		out.Description = r.Name
	}
	if f.Path != "" {
		out.Description, out.Found = f.Path+": "+out.Description, f.Summary()
	}
	delete(vars, "found")
	if cc.found != nil {
		v, err := eval(cc.found, vars, budget)
		if err != nil {
			return out, err
		}
		vars["found"] = v
		out.Found = foundText(v)
		if c.offenders {
			out.Pass = v.(traits.Sizer).Size() == types.IntZero
			return out, nil
		}
	}
	v, err := eval(cc.pass, vars, budget)
	if err != nil {
		return out, err
	}
	out.Pass = v == types.True
	if out.Found == "" {
		out.Found = "does not hold"
		if out.Pass {
			out.Found = "holds"
		}
	}
	return out, nil
}

// foundText writes what was found for people.
func foundText(v ref.Val) string {
	list, ok := v.(traits.Lister)
	if !ok {
		s := clip(fmt.Sprint(v.Value()))
		if s == "" {
			return "not set"
		}
		return s
	}
	var words []string
	size := 0
	n, _ := list.Size().Value().(int64)
	for it := list.Iterator(); it.HasNext() == types.True && len(words) < maxFoundItems && size < maxFoundBytes; {
		w := clip(fmt.Sprint(it.Next().Value()))
		words, size = append(words, w), size+len(w)
	}
	switch {
	case n == 0:
		return "none"
	case int(n) > len(words):
		return fmt.Sprintf("%s and %d more", strings.Join(words, ", "), int(n)-len(words))
	}
	return strings.Join(words, ", ")
}

// A Summary is one baseline of one image and standard.
type Summary struct {
	CheckName     string `json:"check_name"`
	CheckType     string `json:"check_type"`
	CheckTypeDesc string `json:"check_type_desc"`
	Standard      string `json:"standard"`
	// Severity is the highest of the rules that failed, or Security.
	Severity string `json:"severity"`
	// Rules counts those that passed or failed, FailedRules the latter.
	Rules       int `json:"check_rule_num"`
	FailedRules int `json:"failed_rule_num"`
}

// Summarise counts results by baseline and standard, in their order. Baselines
// of which no rule applies are left out.
func Summarise(results []Result) []Summary {
	var out []Summary
	for _, r := range results {
		if r.Status != Pass && r.Status != Failed {
			continue
		}
		if n := len(out); n == 0 || out[n-1].CheckName != r.CheckName || out[n-1].Standard != r.Standard {
			out = append(out, Summary{CheckName: r.CheckName, CheckType: r.CheckType, CheckTypeDesc: r.CheckTypeDesc, Standard: r.Standard, Severity: SeveritySecurity})
		}
		s := &out[len(out)-1]
		s.Rules++
		if r.Status == Failed {
			s.FailedRules++
			s.Severity = Worst(s.Severity, r.Severity)
		}
	}
	return out
}

// Worst is the higher of two severities.
func Worst(a, b string) string {
	if slices.Index(severities, b) > slices.Index(severities, a) {
		return b
	}
	return a
}

var severities = []string{SeveritySecurity, SeverityLow, SeverityMedium, SeverityHigh}
