package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fleet"
)

func TestDecisionsAreLogged(t *testing.T) { onEngines(t, testDecisionsAreLogged) }

func testDecisionsAreLogged(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1"), ref("shop", "1")), state(3, ref("db", "3")))
	w.scanAll(k, 1, 3)
	w.rematch()
	ctx, by := t.Context(), Actor{Name: operator, IP: "10.0.0.9"}
	web, db := w.images()["web:1"].ID, w.images()["db:3"].ID
	ssl, zlib := rules[0].id, rules[2].id
	told := 0
	check := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, e := range w.imageLog(LogFilter{User: operator})[told:] {
			if e.By != by {
				t.Errorf("%s: by %v", what, e.By)
			}
			got = append(got, strings.Join([]string{e.Type, e.Name, e.ResourceType, e.Resource, e.Content}, "|"))
		}
		told += len(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.Handle(ctx, w.project(), Handling{Type: VulLinux, Action: VulIgnore, Pairs: []ImageVul{{web, ssl}, {db, ssl}}}, by, "a remark"))
	// An image that shares its content is concerned as well.
	check("ignored",
		"vulnerability|vul_ignored|image|db:3|"+ssl+" in db:3: ignored.",
		"vulnerability|vul_ignored|image|shop:1|"+ssl+" in shop:1: ignored.",
		"vulnerability|vul_ignored|image|web:1|"+ssl+" in web:1: ignored.")
	must(w.Handle(ctx, w.project(), Handling{Type: VulLinux, Action: VulNotIgnore, Images: []string{db}}, by, ""))
	check("taken back", "vulnerability|vul_not_ignored|image|db:3|"+ssl+" in db:3: taken back: not ignored any more.")
	must(w.Handle(ctx, w.project(), Handling{Type: VulLinux, Action: VulToWhitelist, Pairs: []ImageVul{{db, ssl}, {db, zlib}}}, by, ""))
	names := []string{ssl, zlib}
	slices.Sort(names)
	check("put on the whitelist", "vulnerability|vul_whitelisted|image|db:3|2 vulnerabilities ("+strings.Join(names, ", ")+") in db:3: put on the whitelist.")
	must(w.AddWhitelist(ctx, w.project(), NewWhitelist{Vuls: []string{zlib}, Scope: RuleAllImages}, by))
	check("a rule", "whitelist|whitelist_added|whitelist_rule|"+zlib+"|Whitelist for "+zlib+" in all images: added.")
	var rule string
	for _, r := range w.rules() {
		if r.VulID == zlib && r.Scope == RuleAllImages {
			rule = r.ID
		}
	}
	must(w.ChangeWhitelist(ctx, w.project(), rule, WhitelistChange{Scope: RuleSpecificImages, Images: []string{web}}, by))
	check("another scope", "whitelist|whitelist_changed|whitelist_rule|"+zlib+"|Whitelist for "+zlib+" in 1 images: changed.")
	must(w.DropWhitelist(ctx, w.project(), []string{rule}, by))
	check("no rule", "whitelist|whitelist_deleted|whitelist_rule|"+zlib+"|Whitelist for "+zlib+": deleted.")
	must(w.SetPaths(ctx, w.project(), []string{"/srv", "/opt"}, by))
	must(w.SetPaths(ctx, w.project(), []string{"/srv"}, by))
	check("paths",
		"whitelist|whitelist_changed|path_whitelist|paths|Whitelist of paths: 2 paths, 2 of them new, 0 taken off.",
		"whitelist|whitelist_changed|path_whitelist|paths|Whitelist of paths: 1 paths, 0 of them new, 1 taken off.")

	// What is refused or selects nothing is not told.
	_ = w.Handle(ctx, w.project(), Handling{Type: VulLinux, Action: VulIgnore, Vuls: []string{"unknown"}}, by, "")
	_ = w.DropWhitelist(ctx, w.project(), []string{rule}, by)
	must(w.Handle(ctx, w.project(), Handling{Type: VulApp, Action: VulNotIgnore}, by, ""))
	check("what was not done")

	// One entry for many images.
	var many []fleet.ImageState
	for i := range 25 {
		many = append(many, state(1, ref(fmt.Sprintf("many-%02d", i), "1")))
	}
	w.agent("b", many...)
	must(w.Handle(ctx, w.project(), Handling{Type: VulLinux, Action: VulRepaired, Vuls: []string{zlib}}, by, ""))
	check("everywhere", "vulnerability|vul_repaired|vulnerability|"+zlib+"|"+zlib+" in 28 images: db:3, many-00:1, many-01:1, many-02:1, many-03:1 and 23 more: marked as repaired by hand.")
}
