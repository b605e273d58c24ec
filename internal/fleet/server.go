package fleet

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/wire"
)

// ServerConfig is what the handlers need.
type ServerConfig struct {
	Auth     *auth.Authenticator
	Enroller Enroller
	Work     Work
	Reports  Reports
	// Now is time.Now if nil.
	Now func() time.Time
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// maxDecoders is how many large bodies are taken apart at once; others wait.
// It bounds memory to a few times MaxPlainBytes.
const maxDecoders = 4

// maxEnrollBytes is the largest enrolment request, which is not signed.
const maxEnrollBytes = 64 << 10

// maxMissingBytes is the largest question for missing layers: MaxLayers digests
// take a third of it. It is decoded without holding one of the places.
const maxMissingBytes = 256 << 10

// A Server serves the agent protocol. It is safe for concurrent use.
type Server struct {
	cfg      ServerConfig
	decoders chan struct{}
	closing  chan struct{}
	once     sync.Once

	mu    sync.Mutex
	polls map[string]*poll
}

// NewServer makes a server. Close it to release parked requests.
func NewServer(cfg ServerConfig) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Server{
		cfg:      cfg,
		decoders: make(chan struct{}, maxDecoders),
		closing:  make(chan struct{}),
		polls:    map[string]*poll{},
	}
}

// Close answers all parked requests at once, and later ones without parking.
func (s *Server) Close() { s.once.Do(func() { close(s.closing) }) }

// Handler serves everything beneath /agent/v1/.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	agent := func(h func(http.ResponseWriter, *http.Request, auth.Key) error) http.Handler {
		return s.cfg.Auth.Agents(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key, _ := auth.FromContext(r.Context())
			if err := h(w, r, key); err != nil {
				s.fail(w, r, err)
			}
		}), MaxBodyBytes)
	}
	mux.Handle("POST "+PathEnroll, s.cfg.Auth.LimitFailures(http.HandlerFunc(s.enroll)))
	mux.Handle("POST "+PathSync, agent(s.sync))
	mux.Handle("POST "+PathMissing, agent(s.missing))
	mux.Handle("PUT "+PathLayers+"{diff_id}", agent(s.putLayer))
	mux.Handle("POST "+PathJobs+"{id}/finish", agent(s.finish))
	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, fault.New(fault.NotFound, "no such call in version 1 of the agent protocol"))
	}))
	return wire.WithRequestID(mux)
}

func (s *Server) enroll(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxEnrollBytes)
	var req EnrollRequest
	err := decode(r, maxEnrollBytes, &req)
	if err == nil {
		err = req.Host.validate()
	}
	if err == nil && (req.EnrollKey == "" || len(req.EnrollKey) > MaxText) {
		err = fault.New(fault.Unauthenticated, "the enrolment key is missing or malformed")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	resp, err := s.cfg.Enroller.Enroll(r.Context(), req, s.cfg.Now().UnixMilli())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	note := audit.From(r.Context())
	note.What("EnrolAgent", resp.ProjectID, "", resp.AgentID, req.Host.ID)
	note.Keep()
	s.cfg.Log.InfoContext(r.Context(), "agent enrolled", "agent", resp.AgentID, "host", req.Host.Name)
	w.Header().Set("Cache-Control", "no-store")
	wire.WriteJSON(w, http.StatusOK, resp)
}

func (s *Server) sync(w http.ResponseWriter, r *http.Request, key auth.Key) error {
	var req SyncRequest
	if err := s.decodeLarge(r, &req); err != nil {
		return err
	}
	if err := req.validate(); err != nil {
		return err
	}
	wait := time.Duration(req.WaitMS) * time.Millisecond
	// The server's own write timeout is shorter than a parked request.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + MaxWait))
	resp, err := s.park(r.Context(), key, req, wait)
	if err != nil {
		return err
	}
	wire.WriteJSON(w, http.StatusOK, resp)
	return nil
}

// park asks for work until there is some or the time is up.
func (s *Server) park(ctx context.Context, key auth.Key, req SyncRequest, wait time.Duration) (SyncResponse, error) {
	p, mine := s.begin(key.AgentID)
	req.Poll = rand.Text()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		// Before the question, so that no change falls between.
		changed := s.cfg.Work.Changed(key.AgentID)
		resp, ok, err := p.ask(mine, func() (SyncResponse, error) {
			return s.cfg.Work.Sync(ctx, key, req, s.cfg.Now().UnixMilli())
		})
		if err != nil || !ok || resp.Superseded || len(resp.Jobs)+len(resp.Stop) > 0 || resp.SendImages || resp.Words != nil {
			return resp, err
		}
		req.Images, req.Parked = nil, true // known by now
		select {
		case <-changed:
		case <-mine:
			return SyncResponse{}, nil
		case <-timer.C:
			return resp, nil
		case <-s.closing:
			return resp, nil
		case <-ctx.Done():
			return SyncResponse{}, ctx.Err()
		}
	}
}

// A poll is the parked sync of one agent. An agent has one at a time: a later
// one supersedes the earlier, whose list of holds is out of date and would
// take leases away from jobs that are running. One that is parked at another
// server is told apart by SyncRequest.Poll.
type poll struct {
	mu      sync.Mutex
	current chan struct{} // closed when superseded
}

func (s *Server) begin(agentID string) (*poll, chan struct{}) {
	s.mu.Lock()
	p := s.polls[agentID]
	if p == nil {
		p = &poll{}
		s.polls[agentID] = p
	}
	s.mu.Unlock()

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		close(p.current)
	}
	p.current = make(chan struct{})
	return p, p.current
}

// ask calls f unless the poll was superseded.
func (p *poll) ask(mine chan struct{}, f func() (SyncResponse, error)) (SyncResponse, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != mine {
		return SyncResponse{}, false, nil
	}
	resp, err := f()
	return resp, true, err
}

func (s *Server) missing(w http.ResponseWriter, r *http.Request, _ auth.Key) error {
	var req MissingRequest
	if err := decode(r, maxMissingBytes, &req); err != nil {
		return err
	}
	if err := req.validate(); err != nil {
		return err
	}
	missing, err := s.cfg.Reports.MissingLayers(r.Context(), req)
	if err != nil {
		return err
	}
	if missing == nil {
		missing = []image.Digest{}
	}
	wire.WriteJSON(w, http.StatusOK, MissingResponse{DiffIDs: missing})
	return nil
}

func (s *Server) putLayer(w http.ResponseWriter, r *http.Request, _ auth.Key) error {
	var layer report.LayerReport
	if err := s.decodeLarge(r, &layer); err != nil {
		return err
	}
	if layer.DiffID != r.PathValue("diff_id") {
		return invalid("the report is of another layer than its path")
	}
	if !layer.Complete {
		return invalid("layer %s: an incomplete report belongs into the image report", layer.DiffID)
	}
	if err := validateLayer(&layer); err != nil {
		return err
	}
	if err := s.cfg.Reports.PutLayer(r.Context(), &layer); err != nil {
		return err
	}
	wire.WriteJSON(w, http.StatusOK, struct{}{})
	return nil
}

func (s *Server) finish(w http.ResponseWriter, r *http.Request, key auth.Key) error {
	id := r.PathValue("id")
	if !validID(id) {
		return invalid("the job id is malformed")
	}
	var req FinishRequest
	if err := s.decodeLarge(r, &req); err != nil {
		return err
	}
	if err := req.validate(); err != nil {
		return err
	}
	if err := s.cfg.Work.Finish(r.Context(), key, id, req, s.cfg.Now().UnixMilli()); err != nil {
		return err
	}
	wire.WriteJSON(w, http.StatusOK, struct{}{})
	return nil
}

// decodeLarge decodes a body while holding one of the few places for it.
func (s *Server) decodeLarge(r *http.Request, v any) error {
	select {
	case s.decoders <- struct{}{}:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	defer func() { <-s.decoders }()
	return decode(r, MaxPlainBytes, v)
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		// The agent hung up, or the server's own timeout has passed. An
		// answer that is not written would be 200.
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	code := fault.CodeOf(err)
	status := statusOf(code)
	message := err.Error()
	if status >= http.StatusInternalServerError {
		s.cfg.Log.ErrorContext(r.Context(), "agent request", "path", r.URL.Path,
			"request_id", wire.RequestID(r.Context()), "error", err)
		if code == fault.Internal {
			message = "internal error"
		}
	}
	wire.WriteError(w, r, status, errorCode, message)
}
