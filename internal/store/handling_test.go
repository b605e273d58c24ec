package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/report"
)

const operator = "AK-OF-THE-OPERATOR"

var all = Page{Limit: 10_000}

func (w *world) handle(h Handling) {
	w.t.Helper()
	if err := w.Handle(w.t.Context(), w.project(), h, Actor{Name: operator}, "because"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) rules() []Whitelist {
	w.t.Helper()
	list, _, err := w.Whitelists(w.t.Context(), w.project(), WhitelistFilter{}, all)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// TestHandlingAtRandom scans, re-matches, removes, pulls, decides and lists at
// random. After each step the lists and counters agree with a naive count, and
// handling did to what it should, and to nothing else, what it should.
func TestHandlingAtRandom(t *testing.T) { onEngines(t, testHandlingAtRandom) }

func testHandlingAtRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	w := newWorld(t)
	fleetOf := []fleet.ImageState{state(1, ref("web", "1"), ref("shop", "1")), state(2, ref("web", "2")), state(3, ref("db", "3"))}
	k := w.agent("a", fleetOf...)
	w.scanAll(k, 1, 2, 3)
	other, err := w.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	first := w.first.Project
	w.first.Project = other
	w.scanAll(w.agent("b", state(1, ref("web", "1"))), 1)
	w.first.Project = first
	w.rematch()
	levels := []string{report.SeverityLow, report.SeverityMedium, report.SeverityHigh, report.SeverityCritical}
	for round := range 40 {
		step := rnd.IntN(8)
		switch step {
		case 0: // severities and advisories change
			have := slices.Clone(rules)
			for i := range have {
				have[i].severity = levels[rnd.IntN(len(levels))]
			}
			have = have[rnd.IntN(2):]
			var diff *advisory.Diff
			if rnd.IntN(2) == 0 {
				diff = &advisory.Diff{Packages: key("openssl", "zlib", "requests")}
			}
			w.table.replace(fmt.Sprint("round ", round), diff, have...)
			w.rematch()
		case 1:
			w.scanAll(k, 1, 2, 3)
		case 2: // some images leave, for a while or for good
			w.syncNew(k, fmt.Sprint("fewer ", round), fleetOf[rnd.IntN(3):])
			w.agree() // which lets the index see them leave
			if rnd.IntN(2) == 0 {
				w.add(keepGone + time.Hour)
				if err := w.Sweep(t.Context(), w.ms()); err != nil {
					t.Fatal(err)
				}
			}
			w.agree()
			w.syncNew(k, fmt.Sprint("all ", round), fleetOf)
			w.scanAll(k, 1, 2, 3)
		case 3, 4, 5:
			w.handleAtRandom(rnd)
		case 6:
			w.addRuleAtRandom(rnd)
		case 7:
			if list := w.rules(); len(list) > 0 {
				r := list[rnd.IntN(len(list))]
				if rnd.IntN(2) == 0 {
					err = w.DropWhitelist(t.Context(), w.project(), []string{r.ID, "unknown"}, Actor{Name: operator})
				} else {
					err = w.ChangeWhitelist(t.Context(), w.project(), r.ID, WhitelistChange{Scope: RuleSpecificImages, Images: w.someImages(rnd)}, Actor{Name: operator})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		w.agree()
		if t.Failed() {
			t.Fatalf("in round %d, step %d", round, step)
		}
	}
	// What a project decides is nothing to another.
	w.first.Project = other
	for p, s := range w.seen() {
		if s.handled {
			t.Errorf("%v is handled in the other project", p)
		}
	}
}

// syncNew sends a list of images that is another.
func (w *world) syncNew(k auth.Key, hash string, images []fleet.ImageState) {
	w.t.Helper()
	req := w.request(k, 0, nil, images)
	req.ImagesHash = hash
	if _, err := w.Store.Sync(w.t.Context(), k, req, w.ms()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) someImages(rnd *rand.Rand) []string {
	var ids []string
	for _, i := range w.images() {
		ids = append(ids, i.ID)
	}
	slices.Sort(ids)
	rnd.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids[:1+rnd.IntN(len(ids))]
}

func (w *world) someVuls(rnd *rand.Rand) []string {
	known := map[string]bool{}
	for p := range w.seen() {
		known[p.Vul] = true
	}
	ids := slices.Sorted(maps.Keys(known))
	rnd.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids[:1+rnd.IntN(len(ids))]
}

func (w *world) addRuleAtRandom(rnd *rand.Rand) {
	w.t.Helper()
	n := NewWhitelist{Vuls: w.someVuls(rnd)[:1], Scope: RuleAllImages}
	if rnd.IntN(3) > 0 {
		n.Scope, n.Images = RuleSpecificImages, w.someImages(rnd)
	}
	if err := w.AddWhitelist(w.t.Context(), w.project(), n, Actor{Name: operator}); err != nil {
		w.t.Fatal(err)
	}
}

// handleAtRandom compares a handling with what it should do by the lists.
func (w *world) handleAtRandom(rnd *rand.Rand) {
	w.t.Helper()
	h := Handling{
		Type:    []string{VulLinux, VulApp}[rnd.IntN(2)],
		Action:  []string{VulIgnore, VulNotIgnore, VulRepaired, VulToWhitelist, VulNotIgnore}[rnd.IntN(5)],
		Handled: []*bool{nil, new(true), new(false)}[rnd.IntN(3)],
	}
	before := w.seen()
	selected := func(p ImageVul) bool { return true }
	switch rnd.IntN(4) {
	case 1:
		h.Vuls = append(w.someVuls(rnd), "no such advisory")
		selected = func(p ImageVul) bool { return slices.Contains(h.Vuls, p.Vul) }
	case 2:
		h.Images = append(w.someImages(rnd), "no such image")
		selected = func(p ImageVul) bool { return slices.Contains(h.Images, p.Image) }
	case 3:
		for _, i := range w.someImages(rnd) {
			for _, v := range w.someVuls(rnd) {
				h.Pairs = append(h.Pairs, ImageVul{i, v})
			}
		}
		selected = func(p ImageVul) bool { return slices.Contains(h.Pairs, p) }
	}
	// All names of a content share what is decided.
	content := map[string]string{}
	for _, i := range w.images() {
		content[i.ID] = i.ConfigDigest
	}
	chosen := map[[2]string]bool{}
	for p, s := range before {
		if selected(p) && s.typ == h.Type && (h.Handled == nil || *h.Handled == s.handled) && (h.Action != VulNotIgnore || s.decided) {
			chosen[[2]string{content[p.Image], p.Vul}] = true
		}
	}
	want := map[ImageVul]bool{}
	for p := range before {
		if chosen[[2]string{content[p.Image], p.Vul}] {
			want[p] = true
		}
	}
	preview, err := w.Preview(w.t.Context(), w.project(), h, "", "", all)
	if err != nil {
		w.t.Fatal(err)
	}
	got := map[ImageVul]bool{}
	for _, p := range preview.List {
		got[ImageVul{p.ImageID, p.VulID}] = true
	}
	if d := gocmp.Diff(want, got); d != "" || preview.Pairs != int64(len(want)) {
		w.t.Errorf("preview of %+v: %s", h, d)
	}
	w.handle(h)
	for p, s := range w.seen() {
		was := before[p]
		switch {
		case !want[p]:
			if s != was {
				w.t.Errorf("%+v made of %v, which is not selected, %+v; it was %+v", h, p, s, was)
			}
		case h.Action == VulNotIgnore:
			if s.decided || s.handled && !was.handled {
				w.t.Errorf("%+v left %v as %+v", h, p, s)
			}
		default:
			if !s.handled || h.Action != VulToWhitelist && !s.decided {
				w.t.Errorf("%+v left %v as %+v", h, p, s)
			}
		}
	}
}

// TestDecisionsStay follows a decision through what happens to an image.
func TestDecisionsStay(t *testing.T) { onEngines(t, testDecisionsStay) }

func testDecisionsStay(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(1, ref("web", "1"), ref("shop", "1")), state(2, ref("web", "2")))
	w.scanAll(k, 1, 2)
	w.rematch()
	ssl, zlib := rules[0].id, rules[2].id
	web := w.images()["web:1"]
	if web.VulNum != 4 || web.SeverityLevel != "High" {
		t.Fatalf("before: %+v", web)
	}
	w.handle(Handling{Type: VulLinux, Action: VulIgnore, Pairs: []ImageVul{{web.ID, ssl}, {web.ID, "unknown"}, {"unknown", ssl}}})
	w.handle(Handling{Type: VulLinux, Action: VulRepaired, Vuls: []string{zlib}, Handled: new(false)})
	num := func(when, name string, want int64) {
		t.Helper()
		if n := w.images()[name].VulNum; n != want {
			t.Errorf("%s: %s has %d open vulnerabilities, want %d", when, name, n, want)
		}
		w.agree()
	}
	num("decided", "web:1", 2)
	num("decided, another name", "shop:1", 2)
	num("decided", "web:2", 1)
	w.scanAll(k, 1, 2)
	num("scanned again", "web:1", 2)
	changed := slices.Clone(rules)
	changed[0].severity = report.SeverityCritical
	w.table.replace("other", &advisory.Diff{Packages: key("openssl")}, changed...)
	w.rematch()
	num("matched again", "web:1", 2)
	w.table.replace("without", &advisory.Diff{Packages: key("openssl")}, changed[2:]...)
	w.rematch()
	w.table.replace("with", nil, changed...)
	w.rematch()
	num("the advisory went and came", "web:1", 2)
	w.syncNew(k, "without", []fleet.ImageState{state(2, ref("web", "2"))})
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	w.scanAll(w.agent("b", state(1, ref("web", "1"))), 1)
	num("pulled again on another host", "web:1", 2)

	w.handle(Handling{Type: VulLinux, Action: VulNotIgnore})
	num("undone", "web:1", 4)
	if i := w.images()["web:2"]; i.VulNum != 2 || i.SeverityLevel != "High" {
		t.Errorf("undone: %+v", i)
	}
	w.handle(Handling{Type: VulLinux, Action: VulIgnore})
	w.handle(Handling{Type: VulApp, Action: VulIgnore})
	if i := w.images()["web:1"]; i.VulNum != 0 || i.SeverityLevel != "Security" {
		t.Errorf("all is ignored: %+v", i)
	}
	rows, total, err := w.Images(t.Context(), w.project(), ImageFilter{HasVul: new(true)}, all)
	if err != nil || total != 0 {
		t.Errorf("images with vulnerabilities: %v, %v", rows, err)
	}
}

func TestHandlingHistory(t *testing.T) { onEngines(t, testHandlingHistory) }

func testHandlingHistory(t *testing.T) {
	w := newWorld(t)
	w.scanAll(w.agent("a", state(1, ref("web", "1")), state(3, ref("db", "3"))), 1, 3)
	ssl := rules[0].id
	web, db := w.images()["web:1"], w.images()["db:3"]
	for _, action := range []string{VulIgnore, VulRepaired, VulToWhitelist, VulNotIgnore} {
		w.add(time.Minute)
		h := Handling{Type: VulLinux, Action: action, Vuls: []string{ssl}}
		if action == VulIgnore {
			h = Handling{Type: VulLinux, Action: action, Images: []string{web.ID}}
		}
		w.handle(h)
	}
	type row struct {
		image, action, by, remark string
		at                        int64
		handled                   bool
	}
	history := func(f HistoryFilter) []row {
		t.Helper()
		list, total, err := w.History(t.Context(), w.project(), ssl, f, all)
		if err != nil || total != int64(len(list)) {
			t.Fatalf("%d of %d, %v", len(list), total, err)
		}
		var out []row
		for _, o := range list {
			if o.App != "libssl3" && o.App != "openssl" || o.AppVersion != "3.0.9-1" || o.Path == "" || o.Type != VulLinux || o.AgentID == "" || o.ConfigDigest == "" {
				t.Errorf("row %+v", o)
			}
			out = append(out, row{o.ImageName, o.Action, o.By, o.Remark, (w.ms() - o.At) / time.Minute.Milliseconds(), o.Handled})
		}
		return out
	}
	both := func(action string, at int64, handled bool) []row {
		rows := []row{{"web", action, operator, "because", at, handled}, {"db", action, operator, "because", at, handled}}
		if db.ID < web.ID {
			slices.Reverse(rows)
		}
		return rows
	}
	// What is undone stays handled by the rule.
	want := slices.Concat(both(VulNotIgnore, 0, true), both(VulToWhitelist, 1, true), []row{{"web", VulIgnore, operator, "because", 3, true}})
	for name, c := range map[string]struct {
		filter HistoryFilter
		want   []row
	}{
		"all":       {HistoryFilter{}, want},
		"an image":  {HistoryFilter{ImageID: web.ID, Action: VulIgnore}, want[4:]},
		"names":     {HistoryFilter{ImageName: "we", By: "OPERATOR", Remark: "cause", App: "ssl", AppVersion: "3.0", Action: VulIgnore}, want[4:]},
		"open":      {HistoryFilter{Handled: new(false)}, nil},
		"no repair": {HistoryFilter{Action: VulRepaired}, nil},
		"not by":    {HistoryFilter{By: "x"}, nil},
	} {
		if d := gocmp.Diff(c.want, history(c.filter), gocmp.AllowUnexported(row{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if _, _, err := w.History(t.Context(), w.project(), "unknown", HistoryFilter{}, all); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("an unknown vulnerability: %v", err)
	}
	// What was handled stays known when its advisory is withdrawn.
	w.table.replace("next", nil, rules[1:]...)
	w.rematch()
	for by, n := range map[string]int{"": len(want), "x": 0} {
		if list, _, err := w.History(t.Context(), w.project(), ssl, HistoryFilter{By: by}, all); err != nil || len(list) != n {
			t.Errorf("a withdrawn vulnerability, by %q: %d rows, %v", by, len(list), err)
		}
	}
}

func TestHandlingOfUnknown(t *testing.T) { onEngines(t, testHandlingOfUnknown) }

func testHandlingOfUnknown(t *testing.T) {
	w := newWorld(t)
	w.scanAll(w.agent("a", state(1, ref("web", "1"))), 1)
	web := w.images()["web:1"].ID
	odd := "\x00\xff"
	for name, h := range map[string]Handling{
		"image":         {Images: []string{"x", odd}},
		"vulnerability": {Vuls: []string{"x", odd}},
		"pair":          {Pairs: []ImageVul{{"x", rules[0].id}, {web, "x"}, {odd, odd}}},
	} {
		h.Type, h.Action = VulLinux, VulIgnore
		if err := w.Handle(t.Context(), w.project(), h, Actor{Name: operator}, odd); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.Preview(t.Context(), w.project(), h, "", "", all); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("preview of %s: %v", name, err)
		}
	}
	// What is known and selects nothing is no mistake.
	w.handle(Handling{Type: VulApp, Action: VulIgnore, Vuls: []string{rules[0].id}})
	w.handle(Handling{Type: VulLinux, Action: VulNotIgnore})
	if n := w.images()["web:1"].VulNum; n != 4 {
		t.Errorf("%d open vulnerabilities", n)
	}
}
