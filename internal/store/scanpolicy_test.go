package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
)

const day = 24 * time.Hour

// weekly is a policy that is on.
func weekly() ScanPolicy {
	return ScanPolicy{Enabled: true, Cycle: 7, Scope: scopeAll, ChangedBy: "AK"}
}

func (w *world) setPolicy(p ScanPolicy) {
	w.t.Helper()
	if err := w.SetScanPolicy(w.t.Context(), w.project(), p); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) policy() ScanPolicy {
	w.t.Helper()
	p, err := w.ScanPolicy(w.t.Context(), w.project())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// fires is how many tasks the policies make now.
func (w *world) fires() int {
	w.t.Helper()
	n, err := w.FirePolicies(w.t.Context(), w.ms())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) tasks(f TaskFilter) []Task {
	w.t.Helper()
	tasks, _, err := w.Tasks(w.t.Context(), w.project(), f, Page{Limit: 200})
	if err != nil {
		w.t.Fatal(err)
	}
	return tasks
}

// another is a second server on the same database.
func (w *world) another() *world {
	w.t.Helper()
	v := *w
	v.open()
	w.t.Cleanup(func() { _ = v.Store.Close() })
	return &v
}

func TestScanPolicy(t *testing.T) { onEngines(t, testScanPolicy) }

func testScanPolicy(t *testing.T) {
	w := newWorld(t)
	if d := cmp.Diff(ScanPolicy{Cycle: 7, Scope: scopeAll}, w.policy()); d != "" {
		t.Errorf("before anything was set: %s", d)
	}
	want := ScanPolicy{Enabled: true, Cycle: 3, Scope: 0xf0000, RateLimit: 60, TimeScope: 1, ChangedBy: "AK"}
	w.setPolicy(want)
	got := w.policy()
	want.ID, want.NextAt, want.ChangedAt = got.ID, w.ms(), w.ms()
	if d := cmp.Diff(want, got); d != "" || got.ID == "" {
		t.Error(d)
	}
	w.setPolicy(weekly())
	if again := w.policy(); again.ID != got.ID || again.Cycle != 7 || again.Scope != scopeAll || again.TimeScope != 0 {
		t.Errorf("replaced: %+v", again)
	}
	if err := w.SetScanPolicy(t.Context(), "another project", weekly()); err == nil {
		t.Error("a project that is not there has a policy")
	}
	for name, change := range map[string]func(*ScanPolicy){
		"cycle":      func(p *ScanPolicy) { p.Cycle = 5 },
		"time scope": func(p *ScanPolicy) { p.TimeScope = 2 },
		"rate":       func(p *ScanPolicy) { p.RateLimit = 1001 },
		"no rate":    func(p *ScanPolicy) { p.RateLimit = -1 },
		"scope":      func(p *ScanPolicy) { p.Scope = -1 },
	} {
		p := weekly()
		change(&p)
		if err := w.SetScanPolicy(t.Context(), w.project(), p); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPolicyFires(t *testing.T) { onEngines(t, testPolicyFires) }

func testPolicyFires(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")), state(2, ref("db", "1")))
	if w.fires() != 0 {
		t.Fatal("a policy that nobody has set fires")
	}
	p := weekly()
	p.RateLimit = 1000
	w.setPolicy(p)
	changed := w.Changed(k.AgentID)
	begin := w.ms()
	if w.fires() != 1 || w.fires() != 0 {
		t.Fatal("it does not fire once when it is turned on")
	}
	select {
	case <-changed:
	default:
		t.Error("the agent was not woken")
	}
	got := w.tasks(TaskFilter{TaskType: TaskCycle})
	if len(got) != 1 || got[0].PolicyID != w.policy().ID || got[0].TotalNum != 2 || !got[0].All || got[0].RateLimit != 1000 || got[0].Scope != scopeAll {
		t.Errorf("%+v", got)
	}
	if next := w.policy().NextAt; next != begin+7*day.Milliseconds() {
		t.Errorf("next in %v", time.Duration(next-begin)*time.Millisecond)
	}
	w.work(k, 1, 2)
	w.add(time.Minute)
	w.work(k, 1, 2)

	// What a change makes of the plan: one cycle after the last slot, and at
	// once if that is past.
	w.add(4*day - time.Minute)
	off := weekly()
	off.Enabled = false
	w.setPolicy(off)
	if p := w.policy(); p.NextAt != 0 || w.fires() != 0 {
		t.Errorf("turned off: %+v", p)
	}
	w.setPolicy(weekly())
	if w.policy().NextAt != begin+7*day.Milliseconds() || w.fires() != 0 {
		t.Error("off and on again brings a scan more")
	}
	long := weekly()
	long.Cycle = 14
	w.setPolicy(long)
	if w.policy().NextAt != begin+14*day.Milliseconds() {
		t.Error("a longer cycle does not count from the last scan")
	}
	short := weekly()
	short.Cycle = 3
	w.setPolicy(short)
	if w.policy().NextAt != w.ms() || w.fires() != 1 {
		t.Error("a shorter cycle that is over does not fire at once")
	}
	w.work(k, 1, 2)

	// A long time without a server: one scan, and the old rhythm.
	from := w.policy().NextAt
	w.add(10*3*day + time.Hour)
	w.reopen()
	w.sync(k, 0, nil, nil)
	if w.fires() != 1 || w.fires() != 0 {
		t.Error("missed cycles are made up for")
	}
	if next := w.policy().NextAt; next <= w.ms() || (next-from)%(3*day.Milliseconds()) != 0 {
		t.Errorf("next at %v", time.UnixMilli(next))
	}

	// The next comes due while that still runs: its images are left out, and
	// with none left there is no task.
	w.add(3 * day)
	w.sync(k, 0, nil, nil)
	before := len(w.tasks(TaskFilter{}))
	if w.fires() != 0 || len(w.tasks(TaskFilter{})) != before || w.policy().NextAt <= w.ms() {
		t.Error("images that are being scanned are scanned once more")
	}
}

func TestPolicyTimeScope(t *testing.T) { onEngines(t, testPolicyTimeScope) }

func testPolicyTimeScope(t *testing.T) {
	w := newWorld(t)
	old, young := state(1, ref("old", "1")), state(2, ref("young", "1"))
	old.CreatedMS, young.CreatedMS = w.clk.t.Add(-3*day).UnixMilli()-1, w.clk.t.Add(-3*day).UnixMilli()
	w.agent("a", old, young)
	p := weekly()
	p.TimeScope = 3
	w.setPolicy(p)
	if w.fires() != 1 {
		t.Fatal("no scan")
	}
	if got := w.images(); got["old:1"].Status != StatusUnscan || got["young:1"].Status != StatusWaiting {
		t.Errorf("old %s, young %s", got["old:1"].Status, got["young:1"].Status)
	}
}

// TestPolicyFiresOnce has many servers look at the same moment.
func TestPolicyFiresOnce(t *testing.T) { onEngines(t, testPolicyFiresOnce) }

func testPolicyFiresOnce(t *testing.T) {
	w := newWorld(t)
	w.agent("a", state(1, ref("web", "1")))
	w.setPolicy(weekly())
	servers := []*world{w, w.another(), w.another()}
	for round := range 3 {
		fired := make(chan int, 4*len(servers))
		var all sync.WaitGroup
		for _, s := range servers {
			for range 4 {
				all.Go(func() {
					n, err := s.FirePolicies(t.Context(), w.ms())
					if err != nil {
						t.Error(err)
					}
					fired <- n
				})
			}
		}
		all.Wait()
		close(fired)
		sum := 0
		for n := range fired {
			sum += n
		}
		if tasks := w.tasks(TaskFilter{TaskType: TaskCycle}); sum != 1 || len(tasks) != round+1 {
			t.Fatalf("round %d: fired %d times, %d tasks", round, sum, len(tasks))
		}
		if err := w.StopTask(t.Context(), w.project(), w.tasks(TaskFilter{})[0].ID, Actor{}); err != nil {
			t.Fatal(err)
		}
		w.add(7 * day)
	}
}

// TestLateFleet has hosts that were away while a task with a rate limit went on:
// what is overdue does not begin all at once.
func TestLateFleet(t *testing.T) { onEngines(t, testLateFleet) }

func testLateFleet(t *testing.T) {
	const rate, images = 6, 20
	w := newWorld(t)
	var states []fleet.ImageState
	for n := range images {
		states = append(states, state(n+1, ref(fmt.Sprintf("img%02d", n), "1")))
	}
	type host struct {
		*world // its server
		key    auth.Key
		holds  []string
	}
	hosts := []*host{{world: w}, {world: w.another()}}
	for n, h := range hosts {
		h.key = h.agent(fmt.Sprint("host", n), states...)
	}
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, RateLimit: rate}); err != nil {
		t.Fatal(err)
	}
	w.add(100 * time.Hour) // all of it is overdue
	var starts []int64
	for len(starts) < images {
		for _, h := range hosts {
			for _, j := range h.sync(h.key, 5, h.holds, nil).Jobs {
				starts = append(starts, w.ms())
				h.holds = append(h.holds, j.ID)
			}
		}
		if len(starts) == 0 {
			t.Fatal("nothing begins")
		}
		w.add(30 * time.Second)
	}
	for i := rate; i < len(starts); i++ {
		if gap := time.Duration(starts[i]-starts[i-rate]) * time.Millisecond; gap < time.Hour {
			t.Errorf("scans %d to %d begin within %v: more than %d an hour", i-rate, i, gap, rate)
		}
	}
	if took := time.Duration(starts[images-1]-starts[0]) * time.Millisecond; took > (images/rate+1)*time.Hour {
		t.Errorf("%d scans at %d an hour took %v", images, rate, took)
	}
}

// TestAttemptsCountAsStarts gives one image out again and again.
func TestAttemptsCountAsStarts(t *testing.T) { onEngines(t, testAttemptsCountAsStarts) }

func testAttemptsCountAsStarts(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("a", "1")))
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, RateLimit: 2}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 1, 0} { // each sync frees the lease of the one before
		w.add(time.Second)
		if got := len(w.sync(k, 1, nil, nil).Jobs); got != want {
			t.Errorf("attempt %d: %d jobs, want %d", i, got, want)
		}
	}
	w.add(time.Hour)
	if got := len(w.sync(k, 1, nil, nil).Jobs); got != 1 {
		t.Errorf("an hour later: %d jobs", got)
	}
}

func TestTaskEnds(t *testing.T) { onEngines(t, testTaskEnds) }

func testTaskEnds(t *testing.T) {
	for _, tc := range []struct {
		name     string
		failures []string // of the images, "" for success
		want     int64
		reason   string
	}{
		{"all", []string{"", ""}, 100, ""},
		{"some", []string{"", fleet.FailureTooLarge}, 100, ""},
		{"no time", []string{fleet.FailureTimeout, fleet.FailureTimeout}, -2, "every image failed: response_timed_out (2)"},
		{"no good", []string{fleet.FailureTooLarge, fleet.FailureUnknown, fleet.FailureTooLarge}, -3, "every image failed: huge_image (2), unknown_error (1)"},
		{"both", []string{fleet.FailureTimeout, fleet.FailureTooLarge, fleet.FailureUnknown}, -3, "every image failed: huge_image (1), response_timed_out (1) and others"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			var states []fleet.ImageState
			for n := range tc.failures {
				states = append(states, state(n+1, ref(fmt.Sprint("img", n), "1")))
			}
			k := w.agent("a", states...)
			if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
				t.Fatal(err)
			}
			for _, j := range w.sync(k, maxLease, nil, nil).Jobs {
				for n, failure := range tc.failures {
					switch {
					case configDigest(n+1) != j.ConfigDigest:
					case failure == "":
						w.finish(k, j, n+1)
					default:
						if err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Failure: failure}, w.ms()); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			got := w.tasks(TaskFilter{Running: new(false)})
			if len(got) != 1 || got[0].Status != tc.want || got[0].FailedReason != tc.reason || len(got[0].FailedReason) > 128 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestRemainMin(t *testing.T) { onEngines(t, testRemainMin) }

func testRemainMin(t *testing.T) {
	w := newWorld(t)
	var states []fleet.ImageState
	var numbers []int
	for n := range 100 {
		states, numbers = append(states, state(n+1, ref(fmt.Sprintf("img%03d", n), "1"))), append(numbers, n+1)
	}
	k := w.agent("a", states...)
	w.agent("away", append(states, state(101, ref("img100", "1")))...)
	w.add(OnlineTime + time.Second)
	w.sync(k, 0, nil, nil)
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	check := func(when string, want int64, reason string) {
		t.Helper()
		if got := w.tasks(TaskFilter{})[0]; got.RemainMin != want || got.FailedReason != reason {
			t.Errorf("%s: %d min, %q; want %d, %q", when, got.RemainMin, got.FailedReason, want, reason)
		}
	}
	const waits = "waiting for 1 host that is offline"
	check("at the start", 17, waits) // a guess: 100 images, 10 s each
	finish := func(n int, each time.Duration) {
		for range n {
			jobs := w.sync(k, 1, nil, nil).Jobs
			w.add(each)
			w.finish(k, jobs[0], numbers...)
		}
	}
	finish(10, time.Minute)
	check("slow", 90, waits)
	finish(60, 2*time.Second)
	check("quick of late", 1, waits) // not the 16 of an average since the beginning
	w.add(30 * time.Minute)
	w.sync(k, 0, nil, nil)
	check("nothing ends", 20, waits)
	finish(30, 2*time.Second)
	got := w.tasks(TaskFilter{})[0]
	left := time.UnixMilli(got.BeginTime).Add(DefaultWaitTimeout).Sub(w.clk.t)
	check("only a host that is away is left", int64((left+time.Minute-1)/time.Minute), waits)
}

// TestLongTaskOutlivesARestart has an agent that is away for a moment when jobs
// have waited for longer than the timeout.
func TestLongTaskOutlivesARestart(t *testing.T) { onEngines(t, testLongTaskOutlivesARestart) }

func testLongTaskOutlivesARestart(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")))
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	w.add(DefaultWaitTimeout)
	w.sync(k, 0, nil, nil)
	w.add(time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	if got := w.images()["web:1"].Status; got != StatusWaiting {
		t.Errorf("status %s", got)
	}
	w.add(DefaultWaitTimeout)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	if got := w.images()["web:1"].Status; got != StatusFailed {
		t.Errorf("a day later: status %s", got)
	}
}

func TestTaskHistory(t *testing.T) { onEngines(t, testTaskHistory) }

func testTaskHistory(t *testing.T) {
	w := newWorld(t)
	insert := `INSERT INTO scan_task (id, project_id, name, task_type, state, scan_scope, rate_limit, is_all, total_num, success_num, failed_num, risky_num, failed_reason, created_at, ended_at) VALUES `
	var rows []string
	for n := range maxTasks + 25 {
		rows = append(rows, fmt.Sprintf("('t%04d', '%s', 'n', 'manual', '%s', 0, 0, 0, 1, 0, 0, 0, '', %d, 0)", n, w.project(), []string{taskStopped, taskRunning}[boolInt(n == 3)], n))
	}
	if _, err := w.write.Exec(insert + strings.Join(rows, ",")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one project each time, and then from the beginning
		if err := w.Sweep(t.Context(), w.ms()); err != nil {
			t.Fatal(err)
		}
	}
	var n int64
	if err := w.read.QueryRow("SELECT COUNT(*) FROM scan_task").Scan(&n); err != nil || n != maxTasks+1 {
		t.Errorf("%d tasks are kept, %v", n, err)
	}
	if _, total, err := w.Tasks(t.Context(), w.project(), TaskFilter{}, Page{Limit: 10}); err != nil || total != maxTasks {
		t.Errorf("%d tasks are counted, %v", total, err)
	}
	if got := w.tasks(TaskFilter{ID: "t0003"}); len(got) != 1 {
		t.Error("a task that runs was forgotten")
	}
}
