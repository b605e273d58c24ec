package store

import (
	"testing"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
)

// A host that has lost the image, or whose engine is down, hands the job to
// another that is online, and does not get it again.
func TestJobGoesToAnotherHolder(t *testing.T) { onEngines(t, testJobGoesToAnotherHolder) }

func testJobGoesToAnotherHolder(t *testing.T) {
	for _, failure := range ofThePlace {
		t.Run(failure, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.agent("a", state(1, ref("web", "1"))), w.agent("b", state(1, ref("web", "1")))
			if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
				t.Fatal(err)
			}
			j := w.sync(a, 1, nil, nil).Jobs[0]
			changed := w.Changed(b.AgentID)
			w.fail(a, j, failure)
			select {
			case <-changed:
			default:
				t.Error("the other agent was not woken")
			}
			if got := w.images()["web:1"]; got.Status != StatusWaiting || got.FailedDesc != "" {
				t.Errorf("between two hosts: %s %s", got.Status, got.FailedDesc)
			}
			if jobs := w.sync(a, 1, nil, nil).Jobs; len(jobs) != 0 {
				t.Errorf("the host that failed got it again: %+v", jobs)
			}
			jobs := w.sync(b, 1, nil, nil).Jobs
			if len(jobs) != 1 {
				t.Fatalf("the other host got %+v", jobs)
			}
			w.finish(b, jobs[0], 1)
			if got := w.images()["web:1"]; got.Status != StatusSuccess {
				t.Errorf("in the end: %s %s", got.Status, got.FailedDesc)
			}
			tasks, _, err := w.Tasks(t.Context(), w.project(), TaskFilter{}, Page{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			if tasks[0].SuccessNum != 1 || tasks[0].FailedNum != 0 {
				t.Errorf("counted %d and %d", tasks[0].SuccessNum, tasks[0].FailedNum)
			}
		})
	}
}

func TestJobWithNobodyElse(t *testing.T) { onEngines(t, testJobWithNobodyElse) }

func testJobWithNobodyElse(t *testing.T) {
	for name, tt := range map[string]struct {
		failure string
		others  int
		offline bool
	}{
		"the only holder":         {fleet.FailureImageGone, 0, false},
		"the others are offline":  {fleet.FailureEngineOffline, 2, true},
		"a failure of the image":  {fleet.FailureTooLarge, 2, false},
		"a failure of all places": {fleet.FailureNoRoot, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var agents []auth.Key
			for i := range tt.others {
				agents = append(agents, w.agent(string(rune('b'+i)), state(1, ref("web", "1"))))
			}
			if tt.offline {
				w.add(OnlineTime + time.Second)
			}
			agents = append([]auth.Key{w.agent("a", state(1, ref("web", "1")))}, agents...)
			if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
				t.Fatal(err)
			}
			for i, k := range agents {
				if i > 0 && tt.offline {
					break
				}
				jobs := w.sync(k, 1, nil, nil).Jobs
				if len(jobs) == 0 {
					break
				}
				w.fail(k, jobs[0], tt.failure)
			}
			if got := w.images()["web:1"]; got.Status != StatusFailed || got.FailedDesc != tt.failure {
				t.Errorf("%s %s, want failed %s", got.Status, got.FailedDesc, tt.failure)
			}
		})
	}
}

// Attempts are bounded, however many hosts hold the image.
func TestJobIsPassedOnSoOften(t *testing.T) { onEngines(t, testJobIsPassedOnSoOften) }

func testJobIsPassedOnSoOften(t *testing.T) {
	w := newWorld(t)
	var agents []auth.Key
	for i := range maxAttempts + 2 {
		agents = append(agents, w.agent(string(rune('a'+i)), state(1, ref("web", "1"))))
	}
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	attempts := 0
	for _, k := range agents {
		for _, j := range w.sync(k, 1, nil, nil).Jobs {
			attempts++
			w.fail(k, j, fleet.FailureImageGone)
		}
	}
	if got := w.images()["web:1"]; attempts != maxAttempts || got.Status != StatusFailed || got.FailedDesc != fleet.FailureImageGone {
		t.Errorf("%d attempts, %s %s", attempts, got.Status, got.FailedDesc)
	}
}

// A job whose last taker went away does not wait for those that failed at it.
func TestRefusedJobExpires(t *testing.T) { onEngines(t, testRefusedJobExpires) }

func testRefusedJobExpires(t *testing.T) {
	w := newWorld(t)
	a, _ := w.agent("a", state(1, ref("web", "1"))), w.agent("b", state(1, ref("web", "1")))
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	w.fail(a, w.sync(a, 1, nil, nil).Jobs[0], fleet.FailureImageGone)
	w.add(w.cfg.WaitTimeout + OnlineTime)
	w.sync(a, 1, nil, nil) // online, and no use
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	if got := w.images()["web:1"]; got.Status != StatusFailed || got.FailedDesc != fleet.FailureNoAgent {
		t.Errorf("%s %s", got.Status, got.FailedDesc)
	}
}

func (w *world) fail(k auth.Key, j fleet.Job, failure string) {
	w.t.Helper()
	if err := w.Finish(w.t.Context(), k, j.ID, fleet.FinishRequest{Failure: failure, Message: "a test"}, w.ms()); err != nil {
		w.t.Fatal(err)
	}
}
