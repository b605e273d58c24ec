package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// sendTries is how often layer reports are sent for one job: the server may
// lose some between the question and the end, when it discards old ones.
const sendTries = 3

// An image that its place has lost is looked for again after retryPause,
// doubling up to maxRetryPause: lostTries times in all, and until engineWait is
// over where the engine does not answer, as one that is being restarted.
const (
	retryPause    = 250 * time.Millisecond
	maxRetryPause = 4 * time.Second
	lostTries     = 4
	engineWait    = 30 * time.Second
)

// finishTime is how long the end of a job may take, apart from its deadline.
const finishTime = 5 * time.Minute

// work does one job and tells the server how it ended.
func (a *Agent) work(ctx context.Context, job fleet.Job) {
	start := time.Now()
	log := a.log.With("job", job.ID, "image", job.ConfigDigest.Short())
	scanCtx, cancel := context.WithTimeout(ctx, a.cfg.ImageDeadline)
	err := a.scan(scanCtx, job)
	cancel()
	switch {
	case err == nil:
		log.InfoContext(ctx, "image scanned", "duration", time.Since(start).Round(time.Millisecond))
		return
	case errors.Is(context.Cause(ctx), errStopped):
		log.InfoContext(ctx, "scan stopped")
		return
	case ctx.Err() != nil:
		return // the agent ends; the job is given out again
	}
	var server *serverError
	if errors.As(err, &server) && fault.CodeOf(server) == fault.Unavailable {
		// Nobody to tell. The lease lapses and the job is given out again.
		log.WarnContext(ctx, "scan given up", "error", err)
		return
	}
	failure := failureOf(err)
	log.WarnContext(ctx, "scan failed", "failure", failure, "error", err)
	ctx, cancel = context.WithTimeout(ctx, finishTime)
	defer cancel()
	if err := a.key().Finish(ctx, job.ID, fleet.FinishRequest{Failure: failure, Message: oneLine(err)}); err != nil {
		log.WarnContext(ctx, "failure not reported", "error", err)
	}
}

// panicError is a panic of a job.
type panicError struct{ value any }

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// serverError is what went wrong between us and the server, as opposed to
// between us and an engine.
type serverError struct{ err error }

func (s *serverError) Error() string { return s.err.Error() }
func (s *serverError) Unwrap() error { return s.err }

func fromServer(err error) error {
	if err == nil {
		return nil
	}
	return &serverError{err}
}

// scan does the job up to a successful finish. A panic is an error.
func (a *Agent) scan(ctx context.Context, job fleet.Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.log.ErrorContext(ctx, "job panicked", "job", job.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = &panicError{p}
		}
	}()
	return a.retry(ctx, job)
}

// retry does the job at every place where the image is, again if a place lost
// it meanwhile: an image can be deleted, pulled again or come from another
// engine, and an engine can be restarted. The last error says what is wrong.
func (a *Agent) retry(ctx context.Context, job fleet.Job) error {
	var lost error // what the last try ended with
	pause, waited := retryPause, time.Duration(0)
	for try := 1; ; try++ {
		places := a.inv.find(job.ConfigDigest)
		if try > 1 || len(places) == 0 {
			a.followers.listNow(ctx)
			places = a.inv.find(job.ConfigDigest)
		}
		if ctx.Err() != nil {
			return cmp.Or(lost, ctx.Err())
		}
		if len(places) == 0 {
			return fault.New(fault.NotFound, "no engine here holds image %s", job.ConfigDigest.Short())
		}
		err := a.scanAt(ctx, job, places)
		if !ofPlace(err) {
			return err
		}
		lost = err
		if try >= lostTries && fault.CodeOf(err) == fault.NotFound || max(waited, silentFor(places)) >= engineWait {
			return err
		}
		if !sleep(ctx, pause) {
			return err
		}
		waited += pause
		pause = min(2*pause, maxRetryPause)
	}
}

// silentFor is how long none of the engines has answered, 0 if one does: not
// every job waits anew for an engine that is down.
func silentFor(places []held) time.Duration {
	var since time.Time
	for _, p := range places {
		if p.silent.IsZero() {
			return 0
		}
		if p.silent.After(since) {
			since = p.silent
		}
	}
	return time.Since(since)
}

// ofPlace reports whether the trouble is with the place of the image, and not
// with the image, the server or ourselves.
func ofPlace(err error) bool {
	var server *serverError
	if err == nil || errors.As(err, &server) {
		return false
	}
	code := fault.CodeOf(err)
	return code == fault.NotFound || code == fault.Unavailable
}

// scanAt does the job at the first of the places where that works.
func (a *Agent) scanAt(ctx context.Context, job fleet.Job, places []held) error {
	var errs, unreadable []error
	for _, p := range places {
		if p.img.NonScanReason != "" {
			unreadable = append(unreadable, fault.New(fault.Unsupported, "%s: %s", p.src.Engine(), p.img.NonScanReason))
			continue
		}
		opened, err := p.src.Open(ctx, p.img)
		if err != nil {
			errs = append(errs, fmt.Errorf("open image at %s: %w", p.src.Engine(), err))
			continue
		}
		err = a.scanOpened(ctx, job, opened)
		if !ofPlace(err) {
			return err
		}
		errs = append(errs, fmt.Errorf("read image at %s: %w", p.src.Engine(), err))
	}
	return errors.Join(append(errs, unreadable...)...)
}

// scanOpened reads what the server lacks, finishes the job, and closes the
// image.
func (a *Agent) scanOpened(ctx context.Context, job fleet.Job, opened *image.Opened) error {
	defer opened.Close()
	diffIDs := opened.Config.DiffIDs
	if len(opened.Layers) != len(diffIDs) {
		return fault.New(fault.Invalid, "the image has %d layers, its configuration names %d", len(opened.Layers), len(diffIDs))
	}
	if len(diffIDs) > fleet.MaxLayers {
		return fault.New(fault.TooLarge, "the image has %d layers: the limit is %d", len(diffIDs), fleet.MaxLayers)
	}

	scanner := a.cfg.Scanner()
	keys := wantedKeys(scanner.Analyzers(), job.Checks)
	result := &fleet.ImageReport{
		ConfigDigest: job.ConfigDigest, Analyzers: report.JoinKeys(keys),
		DiffIDs: diffIDs, Config: opened.RawConfig,
	}
	partial := map[image.Digest][]*report.LayerReport{}
	for try := 1; ; try++ {
		if err := a.sendLayers(ctx, scanner, keys, opened.Layers, diffIDs, partial); err != nil {
			return err
		}
		result.Partial = nil
		for _, d := range diffIDs {
			for _, r := range partial[d] {
				result.Partial = append(result.Partial, *r)
			}
			delete(partial, d) // a layer may be there twice
		}
		err := a.key().Finish(ctx, job.ID, fleet.FinishRequest{Image: result})
		if fault.CodeOf(err) != fault.Conflict || try == sendTries {
			return fromServer(err)
		}
	}
}

// wantedKeys are the keys of the checks that a job wants; that for packages
// always is.
func wantedKeys(analyzers string, checks []string) []string {
	keys := report.SplitKeys(analyzers)
	if checks == nil {
		return keys
	}
	return slices.DeleteFunc(keys, func(k string) bool {
		check := report.CheckOf(k)
		return check != report.CheckPackages && !slices.Contains(checks, check)
	})
}

// sendLayers analyses and sends what the server lacks: each layer is read once
// for all checks whose reports are missing. Reports of damaged layers go into
// partial.
func (a *Agent) sendLayers(ctx context.Context, scanner LayerScanner, keys []string, layers []image.Layer, diffIDs []image.Digest, partial map[image.Digest][]*report.LayerReport) error {
	lacks := map[image.Digest][]string{}
	for _, key := range keys {
		missing, err := a.key().MissingLayers(ctx, key, diffIDs)
		if err != nil {
			return fromServer(err)
		}
		for _, d := range missing {
			lacks[d] = append(lacks[d], key)
		}
	}
	for i, l := range layers {
		d := diffIDs[i]
		if len(lacks[d]) == 0 {
			continue
		}
		parts, err := scanner.Parts(ctx, l, lacks[d])
		if err != nil {
			return fmt.Errorf("scan layer %d of %d: %w", i+1, len(layers), err)
		}
		delete(lacks, d)
		for _, r := range parts {
			if !r.Complete {
				partial[d] = append(partial[d], r)
				continue
			}
			if err := a.key().PutLayer(ctx, r); err != nil {
				return fromServer(fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err))
			}
		}
	}
	return nil
}

// failureOf is the one table from errors to what HSS calls them.
func failureOf(err error) string {
	var panicked *panicError
	var server *serverError
	switch {
	case errors.As(err, &panicked):
		return fleet.FailureUnknown
	case errors.As(err, &server) && fault.CodeOf(err) != fault.TooLarge:
		return fleet.FailureUnknown
	case errors.Is(err, context.DeadlineExceeded):
		return fleet.FailureTimeout
	case errors.Is(err, fs.ErrPermission):
		return fleet.FailureNoRoot
	}
	switch fault.CodeOf(err) {
	case fault.NotFound:
		return fleet.FailureImageGone
	case fault.Unavailable:
		return fleet.FailureEngineOffline
	case fault.TooLarge:
		return fleet.FailureTooLarge
	default:
		return fleet.FailureUnknown
	}
}

// oneLine is the text of err as a message of the protocol.
func oneLine(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > fleet.MaxMessage {
		s = s[:fleet.MaxMessage]
	}
	return strings.ToValidUTF8(s, "")
}
