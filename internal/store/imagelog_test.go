package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

// imageLog is the log from its beginning, without ids.
func (w *world) imageLog(f LogFilter) []LogEntry {
	w.t.Helper()
	rows, total, err := w.ImageLog(w.t.Context(), w.project(), f, Page{Limit: keepLog})
	if err != nil || total != int64(len(rows)) {
		w.t.Fatalf("%d entries of %d, %v", len(rows), total, err)
	}
	slices.Reverse(rows)
	for i := range rows {
		rows[i].ID, rows[i].N = "", 0
	}
	return rows
}

func TestImageLog(t *testing.T) { onEngines(t, testImageLog) }

func testImageLog(t *testing.T) {
	w := newWorld(t)
	start := w.ms()
	// The address of a host is known from its first report on, not when it is
	// enrolled.
	a := w.agent("a", state(2, ref("web", "2")), state(1, ref("web", "1"), ref("web", "one")))
	agent, user := Actor{"agent a", "10.0.0.7"}, Actor{"AK1", "192.0.2.1"}
	appeared := func(name string) LogEntry {
		return LogEntry{At: start, By: agent, Type: LogImage, Name: LogAppeared, ResourceType: LogOfImage, Resource: name, Content: "Image " + name + " appeared on host a (docker)."}
	}
	want := []LogEntry{appeared("web:1"), appeared("web:2"), appeared("web:one")}
	check := func(step string, more ...LogEntry) {
		t.Helper()
		want = append(want, more...)
		if d := cmp.Diff(want, w.imageLog(LogFilter{})); d != "" {
			t.Fatalf("%s: %s", step, d)
		}
	}
	check("two images came")
	w.sync(a, 0, nil, []fleet.ImageState{state(1, ref("web", "1"), ref("web", "one")), state(2, ref("web", "2"))})
	check("the same images again")

	w.add(time.Minute)
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, List: []ScanImage{{Name: "web", Version: "2"}}, By: user}); err != nil {
		t.Fatal(err)
	}
	name := w.task().Name
	check("asked for one", LogEntry{At: w.ms(), By: user, Type: LogScan, Name: LogRequested, ResourceType: LogOfImage, Resource: "web:2",
		Content: "A manual scan of web:2 was requested: task " + name + "."})
	w.work(a, 2)
	check("scanned", LogEntry{At: w.ms(), By: agent, Type: LogScan, Name: LogSucceeded, ResourceType: LogOfImage, Resource: "web:2",
		Content: "The scan of web:2 succeeded; vulnerabilities: 2."})

	w.add(time.Minute)
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, All: true}); err != nil {
		t.Fatal(err)
	}
	task := w.task()
	check("asked for all", LogEntry{At: w.ms(), By: Actor{Name: serverName}, Type: LogScan, Name: LogRequested, ResourceType: LogOfTask, Resource: task.Name,
		Content: "A manual scan of 3 images was requested: task " + task.Name + "."})
	jobs := w.sync(a, 1, nil, nil).Jobs
	if err := w.Finish(t.Context(), a, jobs[0].ID, fleet.FinishRequest{Failure: fleet.FailureTooLarge, Message: "password=hunter2"}, w.ms()); err != nil {
		t.Fatal(err)
	}
	failed := "web:1"
	if jobs[0].ConfigDigest == configDigest(2) {
		failed = "web:2"
	}
	check("failed", LogEntry{At: w.ms(), By: agent, Type: LogScan, Name: LogFailed, ResourceType: LogOfImage, Resource: failed,
		Content: "The scan of " + failed + " failed: " + fleet.FailureTooLarge + "."})
	if err := w.StopTask(t.Context(), w.project(), task.ID, user); err != nil {
		t.Fatal(err)
	}
	check("stopped", LogEntry{At: w.ms(), By: user, Type: LogScan, Name: LogStopped, ResourceType: LogOfTask, Resource: task.Name,
		Content: "Scan task " + task.Name + " was stopped; scans that had not ended: 1."})

	w.add(time.Minute)
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, List: []ScanImage{{Name: "web", Version: "2"}}, By: user}); err != nil {
		t.Fatal(err)
	}
	w.sync(a, 0, nil, []fleet.ImageState{state(1, ref("web", "1"), ref("web", "one"))})
	check("removed while it waits",
		LogEntry{At: w.ms(), By: user, Type: LogScan, Name: LogRequested, ResourceType: LogOfImage, Resource: "web:2", Content: "A manual scan of web:2 was requested: task " + w.task().Name + "."},
		LogEntry{At: w.ms(), By: Actor{Name: serverName}, Type: LogScan, Name: LogFailed, ResourceType: LogOfImage, Resource: "web:2", Content: "The scan of web:2 failed: " + fleet.FailureImageGone + "."},
		LogEntry{At: w.ms(), By: agent, Type: LogImage, Name: LogLeft, ResourceType: LogOfImage, Resource: "web:2", Content: "Image web:2 left host a (docker)."})

	w.add(time.Minute)
	var names []image.Ref
	for n := range 30 {
		names = append(names, ref("many", fmt.Sprintf("%02d", n)))
	}
	w.agent("b", state(3, names...))
	check("many came", LogEntry{At: w.ms(), By: Actor{"agent b", "10.0.0.7"}, Type: LogImage, Name: LogAppeared, ResourceType: LogOfHost, Resource: "b",
		Content: "30 images appeared on host b: many:00, many:01, many:02, many:03, many:04 and 25 more."})

	// Each filter alone and in pairs, against all entries.
	first, later := want[0].At, want[len(want)-1].At
	filters := []struct {
		set  func(f *LogFilter)
		keep func(e LogEntry) bool
	}{
		{func(f *LogFilter) { f.Type = LogScan }, func(e LogEntry) bool { return e.Type == LogScan }},
		{func(f *LogFilter) { f.Name = LogFailed }, func(e LogEntry) bool { return e.Name == LogFailed }},
		{func(f *LogFilter) { f.ResourceType = LogOfTask }, func(e LogEntry) bool { return e.ResourceType == LogOfTask }},
		{func(f *LogFilter) { f.Resource = "eb:2" }, func(e LogEntry) bool { return strings.Contains(e.Resource, "eb:2") }},
		{func(f *LogFilter) { f.Resource = "WEB" }, func(LogEntry) bool { return false }},
		{func(f *LogFilter) { f.IP = "192.0.2.1" }, func(e LogEntry) bool { return e.By.IP == "192.0.2.1" }},
		{func(f *LogFilter) { f.User = "agent a" }, func(e LogEntry) bool { return e.By.Name == "agent a" }},
		{func(f *LogFilter) { f.User = "agent" }, func(LogEntry) bool { return false }},
		{func(f *LogFilter) { f.From = &later }, func(e LogEntry) bool { return e.At >= later }},
		{func(f *LogFilter) { f.To = &first }, func(e LogEntry) bool { return e.At <= first }},
	}
	for i, one := range filters {
		for k, other := range filters[i:] {
			if k == 1 && (i == 3 || i == 6) {
				continue // both set the same member
			}
			var f LogFilter
			one.set(&f)
			other.set(&f)
			kept := slices.DeleteFunc(slices.Clone(want), func(e LogEntry) bool { return !one.keep(e) || !other.keep(e) })
			got := w.imageLog(f)
			if len(kept)+len(got) == 0 {
				continue
			}
			if d := cmp.Diff(kept, got); d != "" {
				t.Errorf("filters %d and %d: %s", i, i+k, d)
			}
		}
	}
	if rows, total, err := w.ImageLog(t.Context(), "nobody", LogFilter{}, Page{Limit: 10}); len(rows) != 0 || total != 0 || err != nil {
		t.Errorf("another project: %v, %d, %v", rows, total, err)
	}
	rows, total, err := w.ImageLog(t.Context(), w.project(), LogFilter{}, Page{Offset: 1, Limit: 2})
	if err != nil || total != int64(len(want)) || len(rows) != 2 || rows[0].N != total-1 || rows[0].ID == rows[1].ID || len(rows[0].ID) != 16 {
		t.Errorf("a page: %+v, %d, %v", rows, total, err)
	}
	if rows, _, err := w.ImageLog(t.Context(), w.project(), LogFilter{}, Page{Offset: 1000, Limit: 2}); len(rows) != 0 || err != nil {
		t.Errorf("past the end: %+v, %v", rows, err)
	}
}

// task is the newest one.
func (w *world) task() Task {
	w.t.Helper()
	rows, _, err := w.Tasks(w.t.Context(), w.project(), TaskFilter{}, Page{Limit: 1000})
	if err != nil || len(rows) == 0 {
		w.t.Fatal(rows, err)
	}
	return rows[0]
}

// TestImageLogIsBounded writes more than is kept.
func TestImageLogIsBounded(t *testing.T) { onEngines(t, testImageLogIsBounded) }

func testImageLogIsBounded(t *testing.T) {
	w := newWorld(t)
	other, err := w.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	entry := LogEntry{Type: LogImage, Name: LogAppeared, ResourceType: LogOfImage, Resource: "\x00\xff"}
	put := func(project string, n int) {
		t.Helper()
		err := w.inTx(context.WithoutCancel(t.Context()), func(tx *sql.Tx) error {
			return putLog(t.Context(), tx, project, w.ms(), slices.Repeat([]LogEntry{entry}, n)...)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(other.ID, 3)
	put(w.project(), keepLog)
	put(w.project(), 7)
	rows, total, err := w.ImageLog(t.Context(), w.project(), LogFilter{}, Page{Offset: keepLog - 1, Limit: 10})
	if err != nil || total != keepLog || len(rows) != 1 || rows[0].N != 8 {
		t.Errorf("%d entries, the oldest %+v, %v", total, rows, err)
	}
	if _, total, err := w.ImageLog(t.Context(), other.ID, LogFilter{}, Page{Limit: 10}); total != 3 || err != nil {
		t.Errorf("the neighbour has %d, %v", total, err)
	}
	started := time.Now()
	if _, _, err := w.ImageLog(t.Context(), w.project(), LogFilter{Resource: "nothing", User: "nobody"}, Page{Limit: 10}); err != nil {
		t.Error(err)
	}
	t.Logf("a filter without a match over %d entries: %v", keepLog, time.Since(started))
}
