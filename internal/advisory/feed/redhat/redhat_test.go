package redhat

import (
	"context"
	"embed"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

// The samples are our own, in the shape that Red Hat publishes. Packages,
// versions, modules and errata are those that Red Hat names for these CVEs;
// of the kernel it is only known that it has no fix in RHEL 9, and not in
// which words that is said.
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

func fix(v string) []feed.Range { return []feed.Range{{Introduced: "0", Fixed: v}} }

var always = []feed.Range{{Introduced: "0"}}

func TestRecords(t *testing.T) {
	tests := map[string]feed.Record{
		"cve-2020-7788.json": {
			ID: "REDHAT-CVE-2020-7788", CVEs: []string{"CVE-2020-7788"},
			Summary: "nodejs-ini: prototype pollution in the parser", Details: "An INI file can change the prototype that all objects share.",
			Severity: "Important", CVSS: []string{"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:L"},
			Published: 1607644800000, Modified: 1667980800000, URL: "https://access.redhat.com/security/cve/CVE-2020-7788",
			Affected: []feed.Affected{
				{Ecosystem: "Red Hat:enterprise_linux:8::appstream", Name: "nodejs", Stream: "nodejs:12", Advisory: "RHSA-2021:0549",
					Ranges: fix("1:12.20.1-1.module+el8.3.0+9503+19cb079c")},
				{Ecosystem: "Red Hat:enterprise_linux:8::appstream", Name: "nodejs", Stream: "nodejs:14", Advisory: "RHSA-2022:0350",
					Ranges: fix("1:14.18.2-2.module+el8.5.0+13644+8d46dafd")},
				{Ecosystem: "Red Hat:rhel_eus:8.4::appstream", Name: "nodejs", Stream: "nodejs:14", Advisory: "RHSA-2022:0246",
					Ranges: fix("1:14.18.2-2.module+el8.4.0+13643+6c0ebf22")},
			},
		},
		"cve-2021-27928.json": {
			ID: "REDHAT-CVE-2021-27928", CVEs: []string{"CVE-2021-27928"},
			Summary: "mariadb: writable system variables allow code execution", Details: "Whoever may set wsrep_provider can run code.",
			Severity: "Important", CVSS: []string{"CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H"},
			Published: 1616025600000, Modified: 1622505600000, URL: "https://access.redhat.com/security/cve/CVE-2021-27928",
			Affected: []feed.Affected{
				{Ecosystem: "Red Hat:enterprise_linux:8", Name: "mariadb:10.5/mariadb.src", Stream: "mariadb:10.5", State: feed.StateNotAffected,
					Note: "vulnerable_code_not_present"},
				{Ecosystem: "Red Hat:enterprise_linux:8", Name: "mysql:8.0/mysql.src", Stream: "mysql:8.0", State: feed.StateNotAffected,
					Note: "component_not_present"},
				{Ecosystem: "Red Hat:enterprise_linux:8::appstream", Name: "mariadb-devel", Stream: "mariadb:10.3", Advisory: "RHSA-2021:1242",
					Ranges: fix("3:10.3.28-1.module+el8.3.0+10472+7adc332a")},
			},
		},
		"cve-2021-47527.json": {
			ID: "REDHAT-CVE-2021-47527", CVEs: []string{"CVE-2021-47527"},
			Summary: "kernel: serial: core: transmit buffer is reset without a lock", Details: "Closing a serial port races with writing to it.",
			Severity: "Low", CVSS: []string{"CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H"},
			Published: 1716508800000, Modified: 1754438400000, URL: "https://access.redhat.com/security/cve/CVE-2021-47527",
			Affected: []feed.Affected{
				{Ecosystem: "Red Hat:enterprise_linux:9", Name: "kernel-rt.src", Ranges: always, Note: "Affected"},
				{Ecosystem: "Red Hat:enterprise_linux:9", Name: "kernel.src", Ranges: always, State: feed.StateDeferred, Note: "Fix deferred"},
				{Ecosystem: "Red Hat:rhel_eus:9.4::baseos", Name: "kernel-core", Advisory: "RHSA-2025:13135", Ranges: fix("5.14.0-427.81.1.el9_4")},
			},
		},
		"cve-2005-2541.json": {
			ID: "REDHAT-CVE-2005-2541", CVEs: []string{"CVE-2005-2541"},
			Summary: "tar: does not warn when it extracts setuid files", Details: "It does what it is asked for, whoever asks.",
			Severity: "Moderate", CVSS: []string{"CVSS:3.1/AV:L/AC:H/PR:N/UI:R/S:U/C:H/I:H/A:H"},
			Published: 1123113600000, Modified: 1683763200000, URL: "https://access.redhat.com/security/cve/CVE-2005-2541",
			Affected: []feed.Affected{
				{Ecosystem: "Red Hat:enterprise_linux:8", Name: "tar.src", Ranges: always, State: feed.StateWontFix, Note: "Will not fix"},
			},
		},
		"cve-2023-4813.json": {
			ID: "REDHAT-CVE-2023-4813", CVEs: []string{"CVE-2023-4813"},
			Summary: "glibc: use after free in gaih_inet", Details: "Freed memory is read when a name is looked up.",
			Severity: "Low", CVSS: []string{"CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H"},
			Published: 1694131200000, Modified: 1717200000000, URL: "https://access.redhat.com/security/cve/CVE-2023-4813",
			Affected: []feed.Affected{
				{Ecosystem: "Red Hat:enterprise_linux:9::baseos", Name: "glibc", Advisory: "RHBA-2024:2413", Ranges: fix("2.34-100.el9")},
				{Ecosystem: "Red Hat:enterprise_linux:9::baseos", Name: "glibc", Advisory: "RHSA-2023:5453", Ranges: fix("2.34-60.el9_2.7")},
				{Ecosystem: "Red Hat:enterprise_linux:9::baseos", Name: "glibc-common", Advisory: "RHSA-2023:5453", Ranges: fix("2.34-60.el9_2.7")},
			},
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got := feedtest.Records(t, New(), "csaf_vex_2026-11-22.tar.zst!"+name[4:8]+"/"+name, sample(t, name))
			if diff := cmp.Diff([]feed.Record{want}, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStates has what the samples do not: other states, and severities that
// differ from package to package.
func TestStates(t *testing.T) {
	tests := []struct {
		name     string
		old, new string
		want     feed.Affected
	}{
		{"under investigation", `"known_affected"`, `"under_investigation"`,
			feed.Affected{Ecosystem: "Red Hat:enterprise_linux:8", Name: "tar.src", State: feed.StateUndetermined}},
		{"out of support", "Will not fix", "Out of support scope",
			feed.Affected{Ecosystem: "Red Hat:enterprise_linux:8", Name: "tar.src", State: feed.StateWontFix, Note: "Out of support scope", Ranges: always}},
		{"another severity", `"details": "Moderate"`, `"details": "Low"`,
			feed.Affected{Ecosystem: "Red Hat:enterprise_linux:8", Name: "tar.src", State: feed.StateWontFix, Note: "Will not fix", Severity: "Low", Ranges: always}},
		{"a binary package", "?arch=src", "",
			feed.Affected{Ecosystem: "Red Hat:enterprise_linux:8", Name: "tar", State: feed.StateWontFix, Note: "Will not fix", Ranges: always}},
		{"no package URL", `"purl"`, `"x_purl"`,
			feed.Affected{Ecosystem: "Red Hat:enterprise_linux:8", Name: "tar.src", State: feed.StateWontFix, Note: "Will not fix", Ranges: always}},
		{"another product", "cpe:/o:redhat:enterprise_linux:8", "cpe:/a:redhat:openshift:4.16::el9",
			feed.Affected{Ecosystem: "Red Hat:openshift:4.16::el9", Name: "tar.src", State: feed.StateWontFix, Note: "Will not fix", Ranges: always}},
		{"an image", "pkg:rpm/redhat/tar?arch=src", "pkg:oci/tar-rhel8?repository_url=registry.redhat.io/tar", feed.Affected{}},
		{"no release", "cpe:/o:redhat:enterprise_linux:8", "cpe:/o:elsewhere:linux:8", feed.Affected{}},
		{"taken back", `"final"`, `"deleted"`, feed.Affected{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := string(sample(t, "cve-2005-2541.json"))
			if !strings.Contains(in, tt.old) {
				t.Fatalf("no %q in the sample", tt.old)
			}
			rs := feedtest.Records(t, New(), "a.tar!cve-2005-2541.json", []byte(strings.ReplaceAll(in, tt.old, tt.new)))
			var got feed.Affected
			if len(rs) > 0 {
				got = rs[0].Affected[0]
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("package (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNewer: what stands beside the archive and can be read, or has been deleted
// since, counts instead of what the archive says. What was deleted before is there
// again.
func TestNewer(t *testing.T) {
	f := New()
	feedtest.Records(t, f, "changes/2005/cve-2005-2541.json", sample(t, "cve-2005-2541.json"))
	feedtest.Records(t, f, deletions, []byte(`"2023/cve-2023-4813.json","2026-11-25T00:00:00+00:00"
"2021/cve-2021-47527.json","2026-11-20T00:00:00+00:00"
`))
	if _, err := feedtest.Read(f, "changes/2020/cve-2020-7788.json", []byte("{")); err == nil {
		t.Error("half a document is read")
	}
	var got []string
	for _, name := range []string{"cve-2005-2541.json", "cve-2023-4813.json", "cve-2020-7788.json", "cve-2021-47527.json"} {
		for _, r := range feedtest.Records(t, f, "csaf_vex_2026-11-22.tar.zst!"+name, sample(t, name)) {
			got = append(got, r.ID)
		}
	}
	if diff := cmp.Diff([]string{"REDHAT-CVE-2020-7788", "REDHAT-CVE-2021-47527"}, got); diff != "" {
		t.Errorf("records of the archive (-want +got):\n%s", diff)
	}
}

func TestRejects(t *testing.T) {
	whole := sample(t, "cve-2005-2541.json")
	feedtest.RejectsCut(t, New(), "a!cve-2005-2541.json", whole)
	feedtest.Rejects(t, New(), "a!cve-1.json", strings.Replace(string(whole), "csaf_vex", "csaf_security_advisory", 1), 7)
	feedtest.Rejects(t, New(), "a!cve-1.json", strings.Replace(string(whole), `"cve": "CVE-2005-2541"`, `"cve": ""`, 1), 0)
	feedtest.Rejects(t, New(), deletions, "a,2026-11-25T00:00:00Z\nb\n", 2)
	feedtest.Rejects(t, New(), deletions, "a,yesterday\n", 1)
}

func TestRemotes(t *testing.T) {
	base := feedtest.Server(t, map[string][]byte{
		"mirror/archive_latest.txt": []byte("csaf_vex_2026-11-22.tar.zst\n"),
		"mirror/changes.csv": []byte(`"2026/cve-2026-5450.json","2026-11-26T03:46:10+00:00"
"2005/cve-2005-2541.json","2026-11-22T12:51:52+00:00"
"2020/cve-2020-7788.json","2026-11-21T23:59:59+00:00"
`),
	})
	got, err := New().Remotes(context.Background(), base+"/mirror", feedtest.Get)
	if err != nil {
		t.Fatal(err)
	}
	want := []feed.Remote{
		{URL: base + "/mirror/csaf_vex_2026-11-22.tar.zst", Name: "csaf_vex_2026-11-22.tar.zst"},
		{URL: base + "/mirror/deletions.csv", Name: "changes/deletions.csv"},
		{URL: base + "/mirror/2026/cve-2026-5450.json", Name: "changes/2026/cve-2026-5450.json"},
		{URL: base + "/mirror/2005/cve-2005-2541.json", Name: "changes/2005/cve-2005-2541.json"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, archive := range []string{"", "../csaf_vex_2026-11-22.tar.zst", "csaf_vex_2026-13-22.tar.zst"} {
		_, err := New().Remotes(context.Background(), "", func(context.Context, string) (string, error) { return archive, nil })
		if err == nil {
			t.Errorf("archive %q: no error", archive)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"cve-2021-27928.json", "cve-2005-2541.json"} {
		f.Add(string(sample(f, name)))
	}
	f.Fuzz(func(t *testing.T, in string) {
		rs, err := feedtest.Read(New(), "a!cve-1.json", []byte(in))
		feedtest.Sound(t, "a!cve-1.json", rs, err)
	})
}
