package export

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"testing"

	"github.com/onceover/onceover/internal/report"
)

// TestSARIF holds the output against what SARIF 2.1.0 requires of the objects
// that we write (sections 3.13, 3.14, 3.19, 3.20, 3.27, 3.49 and 3.58), and
// against the document it was made from.
func TestSARIF(t *testing.T) {
	for _, tc := range documents() {
		t.Run(tc.name, func(t *testing.T) {
			tc.doc.Finish()
			var log struct {
				Schema  string `json:"$schema"`
				Version string
				Runs    []struct {
					Tool struct {
						Driver struct {
							Name  string
							Rules []struct {
								ID         string
								Properties map[string]any
							}
						}
					}
					Invocations []struct {
						ExecutionSuccessful        *bool
						ToolExecutionNotifications []struct {
							Level   string
							Message struct{ Text string }
						}
					}
					Results []struct {
						RuleID, Level string
						RuleIndex     int
						Message       struct{ Text string }
						Locations     []struct {
							PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
						}
						PartialFingerprints map[string]string
						Properties          map[string]any
					}
				}
			}
			if err := json.Unmarshal([]byte(render(t, SARIF, tc.doc)), &log); err != nil {
				t.Fatal(err)
			}
			if log.Version != "2.1.0" || len(log.Runs) != 1 {
				t.Fatalf("version %q, %d runs", log.Version, len(log.Runs))
			}
			run := log.Runs[0]
			if run.Tool.Driver.Name != "onceover" {
				t.Errorf("driver %q", run.Tool.Driver.Name)
			}
			rules := map[string]bool{}
			for _, r := range run.Tool.Driver.Rules {
				if rules[r.ID] {
					t.Errorf("rule %s stands twice", r.ID)
				}
				rules[r.ID] = true
				if s, err := strconv.ParseFloat(r.Properties["security-severity"].(string), 64); err != nil || s < 0 || s > 10 {
					t.Errorf("rule %s: security-severity %v", r.ID, r.Properties["security-severity"])
				}
			}
			levels := []string{"none", "note", "warning", "error"}
			prints := map[string]bool{}
			for _, r := range run.Results {
				if r.RuleIndex < 0 || r.RuleIndex >= len(run.Tool.Driver.Rules) || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
					t.Errorf("result of %s has rule index %d", r.RuleID, r.RuleIndex)
				}
				if !slices.Contains(levels, r.Level) || r.Message.Text == "" || len(r.Locations) != 1 {
					t.Errorf("result %+v", r)
				}
				u, err := url.Parse(r.Locations[0].PhysicalLocation.ArtifactLocation.URI)
				if err != nil || u.IsAbs() || u.Path == "" {
					t.Errorf("location %q: %v", r.Locations[0].PhysicalLocation.ArtifactLocation.URI, err)
				}
				p := r.PartialFingerprints["onceover/v1"]
				if p == "" || prints[p] {
					t.Errorf("fingerprint %q of %s is missing or stands twice", p, r.RuleID)
				}
				prints[p] = true
			}
			if want := tc.doc.Total().Findings + tc.doc.Total().Suppressed; len(run.Results) != want {
				t.Errorf("%d results, want %d", len(run.Results), want)
			}
			failed := slices.ContainsFunc(tc.doc.Images, func(im Image) bool { return im.Error != "" })
			if len(run.Invocations) != 1 || run.Invocations[0].ExecutionSuccessful == nil || *run.Invocations[0].ExecutionSuccessful == failed {
				t.Errorf("invocations %+v, a scan failed: %v", run.Invocations, failed)
			}
			for _, n := range run.Invocations[0].ToolExecutionNotifications {
				if !slices.Contains(levels, n.Level) || n.Message.Text == "" {
					t.Errorf("notification %+v", n)
				}
			}
		})
	}
}

func TestSARIFPlace(t *testing.T) {
	for _, tc := range []struct{ name, path, want string }{
		{"nginx:1.25", "/var/lib/dpkg/status", "nginx%3A1.25/var/lib/dpkg/status"},
		{"localhost:5000/a/b:x", "/a b#c?d%41.jar!/e", "localhost%3A5000/a/b:x/a%20b%23c%3Fd%2541.jar%21/e"},
		{"nginx:1.25", "", "nginx%3A1.25"},
	} {
		t.Run(tc.name+tc.path, func(t *testing.T) {
			got := sarifPlace(&Image{Names: []string{tc.name}}, tc.path).Physical.Artifact.URI
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			u, err := url.Parse(got)
			if err != nil || u.Path != tc.name+tc.path {
				t.Errorf("reads back as %q, %v", u.Path, err)
			}
		})
	}
}

func TestSecuritySeverity(t *testing.T) {
	for _, tc := range []struct {
		f    report.Finding
		want string
	}{
		{report.Finding{Severity: report.SeverityHigh, Score: 9.8}, "9.8"},
		{report.Finding{Severity: report.SeverityHigh}, "8.0"},
		{report.Finding{Severity: report.SeverityUnknown}, "0.0"},
	} {
		if got := securitySeverity(tc.f.Score, tc.f.Severity); got != tc.want {
			t.Errorf("%+v: got %s, want %s", tc.f, got, tc.want)
		}
	}
}
