package auth

import (
	"slices"
	"strings"
)

// Limits of an Authorization header. A real one has four to six signed
// headers and is some 200 bytes long.
const (
	maxAuthorizationBytes = 4096
	maxSignedHeaders      = 64
	maxAccessKeyBytes     = 128
)

// A credential is a parsed Authorization header.
type credential struct {
	algorithm string
	ak        string
	// info is "date/region/service" in the derived scheme, "" otherwise.
	info      string
	signed    []string
	signature string
}

// parseAuthorization reads
//
//	SDK-HMAC-SHA256 Access=<AK>, SignedHeaders=<a;b>, Signature=<hex>
//	V11-HMAC-SHA256 Credential=<AK>/<date>/<region>/<service>, SignedHeaders=…, Signature=…
//
// where the other algorithms of schemes stand in the place of SDK-HMAC-SHA256.
// The text of a refusal names what is wrong, never the value.
func parseAuthorization(header string) (credential, *refusal) {
	if len(header) > maxAuthorizationBytes {
		return credential{}, unauthenticated("the Authorization header is too long")
	}
	algorithm, rest, ok := strings.Cut(strings.TrimSpace(header), " ")
	if !ok {
		return credential{}, unauthenticated("the Authorization header has no parameters")
	}
	c := credential{algorithm: algorithm}
	sch, ok := schemes[algorithm]
	if !ok {
		return credential{}, unauthenticated("unknown signing algorithm: use %s, %s, %s, %s or %s",
			AlgorithmHMAC, AlgorithmDerived, AlgorithmSM3, AlgorithmECDSA, AlgorithmSM2)
	}
	access := "Access"
	if algorithm == AlgorithmDerived {
		access = "Credential"
	}
	seen := map[string]string{}
	for _, field := range strings.Split(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if _, twice := seen[name]; !ok || twice {
			return credential{}, unauthenticated("the Authorization header is malformed")
		}
		seen[name] = value
	}
	if len(seen) != 3 {
		return credential{}, unauthenticated("the Authorization header needs %s, SignedHeaders and Signature", access)
	}
	c.ak = seen[access]
	if algorithm == AlgorithmDerived {
		c.ak, c.info, _ = strings.Cut(c.ak, "/")
		parts := strings.Split(c.info, "/")
		if len(parts) != 3 || slices.Contains(parts, "") {
			return credential{}, unauthenticated("the Credential must be <AK>/<date>/<region>/<service>")
		}
	}
	if !validAccessKey(c.ak) {
		return credential{}, unauthenticated("the access key is missing or malformed")
	}
	c.signed = strings.Split(seen["SignedHeaders"], ";")
	if len(c.signed) > maxSignedHeaders {
		return credential{}, unauthenticated("too many signed headers")
	}
	for i, name := range c.signed {
		if !validHeaderName(name) || slices.Contains(c.signed[:i], name) {
			return credential{}, unauthenticated("SignedHeaders is malformed")
		}
	}
	c.signature = seen["Signature"]
	if no := checkSignature(c.signature, sch.verify != nil); no != nil {
		return credential{}, no
	}
	return c, nil
}

// checkSignature checks the form alone. Those of curves differ in length.
func checkSignature(s string, curve bool) *refusal {
	lower := strings.Trim(s, "0123456789abcdef") == ""
	if curve && (s == "" || len(s)%2 != 0 || len(s) > 2*maxCurveSignature || !lower) {
		return unauthenticated("the Signature must be up to %d lower-case hexadecimal digits", 2*maxCurveSignature)
	}
	if !curve && (len(s) != 64 || !lower) {
		return unauthenticated("the Signature must be 64 lower-case hexadecimal digits")
	}
	return nil
}

func validAccessKey(ak string) bool {
	if ak == "" || len(ak) > maxAccessKeyBytes {
		return false
	}
	for _, c := range []byte(ak) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// validHeaderName reports whether name is a lower-case token of RFC 9110,
// section 5.6.2.
func validHeaderName(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return name != ""
}
