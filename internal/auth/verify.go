package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/fault"
)

func (a *Authenticator) verify(w http.ResponseWriter, r *http.Request, header string, maxBody int64) (principal, []byte, *refusal) {
	none := principal{}
	now := a.now()
	c, no := parseAuthorization(header)
	if no != nil {
		return none, nil, no
	}
	date, no := checkHeaders(r, c, now)
	if no != nil {
		return none, nil, no
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return none, nil, badRequest("the query string is malformed")
	}

	key, err := a.signer(r, c.ak)
	known := err == nil
	if known {
		audit.From(r.Context()).Who(key.User, key.AK)
	}
	if !known && fault.CodeOf(err) != fault.NotFound {
		return none, nil, internal(err)
	}
	guess := throttleName(c.ak, r, known)
	if wait := a.failures.wait(guess, now); wait > 0 {
		return none, nil, throttled("too many failed attempts", wait)
	}

	// A stranger's body is hashed and not kept.
	s := schemes[c.algorithm]
	body, sum, no := readBody(w, r, maxBody, s.hash(), known)
	if no != nil {
		return none, nil, no
	}
	payload, unsigned, no := payloadHash(r, s.contentHeader, sum)
	if no != nil {
		return none, nil, no
	}
	toSign := s.stringToSign(c.algorithm, r.Header.Get(headerDate), c.info, canonicalRequest(r, query, c.signed, payload))
	ok, err := s.holds(c.algorithm, c.ak, key.Secret, c.info, toSign, c.signature)
	if err != nil {
		return none, nil, internal(err)
	}
	// A wrong token answers as a wrong signature: it tells nobody which
	// temporary keys there are.
	token := hexSHA256([]byte(r.Header.Get(headerSecurityToken)))
	ok = ok && (key.TokenHash == "" || subtle.ConstantTimeCompare([]byte(token), []byte(key.TokenHash)) == 1)
	if !ok || !known || key.Secret == "" {
		a.failures.spend(guess, now)
		return none, nil, badSignature()
	}
	if no := usable(key, now); no != nil {
		return none, nil, no
	}
	if id := r.Header.Get(headerProject); id != "" && id != key.ProjectID {
		return none, nil, forbidden("project %s is not a project of this access key", printable(id))
	}
	if !safeMethod(r.Method) {
		// Not the signature: whoever has one of a curve can make another
		// of the same request out of it.
		switch a.replays.see(c.ak, toSign, date.Add(dateTolerance), now, r.Header.Get(headerNonce) != "") {
		case replayRefused:
			return none, nil, unauthenticated("this request was made before: sign it again")
		case replayFull:
			return none, nil, throttled("too many writes", time.Minute)
		}
	}
	return principal{key: key, unsigned: unsigned, temporary: key.TokenHash != "", until: key.ExpiresAt}, body, nil
}

// signer finds the key that a signature names. With a token it is a temporary
// one, without it is not.
func (a *Authenticator) signer(r *http.Request, ak string) (Key, error) {
	if r.Header.Get(headerSecurityToken) == "" {
		return a.keys.Key(r.Context(), ak)
	}
	if a.accounts == nil {
		return Key{}, fault.New(fault.NotFound, "there are no temporary keys")
	}
	return a.accounts.TemporaryKey(r.Context(), ak)
}

func (a *Authenticator) verifyToken(w http.ResponseWriter, r *http.Request, maxBody int64) (principal, []byte, *refusal) {
	none := principal{}
	now := a.now()
	text := r.Header.Get(headerAuthToken)
	if len(text) > maxAuthorizationBytes {
		return none, nil, unauthenticated("the token is too long")
	}
	guess := throttleName("", r, false)
	if wait := a.failures.wait(guess, now); wait > 0 {
		return none, nil, throttled("too many failed attempts", wait)
	}
	token, key, err := a.keys.Token(r.Context(), hexSHA256([]byte(text)), now.UnixMilli())
	if fault.CodeOf(err) == fault.NotFound && err != nil {
		a.failures.spend(guess, now)
		return none, nil, unauthenticated("the token is unknown or has expired")
	}
	if err != nil {
		return none, nil, internal(err)
	}
	audit.From(r.Context()).Who(key.User, key.AK)
	if no := usable(key, now); no != nil {
		return none, nil, no
	}
	if id := r.Header.Get(headerProject); id != "" && id != token.ProjectID {
		return none, nil, forbidden("project %s is not the project of this token", printable(id))
	}
	body, _, no := readBody(w, r, maxBody, sha256.New(), true)
	if no != nil {
		return none, nil, no
	}
	key.ProjectID = token.ProjectID
	until := token.ExpiresAt
	if key.ExpiresAt != 0 {
		until = min(until, key.ExpiresAt)
	}
	return principal{key: key, token: true, until: until}, body, nil
}

// checkHeaders makes the checks that need no secret.
func checkHeaders(r *http.Request, c credential, now time.Time) (time.Time, *refusal) {
	var zero time.Time
	// "a/b" and "a%2Fb" sign alike and route differently.
	if strings.Contains(strings.ToLower(r.URL.EscapedPath()), "%2f") {
		return zero, badRequest("a path must not contain %%2F")
	}
	for _, name := range []string{headerDate, headerProject, headerSecurityToken, headerContentHash, headerContentSM3} {
		if len(r.Header.Values(name)) > 1 {
			return zero, unauthenticated("more than one %s header", name)
		}
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if (lower == "x-sdk-date" || lower == "x-project-id" || lower == "x-security-token" || lower == "x-onceover-nonce" ||
			strings.HasPrefix(lower, "x-sdk-content-")) && !slices.Contains(c.signed, lower) {
			return zero, unauthenticated("%s must be among the signed headers", name)
		}
	}
	for _, name := range c.signed {
		if len(headerValues(r, name)) == 0 {
			return zero, unauthenticated("the signed header %s is missing", name)
		}
	}
	text := r.Header.Get(headerDate)
	if text == "" {
		return zero, unauthenticated("X-Sdk-Date is missing")
	}
	date, err := time.Parse(dateFormat, text)
	if err != nil {
		return zero, unauthenticated("X-Sdk-Date must look like 20060102T150405Z")
	}
	if off := now.Sub(date); off > dateTolerance || off < -dateTolerance {
		return zero, unauthenticated("X-Sdk-Date is more than 15 minutes from the time here, %s", now.UTC().Format(dateFormat))
	}
	if c.info != "" && !strings.HasPrefix(c.info, date.Format(derivedDate)+"/") {
		return zero, unauthenticated("the date of the Credential is not that of X-Sdk-Date")
	}
	return date, nil
}

// payloadHash is the last line of the canonical request, and whether it
// leaves the body out.
func payloadHash(r *http.Request, header, sum string) (string, bool, *refusal) {
	switch given := r.Header.Get(header); given {
	case "", sum:
		return sum, false, nil
	case unsignedPayload:
		if isJSON(r.Header.Get("Content-Type")) {
			return "", false, unauthenticated("a JSON body must be signed")
		}
		return given, true, nil
	default:
		return "", false, unauthenticated("%s does not fit the body", header)
	}
}

// isJSON errs towards yes: whatever a handler could take for JSON is signed.
func isJSON(contentType string) bool {
	ct := strings.ToLower(contentType)
	return strings.TrimSpace(ct) == "" || strings.Contains(ct, "json") || strings.Contains(ct, "bson")
}

func usable(k Key, now time.Time) *refusal {
	if k.Disabled {
		return unauthenticated("the access key is disabled")
	}
	if k.ExpiresAt != 0 && now.UnixMilli() >= k.ExpiresAt {
		return unauthenticated("the access key has expired")
	}
	return nil
}
