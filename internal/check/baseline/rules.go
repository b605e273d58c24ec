package baseline

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/onceover/onceover/internal/fault"
)

// CheckNameOS stands for the baseline of the image's own distribution: its
// rules appear as "Debian 12", "CentOS 7" …
const CheckNameOS = "OS"

// Standards, as the results name them: the Chinese classified protection of
// cybersecurity, and practice of cloud security.
const (
	CNStandard = "cn_standard"
	HWStandard = "hw_standard"
)

// Severities of rules; a baseline without a failed rule is SeveritySecurity.
const (
	SeverityHigh     = "High"
	SeverityMedium   = "Medium"
	SeverityLow      = "Low"
	SeveritySecurity = "Security"
)

//go:embed rules/*.yaml
var embedded embed.FS

// A Rule says what is checked and why; see docs/baseline.md for its form.
type Rule struct {
	ID   string
	Name string
	// CheckName is the baseline that the rule belongs to, or CheckNameOS.
	CheckName string
	// Families are the distributions that it concerns; all if empty.
	Families []string
	// Standards are both unless the rule says one.
	Standards []string
	Severity  string
	// Description says why it matters, Audit how a person would look,
	// Remediation what to do, Reference what else says so.
	Description string
	Audit       string
	Remediation string
	Reference   string
	// Paths are patterns of files that the rule checks one by one.
	Paths []string
	// File and Line are where it stands.
	File string
	Line int

	optional []string
	when     *expression
	cases    []ruleCase

	once     sync.Once
	compiled *compiledRule
	err      error
}

// A ruleCase is one thing that a rule looks at.
type ruleCase struct {
	check  string
	wanted string
	// found gives the value that is there. It is a list of what offends if
	// offenders is true, and pass then is "nothing does".
	found     *expression
	offenders bool
	pass      *expression
}

// An expression is CEL, and the line that its first character stands on.
type expression struct {
	text string
	line int
}

// A RuleSet is an immutable list of rules. It is safe for concurrent use.
type RuleSet struct {
	rules     []*Rule // by ID
	baselines map[string]string
	version   string
	env       func() (*environment, error)
}

// engineVersion is part of the version of every set: it changes when the same
// rules would judge otherwise.
const engineVersion = "baseline-engine/1"

// Builtin returns the rules that the program brings. They are read here and
// compiled when they are first asked.
func Builtin() (*RuleSet, error) {
	sub, err := fs.Sub(embedded, "rules")
	if err != nil {
		return nil, err
	}
	return load(nil, sub)
}

// With returns a new set that holds the rules of s and those of the *.yaml and
// *.yml files of pack. Every rule of the pack is compiled. Any that is wrong
// refuses the pack: the error has a line "file:line: what" for each.
func (s *RuleSet) With(pack fs.FS) (*RuleSet, error) {
	out, err := load(s, pack)
	if err != nil {
		return nil, err
	}
	var refused []error
	for _, r := range out.rules {
		if slices.Contains(s.rules, r) {
			continue // compiled already, or ours
		}
		if err := r.compile(out); err != nil && len(refused) < maxRefusals {
			refused = append(refused, err)
		}
	}
	if len(refused) > 0 {
		return nil, fault.New(fault.Invalid, "%w", errors.Join(refused...))
	}
	return out, nil
}

// Version is a hash of the rules and of the engine's version. It is part of
// cache keys.
func (s *RuleSet) Version() string { return s.version }

// Len is the number of rules.
func (s *RuleSet) Len() int { return len(s.rules) }

// Rules are the rules by ID. The caller must not change them.
func (s *RuleSet) Rules() []*Rule { return s.rules }

// Rule is the rule with an ID, or nil.
func (s *RuleSet) Rule(id string) *Rule {
	i, ok := slices.BinarySearchFunc(s.rules, id, func(r *Rule, id string) int { return cmp.Compare(r.ID, id) })
	if !ok {
		return nil
	}
	return s.rules[i]
}

// Describe says what a baseline is about.
func (s *RuleSet) Describe(checkName string) string {
	if d, ok := s.baselines[checkName]; ok {
		return d
	}
	return strings.ReplaceAll(s.baselines[CheckNameOS], "{name}", checkName)
}

// load reads the files of a pack on top of a base, which may be nil.
func load(base *RuleSet, pack fs.FS) (*RuleSet, error) {
	out := &RuleSet{baselines: map[string]string{}, env: sync.OnceValues(newEnvironment)}
	hash := sha256.New()
	fmt.Fprintln(hash, engineVersion)
	if base != nil {
		out.rules = slices.Clone(base.rules)
		out.env = base.env
		for k, v := range base.baselines {
			out.baselines[k] = v
		}
		fmt.Fprintln(hash, base.version)
	}
	entries, err := fs.ReadDir(pack, ".")
	if err != nil {
		return nil, fmt.Errorf("read rule pack: %w", err)
	}
	p := packReader{set: out, ids: map[string]*Rule{}}
	for _, r := range out.rules {
		p.ids[r.ID] = r
	}
	files := 0
	for _, e := range entries {
		if ext := path.Ext(e.Name()); e.IsDir() || (ext != ".yaml" && ext != ".yml") {
			continue
		}
		if files++; files > maxPackFiles {
			return nil, fault.New(fault.TooLarge, "rule pack: more than %d files", maxPackFiles)
		}
		b, err := readPackFile(pack, e.Name())
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(hash, "%s %d\n", e.Name(), len(b))
		hash.Write(b)
		p.read(e.Name(), b)
	}
	p.describe()
	if len(p.refused) > 0 {
		return nil, fault.New(fault.Invalid, "%w", errors.Join(p.refused...))
	}
	slices.SortFunc(out.rules, func(a, b *Rule) int { return cmp.Compare(a.ID, b.ID) })
	out.version = hex.EncodeToString(hash.Sum(nil)[:8])
	return out, nil
}
