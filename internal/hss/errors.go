package hss

import (
	"net/http"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/wire"
)

// answer is how a fault looks on the wire. HSS puts its own errors at 400; the
// others are those of the gateway before it. Codes that Huawei does not have
// begin with "Onceover".
type answer struct {
	status int
	code   string
}

// answers is the one table from faults to the wire.
var answers = map[fault.Code]answer{
	fault.Internal:        {http.StatusInternalServerError, "HSS.0000"},
	fault.Invalid:         {http.StatusBadRequest, "HSS.0001"},
	fault.Unparsable:      {http.StatusBadRequest, "HSS.0002"},
	fault.NotFound:        {http.StatusBadRequest, "HSS.0011"},
	fault.Unauthenticated: {http.StatusUnauthorized, "APIGW.0301"},
	fault.Forbidden:       {http.StatusForbidden, "HSS.0013"},
	fault.Conflict:        {http.StatusBadRequest, "Onceover.0409"},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, "APIGW.0201"},
	fault.Unavailable:     {http.StatusServiceUnavailable, "Onceover.0503"},
	fault.Unsupported:     {http.StatusNotImplemented, "Onceover.0501"},
}

// fail answers with an error. The text of an internal error is logged and not
// shown.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	code := fault.CodeOf(err)
	ans, ok := answers[code]
	if !ok {
		ans = answers[fault.Internal]
	}
	message := err.Error()
	if code == fault.Internal {
		a.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path,
			"request_id", wire.RequestID(r.Context()), "err", err)
		message = "internal error; the server's log has more under the request id"
	}
	wire.WriteError(w, r, ans.status, ans.code, message)
}
