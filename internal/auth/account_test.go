package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/fault"
)

// accounts keep users and temporary keys in memory.
type accounts struct {
	users map[string]Key
	hash  string
	temps map[string]Key
}

func (a *accounts) Login(_ context.Context, name, project string) (Key, string, error) {
	k, ok := a.users[name]
	if !ok || project != "" && project != k.ProjectID {
		return Key{}, "", fault.New(fault.NotFound, "user")
	}
	return k, a.hash, nil
}

func (a *accounts) TemporaryKey(_ context.Context, ak string) (Key, error) {
	k, ok := a.temps[ak]
	if !ok {
		return Key{}, fault.New(fault.NotFound, "key")
	}
	return k, nil
}

func (a *accounts) PutTemporaryKey(_ context.Context, k Key, _ int64) error {
	a.temps[k.AK] = k
	return nil
}

const evesPassword = "correct horse battery"

func newAccountBench(t *testing.T, rate int) (*bench, *accounts) {
	t.Helper()
	b := newBench()
	hash, err := HashPassword("eve", evesPassword)
	if err != nil {
		t.Fatal(err)
	}
	acc := &accounts{hash: hash, temps: map[string]Key{}, users: map[string]Key{
		"eve": {UserID: "u1", User: "eve", ProjectID: "p1", Role: Viewer},
		"off": {UserID: "u2", User: "off", ProjectID: "p1", Disabled: true},
	}}
	k := b.keys.keys["AKEXAMPLE"]
	k.UserID, k.User, k.ExpiresAt = "u1", "eve", vectorTime.Add(30*time.Minute).UnixMilli()
	b.keys.keys["AKEXAMPLE"] = k
	b.Authenticator = New(Config{Keys: b.keys, Projects: b.keys, Accounts: acc, Now: b.clock, Rate: rate, Log: b.log})
	return b, acc
}

func login(b *bench, name, domain, password string) (int, string) {
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"password":%q,"domain":{"name":%q}}}}}}`, name, password, domain)
	rec, e := serve(b.Tokens(), request("POST", PathTokens, body))
	return rec.Code, e.Message
}

func TestPasswords(t *testing.T) {
	b, _ := newAccountBench(t, 0)
	unknown := "Incorrect IAM authentication information: the user is unknown or the password is wrong"
	tests := []struct {
		name, user, domain, password string
		status                       int
		says                         string
	}{
		{"right", "eve", "", evesPassword, 201, ""},
		{"right, with the project", "eve", "p1", evesPassword, 201, ""},
		{"another project", "eve", "p2", evesPassword, 401, unknown},
		{"wrong", "eve", "", evesPassword + "x", 401, unknown},
		{"empty", "eve", "", "", 401, unknown},
		{"unknown", "nobody", "", evesPassword, 401, unknown},
		{"no name", "", "", evesPassword, 401, unknown},
		{"disabled, wrong", "off", "", "x", 401, unknown},
		{"disabled, right", "off", "", evesPassword, 401, "Incorrect IAM authentication information: the user is disabled"},
		{"too long", "eve", "", strings.Repeat("x", MaxPassword+1), 401, unknown},
	}
	for _, tt := range tests {
		if status, says := login(b, tt.user, tt.domain, tt.password); status != tt.status || says != tt.says {
			t.Errorf("%s: %d %q", tt.name, status, says)
		}
	}
}

// TestPasswordsAreThrottled holds that a name that nobody has is counted as one
// that is known, and that a right password is not let through by then.
func TestPasswordsAreThrottled(t *testing.T) {
	for _, name := range []string{"eve", "nobody"} {
		b, _ := newAccountBench(t, 0)
		for range guessBurst {
			if status, _ := login(b, name, "", "wrong password"); status != 401 {
				t.Fatalf("%s: %d", name, status)
			}
		}
		if status, _ := login(b, name, "", evesPassword); status != 429 {
			t.Errorf("%s: %d after %d guesses", name, status, guessBurst)
		}
		b.advance(guessInterval)
		if status, _ := login(b, name, "", "wrong password"); status != 401 {
			t.Errorf("%s: %d after a while", name, status)
		}
	}
	b, _ := newAccountBench(t, 0)
	for range guessBurst + 5 { // who knows it is not counted
		if status, says := login(b, "eve", "", evesPassword); status != 201 {
			t.Fatalf("%d %s", status, says)
		}
	}
}

func TestHashPassword(t *testing.T) {
	for _, p := range []string{"short", strings.Repeat("x", MaxPassword+1), strings.Repeat("x", MinPassword), "my name is EVE!"} {
		if _, err := HashPassword("eve", p); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v", p, err)
		}
	}
	h := make(hasher, 1)
	for _, damaged := range []string{"", "$argon2id$v=19$m=1,t=1,p=0$AA$AA", "$argon2id$v=19$m=99999999,t=2,p=1$AA$AA", "$argon2id$v=19$m=1,t=1,p=1$AA$"} {
		if ok, err := h.holds(t.Context(), damaged, "x"); ok || err == nil {
			t.Errorf("%q: %v, %v", damaged, ok, err)
		}
	}
}

func TestTemporaryKeys(t *testing.T) {
	b, acc := newAccountBench(t, 0)
	issue := func(r *http.Request) (int, temporaryBody) {
		t.Helper()
		rec, _ := serve(b.SecurityTokens(), r)
		var out temporaryBody
		_ = json.Unmarshal(rec.Body.Bytes(), &out)
		return rec.Code, out
	}
	ask := func(seconds string) string {
		return `{"auth":{"identity":{"methods":["token"],"token":{` + seconds + `}}}}`
	}
	status, got := issue(signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "POST", PathSecurityTokens, ask(`"duration_seconds":86400`)))
	c := got.Credential
	// It ends with the key.
	if status != 201 || c.Access == "" || c.Secret == "" || c.SecurityToken == "" || c.ExpiresAt != "2026-01-02T03:34:05.000000Z" {
		t.Fatalf("%d %+v", status, got)
	}
	call := func(token string) int {
		r := request("POST", "/x", "{}")
		if token != "" {
			r.Header.Set("X-Security-Token", token)
		}
		if err := sign(r, AlgorithmHMAC, c.Access, c.Secret, "", b.clock()); err != nil {
			t.Fatal(err)
		}
		rec, _ := serve(b.Users(http.HandlerFunc(echo)), r)
		return rec.Code
	}
	if got := call(c.SecurityToken); got != 200 {
		t.Errorf("with its token: %d", got)
	}
	for name, token := range map[string]string{"without": "", "another": "x"} {
		if got := call(token); got != 401 {
			t.Errorf("%s token: %d", name, got)
		}
	}
	again := request("POST", PathSecurityTokens, ask(""))
	again.Header.Set("X-Security-Token", c.SecurityToken)
	if err := sign(again, AlgorithmHMAC, c.Access, c.Secret, "", b.clock()); err != nil {
		t.Fatal(err)
	}
	if status, _ := issue(again); status != 403 {
		t.Errorf("a temporary key asks for another: %d", status)
	}
	if status, _ := issue(signed(t, b, "AGENT", "SK", "POST", PathSecurityTokens, ask(""))); status != 403 {
		t.Errorf("an agent asks: %d", status)
	}
	for name, body := range map[string]string{
		"short": ask(`"duration_seconds":899`), "long": ask(`"duration_seconds":86401`), "JSON": "{", "method": `{"auth":{"identity":{"methods":["assume_role"]}}}`,
		"policy": `{"auth":{"identity":{"methods":["token"],"policy":{"Version":"1.1"}}}}`,
	} {
		if status, _ := issue(signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "POST", PathSecurityTokens, body)); status != 400 {
			t.Errorf("%s: %d", name, status)
		}
	}

	// With a token that stands in the body, as IAM has it.
	rec, _ := serve(b.Tokens(), request("POST", PathTokens, strings.ReplaceAll(fmt.Sprintf(passwordRequest, "eve", evesPassword), `"d"`, `"p1"`)))
	status, got = issue(request("POST", PathSecurityTokens, ask(fmt.Sprintf(`"id":%q`, rec.Header().Get("X-Subject-Token")))))
	if k := acc.temps[got.Credential.Access]; status != 201 || k.ParentAK != "" || k.UserID != "u1" || k.Role != Viewer {
		t.Errorf("%d %+v, after %d %s", status, k, rec.Code, rec.Body)
	}
	if status, _ := issue(request("POST", PathSecurityTokens, ask(""))); status != 401 {
		t.Errorf("nobody asks: %d", status)
	}
	b.advance(31 * time.Minute)
	if got := call(c.SecurityToken); got != 401 {
		t.Errorf("after the end: %d", got)
	}
}

func TestRateLimit(t *testing.T) {
	b, _ := newAccountBench(t, 5)
	h := b.Users(http.HandlerFunc(echo))
	get := func(ak, sk string) (int, string) {
		rec, _ := serve(h, signed(t, b, ak, sk, "GET", "/x", ""))
		return rec.Code, rec.Header().Get("Retry-After")
	}
	for i := range 10 {
		if got, _ := get("AKEXAMPLE", "SKEXAMPLE"); got != 200 {
			t.Fatalf("request %d: %d", i, got)
		}
	}
	if got, after := get("AKEXAMPLE", "SKEXAMPLE"); got != 429 || after != "1" {
		t.Errorf("one too many: %d, after %q", got, after)
	}
	// Whoever does not hold the secret takes nothing from the key.
	b.advance(200 * time.Millisecond)
	get("AKEXAMPLE", "WRONG")
	if got, _ := get("AKEXAMPLE", "SKEXAMPLE"); got != 200 {
		t.Errorf("after a while: %d", got)
	}
	agents := b.Agents(http.HandlerFunc(echo), 1000)
	for range 20 {
		if rec, _ := serve(agents, signed(t, b, "AGENT", "SK", "GET", "/x", "")); rec.Code != 200 {
			t.Fatalf("an agent: %d", rec.Code)
		}
	}
}
