package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// Keys of the checks, as agents make them.
const (
	packagesKey = "packages-0123456789abcdef"
	secretsKey  = "secrets-0123456789abcdef"
	malwareKey  = "malware-0123456789abcdef"
)

// A plantedLayer is what the checks have found in a layer.
type plantedLayer struct {
	n       int
	secrets []report.Secret
	malware []report.Malware
	hides   []string // files of the layers below
}

// A plantedImage is an image with its layers. checks are the keys of the checks
// that its scan made.
type plantedImage struct {
	name   string
	layers []plantedLayer
	env    []string
	checks []string
}

func (p plantedImage) config() json.RawMessage {
	ids := []string{}
	history := []map[string]any{}
	for _, l := range p.layers {
		ids = append(ids, string(digest(l.n)))
		history = append(history, map[string]any{"created_by": fmt.Sprintf("COPY %d /", l.n)})
	}
	b, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids},
		"config": map[string]any{"Env": p.env, "Labels": map[string]string{"of": p.name}}, "history": history,
	})
	if err != nil {
		panic(err)
	}
	return b
}

// reports are those of a layer, one for each check.
func (l plantedLayer) reports() []*report.LayerReport {
	files := &report.LayerReport{DiffID: string(digest(l.n)), Analyzers: packagesKey, Complete: true, Whiteouts: l.hides}
	return []*report.LayerReport{
		files,
		{DiffID: string(digest(l.n)), Analyzers: secretsKey, Complete: true, Secrets: l.secrets},
		{DiffID: string(digest(l.n)), Analyzers: malwareKey, Complete: true, Malware: l.malware},
	}
}

// plant lets an agent hold images, and scans them.
func (w *world) plant(images ...plantedImage) auth.Key {
	w.t.Helper()
	var states []fleet.ImageState
	for i, p := range images {
		s := state(i+1, ref(p.name, "1"))
		s.ConfigDigest = image.DigestOf(p.config())
		states = append(states, s)
	}
	k := w.agent("node", states...)
	w.scanPlanted(k, images...)
	return k
}

func (w *world) scanPlanted(k auth.Key, images ...plantedImage) {
	w.t.Helper()
	if _, err := w.Scan(w.t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
		w.t.Fatal(err)
	}
	for {
		jobs := w.sync(k, maxLease, nil, nil).Jobs
		if len(jobs) == 0 {
			return
		}
		for _, j := range jobs {
			i := slices.IndexFunc(images, func(p plantedImage) bool { return image.DigestOf(p.config()) == j.ConfigDigest })
			if i < 0 {
				w.t.Fatalf("job for %s", j.ConfigDigest)
			}
			w.finishPlanted(k, j.ID, images[i])
		}
	}
}

func (w *world) finishPlanted(k auth.Key, job string, p plantedImage) {
	w.t.Helper()
	cfg, err := image.ParseConfig(p.config())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range p.layers {
		for _, r := range l.reports() {
			if !slices.Contains(p.checks, r.Analyzers) {
				continue
			}
			if err := w.PutLayer(w.t.Context(), r); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	img := &fleet.ImageReport{ConfigDigest: image.DigestOf(p.config()), Analyzers: report.JoinKeys(p.checks), DiffIDs: cfg.DiffIDs, Config: p.config()}
	if err := w.Finish(w.t.Context(), k, job, fleet.FinishRequest{Image: img}, w.ms()); err != nil {
		w.t.Fatal(err)
	}
}

// found are the secrets of a file, found by the rules.
func found(t *testing.T, path, content string) []report.Secret {
	t.Helper()
	e, err := secret.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.ScanBytes(t.Context(), path, []byte(content))
	if err != nil || len(out) == 0 {
		t.Fatalf("%s: %v, %v", path, out, err)
	}
	return secret.Reported(out)
}

// token is one of a forge, made here as password is.
var token = "ghp_" + (rand.Text() + rand.Text())[:36]

var allChecks = []string{packagesKey, secretsKey, malwareKey}

// secretImages are two images on one base with a password and a token, of which
// the second hides the first and has a password in its environment; a clean
// one; and one that was not looked at for secrets.
func secretImages(t *testing.T) []plantedImage {
	base := plantedLayer{n: 1, secrets: slices.Concat(
		found(t, "/srv/app/db.ini", "[db]\npassword = "+leaked+"\n"),
		found(t, "/srv/app/ci.yml", "x: 1\ntoken: "+token+"\n"),
	)}
	return []plantedImage{
		{name: "first", layers: []plantedLayer{base}, checks: allChecks},
		{name: "second", layers: []plantedLayer{base, {n: 2, hides: []string{"/srv/app/db.ini"}}}, env: []string{"DB_PASSWORD=" + leaked}, checks: allChecks},
		{name: "clean", layers: []plantedLayer{{n: 3}}, checks: allChecks},
		{name: "unseen", layers: []plantedLayer{{n: 4}}, env: []string{"DB_PASSWORD=" + leaked}, checks: []string{packagesKey}},
	}
}

// secretsOf are "path handled deleted" of an image, or of all for "".
func (w *world) secretsOf(name string, f SecretFilter, p Page) []string {
	w.t.Helper()
	var rows []Secret
	var total int64
	var err error
	if name == "" {
		rows, total, err = w.AllSecrets(w.t.Context(), w.project(), f, p)
	} else {
		rows, total, err = w.Secrets(w.t.Context(), w.project(), w.images()[name+":1"].ID, f, p)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{fmt.Sprint("of ", total)}
	for _, r := range rows {
		if r.ScanTime == 0 || r.Rule == "" || r.Title == "" || r.Masked == "" || len(r.ID) != 16 {
			w.t.Errorf("row %+v", r)
		}
		s := r.Path
		if r.Handled {
			s += " handled"
		}
		if r.Action != "" {
			s += " " + r.Action
		}
		if r.Deleted {
			s += " deleted"
		}
		out = append(out, s)
	}
	return out
}

// checkOf is "num severity" of an image and a check; "" if it was not made.
func (w *world) checkOf(name, check string) string {
	w.t.Helper()
	content, err := w.contentOf(w.t.Context(), w.project(), w.images()[name+":1"].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	out := ""
	err = w.inView(w.t.Context(), func(tx *sql.Tx) error {
		return each(w.t.Context(), tx, `SELECT num, severity FROM content_check WHERE content_id = $1 AND name = $2`, []any{content, check}, func(r *sql.Rows) error {
			var num, severity int64
			err := r.Scan(&num, &severity)
			out = fmt.Sprint(num, " ", report.SeverityName(severity))
			return err
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// counts are those of secrets, by image.
func (w *world) counts(check string) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"first", "second", "clean", "unseen"} {
		out[name] = w.checkOf(name, check)
	}
	return out
}

func (w *world) secretNamed(path string) Secret {
	w.t.Helper()
	rows, _, err := w.AllSecrets(w.t.Context(), w.project(), SecretFilter{Path: path}, Page{Limit: 10})
	if err != nil || len(rows) != 1 {
		w.t.Fatalf("%s: %+v, %v", path, rows, err)
	}
	return rows[0]
}

func TestSecrets(t *testing.T) { onEngines(t, testSecrets) }

func testSecrets(t *testing.T) {
	w := newWorld(t)
	w.plant(secretImages(t)...)
	page := Page{Limit: 10}
	yes, no := true, false
	env, ini, ci := "env:DB_PASSWORD", "/srv/app/db.ini", "/srv/app/ci.yml"
	for _, tc := range []struct {
		name, image string
		f           SecretFilter
		p           Page
		want        []string
	}{
		{"first", "first", SecretFilter{}, page, []string{"of 2", ci, ini}},
		{"second", "second", SecretFilter{}, page, []string{"of 3", ci, ini + " deleted", env}},
		{"clean", "clean", SecretFilter{}, page, []string{"of 0"}},
		{"not looked at", "unseen", SecretFilter{}, page, []string{"of 0"}},
		{"path", "second", SecretFilter{Path: "app/c"}, page, []string{"of 1", ci}},
		{"severity", "second", SecretFilter{Severity: report.SeverityCritical}, page, []string{"of 1", ci}},
		{"another severity", "second", SecretFilter{Severity: report.SeverityLow}, page, []string{"of 0"}},
		{"open", "second", SecretFilter{Handled: &no}, page, []string{"of 3", ci, ini + " deleted", env}},
		{"handled", "second", SecretFilter{Handled: &yes}, page, []string{"of 0"}},
		{"second page", "second", SecretFilter{}, Page{Offset: 1, Limit: 1}, []string{"of 3", ini + " deleted"}},
		{"past the end", "second", SecretFilter{}, Page{Offset: 5, Limit: 10}, []string{"of 3"}},
		{"all", "", SecretFilter{Path: "/srv"}, page, []string{"of 2", ci, ini}},
		{"all, short page", "", SecretFilter{}, Page{Limit: 1}, []string{"of 3", ci}},
	} {
		if d := cmp.Diff(tc.want, w.secretsOf(tc.image, tc.f, tc.p)); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
	want := map[string]string{"first": "2 Critical", "second": "3 Critical", "clean": "0 Unknown", "unseen": ""}
	if d := cmp.Diff(want, w.counts(report.CheckSecrets)); d != "" {
		t.Error(d)
	}
	got := w.secretNamed(ini)
	if got.Line != 2 || got.Layer != string(digest(1)) || got.Length != len(leaked) || strings.Contains(got.Context+got.Masked, leaked) {
		t.Errorf("%+v", got)
	}
	for name, f := range map[string]func() error{
		"image": func() error {
			_, _, err := w.Secrets(t.Context(), w.project(), "nope", SecretFilter{}, page)
			return err
		},
		"image of another project": func() error {
			_, _, err := w.Secrets(t.Context(), "other", w.images()["first:1"].ID, SecretFilter{}, page)
			return err
		},
		"secret": func() error {
			return w.DecideSecret(t.Context(), w.project(), strings.Repeat("0", 16), SecretIgnore, Actor{Name: "AK"})
		},
		"secret that is no number": func() error { return w.DecideSecret(t.Context(), w.project(), "nope", SecretIgnore, Actor{Name: "AK"}) },
		"secret of another project": func() error {
			return w.DecideSecret(t.Context(), "other", got.ID, SecretIgnore, Actor{Name: "AK"})
		},
	} {
		if err := f(); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("unknown %s: %v", name, err)
		}
	}
	if err := w.DecideSecret(t.Context(), w.project(), got.ID, "forget", Actor{Name: "AK"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("unknown action: %v", err)
	}
	if rows, total, err := w.AllSecrets(t.Context(), "other", SecretFilter{}, page); err != nil || total != 0 || len(rows) != 0 {
		t.Errorf("another project: %v, %v", rows, err)
	}
}

// A decision holds for all images with the layer, and over scans, also if the
// secret was gone meanwhile.
func TestDecideSecret(t *testing.T) { onEngines(t, testDecideSecret) }

func testDecideSecret(t *testing.T) {
	w := newWorld(t)
	images := secretImages(t)
	k := w.plant(images...)
	ci := w.secretNamed("/srv/app/ci.yml")
	decide := func(action string) {
		t.Helper()
		by := Actor{Name: "AKOPERATOR", IP: "10.0.0.9"}
		if err := w.DecideSecret(t.Context(), w.project(), ci.ID, action, by); err != nil {
			t.Fatal(err)
		}
		logged := w.imageLog(LogFilter{User: by.Name})
		if e := logged[len(logged)-1]; e.Type != LogSensitive || e.Name != "sensitive_info_"+map[string]string{SecretIgnore: "ignored", SecretDoNotIgnore: "not_ignored"}[action] || e.Resource != ci.ID || e.By != by {
			t.Errorf("%s: logged %+v", action, e)
		}
	}
	check := func(when string, first, second string) {
		t.Helper()
		want := map[string]string{"first": first, "second": second, "clean": "0 Unknown", "unseen": ""}
		if d := cmp.Diff(want, w.counts(report.CheckSecrets)); d != "" {
			t.Errorf("%s: %s", when, d)
		}
	}
	decide(SecretIgnore)
	decide(SecretIgnore) // again
	check("ignored", "1 Medium", "2 Medium")
	want := []string{"of 2", "/srv/app/ci.yml handled ignore", "/srv/app/db.ini"}
	if d := cmp.Diff(want, w.secretsOf("first", SecretFilter{}, Page{Limit: 10})); d != "" {
		t.Error(d)
	}
	yes := true
	if d := cmp.Diff(want[:2], append([]string{"of 2"}, w.secretsOf("first", SecretFilter{Handled: &yes}, Page{Limit: 10})[1:]...)); d != "" {
		t.Error(d)
	}
	w.scanPlanted(k, images...)
	check("scanned again", "1 Medium", "2 Medium")

	// Other rules find nothing, then the first ones again.
	forget := func() {
		t.Helper()
		if _, err := w.write.ExecContext(t.Context(), `DELETE FROM layer_report`); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	none := slices.Clone(images)
	none[0].layers = []plantedLayer{{n: 1}}
	none[1].layers = []plantedLayer{{n: 1}, {n: 2}}
	w.scanPlanted(k, none...)
	check("nothing found", "0 Unknown", "1 Medium")
	var left int
	if err := w.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM secret`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d secrets are left, %v", left, err)
	}
	forget()
	w.scanPlanted(k, images...)
	check("found again", "1 Medium", "2 Medium")
	if got := w.secretNamed("/srv/app/ci.yml"); got.ID != ci.ID || got.Action != SecretIgnore || !got.Handled {
		t.Errorf("%+v", got)
	}

	decide(SecretDoNotIgnore)
	check("not ignored", "2 Critical", "3 Critical")
	if got := w.secretNamed("/srv/app/ci.yml"); got.Action != SecretDoNotIgnore || got.Handled {
		t.Errorf("%+v", got)
	}
	var by string
	var at int64
	if err := w.read.QueryRowContext(t.Context(), `SELECT decided_by, decided_at FROM secret_decision`).Scan(&by, &at); err != nil || by != "AKOPERATOR" || at != w.ms() {
		t.Errorf("%s %d, %v", by, at, err)
	}
}

func TestPaths(t *testing.T) { onEngines(t, testPaths) }

func testPaths(t *testing.T) {
	w := newWorld(t)
	images := secretImages(t)
	k := w.plant(images...)
	set := func(by string, paths ...string) {
		t.Helper()
		if err := w.SetPaths(t.Context(), w.project(), paths, Actor{Name: by}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, first, second string) {
		t.Helper()
		want := map[string]string{"first": first, "second": second, "clean": "0 Unknown", "unseen": ""}
		if d := cmp.Diff(want, w.counts(report.CheckSecrets)); d != "" {
			t.Errorf("%s: %s", when, d)
		}
	}
	set("AK1", "/srv/app/ci.yml", "/nothing/here", "/srv/app/ci.yml")
	check("a file", "1 Medium", "2 Medium")
	if d := cmp.Diff([]string{"of 2", "/srv/app/ci.yml handled", "/srv/app/db.ini"}, w.secretsOf("first", SecretFilter{}, Page{Limit: 10})); d != "" {
		t.Error(d)
	}
	first := w.ms()
	w.add(time.Hour)
	set("AK2", "/srv/", "/nothing/here")
	check("a directory", "0 Unknown", "1 Medium")
	got, err := w.Paths(t.Context(), w.project())
	want := []ListedPath{{"/srv/", "AK2", w.ms()}, {"/nothing/here", "AK1", first}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v: %s", err, d)
	}
	// A scan holds what it finds against the list.
	w.scanPlanted(k, images...)
	check("scanned again", "0 Unknown", "1 Medium")
	set("AK2", "env:*", "**/db.ini")
	check("patterns", "1 Critical", "1 Critical")
	if err := w.SetPaths(t.Context(), w.project(), []string{"srv"}, Actor{Name: "AK"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("%v", err)
	}
	check("refused", "1 Critical", "1 Critical")
	set("AK2")
	check("empty", "2 Critical", "3 Critical")
	if got, err := w.Paths(t.Context(), "other"); err != nil || len(got) != 0 {
		t.Errorf("another project: %v, %v", got, err)
	}
}

// What a request has left undone is done later.
func TestSettleSecrets(t *testing.T) {
	w := newWorld(t)
	w.plant(secretImages(t)...)
	err := w.inTx(t.Context(), func(tx *sql.Tx) error {
		return w.putPaths(t.Context(), tx, w.project(), []string{"/srv"}, Actor{Name: "AK"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.checkOf("first", report.CheckSecrets); got != "2 Critical" {
		t.Errorf("before: %s", got)
	}
	w.reopen()
	if err := w.settleSecrets(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.checkOf("first", report.CheckSecrets); got != "0 Unknown" {
		t.Errorf("after: %s", got)
	}
	// Only the count is left.
	for _, statement := range []string{`UPDATE content_check SET num = 99`, `INSERT INTO secret_recount (content_id) SELECT content_id FROM content_check WHERE name = 'secrets'`} {
		if _, err := w.write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.settleSecrets(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.counts(report.CheckSecrets); got["first"] != "0 Unknown" || got["second"] != "1 Medium" || w.rowNum("secret_recount") != 0 {
		t.Errorf("counted anew: %v", got)
	}
}

// Rows go with the content.
func TestSecretsGo(t *testing.T) {
	w := newWorld(t)
	k := w.plant(secretImages(t)...)
	if n := w.rowNum("secret"); n != 3 {
		t.Errorf("%d secrets", n)
	}
	w.sync(k, 0, nil, []fleet.ImageState{})
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"secret", "content_secret", "content_check", "malware"} {
		if n := w.rowNum(table); n != 0 {
			t.Errorf("%d rows of %s after the content has gone", n, table)
		}
	}
}

// No value is in the database: not in what was found, and not in the image
// configuration.
func TestNoSecretIsKept(t *testing.T) {
	w := newWorld(t)
	w.plant(secretImages(t)...)
	merged, err := w.Merged(t.Context(), w.project(), w.images()["second:1"].ID)
	if err != nil || len(merged.Config.Env) != 1 || merged.Config.Env[0] != "DB_PASSWORD="+leaked {
		t.Errorf("the configuration is not read again: %+v, %v", merged, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := filepath.Glob(w.path + "*")
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{leaked, token} {
			if strings.Contains(string(b), value) {
				t.Errorf("%s holds a secret", filepath.Base(e))
			}
		}
		if !strings.Contains(string(b), "/srv/app/db.ini") && e == w.path {
			t.Error("the finding itself is not in the file: this test sees nothing")
		}
	}
}

// Configurations of older versions are sealed once.
func TestSealOldConfigs(t *testing.T) { onEngines(t, testSealOldConfigs) }

func testSealOldConfigs(t *testing.T) {
	w := newWorld(t)
	images := secretImages(t)
	w.plant(images...)
	for _, p := range images {
		content := contentID(w.project(), image.DigestOf(p.config()))
		if _, err := w.write.ExecContext(t.Context(), `UPDATE content_detail SET build_rules = '', config = $1 WHERE content_id = $2`, []byte(p.config()), content); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.RecheckBuild(t.Context()); n != len(images) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	for _, p := range images {
		content := contentID(w.project(), image.DigestOf(p.config()))
		var kept []byte
		if err := w.read.QueryRowContext(t.Context(), `SELECT config FROM content_detail WHERE content_id = $1`, content).Scan(&kept); err != nil {
			t.Fatal(err)
		}
		got, sealed, err := w.openConfig(content, kept)
		if err != nil || !sealed || string(got) != string(p.config()) || strings.Contains(string(kept), leaked) {
			t.Errorf("%s: sealed %v, %v: %s", p.name, sealed, err, got)
		}
		if _, _, err := w.openConfig(content+1, kept); err == nil {
			t.Errorf("%s: opens as that of another content", p.name)
		}
	}
}

func (w *world) rowNum(table string) (n int) {
	w.t.Helper()
	if err := w.read.QueryRowContext(context.WithoutCancel(w.t.Context()), `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestSecretRows(t *testing.T) {
	job := jobState{project: "p", config: digest(9)}
	x := report.Secret{Rule: "r", Severity: report.SeverityHigh, Path: "/a", Line: 1, Column: 1, Masked: "*", Layer: "sha256:1"}
	ids := func(secrets ...report.Secret) (out []int64) {
		for _, r := range secretRows(job, &outcome{inventory: report.Inventory{Secrets: secrets}}) {
			out = append(out, r.id)
		}
		return out
	}
	change := func(f func(*report.Secret)) report.Secret { y := x; f(&y); return y }
	base := ids(x)[0]
	for name, y := range map[string]report.Secret{
		"rule":   change(func(s *report.Secret) { s.Rule = "q" }),
		"path":   change(func(s *report.Secret) { s.Path = "/b" }),
		"line":   change(func(s *report.Secret) { s.Line = 2 }),
		"column": change(func(s *report.Secret) { s.Column = 2 }),
		"layer":  change(func(s *report.Secret) { s.Layer = "sha256:2" }),
	} {
		if got := ids(x, y); len(got) != 2 || got[0] == got[1] {
			t.Errorf("another %s: %v", name, got)
		}
	}
	// What a rule says of it may change.
	if got := ids(change(func(s *report.Secret) { s.Severity, s.Title, s.Masked, s.Length = report.SeverityLow, "t", "**", 5 })); got[0] != base {
		t.Error("the id changes with the severity")
	}
	nowhere := change(func(s *report.Secret) { s.Column = 0 })
	if got := ids(nowhere, nowhere); len(got) != 2 || got[0] == got[1] {
		t.Errorf("without a place of their own: %v", got)
	}
	// A layer that is there twice.
	hidden := change(func(s *report.Secret) { s.Deleted = true })
	rows := secretRows(job, &outcome{inventory: report.Inventory{Secrets: []report.Secret{hidden, x}}})
	if len(rows) != 1 || rows[0].Deleted {
		t.Errorf("%+v", rows)
	}
	many := make([]report.Secret, maxSecrets+5)
	for i := range many {
		many[i] = change(func(s *report.Secret) { s.Line, s.Severity = i, report.SeverityLow })
	}
	rows = secretRows(job, &outcome{inventory: report.Inventory{Secrets: append(many, x)}})
	if len(rows) != maxSecrets || rows[0].Severity != report.SeverityHigh {
		t.Errorf("%d rows, the first %+v", len(rows), rows[0])
	}
}

func TestPathList(t *testing.T) {
	for _, tc := range []struct {
		entry   string
		in, out []string
	}{
		{"/a/b", []string{"/a/b", "/a/b/c", "/a/b/c/d"}, []string{"/a/bc", "/a", "/x/a/b"}},
		{"/a/b/", []string{"/a/b", "/a/b/c"}, []string{"/a/bc"}},
		{"/", []string{"/a", "/a/b"}, []string{"env:A"}},
		{"/a/*.pem", []string{"/a/x.pem", "/a/.pem"}, []string{"/a/b/x.pem", "/a/xpem"}},
		{"/a/**/x.pem", []string{"/a/b/x.pem", "/a/b/c/x.pem"}, []string{"/b/x.pem"}},
		{"**/fixtures", []string{"/fixtures", "/a/fixtures", "/a/fixtures/b"}, []string{"/a/fixtures2", "env:fixtures"}},
		{"/srv/*/t?st", []string{"/srv/a/test", "/srv/a/tast/x"}, []string{"/srv/a/b/test", "/srv/a/t/st"}},
		{"env:DB_PASSWORD", []string{"env:DB_PASSWORD"}, []string{"env:DB_PASSWORD2", "/env:DB_PASSWORD"}},
		{"env:*", []string{"env:A"}, []string{"label:A"}},
		{"/a+(b)", []string{"/a+(b)"}, []string{"/aab"}},
	} {
		if err := checkListed(tc.entry); err != nil {
			t.Errorf("%s: %v", tc.entry, err)
		}
		l, err := newPathList([]string{tc.entry})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range tc.in {
			if !l.has(p) {
				t.Errorf("%s does not have %s", tc.entry, p)
			}
		}
		for _, p := range tc.out {
			if l.has(p) {
				t.Errorf("%s has %s", tc.entry, p)
			}
		}
	}
	for _, bad := range []string{"", "a", "*", "**", "**/", "*.pem", "/a/../b", "/a//b", "/a/./b", "/a\x00", "/a\n", "/a\xff", "env:", "/" + strings.Repeat("a", maxListedPath)} {
		if err := checkListed(bad); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	many := make([]string, maxListedPaths+1)
	for i := range many {
		many[i] = fmt.Sprintf("/%d", i)
	}
	w := newWorld(t)
	if err := w.SetPaths(t.Context(), w.project(), many, Actor{Name: "AK"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("too many: %v", err)
	}
	for i := range many {
		many[i] += "*"
	}
	if err := w.SetPaths(t.Context(), w.project(), many[:maxPatterns+1], Actor{Name: "AK"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("too many patterns: %v", err)
	}
	if _, err := newPathList(many[:maxPatterns]); err != nil {
		t.Error(err)
	}
}
