package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"strings"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

// Algorithms, as the Authorization header names them. All but the derived one
// are what HttpConfig.SigningAlgorithm of Huawei's SDKs chooses from.
const (
	AlgorithmHMAC    = "SDK-HMAC-SHA256"
	AlgorithmDerived = "V11-HMAC-SHA256"
	AlgorithmSM3     = "SDK-HMAC-SM3"
	AlgorithmECDSA   = "SDK-ECDSA-P256-SHA256"
	AlgorithmSM2     = "SDK-SM2-SM3"
)

// maxCurveSignature is the longest signature of a curve in bytes: two numbers of
// up to 33 bytes in ASN.1, each with two bytes before it, and two before both.
const maxCurveSignature = 72

// A scheme is how one algorithm hashes and signs.
type scheme struct {
	hash func() hash.Hash
	// contentHeader is where a client may put the hash of the body.
	contentHeader string
	// verify checks a signature of a curve; nil for the algorithms that
	// compare a keyed hash.
	verify func(private []byte, toSign, signature []byte) bool
	// most is the highest candidate for a private key: the order less two.
	most *big.Int
}

// schemes are those that are built.
var schemes = map[string]scheme{
	AlgorithmHMAC:    {hash: sha256.New, contentHeader: headerContentHash},
	AlgorithmDerived: {hash: sha256.New, contentHeader: headerContentHash},
	AlgorithmSM3:     {hash: sm3.New, contentHeader: headerContentSM3},
	AlgorithmECDSA: {hash: sha256.New, contentHeader: headerContentHash, verify: verifyECDSA,
		most: new(big.Int).Sub(elliptic.P256().Params().N, big.NewInt(2))},
	AlgorithmSM2: {hash: sm3.New, contentHeader: headerContentSM3, verify: verifySM2,
		most: new(big.Int).Sub(sm2.P256().Params().N, big.NewInt(2))},
}

// stringToSign is what is signed. info is "date/region/service" in the derived
// scheme, "" otherwise.
func (s scheme) stringToSign(algorithm, date, info, canonical string) string {
	h := s.hash()
	h.Write([]byte(canonical))
	lines := []string{algorithm, date, info, hexSum(h)}
	if info == "" {
		lines = slices.Delete(lines, 2, 3)
	}
	return strings.Join(lines, "\n")
}

// mac is the signature of the algorithms with a keyed hash. The key of the
// derived scheme is HKDF-SHA256 of the secret, used as its hexadecimal text.
func (s scheme) mac(ak, secret, info, toSign string) (string, error) {
	key := []byte(secret)
	if info != "" {
		derived, err := hkdf.Key(sha256.New, key, []byte(ak), info, sha256.Size)
		if err != nil {
			return "", fmt.Errorf("derive signing key: %w", err)
		}
		key = []byte(hex.EncodeToString(derived))
	}
	mac := hmac.New(s.hash, key)
	mac.Write([]byte(toSign))
	return hexSum(mac), nil
}

// holds reports whether signature is one of toSign with secret.
func (s scheme) holds(algorithm, ak, secret, info, toSign, signature string) (bool, error) {
	if s.verify == nil {
		want, err := s.mac(ak, secret, info, toSign)
		return subtle.ConstantTimeCompare([]byte(want), []byte(signature)) == 1, err
	}
	private, err := s.private(algorithm, ak, secret)
	if err != nil {
		return false, err
	}
	sig, err := hex.DecodeString(signature)
	return err == nil && s.verify(private, []byte(toSign), sig), nil
}

// private derives the private key of a curve from the secret, as Huawei's SDK
// does: counter mode with the keyed hash, candidates beyond the order left out.
func (s scheme) private(algorithm, ak, secret string) ([]byte, error) {
	for counter := range 256 {
		mac := hmac.New(s.hash, []byte(secret))
		mac.Write([]byte{0, 0, 0, 1})
		mac.Write([]byte(algorithm))
		mac.Write([]byte{0})
		mac.Write([]byte(ak))
		mac.Write([]byte{byte(counter), 0, 0, 1, 0})
		candidate := new(big.Int).SetBytes(mac.Sum(nil))
		if candidate.Cmp(s.most) <= 0 {
			return candidate.Add(candidate, big.NewInt(1)).FillBytes(make([]byte, 32)), nil
		}
	}
	return nil, errors.New("derive private key: no candidate") // once in 2^8000
}

func verifyECDSA(private, toSign, signature []byte) bool {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), private)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(toSign)
	return ecdsa.VerifyASN1(&key.PublicKey, sum[:], signature)
}

// verifySM2 uses the default user id of GM/T 0009, as the SDK does.
func verifySM2(private, toSign, signature []byte) bool {
	key, err := sm2.NewPrivateKey(private)
	return err == nil && sm2.VerifyASN1WithSM2(&key.PublicKey, nil, toSign, signature)
}
