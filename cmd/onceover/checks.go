package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/check/malware"
	"github.com/onceover/onceover/internal/check/password"
	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/scan"
)

// checkSetup is what the sets of analysers are made from, beside what is built
// in. The children that read layers get it too: scan.Config.Setup.
type checkSetup struct {
	// Rules is the operator's directory of rules (ruleFlags), absolute; "" for
	// none.
	Rules string `json:"rules,omitempty"`
	// Clamd is the socket of a ClamAV daemon, "" for none. A child does not
	// reach it: see attach.
	Clamd string `json:"clamd,omitempty"`
	// ClamdVersion is what the daemon calls itself and its signatures, by which
	// parent and child have the same key. Set by checkSets.
	ClamdVersion string `json:"clamd_version,omitempty"`

	// Words are the operator's weak passwords, beside ours.
	Words []string `json:"words,omitempty"`

	child bool // in the child that reads a layer
}

// ruleFlags say what files are looked at for beside what is built in.
type ruleFlags struct {
	Rules string `help:"Directory with rules of your own, beside those that are built in (docs/rules.md)." placeholder:"DIR" type:"existingdir" env:"ONCEOVER_RULES"`
	Clamd string `help:"Have the ClamAV daemon at this Unix socket look for malware too. Every file is read then." placeholder:"SOCKET" type:"path" env:"ONCEOVER_CLAMD"`
}

func (f ruleFlags) setup() checkSetup { return checkSetup{Rules: f.Rules, Clamd: f.Clamd} }

// attach gives the children that read layers the way to the ClamAV daemon, if
// there is one and malware is looked for. It is called before scan.New; iso may be
// nil.
func (s checkSetup) attach(iso *scan.Isolation, checks ...string) {
	if iso == nil || s.Clamd == "" || !slices.Contains(checks, report.CheckMalware) {
		return
	}
	iso.Attach = func(ctx context.Context) (*os.File, func(), error) { return malware.LinkClamd(ctx, s.Clamd) }
}

// makers make the set of each check. Only those that are asked for are made:
// rules cost something to read.
var makers = map[string]func(checkSetup) (*analyze.Set, error){
	report.CheckSecrets: func(s checkSetup) (*analyze.Set, error) {
		e, err := secretEngine(s.Rules)
		if err != nil {
			return nil, err
		}
		return analyze.NewSet(report.CheckSecrets, secret.NewAnalyzer(e)), nil
	},
	report.CheckBaseline: func(checkSetup) (*analyze.Set, error) {
		return analyze.NewSet(report.CheckBaseline, baseline.NewAnalyzer(), password.NewRulesAnalyzer()), nil
	},
	report.CheckPasswords: func(s checkSetup) (*analyze.Set, error) {
		words, err := s.wordList()
		if err != nil {
			return nil, err
		}
		return analyze.NewSet(report.CheckPasswords, password.NewAnalyzer(words)), nil
	},
	report.CheckMalware: func(s checkSetup) (*analyze.Set, error) {
		e, err := s.malware()
		if err != nil {
			return nil, err
		}
		return analyze.NewSet(report.CheckMalware, malware.NewAnalyzer(e)), nil
	},
}

// malware makes the engine for malware, which stays open.
func (s checkSetup) malware() (*malware.Engine, error) {
	cfg := malware.Config{ClamdVersion: s.ClamdVersion}
	var err1, err2, err3 error
	cfg.Rules, err1 = rulesIn(s.Rules, "malware", ".yaml", ".yml")
	cfg.Hashes, err2 = rulesIn(s.Rules, "hashes", ".hashes")
	cfg.YARA, err3 = rulesIn(s.Rules, "yara", ".yar", ".yara")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	switch {
	case s.Clamd == "":
	case s.child:
		cfg.ClamdLink = os.NewFile(scan.FdAttached, "clamd")
	default:
		cfg.Clamd = s.Clamd
	}
	e, err := malware.New(cfg)
	if err != nil || s.child {
		return e, err
	}
	for _, q := range e.Quarantined() {
		slog.Warn("a file of YARA rules is left out", "file", q.File, "reason", q.Reason)
	}
	return e, nil
}

// packageSet looks for packages, and for the digests of files if they are
// wanted.
func packageSet(files bool) *analyze.Set {
	if files {
		return all.Set().WithFiles()
	}
	return all.Set()
}

// checkSets are the sets of the checks named, and their setup for children.
func checkSets(s checkSetup, checks ...string) (sets []*analyze.Set, setup json.RawMessage, err error) {
	if s.Clamd != "" && slices.Contains(checks, report.CheckMalware) {
		if s.ClamdVersion, err = malware.ClamdVersion(s.Clamd); err != nil {
			return nil, nil, err
		}
	}
	for _, check := range checks {
		set, err := makers[check](s)
		if err != nil {
			return nil, nil, err
		}
		sets = append(sets, set)
	}
	setup, err = json.Marshal(s)
	return sets, setup, err
}

// makeSet is the scan.Maker of this program.
func makeSet(key string, setup json.RawMessage) (*analyze.Set, error) {
	check := report.CheckOf(key)
	if check == report.CheckPackages {
		set := packageSet(false)
		if set.Key() != key {
			set = packageSet(true)
		}
		return set, nil
	}
	maker := makers[check]
	if maker == nil {
		return nil, fmt.Errorf("no analysers have the key %s", key)
	}
	var s checkSetup
	if err := json.Unmarshal(setup, &s); err != nil {
		return nil, fmt.Errorf("read setup of analysers: %w", err)
	}
	s.child = true
	return maker(s)
}

// secretEngine is the engine for secrets with the rules of the operator, which
// are TOML files in the folder "secrets" of the directory; "" for none.
func secretEngine(rules string) (*secret.Engine, error) {
	files, err := rulesIn(rules, "secrets", ".toml")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return secret.Builtin()
	}
	packs := make([]secret.Pack, len(files))
	for i, f := range files {
		b, err := readRules(f)
		if err != nil {
			return nil, err
		}
		packs[i] = secret.Pack{Name: ruleName(rules, f), Text: b}
	}
	return secret.New(packs...)
}

// rulesIn are the files with one of some endings in a folder of the directory of
// rules, in order. The directory may be "", and need not have the folder.
func rulesIn(rules, folder string, endings ...string) ([]string, error) {
	if rules == "" {
		return nil, nil
	}
	dir := filepath.Join(rules, folder)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && slices.Contains(endings, filepath.Ext(e.Name())) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

// maxRules is the size of one file of rules that is read as text.
const maxRules = 4 << 20

func readRules(file string) ([]byte, error) {
	b, err := readLimited(file, maxRules)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return b, nil
}

// ruleName is how errors name a file of rules: by its place in the directory,
// which may be a copy.
func ruleName(rules, file string) string {
	if rel, err := filepath.Rel(rules, file); err == nil {
		return rel
	}
	return file
}
