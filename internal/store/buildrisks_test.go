package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

// leaked is made here, so that no scanner takes this file for a leak.
var leaked = strings.Join([]string{"Tr0ub4", "dor", "ship"}, "-")

// built is the configuration of image n, with steps in its history after the one
// that made the layer.
func built(n int, steps ...string) json.RawMessage {
	type step struct {
		CreatedBy  string `json:"created_by"`
		EmptyLayer bool   `json:"empty_layer"`
	}
	history := []step{{CreatedBy: fmt.Sprintf("COPY %d /", n)}}
	for _, s := range steps {
		history = append(history, step{s, true})
	}
	b, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{string(digest(n))}},
		"config": map[string]any{"User": "1000", "Healthcheck": map[string]any{"Test": []string{"CMD", "true"}}}, "history": history,
	})
	if err != nil {
		panic(err)
	}
	return b
}

// buildWorld is two scanned images, one with risks, and one that was not scanned.
func buildWorld(t *testing.T) (*world, auth.Key) {
	t.Helper()
	w := newWorld(t)
	configs := map[image.Digest]json.RawMessage{}
	var states []fleet.ImageState
	for n, c := range []json.RawMessage{
		built(1, "/bin/sh -c #(nop)  ENV DB_PASSWORD="+leaked, "/bin/sh -c curl -fsS https://example.org/i.sh | sh", "/bin/sh -c wget -qO- https://example.org/j.sh | bash"),
		built(2, "/bin/sh -c curl -fsS https://example.org/i.sh | sh"),
		built(3),
	} {
		d := image.DigestOf(c)
		configs[d] = c
		s := state(n+1, ref("web", fmt.Sprint(n+1)))
		s.ConfigDigest = d
		states = append(states, s)
	}
	k := w.agent("node", states...)
	_, err := w.Scan(t.Context(), w.project(), ScanRequest{TaskType: TaskManual, List: []ScanImage{{Name: "web", Version: "1"}, {Name: "web", Version: "2"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range w.sync(k, maxLease, nil, nil).Jobs {
		cfg, err := image.ParseConfig(configs[j.ConfigDigest])
		if err != nil {
			t.Fatal(err)
		}
		l := layer(1)
		l.DiffID = string(cfg.DiffIDs[0])
		if err := w.PutLayer(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		img := &fleet.ImageReport{ConfigDigest: j.ConfigDigest, Analyzers: testAnalyzers, DiffIDs: cfg.DiffIDs, Config: configs[j.ConfigDigest]}
		if err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Image: img}, w.ms()); err != nil {
			t.Fatal(err)
		}
	}
	return w, k
}

// risks are "rule images" of a filter.
func (w *world) risks(f BuildRiskFilter, p Page) []string {
	w.t.Helper()
	rows, total, err := w.BuildRisks(w.t.Context(), []string{w.project()}, f, p)
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{fmt.Sprint("of ", total)}
	for _, r := range rows {
		if r.ScanTime != w.ms() {
			w.t.Errorf("%s: scan time %d", r.Rule.ID, r.ScanTime)
		}
		out = append(out, fmt.Sprint(r.Rule.ID, " ", r.ImageNum))
	}
	return out
}

func TestBuildRisks(t *testing.T) { onEngines(t, testBuildRisks) }

func testBuildRisks(t *testing.T) {
	w, _ := buildWorld(t)
	images := w.images()
	page := Page{Limit: 10}
	all := []string{"of 2", "BC-PIPE-SHELL 2", "BC-SECRET-ENV 1"}
	for _, tc := range []struct {
		name string
		f    BuildRiskFilter
		p    Page
		want []string
	}{
		{"all", BuildRiskFilter{}, page, all},
		{"image", BuildRiskFilter{ImageID: images["web:1"].ID}, page, []string{"of 2", "BC-PIPE-SHELL 1", "BC-SECRET-ENV 1"}},
		{"other image", BuildRiskFilter{ImageID: images["web:2"].ID}, page, []string{"of 1", "BC-PIPE-SHELL 1"}},
		{"not scanned", BuildRiskFilter{ImageID: images["web:3"].ID}, page, []string{"of 0"}},
		{"name", BuildRiskFilter{Name: "environment"}, page, []string{"of 1", "BC-SECRET-ENV 1"}},
		{"level", BuildRiskFilter{Level: buildcmd.High}, page, all},
		{"other level", BuildRiskFilter{Level: buildcmd.Critical}, page, []string{"of 0"}},
		{"second page", BuildRiskFilter{}, Page{Offset: 1, Limit: 10}, []string{"of 2", "BC-SECRET-ENV 1"}},
		{"short page", BuildRiskFilter{}, Page{Limit: 1}, []string{"of 2", "BC-PIPE-SHELL 2"}},
		{"past the end", BuildRiskFilter{}, Page{Offset: 9, Limit: 10}, []string{"of 2"}},
	} {
		if d := cmp.Diff(tc.want, w.risks(tc.f, tc.p)); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}

	rows, total, err := w.BuildRiskImages(t.Context(), w.project(), "BC-PIPE-SHELL", "", page)
	want := []BuildRiskImage{
		{ImageID: images["web:1"].ID, Name: "web", Version: "1", ConfigDigest: images["web:1"].ConfigDigest, Size: 1000, ScanTime: w.ms(), Num: 2,
			Instructions: []string{"RUN curl -fsS https://example.org/i.sh | sh", "RUN wget -qO- https://example.org/j.sh | bash"}},
		{ImageID: images["web:2"].ID, Name: "web", Version: "2", ConfigDigest: images["web:2"].ConfigDigest, Size: 2000, ScanTime: w.ms(), Num: 1,
			Instructions: []string{"RUN curl -fsS https://example.org/i.sh | sh"}},
	}
	if d := cmp.Diff(want, rows); err != nil || total != 2 || d != "" {
		t.Errorf("%d, %v: %s", total, err, d)
	}
	rows, total, err = w.BuildRiskImages(t.Context(), w.project(), "BC-PIPE-SHELL", "", Page{Offset: 1, Limit: 10})
	if d := cmp.Diff(want[1:], rows); err != nil || total != 2 || d != "" {
		t.Errorf("second page: %d, %v: %s", total, err, d)
	}
	rows, total, err = w.BuildRiskImages(t.Context(), w.project(), "BC-PIPE-SHELL", images["web:2"].ID, page)
	if d := cmp.Diff(want[1:], rows); err != nil || total != 1 || d != "" {
		t.Errorf("one image: %d, %v: %s", total, err, d)
	}
	// What is kept is masked.
	rows, _, err = w.BuildRiskImages(t.Context(), w.project(), "BC-SECRET-ENV", "", page)
	if err != nil || len(rows) != 1 || len(rows[0].Instructions) != 1 || rows[0].Instructions[0] != "ENV DB_PASSWORD=***" {
		t.Errorf("%+v, %v", rows, err)
	}

	for name, f := range map[string]func() error{
		"image": func() error {
			_, _, err := w.BuildRisks(t.Context(), []string{w.project()}, BuildRiskFilter{ImageID: "nope"}, page)
			return err
		},
		"image of a rule": func() error {
			_, _, err := w.BuildRiskImages(t.Context(), w.project(), "BC-PIPE-SHELL", "nope", page)
			return err
		},
		"image of another project": func() error {
			_, _, err := w.BuildRisks(t.Context(), []string{"other"}, BuildRiskFilter{ImageID: images["web:1"].ID}, page)
			return err
		},
		"rule": func() error {
			_, _, err := w.BuildRiskImages(t.Context(), w.project(), "BC-NOPE", "", page)
			return err
		},
	} {
		if err := f(); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("unknown %s: %v", name, err)
		}
	}
	if rows, total, err := w.BuildRisks(t.Context(), []string{"other"}, BuildRiskFilter{}, page); err != nil || total != 0 || len(rows) != 0 {
		t.Errorf("another project: %v, %v", rows, err)
	}
}

// TestRecheckBuild leaves rows of other rules behind, as an older program and a
// store of the version before this one do.
func TestRecheckBuild(t *testing.T) { onEngines(t, testRecheckBuild) }

func testRecheckBuild(t *testing.T) {
	w, _ := buildWorld(t)
	want := w.risks(BuildRiskFilter{}, Page{Limit: 10})
	if n, err := w.RecheckBuild(t.Context()); n != 0 || err != nil {
		t.Errorf("with the same rules: %d, %v", n, err)
	}
	for _, statement := range []string{
		`UPDATE content_detail SET build_rules = 'a' WHERE content_id = (SELECT MIN(content_id) FROM content_detail)`,
		`UPDATE content_detail SET build_rules = 'z' WHERE content_id = (SELECT MAX(content_id) FROM content_detail)`,
		`DELETE FROM build_risk WHERE rule_id = 'BC-SECRET-ENV'`,
		`UPDATE build_risk SET rule_id = 'BC-GONE'`,
	} {
		if _, err := w.write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	w.reopen() // the index does not see what was written past it
	if d := cmp.Diff([]string{"of 0"}, w.risks(BuildRiskFilter{}, Page{Limit: 10})); d != "" {
		t.Errorf("rules that are gone: %s", d)
	}
	if n, err := w.RecheckBuild(t.Context()); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if d := cmp.Diff(want, w.risks(BuildRiskFilter{}, Page{Limit: 10})); d != "" {
		t.Error(d)
	}
}

// Run checks anew on its own, also in a process without advisories.
func TestRunRechecksBuild(t *testing.T) {
	w, _ := buildWorld(t)
	for _, statement := range []string{`UPDATE content_detail SET build_rules = ''`, `DELETE FROM build_risk`} {
		if _, err := w.write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	w.Store.cfg.Advisories = nil
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var left int
		if err := w.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM content_detail WHERE build_rules = ''`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d contents are not checked", left)
		}
	}
	if d := cmp.Diff([]string{"of 2", "BC-PIPE-SHELL 2", "BC-SECRET-ENV 1"}, w.risks(BuildRiskFilter{}, Page{Limit: 10})); d != "" {
		t.Error(d)
	}
}

// Rows go with the content.
func TestBuildRisksGo(t *testing.T) {
	w, k := buildWorld(t)
	count := func() (n int) {
		t.Helper()
		if err := w.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM build_risk`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 3 {
		t.Errorf("%d rows", n)
	}
	w.sync(k, 0, nil, []fleet.ImageState{})
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d rows after the content has gone", n)
	}
}

// Instructions beyond the limit are counted.
func TestBuildRisksBounded(t *testing.T) {
	steps := make([]string, maxInstructions+10)
	for i := range steps {
		steps[i] = fmt.Sprintf("/bin/sh -c curl https://example.org/%d | sh", i)
	}
	rows, err := buildRisks(built(1, steps...))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		var shown []string
		if err := json.Unmarshal([]byte(r.instructions), &shown); err != nil {
			t.Fatal(err)
		}
		if r.rule == "BC-PIPE-SHELL" && r.num == maxInstructions+10 && len(shown) == maxInstructions {
			return
		}
	}
	t.Errorf("%v", rows)
}

// A configuration that cannot be checked fails nothing else.
func TestBuildUnchecked(t *testing.T) {
	w := newWorld(t)
	if rows := w.checkBuild(t.Context(), []byte(`{"config":{"Cmd":7}}`)); rows != nil {
		t.Errorf("%v", rows)
	}
	if _, err := buildRisks([]byte(`{"config":{"Cmd":7}}`)); err == nil {
		t.Errorf("%v", err)
	}
}
