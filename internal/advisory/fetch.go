package advisory

import (
	"bytes"
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
	// stallTimeout ends an attempt in which no byte arrives.
	stallTimeout = 60 * time.Second
	// userAgent says who asks.
	userAgent = "onceover"
)

// FetchOptions say how to reach a server.
type FetchOptions struct {
	// Client makes the requests; one with sensible limits if nil.
	Client *http.Client
	// Backoff is the first pause between attempts; defaultBackoff if 0.
	Backoff time.Duration
}

var (
	errNotServed = errors.New("not served")
	errChecksum  = errors.New("checksum does not match")
)

func isURL(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// A fetcher downloads files so that nothing is transferred twice.
type fetcher struct {
	client   *http.Client
	backoff  time.Duration
	progress func(file string, done, total int64)
}

func newFetcher(o FetchOptions, progress func(string, int64, int64)) *fetcher {
	f := &fetcher{client: o.Client, backoff: o.Backoff, progress: progress}
	if f.client == nil {
		f.client = &http.Client{
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
				TLSHandshakeTimeout:   15 * time.Second,
				ResponseHeaderTimeout: stallTimeout,
				DisableCompression:    true,
			},
			CheckRedirect: func(req *http.Request, via []*http.Request) error {
				if len(via) >= 10 {
					return errors.New("too many redirects")
				}
				if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
					return errors.New("redirect from https to http")
				}
				return nil
			},
		}
	}
	if f.backoff == 0 {
		f.backoff = defaultBackoff
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
				return old, false, err
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
	d := min(f.backoff<<(n-1), maxBackoff)
	d = d/2 + rand.N(d/2+1)
	var r retryError
	if errors.As(last, &r) && r.after > d {
		d = min(r.after, maxBackoff)
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
	stall := time.AfterFunc(stallTimeout, func() { cancel(errors.New("no data")) })
	defer stall.Stop()

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
		return old, false, retryError{err: err}
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
	case http.StatusNotModified:
		return old, false, nil
	case http.StatusRequestedRangeNotSatisfiable:
		part.forget()
		return old, false, retryError{err: errors.New(resp.Status)}
	case http.StatusNotFound, http.StatusGone:
		return old, false, errNotServed
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return old, false, retryError{errors.New(resp.Status), retryAfter(resp.Header)}
	default:
		if resp.StatusCode >= 500 {
			return old, false, retryError{errors.New(resp.Status), retryAfter(resp.Header)}
		}
		return old, false, errors.New(resp.Status)
	}
	state := fileState{URL: url, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
	total := int64(0)
	if resp.ContentLength > 0 {
		total = have + resp.ContentLength
	}
	if total > maxDownloadBytes {
		return old, false, fault.New(fault.TooLarge, "%d bytes, the limit is %d", total, int64(maxDownloadBytes))
	}
	body := &watched{r: resp.Body, ctx: ctx, moved: func(n int64) {
		stall.Reset(stallTimeout)
		f.progress(url, have+n, total)
	}}
	if err := part.fill(have, body, state); err != nil {
		return old, false, err
	}
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

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, int(maxBackoff/time.Second))) * time.Second
}

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
	if checked {
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := f.client.Do(req)
	if err != nil {
		return "", retryError{err: err}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return "", retryError{errors.New(resp.Status), retryAfter(resp.Header)}
	case resp.StatusCode >= 400:
		// Stores that list nothing answer 403 for what is not there.
		return "", errNotServed
	default:
		return "", errors.New(resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxSmallBytes+1))
	if err != nil {
		return "", retryError{err: err}
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
				return "", err
			}
		}
		s, err := f.small(ctx, url)
		var r retryError
		if err == nil || !errors.As(err, &r) {
			return s, err
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

// fill appends r to the first have bytes.
func (p *partial) fill(have int64, r io.Reader, s fileState) (err error) {
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
	bounded := &boundedReader{r: r, left: maxDownloadBytes - have}
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
