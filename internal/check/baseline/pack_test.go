package baseline

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const goodRule = `rules:
- id: OURS-1
  name: The daemon listens where we say
  check_name: Ours
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
		"ours.yaml": goodRule,
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
		{"check name", replace("check_name: Ours", "check_name: a/b"), []string{`check_name "a/b"`}},
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
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}
