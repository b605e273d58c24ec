package bitnami

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

// As in an image of PostgreSQL 17.
const good = `{
    "postgresql": {
      "arch": "arm64",
      "distro": "debian-12",
      "type": "NAMI",
      "version": "17.2.0-8"
    },
    "gosu": {"arch": "arm64", "distro": "debian-12", "type": "NAMI", "version": "1.17.0-4"},
    "broken": {"version": "1 2"}
}`

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), componentsPath, []byte(good)) }

func TestComponents(t *testing.T) {
	facts := analyzetest.Facts(t, New(), analyzetest.File(componentsPath, []byte(good)))
	want := []report.Package{
		{Type: report.TypeBitnami, Name: "gosu", Version: "1.17.0-4", Arch: "arm64", Path: componentsPath},
		{Type: report.TypeBitnami, Name: "postgresql", Version: "17.2.0-8", Arch: "arm64", Path: componentsPath},
	}
	if diff := cmp.Diff(want, facts.Packages); diff != "" {
		t.Error(diff)
	}
	if len(facts.Problems) != 1 {
		t.Errorf("problems: %v", facts.Problems)
	}
	if New().Wants("/app/.bitnami_components.json", nil) {
		t.Error("wants a file elsewhere")
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(componentsPath, nil)
	f.Size = maxBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	var b strings.Builder
	for i := range maxComponents + 1 {
		fmt.Fprintf(&b, `,"c%d":{"version":"1"}`, i)
	}
	if _, err := New().Analyze(t.Context(), analyzetest.File(componentsPath, []byte("{"+b.String()[1:]+"}"))); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("components: got %v", err)
	}
	long := `{"` + strings.Repeat("a", maxFieldBytes+1) + `":{"version":"1"}}`
	facts := analyzetest.Facts(t, New(), analyzetest.File(componentsPath, []byte(long)))
	if len(facts.Packages) != 0 || len(facts.Problems) != 1 {
		t.Errorf("field: got %+v", facts)
	}
}

func FuzzComponents(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(componentsPath, b))
		if err != nil || facts == nil {
			return
		}
		for _, p := range facts.Packages {
			if !analyze.Plain(p.Name) || !analyze.Plain(p.Version) {
				t.Errorf("unusable package %+v", p)
			}
		}
	})
}
