package query

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/go-chi/chi/v5"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/wire"
)

// ExplainPath is the path of the question why an image has a finding; the
// parameter id names what is asked about.
const ExplainPath = "/v1/{project_id}/images/{image_id}/explain"

// maxIDBytes bounds the id that is asked about.
const maxIDBytes = 1024

// Merged gives an image as its last scan saw it: store.Store.
type Merged interface {
	// Merged merges what is kept of the image. An unknown image is
	// fault.NotFound; one that was not scanned, or of which something is not
	// kept any more, is fault.Conflict.
	Merged(ctx context.Context, project, imageID string) (*store.Merged, error)
}

// ExplainConfig is what the question is answered with.
type ExplainConfig struct {
	Images Merged
	// Tenants are those that a key may act in: store.Store's.
	Tenants func(ctx context.Context, k auth.Key, enterprise string) ([]string, error)
	// Judged returns what applies the VEX documents of a project to findings of
	// the image, nil if it has none: store.Store's. Without it there are none.
	Judged func(ctx context.Context, project, imageID string, inv report.Inventory) (func(*report.Finding), error)
	// Matcher returns the matcher of the generation in use, and a function
	// that is called when the answer is made.
	Matcher func() (m *match.Matcher, release func(), err error)
	// Authenticate lets a request pass only with an auth.Key in its
	// context: auth.Authenticator's Middleware.
	Authenticate func(http.Handler) http.Handler
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// Explain makes the handler for ExplainPath. The answer is the "explanation" of
// docs/schema/explain-v1.schema.json.
func Explain(cfg ExplainConfig) http.Handler {
	e := explainer{cfg}
	if e.cfg.Log == nil {
		e.cfg.Log = slog.Default()
	}
	r := chi.NewRouter()
	r.Use(wire.WithRequestID, e.recoverPanics, cfg.Authenticate)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		wire.WriteError(w, r, http.StatusNotFound, "APIGW.0101", "the API does not exist: "+r.URL.Path)
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		wire.WriteError(w, r, http.StatusMethodNotAllowed, "APIGW.0101", "the API does not know the method "+r.Method)
	})
	r.Get(ExplainPath, func(w http.ResponseWriter, r *http.Request) {
		out, err := e.explain(r)
		if err != nil {
			e.fail(w, r, err)
			return
		}
		wire.WriteJSON(w, http.StatusOK, out)
	})
	return r
}

type explainer struct{ cfg ExplainConfig }

func (e explainer) explain(r *http.Request) (*match.Explanation, error) {
	id := r.URL.Query().Get("id")
	if id == "" || len(id) > maxIDBytes {
		return nil, fault.New(fault.Invalid, "id: want the id of a CVE, an advisory or a record, of at most %d bytes", maxIDBytes)
	}
	var img *store.Merged
	var project string
	err := tenants(e.cfg.Tenants).found(r, func(tenant string) (err error) {
		project = tenant
		img, err = e.cfg.Images.Merged(r.Context(), tenant, chi.URLParam(r, "image_id"))
		return err
	})
	if err != nil {
		return nil, err
	}
	commands := buildcmd.Commands(img.Config)
	layers := make([]match.Layer, len(img.Config.DiffIDs))
	for i, d := range img.Config.DiffIDs {
		layers[i] = match.Layer{DiffID: string(d), BuildCommand: commands[i]}
	}
	m, release, err := e.cfg.Matcher()
	if err != nil {
		return nil, err
	}
	defer release()
	out, err := m.Explain(r.Context(), img.Inventory, layers, img.Running, id)
	if err != nil || e.cfg.Judged == nil {
		return out, err
	}
	judge, err := e.cfg.Judged(r.Context(), project, chi.URLParam(r, "image_id"), img.Inventory)
	if err == nil && judge != nil {
		out.Judge(judge)
	}
	return out, err
}

// explainStatuses are the HTTP statuses of coded errors; any other is a fault of
// the server.
var explainStatuses = map[fault.Code]int{
	fault.Invalid:         http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Unavailable:     http.StatusServiceUnavailable,
}

func (e explainer) fail(w http.ResponseWriter, r *http.Request, err error) {
	message := err.Error()
	status, ok := explainStatuses[fault.CodeOf(err)]
	if !ok {
		status = http.StatusInternalServerError
		e.cfg.Log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path,
			"request_id", wire.RequestID(r.Context()), "err", err)
		message = "internal error; the server's log has more under the request id"
	}
	wire.WriteError(w, r, status, fmt.Sprintf("Onceover.%04d", status), message)
}

// recoverPanics answers 500 where the handler fails badly.
func (e explainer) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			e.fail(w, r, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		}()
		next.ServeHTTP(w, r)
	})
}
