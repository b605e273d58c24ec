package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onceover/onceover/internal/fleet"
)

// An agent is parked at one server, and another may have news for it: the
// servers of one PostgreSQL tell each other whom to wake with NOTIFY. What is
// missed, because the connection was lost, is found when the agent asks again by
// itself, at the latest after its poll.
const (
	// wakeChannel carries "SENDER AGENT AGENT…".
	wakeChannel = "onceover_wake"
	// listenName is the application_name of the connection that listens.
	listenName = "onceover listens"
	// maxWoken is how many agents one message names: PostgreSQL takes 8,000
	// bytes, an id is 36.
	maxWoken = 200
	// listenPing is how often a connection that is silent is asked whether it
	// still is one, and whether this server is to lead.
	listenPing = 5 * time.Second
	// Without a connection it is tried again after firstListen, doubling up
	// to maxListen.
	firstListen = 250 * time.Millisecond
	maxListen   = 15 * time.Second
	// listenTime bounds what is not waiting.
	listenTime = 10 * time.Second
)

const (
	sqlNotify = `SELECT pg_notify($1, $2)`
	sqlListen = `LISTEN ` + wakeChannel
)

// waker tells parked agents that there may be work for them. A channel lives
// from the moment someone waits on it until it is closed.
type waker struct {
	id    string // of this store among those that send
	mu    sync.Mutex
	chans map[string]chan struct{}
}

func newWaker() *waker { return &waker{id: uuid.NewString(), chans: map[string]chan struct{}{}} }

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

// wakeEverybody is for when messages may have been lost.
func (w *waker) wakeEverybody() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.chans {
		close(c)
	}
	clear(w.chans)
}

// take wakes whom a message names. What this store has sent itself it has done.
func (w *waker) take(message string) {
	ids := strings.Fields(message)
	if len(ids) > 1 && ids[0] != w.id {
		w.wakeAll(ids[1:])
	}
}

// inTxAndWake runs f in a write transaction and wakes the agents that it
// returns, wherever they are parked, when that is committed.
func (s *Store) inTxAndWake(ctx context.Context, f func(tx *sql.Tx) (wake []string, err error)) error {
	var wake []string
	err := s.inTx(ctx, func(tx *sql.Tx) (err error) {
		if wake, err = f(tx); err != nil || s.engine.notify == "" {
			return err
		}
		slices.Sort(wake)
		wake = slices.Compact(wake)
		// Within the transaction: the message is sent with the commit, or not
		// at all, also if this process is killed.
		for ids := range slices.Chunk(wake, maxWoken) {
			if _, err := tx.ExecContext(ctx, s.engine.notify, wakeChannel, s.wake.id+" "+strings.Join(ids, " ")); err != nil {
				return fmt.Errorf("tell the other servers: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.wake.wakeAll(wake)
	return nil
}

// listen wakes the agents that other servers have news for, until ctx is done.
// SQLite has one server.
func (s *Store) listen(ctx context.Context) {
	if s.engine.notify == "" {
		return
	}
	pause, lost := firstListen, false
	for ctx.Err() == nil {
		connected, err := s.listenOnce(ctx, lost)
		if ctx.Err() != nil {
			return
		}
		if connected {
			pause = firstListen
		}
		lost = true
		s.log.WarnContext(ctx, "other servers are not heard: agents that they have news for learn it later", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(fleet.Jitter(pause)):
		}
		pause = min(2*pause, maxListen)
	}
}

// leads reports whether this server does what one does for all: of two that
// re-match with different advisories each would undo what the other has done.
func (s *Store) leads() bool { return s.engine.lead == "" || s.leading.Load() }

// listenOnce listens on a connection of its own until that is lost. again says
// that one was lost before. The same connection makes this server the leader:
// if it dies, however it dies, the database knows, and another follows.
func (s *Store) listenOnce(ctx context.Context, again bool) (connected bool, err error) {
	c, err := s.dial(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		s.leading.Store(false)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), listenTime)
		defer cancel()
		_ = c.Close(end) // nothing was written
	}()
	if again {
		s.wake.wakeEverybody()
	}
	for asked := (time.Time{}); ; {
		if time.Since(asked) >= listenPing {
			if err := s.lead(ctx, c); err != nil {
				return true, err
			}
			asked = time.Now()
		}
		wait, cancel := context.WithTimeout(ctx, listenPing)
		n, err := c.WaitForNotification(wait)
		cancel()
		switch {
		case err == nil:
			s.wake.take(n.Payload)
		case ctx.Err() != nil:
			return true, ctx.Err()
		case !pgconn.Timeout(err):
			return true, err
		}
	}
}

// dial makes a connection that listens.
func (s *Store) dial(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(s.cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["application_name"] = listenName
	ctx, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if _, err := c.Exec(ctx, sqlListen); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

// lead tries to lead, and asks a leader whether its connection is one still.
func (s *Store) lead(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	if s.leading.Load() {
		return c.Ping(ctx)
	}
	var leads bool
	if err := c.QueryRow(ctx, s.engine.lead).Scan(&leads); err != nil {
		return fmt.Errorf("try to lead: %w", err)
	}
	if leads {
		s.leading.Store(true)
		s.log.InfoContext(ctx, "this server re-matches for all servers of the database")
	}
	return nil
}
