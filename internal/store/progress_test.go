package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
)

func TestProgress(t *testing.T) { onEngines(t, testProgress) }

func testProgress(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1"), ref("web", "latest")), state(2, ref("db", "2")), state(3, ref("app", "3")), state(4, ref("zoo", "4")))
	task, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, By: Actor{Name: "me"}})
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Name, Version, Status, FailedReason string
		Done                                int64
		Vuls                                VulNums
	}
	rows := func(images []TaskImage) (out []row) {
		for _, i := range images {
			if (i.EndTime == 0) != (i.Status == StatusWaiting || i.Status == StatusScanning) || i.ID == "" || i.ConfigDigest == "" {
				t.Errorf("image %+v", i)
			}
			out = append(out, row{i.Name, i.Version, i.Status, i.FailedReason, i.Done, i.Vuls})
		}
		return out
	}
	list := func(status string, p Page) ([]row, int64) {
		t.Helper()
		images, total, err := w.TaskImages(t.Context(), w.project(), task, status, p)
		if err != nil {
			t.Fatal(err)
		}
		return rows(images), total
	}
	since := func(done, limit int64) (string, []row) {
		t.Helper()
		got, images, err := w.Progress(t.Context(), w.project(), task, done, limit)
		if err != nil || got.ID != task || got.By != "me" {
			t.Fatalf("%+v, %v", got, err)
		}
		return got.State, rows(images)
	}
	if s, got := since(0, 10); s != taskRunning || got != nil {
		t.Errorf("before anything ended: %s, %+v", s, got)
	}
	jobs := w.sync(k, 4, nil, nil).Jobs
	var holds []string // of one job, so that the other waits again
	for _, j := range jobs {
		switch j.ConfigDigest {
		case configDigest(2):
			if err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Failure: fleet.FailureTooLarge}, w.ms()); err != nil {
				t.Fatal(err)
			}
		case configDigest(1):
			w.finish(k, j, 1)
		case configDigest(3):
			holds = append(holds, j.ID)
		}
	}
	w.sync(k, 0, holds, nil)
	_, ended := since(0, 10)
	first, second := ended[0].Done, ended[len(ended)-1].Done
	if len(ended) != 3 || first >= second || second != 3 {
		t.Fatalf("ended: %+v", ended)
	}
	vuls := VulNums{Critical: 1, High: 2, Medium: 1}
	byName := map[string]row{}
	for _, r := range ended {
		r.Done = 0
		byName[r.Name+":"+r.Version] = r
	}
	want := map[string]row{
		"db:2":       {"db", "2", StatusFailed, fleet.FailureTooLarge, 0, VulNums{}},
		"web:1":      {"web", "1", StatusSuccess, "", 0, vuls},
		"web:latest": {"web", "latest", StatusSuccess, "", 0, vuls},
	}
	if d := cmp.Diff(want, byName); d != "" {
		t.Error(d)
	}
	// One content at a time, each once.
	_, one := since(0, 1)
	_, rest := since(first, 10)
	if d := cmp.Diff(ended, append(one, rest...)); d != "" || one[0].Done != one[len(one)-1].Done {
		t.Error(d)
	}
	if _, none := since(second, 10); none != nil {
		t.Errorf("nothing new: %+v", none)
	}
	got, total := list("", Page{Limit: 2, Offset: 1})
	if total != 5 || len(got) != 2 || got[0].Name != "db" || got[1].Name != "web" || got[1].Version != "1" {
		t.Errorf("page of %d: %+v", total, got)
	}
	for status, want := range map[string]int64{StatusWaiting: 1, StatusScanning: 1, StatusSuccess: 2, StatusFailed: 1, StatusStopped: 0, "moon": 0} {
		if _, n := list(status, Page{Limit: 10}); n != want {
			t.Errorf("%s: %d, want %d", status, n, want)
		}
	}
	if err := w.StopTask(t.Context(), w.project(), task, Actor{}); err != nil {
		t.Fatal(err)
	}
	if _, n := list(StatusStopped, Page{Limit: 10}); n != 2 {
		t.Errorf("%d stopped images", n)
	}
	if s, got := since(second, 10); s != taskStopped || got != nil {
		t.Errorf("after the stop: %s, %+v", s, got)
	}
}

func TestProgressOfOthers(t *testing.T) { onEngines(t, testProgressOfOthers) }

func testProgressOfOthers(t *testing.T) {
	w := newWorld(t)
	w.agent("a", state(1, ref("web", "1")))
	task, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, By: Actor{Name: "me"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, project, task string }{
		{"another project", "other", task}, {"no such task", w.project(), "x"}, {"no id", w.project(), ""}, {"NUL", w.project(), "\x00"},
	} {
		if _, _, err := w.Progress(t.Context(), tc.project, tc.task, 0, 1); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: progress: %v", tc.name, err)
		}
		if _, _, err := w.TaskImages(t.Context(), tc.project, tc.task, "", Page{Limit: 1}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: images: %v", tc.name, err)
		}
	}
	for by, want := range map[string]int64{"me": 1, "you": 0, "": 1} {
		if _, n, err := w.Tasks(t.Context(), w.project(), TaskFilter{By: by}, Page{Limit: 1}); n != want || err != nil {
			t.Errorf("tasks of %q: %d, %v", by, n, err)
		}
	}
}
