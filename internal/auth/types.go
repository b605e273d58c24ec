package auth

import (
	"context"
	"slices"
	"strings"
)

// A Key is who makes a request: an access key of a user, a temporary one, a
// user with a password, or an agent. It is what the store keeps, joined.
type Key struct {
	// AK is the public part, 20 upper-case letters and digits. It is empty
	// for a user who came with a password.
	AK string
	// Secret is the SK in clear. It exists in memory only; the store
	// keeps it sealed.
	Secret string
	// ProjectID is the project the key may act in. For an agent it is its
	// tenant: the project, or one of its enterprise projects.
	ProjectID string
	// AgentID is set on the keys of agents. Such a key opens the agent
	// protocol and nothing else.
	AgentID string
	// UserID and User are the id and the name of the user, empty for agents.
	UserID, User string
	// Role is what the user may do.
	Role Role
	// Granted are the enterprise projects that the user may act in.
	Granted Grants
	// ParentAK is set on temporary keys: the key they were issued for.
	ParentAK string
	// TokenHash is set on temporary keys: the hexadecimal SHA-256 of the
	// token that goes with them.
	TokenHash string
	// Disabled keys exist and open nothing, like those of disabled users.
	Disabled bool
	// ExpiresAt in Unix milliseconds, 0 for never.
	ExpiresAt int64
}

// By names who it is in logs and decisions: the access key, or the user's name
// if there is none. The two differ in form.
func (k Key) By() string {
	if k.AK != "" {
		return k.AK
	}
	return k.User
}

// account is whose requests are counted together: a temporary key with the one
// that it was issued for.
func (k Key) account() string {
	switch {
	case k.ParentAK != "":
		return k.ParentAK
	case k.AK != "" && k.TokenHash == "":
		return k.AK
	default:
		return k.UserID
	}
}

// A Role is what a user may do; each has the rights of those before it.
type Role string

// Roles.
const (
	// Viewer reads.
	Viewer Role = "viewer"
	// Operator scans, stops, handles, decides and exports.
	Operator Role = "operator"
	// Admin changes policies, whitelists, weak words and VEX documents.
	Admin Role = "admin"
)

var roles = []Role{Viewer, Operator, Admin}

// Allows reports whether the role has the rights of need. A role that does not
// exist has none.
func (r Role) Allows(need Role) bool {
	have, want := slices.Index(roles, r), slices.Index(roles, need)
	return have >= 0 && want >= 0 && have >= want
}

// Valid reports whether there is such a role.
func (r Role) Valid() bool { return slices.Contains(roles, r) }

// Grants are ids of enterprise projects with commas between, or GrantAll.
type Grants string

// GrantAll grants every enterprise project, those to come too.
const GrantAll Grants = "*"

// Includes reports whether the enterprise project is granted.
func (g Grants) Includes(id string) bool {
	return g == GrantAll || id != "" && slices.Contains(strings.Split(string(g), ","), id)
}

// Enterprise projects by name, as clients send them.
const (
	DefaultEnterpriseProject = "0"
	AllEnterpriseProjects    = "all_granted_eps"
)

// A Token is what POST /v3/auth/tokens hands out. Only its hash is stored.
type Token struct {
	// Hash is the hexadecimal SHA-256 of the token text.
	Hash string
	// AK of the key that the token was issued for, empty for a password.
	AK        string
	UserID    string
	ProjectID string
	IssuedAt  int64
	// ExpiresAt in Unix milliseconds.
	ExpiresAt int64
}

// A Project is one tenant.
type Project struct {
	ID        string
	Name      string
	CreatedAt int64
}

// Keys finds access keys and tokens. Safe for concurrent use.
type Keys interface {
	// Key returns the key; fault.NotFound if there is none. Temporary keys
	// are not among them.
	Key(ctx context.Context, ak string) (Key, error)
	// PutToken keeps an issued token.
	PutToken(ctx context.Context, t Token) error
	// Token returns an unexpired token by its hash, with the key or the user
	// it was issued for as they are now; fault.NotFound otherwise. now is in
	// Unix milliseconds.
	Token(ctx context.Context, hash string, now int64) (Token, Key, error)
}

// Projects finds projects. Safe for concurrent use.
type Projects interface {
	// Project returns one project; fault.NotFound if there is none.
	Project(ctx context.Context, id string) (Project, error)
}

// Accounts knows what users have beside access keys: passwords, and temporary
// keys that were made for them. Safe for concurrent use.
type Accounts interface {
	// Login returns the user of that name who has a password, as a Key
	// without AK, and the hash of the password. project narrows it down by
	// id or name; it is empty for any. fault.NotFound if there is not
	// exactly one.
	Login(ctx context.Context, name, project string) (k Key, hash string, err error)
	// TemporaryKey returns a temporary key, disabled and expired as the key
	// or user it was made for is; fault.NotFound if there is none.
	TemporaryKey(ctx context.Context, ak string) (Key, error)
	// PutTemporaryKey keeps one.
	PutTemporaryKey(ctx context.Context, k Key, nowMS int64) error
}
