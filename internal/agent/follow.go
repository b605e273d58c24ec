package agent

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

const (
	// discoverEvery is how often engines are looked for anew, besides when
	// Config.Places says that one may have come or gone.
	discoverEvery = 30 * time.Second
	// reconcileEvery is how often a source is listed that tells of its
	// changes itself.
	reconcileEvery = 5 * time.Minute
	// Changes come in bursts: a source is listed when it has been quiet for
	// quietTime, or busyTime after the first change.
	quietTime = 200 * time.Millisecond
	busyTime  = time.Second
	// Where changes never end, at most a listShare-th of the time goes into
	// lists; the first listBurst of it is free, and no pause is longer than
	// maxListPause.
	listShare    = 10
	listBurst    = time.Second
	maxListPause = 20 * time.Second
	// placesPause is how long to wait after the places could not be watched.
	placesPause = 5 * time.Minute
)

// followers keep the inventory of each source up to date, each on its own: an
// engine that does not answer holds up nobody else.
type followers struct {
	a *Agent

	mu  sync.Mutex
	all []*follower // in the order of the sources
}

// follower follows one source.
type follower struct {
	a *Agent
	slot
	ctx    context.Context // of this follower
	cancel context.CancelFunc

	change  chan struct{}      // the list may have changed
	ask     chan chan struct{} // requests to list now
	retry   chan struct{}      // the engine may be back
	watched atomic.Bool        // the source tells of changes
	first   chan struct{}      // closed after the first list
}

// follow looks for engines and follows them until ctx is done. first is closed
// when the engines found at first have been listed.
func (a *Agent) follow(ctx context.Context, first chan struct{}) {
	fs := a.followers
	again := make(chan struct{}, 1)
	if a.cfg.Places != nil {
		go a.watchPlaces(ctx, again)
	}
	for n := 0; ; n++ {
		sources, engines := a.cfg.Discover(ctx)
		if ctx.Err() != nil {
			return
		}
		if fs.set(ctx, sources, engines) && n > 0 {
			a.news()
		}
		if n == 0 {
			go func() {
				fs.awaitFirst(ctx)
				close(first)
			}()
		}
		timer := time.NewTimer(discoverEvery)
		select {
		case <-timer.C:
		case <-again:
			timer.Stop()
			if !sleep(ctx, quietTime) { // a socket is there before it is listened on
				return
			}
			fs.retry()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// watchPlaces passes on that an engine may have come or gone.
func (a *Agent) watchPlaces(ctx context.Context, again chan<- struct{}) {
	for {
		err := a.cfg.Places(ctx, func() { signal(again) })
		if ctx.Err() != nil {
			return
		}
		a.log.InfoContext(ctx, "engines are looked for now and then only", "error", err)
		if !sleep(ctx, placesPause) {
			return
		}
	}
}

// set follows these sources and no others. It reports whether that is news for
// the server.
func (fs *followers) set(ctx context.Context, sources []image.Source, engines []fleet.Engine) bool {
	old := fs.snapshot()
	var all, begin []*follower
	var slots []slot
	for i, src := range sources {
		if i < len(old) && old[i].src == src {
			all = append(all, old[i])
		} else {
			f := &follower{
				a: fs.a, slot: slot{fmt.Sprintf("%d %s", i, src.Engine()), src},
				change: make(chan struct{}, 1), ask: make(chan chan struct{}), retry: make(chan struct{}, 1), first: make(chan struct{}),
			}
			f.ctx, f.cancel = context.WithCancel(ctx)
			all, begin = append(all, f), append(begin, f)
		}
		slots = append(slots, all[i].slot)
	}
	fs.mu.Lock()
	fs.all = all
	fs.mu.Unlock()
	news := fs.a.inv.set(slots, engines)
	for i, f := range old {
		if i >= len(all) || all[i] != f {
			f.cancel()
		}
	}
	for _, f := range begin {
		go f.keepListed()
		if w, ok := f.src.(image.Watcher); ok {
			go f.keepWatched(w)
		}
	}
	return news
}

func (fs *followers) snapshot() []*follower {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.all // replaced as a whole, never changed
}

// retry tries again to watch what is not watched.
func (fs *followers) retry() {
	for _, f := range fs.snapshot() {
		if !f.watched.Load() {
			signal(f.retry)
			signal(f.change)
		}
	}
}

func (fs *followers) awaitFirst(ctx context.Context) {
	for _, f := range fs.snapshot() {
		select {
		case <-f.first:
		case <-f.ctx.Done():
		case <-ctx.Done():
		}
	}
}

// listNow lists every source and waits for it.
func (fs *followers) listNow(ctx context.Context) {
	var waiting []chan struct{}
	for _, f := range fs.snapshot() {
		done := make(chan struct{})
		select {
		case f.ask <- done:
			waiting = append(waiting, done)
		case <-f.ctx.Done():
		case <-ctx.Done():
			return
		}
	}
	for _, done := range waiting {
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// keepListed lists the source at first, when it has changed, when somebody
// asks, and now and then.
func (f *follower) keepListed() {
	f.list()
	close(f.first)
	var paid time.Time // until when the time that lists have taken is made up for
	for f.ctx.Err() == nil {
		var done chan struct{}
		pause := f.a.cfg.ListEvery
		if f.watched.Load() {
			pause = reconcileEvery
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-f.change:
			done = f.debounce(paid.Add(-listShare * listBurst))
		case done = <-f.ask:
		case <-f.ctx.Done():
		}
		timer.Stop()
		if f.ctx.Err() == nil {
			start := time.Now()
			f.list()
			if paid.Before(start) {
				paid = start
			}
			paid = paid.Add(listShare * time.Since(start))
			if most := time.Now().Add(listShare*listBurst + maxListPause); paid.After(most) {
				paid = most
			}
		}
		if done != nil {
			close(done)
		}
	}
}

// debounce waits for the end of a burst of changes, and not before the time
// given. Somebody who asks for a list ends it; the request is returned.
func (f *follower) debounce(notBefore time.Time) chan struct{} {
	latest := time.Now().Add(busyTime)
	for {
		until := time.Now().Add(quietTime)
		if until.After(latest) {
			until = latest
		}
		if until.Before(notBefore) {
			until = notBefore
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-timer.C:
			return nil
		case <-f.change:
		case done := <-f.ask:
			timer.Stop()
			return done
		case <-f.ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
		if !time.Now().Before(latest) && !time.Now().Before(notBefore) {
			return nil
		}
	}
}

// list asks the source.
func (f *follower) list() {
	images, err := listOne(f.ctx, f.src)
	if f.ctx.Err() != nil {
		return
	}
	if f.a.inv.put(f.slot, images, err) {
		f.a.news()
	}
	if err == nil && !f.watched.Load() {
		signal(f.retry)
	}
}

// keepWatched listens to the source for as long as that works, and tries again
// each time that it could be listed.
func (f *follower) keepWatched(w image.Watcher) {
	for said := ""; ; {
		select {
		case <-f.retry:
		case <-f.ctx.Done():
			return
		}
		err := watchOne(f.ctx, w, func() {
			f.watched.Store(true)
			signal(f.change)
		})
		if f.ctx.Err() != nil {
			return
		}
		if f.watched.Swap(false) {
			said = ""
			signal(f.change) // what has become of it?
		}
		// An engine that is away is reported by its list.
		if text := fmt.Sprint(err); fault.CodeOf(err) != fault.Unavailable && text != said {
			said = text
			f.a.log.WarnContext(f.ctx, "source is listed often: it cannot be watched", "engine", f.src.Engine(), "error", err)
		}
	}
}

// watchOne turns a panic of a source into an error.
func watchOne(ctx context.Context, w image.Watcher, changed func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("watch: panic: %v", p)
		}
	}()
	return w.Watch(ctx, changed)
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
