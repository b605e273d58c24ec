package store

import (
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onceover/onceover/internal/fault"
)

func TestWhitelist(t *testing.T) { onEngines(t, testWhitelist) }

func testWhitelist(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1"), ref("shop", "1")), state(3, ref("db", "3")))
	w.scanAll(k, 1, 3)
	w.rematch()
	ssl, zlib, requests := rules[0].id, rules[2].id, rules[3].id
	web, db := w.images()["web:1"], w.images()["db:3"]
	ctx := t.Context()
	nums := func(when string, want map[string]int64) {
		t.Helper()
		w.agree()
		got := map[string]int64{}
		for name, i := range w.images() {
			got[name] = i.VulNum
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", when, d)
		}
	}
	add := func(n NewWhitelist) {
		t.Helper()
		if err := w.AddWhitelist(ctx, w.project(), n, Actor{Name: operator}); err != nil {
			t.Fatal(err)
		}
	}
	add(NewWhitelist{Vuls: []string{ssl, "unknown", ssl}, Scope: RuleSpecificImages, Images: []string{web.ID, "unknown"}, Description: "not reachable"})
	nums("for an image", map[string]int64{"web:1": 3, "shop:1": 3, "db:3": 4})
	w.add(time.Second)
	add(NewWhitelist{Vuls: []string{zlib, requests}, Type: VulLinux, Scope: RuleAllImages})
	nums("for all", map[string]int64{"web:1": 2, "shop:1": 2, "db:3": 3})
	// A rule for all images holds for those that come later.
	w.scanAll(w.agent("b", state(5, ref("new", "5"))), 5)
	nums("a new image", map[string]int64{"web:1": 2, "shop:1": 2, "db:3": 3, "new:5": 3})

	list := w.rules()
	want := []Whitelist{
		{VulID: zlib, VulType: VulLinux, Scope: RuleAllImages, AddedBy: operator},
		{VulID: ssl, VulType: VulLinux, Scope: RuleSpecificImages, Description: "not reachable", AddedBy: operator},
	}
	if d := gocmp.Diff(want, list, cmpopts.IgnoreFields(Whitelist{}, "ID", "CVEs", "AddedAt")); d != "" {
		t.Fatal(d)
	}
	if len(list[1].CVEs) != 1 || list[1].CVEs[0].ID != "CVE-2024-6119" {
		t.Errorf("CVEs %+v", list[1].CVEs)
	}
	for name, c := range map[string]struct {
		filter WhitelistFilter
		want   int64
	}{
		"name": {WhitelistFilter{VulName: "2024-6119"}, 1}, "type": {WhitelistFilter{VulType: VulApp}, 0}, "both": {WhitelistFilter{VulName: "DEBIAN", VulType: VulLinux}, 2},
	} {
		if _, n, err := w.Whitelists(ctx, w.project(), c.filter, all); err != nil || n != c.want {
			t.Errorf("%s: %d rules, %v", name, n, err)
		}
	}
	r, images, err := w.Whitelist(ctx, w.project(), list[1].ID, all)
	if err != nil || r.VulID != ssl {
		t.Fatalf("%+v, %v", r, err)
	}
	if d := gocmp.Diff([]ListedImage{{web.ID, "web"}}, images); d != "" {
		t.Error(d)
	}

	// Changes replace what they name and leave the rest.
	change := func(id string, c WhitelistChange) {
		t.Helper()
		if err := w.ChangeWhitelist(ctx, w.project(), id, c, Actor{Name: operator}); err != nil {
			t.Fatal(err)
		}
	}
	change(list[1].ID, WhitelistChange{Description: new("another reason")})
	nums("described anew", map[string]int64{"web:1": 2, "shop:1": 2, "db:3": 3, "new:5": 3})
	change(list[1].ID, WhitelistChange{Images: []string{db.ID}})
	nums("another image", map[string]int64{"web:1": 3, "shop:1": 3, "db:3": 2, "new:5": 3})
	change(list[1].ID, WhitelistChange{Scope: RuleAllImages})
	nums("all images", map[string]int64{"web:1": 2, "shop:1": 2, "db:3": 2, "new:5": 2})
	change(list[0].ID, WhitelistChange{Scope: RuleSpecificImages, Images: []string{db.ID, web.ID}})
	nums("some images", map[string]int64{"web:1": 2, "shop:1": 2, "db:3": 2, "new:5": 3})
	if r, images, err = w.Whitelist(ctx, w.project(), list[1].ID, all); err != nil || r.Description != "another reason" || r.Scope != RuleAllImages || len(images) != 0 {
		t.Errorf("%+v of %v, %v", r, images, err)
	}

	// What two reasons set aside is open when both are gone.
	w.handle(Handling{Type: VulLinux, Action: VulIgnore, Vuls: []string{ssl}})
	if err := w.DropWhitelist(ctx, w.project(), []string{list[1].ID}, Actor{Name: operator}); err != nil {
		t.Fatal(err)
	}
	nums("ignored", map[string]int64{"web:1": 2, "shop:1": 2, "db:3": 2, "new:5": 3})
	w.handle(Handling{Type: VulLinux, Action: VulNotIgnore, Vuls: []string{ssl}})
	nums("not ignored", map[string]int64{"web:1": 3, "shop:1": 3, "db:3": 3, "new:5": 4})
	if err := w.DropWhitelist(ctx, w.project(), []string{"unknown", list[0].ID}, Actor{Name: operator}); err != nil {
		t.Fatal(err)
	}
	nums("without rules", map[string]int64{"web:1": 4, "shop:1": 4, "db:3": 4, "new:5": 4})

	choices, n, err := w.VulChoices(ctx, w.project(), VulLinux, "DEBIAN", Page{Limit: 2})
	if err != nil || n != 3 || !slices.Equal(choices, []string{rules[2].id, rules[1].id}) {
		t.Errorf("choices %v of %d, %v", choices, n, err)
	}
}

// TestWhitelistByHandling holds that what is put on the list is one rule for each
// vulnerability.
func TestWhitelistByHandling(t *testing.T) { onEngines(t, testWhitelistByHandling) }

func testWhitelistByHandling(t *testing.T) {
	w := newWorld(t)
	w.scanAll(w.agent("a", state(1, ref("web", "1")), state(3, ref("db", "3"))), 1, 3)
	web, db := w.images()["web:1"].ID, w.images()["db:3"].ID
	for _, id := range []string{web, db, web} {
		w.handle(Handling{Type: VulApp, Action: VulToWhitelist, Images: []string{id}})
	}
	list := w.rules()
	if len(list) != 1 || list[0].VulID != rules[3].id || list[0].VulType != VulApp || list[0].Scope != RuleSpecificImages || list[0].Description != "because" {
		t.Fatalf("rules %+v", list)
	}
	_, images, err := w.Whitelist(t.Context(), w.project(), list[0].ID, all)
	if err != nil || len(images) != 2 {
		t.Errorf("images %v, %v", images, err)
	}
	w.agree()
	if n := w.images()["web:1"].VulNum; n != 3 {
		t.Errorf("%d open vulnerabilities", n)
	}
}

func TestWhitelistErrors(t *testing.T) { onEngines(t, testWhitelistErrors) }

func testWhitelistErrors(t *testing.T) {
	w := newWorld(t)
	w.scanAll(w.agent("a", state(1, ref("web", "1"))), 1)
	web, ssl := w.images()["web:1"].ID, rules[0].id
	ctx := t.Context()
	if err := w.AddWhitelist(ctx, w.project(), NewWhitelist{Vuls: []string{ssl}, Scope: RuleAllImages}, Actor{Name: operator}); err != nil {
		t.Fatal(err)
	}
	id := w.rules()[0].ID
	other, err := w.CreateProject(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		err  error
		want fault.Code
	}{
		"no such vulnerability": {w.AddWhitelist(ctx, w.project(), NewWhitelist{Vuls: []string{"x", "\x00\xff"}, Scope: RuleAllImages}, Actor{Name: operator}), fault.NotFound},
		"none of the type":      {w.AddWhitelist(ctx, w.project(), NewWhitelist{Vuls: []string{ssl}, Type: VulApp, Scope: RuleAllImages}, Actor{Name: operator}), fault.NotFound},
		"no such image":         {w.AddWhitelist(ctx, w.project(), NewWhitelist{Vuls: []string{ssl}, Scope: RuleSpecificImages, Images: []string{"x"}}, Actor{Name: operator}), fault.NotFound},
		"another project":       {w.AddWhitelist(ctx, other.ID, NewWhitelist{Vuls: []string{ssl}, Scope: RuleAllImages}, Actor{Name: operator}), fault.NotFound},
		"change no rule":        {w.ChangeWhitelist(ctx, w.project(), "x", WhitelistChange{Scope: RuleAllImages}, Actor{Name: operator}), fault.NotFound},
		"change of another":     {w.ChangeWhitelist(ctx, other.ID, id, WhitelistChange{Scope: RuleAllImages}, Actor{Name: operator}), fault.NotFound},
		"change to nothing":     {w.ChangeWhitelist(ctx, w.project(), id, WhitelistChange{Scope: RuleSpecificImages}, Actor{Name: operator}), fault.Invalid},
		"images beside all":     {w.ChangeWhitelist(ctx, w.project(), id, WhitelistChange{Images: []string{web}}, Actor{Name: operator}), fault.Invalid},
		"delete no rule":        {w.DropWhitelist(ctx, w.project(), []string{"x", "0000000000000001"}, Actor{Name: operator}), fault.NotFound},
		"delete of another":     {w.DropWhitelist(ctx, other.ID, []string{id}, Actor{Name: operator}), fault.NotFound},
	} {
		if fault.CodeOf(c.err) != c.want {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	if _, _, err := w.Whitelist(ctx, other.ID, id, all); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the rule of another project: %v", err)
	}
	if n := len(w.rules()); n != 1 {
		t.Errorf("%d rules", n)
	}
	w.agree()
}
