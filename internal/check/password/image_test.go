package password

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

func setting(t *testing.T, kind, path, layer string, v any) report.Setting {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return report.Setting{Kind: kind, Path: path, Layer: layer, Body: b}
}

func TestResultsJoinPasswdAndShadow(t *testing.T) {
	shadow := Result{
		Accounts: []Account{
			{User: "root", Service: ServiceSystem, Line: 1, Login: true, Verdict: Verdict{Status: StatusWeak, Rule: RuleCommon}},
			{User: "daemon", Line: 2, Login: true, Verdict: Verdict{Status: StatusLocked}},
			{User: "gone", Line: 3, Login: true, Verdict: Verdict{Status: StatusUnverified, Reason: "the budget of the image is spent: 3 of 9 guesses made"}},
			{User: "inline", Line: 4, Login: true, Verdict: Verdict{Status: StatusUnverified, Reason: costly + ": one guess takes about 5m0s, the account has 2s"}},
			{User: "slow", Line: 5, Login: true, Verdict: Verdict{Status: StatusUnverified, Reason: costly + ": one guess takes about 5m0s, the account has 2s"}},
		},
		Unverified: map[string]int{classCostly: 2, "the budget of the image is spent": 1},
	}
	passwd := Result{
		Accounts: []Account{{User: "inline", Line: 3, Verdict: Verdict{Status: StatusEmpty}}},
		Users:    []User{{"root", true, true}, {"daemon", false, true}, {"inline", true, false}, {"slow", false, true}},
	}
	redis := Result{Accounts: []Account{{User: "default", Line: 9, Login: true, Verdict: Verdict{Status: StatusStrong}}}}
	type got struct {
		Path, Layer, User string
		Login             bool
	}
	for _, tc := range []struct {
		name       string
		settings   []report.Setting
		want       []got
		unverified map[string]int
	}{
		{name: "nothing", unverified: map[string]int{}},
		{name: "shadow alone", settings: []report.Setting{setting(t, report.SettingAccounts, shadowPath, "b", shadow)},
			want:       []got{{shadowPath, "b", "root", true}, {shadowPath, "b", "daemon", true}, {shadowPath, "b", "gone", true}, {shadowPath, "b", "inline", true}, {shadowPath, "b", "slow", true}},
			unverified: map[string]int{classCostly: 2, "the budget of the image is spent": 1}},
		{name: "both", settings: []report.Setting{
			setting(t, report.SettingAccounts, passwdPath, "a", passwd), setting(t, report.SettingAccounts, "/etc/redis.conf", "c", redis),
			setting(t, report.SettingAccounts, shadowPath, "b", shadow), setting(t, report.SettingRules, "/etc/login.defs", "b", "x")},
			want:       []got{{passwdPath, "a", "inline", false}, {"/etc/redis.conf", "c", "default", true}, {shadowPath, "b", "root", true}, {shadowPath, "b", "daemon", false}, {shadowPath, "b", "slow", false}},
			unverified: map[string]int{classCostly: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			accounts, unverified, err := Results(report.Inventory{Settings: tc.settings})
			if err != nil {
				t.Fatal(err)
			}
			var list []got
			for _, a := range accounts {
				list = append(list, got{a.Path, a.Layer, a.User, a.Login})
			}
			if diff := cmp.Diff(tc.want, list); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.unverified, unverified); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestComplexityOf(t *testing.T) {
	c, ok, err := ComplexityOf(report.Inventory{Settings: []report.Setting{
		setting(t, report.SettingBaseline, "/etc/pam.d/common-password", "z", map[string]any{}),
		setting(t, report.SettingRules, "/etc/pam.d/common-password", "a", "password requisite pam_pwquality.so minlen=12 ucredit=-1\n"),
		setting(t, report.SettingRules, pwqualityPath, "b", "lcredit = -1\n"),
	}})
	if err != nil || !ok || c.Length != 12 || !c.Upper || !c.Lower || c.Digit || c.Layer != "a" {
		t.Errorf("got %+v, %v, %v", c, ok, err)
	}
	if _, ok, err := ComplexityOf(report.Inventory{}); ok || err != nil {
		t.Errorf("nothing: got %v, %v", ok, err)
	}
	c, ok, err = ComplexityOf(report.Inventory{Settings: []report.Setting{setting(t, report.SettingRules, passwdPath, "a", "")}})
	if err != nil || !ok || c.Length != 0 || c.Suggestion == "" {
		t.Errorf("accounts alone: got %+v, %v, %v", c, ok, err)
	}
}

func TestDamagedSettingsNameThePathOnly(t *testing.T) {
	bad := func(kind string) report.Inventory {
		return report.Inventory{Settings: []report.Setting{{Kind: kind, Path: "/etc/x", Body: json.RawMessage(`["secret"]`)}}}
	}
	_, _, err := Results(bad(report.SettingAccounts))
	_, _, err2 := ComplexityOf(bad(report.SettingRules))
	for _, err := range []error{err, err2} {
		if err == nil || !strings.Contains(err.Error(), "/etc/x") || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
	}
}
