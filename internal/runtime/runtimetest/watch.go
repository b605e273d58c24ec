package runtimetest

import (
	"context"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

const (
	// noticeWithin is how soon a Watcher must tell of a change.
	noticeWithin = time.Second
	// quietFor is how long nothing may be told for a Watcher to be quiet.
	quietFor = 400 * time.Millisecond
	// settleWithin is how long engines go on after a command has ended.
	settleWithin = 20 * time.Second
)

// A Change is something that a user does to an engine.
type Change struct {
	Name string
	Do   func() error
}

// Watch checks that a source keeps the contract of image.Watcher. Each change
// must be noticed; none of the others may be, such as a command that only
// looks.
func Watch(t *testing.T, w image.Watcher, changes, others []Change) {
	t.Helper()
	seen := make(chan struct{}, 1)
	changed := func() {
		select {
		case seen <- struct{}{}:
		default:
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Watch(ctx, changed) }()
	select {
	case <-seen:
	case err := <-ended:
		t.Fatalf("ended: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("it does not say that it listens")
	}
	calm(t, seen)
	for _, c := range changes {
		if err := c.Do(); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		select {
		case <-seen:
		case <-time.After(noticeWithin):
			t.Errorf("%s: not noticed", c.Name)
		}
		calm(t, seen)
	}
	for _, c := range others {
		if err := c.Do(); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		select {
		case <-seen:
			t.Errorf("%s: taken for a change", c.Name)
			calm(t, seen)
		case <-time.After(quietFor):
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("cancelled: %v, want nil", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it does not end")
	}
}

// calm waits until nothing is told any more.
func calm(t *testing.T, seen <-chan struct{}) {
	t.Helper()
	for end := time.Now().Add(settleWithin); time.Now().Before(end); {
		select {
		case <-seen:
		case <-time.After(quietFor):
			return
		}
	}
	t.Fatalf("still telling of changes after %v", settleWithin)
}

// WatchEnds checks that Watch ends when the engine does, and works again when
// it is back: end kills the engine and revive starts it.
func WatchEnds(t *testing.T, w image.Watcher, end, revive func() error) {
	t.Helper()
	began := make(chan struct{}, 16)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := func() {
		ended <- w.Watch(ctx, func() {
			select {
			case began <- struct{}{}:
			default:
			}
		})
	}
	go watch()
	<-began
	if err := end(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("the engine ended: %v, want it unavailable", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the engine ended, Watch has not")
	}
	go watch()
	if err := <-ended; fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("no engine: %v, want it unavailable", err)
	}
	if err := revive(); err != nil {
		t.Fatal(err)
	}
	for len(began) > 0 {
		<-began
	}
	go watch()
	select {
	case <-began:
	case err := <-ended:
		t.Fatalf("the engine is back: %v", err)
	case <-time.After(10 * time.Second):
		t.Error("the engine is back, and Watch does not say so")
	}
	cancel()
	<-ended
}
