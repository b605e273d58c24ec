package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/onceover/onceover/api"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/query"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/wire"
)

// Paths for those who watch over a server.
const (
	pathHealth  = "/healthz"
	pathReady   = "/readyz"
	pathVersion = "/version"
	pathMetrics = "/metrics"
	// pathDescription is for everyone: it says nothing that the program does
	// not.
	pathDescription = query.Prefix + "openapi.yaml"
)

const (
	// readyTime bounds what is asked of the database.
	readyTime = 3 * time.Second
	// readyFor is how long the answer holds: everyone may ask, and as often
	// as they like.
	readyFor = time.Second
)

// health tells how the server does.
type health struct {
	store      *store.Store
	advisories *advisories
	ending     <-chan struct{} // closed when the server is about to end

	mu    sync.Mutex
	asked time.Time // when last was made
	last  readiness
}

// alive answers as long as the process does: a database that is away is no
// reason to start the process anew.
func (h *health) alive(w http.ResponseWriter, _ *http.Request) {
	wire.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// unavailable is the status of a server that should not be sent requests.
const unavailable = "unavailable"

// readiness is the answer of /readyz.
type readiness struct {
	Status string       `json:"status"` // ok, unavailable
	Checks []readyCheck `json:"checks"`
}

type readyCheck struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Reason why not, or a word about it. It is for everyone: what exactly is
	// wrong stands in the log.
	Reason string `json:"reason,omitempty"`
}

// ready says whether requests should be sent here.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	out := h.readiness(r.Context())
	select {
	case <-h.ending:
		out.Status = unavailable
		out.Checks = append(out.Checks, readyCheck{"running", false, "the server is about to end"})
	default:
		out.Checks = append(out.Checks, readyCheck{"running", true, ""})
	}
	status := http.StatusOK
	if out.Status == unavailable {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	wire.WriteJSON(w, status, out)
}

// readiness is what the server rests on.
func (h *health) readiness(ctx context.Context) readiness {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.asked.IsZero() && time.Since(h.asked) < readyFor {
		return readiness{h.last.Status, slices.Clone(h.last.Checks)}
	}
	// Who asked may go; the next one wants the answer too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTime)
	defer cancel()
	out := readiness{Status: "ok"}
	check := func(name, reason string, err error) {
		c := readyCheck{Name: name, OK: err == nil}
		if err != nil {
			c.Reason = reason
			out.Status = unavailable
			slog.WarnContext(ctx, "not ready", "check", name, "error", err)
		}
		out.Checks = append(out.Checks, c)
	}
	check("database", "the database does not answer", h.store.Ping(ctx))
	check("tables", "the tables of the database are not up to date", h.store.Migrated(ctx))
	_, starter, err := h.advisories.inUse()
	check("advisories", "no advisories are loaded", err)
	if starter {
		out.Checks[len(out.Checks)-1].Reason = "the small database that is built in is in use"
	}
	h.last, h.asked = out, time.Now()
	return readiness{out.Status, slices.Clone(out.Checks)}
}

// versions is the answer of /version. Which build a server is and which
// advisories it has would tell a stranger what it does not know: they are for
// those who show a key, and for this machine.
type versions struct {
	Name string `json:"name"`
	// APIs are the versions of what is spoken here.
	APIs       map[string]string `json:"api_versions"`
	Version    string            `json:"version,omitempty"`
	Go         string            `json:"go,omitempty"`
	Generation string            `json:"advisory_generation,omitempty"`
}

func (h *health) version(a *auth.Authenticator) http.Handler {
	tell := func(full bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			v := versions{Name: "onceover", APIs: map[string]string{"hss": "v5", "iam": "v3", "onceover": "v1", "agent": "v1"}}
			if full {
				v.Version, v.Go = programVersion(), runtime.Version()
				v.Generation, _, _ = h.advisories.inUse() // none is told as none
			}
			wire.WriteJSON(w, http.StatusOK, v)
		}
	}
	shown, open := a.Users(tell(true)), tell(false)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "" || r.Header.Get("X-Auth-Token") != "":
			shown.ServeHTTP(w, r)
		case fromHere(r):
			tell(true)(w, r)
		default:
			open(w, r)
		}
	})
}

// describeAPI serves the description of our own API.
func describeAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(api.Onceover) // the client has gone, if anything
}

// fromHere reports whether a request is from this machine and not from a proxy
// on it.
func fromHere(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}
