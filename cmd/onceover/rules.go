package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onceover/onceover/internal/agent"
	"github.com/onceover/onceover/internal/check/malware"
	"github.com/onceover/onceover/internal/check/policy"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/scan"
	"github.com/onceover/onceover/internal/store"
)

// checkFlags say what agents look for. The server and the agent share them.
type checkFlags struct {
	Checks string `help:"What the agent looks for beside packages, separated by commas: secrets, malware, baseline, passwords; or none." default:"secrets,malware,baseline,passwords" placeholder:"NAME[,...]" env:"ONCEOVER_CHECKS"`
}

// checks are the names given by --checks.
func (f checkFlags) checks() ([]string, error) {
	if f.Checks == "none" {
		return nil, nil
	}
	var out []string
	for name := range strings.SplitSeq(f.Checks, ",") {
		name = strings.TrimSpace(name)
		if name == report.CheckPackages || !slices.Contains(report.Checks[:], name) {
			return nil, usagef("--checks: no such check: %q; there are %s, and none", name, strings.Join(report.Checks[1:], ", "))
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

const (
	// rulesEvery is how often the directory of rules is looked at. A change
	// is taken when it has stood still for that long.
	rulesEvery = 5 * time.Second
	// maxRuleFiles and maxRuleBytes bound the directory. Files from
	// linkRules on are linked and not copied.
	maxRuleFiles = 10_000
	maxRuleBytes = 8 << 30
	linkRules    = 64 << 20
)

// ruleFiles are the regular files below dir by their paths in it, and a hash of
// names, sizes and times.
func ruleFiles(dir string) (files []string, hash string, err error) {
	h := sha256.New()
	bytes := int64(0)
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p != dir && strings.HasPrefix(d.Name(), ".") { // an editor's own
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := os.Stat(p) // through links, as those of Kubernetes
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		files = append(files, rel)
		if bytes += info.Size(); len(files) > maxRuleFiles || bytes > maxRuleBytes {
			return fmt.Errorf("more than %d files or %d bytes of rules", maxRuleFiles, int64(maxRuleBytes))
		}
		fmt.Fprintf(h, "%s\x00%d %d\n", rel, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("read rules: %w", err)
	}
	return files, hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// copyRules copies the rules to a directory of their own below to, so that the
// processes that read layers all see the same rules while the operator changes
// them. It returns that directory.
func copyRules(dir, to string) (string, error) {
	files, hash, err := ruleFiles(dir)
	if err != nil {
		return "", err
	}
	out := filepath.Join(to, hash)
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	part := out + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", fmt.Errorf("copy rules: %w", err)
	}
	if err := os.MkdirAll(part, 0o700); err != nil {
		return "", fmt.Errorf("copy rules: %w", err)
	}
	for _, f := range files {
		if err := copyRule(filepath.Join(dir, f), filepath.Join(part, f)); err != nil {
			return "", fmt.Errorf("copy rules: %w", err)
		}
	}
	if err := os.Rename(part, out); err != nil {
		return "", fmt.Errorf("copy rules: %w", err)
	}
	return out, nil
}

func copyRule(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if info, err := in.Stat(); err == nil && info.Size() >= linkRules && os.Link(from, to) == nil {
		return nil
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// forgetRules removes the copies that are no longer in use.
func forgetRules(dir string, keep ...string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // there are none
	}
	for _, e := range entries {
		if p := filepath.Join(dir, e.Name()); !slices.Contains(keep, p) {
			_ = os.RemoveAll(p) // tried again the next time
		}
	}
}

// ruleWatch looks for changes of a directory of rules.
type ruleWatch struct {
	dir   string
	used  string // hash of the rules in use
	every time.Duration
	// reload take the rules in use. One that fails leaves the former.
	reload []func(ctx context.Context) error
}

// watchRules begins to look at a directory, "" for none. What is read after that
// is not older than what the watch takes to be in use.
func watchRules(dir string) (*ruleWatch, error) {
	w := &ruleWatch{dir: dir, every: rulesEvery}
	if dir == "" {
		return w, nil
	}
	var err error
	_, w.used, err = ruleFiles(dir)
	return w, err
}

// run looks until ctx is done.
func (w *ruleWatch) run(ctx context.Context) {
	if w.dir == "" {
		return
	}
	t := time.NewTicker(w.every)
	defer t.Stop()
	seen := w.used
	var err error
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		last := seen
		if _, seen, err = ruleFiles(w.dir); err != nil {
			slog.WarnContext(ctx, "rules cannot be read: the former stay in use", "error", err)
			seen = last
			continue
		}
		if seen == w.used || seen != last {
			continue
		}
		w.used = seen
		for _, reload := range w.reload {
			if err := reload(ctx); err != nil {
				slog.ErrorContext(ctx, "rules not taken: the former stay in use", "error", err)
			}
		}
	}
}

// clamdEvery is how often the ClamAV daemon is asked whether it has other
// signatures.
const clamdEvery = 10 * time.Minute

// followClamd makes the scanner anew when the ClamAV daemon has other signatures,
// until ctx is done: by them the keys of what was looked at change.
func (s *scanners) followClamd(ctx context.Context, every time.Duration) {
	s.mu.Lock()
	socket := s.setup.Clamd
	s.mu.Unlock()
	if socket == "" || !slices.Contains(s.checks, report.CheckMalware) {
		return
	}
	used, _ := malware.ClamdVersion(socket) // "" is another than any
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now, err := malware.ClamdVersion(socket)
		if err == nil && now != used {
			err = s.take(ctx)
		}
		if err != nil {
			slog.WarnContext(ctx, "the ClamAV daemon does not answer: files that it should look at are skipped until it does", "error", err)
			continue
		}
		used = now
	}
}

// scanners make the scanner of an agent, and another one when the rules change.
type scanners struct {
	config scan.Config // without checks
	checks []string
	// rules is the operator's directory, "" for none; copies is where it is
	// copied to.
	rules, copies string

	mu      sync.Mutex
	setup   checkSetup
	version string // of setup.Words
	current atomic.Pointer[scan.Scanner]
}

// take makes the scanner anew.
func (s *scanners) take(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeLocked(ctx)
}

func (s *scanners) takeLocked(ctx context.Context) error {
	setup, before := s.setup, s.setup.Rules
	if s.rules != "" {
		dir, err := copyRules(s.rules, s.copies)
		if err != nil {
			return err
		}
		setup.Rules = dir
	}
	sets, raw, err := checkSets(setup, s.checks...)
	if err != nil {
		return err
	}
	cfg := s.config
	cfg.Checks, cfg.Setup = sets, raw
	next := scan.New(cfg)
	old := s.current.Swap(next)
	s.setup = setup
	// Layers that are being read use the copy before; earlier ones nobody.
	forgetRules(s.copies, setup.Rules, before)
	if old != nil && old.Analyzers() != next.Analyzers() {
		slog.InfoContext(ctx, "rules taken: what they concern is read again with the next scans", "analyzers", next.Analyzers())
	}
	return nil
}

func (s *scanners) get() agent.LayerScanner { return s.current.Load() }

// wordsVersion and words are those of agent.Config.
func (s *scanners) wordsVersion() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

func (s *scanners) words(version string, words []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.setup.Words
	s.setup.Words = words
	if err := s.takeLocked(context.Background()); err != nil {
		s.setup.Words = before
		slog.Error("words not taken: the former stay in use", "error", err)
		return
	}
	s.version = version
}

// takeServerRules takes those rules of the operator by which the server judges.
func takeServerRules(st *store.Store, dir string) error {
	set, err := baselineRules(dir)
	if err != nil {
		return err
	}
	denied, err := denyLists(dir)
	if err != nil {
		return err
	}
	secrets, err := secretEngine(dir)
	if err != nil {
		return err
	}
	st.SetSecretRules(secrets)
	st.SetBaselineRules(set)
	st.SetPolicy(denied)
	return nil
}

// denyLists are those of the directory of rules and of further files.
func denyLists(rules string, files ...string) (*policy.Policy, error) {
	lists, err := rulesIn(rules, "policy", ".yaml", ".yml", ".json")
	if err != nil {
		return nil, err
	}
	return policy.Load(append(lists, files...)...)
}
