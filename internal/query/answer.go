package query

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/tenant"
	"github.com/onceover/onceover/internal/wire"
)

// answers is what all operations have in common: how a request begins and how it
// is answered.
type answers struct {
	tenants tenant.Lookup
	log     *slog.Logger
}

// serve answers those who may read.
func (a answers) serve(f func(r *http.Request, c tenant.Call) (any, error)) http.HandlerFunc {
	return a.serveFor(auth.Viewer, f)
}

// serveFor checks whose call it is, and answers.
func (a answers) serveFor(need auth.Role, f func(r *http.Request, c tenant.Call) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := a.begin(r, need)
		var out any
		if err == nil {
			out, err = f(r, c)
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		wire.WriteJSON(w, http.StatusOK, out)
	}
}

// begin checks whose call it is. Reading reaches all that is granted; what is no
// reading is written down before it is done.
func (a answers) begin(r *http.Request, need auth.Role) (tenant.Call, error) {
	op := tenant.Operation{
		Name: r.Method + " " + chi.RouteContext(r.Context()).RoutePattern(), Needs: need, Reach: tenant.All,
		Objects: []string{chi.URLParam(r, "name")},
	}
	if need != auth.Viewer {
		op.Reach = tenant.Only
	}
	c, err := tenant.Begin(r, a.tenants, op)
	if err == nil && need != auth.Viewer {
		err = audit.From(r.Context()).Begin(r.Context())
	}
	return c, err
}

// statuses is the one table from faults to the wire.
var statuses = map[fault.Code]int{
	fault.Invalid:         http.StatusBadRequest,
	fault.Unparsable:      http.StatusBadRequest,
	fault.NotFound:        http.StatusNotFound,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.Conflict:        http.StatusConflict,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.Unsupported:     http.StatusNotImplemented,
}

// fail answers with an error, "Onceover." and the status as its code. The text
// of an internal error is logged and not shown.
func (a answers) fail(w http.ResponseWriter, r *http.Request, err error) {
	message := err.Error()
	status, ok := statuses[fault.CodeOf(err)]
	if !ok {
		status = http.StatusInternalServerError
		a.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path,
			"request_id", wire.RequestID(r.Context()), "err", err)
		message = "internal error; the server's log has more under the request id"
	}
	wire.WriteError(w, r, status, fmt.Sprintf("Onceover.%04d", status), message)
}
