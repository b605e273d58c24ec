package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// Defaults of Config.
const (
	DefaultListEvery     = 5 * time.Second
	DefaultImageDeadline = 30 * time.Minute
)

const (
	// idlePark is how long a sync is parked. Leases are renewed by syncs:
	// with jobs under way it is busyPark, well below the shortest lease.
	idlePark = 50 * time.Second
	busyPark = 20 * time.Second
	// A sync that may bring jobs is left alone for a while: the server
	// answers at once if it has any, and a lease whose answer is cut off
	// counts as an attempt at the image. News of images waits for newsTime;
	// that the agent can take a job more, which is news after every job, for
	// freeTime.
	newsTime = time.Second
	freeTime = 2 * time.Second
	// After an error the sync loop waits from firstPause, doubling up to
	// maxPause.
	firstPause = 250 * time.Millisecond
	maxPause   = 15 * time.Second
	// enrolAgainEvery is how often a refused agent tries to enrol anew.
	enrolAgainEvery = time.Minute
)

// A LayerScanner makes layer reports. Safe for concurrent use.
type LayerScanner interface {
	// Analyzers is the key of all checks, as report.JoinKeys writes it.
	Analyzers() string
	// Parts returns the reports of a layer for some of these keys. An
	// incomplete report is one of a damaged layer; an error means that the
	// layer is not there, or that ctx is done.
	Parts(ctx context.Context, l image.Layer, keys []string) ([]*report.LayerReport, error)
}

// Config is what an Agent needs.
type Config struct {
	// Client reaches the server; it needs no key.
	Client *fleet.Client
	// StateDir keeps the identity of the agent, mode 0600.
	StateDir string
	// EnrollKey gives the enrolment key when one is needed: at the first
	// start, or if the server no longer knows the agent. An error, or "",
	// means that there is none.
	EnrollKey func(ctx context.Context) (string, error)
	// Discover finds the engines of this host. It is called again from
	// time to time and must return the same sources while nothing changes.
	// Never concurrently. Sources are pointers, so that they can be
	// compared.
	Discover func(ctx context.Context) ([]image.Source, []fleet.Engine)
	// Places watches the places where engines show that they have come or
	// gone, and calls changed, which returns at once, when Discover may
	// find something else; more calls are fine. It returns when ctx is
	// done, or with an error if it cannot watch. May be nil: then Discover
	// is called now and then only.
	Places func(ctx context.Context, changed func()) error
	// Scanner returns the scanner to use from now on: another one when rules
	// have changed. It is called for each job and each sync.
	Scanner func() LayerScanner
	// WordsVersion names the words that Scanner guesses passwords with, as
	// it was given to Words, "" if none were. Asked until Words is called
	// for the first time. May be nil if Words is.
	WordsVersion func() string
	// Words is given the operator's words when the server has others than
	// WordsVersion names, before the jobs of the same answer begin. It is
	// not called concurrently. May be nil: then no words are asked for.
	// Words are not secrets, but they do not belong into a log either.
	Words func(version string, words []string)
	// Jobs is how many images are scanned at once; 0 means 1.
	Jobs int
	// ImageDeadline bounds the scan of one image; 0 means
	// DefaultImageDeadline.
	ImageDeadline time.Duration
	// ListEvery is how often the images of a source are listed that does
	// not tell of changes itself (image.Watcher), or cannot for the moment;
	// 0 means DefaultListEvery.
	ListEvery time.Duration
	// Version of the program.
	Version string
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// An Agent runs on one host.
type Agent struct {
	cfg       Config
	log       *slog.Logger
	host      fleet.Host
	inv       inventory
	poke      chan struct{} // there is news of images
	freed     chan struct{} // a job has ended
	followers *followers

	ready     chan struct{}
	readyOnce sync.Once

	mu      sync.Mutex
	client  *fleet.Client // with the agent's key
	running map[string]*running
	jobs    sync.WaitGroup

	// given is the version of the words last given to Config.Words. Words
	// that cannot be used are not given again and again.
	given string
}

// running is a job under way.
type running struct{ cancel context.CancelCauseFunc }

var (
	errStopped = errors.New("the server stopped the job")
	errPoked   = errors.New("there is news for the server")
)

// New makes an agent. It reads its state directory and does nothing else
// until Run.
func New(cfg Config) (*Agent, error) {
	if cfg.Jobs < 1 {
		cfg.Jobs = 1
	}
	cfg.Jobs = min(cfg.Jobs, fleet.MaxHolds)
	if cfg.ImageDeadline <= 0 {
		cfg.ImageDeadline = DefaultImageDeadline
	}
	if cfg.ListEvery <= 0 {
		cfg.ListEvery = DefaultListEvery
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	id, err := hostID(machineIDFile, cfg.StateDir)
	if err != nil {
		return nil, fmt.Errorf("make agent: %w", err)
	}
	a := &Agent{
		cfg: cfg, log: cfg.Log, host: hostFacts(id, cfg.Version),
		poke: make(chan struct{}, 1), freed: make(chan struct{}, 1),
		ready:   make(chan struct{}),
		running: map[string]*running{},
	}
	a.followers = &followers{a: a}
	identity, ok, err := loadIdentity(cfg.StateDir)
	if err != nil {
		return nil, fmt.Errorf("make agent: %w", err)
	}
	if ok {
		a.client = cfg.Client.WithKey(identity.AccessKey, identity.SecretKey)
	}
	return a, nil
}

// Run works until ctx is done. It returns an error only if the agent cannot
// enrol: the key is wrong or there is none.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if a.client == nil {
		if err := a.enroll(ctx); err != nil {
			return err
		}
	}
	first := make(chan struct{})
	go a.follow(ctx, first)
	select {
	case <-first: // so that the first sync brings the images
	case <-ctx.Done():
		return nil
	}
	a.syncLoop(ctx)
	a.jobs.Wait()
	return nil
}

// Ready is closed when the server knows the images of this host.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// enroll gets a key pair and waits for a server that is not there yet.
func (a *Agent) enroll(ctx context.Context) error {
	key, err := a.cfg.EnrollKey(ctx)
	if err != nil {
		return fmt.Errorf("get enrolment key: %w", err)
	}
	if key == "" {
		return fault.New(fault.Invalid, "this agent is not enrolled: give an enrolment key")
	}
	pause := firstPause
	for {
		id, err := a.cfg.Client.Enroll(ctx, fleet.EnrollRequest{EnrollKey: key, Host: fleet.TrimHost(a.host)})
		if err == nil {
			if err := saveIdentity(a.cfg.StateDir, id); err != nil {
				return err
			}
			a.log.InfoContext(ctx, "enrolled", "agent", id.AgentID, "project", id.ProjectID)
			a.mu.Lock()
			a.client = a.cfg.Client.WithKey(id.AccessKey, id.SecretKey)
			a.mu.Unlock()
			return nil
		}
		if fault.CodeOf(err) != fault.Unavailable || ctx.Err() != nil {
			return err
		}
		a.log.WarnContext(ctx, "server not reached", "error", err)
		if !sleep(ctx, fleet.Jitter(pause)) {
			return ctx.Err()
		}
		pause = min(2*pause, maxPause)
	}
}

// news cuts a parked sync short.
func (a *Agent) news() { signal(a.poke) }

func (a *Agent) syncLoop(ctx context.Context) {
	known := ""   // hash of the list that the server has, "" if we cannot say
	send := false // the server asked for the list
	pause := firstPause
	var enrolled time.Time
	for ctx.Err() == nil {
		req := a.request(known, send)
		resp, err := a.syncOnce(ctx, req)
		switch {
		case err == nil:
			pause = firstPause
			known, send = req.ImagesHash, resp.SendImages
			if !send {
				a.readyOnce.Do(func() { close(a.ready) })
			}
			a.stop(resp.Stop)
			if resp.Words != nil && a.cfg.Words != nil {
				a.cfg.Words(resp.WordsVersion, *resp.Words)
				a.given = resp.WordsVersion
				a.log.InfoContext(ctx, "words to guess passwords with", "words", len(*resp.Words), "version", resp.WordsVersion)
			}
			for _, job := range resp.Jobs {
				a.start(ctx, job)
			}
			continue
		case errors.Is(err, errPoked):
			continue
		case ctx.Err() != nil:
			return
		case fault.CodeOf(err) == fault.Unauthenticated && time.Since(enrolled) > enrolAgainEvery:
			enrolled = time.Now()
			a.log.WarnContext(ctx, "the server refuses this agent, as it does when another agent of this host has enrolled: enrolling anew", "error", err)
			if err := a.enroll(ctx); err != nil {
				a.log.ErrorContext(ctx, "enrol anew", "error", err)
			} else {
				known, send = "", false
				continue
			}
		default:
			a.log.WarnContext(ctx, "sync", "error", err)
		}
		if !sleep(ctx, fleet.Jitter(pause)) {
			return
		}
		pause = min(2*pause, maxPause)
	}
}

// syncOnce is one sync, given up when there is news and it is parked.
func (a *Agent) syncOnce(ctx context.Context, req fleet.SyncRequest) (fleet.SyncResponse, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	if req.WaitMS == 0 {
		return a.key().Sync(ctx, req)
	}
	var news, free time.Duration
	if req.Want > 0 {
		news, free = newsTime, freeTime
	}
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		var t *time.Timer
		select {
		case <-a.poke:
			t = time.NewTimer(time.Until(start.Add(news)))
		case <-a.freed:
			t = time.NewTimer(time.Until(start.Add(free)))
		case <-stop:
			return
		}
		defer t.Stop()
		for {
			select {
			case <-t.C:
				cancel(errPoked)
				return
			case <-a.poke:
				t.Reset(time.Until(start.Add(news)))
			case <-stop:
				return
			}
		}
	}()
	resp, err := a.key().Sync(ctx, req)
	close(stop)
	<-watched
	if err != nil && errors.Is(context.Cause(ctx), errPoked) {
		return resp, errPoked
	}
	return resp, err
}

func (a *Agent) key() *fleet.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.client
}

// request tells the server where this agent stands. The list of images goes
// along once the server is known to lack it: the first sync says its hash
// only.
func (a *Agent) request(known string, send bool) fleet.SyncRequest {
	engines, states, hash := a.inv.snapshot()
	req := fleet.SyncRequest{
		Host: a.host, Analyzers: a.cfg.Scanner().Analyzers(), ImagesHash: hash,
		WaitMS: int(idlePark.Milliseconds()),
	}
	if a.cfg.Words != nil {
		req.WordsVersion = cmp.Or(a.given, a.cfg.WordsVersion(), fleet.NoWords)
	}
	req.Host.Engines = engines
	req.Host = fleet.TrimHost(req.Host)
	if send || known != "" && known != hash {
		req.Images = &states
	}
	if known == "" || req.Images != nil {
		req.WaitMS = 0 // there is an answer to wait for that is no work
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	req.Holds = slices.Sorted(maps.Keys(a.running))
	if len(req.Holds) > 0 {
		req.WaitMS = min(req.WaitMS, int(busyPark.Milliseconds()))
	}
	req.Want = max(0, a.cfg.Jobs-len(a.running))
	return req
}

// stop ends jobs that are no longer wanted.
func (a *Agent) stop(ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if r, ok := a.running[id]; ok {
			r.cancel(errStopped)
		}
	}
}

// start runs a job beside the loop.
func (a *Agent) start(ctx context.Context, job fleet.Job) {
	ctx, cancel := context.WithCancelCause(ctx)
	a.mu.Lock()
	_, twice := a.running[job.ID]
	if !twice {
		a.running[job.ID] = &running{cancel: cancel}
	}
	a.mu.Unlock()
	if twice {
		cancel(nil)
		return
	}
	a.jobs.Go(func() {
		defer func() {
			cancel(nil)
			a.mu.Lock()
			delete(a.running, job.ID)
			a.mu.Unlock()
			signal(a.freed)
		}()
		a.work(ctx, job)
	})
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
