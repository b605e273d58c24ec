package store

import (
	"testing"
	"time"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

// TestPartialReport holds that an image with a damaged layer is no success:
// nobody may take the part that was read for the whole.
func TestPartialReport(t *testing.T) { onEngines(t, testPartialReport) }

func testPartialReport(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")))
	damaged := imageReport(1)
	partial := layer(1)
	partial.Complete = false
	damaged.Partial = append(damaged.Partial, *partial)
	finish := func(img *fleet.ImageReport) Image {
		t.Helper()
		w.add(time.Minute)
		if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual}); err != nil {
			t.Fatal(err)
		}
		j := w.sync(k, 1, nil, nil).Jobs[0]
		if err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Image: img}, w.ms()); err != nil {
			t.Fatal(err)
		}
		return w.images()["web:1"]
	}
	i := finish(damaged)
	if i.Status != StatusFailed || i.FailedDesc != fleet.FailureUnknown || i.LatestScanTime != 0 || i.SeverityLevel != "" {
		t.Errorf("a partial report: %+v", i)
	}
	if i.VulNum != 4 || i.ComponentNum != 4 {
		t.Errorf("what was read is not kept: %+v", i)
	}
	tasks, _, err := w.Tasks(t.Context(), w.project(), TaskFilter{}, Page{Limit: 10})
	if err != nil || tasks[0].Status != -3 || tasks[0].FailedNum != 1 || tasks[0].SuccessNum != 0 || len(tasks[0].FailedImages) != 1 {
		t.Errorf("task %+v, %v", tasks, err)
	}
	missing, err := w.MissingLayers(t.Context(), fleet.MissingRequest{Analyzers: testAnalyzers, DiffIDs: []image.Digest{digest(1)}})
	if err != nil || len(missing) != 1 {
		t.Errorf("the partial report was kept: missing %v, %v", missing, err)
	}
	// What a whole scan has found stays when the image is damaged later.
	damaged.Analyzers = "another set"
	damaged.Partial[0].Analyzers = damaged.Analyzers
	damaged.Partial[0].Packages, damaged.Partial[0].Databases = nil, nil
	if err := w.PutLayer(t.Context(), layer(1)); err != nil {
		t.Fatal(err)
	}
	whole := finish(imageReport(1))
	if whole.Status != StatusSuccess || whole.FailedDesc != "" || whole.LatestScanTime != w.ms() || whole.SeverityLevel != "High" {
		t.Errorf("a whole report: %+v", whole)
	}
	i = finish(damaged)
	if i.Status != StatusFailed || i.VulNum != whole.VulNum || i.ComponentNum != whole.ComponentNum || i.LatestScanTime != whole.LatestScanTime {
		t.Errorf("damaged later: %+v", i)
	}
}
