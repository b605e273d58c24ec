package advisory

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The date of a feed is what the feed says it is, unless it lies in the future.
func TestDatesOfFeeds(t *testing.T) {
	day := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	for _, tc := range []struct {
		name, file, content string
		want                int64
	}{
		{"KEV", FileKEV, `{"dateReleased":"2026-08-01T00:00:00.000Z","vulnerabilities":[]}`, day},
		{"KEV without", FileKEV, `{"vulnerabilities":[]}`, 0},
		{"KEV of the future", FileKEV, `{"dateReleased":"2126-08-01T00:00:00.000Z","vulnerabilities":[]}`, 0},
		{"EPSS", FileEPSS, "#model_version:v2025.03.14,score_date:2026-08-01T00:00:00+0000\ncve,epss,percentile\n", day},
		{"EPSS, other zone", FileEPSS, "#model_version:v2025.03.14,score_date:2026-08-01T00:00:00Z\ncve,epss,percentile\n", day},
		{"EPSS of a day", FileEPSS, "#score_date:2026-08-01,more\n", day},
		{"EPSS without", FileEPSS, "cve,epss,percentile\n", 0},
		{"EPSS of nothing", FileEPSS, "", 0},
		{"EPSS of the future", FileEPSS, "#score_date:2126-08-01\n", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			writeZip(t, filepath.Join(dir, "npm.zip"), [2]string{"a.json", simple("A-1", "npm", "a", "")})
			if err := os.WriteFile(filepath.Join(dir, tc.file), []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, m, _ := build(t, dir)
			if got := m.Files[1]; got.Name != tc.file || got.Newest != tc.want {
				t.Errorf("got %+v, want %d", got, tc.want)
			}
		})
	}
}
