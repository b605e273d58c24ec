package agent_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/store"
)

// A layer that was deleted while it was read is looked for again, at this
// engine and at others, before the image counts as gone.
func TestLayerDeletedInMidRead(t *testing.T) {
	t.Parallel()
	deleted := fault.New(fault.NotFound, "deleted while it was read")
	for _, tt := range []struct {
		name  string
		fails int64 // how many reads are in vain
		other bool  // another engine holds the image
		want  string
	}{
		{"pulled again", 2, false, ""},
		{"held by another engine", 1 << 30, true, ""},
		{"gone for good", 1 << 30, false, fleet.FailureImageGone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			real := layout(t, "web:1", debianLayers("1")...)
			var reads atomic.Int64
			flaky := &sourceFunc{Source: real, open: func(ctx context.Context, img image.Image) (*image.Opened, error) {
				o, err := real.Open(ctx, img)
				if err != nil {
					return nil, err
				}
				o.Layers[1].Check = func(context.Context) error {
					if reads.Add(1) <= tt.fails {
						return deleted
					}
					return nil
				}
				return o, nil
			}}
			sources := []image.Source{flaky}
			if tt.other {
				sources = append(sources, real)
			}
			s.start(s.config(t.TempDir(), sources...))
			s.scan()
			got := s.await()[0]
			if got.FailedDesc != tt.want || tt.want == "" && (got.Status != store.StatusSuccess || got.ComponentNum != 1) {
				t.Errorf("%s %q after %d reads, want failure %q", got.Status, got.FailedDesc, reads.Load(), tt.want)
			}
			if n := reads.Load(); n > 10 {
				t.Errorf("it was read %d times", n)
			}
		})
	}
}

// An engine that is restarted in the middle costs nothing but the moment.
func TestEngineRestartInMidScan(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	real := layout(t, "web:1", debianLayers("1")...)
	var down atomic.Bool
	refused := fault.New(fault.Unavailable, "connection refused")
	src := &sourceFunc{Source: real,
		open: func(ctx context.Context, img image.Image) (*image.Opened, error) {
			if down.Load() {
				return nil, refused
			}
			return real.Open(ctx, img)
		},
		images: func(ctx context.Context) ([]image.Image, error) {
			if down.Load() {
				return nil, refused
			}
			return real.Images(ctx)
		},
	}
	s.start(s.config(t.TempDir(), src))
	down.Store(true)
	time.AfterFunc(2*time.Second, func() { down.Store(false) })
	s.scan()
	if got := s.await()[0]; got.Status != store.StatusSuccess {
		t.Errorf("%s %q", got.Status, got.FailedDesc)
	}
}

// changing is a source that tells of its changes.
type changing struct {
	*sourceFunc
	tell   chan struct{}
	ended  chan error
	listed atomic.Int64
}

func (c *changing) Images(ctx context.Context) ([]image.Image, error) {
	c.listed.Add(1)
	return c.sourceFunc.Images(ctx)
}

func (c *changing) Watch(ctx context.Context, changed func()) error {
	changed()
	for {
		select {
		case <-c.tell:
			changed()
		case err := <-c.ended:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// A source that tells of its changes is listed after them and not otherwise; a
// burst counts as one; after its end it is listed now and then, and listened to
// again.
func TestFollow(t *testing.T) { // not beside others: it counts what happens in a second
	s := newSite(t)
	src := &changing{
		sourceFunc: &sourceFunc{Source: layout(t, "web:1", debianLayers("1")...)},
		tell:       make(chan struct{}), ended: make(chan error),
	}
	s.start(s.config(t.TempDir(), src)) // lists every 50 ms what does not tell
	time.Sleep(time.Second)
	steady := func(what string, most int64) {
		t.Helper()
		before := src.listed.Load()
		time.Sleep(time.Second)
		if n := src.listed.Load() - before; n > most {
			t.Errorf("%s: listed %d times in a second", what, n)
		}
	}
	steady("nothing happens", 0)
	before := src.listed.Load()
	for range 200 {
		src.tell <- struct{}{}
	}
	time.Sleep(time.Second)
	if n := src.listed.Load() - before; n < 1 || n > 2 {
		t.Errorf("listed %d times for one burst", n)
	}
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			src.tell <- struct{}{}
		}
	}()
	before = src.listed.Load()
	<-stop
	if n := src.listed.Load() - before; n < 2 || n > 4 {
		t.Errorf("listed %d times in three seconds of change, want once a second", n)
	}
	before = src.listed.Load()
	src.ended <- fault.New(fault.Unavailable, "the engine has ended")
	for end := time.Now().Add(10 * time.Second); src.listed.Load()-before < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("listed %d times after the end of the stream", src.listed.Load()-before)
		}
	}
	time.Sleep(time.Second)
	steady("listened to again", 0)
}
