package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

func TestChecksOfAScope(t *testing.T) {
	for scope, want := range map[int64][]string{
		0x7fffffff: nil, 0x000fffff: nil, 0: nil, 0x000f000f: {},
		0x0000f000: {report.CheckBaseline, report.CheckPasswords}, 0x00000f00: {report.CheckMalware}, 0x00000010: {report.CheckSecrets},
		0x000f0ff0: {report.CheckMalware, report.CheckSecrets},
	} {
		if d := cmp.Diff(want, checksOf(scope)); d != "" {
			t.Errorf("%#x: %s", scope, d)
		}
	}
}

func TestChecksCount(t *testing.T) { onEngines(t, testChecksCount) }

// What checks find counts in the lists of images; what was not looked for is not
// counted as clean; and what a scan of a part leaves out keeps what was found.
func testChecksCount(t *testing.T) {
	w := newWorld(t)
	shell := report.Malware{Name: "Reverse shell", Type: "reverse_shell", Severity: report.SeverityHigh, Path: "/srv/x.sh", Engine: "rule", Rule: "shell", Offset: -1}
	images := []plantedImage{
		{name: "bad", layers: []plantedLayer{{n: 1, malware: []report.Malware{shell}}}, checks: allChecks},
		{name: "clean", layers: []plantedLayer{{n: 2}}, checks: allChecks},
		{name: "unseen", layers: []plantedLayer{{n: 3}}, checks: []string{packagesKey}},
	}
	k := w.plant(images...)
	type counts struct {
		Malicious *int64
		Level     string
	}
	look := func() map[string]counts {
		out := map[string]counts{}
		for name, i := range w.images() {
			out[name] = counts{i.MaliciousFileNum, i.SeverityLevel}
		}
		return out
	}
	want := map[string]counts{"bad:1": {new(int64(1)), "High"}, "clean:1": {new(int64(0)), look()["unseen:1"].Level}, "unseen:1": {nil, look()["unseen:1"].Level}}
	if d := cmp.Diff(want, look()); d != "" {
		t.Error(d)
	}
	if want["unseen:1"].Level == "High" {
		t.Fatal("the images without findings have some")
	}

	// A scan for vulnerabilities alone.
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual, Scope: 0x000f0000}); err != nil {
		t.Fatal(err)
	}
	jobs := w.sync(k, maxLease, nil, nil).Jobs
	if len(jobs) != 3 {
		t.Fatalf("%d jobs", len(jobs))
	}
	w.add(time.Minute)
	for _, j := range jobs {
		if j.Checks == nil || len(j.Checks) != 0 {
			t.Errorf("job wants %q", j.Checks)
		}
		for _, p := range images {
			if image.DigestOf(p.config()) == j.ConfigDigest {
				p.checks = []string{packagesKey}
				w.finishPlanted(k, j.ID, p)
			}
		}
	}
	if d := cmp.Diff(want, look()); d != "" {
		t.Errorf("after a scan of a part: %s", d)
	}
	m, err := w.Merged(t.Context(), w.project(), w.images()["bad:1"].ID)
	if err != nil || len(m.Inventory.Malware) != 1 {
		t.Errorf("merged after a scan of a part: %+v, %v", m, err)
	}
}

func TestCheckThatDidNotEnd(t *testing.T) { onEngines(t, testCheckThatDidNotEnd) }

// A check that did not come to the end of a layer is no reason for a scan to
// fail.
func testCheckThatDidNotEnd(t *testing.T) {
	w := newWorld(t)
	p := plantedImage{name: "web", layers: []plantedLayer{{n: 1}}, checks: []string{packagesKey, malwareKey}}
	s := state(1, ref("web", "1"))
	s.ConfigDigest = image.DigestOf(p.config())
	k := w.agent("node", s)
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	job := w.sync(k, 1, nil, nil).Jobs[0]
	if job.Checks != nil {
		t.Errorf("job wants %q", job.Checks)
	}
	parts := p.layers[0].reports()
	if err := w.PutLayer(t.Context(), parts[0]); err != nil {
		t.Fatal(err)
	}
	half := *parts[2]
	half.Complete = false
	half.Problems = []report.Problem{{Path: "/x", Analyzer: "malware/1", Message: "nobody answers", Reason: "unavailable"}}
	img := &fleet.ImageReport{ConfigDigest: s.ConfigDigest, Analyzers: report.JoinKeys(p.checks), DiffIDs: []image.Digest{digest(1)}, Config: p.config(), Partial: []report.LayerReport{half}}
	if err := w.Finish(t.Context(), k, job.ID, fleet.FinishRequest{Image: img}, w.ms()); err != nil {
		t.Fatal(err)
	}
	i := w.images()["web:1"]
	if i.Status != StatusSuccess || i.MaliciousFileNum == nil || *i.MaliciousFileNum != 0 {
		t.Errorf("image %+v", i)
	}
	var partial int
	if err := w.read.QueryRowContext(t.Context(), `SELECT partial FROM content_check WHERE name = 'malware'`).Scan(&partial); err != nil || partial != 1 {
		t.Errorf("partial %d, %v", partial, err)
	}
}
