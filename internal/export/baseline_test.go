package export

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// checked is a document with an image whose baseline and passwords were looked
// at.
func checked(filters Filters) *Document {
	filters.Scanners = []string{ScanBaseline, ScanPasswords}
	rule := func(id, severity, status string, cases ...BaselineCase) BaselineRule {
		return BaselineRule{Rule: id, Name: "Name of " + id, Check: "SSH", Standards: []string{"cn_standard", "hw_standard"}, Severity: severity, Status: status,
			Cases: cases, Description: "d", Audit: "a", Remediation: "r", Reference: "f"}
	}
	open := rule("SSH-09", report.SeverityLow, "unverified")
	open.Reason = "sshd_config is damaged"
	return &Document{
		Filters: filters,
		Images: []Image{{
			Names: []string{"web:1"}, ConfigDigest: image.DigestOf([]byte("web")), Platform: "linux/amd64", Complete: true,
			Baseline: &Baseline{Rules: []BaselineRule{
				rule("SSH-03", report.SeverityLow, "failed", BaselineCase{Found: "yes", Wanted: "no", Pass: true}, BaselineCase{Check: "port", Found: "22\x1b[31m", Wanted: "2222"}),
				rule("SSH-02", report.SeverityHigh, "pass", BaselineCase{Found: "no", Wanted: "no", Pass: true}),
				rule("SSH-01", report.SeverityHigh, "failed", BaselineCase{Found: "yes", Wanted: "PermitRootLogin no"}),
				rule("NGINX-01", report.SeverityHigh, "not_applicable"),
				open,
			}},
			Passwords: &Passwords{
				Unverified: map[string]int{"too costly": 2},
				Accounts: []Account{
					{User: "app", Service: "system", Path: "/etc/shadow", Line: 3, Status: "weak", Rule: "user-name", Masked: "****", Severity: report.SeverityMedium, Suggestion: "s", Tried: 2, Candidates: 600},
					{User: "daemon", Service: "system", Path: "/etc/shadow", Line: 2, Status: "locked"},
					{User: "evil\x1b[2J", Service: "system", Path: "/etc/shadow", Line: 1, Status: "empty", Rule: "empty", Login: true, Severity: report.SeverityHigh, Suggestion: "s"},
					{User: "slow", Service: "system", Path: "/etc/shadow", Line: 4, Status: "unverified", Reason: "too costly: 5m", Changed: 19000, Kind: "sha512crypt", Layer: "sha256:2"},
					{User: "slow2", Service: "system", Path: "/etc/shadow", Line: 5, Status: "unverified", Reason: "too costly: 5m"},
					{User: "good", Service: "redis", Path: "/etc/redis.conf", Line: 1, Status: "strong"},
				},
				Complexity: &Complexity{Length: 6, Digit: true, Source: "pam_unix", Path: "/etc/pam.d/common-password", Layer: "sha256:2", Suggestion: "s"},
			},
		}},
	}
}

func TestBaselineAndPasswords(t *testing.T) {
	d := checked(Filters{})
	if n := d.Images[0].Other(); n != 4 {
		t.Errorf("%d others", n)
	}
	d.Finish()
	im := d.Images[0]
	var got []string
	for _, r := range im.Baseline.Rules {
		got = append(got, r.Rule)
	}
	for _, a := range im.Passwords.Accounts {
		got = append(got, a.User)
	}
	if diff := cmp.Diff([]string{"SSH-01", "SSH-03", "SSH-09", "SSH-02", "evil\x1b[2J", "app", "slow", "slow2", "good", "daemon"}, got); diff != "" {
		t.Error(diff)
	}
	if c := im.Counts; c.BaselineFailed != 2 || c.WeakPasswords != 2 || c.Findings != 0 {
		t.Errorf("counts: %+v", c)
	}
	s := render(t, formats[0].write, d)
	for _, want := range []string{
		"2 rules of baselines failed; 2 weak passwords", "SSH-01", "PermitRootLogin no", "baseline: 2 failed, 1 passed, 1 not applicable, 1 not verified; the first: SSH-09: sshd_config is damaged",
		"app of system", "**** (user-name)", "/etc/shadow:3", "passwords: 2 weak, 1 not guessed, 1 locked, 2 not verified", "not verified: 2 accounts: too costly",
		"new passwords: 6 characters, a digit (pam_unix); not demanded: enough characters, an upper-case letter, a lower-case letter, a special character",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("the table lacks %q:\n%s", want, s)
		}
	}
	if strings.Contains(s, "\x1b") || strings.Contains(s, "NGINX-01") || strings.Contains(s, "SSH-02") {
		t.Errorf("the table shows too much:\n%s", s)
	}
	validate(t, compileStrict(t, "scan"), render(t, JSON, d))

	// Filters hide what is not as bad.
	d = checked(Filters{Severities: []string{report.SeverityHigh}})
	d.Finish()
	if c := d.Images[0].Counts; c.BaselineFailed != 1 || c.WeakPasswords != 1 {
		t.Errorf("high only: %+v", c)
	}
	d = checked(Filters{Severities: []string{report.SeverityCritical}})
	d.Finish()
	if s := render(t, formats[0].write, d); !strings.Contains(s, "no rules of baselines failed; no weak passwords") {
		t.Errorf("critical only:\n%s", s)
	}
}

func TestBaselineInSARIF(t *testing.T) {
	d := checked(Filters{})
	d.Finish()
	log := sarifLog(d)
	got := map[string]string{}
	for _, r := range log.Runs[0].Results {
		if log.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("%s has the index of another rule", r.RuleID)
		}
		got[r.RuleID+" "+r.Level] = r.Message.Text
	}
	if diff := cmp.Diff(map[string]string{
		"SSH-01 error":          "SSH: Name of SSH-01 in web:1 (High): found yes; wanted PermitRootLogin no",
		"SSH-03 note":           "SSH: Name of SSH-03 in web:1 (Low): found 22\x1b[31m; wanted 2222",
		"password/empty error":  "The password of evil\x1b[2J of system in web:1 is empty (High)",
		"password/weak warning": "The password of app of system in web:1 is weak (Medium): user-name",
	}, got); diff != "" {
		t.Error(diff)
	}
}
