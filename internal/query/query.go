package query

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
	"github.com/onceover/onceover/internal/wire"
)

// Prefix is what the paths of the API begin with.
const Prefix = "/v1/"

const (
	// defaultLimit and maxLimit are the sizes of a page.
	defaultLimit = 50
	maxLimit     = 200
	// maxOffset bounds how far a list is read; totals count all.
	maxOffset = 1_000_000
	// maxNameBytes bounds the names that are asked for.
	maxNameBytes = 1024
)

// Config is what the API is made of.
type Config struct {
	// Store answers.
	Store *store.Store
	// Authenticate lets a request pass only with an auth.Key in its
	// context: auth.Authenticator's Middleware.
	Authenticate func(http.Handler) http.Handler
	// Ending is closed when the server is about to end: streams of events end
	// then. nil never is.
	Ending <-chan struct{}
	// Version of the program, for the documents that it writes.
	Version string
	// Log is slog.Default() if nil.
	Log *slog.Logger

	poll time.Duration // 0 means pollEvery; for tests
}

type api struct {
	answers
	store     *store.Store
	ending    <-chan struct{}
	poll      time.Duration
	version   string
	listeners listeners
	bills     chan struct{} // one place for each that is made
}

// New makes the handler for everything below Prefix.
func New(cfg Config) http.Handler {
	a := &api{answers: answers{cfg.Store.Tenants, cfg.Log}, store: cfg.Store, ending: cfg.Ending, poll: cmp.Or(cfg.poll, pollEvery), version: cfg.Version, bills: make(chan struct{}, maxBills)}
	if a.log == nil {
		a.log = slog.Default()
	}
	r := wire.NewRouter(cfg.Authenticate, a.fail)
	for path, f := range map[string]func(r *http.Request, c tenant.Call) (any, error){
		"vulnerabilities":      a.vulnerabilities,
		"vulnerabilities/{id}": a.vulnerability,
		"packages":             a.packages,
		"files/{sha256}":       a.file,
		"events":               a.events,
	} {
		r.Get(Prefix+"{project_id}/fleet/"+path, a.serve(f))
	}
	r.Get(tasksPath+"latest", a.serve(a.latestTask))
	r.Get(tasksPath+"{id}", a.serve(a.scanTask))
	r.Get(tasksPath+"{id}/events", a.followTask)
	r.Get(sbomPath, a.sbom)
	r.Get(vexPath, a.serve(a.listVEX))
	r.Get(vexPath+"/{name}", a.getVEX)
	r.Put(vexPath+"/{name}", a.serveFor(auth.Admin, a.putVEX))
	r.Delete(vexPath+"/{name}", a.serveFor(auth.Admin, a.dropVEX))
	return r
}
