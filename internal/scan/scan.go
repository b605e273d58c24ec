package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/layer"
	"github.com/onceover/onceover/internal/report"
)

// A Cache keeps complete layer reports. Safe for concurrent use.
type Cache interface {
	// Get returns the report of a layer made by an analyser set, if there
	// is one. The caller must not change it.
	Get(diffID, analyzers string) (*report.LayerReport, bool)
	// Put keeps a complete report. An error means only that it is not
	// kept.
	Put(r *report.LayerReport) error
}

// Config says how to scan.
type Config struct {
	// Set is what looks for packages (report.CheckPackages). Required.
	Set *analyze.Set
	// Checks are the sets of other checks, one for each.
	Checks []*analyze.Set
	// Setup is handed to the Maker of a child with the key of each set.
	Setup json.RawMessage
	// Cache may be nil.
	Cache Cache
	// Parallel is how many layers are read at once, 1 if not set.
	Parallel int
	// Isolate reads each layer in a sandboxed process. The program must
	// call Child, which makes the same sets, when sandbox.IsChild says so. nil, or
	// a system without a sandbox, means to read them in this process.
	Isolate *Isolation
	// Log may be nil.
	Log *slog.Logger
}

// A Scanner scans images. Safe for concurrent use.
type Scanner struct {
	cfg      Config
	sets     []*analyze.Set
	key      string
	log      *slog.Logger
	slots    chan struct{}
	flight   singleflight.Group
	isolated *isolated

	io       layer.Stats
	analyzed atomic.Int64
	cached   atomic.Int64
}

// New makes a scanner.
func New(cfg Config) *Scanner {
	if cfg.Parallel < 1 {
		cfg.Parallel = 1
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Scanner{cfg: cfg, log: log, slots: make(chan struct{}, cfg.Parallel)}
	s.sets = append([]*analyze.Set{cfg.Set}, cfg.Checks...)
	s.key = report.JoinKeys(keysOf(s.sets))
	if cfg.Isolate != nil && runtime.GOOS == "linux" {
		s.isolated = &isolated{cfg: *cfg.Isolate, setup: cfg.Setup}
	}
	return s
}

// Stats is what scanning has cost so far.
type Stats struct {
	// LayersAnalyzed were read; LayersCached were not, since a report was
	// at hand.
	LayersAnalyzed, LayersCached int64
	// FilesOpened counts files of layers and layer blobs, BytesRead what
	// was read of them.
	FilesOpened, BytesRead int64
}

// Stats returns the counters.
func (s *Scanner) Stats() Stats {
	return Stats{
		LayersAnalyzed: s.analyzed.Load(), LayersCached: s.cached.Load(),
		FilesOpened: s.io.FilesOpened.Load(), BytesRead: s.io.BytesRead.Load(),
	}
}

// Analyzers is the key of all analysers, as report.JoinKeys writes it.
func (s *Scanner) Analyzers() string { return s.key }

// Setup is what the Maker of a child gets.
func (s *Scanner) Setup() json.RawMessage { return s.cfg.Setup }

func keysOf(sets []*analyze.Set) []string {
	out := make([]string, len(sets))
	for i, set := range sets {
		out[i] = set.Key()
	}
	return out
}

// A Result is one scanned image.
type Result struct {
	Image     image.Image
	Config    image.Config
	RawConfig []byte
	// Layers are the reports, lowest first. Not to be changed.
	Layers    []*report.LayerReport
	Inventory report.Inventory
}

// BuildCommands are the build commands of the layers by diff ID, secrets masked.
func (r *Result) BuildCommands() map[string]string {
	out := map[string]string{}
	for i, cmd := range buildcmd.Commands(r.Config) {
		if cmd != "" {
			out[string(r.Config.DiffIDs[i])] = cmd
		}
	}
	return out
}

// Image scans one image. onLayer, which may be nil, is called when a layer is
// done, with the number done, the number of all, and whether a report was at
// hand; never concurrently for one image. A layer that is damaged makes an
// incomplete inventory with a problem that says so, not an error.
func (s *Scanner) Image(ctx context.Context, src image.Source, img image.Image, onLayer func(done, all int, cached bool)) (*Result, error) {
	if img.NonScanReason != "" {
		return nil, fault.New(fault.Unsupported, "image cannot be scanned: %s", img.NonScanReason)
	}
	opened, err := src.Open(ctx, img)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	defer opened.Close()
	if len(opened.Layers) != len(opened.Config.DiffIDs) {
		return nil, fault.New(fault.Invalid, "image has %d layers, its configuration names %d", len(opened.Layers), len(opened.Config.DiffIDs))
	}

	res := &Result{Image: img, Config: opened.Config, RawConfig: opened.RawConfig, Layers: make([]*report.LayerReport, len(opened.Layers))}
	finished := make(chan bool) // whether the layer's report was at hand
	g, gctx := errgroup.WithContext(ctx)
	for i, l := range opened.Layers {
		g.Go(func() error {
			r, cached, err := s.layer(gctx, l)
			if err != nil {
				return fmt.Errorf("scan layer %d: %w", i+1, err)
			}
			res.Layers[i] = r
			select {
			case finished <- cached:
			case <-gctx.Done():
			}
			return nil
		})
	}
	go func() {
		g.Wait() //nolint:errcheck // read again below
		close(finished)
	}()
	n := 0
	for cached := range finished {
		if n++; onLayer != nil {
			onLayer(n, len(opened.Layers), cached)
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	res.Inventory = report.Merge(res.Layers)
	return res, nil
}

// Layer returns the report of one layer with what all checks found, from the
// cache or by reading it. A damaged layer gives an incomplete report; an error
// means that the layer is not there, or that ctx is done.
func (s *Scanner) Layer(ctx context.Context, l image.Layer) (*report.LayerReport, error) {
	r, _, err := s.layer(ctx, l)
	return r, err
}

func (s *Scanner) layer(ctx context.Context, l image.Layer) (*report.LayerReport, bool, error) {
	parts, cached, err := s.parts(ctx, l, s.sets)
	if err != nil {
		return nil, false, err
	}
	return report.Join(parts...), cached, nil
}

// Parts returns the reports of one layer for the keys given, which must be among
// those of Analyzers, each from the cache or by reading the layer once for all
// that are not there.
func (s *Scanner) Parts(ctx context.Context, l image.Layer, keys []string) ([]*report.LayerReport, error) {
	var sets []*analyze.Set
	for _, key := range keys {
		i := slices.IndexFunc(s.sets, func(set *analyze.Set) bool { return set.Key() == key })
		if i < 0 {
			return nil, fault.New(fault.Invalid, "there are no analysers %s", key)
		}
		sets = append(sets, s.sets[i])
	}
	parts, _, err := s.parts(ctx, l, sets)
	return parts, err
}

// parts are the reports for sets, and whether all were at hand.
func (s *Scanner) parts(ctx context.Context, l image.Layer, sets []*analyze.Set) (parts []*report.LayerReport, cached bool, err error) {
	if parts, missing := s.get(l.DiffID, sets); len(missing) == 0 {
		s.cached.Add(1)
		return parts, true, nil
	}
	// One layer is read once, however many images wait for it. The reader
	// works for all of them, so it must not end with the first one's
	// context alone: whoever still wants the layer asks again.
	v, err, shared := s.flight.Do(string(l.DiffID)+" "+report.JoinKeys(keysOf(sets)), func() (any, error) {
		parts, missing := s.get(l.DiffID, sets)
		if len(missing) == 0 {
			s.cached.Add(1)
			return parts, nil
		}
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		made, err := s.analyze(ctx, l, missing)
		if err != nil {
			return nil, err
		}
		for i := range parts {
			if parts[i] == nil {
				parts[i], made = made[0], made[1:]
			}
		}
		return parts, nil
	})
	if err != nil {
		if shared && ctx.Err() == nil && isContext(err) {
			return s.parts(ctx, l, sets)
		}
		return nil, false, err
	}
	return v.([]*report.LayerReport), false, nil
}

// get looks the reports of a layer up: those that are not there are nil, and
// their sets missing.
func (s *Scanner) get(d image.Digest, sets []*analyze.Set) (parts []*report.LayerReport, missing []*analyze.Set) {
	if s.cfg.Cache == nil {
		return make([]*report.LayerReport, len(sets)), sets
	}
	for _, set := range sets {
		r, ok := s.cfg.Cache.Get(string(d), set.Key())
		if !ok {
			r, missing = nil, append(missing, set)
		}
		parts = append(parts, r)
	}
	return parts, missing
}

// analyze reads a layer once for all sets and keeps their reports.
func (s *Scanner) analyze(ctx context.Context, l image.Layer, sets []*analyze.Set) ([]*report.LayerReport, error) {
	c := newCollector(l, keysOf(sets)...)
	var err error
	if s.isolated != nil {
		err = s.isolated.read(ctx, l, keysOf(sets), c, &s.io)
	} else {
		err = s.readHere(ctx, l, sets, c)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && isGone(err) && !c.started {
		return nil, fault.New(fault.NotFound, "layer %s is gone: %w", l.DiffID.Short(), err)
	}
	if l.Check != nil {
		if err := l.Check(ctx); err != nil {
			return nil, fmt.Errorf("layer %s was deleted while it was read: %w", l.DiffID.Short(), err)
		}
	}
	s.analyzed.Add(1)
	if err == nil && c.end != nil {
		err = c.end.Trouble.err()
	}
	reports := c.finish(err)
	for _, r := range reports {
		if !r.Complete {
			s.log.WarnContext(ctx, "layer is incomplete", "diff_id", string(l.DiffID), "check", report.CheckOf(r.Analyzers), "error", err)
			continue
		}
		if s.cfg.Cache != nil {
			if err := s.cfg.Cache.Put(r); err != nil {
				s.log.WarnContext(ctx, "layer report not kept", "diff_id", string(l.DiffID), "error", err)
			}
		}
	}
	return reports, nil
}

// readHere reads a layer in this process, by the same messages.
func (s *Scanner) readHere(ctx context.Context, l image.Layer, sets []*analyze.Set, c *collector) error {
	r, w := io.Pipe()
	go func() {
		watch := newWatchdog(nil, nil)
		defer watch.close()
		worker := &worker{ctx: ctx, sets: sets, out: newSender(w), watch: watch}
		w.CloseWithError(worker.run(l, layer.Options{Stats: &layer.Stats{}}))
	}()
	defer r.Close()
	in := newReceiver(r)
	for c.end == nil {
		kind, body, err := in.next()
		if err != nil {
			return fmt.Errorf("%w: the layer worker ended", layer.ErrHost)
		}
		if err := c.take(kind, body); err != nil {
			return err
		}
	}
	s.io.FilesOpened.Add(c.end.FilesOpened)
	s.io.BytesRead.Add(c.end.BytesRead)
	return c.end.Error.err()
}
