package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/package-url/packageurl-go"
	"go.yaml.in/yaml/v3"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

const (
	maxListBytes = 4 << 20
	maxRules     = 10_000
	// maxPatternBytes bounds a pattern, a package URL and a range.
	maxPatternBytes = 1024
	// maxTextBytes bounds an id and a reason.
	maxTextBytes = 4096
	// maxBounds bounds the comparisons of one range.
	maxBounds = 50
)

// A Policy is a deny list. A nil Policy denies nothing. It is safe for
// concurrent use.
type Policy struct {
	rules []*rule
	// byName are the rules that want one exact name; others are the rest.
	// Both keep the order of the list.
	byName map[string][]int
	others []int
	// purls says that a rule needs the package URL of packages.
	purls   bool
	version string
}

// A rule denies the packages that all its conditions hold for.
type rule struct {
	file string
	line int

	id       string
	reason   string
	severity string
	name     *regexp.Regexp
	exact    string
	types    []string
	purl     *packageurl.PackageURL
	purlName *regexp.Regexp
	versions [][]bound
	path     *regexp.Regexp
}

// A bound is one comparison of a range.
type bound struct{ op, version string }

// Load reads deny lists from files. A mistake in one is an error with file and
// line. No file is no policy: nil.
func Load(files ...string) (*Policy, error) {
	if len(files) == 0 {
		return nil, nil
	}
	p := &Policy{}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read deny list: %w", err)
		}
		b, err := io.ReadAll(io.LimitReader(f, maxListBytes+1))
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read deny list %s: %w", file, err)
		}
		if err := p.add(file, b); err != nil {
			return nil, err
		}
	}
	return p.finish(), nil
}

// Parse reads one deny list. The name stands in errors.
func Parse(name string, b []byte) (*Policy, error) {
	p := &Policy{}
	if err := p.add(name, b); err != nil {
		return nil, err
	}
	return p.finish(), nil
}

// Version is a hash of the rules in their order, part of the key of what is
// cached.
func (p *Policy) Version() string {
	if p == nil {
		return ""
	}
	return p.version
}

// Len is the number of rules.
func (p *Policy) Len() int {
	if p == nil {
		return 0
	}
	return len(p.rules)
}

func wrong(name string, line int, format string, args ...any) error {
	return fault.New(fault.Invalid, "%s:%d: %w", name, line, fmt.Errorf(format, args...))
}

func (p *Policy) add(name string, b []byte) error {
	if len(b) > maxListBytes {
		return fault.New(fault.TooLarge, "%s: a deny list has at most %d bytes", name, maxListBytes)
	}
	var doc struct {
		Deny []yaml.Node `yaml:"deny"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(b)) // JSON is YAML
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n  ")
		line := 1
		if _, e := fmt.Sscanf(text, "line %d:", &line); e == nil {
			_, text, _ = strings.Cut(text, ": ")
		}
		return wrong(name, line, "%s", text)
	}
	if len(p.rules)+len(doc.Deny) > maxRules {
		return fault.New(fault.TooLarge, "%s: more than %d rules", name, maxRules)
	}
	for i := range doc.Deny {
		r, err := parseRule(name, &doc.Deny[i])
		if err != nil {
			return err
		}
		p.rules = append(p.rules, r)
	}
	ids := map[string]*rule{}
	for _, r := range p.rules {
		if o := ids[r.id]; o != nil {
			return wrong(r.file, r.line, "the id %q is that of %s:%d", r.id, o.file, o.line)
		}
		ids[r.id] = r
	}
	return nil
}

// finish makes the indexes and the version.
func (p *Policy) finish() *Policy {
	p.byName = map[string][]int{}
	sum := sha256.New()
	for i, r := range p.rules {
		if r.exact != "" {
			p.byName[r.exact] = append(p.byName[r.exact], i)
		} else {
			p.others = append(p.others, i)
		}
		p.purls = p.purls || r.purl != nil
		fmt.Fprintf(sum, "%q %q %q %q %q %q %q %q %q\x00", r.id, r.reason, r.severity, r.exact, text(r.name), r.types, purlText(r.purl), r.versions, text(r.path))
	}
	p.version = engineVersion + "-" + hex.EncodeToString(sum.Sum(nil)[:8])
	return p
}

// engineVersion stands for the code: raise it when the same list and inventory
// would give another answer.
const engineVersion = "policy/1"

func text(re *regexp.Regexp) string {
	if re == nil {
		return ""
	}
	return re.String()
}

func purlText(u *packageurl.PackageURL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

var severities = []string{report.SeverityCritical, report.SeverityHigh, report.SeverityMedium, report.SeverityLow}

func parseRule(name string, n *yaml.Node) (*rule, error) {
	r := &rule{file: name, line: n.Line, severity: report.SeverityMedium}
	if n.Kind != yaml.MappingNode {
		return nil, wrong(name, n.Line, "a rule is a mapping")
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if seen[k.Value] != nil {
			return nil, wrong(name, k.Line, "%s stands twice", k.Value)
		}
		seen[k.Value] = v
		if err := r.set(k.Value, v); err != nil {
			return nil, wrong(name, v.Line, "%s: %w", k.Value, err)
		}
	}
	switch {
	case r.id == "":
		return nil, wrong(name, n.Line, "a rule needs an id")
	case r.reason == "":
		return nil, wrong(name, n.Line, "a rule needs a reason")
	case r.name == nil && r.exact == "" && r.purl == nil && r.path == nil:
		return nil, wrong(name, n.Line, "a rule needs a name, purl or path")
	case r.purl != nil && r.purl.Version != "" && len(r.versions) > 0:
		return nil, wrong(name, seen["versions"].Line, "versions: purl names a version already")
	}
	// A bound that the ecosystem cannot read would never decide anything.
	types := r.types
	if r.purl != nil {
		types = []string{r.purl.Type}
	}
	for _, t := range types {
		eco := version.Order(t)
		for _, all := range r.versions {
			for _, b := range all {
				if b.op == "=" || b.op == "!=" {
					continue
				}
				if eco == "" {
					return nil, wrong(name, seen["versions"].Line, "versions: there is no order of versions of type %q", t)
				}
				if _, err := version.Compare(eco, b.version, b.version); err != nil {
					return nil, wrong(name, seen["versions"].Line, "versions: %w", err)
				}
			}
		}
	}
	return r, nil
}

// set reads one condition.
func (r *rule) set(key string, v *yaml.Node) error {
	if key == "type" && v.Kind == yaml.SequenceNode {
		for _, t := range v.Content {
			if err := r.addType(t); err != nil {
				return err
			}
		}
		return nil
	}
	if v.Kind != yaml.ScalarNode || strings.TrimSpace(v.Value) == "" {
		return errors.New("want a value")
	}
	limit := maxPatternBytes
	if key == "id" || key == "reason" {
		limit = maxTextBytes
	}
	if len(v.Value) > limit {
		return fmt.Errorf("longer than %d bytes", limit)
	}
	switch key {
	case "id":
		r.id = v.Value
	case "reason":
		r.reason = v.Value
	case "severity":
		i := slices.IndexFunc(severities, func(s string) bool { return strings.EqualFold(s, v.Value) })
		if i < 0 {
			return fmt.Errorf("there is no %q; there are %s", v.Value, strings.Join(severities, ", "))
		}
		r.severity = severities[i]
	case "type":
		return r.addType(v)
	case "name":
		if strings.ContainsAny(v.Value, "*?") {
			r.name = glob(v.Value, false)
		} else {
			r.exact = v.Value
		}
	case "purl":
		return r.setPURL(v.Value)
	case "versions":
		var err error
		r.versions, err = parseRange(v.Value)
		return err
	case "path":
		if !strings.HasPrefix(v.Value, "/") && !strings.HasPrefix(v.Value, "*") {
			return errors.New("want an absolute path or a pattern that begins with **")
		}
		r.path = glob(v.Value, true)
	default:
		return errors.New("there is no such condition; there are id, reason, severity, type, name, purl, versions and path")
	}
	return nil
}

func (r *rule) addType(v *yaml.Node) error {
	if v.Kind != yaml.ScalarNode || v.Value == "" || strings.ToLower(v.Value) != v.Value {
		return errors.New("want the type of a package URL, in small letters")
	}
	r.types = append(r.types, v.Value)
	return nil
}

func (r *rule) setPURL(s string) error {
	u, err := packageurl.FromString(s)
	if err != nil {
		return fmt.Errorf("not a package URL: %w", err)
	}
	r.purl = &u
	if strings.ContainsAny(u.Name, "*?") {
		r.purlName = glob(u.Name, false)
	}
	return nil
}

// parseRange reads "< 2.17.1" or ">= 1.0, < 2.0 || = 3.1": commas join bounds
// that must all hold, "||" ranges of which one must.
func parseRange(s string) ([][]bound, error) {
	var out [][]bound
	n := 0
	for alternative := range strings.SplitSeq(s, "||") {
		var all []bound
		for part := range strings.SplitSeq(alternative, ",") {
			part = strings.TrimSpace(part)
			op := ""
			for _, o := range []string{"<=", ">=", "!=", "==", "<", ">", "="} {
				if strings.HasPrefix(part, o) {
					op = o
					break
				}
			}
			v := strings.TrimSpace(part[len(op):])
			switch {
			case op == "":
				return nil, fmt.Errorf("%q: want <, <=, >, >=, = or != before a version", part)
			case v == "" || strings.ContainsAny(v, " \t<>=|*"):
				return nil, fmt.Errorf("%q: want a version after %s", part, op)
			case len(v) > version.MaxBytes:
				return nil, version.ErrTooLong
			}
			if op == "==" {
				op = "="
			}
			if n++; n > maxBounds {
				return nil, fmt.Errorf("more than %d comparisons", maxBounds)
			}
			all = append(all, bound{op, v})
		}
		out = append(out, all)
	}
	return out, nil
}

// glob makes an expression of a pattern: "?" is one character, "*" any number.
// In a path neither matches "/", and "**" matches directories of any depth.
func glob(pattern string, inPath bool) *regexp.Regexp {
	star, one := ".*", "."
	if inPath {
		star, one = "[^/]*", "[^/]"
	}
	var b strings.Builder
	b.WriteString(`(?s)^`)
	for i := 0; i < len(pattern); {
		rest := pattern[i:]
		switch {
		case inPath && strings.HasPrefix(rest, "**/"):
			b.WriteString(`(?:.*/)?`)
			i += 3
		case strings.HasPrefix(rest, "**"):
			b.WriteString(`.*`)
			i += 2
		case rest[0] == '*':
			b.WriteString(star)
			i++
		case rest[0] == '?':
			b.WriteString(one)
			i++
		default:
			end := strings.IndexAny(rest, "*?")
			if end < 0 {
				end = len(rest)
			}
			b.WriteString(regexp.QuoteMeta(rest[:end]))
			i += end
		}
	}
	b.WriteString(`$`)
	return regexp.MustCompile(b.String()) // of a quoted text and the parts above
}
