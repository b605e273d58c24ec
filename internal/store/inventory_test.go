package store

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

func (w *world) names() []string {
	w.t.Helper()
	return slices.Sorted(maps.Keys(w.images()))
}

func TestNames(t *testing.T) { onEngines(t, testNames) }

func testNames(t *testing.T) {
	w := newWorld(t)
	repo := "registry.example.org/team/app@" + string(digest(7))
	w.agent("a",
		state(1, ref("web", "1"), ref("web", "2")),
		state(2),
		fleet.ImageState{Engine: "docker", ConfigDigest: configDigest(3), RepoDigests: []string{repo}},
		state(4, ref("notag", "")),
	)
	want := []string{"<none>:<none>", "notag:<none>", "registry.example.org/team/app:<none>", "web:1", "web:2"}
	if d := cmp.Diff(want, w.names()); d != "" {
		t.Error(d)
	}
}

func TestImagesComeAndGo(t *testing.T) { onEngines(t, testImagesComeAndGo) }

func testImagesComeAndGo(t *testing.T) {
	w := newWorld(t)
	one, two := state(1, ref("web", "1")), state(2, ref("db", "1"))
	one.Containers = []image.Container{{ID: "c1", Name: "front"}}
	a := w.agent("a", one, two)
	b := w.agent("b", one)
	w.scanAll(a, 1, 2)
	before := w.images()
	if got := before["web:1"]; got.HostNum != 2 || got.ContainerNum != 2 {
		t.Errorf("web on two hosts: %+v", got)
	}

	w.sync(a, 0, nil, []fleet.ImageState{two})
	if got := w.images()["web:1"]; got.HostNum != 1 || got.HostName != "b" || got.ContainerNum != 1 || got.ID != before["web:1"].ID {
		t.Errorf("web on one host: %+v", got)
	}
	w.sync(b, 0, nil, []fleet.ImageState{})
	if d := cmp.Diff([]string{"db:1"}, w.names()); d != "" {
		t.Error(d)
	}
	vuls, total, err := w.Vulnerabilities(t.Context(), w.project(), VulFilter{}, Page{Limit: 10})
	if err != nil || total != 2 || len(vuls) != 2 {
		t.Errorf("vulnerabilities of what is left: %d, %v, %v", total, vuls, err)
	}
	// Pulled again within a week: the same id, and what is known of it.
	w.add(keepGone - time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	w.sync(b, 0, nil, []fleet.ImageState{one})
	if got := w.images()["web:1"]; got.ID != before["web:1"].ID || got.Status != StatusSuccess || got.VulNum != 4 {
		t.Errorf("pulled again: %+v", got)
	}
	w.sync(b, 0, nil, []fleet.ImageState{})
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	w.sync(b, 0, nil, []fleet.ImageState{one})
	if got := w.images()["web:1"]; got.ID != before["web:1"].ID || got.Status != StatusUnscan || got.VulNum != 0 {
		t.Errorf("pulled again after a week: %+v", got)
	}
}

func TestRemovedImageEndsItsJob(t *testing.T) { onEngines(t, testRemovedImageEndsItsJob) }

func testRemovedImageEndsItsJob(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")), state(2, ref("db", "1")))
	task, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual})
	if err != nil {
		t.Fatal(err)
	}
	w.sync(k, 0, nil, []fleet.ImageState{state(2, ref("db", "1"))})
	w.work(k, 2)
	tasks, _, err := w.Tasks(t.Context(), w.project(), TaskFilter{ID: task}, Page{Limit: 10})
	if err != nil || tasks[0].Status != 100 || tasks[0].SuccessNum != 1 || tasks[0].FailedNum != 1 ||
		tasks[0].FailedImages[0].Reason != fleet.FailureImageGone {
		t.Errorf("task %+v, %v", tasks, err)
	}
}

func TestNonScanReason(t *testing.T) { onEngines(t, testNonScanReason) }

func testNonScanReason(t *testing.T) {
	w := newWorld(t)
	bad := state(1, ref("web", "1"))
	bad.NonScanReason = "layer is missing"
	a := w.agent("a", bad)
	if got := w.images()["web:1"].NonScanReason; got != bad.NonScanReason {
		t.Errorf("reason %q", got)
	}
	list := []ScanImage{{Name: "web"}}
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, List: list}); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("scan of what cannot be scanned: %v", err)
	}
	b := w.agent("b", state(1, ref("web", "1")))
	if got := w.images()["web:1"].NonScanReason; got != "" {
		t.Errorf("one host can read it: %q", got)
	}
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, List: list}); err != nil {
		t.Fatal(err)
	}
	if jobs := w.sync(a, 1, nil, nil).Jobs; len(jobs) != 0 {
		t.Error("given to the host that cannot read it")
	}
	if jobs := w.sync(b, 1, nil, nil).Jobs; len(jobs) != 1 {
		t.Error("not given to the host that can")
	}
}

func TestProjectsAreApart(t *testing.T) { onEngines(t, testProjectsAreApart) }

func testProjectsAreApart(t *testing.T) {
	w := newWorld(t)
	w.scanAll(w.agent("a", state(1, ref("web", "1"))), 1)
	other, err := w.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	id := w.images()["web:1"].ID
	p := Page{Limit: 10}
	if rows, n, err := w.Images(t.Context(), other.ID, ImageFilter{}, p); len(rows) != 0 || n != 0 || err != nil {
		t.Error("images leak", rows, err)
	}
	if _, _, err := w.Apps(t.Context(), other.ID, id, "", p); fault.CodeOf(err) != fault.NotFound {
		t.Error("software leaks", err)
	}
	if _, _, err := w.Findings(t.Context(), other.ID, id, VulFilter{}, p); fault.CodeOf(err) != fault.NotFound {
		t.Error("findings leak", err)
	}
	if _, n, err := w.Vulnerabilities(t.Context(), other.ID, VulFilter{}, p); n != 0 || err != nil {
		t.Error("vulnerabilities leak", err)
	}
	if _, n, err := w.Affected(t.Context(), other.ID, rules[0].id, AffectedFilter{}, p); n != 0 || err != nil {
		t.Error("affected images leak", err)
	}
	if _, _, err := w.CVEs(t.Context(), other.ID, rules[1].id, p); fault.CodeOf(err) != fault.NotFound {
		t.Error("CVEs leak", err)
	}
	if _, n, err := w.Hosts(t.Context(), other.ID, ImageKey{}, "", p); n != 0 || err != nil {
		t.Error("hosts leak", err)
	}
	if _, n, err := w.Tasks(t.Context(), other.ID, TaskFilter{}, p); n != 0 || err != nil {
		t.Error("tasks leak", err)
	}
	if _, err := w.Scan(t.Context(), other.ID, ScanRequest{List: []ScanImage{{ID: id}, {Digest: string(configDigest(1))}, {Digest: string(digest(1_000_001))}, {Name: "web"}}}); fault.CodeOf(err) != fault.NotFound {
		t.Error("a foreign image can be scanned", err)
	}
}

func TestLayers(t *testing.T) { onEngines(t, testLayers) }

func testLayers(t *testing.T) {
	w := newWorld(t)
	if err := w.PutLayer(t.Context(), layer(1)); err != nil {
		t.Fatal(err)
	}
	if err := w.PutLayer(t.Context(), layer(1)); err != nil {
		t.Errorf("an equal report again: %v", err)
	}
	got, err := w.layerReport(t.Context(), string(digest(1)), testAnalyzers)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(layer(1), got); d != "" {
		t.Error(d)
	}
	ask := func(analyzers string, ids ...image.Digest) []image.Digest {
		t.Helper()
		missing, err := w.MissingLayers(t.Context(), fleet.MissingRequest{Analyzers: analyzers, DiffIDs: ids})
		if err != nil {
			t.Fatal(err)
		}
		return missing
	}
	if d := cmp.Diff([]image.Digest{digest(3), digest(2)}, ask(testAnalyzers, digest(3), digest(1), digest(2), digest(3))); d != "" {
		t.Error(d)
	}
	if got := ask("another set", digest(1)); len(got) != 1 {
		t.Error("a report of another analyser set counts")
	}
	if got := ask(testAnalyzers, digest(1)); got == nil || len(got) != 0 {
		t.Errorf("nothing missing is %v", got)
	}
	_, err = w.MissingLayers(t.Context(), fleet.MissingRequest{DiffIDs: make([]image.Digest, maxAsked+1)})
	if fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("too many: %v", err)
	}
	partial := layer(2)
	partial.Complete = false
	nameless := layer(2)
	nameless.DiffID = "x"
	anonymous := layer(2)
	anonymous.Analyzers = ""
	for name, r := range map[string]*report.LayerReport{"partial": partial, "no digest": nameless, "no analysers": anonymous} {
		if err := w.PutLayer(t.Context(), r); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReportLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a gigabyte of memory")
	}
	r := layer(1)
	r.Packages[0].Vendor = strings.Repeat("x", maxReportBytes)
	if _, err := packReport(r); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("got %v", err)
	}
}

func TestHistoryIsBounded(t *testing.T) { onEngines(t, testHistoryIsBounded) }

func testHistoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("queues a thousand tasks")
	}
	w := newWorld(t)
	w.agent("a", state(1, ref("web", "1")))
	if w.path != "" {
		if _, err := w.write.Exec("PRAGMA synchronous = OFF"); err != nil {
			t.Fatal(err)
		}
	}
	var last string
	for range maxTasks + 5 {
		w.add(time.Second)
		id, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.StopTask(t.Context(), w.project(), id, Actor{}); err != nil {
			t.Fatal(err)
		}
		last = id
	}
	var n int
	if err := w.read.QueryRow("SELECT COUNT(*) FROM scan_task").Scan(&n); err != nil {
		t.Fatal(err)
	}
	tasks, total, err := w.Tasks(t.Context(), w.project(), TaskFilter{}, Page{Limit: 10})
	if err != nil || total != maxTasks || n != maxTasks || tasks[0].ID != last {
		t.Errorf("%d listed, %d kept, %v", total, n, err)
	}
}

func TestRescanReplaces(t *testing.T) { onEngines(t, testRescanReplaces) }

func testRescanReplaces(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1")))
	w.scanAll(k, 1)
	first := w.ms()
	w.add(time.Hour)
	w.scanAll(k, 1)
	rows, total, err := w.Affected(t.Context(), w.project(), rules[0].id, AffectedFilter{}, Page{Limit: 10})
	if err != nil || total != 1 || rows[0].FirstSeen != first || rows[0].ScanTime != w.ms() {
		t.Errorf("%d affected: %+v, %v", total, rows, err)
	}
	findings, total, err := w.Findings(t.Context(), w.project(), w.images()["web:1"].ID, VulFilter{}, Page{Limit: 50})
	if err != nil || total != 6 || len(findings) != 6 {
		t.Errorf("%d findings of 4 vulnerabilities in libssl3, openssl, zlib1g and requests: %v, %v", total, findings, err)
	}
}
