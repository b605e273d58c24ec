package auth

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/wire"
)

const (
	// TokenLifetime is how long a token is good for, as at Huawei Cloud.
	TokenLifetime = 24 * time.Hour
	// maxTokenRequest is the largest body of a token request.
	maxTokenRequest = 64 << 10
	// tokenBurst tokens are handed out for a key at once, then one each
	// tokenInterval: each is a row that lives for a day.
	tokenBurst    = 60
	tokenInterval = 10 * time.Second
	// iamTime is how IAM writes times.
	iamTime = "2006-01-02T15:04:05.000000Z"
)

// Paths of the two calls of IAM that clients of HSS make.
const (
	PathTokens   = "/v3/auth/tokens" // POST, unsigned
	PathProjects = "/v3/projects"    // GET, signed
)

type tokenRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					Name     string `json:"name"`
					Password string `json:"password"`
					Domain   struct {
						ID   string `json:"id"`
						Name string `json:"name"`
					} `json:"domain"`
				} `json:"user"`
			} `json:"password"`
			AKSK struct {
				Access struct {
					Key string `json:"key"`
				} `json:"access"`
				Secret struct {
					Key string `json:"key"`
				} `json:"secret"`
			} `json:"hw_ak_sk"`
		} `json:"identity"`
		Scope struct {
			Project struct {
				ID string `json:"id"`
			} `json:"project"`
		} `json:"scope"`
	} `json:"auth"`
}

type iamName struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type iamScoped struct {
	iamName
	Domain iamName `json:"domain"`
}

type tokenBody struct {
	Token struct {
		ExpiresAt string    `json:"expires_at"`
		IssuedAt  string    `json:"issued_at"`
		Methods   []string  `json:"methods"`
		Project   iamScoped `json:"project"`
		User      iamScoped `json:"user"`
		Roles     []iamName `json:"roles"`
		Catalog   []iamName `json:"catalog"`
	} `json:"token"`
}

// Tokens serves POST /v3/auth/tokens. The methods are "password", of a user, or
// with the access key as user name and the secret key as password, and
// "hw_ak_sk". The domain of a user names the project, by id or name; it may be
// absent where one user bears the name. A key has one project: a scope may be absent, may name that project's id, or
// any project name, since clients put the name of a region there.
func (a *Authenticator) Tokens() http.Handler {
	return wire.WithRequestID(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, text, no := a.issueToken(w, r)
		if no != nil {
			a.refuse(w, r, no)
			return
		}
		w.Header().Set(headerSubjectToken, text)
		w.Header().Set("Cache-Control", "no-store")
		wire.WriteJSON(w, http.StatusCreated, body)
	}))
}

func (a *Authenticator) issueToken(w http.ResponseWriter, r *http.Request) (tokenBody, string, *refusal) {
	var out tokenBody
	now := a.now()
	raw, _, no := readBody(w, r, maxTokenRequest, sha256.New(), true)
	if no != nil {
		return out, "", no
	}
	var req tokenRequest
	if err := json.Unmarshal(raw, &req); err != nil {
		return out, "", badRequest("the token request is not the JSON it should be")
	}
	key, no := a.identify(r, req, now)
	if no != nil {
		return out, "", no
	}
	note := audit.From(r.Context())
	note.Who(key.User, key.AK)
	if id := req.Auth.Scope.Project.ID; id != "" && id != key.ProjectID {
		return out, "", forbidden("project %s is not a project of this access key", printable(id))
	}
	if wait := a.issued.take(key.account(), now); wait > 0 {
		return out, "", throttled("too many tokens were issued for this access key", wait)
	}
	note.What("CreateToken", key.ProjectID, "")
	if err := note.Begin(r.Context()); err != nil {
		return out, "", internal(err)
	}
	project, err := a.projects.Project(r.Context(), key.ProjectID)
	if err != nil {
		return out, "", internal(err)
	}

	text := rand.Text() + rand.Text()
	expires := now.Add(TokenLifetime)
	if key.ExpiresAt != 0 && expires.UnixMilli() > key.ExpiresAt {
		expires = time.UnixMilli(key.ExpiresAt)
	}
	err = a.keys.PutToken(r.Context(), Token{
		Hash: hexSHA256([]byte(text)), AK: key.AK, UserID: key.UserID, ProjectID: key.ProjectID,
		IssuedAt: now.UnixMilli(), ExpiresAt: expires.UnixMilli(),
	})
	if err != nil {
		return out, "", internal(err)
	}
	domain := iamName{ID: project.ID, Name: project.Name}
	out.Token.IssuedAt = now.UTC().Format(iamTime)
	out.Token.ExpiresAt = expires.UTC().Format(iamTime)
	out.Token.Methods = req.Auth.Identity.Methods
	out.Token.Project = iamScoped{iamName: iamName{ID: project.ID, Name: project.Name}, Domain: domain}
	out.Token.User = iamScoped{iamName: iamName{ID: cmp.Or(key.UserID, key.AK), Name: cmp.Or(key.User, key.AK)}, Domain: domain}
	out.Token.Roles, out.Token.Catalog = []iamName{}, []iamName{}
	if key.Role != "" {
		out.Token.Roles = []iamName{{ID: string(key.Role), Name: string(key.Role)}}
	}
	return out, text, nil
}

// identify finds whose secret a token request holds.
func (a *Authenticator) identify(r *http.Request, req tokenRequest, now time.Time) (Key, *refusal) {
	id := req.Auth.Identity
	wrong := badRequest(`auth.identity.methods must be ["password"] or ["hw_ak_sk"]`)
	if len(id.Methods) != 1 {
		return Key{}, wrong
	}
	switch user := id.Password.User; {
	case id.Methods[0] == "hw_ak_sk":
		return a.checkSecret(r, id.AKSK.Access.Key, id.AKSK.Secret.Key, now)
	case id.Methods[0] != "password":
		return Key{}, wrong
	case a.accounts == nil || looksLikeKey(user.Name):
		return a.checkSecret(r, user.Name, user.Password, now)
	default:
		return a.checkPassword(r, user.Name, cmp.Or(user.Domain.ID, user.Domain.Name), user.Password, now)
	}
}

// checkSecret finds the user's key that ak and sk are.
func (a *Authenticator) checkSecret(r *http.Request, ak, sk string, now time.Time) (Key, *refusal) {
	if !validAccessKey(ak) || sk == "" {
		return Key{}, unauthenticated("the access key or the secret key is missing or malformed")
	}
	key, err := a.keys.Key(r.Context(), ak)
	known := err == nil
	if !known && fault.CodeOf(err) != fault.NotFound {
		return Key{}, internal(err)
	}
	if known {
		audit.From(r.Context()).Who(key.User, key.AK)
	}
	guess := throttleName(ak, r, known)
	if wait := a.failures.wait(guess, now); wait > 0 {
		return Key{}, throttled("too many failed attempts", wait)
	}
	if subtle.ConstantTimeCompare([]byte(key.Secret), []byte(sk)) != 1 || !known || key.AgentID != "" {
		a.failures.spend(guess, now)
		return Key{}, unauthenticated("the access key is unknown or the secret key is wrong")
	}
	if no := usable(key, now); no != nil {
		return Key{}, no
	}
	return key, nil
}

// looksLikeKey reports whether a name has the form of an access key, which no
// user's name has.
func looksLikeKey(name string) bool {
	return len(name) == 20 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// checkPassword finds the user whose password it is. A name that nobody has
// takes as long and is counted in the same way as a wrong password.
func (a *Authenticator) checkPassword(r *http.Request, name, project, password string, now time.Time) (Key, *refusal) {
	if name == "" || len(name) > maxAccessKeyBytes || len(password) > MaxPassword {
		return Key{}, badPassword()
	}
	// Each attempt is counted before it is made, or many at once would all be
	// let through; a right password takes it back.
	origin := wire.ClientIP(r)
	guess := name + "\x00" + origin
	for _, b := range []struct {
		t    *throttle
		name string
	}{{&a.origins, origin}, {&a.guesses, guess}, {&a.names, name}} {
		if wait := b.t.take(b.name, now); wait > 0 {
			return Key{}, throttled("too many failed attempts", wait)
		}
	}
	key, hash, err := a.accounts.Login(r.Context(), name, project)
	known := err == nil
	if !known {
		if fault.CodeOf(err) != fault.NotFound {
			return Key{}, internal(err)
		}
		hash = nobody
	}
	ok, err := a.hasher.holds(r.Context(), hash, password)
	if err != nil {
		return Key{}, internal(err)
	}
	if known {
		audit.From(r.Context()).Who(key.User, "")
	}
	if !ok || !known {
		return Key{}, badPassword()
	}
	a.origins.give(origin, now)
	a.guesses.give(guess, now)
	a.names.give(name, now)
	if key.Disabled {
		return Key{}, unauthenticated("the user is disabled")
	}
	return key, nil
}

// ListProjects serves GET /v3/projects behind Users: the one project of the
// key. A name filter is not applied. The SDK asks with the name of a region,
// which no project bears here, and takes nothing but exactly one answer.
func (a *Authenticator) ListProjects() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := FromContext(r.Context())
		if !ok {
			a.refuse(w, r, unauthenticated("the request is not signed"))
			return
		}
		project, err := a.projects.Project(r.Context(), key.ProjectID)
		if err != nil {
			a.refuse(w, r, internal(err))
			return
		}
		type entry struct {
			ID          string `json:"id"`
			Name        string `json:"name"`
			Description string `json:"description"`
			DomainID    string `json:"domain_id"`
			Enabled     bool   `json:"enabled"`
			IsDomain    bool   `json:"is_domain"`
			ParentID    string `json:"parent_id"`
		}
		wire.WriteJSON(w, http.StatusOK, map[string]any{
			"projects": []entry{{ID: project.ID, Name: project.Name, DomainID: project.ID, Enabled: true, ParentID: project.ID}},
			"links":    map[string]any{},
		})
	})
}
