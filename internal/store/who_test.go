package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// whoWorld is a fleet of two projects that share their packages: web in three
// versions on two hosts, and one image of a neighbour.
func whoWorld(t *testing.T) (w *world, neighbour string) {
	w = newWorld(t)
	other, err := w.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	mine := w.first.Project
	w.first.Project = other
	n := w.agent("n", state(1, ref("theirs", "1")), state(2, ref("theirs", "2")))
	w.scanAll(n, 1, 2)
	w.first.Project = mine
	one, two, three := state(1, ref("web", "1"), ref("web", "one")), state(2, ref("web", "2")), state(3, ref("web", "3"))
	one.Containers = []image.Container{{ID: "c1", Name: "front", Running: true}, {ID: "c2", Name: "stopped"}}
	three.Containers = []image.Container{{ID: "c3", Name: "third", Running: true}}
	a := w.agent("a", one, two)
	b := w.agent("b", one, three)
	w.scanAll(a, 1, 2, 3)
	w.work(b, 1, 2, 3)
	return w, other.ID
}

func (w *world) who(project, name string, list Whose, p Page) Who {
	w.t.Helper()
	out, err := w.WhoHas(w.t.Context(), project, name, list, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func TestWhoHas(t *testing.T) { onEngines(t, testWhoHas) }

func testWhoHas(t *testing.T) {
	w, neighbour := whoWorld(t)
	p := Page{Limit: 50}
	// Images 1 and 3 have the old openssl.
	for _, name := range []string{rules[1].id, rules[1].cve} {
		got := w.who(w.project(), name, WhoseImages, p)
		if got.Images != 3 || got.Hosts != 2 || got.Containers != 3 || len(got.ImageList) != 3 {
			t.Errorf("%s: %+v", name, got)
		}
		if d := cmp.Diff([]string{rules[1].id}, got.Advisories); d != "" {
			t.Error(d)
		}
		for _, i := range got.ImageList {
			want := []WhoPackage{
				{report.TypeDeb, "libssl3", "3.0.9-1", "/var/lib/dpkg/status", i.Packages[0].Layer, rules[1].id, report.FixAvailable, rules[1].fixed, 3, nil},
				{report.TypeDeb, "openssl", "3.0.9-1", "/var/lib/dpkg/status", i.Packages[0].Layer, rules[1].id, report.FixAvailable, rules[1].fixed, 3, nil},
			}
			if d := cmp.Diff(want, i.Packages); d != "" {
				t.Error(d)
			}
		}
	}
	// Everything has zlib; pages do not overlap and leave nothing out.
	seen := map[string]int{}
	for at := int64(0); at < 6; at++ {
		got := w.who(w.project(), rules[2].cve, WhoseImages, Page{Offset: at, Limit: 1})
		if got.Images != 4 {
			t.Errorf("at %d: %d images", at, got.Images)
		}
		for _, i := range got.ImageList {
			seen[i.Name+":"+i.Version]++
		}
	}
	if d := cmp.Diff(map[string]int{"web:1": 1, "web:one": 1, "web:2": 1, "web:3": 1}, seen); d != "" {
		t.Error(d)
	}
	hosts := w.who(w.project(), rules[2].cve, WhoseHosts, p)
	if len(hosts.HostList) != 2 || len(w.who(w.project(), rules[2].cve, WhoseHosts, Page{Offset: 1, Limit: 5}).HostList) != 1 {
		t.Errorf("hosts %+v", hosts.HostList)
	}
	names := map[string]bool{}
	for at := range int64(4) {
		for _, c := range w.who(w.project(), rules[2].cve, WhoseContainers, Page{Offset: at, Limit: 1}).ContainerList {
			names[c.HostName+"/"+c.Name] = true
		}
	}
	if d := cmp.Diff(map[string]bool{"a/front": true, "b/front": true, "b/third": true}, names); d != "" {
		t.Error(d)
	}
	theirs := w.who(neighbour, rules[2].cve, WhoseImages, p)
	if theirs.Images != 2 || theirs.Hosts != 1 || theirs.ImageList[0].Name != "theirs" || theirs.ImageList[1].Name != "theirs" {
		t.Errorf("the neighbour's: %+v", theirs)
	}
	for _, list := range []Whose{WhoseImages, WhoseHosts, WhoseContainers} {
		if got := w.who("nobody", rules[2].cve, list, p); !cmp.Equal(got, Who{}) {
			t.Errorf("a project without images has %+v", got)
		}
		if got := w.who(w.project(), "CVE-1999-0001", list, p); !cmp.Equal(got, Who{}) {
			t.Errorf("what nobody has: %+v", got)
		}
	}
	if _, err := w.WhoHas(t.Context(), w.project(), rules[2].cve, "moons", p); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a list of moons: %v", err)
	}
}

// TestWhoFollows changes the fleet after the index was made.
func TestWhoFollows(t *testing.T) { onEngines(t, testWhoFollows) }

func testWhoFollows(t *testing.T) {
	w := newWorld(t)
	one, two := state(1, ref("web", "1")), state(2, ref("web", "2"))
	a := w.agent("a", one)
	numbers := func() [3]int64 {
		t.Helper()
		got := w.who(w.project(), rules[2].cve, WhoseImages, Page{Limit: 10})
		if int64(len(got.ImageList)) != got.Images {
			t.Errorf("%d images listed of %d", len(got.ImageList), got.Images)
		}
		return [3]int64{got.Images, got.Hosts, got.Containers}
	}
	check := func(what string, want [3]int64) {
		t.Helper()
		if got := numbers(); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("not scanned", [3]int64{})
	w.scanAll(a, 1, 2)
	check("scanned", [3]int64{1, 1, 0})
	one.Containers = []image.Container{{ID: "c1", Running: true}}
	w.sync(a, 0, nil, []fleet.ImageState{one, two})
	check("with a container", [3]int64{1, 1, 1})
	w.scanAll(a, 1, 2)
	check("two", [3]int64{2, 1, 1})
	b := w.agent("b", one)
	check("on two hosts", [3]int64{2, 2, 2})
	w.sync(a, 0, nil, []fleet.ImageState{})
	check("on the other host alone", [3]int64{1, 1, 1})
	w.reopen()
	check("after a restart", [3]int64{1, 1, 1})
	w.sync(b, 0, nil, []fleet.ImageState{})
	check("nowhere", [3]int64{})
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	check("forgotten", [3]int64{})
	var left int64
	if err := w.read.QueryRow(`SELECT (SELECT COUNT(*) FROM part) + (SELECT COUNT(*) FROM part_package) + (SELECT COUNT(*) FROM content_part) + (SELECT COUNT(*) FROM content_detail)`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left of contents that are gone, %v", left, err)
	}
	w.sync(b, 0, nil, []fleet.ImageState{one})
	w.scanAll(b, 1)
	check("pulled again", [3]int64{1, 1, 1})
	// An advisory that did not exist when the images were scanned.
	w.table.replace("second", &advisory.Diff{Packages: key("zlib")}, append(rules[:2:2], rule{"NEW-1", "CVE-2026-9999", report.TypeDeb, "zlib", "Debian:12", "", report.SeverityLow, 3})...)
	w.rematch()
	check("after the advisory has gone", [3]int64{})
	if got := w.who(w.project(), "CVE-2026-9999", WhoseHosts, Page{Limit: 10}); got.Images != 1 || got.Hosts != 1 || len(got.HostList) != 1 {
		t.Errorf("the new advisory: %+v", got)
	}
}

func TestWhoHasPackage(t *testing.T) { onEngines(t, testWhoHasPackage) }

func testWhoHasPackage(t *testing.T) {
	w, neighbour := whoWorld(t)
	for _, tc := range []struct {
		name     string
		q        PackageQuestion
		images   int64
		versions []string
	}{
		{"all versions", PackageQuestion{Name: "libssl3"}, 4, []string{"3.0.15-1~deb12u1", "3.0.9-1"}},
		{"below", PackageQuestion{Type: report.TypeDeb, Name: "libssl3", Range: "<3.0.15"}, 3, []string{"3.0.9-1"}},
		{"a tilde is before its absence", PackageQuestion{Name: "libssl3", Range: ">= 3.0.10, < 3.0.15-1"}, 1, []string{"3.0.15-1~deb12u1"}},
		{"exactly", PackageQuestion{Name: "libssl3", Range: "3.0.9-1"}, 3, []string{"3.0.9-1"}},
		{"none", PackageQuestion{Name: "libssl3", Range: "> 4"}, 0, nil},
		{"of another type", PackageQuestion{Type: report.TypeNPM, Name: "libssl3"}, 0, nil},
		{"of a language", PackageQuestion{Name: "requests", Range: "< 2.32"}, 4, []string{"2.28.1"}},
		{"only asked for", PackageQuestion{Name: "declared-only"}, 0, nil},
		{"unknown", PackageQuestion{Name: "nothing"}, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := w.WhoHasPackage(t.Context(), w.project(), tc.q, WhoseImages, Page{Limit: 50})
			if err != nil || got.Images != tc.images || int64(len(got.ImageList)) != tc.images {
				t.Errorf("%+v, %v", got, err)
			}
			if d := cmp.Diff(tc.versions, got.Versions); d != "" {
				t.Error(d)
			}
		})
	}
	theirs, err := w.WhoHasPackage(t.Context(), neighbour, PackageQuestion{Name: "zlib1g"}, WhoseHosts, Page{Limit: 50})
	if err != nil || theirs.Images != 2 || theirs.Hosts != 1 {
		t.Errorf("the neighbour's: %+v, %v", theirs, err)
	}
	for _, bad := range []string{"<", ">= 1 < 2", ",", "=>1", "1,2,3,4,5,6,7,8,9"} {
		if _, err := w.WhoHasPackage(t.Context(), w.project(), PackageQuestion{Name: "zlib1g", Range: bad}, WhoseImages, Page{}); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("range %q: %v", bad, err)
		}
	}
}

func TestEvents(t *testing.T) { onEngines(t, testEvents) }

func testEvents(t *testing.T) {
	w, neighbour := whoWorld(t)
	w.rematch()
	changed := append(rules[:2:2], rule{"NEW-1", "CVE-2026-9999", report.TypePython, "requests", "PyPI", "", report.SeverityLow, 3})
	w.table.replace("second", &advisory.Diff{Packages: key("zlib", "requests")}, changed...)
	w.rematch()
	got, err := w.Events(t.Context(), w.project(), "", 0, 50)
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	kinds := map[string]Event{}
	for _, e := range got {
		kinds[e.Kind+" "+e.Advisory] = e
	}
	e := kinds["new NEW-1"]
	want := Event{e.ID, w.ms(), "second", EventNew, "NEW-1", []string{"CVE-2026-9999"}, report.TypePython, "requests", "2.28.1", -1, 1, 4}
	if d := cmp.Diff(want, e); d != "" {
		t.Error(d)
	}
	next, err := w.Events(t.Context(), w.project(), "", got[0].ID, 1)
	if err != nil || len(next) != 1 || next[0].ID != got[1].ID {
		t.Errorf("the next: %+v, %v", next, err)
	}
	named, err := w.Events(t.Context(), neighbour, "CVE-2026-9999", 0, 10)
	if err != nil || len(named) != 1 || named[0].Images != 2 {
		t.Errorf("by name: %+v, %v", named, err)
	}
	if none, err := w.Events(t.Context(), "nobody", "", 0, 10); err != nil || len(none) != 0 {
		t.Errorf("a project without packages: %+v, %v", none, err)
	}
}
