package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// SealKeyBytes is the length of Config.SealKey.
const SealKeyBytes = 32

// sealer encrypts secrets with AES-256-GCM. The access key they belong to is
// authenticated with them, so that rows cannot be swapped.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	if len(key) != SealKeyBytes {
		return nil, fmt.Errorf("seal key of %d bytes: want %d", len(key), SealKeyBytes)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	return &sealer{aead}, nil
}

// close seals a secret: nonce, then ciphertext and tag.
func (s *sealer) close(secret, owner string) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(secret)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // never returns an error
	return s.aead.Seal(nonce, nonce, []byte(secret), []byte(owner))
}

func (s *sealer) open(sealed []byte, owner string) (string, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return "", errors.New("sealed secret is too short")
	}
	b, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(owner))
	if err != nil {
		return "", errors.New("sealed secret does not open: it was sealed with another key, or damaged")
	}
	return string(b), nil
}

// hashSecret is how secrets that are only compared are stored. They are long
// and random, so that a plain hash is enough.
func hashSecret(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

const (
	upperDigits  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	lettersDigit = upperDigits + "abcdefghijklmnopqrstuvwxyz"
)

// randomText is n characters of an alphabet of fewer than 256, each equally
// likely.
func randomText(alphabet string, n int) string {
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var b [64]byte
	for len(out) < n {
		_, _ = rand.Read(b[:]) // never returns an error
		for _, c := range b {
			if int(c) < limit && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}
