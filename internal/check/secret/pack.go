package secret

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"github.com/onceover/onceover/internal/check/text"
)

//go:embed rules.toml
var ownRules string

// A Pack is a file of rules of an operator: TOML as docs/secrets.md describes
// it. Name stands in errors, Text is the content.
type Pack struct {
	Name string
	Text []byte
}

const (
	maxPackBytes   = 1 << 20
	maxPackRules   = 2000
	maxKeywords    = 50 // of one rule
	minKeyword     = 3  // bytes; shorter ones would be everywhere
	maxKeyword     = 64
	maxPattern     = 4096 // bytes of a pattern
	maxInstruction = 5000 // of a compiled pattern
)

// A packFile is what a pack says.
type packFile struct {
	Rules []*rule `toml:"rules"`
}

// A rule is one kind of secret and how it is found: by exactly one of Token,
// Assign and Regex, around one of its keywords.
type rule struct {
	ID          string   `toml:"id"`
	Description string   `toml:"description"`
	Kind        Kind     `toml:"kind"`
	Severity    Severity `toml:"severity"`
	Keywords    []string `toml:"keywords"`
	// Token is matched from the keyword on.
	Token string `toml:"token"`
	// Assign is matched against the whole value of an assignment whose name
	// holds the keyword.
	Assign string `toml:"assign"`
	// Regex is matched anywhere in a window around the keyword.
	Regex string `toml:"regex"`
	// SecretGroup is the group that holds the secret: by default the first
	// that took part, or the whole match.
	SecretGroup int `toml:"secretGroup"`
	// Name is matched against the whole name of an assignment.
	Name string `toml:"name"`
	// With has to match in the window, too: the other half of a pair.
	With string `toml:"with"`
	// Path restricts the rule to paths that it matches.
	Path string `toml:"path"`
	// Entropy is the least entropy of the secret in bits per byte.
	Entropy float64 `toml:"entropy"`
	// Generic rules apply to files of configuration only, and not to the
	// files of packages.
	Generic bool `toml:"generic"`
	// Loose allows the match to be a part of a longer word.
	Loose bool `toml:"loose"`
	// Weak allows values that would be taken for words or placeholders.
	Weak  bool  `toml:"weak"`
	Allow allow `toml:"allow"`

	once                     sync.Once
	err                      error
	pattern, name, with, dir *regexp.Regexp
	allowed                  []*regexp.Regexp
	start                    prefix // of what Token matches
	rank                     int
	cost                     int // of a byte, in units of work
}

// An allow list says which values are no secrets.
type allow struct {
	Regexes   []string `toml:"regexes"`
	Stopwords []string `toml:"stopwords"`
}

// readPack checks the rules of a pack, and compiles them.
func readPack(name, text string) ([]*rule, error) {
	if len(text) > maxPackBytes {
		return nil, fmt.Errorf("%s: the file is longer than %d bytes", name, maxPackBytes)
	}
	var f packFile
	md, err := toml.Decode(text, &f)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("%s:%d: %s", name, pe.Position.Line, pe.Message)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if un := md.Undecoded(); len(un) > 0 {
		return nil, fmt.Errorf("%s:%d: unknown key %q", name, lineOf(text, -1, un[0][len(un[0])-1]), un[0].String())
	}
	if len(f.Rules) > maxPackRules {
		return nil, fmt.Errorf("%s: more than %d rules", name, maxPackRules)
	}
	seen := map[string]bool{}
	for i, r := range f.Rules {
		if seen[r.ID] {
			return nil, fmt.Errorf("%s:%d: a second rule %q", name, lineOf(text, i, "id"), r.ID)
		}
		seen[r.ID] = true
		field, err := r.check()
		if err == nil {
			if err = r.compile(); err != nil {
				var fe *fieldError
				errors.As(err, &fe)
				field = fe.field
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: rule %q: %w", name, lineOf(text, i, field), r.ID, err)
		}
	}
	return f.Rules, nil
}

// readOwn reads the rules of this package. They are written in the plainest
// TOML, one line for each key and literal strings throughout, and that is read
// here: every child process begins with it, and the whole language takes five
// times as long. A test holds both readings to be the same.
func readOwn(text string) ([]*rule, error) {
	var rules []*rule
	for n, line := range strings.Split(text, "\n") {
		key, v, _ := strings.Cut(line, " = ")
		if key == "[[rules]]" {
			rules = append(rules, &rule{})
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if err := rules[len(rules)-1].set(key, v); err != nil {
			return nil, fmt.Errorf("rules.toml:%d: %w", n+1, err)
		}
	}
	for _, r := range rules {
		if _, err := r.check(); err != nil {
			return nil, fmt.Errorf("rules.toml: rule %q: %w", r.ID, err)
		}
	}
	return rules, nil
}

// set reads one key of a rule.
func (r *rule) set(key, v string) (err error) {
	switch key {
	case "id":
		r.ID = unquote(v)
	case "description":
		r.Description = unquote(v)
	case "kind":
		r.Kind = Kind(unquote(v))
	case "severity":
		r.Severity = Severity(unquote(v))
	case "keywords":
		r.Keywords = list(v)
	case "token":
		r.Token = unquote(v)
	case "assign":
		r.Assign = unquote(v)
	case "regex":
		r.Regex = unquote(v)
	case "name":
		r.Name = unquote(v)
	case "with":
		r.With = unquote(v)
	case "path":
		r.Path = unquote(v)
	case "allow.regexes":
		r.Allow.Regexes = list(v)
	case "allow.stopwords":
		r.Allow.Stopwords = list(v)
	case "entropy":
		r.Entropy, err = strconv.ParseFloat(v, 64)
	case "generic":
		r.Generic = v == "true"
	case "loose":
		r.Loose = v == "true"
	case "weak":
		r.Weak = v == "true"
	default:
		err = fmt.Errorf("unknown key %q", key)
	}
	return err
}

// unquote takes a literal string out of one or three quotes.
func unquote(v string) string {
	for _, q := range []string{"'''", "'"} {
		if in, ok := strings.CutPrefix(v, q); ok {
			return strings.TrimSuffix(in, q)
		}
	}
	return v
}

// list reads an array of literal strings.
func list(v string) []string {
	v = strings.TrimSuffix(strings.TrimPrefix(v, "["), "]")
	words := strings.Split(v, ", ")
	for i := range words {
		words[i] = unquote(words[i])
	}
	return words
}

// lineOf is the line of a key of the n-th rule (from 0), or that of the rule;
// with n < 0 the first line in the file that has the key.
func lineOf(text string, n int, key string) int {
	rules, found, quote := -1, 1, ""
	for i, line := range strings.Split(text, "\n") {
		if quote != "" {
			if strings.Contains(line, quote) {
				quote = ""
			}
			continue
		}
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "[[rules]]") {
			rules++
			if rules == n {
				found = i + 1
			}
			continue
		}
		name, _, is := strings.Cut(trimmed, "=")
		if is && (n < 0 || rules == n) && strings.Trim(strings.TrimSpace(name), `"'`) == key {
			return i + 1
		}
		for _, q := range []string{`'''`, `"""`} {
			if strings.Count(line, q)%2 == 1 {
				quote = q
			}
		}
	}
	return found
}

// check returns the field that is wrong, and how.
func (r *rule) check() (string, error) {
	if r.ID == "" || len(r.ID) > 64 || strings.ContainsFunc(r.ID, func(c rune) bool { return c >= 0x80 || !isNameByte(byte(c)) }) {
		return "id", errors.New("id must be 1 to 64 letters, digits, dots, dashes and underscores")
	}
	if r.Description == "" || len(r.Description) > 128 {
		return "description", errors.New("description must be 1 to 128 bytes")
	}
	if r.Kind == "" {
		r.Kind = Token
	}
	switch r.Kind {
	case CloudKey, Token, PrivateKey, KeyStore, Password, Connection, Webhook:
	default:
		return "kind", fmt.Errorf("unknown kind %q", r.Kind)
	}
	if r.Severity == "" {
		r.Severity = High
	}
	switch r.Severity {
	case Critical, High, Medium, Low:
	default:
		return "severity", fmt.Errorf("unknown severity %q", r.Severity)
	}
	if len(r.Keywords) == 0 || len(r.Keywords) > maxKeywords {
		return "keywords", fmt.Errorf("a rule has 1 to %d keywords", maxKeywords)
	}
	for i, k := range r.Keywords {
		if len(k) < minKeyword || len(k) > maxKeyword {
			return "keywords", fmt.Errorf("keyword %q: a keyword has %d to %d bytes", k, minKeyword, maxKeyword)
		}
		b := []byte(k)
		for j := range b {
			b[j] = text.Lower(b[j])
		}
		r.Keywords[i] = string(b)
	}
	patterns := 0
	for _, p := range []string{r.Token, r.Assign, r.Regex} {
		if p != "" {
			patterns++
		}
	}
	if patterns != 1 {
		return "id", errors.New("a rule has exactly one of token, assign and regex")
	}
	if r.Entropy < 0 || r.Entropy > 8 {
		return "entropy", errors.New("entropy is 0 to 8 bits per byte")
	}
	switch {
	case r.Path != "":
		r.rank = rankParsed
	case r.Generic:
		r.rank = rankGeneric
	case r.Assign != "":
		r.rank = rankAssign
	case r.Regex != "":
		r.rank = rankRegex
	default:
		r.rank = rankToken
	}
	return "", nil
}

// Where two secrets share a byte, the one of the higher rank stays.
const (
	rankGeneric = iota
	rankAssign
	rankRegex
	rankToken
	rankParsed // a parser knew the file's layout
	rankKey    // a private key
)

// A fieldError is a pattern of a rule that does not compile.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// compile makes the patterns, the first time that it is called.
func (r *rule) compile() error {
	r.once.Do(func() { r.err = r.compileOnce() })
	return r.err
}

func (r *rule) compileOnce() error {
	for _, p := range []struct {
		field, text, before, after string
		to                         **regexp.Regexp
	}{
		{"token", r.Token, `^(?:`, `)`, &r.pattern},
		{"assign", r.Assign, `^(?:`, `)$`, &r.pattern},
		{"regex", r.Regex, "", "", &r.pattern},
		{"name", r.Name, "", "", &r.name},
		{"with", r.With, "", "", &r.with},
		{"path", r.Path, "", "", &r.dir},
	} {
		if p.text == "" {
			continue
		}
		re, steps, err := compilePattern(p.text, p.before, p.after)
		if err != nil {
			return &fieldError{p.field, err}
		}
		r.cost = max(r.cost, 1+steps/stepCost)
		*p.to = re
	}
	for _, text := range r.Allow.Regexes {
		re, _, err := compilePattern(text, "", "")
		if err != nil {
			return &fieldError{"allow.regexes", err}
		}
		r.allowed = append(r.allowed, re)
	}
	if r.Token != "" {
		tree, err := syntax.Parse(r.Token, syntax.Perl)
		if err != nil {
			return &fieldError{"token", err}
		}
		r.start = prefixOf(tree)
	}
	if r.SecretGroup < 0 || r.SecretGroup > r.pattern.NumSubexp() {
		return &fieldError{"secretGroup", fmt.Errorf("the pattern has %d groups", r.pattern.NumSubexp())}
	}
	return nil
}

// secret is the part of a match (indexes as of FindSubmatchIndex) that is the
// secret: the group that the rule names, the first group that took part, or
// all of it.
func (r *rule) secret(m []int) (from, to int) {
	if r.SecretGroup > 0 {
		return m[2*r.SecretGroup], m[2*r.SecretGroup+1]
	}
	for i := 2; i < len(m); i += 2 {
		if m[i] >= 0 {
			return m[i], m[i+1]
		}
	}
	return m[0], m[1]
}

// compilePattern refuses what would take more memory or time than a pattern
// for a secret needs. It also returns the number of instructions.
func compilePattern(text, before, after string) (*regexp.Regexp, int, error) {
	if len(text) > maxPattern {
		return nil, 0, fmt.Errorf("the pattern is longer than %d bytes", maxPattern)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, 0, err
	}
	if len(prog.Inst) > maxInstruction {
		return nil, 0, fmt.Errorf("the pattern compiles to %d instructions, more than %d", len(prog.Inst), maxInstruction)
	}
	re, err := regexp.Compile(before + text + after)
	return re, len(prog.Inst), err
}
