package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// MinPassword and MaxPassword bound the length of a password, in bytes.
	MinPassword = 12
	MaxPassword = 128
	// Argon2id with 19 MiB and two passes: the least that OWASP's Password
	// Storage Cheat Sheet asks for. It takes some 30 ms.
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
	argonKey    = 32
	argonSalt   = 16
	// maxHashing is how many passwords are hashed at once; others wait.
	maxHashing = 2
	// Guesses at a password: of one name from one address, of one name from
	// anywhere, and of all names from one address.
	guessBurst, guessInterval     = 10, 30 * time.Second
	nameBurst, nameInterval       = 100, 10 * time.Second
	addressBurst, addressInterval = 50, 5 * time.Second
)

// argonForm is the beginning of a hash in PHC form.
const argonForm = "$argon2id$v=19$m=%d,t=%d,p=%d$"

// Limits of a hash that is read back: the database may be damaged.
const (
	maxArgonMemory = 1 << 20 // KiB
	maxArgonTime   = 16
	maxArgonLanes  = 16
)

// HashPassword makes what is stored of a password, in PHC form, and refuses one
// that is too short, too long, or made of the user's name.
func HashPassword(user, password string) (string, error) {
	switch {
	case len(password) < MinPassword || len(password) > MaxPassword:
		return "", fault.New(fault.Invalid, "a password of %d bytes: want %d to %d", len(password), MinPassword, MaxPassword)
	case strings.Contains(strings.ToLower(password), strings.ToLower(user)):
		return "", fault.New(fault.Invalid, "the password contains the user's name")
	case strings.Count(password, password[:1]) == len(password):
		return "", fault.New(fault.Invalid, "the password is one character over and over")
	}
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never returns an error
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, argonKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf(argonForm, argonMemory, argonTime, argonLanes) + b64.EncodeToString(salt) + "$" + b64.EncodeToString(key), nil
}

// nobody is compared with where there is no user, so that it takes as long.
var nobody = fmt.Sprintf(argonForm, argonMemory, argonTime, argonLanes) +
	strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43)

// A hasher compares passwords, few at once.
type hasher chan struct{}

func (h hasher) holds(ctx context.Context, hash, password string) (bool, error) {
	select {
	case h <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-h }()
	var memory, passes uint32
	var threads uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 {
		return false, errors.New("the stored password is damaged")
	}
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads)
	salt, serr := base64.RawStdEncoding.DecodeString(parts[4])
	key, kerr := base64.RawStdEncoding.DecodeString(parts[5])
	if errors.Join(err, serr, kerr) != nil || memory > maxArgonMemory || passes < 1 || passes > maxArgonTime ||
		threads < 1 || threads > maxArgonLanes || len(key) == 0 {
		return false, errors.New("the stored password is damaged")
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1, nil
}
