package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/check/password"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/report"
)

func TestWeakAccounts(t *testing.T) { onEngines(t, testWeakAccounts) }

func testWeakAccounts(t *testing.T) {
	w, _ := baselineWorld(t)
	images := w.images()
	for _, tc := range []struct {
		name string
		f    ImageSelector
		user string
		p    Page
		want []string
	}{
		{"all", ImageSelector{}, "", Page{Limit: 10}, []string{"of 2", "web:1 root", "web:2 root"}},
		{"second page", ImageSelector{}, "", Page{Limit: 10, Offset: 1}, []string{"of 2", "web:2 root"}},
		{"image", ImageSelector{ID: images["web:2"].ID, Name: "other"}, "oo", Page{Limit: 10}, []string{"of 1", "web:2 root"}},
		{"good", ImageSelector{Name: "web", Version: "3"}, "", Page{Limit: 10}, []string{"of 0"}},
		{"not looked at", ImageSelector{ID: images["web:4"].ID}, "", Page{Limit: 10}, []string{"of 0"}},
		{"user", ImageSelector{}, "svc", Page{Limit: 10}, []string{"of 0"}},
	} {
		rows, total, err := w.WeakAccounts(t.Context(), w.project(), tc.f, tc.user, tc.p)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{fmt.Sprint("of ", total)}
		for _, a := range rows {
			got = append(got, a.Name+":"+a.Version+" "+a.User)
			if a.Status != password.StatusEmpty || a.Service != password.ServiceSystem || a.Masked != "" || a.Days == 0 || a.ScanTime != w.ms() || a.Suggestion == "" {
				t.Errorf("%+v", a)
			}
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
	rows, total, err := w.Complexities(t.Context(), w.project(), ImageSelector{}, Page{Limit: 2})
	if err != nil || total != 3 || len(rows) != 2 || rows[0].Version != "1" || rows[0].Good || rows[0].Suggestion == "" {
		t.Errorf("%+v of %d, %v", rows, total, err)
	}
	for name, err := range map[string]error{
		"weak":       second(w.WeakAccounts(t.Context(), w.project(), ImageSelector{ID: "nope"}, "", Page{Limit: 1})),
		"complexity": second(w.Complexities(t.Context(), w.project(), ImageSelector{ID: "nope"}, Page{Limit: 1})),
		"project":    second(w.WeakAccounts(t.Context(), "other", ImageSelector{ID: images["web:1"].ID}, "", Page{Limit: 1})),
	} {
		if fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ []T, _ int64, err error) error { return err }

// A hostile image has any number of accounts.
func TestAccountsAreBounded(t *testing.T) {
	var r password.Result
	for i := range maxAccounts {
		r.Accounts = append(r.Accounts, password.Account{User: fmt.Sprint("u", i), Verdict: password.Verdict{Status: password.StatusUnverified, Reason: "x"}})
	}
	for i := range maxAccounts + 5 {
		r.Accounts = append(r.Accounts, password.Account{User: fmt.Sprint("w", i), Service: password.ServiceSystem, Verdict: password.Verdict{Status: password.StatusWeak}})
	}
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	p, err := checkPasswords(&outcome{analyzers: keyPasswords, inventory: report.Inventory{Settings: []report.Setting{{Kind: report.SettingAccounts, Path: "/etc/shadow", Body: body}}}})
	if err != nil {
		t.Fatal(err)
	}
	if p.num != maxAccounts+5 || len(p.accounts) != maxAccounts || !p.accounts[maxAccounts-1].Weak() || p.accounts[0].User != "w0" {
		t.Errorf("%d weak, %d kept, the first %q", p.num, len(p.accounts), p.accounts[0].User)
	}
	if p.severity != int64(report.SeverityRank(report.SeverityMedium)) {
		t.Errorf("nobody can log in, but the severity is %d", p.severity)
	}
	if p, err := checkPasswords(&outcome{analyzers: keyBaseline}); p != nil || err != nil {
		t.Errorf("not looked at: %v, %v", p, err)
	}
}

func TestWords(t *testing.T) { onEngines(t, testWords) }

func testWords(t *testing.T) {
	if fleet.MaxWords != password.MaxOwnWords || fleet.MaxWordBytes != password.MaxWordBytes {
		t.Error("the protocol does not carry the words that a project may have")
	}
	w := newWorld(t)
	k := w.agent("node")
	told := func(has string) fleet.SyncResponse {
		t.Helper()
		req := w.request(k, 0, nil, nil)
		req.WordsVersion = has
		resp, err := w.Sync(t.Context(), k, req, w.ms())
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if words, err := w.Words(t.Context(), w.project()); err != nil || words == nil || len(words) != 0 {
		t.Errorf("%v, %v", words, err)
	}
	if r := told(fleet.NoWords); r.Words != nil {
		t.Errorf("%v", r)
	}
	changed := w.Changed(k.AgentID)
	want := []string{"b", "a", "日本", `"quoted"`, "a"}
	if err := w.SetWords(t.Context(), w.project(), want); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("the agent is not woken")
	}
	if words, err := w.Words(t.Context(), w.project()); err != nil || cmp.Diff(want, words) != "" {
		t.Errorf("%v, %v", words, err)
	}
	if words, err := w.Words(t.Context(), "other"); err != nil || len(words) != 0 {
		t.Errorf("another project: %v, %v", words, err)
	}
	r := told(fleet.NoWords)
	if r.Words == nil || cmp.Diff(want, *r.Words) != "" {
		t.Fatalf("%v", r)
	}
	if again := told(r.WordsVersion); again.Words != nil {
		t.Errorf("%v", again)
	}
	if old := told(""); old.Words != nil {
		t.Errorf("an agent of an earlier version: %v", old)
	}
	w.reopen()
	if again := told(r.WordsVersion); again.Words != nil {
		t.Errorf("after a restart: %v", again)
	}
	for _, bad := range [][]string{{""}, {strings.Repeat("long", 40)}, {"a\nb"}, make([]string, password.MaxOwnWords+1)} {
		if err := w.SetWords(t.Context(), w.project(), bad); fault.CodeOf(err) != fault.Invalid || strings.Contains(err.Error(), "longlong") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if err := w.SetWords(t.Context(), w.project(), nil); err != nil {
		t.Fatal(err)
	}
	if none := told(r.WordsVersion); none.Words == nil || len(*none.Words) != 0 || none.WordsVersion != fleet.NoWords {
		t.Errorf("%v", none)
	}
}
