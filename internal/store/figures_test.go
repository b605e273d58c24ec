package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fleet"
)

func TestFigures(t *testing.T) { onEngines(t, testFigures) }

func testFigures(t *testing.T) {
	w := newWorld(t)
	check := func(name string, want Figures) {
		t.Helper()
		got, err := w.Figures(t.Context())
		if err != nil || got.Bytes < 100_000 {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		got.Bytes = 0
		for status, n := range got.Images {
			if n == 0 {
				delete(got.Images, status)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	check("nothing", Figures{Images: map[string]int64{}})
	k := w.agent("a", state(1, ref("web", "1"), ref("web", "latest")), state(2, ref("db", "2")), state(3, ref("app", "3")))
	w.agent("b")
	w.add(OnlineTime + time.Second)
	begun := w.ms()
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	w.add(time.Second)
	job := w.sync(k, 1, nil, nil).Jobs[0]
	images := map[string]int64{StatusWaiting: 3, StatusScanning: 1}
	if job.ConfigDigest == configDigest(1) {
		images = map[string]int64{StatusWaiting: 2, StatusScanning: 2}
	}
	check("at work", Figures{Images: images, Waiting: 2, Leased: 1, QueueSince: begun, Tasks: 1, Online: 1, Offline: 1})
	if err := w.Finish(t.Context(), k, job.ID, fleet.FinishRequest{Failure: fleet.FailureTooLarge}, w.ms()); err != nil {
		t.Fatal(err)
	}
	w.work(k, 1, 2, 3)
	images = map[string]int64{StatusSuccess: 3, StatusFailed: 1}
	if job.ConfigDigest == configDigest(1) {
		images = map[string]int64{StatusSuccess: 2, StatusFailed: 2}
	}
	check("done", Figures{Images: images, Online: 1, Offline: 1})
}

func TestMigrated(t *testing.T) { onEngines(t, testMigrated) }

func testMigrated(t *testing.T) {
	w := newWorld(t)
	if err := w.Migrated(t.Context()); err != nil {
		t.Error(err)
	}
	newest, err := schemaVersion()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		query string
		want  bool
	}{
		{"UPDATE goose_db_version SET version_id = version_id + 100 WHERE version_id = $1", true},
		{"DELETE FROM goose_db_version WHERE version_id >= $1", false},
	} {
		if _, err := w.write.Exec(tc.query, newest); err != nil {
			t.Fatal(err)
		}
		if err := w.Migrated(t.Context()); (err == nil) != tc.want {
			t.Errorf("%s: %v", tc.query, err)
		}
	}
}
