package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/onceover/onceover/internal/check/text"
)

// A Secret is one place that holds a secret, without the secret.
type Secret struct {
	// Rule is the id of the rule, Title what it is in words.
	Rule  string `json:"rule"`
	Title string `json:"title"`
	Kind  Kind   `json:"kind"`
	// Severity is as HSS writes it for sensitive information.
	Severity Severity `json:"severity"`
	// Path is the file within the layer as it was given to Scan, or for
	// ScanConfig "env:NAME", "label:NAME" or "history:N" (N from 1).
	Path string `json:"path"`
	// Line and Column say where the value starts: both from 1, Column in
	// bytes. Both are 0 for a binary key store, and Column is if the line
	// begins more than 32 KiB before.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Masked is the value with all but a few characters at its ends
	// replaced, at most 40 bytes of printable UTF-8.
	Masked string `json:"masked"`
	// Length is that of the value in bytes.
	Length int `json:"length"`
	// Hash is the same for the same value: 16 hexadecimal digits of an HMAC
	// with the salt of the engine. Without a salt of its own the engine
	// gives none for values that could be guessed.
	Hash string `json:"hash,omitempty"`
	// Context is the name that the value was given and the mask, at most
	// 128 bytes of printable UTF-8.
	Context string `json:"context,omitempty"`
	// Encrypted says that a private key needs a password to be used.
	Encrypted bool `json:"encrypted,omitempty"`
	// Test says that the path is one of tests, examples or documentation;
	// Severity is lowered already.
	Test bool `json:"test,omitempty"`
}

// A Kind is the class of a secret.
type Kind string

// The kinds of secrets. HSS has no list of its own: it shows the rule's name.
const (
	CloudKey   Kind = "cloud-key"   // of an account at a cloud provider
	Token      Kind = "token"       // of a service, a forge, a registry
	PrivateKey Kind = "private-key" // asymmetric, of any use
	KeyStore   Kind = "key-store"   // a binary file that holds private keys or passwords
	Password   Kind = "password"    // of an account
	Connection Kind = "connection"  // a URL or string with a password in it
	Webhook    Kind = "webhook"     // a URL that is itself the authorisation
)

// A Severity is one of HSS's four words for sensitive information.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
)

// lowered is the severity one step down.
func (s Severity) lowered() Severity {
	switch s {
	case Critical:
		return High
	case High:
		return Medium
	}
	return Low
}

const (
	maxMask    = 40
	maxContext = 128
	// strongBits is the entropy of a value that nobody can guess.
	strongBits = 80
)

// mask keeps an eighth of v at either end, at most four bytes, and nothing of
// a value that is shorter than sixteen bytes or is a password.
func mask(v string, kind Kind) string {
	keep := 0
	if kind != Password && kind != Connection && len(v) >= 16 {
		keep = min(len(v)/8, 4)
	}
	return printable(v[:keep]) + "********" + printable(v[len(v)-keep:])
}

// printable replaces every byte that is not a printable ASCII character: the
// result can go to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// digest is the hash of a value for equality; "" if it would help to guess it.
func digest(salt []byte, v string) string {
	if len(salt) == 0 {
		if text.Entropy(v)*float64(len(v)) < strongBits {
			return ""
		}
		salt = []byte("onceover secret")
	}
	m := hmac.New(sha256.New, salt)
	m.Write([]byte(v))
	return hex.EncodeToString(m.Sum(nil)[:8])
}
