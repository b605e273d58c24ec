package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/layer"
	"github.com/onceover/onceover/internal/pace"
	"github.com/onceover/onceover/internal/sandbox"
)

const (
	// maxRestarts is how often the work on a layer goes on behind a file
	// that was the death of a child.
	maxRestarts = 24
	// DefaultLayerCPU and DefaultLayerTime are what one layer may take in
	// all its children: processor time, and time on the clock while the
	// child is not held back.
	DefaultLayerCPU  = 10 * time.Minute
	DefaultLayerTime = 30 * time.Minute
	// maxSpool is the largest file of a stream, as in package layer.
	maxSpool = 2 << 30
)

// Isolation says how a layer is read in a process of its own.
type Isolation struct {
	// Limits of each child. CPU is for all children of a layer together; 0
	// means DefaultLayerCPU.
	Limits sandbox.Limits
	// Time is for all children of a layer together; 0 means
	// DefaultLayerTime.
	Time time.Duration
	// FileMemory is the largest file of a stream that a child holds in
	// memory; 0 leaves it to package layer.
	FileMemory int64
	// Pace holds the children back; it may be nil.
	Pace *pace.Keeper
	// Attach, if set, is called for each child: file becomes the child's
	// descriptor FdAttached, for what its sandbox does not let it reach, and is
	// closed here; end is called when the child is gone. The child may send
	// anything over it. Set before New.
	Attach func(ctx context.Context) (file *os.File, end func(), err error)
	// OnLacking is told once what the kernel cannot do. It may be nil.
	OnLacking func(lacking []string)
}

// isolated reads layers in child processes.
type isolated struct {
	cfg   Isolation
	setup json.RawMessage
	told  atomic.Bool
}

// attempt is one child on its way.
type attempt struct {
	proc *sandbox.Process
	// in, out and pumped are the parent's ends of pipes.
	in, out, pumped *os.File
	blob            io.ReadCloser // opened and not yet pumped
	layer           image.Layer
	pumping         sync.WaitGroup
	mu              sync.Mutex
	blobErr         error
	cancel          context.CancelFunc
	detach          func() // ends what Attach began
}

// read reads a layer in as many children as it takes, and books it with c. The
// error is what ended the walk; it is that of ctx if ctx is done.
func (i *isolated) read(ctx context.Context, l image.Layer, keys []string, c *collector, stats *layer.Stats) error {
	limits := i.cfg.Limits
	if limits.CPU <= 0 {
		limits.CPU = DefaultLayerCPU
	}
	if limits.FileSize <= 0 {
		limits.FileSize = maxSpool
	}
	left := i.cfg.Time
	if left <= 0 {
		left = DefaultLayerTime
	}
	var from resume
	for restarts := 0; ; {
		used, exit, overtime, err := i.once(ctx, l, keys, limits, left, from, c)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case c.end != nil:
			stats.FilesOpened.Add(max(0, c.end.FilesOpened))
			stats.BytesRead.Add(max(0, c.end.BytesRead))
			return c.end.Error.err()
		}
		reason, why := causeOf(exit, limits, overtime)
		limits.CPU, left = limits.CPU-exit.CPU, left-used // of the layer
		known := from.Careful || c.long
		at := "; the rest of the layer was not read"
		if c.at.n == 0 && (known || limits.CPU < time.Second || left < time.Second) {
			return errors.New(why + at)
		}
		if c.at.n != 0 {
			at = " at " + c.at.path + at
		}
		from = c.resume(!known)
		if known {
			c.skip(reason, why)
			restarts++
		}
		if restarts > maxRestarts || limits.CPU < time.Second || left < time.Second {
			return errors.New(why + at)
		}
	}
}

// resume is where the next worker goes on behind one that died: at the file that
// it died of or, if that is not known, after all that is known.
func (c *collector) resume(redo bool) resume {
	at := c.at
	if redo {
		c.at = begun{}
		if at.n == 0 {
			at, redo = c.mark, false
		}
	}
	out := resume{N: at.n, Sum: at.sum, Redo: redo, Deferred: slices.Clone(c.deferred), Careful: true}
	slices.Sort(out.Deferred)
	return out
}

// causeOf is why a child ended early, for the ledger and for people.
func causeOf(exit sandbox.Exit, limits sandbox.Limits, overtime bool) (reason, why string) {
	if exit.Code == exitStuck {
		return skipTime, fmt.Sprintf("out of time: an analyser did not end after %s", analyzeTime+graceTime)
	}
	if overtime {
		return skipTime, "out of time: the limit of the layer was reached"
	}
	switch exit.Cause(limits) {
	case sandbox.CauseMemory:
		return skipMemory, fmt.Sprintf("out of memory: the limit is %d bytes", limits.Memory)
	case sandbox.CauseCPU:
		return skipTime, fmt.Sprintf("out of time: the limit is %s of processor time", limits.CPU.Round(time.Second))
	case sandbox.CauseForbidden:
		return skipForbid, "stopped at a forbidden system call"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(exit.Stderr), "\n")
	return skipPanic, fmt.Sprintf("analyser failed: exit code %d: %s", exit.Code, first)
}

// once runs one child and books what it sends. Without an error the child
// has ended: c.end tells whether it had come to the end of the layer.
func (i *isolated) once(ctx context.Context, l image.Layer, keys []string, limits sandbox.Limits, left time.Duration, from resume, c *collector) (used time.Duration, exit sandbox.Exit, overtime bool, err error) {
	a, err := i.start(ctx, l, keys, limits, from)
	if err != nil {
		return 0, exit, false, err
	}
	defer a.close()
	release := i.cfg.Pace.Add(a.proc.PID())
	defer release()
	clock := newStopwatch(i.cfg.Pace, left, a.proc.Kill)
	defer clock.stop()
	stop := context.AfterFunc(ctx, a.proc.Kill)
	defer stop()

	err = a.listen(ctx, c, from.Careful)
	if err != nil {
		a.proc.Kill()
	}
	release() // a process that is held back does not end
	exit = a.proc.Wait()
	used, overtime = clock.stop()
	if err == nil && c.hello == nil && ctx.Err() == nil && !overtime {
		return used, exit, false, fmt.Errorf("%w: the sandboxed process did not begin: exit code %d, %s: %s", layer.ErrHost, exit.Code, exit.Signal, strings.TrimSpace(exit.Stderr))
	}
	if c.hello != nil && len(c.hello.Lacking) > 0 && i.cfg.OnLacking != nil && i.told.CompareAndSwap(false, true) {
		i.cfg.OnLacking(c.hello.Lacking)
	}
	a.pumping.Wait()
	if err == nil && a.blobErr != nil && (c.end == nil || c.end.Error != nil) {
		// What the child says of it is hearsay.
		err = fmt.Errorf("read layer: %w", a.blobErr)
	}
	return used, exit, overtime, err
}

// start starts a child for a layer.
func (i *isolated) start(ctx context.Context, l image.Layer, keys []string, limits sandbox.Limits, from resume) (*attempt, error) {
	ctx, cancel := context.WithCancel(ctx)
	a := &attempt{layer: l, cancel: cancel}
	var theirs []*os.File
	ok := false
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if !ok {
			a.close()
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		r, w, err = os.Pipe()
		if err != nil {
			err = fmt.Errorf("%w: %w", layer.ErrHost, err)
		}
		return r, w, err
	}
	j := job{DiffID: string(l.DiffID), Dir: l.Dir, Lower: l.Lower, Keys: keys, Setup: i.setup, Memory: i.cfg.FileMemory, Limits: limits, Resume: from}

	in, w, err := pipe()
	if err != nil {
		return nil, err
	}
	theirs, a.in = append(theirs, in), w
	r, out, err := pipe()
	if err != nil {
		return nil, err
	}
	theirs, a.out = append(theirs, out), r
	files := []*os.File{in, out}
	if l.Dir == "" {
		if a.blob, err = l.Blob(ctx); err != nil {
			return nil, fmt.Errorf("open layer: %w", err)
		}
		var blob *os.File
		j.Blob = &jobBlob{}
		if blob, j.Blob.Off, j.Blob.Size = fileOf(a.blob); blob == nil {
			*j.Blob = jobBlob{Pumped: true}
			if blob, a.pumped, err = pipe(); err != nil {
				return nil, err
			}
			theirs = append(theirs, blob)
		}
		files = append(files, blob)
		// Without room for one, large files are not read and told of.
		if spool, err := sandbox.SpoolFile(); err == nil {
			theirs, files = append(theirs, spool), append(files, spool)
			j.Spool = true
		}
	}
	if i.cfg.Attach != nil {
		attached, end, err := i.cfg.Attach(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", layer.ErrHost, err)
		}
		theirs, a.detach = append(theirs, attached), end
		files = append(files, make([]*os.File, FdAttached-sandbox.FirstFile-len(files))...)
		files = append(files, attached)
	}
	if a.proc, err = sandbox.Start(sandbox.Command{Files: files, Limits: limits, Cgroup: i.cfg.Pace.Cgroup()}); err != nil {
		return nil, fmt.Errorf("%w: %w", layer.ErrHost, err)
	}
	ok = true
	// A child that died is found out by listening.
	_ = writeJob(a.in, &j)
	return a, nil
}

// fileOf is the part of a file that a blob is, if it is one and nothing else.
func fileOf(r io.Reader) (f *os.File, off, size int64) {
	s, ok := r.(interface {
		Outer() (io.ReaderAt, int64, int64)
	})
	if !ok {
		return nil, 0, 0
	}
	at, off, size := s.Outer()
	f, ok = at.(*os.File)
	if !ok {
		return nil, 0, 0
	}
	return f, off, size
}

// listen books what the child sends until it ends. An error is one of the
// child's, or of a blob that cannot be opened again. What a child that is not
// careful says is booked once it goes on to the next file: of one that dies it
// is not known how much of what it had to say was still on its way, and the next
// one says it again.
func (a *attempt) listen(ctx context.Context, c *collector, careful bool) error {
	in := newReceiver(a.out)
	var waiting []message
	size := 0 // of waiting
	settle := func() error {
		for _, m := range waiting {
			if err := c.take(m.kind, m.body); err != nil {
				return err
			}
		}
		clear(waiting)
		waiting, size = waiting[:0], 0
		return nil
	}
	for {
		kind, body, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if kind == msgBlob {
			if err := a.feed(ctx); err != nil {
				return err
			}
			continue
		}
		switch {
		case careful:
		case kind == msgBegin, kind == msgMark, kind == msgEnd, kind == msgHello:
			if err := settle(); err != nil {
				return err
			}
		case kind == msgLong && len(waiting) == 0:
		default:
			if size += headerBytes + len(body); size > maxWaiting {
				return fmt.Errorf("%w: %d bytes without a mark", errMessage, size)
			}
			waiting = append(waiting, message{kind, bytes.Clone(body)})
			c.long = false
			continue
		}
		if err := c.take(kind, body); err != nil {
			return err
		}
		if c.end != nil {
			return nil
		}
	}
}

// message is one that waits to be booked.
type message struct {
	kind byte
	body []byte
}

// feed sends the layer's stream, from its start.
func (a *attempt) feed(ctx context.Context) error {
	if a.pumped == nil {
		return errMessage
	}
	a.pumping.Wait() // the child has read the last one to its end
	blob := a.blob
	a.blob = nil
	if blob == nil {
		var err error
		if blob, err = a.layer.Blob(ctx); err != nil {
			return fmt.Errorf("open layer: %w", err)
		}
	}
	a.pumping.Go(func() {
		defer blob.Close()
		readErr, _ := pump(a.pumped, blob) // a child that is gone is found out by listening
		a.mu.Lock()
		defer a.mu.Unlock()
		a.blobErr = readErr
	})
	return nil
}

func (a *attempt) close() {
	a.cancel()
	if a.proc != nil {
		a.proc.Kill()
		a.proc.Wait()
	}
	for _, f := range []*os.File{a.in, a.out, a.pumped} {
		if f != nil {
			f.Close()
		}
	}
	a.pumping.Wait()
	if a.blob != nil {
		a.blob.Close()
	}
	if a.detach != nil {
		a.detach()
	}
}

// stopwatch ends a child that takes too long. The time in which it was held
// back does not count.
type stopwatch struct {
	pace    *pace.Keeper
	began   time.Time
	held    time.Duration
	quit    chan struct{}
	stopped sync.Once
	over    atomic.Bool
	used    time.Duration
}

func newStopwatch(p *pace.Keeper, limit time.Duration, kill func()) *stopwatch {
	s := &stopwatch{pace: p, began: time.Now(), held: p.Held(), quit: make(chan struct{})}
	go func() {
		t := time.NewTimer(limit)
		defer t.Stop()
		for {
			select {
			case <-s.quit:
				return
			case <-t.C:
				left := limit - s.ran()
				if left <= 0 {
					s.over.Store(true)
					kill()
					return
				}
				t.Reset(left)
			}
		}
	}()
	return s
}

func (s *stopwatch) ran() time.Duration { return time.Since(s.began) - (s.pace.Held() - s.held) }

// stop returns how long it ran, and whether that was too long.
func (s *stopwatch) stop() (time.Duration, bool) {
	s.stopped.Do(func() {
		close(s.quit)
		s.used = s.ran()
	})
	return s.used, s.over.Load()
}

// TrySandbox reads an empty layer in a sandbox and returns what this kernel
// cannot do of it. The program must call Child as for Config.Isolate.
func TrySandbox(ctx context.Context, set *analyze.Set) (lacking []string, err error) {
	if runtime.GOOS != "linux" {
		return nil, sandbox.ErrUnsupported
	}
	s := New(Config{Set: set, Isolate: &Isolation{OnLacking: func(l []string) { lacking = l }}})
	empty := image.Layer{DiffID: image.DigestOf(nil), Blob: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("")), nil
	}}
	r, err := s.Layer(ctx, empty)
	if err == nil && !r.Complete {
		err = errors.New(r.Problems[0].Message)
	}
	return lacking, err
}
