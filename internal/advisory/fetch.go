package advisory

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxDownloadBytes bounds one file. The largest archive of osv.dev has
	// about 400 MB.
	maxDownloadBytes = 4 << 30
	// maxSmallBytes bounds what is read into memory: lists and checksums.
	maxSmallBytes = 1 << 20
	// attempts to get one file, with a pause that doubles from
	// defaultBackoff to maxBackoff.
	attempts       = 6
	defaultBackoff = 500 * time.Millisecond
	maxBackoff     = 30 * time.Second
	// maxRetryAfter is how long a server may ask us to wait. One that asks
	// for more is left alone until the next update.
	maxRetryAfter = 2 * time.Minute
	// stallTimeout is the time in which minRate has to be kept, on average:
	// less ends the attempt. A text that is read into memory has to be
	// there as a whole by then.
	stallTimeout = 60 * time.Second
	// minRate is in bytes a second. Slower than a modem is a server that
	// means to hold us.
	minRate = 1 << 10
	// maxRedirects is how many a request may follow.
	maxRedirects = 10
	// userAgent says who asks.
	userAgent = "onceover"
)

// FetchOptions say how to reach a server.
type FetchOptions struct {
	// Client makes the requests; one with sensible limits if nil.
	Client *http.Client
	// Backoff is the first pause between attempts; defaultBackoff if 0.
	Backoff time.Duration
	// Stall is the time in which MinRate bytes a second have to be kept;
	// stallTimeout and minRate if 0.
	Stall   time.Duration
	MinRate int64
	// MaxBytes bounds one file; maxDownloadBytes if 0.
	MaxBytes int64
	// Now is the clock for dates that servers name, time.Now if nil.
	Now func() time.Time
}

var (
	errNotServed = errors.New("not served")
	errChecksum  = errors.New("checksum does not match")
	errSlow      = errors.New("the server sends next to nothing")
	errRedirect  = errors.New("too many redirects")
	errDowngrade = errors.New("redirect from https to http")
)

func isURL(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// A fetcher downloads files so that nothing is transferred twice.
type fetcher struct {
	client   *http.Client
	o        FetchOptions // without zeros
	progress func(file string, done, total int64)
	// limit of one file in bytes; o.MaxBytes if 0. Who sets it knows the
	// checksum too.
	limit int64
}

func newFetcher(o FetchOptions, progress func(string, int64, int64)) *fetcher {
	o.Backoff = cmp.Or(o.Backoff, defaultBackoff)
	o.Stall = cmp.Or(o.Stall, stallTimeout)
	o.MinRate = cmp.Or(o.MinRate, minRate)
	o.MaxBytes = cmp.Or(o.MaxBytes, maxDownloadBytes)
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &fetcher{client: o.Client, o: o, progress: progress}
	if f.client == nil {
		f.client = &http.Client{
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
				TLSHandshakeTimeout:   15 * time.Second,
				ResponseHeaderTimeout: o.Stall,
				DisableCompression:    true,
			},
			CheckRedirect: func(req *http.Request, via []*http.Request) error {
				if len(via) >= maxRedirects {
					return errRedirect
				}
				if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
					return errDowngrade
				}
				return nil
			},
		}
	}
	if f.progress == nil {
		f.progress = func(string, int64, int64) {}
	}
	return f
}

// fileState is what is remembered about a file between runs.
type fileState struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	Size         int64  `json:"size"`
	SHA256       string `json:"sha256"`
}

// validator is what tells two versions of a file apart, "" if nothing does.
func (s fileState) validator() string {
	if s.ETag != "" && !strings.HasPrefix(s.ETag, "W/") {
		return s.ETag // If-Range takes strong ones only
	}
	return s.LastModified
}

// get brings the file at url to dest, unless the server says that it has not
// changed since state was made. It returns the new state and whether the file
// is a new one. errNotServed means that the server has no such file.
func (f *fetcher) get(ctx context.Context, url, dest string, old fileState) (fileState, bool, error) {
	if fi, err := os.Stat(dest); err != nil || fi.Size() != old.Size || old.URL != url {
		old = fileState{}
	}
	part := &partial{path: dest + ".part"}
	var last error
	for n := range attempts {
		if n > 0 {
			if err := f.pause(ctx, n, last); err != nil {
				return old, false, fmt.Errorf("download %s: %w", url, err)
			}
		}
		state, changed, err := f.attempt(ctx, url, part, old)
		var r retryError
		switch {
		case err == nil && !changed:
			return old, false, nil
		case err == nil:
			if err := os.Rename(part.path, dest); err != nil {
				return old, false, fmt.Errorf("keep download: %w", err)
			}
			part.forget()
			return state, true, nil
		case ctx.Err() != nil:
			return old, false, fmt.Errorf("download %s: %w", url, ctx.Err())
		case !errors.As(err, &r):
			return old, false, fmt.Errorf("download %s: %w", url, err)
		}
		last = err
	}
	return old, false, fault.New(fault.Unavailable, "download %s: gave up after %d attempts: %w", url, attempts, last)
}

// retryError is an error that another attempt may not meet.
type retryError struct {
	err   error
	after time.Duration // as the server asks
}

func (e retryError) Error() string { return e.err.Error() }
func (e retryError) Unwrap() error { return e.err }

// pause waits for half to all of a time that doubles with each attempt, so
// that many agents that failed together do not come back together.
func (f *fetcher) pause(ctx context.Context, n int, last error) error {
	d := min(f.o.Backoff<<(n-1), maxBackoff)
	d = d/2 + rand.N(d/2+1)
	var r retryError
	if errors.As(last, &r) && r.after > d {
		if r.after > maxRetryAfter {
			return fault.New(fault.Unavailable, "the server asks to be left alone for %v: %w", r.after.Round(time.Second), last)
		}
		d = r.after
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for another attempt: %w", ctx.Err())
	case <-t.C:
		return nil
	}
}

// attempt makes one request and reads what it brings into part.
func (f *fetcher) attempt(ctx context.Context, url string, part *partial, old fileState) (fileState, bool, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pace := f.pace(cancel)
	defer pace.stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return old, false, err
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept-Encoding", "identity")
	have, validator := part.resumable(url)
	switch {
	case have > 0:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Header.Set("If-Range", validator)
	case old.ETag != "":
		req.Header.Set("If-None-Match", old.ETag)
	case old.LastModified != "":
		req.Header.Set("If-Modified-Since", old.LastModified)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return old, false, requestError(ctx, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		have = 0
	case http.StatusPartialContent:
		if start, ok := rangeStart(resp.Header.Get("Content-Range")); !ok || start != have {
			part.forget()
			return old, false, retryError{err: fmt.Errorf("range %q, asked for %d", resp.Header.Get("Content-Range"), have)}
		}
		if etag := resp.Header.Get("ETag"); etag != "" && strings.HasPrefix(validator, `"`) && etag != validator {
			part.forget()
			return old, false, retryError{err: fmt.Errorf("the rest of another version, %s instead of %s", etag, validator)}
		}
	case http.StatusNotModified:
		if old.URL == "" {
			return old, false, retryError{err: errors.New("said to be unchanged, and nothing is here")}
		}
		part.forget() // of a version that is not there any more
		return old, false, nil
	case http.StatusRequestedRangeNotSatisfiable:
		part.forget()
		return old, false, retryError{err: errors.New(resp.Status)}
	case http.StatusNotFound, http.StatusGone:
		return old, false, errNotServed
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return old, false, retryError{errors.New(resp.Status), f.retryAfter(resp.Header)}
	default:
		if resp.StatusCode >= 500 {
			return old, false, retryError{errors.New(resp.Status), f.retryAfter(resp.Header)}
		}
		return old, false, errors.New(resp.Status)
	}
	state := fileState{URL: url, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
	total := int64(0)
	if resp.ContentLength > 0 {
		total = have + resp.ContentLength
	}
	limit := cmp.Or(f.limit, f.o.MaxBytes)
	if total > limit {
		part.forget()
		return old, false, fault.New(fault.TooLarge, "%d bytes, the limit is %d", total, limit)
	}
	body := &watched{r: resp.Body, ctx: ctx, moved: func(n int64) {
		pace.moved(n)
		f.progress(url, have+n, total)
	}}
	if err := part.fill(have, body, state, limit); err != nil {
		if errors.Is(err, errLimit) {
			part.forget()
			return old, false, fault.New(fault.TooLarge, "more than %d bytes: %w", limit, err)
		}
		return old, false, err
	}
	pace.stop()
	if err := f.verify(ctx, part, resp.Header, url, &state); err != nil {
		return old, false, err
	}
	return state, true, nil
}

// watched reports progress and gives the cause of a cancelled read.
type watched struct {
	r     io.Reader
	ctx   context.Context
	n     int64
	moved func(n int64)
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.n += int64(n)
		w.moved(w.n)
	}
	if err != nil && w.ctx.Err() != nil {
		err = context.Cause(w.ctx)
	}
	return n, err
}

func rangeStart(h string) (int64, bool) {
	rest, ok := strings.CutPrefix(h, "bytes ")
	if !ok {
		return 0, false
	}
	first, _, _ := strings.Cut(rest, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	return n, err == nil
}

// retryAfter is how long the server asks to wait, in seconds or until a date
// (RFC 9110, section 10.2.3).
func (f *fetcher) retryAfter(h http.Header) time.Duration {
	const most = 365 * 24 * time.Hour
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(n, 0), int(most/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(f.o.Now()), 0), most)
	}
	return 0
}

// requestError tells errors that another attempt may not meet from those that
// it will.
func requestError(ctx context.Context, err error) error {
	if errors.Is(err, errRedirect) || errors.Is(err, errDowngrade) {
		return fault.New(fault.Unavailable, "%w", err)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause // rather than that it was cancelled
	}
	return retryError{err: err}
}

// A pace ends an attempt that is too slow. Silence is not the only way to hold
// a client: a byte now and then does it as well.
type pace struct {
	n    atomic.Int64
	once sync.Once
	done chan struct{}
}

func (f *fetcher) pace(cancel context.CancelCauseFunc) *pace {
	p := &pace{done: make(chan struct{})}
	want := int64(float64(f.o.MinRate) * f.o.Stall.Seconds())
	go func() {
		t := time.NewTicker(f.o.Stall)
		defer t.Stop()
		for before := int64(0); ; {
			select {
			case <-p.done:
				return
			case <-t.C:
			}
			now := p.n.Load()
			if now-before < want {
				cancel(fmt.Errorf("%w: %d bytes in %v", errSlow, now-before, f.o.Stall))
				return
			}
			before = now
		}
	}()
	return p
}

// moved tells how many bytes have come so far.
func (p *pace) moved(n int64) { p.n.Store(n) }

func (p *pace) stop() { p.once.Do(func() { close(p.done) }) }

// verify compares the whole file with the checksums that came with it
// (x-goog-hash of Google Cloud Storage), or else lie beside it (<url>.sha256).
// A file that does not match is thrown away.
func (f *fetcher) verify(ctx context.Context, part *partial, h http.Header, url string, state *fileState) error {
	file, err := os.Open(part.path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum, crc, md := sha256.New(), crc32.New(crc32.MakeTable(crc32.Castagnoli)), md5.New()
	if state.Size, err = io.Copy(io.MultiWriter(sum, crc, md), file); err != nil {
		return err
	}
	state.SHA256 = hex.EncodeToString(sum.Sum(nil))
	mismatch := func(kind string) error {
		part.forget()
		return retryError{err: fmt.Errorf("%w: %s", errChecksum, kind)}
	}
	checked := false
	for _, line := range h.Values("X-Goog-Hash") {
		for field := range strings.SplitSeq(line, ",") {
			kind, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			want, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				continue
			}
			switch kind {
			case "crc32c":
				checked = true
				if !bytes.Equal(want, binary.BigEndian.AppendUint32(nil, crc.Sum32())) {
					return mismatch(kind)
				}
			case "md5":
				checked = true
				if !bytes.Equal(want, md.Sum(nil)) {
					return mismatch(kind)
				}
			}
		}
	}
	if checked || f.limit != 0 {
		return nil
	}
	text, err := f.small(ctx, url+".sha256")
	if errors.Is(err, errNotServed) {
		return nil
	}
	if err != nil {
		return err
	}
	want, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	if len(want) == sha256.Size*2 && !strings.EqualFold(want, state.SHA256) {
		return mismatch("sha256")
	}
	return nil
}

// small reads a short text; one attempt.
func (f *fetcher) small(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.o.Stall, fmt.Errorf("%w: not all of it in %v", errSlow, f.o.Stall))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := f.client.Do(req)
	if err != nil {
		return "", requestError(ctx, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return "", retryError{errors.New(resp.Status), f.retryAfter(resp.Header)}
	case resp.StatusCode >= 400:
		// Stores that list nothing answer 403 for what is not there.
		return "", errNotServed
	default:
		return "", errors.New(resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxSmallBytes+1))
	if err != nil {
		return "", requestError(ctx, err)
	}
	if len(b) > maxSmallBytes {
		return "", fault.New(fault.TooLarge, "%s: more than %d bytes", url, maxSmallBytes)
	}
	return string(b), nil
}

// list reads a short text with all attempts.
func (f *fetcher) list(ctx context.Context, url string) (string, error) {
	var last error
	for n := range attempts {
		if n > 0 {
			if err := f.pause(ctx, n, last); err != nil {
				return "", fmt.Errorf("download %s: %w", url, err)
			}
		}
		s, err := f.small(ctx, url)
		var r retryError
		switch {
		case ctx.Err() != nil:
			return "", fmt.Errorf("download %s: %w", url, ctx.Err())
		case err == nil || errors.Is(err, errNotServed):
			return s, err
		case !errors.As(err, &r):
			return "", fmt.Errorf("download %s: %w", url, err)
		}
		last = err
	}
	return "", fault.New(fault.Unavailable, "download %s: gave up after %d attempts: %w", url, attempts, last)
}

// A partial is a download that is not finished. What it is part of stands in a
// small file beside it, so that another process can go on.
type partial struct{ path string }

func (p *partial) note() string { return p.path + ".of" }

// resumable returns how many bytes there are of the file at url, and the
// validator that they belong to.
func (p *partial) resumable(url string) (int64, string) {
	fi, err := os.Stat(p.path)
	if err != nil || fi.Size() == 0 {
		return 0, ""
	}
	note, err := os.ReadFile(p.note())
	if err != nil {
		return 0, ""
	}
	of, validator, ok := strings.Cut(string(note), "\n")
	if !ok || of != url || validator == "" {
		return 0, ""
	}
	return fi.Size(), validator
}

// fill appends r to the first have bytes, limit in all.
func (p *partial) fill(have int64, r io.Reader, s fileState, limit int64) (err error) {
	if err := os.WriteFile(p.note(), []byte(s.URL+"\n"+s.validator()), 0o600); err != nil {
		return fmt.Errorf("keep download: %w", err)
	}
	f, err := os.OpenFile(p.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep download: %w", err)
	}
	defer func() {
		if e := f.Close(); e != nil && err == nil {
			err = fmt.Errorf("keep download: %w", e)
		}
	}()
	if err := f.Truncate(have); err != nil {
		return fmt.Errorf("keep download: %w", err)
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return fmt.Errorf("keep download: %w", err)
	}
	bounded := &boundedReader{r: r, left: limit - have}
	if _, err := io.Copy(f, bounded); err != nil {
		var pe *fs.PathError
		if errors.Is(err, errLimit) || errors.As(err, &pe) {
			return err // ours, not the network's
		}
		return retryError{err: err}
	}
	return f.Sync()
}

func (p *partial) forget() {
	os.Remove(p.path)
	os.Remove(p.note())
}
