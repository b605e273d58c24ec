package hss

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
	"github.com/onceover/onceover/internal/wire"
)

// Config is what the API is made of.
type Config struct {
	// Store answers.
	Store *store.Store
	// Authenticate lets a request pass only with an auth.Key in its
	// context: auth.Authenticator's Middleware.
	Authenticate func(http.Handler) http.Handler
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// api carries the handlers.
type api struct {
	store *store.Store
	log   *slog.Logger
	built map[string]endpoint
}

// endpoint answers one operation; a nil answer is a success without content.
type endpoint func(r *http.Request, op *operation, c call) (any, error)

// call is what every operation knows of a request.
type call struct {
	tenant.Call
	// empty says that a parameter has a value that selects nothing.
	empty bool
	body  body
}

// New makes the handler for everything below /v5/. It authenticates, routes,
// checks and answers; each answer carries a request id.
func New(cfg Config) http.Handler {
	a := &api{store: cfg.Store, log: cfg.Log, built: map[string]endpoint{}}
	if a.log == nil {
		a.log = slog.Default()
	}
	a.routes()
	r := wire.NewRouter(cfg.Authenticate, a.fail)
	for i := range operations {
		op := &operations[i]
		r.MethodFunc(op.Method, op.Path, a.serve(op))
	}
	return r
}

// Operation tells what the API does with an operation of the contract.
type Operation struct {
	ID, Method, Path, Tag, Summary string
	// Built is false for those that answer 501.
	Built bool
	// Needs is the role that may do it.
	Needs auth.Role
	// Params are those of the query.
	Params []Param
}

// Param is a parameter of the query.
type Param struct {
	Name     string
	Required bool
	// Enum are the values allowed; nil for any.
	Enum []string
	// Number and Bool say what else than text is meant.
	Number, Bool bool
}

// Operations lists all operations of the contract by path and method.
func Operations() []Operation {
	a := &api{built: map[string]endpoint{}}
	a.routes()
	out := make([]Operation, len(operations))
	for i, op := range operations {
		out[i] = Operation{op.ID, op.Method, op.Path, op.Tag, op.Summary, a.built[op.ID] != nil, needs[op.ID], nil}
		for _, p := range op.Params {
			if p.In == inQuery {
				out[i].Params = append(out[i].Params, Param{p.Name, p.Required, p.Enum, p.Kind == kindInt, p.Kind == kindBool})
			}
		}
	}
	return out
}

// Handle makes an endpoint from the function of an operation. In is a struct
// that decode fills: generated parameters (embedded), path parameters, and a
// Body. Out is the generated answer, or stream for one of bytes; a nil pointer is an
// answer without content.
func Handle[In, Out any](f func(ctx context.Context, c call, in *In) (*Out, error)) endpoint {
	return func(r *http.Request, op *operation, c call) (any, error) {
		var in In
		if err := decode(r, op, c.body, &in); err != nil {
			return nil, err
		}
		out, err := f(r.Context(), c, &in)
		if err != nil || out == nil {
			return nil, err
		}
		return out, nil
	}
}

// none is the Out of operations that answer without content.
type none struct{}

func (a *api) serve(op *operation) http.HandlerFunc {
	run := a.built[op.ID]
	return func(w http.ResponseWriter, r *http.Request) {
		var c call
		var err error
		c.Call, err = tenant.Begin(r, a.store.Tenants, tenant.Operation{Name: op.ID, Needs: needs[op.ID], Reach: op.reach()})
		if err == nil && run == nil {
			err = fault.New(fault.Unsupported, "%s (%s) is not built yet", op.ID, op.Summary)
		}
		if err == nil {
			err = check(r, op, &c)
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		c.body = readBody(r)
		if needs[op.ID] != auth.Viewer {
			if err := audited(r, op, c); err != nil {
				a.fail(w, r, err)
				return
			}
		}
		out, err := run(r, op, c)
		file, isFile := out.(*stream)
		switch {
		case err != nil:
			a.fail(w, r, err)
		case out == nil:
			// Clients take a success with a body of zero bytes, and
			// choke on a lone newline.
			w.WriteHeader(http.StatusOK)
		case isFile:
			file.serve(w, r)
		default:
			wire.WriteJSON(w, http.StatusOK, out)
		}
	}
}

// audited writes a call down before it is done, with the ids that stand in its path
// and its body.
func audited(r *http.Request, op *operation, c call) error {
	var ids []string
	if rc := chi.RouteContext(r.Context()); rc != nil {
		for i, name := range rc.URLParams.Keys {
			if name != "project_id" && name != "*" && i < len(rc.URLParams.Values) {
				ids = append(ids, rc.URLParams.Values[i])
			}
		}
	}
	note := audit.From(r.Context())
	note.What(op.ID, c.Project, c.Enterprise, append(ids, c.body.ids...)...)
	return note.Begin(r.Context())
}
