package auth

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

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
	// Accounts may be nil: there are no passwords and no temporary keys then.
	Accounts Accounts
	// Used is told of keys that were let in, if it is not nil.
	Used func(ak string, now time.Time)
	// Rate is how many requests a second a key of a user may make, and as
	// many again twice over at once; 0 for no limit. Agents have none.
	Rate int
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
	accounts Accounts
	used     func(ak string, now time.Time)
	maxBody  int64
	now      func() time.Time
	log      *slog.Logger

	replays  replayCache
	failures throttle
	issued   throttle
	// requests is nil without a limit.
	requests *throttle

	hasher                  hasher
	guesses, names, origins throttle // failed passwords
}

// New makes an Authenticator.
func New(cfg Config) *Authenticator {
	a := &Authenticator{
		keys: cfg.Keys, projects: cfg.Projects, accounts: cfg.Accounts, used: cfg.Used, maxBody: cfg.MaxBody, now: cfg.Now, log: cfg.Log,
		failures: throttle{burst: failureBurst, interval: failureInterval},
		issued:   throttle{burst: tokenBurst, interval: tokenInterval},
		hasher:   make(hasher, maxHashing),
		guesses:  throttle{burst: guessBurst, interval: guessInterval},
		names:    throttle{burst: nameBurst, interval: nameInterval},
		origins:  throttle{burst: addressBurst, interval: addressInterval},
	}
	if cfg.Rate > 0 {
		a.requests = &throttle{burst: float64(2 * cfg.Rate), interval: time.Second / time.Duration(cfg.Rate)}
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
	// temporary says that it is a temporary key.
	temporary bool
	// until is when it ends, in Unix milliseconds, 0 for never: of the key
	// and the token the earlier.
	until int64
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

// Users lets requests pass that are signed by a user's key, or carry a token
// for one; an agent's key is refused with 403.
func (a *Authenticator) Users(next http.Handler) http.Handler {
	return a.guard(next, a.maxBody, func(p principal) *refusal {
		if p.key.AgentID != "" {
			return forbidden("the key of an agent opens the agent protocol only")
		}
		if a.requests != nil {
			if wait := a.requests.take(p.key.account(), a.now()); wait > 0 {
				return throttled("too many requests with this access key", wait)
			}
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
		if a.used != nil && p.key.AK != "" {
			a.used(p.key.AK, a.now())
		}
		p.key.Secret, p.key.TokenHash = "", ""
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
			"client", wire.ClientIP(r), "reason", no.message)
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

// throttleName puts all unknown keys of an address into one bucket, so that
// inventing keys gains nothing.
func throttleName(ak string, r *http.Request, known bool) string {
	if !known {
		ak = ""
	}
	return ak + "\x00" + wire.ClientIP(r)
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
