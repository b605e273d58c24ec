package snap

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const (
	at   = "/snap/hello-world/29/meta/snap.yaml"
	good = `name: hello-world
version: 6.10
summary: The 'hello-world' of snaps
description: |
  name: not this
  version: 7
architectures:
- amd64
license: MIT
grade: stable
apps:
  env: {command: bin/env}
`
)

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), at, []byte(good)) }

func TestSnaps(t *testing.T) {
	hello := report.Package{Type: report.TypeSnap, Name: "hello-world", Version: "6.10", Arch: "amd64", Licenses: []string{"MIT"}, Path: at}
	for _, tc := range []struct {
		name, text string
		want       report.Package
	}{
		{"a number for a version", good, hello},
		{"several architectures", "name: a\nversion: '1:2'\narchitectures: [amd64, arm64]\n", report.Package{Type: report.TypeSnap, Name: "a", Version: "1:2", Path: at}},
		{"all architectures", "name: a\nversion: git-1a\narchitectures: [all]\n", report.Package{Type: report.TypeSnap, Name: "a", Version: "git-1a", Path: at}},
		{"architectures of another form", "name: a\nversion: '1'\narchitectures: {a: b}\n", report.Package{Type: report.TypeSnap, Name: "a", Version: "1", Path: at}},
	} {
		facts := analyzetest.Facts(t, New(), analyzetest.File(at, []byte(tc.text)))
		if diff := cmp.Diff([]report.Package{tc.want}, facts.Packages); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	for _, bad := range []string{"name: a\n", "name: [a]\nversion: 1\n", "name: a b\nversion: 1\n", "{", "name: &a [*a]\nversion: 1"} {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(at, []byte(bad))); err == nil {
			t.Errorf("%q: got %+v", bad, facts)
		}
	}
	if New().Wants("/src/snap/snapcraft.yaml", nil) || !New().Wants("/meta/snap.yaml", nil) {
		t.Error("wants wrongly")
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(at, nil)
	f.Size = maxBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	long := "name: " + strings.Repeat("a", maxFieldBytes+1) + "\nversion: 1\n"
	if facts, err := New().Analyze(t.Context(), analyzetest.File(at, []byte(long))); err == nil {
		t.Errorf("field: got %+v", facts)
	}
	long = "name: a\nversion: 1\nlicense: " + strings.Repeat("a", maxFieldBytes+1) + "\n"
	if facts := analyzetest.Facts(t, New(), analyzetest.File(at, []byte(long))); facts.Packages[0].Licenses != nil {
		t.Errorf("licence: got %+v", facts)
	}
}

func FuzzSnap(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(at, b))
		if err != nil {
			return
		}
		if p := facts.Packages[0]; !analyze.Plain(p.Name) || !analyze.Plain(p.Version) {
			t.Errorf("unusable package %+v", p)
		}
	})
}
