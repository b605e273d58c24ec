package debian

import (
	"context"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

const samples = "pkg/fetch/debian/tracker/"

func TestSample(t *testing.T) {
	got := feedtest.Records(t, New(), "tracker.json", feedtest.Sample(t, feedtest.Sources, samples+"api/testdata/fixtures/advisory.json"))
	const url = "https://security-tracker.debian.org/tracker/"
	notAffected := func(eco, name string) feed.Affected {
		return feed.Affected{Ecosystem: eco, Name: name, State: feed.StateNotAffected, Severity: "unimportant", Note: "unimportant"}
	}
	want := []feed.Record{{
		ID: "DEBIAN-CVE-2012-0833", CVEs: []string{"CVE-2012-0833"}, URL: url + "CVE-2012-0833",
		Affected: []feed.Affected{notAffected("Debian:11", "389-ds-base"), notAffected("Debian:sid", "389-ds-base")},
	}, {
		ID: "DEBIAN-CVE-2016-5405", CVEs: []string{"CVE-2016-5405"}, URL: url + "CVE-2016-5405",
		Affected: []feed.Affected{
			{Ecosystem: "Debian:11", Name: "389-ds-base", Ranges: []feed.Range{{Introduced: "0", Fixed: "1.3.5.15-1"}}, Severity: "not yet assigned"},
			{Ecosystem: "Debian:sid", Name: "389-ds-base", Ranges: []feed.Range{{Introduced: "0", Fixed: "1.3.5.15-1"}}, Severity: "not yet assigned"},
		},
	}, {
		ID: "DEBIAN-CVE-2016-5416", CVEs: []string{"CVE-2016-5416"}, URL: url + "CVE-2016-5416",
		Affected: []feed.Affected{
			{Ecosystem: "Debian:11", Name: "389-ds-base", Ranges: []feed.Range{{Introduced: "0"}}, State: feed.StateWontFix, Severity: "not yet assigned", Note: "Minor issue"},
			{Ecosystem: "Debian:sid", Name: "389-ds-base", Ranges: []feed.Range{{Introduced: "0"}}, Severity: "not yet assigned"},
		},
	}, {
		ID: "TEMP-0000000-0CA7E3", URL: url + "TEMP-0000000-0CA7E3",
		Affected: []feed.Affected{notAffected("Debian:11", "wordpress"), notAffected("Debian:sid", "wordpress")},
	}}
	for i := range got {
		// Texts are not repeated here; TestSampleAgainstGolden compares them.
		got[i].Details = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// golden is the part that the other program's extraction of the same sample
// and our records have in common.
type golden struct {
	ID          string          `json:"id"`
	Description string          `json:"description"`
	Packages    []goldenPackage `json:"packages"`
}

type goldenPackage struct {
	Name         string `json:"name"`
	Status       string `json:"status"`
	Urgency      string `json:"urgency"`
	FixedVersion string `json:"fixed_version"`
	NoDSA        string `json:"nodsa"`
}

func TestSampleAgainstGolden(t *testing.T) {
	want := map[string]golden{}
	for name, b := range feedtest.Files(t, feedtest.Sources, samples+"api/testdata/golden/") {
		var g golden
		if err := json.Unmarshal(b, &g); err != nil {
			t.Fatal(err)
		}
		codename, _, _ := strings.Cut(name, "/")
		want[codename+" "+g.ID] = g
	}
	got := map[string]golden{}
	for _, r := range feedtest.Records(t, New(), "tracker.json", feedtest.Sample(t, feedtest.Sources, samples+"api/testdata/fixtures/advisory.json")) {
		for _, a := range r.Affected {
			codename := map[string]string{"Debian:11": "bullseye", "Debian:sid": "sid"}[a.Ecosystem]
			id := strings.TrimPrefix(r.ID, "DEBIAN-")
			p := goldenPackage{Name: a.Name, Status: "resolved", Urgency: a.Severity}
			switch {
			case a.State == feed.StateNotAffected:
				p.FixedVersion = "0"
			case a.Ranges[0].Fixed != "":
				p.FixedVersion = a.Ranges[0].Fixed
			default:
				p.Status, p.NoDSA = "open", a.Note
			}
			got[codename+" "+id] = golden{ID: id, Description: r.Details, Packages: []goldenPackage{p}}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// tracker writes the JSON of one package, CVE and release.
func tracker(release string) string {
	return "{\"openssl\":\n{\"CVE-2024-0001\":\n{\"description\": \"d\", \"releases\": {\"bookworm\": " + release + "}}}}"
}

func TestStates(t *testing.T) {
	all, below := []feed.Range{{Introduced: "0"}}, []feed.Range{{Introduced: "0", Fixed: "3.0-2"}}
	for _, tc := range []struct {
		name, release string
		want          feed.Affected
	}{
		{"fixed", `{"status":"resolved","fixed_version":"3.0-2","urgency":"high**"}`, feed.Affected{Ranges: below, Severity: "high"}},
		{"fixed and not published yet", `{"status":"open","fixed_version":"3.0-2","urgency":"low","nodsa":"Minor issue","nodsa_reason":""}`,
			feed.Affected{Ranges: below, Severity: "low", Note: "Minor issue"}},
		{"open", `{"status":"open","urgency":"medium"}`, feed.Affected{Ranges: all, Severity: "medium"}},
		{"no advisory of its own", `{"status":"open","urgency":"low","nodsa":"Minor issue","nodsa_reason":""}`,
			feed.Affected{Ranges: all, Severity: "low", Note: "Minor issue"}},
		{"ignored", `{"status":"open","urgency":"low","nodsa":"Too intrusive to backport","nodsa_reason":"ignored"}`,
			feed.Affected{Ranges: all, Severity: "low", State: feed.StateWontFix, Note: "Too intrusive to backport"}},
		{"postponed", `{"status":"open","urgency":"low","nodsa":"Can be fixed in next update","nodsa_reason":"postponed"}`,
			feed.Affected{Ranges: all, Severity: "low", State: feed.StateDeferred, Note: "Can be fixed in next update"}},
		{"end of life", `{"status":"open","urgency":"end-of-life"}`,
			feed.Affected{Ranges: all, Severity: "end-of-life", State: feed.StateWontFix, Note: "end-of-life"}},
		{"unimportant", `{"status":"open","urgency":"unimportant"}`,
			feed.Affected{Ranges: all, Severity: "unimportant", Note: "unimportant"}},
		{"not affected", `{"status":"resolved","fixed_version":"0","urgency":"not yet assigned"}`,
			feed.Affected{State: feed.StateNotAffected, Severity: "not yet assigned"}},
		{"undetermined", `{"status":"undetermined","urgency":"not yet assigned"}`,
			feed.Affected{State: feed.StateUndetermined, Severity: "not yet assigned"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.want.Ecosystem, tc.want.Name = "Debian:12", "openssl"
			want := []feed.Record{{
				ID: "DEBIAN-CVE-2024-0001", CVEs: []string{"CVE-2024-0001"}, Details: "d",
				URL: "https://security-tracker.debian.org/tracker/CVE-2024-0001", Affected: []feed.Affected{tc.want},
			}}
			if diff := cmp.Diff(want, feedtest.Records(t, New(), "tracker.json", []byte(tracker(tc.release)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLists(t *testing.T) {
	f := New()
	for name, b := range feedtest.Untar(t, feedtest.Sample(t, feedtest.Sources, samples+"salsa/testdata/fixtures/security-tracker-master.tar.gz")) {
		if !f.Wants("security-tracker.tar.gz!" + name) {
			continue
		}
		if rs := feedtest.Records(t, f, "security-tracker.tar.gz!"+name, b); len(rs) != 0 {
			t.Errorf("%s gives %d records", name, len(rs))
		}
	}
	want := map[fix]string{
		{"bullseye", "chromium", "119.0.6045.105-1~deb11u1"}: "DSA-5546-1",
		{"bookworm", "chromium", "119.0.6045.105-1~deb12u1"}: "DSA-5546-1",
		{"bullseye", "vlc", "3.0.20-0+deb11u1"}:              "DSA-5545-1",
		{"bookworm", "vlc", "3.0.20-0+deb12u1"}:              "DSA-5545-1",
		{"bullseye", "zookeeper", "3.4.13-6+deb11u1"}:        "DSA-5544-1",
		{"bookworm", "zookeeper", "3.8.0-11+deb12u1"}:        "DSA-5544-1",
		{"buster", "phppgadmin", "5.1+ds-4+deb10u1"}:         "DLA-3644-1",
		{"buster", "pmix", "3.1.2-3+deb10u1"}:                "DLA-3643-1",
	}
	if diff := cmp.Diff(want, f.advisories); diff != "" {
		t.Error(diff)
	}
	got := feedtest.Records(t, f, "tracker.json", []byte(`{"zookeeper":{"CVE-2023-44981":{"releases":{
		"bookworm":{"status":"resolved","fixed_version":"3.8.0-11+deb12u1"},
		"sid":{"status":"resolved","fixed_version":"3.9.1-1"}}}}}`))
	var ids []string
	for _, a := range got[0].Affected {
		ids = append(ids, a.Advisory)
	}
	if diff := cmp.Diff([]string{"DSA-5544-1", ""}, ids); diff != "" {
		t.Error(diff)
	}
}

func TestListLines(t *testing.T) {
	f := New()
	feedtest.Records(t, f, "DSA.list", []byte(`[03 Jan 2024] DSA-2-2 a - regression update
	[bookworm] - a 1.0-2
[02 Jan 2024] DSA-2-1 a - security update
	{CVE-2024-0001}
	[bookworm] - a 1.0-2
	[bullseye] - a <not-affected> (Vulnerable code introduced later)
	NOTE: something

[01 Jan 1999] DSA-1 b - x
	[slink] - b 1.0
`))
	want := map[fix]string{{"bookworm", "a", "1.0-2"}: "DSA-2-1", {"slink", "b", "1.0"}: "DSA-1"}
	if diff := cmp.Diff(want, f.advisories); diff != "" {
		t.Error(diff)
	}
}

func TestMalformed(t *testing.T) {
	f := New()
	feedtest.RejectsCut(t, f, "tracker.json", []byte(tracker(`{"status":"open","urgency":"low"}`)))
	for _, tc := range []struct {
		name, text string
		line       int
	}{
		{"no status", tracker("\n{}"), 4},
		{"other status", tracker(`{"status":"maybe"}`), 3},
		{"type", tracker("{\"status\":\n\n5}"), 5},
		{"nesting", "{\"openssl\":\n[]}", 2},
		{"no releases", "{\"openssl\":\n\n{\"CVE-2024-1\":{}}}", 3},
		{"more", tracker(`{"status":"open"}`) + "\n\n{}", 5},
	} {
		t.Run(tc.name, func(t *testing.T) { feedtest.Rejects(t, f, "tracker.json", tc.text, tc.line) })
	}
	for _, tc := range []struct {
		name, text string
		line       int
	}{
		{"HTML", "<html>\n<body>", 1},
		{"no advisory", "\t[bookworm] - a 1.0\n", 1},
		{"heading", "[02 Nov 2023] DSA-5546-1 chromium - security update\n\n[x] y\n", 3},
		{"long line", "[02 Nov 2023] DSA-5546-1 chromium - security update\n\t{" + strings.Repeat("CVE-2023-1000 ", maxLineBytes/10) + "}\n", 2},
	} {
		t.Run("list: "+tc.name, func(t *testing.T) { feedtest.Rejects(t, f, "DSA.list", tc.text, tc.line) })
	}
}

func TestRemotes(t *testing.T) {
	served := map[string][]byte{"data/DSA/list": nil, "data/DLA/list": nil, "tracker/data/json": nil}
	base := feedtest.Server(t, served)
	rs, err := New().Remotes(context.Background(), base, feedtest.Get)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, r := range rs {
		if _, err := feedtest.Get(context.Background(), r.URL); err != nil {
			t.Error(err)
		}
		if !New().Wants(r.Name) {
			t.Errorf("%s is fetched and not wanted", r.Name)
		}
		got[path.Clean(r.URL[len(base)+1:])] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
	if !slices.IsSortedFunc(rs, func(a, b feed.Remote) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the lists are not read before the tracker's JSON")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("tracker.json", tracker(`{"status":"open","urgency":"low"}`))
	f.Add("tracker.json", tracker(`{"status":"resolved","fixed_version":"1"}`))
	f.Add("DSA.list", "[02 Nov 2023] DSA-5546-1 chromium - security update\n\t[bookworm] - chromium 119.0\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		d := New()
		if !d.Wants(name) {
			return
		}
		rs, err := feedtest.Read(d, name, []byte(text))
		feedtest.Sound(t, name, rs, err)
	})
}
