package store

import (
	"fmt"
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

// affectedWorld is two hosts with four running containers and one that is
// stopped. Image 3 is scanned an hour after the others.
func affectedWorld(t *testing.T) (w *world, first, second int64) {
	w = newWorld(t)
	one, two, three := state(1, ref("web", "1"), ref("web", "one")), state(2, ref("web", "2")), state(3, ref("shop/api", "3"))
	one.Containers = []image.Container{{ID: "c1", Name: "front", PodID: "p1", PodName: "pod", Running: true}, {ID: "c2", Name: "front-old"}}
	two.Containers = []image.Container{{ID: "c3", Name: "Front", Running: true}}
	three.Containers = []image.Container{{ID: "c4", Name: "api-front", Running: true}}
	alone := state(1, ref("web", "1"))
	alone.Containers = []image.Container{{ID: "c5", Name: "back", Running: true}}
	a, b := w.agent("a", one, two), w.agent("b", alone, three)
	list := []ScanImage{{Name: "web"}}
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, List: list}); err != nil {
		t.Fatal(err)
	}
	first = w.ms()
	w.work(a, 1, 2)
	w.add(time.Hour)
	second = w.ms()
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, List: []ScanImage{{Name: "shop/api"}}}); err != nil {
		t.Fatal(err)
	}
	w.work(b, 3)
	return w, first, second
}

func TestVulContainers(t *testing.T) { onEngines(t, testVulContainers) }

func testVulContainers(t *testing.T) {
	w, first, second := affectedWorld(t)
	type row struct {
		id, name string
		vuls     []int // of rules
		seen     int64
	}
	running := []row{
		{"c1", "front", []int{0, 1, 2, 3}, first}, {"c5", "back", []int{0, 1, 2, 3}, first},
		{"c3", "Front", []int{2, 3}, first}, {"c4", "api-front", []int{0, 1, 2, 3}, second},
	}
	middle := first + 1
	for vul, r := range rules {
		vulType := VulLinux
		if r.typ != report.TypeDeb {
			vulType = VulApp
		}
		rank := int64(report.SeverityRank(r.severity))
		for _, typ := range []string{"", VulLinux, VulApp, "windows_vul"} {
			for _, ranks := range [][]int64{nil, {3, 4}, {2}} {
				for _, name := range []string{"", "front", "c", "%"} {
					for _, from := range []*int64{nil, &middle, &second} {
						for _, to := range []*int64{nil, &first} {
							f := VulContainerFilter{Type: typ, Severities: ranks, Name: name, SeenFrom: from, SeenTo: to}
							want := []string{}
							for _, k := range running {
								if slices.Contains(k.vuls, vul) && (typ == "" || typ == vulType) && (ranks == nil || slices.Contains(ranks, rank)) &&
									strings.Contains(k.name, name) && (from == nil || k.seen >= *from) && (to == nil || k.seen <= *to) {
									want = append(want, k.id)
								}
							}
							got, total, err := w.VulContainers(t.Context(), w.project(), r.id, f, Page{Limit: 10})
							if err != nil || total != int64(len(want)) {
								t.Fatalf("%s %+v: %d rows, want %v, %v", r.id, f, total, want, err)
							}
							ids := []string{}
							for _, c := range got {
								ids = append(ids, c.ID)
							}
							slices.Sort(ids)
							slices.Sort(want)
							if d := cmp.Diff(want, ids); d != "" {
								t.Errorf("%s %+v: %s", r.id, f, d)
							}
						}
					}
				}
			}
		}
	}
	all, _, err := w.VulContainers(t.Context(), w.project(), rules[2].id, VulContainerFilter{}, Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "front"} {
		var paged []VulContainer
		for at := range int64(5) {
			page, _, err := w.VulContainers(t.Context(), w.project(), rules[2].id, VulContainerFilter{Name: name}, Page{Offset: at, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			paged = append(paged, page...)
		}
		want := slices.DeleteFunc(slices.Clone(all), func(c VulContainer) bool { return !strings.Contains(c.Name, name) })
		if d := cmp.Diff(want, paged); d != "" {
			t.Errorf("pages of %q: %s", name, d)
		}
	}
	for _, c := range all {
		if c.ID != "c1" {
			continue
		}
		images := w.images()
		if c.ImageID != images["web:1"].ID && c.ImageID != images["web:one"].ID {
			t.Errorf("image %s", c.ImageID)
		}
		want := VulContainer{
			Container: Container{AgentID: c.AgentID, HostID: "id-a", HostName: "a", PrivateIP: "10.0.0.7", Engine: "docker", ID: "c1", Name: "front", PodID: "p1", PodName: "pod"},
			ImageID:   c.ImageID, ImageName: "web", ImageVersion: c.ImageVersion, Severity: 4, FirstSeen: first, ScanTime: first,
		}
		if d := cmp.Diff(want, c); d != "" {
			t.Error(d)
		}
	}
	for name, ask := range map[string][2]string{"another project": {"nobody", rules[2].id}, "an unknown vulnerability": {w.project(), "CVE-1999-0001"}} {
		if rows, total, err := w.VulContainers(t.Context(), ask[0], ask[1], VulContainerFilter{}, Page{Limit: 10}); len(rows) != 0 || total != 0 || err != nil {
			t.Errorf("%s: %v, %d, %v", name, rows, total, err)
		}
	}
}

func TestAffectedApps(t *testing.T) { onEngines(t, testAffectedApps) }

func testAffectedApps(t *testing.T) {
	w, _, _ := affectedWorld(t)
	id := w.images()["web:1"].ID
	ssl := []AffectedApp{
		{Name: "libssl3", Places: []AffectedPlace{{Version: "3.0.9-1"}}},
		{Name: "openssl", Places: []AffectedPlace{{Version: "3.0.9-1"}}},
	}
	for _, tc := range []struct {
		name, advisory string
		page           Page
		want           []AffectedApp
		total          int64
	}{
		{"packages", rules[1].id, Page{Limit: 10}, ssl, 2},
		{"a page", rules[1].id, Page{Offset: 1, Limit: 1}, ssl[1:], 2},
		{"past the end", rules[1].id, Page{Offset: 5, Limit: 10}, nil, 2},
		{"an application", rules[3].id, Page{Limit: 10}, []AffectedApp{{Name: "requests",
			Places: []AffectedPlace{{Version: "2.28.1", Path: "/opt/venv/requests-2.28.1.dist-info/METADATA"}}}}, 1},
		{"an unknown vulnerability", "CVE-1999-0001", Page{Limit: 10}, nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for by, ask := range map[string]func() ([]AffectedApp, int64, error){
				"image": func() ([]AffectedApp, int64, error) {
					return w.AffectedApps(t.Context(), w.project(), id, tc.advisory, false, tc.page)
				},
				"container": func() ([]AffectedApp, int64, error) {
					return w.ContainerApps(t.Context(), w.project(), "c1", tc.advisory, false, tc.page)
				},
				"stopped container": func() ([]AffectedApp, int64, error) {
					return w.ContainerApps(t.Context(), w.project(), "c2", tc.advisory, false, tc.page)
				},
			} {
				got, total, err := ask()
				if err != nil || total != tc.total {
					t.Errorf("of %s: %d, %v", by, total, err)
				}
				if d := cmp.Diff(tc.want, append([]AffectedApp(nil), got...)); d != "" {
					t.Errorf("of %s: %s", by, d)
				}
			}
		})
	}
	if got, _, err := w.ContainerApps(t.Context(), w.project(), "c3", rules[1].id, false, Page{Limit: 10}); len(got) != 0 || err != nil {
		t.Errorf("a container that is not concerned: %v, %v", got, err)
	}
	p := Page{Limit: 10}
	for _, project := range []string{w.project(), "nobody"} {
		ids := [2]string{id, "c1"}
		if project == w.project() {
			ids = [2]string{"nope", "c"}
		}
		if _, _, err := w.AffectedApps(t.Context(), project, ids[0], rules[1].id, false, p); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("image %s of %s: %v", ids[0], project, err)
		}
		if _, _, err := w.ContainerApps(t.Context(), project, ids[1], rules[1].id, false, p); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("container %s of %s: %v", ids[1], project, err)
		}
	}
}

func TestContainersOf(t *testing.T) { onEngines(t, testContainersOf) }

func testContainersOf(t *testing.T) {
	w, _, _ := affectedWorld(t)
	i := w.images()["web:1"]
	key := ImageKey{Digest: i.ConfigDigest, Name: "web", Version: "1"}
	hosts, _, err := w.Hosts(t.Context(), w.project(), key, "", Page{Limit: 10})
	if err != nil || len(hosts) != 2 {
		t.Fatal(hosts, err)
	}
	for n, want := range [][]string{{"c1", "c2"}, {"c5"}} {
		key.AgentID = hosts[n].AgentID
		got, total, err := w.ContainersOf(t.Context(), w.project(), i.ID, key, Page{Limit: 10})
		if err != nil || total != int64(len(want)) {
			t.Fatal(total, err)
		}
		for k, c := range got {
			if c.ID != want[k] || c.HostName != hosts[n].HostName {
				t.Errorf("got %+v, want %s", c, want[k])
			}
		}
	}
	if got, total, err := w.ContainersOf(t.Context(), w.project(), i.ID, key, Page{Offset: 1, Limit: 10}); len(got) != 0 || total != 1 || err != nil {
		t.Errorf("past the end: %v, %d, %v", got, total, err)
	}
	for name, change := range map[string]func(id *string, k *ImageKey){
		"id":      func(id *string, _ *ImageKey) { *id = w.images()["web:2"].ID },
		"digest":  func(_ *string, k *ImageKey) { k.Digest = string(configDigest(2)) },
		"name":    func(_ *string, k *ImageKey) { k.Name = "we" },
		"version": func(_ *string, k *ImageKey) { k.Version = "one" },
		"agent":   func(_ *string, k *ImageKey) { k.AgentID = "nobody" },
	} {
		id, k := i.ID, key
		change(&id, &k)
		if _, _, err := w.ContainersOf(t.Context(), w.project(), id, k, Page{Limit: 10}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, _, err := w.ContainersOf(t.Context(), "nobody", i.ID, key, Page{Limit: 10}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("another project: %v", err)
	}
}

func TestRepoImages(t *testing.T) { onEngines(t, testRepoImages) }

func testRepoImages(t *testing.T) {
	w, _, _ := affectedWorld(t)
	id := w.images()["web:2"].ID
	for _, tc := range []struct {
		name, advisory string
		f              RepoFilter
		page           Page
		want           []string
		total          int64
	}{
		{"all", rules[1].id, RepoFilter{}, Page{Limit: 10}, []string{"shop/api libssl3 3.0.9-1 3", "shop/api openssl 3.0.9-1 3", "web libssl3 3.0.9-1 1 one", "web openssl 3.0.9-1 1 one"}, 4},
		{"a page", rules[1].id, RepoFilter{}, Page{Offset: 1, Limit: 2}, []string{"shop/api openssl 3.0.9-1 3", "web libssl3 3.0.9-1 1 one"}, 4},
		{"past the end", rules[1].id, RepoFilter{}, Page{Offset: 4, Limit: 2}, nil, 4},
		{"name", rules[2].id, RepoFilter{Name: "eb"}, Page{Limit: 10}, []string{"web zlib1g 1:1.2.13.dfsg-1 1 2 one"}, 1},
		{"software", rules[1].id, RepoFilter{App: "lib"}, Page{Limit: 10}, []string{"shop/api libssl3 3.0.9-1 3", "web libssl3 3.0.9-1 1 one"}, 2},
		{"name and software", rules[1].id, RepoFilter{Name: "web", App: "lib"}, Page{Limit: 10}, []string{"web libssl3 3.0.9-1 1 one"}, 1},
		{"image", rules[2].id, RepoFilter{ImageID: id}, Page{Limit: 10}, []string{"web zlib1g 1:1.2.13.dfsg-1 2"}, 1},
		{"image and name", rules[2].id, RepoFilter{ImageID: id, Name: "api"}, Page{Limit: 10}, nil, 0},
		{"image and software", rules[2].id, RepoFilter{ImageID: id, App: "lib1"}, Page{Limit: 10}, []string{"web zlib1g 1:1.2.13.dfsg-1 2"}, 1},
		{"unknown", "CVE-1999-0001", RepoFilter{}, Page{Limit: 10}, nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, total, err := w.RepoImages(t.Context(), w.project(), tc.advisory, tc.f, tc.page)
			if err != nil || total != tc.total {
				t.Errorf("%d rows, %v", total, err)
			}
			var got []string
			for _, r := range rows {
				line := fmt.Sprint(r.Name, " ", r.App, " ", r.AppVersion)
				for _, tag := range r.Tags {
					line += " " + tag.Version
				}
				got = append(got, line)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if rows, total, err := w.RepoImages(t.Context(), "nobody", rules[1].id, RepoFilter{}, Page{Limit: 10}); len(rows) != 0 || total != 0 || err != nil {
		t.Errorf("another project: %v, %d, %v", rows, total, err)
	}
}

func TestImageNames(t *testing.T) { onEngines(t, testImageNames) }

func testImageNames(t *testing.T) {
	w, _, _ := affectedWorld(t)
	for keyword, want := range map[string][]string{
		"": {"shop/api:3", "web:1", "web:2", "web:one"}, "web": {"web:1", "web:2", "web:one"}, "b:o": {"web:one"}, "3": {"shop/api:3"}, "WEB": nil, "%": nil,
	} {
		rows, total, err := w.ImageNames(t.Context(), w.project(), keyword, Page{Limit: 10})
		var got []string
		for _, r := range rows {
			got = append(got, r.Name+":"+r.Version)
			if i := w.images()[r.Name+":"+r.Version]; r.ID != i.ID || r.CreatedAt != i.UpdatedAt {
				t.Errorf("%+v is not %+v", r, i)
			}
		}
		if d := cmp.Diff(want, got); d != "" || total != int64(len(want)) || err != nil {
			t.Errorf("%q: %d, %v, %s", keyword, total, err, d)
		}
	}
	if rows, total, err := w.ImageNames(t.Context(), w.project(), "", Page{Offset: 3, Limit: 2}); len(rows) != 1 || total != 4 || err != nil {
		t.Errorf("the last page: %v, %d, %v", rows, total, err)
	}
}

func TestRiskTotals(t *testing.T) { onEngines(t, testRiskTotals) }

func testRiskTotals(t *testing.T) {
	w, _, _ := affectedWorld(t)
	w.agent("c", []fleet.ImageState{state(4, ref("new", "1"))}...)
	got, err := w.RiskTotals(t.Context(), w.project())
	if d := cmp.Diff(RiskTotals{All: 5, High: 4, Risky: 4, Unscanned: 1}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if got, err := w.RiskTotals(t.Context(), "nobody"); got != (RiskTotals{}) || err != nil {
		t.Errorf("another project: %+v, %v", got, err)
	}
}
