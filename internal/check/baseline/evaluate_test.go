package baseline

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBaselineNames(t *testing.T) {
	tests := []struct {
		d            Distribution
		family, name string
	}{
		{Distribution{ID: "centos", VersionID: "7"}, RHEL, "CentOS 7"},
		{Distribution{ID: "debian", VersionID: "10"}, Debian, "Debian 10"},
		{Distribution{ID: "debian", VersionID: "12"}, Debian, "Debian 12"},
		{Distribution{ID: "debian"}, Debian, "Debian"}, // sid
		{Distribution{ID: "euleros", VersionID: "2.0 (SP8x86_64)"}, OpenEuler, "EulerOS"},
		{Distribution{ID: "openEuler", VersionID: "22.03"}, OpenEuler, "openEuler 22.03"},
		{Distribution{ID: "hce", VersionID: "2.0"}, OpenEuler, "HCE 2.0"},
		{Distribution{ID: "ubuntu", VersionID: "16.04"}, Ubuntu, "Ubuntu16"},
		{Distribution{ID: "ubuntu", VersionID: "18.04"}, Ubuntu, "Ubuntu18"},
		{Distribution{ID: "ubuntu", VersionID: "24.04"}, Ubuntu, "Ubuntu 24.04"},
		{Distribution{ID: "rhel", VersionID: "9.4"}, RHEL, "Redhat 9"},
		{Distribution{ID: "rocky", VersionID: "9.3"}, RHEL, "Rocky Linux 9"},
		{Distribution{ID: "alpine", VersionID: "3.20.3"}, Alpine, "Alpine"},
		{Distribution{ID: "linuxmint", VersionID: "21", Like: []string{"ubuntu", "debian"}}, Ubuntu, "Linux"},
		{Distribution{ID: "void"}, Linux, "Linux"},
		{Distribution{}, Linux, "Linux"},
		{Distribution{ID: "debian", VersionID: "1/../2?x"}, Debian, "Debian 1"},
		{Distribution{ID: "fedora", VersionID: strings.Repeat("9", 99)}, RHEL, "Fedora 9999999999999999"},
	}
	for _, tt := range tests {
		family, name := tt.d.Baseline()
		if family != tt.family || name != tt.name {
			t.Errorf("%+v: %s, %q: want %s, %q", tt.d, family, name, tt.family, tt.name)
		}
	}
}

// A result carries all that ListImageRiskConfigs, ListImageRiskConfigRules,
// ShowImageCheckRuleDetail and their relatives answer.
func TestResultFields(t *testing.T) {
	im := testImage{testFamilies[0].distribution, append(hardened(Debian), loosened(Debian)...), loosenedConfig}.facts(t)
	results := Evaluate(builtin(t), im)
	seen := map[string]bool{}
	for _, r := range results {
		key := r.CheckName + "/" + r.Standard + "/" + r.RuleID
		if seen[key] {
			t.Errorf("%s twice", key)
		}
		seen[key] = true
		for field, v := range map[string]string{"name": r.Name, "type": r.CheckType, "desc": r.CheckTypeDesc, "severity": r.Severity, "description": r.Description,
			"reference": r.Reference, "audit": r.Audit, "remediation": r.Remediation} {
			if v == "" {
				t.Errorf("%s has no %s", key, field)
			}
		}
		if (r.Status == Pass || r.Status == Failed) != (len(r.Cases) > 0) {
			t.Errorf("%s: %s with %d cases", key, r.Status, len(r.Cases))
		}
		if strings.Contains(r.CheckTypeDesc, "{name}") || strings.Contains(r.CheckName, "/") {
			t.Errorf("%s: %s", key, r.CheckTypeDesc)
		}
		pass := true
		for _, c := range r.Cases {
			pass = pass && c.Pass
			if c.Description == "" || c.Found == "" || c.Wanted == "" || len(c.Found) > maxFoundBytes+maxValueBytes+100 {
				t.Errorf("%s: case %+v", key, c)
			}
		}
		if len(r.Cases) > 0 && pass != (r.Status == Pass) {
			t.Errorf("%s: %s of %+v", key, r.Status, r.Cases)
		}
	}
	rules, failed := 0, 0
	for _, s := range Summarise(results) {
		rules, failed = rules+s.Rules, failed+s.FailedRules
		if s.CheckName == "SSH" && s.Standard == CNStandard {
			want := Summary{CheckName: "SSH", CheckType: "SSH", CheckTypeDesc: s.CheckTypeDesc, Standard: CNStandard, Severity: SeverityHigh, Rules: 23, FailedRules: 23}
			if diff := cmp.Diff(want, s); diff != "" {
				t.Error(diff)
			}
		}
	}
	count := map[Status]int{}
	for _, r := range results {
		count[r.Status]++
	}
	if rules != count[Pass]+count[Failed] || failed != count[Failed] || failed == 0 {
		t.Errorf("summaries count %d and %d: want %v", rules, failed, count)
	}
	again, _ := json.Marshal(Evaluate(builtin(t), im))
	if once, _ := json.Marshal(results); string(once) != string(again) {
		t.Error("two evaluations of one image differ")
	}
}

func TestWorst(t *testing.T) {
	if got := Worst(Worst(SeveritySecurity, SeverityMedium), SeverityLow); got != SeverityMedium {
		t.Errorf("got %s", got)
	}
	if got := Summarise([]Result{{CheckName: "a", Standard: CNStandard, Severity: SeverityHigh, Status: Pass}, {CheckName: "b", Status: NotApplicable}}); len(got) != 1 || got[0].Severity != SeveritySecurity {
		t.Errorf("got %+v", got)
	}
}

// What an old daemon does without a line differs from what a new one does.
func TestRootLoginDefault(t *testing.T) {
	set := builtin(t)
	for d, want := range map[string]Status{"centos 7": Failed, "rhel 7.9": Failed, "euleros 2.0": Failed, "centos 9": Pass, "debian 12": Pass, "alpine 3.20": Pass} {
		id, version, _ := strings.Cut(d, " ")
		im := testImage{distribution: Distribution{ID: id, VersionID: version}, files: []testFile{{"/etc/ssh/sshd_config", 0o600, 0, 0, "#PermitRootLogin yes\n"}}}
		if r := byRule(Evaluate(set, im.facts(t)))["SSH-01"]; r.Status != want {
			t.Errorf("%s: %s %+v", d, r.Status, r.Cases)
		}
	}
}

func TestIncludesEnd(t *testing.T) {
	im := testImage{distribution: testFamilies[0].distribution, files: []testFile{
		{"/etc/ssh/sshd_config", 0o600, 0, 0, "Include /etc/ssh/sshd_config.d/*.conf\nPort 1\n"},
		{"/etc/ssh/sshd_config.d/a.conf", 0o600, 0, 0, strings.Repeat("Include sshd_config.d/*.conf\n", 20)},
		{"/etc/ssh/sshd_config.d/b.conf", 0o600, 0, 0, strings.Repeat("Include sshd_config.d/*.conf\n", 20)},
		{"/etc/nginx/nginx.conf", 0o644, 0, 0, "http { include nginx.conf; include /etc/nginx/*/*; server { } }"},
		{"/etc/my.cnf", 0o644, 0, 0, "!include /etc/my.cnf\n!includedir /etc\n"},
		{"/etc/sudoers", 0o440, 0, 0, "@include /etc/sudoers\n@includedir /etc/sudoers.d\n"},
		{"/etc/sudoers.d/a", 0o440, 0, 0, "@includedir /etc/sudoers.d\n"},
	}}.facts(t)
	start := time.Now()
	results := byRule(Evaluate(builtin(t), im))
	if d := time.Since(start); d > soon {
		t.Errorf("took %v", d)
	}
	for _, id := range []string{"SSH-01", "NGINX-01", "MYSQL-01"} {
		if r := results[id]; r.Status != Unverified {
			t.Errorf("%s of files that include themselves: %s %s", id, r.Status, r.Reason)
		}
	}
	if r := results["SUDO-01"]; r.Status != Pass {
		t.Errorf("SUDO-01: %s %s", r.Status, r.Reason)
	}
	// Patterns that fit nothing take their time too.
	files := []testFile{
		{"/etc/ssh/sshd_config", 0o600, 0, 0, strings.Repeat("Include "+strings.Repeat("a*b*c*d* ", 60)+"\n", 1500)},
		{"/etc/sudoers", 0o440, 0, 0, strings.Repeat("@includedir /etc/sudoers.d\n", maxEntries)},
	}
	for i := range 20_000 {
		files = append(files, testFile{fmt.Sprintf("/etc/nginx/a/%d", i), 0o644, 0, 0, ""})
	}
	start = time.Now()
	results = byRule(Evaluate(builtin(t), testImage{distribution: testFamilies[0].distribution, files: files}.facts(t)))
	if d := time.Since(start); d > soon {
		t.Errorf("took %v", d)
	}
	for _, id := range []string{"SSH-01", "SUDO-01"} {
		if r := results[id]; r.Status != Unverified {
			t.Errorf("%s of many includes: %s %s", id, r.Status, r.Reason)
		}
	}
}

// An image whose facts are as many as Facts lets through ends within the budget,
// and says which rules were not verified.
func TestHostileImageEnds(t *testing.T) {
	var passwd, group, nginx strings.Builder
	for i := range maxEntries {
		fmt.Fprintf(&passwd, "u%d:x:%d:%d::/home/%d:/bin/sh\n", i, i, i, i)
		fmt.Fprintf(&group, "g%d:x:%d:u1,u2\n", i, i+1)
	}
	nginx.WriteString("http {\n")
	for range maxEntries / 4 {
		nginx.WriteString("server { root /x; listen 1 ssl; }\n")
	}
	nginx.WriteString("}\n")
	files := []testFile{
		{"/etc/passwd", 0o644, 0, 0, passwd.String()}, {"/etc/group", 0o644, 0, 0, group.String()},
		{"/etc/nginx/nginx.conf", 0o644, 0, 0, nginx.String()},
	}
	for i := range 20_000 {
		files = append(files, testFile{fmt.Sprintf("/opt/%d", i), fs.ModeSetuid | 0o777, 0, 0, ""})
		if i < 5000 {
			files = append(files, testFile{fmt.Sprintf("/etc/cron.d/%d", i), 0o666, 0, 0, ""})
		}
	}
	im := testImage{testFamilies[0].distribution, files, hardenedConfig}.facts(t)
	start := time.Now()
	results := byRule(Evaluate(builtin(t), im))
	if d := time.Since(start); d > soon {
		t.Errorf("took %v", d)
	} else {
		t.Logf("took %v", d)
	}
	if r := results["ACC-04"]; r.Status != Unverified || !strings.Contains(r.Reason, "cost") {
		t.Errorf("ACC-04: %s %s", r.Status, r.Reason)
	}
	if r := results["FILE-04"]; r.Status != Failed || len(r.Cases) != maxFileCases || r.Cases[0].Pass {
		t.Errorf("FILE-04: %s, %d cases", r.Status, len(r.Cases))
	}
	if r := results["FILE-22"]; r.Status != Failed || len(r.Cases) != 1 || !strings.HasSuffix(r.Cases[0].Found, "and 980 more") {
		t.Errorf("FILE-22: %s %+v", r.Status, r.Cases)
	}
}

// The budget of an image ends rules that each are within their own limit.
func TestBudget(t *testing.T) {
	budget := uint64(10)
	set := builtin(t)
	s := newSubject(testImage{testFamilies[0].distribution, hardened(Debian), ""}.facts(t), Debian)
	status, reason, _ := set.Rule("ACC-04").ask(set, s, &budget)
	if budget != 0 || status == Unverified {
		t.Fatalf("budget %d after %s %s", budget, status, reason)
	}
	if status, reason, cases := set.Rule("ACC-01").ask(set, s, &budget); status != Unverified || reason != errBudget.Error() || cases != nil {
		t.Errorf("after the budget: %s %q", status, reason)
	}
}

// A file that was not read whole may hold what a rule looks for.
func TestPartialFilesAreNotVerified(t *testing.T) {
	f, err := Facts("/etc/ssh/sshd_config", Stat{Mode: 0o600, Size: MaxFileBytes + 1}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	good := testImage{testFamilies[0].distribution, hardened(Debian), ""}.facts(t)
	results := byRule(Evaluate(builtin(t), Image{Distribution: good.Distribution, Files: append(good.Files, f)}))
	if r := results["SSH-01"]; r.Status != Unverified || !strings.Contains(r.Reason, "/etc/ssh/sshd_config") {
		t.Errorf("SSH-01: %s %s", r.Status, r.Reason)
	}
	for _, id := range []string{"SSH-29", "ACC-01", "NGINX-01"} {
		if r := results[id]; r.Status != Pass {
			t.Errorf("%s: %s %s", id, r.Status, r.Reason)
		}
	}
}

func BenchmarkFacts(b *testing.B) {
	files := loosened(Debian)
	var n int64
	for _, f := range files {
		n += int64(len(f.content))
	}
	b.SetBytes(n)
	for b.Loop() {
		for _, f := range files {
			if _, err := Facts(f.path, Stat{Mode: f.mode, Size: int64(len(f.content))}, []byte(f.content)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkWants(b *testing.B) {
	for b.Loop() {
		Wants("/usr/lib/python3/dist-packages/some/module.py", 0o644)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	set := builtin(b)
	im := testImage{testFamilies[0].distribution, append(hardened(Debian), loosened(Debian)...), loosenedConfig}.facts(b)
	for b.Loop() {
		Evaluate(set, im)
	}
}

func BenchmarkBuiltin(b *testing.B) {
	for b.Loop() {
		if _, err := Builtin(); err != nil {
			b.Fatal(err)
		}
	}
}
