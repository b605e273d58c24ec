package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/wire"
)

// PathSecurityTokens is where IAM hands out temporary keys: POST, signed or with
// a token.
const PathSecurityTokens = "/v3.0/OS-CREDENTIAL/securitytokens"

// How long a temporary key is good, in seconds, as at Huawei Cloud.
const (
	defaultTemporary = 900
	minTemporary     = 900
	maxTemporary     = 86400
)

type temporaryRequest struct {
	Auth struct {
		Identity struct {
			Methods []string `json:"methods"`
			Token   struct {
				ID       string `json:"id"`
				Duration *int64 `json:"duration_seconds"`
			} `json:"token"`
			// Policy would narrow the key down. There is nothing here to
			// narrow it down with, and to ignore it would give too much.
			Policy json.RawMessage `json:"policy"`
		} `json:"identity"`
	} `json:"auth"`
}

type temporaryBody struct {
	Credential struct {
		Access        string `json:"access"`
		Secret        string `json:"secret"`
		SecurityToken string `json:"securitytoken"`
		ExpiresAt     string `json:"expires_at"`
	} `json:"credential"`
}

// SecurityTokens serves PathSecurityTokens: a key pair with a token that must be
// sent with each request that the pair signs. It has the rights that its user
// has when it is used, ends with the key or token that it was asked for with at
// the latest, and cannot be used to ask for another. The token of the request
// may stand in X-Auth-Token or in the body, as IAM has it.
func (a *Authenticator) SecurityTokens() http.Handler {
	issue := a.Users(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, no := a.issueTemporary(w, r)
		if no != nil {
			a.refuse(w, r, no)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		wire.WriteJSON(w, http.StatusCreated, out)
	}))
	return wire.WithRequestID(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _, no := readBody(w, r, maxTokenRequest, sha256.New(), true)
		if no != nil {
			a.refuse(w, r, no)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
		var req temporaryRequest
		if json.Unmarshal(raw, &req) == nil && r.Header.Get(headerAuthorization) == "" && r.Header.Get(headerAuthToken) == "" {
			r.Header.Set(headerAuthToken, req.Auth.Identity.Token.ID)
		}
		issue.ServeHTTP(w, r)
	}))
}

func (a *Authenticator) issueTemporary(w http.ResponseWriter, r *http.Request) (temporaryBody, *refusal) {
	var out temporaryBody
	p, _ := r.Context().Value(principalKey{}).(principal)
	now := a.now()
	raw, _, no := readBody(w, r, maxTokenRequest, sha256.New(), true)
	if no != nil {
		return out, no
	}
	var req temporaryRequest
	if err := json.Unmarshal(raw, &req); err != nil {
		return out, badRequest("the request is not the JSON it should be")
	}
	id := req.Auth.Identity
	if len(id.Methods) != 1 || id.Methods[0] != "token" {
		return out, badRequest(`auth.identity.methods must be ["token"]`)
	}
	if len(id.Policy) > 0 && string(id.Policy) != "null" {
		return out, badRequest("auth.identity.policy: a temporary key has the rights of its user")
	}
	seconds := int64(defaultTemporary)
	if id.Token.Duration != nil {
		seconds = *id.Token.Duration
	}
	if seconds < minTemporary || seconds > maxTemporary {
		return out, badRequest("auth.identity.token.duration_seconds: want %d to %d", minTemporary, maxTemporary)
	}
	switch {
	case a.accounts == nil || p.key.UserID == "":
		return out, forbidden("there are no temporary keys here")
	case p.temporary:
		return out, forbidden("a temporary key gives no other")
	}
	if wait := a.issued.take(p.key.account(), now); wait > 0 {
		return out, throttled("too many tokens were issued for this access key", wait)
	}
	note := audit.From(r.Context())
	note.What("CreateTemporaryKey", p.key.ProjectID, "")
	if err := note.Begin(r.Context()); err != nil {
		return out, internal(err)
	}

	expires := now.Add(time.Duration(seconds) * time.Second).UnixMilli()
	if p.until != 0 {
		expires = min(expires, p.until)
	}
	text := rand.Text() + rand.Text()
	k := p.key
	k.ParentAK, k.AK, k.Secret = p.key.AK, rand.Text()[:20], rand.Text()+rand.Text()
	k.TokenHash, k.ExpiresAt = hexSHA256([]byte(text)), expires
	if err := a.accounts.PutTemporaryKey(r.Context(), k, now.UnixMilli()); err != nil {
		return out, internal(err)
	}
	out.Credential.Access, out.Credential.Secret, out.Credential.SecurityToken = k.AK, k.Secret, text
	out.Credential.ExpiresAt = time.UnixMilli(expires).UTC().Format(iamTime)
	return out, nil
}
