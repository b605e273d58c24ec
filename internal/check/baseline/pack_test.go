package baseline

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const goodRule = `rules:
- id: OURS-1
  name: The daemon listens where we say
  check_name: SSH
  severity: High
  found: sshd.options.opt("port", "22")
  pass: found == "2222"
  wanted: Port 2222
  description: We say so.
  audit: sshd -T
  remediation: Set it.
  reference: ours
`

func packOf(b []byte) fstest.MapFS { return fstest.MapFS{"p.yaml": &fstest.MapFile{Data: b}} }

func with(t *testing.T, files map[string]string) (*RuleSet, error) {
	t.Helper()
	pack := fstest.MapFS{}
	for name, text := range files {
		pack[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return builtin(t).With(pack)
}

func TestPackAddsRules(t *testing.T) {
	base := builtin(t)
	set, err := with(t, map[string]string{
		"ours.yaml": strings.Replace(goodRule, "check_name: SSH", "check_name: Ours", 1),
		"more.yml":  "baselines:\n- {check_name: Ours, description: What we ask for.}\n",
		"README.md": "not a rule",
	})
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != base.Len()+1 || base.Rule("OURS-1") != nil {
		t.Errorf("%d rules on top of %d", set.Len(), base.Len())
	}
	if set.Version() == base.Version() || set.Version() == "" {
		t.Errorf("version %q of the set, %q of its base", set.Version(), base.Version())
	}
	again, err := with(t, map[string]string{"ours.yaml": goodRule})
	if err != nil {
		t.Fatal(err)
	}
	changed, err := with(t, map[string]string{"ours.yaml": strings.Replace(goodRule, "2222", "2223", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if again.Version() == changed.Version() {
		t.Error("another rule, the same version")
	}
	im := testImage{distribution: testFamilies[0].distribution, files: hardened(Debian)}.facts(t)
	r := byRule(Evaluate(set, im))["OURS-1"]
	if r.Status != Failed || r.CheckName != "Ours" || r.CheckTypeDesc != "What we ask for." || len(r.Cases) != 1 || r.Cases[0].Found != "22" {
		t.Errorf("result %+v", r)
	}
	if r := byRule(Evaluate(set, Image{}))["OURS-1"]; r.Status != NotApplicable {
		t.Errorf("without sshd: %+v", r)
	}
}

// Every form of a rule that docs/baseline.md describes.
func TestFormsOfRules(t *testing.T) {
	const rest = ", name: n, check_name: OS, severity: Low, description: d, audit: a, remediation: m, reference: e}\n"
	tests := []struct {
		rule   string
		status Status
		found  []string
	}{
		{`pass: size(passwd) > 100, wanted: w`, Failed, []string{"does not hold"}},
		{`pass: size(passwd) < 100, wanted: w`, Pass, []string{"holds"}},
		{`found: size(passwd), pass: found > 100, wanted: w`, Failed, []string{"2"}},
		{`found: 'size(passwd) > 100', pass: '!found', wanted: w`, Pass, []string{"false"}},
		{`offenders: 'passwd.map(a, a.name)', wanted: w`, Failed, []string{"root, app"}},
		{`offenders: 'passwd.filter(a, a.uid == 77).map(a, a.name)', wanted: w`, Pass, []string{"none"}},
		{`when: size(passwd) > 100, offenders: 'passwd.map(a, a.name)', wanted: w`, NotApplicable, nil},
		{`paths: ['/etc/pam.d/su*', /etc/passwd], pass: 'file.path == "/etc/passwd"', wanted: w`, Failed, []string{"0600 app:7", "0644 root:root"}},
		{`paths: ['/etc/pam.d/*', /etc/passwd], when: file.uid > 0, offenders: '[file.owner]', wanted: w`, Failed, []string{"app"}},
		{`paths: ['/etc/cron.d'], pass: 'true', wanted: w`, NotApplicable, nil},
		{`pass: 'size(useradd) == 0 && size(passwd) > 0', wanted: w`, NotApplicable, nil},
		{`optional: [useradd], pass: 'size(useradd) == 0 && size(passwd) > 0', wanted: w`, Pass, []string{"holds"}},
		{`optional: [config], pass: 'config.user == ""', wanted: w`, Pass, []string{"holds"}},
		{`families: [alpine], pass: size(passwd) > 0, wanted: w`, "", nil},
		{`pass: 'passwd[99].uid == 0', wanted: w`, Unverified, nil},
		{`pass: 'distribution.version == "12" && distribution.id == "debian" && distribution.family == "debian"', wanted: w`, Pass, []string{"holds"}},
		{`cases: [{check: one, pass: size(passwd) > 0, wanted: w}, {check: two, found: 'passwd[0].name', pass: 'found == "x"', wanted: w}]`, Failed, []string{"holds", "root"}},
		{`pass: '"0640".within("0644") && !"0644".within("0640") && "a,b:c".has_word("b") && "a,b c".words() == ["a", "b", "c"] && "A".lower() == "a"', wanted: w`, Pass, []string{"holds"}},
		{`pass: 'login_defs.number("X", 7) == 7 && login_defs.number("Y", 7) == 3 && login_defs.number("Z", 7) == 7 && login_defs.opt("Z", "") == "z"', wanted: w`, Pass, []string{"holds"}},
	}
	pack := "rules:\n"
	for i, tt := range tests {
		pack += fmt.Sprintf("- {id: F-%d, %s%s", i, tt.rule, rest)
	}
	set, err := with(t, map[string]string{"forms.yaml": pack})
	if err != nil {
		t.Fatal(err)
	}
	results := byRule(Evaluate(set, testImage{distribution: testFamilies[0].distribution, files: []testFile{
		{"/etc/passwd", 0o644, 0, 0, "root:x:0:0::/root:/bin/sh\napp:x:5:7::/:/bin/sh\n"},
		{"/etc/pam.d/su", 0o600, 5, 7, ""},
		{"/etc/login.defs", 0o644, 0, 0, "Y 3\nZ z\n"},
	}}.facts(t)))
	for i, tt := range tests {
		r := results[fmt.Sprintf("F-%d", i)]
		var found []string
		for _, c := range r.Cases {
			found = append(found, c.Found)
		}
		if r.Status != tt.status || !slices.Equal(found, tt.found) {
			t.Errorf("%s: %s %q %s: want %s %q", tt.rule, r.Status, found, r.Reason, tt.status, tt.found)
		}
		if tt.status != "" && r.CheckName != "Debian 12" {
			t.Errorf("%s: check name %q", tt.rule, r.CheckName)
		}
	}
}

// One set serves many images at once.
func TestConcurrentUse(t *testing.T) {
	set := builtin(t)
	im := testImage{testFamilies[0].distribution, hardened(Debian), hardenedConfig}.facts(t)
	want := Evaluate(builtin(t), im)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if diff := cmp.Diff(want, Evaluate(set, im)); diff != "" {
				t.Error(diff)
			}
		})
	}
	wg.Wait()
}

func TestPackIsRefused(t *testing.T) {
	replace := func(old, text string) string {
		if !strings.Contains(goodRule, old) {
			t.Fatalf("no %q in the rule", old)
		}
		return strings.Replace(goodRule, old, text, 1)
	}
	tests := []struct {
		name, text string
		want       []string
	}{
		{"syntax", "rules:\n- id: \"x\n", []string{"p.yaml:", "found unexpected end of stream"}},
		{"tab", "rules:\n\t- id: x\n", []string{"p.yaml:2: "}},
		{"not a mapping", "- 1\n", []string{"p.yaml:1: want a mapping"}},
		{"two documents", goodRule + "---\nrules: []\n", []string{"more than one document"}},
		{"unknown field of the file", "rulez: []\n", []string{`p.yaml:1: unknown field "rulez"`}},
		{"unknown field of the rule", replace("  audit:", "  adult: x\n  audit:"), []string{`p.yaml:10: unknown field "adult"`}},
		{"field twice", replace("  audit:", "  name: x\n  audit:"), []string{"p.yaml:10: name stands twice"}},
		{"missing field", replace("  audit: sshd -T\n", ""), []string{"p.yaml:2: audit is missing"}},
		{"wrong kind", replace("name: The daemon listens where we say", "name: [x]"), []string{"p.yaml:3: name: want text"}},
		{"severity", replace("High", "Severe"), []string{`severity "Severe"`}},
		{"standard", replace("  severity", "  standards: [iso]\n  severity"), []string{`standards: "iso"`}},
		{"family", replace("  severity", "  families: [bsd]\n  severity"), []string{`families: "bsd"`}},
		{"id", replace("OURS-1", "ours/1"), []string{`id "ours/1"`}},
		{"check name", replace("check_name: SSH", "check_name: a/b"), []string{`check_name "a/b"`}},
		{"baseline without description", replace("check_name: SSH", "check_name: Ours"), []string{`p.yaml:2: check_name "Ours": no baseline`}},
		{"id of ours", replace("OURS-1", "SSH-01"), []string{`p.yaml:2: the id "SSH-01" is that of the rule at ssh.yaml:`}},
		{"id twice", goodRule + strings.TrimPrefix(goodRule, "rules:\n"), []string{"p.yaml:13: the id", "p.yaml:2"}},
		{"expression", replace(`found == "2222"`, `found == `), []string{"p.yaml:7: "}},
		{"type", replace(`found == "2222"`, `found == 2222`), []string{"p.yaml:7: found no matching overload"}},
		{"not a condition", replace(`found == "2222"`, `found`), []string{"p.yaml:7: the expression gives string: want bool"}},
		{"unknown fact", replace(`sshd.options.opt("port", "22")`, `httpd.port`), []string{"p.yaml:6: undeclared reference to 'httpd'"}},
		{"unknown field of a fact", replace(`sshd.options.opt("port", "22")`, `sshd.port`), []string{"p.yaml:6: undefined field 'port'"}},
		{"line within a block", replace(`found == "2222"`, "|\n    found ==\n    22"), []string{"p.yaml:8: found no matching overload"}},
		{"optional", replace("  severity", "  optional: [httpd]\n  severity"), []string{`optional: no such fact "httpd"`}},
		{"path outside", replace("  severity", "  paths: [/var/lib/x]\n  severity"), []string{`paths: scans keep nothing of "/var/lib/x"`}},
		{"no condition", replace("  pass: found == \"2222\"\n", ""), []string{"want pass, or offenders"}},
		{"no case", strings.NewReplacer("  pass: found == \"2222\"\n", "", "  found: sshd.options.opt(\"port\", \"22\")\n", "", "  wanted: Port 2222\n", "").Replace(goodRule),
			[]string{"the rule checks nothing"}},
		{"cost", replace(`found == "2222"`, "passwd.all(a, passwd.all(b, passwd.all(c, a.uid + b.uid + c.uid >= 0)))"), []string{"p.yaml:7: the expression may cost"}},
		{"text that doubles", replace(`found == "2222"`, `'[found]`+strings.Repeat(".map(x, x + x)", 30)+` == []'`), []string{"p.yaml:7: the expression may cost"}},
		{"deep expression", replace(`found == "2222"`, strings.Repeat("(", 500)+"true"+strings.Repeat(")", 500)), []string{"p.yaml:7: "}},
		{"long expression", replace(`found == "2222"`, "true"+strings.Repeat(" || true", 1000)), []string{"p.yaml:"}},
		{"regular expression", replace(`found == "2222"`, `found.matches("(")`), []string{"p.yaml:7: "}},
		{"large regular expression", replace(`found == "2222"`, `found.matches("((a{100}){100}){100}")`), []string{"p.yaml:7: "}},
		{"anchor", "rules: &a []\nbaselines: *a\n", []string{"aliases, anchors"}},
		{"large", "# " + strings.Repeat("x", maxPackBytes), []string{"more than 1048576 bytes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := with(t, map[string]string{"p.yaml": tt.text})
			if err == nil || set != nil {
				t.Fatal("not refused")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q: want %q in it", err, want)
				}
			}
		})
	}
}

// soon is when hostile input has to have ended on a machine that is busy with
// other things. It takes a second or two on one that is not.
const soon = 30 * time.Second

// Documents made to take long or to grow end soon.
func TestHostilePacksEnd(t *testing.T) {
	laughs := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	tests := []struct{ name, text string }{
		{"billion laughs", laughs + "rules: *a11\n"},
		{"flow depth", "rules: " + strings.Repeat("[", maxPackBytes-8)},
		{"flow depth closed", "rules: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000)},
		{"maps of flow", "rules: " + strings.Repeat("{a: ", 200_000)},
		{"block depth", strings.Repeat("- ", 500_000) + "x"},
		{"questions", strings.Repeat("? ", 500_000)},
		{"keys", "{" + strings.Repeat("a: b, ", 150_000) + "}"},
		{"merge", "a: &a {b: c}\nrules:\n- <<: *a\n"},
		{"tags", strings.Repeat("!!binary ", 100_000) + "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			if _, err := with(t, map[string]string{"p.yaml": tt.text}); err == nil {
				t.Error("not refused")
			} else if len(err.Error()) > 20_000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if d := time.Since(start); d > soon {
				t.Errorf("took %v", d)
			}
		})
	}
}
