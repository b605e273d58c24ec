package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/report"
)

// ranked lists everything, "id priority images/hosts/containers-suppressed".
func (w *world) ranked(project string, f RankFilter, order string) []string {
	w.t.Helper()
	return w.rankedIn([]string{project}, f, order)
}

func (w *world) rankedIn(projects []string, f RankFilter, order string) []string {
	w.t.Helper()
	var out []string
	for at := int64(0); ; at++ { // page by page
		rows, total, _, err := w.Ranked(w.t.Context(), projects, f, order, Page{Offset: at, Limit: 1})
		if err != nil {
			w.t.Fatal(err)
		}
		if int64(len(rows)) != min(1, max(0, total-at)) {
			w.t.Fatalf("%d rows at %d of %d", len(rows), at, total)
		}
		if len(rows) == 0 {
			return out
		}
		r := rows[0]
		out = append(out, fmt.Sprintf("%s %d %d/%d/%d-%d", r.ID, r.Priority, r.Images, r.Hosts, r.Containers, r.Suppressed))
		// The question about one says the same.
		var who Who
		for _, p := range projects {
			who.Join(w.who(p, r.ID, WhoseImages, Page{Limit: 100}))
		}
		rating := &Rating{r.Severity, r.Score, r.Exploits, r.Fixable, r.Priority}
		if who.Images != r.Images || who.Hosts != r.Hosts || who.Containers != r.Containers || who.Suppressed != r.Suppressed || who.Listed != r.Images || int64(len(who.ImageList)) != r.Images {
			w.t.Errorf("%s: %+v is listed, who has it: %+v", r.ID, r, who)
		}
		if d := cmp.Diff(rating, who.Rating); d != "" {
			w.t.Errorf("%s: %s", r.ID, d)
		}
	}
}

func TestRanked(t *testing.T) { onEngines(t, testRanked) }

func testRanked(t *testing.T) {
	w, neighbour := whoWorld(t)
	kev := map[string]Exploits{"CVE-2023-5363": {Known: true, Since: "2024-01-02", EPSS: 0.25, Percentile: 0.9}, "CVE-2023-45853": {EPSS: 0.01}}
	w.table.exploits = kev
	// No word of a vendor is in the rules of the tests, so the severity's own
	// points count: High 40, Critical 50, Medium 28. KEV 25, EPSS 10·√0.25 = 5
	// and 10·√0.01 = 1, running 10, fix 5.
	want := []string{
		"DEBIAN-CVE-2023-5363 85 3/2/3-0",
		"DEBIAN-CVE-2023-45853 61 4/2/3-0",
		"DEBIAN-CVE-2024-6119 55 3/2/3-0",
		"GHSA-9wx4-h78v-vm56 43 4/2/3-0",
	}
	if d := cmp.Diff(want, w.ranked(w.project(), RankFilter{}, OrderPriority)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{
		"DEBIAN-CVE-2023-5363 75 1/1/0-0", "DEBIAN-CVE-2023-45853 51 2/1/0-0", "DEBIAN-CVE-2024-6119 45 1/1/0-0", "GHSA-9wx4-h78v-vm56 33 2/1/0-0",
	}, w.ranked(neighbour, RankFilter{}, OrderPriority)); d != "" {
		t.Errorf("the neighbour's: %s", d)
	}
	both, together := []string{w.project(), neighbour}, []string{
		"DEBIAN-CVE-2023-5363 85 4/3/3-0", "DEBIAN-CVE-2023-45853 61 6/3/3-0", "DEBIAN-CVE-2024-6119 55 4/3/3-0", "GHSA-9wx4-h78v-vm56 43 6/3/3-0",
	}
	for range 2 { // made, and as it was made
		if d := cmp.Diff(together, w.rankedIn(both, RankFilter{}, OrderPriority)); d != "" {
			t.Errorf("both together: %s", d)
		}
	}
	if got := w.ranked("nobody", RankFilter{}, OrderPriority); got != nil {
		t.Errorf("a project without images: %v", got)
	}
	for order, want := range map[string]string{
		OrderSeverity: "45853 5363 6119 vm56", OrderEPSS: "5363 45853 6119 vm56", OrderImages: "45853 vm56 5363 6119", OrderID: "45853 5363 6119 vm56",
	} {
		var got []string
		for _, l := range w.ranked(w.project(), RankFilter{}, order) {
			id, _, _ := strings.Cut(l, " ")
			got = append(got, id[strings.LastIndexByte(id, '-')+1:])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("by %s: %v, want %s", order, got, want)
		}
	}
	yes, no := true, false
	for _, tc := range []struct {
		name    string
		project string
		f       RankFilter
		want    int
	}{
		{"critical", w.project(), RankFilter{Severities: []int64{4}}, 1},
		{"no severity", w.project(), RankFilter{Severities: []int64{}}, 0},
		{"exploited", w.project(), RankFilter{Exploited: &yes}, 1},
		{"not exploited", w.project(), RankFilter{Exploited: &no}, 3},
		{"fixable", w.project(), RankFilter{Fixable: &yes}, 3},
		{"fixable and exploited", w.project(), RankFilter{Fixable: &yes, Exploited: &yes}, 1},
		{"running", w.project(), RankFilter{Running: &yes}, 4},
		{"running at the neighbour's", neighbour, RankFilter{Running: &yes}, 0},
	} {
		if got := w.ranked(tc.project, tc.f, OrderPriority); len(got) != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	if _, _, _, err := w.Ranked(t.Context(), []string{w.project()}, RankFilter{}, "moons", Page{Limit: 1}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("by moons: %v", err)
	}
}

// TestRankedFollows: generations, re-matches, scans, images that leave and come
// back.
func TestRankedFollows(t *testing.T) { onEngines(t, testRankedFollows) }

func testRankedFollows(t *testing.T) {
	w := newWorld(t)
	a := w.agent("a", state(2, ref("web", "2")))
	check := func(what string, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, w.ranked(w.project(), RankFilter{}, OrderID)); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
	check("not scanned")
	w.scanAll(a, 1, 2)
	check("scanned", "DEBIAN-CVE-2023-45853 50 1/1/0-0", "GHSA-9wx4-h78v-vm56 33 1/1/0-0")
	w.rematch()
	// The same advisories, and one CVE is exploited now.
	w.table.exploits = map[string]Exploits{"CVE-2023-45853": {Known: true}}
	w.table.replace("second", &advisory.Diff{CVEs: []string{"CVE-2023-45853"}}, rules...)
	check("before the re-match", "DEBIAN-CVE-2023-45853 75 1/1/0-0", "GHSA-9wx4-h78v-vm56 33 1/1/0-0")
	w.rematch()
	check("a CVE in KEV", "DEBIAN-CVE-2023-45853 75 1/1/0-0", "GHSA-9wx4-h78v-vm56 33 1/1/0-0")
	// A scan brings packages and an advisory that nothing had.
	w.sync(a, 0, nil, []fleet.ImageState{state(1, ref("web", "1")), state(2, ref("web", "2"))})
	w.scanAll(a, 1, 2)
	four := []string{"DEBIAN-CVE-2023-45853 75 2/1/0-0", "DEBIAN-CVE-2023-5363 45 1/1/0-0", "DEBIAN-CVE-2024-6119 45 1/1/0-0", "GHSA-9wx4-h78v-vm56 33 2/1/0-0"}
	check("another scan", four...)
	w.reopen()
	check("after a restart", four...)
	w.table.replace("third", &advisory.Diff{Packages: key("zlib", "requests")}, rules[0], rules[1])
	w.rematch()
	check("advisories that have gone", four[1], four[2])
	w.sync(a, 0, nil, []fleet.ImageState{})
	check("images that have left")
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	w.table.replace("fourth", &advisory.Diff{Packages: key("zlib", "requests")}, rules...)
	w.rematch()
	check("forgotten")
	w.sync(a, 0, nil, []fleet.ImageState{state(1, ref("web", "1"))})
	w.scanAll(a, 1)
	check("pulled again", "DEBIAN-CVE-2023-45853 75 1/1/0-0", four[1], four[2], "GHSA-9wx4-h78v-vm56 33 1/1/0-0")
}

// openVEX is a document with one statement.
func openVEX(cve, product, rest string) []byte {
	return []byte(fmt.Sprintf(`{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[
{"vulnerability":{"name":%q},"products":[%s],%s}]}`, cve, product, rest))
}

const notPresent = `"status":"not_affected","justification":"vulnerable_code_not_present"`

func (w *world) putVEX(name string, content []byte) VEXDocument {
	w.t.Helper()
	d, err := w.PutVEX(w.t.Context(), w.project(), name, "AK", content)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func TestVEX(t *testing.T) { onEngines(t, testVEX) }

func testVEX(t *testing.T) {
	w, neighbour := whoWorld(t)
	p := Page{Limit: 50}
	line := func(id string) string {
		t.Helper()
		for _, l := range w.ranked(w.project(), RankFilter{Suppressed: true}, OrderID) {
			if strings.HasPrefix(l, id+" ") {
				return strings.TrimPrefix(l, id+" ")
			}
		}
		return ""
	}
	zlib := rules[2]
	for _, tc := range []struct {
		name          string
		id, product   string
		say           string
		want          string // of zlib
		suppressed    int64  // images
		runsElsewhere bool
	}{
		{"another vulnerability", "CVE-1999-1", `{"@id":"pkg:deb/debian/zlib"}`, notPresent, "60 4/2/3-0", 0, true},
		{"the package", zlib.cve, `{"@id":"pkg:deb/debian/zlib"}`, notPresent, "60 0/0/0-4", 4, false},
		{"by the advisory, fixed", zlib.id, `{"@id":"pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1"}`, `"status":"fixed"`, "60 0/0/0-4", 4, false},
		{"another version", zlib.cve, `{"@id":"pkg:deb/debian/zlib1g@2"}`, notPresent, "60 4/2/3-0", 0, true},
		{"affected", zlib.cve, `{"@id":"pkg:deb/debian/zlib"}`, `"status":"affected","action_statement":"wait"`, "60 4/2/3-0", 0, true},
		{"every image of the name", zlib.cve, `{"@id":"pkg:oci/web"}`, notPresent, "60 0/0/0-4", 4, false},
		{"one image, which runs", zlib.cve, `{"@id":"pkg:oci/web?tag=3"}`, notPresent, "60 3/2/2-1", 1, true},
		{"one by its other name", zlib.cve, `{"@id":"pkg:oci/web?tag=one"}`, notPresent, "60 2/2/1-2", 2, true},
		{"by the digest of its manifest", zlib.cve, fmt.Sprintf(`{"@id":"pkg:oci/web@%s"}`, strings.ReplaceAll(string(digest(1_000_002)), ":", "%3A")), notPresent, "60 3/2/3-1", 1, true},
		{"by the digest of its configuration", zlib.cve, fmt.Sprintf(`{"@id":"pkg:oci/web@%s"}`, strings.ReplaceAll(string(configDigest(2)), ":", "%3A")), notPresent, "60 3/2/3-1", 1, true},
		{"another image", zlib.cve, `{"@id":"pkg:oci/theirs"}`, notPresent, "60 4/2/3-0", 0, true},
		{"a part of an image", zlib.cve, `{"@id":"pkg:oci/web?tag=3","subcomponents":[{"@id":"pkg:deb/debian/zlib"}]}`, notPresent, "60 3/2/2-1", 1, true},
		{"another part of it", zlib.cve, `{"@id":"pkg:oci/web?tag=3","subcomponents":[{"@id":"pkg:deb/debian/openssl"}]}`, notPresent, "60 4/2/3-0", 0, true},
		{"within a package that some have", zlib.cve, `{"@id":"pkg:deb/debian/openssl@3.0.9-1","subcomponents":[{"@id":"pkg:deb/debian/zlib"}]}`, notPresent, "50 1/1/0-3", 3, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			w.putVEX("doc.json", openVEX(tc.id, tc.product, tc.say))
			if got := line(zlib.id); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if got := line(rules[3].id); got != "43 4/2/3-0" {
				t.Errorf("another vulnerability: %q", got)
			}
			got, err := w.WhoHasSuppressed(t.Context(), w.project(), zlib.cve, WhoseImages, p)
			if err != nil || len(got.ImageList) != 4 || got.Suppressed != tc.suppressed {
				t.Errorf("%+v, %v", got, err)
			}
			aside := int64(0)
			for _, i := range got.ImageList {
				for _, pkg := range i.Packages {
					if pkg.Judgement.Suppresses() {
						aside++
						if pkg.Judgement.Document != "doc.json" {
							t.Errorf("judged by %+v", pkg.Judgement)
						}
					}
				}
			}
			if aside != tc.suppressed {
				t.Errorf("%d packages are set aside, %d images", aside, tc.suppressed)
			}
			_, total, set, err := w.Ranked(t.Context(), []string{w.project()}, RankFilter{}, OrderPriority, p)
			want := int64(4)
			if tc.suppressed == 4 {
				want = 3
			}
			if err != nil || total != want || set != 4-want {
				t.Errorf("%d listed, %d set aside, %v", total, set, err)
			}
			if got := w.who(neighbour, zlib.cve, WhoseImages, p); got.Images != 2 || got.Suppressed != 0 {
				t.Errorf("the neighbour's: %+v", got)
			}
		})
	}
	w.t = t

	// Documents survive restarts and re-matches. The later of two counts.
	w.putVEX("doc.json", openVEX(zlib.cve, `{"@id":"pkg:deb/debian/zlib"}`, notPresent))
	w.putVEX("b.json", openVEX(zlib.cve, `{"@id":"pkg:deb/debian/zlib"}`, `"status":"under_investigation"`))
	if got := line(zlib.id); got != "60 4/2/3-0" {
		t.Errorf("a later document: %q", got)
	}
	w.putVEX("doc.json", openVEX(zlib.cve, `{"@id":"pkg:deb/debian/zlib"}`, notPresent))
	w.table.replace("next", &advisory.Diff{Packages: key("zlib")}, rules...)
	w.rematch()
	w.reopen()
	if got := line(zlib.id); got != "60 0/0/0-4" {
		t.Errorf("put again: %q", got)
	}
	list, err := w.VEX(t.Context(), w.project())
	if err != nil {
		t.Fatal(err)
	}
	want := []VEXDocument{{Name: "b.json", Format: "openvex", Statements: 1, PutBy: "AK", PutAt: w.ms()}, {Name: "doc.json", Format: "openvex", Statements: 1, PutBy: "AK", PutAt: w.ms()}}
	if d := cmp.Diff(want, list, cmpopts.IgnoreFields(VEXDocument{}, "Digest", "Size")); d != "" {
		t.Error(d)
	}
	if b, err := w.VEXContent(t.Context(), w.project(), "b.json"); err != nil || int64(len(b)) != list[0].Size {
		t.Errorf("%s, %v", b, err)
	}
	if _, err := w.VEXContent(t.Context(), neighbour, "b.json"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the neighbour reads it: %v", err)
	}
	if _, err := w.DropVEX(t.Context(), neighbour, "doc.json"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the neighbour deletes it: %v", err)
	}
	if sum, err := w.DropVEX(t.Context(), w.project(), "doc.json"); err != nil || sum != list[1].Digest {
		t.Errorf("%s, %v", sum, err)
	}
	if got := line(zlib.id); got != "60 4/2/3-0" {
		t.Errorf("deleted: %q", got)
	}
}

// TestVEXFollowsNames: an image that gets another name is judged under it.
func TestVEXFollowsNames(t *testing.T) { onEngines(t, testVEXFollowsNames) }

func testVEXFollowsNames(t *testing.T) {
	w := newWorld(t)
	a := w.agent("a", state(2, ref("web", "2")), state(4))
	w.scanAll(a, 2, 4)
	w.putVEX("db.json", openVEX(rules[2].cve, `{"@id":"pkg:oci/db"}`, notPresent))
	zlib := func() Who { return w.who(w.project(), rules[2].cve, WhoseImages, Page{Limit: 10}) }
	if got := zlib(); got.Images != 2 || got.Suppressed != 0 {
		t.Errorf("%+v", got)
	}
	w.sync(a, 0, nil, []fleet.ImageState{state(2, ref("registry.example.org/team/db", "1")), state(4)})
	if got := zlib(); got.Images != 1 || got.Suppressed != 1 {
		t.Errorf("renamed: %+v", got)
	}
	// One without a name is known by its digest.
	w.putVEX("db.json", openVEX(rules[2].cve, fmt.Sprintf(`{"@id":"pkg:oci/any@%s"}`, strings.ReplaceAll(string(configDigest(4)), ":", "%3A")), notPresent))
	if got := zlib(); got.Images != 1 || got.Suppressed != 1 || got.ImageList[0].Name == Untagged {
		t.Errorf("by digest: %+v", got)
	}
}

func TestVEXThatIsRefused(t *testing.T) {
	w := newWorld(t)
	good := openVEX("CVE-1", `{"@id":"pkg:oci/web"}`, notPresent)
	for _, tc := range []struct {
		name, doc string
		content   []byte
		want      fault.Code
		says      string
	}{
		{"no JSON", "a", []byte("{\n\n<"), fault.Invalid, "VEX document a: line 3: "},
		{"nothing", "a", nil, fault.Invalid, "VEX document a: "},
		{"another format", "a", []byte(`{"bomFormat":"CycloneDX"}`), fault.Invalid, "neither OpenVEX"},
		{"no justification", "a", openVEX("CVE-1", `{"@id":"pkg:oci/web"}`, `"status":"not_affected"`), fault.Invalid, "statement 1: "},
		{"a deep one", "a", []byte(strings.Repeat("[", 100_000)), fault.Invalid, "line 1: "},
		{"CSAF without a category", "a", []byte(`{"document":{"category":"x","csaf_version":"2.0"}}`), fault.Invalid, "CSAF"},
		{"too large", "a", make([]byte, MaxVEXBytes+1), fault.TooLarge, "the limit is"},
		{"no name", "", good, fault.Invalid, "name"},
		{"a path", "../a", good, fault.Invalid, "name"},
		{"a NUL", "a\x00", good, fault.Invalid, "name"},
		{"a long name", strings.Repeat("a", maxVEXName+1), good, fault.Invalid, "name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := w.PutVEX(t.Context(), w.project(), tc.doc, "AK", tc.content)
			if fault.CodeOf(err) != tc.want || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %s %q", err, tc.want, tc.says)
			}
		})
	}
	for i := range MaxVEXDocuments {
		w.putVEX(fmt.Sprint("doc", i), good)
	}
	if _, err := w.PutVEX(t.Context(), w.project(), "more", "AK", good); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("one too many: %v", err)
	}
	w.putVEX("doc0", good) // in the place of one
	padded := append(good, []byte(strings.Repeat(" ", MaxVEXBytes-len(good)))...)
	for i := range MaxAllVEXBytes/MaxVEXBytes - 1 {
		w.putVEX(fmt.Sprint("doc", i), padded)
	}
	if _, err := w.PutVEX(t.Context(), w.project(), "doc99", "AK", padded); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("too much together: %v", err)
	}
	if got := w.who(w.project(), "CVE-1", WhoseImages, Page{Limit: 1}); got.Images != 0 {
		t.Errorf("%+v", got)
	}
}

// TestRankedAtOnce asks, puts documents and changes generations all at the same
// time; the race detector has the say.
func TestRankedAtOnce(t *testing.T) {
	w, neighbour := whoWorld(t)
	var g errgroup.Group
	for i := range 6 {
		g.Go(func() error {
			for n := range 15 {
				project := []string{w.project(), neighbour}[n%2]
				if _, _, _, err := w.Ranked(t.Context(), []string{project}, RankFilter{Suppressed: true}, []string{OrderPriority, OrderImages}[i%2], Page{Limit: 10}); err != nil {
					return err
				}
				if _, err := w.WhoHasSuppressed(t.Context(), project, rules[2].cve, WhoseImages, Page{Limit: 10}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		for n := range 10 {
			doc := openVEX(rules[2].cve, fmt.Sprintf(`{"@id":"pkg:oci/web?tag=%d"}`, n%4), notPresent)
			if _, err := w.PutVEX(t.Context(), w.project(), "doc", "AK", doc); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		for n := range 5 {
			w.table.replace(fmt.Sprint("generation ", n), &advisory.Diff{Packages: key("zlib")}, rules...)
			if _, err := w.Rematch(t.Context()); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	// The last document is about web:1, whose content has a second name.
	if d := cmp.Diff("DEBIAN-CVE-2023-45853 60 2/2/1-2", w.ranked(w.project(), RankFilter{}, OrderPriority)[0]); d != "" {
		t.Error(d)
	}
}

// TestVEXThatSaysTooMuch: documents that take too long to judge by are an error
// of their project, and of no other.
func TestVEXThatSaysTooMuch(t *testing.T) {
	w, neighbour := whoWorld(t)
	statement := fmt.Sprintf(`{"vulnerability":%q,"products":["pkg:oci/web?tag=3"],"status":"fixed"},`, rules[2].cve)
	w.putVEX("doc", []byte(`{"@context":"https://openvex.dev/ns/v0.0.1","timestamp":"2026-01-01T00:00:00Z","statements":[`+strings.TrimSuffix(strings.Repeat(statement, 1000), ",")+`]}`))
	ask := func(project string) error {
		_, _, _, err := w.Ranked(t.Context(), []string{project}, RankFilter{}, OrderPriority, Page{Limit: 10})
		if _, other := w.WhoHas(t.Context(), project, rules[2].cve, WhoseImages, Page{Limit: 10}); fault.CodeOf(other) != fault.CodeOf(err) {
			t.Errorf("%v, but %v", other, err)
		}
		return err
	}
	w.cfg.vexSteps = 1500
	if err := ask(w.project()); err != nil {
		t.Errorf("one image is within the limits: %v", err)
	}
	w.putVEX("doc", []byte(`{"@context":"https://openvex.dev/ns/v0.0.1","timestamp":"2026-01-01T00:00:00Z","statements":[`+strings.ReplaceAll(strings.TrimSuffix(strings.Repeat(statement, 1000), ","), "?tag=3", "")+`]}`))
	if err := ask(w.project()); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("three images: %v", err)
	}
	if err := ask(neighbour); err != nil {
		t.Errorf("the neighbour: %v", err)
	}
	w.cfg.vexSteps = 0
	if err := ask(w.project()); err != nil {
		t.Errorf("with the usual limit: %v", err)
	}
}

func TestPlanes(t *testing.T) {
	values := []int32{0, 1, 2, 3, 250, 1 << 30}
	for range 70 {
		values = append(values, 5)
	}
	p := newPlanes(values)
	for _, members := range [][]int32{nil, {0}, {1}, {1, 2, 3}, {4, 5, 64}, {2, 63, 64, 75}} {
		set, want := newBitmap(len(values)), int64(0)
		for _, m := range members {
			set.set(m)
			want += int64(values[m])
		}
		if got := p.sum(set); got != want {
			t.Errorf("the sum of %v is %d, want %d", members, got, want)
		}
	}
}

// TestRatingOfWhatStands: of two advisories about one CVE one is set aside.
func TestRatingOfWhatStands(t *testing.T) {
	w, _ := whoWorld(t)
	w.table.replace("two", nil, rule{"A-1", "CVE-2026-1", report.TypeDeb, "zlib", "Debian:12", "", report.SeverityCritical, 9.8},
		rule{"B-1", "CVE-2026-1", report.TypePython, "requests", "PyPI", "", report.SeverityMedium, 5})
	w.rematch()
	want := Rating{Severity: 4, Score: 9.8, Priority: 60}
	if got := w.who(w.project(), "CVE-2026-1", WhoseImages, Page{Limit: 10}); !cmp.Equal(got.Rating, &want) {
		t.Errorf("both: %+v", got.Rating)
	}
	w.putVEX("doc", openVEX("CVE-2026-1", `{"@id":"pkg:deb/debian/zlib"}`, notPresent))
	want = Rating{Severity: 2, Score: 5, Priority: 38}
	got := w.who(w.project(), "CVE-2026-1", WhoseImages, Page{Limit: 10})
	if !cmp.Equal(got.Rating, &want) || got.Images != 4 || got.Suppressed != 0 {
		t.Errorf("one: %+v, %+v", got.Rating, got)
	}
	for _, i := range got.ImageList {
		if len(i.Packages) != 2 || i.Packages[0].Judgement.Suppresses() == i.Packages[1].Judgement.Suppresses() {
			t.Errorf("%+v", i.Packages)
		}
	}
	w.putVEX("more", openVEX("CVE-2026-1", `{"@id":"pkg:pypi/requests"}`, notPresent))
	want = Rating{Severity: 4, Score: 9.8, Priority: 60}
	got = w.who(w.project(), "CVE-2026-1", WhoseImages, Page{Limit: 10})
	if !cmp.Equal(got.Rating, &want) || got.Images != 0 || got.Suppressed != 4 {
		t.Errorf("none: %+v, %+v", got.Rating, got)
	}
}
