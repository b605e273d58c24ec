package query

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
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
	Tenants tenant.Lookup
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
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	e := explainer{answers{cfg.Tenants, cfg.Log}, cfg}
	r := wire.NewRouter(cfg.Authenticate, e.fail)
	r.Get(ExplainPath, e.serve(e.explain))
	return r
}

type explainer struct {
	answers
	cfg ExplainConfig
}

func (e explainer) explain(r *http.Request, c tenant.Call) (any, error) {
	id := r.URL.Query().Get("id")
	if id == "" || len(id) > maxIDBytes {
		return nil, fault.New(fault.Invalid, "id: want the id of a CVE, an advisory or a record, of at most %d bytes", maxIDBytes)
	}
	imageID, err := wire.PathParam(r, "image_id")
	if err != nil {
		return nil, err
	}
	var project string
	img, err := tenant.Found(c, func(t string) (*store.Merged, error) {
		project = t
		return e.cfg.Images.Merged(r.Context(), t, imageID)
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
	judge, err := e.cfg.Judged(r.Context(), project, imageID, img.Inventory)
	if err == nil && judge != nil {
		out.Judge(judge)
	}
	return out, err
}
