package minisign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"
)

const (
	// maxFileBytes bounds files of keys and signatures.
	maxFileBytes = 8 << 10
	// maxComment bounds a trusted comment, as the tool does.
	maxComment = 8192 - 1
	// maxScryptMemory is what unlocking a key may take: the gigabyte that
	// the tool asks for by itself.
	maxScryptMemory = 1 << 30
)

// Errors that can be told apart.
var (
	// ErrFormat is wrapped by errors about files that are not what they
	// should be.
	ErrFormat = errors.New("not in minisign's format")
	// ErrWrong is wrapped when a signature does not belong to the file.
	ErrWrong = errors.New("the signature is wrong")
	// ErrKey is wrapped when no key at hand made the signature.
	ErrKey = errors.New("signed with a key that is not trusted here")
	// ErrPassword is wrapped when a secret key cannot be unlocked.
	ErrPassword = errors.New("wrong password")
)

var (
	algKey    = []byte("Ed") // of keys, and of signatures over the file itself
	algHashed = []byte("ED")
	kdfNone   = []byte{0, 0}
	kdfScrypt = []byte("Sc")
	sumBlake  = []byte("B2")
)

// A KeyID tells keys apart; it proves nothing.
type KeyID [8]byte

// String writes the id as the tool does.
func (id KeyID) String() string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(id[:])) }

// A PublicKey checks signatures.
type PublicKey struct {
	ID  KeyID
	key [ed25519.PublicKeySize]byte
}

// ParsePublicKey reads a public key: the file, or the one line that counts.
func ParsePublicKey(text []byte) (PublicKey, error) {
	var k PublicKey
	raw, _, err := fields(text, 42)
	if err != nil {
		return k, fmt.Errorf("public key: %w", err)
	}
	if !bytes.Equal(raw[:2], algKey) {
		return k, fmt.Errorf("public key: %w: algorithm %q", ErrFormat, raw[:2])
	}
	copy(k.ID[:], raw[2:10])
	copy(k.key[:], raw[10:])
	return k, nil
}

// Encode writes the file of the key.
func (k PublicKey) Encode() []byte {
	raw := append(append(bytes.Clone(algKey), k.ID[:]...), k.key[:]...)
	return encode("minisign public key "+k.ID.String(), raw)
}

// A SecretKey makes signatures.
type SecretKey struct {
	id  KeyID
	key ed25519.PrivateKey
}

// Generate makes a new key.
func Generate() (SecretKey, error) {
	var k SecretKey
	if _, err := rand.Read(k.id[:]); err != nil {
		return k, fmt.Errorf("generate key: %w", err)
	}
	var err error
	if _, k.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return k, fmt.Errorf("generate key: %w", err)
	}
	return k, nil
}

// Public is the key that checks what k signs.
func (k SecretKey) Public() PublicKey {
	p := PublicKey{ID: k.id}
	copy(p.key[:], k.key[ed25519.SeedSize:])
	return p
}

// Encode writes the file of the key, without a password, as the tool does with
// -W.
func (k SecretKey) Encode() []byte {
	var b []byte
	b = append(b, algKey...)
	b = append(b, kdfNone...)
	b = append(b, sumBlake...)
	b = append(b, make([]byte, 32+8+8)...) // salt and limits of the password
	b = append(b, k.id[:]...)
	b = append(b, k.key...)
	b = append(b, make([]byte, 32)...) // the checksum, which the tool leaves out too
	return encode("minisign secret key, not encrypted", b)
}

// secretSum is stored with an encrypted key to see whether it was unlocked.
func secretSum(id, key []byte) [32]byte {
	return blake2b.Sum256(bytes.Join([][]byte{algKey, id, key}, nil))
}

// ParseSecretKey reads the file of a secret key. password is called if it is
// encrypted; unlocking one takes a gigabyte of memory and some seconds if the
// tool made it.
func ParseSecretKey(text []byte, password func() ([]byte, error)) (SecretKey, error) {
	var k SecretKey
	raw, _, err := fields(text, 158)
	if err != nil {
		return k, fmt.Errorf("secret key: %w", err)
	}
	if !bytes.Equal(raw[:2], algKey) || !bytes.Equal(raw[4:6], sumBlake) {
		return k, fmt.Errorf("secret key: %w: algorithms %q", ErrFormat, raw[:6])
	}
	body := raw[54:]
	switch kdf := raw[2:4]; {
	case bytes.Equal(kdf, kdfNone):
	case bytes.Equal(kdf, kdfScrypt):
		pw, err := password()
		if err != nil {
			return k, err
		}
		n, r, p, err := scryptParams(binary.LittleEndian.Uint64(raw[38:]), binary.LittleEndian.Uint64(raw[46:]))
		if err != nil {
			return k, err
		}
		stream, err := scrypt.Key(pw, raw[6:38], n, r, p, len(body))
		if err != nil {
			return k, fmt.Errorf("secret key: %w", err)
		}
		subtle.XORBytes(body, body, stream)
	default:
		return k, fmt.Errorf("secret key: %w: encrypted with %q", ErrFormat, kdf)
	}
	copy(k.id[:], body)
	k.key = bytes.Clone(body[8:72])
	if bytes.Equal(raw[2:4], kdfScrypt) {
		sum := secretSum(k.id[:], k.key)
		if subtle.ConstantTimeCompare(sum[:], body[72:]) != 1 {
			return SecretKey{}, fmt.Errorf("secret key: %w, or the file is damaged", ErrPassword)
		}
	}
	if !k.key.Equal(ed25519.NewKeyFromSeed(k.key.Seed())) {
		return SecretKey{}, fmt.Errorf("secret key: %w: its halves do not belong together", ErrFormat)
	}
	return k, nil
}

// scryptParams turns the limits that the file states into the parameters of
// scrypt, as libsodium's pickparams does
// (https://github.com/jedisct1/libsodium, crypto_pwhash_scryptsalsa208sha256).
func scryptParams(ops, mem uint64) (n, r, p int, err error) {
	if mem > maxScryptMemory || ops > 1<<28 {
		return 0, 0, 0, fmt.Errorf("secret key: %w: its password takes more than %d MB of memory", ErrFormat, maxScryptMemory>>20)
	}
	ops = max(ops, 32768)
	r, p = 8, 1
	limit := ops / 32
	if ops >= mem/32 {
		limit = mem / 1024
	}
	log := 1
	for ; log < 30 && uint64(1)<<log <= limit/2; log++ {
	}
	if ops >= mem/32 {
		p = int((ops / 4) >> log / 8)
	}
	return 1 << log, r, max(p, 1), nil
}

// NewHash makes the hash of which Sign and Verify take the sum.
func NewHash() hash.Hash {
	h, err := blake2b.New512(nil)
	if err != nil {
		panic(err) // only of a key that is too long, and there is none
	}
	return h
}

// Sign signs a file by its hash, with a comment of one line that is signed
// too, and gives the text of the signature's file.
func (k SecretKey) Sign(sum []byte, comment string) ([]byte, error) {
	if strings.ContainsAny(comment, "\r\n") || len(comment) > maxComment {
		return nil, fmt.Errorf("sign: %w: a comment is one line", ErrFormat)
	}
	sig := ed25519.Sign(k.key, sum)
	global := ed25519.Sign(k.key, append(bytes.Clone(sig), comment...))
	raw := append(append(bytes.Clone(algHashed), k.id[:]...), sig...)
	out := encode("signature from minisign secret key", raw)
	out = append(out, "trusted comment: "+comment+"\n"...)
	out = append(out, base64.StdEncoding.EncodeToString(global)...)
	return append(out, '\n'), nil
}

// A Signature says who signed a file, if it is right.
type Signature struct {
	ID      KeyID
	Comment string
	sig     [ed25519.SignatureSize]byte
	global  [ed25519.SignatureSize]byte
}

// ParseSignature reads the file of a signature.
func ParseSignature(text []byte) (Signature, error) {
	var s Signature
	raw, rest, err := fields(text, 74)
	if err != nil {
		return s, fmt.Errorf("signature: %w", err)
	}
	switch {
	case bytes.Equal(raw[:2], algKey):
		return s, fmt.Errorf("signature: %w: it is over the file itself, sign with `minisign -S -H`", ErrFormat)
	case !bytes.Equal(raw[:2], algHashed):
		return s, fmt.Errorf("signature: %w: algorithm %q", ErrFormat, raw[:2])
	}
	copy(s.ID[:], raw[2:])
	copy(s.sig[:], raw[10:])
	comment, line, _ := strings.Cut(rest, "\n")
	var ok bool
	if s.Comment, ok = strings.CutPrefix(strings.TrimSuffix(comment, "\r"), "trusted comment: "); !ok {
		return s, fmt.Errorf("signature: %w: no trusted comment", ErrFormat)
	}
	global, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
	if err != nil || len(global) != len(s.global) {
		return s, fmt.Errorf("signature: %w: the comment is not signed", ErrFormat)
	}
	copy(s.global[:], global)
	return s, nil
}

// Verify checks a signature against the hash of a file and returns the key
// that made it. The error wraps ErrKey if none of the keys is named by it and
// ErrWrong if it does not belong to the file.
func Verify(keys []PublicKey, s Signature, sum []byte) (PublicKey, error) {
	for _, k := range keys {
		if k.ID != s.ID {
			continue
		}
		if !ed25519.Verify(k.key[:], sum, s.sig[:]) {
			return k, fmt.Errorf("%w: it is not over this content, or not of key %v", ErrWrong, k.ID)
		}
		if !ed25519.Verify(k.key[:], append(s.sig[:len(s.sig):len(s.sig)], s.Comment...), s.global[:]) {
			return k, fmt.Errorf("%w: its comment was changed", ErrWrong)
		}
		return k, nil
	}
	return PublicKey{}, fmt.Errorf("%w: key %v", ErrKey, s.ID)
}

// fields reads the first line that is no untrusted comment as base64 of n
// bytes, and returns what follows it.
func fields(text []byte, n int) (raw []byte, rest string, err error) {
	if len(text) > maxFileBytes+maxComment {
		return nil, "", fmt.Errorf("%w: %d bytes", ErrFormat, len(text))
	}
	rest = string(text)
	line := ""
	for line == "" && rest != "" {
		line, rest, _ = strings.Cut(rest, "\n")
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "untrusted comment:") {
			line = ""
		}
	}
	if raw, err = base64.StdEncoding.DecodeString(line); err != nil || len(raw) != n {
		return nil, "", fmt.Errorf("%w: want a comment, and %d bytes in base64", ErrFormat, n)
	}
	return raw, rest, nil
}

func encode(comment string, raw []byte) []byte {
	return []byte("untrusted comment: " + comment + "\n" + base64.StdEncoding.EncodeToString(raw) + "\n")
}
