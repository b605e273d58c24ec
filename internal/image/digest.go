package image

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/onceover/onceover/internal/fault"
)

// Digest is an OCI digest, "sha256:" and 64 lower-case hexadecimal digits.
// Only SHA-256 is used by the engines we read. The empty Digest means
// "unknown".
type Digest string

const digestPrefix = "sha256:"

// ParseDigest checks s and returns it as a Digest. A missing prefix is
// added, so that a bare image ID can be given.
func ParseDigest(s string) (Digest, error) {
	h := strings.TrimPrefix(s, digestPrefix)
	if len(h) != sha256.Size*2 {
		return "", fault.New(fault.Invalid, "digest %q: want sha256: and 64 hexadecimal digits", s)
	}
	for _, c := range []byte(h) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", fault.New(fault.Invalid, "digest %q: want sha256: and 64 hexadecimal digits", s)
		}
	}
	return Digest(digestPrefix + h), nil
}

// DigestOf is the digest of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(digestPrefix + hex.EncodeToString(sum[:]))
}

// Hex is the digest without its prefix.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Short is the first 12 digits, as docker shows them.
func (d Digest) Short() string {
	h := d.Hex()
	if len(h) > 12 {
		h = h[:12]
	}
	return h
}

// ChainIDs are the chain IDs of a stack of layers, lowest first: the first is
// the diff ID itself, each later one SHA-256 of "<chain ID below> <diff ID>"
// (OCI image specification, "Layer ChainID").
func ChainIDs(diffIDs []Digest) []Digest {
	out := make([]Digest, len(diffIDs))
	for i, d := range diffIDs {
		if i == 0 {
			out[i] = d
			continue
		}
		out[i] = DigestOf([]byte(string(out[i-1]) + " " + string(d)))
	}
	return out
}
