package password

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/sha1crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// Kinds of stored passwords, as crypt(5) names them where it knows them.
const (
	KindMD5       = "md5crypt"
	KindSHA1      = "sha1crypt"
	KindSHA256    = "sha256crypt"
	KindSHA512    = "sha512crypt"
	KindYescrypt  = "yescrypt"
	KindBcrypt    = "bcrypt"
	KindGost      = "gost-yescrypt"
	KindScrypt    = "scrypt"
	KindSunMD5    = "sunmd5"
	KindNT        = "nt"
	KindBSDi      = "bsdicrypt"
	KindDES       = "descrypt"
	KindSHA256Hex = "sha256"
	KindPlain     = "plain"
	KindUnknown   = "unknown"
)

// Prices of one guess on one core of a machine of 2020 or so. They decide how
// many guesses a budget buys, so they are constants: a slow host gives the
// same answer later.
const (
	priceMD5           = 170 * time.Microsecond
	priceSHA1Round     = 270 * time.Nanosecond
	priceSHA256Round   = 146 * time.Nanosecond
	priceSHA512Round   = 300 * time.Nanosecond
	priceYescryptBlock = 300 * time.Nanosecond   // for each unit of N·r
	priceBcryptRound   = 56700 * time.Nanosecond // for each unit of 2^cost
	priceDigest        = time.Microsecond
)

const (
	// maxHashBytes bounds a stored password. The longest that libxcrypt
	// writes is below 200 bytes, and its own limit is 384.
	maxHashBytes = 384
	// maxYescryptBytes bounds the memory of one guess; libxcrypt's default
	// takes 16 MiB, its highest cost 1 GiB.
	maxYescryptBytes = 32 << 20
	// maxSHASalt and maxSaltBytes bound salts as libxcrypt does.
	maxSHASalt   = 16
	maxSaltBytes = 64
	// maxBcryptBytes is how much of a password bcrypt looks at.
	maxBcryptBytes = 72
	// The rounds that crypt(5) allows for SHA-2 and those it takes when
	// none are given.
	minSHARounds, maxSHARounds, defaultSHARounds = 1000, 999_999_999, 5000
)

// A stored password is one that can be compared with guesses.
type stored struct {
	kind string
	// price of one guess; 0 if no guess is possible.
	price time.Duration
	// why no guess is possible; "" if one is.
	why string
	// match says whether a guess is the password. An error means that no
	// guess can be compared.
	match func(guess string) (bool, error)
}

// parseHash reads the kind and the cost of a password hash in the form of
// crypt(5). It computes nothing.
func parseHash(hash string) stored {
	if len(hash) > maxHashBytes {
		return stored{kind: KindUnknown, why: fmt.Sprintf("longer than %d bytes", maxHashBytes)}
	}
	if !strings.HasPrefix(hash, "$") {
		switch {
		case strings.HasPrefix(hash, "_") && len(hash) == 20 && isCrypt64(hash[1:]):
			return stored{kind: KindBSDi, why: "this kind of hash is not computed"}
		case len(hash) == 13 && isCrypt64(hash):
			return stored{kind: KindDES, why: "this kind of hash is not computed"}
		}
		return stored{kind: KindUnknown, why: "no known kind of hash"}
	}
	parts := strings.Split(hash, "$")
	switch parts[1] {
	case "1":
		return parseMD5(hash, parts)
	case "5":
		return parseSHA2(hash, parts, KindSHA256, priceSHA256Round, 43)
	case "6":
		return parseSHA2(hash, parts, KindSHA512, priceSHA512Round, 86)
	case "sha1":
		return parseSHA1(hash, parts)
	case "y":
		return parseYescrypt(hash, parts)
	case "2", "2a", "2b", "2x", "2y":
		return parseBcrypt(hash, parts)
	case "gy":
		return stored{kind: KindGost, why: "this kind of hash is not computed"}
	case "7":
		return stored{kind: KindScrypt, why: "this kind of hash is not computed"}
	case "3":
		return stored{kind: KindNT, why: "this kind of hash is not computed"}
	}
	if parts[1] == "md5" || strings.HasPrefix(parts[1], "md5,") {
		return stored{kind: KindSunMD5, why: "this kind of hash is not computed"}
	}
	return stored{kind: KindUnknown, why: "no known kind of hash"}
}

func parseMD5(hash string, parts []string) stored {
	if len(parts) != 4 || len(parts[2]) > maxSHASalt || len(parts[3]) != 22 || !isCrypt64(parts[3]) {
		return malformed(KindMD5)
	}
	return decoded(KindMD5, priceMD5, hash, md5crypt.Decode)
}

func parseSHA2(hash string, parts []string, kind string, price time.Duration, keyBytes int) stored {
	rounds := defaultSHARounds
	rest := parts[2:]
	if text, ok := strings.CutPrefix(rest[0], "rounds="); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < minSHARounds || n > maxSHARounds {
			return malformed(kind)
		}
		rounds, rest = n, rest[1:]
	}
	if len(rest) != 2 || len(rest[0]) > maxSHASalt || len(rest[1]) != keyBytes || !isCrypt64(rest[1]) {
		return malformed(kind)
	}
	return decoded(kind, time.Duration(rounds)*price, hash, shacrypt.Decode)
}

func parseSHA1(hash string, parts []string) stored {
	if len(parts) != 5 || len(parts[3]) > maxSaltBytes || len(parts[4]) != 28 || !isCrypt64(parts[4]) {
		return malformed(KindSHA1)
	}
	rounds, err := strconv.ParseUint(parts[2], 10, 32)
	if err != nil || rounds == 0 {
		return malformed(KindSHA1)
	}
	return decoded(KindSHA1, time.Duration(rounds)*priceSHA1Round, hash, sha1crypt.Decode)
}

// parseYescrypt reads the parameters that libxcrypt writes: "j", then log2(N)
// and r as one character each. The general form with numbers of variable
// length, with parallelism or a ROM is not computed.
func parseYescrypt(hash string, parts []string) stored {
	if len(parts) != 5 || len(parts[3]) > maxSaltBytes+24 || !isCrypt64(parts[3]) || len(parts[4]) != 43 || !isCrypt64(parts[4]) {
		return malformed(KindYescrypt)
	}
	p := parts[2]
	if len(p) != 3 || p[0] != 'j' || !isCrypt64(p) {
		return stored{kind: KindYescrypt, why: "these parameters are not computed"}
	}
	log2N, r := strings.IndexByte(crypt64, p[1])+1, strings.IndexByte(crypt64, p[2])+1
	if log2N > 30 {
		return stored{kind: KindYescrypt, why: fmt.Sprintf("too costly: N is 2^%d", log2N)}
	}
	blocks := int64(r) << log2N // at most 2^36
	if blocks*128 > maxYescryptBytes {
		return stored{kind: KindYescrypt, why: fmt.Sprintf("too costly: one guess takes %d MiB of memory", blocks*128>>20)}
	}
	return decoded(KindYescrypt, time.Duration(blocks)*priceYescryptBlock, hash, scrypt.Decode)
}

func parseBcrypt(hash string, parts []string) stored {
	if len(parts) != 4 || len(parts[2]) != 2 || len(parts[3]) != 53 || !isCrypt64(parts[3]) {
		return malformed(KindBcrypt)
	}
	cost, err := strconv.Atoi(parts[2])
	if err != nil || cost < 4 || cost > 31 {
		return malformed(KindBcrypt)
	}
	s := decoded(KindBcrypt, priceBcryptRound<<cost, hash, bcrypt.Decode)
	if match := s.match; match != nil {
		s.match = func(guess string) (bool, error) { return match(guess[:min(len(guess), maxBcryptBytes)]) }
	}
	return s
}

func malformed(kind string) stored { return stored{kind: kind, why: "the hash is malformed"} }

// decoded hands the hash, whose cost is known by now, to its decoder.
func decoded(kind string, price time.Duration, hash string, decode func(string) (algorithm.Digest, error)) stored {
	digest, err := decode(hash)
	if err != nil {
		return malformed(kind) // the error quotes the hash
	}
	if d, ok := digest.(*scrypt.Digest); ok && len(d.Salt()) == 0 && !strings.Contains(hash[1:], "$$") {
		return malformed(kind) // a salt that cannot be decoded is taken for none
	}
	return stored{kind: kind, price: price, match: digest.MatchAdvanced}
}

// crypt64 are the digits of crypt(5), in order.
const crypt64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func isCrypt64(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '.' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
