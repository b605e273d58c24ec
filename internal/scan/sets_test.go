//go:build linux

package scan

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// Several sets read a layer in one pass, each with a report of its own that is
// the same whoever reads along.
func TestSetsReadTogether(t *testing.T) {
	files := map[string]string{
		"etc/a.conf": "1234", "usr/lib/node_modules/x/package.json": `{"name":"x","version":"1.0.0"}`, "plain": "x", "do-nothing": "do nothing",
	}
	for where, isolate := range map[string]*Isolation{"here": nil, "in a sandbox": {Limits: roomy}} {
		t.Run(where, func(t *testing.T) {
			l := blobOf(t, files)
			c := memory(t)
			with := func(setup string) *Scanner {
				return New(Config{Set: isolatedSet(), Checks: []*analyze.Set{settingsSet(setup)}, Setup: json.RawMessage(setup), Cache: c, Isolate: isolate})
			}
			plain, err := New(Config{Set: isolatedSet(), Isolate: isolate}).Layer(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			s := with(`1`)
			both, err := s.Layer(t.Context(), l)
			if err != nil || !both.Complete {
				t.Fatal(err, both)
			}
			if st := s.Stats(); st.LayersAnalyzed != 1 {
				t.Errorf("%d passes", st.LayersAnalyzed)
			}
			parts, err := s.Parts(t.Context(), l, report.SplitKeys(s.Analyzers()))
			if err != nil || len(parts) != 2 {
				t.Fatal(err, len(parts))
			}
			if d := cmp.Diff(plain, parts[0]); d != "" {
				t.Errorf("packages, read alone (-) and together (+):\n%s", d)
			}
			alone, err := New(Config{Set: isolatedSet(), Checks: []*analyze.Set{settingsSet(`1`)}, Setup: json.RawMessage(`1`), Isolate: isolate}).Parts(t.Context(), l, []string{settingsSet(`1`).Key()})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(alone[0], parts[1]); d != "" {
				t.Errorf("settings, read alone (-) and together (+):\n%s", d)
			}
			if n := len(both.Settings); n != 2 || len(parts[1].Hides) != 0 || parts[1].Ledger.Files != plain.Ledger.Files || both.Checked[report.CheckBaseline].Parsed != parts[1].Ledger.Parsed {
				t.Errorf("%d settings, %+v", n, parts[1])
			}
			// Other rules of one check: only that is read again.
			s = with(`2`)
			again, err := s.Layer(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			if st := s.Stats(); st.LayersAnalyzed != 1 || again.Analyzers == both.Analyzers {
				t.Errorf("%d passes, %s", st.LayersAnalyzed, again.Analyzers)
			}
			if parts, _ := s.get(l.DiffID, s.sets); parts[0] == nil || parts[1] == nil {
				t.Error("a part is not kept")
			}
			if _, err := s.Parts(t.Context(), l, []string{settingsSet(`1`).Key()}); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("a key of nobody: %v", err)
			}
		})
	}
}

// What one set does not survive is no fault of those that did not want the file.
func TestSetThatDies(t *testing.T) {
	files := map[string]string{"do-exit": "exit", "etc/a.conf": "1", "z/package.json": `{"name":"x","version":"1.0.0"}`}
	s := New(Config{Set: all.Set(), Checks: []*analyze.Set{settingsSet(`1`)}, Setup: json.RawMessage(`1`), Isolate: &Isolation{Limits: roomy}})
	parts, err := s.Parts(t.Context(), blobOf(t, files), report.SplitKeys(s.Analyzers()))
	if err != nil {
		t.Fatal(err)
	}
	packages, settings := parts[0], parts[1]
	if !packages.Complete || packages.Ledger.Passed != 2 || len(packages.Ledger.Skipped) != 0 || len(packages.Problems) != 0 {
		t.Errorf("packages: %+v", packages)
	}
	if settings.Complete || settings.Ledger.Skipped[skipPanic] != 1 || len(settings.Settings) != 2 || len(settings.Problems) != 1 {
		t.Errorf("settings: %+v", settings)
	}
}

// What a child had said and not yet sent when it died is said again, once.
func TestNothingIsLostOrDoubled(t *testing.T) {
	files := map[string]string{}
	n := 3000
	if testing.Short() {
		n = 300 // the detector of races is slow
	}
	for i := range n {
		files[fmt.Sprintf("a/%04d/package.json", i)] = fmt.Sprintf(`{"name":"n%d","version":"1.0.0"}`, i)
		files[fmt.Sprintf("b/%04d.conf", i)] = "x"
		files[fmt.Sprintf("c/%04d", i)] = "x"
	}
	want := map[string]*report.LayerReport{}
	for form, l := range map[string]image.Layer{"directory": tree(t, files), "stream": blobOf(t, files)} {
		s := New(Config{Set: isolatedSet().WithFiles(), Checks: []*analyze.Set{settingsSet(`1`)}, Setup: json.RawMessage(`1`), Isolate: &Isolation{Limits: roomy}})
		r, err := s.Layer(t.Context(), l)
		if err != nil || !r.Complete || len(r.Packages) != n || len(r.Settings) < 2*n {
			t.Fatalf("%s: %v, %d packages, %d settings", form, err, len(r.Packages), len(r.Settings))
		}
		want[form] = r
	}
	for _, p := range []string{"a/0000/do-exit", "a/0150/do-exit", "b/0299/do-exit", "c/0100x/do-exit"} {
		files[p] = "exit"
	}
	for form, l := range map[string]image.Layer{"directory": tree(t, files), "stream": blobOf(t, files)} {
		s := New(Config{Set: isolatedSet().WithFiles(), Checks: []*analyze.Set{settingsSet(`1`)}, Setup: json.RawMessage(`1`), Isolate: &Isolation{Limits: roomy}})
		r, err := s.Layer(t.Context(), l)
		if err != nil || r.Complete {
			t.Fatal(form, err)
		}
		w := want[form]
		if d := cmp.Diff(w.Packages, r.Packages); d != "" {
			t.Errorf("%s: packages %s", form, d)
		}
		if d := cmp.Diff(w.Settings, r.Settings); d != "" {
			t.Errorf("%s: settings %s", form, d)
		}
		if r.Ledger.Files != w.Ledger.Files+4 || r.Ledger.Skipped[skipPanic] != 4 || r.Ledger.Parsed != w.Ledger.Parsed || r.Ledger.Passed != w.Ledger.Passed || len(r.Hides) != len(w.Hides)+4 || len(r.Passed) != len(w.Passed) {
			t.Errorf("%s: %+v, without the deadly files %+v", form, r.Ledger, w.Ledger)
		}
	}
}
