package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{free: 1}
		if err := l.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []int
		join := func(ctx context.Context, n int) {
			go func() {
				if err := l.wait(ctx); err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				order = append(order, n)
				mu.Unlock()
				l.done()
			}()
			synctest.Wait()
			time.Sleep(time.Second)
		}
		early := Arrived(t.Context())
		time.Sleep(time.Second)
		join(t.Context(), 2) // a request that is not known comes when it waits
		given, giveUp := context.WithCancel(t.Context())
		join(given, 3)
		join(Arrived(t.Context()), 4)
		join(early, 1) // its second question
		giveUp()
		synctest.Wait()
		l.done()
		synctest.Wait()
		if want := []int{1, 2, 4}; !slices.Equal(order, want) {
			t.Errorf("turns in order %v, want %v", order, want)
		}
		if l.free != 1 || len(l.waiting) != 0 {
			t.Errorf("%d free, %d waiting; want 1 and none", l.free, len(l.waiting))
		}
	})
}

func TestIsHere(t *testing.T) {
	for host, want := range map[string]bool{
		"/var/run/postgresql": true, "@socket": true, "localhost": true, "127.0.0.1": true, "::1": true,
		"db.example.org": false, "10.0.0.7": false, "": false,
	} {
		if got := isHere(host); got != want {
			t.Errorf("%q is here: %t, want %t", host, got, want)
		}
	}
}
