package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/wire"
)

const (
	// DefaultMaxBody is the largest body of a request to the API, in bytes.
	DefaultMaxBody = 8 << 20
	// dateTolerance is how far the date of a request may be from now, in
	// both directions. It is the rule of Huawei Cloud's gateway.
	dateTolerance = 15 * time.Minute
	// A body that is too large is read on up to drainBytes and for
	// drainTime, because a client that is still writing when the
	// connection closes never sees the answer.
	drainBytes = 64 << 20
	drainTime  = 10 * time.Second
	// failureBurst wrong signatures of one key from one address are let
	// pass, then one each failureInterval. The secrets are random and
	// cannot be guessed; this bounds work and log.
	failureBurst    = 100
	failureInterval = time.Second
)

// Config is what an Authenticator needs.
type Config struct {
	Keys     Keys
	Projects Projects
	// MaxBody is the largest body in bytes; 0 means DefaultMaxBody.
	MaxBody int64
	// Now is time.Now if nil.
	Now func() time.Time
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// An Authenticator verifies requests. It is safe for concurrent use.
type Authenticator struct {
	keys     Keys
	projects Projects
	maxBody  int64
	now      func() time.Time
	log      *slog.Logger

	replays  replayCache
	failures throttle
	issued   throttle
}

// New makes an Authenticator.
func New(cfg Config) *Authenticator {
	a := &Authenticator{
		keys: cfg.Keys, projects: cfg.Projects, maxBody: cfg.MaxBody, now: cfg.Now, log: cfg.Log,
		failures: throttle{burst: failureBurst, interval: failureInterval},
		issued:   throttle{burst: tokenBurst, interval: tokenInterval},
	}
	if a.maxBody <= 0 {
		a.maxBody = DefaultMaxBody
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	return a
}

// A principal is who made a request.
type principal struct {
	key Key
	// token says that a token was shown instead of a signature.
	token bool
	// unsigned says that the body is not covered by the signature.
	unsigned bool
}

type principalKey struct{}

// FromContext is the key that made the request, without its secret.
func FromContext(ctx context.Context) (Key, bool) {
	p, ok := ctx.Value(principalKey{}).(principal)
	return p.key, ok
}

// BodySigned reports whether the signature covers the body. It does unless a
// client sent something other than JSON as UNSIGNED-PAYLOAD, or showed a
// token.
func BodySigned(ctx context.Context) bool {
	p, ok := ctx.Value(principalKey{}).(principal)
	return ok && !p.unsigned && !p.token
}

// Middleware lets requests pass that are signed by a user's key, or carry a
// token for one. It is Users by another name, for callers that mount one kind
// only.
func (a *Authenticator) Middleware(next http.Handler) http.Handler { return a.Users(next) }

// Users lets the keys and tokens of users pass; an agent's key is refused
// with 403.
func (a *Authenticator) Users(next http.Handler) http.Handler {
	return a.guard(next, a.maxBody, func(p principal) *refusal {
		if p.key.AgentID != "" {
			return forbidden("the key of an agent opens the agent protocol only")
		}
		return nil
	})
}

// Agents lets the keys of agents pass and bodies of up to maxBody bytes; the
// key of a user is refused with 403, and so is a body that is not signed.
func (a *Authenticator) Agents(next http.Handler, maxBody int64) http.Handler {
	return a.guard(next, maxBody, func(p principal) *refusal {
		if p.key.AgentID == "" || p.token {
			return forbidden("the agent protocol is for the keys of agents: enrol one")
		}
		if p.unsigned {
			return forbidden("the agent protocol wants its bodies signed")
		}
		return nil
	})
}

func (a *Authenticator) guard(next http.Handler, maxBody int64, allow func(principal) *refusal) http.Handler {
	return wire.WithRequestID(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, body, no := a.authenticate(w, r, maxBody)
		if no == nil {
			no = allow(p)
		}
		if no != nil {
			a.refuse(w, r, no)
			return
		}
		p.key.Secret = ""
		r = r.WithContext(context.WithValue(r.Context(), principalKey{}, p))
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		next.ServeHTTP(w, r)
	}))
}

func (a *Authenticator) refuse(w http.ResponseWriter, r *http.Request, no *refusal) {
	if no.cause != nil {
		a.log.ErrorContext(r.Context(), "check credentials",
			"request_id", wire.RequestID(r.Context()), "error", no.cause)
	} else {
		a.log.InfoContext(r.Context(), "request refused",
			"request_id", wire.RequestID(r.Context()), "status", no.status,
			"client", clientIP(r), "reason", no.message)
	}
	no.write(w, r)
}

// authenticate proves who made r and returns the body it read on the way.
func (a *Authenticator) authenticate(w http.ResponseWriter, r *http.Request, maxBody int64) (principal, []byte, *refusal) {
	if r.ContentLength > maxBody {
		drain(w, r)
		return principal{}, nil, tooLarge(maxBody)
	}
	switch headers := r.Header.Values(headerAuthorization); {
	case len(headers) > 1:
		return principal{}, nil, unauthenticated("more than one Authorization header")
	case len(headers) == 1:
		return a.verify(w, r, headers[0], maxBody)
	case r.Header.Get(headerAuthToken) != "":
		return a.verifyToken(w, r, maxBody)
	default:
		return principal{}, nil, unauthenticated("the request is not signed and has no X-Auth-Token")
	}
}

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

	key, err := a.keys.Key(r.Context(), c.ak)
	known := err == nil
	if !known && fault.CodeOf(err) != fault.NotFound {
		return none, nil, internal(err)
	}
	guess := throttleName(c.ak, r, known)
	if wait := a.failures.wait(guess, now); wait > 0 {
		return none, nil, throttled("too many failed attempts", wait)
	}

	// A stranger's body is hashed and not kept.
	body, sum, no := readBody(w, r, maxBody, known)
	if no != nil {
		return none, nil, no
	}
	payload, unsigned, no := payloadHash(r, sum)
	if no != nil {
		return none, nil, no
	}
	want, err := signature(c.algorithm, c.ak, key.Secret, r.Header.Get(headerDate), c.info,
		canonicalRequest(r, query, c.signed, payload))
	if err != nil {
		return none, nil, internal(err)
	}
	if subtle.ConstantTimeCompare([]byte(want), []byte(c.signature)) != 1 || !known || key.Secret == "" {
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
		switch a.replays.see(c.ak, c.signature, date.Add(dateTolerance), now, r.Header.Get(headerNonce) != "") {
		case replayRefused:
			return none, nil, unauthenticated("this request was made before: sign it again")
		case replayFull:
			return none, nil, throttled("too many writes", time.Minute)
		}
	}
	return principal{key: key, unsigned: unsigned}, body, nil
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
	token, err := a.keys.Token(r.Context(), hexSHA256([]byte(text)), now.UnixMilli())
	if fault.CodeOf(err) == fault.NotFound && err != nil {
		a.failures.spend(guess, now)
		return none, nil, unauthenticated("the token is unknown or has expired")
	}
	if err != nil {
		return none, nil, internal(err)
	}
	key, err := a.keys.Key(r.Context(), token.AK)
	if err != nil {
		if fault.CodeOf(err) == fault.NotFound {
			return none, nil, unauthenticated("the access key of the token is gone")
		}
		return none, nil, internal(err)
	}
	if no := usable(key, now); no != nil {
		return none, nil, no
	}
	if id := r.Header.Get(headerProject); id != "" && id != token.ProjectID {
		return none, nil, forbidden("project %s is not the project of this token", printable(id))
	}
	body, _, no := readBody(w, r, maxBody, true)
	if no != nil {
		return none, nil, no
	}
	key.ProjectID = token.ProjectID
	return principal{key: key, token: true}, body, nil
}

// checkHeaders makes the checks that need no secret.
func checkHeaders(r *http.Request, c credential, now time.Time) (time.Time, *refusal) {
	var zero time.Time
	// "a/b" and "a%2Fb" sign alike and route differently.
	if strings.Contains(strings.ToLower(r.URL.EscapedPath()), "%2f") {
		return zero, badRequest("a path must not contain %%2F")
	}
	if r.Header.Get(headerSecurityToken) != "" {
		return zero, unauthenticated("X-Security-Token: this server issues no temporary access keys")
	}
	for _, name := range []string{headerDate, headerProject, headerContentHash} {
		if len(r.Header.Values(name)) > 1 {
			return zero, unauthenticated("more than one %s header", name)
		}
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if (lower == "x-sdk-date" || lower == "x-project-id" || lower == "x-onceover-nonce" ||
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
func payloadHash(r *http.Request, sum string) (string, bool, *refusal) {
	switch given := r.Header.Get(headerContentHash); given {
	case "", sum:
		return sum, false, nil
	case unsignedPayload:
		if isJSON(r.Header.Get("Content-Type")) {
			return "", false, unauthenticated("a JSON body must be signed")
		}
		return given, true, nil
	default:
		return "", false, unauthenticated("X-Sdk-Content-Sha256 does not fit the body")
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

// readBody reads at most limit bytes, hashes them and keeps them if asked.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, keep bool) ([]byte, string, *refusal) {
	h := sha256.New()
	if r.Body == nil || r.Body == http.NoBody {
		return nil, hexSum(h), nil
	}
	var kept bytes.Buffer
	var to io.Writer = h
	if keep {
		to = io.MultiWriter(h, &kept)
	}
	n, err := io.Copy(to, io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, "", badRequest("the request body could not be read")
	}
	if n > limit {
		drain(w, r)
		return nil, "", tooLarge(limit)
	}
	return kept.Bytes(), hexSum(h), nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// drain reads the rest of a body that is refused for its size, within bounds.
// A client that waits for "100 Continue" has sent nothing yet.
func drain(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	if r.Body == nil || strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return
	}
	// Not every connection has deadlines; the byte limit holds for all.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, r.Body, drainBytes)
}

// throttleName puts all unknown keys of an address into one bucket, so that
// inventing keys gains nothing.
func throttleName(ak string, r *http.Request, known bool) string {
	if !known {
		ak = ""
	}
	return ak + "\x00" + clientIP(r)
}

func clientIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func safeMethod(m string) bool {
	return m == http.MethodGet || m == http.MethodHead || m == http.MethodOptions
}

// printable shortens what a client sent, for an error text.
func printable(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}
