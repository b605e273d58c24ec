package photon

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

const (
	metadata    = "pkg/fetch/photon/cve/testdata/fixtures/happy/"
	definitions = "pkg/fetch/photon/oval/testdata/fixtures/happy/"
)

func entryOf(id, cve string, a feed.Affected) feed.Record {
	r := feed.Record{ID: id, Affected: []feed.Affected{a}}
	if cve != "" {
		r.CVEs = []string{cve}
	} else {
		r.Aliases = []string{strings.TrimPrefix(id, "PHOTON-")}
	}
	return r
}

func fixed(v string) []feed.Range { return []feed.Range{{Introduced: "0", Fixed: v}} }

func TestReadMetadata(t *testing.T) {
	for name, want := range map[string][]feed.Record{
		"cve_data_photon1.0.json": {
			entryOf("PHOTON-CVE-2020-11979", "CVE-2020-11979", feed.Affected{Ecosystem: "Photon OS:1.0", Name: "apache-ant", Ranges: fixed("1.10.8-2.ph1"), Severity: "high"}),
			entryOf("PHOTON-CVE-2020-1945", "CVE-2020-1945", feed.Affected{Ecosystem: "Photon OS:1.0", Name: "apache-ant", Ranges: fixed("1.10.8-1.ph1"), Severity: "medium"}),
		},
		"cve_data_photon4.0.json": {
			entryOf("PHOTON-CVE-2025-9086", "CVE-2025-9086", feed.Affected{Ecosystem: "Photon OS:4.0", Name: "curl", Ranges: fixed("8.16.0-1.ph4"), Severity: "high"}),
			entryOf("PHOTON-CVE-2025-9086", "CVE-2025-9086", feed.Affected{Ecosystem: "Photon OS:4.0", Name: "curl-devel", Ranges: fixed("8.16.0-1.ph4"), Severity: "high"}),
			entryOf("PHOTON-CVE-2025-9086", "CVE-2025-9086", feed.Affected{Ecosystem: "Photon OS:4.0", Name: "curl-libs", Ranges: fixed("8.16.0-1.ph4"), Severity: "high"}),
		},
		"cve_data_photon5.0.json": {
			entryOf("PHOTON-CVE-2023-5115", "CVE-2023-5115", feed.Affected{Ecosystem: "Photon OS:5.0", Name: "ansible", Ranges: fixed("2.14.12-1.ph5"), Severity: "medium"}),
			entryOf("PHOTON-BDSA-2025-13833", "", feed.Affected{Ecosystem: "Photon OS:5.0", Name: "consul", State: feed.StateNotAffected, Severity: "critical"}),
		},
	} {
		if diff := cmp.Diff(want, feedtest.Records(t, New(), name, feedtest.Sample(t, feedtest.Sources, metadata+name))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What the samples do not have.
func TestReadStatus(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       feed.Affected
	}{
		{"not mended", `"aff_ver":"all versions","res_ver":"NA","status":"Not Fixed"`,
			feed.Affected{Ranges: []feed.Range{{Introduced: "0"}}, Note: "Not Fixed"}},
		{"mended nobody knows where", `"aff_ver":"NA","res_ver":"NA","status":"Fixed"`,
			feed.Affected{State: feed.StateUndetermined, Note: "fixed, and no version says where"}},
		{"not affected, whatever stands beside", `"aff_ver":"NA","res_ver":"1-1.ph5","status":"Not Affected"`,
			feed.Affected{State: feed.StateNotAffected}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := feedtest.Records(t, New(), "cve_data_photon5.0.json", []byte(`[{"cve_id":"CVE-2024-0001","pkg":"a","cve_score":0,`+tc.text+`}]`))
			tc.want.Ecosystem, tc.want.Name = "Photon OS:5.0", "a"
			if diff := cmp.Diff([]feed.Record{entryOf("PHOTON-CVE-2024-0001", "CVE-2024-0001", tc.want)}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadOVAL(t *testing.T) {
	for name, want := range map[string][]feed.Record{
		"com.vmware.phsa-photon1.xml": {{
			ID: "PHSA-2019-1.0-0248", CVEs: []string{"CVE-2016-8637"}, Summary: "dracut Security Update. (Important)",
			Details: "This update upgrade dracut to 044-4.ph1 #Fixes {'CVE-2016-8637'}", Severity: "Important",
			Published: 1566172800000, Modified: 1566172800000, URL: "https://github.com/vmware/photon/wiki/Security-Updates-1.0-248",
			Affected: []feed.Affected{
				{Ecosystem: "Photon OS:1.0", Name: "dracut", Ranges: fixed("044-4.ph1")},
				{Ecosystem: "Photon OS:1.0", Name: "dracut-tools", Ranges: fixed("044-4.ph1")},
			},
		}},
		"com.vmware.phsa-photon5.xml": {{
			ID: "PHSA-2024-5.0-0184", CVEs: []string{"CVE-2023-5115", "CVE-2023-5764"}, Summary: "ansible Security Update. (Important)",
			Details: "This update upgrade ansible to 2.14.12-1.ph5 #Fixes {'CVE-2023-5115', 'CVE-2023-5764'}", Severity: "Important",
			Published: 1704326400000, Modified: 1704326400000, URL: "https://github.com/vmware/photon/wiki/Security-Updates-5.0-184",
			Affected: []feed.Affected{
				{Ecosystem: "Photon OS:5.0", Name: "ansible", Ranges: fixed("2.14.12-1.ph5")},
				{Ecosystem: "Photon OS:5.0", Name: "ansible-devel", Ranges: fixed("2.14.12-1.ph5")},
			},
		}},
	} {
		text := feedtest.Gunzip(t, feedtest.Sample(t, feedtest.Sources, definitions+name+".gz"))
		if diff := cmp.Diff(want, feedtest.Records(t, New(), name, text)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		feedtest.RejectsCut(t, New(), name, text)
		for _, broken := range []string{
			strings.Replace(string(text), `ref_id="PHSA:`, `ref_id="`, 1),
			strings.Replace(string(text), `issued date="20`, `issued date="`, 1),
		} {
			feedtest.Rejects(t, New(), name, broken, 10)
		}
		feedtest.Rejects(t, New(), name, strings.ReplaceAll(string(text), " is earlier than ", " precedes "), 1)
	}
}

func TestReadRejects(t *testing.T) {
	const name = "cve_data_photon5.0.json"
	good := `{"cve_id":"CVE-2024-0001","pkg":"a","cve_score":5,"aff_ver":"NA","res_ver":"1-1","status":"Fixed"}`
	feedtest.RejectsCut(t, New(), name, []byte("["+good+"]"))
	feedtest.Rejects(t, New(), name, "[\n"+good+",\n"+strings.Replace(good, `"a"`, `7`, 1)+"]", 3)
	feedtest.Rejects(t, New(), name, "[\n"+good+",\n"+strings.Replace(good, `"pkg"`, `"package"`, 1)+"]", 3)
	feedtest.Rejects(t, New(), name, "[\n["+good+"]]", 2)
	feedtest.Rejects(t, New(), name, "["+good+"]\n[]", 2)
	feedtest.Rejects(t, New(), name, good, 1)
}

func TestRemotes(t *testing.T) {
	files := map[string][]byte{"photon_cve_metadata/photon_versions.json": feedtest.Sample(t, feedtest.Sources, metadata+"photon_versions.json")}
	base := feedtest.Server(t, files)
	got, err := New().Remotes(context.Background(), base, feedtest.Get)
	if err != nil {
		t.Fatal(err)
	}
	var want []feed.Remote
	for _, v := range []string{"1.0", "4.0", "5.0"} {
		want = append(want, feed.Remote{URL: base + "/photon_cve_metadata/cve_data_photon" + v + ".json", Name: "cve_data_photon" + v + ".json"})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{``, `{"branches":5}`, `{"branches":["../../x"]}`} {
		files["photon_cve_metadata/photon_versions.json"] = []byte(text)
		if _, err := New().Remotes(context.Background(), base, feedtest.Get); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`[{"cve_id":"CVE-2024-0001","pkg":"a","cve_score":5,"aff_ver":"NA","res_ver":"1-1","status":"Fixed"}]`)
	f.Add(`<oval_definitions><definitions><definition class="patch"><metadata><reference ref_id="PHSA:00001:5.0:184"/><advisory><issued date="2024-01-04"/></advisory></metadata>` +
		`<criteria><criterion comment="ansible is earlier than 0:2.14.12-1.ph5"/></criteria></definition></definitions></oval_definitions>`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"cve_data_photon5.0.json", "com.vmware.phsa-photon5.xml"} {
			rs, err := feedtest.Read(New(), name, []byte(text))
			feedtest.Sound(t, name, rs, err)
		}
	})
}
