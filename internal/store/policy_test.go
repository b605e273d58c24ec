package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/check/policy"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
)

func denyList(t *testing.T, rules string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("deny.yaml", []byte("deny:\n"+rules))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	oldSSL     = `- {id: old-ssl, reason: r, purl: "pkg:deb/debian/openssl", versions: "< 3.0.14-1~deb12u2"}` + "\n"
	noRequests = `- {id: no-requests, reason: r, type: pypi, name: "req*"}` + "\n"
	declared   = `- {id: declared, reason: r, name: declared-only}` + "\n"
)

// appsWorld is three scanned images, two of them with the same software, and one
// that was not scanned.
func appsWorld(t *testing.T) (*world, auth.Key) {
	t.Helper()
	w := newWorld(t)
	k := w.agent("node", state(1, ref("web", "1"), ref("shop", "1")), state(2, ref("web", "2")), state(3, ref("web", "3")))
	w.scanAll(k, 1, 2, 3)
	w.sync(k, 0, nil, []fleet.ImageState{state(1, ref("web", "1"), ref("shop", "1")), state(2, ref("web", "2")), state(3, ref("web", "3")), state(4, ref("web", "4"))})
	return w, k
}

// places are "image name version compliant" of a filter.
func (w *world) places(f AppFilter, p Page) []string {
	w.t.Helper()
	rows, total, err := w.AllApps(w.t.Context(), w.project(), f, p)
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{fmt.Sprint("of ", total)}
	for _, r := range rows {
		word := "?"
		if r.Compliant != nil {
			word = fmt.Sprint(*r.Compliant)
		}
		out = append(out, fmt.Sprint(r.ImageName, ":", r.ImageVersion, " ", r.Name, " ", r.Version, " ", word))
	}
	return out
}

func (w *world) nonCompliant(image, name string, p Page) []string {
	w.t.Helper()
	rows, total, err := w.NonCompliant(w.t.Context(), w.project(), w.images()[image].ID, name, p)
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{fmt.Sprint("of ", total)}
	for _, r := range rows {
		if len(r.ID) != 32 || r.Layer == "" {
			w.t.Errorf("%+v", r)
		}
		out = append(out, fmt.Sprint(r.Type, " ", r.Name, " ", r.Version, " ", r.Path))
	}
	return out
}

func TestPolicy(t *testing.T) { onEngines(t, testPolicy) }

func testPolicy(t *testing.T) {
	w, k := appsWorld(t)
	page := Page{Limit: 10}
	recheck := func(want int) {
		t.Helper()
		if n, err := w.RecheckPolicy(t.Context()); n != want || err != nil {
			t.Errorf("judged anew: %d, %v, want %d", n, err, want)
		}
	}
	// Without a list nothing is denied, and nothing is called compliant.
	recheck(0)
	if d := cmp.Diff([]string{"of 0"}, w.nonCompliant("web:1", "", page)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"of 0"}, w.places(AppFilter{NonCompliant: true}, page)); d != "" {
		t.Error(d)
	}

	w.SetPolicy(denyList(t, oldSSL+declared))
	recheck(3)
	recheck(0)
	ssl := []string{"of 1", "deb openssl 3.0.9-1 /var/lib/dpkg/status"}
	for image, want := range map[string][]string{"web:1": ssl, "shop:1": ssl, "web:2": {"of 0"}, "web:3": ssl, "web:4": {"of 0"}} {
		if d := cmp.Diff(want, w.nonCompliant(image, "", page)); d != "" {
			t.Errorf("%s: %s", image, d)
		}
	}
	// What is scanned now is judged at once.
	w.SetPolicy(denyList(t, oldSSL+noRequests))
	w.scanAll(k, 1, 2, 3, 4)
	recheck(0)
	all := []string{"of 2", ssl[1], "pypi requests 2.28.1 /opt/venv/requests-2.28.1.dist-info/METADATA"}
	for _, tc := range []struct {
		name, app string
		p         Page
		want      []string
	}{
		{"all", "", page, all},
		{"name", "quest", page, []string{"of 1", all[2]}},
		{"another name", "zlib", page, []string{"of 0"}},
		{"short page", "", Page{Limit: 1}, all[:2]},
		{"second page", "", Page{Offset: 1, Limit: 1}, []string{"of 2", all[2]}},
		{"past the end", "", Page{Offset: 2, Limit: 1}, []string{"of 2"}},
	} {
		if d := cmp.Diff(tc.want, w.nonCompliant("web:1", tc.app, tc.p)); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
	for name, f := range map[string]func() error{
		"image": func() error {
			_, _, err := w.NonCompliant(t.Context(), w.project(), "nope", "", page)
			return err
		},
		"image of another project": func() error {
			_, _, err := w.NonCompliant(t.Context(), "other", w.images()["web:1"].ID, "", page)
			return err
		},
	} {
		if err := f(); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("unknown %s: %v", name, err)
		}
	}
	// A restart keeps what was judged; without a list it is forgotten.
	w.reopen()
	w.SetPolicy(denyList(t, oldSSL+noRequests))
	recheck(0)
	w.SetPolicy(nil)
	recheck(4)
	if d := cmp.Diff([]string{"of 0"}, w.nonCompliant("web:1", "", page)); d != "" {
		t.Error(d)
	}
}

func TestAllApps(t *testing.T) { onEngines(t, testAllApps) }

func testAllApps(t *testing.T) {
	w, _ := appsWorld(t)
	// Image 1 has two names, so that there are 4 images with 4 places each.
	rows := w.places(AppFilter{}, Page{Limit: 100})
	if len(rows) != 17 || rows[0] != "of 16" {
		t.Fatalf("%q", rows)
	}
	perImage := map[string]int{}
	for _, r := range rows[1:] {
		var image, name, version, word string
		if _, err := fmt.Sscan(r, &image, &name, &version, &word); err != nil {
			t.Fatal(err)
		}
		perImage[image]++
		if word != "?" || name == "declared-only" {
			t.Errorf("%s", r)
		}
	}
	if d := cmp.Diff(map[string]int{"web:1": 4, "shop:1": 4, "web:2": 4, "web:3": 4}, perImage); d != "" {
		t.Error(d)
	}
	w.SetPolicy(denyList(t, oldSSL))
	if _, err := w.RecheckPolicy(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]AppFilter{"all": {}, "name": {Name: "ssl"}, "denied": {NonCompliant: true}, "denied by name": {Name: "openssl", NonCompliant: true}} {
		all := w.places(f, Page{Limit: 100})
		// Pages of any size are the whole list.
		for _, size := range []int64{1, 3, 7} {
			got := []string{all[0]}
			for at := int64(0); ; at += size {
				page := w.places(f, Page{Offset: at, Limit: size})
				if page[0] != all[0] {
					t.Errorf("%s: %s, want %s", name, page[0], all[0])
				}
				if len(page) == 1 {
					break
				}
				got = append(got, page[1:]...)
			}
			if d := cmp.Diff(all, got); d != "" {
				t.Errorf("%s, pages of %d: %s", name, size, d)
			}
		}
	}
	if got := w.places(AppFilter{Name: "ssl"}, Page{Limit: 1}); got[0] != "of 8" {
		t.Errorf("by name: %q", got)
	}
	denied := w.places(AppFilter{NonCompliant: true}, Page{Limit: 100})
	if denied[0] != "of 3" || len(denied) != 4 {
		t.Errorf("%q", denied)
	}
	for _, r := range denied[1:] {
		if image, rest, _ := strings.Cut(r, " "); image == "web:2" || rest != "openssl 3.0.9-1 false" {
			t.Errorf("%q", r)
		}
	}
	if got := w.places(AppFilter{Name: "zlib", NonCompliant: true}, Page{Limit: 1}); got[0] != "of 0" {
		t.Errorf("%q", got)
	}
	one, _, err := w.AllApps(t.Context(), w.project(), AppFilter{Name: "libssl3"}, Page{Limit: 10})
	if err != nil || len(one) != 4 {
		t.Fatalf("%v, %v", one, err)
	}
	for _, a := range one {
		want := int64(2)
		if a.ImageVersion == "2" {
			want = 0
		}
		if a.VulNum != want || a.Layer == "" || a.Path != "/var/lib/dpkg/status" || a.ImageID != w.images()[a.ImageName+":"+a.ImageVersion].ID || a.ScanTime == 0 || a.Compliant == nil || !*a.Compliant {
			t.Errorf("%+v", a)
		}
	}
	if rows, total, err := w.AllApps(t.Context(), "other", AppFilter{}, Page{Limit: 10}); err != nil || total != 0 || len(rows) != 0 {
		t.Errorf("another project: %v, %v", rows, err)
	}
}

// Run judges anew at its start and when the list is replaced.
func TestRunJudges(t *testing.T) {
	w, _ := appsWorld(t)
	w.SetPolicy(denyList(t, oldSSL))
	w.Store.cfg.Advisories = nil
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for _, step := range []struct {
		p    *policy.Policy
		want int64
	}{{nil, 2}, {denyList(t, oldSSL+noRequests), 5}, {denyList(t, ""), 0}} {
		if step.p != nil {
			w.SetPolicy(step.p)
		}
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			var n int64
			if err := w.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM non_compliant`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if n == step.want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d rows, want %d", n, step.want)
			}
		}
	}
}

// Rows go with the last content that has the part.
func TestNonCompliantGoes(t *testing.T) {
	w, k := appsWorld(t)
	w.SetPolicy(denyList(t, oldSSL))
	if _, err := w.RecheckPolicy(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.sync(k, 0, nil, []fleet.ImageState{})
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := w.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM non_compliant`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
}
