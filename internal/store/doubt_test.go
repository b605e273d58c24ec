package store

import (
	"testing"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/report"
)

// TestDoubtIsNotSecurity scans an image without findings: it is called safe
// only if the advisories cover it.
func TestDoubtIsNotSecurity(t *testing.T) { onEngines(t, testDoubtIsNotSecurity) }

func testDoubtIsNotSecurity(t *testing.T) {
	for _, tc := range []struct {
		name     string
		warnings []string
		problem  report.Problem
		want     string
	}{
		{"covered", nil, report.Problem{}, "Security"},
		{"not covered", []string{"no advisories for distribution haiku 1"}, report.Problem{}, ""},
		{"damaged package database", nil, report.Problem{Path: "var/lib/rpm/rpmdb.sqlite", Analyzer: "rpm/2", Message: "malformed"}, ""},
		{"file beyond a limit", nil, report.Problem{Path: "app.jar", Analyzer: "layer", Message: "too large", Reason: "too-large"}, ""},
		{"damaged file of an application", nil, report.Problem{Path: "test/package.json", Analyzer: "npm/1", Message: "malformed"}, "Security"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.table.replace("covers less or more", nil)
			w.table.warnings = tc.warnings
			k := w.agent("a", state(1, ref("web", "1")))
			if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
				t.Fatal(err)
			}
			j := w.sync(k, 1, nil, nil).Jobs[0]
			l := layer(1)
			if tc.problem.Path != "" {
				l.Problems = append(l.Problems, tc.problem)
			}
			if err := w.PutLayer(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			if err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Image: imageReport(1)}, w.ms()); err != nil {
				t.Fatal(err)
			}
			if i := w.images()["web:1"]; i.Status != StatusSuccess || i.SeverityLevel != tc.want {
				t.Errorf("got %s %q, want success %q", i.Status, i.SeverityLevel, tc.want)
			}
		})
	}
}
