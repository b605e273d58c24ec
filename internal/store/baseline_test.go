package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/check/password"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

const (
	keyPackages  = "packages-0123456789abcdef"
	keyBaseline  = "baseline-0123456789abcdef"
	keyPasswords = "passwords-0123456789abcdef"
)

// settled are the files of an image whose SSH daemon says so and whose accounts
// are these.
func settled(sshd, passwd, shadow string) map[string]string {
	return map[string]string{"/etc/ssh/sshd_config": sshd, "/etc/passwd": passwd, "/etc/shadow": shadow}
}

const passwdRoot = "root:x:0:0:root:/root:/bin/sh\nsvc:x:9:9::/:/usr/sbin/nologin\n"

// settings are what the analysers make of files.
func settings(t *testing.T, files map[string]string) (base, pass []report.Setting) {
	t.Helper()
	tell := func(list []report.Setting, a analyze.Analyzer, path, content string) []report.Setting {
		f := analyzetest.File(path, []byte(content))
		if !a.Wants(path, f.Info) {
			return list
		}
		facts, err := a.Analyze(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if facts != nil {
			list = append(list, facts.Settings...)
		}
		return list
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		base = tell(base, baseline.NewAnalyzer(), path, files[path])
		base = tell(base, password.NewRulesAnalyzer(), path, files[path])
		pass = tell(pass, password.NewAnalyzer(nil), path, files[path])
	}
	return base, pass
}

// scanSettled scans images by number; one of nil files is looked at for packages
// only. All have the name "web" and their number for a version.
func (w *world) scanSettled(k auth.Key, files map[int]map[string]string) {
	w.t.Helper()
	if _, err := w.Scan(w.t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
		w.t.Fatal(err)
	}
	for _, j := range w.sync(k, maxLease, nil, nil).Jobs {
		for n, f := range files {
			if configDigest(n) != j.ConfigDigest {
				continue
			}
			if err := w.finishSettled(k, j, n, f); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) finishSettled(k auth.Key, j fleet.Job, n int, files map[string]string) error {
	w.t.Helper()
	l := layer(n)
	l.Analyzers = keyPackages
	parts, keys := []*report.LayerReport{l}, []string{keyPackages}
	if files != nil {
		base, pass := settings(w.t, files)
		keys = append(keys, keyBaseline, keyPasswords)
		parts = append(parts, &report.LayerReport{DiffID: l.DiffID, Analyzers: keyBaseline, Complete: true, Settings: base},
			&report.LayerReport{DiffID: l.DiffID, Analyzers: keyPasswords, Complete: true, Settings: pass})
	}
	for _, r := range parts {
		if err := w.PutLayer(w.t.Context(), r); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.Finish(w.t.Context(), k, j.ID, fleet.FinishRequest{Image: &fleet.ImageReport{
		ConfigDigest: j.ConfigDigest, Analyzers: report.JoinKeys(keys), DiffIDs: []image.Digest{digest(n)}, Config: config(n)}}, w.ms())
}

// baselineWorld is four scanned images: 1 and 2 set badly in the same way, 3
// well, 4 not looked at.
func baselineWorld(t *testing.T) (*world, auth.Key) {
	t.Helper()
	w := newWorld(t)
	var states []fleet.ImageState
	for n := 1; n <= 4; n++ {
		states = append(states, state(n, ref("web", fmt.Sprint(n))))
	}
	k := w.agent("node", states...)
	bad := settled("PermitRootLogin yes\n", passwdRoot, "root::20000:0:99999:7:::\nsvc:!:20000::::::\n")
	w.scanSettled(k, map[int]map[string]string{1: bad, 2: bad, 3: settled("PermitRootLogin no\n", passwdRoot, "root:*:20000:0:99999:7:::\nsvc:!:20000::::::\n"), 4: nil})
	return w, k
}

// number is the result of a query of one number.
func (w *world) number(query string, args ...any) (n int64) {
	w.t.Helper()
	if err := w.read.QueryRowContext(w.t.Context(), query, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// answer is "failed images" of a rule, or "" if it is not listed.
func (w *world) answer(rule string, f BaselineFilter) string {
	w.t.Helper()
	f.Standard = baseline.CNStandard
	rows, total, err := w.BaselineRulesOf(w.t.Context(), []string{w.project()}, f, Page{Limit: 1000})
	if err != nil || total != int64(len(rows)) {
		w.t.Fatalf("%d of %d, %v", len(rows), total, err)
	}
	for _, r := range rows {
		if r.Rule.ID == rule {
			return fmt.Sprint(r.Failed, " ", r.ImageNum)
		}
	}
	return ""
}

func TestBaselines(t *testing.T) { onEngines(t, testBaselines) }

func testBaselines(t *testing.T) {
	w, _ := baselineWorld(t)
	images := w.images()
	one := func(v string) ImageSelector { return ImageSelector{ID: images["web:"+v].ID} }
	for _, tc := range []struct {
		name string
		f    BaselineFilter
		want string
	}{
		{"all", BaselineFilter{}, "true 2"},
		{"bad", BaselineFilter{Images: one("1")}, "true 1"},
		{"good", BaselineFilter{Images: one("3")}, "false 1"},
		{"not looked at", BaselineFilter{Images: one("4")}, ""},
		{"name", BaselineFilter{Images: ImageSelector{Name: "eb", Version: "3"}}, "false 1"},
		{"version alone", BaselineFilter{Images: ImageSelector{Version: "3"}}, "true 2"},
		{"passed", BaselineFilter{Failed: new(false)}, ""},
		{"baseline", BaselineFilter{CheckName: "SSH", Severity: baseline.SeverityHigh, Name: "Root does"}, "true 2"},
		{"another baseline", BaselineFilter{CheckName: "Docker"}, ""},
		{"another name", BaselineFilter{Name: "root does"}, ""},
		{"another severity", BaselineFilter{Severity: baseline.SeverityLow}, ""},
	} {
		if got := w.answer("SSH-01", tc.f); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	for _, f := range []BaselineFilter{{Images: ImageSelector{ID: "nope"}}, {CheckName: "Nope"}, {CheckName: baseline.CheckNameOS}} {
		if _, _, err := w.BaselineRulesOf(t.Context(), []string{w.project()}, f, Page{Limit: 10}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if rows, total, err := w.Baselines(t.Context(), []string{"other"}, BaselineFilter{}, Page{Limit: 10}); err != nil || total != 0 || len(rows) != 0 {
		t.Errorf("another project: %v, %v", rows, err)
	}

	// Lists agree with each other, and with the count of the content.
	rows, _, err := w.Baselines(t.Context(), []string{w.project()}, BaselineFilter{Images: one("1")}, Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var failed int64
	for _, b := range rows {
		listed, total, err := w.BaselineRulesOf(t.Context(), []string{w.project()}, BaselineFilter{Images: one("1"), CheckName: b.CheckName, Standard: b.Standard, Failed: new(true)}, Page{Limit: 1000})
		if err != nil || total != b.Failed {
			t.Errorf("%s %s: %d failed, %d listed, %v", b.CheckName, b.Standard, b.Failed, total, err)
		}
		if (b.Severity == baseline.SeveritySecurity) != (len(listed) == 0) || b.About == "" {
			t.Errorf("%+v", b)
		}
		if b.Standard == baseline.CNStandard {
			failed += total
		}
	}
	unsafe, err := w.Unsafe(t.Context(), w.project(), one("1"))
	if err != nil || *unsafe.Rules < failed || failed == 0 || *unsafe.WeakPasswords != 1 || *unsafe.Complexity != 1 {
		t.Errorf("%v, %d failed, %v", unsafe, failed, err)
	}
	if all, err := w.Unsafe(t.Context(), w.project(), ImageSelector{}); err != nil || *all.WeakPasswords != 2 || *all.Complexity != 3 {
		t.Errorf("%v, %v", all, err)
	}
	if n, err := w.Unsafe(t.Context(), w.project(), one("4")); err != nil || n != (Unsafe{}) {
		t.Errorf("not looked at: %v, %v", n, err)
	}
	if n := w.number(`SELECT COUNT(*) FROM content_check WHERE name = 'baseline' AND severity = $1`, report.SeverityRank(report.SeverityHigh)); n < 2 {
		t.Errorf("%d contents are at high risk", n)
	}

	key := RuleKey{"SSH-01", "SSH", baseline.HWStandard}
	for name, tc := range map[string]struct {
		failed *bool
		want   string
	}{"all": {nil, "1true 2true 3false "}, "failed": {new(true), "1true 2true "}, "passed": {new(false), "3false "}} {
		rows, total, err := w.RuleImages(t.Context(), w.project(), key, tc.failed, Page{Limit: 10})
		var got strings.Builder
		for _, r := range rows {
			fmt.Fprintf(&got, "%s%v ", r.Version, r.Failed)
		}
		if err != nil || got.String() != tc.want || total != int64(len(rows)) {
			t.Errorf("%s: %q, %v", name, got.String(), err)
		}
	}
	for _, k := range []RuleKey{{"NOPE", "SSH", key.Standard}, {key.Rule, "Nginx", key.Standard}, {key.Rule, "SSH", "x"}, {"ACC-01", "SSH", key.Standard}} {
		if _, _, err := w.RuleImages(t.Context(), w.project(), k, nil, Page{Limit: 10}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%v: %v", k, err)
		}
	}
	rule, cases, err := w.RuleDetail(t.Context(), w.project(), key, ImageSelector{Name: "web"})
	if err != nil || rule.ID != "SSH-01" || len(cases) != 1 || cases[0].Found != "yes" || cases[0].Pass {
		t.Errorf("detail: %+v, %v", cases, err)
	}
	if _, cases, err := w.RuleDetail(t.Context(), w.project(), key, one("3")); err != nil || len(cases) != 1 || cases[0].Found != "no" || !cases[0].Pass {
		t.Errorf("detail: %+v, %v", cases, err)
	}
}

// Contents with the same answers share them, and the last one takes them along.
func TestBaselinesAreShared(t *testing.T) { onEngines(t, testBaselinesAreShared) }

func testBaselinesAreShared(t *testing.T) {
	w, k := baselineWorld(t)
	all, distinct := w.number(`SELECT COUNT(*) FROM content_baseline`), w.number(`SELECT COUNT(*) FROM baseline`)
	if distinct >= all || distinct == 0 {
		t.Errorf("%d baselines for %d uses", distinct, all)
	}
	lonely := w.number(`SELECT COUNT(*) FROM (SELECT baseline_id FROM content_baseline GROUP BY baseline_id HAVING COUNT(*) = 1) t`)
	if lonely == 0 {
		t.Fatal("nothing is lonely")
	}
	orphans := func(name string) {
		t.Helper()
		for _, q := range []string{
			`SELECT COUNT(*) FROM baseline WHERE id NOT IN (SELECT baseline_id FROM content_baseline)`,
			`SELECT COUNT(*) FROM baseline_rule WHERE baseline_id NOT IN (SELECT id FROM baseline)`,
			`SELECT COUNT(*) FROM baseline WHERE id NOT IN (SELECT baseline_id FROM baseline_rule)`,
			`SELECT COUNT(*) FROM content_baseline WHERE baseline_id NOT IN (SELECT id FROM baseline)`,
		} {
			if n := w.number(q); n != 0 {
				t.Errorf("%s: %d: %s", name, n, q)
			}
		}
	}
	orphans("scanned")
	// The third goes.
	w.sync(k, 0, nil, []fleet.ImageState{state(1, ref("web", "1")), state(2, ref("web", "2"))})
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	if n := w.number(`SELECT COUNT(*) FROM baseline`); n >= distinct || n == 0 {
		t.Errorf("%d baselines are left of %d", n, distinct)
	}
	orphans("one gone")
	w.sync(k, 0, nil, []fleet.ImageState{})
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"baseline", "baseline_rule", "content_baseline", "baseline_check", "password_account", "password_rules", "content_check"} {
		if n := w.number(`SELECT COUNT(*) FROM ` + table); n != 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
	}
}

// ours is the program's set with a rule more, which nobody keeps.
func ours(t *testing.T, id string) *baseline.RuleSet {
	t.Helper()
	set, err := baseline.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	set, err = set.With(fstest.MapFS{"ours.yaml": {Data: []byte(`rules:
- id: ` + id + `
  name: The daemon listens on our port
  check_name: SSH
  severity: Medium
  found: sshd.options.opt("port", "22")
  pass: found == "2222"
  wanted: Port 2222
  description: Why it matters.
  audit: How a person would look.
  remediation: What to do.
  reference: What else says so.
`)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestRecheckBaseline(t *testing.T) { onEngines(t, testRecheckBaseline) }

func testRecheckBaseline(t *testing.T) {
	w, k := baselineWorld(t)
	recheck := func() int {
		t.Helper()
		n, err := w.RecheckBaseline(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := recheck(); n != 0 {
		t.Errorf("with the same rules: %d", n)
	}
	before := w.number(`SELECT SUM(num) FROM content_check WHERE name = 'baseline'`)
	uploads := w.number(`SELECT COUNT(*) FROM scan_job`)
	w.SetBaselineRules(ours(t, "OURS-1"))
	if n := recheck(); n != 3 {
		t.Errorf("%d contents", n)
	}
	if got := w.answer("OURS-1", BaselineFilter{}); got != "true 3" {
		t.Errorf("the new rule: %q", got)
	}
	if got := w.answer("SSH-01", BaselineFilter{}); got != "true 2" {
		t.Errorf("an old rule: %q", got)
	}
	if n := w.number(`SELECT SUM(num) FROM content_check WHERE name = 'baseline'`); n != before+3 {
		t.Errorf("%d failed before, %d now", before, n)
	}
	if n := recheck(); n != 0 {
		t.Errorf("again: %d", n)
	}
	// Back: the rule is in no answer at once, and its rows go.
	set, err := baseline.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	w.SetBaselineRules(set)
	if got := w.answer("OURS-1", BaselineFilter{}); got != "" {
		t.Errorf("the rule that is gone: %q", got)
	}
	if n := recheck(); n != 3 {
		t.Errorf("%d contents", n)
	}
	if n := w.number(`SELECT COUNT(*) FROM baseline_rule WHERE rule_id = 'OURS-1'`); n != 0 {
		t.Errorf("%d rows of a rule that is gone", n)
	}
	if n := w.number(`SELECT COUNT(*) FROM scan_job`); n != uploads || len(w.sync(k, maxLease, nil, nil).Jobs) != 0 {
		t.Errorf("%d jobs: something was scanned again", n-uploads)
	}

	// Without its reports a content stays as it is, and is not tried for ever.
	if _, err := w.write.ExecContext(t.Context(), `DELETE FROM layer_report WHERE diff_id = $1 AND analyzers = $2`, string(digest(1)), keyBaseline); err != nil {
		t.Fatal(err)
	}
	w.SetBaselineRules(ours(t, "OURS-2"))
	if n := recheck(); n != 3 {
		t.Errorf("%d contents", n)
	}
	if got := w.answer("OURS-2", BaselineFilter{}); got != "true 2" {
		t.Errorf("the new rule: %q", got)
	}
	if got := w.answer("SSH-01", BaselineFilter{}); got != "true 2" {
		t.Errorf("an old rule: %q", got)
	}
	if _, cases, err := w.RuleDetail(t.Context(), w.project(), RuleKey{"SSH-01", "SSH", baseline.CNStandard}, ImageSelector{ID: w.images()["web:1"].ID}); err != nil || cases != nil {
		t.Errorf("detail without a report: %v, %v", cases, err)
	}
}

// Run checks anew as soon as other rules are set.
func TestRunRechecksBaseline(t *testing.T) {
	w, _ := baselineWorld(t)
	w.Store.cfg.Advisories = nil
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for _, id := range []string{"OURS-1", "OURS-2"} {
		w.SetBaselineRules(ours(t, id))
		for deadline := time.Now().Add(20 * time.Second); w.answer(id, BaselineFilter{}) != "true 3"; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %q", id, w.answer(id, BaselineFilter{}))
			}
		}
	}
}

// A scan that was judged by rules that are not in use any more is judged anew.
func TestRulesChangeDuringAScan(t *testing.T) {
	w, _ := baselineWorld(t)
	out := &outcome{judgement: &judgement{rules: "old"}}
	w.recheckSoonIf(&outcome{})
	if len(w.rulesChanged) != 0 {
		t.Error("woken for nothing")
	}
	w.recheckSoonIf(out)
	if len(w.rulesChanged) != 1 {
		t.Error("not woken")
	}
}

// What a scan says replaces what the one before said.
func TestBaselineIsReplaced(t *testing.T) {
	w, k := baselineWorld(t)
	good := settled("PermitRootLogin no\n", passwdRoot, "root:*:20000:0:99999:7:::\nsvc:!:20000::::::\n")
	// The layers are read anew, as with other analysers.
	if _, err := w.write.ExecContext(t.Context(), `DELETE FROM layer_report`); err != nil {
		t.Fatal(err)
	}
	w.scanSettled(k, map[int]map[string]string{1: good, 2: good, 3: good, 4: nil})
	if got := w.answer("SSH-01", BaselineFilter{}); got != "false 3" {
		t.Errorf("got %q", got)
	}
	if rows, total, err := w.WeakAccounts(t.Context(), w.project(), ImageSelector{}, "", Page{Limit: 10}); err != nil || total != 0 {
		t.Errorf("%v, %v", rows, err)
	}
}

// Facts that cannot be read are not taken for good ones.
func TestDamagedFacts(t *testing.T) {
	for _, kind := range []string{report.SettingBaseline, report.SettingAccounts, report.SettingRules} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			k := w.agent("node", state(1, ref("web", "1")))
			if _, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
				t.Fatal(err)
			}
			bad := []report.Setting{{Kind: kind, Path: "/etc/shadow", Body: json.RawMessage(`["secret"]`)}}
			l := layer(1)
			l.Analyzers = keyPackages
			for _, r := range []*report.LayerReport{l, {DiffID: l.DiffID, Analyzers: keyBaseline, Complete: true, Settings: bad}, {DiffID: l.DiffID, Analyzers: keyPasswords, Complete: true}} {
				if err := w.PutLayer(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			for _, j := range w.sync(k, maxLease, nil, nil).Jobs {
				err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Image: &fleet.ImageReport{ConfigDigest: j.ConfigDigest,
					Analyzers: report.JoinKeys([]string{keyPackages, keyBaseline, keyPasswords}), DiffIDs: []image.Digest{digest(1)}, Config: config(1)}}, w.ms())
				if fault.CodeOf(err) != fault.Invalid || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v", err)
				}
			}
			if n := w.number(`SELECT COUNT(*) FROM content_check`); n != 0 {
				t.Errorf("%d checks are stored", n)
			}
		})
	}
}

// Whatever differs in the answers makes another baseline.
func TestAnswersHaveOneID(t *testing.T) {
	a := answers{checkName: "SSH", standard: "s", rules: []ruleAnswer{{"a", true, 3}, {"b", false, 2}}}
	for name, change := range map[string]func(*answers){
		"name":     func(a *answers) { a.checkName = "Nginx" },
		"standard": func(a *answers) { a.standard = "t" },
		"failed":   func(a *answers) { a.rules[1].failed = true },
		"severity": func(a *answers) { a.rules[1].severity = 1 },
		"rule":     func(a *answers) { a.rules[1].rule = "c" },
		"fewer":    func(a *answers) { a.rules = a.rules[:1] },
	} {
		b := a
		b.rules = slices.Clone(a.rules)
		change(&b)
		if a.id() == b.id() {
			t.Errorf("another %s has the same id", name)
		}
	}
}
