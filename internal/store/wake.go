package store

import "sync"

// waker tells parked agents that there may be work for them. A channel lives
// from the moment someone waits on it until it is closed.
type waker struct {
	mu    sync.Mutex
	chans map[string]chan struct{}
}

func newWaker() *waker { return &waker{chans: map[string]chan struct{}{}} }

func (w *waker) wait(agentID string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.chans[agentID]
	if c == nil {
		c = make(chan struct{})
		w.chans[agentID] = c
	}
	return c
}

func (w *waker) wakeAll(agentIDs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range agentIDs {
		if c := w.chans[id]; c != nil {
			close(c)
			delete(w.chans, id)
		}
	}
}
