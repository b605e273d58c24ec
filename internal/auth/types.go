package auth

import "context"

// A Key is an access key with its secret, as the store keeps it.
type Key struct {
	// AK is the public part, 20 upper-case letters and digits.
	AK string
	// Secret is the SK in clear. It exists in memory only; the store
	// keeps it sealed.
	Secret string
	// ProjectID is the project the key may act in.
	ProjectID string
	// AgentID is set on the keys of agents. Such a key opens the agent
	// protocol and nothing else.
	AgentID string
	// Disabled keys exist and open nothing.
	Disabled bool
	// ExpiresAt in Unix milliseconds, 0 for never.
	ExpiresAt int64
}

// A Token is what POST /v3/auth/tokens hands out. Only its hash is stored.
type Token struct {
	// Hash is the hexadecimal SHA-256 of the token text.
	Hash string
	// AK of the key that the token was issued for.
	AK        string
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
	// Key returns the key; fault.NotFound if there is none.
	Key(ctx context.Context, ak string) (Key, error)
	// PutToken keeps an issued token.
	PutToken(ctx context.Context, t Token) error
	// Token returns an unexpired token by its hash; fault.NotFound
	// otherwise. now is in Unix milliseconds.
	Token(ctx context.Context, hash string, now int64) (Token, error)
}

// Projects finds projects. Safe for concurrent use.
type Projects interface {
	// Project returns one project; fault.NotFound if there is none.
	Project(ctx context.Context, id string) (Project, error)
}
