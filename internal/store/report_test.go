package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

var reportKinds = []string{ReportVulnerability, ReportBaseline, ReportMalware, ReportApps, ReportFiles, ReportSecrets, ReportNonCompliant, ReportBuildRisks}

// reportWorld is images 1 to 3, of which the first has two names and everything
// wrong, and the third was looked at for packages only; and one that was not
// scanned.
func reportWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.SetPolicy(denyList(t, oldSSL+noRequests))
	settled := map[int]map[string]string{
		1: settled("PermitRootLogin yes\n", passwdRoot, "root::19000:0:99999:7:::\n"), 2: settled("PermitRootLogin no\n", passwdRoot, "root:*:19000:0:99999:7:::\n"),
	}
	configs := map[int][]byte{
		1: built(1, "/bin/sh -c #(nop)  ENV DB_PASSWORD="+leaked, "/bin/sh -c curl -fsS https://example.org/i.sh | sh"),
		2: built(2, "/bin/sh -c curl -fsS https://example.org/i.sh | sh"), 3: built(3), 4: built(4),
	}
	names := map[int][]image.Ref{1: {ref("web", "1"), ref("shop", "1")}, 2: {ref("web", "2")}, 3: {ref("web", "3")}, 4: {ref("web", "4")}}
	var states []fleet.ImageState
	for n := 1; n <= 4; n++ {
		s := state(n, names[n]...)
		s.ConfigDigest = image.DigestOf(configs[n])
		states = append(states, s)
	}
	k := w.agent("node", states[:3]...)
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	for _, j := range w.sync(k, maxLease, nil, nil).Jobs {
		for n, c := range configs {
			if image.DigestOf(c) != j.ConfigDigest {
				continue
			}
			l := layer(n)
			l.Analyzers = keyPackages
			parts, keys := []*report.LayerReport{l}, []string{keyPackages}
			if n < 3 {
				l.FilesRead, l.Files = true, fileLayer(n, file("/usr/bin/a", 10*n), file("/opt/b", 10*n+1)).Files
				base, pass := settings(t, settled[n])
				parts = append(parts, &report.LayerReport{DiffID: l.DiffID, Analyzers: keyBaseline, Complete: true, Settings: base},
					&report.LayerReport{DiffID: l.DiffID, Analyzers: keyPasswords, Complete: true, Settings: pass},
					&report.LayerReport{DiffID: l.DiffID, Analyzers: secretsKey, Complete: true, Secrets: found(t, fmt.Sprint("/app/", n, ".env"), "AWS_SECRET="+leaked)},
					&report.LayerReport{DiffID: l.DiffID, Analyzers: malwareKey, Complete: true})
				keys = append(keys, keyBaseline, keyPasswords, secretsKey, malwareKey)
			}
			if n == 1 {
				parts[4].Malware = append(miner("/usr/bin/xm", "", report.SeverityHigh, "hash", "rule"), miner("/opt/a.jar", "x", report.SeverityLow, "rule")...)
			}
			for _, r := range parts {
				if err := w.PutLayer(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Image: &fleet.ImageReport{
				ConfigDigest: j.ConfigDigest, Analyzers: report.JoinKeys(keys), DiffIDs: []image.Digest{digest(n)}, Config: c}}, w.ms())
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	w.sync(k, 0, nil, states)
	return w
}

// records are "image what" of a report, and its number.
func (w *world) records(q ReportQuery) []string {
	w.t.Helper()
	n, err := w.ReportNum(w.t.Context(), w.project(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{fmt.Sprint("of ", n)}
	err = w.Report(w.t.Context(), w.project(), q, func(r ReportRow) error {
		what := ""
		switch {
		case r.Finding != nil:
			what = fmt.Sprint(r.Finding.VulID, " ", r.Finding.App, " ", r.Finding.Handled)
		case r.Rule != nil:
			what = r.Rule.CheckName + " " + r.Rule.Standard + " " + r.Rule.Rule.ID + " " + fmt.Sprint(r.Rule.Failed)
		case r.Malware != nil:
			what = r.Malware.Path + "!" + r.Malware.Inner
		case r.App != nil:
			what = r.App.Name + " " + r.App.Version + " " + fmt.Sprint(r.App.VulNum)
		case r.File != nil:
			what = r.File.Path
		case r.Secret != nil:
			what = r.Secret.ID
		case r.Denied != nil:
			what = r.Denied.ID
		case r.Risk != nil:
			what = fmt.Sprint(r.Risk.Rule.ID, " ", r.Risk.Num, " ", len(r.Risk.Instructions))
		}
		out = append(out, r.Image.Name+":"+r.Image.Version+" "+what)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func TestReport(t *testing.T) { onEngines(t, testReport) }

// A report has what the lists of the images have, and says before how many
// records these are.
func testReport(t *testing.T) {
	w := reportWorld(t)
	images := w.images()
	page := Page{Limit: 10_000}
	// One advisory is handled in one image, another in all.
	found, _, err := w.Vulnerabilities(t.Context(), w.project(), VulFilter{}, page)
	if err != nil || len(found) < 3 {
		t.Fatal(len(found), err)
	}
	affected, _, err := w.Affected(t.Context(), w.project(), found[0].ID, AffectedFilter{}, page)
	if err != nil || len(affected) == 0 {
		t.Fatal(affected, err)
	}
	w.handle(Handling{Type: found[0].Type, Action: VulIgnore, Pairs: []ImageVul{{affected[0].ImageID, found[0].ID}}})
	if err := w.AddWhitelist(t.Context(), w.project(), NewWhitelist{Vuls: []string{found[1].ID}, Scope: RuleAllImages}, Actor{Name: operator}); err != nil {
		t.Fatal(err)
	}
	// byLists are the records as the lists have them.
	byLists := map[string]func(image string) []string{
		ReportVulnerability: func(id string) (out []string) {
			handled, _, err := w.Findings(t.Context(), w.project(), id, VulFilter{Handled: new(true)}, page)
			ok(t, handled, err)
			rows, _, err := w.Findings(t.Context(), w.project(), id, VulFilter{}, page)
			for _, r := range rows {
				is := slices.ContainsFunc(handled, func(h Finding) bool { return h.VulID == r.VulID })
				out = append(out, fmt.Sprint(r.VulID, " ", r.App, " ", is))
			}
			return ok(t, out, err)
		},
		ReportMalware: func(id string) (out []string) {
			rows, _, err := w.Malware(t.Context(), w.project(), id, "", page)
			for _, r := range rows {
				out = append(out, r.Path+"!"+r.Inner)
			}
			return ok(t, out, err)
		},
		ReportApps: func(id string) (out []string) {
			rows, _, err := w.AllApps(t.Context(), w.project(), AppFilter{}, page)
			for _, r := range rows {
				if r.ImageID == id {
					out = append(out, r.Name+" "+r.Version+" "+fmt.Sprint(r.VulNum))
				}
			}
			return ok(t, out, err)
		},
		ReportFiles: func(id string) (out []string) {
			rows, _, err := w.Files(t.Context(), w.project(), id, "", page)
			if fault.CodeOf(err) == fault.Conflict {
				return nil // not read
			}
			for _, r := range rows {
				out = append(out, r.Path)
			}
			return ok(t, out, err)
		},
		ReportSecrets: func(id string) (out []string) {
			rows, _, err := w.Secrets(t.Context(), w.project(), id, SecretFilter{}, page)
			for _, r := range rows {
				out = append(out, r.ID)
			}
			return ok(t, out, err)
		},
		ReportNonCompliant: func(id string) (out []string) {
			rows, _, err := w.NonCompliant(t.Context(), w.project(), id, "", page)
			for _, r := range rows {
				out = append(out, r.ID)
			}
			return ok(t, out, err)
		},
		ReportBaseline: func(id string) (out []string) {
			rows, _, err := w.BaselineRulesOf(t.Context(), []string{w.project()}, BaselineFilter{Images: ImageSelector{ID: id}}, page)
			for _, r := range rows {
				out = append(out, r.CheckName+" "+r.Standard+" "+r.Rule.ID+" "+fmt.Sprint(r.Failed))
			}
			slices.Sort(out)
			return ok(t, out, err)
		},
		ReportBuildRisks: func(id string) (out []string) {
			rows, _, err := w.BuildRisks(t.Context(), []string{w.project()}, BuildRiskFilter{ImageID: id}, page)
			for _, r := range rows {
				list, _, err := w.BuildRiskImages(t.Context(), w.project(), r.Rule.ID, id, page)
				out = append(out, fmt.Sprint(r.Rule.ID, " ", ok(t, list, err)[0].Num, " ", len(list[0].Instructions)))
			}
			slices.Sort(out)
			return ok(t, out, err)
		},
	}
	for _, kind := range reportKinds {
		var want []string
		for _, name := range slices.Sorted(maps.Keys(images)) {
			for _, r := range byLists[kind](images[name].ID) {
				want = append(want, name+" "+r)
			}
		}
		if len(want) == 0 {
			t.Errorf("%s: nothing to compare", kind)
		}
		got := w.records(ReportQuery{Kind: kind})
		if kind == ReportVulnerability && (len(ending(got, " true")) < 2 || len(ending(got, " false")) < 2) {
			t.Errorf("too little is handled: %q", got)
		}
		if d := cmp.Diff(append([]string{fmt.Sprint("of ", len(want))}, want...), got); d != "" {
			t.Errorf("%s (-lists +report):\n%s", kind, d)
		}
		if d := cmp.Diff(got, w.records(ReportQuery{Kind: kind})); d != "" {
			t.Errorf("%s: the second is another: %s", kind, d)
		}
	}
}

// ending are the texts that end so.
func ending(list []string, suffix string) (out []string) {
	for _, s := range list {
		if strings.HasSuffix(s, suffix) {
			out = append(out, s)
		}
	}
	return out
}

func ok[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestReportFilters(t *testing.T) { onEngines(t, testReportFilters) }

func testReportFilters(t *testing.T) {
	w := reportWorld(t)
	images := w.images()
	yes, no := true, false
	id := images["web:2"].ID
	all := w.records(ReportQuery{Kind: ReportVulnerability})
	of := func(names ...string) []string { // those of some images
		out := []string{""}
		for _, r := range all[1:] {
			if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(r, n+" ") }) {
				out = append(out, r)
			}
		}
		out[0] = fmt.Sprint("of ", len(out)-1)
		return out
	}
	for _, tc := range []struct {
		name string
		f    ReportImages
		want []string
	}{
		{"by id", ReportImages{IDs: []string{id}}, of("web:2")},
		{"no id", ReportImages{IDs: []string{}}, of()},
		{"ids and a filter", ReportImages{IDs: []string{id, images["shop:1"].ID}, ImageFilter: ImageFilter{Name: "shop"}}, of("shop:1")},
		{"latest version", ReportImages{LatestVersion: true, ImageFilter: ImageFilter{Name: "shop"}}, of("shop:1")},
		{"latest is not scanned", ReportImages{LatestVersion: true, ImageFilter: ImageFilter{Name: "web"}}, of()},
		{"malware", ReportImages{HasMalware: &yes}, of("shop:1", "web:1")},
		{"no malware", ReportImages{HasMalware: &no}, of("web:2")},
		{"unsafe", ReportImages{HasUnsafe: &yes, ImageFilter: ImageFilter{Name: "shop"}}, of("shop:1")},
		{"not risky", ReportImages{Risky: &no}, of()},
		{"risky", ReportImages{Risky: &yes}, of("shop:1", "web:1", "web:2", "web:3")},
		{"level", ReportImages{SeverityLevel: "Low"}, of()},
		{"unscanned", ReportImages{ImageFilter: ImageFilter{Status: StatusUnscan}}, of()},
		{"a state that there is not", ReportImages{ImageFilter: ImageFilter{Status: "image_scan_stop"}}, of()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, w.records(ReportQuery{Kind: ReportVulnerability, Images: tc.f})); d != "" {
				t.Error(d)
			}
		})
	}
	only := ReportImages{IDs: []string{images["shop:1"].ID}}
	for _, tc := range []struct {
		name string
		q    ReportQuery
		want []string
	}{
		{"type", ReportQuery{Kind: ReportVulnerability, VulType: VulApp, Images: only}, []string{"of 1", "shop:1 GHSA-9wx4-h78v-vm56 requests false"}},
		{"ids", ReportQuery{Kind: ReportVulnerability, VulIDs: []string{"GHSA-9wx4-h78v-vm56", "no\x00"}, VulType: VulApp, Images: only}, []string{"of 1", "shop:1 GHSA-9wx4-h78v-vm56 requests false"}},
		{"no ids", ReportQuery{Kind: ReportVulnerability, VulIDs: []string{}}, []string{"of 0"}},
		{"level", ReportQuery{Kind: ReportBuildRisks, RiskLevel: "none"}, []string{"of 0"}},
		{"rules", ReportQuery{Kind: ReportBuildRisks, RiskIDs: []string{"none"}}, []string{"of 0"}},
	} {
		if d := cmp.Diff(tc.want, w.records(tc.q)); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
	// Files that nobody has read are not "no files".
	q := ReportQuery{Kind: ReportFiles, Images: ReportImages{IDs: []string{images["web:3"].ID}}}
	if _, err := w.ReportNum(t.Context(), w.project(), q); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("files that were not read: %v", err)
	}
	if _, err := w.ReportNum(t.Context(), w.project(), ReportQuery{Kind: "none"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no kind: %v", err)
	}
	if err := w.KnownImages(t.Context(), []string{"other", w.project()}, []string{id}); err != nil {
		t.Error(err)
	}
	for _, projects := range [][]string{{"other"}, {}} {
		if err := w.KnownImages(t.Context(), projects, []string{id}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("an image of another project: %v", err)
		}
	}
}

func TestReportBatches(t *testing.T) { onEngines(t, testReportBatches) }

// More images than one batch, and an end in the middle.
func testReportBatches(t *testing.T) {
	w := newWorld(t)
	var names []image.Ref
	for n := range 2*reportBatch + 3 {
		names = append(names, ref("web", fmt.Sprint(n)))
	}
	w.scanAll(w.agent("node", state(2, names...)), 2)
	got := w.records(ReportQuery{Kind: ReportVulnerability})
	if want := fmt.Sprint("of ", len(got)-1); got[0] != want || len(got) < len(names) || !slices.IsSorted(got[1:]) {
		t.Errorf("%d images: %s, %d records", len(names), got[0], len(got)-1)
	}
	end := errors.New("end")
	n := 0
	err := w.Report(t.Context(), w.project(), ReportQuery{Kind: ReportApps}, func(ReportRow) error {
		n++
		if n == 5 {
			return end
		}
		return nil
	})
	if !errors.Is(err, end) || n != 5 {
		t.Errorf("ended after %d with %v", n, err)
	}
}
