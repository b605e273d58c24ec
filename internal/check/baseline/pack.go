package baseline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/onceover/onceover/internal/fault"
)

// Limits of rule packs.
const (
	maxPackBytes  = 1 << 20
	maxPackFiles  = 256
	maxPackDepth  = 12
	maxRules      = 10_000
	maxTextBytes  = 8 << 10
	maxListItems  = 64
	maxCases      = 32
	maxRefusals   = 20
	maxNameLength = 256
)

func readPackFile(pack fs.FS, name string) ([]byte, error) {
	f, err := pack.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read rule pack: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPackBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read rule pack %s: %w", name, err)
	}
	if len(b) > maxPackBytes {
		return nil, fault.New(fault.TooLarge, "rule pack %s: more than %d bytes", name, maxPackBytes)
	}
	return b, nil
}

// A packReader reads the YAML of a pack. It goes through the nodes itself, so
// that every refusal has its line and no alias is ever followed.
type packReader struct {
	set     *RuleSet
	ids     map[string]*Rule
	file    string
	refused []error
}

func (p *packReader) refuse(line int, format string, args ...any) {
	if len(p.refused) < maxRefusals {
		p.refused = append(p.refused, fmt.Errorf("%s:%d: %w", p.file, line, fmt.Errorf(format, args...)))
	}
}

func (p *packReader) read(file string, b []byte) {
	p.file = file
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return
	} else if err != nil {
		line, text := yamlError(err)
		p.refuse(line, "%s", text)
		return
	}
	if n := forbidden(&doc, 0); n != nil {
		p.refuse(n.Line, "aliases, anchors and more than %d levels are not allowed", maxPackDepth)
		return
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		p.refuse(doc.Line, "more than one document")
		return
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		p.refuse(1, "want a mapping with rules")
		return
	}
	p.mapping(doc.Content[0], func(k string, v *yaml.Node) bool {
		switch k {
		case "rules":
			p.each(v, p.rule)
		case "baselines":
			p.each(v, p.baseline)
		default:
			return false
		}
		return true
	})
}

// forbidden finds a node that makes a document larger than it looks.
func forbidden(n *yaml.Node, depth int) *yaml.Node {
	if depth > maxPackDepth || n.Kind == yaml.AliasNode || n.Anchor != "" {
		return n
	}
	for _, c := range n.Content {
		if bad := forbidden(c, depth+1); bad != nil {
			return bad
		}
	}
	return nil
}

// yamlError takes the line out of an error of the YAML reader.
func yamlError(err error) (int, string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if _, e := fmt.Sscanf(text, "line %d:", &line); e == nil {
		_, text, _ = strings.Cut(text, ": ")
	}
	return line, text
}

// mapping calls f for each key; f says whether it knows it.
func (p *packReader) mapping(n *yaml.Node, f func(string, *yaml.Node) bool) {
	if n.Kind != yaml.MappingNode {
		p.refuse(n.Line, "want a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case seen[k.Value]:
			p.refuse(k.Line, "%s stands twice", clip(k.Value))
		case !f(k.Value, v):
			p.refuse(k.Line, "unknown field %q", clip(k.Value))
		}
		seen[k.Value] = true
	}
}

func (p *packReader) each(n *yaml.Node, f func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		p.refuse(n.Line, "want a list")
		return
	}
	for _, c := range n.Content {
		f(c)
	}
}

func (p *packReader) text(field string, n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || strings.TrimSpace(n.Value) == "" {
		p.refuse(n.Line, "%s: want text", field)
		return ""
	}
	if len(n.Value) > maxTextBytes {
		p.refuse(n.Line, "%s: more than %d bytes", field, maxTextBytes)
		return ""
	}
	return strings.TrimSpace(n.Value)
}

func (p *packReader) list(field string, n *yaml.Node) []string {
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxListItems {
		p.refuse(n.Line, "%s: want a list of at most %d", field, maxListItems)
		return nil
	}
	var out []string
	for _, c := range n.Content {
		out = append(out, p.text(field, c))
	}
	return out
}

func (p *packReader) expression(field string, n *yaml.Node) *expression {
	text := p.text(field, n)
	if text == "" {
		return nil
	}
	line := n.Line
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		line++
	}
	return &expression{text, line}
}

func (p *packReader) baseline(n *yaml.Node) {
	name, description := "", ""
	p.mapping(n, func(k string, v *yaml.Node) bool {
		switch k {
		case "check_name":
			name = p.text(k, v)
		case "description":
			description = p.text(k, v)
		default:
			return false
		}
		return true
	})
	if _, ok := p.set.baselines[name]; ok {
		p.refuse(n.Line, "baseline %q is described already", name)
		return
	}
	if name == "" || description == "" {
		p.refuse(n.Line, "a baseline has check_name and description")
		return
	}
	p.set.baselines[name] = description
}

// describe refuses rules of a baseline that nobody described.
func (p *packReader) describe() {
	for _, r := range p.set.rules {
		if _, ok := p.set.baselines[r.CheckName]; !ok {
			p.file = r.File
			p.refuse(r.Line, "check_name %q: no baseline of that name is described", clip(r.CheckName))
		}
	}
}

func (p *packReader) rule(n *yaml.Node) {
	before := len(p.refused)
	r := &Rule{File: p.file, Line: n.Line}
	var c ruleCase
	own := false
	p.mapping(n, func(k string, v *yaml.Node) bool {
		switch k {
		case "id":
			r.ID = p.text(k, v)
		case "name":
			r.Name = p.text(k, v)
		case "check_name":
			r.CheckName = p.text(k, v)
		case "families":
			r.Families = p.list(k, v)
		case "standards":
			r.Standards = p.list(k, v)
		case "severity":
			r.Severity = p.text(k, v)
		case "description":
			r.Description = p.text(k, v)
		case "audit":
			r.Audit = p.text(k, v)
		case "remediation":
			r.Remediation = p.text(k, v)
		case "reference":
			r.Reference = p.text(k, v)
		case "paths":
			r.Paths = p.list(k, v)
		case "optional":
			r.optional = p.list(k, v)
		case "when":
			r.when = p.expression(k, v)
		case "cases":
			p.each(v, func(n *yaml.Node) {
				var c ruleCase
				p.mapping(n, func(k string, v *yaml.Node) bool { return p.caseField(&c, k, v) })
				p.addCase(r, c, n.Line)
			})
		default:
			own = true
			return p.caseField(&c, k, v)
		}
		return true
	})
	if own {
		p.addCase(r, c, n.Line)
	}
	if len(p.refused) == before {
		p.check(r)
	}
	if len(p.refused) > before {
		return
	}
	if len(p.set.rules) == maxRules {
		p.refuse(n.Line, "more than %d rules", maxRules)
		return
	}
	p.ids[r.ID] = r
	p.set.rules = append(p.set.rules, r)
}

func (p *packReader) caseField(c *ruleCase, k string, v *yaml.Node) bool {
	switch k {
	case "check":
		c.check = p.text(k, v)
	case "wanted":
		c.wanted = p.text(k, v)
	case "found", "offenders":
		if c.found != nil {
			p.refuse(v.Line, "found and offenders exclude each other")
		}
		c.found, c.offenders = p.expression(k, v), k == "offenders"
	case "pass":
		c.pass = p.expression(k, v)
	default:
		return false
	}
	return true
}

func (p *packReader) addCase(r *Rule, c ruleCase, line int) {
	switch {
	case c.wanted == "":
		p.refuse(line, "wanted is missing")
	case c.offenders && c.pass != nil:
		p.refuse(line, "offenders and pass exclude each other")
	case !c.offenders && c.pass == nil:
		p.refuse(line, "want pass, or offenders")
	case len(r.cases) == maxCases:
		p.refuse(line, "more than %d cases", maxCases)
	default:
		r.cases = append(r.cases, c)
	}
}

// check refuses a rule that says too little or says what cannot be.
func (p *packReader) check(r *Rule) {
	for _, f := range []struct{ name, value string }{
		{"id", r.ID}, {"name", r.Name}, {"check_name", r.CheckName}, {"severity", r.Severity}, {"description", r.Description},
		{"audit", r.Audit}, {"remediation", r.Remediation}, {"reference", r.Reference},
	} {
		if f.value == "" {
			p.refuse(r.Line, "%s is missing", f.name)
		}
	}
	if other, ok := p.ids[r.ID]; ok {
		p.refuse(r.Line, "the id %q is that of the rule at %s:%d", r.ID, other.File, other.Line)
	}
	if len(r.ID) > 128 || strings.Trim(r.ID, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		p.refuse(r.Line, "id %q: want at most 128 letters, digits, and - _ .", clip(r.ID))
	}
	if len(r.CheckName) > maxNameLength || strings.ContainsAny(r.CheckName, "/?#%") {
		p.refuse(r.Line, "check_name %q: want at most %d bytes without / ? # %%", clip(r.CheckName), maxNameLength)
	}
	switch r.Severity {
	case SeverityHigh, SeverityMedium, SeverityLow:
	default:
		p.refuse(r.Line, "severity %q: want High, Medium or Low", clip(r.Severity))
	}
	if len(r.Standards) == 0 {
		r.Standards = []string{CNStandard, HWStandard}
	}
	for i, s := range r.Standards {
		if (s != CNStandard && s != HWStandard) || slices.Contains(r.Standards[:i], s) {
			p.refuse(r.Line, "standards: %q: want %s, %s", clip(s), CNStandard, HWStandard)
		}
	}
	for _, f := range r.Families {
		if !slices.Contains(families, f) {
			p.refuse(r.Line, "families: %q: want some of %s", clip(f), strings.Join(families, ", "))
		}
	}
	for _, pattern := range r.Paths {
		if !watchedPattern(pattern) {
			p.refuse(r.Line, "paths: scans keep nothing of %q", clip(pattern))
		}
	}
	if len(r.cases) == 0 && len(p.refused) == 0 {
		p.refuse(r.Line, "the rule checks nothing")
	}
}

// watchedPattern reports whether scans keep facts of the files that fit.
func watchedPattern(pattern string) bool {
	if !strings.HasPrefix(pattern, "/") || path.Clean(pattern) != pattern {
		return false
	}
	if _, err := path.Match(pattern, "/"); err != nil {
		return false
	}
	return kindOf(pattern) != kindNone
}
