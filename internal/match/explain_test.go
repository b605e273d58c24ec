package match

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/report"
)

func TestExplain(t *testing.T) {
	m := New(compile(t,
		rec("DEBIAN-CVE-2026-1001", "Debian:12", "src", below2, `"upstream":["CVE-2026-1001"],`),
		rec("DSA-1-1", "Debian:12", "src", below2, `"upstream":["CVE-2026-1001","CVE-2026-1002"],`),
		rec("ALSA-2026:1", "AlmaLinux:8", "nodejs", `{"introduced":"0"},{"fixed":"1:18.2-1.module_el8.9.0+1+a"}`, `"summary":"Important: nodejs:18 security update","related":["CVE-2026-1003"],`),
		rec("GHSA-aaaa-bbbb-cccc", "npm", "left", `{"introduced":"1.0.0"},{"fixed":"1.5.0"}`, `"aliases":["CVE-2026-1004"],`),
		rec("NSWG-ECO-1", "npm", "left", `{"introduced":"0"},{"fixed":"1.2.0"}`, `"aliases":["CVE-2026-1004"],`)))
	deb := func(v string) report.Package {
		return report.Package{Type: "deb", Name: "bin", Source: "src", Version: v, Layer: "sha256:b"}
	}
	left := report.Package{Type: "npm", Name: "left", Version: "1.3.0", Layer: "sha256:a"}
	owned, declared, unknown := left, left, left
	owned.OwnedBy, declared.Declared, unknown.Version = "deb:node-left", true, ""
	layers := []Layer{{"sha256:a", "COPY a"}, {"sha256:b", "RUN b"}}
	for _, tc := range []struct {
		name, id string
		d        report.Distro
		p        report.Package
		want     string // of the whole, of the package, why
	}{
		{"affected", "cve-2026-1001", bookworm, deb("1-1"), "affected affected [DSA-1-1]: 1-1 is in the range >= 0, < 2.0-1 of DSA-1-1: 1-1 < 2.0-1"},
		{"by the record", "DEBIAN-CVE-2026-1001", bookworm, deb("1-1"), "affected affected [DSA-1-1]: 1-1 is in the range >= 0, < 2.0-1 of DSA-1-1: 1-1 < 2.0-1"},
		{"by the alias of a record", "ghsa-AAAA-bbbb-cccc", report.Distro{}, left, "affected affected [CVE-2026-1004]: 1.3.0 is in the range >= 1.0.0, < 1.5.0 of GHSA-aaaa-bbbb-cccc: 1.3.0 < 1.5.0"},
		{"fixed", "DSA-1-1", bookworm, deb("2.0-1"), "clear fixed []: fixed: 2.0-1 >= 2.0-1 (DSA-1-1)"},
		{"below every range", "CVE-2026-1004", report.Distro{}, report.Package{Type: "npm", Name: "left", Version: "1.9.0"}, "clear fixed []: fixed: 1.9.0 >= 1.5.0 (GHSA-aaaa-bbbb-cccc)"},
		{"owned", "CVE-2026-1004", report.Distro{}, owned, "clear owned []: deb:node-left installed it, and the version of that package says whether it is mended; on its own it would be affected by GHSA-aaaa-bbbb-cccc"},
		{"declared", "CVE-2026-1004", report.Distro{}, declared, "clear declared []: the file only asks for it, nothing says that it is installed"},
		{"no version", "CVE-2026-1004", report.Distro{}, unknown, "clear no-version []: its version is not known, so there is nothing to compare"},
		{"a version that is none", "DSA-1-1", bookworm, deb("x:y"), `clear unreadable-version []: Debian:12 cannot read the version: `},
		{"another module stream", "CVE-2026-1003", alma8, report.Package{Type: "rpm", Name: "nodejs", Version: "1:16.1-1.module_el8.7.0+9+b", Module: "nodejs:16:8070:ab"},
			"clear other-module []: ALSA-2026:1 is about another module stream than the installed one"},
		{"a distribution without advisories", "DSA-1-1", report.Distro{ID: "haiku", VersionID: "1"}, deb("1-1"),
			"clear no-advisories []: the database has no advisories for haiku 1; other distributions' have a package of this name"},
		{"no such package", "CVE-2026-1004", bookworm, deb("1-1"), "absent npm left"},
		{"no such id", "CVE-1999-1", bookworm, deb("1-1"), "unknown-id"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := m.Explain(context.Background(), report.Inventory{Distro: tc.d, Packages: []report.Package{tc.p}}, layers, false, tc.id)
			if err != nil {
				t.Fatal(err)
			}
			got := e.Verdict
			for _, p := range e.Packages {
				var ids []string
				for _, f := range p.Findings {
					ids = append(ids, f.ID)
				}
				got += fmt.Sprintf(" %s %v: %s", p.Verdict, ids, p.Because)
				if want := map[string]int{"sha256:a": 1, "sha256:b": 2}[tc.p.Layer]; p.Layer != want || want > 0 && p.BuildCommand != layers[want-1].BuildCommand {
					t.Errorf("layer %d, %q", p.Layer, p.BuildCommand)
				}
			}
			if len(e.Packages) == 0 && len(e.Elsewhere) > 0 {
				got += " " + e.Elsewhere[0]
			}
			if tc.name == "a version that is none" && len(got) > len(tc.want) {
				got = got[:len(tc.want)] // then the reader's own words
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is told must be what is decided: for each package and record the
// tracer's verdict is affected just when a finding names the record.
func TestTracerAgrees(t *testing.T) {
	m := New(compile(t,
		rec("DEBIAN-CVE-2026-1001", "Debian:12", "a", `{"introduced":"0"},{"fixed":"1.5"},{"introduced":"2"},{"fixed":"3"}`, `"upstream":["CVE-2026-1001"],`),
		rec("DSA-1-1", "Debian:12", "a", `{"introduced":"2"},{"fixed":"3"}`, `"upstream":["CVE-2026-1001"],`)))
	for _, v := range []string{"0", "1", "1.5", "1.9", "2", "2.9", "3", "4"} {
		p := report.Package{Type: "deb", Name: "a", Version: v}
		e, err := m.Explain(context.Background(), report.Inventory{Distro: bookworm, Packages: []report.Package{p}}, nil, false, "CVE-2026-1001")
		if err != nil {
			t.Fatal(err)
		}
		fs, err := m.Package(bookworm, p)
		if err != nil {
			t.Fatal(err)
		}
		got := e.Packages[0]
		if len(got.Records) != 2 || (got.Verdict == VerdictAffected) != (len(fs) > 0) {
			t.Errorf("%s: %s, %d findings, records %+v", v, got.Verdict, len(fs), got.Records)
		}
		if len(fs) > 0 {
			// Layers are no part of the comparison, and neither is who runs.
			if diff := cmp.Diff(fs, got.Findings); diff != "" {
				t.Errorf("%s: %s", v, diff)
			}
		}
	}
}

// The verdicts that only primary feeds give, from the entries on.
func TestDecideByState(t *testing.T) {
	m := New(compile(t, rec("CGA-1", "Wolfi", "a", below2, ``)))
	l := lookup{"Wolfi", "a", "1.0-r0"}
	for _, tc := range []struct {
		name  string
		entry advisory.Affected
		want  string
	}{
		{"not affected", advisory.Affected{State: feed.StateNotAffected, Note: "not built", Source: "wolfi"}, "not-affected: wolfi says that it is not affected (not built)"},
		{"undetermined", advisory.Affected{State: feed.StateUndetermined, Source: "wolfi"}, "undetermined: wolfi has not determined whether it is affected"},
		{"another stream", advisory.Affected{ID: "R", Stream: "a:1"}, "other-module: R is about another module stream than the installed one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := report.Package{Type: "apk", Name: "a", Version: "1.0-r0", Module: "a:2:3"}
			tr := &tracer{db: m.db}
			entries := []advisory.Affected{tc.entry}
			_, v, err := m.evaluate(l, p, entries, tr)
			if err != nil {
				t.Fatal(err)
			}
			tr.record(l, entries, v)
			out := Explained{Package: p, Records: tr.records}
			out.decide("", report.Distro{ID: "wolfi"})
			if diff := cmp.Diff(tc.want, out.Verdict+": "+out.Because); diff != "" {
				t.Error(diff)
			}
		})
	}
}
