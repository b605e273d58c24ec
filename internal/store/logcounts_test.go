package store

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestLogCounts(t *testing.T) { onEngines(t, testLogCounts) }

// testLogCounts compares what was counted in parts with all entries, while the log
// grows and loses its oldest.
func testLogCounts(t *testing.T) {
	w := newWorld(t)
	rnd := rand.New(rand.NewPCG(1, 2026))
	var all []LogEntry
	first := 0
	filters := []LogFilter{{}, {Type: LogImage}, {Type: LogScan, Resource: "1"}, {Resource: "7"}, {User: "u1", IP: "192.0.2.1"}, {From: new(w.ms())}, {Type: LogImage, To: new(w.ms())}}
	for step := range 40 {
		var more []LogEntry
		for range rnd.IntN(6) {
			n := rnd.IntN(3)
			more = append(more, LogEntry{Type: []string{LogImage, LogScan, LogImage}[n], Name: "n", Resource: fmt.Sprint("web:", rnd.IntN(20)), By: Actor{Name: fmt.Sprint("u", n), IP: fmt.Sprint("192.0.2.", n)}})
		}
		err := w.inTx(t.Context(), func(tx *sql.Tx) error {
			if err := putLog(t.Context(), tx, w.project(), w.ms(), more...); err != nil || step%10 != 9 {
				return err
			}
			first = min(first+7, len(all))
			_, err := tx.ExecContext(t.Context(), sqlForgetLog, w.project(), first)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, more...)
		for _, f := range filters {
			if rnd.IntN(3) == 0 {
				continue // several steps at once
			}
			var want []string // the newest first
			for _, e := range slices.Backward(all[first:]) {
				if (f.Type == "" || e.Type == f.Type) && strings.Contains(e.Resource, f.Resource) && (f.User == "" || e.By.Name == f.User) && (f.IP == "" || e.By.IP == f.IP) {
					want = append(want, e.Resource)
				}
			}
			p := Page{Offset: rnd.Int64N(int64(len(want)) + 3), Limit: 5}
			page, n := PageOf(want, p)
			rows, total, err := w.ImageLog(t.Context(), w.project(), f, p)
			var got []string
			for _, r := range rows {
				got = append(got, r.Resource)
			}
			if err != nil || total != n || !slices.Equal(got, page) {
				t.Errorf("step %d: %+v selects %v of %d, %v; want %v of %d", step, f, got, total, err, page, n)
			}
		}
	}
}
