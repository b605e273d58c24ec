package auth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const passwordRequest = `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"%s","password":"%s","domain":{"name":"d"}}}},"scope":{"project":{"name":"cn-north-4"}}}}`

func TestTokens(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
	}{
		{"password", fmt.Sprintf(passwordRequest, "AKEXAMPLE", "SKEXAMPLE"), 201},
		{"access key", `{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":"AKEXAMPLE"},"secret":{"key":"SKEXAMPLE"}}}}}`, 201},
		{"own project", `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"AKEXAMPLE","password":"SKEXAMPLE"}}},"scope":{"project":{"id":"p1"}}}}`, 201},
		{"foreign project", `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"AKEXAMPLE","password":"SKEXAMPLE"}}},"scope":{"project":{"id":"p2"}}}}`, 403},
		{"wrong password", fmt.Sprintf(passwordRequest, "AKEXAMPLE", "WRONG"), 401},
		{"unknown user", fmt.Sprintf(passwordRequest, "NOBODY", "SKEXAMPLE"), 401},
		{"empty password", fmt.Sprintf(passwordRequest, "NOBODY", ""), 401},
		{"agent", fmt.Sprintf(passwordRequest, "AGENT", "SK"), 401},
		{"disabled", fmt.Sprintf(passwordRequest, "DISABLED", "SK"), 401},
		{"expired", fmt.Sprintf(passwordRequest, "EXPIRED", "SK"), 401},
		{"other method", `{"auth":{"identity":{"methods":["totp"]}}}`, 400},
		{"no method", `{}`, 400},
		{"no JSON", `x`, 400},
		{"empty", ``, 400},
		{"too large", `"` + strings.Repeat("x", maxTokenRequest) + `"`, 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			rec, e := serve(b.Tokens(), request("POST", PathTokens, tt.body))
			if rec.Code != tt.status {
				t.Fatalf("answer %d %+v, want %d", rec.Code, e, tt.status)
			}
			token := rec.Header().Get("X-Subject-Token")
			if tt.status != 201 {
				if token != "" || e.Code == "" || e.Message == "" {
					t.Errorf("token %q, error %+v", token, e)
				}
				return
			}
			var body tokenBody
			if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if body.Token.ExpiresAt != "2026-01-03T03:04:05.000000Z" || body.Token.Project.ID != "p1" || body.Token.User.Name != "AKEXAMPLE" {
				t.Errorf("token %+v", body.Token)
			}
			for hash := range b.keys.tokens {
				if hash != hexSHA256([]byte(token)) {
					t.Errorf("stored %s", hash)
				}
			}

			use := func() int {
				r := request("POST", "/x", "{}")
				r.Header.Set("X-Auth-Token", token)
				rec, _ := serve(b.Users(http.HandlerFunc(echo)), r)
				return rec.Code
			}
			if got := use(); got != 200 {
				t.Errorf("with the token: %d", got)
			}
			b.advance(TokenLifetime - time.Second)
			if got := use(); got != 200 {
				t.Errorf("a second before its end: %d", got)
			}
			b.advance(time.Second)
			if got := use(); got != 401 {
				t.Errorf("after its end: %d", got)
			}
		})
	}
}

func TestTokenDiesWithItsKey(t *testing.T) {
	b := newBench()
	rec, _ := serve(b.Tokens(), request("POST", PathTokens, fmt.Sprintf(passwordRequest, "AKEXAMPLE", "SKEXAMPLE")))
	r := request("GET", "/x", "")
	r.Header.Set("X-Auth-Token", rec.Header().Get("X-Subject-Token"))
	k := b.keys.keys["AKEXAMPLE"]
	k.Disabled = true
	b.keys.keys["AKEXAMPLE"] = k
	if rec, e := serve(b.Users(http.HandlerFunc(echo)), r); rec.Code != 401 || !strings.Contains(e.Message, "disabled") {
		t.Errorf("answer %d %+v", rec.Code, e)
	}
}

func TestTokenOfAForeignProject(t *testing.T) {
	b := newBench()
	rec, _ := serve(b.Tokens(), request("POST", PathTokens, fmt.Sprintf(passwordRequest, "AKEXAMPLE", "SKEXAMPLE")))
	r := request("GET", "/x", "")
	r.Header.Set("X-Auth-Token", rec.Header().Get("X-Subject-Token"))
	r.Header.Set("X-Project-Id", "p2")
	if rec, e := serve(b.Users(http.HandlerFunc(echo)), r); rec.Code != 403 || e.Code != "HSS.0013" {
		t.Errorf("answer %d %+v", rec.Code, e)
	}
}

func TestTokenIssueIsLimited(t *testing.T) {
	b := newBench()
	last := 0
	for range tokenBurst + 1 {
		rec, _ := serve(b.Tokens(), request("POST", PathTokens, fmt.Sprintf(passwordRequest, "AKEXAMPLE", "SKEXAMPLE")))
		last = rec.Code
	}
	if last != 429 || len(b.keys.tokens) != tokenBurst {
		t.Errorf("answer %d after %d tokens", last, len(b.keys.tokens))
	}
}

func TestListProjects(t *testing.T) {
	for _, target := range []string{"/v3/projects", "/v3/projects?name=cn-north-4"} {
		b := newBench()
		rec, e := serve(b.Users(b.ListProjects()), signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "GET", target, ""))
		var got struct {
			Projects []struct{ ID, Name string }
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != 200 {
			t.Fatalf("answer %d %+v %v", rec.Code, e, err)
		}
		if len(got.Projects) != 1 || got.Projects[0].ID != "p1" || got.Projects[0].Name != "default" {
			t.Errorf("projects %+v", got.Projects)
		}
	}
	b := newBench()
	if rec, _ := serve(b.ListProjects(), request("GET", "/v3/projects", "")); rec.Code != 401 {
		t.Errorf("unguarded: %d", rec.Code)
	}
}
