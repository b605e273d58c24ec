package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/onceover/onceover/test/shareddata"
)

// Every command, flag and variable stands in docs/configuration.md.
func TestEverySettingIsDocumented(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(shareddata.Root(), "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	var c cli
	parser, err := newParser(&c, streams{io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	err = kong.Visit(parser.Model, func(n kong.Visitable, next kong.Next) error {
		if f, ok := n.(*kong.Flag); ok && f.Name != "help" {
			for _, want := range append([]string{"--" + f.Name}, f.Envs...) {
				if !strings.Contains(doc, want) {
					t.Errorf("%s is not documented", want)
				}
			}
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range parser.Model.Leaves(true) {
		if n.Name != "version" && !strings.Contains(doc, "`"+n.Path()) && !strings.Contains(doc, "`onceover "+n.Path()+"`") {
			t.Errorf("command %s is not documented", n.Path())
		}
	}
}

func TestLoadSettings(t *testing.T) {
	p := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(p, []byte("#"+strings.Repeat("x", maxConfigFileBytes)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSettings(p); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("beyond maxConfigFileBytes: got %v", err)
	}
}
