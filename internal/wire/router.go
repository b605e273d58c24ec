package wire

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/go-chi/chi/v5"
)

// codeNoRoute is that of a request which reaches no operation.
const codeNoRoute = "APIGW.0101"

// NewRouter is what the routes of an API are put into: requests have an id and
// have passed authenticate, what is not there is answered for, and a handler that
// fails badly is answered for by fail.
func NewRouter(authenticate func(http.Handler) http.Handler, fail func(w http.ResponseWriter, r *http.Request, err error)) chi.Router {
	r := chi.NewRouter()
	r.Use(WithRequestID, recoverPanics(fail), authenticate)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, r, http.StatusNotFound, codeNoRoute, "the API does not exist: "+r.URL.Path)
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, r, http.StatusMethodNotAllowed, codeNoRoute, "the API does not know the method "+r.Method)
	})
	return r
}

func recoverPanics(fail func(w http.ResponseWriter, r *http.Request, err error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler {
					panic(v)
				}
				fail(w, r, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
			}()
			next.ServeHTTP(w, r)
		})
	}
}
