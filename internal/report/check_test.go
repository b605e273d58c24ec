package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeys(t *testing.T) {
	joined := JoinKeys([]string{"malware-2", "packages-1", "secrets-3"})
	if joined != "packages-1.secrets-3.malware-2" {
		t.Errorf("joined: %s", joined)
	}
	if d := cmp.Diff([]string{"packages-1", "secrets-3", "malware-2"}, SplitKeys(joined)); d != "" {
		t.Error(d)
	}
	if KeyFor(joined, CheckMalware) != "malware-2" || Has(joined, CheckBaseline) || !Has(joined, CheckPackages) {
		t.Errorf("keys of %s", joined)
	}
	for key, want := range map[string]string{"secrets-1": CheckSecrets, "secrets": "", "": "", "others-1": "", "0123456789abcdef": ""} {
		if got := CheckOf(key); got != want {
			t.Errorf("CheckOf(%q): %q", key, got)
		}
	}
	if SplitKeys("") != nil {
		t.Error("no key has parts")
	}
}

func TestJoinAndMerge(t *testing.T) {
	setting := func(kind, path, body string) Setting { return Setting{Kind: kind, Path: path, Body: []byte(body)} }
	hides := func(paths ...string) (out Hashes) {
		for _, p := range paths {
			out = append(out, PathHash(p))
		}
		return sorted(out)
	}
	lower := []*LayerReport{
		{DiffID: "sha256:1", Analyzers: "packages-1", Complete: true, Hides: hides("/etc/a", "/etc/b", "/etc/c"), Dirs: hides("/etc"), Ledger: Ledger{Files: 3, Examined: 3}},
		{DiffID: "sha256:1", Analyzers: "secrets-1", Complete: true, Secrets: []Secret{{Rule: "r", Path: "/etc/b"}}, Ledger: Ledger{Files: 3, Passed: 2, Parsed: 1}},
		{DiffID: "sha256:1", Analyzers: "baseline-1", Complete: true, Ledger: Ledger{Files: 3, Parsed: 3},
			Settings: []Setting{setting("k", "/etc", "1"), setting("k", "/etc/a", "1"), setting("k", "/etc/b", "1"), setting("k", "/etc/c", "1")}},
	}
	upper := []*LayerReport{
		{DiffID: "sha256:2", Analyzers: "packages-1", Complete: true, Whiteouts: []string{"/etc/b"}, Hides: hides("/etc/a"), Passed: hides("/etc/c"), Dirs: hides("/etc")},
		{DiffID: "sha256:2", Analyzers: "secrets-1", Complete: false},
		{DiffID: "sha256:2", Analyzers: "baseline-1", Complete: true, Settings: []Setting{setting("k", "/etc", "2"), setting("k", "/etc/a", "2")}},
	}
	layers := []*LayerReport{Join(lower...), Join(upper...)}
	if layers[0].Analyzers != "packages-1.secrets-1.baseline-1" || lower[0].Checked != nil || len(lower[0].Settings) != 0 {
		t.Errorf("joined %+v", layers[0])
	}
	inv := Merge(layers)
	// A file that a layer has again says what it says there; a directory too.
	// What no layer says anything of any more has nothing to say.
	want := []Setting{setting("k", "/etc", "2"), setting("k", "/etc/a", "2")}
	for i := range want {
		want[i].Layer = "sha256:2"
	}
	if d := cmp.Diff(want, inv.Settings); d != "" {
		t.Error(d)
	}
	if len(inv.Secrets) != 1 || !inv.Secrets[0].Deleted || inv.Secrets[0].Layer != "sha256:1" {
		t.Errorf("secrets %+v", inv.Secrets)
	}
	if d := cmp.Diff([]string{CheckSecrets}, inv.Partial); inv.Complete || d != "" {
		t.Error(inv.Complete, d)
	}
	if inv.Checked[CheckSecrets].Parsed != 1 || inv.Checked[CheckBaseline].Files != 3 || len(inv.Checked) != 2 {
		t.Errorf("checked %+v", inv.Checked)
	}
	// A check that one layer lacks was not made.
	if inv := Merge([]*LayerReport{layers[0], upper[0]}); inv.Checked != nil {
		t.Errorf("checked %+v", inv.Checked)
	}
}
