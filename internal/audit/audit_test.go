package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// book is a ledger in memory. The database's own is tested with package store,
// which stands above this one.
type book struct {
	entries []Entry
	broken  bool
}

func (b *book) BeginAudit(_ context.Context, e Entry) (int64, error) {
	if b.broken {
		return 0, errors.New("disk full")
	}
	e.ID = int64(len(b.entries) + 1)
	b.entries = append(b.entries, e)
	return e.ID, nil
}

func (b *book) EndAudit(_ context.Context, id int64, status int) error {
	b.entries[id-1].Status = status
	return nil
}

func (b *book) PutAudit(_ context.Context, entries []Entry) error {
	b.entries = append(b.entries, entries...)
	return nil
}

func TestWatch(t *testing.T) {
	b := &book{}
	l := New(b, slog.New(slog.DiscardHandler))
	during := -1
	do := func(client string, f func(http.ResponseWriter, *http.Request, *Note)) int {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = client + ":1"
		l.Watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, From(r.Context())) })).ServeHTTP(rec, r)
		return rec.Code
	}
	write := func(w http.ResponseWriter, r *http.Request, n *Note) {
		n.Who("eve", "AK")
		n.What("Scan", "p", "0", "i1")
		if n.Begin(r.Context()) != nil {
			w.WriteHeader(500)
			return
		}
		during = b.entries[len(b.entries)-1].Status
		w.WriteHeader(202)
	}
	do("10.0.0.1", write)
	do("10.0.0.1", func(w http.ResponseWriter, _ *http.Request, n *Note) { n.What("List", "p", "") }) // reading is not kept
	do("10.0.0.1", func(w http.ResponseWriter, _ *http.Request, n *Note) { n.What("Enrol", "p", ""); n.Keep() })
	for i := range 3 * maxRefusals {
		do(fmt.Sprint("10.0.1.", i/2), func(w http.ResponseWriter, _ *http.Request, n *Note) { w.WriteHeader(401) })
	}
	if len(b.entries) != 2 {
		t.Errorf("refusals were written down one by one: %+v", b.entries)
	}
	l.Flush(t.Context())
	same := Entry{Project: "p", Client: "10.0.0.1", Count: 1}
	scan, enrol := same, same
	scan.ID, scan.User, scan.AK, scan.Operation, scan.EnterpriseProject, scan.Objects, scan.Status = 1, "eve", "AK", "Scan", "0", []string{"i1"}, 202
	enrol.Operation, enrol.Status = "Enrol", 200
	want := []Entry{scan, enrol}
	for i := range maxRefusals {
		want = append(want, Entry{Client: fmt.Sprint("10.0.1.", i), Status: 401, Refused: true, Count: 2})
	}
	want = append(want, Entry{Client: others, Status: 401, Refused: true, Count: maxRefusals})
	if d := cmp.Diff(want, b.entries, cmpopts.IgnoreFields(Entry{}, "At", "RequestID")); d != "" {
		t.Error(d)
	}
	if during != 0 {
		t.Errorf("the row had the status %d before the request was answered", during)
	}
	b.broken = true
	if code := do("10.0.0.1", write); code != 500 {
		t.Errorf("a write without a row: %d", code)
	}
}
