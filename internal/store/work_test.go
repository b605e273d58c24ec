package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

func TestScanFromRequestToResult(t *testing.T) { onEngines(t, testScanFromRequestToResult) }

func testScanFromRequestToResult(t *testing.T) {
	w := newWorld(t)
	k := w.agent("host-a", state(1, ref("web", "1"), ref("web", "latest")), state(2, ref("db", "2")))
	if got := w.images()["web:1"].Status; got != StatusUnscan {
		t.Fatalf("status before: %s", got)
	}
	changed := w.Changed(k.AgentID)
	task, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual, Scope: 0x7fffffff})
	if err != nil || task == "" {
		t.Fatalf("scan: task %q, %v", task, err)
	}
	select {
	case <-changed:
	default:
		t.Error("the agent was not woken")
	}
	for name, i := range w.images() {
		if i.Status != StatusWaiting {
			t.Errorf("%s after the request: %s", name, i.Status)
		}
	}
	again, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual})
	if err != nil || again != "" {
		t.Errorf("repeated: task %q, %v; want none", again, err)
	}

	jobs := w.sync(k, 5, nil, nil).Jobs
	if len(jobs) != 2 {
		t.Fatalf("%d jobs for 3 images of 2 contents, want 2", len(jobs))
	}
	if got := w.images()["db:2"].Status; got != StatusScanning {
		t.Errorf("status of a leased image: %s", got)
	}
	w.add(time.Second)
	for _, j := range jobs {
		w.finish(k, j, 1, 2)
	}
	want := map[string]Image{
		"web:1":      {VulNum: 4, ComponentNum: 4, SeverityLevel: "High"},
		"web:latest": {VulNum: 4, ComponentNum: 4, SeverityLevel: "High"},
		"db:2":       {VulNum: 2, ComponentNum: 4, SeverityLevel: "High"},
	}
	got := map[string]Image{}
	for name, i := range w.images() {
		if i.Status != StatusSuccess || i.LatestScanTime != w.ms() || i.HostNum != 1 || i.HostName != "host-a" || i.AgentID != k.AgentID {
			t.Errorf("%s: %+v", name, i)
		}
		got[name] = Image{VulNum: i.VulNum, ComponentNum: i.ComponentNum, SeverityLevel: i.SeverityLevel}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	tasks, total, err := w.Tasks(t.Context(), w.project(), TaskFilter{}, Page{Limit: 10})
	if err != nil || total != 1 {
		t.Fatalf("%d tasks, %v", total, err)
	}
	tasks[0].Name = ""
	wantTask := Task{ID: task, TaskType: TaskManual, State: "finished", Status: 100, BeginTime: w.ms() - 1000, EndTime: w.ms(), Scope: 0x7fffffff, All: true,
		TotalNum: 3, SuccessNum: 3, RiskNum: 3, FailedImages: []FailedImage{}}
	if d := cmp.Diff(wantTask, tasks[0]); d != "" {
		t.Error(d)
	}
}

func TestFinishTwiceCountsOnce(t *testing.T) { onEngines(t, testFinishTwiceCountsOnce) }

func testFinishTwiceCountsOnce(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")))
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	j := w.sync(k, 1, nil, nil).Jobs[0]
	w.finish(k, j, 1)
	w.add(time.Minute)
	w.finish(k, j, 1)
	if err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Failure: fleet.FailureTooLarge}, w.ms()); err != nil {
		t.Fatal(err)
	}
	i := w.images()["web:1"]
	if i.Status != StatusSuccess || i.LatestScanTime != w.ms()-60_000 {
		t.Errorf("the first result does not stand: %+v", i)
	}
	tasks, _, err := w.Tasks(t.Context(), w.project(), TaskFilter{}, Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if tasks[0].SuccessNum != 1 || tasks[0].FailedNum != 0 {
		t.Errorf("counted %d and %d", tasks[0].SuccessNum, tasks[0].FailedNum)
	}
}

func TestFinishRefusals(t *testing.T) { onEngines(t, testFinishRefusals) }

func testFinishRefusals(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")))
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	j := w.sync(k, 1, nil, nil).Jobs[0]
	tooMany := imageReport(1)
	tooMany.DiffIDs = make([]image.Digest, maxAsked+1)
	foreign := imageReport(2)
	layers := imageReport(1)
	layers.DiffIDs = []image.Digest{digest(9)}
	for _, tc := range []struct {
		name string
		job  string
		req  fleet.FinishRequest
		want fault.Code
	}{
		{"unknown job", "nope", fleet.FinishRequest{Image: imageReport(1)}, fault.NotFound},
		{"nothing", j.ID, fleet.FinishRequest{}, fault.Invalid},
		{"another image", j.ID, fleet.FinishRequest{Image: foreign}, fault.Invalid},
		{"other layers", j.ID, fleet.FinishRequest{Image: layers}, fault.Invalid},
		{"too many layers", j.ID, fleet.FinishRequest{Image: tooMany}, fault.TooLarge},
		{"layer report missing", j.ID, fleet.FinishRequest{Image: imageReport(1)}, fault.Conflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := w.Finish(t.Context(), k, tc.job, tc.req, w.ms())
			if err == nil || fault.CodeOf(err) != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if got := w.images()["web:1"].Status; got != StatusScanning {
		t.Errorf("status after refusals: %s", got)
	}
}

func TestFailure(t *testing.T) { onEngines(t, testFailure) }

func testFailure(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")))
	for _, tc := range []struct{ failure, want string }{
		{fleet.FailureTooLarge, fleet.FailureTooLarge},
		{"something new", fleet.FailureUnknown},
	} {
		if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
			t.Fatal(err)
		}
		j := w.sync(k, 1, nil, nil).Jobs[0]
		if err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Failure: tc.failure}, w.ms()); err != nil {
			t.Fatal(err)
		}
		i := w.images()["web:1"]
		if i.Status != StatusFailed || i.FailedDesc != tc.want || i.LatestScanTime != 0 {
			t.Errorf("%s: %+v", tc.failure, i)
		}
		w.add(time.Minute)
	}
	tasks, _, err := w.Tasks(t.Context(), w.project(), TaskFilter{}, Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	want := []FailedImage{{Name: "web", Version: "1", Reason: fleet.FailureUnknown}}
	if d := cmp.Diff(want, tasks[0].FailedImages); d != "" || tasks[0].Status != -3 || tasks[0].FailedNum != 1 {
		t.Errorf("task %+v\n%s", tasks[0], d)
	}
}

func TestLeases(t *testing.T) { onEngines(t, testLeases) }

func testLeases(t *testing.T) {
	w := newWorld(t)
	both := state(1, ref("web", "1"))
	a, b := w.agent("a", both), w.agent("b", both)
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	j := w.sync(a, 1, nil, nil).Jobs[0]
	if got := w.sync(b, 1, nil, nil).Jobs; len(got) != 0 {
		t.Fatal("a leased job was given out twice")
	}
	for range 4 { // renewed for longer than a lease lasts
		w.add(LeaseTime - time.Second)
		if r := w.sync(a, 0, []string{j.ID}, nil); len(r.Stop) != 0 {
			t.Fatal("a renewed lease was lost")
		}
		if got := w.sync(b, 1, nil, nil).Jobs; len(got) != 0 {
			t.Fatal("a renewed job was given out twice")
		}
	}
	w.add(LeaseTime + time.Second)
	got := w.sync(b, 1, nil, nil).Jobs
	if len(got) != 1 || got[0].ID != j.ID {
		t.Fatalf("a lapsed lease is not given out: %v", got)
	}
	if r := w.sync(a, 1, []string{j.ID}, nil); !cmp.Equal(r.Stop, []string{j.ID}) || len(r.Jobs) != 0 {
		t.Errorf("the first agent is not told: %+v", r)
	}
	// The first agent finishes late: harmless, and not the result.
	if err := w.Finish(t.Context(), a, j.ID, fleet.FinishRequest{Failure: fleet.FailureUnknown}, w.ms()); err != nil {
		t.Fatal(err)
	}
	if got := w.images()["web:1"].Status; got != StatusScanning {
		t.Errorf("status %s", got)
	}
	// A restarted agent holds nothing: its job is free at once.
	changed := w.Changed(a.AgentID)
	w.sync(b, 0, nil, nil)
	select {
	case <-changed:
	default:
		t.Error("the other holder was not woken")
	}
	if got := w.sync(a, 1, nil, nil).Jobs; len(got) != 1 {
		t.Error("a forgotten lease is not given out")
	}
}

func TestAttemptsEnd(t *testing.T) { onEngines(t, testAttemptsEnd) }

func testAttemptsEnd(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")))
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	for i := range maxAttempts {
		if got := w.sync(k, 1, nil, nil).Jobs; len(got) != 1 {
			t.Fatalf("attempt %d: %d jobs", i+1, len(got))
		}
	}
	if got := w.sync(k, 1, nil, nil).Jobs; len(got) != 0 {
		t.Error("given out once too often")
	}
	if i := w.images()["web:1"]; i.Status != StatusFailed || i.FailedDesc != fleet.FailureUnknown {
		t.Errorf("%+v", i)
	}
}

func TestRestartKeepsWork(t *testing.T) { onEngines(t, testRestartKeepsWork) }

func testRestartKeepsWork(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")), state(2, ref("db", "1")))
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	jobs := w.sync(k, 1, nil, nil).Jobs
	w.reopen()
	if r := w.sync(k, 0, []string{jobs[0].ID}, nil); len(r.Stop) != 0 {
		t.Error("the lease did not survive")
	}
	w.finish(k, jobs[0], 1, 2)
	w.work(k, 1, 2)
	for name, i := range w.images() {
		if i.Status != StatusSuccess {
			t.Errorf("%s: %s", name, i.Status)
		}
	}
	if created, _, err := w.Bootstrap(t.Context()); err != nil || created {
		t.Errorf("bootstrap again: %v, %v", created, err)
	}
}

func TestStopTask(t *testing.T) { onEngines(t, testStopTask) }

func testStopTask(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")), state(2, ref("db", "1")))
	w.scanAll(k, 1, 2)
	w.add(time.Minute)
	task, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual})
	if err != nil {
		t.Fatal(err)
	}
	j := w.sync(k, 1, nil, nil).Jobs[0]
	changed := w.Changed(k.AgentID)
	if err := w.StopTask(t.Context(), w.project(), task, Actor{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("the agent was not woken")
	}
	if r := w.sync(k, 1, []string{j.ID}, nil); !cmp.Equal(r.Stop, []string{j.ID}) || len(r.Jobs) != 0 {
		t.Errorf("sync after the stop: %+v", r)
	}
	for name, i := range w.images() {
		if i.Status != StatusSuccess || i.VulNum == 0 {
			t.Errorf("%s is not what it was: %+v", name, i)
		}
	}
	tasks, _, err := w.Tasks(t.Context(), w.project(), TaskFilter{ID: task}, Page{Limit: 10})
	if err != nil || len(tasks) != 1 || tasks[0].Status != -1 || tasks[0].EndTime != w.ms() {
		t.Errorf("task %+v, %v", tasks, err)
	}
	for name, id := range map[string]string{"stopped": task, "unknown": "x"} {
		if err := w.StopTask(t.Context(), w.project(), id, Actor{}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.StopTask(t.Context(), "another project", task, Actor{}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("foreign: %v", err)
	}
}

func TestOfflineHosts(t *testing.T) { onEngines(t, testOfflineHosts) }

func testOfflineHosts(t *testing.T) {
	w := newWorld(t)
	w.agent("a", state(1, ref("web", "1")))
	w.agent("b", state(1, ref("web", "1")), state(2, ref("db", "1")))
	w.add(OnlineTime + time.Second)
	task, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual})
	if err != nil {
		t.Fatal(err)
	}
	read := func() Task {
		t.Helper()
		tasks, _, err := w.Tasks(t.Context(), w.project(), TaskFilter{ID: task}, Page{Limit: 10})
		if err != nil || len(tasks) != 1 {
			t.Fatal(tasks, err)
		}
		return tasks[0]
	}
	if got := read().FailedReason; got != "waiting for 2 hosts that are offline" {
		t.Errorf("reason %q", got)
	}
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	if got := w.images()["web:1"].Status; got != StatusWaiting {
		t.Errorf("status %s", got)
	}
	w.add(DefaultWaitTimeout + time.Second)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	if i := w.images()["web:1"]; i.Status != StatusFailed || i.FailedDesc != fleet.FailureNoAgent {
		t.Errorf("after the timeout: %+v", i)
	}
	if got := read(); got.Status != -2 || got.FailedNum != 2 {
		t.Errorf("task %+v", got)
	}
}

// TestOfflineBesideUnreadable has an image that one host, offline, can read and
// another, online, cannot: nobody is left to scan it.
func TestOfflineBesideUnreadable(t *testing.T) { onEngines(t, testOfflineBesideUnreadable) }

func testOfflineBesideUnreadable(t *testing.T) {
	w := newWorld(t)
	bad := state(1, ref("web", "1"))
	bad.NonScanReason = "layer is missing"
	w.agent("a", state(1, ref("web", "1")))
	b := w.agent("b", bad)
	task, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual})
	if err != nil {
		t.Fatal(err)
	}
	w.add(DefaultWaitTimeout + time.Second)
	w.sync(b, 1, nil, nil)
	tasks, _, err := w.Tasks(t.Context(), w.project(), TaskFilter{ID: task}, Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if got := tasks[0].FailedReason; got != "waiting for 1 host that is offline" {
		t.Errorf("reason %q", got)
	}
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	if i := w.images()["web:1"]; i.Status != StatusFailed || i.FailedDesc != fleet.FailureNoAgent {
		t.Errorf("after the timeout: %+v", i)
	}
}

func TestRateLimit(t *testing.T) { onEngines(t, testRateLimit) }

func testRateLimit(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("a", "1")), state(2, ref("b", "1")), state(3, ref("c", "1")))
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, RateLimit: 60}); err != nil {
		t.Fatal(err)
	}
	var held []string
	for i, want := range []int{1, 1, 1, 0} {
		jobs := w.sync(k, 10, held, nil).Jobs
		if len(jobs) != want {
			t.Errorf("minute %d: %d jobs, want %d", i, len(jobs), want)
		}
		for _, j := range jobs {
			held = append(held, j.ID)
		}
		w.add(time.Minute)
	}
}

func TestSyncLimits(t *testing.T) { onEngines(t, testSyncLimits) }

func testSyncLimits(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a")
	many := make([]fleet.ImageState, maxImages+1)
	named := state(1)
	named.Names = make([]image.Ref, maxNames+1)
	full := state(1, ref("a", "1"))
	full.Containers = make([]image.Container, maxContainers+1)
	bad := state(1)
	bad.ConfigDigest = "sha256:zz"
	for _, tc := range []struct {
		name   string
		holds  int
		images []fleet.ImageState
		want   fault.Code
	}{
		{"images", 0, many, fault.TooLarge},
		{"names", 0, []fleet.ImageState{named}, fault.TooLarge},
		{"containers", 0, []fleet.ImageState{full}, fault.TooLarge},
		{"digest", 0, []fleet.ImageState{bad}, fault.Invalid},
		{"holds", maxHolds + 1, nil, fault.TooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := w.Store.Sync(t.Context(), k, w.request(k, 0, make([]string, tc.holds), tc.images), w.ms())
			if fault.CodeOf(err) != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if len(w.images()) != 0 {
		t.Error("a refused list was stored")
	}
	if r := w.sync(k, 0, nil, nil); r.SendImages {
		t.Error("a known list was asked for again")
	}
	ghost := k
	ghost.AgentID = "nobody"
	if _, err := w.Store.Sync(t.Context(), ghost, fleet.SyncRequest{}, w.ms()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("unknown agent: %v", err)
	}
}

func TestLeaseIsBounded(t *testing.T) { onEngines(t, testLeaseIsBounded) }

func testLeaseIsBounded(t *testing.T) {
	w := newWorld(t)
	var images []fleet.ImageState
	for n := range maxLease + 5 {
		images = append(images, state(n+1, ref("img", string(rune('a'+n)))))
	}
	k := w.agent("a", images...)
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	if got := len(w.sync(k, 1_000_000, nil, nil).Jobs); got != maxLease {
		t.Errorf("%d jobs, want %d", got, maxLease)
	}
}
