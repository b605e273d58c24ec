package fedora

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

// The shared data has no sample of Fedora: this one is ours, written in the
// form that Bodhi gives it, about real updates.
const sample = `<?xml version="1.0" encoding="UTF-8"?>
<updates>
  <update from="updates@fedoraproject.org" status="stable" type="security" version="2.0">
    <id>FEDORA-2024-d02c7bb266</id>
    <title>xz-5.4.6-3.fc41</title>
    <issued date="2024-03-30 00:15:31"/>
    <updated date="2024-03-30 00:15:31"/>
    <rights>Copyright (C) 2024 Red Hat, Inc. and others.</rights>
    <release>Fedora 41</release>
    <severity>Critical</severity>
    <summary>xz-5.4.6-3.fc41 security update</summary>
    <description>Go back to a version without the backdoor.</description>
    <references>
      <reference href="https://bugzilla.redhat.com/show_bug.cgi?id=2272210" id="2272210" type="bugzilla" title="CVE-2024-3094 xz: malicious code in distributed source"/>
    </references>
    <pkglist>
      <collection short="F41">
        <name>Fedora 41</name>
        <package name="xz" version="5.4.6" release="3.fc41" epoch="1" arch="src" src="xz-5.4.6-3.fc41.src.rpm">
          <filename>xz-5.4.6-3.fc41.src.rpm</filename>
        </package>
        <package name="xz" version="5.4.6" release="3.fc41" epoch="1" arch="x86_64" src="xz-5.4.6-3.fc41.src.rpm">
          <filename>xz-5.4.6-3.fc41.x86_64.rpm</filename>
        </package>
        <package name="xz" version="5.4.6" release="3.fc41" epoch="1" arch="aarch64" src="xz-5.4.6-3.fc41.src.rpm">
          <filename>xz-5.4.6-3.fc41.aarch64.rpm</filename>
        </package>
        <package name="xz-libs" version="5.4.6" release="3.fc41" epoch="1" arch="i686" src="xz-5.4.6-3.fc41.src.rpm">
          <filename>xz-libs-5.4.6-3.fc41.i686.rpm</filename>
          <reboot_suggested>True</reboot_suggested>
        </package>
      </collection>
    </pkglist>
  </update>
  <update from="updates@fedoraproject.org" status="stable" type="bugfix" version="2.0">
    <id>FEDORA-2020-15f9382449</id>
    <title>nano-4.9.3-1.fc32</title>
    <issued date="2020-05-27 04:10:31"/>
    <severity>None</severity>
    <references/>
    <pkglist>
      <collection short="F32"><name>Fedora 32</name>
        <package name="nano" version="4.9.3" release="1.fc32" epoch="0" arch="x86_64"/>
      </collection>
    </pkglist>
  </update>
  <update from="updates@fedoraproject.org" status="stable" type="security" version="2.0">
    <id>FEDORA-MODULAR-2023-d5b2eefe50</id>
    <title>nodejs-18-3820231018144415.f27b74a8</title>
    <issued date="2023-11-03 18:54:41"/>
    <severity>Important</severity>
    <references>
      <reference href="https://bugzilla.redhat.com/show_bug.cgi?id=2244394" id="2244394" type="bugzilla" title="CVE-2023-44487 nodejs:18/nodejs: HTTP/2: Multiple HTTP/2 enabled web servers are vulnerable to a DDoS attack (Rapid Reset Attack) [fedora-all]"/>
    </references>
    <pkglist>
      <collection short="F38M"><name>Fedora 38 Modular</name>
        <module name="nodejs" stream="18" version="3820231018144415" context="f27b74a8" arch="x86_64"/>
        <package name="nodejs" version="18.18.2" release="1.module_f38+17506+8a1b1ab9" epoch="1" arch="x86_64"/>
      </collection>
    </pkglist>
  </update>
  <update from="updates@fedoraproject.org" status="stable" type="security" version="2.0">
    <id>FEDORA-EPEL-2024-1a1b8a3d56</id>
    <title>chromium-122.0.6261.94-1.el9</title>
    <pkglist>
      <collection short="EL-9"><name>Fedora EPEL 9</name>
        <package name="chromium" version="122.0.6261.94" release="1.el9" epoch="0" arch="x86_64"/>
      </collection>
    </pkglist>
  </update>
</updates>
`

func TestRead(t *testing.T) {
	fixed := func(v string) []feed.Range { return []feed.Range{{Introduced: "0", Fixed: v}} }
	want := []feed.Record{
		{
			ID: "FEDORA-2024-d02c7bb266", CVEs: []string{"CVE-2024-3094"}, Summary: "xz-5.4.6-3.fc41",
			Details: "Go back to a version without the backdoor.", Severity: "Critical",
			Published: 1711757731000, Modified: 1711757731000,
			URL: "https://bodhi.fedoraproject.org/updates/FEDORA-2024-d02c7bb266",
			Affected: []feed.Affected{
				{Ecosystem: "Fedora:41", Name: "xz", Ranges: fixed("1:5.4.6-3.fc41")},
				{Ecosystem: "Fedora:41", Name: "xz-libs", Ranges: fixed("1:5.4.6-3.fc41")},
			},
		},
		{
			ID: "FEDORA-MODULAR-2023-d5b2eefe50", CVEs: []string{"CVE-2023-44487"}, Summary: "nodejs-18-3820231018144415.f27b74a8",
			Severity: "Important", Published: 1699037681000, Modified: 1699037681000,
			URL: "https://bodhi.fedoraproject.org/updates/FEDORA-MODULAR-2023-d5b2eefe50",
			Affected: []feed.Affected{
				{Ecosystem: "Fedora:38", Name: "nodejs", Ranges: fixed("1:18.18.2-1.module_f38+17506+8a1b1ab9"), Stream: "nodejs:18"},
			},
		},
	}
	if diff := cmp.Diff(want, feedtest.Records(t, New(), "41/updateinfo.xml", []byte(sample))); diff != "" {
		t.Error(diff)
	}
}

func TestReadRejects(t *testing.T) {
	feedtest.Rejects(t, New(), "updateinfo.xml", "<feed/>", 1)
	feedtest.Rejects(t, New(), "updateinfo.xml", strings.Replace(sample, "FEDORA-2024-d02c7bb266", "", 1), 3)
	feedtest.Rejects(t, New(), "updateinfo.xml", strings.Replace(sample, `<module name="nodejs"`, `<module name=""`, 1), 0)
	feedtest.Rejects(t, New(), "updateinfo.xml", strings.Replace(sample, `name="xz-libs"`, ``, 1), 3)
	feedtest.RejectsCut(t, New(), "updateinfo.xml", []byte(sample))
}

func TestRemotes(t *testing.T) {
	md := func(name string) []byte {
		return []byte(`<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><location href="repodata/primary.xml.gz"/></data><data type="` + name +
			`"><location href="repodata/0c1d-updateinfo.xml.zst"/></data></repomd>`)
	}
	files := map[string][]byte{
		"": []byte(`<a href="../">Parent</a> <a href="40/">40/</a> <a href="41/">41/</a> <a href="testing/">testing/</a>`),
		"40/Everything/x86_64/repodata/repomd.xml": md("updateinfo"),
		"41/Everything/x86_64/repodata/repomd.xml": md("group"),
	}
	base := feedtest.Server(t, files)
	got, err := New().Remotes(context.Background(), base, feedtest.Get)
	if err != nil {
		t.Fatal(err)
	}
	want := []feed.Remote{{URL: base + "/40/Everything/x86_64/repodata/0c1d-updateinfo.xml.zst", Name: "40/updateinfo.xml.zst"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	files["41/Everything/x86_64/repodata/repomd.xml"] = []byte(`<repomd><data type="updateinfo"><location href="../../../etc/updateinfo.xml"/></data></repomd>`)
	if _, err := New().Remotes(context.Background(), base, feedtest.Get); err == nil {
		t.Error("a location outside of the repository is taken")
	}
	files[""] = []byte("nothing here")
	if _, err := New().Remotes(context.Background(), base, feedtest.Get); err == nil {
		t.Error("no release at all is no error")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		rs, err := feedtest.Read(New(), "updateinfo.xml", []byte(text))
		feedtest.Sound(t, "updateinfo.xml", rs, err)
	})
}
