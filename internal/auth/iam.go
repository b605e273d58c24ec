package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"time"

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

// Tokens serves POST /v3/auth/tokens. The methods are "password", with the
// access key as user name and the secret key as password, and "hw_ak_sk". A
// key has one project: a scope may be absent, may name that project's id, or
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
	id := req.Auth.Identity
	if len(id.Methods) != 1 {
		return out, "", badRequest(`auth.identity.methods must be ["password"] or ["hw_ak_sk"]`)
	}
	var ak, sk string
	switch id.Methods[0] {
	case "password":
		ak, sk = id.Password.User.Name, id.Password.User.Password
	case "hw_ak_sk":
		ak, sk = id.AKSK.Access.Key, id.AKSK.Secret.Key
	default:
		return out, "", badRequest(`auth.identity.methods must be ["password"] or ["hw_ak_sk"]`)
	}

	key, no := a.checkSecret(r, ak, sk, now)
	if no != nil {
		return out, "", no
	}
	if id := req.Auth.Scope.Project.ID; id != "" && id != key.ProjectID {
		return out, "", forbidden("project %s is not a project of this access key", printable(id))
	}
	if wait := a.issued.wait(key.AK, now); wait > 0 {
		return out, "", throttled("too many tokens were issued for this access key", wait)
	}
	a.issued.spend(key.AK, now)
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
		Hash: hexSHA256([]byte(text)), AK: key.AK, ProjectID: key.ProjectID,
		IssuedAt: now.UnixMilli(), ExpiresAt: expires.UnixMilli(),
	})
	if err != nil {
		return out, "", internal(err)
	}
	domain := iamName{ID: project.ID, Name: project.Name}
	out.Token.IssuedAt = now.UTC().Format(iamTime)
	out.Token.ExpiresAt = expires.UTC().Format(iamTime)
	out.Token.Methods = id.Methods
	out.Token.Project = iamScoped{iamName: iamName{ID: project.ID, Name: project.Name}, Domain: domain}
	out.Token.User = iamScoped{iamName: iamName{ID: key.AK, Name: key.AK}, Domain: domain}
	out.Token.Roles, out.Token.Catalog = []iamName{}, []iamName{}
	return out, text, nil
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
