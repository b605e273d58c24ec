package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// recheck checks anew what was checked with other rules: build commands once,
// for those rules change with the program only, as what earlier versions did not
// store; baselines and software also when their rules are replaced. What fails is
// tried again, and none waits for another.
func (s *Store) recheck(ctx context.Context) {
	var running sync.WaitGroup
	for _, again := range []struct {
		what string
		do   func(context.Context) (int, error)
		wake <-chan struct{} // nil for once
	}{
		{"build commands", s.RecheckBuild, nil},
		{"results of earlier versions", s.fillIn, nil},
		{"baselines", s.RecheckBaseline, s.rulesChanged},
		{"software", s.RecheckPolicy, s.policyChanged},
	} {
		running.Go(func() { s.recheckUntil(ctx, again.what, again.do, again.wake) })
	}
	running.Wait()
}

func (s *Store) recheckUntil(ctx context.Context, what string, do func(context.Context) (int, error), wake <-chan struct{}) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		n, err := do(ctx)
		if n > 0 {
			s.log.InfoContext(ctx, "checked anew with other rules", "what", what, "number", n)
		}
		retry := t.C
		switch {
		case ctx.Err() != nil || err == nil && wake == nil:
			return
		case err == nil:
			retry = nil
		default:
			s.log.ErrorContext(ctx, "check anew", "what", what, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-retry:
		}
	}
}

// inBatches calls do until it has nothing left to do, and returns the sum of
// what it did.
func inBatches(what string, do func() (int, error)) (total int, err error) {
	for {
		n, err := do()
		if err != nil {
			return total, fmt.Errorf("%s: %w", what, err)
		}
		if n == 0 {
			return total, nil
		}
		total += n
	}
}

// recheckSoon wakes recheck.
func (s *Store) recheckSoon() {
	wakeLoop(s.rulesChanged)
}

// wakeLoop tells a loop to look once more; one that was told already will.
func wakeLoop(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// recheckSoonIf wakes recheck for a scan that was judged by rules that were
// replaced before it was stored.
func (s *Store) recheckSoonIf(out *outcome) {
	if set := s.rulesInUse.Load(); out.judgement != nil && set != nil && out.judgement.rules != set.Version() {
		s.recheckSoon()
	}
}
