package auth

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/onceover/onceover/internal/wire"
)

// Error codes that clients see: those of Huawei's API gateway, which stands
// before HSS there, and HSS's own for a foreign project.
const (
	codeUnauthenticated = "APIGW.0301"
	codeThrottled       = "APIGW.0308"
	codeBadRequest      = "APIGW.0201"
	codeForbidden       = "HSS.0013"
	codeInternal        = "HSS.0000"
)

// A refusal is an answer that ends a request.
type refusal struct {
	status     int
	code       string
	message    string
	retryAfter time.Duration
	// cause is logged and never shown.
	cause error
	// counts says that the attempt counts as a failed guess.
	counts bool
}

func unauthenticated(format string, args ...any) *refusal {
	return &refusal{
		status:  http.StatusUnauthorized,
		code:    codeUnauthenticated,
		message: "Incorrect IAM authentication information: " + fmt.Sprintf(format, args...),
	}
}

// badSignature is one text for an unknown key, a wrong secret and a changed
// request: telling them apart would tell which access keys exist.
func badSignature() *refusal {
	r := unauthenticated("verify aksk signature fail: the access key is unknown, " +
		"the secret key is wrong, or the request was changed on its way")
	r.counts = true
	return r
}

// badPassword is one text for an unknown user, one without a password, and a
// wrong one.
func badPassword() *refusal {
	return unauthenticated("the user is unknown or the password is wrong")
}

func forbidden(format string, args ...any) *refusal {
	return &refusal{status: http.StatusForbidden, code: codeForbidden, message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, code: codeBadRequest, message: fmt.Sprintf(format, args...)}
}

func tooLarge(limit int64) *refusal {
	return &refusal{
		status:  http.StatusRequestEntityTooLarge,
		code:    codeBadRequest,
		message: fmt.Sprintf("the request body is larger than %d bytes", limit),
	}
}

func throttled(message string, wait time.Duration) *refusal {
	return &refusal{status: http.StatusTooManyRequests, code: codeThrottled, message: message, retryAfter: wait}
}

func internal(cause error) *refusal {
	return &refusal{status: http.StatusInternalServerError, code: codeInternal,
		message: "the credentials could not be checked", cause: cause}
}

func (f *refusal) write(w http.ResponseWriter, r *http.Request) {
	if f.retryAfter > 0 {
		seconds := int((f.retryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	wire.WriteError(w, r, f.status, f.code, f.message)
}
