package scan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"slices"
	"strings"
	"syscall"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/layer"
	"github.com/onceover/onceover/internal/report"
)

// Reasons in the ledger for files that should have been read and were not.
const (
	skipDamaged  = "damaged"
	skipTooLarge = "too-large"
	skipUnread   = "unreadable"
	skipPanic    = "analyser-failed"
	skipTime     = "out-of-time"
	skipMemory   = "out-of-memory"
	skipForbid   = "forbidden"
	skipUnasked  = "unavailable"
)

// worker looks at the files of one layer and tells what it finds. It runs in a
// sandboxed child, or in the process of the scanner where there is no sandbox.
type worker struct {
	ctx   context.Context
	sets  []*analyze.Set
	out   *sender
	watch *watchdog
	// n counts the entries, sum is over their paths.
	n, sum uint64
	resume resume
	// barren are files that analysers opened and that said nothing: hard
	// links to them need not be read again. What was read counts for each
	// name all the same, so that the ledger does not hang on the form in
	// which the layer lies: a directory does not tell links from files.
	barren map[string]barren
	want   []wanted   // of the present file, by set
	small  []byte     // content of a small file, while it is looked at
	hash   *hasher    // nil if no digests are taken
	limits hashLimits // 0 for the usual ones
	stats  *layer.Stats
	// trouble is what this host failed to do, nil if nothing. The report
	// is not that of the layer then.
	trouble error
}

// resume says where another worker ended that was killed. The order of a layer
// is always the same; should it not be, the sum tells.
type resume struct {
	// N and Sum of the entry that the other did not survive, 0 for a start
	// from the beginning.
	N   uint64 `json:"n,omitempty"`
	Sum uint64 `json:"sum,omitempty"`
	// Deferred are the hard links before it that come again.
	Deferred []uint64 `json:"deferred,omitempty"`
	// Redo says that nothing is known of the entry itself.
	Redo bool `json:"redo,omitempty"`
	// Careful asks to send each file that is begun at once.
	Careful bool `json:"careful,omitempty"`
}

// errOrder means that a layer looks different the second time.
var errOrder = errors.New("the layer has changed while it was read")

// run walks the layer and says how it ended.
func (w *worker) run(l image.Layer, opts layer.Options) error {
	w.barren = map[string]barren{}
	w.stats = opts.Stats
	for _, s := range w.sets {
		if s.Files() {
			w.hash = newHasher(l.Dir != "", w.limits)
		}
	}
	err := opts.Walk(w.ctx, l, w.visit)
	if err == nil && w.n < w.resume.N {
		err = errOrder
	}
	// After a restart not all that is owned is known: the collector knows.
	if err == nil && w.hash != nil && w.hash.dir && (len(w.hash.owned) > 0 || w.resume.N > 0) {
		err = w.unowned(func(v layer.Visitor) error { return opts.Walk(w.ctx, l, v) })
	}
	w.out.flushBatches()
	if err := w.out.sendJSON(msgEnd, end{
		Error: newFailure(err), Trouble: newFailure(w.trouble), Files: w.hash != nil,
		FilesOpened: w.stats.FilesOpened.Load(), BytesRead: w.stats.BytesRead.Load(),
	}); err != nil {
		return err
	}
	return w.out.flush()
}

func (w *worker) visit(e *layer.Entry) error {
	const prime = 1099511628211
	w.n++
	hash := report.PathHash(e.Path)
	w.sum = w.sum*prime ^ hash ^ uint64(e.Kind)
	if w.n <= w.resume.N {
		if err := w.again(e); err != nil || w.n < w.resume.N || !w.resume.Redo {
			return err
		}
	}
	switch e.Kind {
	case layer.Reset:
		clear(w.barren)
		if w.hash != nil {
			w.hash = newHasher(w.hash.dir, w.limits)
		}
		w.out.flushBatches()
		w.out.send(msgReset)
		w.out.full = true
	case layer.Dir:
		w.out.hash(msgDirs, hash)
		w.dir(e)
	case layer.Whiteout:
		w.out.send(msgWhiteout, []byte(e.Path))
	case layer.Opaque:
		w.out.send(msgOpaque, []byte(e.Path))
	case layer.Symlink:
		w.out.flushBatches()
		w.out.send(msgSymlink, binary.LittleEndian.AppendUint32(nil, uint32(len(e.Path))), []byte(e.Path), []byte(e.Target))
	case layer.Other:
		w.out.hash(msgOthers, hash)
	case layer.File:
		w.file(e, hash)
	}
	if w.out.full {
		w.out.flushBatches()
		w.out.send(msgMark, w.place())
		w.out.full = false
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.out.err
}

// wanted is an analyser that has to see a file, and its set.
type wanted struct {
	set int
	analyze.Analyzer
}

// place is the present entry, and the sum over the entries to it.
func (w *worker) place() []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, w.n), w.sum)
}

// barren is a file that said nothing: who looked at it, and at how much.
type barren struct {
	want    []wanted
	results []result
}

// dir asks what a directory says.
func (w *worker) dir(e *layer.Entry) {
	if e.Info == nil {
		return // not an entry of its own
	}
	for i, s := range w.sets {
		for _, a := range s.Analyzers() {
			d, ok := a.(analyze.DirAnalyzer)
			if !ok {
				continue
			}
			w.tellStat(i, e.Path, d.Dir(e.Path, e.Info))
		}
	}
}

// stat asks what a file says by its stat data. It comes after all else that is
// told of the file.
func (w *worker) stat(e *layer.Entry) {
	for i, s := range w.sets {
		for _, a := range s.Analyzers() {
			if d, ok := a.(analyze.StatAnalyzer); ok {
				w.tellStat(i, e.Path, d.Stat(e.Path, e.Info))
			}
		}
	}
}

func (w *worker) tellStat(set int, path string, facts *report.Facts) {
	if facts == nil {
		return
	}
	w.out.flushBatches()
	// A fact from stat data is small; what is not is lost.
	_ = w.out.sendJSON(msgStatFacts, statFacts{Set: set, Path: path, Facts: *facts})
}

// again passes an entry by that another worker has told of.
func (w *worker) again(e *layer.Entry) error {
	if _, deferred := slices.BinarySearch(w.resume.Deferred, w.n); deferred && e.Kind == layer.File {
		c, err := e.Open()
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, layer.ErrDeferred) {
			return errOrder
		}
	}
	if w.n == w.resume.N && w.sum != w.resume.Sum {
		return errOrder
	}
	return w.ctx.Err()
}

// file counts a file, and shows it to the analysers that want it.
func (w *worker) file(e *layer.Entry, hash uint64) {
	w.want = w.want[:0]
	mask := uint64(0)
	for i, s := range w.sets {
		for _, a := range s.Analyzers() {
			if a.Wants(e.Path, e.Info) {
				w.want = append(w.want, wanted{i, a})
				mask |= 1 << i
			}
		}
	}
	if len(w.want) == 0 {
		if !e.Again {
			w.out.hash(msgPassed, hash)
			w.stat(e)
		}
		w.digest(e, nil)
		return
	}
	w.out.flushBatches()
	begin := binary.LittleEndian.AppendUint64(w.place(), mask)
	w.out.send(msgBegin, begin, []byte(e.Path))
	if w.resume.Careful && w.out.flush() != nil {
		return // nobody listens; visit returns the error
	}
	if b := w.barren[e.LinkTo]; e.LinkTo != "" && slices.Equal(b.want, w.want) {
		w.tell(e.Path, b.results)
		w.stat(e)
		if !w.linked(e) {
			w.unhashed(e, "")
		}
		return
	}
	w.watch.begin()
	c, err := e.Open()
	if errors.Is(err, layer.ErrDeferred) {
		w.watch.end()
		w.out.send(msgDeferred, begin[:8])
		if !w.linked(e) {
			w.hash.pending[hash] = true
		}
		return // counted when it comes again
	}
	if err != nil {
		reason := skipUnread
		if errors.Is(err, layer.ErrLimit) {
			reason = skipTooLarge
		}
		w.note(err)
		w.watch.end()
		res := make([]result, bits.OnesCount64(mask))
		for i := range res {
			res[i] = result{Skipped: reason, Problems: []report.Problem{{Path: e.Path, Analyzer: "layer", Message: err.Error()}}}
		}
		w.tell(e.Path, res)
		w.stat(e)
		w.unhashed(e, reason)
		return
	}
	defer c.Close()
	res := w.analyze(e, c)
	w.watch.end()
	w.tell(e.Path, res)
	w.stat(e)
	for i := range res {
		w.hash.facts(res[i].Facts)
	}
	w.digest(e, c)
}

// tell sends what became of a file.
func (w *worker) tell(path string, results []result) {
	for k := range results {
		res := &results[k]
		for i := range res.Problems {
			p := &res.Problems[i]
			// Errors that were joined stand on a line each.
			p.Message = cut(strings.ReplaceAll(p.Message, "\n", ": "), maxText)
			if p.Path == path {
				p.Reason = res.Skipped
			}
		}
	}
	// Most files say nothing, and there are many. What is sent here goes out
	// with the next file that is begun, or at the end.
	if b, ok := nothing(results); ok {
		w.out.send(msgNothing, b)
		return
	}
	if err := w.out.sendJSON(msgResult, results); err != nil {
		problem := report.Problem{Path: path, Analyzer: "layer", Message: err.Error(), Reason: skipTooLarge}
		less := make([]result, len(results))
		for k := range less {
			less[k] = result{Skipped: skipTooLarge, Bytes: results[k].Bytes, Problems: []report.Problem{problem}}
		}
		_ = w.out.sendJSON(msgResult, less)
	}
}

// nothing is the message about a file of which no set says anything.
func nothing(results []result) ([]byte, bool) {
	var b []byte
	for i := range results {
		r := &results[i]
		if r.Skipped != "" || len(r.Facts) > 0 || len(r.Problems) > 0 || r.Unfinished {
			return nil, false
		}
		b = binary.AppendUvarint(b, uint64(max(0, r.Bytes)))
	}
	return b, true
}

// analyze runs the analysers over an open file and books the outcome once for
// each set: the best that any of its analysers made of it.
func (w *worker) analyze(e *layer.Entry, c *layer.Content) []result {
	content := &countingReaderAt{r: c}
	if n := len(w.want); n > 1 && w.want[n-1].set > 0 && c.Size <= smallFile {
		// Who looks for secrets and malware reads most of it.
		if w.small == nil {
			w.small = make([]byte, smallFile)
		}
		content.r = &oneRead{r: c, buf: w.small[:c.Size]}
	}
	f := analyze.File{Path: e.Path, Info: e.Info, Content: content, Size: c.Size, Sibling: e.Sibling}
	var head []byte
	var out []result
	sniffed, silent := false, true
	for i, a := range w.want {
		if i == 0 || a.set != w.want[i-1].set {
			out = append(out, result{})
			content.n, sniffed = 0, false // each set counts what it asked for
		}
		res := &out[len(out)-1]
		if s, ok := a.Analyzer.(analyze.Sniffer); ok {
			if head == nil {
				head = sniff(content.r, w.note)
			}
			if !sniffed {
				content.n, sniffed = content.n+int64(len(head)), true
			}
			if !s.Sniff(head) {
				res.Bytes = content.n
				continue
			}
		}
		facts, err := w.call(a.Analyzer, f)
		if facts != nil {
			res.Problems = append(res.Problems, facts.Problems...)
			facts.Problems = nil
			res.Facts = append(res.Facts, *facts)
		}
		if err != nil {
			res.Skipped = reasonOf(err)
			res.Unfinished = res.Unfinished || res.Skipped == skipTime || res.Skipped == skipUnasked
			res.Problems = append(res.Problems, report.Problem{Path: e.Path, Analyzer: a.Key(), Message: err.Error()})
		}
		res.Bytes = content.n
		silent = silent && res.Skipped == "" && len(res.Facts) == 0
	}
	w.note(content.err)
	if silent {
		w.barren[e.Path] = barren{slices.Clone(w.want), out}
	}
	return out
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
	ctx, cancel := w.watch.context(w.ctx)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			facts, err = nil, fmt.Errorf("%w: %v", errPanic, v)
		}
	}()
	facts, err = a.Analyze(ctx, f)
	if err != nil && w.ctx.Err() == nil && isContext(err) {
		err = fmt.Errorf("%w: looked at for %s: %w", errTime, analyzeTime, err)
	}
	return facts, err
}

// errTime means that an analyser was stopped.
var errTime = errors.New("out of time")

func reasonOf(err error) string {
	switch {
	case errors.Is(err, errPanic):
		return skipPanic
	case isContext(err):
		return skipTime
	case fault.CodeOf(err) == fault.Unavailable:
		return skipUnasked
	case fault.CodeOf(err) == fault.TooLarge, errors.Is(err, layer.ErrLimit), errors.Is(err, analyze.ErrLimit):
		return skipTooLarge
	default:
		return skipDamaged
	}
}

func sniff(r io.ReaderAt, note func(error)) []byte {
	head := make([]byte, analyze.SniffBytes)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		note(err)
		return []byte{}
	}
	return head[:n]
}

// smallFile is the size of a file that is read once for all analysers.
const smallFile = 64 << 10

// oneRead reads the whole of a small file when anything of it is wanted.
type oneRead struct {
	r    io.ReaderAt
	buf  []byte // of the size of the file; what was read of it
	done bool
	err  error // at the end of buf
}

func (o *oneRead) ReadAt(p []byte, off int64) (int, error) {
	if !o.done {
		n, err := o.r.ReadAt(o.buf, 0)
		o.buf, o.done, o.err = o.buf[:n], true, err
		if err == nil {
			o.err = io.EOF
		}
	}
	if off < 0 || off > int64(len(o.buf)) {
		return 0, o.err
	}
	n := copy(p, o.buf[off:])
	if n < len(p) {
		return n, o.err
	}
	return n, nil
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
