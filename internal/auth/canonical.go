package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Headers of the scheme, in canonical form.
const (
	headerAuthorization = "Authorization"
	headerDate          = "X-Sdk-Date"
	headerContentHash   = "X-Sdk-Content-Sha256"
	headerContentSM3    = "X-Sdk-Content-Sm3"
	headerProject       = "X-Project-Id"
	headerSecurityToken = "X-Security-Token"
	headerAuthToken     = "X-Auth-Token"
	headerSubjectToken  = "X-Subject-Token"
	// headerNonce makes every request of our own agents unique. It is not
	// part of Huawei's scheme, which signs any header it finds.
	headerNonce = "X-Onceover-Nonce"
)

const (
	dateFormat      = "20060102T150405Z"
	derivedDate     = "20060102"
	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// canonicalRequest is the text whose hash is signed. Path and query are taken
// decoded, so that it does not matter how a client or a proxy escapes them.
func canonicalRequest(r *http.Request, query url.Values, signed []string, payloadHash string) string {
	var b strings.Builder
	b.WriteString(r.Method)
	b.WriteByte('\n')
	writeCanonicalPath(&b, r.URL.Path)
	b.WriteByte('\n')
	writeCanonicalQuery(&b, query)
	b.WriteByte('\n')
	for _, name := range signed {
		for _, v := range headerValues(r, name) {
			b.WriteString(name)
			b.WriteByte(':')
			b.WriteString(strings.TrimSpace(v))
			b.WriteByte('\n')
		}
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(signed, ";"))
	b.WriteByte('\n')
	b.WriteString(payloadHash)
	return b.String()
}

func writeCanonicalPath(b *strings.Builder, path string) {
	for i, part := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		writeEscaped(b, part)
	}
	if !strings.HasSuffix(path, "/") {
		b.WriteByte('/')
	}
}

func writeCanonicalQuery(b *strings.Builder, query url.Values) {
	keys := make([]string, 0, len(query))
	for k := range query {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	first := true
	for _, k := range keys {
		values := slices.Sorted(slices.Values(query[k]))
		for _, v := range values {
			if !first {
				b.WriteByte('&')
			}
			first = false
			writeEscaped(b, k)
			b.WriteByte('=')
			writeEscaped(b, v)
		}
	}
}

// writeEscaped percent-encodes all but the unreserved characters of RFC 3986,
// section 2.3.
func writeEscaped(b *strings.Builder, s string) {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
}

// headerValues are the values of one header, sorted as the scheme has it.
// net/http keeps Host apart from the others.
func headerValues(r *http.Request, name string) []string {
	if name == "host" {
		host := r.Host
		if host == "" && r.URL != nil {
			host = r.URL.Host
		}
		if host == "" {
			return nil
		}
		return []string{host}
	}
	return slices.Sorted(slices.Values(r.Header.Values(name)))
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
