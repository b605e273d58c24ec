package store

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/auth"
)

// onPostgres is a world on PostgreSQL with a second server that listens.
func onPostgres(t *testing.T) (a, b *world) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves engines out, PostgreSQL among them")
	}
	w := &world{t: t, clk: &clock{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}, table: newTable(), url: migratedURL(t)}
	w.open()
	t.Cleanup(func() { _ = w.Store.Close() })
	_, first, err := w.Bootstrap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.first = first
	return w, w.another()
}

// listening starts listening and waits until it does.
func (w *world) listening() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.listen(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
	w.awaitListeners(1)
}

const (
	sqlListeners = `FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'onceover listens'`
	// A connection has its name before it listens.
	sqlListening = sqlListeners + ` AND state = 'idle' AND query <> ''`
)

func (w *world) awaitListeners(want int) {
	w.t.Helper()
	var n int
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err := w.read.QueryRow("SELECT COUNT(*) " + sqlListening).Scan(&n); err != nil {
			w.t.Fatal(err)
		}
		if n >= want {
			return
		}
	}
	w.t.Fatalf("%d listen", n)
}

func woken(t *testing.T, what string, changed <-chan struct{}) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Errorf("%s: the agent at the other server was not woken", what)
	}
}

// TestWakeAcrossServers has agents parked at one server and what concerns them
// happen at another.
func TestWakeAcrossServers(t *testing.T) {
	a, b := onPostgres(t)
	b.listening()
	var keys []auth.Key
	for n := range maxWoken + 50 { // more than one message
		keys = append(keys, a.agent(fmt.Sprint("host", n), state(1, ref("web", "1"))))
	}
	all := func() (out []<-chan struct{}) {
		for _, k := range keys {
			out = append(out, b.Changed(k.AgentID))
		}
		return out
	}
	parked := all()
	task, err := a.Scan(t.Context(), a.project(), ScanRequest{TaskType: TaskManual})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range parked {
		woken(t, "scan", c)
	}

	// Leased at one, renewed at the other.
	j := a.sync(keys[0], 1, nil, nil).Jobs[0]
	b.add(LeaseTime / 2)
	if r := b.sync(keys[0], 0, []string{j.ID}, nil); len(r.Stop) > 0 {
		t.Error("the other server does not know the lease")
	}
	changed := b.Changed(keys[0].AgentID)
	if err := a.StopTask(t.Context(), a.project(), task, Actor{}); err != nil {
		t.Fatal(err)
	}
	woken(t, "stop", changed)
	if r := b.sync(keys[0], 0, []string{j.ID}, nil); len(r.Stop) != 1 {
		t.Error("the other server does not tell of the stop")
	}

	// Leased at one, finished at the other.
	if _, err := b.Scan(t.Context(), a.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	b.finish(keys[1], a.sync(keys[1], 1, nil, nil).Jobs[0], 1)
	if got := a.images()["web:1"]; got.Status != StatusSuccess || got.VulNum == 0 {
		t.Errorf("%+v", got)
	}

	parked = all()
	if err := a.SetWords(t.Context(), a.project(), []string{"word"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range parked {
		woken(t, "words", c)
	}
}

// TestWakeAfterALoss cuts the connection over which a server is told.
func TestWakeAfterALoss(t *testing.T) {
	a, b := onPostgres(t)
	k := a.agent("host", state(1, ref("web", "1")))
	b.listening()
	changed := b.Changed(k.AgentID)
	if _, err := a.write.Exec("SELECT pg_terminate_backend(pid) " + sqlListeners); err != nil {
		t.Fatal(err)
	}
	woken(t, "what was said meanwhile", changed)
	b.awaitListeners(1)
	changed = b.Changed(k.AgentID)
	if _, err := a.Scan(t.Context(), a.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	woken(t, "scan", changed)
}

// TestOneLeads has two servers with different advisories: one of them re-matches,
// and what the other finds follows.
func TestOneLeads(t *testing.T) {
	a, b := onPostgres(t)
	k := a.agent("host", state(1, ref("web", "1")), state(3, ref("db", "1")))
	a.listening()
	a.awaitLeader()
	b.listening()
	if b.leads() {
		t.Fatal("both lead")
	}
	a.scanAll(k, 1, 3)
	a.rematch()

	b.table = newTable() // a release older than that of the leader
	b.table.replace("old", nil, rules[:1]...)
	b.cfg.Advisories = b.table
	if _, err := b.Scan(t.Context(), b.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"DELETE FROM finding", "UPDATE package SET matched = 0"} { // as if the packages were new
		if _, err := b.write.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	b.work(k, 1, 3)
	if got := b.images()["web:1"].VulNum; got != 1 {
		t.Errorf("%d vulnerabilities by the advisories of the other", got)
	}
	a.rematch()
	if got := a.images()["web:1"].VulNum; got != 4 {
		t.Errorf("%d vulnerabilities after the leader matched again, want 4", got)
	}
	if r := a.rematch(); r != (Rematched{}) {
		t.Errorf("and again: %+v", r)
	}

	// The leader dies: the database sees its connection end.
	if _, err := b.write.Exec("SELECT pg_terminate_backend(pid) " + sqlListeners + " AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(3 * listenPing); a.leads() == b.leads(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody leads")
		}
	}
}

func (w *world) awaitLeader() {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !w.leads(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("it does not lead")
		}
	}
}

// TestRolledBack makes sure that nobody is told of what did not happen.
func TestRolledBack(t *testing.T) {
	a, b := onPostgres(t)
	b.listening()
	gone, comes := b.Changed("gone"), b.Changed("comes")
	wake := func(id string, err error) {
		_ = a.inTxAndWake(t.Context(), func(*sql.Tx) ([]string, error) { return []string{id}, err })
	}
	wake("gone", context.Canceled)
	wake("comes", nil)
	woken(t, "what was committed", comes)
	select {
	case <-gone:
		t.Error("told of what was rolled back")
	default:
	}
}
