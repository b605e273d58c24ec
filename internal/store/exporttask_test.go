package store

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
)

// addExport accepts a task for the world's project.
func (w *world) addExport(tenants ...string) string {
	w.t.Helper()
	w.add(time.Millisecond) // the oldest is first
	id, err := w.AddExport(w.t.Context(), Export{
		Tenants: append([]string{w.project()}, tenants...), Query: ReportQuery{Kind: ReportApps, Images: ReportImages{ImageFilter: ImageFilter{Name: "w\x00"}}},
		Format: "csv", MaxRecords: 10, RecordNum: 3, CreatedBy: w.first.Key.AK,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// leaseExport is the id of the task that is given out, and the task.
func (w *world) leaseExport() (string, *Export) {
	w.t.Helper()
	e, err := w.LeaseExport(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if e == nil {
		return "", nil
	}
	return e.ID, e
}

// finishExport writes a file of some pieces.
func (w *world) finishExport(e *Export, pieces int) {
	w.t.Helper()
	for n := range pieces {
		if err := w.PutExportChunk(w.t.Context(), e, int64(n), []byte{byte(n)}); err != nil {
			w.t.Fatal(err)
		}
	}
	e.State, e.FileName, e.Size, e.Digest = ExportSuccess, "a.zip", int64(pieces), "d"
	if err := w.EndExport(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
}

func TestExportTask(t *testing.T) { onEngines(t, testExportTask) }

func testExportTask(t *testing.T) {
	w := newWorld(t)
	mine := []string{w.project()}
	id := w.addExport()
	select {
	case <-w.ExportAdded():
	default:
		t.Error("nobody is told of a new task")
	}
	got, err := w.Export(t.Context(), mine, id)
	if err != nil {
		t.Fatal(err)
	}
	want := Export{
		ID: id, Name: got.Name, Tenants: mine, Query: ReportQuery{Kind: ReportApps, Images: ReportImages{ImageFilter: ImageFilter{Name: "w\x00"}}},
		Format: "csv", MaxRecords: 10, RecordNum: 3, CreatedBy: w.first.Key.AK, CreatedAt: w.ms(), State: ExportWaiting,
	}
	if d := cmp.Diff(want, got); d != "" || len(got.Name) > 128 {
		t.Errorf("%q %s", got.Name, d)
	}

	leased, e := w.leaseExport()
	if other, _ := w.leaseExport(); leased != id || other != "" {
		t.Fatalf("leased %q, then %q", leased, other)
	}
	if _, err := w.ExportFile(t.Context(), mine, e.FileID); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a file that is not whole: %v", err)
	}
	w.finishExport(e, 3)
	file, err := w.ExportFile(t.Context(), mine, e.FileID)
	if err != nil || file.ID != id || file.Size != 3 || file.EndedAt != w.ms() || file.State != ExportSuccess {
		t.Errorf("file %+v, %v", file, err)
	}
	if body, err := w.ExportChunk(t.Context(), e.FileID, 2); err != nil || !bytes.Equal(body, []byte{2}) {
		t.Errorf("piece 2: %v, %v", body, err)
	}
	if err := w.EndExport(t.Context(), e); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("ended twice: %v", err)
	}

	// It goes with its time, file and row.
	w.add(ExportKeep)
	if _, err := w.ExportFile(t.Context(), mine, e.FileID); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a file that has expired: %v", err)
	}
	if err := w.sweepExports(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Export(t.Context(), mine, id); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a task that has expired: %v", err)
	}
	if _, err := w.ExportChunk(t.Context(), e.FileID, 0); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a piece of it: %v", err)
	}
	w.noExports()
}

// noExports fails if anything is left of exports.
func (w *world) noExports() {
	w.t.Helper()
	for _, table := range []string{"export_task", "export_chunk", "export_drop"} {
		if n := w.rowNum(table); n != 0 {
			w.t.Errorf("%d rows are left in %s", n, table)
		}
	}
}

func TestExportIsMadeAnew(t *testing.T) { onEngines(t, testExportIsMadeAnew) }

// A server is killed while it makes a file: the next makes it from the start, and
// what the first still writes, if it lives, goes nowhere.
func testExportIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	id := w.addExport()
	_, first := w.leaseExport()
	if err := w.PutExportChunk(t.Context(), first, 0, []byte("half")); err != nil {
		t.Fatal(err)
	}
	w.add(ExportLease / 2)
	if err := w.KeepExport(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	w.add(ExportLease)
	w.reopen()
	if again, _ := w.leaseExport(); again != "" {
		t.Fatal("leased although the lease stands")
	}
	w.add(time.Millisecond)
	again, second := w.leaseExport()
	if again != id || second.FileID == first.FileID {
		t.Fatalf("leased %q with file %q", again, second.FileID)
	}
	for what, err := range map[string]error{
		"keep": w.KeepExport(t.Context(), first), "write": w.PutExportChunk(t.Context(), first, 1, []byte("late")),
		"release": w.ReleaseExport(t.Context(), first), "end": w.EndExport(t.Context(), first),
	} {
		if fault.CodeOf(err) != fault.Conflict {
			t.Errorf("%s by a server that has lost the lease: %v", what, err)
		}
	}
	// A server that starts has SQLite for itself; beside others it waits.
	if err := w.TakeBackExports(t.Context()); err != nil {
		t.Fatal(err)
	}
	alone, taken := w.engine.lead == "", second
	if id, e := w.leaseExport(); (id != "") != alone {
		t.Errorf("leased %q after a start", id)
	} else if alone {
		taken = e
	}
	second = taken
	// One that ends in order gives it back at once.
	if err := w.ReleaseExport(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	_, third := w.leaseExport()
	w.finishExport(third, 2*exportPieces)
	if err := w.sweepExports(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.rowNum("export_chunk"); n != 2*exportPieces {
		t.Errorf("%d pieces are kept of %d", n, 2*exportPieces)
	}
	w.add(ExportKeep)
	if err := w.sweepExports(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.noExports()
}

func TestExportIsLeasedOnce(t *testing.T) { onEngines(t, testExportIsLeasedOnce) }

// Two servers on one database never make the same file.
func testExportIsLeasedOnce(t *testing.T) {
	w := newWorld(t)
	const tasks = 12
	for range tasks {
		w.addExport()
	}
	first, second := w.Store, (*Store)(nil)
	w.open()
	second, w.Store = w.Store, first
	t.Cleanup(func() { _ = second.Close() })
	ids := make(chan string, 2*tasks)
	var servers sync.WaitGroup
	for _, s := range []*Store{first, second} {
		servers.Go(func() {
			for {
				e, err := s.LeaseExport(t.Context())
				if err != nil {
					t.Error(err)
				}
				if err != nil || e == nil {
					return
				}
				ids <- e.ID
			}
		})
	}
	servers.Wait()
	close(ids)
	leased := map[string]int{}
	for id := range ids {
		leased[id]++
	}
	for id, n := range leased {
		if n != 1 {
			t.Errorf("%s is leased %d times", id, n)
		}
	}
	if len(leased) != tasks {
		t.Errorf("%d of %d are leased", len(leased), tasks)
	}
}

func TestExportThatKills(t *testing.T) { onEngines(t, testExportThatKills) }

// A file that takes its server down with it is given up, and the next is made.
func testExportThatKills(t *testing.T) {
	w := newWorld(t)
	bad, good := w.addExport(), w.addExport()
	for n := range MaxExportAttempts {
		if id, _ := w.leaseExport(); id != bad {
			t.Fatalf("attempt %d: leased %q", n, id)
		}
		w.add(ExportLease + time.Millisecond)
	}
	if id, _ := w.leaseExport(); id != good {
		t.Errorf("leased %q", id)
	}
	e, err := w.Export(t.Context(), []string{w.project()}, bad)
	if err != nil || e.State != ExportFailure || e.Reason == "" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestExportsAreBounded(t *testing.T) { onEngines(t, testExportsAreBounded) }

func testExportsAreBounded(t *testing.T) {
	w := newWorld(t)
	first := w.addExport()
	_, e := w.leaseExport()
	w.finishExport(e, 1)
	for range maxExports - 1 {
		w.addExport()
		_, e := w.leaseExport()
		w.finishExport(e, 1)
	}
	if _, err := w.Export(t.Context(), []string{w.project()}, first); err != nil {
		t.Errorf("the first of %d: %v", maxExports, err)
	}
	w.addExport()
	_, e = w.leaseExport()
	w.finishExport(e, 1)
	for range maxExportsWaiting {
		w.addExport()
	}
	if _, err := w.Export(t.Context(), []string{w.project()}, first); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the oldest is kept: %v", err)
	}
	if _, err := w.AddExport(t.Context(), Export{Tenants: []string{w.project()}}); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("one more than may wait: %v", err)
	}
}

func TestExportsOfTenants(t *testing.T) { onEngines(t, testExportsOfTenants) }

// An export about several tenants is for those who may see them all.
func testExportsOfTenants(t *testing.T) {
	w := newWorld(t)
	id := w.addExport("other")
	_, e := w.leaseExport()
	w.finishExport(e, 1)
	for _, tc := range []struct {
		tenants []string
		want    fault.Code
	}{
		{[]string{"other", w.project(), "third"}, fault.Internal},
		{[]string{w.project()}, fault.NotFound}, {[]string{"other"}, fault.NotFound}, {nil, fault.NotFound},
	} {
		_, task := w.Export(t.Context(), tc.tenants, id)
		_, file := w.ExportFile(t.Context(), tc.tenants, e.FileID)
		for _, err := range []error{task, file} {
			if fault.CodeOf(err) != tc.want || (err == nil) != (tc.want == fault.Internal) {
				t.Errorf("%s: %v", fmt.Sprint(tc.tenants), err)
			}
		}
	}
}
