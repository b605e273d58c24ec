package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/layer"
	"github.com/onceover/onceover/internal/report"
)

// Limits on what one layer may put into its report, beyond which the rest is
// counted and left out.
const (
	// maxProblems is the number of problems listed.
	maxProblems = 200
	// maxPackages is the number of packages of one layer.
	maxPackages = 200_000
	// maxSymlinks is the number of symbolic links remembered for the merge.
	maxSymlinks = 500_000
	// analyzeTime is how long one analyser may look at one file.
	analyzeTime = time.Minute
)

// Reasons in the ledger for files that should have been read and were not.
const (
	skipDamaged  = "damaged"
	skipTooLarge = "too-large"
	skipUnread   = "unreadable"
	skipPanic    = "analyser-failed"
	skipTime     = "out-of-time"
)

// worker makes the report of one layer.
type worker struct {
	ctx context.Context
	set *analyze.Set
	r   *report.LayerReport
	// started is whether any entry was seen.
	started bool
	// byPath is what each file said, so that a later entry of the same
	// path replaces it.
	byPath map[string][]report.Facts
	// barren are files that analysers opened and that said nothing: hard
	// links to them need not be read again.
	barren map[string][]analyze.Analyzer
	// packages counts what byPath holds.
	packages int
	dropped  int
	// trouble is what this host failed to do, nil if nothing. The report
	// is not that of the layer then.
	trouble error
}

func newWorker(ctx context.Context, set *analyze.Set, l image.Layer) *worker {
	return &worker{
		ctx: ctx, set: set,
		r:      &report.LayerReport{DiffID: string(l.DiffID), Analyzers: set.Key(), Symlinks: map[string]string{}},
		byPath: map[string][]report.Facts{}, barren: map[string][]analyze.Analyzer{},
	}
}

func (w *worker) visit(e *layer.Entry) error {
	w.started = true
	switch e.Kind {
	case layer.Reset:
		trouble := w.trouble
		*w = *newWorker(w.ctx, w.set, image.Layer{DiffID: image.Digest(w.r.DiffID)})
		w.started, w.trouble = true, trouble
	case layer.Dir:
		w.r.Ledger.Dirs++
		w.r.Dirs = append(w.r.Dirs, report.PathHash(e.Path))
	case layer.Whiteout:
		w.r.Whiteouts = append(w.r.Whiteouts, e.Path)
	case layer.Opaque:
		w.r.Opaques = append(w.r.Opaques, e.Path)
	case layer.Symlink:
		w.r.Ledger.Symlinks++
		w.r.Hides = append(w.r.Hides, report.PathHash(e.Path))
		delete(w.byPath, e.Path)
		if len(w.r.Symlinks) < maxSymlinks {
			w.r.Symlinks[e.Path] = e.Target
		}
	case layer.Other:
		w.r.Ledger.Others++
		w.r.Hides = append(w.r.Hides, report.PathHash(e.Path))
		delete(w.byPath, e.Path)
	case layer.File:
		w.file(e)
	}
	return w.ctx.Err()
}

// file counts a file, and shows it to the analysers that want it.
func (w *worker) file(e *layer.Entry) {
	var want []analyze.Analyzer
	for _, a := range w.set.Analyzers() {
		if a.Wants(e.Path, e.Info) {
			want = append(want, a)
		}
	}
	if len(want) == 0 {
		w.count(e, &w.r.Ledger.Passed)
		return
	}
	if e.LinkTo != "" && slices.Equal(w.barren[e.LinkTo], want) {
		w.count(e, &w.r.Ledger.Examined)
		return
	}
	c, err := e.Open()
	if errors.Is(err, layer.ErrDeferred) {
		return // counted when it comes again
	}
	if err != nil {
		reason := skipUnread
		if errors.Is(err, layer.ErrLimit) {
			reason = skipTooLarge
		}
		w.note(err)
		w.skip(e, reason)
		w.problem(report.Problem{Path: e.Path, Analyzer: "layer", Message: err.Error()})
		return
	}
	defer c.Close()
	w.analyze(e, c, want)
}

// analyze runs the analysers over an open file and books the outcome once: the
// best that any of them made of it.
func (w *worker) analyze(e *layer.Entry, c *layer.Content, want []analyze.Analyzer) {
	content := &countingReaderAt{r: c}
	f := analyze.File{Path: e.Path, Info: e.Info, Content: content, Size: c.Size, Sibling: e.Sibling}
	var head []byte
	var said []report.Facts
	failed := ""
	for _, a := range want {
		if s, ok := a.(analyze.Sniffer); ok {
			if head == nil {
				head = sniff(f)
			}
			if !s.Sniff(head) {
				continue
			}
		}
		facts, err := w.call(a, f)
		if facts != nil {
			said = append(said, *facts)
			for _, p := range facts.Problems {
				w.problem(p)
			}
		}
		if err != nil {
			failed = reasonOf(err)
			w.problem(report.Problem{Path: e.Path, Analyzer: a.Key(), Message: err.Error()})
		}
	}
	w.r.Ledger.Bytes += content.n
	w.note(content.err)
	switch {
	case failed != "":
		w.skip(e, failed)
	case len(said) > 0:
		w.count(e, &w.r.Ledger.Parsed)
	default:
		w.count(e, &w.r.Ledger.Examined)
		w.barren[e.Path] = want
	}
	w.keep(e.Path, said)
}

// note remembers err if it is the fault of this host, of its disk, its memory
// or its limits.
func (w *worker) note(err error) {
	var errno syscall.Errno
	if w.trouble != nil || !errors.Is(err, layer.ErrHost) && !errors.As(err, &errno) {
		return
	}
	switch errno {
	case 0, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT, syscall.ESTALE:
		w.trouble = err
	}
}

// errPanic marks an analyser that fell over hostile content. It is a bug, and
// still must not cost the scan.
var errPanic = errors.New("analyser failed")

func (w *worker) call(a analyze.Analyzer, f analyze.File) (facts *report.Facts, err error) {
	ctx, cancel := context.WithTimeout(w.ctx, analyzeTime)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			facts, err = nil, fmt.Errorf("%w: %v", errPanic, v)
		}
	}()
	return a.Analyze(ctx, f)
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, errPanic):
		return skipPanic
	case isContext(err):
		return skipTime
	case fault.CodeOf(err) == fault.TooLarge, errors.Is(err, layer.ErrLimit):
		return skipTooLarge
	default:
		return skipDamaged
	}
}

func sniff(f analyze.File) []byte {
	head := make([]byte, analyze.SniffBytes)
	n, err := f.Content.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return []byte{}
	}
	return head[:n]
}

func (w *worker) count(e *layer.Entry, outcome *int64) {
	w.r.Ledger.Files++
	*outcome++
	w.r.Hides = append(w.r.Hides, report.PathHash(e.Path))
}

func (w *worker) skip(e *layer.Entry, reason string) {
	w.r.Ledger.Files++
	w.r.Ledger.Skip(reason, 1)
	w.r.Hides = append(w.r.Hides, report.PathHash(e.Path))
}

func (w *worker) problem(p report.Problem) {
	if len(w.r.Problems) < maxProblems {
		const maxMessage = 500
		if len(p.Message) > maxMessage {
			p.Message = p.Message[:maxMessage]
		}
		w.r.Problems = append(w.r.Problems, p)
	}
}

// keep remembers what the file at p said, in place of what an earlier entry of
// the same path said.
func (w *worker) keep(p string, said []report.Facts) {
	delete(w.byPath, p)
	if len(said) == 0 {
		return
	}
	for _, f := range said {
		n := len(f.Packages)
		if f.Database != nil {
			n += len(f.Database.Packages)
		}
		if w.packages+n > maxPackages {
			w.dropped += n
			return
		}
		w.packages += n
	}
	w.byPath[p] = said
}

// finish closes the report. err is what ended the walk, nil for its end.
func (w *worker) finish(err error) *report.LayerReport {
	r := w.r
	r.Complete = err == nil
	if err != nil {
		w.r.Problems = append(w.r.Problems, report.Problem{Analyzer: "layer", Message: err.Error()})
	}
	if w.dropped > 0 {
		w.r.Problems = append(w.r.Problems, report.Problem{Analyzer: "layer",
			Message: fmt.Sprintf("%d packages left out: the limit of a layer is %d", w.dropped, maxPackages)})
	}
	for p, said := range w.byPath {
		for _, f := range said {
			r.Packages = append(r.Packages, f.Packages...)
			if f.Database != nil {
				r.Databases = append(r.Databases, *f.Database)
			}
			r.Ownership = append(r.Ownership, f.Ownership...)
			if f.OSRelease != nil {
				if r.OSReleases == nil {
					r.OSReleases = map[string]map[string]string{}
				}
				r.OSReleases[p] = f.OSRelease
			}
		}
	}
	r.Normalize()
	return r
}

type countingReaderAt struct {
	r   io.ReaderAt
	n   int64
	err error // the first but for the end
}

func (c *countingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n += int64(n)
	if c.err == nil && err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || fault.CodeOf(err) == fault.NotFound
}
