package ubuntu

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

const fileOfFocal = "com.ubuntu.focal.cve.oval.xml"

// sample is written for this test in the form that Canonical publishes; there
// is no file of theirs in the shared data. Facts: CVE-2021-3782 of wayland,
// CVE-2023-38408 and CVE-2025-61985 of openssh are as Canonical states them.
const sample = `<?xml version="1.0" encoding="utf-8"?>
<oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5" xmlns:oval="http://oval.mitre.org/XMLSchema/oval-common-5"
  xmlns:linux-def="http://oval.mitre.org/XMLSchema/oval-definitions-5#linux">
  <generator>
    <oval:product_name>Canonical CVE OVAL Generator</oval:product_name>
    <oval:timestamp>2026-11-20T01:02:03</oval:timestamp>
  </generator>
  <definitions>
    <definition class="inventory" id="oval:com.ubuntu.focal:def:100" version="1">
      <metadata><title>Check that Ubuntu 20.04 LTS (focal) is installed.</title><description /></metadata>
      <criteria><criterion test_ref="oval:com.ubuntu.focal:tst:100" comment="The host is part of the unix family." /></criteria>
    </definition>
    <definition class="vulnerability" id="oval:com.ubuntu.focal:def:202137820000000" version="1">
      <metadata>
        <title>CVE-2021-3782 on Ubuntu 20.04 LTS (focal) - medium</title>
        <description>A counter of references can overflow.

 Update Instructions:

 Run sudo pro fix CVE-2021-3782 to fix the vulnerability.</description>
        <affected family="unix"><platform>Ubuntu 20.04 LTS</platform></affected>
        <reference source="CVE" ref_id="CVE-2021-3782" ref_url="https://www.cve.org/CVERecord?id=CVE-2021-3782" />
        <advisory>
          <severity>Medium</severity>
          <public_date>2022-09-23 16:15:00 UTC</public_date>
          <ref>https://ubuntu.com/security/notices/USN-5614-1</ref>
          <cve href="https://ubuntu.com/security/CVE-2021-3782" priority="medium" public="20220923" cvss_score="6.6" cvss_vector="CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:L/I:L/A:H" cvss_severity="medium" usns="5614-1">CVE-2021-3782</cve>
        </advisory>
      </metadata>
      <criteria>
        <extend_definition definition_ref="oval:com.ubuntu.focal:def:100" comment="Ubuntu 20.04 LTS (focal) is installed." applicability_check="true" />
        <criteria operator="OR">
          <criterion test_ref="oval:com.ubuntu.focal:tst:202137820000000" comment="wayland source package in focal, is affected and has been fixed (note: '1.18.0-1ubuntu0.1')." />
        </criteria>
      </criteria>
    </definition>
    <definition class="vulnerability" id="oval:com.ubuntu.focal:def:2023384080000000" version="1">
      <metadata>
        <title>CVE-2023-38408 on Ubuntu 20.04 LTS (focal) - high</title>
        <description>The agent loads libraries that it should not.</description>
        <affected family="unix"><platform>Ubuntu 20.04 LTS</platform></affected>
        <reference source="CVE" ref_id="CVE-2023-38408" ref_url="https://ubuntu.com/security/CVE-2023-38408" />
        <advisory>
          <severity>High</severity>
          <public_date>2023-07-20T03:15:00Z</public_date>
          <cve href="https://ubuntu.com/security/CVE-2023-38408" priority="high" public="20230720" usns="6242-1,6242-2">CVE-2023-38408</cve>
        </advisory>
      </metadata>
      <criteria>
        <criteria operator="OR">
          <criterion test_ref="oval:com.ubuntu.focal:tst:1" comment="openssh source package in esm-infra/focal, is affected and has been fixed (note: '1:8.2p1-4ubuntu0.20+esm1')." />
          <criterion test_ref="oval:com.ubuntu.focal:tst:2" comment="openssh-ssh1 source package in focal, might be affected and may need fixing." />
          <criteria operator="AND">
            <criterion test_ref="oval:com.ubuntu.focal:tst:3" comment="Is kernel 'linux' running?" />
            <criterion test_ref="oval:com.ubuntu.focal:tst:4" comment="'linux' kernel in focal was vulnerable but has been fixed (note: '5.4.0-35.39')." />
          </criteria>
        </criteria>
      </criteria>
    </definition>
  </definitions>
  <tests>
    <linux-def:dpkginfo_test id="oval:com.ubuntu.focal:tst:1" version="1" comment="Does the 'openssh' package exist?"><linux-def:object object_ref="oval:com.ubuntu.focal:obj:1" /></linux-def:dpkginfo_test>
  </tests>
</oval_definitions>
`

func TestSample(t *testing.T) {
	below := func(v string) []feed.Range { return []feed.Range{{Introduced: "0", Fixed: v}} }
	want := []feed.Record{{
		ID: "UBUNTU-CVE-2021-3782", CVEs: []string{"CVE-2021-3782"}, Details: "A counter of references can overflow.", Severity: "Medium",
		CVSS: []string{"CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:L/I:L/A:H"}, Published: 1663949700000, URL: "https://ubuntu.com/security/CVE-2021-3782",
		Affected: []feed.Affected{{Ecosystem: "Ubuntu:20.04:LTS", Name: "wayland", Ranges: below("1.18.0-1ubuntu0.1"), Advisory: "USN-5614-1"}},
	}, {
		ID: "UBUNTU-CVE-2023-38408", CVEs: []string{"CVE-2023-38408"}, Details: "The agent loads libraries that it should not.", Severity: "High",
		Published: 1689822900000, URL: "https://ubuntu.com/security/CVE-2023-38408",
		Affected: []feed.Affected{
			{Ecosystem: "Ubuntu:Pro:20.04:LTS", Name: "openssh", Ranges: below("1:8.2p1-4ubuntu0.20+esm1")},
			{Ecosystem: "Ubuntu:20.04:LTS", Name: "openssh-ssh1", State: feed.StateUndetermined},
			{Ecosystem: "Ubuntu:20.04:LTS", Name: "linux", Ranges: below("5.4.0-35.39")},
		},
	}}
	if diff := cmp.Diff(want, feedtest.Records(t, New(), fileOfFocal, []byte(sample))); diff != "" {
		t.Error(diff)
	}
}

func TestDate(t *testing.T) {
	var got int64
	err := New().Read(t.Context(), feed.File{Name: fileOfFocal, Reader: strings.NewReader(sample), Date: func(ms int64) { got = ms }},
		func(feed.Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC).UnixMilli(); got != want {
		t.Errorf("the file is of %d, want %d", got, want)
	}
}

// definitionOf writes a definition with one criterion.
func definitionOf(platform, comment string) string {
	return `<oval_definitions><definitions>
<definition class="vulnerability" id="oval:com.ubuntu.x:def:1"><metadata><title>CVE-2024-0001</title>
<affected family="unix"><platform>` + platform + `</platform></affected></metadata>
<criteria><criterion comment="` + comment + `"/></criteria></definition></definitions></oval_definitions>`
}

func TestStates(t *testing.T) {
	open := []feed.Range{{Introduced: "0"}}
	for _, tc := range []struct {
		name, platform, comment string
		want                    feed.Affected
	}{
		{"needed", "Ubuntu 25.10", "curl source package in questing, is affected and needs fixing.",
			feed.Affected{Ecosystem: "Ubuntu:25.10", Name: "curl", Ranges: open}},
		{"needed, older words", "Ubuntu 18.04 LTS", "xine-console package in bionic is affected and needs fixing.",
			feed.Affected{Ecosystem: "Ubuntu:18.04:LTS", Name: "xine-console", Ranges: open}},
		{"needed, oldest words", "Ubuntu 14.04 LTS", "The 'php-openid' package in trusty is affected and needs fixing.",
			feed.Affected{Ecosystem: "Ubuntu:14.04:LTS", Name: "php-openid", Ranges: open}},
		{"fixed, older words", "Ubuntu 22.04 LTS", "subversion package in jammy was vulnerable but has been fixed (note: '1.14.1-3ubuntu0.22.04.1').",
			feed.Affected{Ecosystem: "Ubuntu:22.04:LTS", Name: "subversion", Ranges: []feed.Range{{Introduced: "0", Fixed: "1.14.1-3ubuntu0.22.04.1"}}}},
		{"never affected in this release", "Ubuntu 22.04 LTS", "gcc-snapshot package in jammy, is related to the CVE in some way and has been fixed (note: '20140405-0ubuntu1').",
			feed.Affected{Ecosystem: "Ubuntu:22.04:LTS", Name: "gcc-snapshot", State: feed.StateNotAffected, Note: "20140405-0ubuntu1"}},
		{"fixed somewhere", "Ubuntu 22.04 LTS", "firefox package in jammy was vulnerable and has been fixed, but no release version available for it.",
			feed.Affected{Ecosystem: "Ubuntu:22.04:LTS", Name: "firefox", State: feed.StateUndetermined,
				Note: "was vulnerable and has been fixed, but no release version available for it"}},
		{"pending", "Ubuntu 16.04 LTS", "grub2-unsigned package in xenial is affected. An update containing the fix has been completed and is pending publication (note: '2.04-1ubuntu42').",
			feed.Affected{Ecosystem: "Ubuntu:16.04:LTS", Name: "grub2-unsigned", Ranges: []feed.Range{{Introduced: "0", Fixed: "2.04-1ubuntu42"}}}},
		{"deferred", "Ubuntu 18.04 LTS", "libxerces-c-samples package in bionic is affected, but a decision has been made to defer addressing it (note: '2019-01-01').",
			feed.Affected{Ecosystem: "Ubuntu:18.04:LTS", Name: "libxerces-c-samples", Ranges: open, State: feed.StateDeferred}},
		{"ignored", "Ubuntu 18.04 LTS", "apache2: while related to the CVE in some way, a decision has been made to ignore this issue (note: 'code-not-compiled').",
			feed.Affected{Ecosystem: "Ubuntu:18.04:LTS", Name: "apache2", Ranges: open, State: feed.StateWontFix, Note: "code-not-compiled"}},
		{"ignored, newer words", "Ubuntu 24.04 LTS", "foo source package in esm-apps/noble, is affected but a decision has been made to ignore this issue (note: 'end of life, was needed').",
			feed.Affected{Ecosystem: "Ubuntu:Pro:24.04:LTS", Name: "foo", Ranges: open, State: feed.StateWontFix, Note: "end of life, was needed"}},
		{"not looked at", "Ubuntu 22.04 LTS", "gcc-arm-none-eabi package in jammy is affected and may need fixing.",
			feed.Affected{Ecosystem: "Ubuntu:22.04:LTS", Name: "gcc-arm-none-eabi", State: feed.StateUndetermined}},
		{"not affected", "Ubuntu 22.04 LTS", "foo package in jammy, while related to the CVE in some way, is not affected (note: 'code not present').",
			feed.Affected{Ecosystem: "Ubuntu:22.04:LTS", Name: "foo", State: feed.StateNotAffected, Note: "code not present"}},
		{"Pro of trusty", "Ubuntu 14.04 LTS", "unzip source package in trusty/esm, is affected and has been fixed (note: '6.0-9ubuntu1.6').",
			feed.Affected{Ecosystem: "Ubuntu:Pro:14.04:LTS", Name: "unzip", Ranges: []feed.Range{{Introduced: "0", Fixed: "6.0-9ubuntu1.6"}}}},
		{"FIPS", "Ubuntu 20.04 LTS", "openssl source package in fips-updates/focal, is affected and needs fixing.",
			feed.Affected{Ecosystem: "Ubuntu:Pro:FIPS-updates:20.04:LTS", Name: "openssl", Ranges: open}},
		{"words of tomorrow", "Ubuntu 26.04 LTS", "foo source package in resolute, keeps us busy.",
			feed.Affected{Ecosystem: "Ubuntu:26.04:LTS", Name: "foo", Ranges: open, Note: "keeps us busy."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := []feed.Record{{ID: "UBUNTU-CVE-2024-0001", CVEs: []string{"CVE-2024-0001"}, URL: "https://ubuntu.com/security/CVE-2024-0001",
				Affected: []feed.Affected{tc.want}}}
			if diff := cmp.Diff(want, feedtest.Records(t, New(), fileOfFocal, []byte(definitionOf(tc.platform, tc.comment)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOnlyWhatRuns(t *testing.T) {
	for _, comment := range []string{"Is kernel 'linux' running?", "Kernel linux version comparison"} {
		got := feedtest.Records(t, New(), fileOfFocal, []byte(definitionOf("Ubuntu 24.04 LTS", comment)))
		want := []feed.Record{{ID: "UBUNTU-CVE-2024-0001", CVEs: []string{"CVE-2024-0001"}, URL: "https://ubuntu.com/security/CVE-2024-0001"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", comment, diff)
		}
	}
}

func TestMalformed(t *testing.T) {
	feedtest.RejectsCut(t, New(), fileOfFocal, []byte(sample))
	needed := "foo source package in noble, is affected and needs fixing."
	for _, tc := range []struct {
		name, text string
		line       int
	}{
		{"no package", definitionOf("Ubuntu 24.04 LTS", "Something new."), 2},
		{"no release", definitionOf("", needed), 2},
		{"no CVE", strings.Replace(definitionOf("Ubuntu 24.04 LTS", needed), "CVE-2024-0001", "", 1), 2},
		{"no definitions", "<oval_definitions>\n<definitions/>\n</oval_definitions>", 3},
		{"another document", "\n<updates></updates>", 2},
		{"nested", "<oval_definitions>\n<definition class=\"vulnerability\">" + strings.Repeat("<criteria>", 2*maxCriteria) +
			strings.Repeat("</criteria>", 2*maxCriteria) + "<metadata><title>CVE-2024-0001</title></metadata></definition></oval_definitions>", 2},
		{"many", "<oval_definitions>\n<definition class=\"vulnerability\"><metadata><title>CVE-2024-0001</title></metadata><criteria>" +
			strings.Repeat("<criterion/>", maxEntries+1) + "</criteria></definition></oval_definitions>", 2},
	} {
		t.Run(tc.name, func(t *testing.T) { feedtest.Rejects(t, New(), fileOfFocal, tc.text, tc.line) })
	}
}

func TestRemotes(t *testing.T) {
	base := feedtest.Server(t, map[string][]byte{"": []byte(`<a href="com.ubuntu.noble.cve.oval.xml.bz2">x</a>
<a href="com.ubuntu.noble.usn.oval.xml.bz2">x</a><a href="oci.com.ubuntu.noble.cve.oval.xml.bz2">x</a>
<a href="/oval/com.ubuntu.esm-infra_focal.cve.oval.xml.bz2">x</a><a href="com.ubuntu.noble.cve.oval.xml.bz2">again</a>`)})
	got, err := New().Remotes(t.Context(), base, feedtest.Get)
	if err != nil {
		t.Fatal(err)
	}
	var want []feed.Remote
	for _, n := range []string{"com.ubuntu.esm-infra_focal.cve.oval.xml.bz2", "com.ubuntu.noble.cve.oval.xml.bz2"} {
		want = append(want, feed.Remote{URL: base + "/" + n, Name: n})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, n := range []string{"oci.com.ubuntu.noble.cve.oval.xml", "com.ubuntu.noble.usn.oval.xml", "com.ubuntu.noble.pkg.oval.xml"} {
		if New().Wants(n) {
			t.Errorf("%s is wanted", n)
		}
	}
	if _, err := New().Remotes(t.Context(), feedtest.Server(t, map[string][]byte{"": nil}), feedtest.Get); err == nil {
		t.Error("an empty index is no error")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample)
	f.Add(definitionOf("Ubuntu 18.04 LTS", "apache2: while related to the CVE in some way, a decision has been made to ignore this issue (note: 'x')."))
	f.Fuzz(func(t *testing.T, text string) {
		rs, err := feedtest.Read(New(), fileOfFocal, []byte(text))
		feedtest.Sound(t, fileOfFocal, rs, err)
	})
}
