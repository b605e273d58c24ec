package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/scan"
)

const ownRule = `[[rules]]
id = "own-token"
description = "Token of ours"
kind = "token"
severity = "high"
keywords = ["owntoken_"]
token = 'owntoken_[a-z0-9]{20}'
`

func writeRule(t *testing.T, dir, name, text string) {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Rules that change make another scanner; rules that are wrong leave the former,
// with an error that names file and line.
func TestRulesAreTakenAnew(t *testing.T) {
	dir, copies := t.TempDir(), t.TempDir()
	s := &scanners{config: scan.Config{Set: packageSet(false)}, checks: []string{report.CheckSecrets}, rules: dir, copies: copies}
	if err := s.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := s.get().Analyzers()
	writeRule(t, dir, "secrets/own.toml", ownRule)
	writeRule(t, dir, "secrets/.own.toml.swp", "not a rule")
	if err := s.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := s.get().Analyzers()
	if report.KeyFor(first, report.CheckSecrets) == report.KeyFor(second, report.CheckSecrets) {
		t.Error("the key does not change with the rules")
	}
	if report.KeyFor(first, report.CheckPackages) != report.KeyFor(second, report.CheckPackages) {
		t.Error("the key for packages changes with the rules for secrets")
	}
	// What a child is told makes the same set, also after the operator has
	// gone on.
	key, setup := report.KeyFor(second, report.CheckSecrets), s.current.Load()
	writeRule(t, dir, "secrets/own.toml", ownRule+"\nwrong = 1\n")
	if set, err := makeSet(key, setup.Setup()); err != nil || set.Key() != key {
		t.Errorf("a child makes another set: %v", err)
	}
	err := s.take(t.Context())
	if err == nil || !strings.Contains(err.Error(), "secrets/own.toml") {
		t.Errorf("a wrong rule: %v", err)
	}
	if got := s.get().Analyzers(); got != second {
		t.Errorf("a wrong rule took the place of the former: %s", got)
	}
	entries, err := os.ReadDir(copies)
	if err != nil || len(entries) > 3 {
		t.Errorf("%d copies, %v", len(entries), err)
	}
}

func TestRuleWatch(t *testing.T) {
	dir := t.TempDir()
	taken := make(chan string, 10)
	w, err := watchRules(dir)
	if err != nil {
		t.Fatal(err)
	}
	w.every = 10 * time.Millisecond
	w.reload = append(w.reload, func(context.Context) error {
		b, err := os.ReadFile(filepath.Join(dir, "policy/a.yaml"))
		taken <- string(b)
		return errors.Join(err, errors.New("not taken"))
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx) }()
	for _, text := range []string{"1", "22"} {
		writeRule(t, dir, "policy/a.yaml", text)
		for got := ""; got != text; {
			select {
			case got = <-taken:
			case <-time.After(10 * time.Second):
				t.Fatalf("%s is not taken", text)
			}
		}
	}
	cancel()
	<-done
}
