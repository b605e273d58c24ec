package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/agent"
	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/cache"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/hss"
	"github.com/onceover/onceover/internal/query"
	"github.com/onceover/onceover/internal/scan"
	"github.com/onceover/onceover/internal/sheet"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/wire"
)

// serverCmd is "onceover server".
type serverCmd struct {
	Listen        string        `help:"Address to serve on; default ${default}. One beyond this machine needs TLS." default:"127.0.0.1:8443" placeholder:"HOST:PORT" env:"ONCEOVER_LISTEN"`
	Data          string        `help:"Keep everything in DIR. Default: /var/lib/onceover as root, else onceover in the user's state directory." placeholder:"DIR" type:"path" env:"ONCEOVER_DATA"`
	Database      string        `help:"Keep what the server knows in this PostgreSQL database instead of a file in the data directory." placeholder:"postgres://..." env:"ONCEOVER_DATABASE"`
	DB            string        `name:"db" help:"Advisory database. Default: advisories.db in the data directory, else ${database_file}, else the starter that is built in." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	TLSCert       string        `name:"tls-cert" help:"Serve HTTPS with this certificate chain (PEM)." placeholder:"FILE" type:"path" env:"ONCEOVER_TLS_CERT"`
	TLSKey        string        `name:"tls-key" help:"Private key of the certificate (PEM)." placeholder:"FILE" type:"path" env:"ONCEOVER_TLS_KEY"`
	MetricsListen string        `name:"metrics-listen" help:"Serve /metrics, /healthz and /readyz on this address too, in plain HTTP and to everyone who reaches it. Without it metrics are shown to this machine only." placeholder:"HOST:PORT" env:"ONCEOVER_METRICS_LISTEN"`
	RateLimit     int           `help:"How many requests a second one access key may make; twice as many at once. 0 for no limit. Agents have none." default:"100" placeholder:"N" env:"ONCEOVER_RATE_LIMIT"`
	AuditKeep     time.Duration `help:"How long the audit log is kept." default:"2160h" placeholder:"DURATION" env:"ONCEOVER_AUDIT_KEEP"`
	InsecureHTTP  bool          `name:"insecure-http" help:"Serve plain HTTP beyond this machine: for a proxy that does TLS." env:"ONCEOVER_INSECURE_HTTP"`

	NoAgent bool   `help:"Run no agent for this host in the server." env:"ONCEOVER_NO_AGENT"`
	Jobs    int    `help:"How many images the agent for this host scans at once." default:"1" env:"ONCEOVER_JOBS"`
	ScanNow bool   `help:"Scan all images at the start and print the result."`
	Once    bool   `help:"With --scan-now: end when the result is printed."`
	Sample  string `help:"Scan a sample image made of this machine: ${enum}. auto means: if no engine answers." enum:"auto,never,always" default:"auto" env:"ONCEOVER_SAMPLE"`

	Engines    engineFlags   `embed:""`
	Contract   contractFlags `embed:""`
	Sandbox    sandboxFlags  `embed:""`
	Files      filesFlags    `embed:""`
	Rules      ruleFlags     `embed:""`
	Checks     checkFlags    `embed:""`
	Logging    logFlags      `embed:""`
	Advisories advisoryFlags `embed:""`
	Seal       sealFlag      `embed:""`
}

// maxRateLimit is beyond what a server answers.
const maxRateLimit = 1_000_000

// logFlags are shared by the commands that run on.
type logFlags struct {
	LogFormat string `help:"How to write the log: ${enum}." enum:"text,json" default:"text" env:"ONCEOVER_LOG_FORMAT"`
	LogLevel  string `help:"What to log: ${enum}." enum:"debug,info,warn,error" default:"info" env:"ONCEOVER_LOG_LEVEL"`
}

func (f logFlags) set(w io.Writer) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
		level = slog.LevelInfo // the enum leaves nothing else
	}
	opts := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		slog.SetDefault(slog.New(slog.NewJSONHandler(w, opts)))
		return
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(w, opts)))
}

// Help is shown by --help.
func (*serverCmd) Help() string {
	return `Serves the HSS API and the agent protocol, and runs an agent for the engines of this host. The first start makes a project with an access key and leaves them in credentials.env in the data directory, for clients to source. On SIGTERM or SIGINT requests under way are finished.

Examples:

  onceover server --data /srv/onceover
  onceover server --database postgres://onceover@db.example.org/onceover
  onceover server --database postgres://onceover@db.example.org/onceover --seal-key /etc/onceover/seal.key
  onceover server --listen 0.0.0.0:8443 --tls-cert tls.crt --tls-key tls.key
  onceover server --metrics-listen 10.0.0.5:9464
  onceover server --scan-now`
}

// Validate checks what the flags mean together.
func (c *serverCmd) Validate() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if err := checkDatabase(c.Database); err != nil {
		return err
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			return fmt.Errorf("--metrics-listen %s: want HOST:PORT", c.MetricsListen)
		}
	}
	if c.RateLimit < 0 || c.RateLimit > maxRateLimit {
		return fmt.Errorf("--rate-limit: want a number from 0 to %d", maxRateLimit)
	}
	if c.AuditKeep < time.Hour {
		return errors.New("--audit-keep: want at least 1h")
	}
	if c.Jobs < 1 || c.Jobs > fleet.MaxHolds {
		return fmt.Errorf("--jobs: want a number from 1 to %d", fleet.MaxHolds)
	}
	if c.Once && !c.ScanNow {
		return errors.New("--once goes with --scan-now")
	}
	if c.NoAgent && (c.ScanNow || c.Sample == "always") {
		return errors.New("--scan-now and --sample need the agent that --no-agent leaves out")
	}
	return nil
}

// Run serves until ctx is done.
func (c *serverCmd) Run(ctx context.Context, std streams) error {
	c.Logging.set(std.Err)
	if err := checkListen(c.Listen, c.TLSCert != "", c.InsecureHTTP); err != nil {
		return err
	}
	if c.Data == "" {
		dir, err := defaultStateDir()
		if err != nil {
			return err
		}
		c.Data = dir
	}
	unlock, err := prepareDir(c.Data, "server")
	if err != nil {
		return err
	}
	defer unlock()
	advisories, err := openAdvisories(c.DB, c.Data, c.Advisories, std)
	if err != nil {
		return err
	}
	defer advisories.close()
	seal, err := c.Seal.read(c.Data)
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Config{
		URL: c.Database, DataDir: c.Data, SealKey: seal.key,
		Advisories: advisories, AuditKeep: c.AuditKeep,
	})
	if err != nil {
		return err
	}
	defer st.Close()
	if err := seal.check(ctx, st); err != nil {
		return err
	}
	watch, err := watchRules(c.Rules.Rules)
	if err != nil {
		return err
	}
	if err := takeServerRules(st, c.Rules.Rules); err != nil {
		return err
	}
	watch.reload = append(watch.reload, func(context.Context) error { return takeServerRules(st, c.Rules.Rules) })
	if !c.NoAgent {
		// What is wrong is told now, and not by an agent that stops.
		checks, err := c.Checks.checks()
		if err != nil {
			return err
		}
		if _, _, err := checkSets(c.Rules.setup(), checks...); err != nil {
			return err
		}
	}
	return c.serve(ctx, std, st, seal, advisories, watch)
}

// serve listens, starts what runs beside the HTTP server, and ends it all in
// order.
func (c *serverCmd) serve(ctx context.Context, std streams, st *store.Store, seal seal, advisories *advisories, watch *ruleWatch) error {
	listener, err := c.listen()
	if err != nil {
		return err
	}
	endpoint := endpointOf(listener.Addr(), c.TLSCert != "")
	found, err := c.Engines.find(ctx)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	creds, created, err := prepareCredentials(ctx, st, seal, c.Data, endpoint)
	if err != nil {
		return errors.Join(err, listener.Close())
	}

	trail := audit.New(st, nil)
	authenticator := auth.New(auth.Config{Keys: st, Projects: st, Accounts: st, Used: st.UsedKey, Rate: c.RateLimit})
	fleetServer := fleet.NewServer(fleet.ServerConfig{Auth: authenticator, Enroller: st, Work: st, Reports: st})
	ending := make(chan struct{})
	// What runs beside ends before the server drains: a parked agent has
	// nothing to wait for.
	beside, stop := context.WithCancel(ctx)
	defer stop()
	requests, show := newMetrics(st, advisories)
	health := &health{store: st, advisories: advisories, ending: beside.Done()}
	server := &http.Server{
		Handler: wire.WithRequestID(requests.Watch(trail.Watch(&router{
			health: health, version: health.version(authenticator), metrics: forThisMachine(show), agents: fleetServer.Handler(),
			tokens: authenticator.Tokens(), projects: authenticator.Users(authenticator.ListProjects()), temporary: authenticator.SecurityTokens(),
			api: inOrder(hss.New(hss.Config{Store: st, Authenticate: authenticator.Users})), advisories: advisories,
			own:     inOrder(query.New(query.Config{Store: st, Authenticate: authenticator.Users, Ending: ending, Version: programVersion()})),
			explain: query.Explain(query.ExplainConfig{Images: st, Tenants: st.Tenants, Judged: st.Judged, Matcher: advisories.matcher, Authenticate: authenticator.Users}),
		}))),
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(fleetServer.Close)
	server.RegisterOnShutdown(func() { close(ending) })

	stopMetrics, err := serveMetrics(c.MetricsListen, health, show, func(addr string) { slog.InfoContext(ctx, "serving metrics", "address", addr) })
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	inside := newMemoryListener()
	failed := make(chan error, 2)
	for _, l := range []net.Listener{listener, inside} {
		go func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve on %s: %w", l.Addr(), err)
			}
		}()
	}
	slog.InfoContext(ctx, "serving", "endpoint", endpoint, "data", c.Data, "version", programVersion())
	printStart(std, endpoint, filepath.Join(c.Data, credentialsFile), created)

	scanned := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { st.Run(beside) })
	running.Go(func() { sheet.New(st, slog.Default()).Run(beside) })
	running.Go(func() { trail.Run(beside) })
	running.Go(func() { advisories.watch(beside) })
	running.Go(func() { watch.run(beside) })
	running.Go(func() { advisories.refresh(beside) })
	if !c.NoAgent {
		running.Go(func() {
			if err := c.runAgent(beside, std, st, found, inside, creds.project, scanned); err != nil && beside.Err() == nil {
				slog.ErrorContext(beside, "the agent for this host stopped", "error", err)
			}
		})
	}

	select {
	case <-ctx.Done():
	case err = <-failed:
	case err = <-ended(scanned, c.Once):
	}
	stop()
	running.Wait()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if serr := server.Shutdown(drain); serr != nil {
		slog.Warn("requests were cut off", "error", serr)
		_ = server.Close()
	}
	trail.Flush(drain) // what was refused while it ended
	stopMetrics(drain) // the last that answers: it tells that the server ends
	slog.Info("server stopped")
	return err
}

// ended is the channel, or one that never answers.
func ended(scanned <-chan error, once bool) <-chan error {
	if once {
		return scanned
	}
	return nil
}

func (c *serverCmd) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("%w: say --listen with an address that is free here", err)
	}
	if c.TLSCert == "" {
		return l, nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read TLS certificate: %w", err), l.Close())
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

// runAgent runs the agent for this host, over the same protocol that any
// other speaks.
func (c *serverCmd) runAgent(ctx context.Context, std streams, st *store.Store, found *engines, inside *memoryListener, project string, scanned chan<- error) error {
	client, err := fleet.NewClient(fleet.ClientConfig{Endpoint: memoryEndpoint, HTTP: inside.client()})
	if err != nil {
		return err
	}
	sources, states := found.discover(ctx)
	sample := c.Sample == "always" || c.Sample == "auto" && len(sources) == 0
	if len(sources) == 0 && !c.Engines.NoEngines {
		std.notice("no container engine answers on this host")
		for _, s := range states {
			std.notice("%s: %s", s.Name, s.Error)
		}
	}
	if sample {
		std.notice("scanning a sample image made of this machine: its packages and this program")
		src, err := makeSample(ctx, filepath.Join(c.Data, sampleDir))
		if err != nil {
			return err
		}
		found.extra = append(found.extra, src)
	}
	checks, err := c.Checks.checks()
	if err != nil {
		return err
	}
	watch, err := watchRules(c.Rules.Rules)
	if err != nil {
		return err
	}
	isolate, closeContract := c.Contract.isolation(c.Sandbox, false)
	defer closeContract()
	a, err := newAgent(agentParts{
		isolate: isolate, files: !c.Files.NoFiles, checks: checks, rules: c.Rules.setup(),
		client: client, stateDir: filepath.Join(c.Data, agentDir), cacheDir: filepath.Join(c.Data, cacheDir),
		engines: found, jobs: c.Jobs,
		enrollKey: func(ctx context.Context) (string, error) {
			return st.CreateEnrollKey(ctx, project, 1, 10*time.Minute)
		},
	})
	if err != nil {
		return err
	}
	defer a.close()
	watch.reload = append(watch.reload, a.scanners.take)
	go watch.run(ctx)
	go a.scanners.followClamd(ctx, clamdEvery)
	if sample || c.ScanNow {
		go func() {
			select {
			case <-a.agent.Ready():
			case <-ctx.Done():
				return
			}
			err := scanNow(ctx, st, project, std.Out)
			if err != nil && ctx.Err() == nil {
				slog.ErrorContext(ctx, "scan at start", "error", err)
			}
			scanned <- err
		}()
	}
	return a.agent.Run(ctx)
}

// agentParts is what an agent is made of, in the server or alone.
type agentParts struct {
	client             *fleet.Client
	stateDir, cacheDir string
	engines            *engines
	jobs               int
	enrollKey          func(context.Context) (string, error)
	isolate            *scan.Isolation
	files              bool // take digests of files
	// checks beside that for packages, and what they are made from.
	checks []string
	rules  checkSetup
}

type builtAgent struct {
	agent    *agent.Agent
	cache    *cache.Cache
	scanners *scanners
}

func (b *builtAgent) close() { _ = b.cache.Close() } // a cache has nothing to lose

func newAgent(p agentParts) (*builtAgent, error) {
	if err := os.MkdirAll(p.stateDir, 0o700); err != nil {
		return nil, fmt.Errorf("create agent directory: %w", err)
	}
	layers, err := cache.New(cache.Config{Dir: p.cacheDir})
	if err != nil {
		return nil, err
	}
	p.rules.attach(p.isolate, p.checks...)
	s := &scanners{
		config: scan.Config{Set: packageSet(p.files), Cache: layers, Isolate: p.isolate, Log: slog.Default()},
		checks: p.checks, rules: p.rules.Rules, setup: p.rules, copies: filepath.Join(p.stateDir, "rules"),
	}
	if err := s.take(context.Background()); err != nil {
		return nil, errors.Join(err, layers.Close())
	}
	a, err := agent.New(agent.Config{
		Client: p.client, StateDir: p.stateDir, EnrollKey: p.enrollKey,
		Discover: p.engines.discover, Places: p.engines.watchPlaces, Jobs: p.jobs, Version: programVersion(),
		Scanner: s.get, Words: s.words, WordsVersion: s.wordsVersion,
	})
	if err != nil {
		return nil, errors.Join(err, layers.Close())
	}
	return &builtAgent{a, layers, s}, nil
}

// inOrder has the store answer the requests of clients in the order of coming.
func inOrder(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(store.Arrived(r.Context())))
	})
}

// router sends each request to its part. It goes by prefix alone:
// http.ServeMux would answer an unclean path with a redirect, which clients of
// HSS take for success.
type router struct {
	health                        *health
	version, metrics              http.Handler
	agents, tokens, projects, api http.Handler
	temporary                     http.Handler
	advisories                    *advisories
	own, explain                  http.Handler // beside what HSS has
}

func (h *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/v5/"):
		h.api.ServeHTTP(w, r)
	case strings.HasPrefix(path, query.Prefix) && strings.Contains(path, "/images/") && strings.HasSuffix(path, "/explain"):
		h.explain.ServeHTTP(w, r)
	case path == pathDescription && r.Method == http.MethodGet:
		describeAPI(w, r)
	case strings.HasPrefix(path, query.Prefix):
		h.own.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/agent/v1/"):
		h.agents.ServeHTTP(w, r)
	case path == auth.PathTokens && r.Method == http.MethodPost:
		h.tokens.ServeHTTP(w, r)
	case path == auth.PathProjects && r.Method == http.MethodGet:
		h.projects.ServeHTTP(w, r)
	case path == auth.PathSecurityTokens && r.Method == http.MethodPost:
		h.temporary.ServeHTTP(w, r)
	case strings.HasPrefix(path, advisory.ServedPath+"/"):
		h.advisories.ServeHTTP(w, r)
	case path == pathMetrics && r.Method == http.MethodGet:
		h.metrics.ServeHTTP(w, r)
	case path == pathHealth && r.Method == http.MethodGet:
		h.health.alive(w, r)
	case path == pathReady && r.Method == http.MethodGet:
		h.health.ready(w, r)
	case path == pathVersion && r.Method == http.MethodGet:
		h.version.ServeHTTP(w, r)
	default:
		wire.WriteError(w, r, http.StatusNotFound, "APIGW.0101", "no such API")
	}
}

// printStart tells where the server is and, at the first start, how to use it.
func printStart(std streams, endpoint, credentials string, created bool) {
	std.notice("serving %s", endpoint)
	if !created {
		return
	}
	std.notice("a project and an access key were made; clients source %s", credentials)
	fmt.Fprintf(std.Err, `
  set -a; . %s; set +a
  # with a signed request of any Huawei Cloud SDK, or with a token:
  token=$(curl -sS -o /dev/null -D - -d '{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":"'$HUAWEICLOUD_SDK_AK'"},"secret":{"key":"'$HUAWEICLOUD_SDK_SK'"}}}}}' \
    $ONCEOVER_ENDPOINT/v3/auth/tokens | sed -n 's/^X-Subject-Token: *\([^[:space:]]*\).*/\1/Ip')
  curl -sS -H "X-Auth-Token: $token" -H 'Content-Type: application/json' -d '{"operate_all":true}' \
    $ONCEOVER_ENDPOINT/v5/$HUAWEICLOUD_SDK_PROJECT_ID/image/local/batch-scan
  curl -sS -H "X-Auth-Token: $token" $ONCEOVER_ENDPOINT/v5/$HUAWEICLOUD_SDK_PROJECT_ID/image/local-repositories

`, shellQuote(credentials))
}

// shellQuote makes a path one word of a shell.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
