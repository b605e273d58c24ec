package updateinfo_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/advisory/feed/updateinfo"
)

const samples = "pkg/fetch/alma/updateinfo/testdata/fixtures/happy/almalinux/9/"

func TestFeed(t *testing.T) {
	for dir, want := range map[string][]feed.Record{
		// A bug fix is there too.
		"BaseOS/x86_64/os/repodata/106ba7d2cc8d0ba45aebfe29e32dbbc6ac0bb0378413184d62e6198d13fedb76-updateinfo.xml.gz": {{
			ID: "ALSA-2022:4940", CVEs: []string{"CVE-2022-1271"}, Summary: "Important: xz security update",
			Details: "XZ Utils is an integrated collection of user-space file compression utilities.", Severity: "Important",
			Published: 1654646400000, Modified: 1678210336000, URL: "https://errata.almalinux.org/9/ALSA-2022-4940.html",
			Affected: []feed.Affected{{Ecosystem: "Anolis OS:8", Name: "xz", Ranges: []feed.Range{{Introduced: "0", Fixed: "5.2.5-8.el9_0"}}}},
		}},
		"AppStream/x86_64/os/repodata/cccc125de8ddb7f66ac6a9850f48af285670c3ace1e29f2b0ce002ab69b88ee5-updateinfo.xml.gz": {{
			ID: "ALSA-2023:7549", CVEs: []string{"CVE-2023-44487"}, Summary: "Moderate: nodejs security update",
			Details: "Node.js is a software development platform for building fast and scalable network applications.", Severity: "Moderate",
			Published: 1701129600000, Modified: 1701129600000, URL: "https://errata.almalinux.org/9/ALSA-2023-7549.html",
			Affected: []feed.Affected{{Ecosystem: "Anolis OS:8", Name: "nodejs", Ranges: []feed.Range{{Introduced: "0", Fixed: "1:18.18.2-1.el9"}}}},
		}},
	} {
		text := feedtest.Gunzip(t, feedtest.Sample(t, feedtest.Sources, samples+dir))
		if diff := cmp.Diff(want, feedtest.Records(t, updateinfo.New(), "Anolis OS:8/BaseOS/updateinfo.xml", text)); diff != "" {
			t.Errorf("%s: %s", dir, diff)
		}
		feedtest.RejectsCut(t, updateinfo.New(), "Anolis OS:8/updateinfo.xml", text)
	}
}

func TestFeedRejects(t *testing.T) {
	const good = "<updates>\n<update type=\"security\"><id>A-1</id><pkglist><collection><package name=\"a\" version=\"1\" release=\"1\" arch=\"noarch\"/></collection></pkglist></update>\n</updates>"
	if rs := feedtest.Records(t, updateinfo.New(), "Kylin:V10-SP3/updateinfo.xml", []byte(good)); len(rs) != 1 {
		t.Errorf("got %v", rs)
	}
	for _, dir := range []string{"Anolis OS", "Anolis", "9", "Haiku:1"} {
		feedtest.Rejects(t, updateinfo.New(), dir+"/updateinfo.xml", good, 1)
	}
	feedtest.Rejects(t, updateinfo.New(), "Kylin:V10/updateinfo.xml", strings.Replace(good, `release="1"`, "", 1), 2)
	feedtest.Rejects(t, updateinfo.New(), "Kylin:V10/updateinfo.xml", "<updates>\n<update><id>A-1</id><references>"+strings.Repeat("<reference/>", 10_001)+"</references></update></updates>", 2)
	if updateinfo.New().Wants("updateinfo.xml") || updateinfo.New().Wants("Kylin:V10/repomd.xml") {
		t.Error("a file of no ecosystem, or of something else, is taken")
	}
}

func TestLocate(t *testing.T) {
	const repo = "https://mirror.example.org/8/BaseOS/x86_64/os/"
	md := func(href string) string {
		return `<repomd><data type="updateinfo"><location href="` + href + `"/></data></repomd>`
	}
	for _, tc := range []struct{ repomd, address, name string }{
		{md("repodata/abc1-updateinfo.xml.gz"), repo + "repodata/abc1-updateinfo.xml.gz", "updateinfo.xml.gz"},
		{md("repodata/updateinfo.xml.xz"), repo + "repodata/updateinfo.xml.xz", "updateinfo.xml.xz"},
		{`<repomd/>`, "", ""},
	} {
		address, name, err := updateinfo.Locate(repo, tc.repomd)
		if err != nil || address != tc.address || name != tc.name {
			t.Errorf("%s: got %q, %q, %v", tc.repomd, address, name, err)
		}
	}
	for _, bad := range []string{"", "<repomd>", md("../../updateinfo.xml"), md("/etc/updateinfo.xml"), md("https://other.example.org/updateinfo.xml"), md("//other/updateinfo.xml")} {
		if address, _, err := updateinfo.Locate(repo, bad); err == nil {
			t.Errorf("%s: got %q", bad, address)
		}
	}
}
