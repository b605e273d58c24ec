package oracle

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

// The shared data has no sample of Oracle's OVAL: this one is ours, written in
// the form that Oracle gives it, about real errata.
const sample = `<?xml version="1.0" encoding="UTF-8"?>
<oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5" xmlns:oval="http://oval.mitre.org/XMLSchema/oval-common-5">
<generator><oval:product_name>Oracle Errata System</oval:product_name></generator>
<definitions>
<definition id="oval:com.oracle.elsa:def:20141306" version="501" class="patch">
 <metadata>
  <title>
ELSA-2014-1306:  bash security update (IMPORTANT)
</title>
  <affected family="unix"><platform>Oracle Linux 6</platform><platform>Oracle Linux 7</platform></affected>
  <reference source="elsa" ref_id="ELSA-2014-1306" ref_url="https://linux.oracle.com/errata/ELSA-2014-1306.html"/>
  <reference source="CVE" ref_id="CVE-2014-7169" ref_url="https://linux.oracle.com/cve/CVE-2014-7169.html"/>
  <reference source="CVE" ref_id="CVE-2014-7186" ref_url="https://linux.oracle.com/cve/CVE-2014-7186.html"/>
  <description>
[4.2.45-5.4]
- CVE-2014-7169
</description>
  <advisory>
   <severity>IMPORTANT</severity>
   <rights>Copyright 2014 Oracle, Inc.</rights>
   <issued date="2014-09-26"/>
   <cve href="https://linux.oracle.com/cve/CVE-2014-7169.html">CVE-2014-7169</cve>
   <cve href="https://linux.oracle.com/cve/CVE-2014-7186.html">CVE-2014-7186</cve>
  </advisory>
 </metadata>
 <criteria operator="OR">
  <criteria operator="AND">
   <criterion test_ref="oval:com.oracle.elsa:tst:20141306001" comment="Oracle Linux 6 is installed"/>
   <criteria operator="OR">
    <criteria operator="AND">
     <criterion test_ref="oval:com.oracle.elsa:tst:20141306002" comment="Oracle Linux arch is x86_64"/>
     <criteria operator="OR">
      <criteria operator="AND">
       <criterion test_ref="oval:com.oracle.elsa:tst:20141306003" comment="bash is earlier than 0:4.1.2-15.el6_5.2"/>
       <criterion test_ref="oval:com.oracle.elsa:tst:20141306004" comment="bash is signed with the Oracle Linux 6 key"/>
      </criteria>
     </criteria>
    </criteria>
    <criteria operator="AND">
     <criterion test_ref="oval:com.oracle.elsa:tst:20141306005" comment="Oracle Linux arch is i386"/>
     <criterion test_ref="oval:com.oracle.elsa:tst:20141306006" comment="bash is earlier than 0:4.1.2-15.el6_5.2"/>
    </criteria>
   </criteria>
  </criteria>
  <criteria operator="AND">
   <criterion test_ref="oval:com.oracle.elsa:tst:20141306007" comment="Oracle Linux 7 is installed"/>
   <criterion test_ref="oval:com.oracle.elsa:tst:20141306008" comment="bash is earlier than 0:4.2.45-5.el7_0.4"/>
  </criteria>
 </criteria>
</definition>
<definition id="oval:com.oracle.elsa:def:20210711" version="501" class="patch">
 <metadata>
  <title>ELSA-2021-0711: virt:ol and virt-devel:rhel security update (IMPORTANT)</title>
  <affected family="unix"><platform>Oracle Linux 8</platform></affected>
  <reference source="elsa" ref_id="ELSA-2021-0711" ref_url="https://linux.oracle.com/errata/ELSA-2021-0711.html"/>
  <reference source="CVE" ref_id="CVE-2020-35517" ref_url="https://linux.oracle.com/cve/CVE-2020-35517.html"/>
  <advisory>
   <severity>IMPORTANT</severity>
   <issued date="2021-03-04"/>
   <cve cvss3="8.2/CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:C/C:H/I:H/A:H" href="https://linux.oracle.com/cve/CVE-2020-35517.html">CVE-2020-35517</cve>
  </advisory>
 </metadata>
 <criteria operator="AND">
  <criterion test_ref="oval:com.oracle.elsa:tst:20210711001" comment="Oracle Linux 8 is installed"/>
  <criteria operator="AND">
   <criterion test_ref="oval:com.oracle.elsa:tst:20210711002" comment="Module virt:ol is enabled"/>
   <criteria operator="OR">
    <criterion test_ref="oval:com.oracle.elsa:tst:20210711003" comment="qemu-kvm is earlier than 15:4.2.0-34.module+el8.3.0+9659+37db3dbd.4"/>
   </criteria>
  </criteria>
 </criteria>
</definition>
<definition id="oval:com.oracle.elsa:def:20219344" version="501" class="patch">
 <metadata>
  <title>ELSA-2021-9344: glibc security update (MODERATE)</title>
  <affected family="unix"><platform>Oracle Linux 8</platform></affected>
  <reference source="elsa" ref_id="ELSA-2021-9344" ref_url="https://linux.oracle.com/errata/ELSA-2021-9344.html"/>
  <reference source="CVE" ref_id="CVE-2021-3326" ref_url="https://linux.oracle.com/cve/CVE-2021-3326.html"/>
  <advisory><severity>MODERATE</severity><issued date="2021-06-29"/></advisory>
 </metadata>
 <criteria operator="AND">
  <criterion test_ref="oval:com.oracle.elsa:tst:20219344001" comment="Oracle Linux 8 is installed"/>
  <criterion test_ref="oval:com.oracle.elsa:tst:20219344002" comment="glibc is earlier than 2:2.28-151.0.1.ksplice2.el8"/>
  <criterion test_ref="oval:com.oracle.elsa:tst:20219344003" comment="glibc is ksplice-based"/>
 </criteria>
</definition>
<definition id="oval:com.oracle.elsa:def:20229221" version="501" class="patch">
 <metadata>
  <title>ELSA-2022-9221: gnutls security update (MODERATE)</title>
  <affected family="unix"><platform>Oracle Linux 8</platform></affected>
  <reference source="elsa" ref_id="ELSA-2022-9221" ref_url="https://linux.oracle.com/errata/ELSA-2022-9221.html"/>
  <reference source="CVE" ref_id="CVE-2021-20231" ref_url="https://linux.oracle.com/cve/CVE-2021-20231.html"/>
  <advisory><severity>MODERATE</severity><issued date="2022-03-15"/></advisory>
 </metadata>
 <criteria operator="AND">
  <criterion test_ref="oval:com.oracle.elsa:tst:20229221001" comment="gnutls is earlier than 10:3.6.16-4.0.1.el8_fips"/>
 </criteria>
</definition>
<definition id="oval:com.oracle.elsa:def:20230001" version="501" class="patch">
 <metadata>
  <title>ELBA-2023-0001: tzdata bug fix and enhancement update (N/A)</title>
  <affected family="unix"><platform>Oracle Linux 8</platform></affected>
  <reference source="elsa" ref_id="ELBA-2023-0001" ref_url="https://linux.oracle.com/errata/ELBA-2023-0001.html"/>
  <advisory><severity>N/A</severity></advisory>
 </metadata>
 <criteria operator="AND">
  <criterion test_ref="oval:com.oracle.elsa:tst:20230001001" comment="tzdata is earlier than 0:2022g-1.el8"/>
 </criteria>
</definition>
</definitions>
<tests><rpminfo_test id="oval:com.oracle.elsa:tst:20141306003"/></tests>
</oval_definitions>
`

func TestRead(t *testing.T) {
	before := func(eco, name, v, stream string) feed.Affected {
		return feed.Affected{Ecosystem: eco, Name: name, Ranges: []feed.Range{{Introduced: "0", Fixed: v}}, Stream: stream}
	}
	page := func(id string) string { return "https://linux.oracle.com/errata/" + id + ".html" }
	want := []feed.Record{
		{
			ID: "ELSA-2014-1306", CVEs: []string{"CVE-2014-7169", "CVE-2014-7186"}, Summary: "bash security update",
			Details: "[4.2.45-5.4]\n- CVE-2014-7169", Severity: "IMPORTANT", Published: 1411689600000, Modified: 1411689600000, URL: page("ELSA-2014-1306"),
			Affected: []feed.Affected{
				before("Oracle Linux:6", "bash", "4.1.2-15.el6_5.2", ""),
				before("Oracle Linux:7", "bash", "4.2.45-5.el7_0.4", ""),
			},
		},
		{
			ID: "ELSA-2021-0711", CVEs: []string{"CVE-2020-35517"}, Summary: "virt:ol and virt-devel:rhel security update",
			Severity: "IMPORTANT", CVSS: []string{"CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:C/C:H/I:H/A:H"},
			Published: 1614816000000, Modified: 1614816000000, URL: page("ELSA-2021-0711"),
			Affected: []feed.Affected{before("Oracle Linux:8", "qemu-kvm", "15:4.2.0-34.module+el8.3.0+9659+37db3dbd.4", "virt:ol")},
		},
		{
			ID: "ELSA-2021-9344", CVEs: []string{"CVE-2021-3326"}, Summary: "glibc security update",
			Severity: "MODERATE", Published: 1624924800000, Modified: 1624924800000, URL: page("ELSA-2021-9344"),
			Affected: []feed.Affected{before("Oracle Linux:8:ksplice", "glibc", "2:2.28-151.0.1.ksplice2.el8", "")},
		},
		{
			ID: "ELSA-2022-9221", CVEs: []string{"CVE-2021-20231"}, Summary: "gnutls security update",
			Severity: "MODERATE", Published: 1647302400000, Modified: 1647302400000, URL: page("ELSA-2022-9221"),
			Affected: []feed.Affected{before("Oracle Linux:8:fips", "gnutls", "10:3.6.16-4.0.1.el8_fips", "")},
		},
	}
	if diff := cmp.Diff(want, feedtest.Records(t, New(), "com.oracle.elsa-all.xml", []byte(sample))); diff != "" {
		t.Error(diff)
	}
}

func TestReadRejects(t *testing.T) {
	const name = "com.oracle.elsa-all.xml"
	feedtest.Rejects(t, New(), name, "<updates>\n</updates>", 1)
	feedtest.Rejects(t, New(), name, strings.Replace(sample, `<criteria operator="OR">`, `<criteria operator="OR" negate="perhaps">`, 1), 0)
	feedtest.Rejects(t, New(), name, strings.ReplaceAll(sample, " is earlier than ", " precedes "), 1)
	nameless := strings.Replace(sample, `source="elsa" ref_id="ELSA-2021-0711"`, `source="other"`, 1)
	feedtest.Rejects(t, New(), name, strings.Replace(nameless, "ELSA-2021-0711:", "", 1), 51)
	feedtest.Rejects(t, New(), name, `<oval_definitions><definitions><definition class="patch"><criteria>`+strings.Repeat(`<criterion comment="a is earlier than 1"/>`, 200_001)+`</criteria></definition></definitions></oval_definitions>`, 1)
	feedtest.Rejects(t, New(), name, `<oval_definitions><definitions><definition class="patch">`+strings.Repeat("<criteria>", 20_000), 1)
	feedtest.RejectsCut(t, New(), name, []byte(sample))
}

func TestRemotes(t *testing.T) {
	got, err := New().Remotes(context.Background(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []feed.Remote{{URL: "https://linux.oracle.com/security/oval/com.oracle.elsa-all.xml.bz2", Name: "com.oracle.elsa-all.xml.bz2"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		rs, err := feedtest.Read(New(), "a.xml", []byte(text))
		feedtest.Sound(t, "a.xml", rs, err)
	})
}
