package store

import (
	"testing"

	"github.com/onceover/onceover/internal/report"
)

// An image is called safe only if nothing was left unmatched: that a
// distribution has no feed, or another one's stands in, is a doubt.
func TestImageLevel(t *testing.T) {
	for _, tc := range []struct {
		name  string
		worst string // "" for no finding
		doubt bool
		want  string
	}{
		{"nothing found and no doubt", "", false, "Security"},
		{"nothing found in what was matched", "", true, ""},
		{"unknown counts as low", report.SeverityUnknown, false, "Low"},
		{"low", report.SeverityLow, true, "Low"},
		{"medium", report.SeverityMedium, true, "Medium"},
		{"high", report.SeverityHigh, false, "High"},
		{"critical is high", report.SeverityCritical, true, "High"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rank := -1
			if tc.worst != "" {
				rank = report.SeverityRank(tc.worst)
			}
			if got := imageLevel(rank, tc.doubt); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
