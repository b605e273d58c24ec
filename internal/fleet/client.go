package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/wire"
)

const (
	// maxResponseBytes bounds what the client reads.
	maxResponseBytes = 16 << 20
	// requestTimeout bounds one attempt that is not parked.
	requestTimeout = 2 * time.Minute
	// parkSlack is what a sync may take beyond its wait.
	parkSlack = 30 * time.Second
	// Retries wait from firstBackoff, doubling up to maxBackoff, and stop
	// when giveUp has passed: the lease has lapsed by then and the job is
	// another's.
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 10 * time.Second
	giveUp       = 2 * time.Minute
)

// ClientConfig is what a Client needs.
type ClientConfig struct {
	// Endpoint is the server, "https://host:port". A path is not used.
	Endpoint string
	// Others are further servers of the same database. When one cannot be
	// reached, or says that it is not available, the next one is asked, and
	// stays the one that is asked until the same happens to it.
	Others []string
	// HTTP must have no timeout of its own. It is http.DefaultClient if
	// nil.
	HTTP *http.Client
	// AccessKey and SecretKey are the agent's own pair. A client that only
	// enrols has none.
	AccessKey, SecretKey string
	// Now is time.Now if nil.
	Now func() time.Time
}

// A Client speaks the agent protocol. It is safe for concurrent use. Its
// errors carry the fault code that the server had; a server that cannot be
// reached is fault.Unavailable.
type Client struct {
	cfg   ClientConfig
	bases []url.URL
	now   *atomic.Int64 // which of bases; shared by all that WithKey made
}

// NewClient makes a client.
func NewClient(cfg ClientConfig) (*Client, error) {
	var bases []url.URL
	for _, endpoint := range append([]string{cfg.Endpoint}, cfg.Others...) {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fault.New(fault.Invalid, "server %q: want https://host:port", endpoint)
		}
		bases = append(bases, url.URL{Scheme: u.Scheme, Host: u.Host})
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Client{cfg: cfg, bases: bases, now: new(atomic.Int64)}, nil
}

// Servers are the servers, scheme and host only.
func (c *Client) Servers() []url.URL { return slices.Clone(c.bases) }

// WithKey is a client of the same servers with another key pair.
func (c *Client) WithKey(accessKey, secretKey string) *Client {
	cfg := c.cfg
	cfg.AccessKey, cfg.SecretKey = accessKey, secretKey
	return &Client{cfg: cfg, bases: c.bases, now: c.now}
}

// Enroll trades an enrolment key for an agent's key pair. It tries once.
func (c *Client) Enroll(ctx context.Context, req EnrollRequest) (EnrollResponse, error) {
	var resp EnrollResponse
	err := c.once(ctx, http.MethodPost, PathEnroll, req, &resp, requestTimeout)
	if err == nil && (resp.AgentID == "" || resp.AccessKey == "" || resp.SecretKey == "") {
		err = fault.New(fault.Internal, "the server's answer lacks the key pair")
	}
	return resp, wrap(err, "enrol")
}

// Sync is one heartbeat. It tries once: the caller's loop is the retry.
func (c *Client) Sync(ctx context.Context, req SyncRequest) (SyncResponse, error) {
	var resp SyncResponse
	wait := time.Duration(req.WaitMS) * time.Millisecond
	err := c.once(ctx, http.MethodPost, PathSync, req, &resp, wait+parkSlack)
	if err == nil {
		err = resp.validate()
	}
	return resp, wrap(err, "sync")
}

// MissingLayers are those of diffIDs that the server has no report of.
func (c *Client) MissingLayers(ctx context.Context, analyzers string, diffIDs []image.Digest) ([]image.Digest, error) {
	var resp MissingResponse
	err := c.retry(ctx, http.MethodPost, PathMissing, MissingRequest{Analyzers: analyzers, DiffIDs: diffIDs}, &resp)
	return resp.DiffIDs, wrap(err, "ask for missing layers")
}

// PutLayer sends a complete layer report.
func (c *Client) PutLayer(ctx context.Context, r *report.LayerReport) error {
	return wrap(c.retry(ctx, http.MethodPut, PathLayers+r.DiffID, r, nil), "send layer report")
}

// Finish ends a job.
func (c *Client) Finish(ctx context.Context, jobID string, req FinishRequest) error {
	return wrap(c.retry(ctx, http.MethodPost, PathJobs+jobID+"/finish", req, nil), "finish job")
}

func wrap(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// retry repeats a request while the server is unavailable. Every request of
// the protocol may be repeated; each attempt is signed anew.
func (c *Client) retry(ctx context.Context, method, path string, in, out any) error {
	start := c.cfg.Now()
	backoff := firstBackoff
	for {
		err := c.once(ctx, method, path, in, out, requestTimeout)
		if err == nil || fault.CodeOf(err) != fault.Unavailable || ctx.Err() != nil || c.cfg.Now().Sub(start) > giveUp {
			return err
		}
		pause := Jitter(backoff)
		var busy *busyError
		if errors.As(err, &busy) && busy.after > pause {
			pause = min(busy.after, maxBackoff)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// Jitter is d give or take a quarter, so that a fleet does not march in step.
func Jitter(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(rand.Int64N(int64(d)/2+1))
}

// busyError is what the server said together with Retry-After.
type busyError struct{ after time.Duration }

func (b *busyError) Error() string { return "try again after " + b.after.String() }

// once asks the server of the moment. If that is not available the next one is
// the server of the moment: whoever tries again asks there.
func (c *Client) once(ctx context.Context, method, path string, in, out any, timeout time.Duration) error {
	n := c.now.Load()
	err := c.ask(ctx, c.bases[int(n)%len(c.bases)], method, path, in, out, timeout)
	if fault.CodeOf(err) == fault.Unavailable && ctx.Err() == nil {
		c.now.CompareAndSwap(n, (n+1)%int64(len(c.bases)))
	}
	return err
}

func (c *Client) ask(ctx context.Context, u url.URL, method, path string, in, out any, timeout time.Duration) error {
	body, encoding, err := encode(in)
	if err != nil {
		return err
	}
	if len(body) > MaxBodyBytes {
		return fault.New(fault.TooLarge, "the request of %d bytes is larger than the protocol allows", len(body))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	u.Path = path
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return bodyReader(body) }
	req.Body, _ = req.GetBody()
	req.Header.Set("Content-Type", "application/json")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	if c.cfg.AccessKey != "" {
		if err := auth.Sign(req, c.cfg.AccessKey, c.cfg.SecretKey, c.cfg.Now()); err != nil {
			return err
		}
	}
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return fault.New(fault.Unavailable, "reach server: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes+1))
	if err != nil {
		return fault.New(fault.Unavailable, "read answer: %w", err)
	}
	if len(answer) > maxResponseBytes {
		return fault.New(fault.TooLarge, "the server's answer is larger than %d bytes", maxResponseBytes)
	}
	if resp.StatusCode != http.StatusOK {
		return answerError(resp, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fault.New(fault.Unparsable, "parse answer: %w", err)
	}
	return nil
}

// answerError is what an answer other than 200 says.
func answerError(resp *http.Response, answer []byte) error {
	message := strings.TrimSpace(clean(string(answer), MaxText))
	var e wire.Error
	if json.Unmarshal(answer, &e) == nil && e.Message != "" {
		message = clean(e.Message, MaxMessage)
	}
	if message == "" {
		message = http.StatusText(resp.StatusCode)
	}
	code := codeOf(resp.StatusCode)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 && code == fault.Unavailable {
		return fault.New(code, "server answered %d: %s: %w", resp.StatusCode, message,
			&busyError{after: time.Duration(seconds) * time.Second})
	}
	return fault.New(code, "server answered %d: %s", resp.StatusCode, message)
}
