package auth

import (
	"net/http"

	"github.com/onceover/onceover/internal/wire"
)

// LimitFailures bounds how often one address may be answered 401 by next, a
// handler that checks a secret of its own (an enrolment key). Over the limit
// the answer is 429 with Retry-After, and next is not asked.
func (a *Authenticator) LimitFailures(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, now := throttleName("", r, false), a.now()
		if wait := a.failures.wait(name, now); wait > 0 {
			a.refuse(w, r, throttled("too many failed attempts", wait))
			return
		}
		rec := &wire.Recorder{ResponseWriter: w}
		next.ServeHTTP(rec, r)
		if rec.Status == http.StatusUnauthorized {
			a.failures.spend(name, now)
		}
	})
}
