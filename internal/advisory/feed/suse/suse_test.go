package suse

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"context"
	"embed"
	"errors"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/csaf"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

// The VEX samples are our own, in the shape that SUSE publishes. That pcre and
// libpcre1 stand beside their fix, that Werkzeug is not affected, and that
// python-aiohttp will not be fixed where python311-aiohttp is, is what SUSE says
// of these CVEs. Products and packages around them are chosen to show the rest.
//
//go:embed testdata
var samples embed.FS

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := samples.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// archive are the documents of SUSE's archive of advisories in the shared
// data.
func archive(t testing.TB) map[string][]byte {
	t.Helper()
	b := feedtest.Sample(t, feedtest.Sources, "pkg/fetch/suse/csaf/testdata/fixtures/csaf.tar.bz2")
	out := map[string][]byte{}
	for r := tar.NewReader(bzip2.NewReader(bytes.NewReader(b))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if New().Wants("csaf.tar.bz2!" + h.Name) {
			if out[path.Base(h.Name)], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func fixed(ecosystem, version string, names ...string) []feed.Affected {
	var out []feed.Affected
	for _, n := range names {
		out = append(out, feed.Affected{Ecosystem: ecosystem, Name: n, Ranges: []feed.Range{{Introduced: "0", Fixed: version}}})
	}
	return out
}

func join(lists ...[]feed.Affected) []feed.Affected {
	var out []feed.Affected
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

func TestAdvisories(t *testing.T) {
	files := archive(t)
	if len(files) != 3 {
		t.Fatalf("the archive has %d documents, want 3", len(files))
	}
	const sles11, hub = "SUSE:Linux Enterprise Server 11 SP2", "SUSE:Package Hub 12"
	tests := map[string]feed.Record{
		"suse-su-2015_0011-2.json": {
			ID: "SUSE-SU-2015:0011-2",
			CVEs: []string{"CVE-2012-1667", "CVE-2012-3817", "CVE-2012-4244", "CVE-2012-5166", "CVE-2013-4854",
				"CVE-2014-0591", "CVE-2014-8500"},
			Summary: "Security update for bind", Severity: "moderate", Published: 1390847890000, Modified: 1390847890000,
			URL: "https://www.suse.com/support/update/announcement/2015/suse-su-20150011-2/",
			Affected: join(
				fixed(sles11, "9.9.4P2-0.6.1", "bind", "bind-chrootenv"),
				fixed(sles11, "9.9.6P1-0.5.5", "bind-devel"),
				fixed(sles11, "9.9.4P2-0.6.1", "bind-doc", "bind-libs", "bind-libs-32bit", "bind-libs-x86", "bind-utils"),
			),
		},
		"opensuse-su-2016_1623-1.json": {
			ID: "openSUSE-SU-2016:1623-1", CVEs: []string{"CVE-2016-1704"},
			Summary: "Security update for Chromium", Severity: "important", Published: 1467807705000, Modified: 1467807705000,
			CVSS: []string{"CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H"},
			URL:  "https://lists.opensuse.org/archives/list/security-announce@lists.opensuse.org/thread/YZEJKKNZYG5BDVQ23L4VBAOOMBMGL3BQ/#YZEJKKNZYG5BDVQ23L4VBAOOMBMGL3BQ",
			Affected: join(
				fixed(hub, "51.0.2704.103-85.3", "chromedriver", "chromium", "chromium-desktop-gnome", "chromium-desktop-kde", "chromium-ffmpegsumo"),
				fixed(hub, "1.4.5-5.1", "imlib2", "imlib2-devel", "imlib2-filters", "imlib2-loaders", "libImlib2-1"),
				fixed(hub, "2.5.0-2.1", "libprotobuf-lite8", "libprotobuf8", "libprotoc8"),
				fixed(hub, "1.2.5-8.1", "mosh"),
				fixed(hub, "1.5.3-4.1", "ninja"),
				fixed(hub, "2.17-4.1", "perl-Switch"),
				fixed(hub, "2.5.0-2.1", "protobuf-devel", "protobuf-java", "python-protobuf"),
			),
		},
	}
	for name, want := range tests {
		got := feedtest.Records(t, New(), "csaf.tar.bz2!csaf/"+name, files[name])
		if diff := cmp.Diff([]feed.Record{want}, got, cmpopts.IgnoreFields(feed.Record{}, "Details")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(got) == 1 && len(got[0].Details) < 50 {
			t.Errorf("%s: details %q", name, got[0].Details)
		}
	}
}

// TestEverythingSaid: nothing of an advisory is lost but what several products of a
// release say alike, and the architectures.
func TestEverythingSaid(t *testing.T) {
	for name, b := range archive(t) {
		d, err := csaf.Parse(name, b)
		if err != nil {
			t.Fatal(err)
		}
		kept := map[string]bool{}
		for _, a := range feedtest.Records(t, New(), name, b)[0].Affected {
			kept[a.Ecosystem+":"+a.Name+"-"+a.Ranges[0].Fixed] = true
		}
		var products []platform
		for _, id := range d.Products() {
			if p := d.Product(id); p.Branch("product_family") != "" {
				products = append(products, platformOf(&csaf.Product{Platform: p}))
			}
		}
		for i := range d.Vulnerabilities {
			for _, o := range d.Vulnerabilities[i].Verdicts() {
				rpm := strings.TrimSuffix(o.Product.Leaf().ID, "."+o.Product.Leaf().Branch("architecture"))
				p := platformOf(o.Product)
				ok := false
				for _, q := range products {
					ok = ok || q.release == p.release && kept[q.ecosystem+":"+rpm]
				}
				if !ok {
					t.Errorf("%s: %s is in no record", name, o.Product.ID)
				}
			}
		}
	}
}

func TestStates(t *testing.T) {
	always := []feed.Range{{Introduced: "0"}}
	tests := map[string]feed.Record{
		"cve-2015-3217.json": {
			ID: "SUSE-CVE-2015-3217", CVEs: []string{"CVE-2015-3217"}, Details: "PCRE recurses without end on some patterns.",
			Severity: "moderate", CVSS: []string{"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"},
			Published: 1433289600000, Modified: 1719792000000, URL: "https://www.suse.com/security/cve/CVE-2015-3217/",
			Affected: []feed.Affected{{Ecosystem: "SUSE:Linux Enterprise Server 11 SP4", Name: "pcre", Ranges: always}},
		},
		"cve-2024-49766.json": {
			ID: "SUSE-CVE-2024-49766", CVEs: []string{"CVE-2024-49766"}, Details: "Werkzeug joins paths that Windows takes for absolute.",
			Severity: "moderate", CVSS: []string{"CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:N/A:N"},
			Published: 1729814400000, Modified: 1730419200000, URL: "https://www.suse.com/security/cve/CVE-2024-49766/",
			Affected: []feed.Affected{
				{Ecosystem: "SUSE:Linux Enterprise Module for Python 3 15 SP6", Name: "python311-Werkzeug", State: feed.StateNotAffected},
				{Ecosystem: "SUSE:Linux Enterprise Server 15", Name: "python3-Werkzeug", State: feed.StateNotAffected},
				{Ecosystem: "SUSE:Linux Enterprise Server 15 SP6", Name: "python3-Werkzeug", State: feed.StateNotAffected},
			},
		},
		"cve-2023-47627.json": {
			ID: "SUSE-CVE-2023-47627", CVEs: []string{"CVE-2023-47627"}, Details: "AIOHTTP reads requests otherwise than others do.",
			Severity: "important", CVSS: []string{"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N"},
			Published: 1699920000000, Modified: 1735689600000, URL: "https://www.suse.com/security/cve/CVE-2023-47627/",
			Affected: []feed.Affected{
				{Ecosystem: "SUSE:Linux Enterprise Module for Public Cloud 15 SP4", Name: "libjavascriptcoregtk-4_0-18", Ranges: always},
				{Ecosystem: "SUSE:Linux Enterprise Module for Public Cloud 15 SP4", Name: "python-aiohttp", Ranges: always,
					State: feed.StateWontFix, Note: "No fix is planned."},
				{Ecosystem: "openSUSE:Leap 15.6", Name: "python311-aiohttp", State: feed.StateUndetermined},
			},
		},
	}
	for name, want := range tests {
		got := feedtest.Records(t, New(), "csaf-vex.tar.bz2!csaf-vex/"+name, sample(t, name))
		if diff := cmp.Diff([]feed.Record{want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestRejected: what has been taken back is no vulnerability.
func TestRejected(t *testing.T) {
	for _, words := range []string{"** REJECT ** ", "A: DO NOT USE THIS CANDIDATE NUMBER. ", "This CVE ID has been rejected or withdrawn by its CNA. "} {
		in := strings.ReplaceAll(string(sample(t, "cve-2015-3217.json")), "PCRE recurses", words+"PCRE recurses")
		if got := feedtest.Records(t, New(), "cve-2015-3217.json", []byte(in)); len(got) != 0 {
			t.Errorf("%s: %+v", words, got)
		}
	}
}

func TestPlatform(t *testing.T) {
	tests := []struct {
		product string
		want    platform
	}{
		{"SUSE Linux Enterprise Server 15 SP5", platform{"SUSE:Linux Enterprise Server 15 SP5", "15 SP5", 0}},
		{"SUSE Linux Enterprise Server 15", platform{"SUSE:Linux Enterprise Server 15", "15", 0}},
		{"SUSE Linux Enterprise Server 16.0", platform{"SUSE:Linux Enterprise Server 16.0", "16.0", 0}},
		{"SUSE Linux Enterprise Server 15 SP5-LTSS", platform{"SUSE:Linux Enterprise Server 15 SP5-LTSS", "15 SP5", 3}},
		{"SUSE Linux Enterprise Module for Basesystem 15 SP5", platform{"SUSE:Linux Enterprise Module for Basesystem 15 SP5", "15 SP5", 1}},
		{"SUSE Linux Enterprise Module for Python 3 15 SP5", platform{"SUSE:Linux Enterprise Module for Python 3 15 SP5", "15 SP5", 1}},
		{"SUSE Linux Enterprise Server for SAP Applications 12", platform{"SUSE:Linux Enterprise Server for SAP Applications 12", "12", 2}},
		{"SUSE Linux Enterprise Micro 5.5", platform{"SUSE:Linux Enterprise Micro 5.5", "SUSE Linux Enterprise Micro 5.5", 0}},
		{"SUSE Linux Micro 6.1", platform{"SUSE:Linux Micro 6.1", "SUSE Linux Micro 6.1", 0}},
		{"SUSE Linux Enterprise Server 11 SP1-TERADATA", platform{"SUSE:Linux Enterprise Server 11 SP1-TERADATA", "SUSE Linux Enterprise Server 11 SP1-TERADATA", 0}},
		{"openSUSE Leap 15.6", platform{"openSUSE:Leap 15.6", "openSUSE Leap 15.6", 0}},
		{"openSUSE Tumbleweed", platform{"openSUSE:Tumbleweed", "openSUSE Tumbleweed", 0}},
		{"Container suse/sle15:15.6", platform{}},
		{"Image SLES15-SP6-BYOS", platform{}},
	}
	for _, tt := range tests {
		got := platformOf(&csaf.Product{Platform: &csaf.Product{ID: tt.product}})
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.product, got, tt.want)
		}
	}
}

func TestRejects(t *testing.T) {
	whole := string(sample(t, "cve-2024-49766.json"))
	feedtest.RejectsCut(t, New(), "cve-2024-49766.json", []byte(whole))
	feedtest.Rejects(t, New(), "cve-2024-49766.json", strings.Replace(whole, `"id": "CVE-2024-49766"`, `"id": "SOMETHING-1"`, 1), 32)
	feedtest.Rejects(t, New(), "cve-2024-49766.json", strings.Replace(whole, `"name": "SUSE"`, `"name": ["SUSE"]`, 1), 0)
	feedtest.Rejects(t, New(), "cve-2024-49766.json", "[]", 1)
}

func TestRemotes(t *testing.T) {
	for base, at := range map[string]string{"": "https://ftp.suse.com/pub/projects/security/", "https://mirror.example/suse": "https://mirror.example/suse/"} {
		got, err := New().Remotes(context.Background(), base, feedtest.Get)
		if err != nil {
			t.Fatal(err)
		}
		want := []feed.Remote{
			{URL: at + "csaf.tar.bz2", Name: "csaf.tar.bz2"},
			{URL: at + "csaf-vex.tar.bz2", Name: "csaf-vex.tar.bz2"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(string(sample(f, "cve-2015-3217.json")))
	f.Add(string(sample(f, "cve-2023-47627.json")))
	f.Fuzz(func(t *testing.T, in string) {
		rs, err := feedtest.Read(New(), "cve-1.json", []byte(in))
		feedtest.Sound(t, "cve-1.json", rs, err)
	})
}
