package vex

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// RulesFile is the name of the file of rules that is read if it is there.
const RulesFile = ".onceoverignore.yaml"

// Limits of a file of rules.
const (
	maxRulesBytes = 4 << 20
	maxRules      = 10_000
	maxPattern    = 1024
)

// Rules are the ignore rules of one file. A nil *Rules has none.
type Rules struct {
	name  string
	rules []rule
}

// A rule leaves findings out that all of its conditions hold for.
type rule struct {
	ids      []string
	purl     *purl
	pkg      string
	path     string
	fixState string
	until    time.Time
	reason   string
	line     int
}

// LoadRules reads a file of ignore rules. A mistake in it is an error with the
// line: a rule that is not understood must not be taken for none.
func LoadRules(file string) (*Rules, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read ignore rules: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRulesBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read ignore rules %s: %w", file, err)
	}
	r, err := ParseRules(filepath.Base(file), b)
	if err != nil {
		return nil, fault.New(fault.CodeOf(err), "%s%w", file, place{err})
	}
	return r, nil
}

// ParseRules reads rules from YAML; see docs/vex.md for the form.
func ParseRules(name string, b []byte) (*Rules, error) {
	if len(b) > maxRulesBytes {
		return nil, fault.New(fault.TooLarge, "a file of ignore rules has at most %d bytes", maxRulesBytes)
	}
	var doc struct {
		Ignore []yaml.Node `yaml:"ignore"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlError(err)
	}
	if len(doc.Ignore) > maxRules {
		return nil, fault.New(fault.TooLarge, "%d rules: the limit is %d", len(doc.Ignore), maxRules)
	}
	out := &Rules{name: name}
	for i := range doc.Ignore {
		r, err := parseRule(&doc.Ignore[i])
		if err != nil {
			return nil, err
		}
		out.rules = append(out.rules, r)
	}
	return out, nil
}

// yamlError takes the line out of an error of the YAML reader.
func yamlError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	line := 0
	if _, e := fmt.Sscanf(text, "line %d:", &line); e == nil {
		_, text, _ = strings.Cut(text, ": ")
		return &lineError{line, fault.New(fault.Invalid, "%s", text)}
	}
	return fault.New(fault.Invalid, "%s", text)
}

func parseRule(n *yaml.Node) (rule, error) {
	r := rule{line: n.Line}
	wrong := func(n *yaml.Node, format string, args ...any) (rule, error) {
		return rule{}, &lineError{n.Line, fault.New(fault.Invalid, format, args...)}
	}
	if n.Kind != yaml.MappingNode {
		return wrong(n, "a rule is a mapping")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if seen[k.Value] {
			return wrong(k, "%s stands twice", k.Value)
		}
		seen[k.Value] = true
		if k.Value == "id" && v.Kind == yaml.SequenceNode {
			for _, id := range v.Content {
				if id.Kind != yaml.ScalarNode || id.Value == "" {
					return wrong(id, "id: want an id")
				}
				r.ids = append(r.ids, id.Value)
			}
			continue
		}
		if v.Kind != yaml.ScalarNode || strings.TrimSpace(v.Value) == "" {
			return wrong(v, "%s: want a value", k.Value)
		}
		if len(v.Value) > maxTextBytes {
			return wrong(v, "%s: longer than %d bytes", k.Value, maxTextBytes)
		}
		switch k.Value {
		case "id":
			r.ids = []string{v.Value}
		case "package":
			if r.pkg = v.Value; strings.HasPrefix(v.Value, "pkg:") {
				u, err := parsePURL(v.Value)
				if err != nil {
					return wrong(v, "package: %v", err)
				}
				r.pkg, r.purl = "", &u
			}
		case "path":
			if _, err := path.Match(strings.ReplaceAll(v.Value, "**", "*"), ""); err != nil || len(v.Value) > maxPattern {
				return wrong(v, "path: %q is no pattern", v.Value)
			}
			r.path = v.Value
		case "fix_state":
			if !slices.Contains([]string{report.FixAvailable, report.FixNone, report.FixWont, report.FixDeferred, report.FixUnknown}, v.Value) {
				return wrong(v, "fix_state: there is no %q", v.Value)
			}
			r.fixState = v.Value
		case "until":
			t, err := time.Parse(time.DateOnly, v.Value)
			if err != nil {
				return wrong(v, "until: want a date like 2026-12-31")
			}
			r.until = t
		case "reason":
			r.reason = v.Value
		default:
			return wrong(k, "there is no %q; there are id, package, path, fix_state, until and reason", k.Value)
		}
	}
	switch {
	case r.reason == "":
		return wrong(n, "a rule needs a reason")
	case len(r.ids) == 0 && r.purl == nil && r.pkg == "" && r.path == "" && r.fixState == "":
		return wrong(n, "a rule needs a condition: id, package, path or fix_state")
	}
	return r, nil
}

// expired reports whether a rule no longer counts: its last day is over.
func (r *rule) expired(now time.Time) bool {
	return !r.until.IsZero() && !now.UTC().Before(r.until.AddDate(0, 0, 1))
}

// Expired says which rules no longer count, one text for each.
func (rs *Rules) Expired(now time.Time) []string {
	if rs == nil {
		return nil
	}
	var out []string
	for i := range rs.rules {
		if r := &rs.rules[i]; r.expired(now) {
			out = append(out, fmt.Sprintf("the ignore rule at %s:%d ended on %s", rs.name, r.line, r.until.Format(time.DateOnly)))
		}
	}
	return out
}

// judge is the word of the first rule that holds for f.
func (rs *Rules) judge(f *report.Finding, now time.Time) *report.Judgement {
	if rs == nil {
		return nil
	}
	for i := range rs.rules {
		r := &rs.rules[i]
		if r.expired(now) || !r.holds(f) {
			continue
		}
		j := &report.Judgement{By: report.JudgedByRule, Status: report.StatusIgnored, Statement: r.reason, Document: fmt.Sprintf("%s:%d", rs.name, r.line)}
		if !r.until.IsZero() {
			j.Until = r.until.Format(time.DateOnly)
		}
		return j
	}
	return nil
}

// holds reports whether every condition of the rule holds for f. Of a finding
// with several CVEs the rule has to name its id, or every CVE.
func (r *rule) holds(f *report.Finding) bool {
	if len(r.ids) > 0 {
		named := func(id string) bool {
			return slices.ContainsFunc(r.ids, func(want string) bool { return strings.EqualFold(want, id) })
		}
		all := len(f.CVEs) > 0 && !slices.ContainsFunc(f.CVEs, func(c string) bool { return !named(c) })
		if !named(f.ID) && !all && !(len(f.CVEs) <= 1 && slices.ContainsFunc(f.Aliases, named)) {
			return false
		}
	}
	switch {
	case r.purl != nil && !slices.ContainsFunc(candidates(f), r.purl.holds):
		return false
	case r.pkg != "" && r.pkg != f.Package.Name && r.pkg != f.Package.Source:
		return false
	case r.fixState != "" && r.fixState != f.FixState:
		return false
	}
	return r.path == "" || matchPath(strings.Split(strings.Trim(r.path, "/"), "/"), strings.Split(strings.Trim(f.Package.Path, "/"), "/"))
}

// matchPath compares a path part by part; "**" stands for any number of parts.
func matchPath(pattern, name []string) bool {
	// at holds the lengths of name that the pattern so far can have used.
	at := map[int]bool{0: true}
	for _, p := range pattern {
		next := map[int]bool{}
		for i := range at {
			if p == "**" {
				for k := i; k <= len(name); k++ {
					next[k] = true
				}
			} else if i < len(name) {
				if ok, err := path.Match(p, name[i]); ok && err == nil {
					next[i+1] = true
				}
			}
		}
		at = next
	}
	return at[len(name)]
}
