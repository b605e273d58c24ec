package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/check/password"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/scan"
)

// baselineRules are the rules of baselines with those of the operator, which are
// YAML files in the folder "baseline" of the directory; "" for none.
func baselineRules(rules string) (*baseline.RuleSet, error) {
	set, err := baseline.Builtin()
	if err != nil || rules == "" {
		return set, err
	}
	dir := filepath.Join(rules, "baseline")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return set, nil
	}
	if set, err = set.With(os.DirFS(dir)); err != nil {
		return nil, fmt.Errorf("read rules of baselines in %s:\n%w", dir, err)
	}
	return set, nil
}

// wordList are the words that are guessed as passwords: ours, those of the file
// words.txt of the operator's directory, one on a line, and those of the setup.
func (s checkSetup) wordList() (*password.Words, error) {
	own := s.Words
	if s.Rules != "" {
		file := filepath.Join(s.Rules, "words.txt")
		b, err := readRules(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(b))
		for n := 1; lines.Scan(); n++ {
			word := lines.Text()
			if word == "" {
				continue
			}
			if _, err := password.NewWords([]string{word}); err != nil {
				// The error speaks of the first word; it is the one of line n.
				return nil, fmt.Errorf("%s:%d: not a word of at most %d bytes of UTF-8", ruleName(s.Rules, file), n, password.MaxWordBytes)
			}
			own = append(own[:len(own):len(own)], word)
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read rules: %s: %w", ruleName(s.Rules, file), err)
		}
	}
	w, err := password.NewWords(own)
	if err != nil {
		return nil, fmt.Errorf("read words: %w", err)
	}
	return w, nil
}

// baseline asks the rules of baselines.
func (s *scanRun) baseline(res *scan.Result) (*export.Baseline, error) {
	im, err := baseline.ImageOf(res.Inventory, res.RawConfig)
	if err != nil {
		return nil, err
	}
	out := &export.Baseline{}
	at := map[string]int{}
	for _, r := range baseline.Evaluate(s.rules, *im) {
		if i, ok := at[r.RuleID]; ok {
			// The same rule in another standard.
			out.Rules[i].Standards = append(out.Rules[i].Standards, r.Standard)
			continue
		}
		at[r.RuleID] = len(out.Rules)
		out.Rules = append(out.Rules, export.BaselineRule{
			Rule: r.RuleID, Name: r.Name, Check: r.CheckName, Standards: []string{r.Standard}, Severity: report.SeverityOf(r.Severity),
			Status: string(r.Status), Reason: r.Reason, Cases: cases(r.Cases),
			Description: r.Description, Audit: r.Audit, Remediation: r.Remediation, Reference: r.Reference,
		})
	}
	return out, nil
}

func cases(list []baseline.Case) []export.BaselineCase {
	out := make([]export.BaselineCase, len(list))
	for i, c := range list {
		out[i] = export.BaselineCase{Check: c.Description, Found: c.Found, Wanted: c.Wanted, Pass: c.Pass}
	}
	return out
}

// passwords are the accounts with what was found out about them, and what new
// passwords must be like.
func passwords(res *scan.Result) (*export.Passwords, error) {
	accounts, unverified, err := password.Results(res.Inventory)
	if err != nil {
		return nil, err
	}
	out := &export.Passwords{Unverified: unverified}
	for _, a := range accounts {
		out.Accounts = append(out.Accounts, export.Account{
			User: a.User, Service: a.Service, Path: a.Path, Line: a.Line, Layer: a.Layer, Kind: a.Kind, Login: a.Login, Changed: a.Changed,
			Status: a.Status, Rule: a.Rule, Masked: a.Masked, Reason: a.Reason, Tried: a.Tried, Candidates: a.Candidates,
			Severity: a.Severity(), Suggestion: a.Suggestion,
		})
	}
	c, ok, err := password.ComplexityOf(res.Inventory)
	if err != nil || !ok {
		return out, err
	}
	out.Complexity = &export.Complexity{
		MinLength: c.MinLength, Length: c.Length, Upper: c.Upper, Lower: c.Lower, Digit: c.Digit, Special: c.Special,
		Source: c.Source, Path: c.Path, Layer: c.Layer, Suggestion: c.Suggestion,
	}
	return out, nil
}
