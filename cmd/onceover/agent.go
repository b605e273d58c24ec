package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/onceover/onceover/internal/fleet"
)

// agentCmd is "onceover agent".
type agentCmd struct {
	Server    []string `required:"" help:"The server, https://HOST:PORT. Several with commas between are servers of one database: when one does not answer, the agent goes over to the next." placeholder:"URL" env:"ONCEOVER_SERVER"`
	EnrollKey string   `help:"Enrolment key, for the first start. Better given in the environment or in a file." placeholder:"KEY" env:"ONCEOVER_ENROLL_KEY"`
	KeyFile   string   `name:"enroll-key-file" help:"Read the enrolment key from FILE: the key alone, or a line ONCEOVER_ENROLL_KEY=key." placeholder:"FILE" type:"path" env:"ONCEOVER_ENROLL_KEY_FILE"`
	Data      string   `help:"Keep identity and layer reports in DIR. Default: agent below the server's default." placeholder:"DIR" type:"path" env:"ONCEOVER_AGENT_DATA"`
	TLSCA     string   `name:"tls-ca" help:"Trust these certificates (PEM) instead of the system's." placeholder:"FILE" type:"path" env:"ONCEOVER_TLS_CA"`
	Jobs      int      `help:"How many images to scan at once." default:"1" env:"ONCEOVER_JOBS"`

	InsecureHTTP bool `name:"insecure-http" help:"Speak plain HTTP beyond this machine." env:"ONCEOVER_INSECURE_HTTP"`

	Engines  engineFlags   `embed:""`
	Contract contractFlags `embed:""`
	Sandbox  sandboxFlags  `embed:""`
	Files    filesFlags    `embed:""`
	Rules    ruleFlags     `embed:""`
	Checks   checkFlags    `embed:""`
	Logging  logFlags      `embed:""`
}

// Help is shown by --help.
func (*agentCmd) Help() string {
	return `Lists the images of this host's engines, scans those that the server asks for, and sends what is in them. The enrolment key is traded once for a key pair of the agent's own, which is kept in the data directory; later starts need no key. A host has one agent: beside a server that has its own, start that with --no-agent.

Examples:

  ONCEOVER_ENROLL_KEY=... onceover agent --server https://scan.example.org:8443
  onceover agent --server https://scan.example.org:8443 --tls-ca ca.pem
  onceover agent --server https://scan1.example.org:8443,https://scan2.example.org:8443`
}

// Validate checks what the flags mean together.
func (c *agentCmd) Validate() error {
	if len(c.Server) == 0 {
		return fmt.Errorf("--server: want https://HOST:PORT")
	}
	if c.Jobs < 1 || c.Jobs > fleet.MaxHolds {
		return fmt.Errorf("--jobs: want a number from 1 to %d", fleet.MaxHolds)
	}
	if c.EnrollKey != "" && c.KeyFile != "" {
		return fmt.Errorf("--enroll-key and --enroll-key-file exclude each other")
	}
	return nil
}

// Run works until ctx is done.
func (c *agentCmd) Run(ctx context.Context, std streams) error {
	c.Logging.set(std.Err)
	transport, err := c.transport()
	if err != nil {
		return err
	}
	client, err := fleet.NewClient(fleet.ClientConfig{Endpoint: c.Server[0], Others: c.Server[1:], HTTP: &http.Client{Transport: transport}})
	if err != nil {
		return usageError{err}
	}
	for _, u := range client.Servers() {
		if u.Scheme != "https" && !isLoopback(u.Hostname()) && !c.InsecureHTTP {
			return usagef("--server %s is not on this machine and not https: say --insecure-http to send findings in the clear", &u)
		}
	}
	if c.Data == "" {
		dir, err := defaultStateDir()
		if err != nil {
			return err
		}
		c.Data = filepath.Join(dir, "agent")
	}
	found, err := c.Engines.find(ctx)
	if err != nil {
		return err
	}
	unlock, err := prepareDir(c.Data, "agent")
	if err != nil {
		return err
	}
	defer unlock()
	checks, err := c.Checks.checks()
	if err != nil {
		return err
	}
	watch, err := watchRules(c.Rules.Rules)
	if err != nil {
		return err
	}
	isolate, closeContract := c.Contract.isolation(c.Sandbox, true)
	defer closeContract()
	a, err := newAgent(agentParts{
		isolate: isolate, files: !c.Files.NoFiles, checks: checks, rules: c.Rules.setup(),
		client: client, stateDir: c.Data, cacheDir: filepath.Join(c.Data, cacheDir),
		engines: found, jobs: c.Jobs,
		enrollKey: func(context.Context) (string, error) { return c.enrollKey() },
	})
	if err != nil {
		return err
	}
	defer a.close()
	watch.reload = append(watch.reload, a.scanners.take)
	go watch.run(ctx)
	go a.scanners.followClamd(ctx, clamdEvery)
	return a.agent.Run(ctx)
}

func (c *agentCmd) enrollKey() (string, error) {
	if c.KeyFile == "" {
		return c.EnrollKey, nil
	}
	b, err := readSmallFile(c.KeyFile)
	if err != nil {
		return "", fmt.Errorf("read enrolment key: %w", err)
	}
	values, err := readEnvFile(c.KeyFile)
	if err != nil {
		return "", fmt.Errorf("read enrolment key: %w", err)
	}
	return cmp.Or(values[envEnroll], firstWord(string(b))), nil
}

// dialer notices that a server is gone, host and all, before a lease lapses.
var dialer = &net.Dialer{
	Timeout:         10 * time.Second,
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
}

// transport keeps to what a parked request needs: no timeout of its own.
func (c *agentCmd) transport() (*http.Transport, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 20 * time.Second,
		IdleConnTimeout:     idleTimeout,
		MaxIdleConnsPerHost: 8,
	}
	if c.TLSCA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.TLSCA)
	if err != nil {
		return nil, fmt.Errorf("read --tls-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usagef("--tls-ca %s: no certificate in it", c.TLSCA)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}
