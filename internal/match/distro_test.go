package match

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/osrelease"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// distroFrom reads files that name a distribution, path to text, the way a
// scan does.
func distroFrom(t *testing.T, files map[string]string) report.Distro {
	t.Helper()
	l := &report.LayerReport{DiffID: "sha256:00", OSReleases: map[string]map[string]string{}}
	for p, text := range files {
		facts, err := osrelease.New().Analyze(context.Background(), analyze.File{
			Path: p, Size: int64(len(text)), Content: strings.NewReader(text)})
		if err != nil || facts == nil || len(facts.Problems) > 0 {
			t.Fatalf("%s: %v, %v", p, facts, err)
		}
		l.OSReleases[p] = facts.OSRelease
		l.Hides = append(l.Hides, report.PathHash(p))
	}
	l.Normalize()
	return report.Merge([]*report.LayerReport{l}).Distro
}

// The lines of os-release that decide, as each distribution writes them.
var releases = []struct {
	name, text string
	// want are the ecosystems, the first one first, and parent is whose
	// advisories stand in.
	want   []string
	parent string
}{
	{"openEuler", "ID=\"openEuler\"\nVERSION_ID=\"22.03\"\nPRETTY_NAME=\"openEuler 22.03 (LTS-SP3)\"", []string{"openEuler:22.03-LTS-SP3"}, ""},
	{"openEuler, first of its line", "ID=\"openEuler\"\nVERSION_ID=\"24.03\"\nPRETTY_NAME=\"openEuler 24.03 (LTS)\"", []string{"openEuler:24.03-LTS"}, ""},
	{"openEuler between", "ID=\"openEuler\"\nVERSION_ID=\"23.09\"\nPRETTY_NAME=\"openEuler 23.09\"", []string{"openEuler:23.09"}, ""},
	{"EulerOS", "ID=\"euleros\"\nID_LIKE=\"rhel fedora centos\"\nVERSION_ID=\"2.0\"\nPRETTY_NAME=\"EulerOS 2.0 (SP8)\"", []string{"EulerOS:2.0-SP8"}, ""},
	{"EulerOS with the architecture", "ID=\"euleros\"\nVERSION_ID=\"2.0\"\nPRETTY_NAME=\"EulerOS 2.0 (SP12x86_64)\"", []string{"EulerOS:2.0-SP12"}, ""},
	{"HCE", "NAME=\"Huawei Cloud EulerOS\"\nID=\"hce\"\nVERSION_ID=\"2.0\"\nPRETTY_NAME=\"Huawei Cloud EulerOS 2.0 (aarch64)\"", []string{"Huawei Cloud EulerOS:2.0"}, ""},
	{"Kylin V10", "ID=\"kylin\"\nVERSION_ID=\"V10\"\nPRETTY_NAME=\"Kylin Linux Advanced Server V10\"", []string{"Kylin:V10"}, ""},
	{"Kylin V10 SP1", "ID=\"kylin\"\nVERSION_ID=\"V10\"\nPRETTY_NAME=\"Kylin Linux Advanced Server V10 (Tercel)\"", []string{"Kylin:V10-SP1"}, ""},
	{"Kylin V10 SP2", "ID=\"kylin\"\nVERSION_ID=\"V10\"\nPRETTY_NAME=\"Kylin Linux Advanced Server V10 (Sword)\"", []string{"Kylin:V10-SP2"}, ""},
	{"Kylin V10 SP3", "ID=\"kylin\"\nVERSION_ID=\"V10\"\nPRETTY_NAME=\"Kylin Linux Advanced Server V10 (Lance)\"", []string{"Kylin:V10-SP3"}, ""},
	{"Kylin V11", "ID=\"kylin\"\nVERSION_ID=\"V11\"\nPRETTY_NAME=\"Kylin Linux Advanced Server V11 (Swan25)\"", []string{"Kylin:V11"}, ""},
	{"Kylin Desktop", "ID=kylin\nID_LIKE=debian\nVERSION_ID=\"v10\"\nPRETTY_NAME=\"Kylin V10 SP1\"\nUBUNTU_CODENAME=focal", []string{"Kylin Desktop:V10-SP1"}, ""},
	{"UOS Server e", "PRETTY_NAME=\"UnionTech OS Server 20\"\nVERSION_ID=\"20\"\nID=\"uos\"\nPLATFORM_ID=\"platform:uel20\"\nVERSION_CODENAME=\"fuyu\"", []string{"UOS:20e", "UOS:20"}, ""},
	{"UOS Server a", "PRETTY_NAME=\"UOS Server 20\"\nVERSION_ID=\"20\"\nID=uos\nVERSION_CODENAME=kongzi\nPLATFORM_ID=\"platform:uelc20\"", []string{"UOS:20a", "UOS:20"}, ""},
	{"UOS Server d", "PRETTY_NAME=\"UnionTech OS Server 20 Enterprise\"\nVERSION_ID=\"20\"\nID=UOS", []string{"UOS:20", "UOS Desktop:20"}, ""},
	{"UOS Desktop", "PRETTY_NAME=\"UnionTech OS Desktop 20 Pro\"\nVERSION_ID=\"20\"\nID=uos", []string{"UOS Desktop:20"}, ""},
	{"Anolis", "ID=\"anolis\"\nID_LIKE=\"rhel fedora centos\"\nVERSION_ID=\"8.8\"\nPRETTY_NAME=\"Anolis OS 8.8\"", []string{"Anolis OS:8"}, ""},
	{"Alibaba 3", "ID=\"alinux\"\nID_LIKE=\"rhel fedora centos anolis\"\nVERSION_ID=\"3\"\nPRETTY_NAME=\"Alibaba Cloud Linux 3 (Soaring Falcon)\"", []string{"Alibaba Cloud Linux:3"}, ""},
	{"Alibaba 2", "ID=\"alinux\"\nID_LIKE=\"rhel fedora centos anolis\"\nVERSION_ID=\"2.1903\"", []string{"Alibaba Cloud Linux:2"}, ""},
	{"TencentOS", "ID=\"tencentos\"\nID_LIKE=\"rhel fedora centos\"\nVERSION_ID=\"3.1\"\nPRETTY_NAME=\"TencentOS Server 3.1 (Final)\"", []string{"TencentOS:3"}, ""},
	{"TencentOS of old", "ID=\"tlinux\"\nVERSION_ID=\"2.4\"", []string{"TencentOS:2"}, ""},
	{"OpenCloudOS", "ID=\"opencloudos\"\nVERSION_ID=\"9.0\"", []string{"OpenCloudOS:9"}, ""},
	{"openKylin", "ID=openkylin\nVERSION_ID=\"2.0\"", []string{"openKylin:2.0"}, ""},
	{"deepin", "ID=deepin\nVERSION_ID=\"23\"", []string{"deepin:23"}, ""},

	{"Amazon 1", "ID=\"amzn\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"2018.03\"", []string{"Amazon Linux:1"}, ""},
	{"Amazon 2", "ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"", []string{"Amazon Linux:2"}, ""},
	{"Amazon 2023", "ID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"", []string{"Amazon Linux:2023"}, ""},
	{"Oracle", "ID=\"ol\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.4\"", []string{"Oracle Linux:9"}, ""},
	{"Fedora", "ID=fedora\nVERSION_ID=41", []string{"Fedora:41"}, ""},
	{"Fedora derivative", "ID=bazzite\nID_LIKE=\"fedora\"\nVERSION_ID=41", []string{"Fedora:41"}, "Fedora 41"},
	{"RHEL", "ID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.4\"", []string{"Red Hat:enterprise_linux:9"}, ""},
	{"CentOS", "ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\nPRETTY_NAME=\"CentOS Linux 7 (Core)\"", []string{"Red Hat:enterprise_linux:7"}, "Red Hat Enterprise Linux 7"},
	{"CentOS Stream", "ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"9\"\nPRETTY_NAME=\"CentOS Stream 9\"", []string{"Red Hat:enterprise_linux:9"}, "Red Hat Enterprise Linux 9"},
	{"Scientific", "ID=\"scientific\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"7.9\"", []string{"Red Hat:enterprise_linux:7"}, "Red Hat Enterprise Linux 7"},
	{"AlmaLinux", "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"", []string{"AlmaLinux:9"}, ""},
	{"Rocky", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"8.9\"", []string{"Rocky Linux:8"}, ""},
	{"CloudLinux builds its own", "ID=\"cloudlinux\"\nID_LIKE=\"rhel fedora centos\"\nVERSION_ID=\"8.9\"", nil, ""},
	{"Photon", "ID=photon\nVERSION_ID=5.0", []string{"Photon OS:5.0"}, ""},
	{"Azure Linux", "ID=azurelinux\nVERSION_ID=\"3.0\"", []string{"Azure Linux:3"}, ""},
	{"CBL-Mariner", "ID=mariner\nVERSION_ID=\"2.0\"", []string{"Azure Linux:2", "CBL-Mariner:2.0"}, ""},
	{"Mageia", "ID=mageia\nID_LIKE=\"mandriva fedora\"\nVERSION_ID=\"9\"", []string{"Mageia:9"}, ""},
	{"SLES", "ID=\"sles\"\nID_LIKE=\"suse\"\nVERSION_ID=\"15.5\"", []string{"SUSE:Linux Enterprise Server 15 SP5"}, ""},
	{"SLES without a service pack", "ID=\"sles\"\nVERSION_ID=\"12\"", []string{"SUSE:Linux Enterprise Server 12"}, ""},
	{"SLES 16", "ID=\"sles\"\nVERSION_ID=\"16.0\"", []string{"SUSE:Linux Enterprise Server 16.0"}, ""},
	{"SLE Micro", "ID=\"sle-micro\"\nVERSION_ID=\"5.5\"", []string{"SUSE:Linux Enterprise Micro 5.5", "SUSE:Linux Micro 5.5"}, ""},
	{"Leap", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"", []string{"openSUSE:Leap 15.6"}, ""},
	{"Leap Micro", "ID=\"opensuse-leap-micro\"\nVERSION_ID=\"5.5\"", []string{"openSUSE:Leap Micro 5.5"}, ""},
	{"Tumbleweed", "ID=\"opensuse-tumbleweed\"\nVERSION_ID=\"20240901\"", []string{"openSUSE:Tumbleweed"}, ""},
	{"MicroOS", "ID=\"opensuse-microos\"\nVERSION_ID=\"20240901\"", []string{"openSUSE:Tumbleweed"}, ""},

	{"Debian", "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm", []string{"Debian:12"}, ""},
	{"Ubuntu", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\nUBUNTU_CODENAME=jammy", []string{"Ubuntu:22.04:LTS", "Ubuntu:22.04"}, ""},
	{"Raspbian", "ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"12\"", []string{"Debian:12"}, "Debian 12"},
	{"Devuan", "ID=devuan\nID_LIKE=debian\nVERSION_ID=\"5\"", []string{"Debian:12"}, "Debian 12"},
	{"Mint", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"21.3\"\nVERSION_CODENAME=virginia\nUBUNTU_CODENAME=jammy", []string{"Ubuntu:22.04:LTS", "Ubuntu:22.04"}, "Ubuntu 22.04"},
	{"Mint from Debian", "ID=linuxmint\nID_LIKE=debian\nVERSION_ID=\"6\"\nDEBIAN_CODENAME=bookworm", []string{"Debian:12"}, "Debian 12"},
	{"Pop", "ID=pop\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"22.04\"\nUBUNTU_CODENAME=jammy", []string{"Ubuntu:22.04:LTS", "Ubuntu:22.04"}, "Ubuntu 22.04"},
	{"Kali is no Debian stable", "ID=kali\nID_LIKE=debian\nVERSION_ID=\"2024.1\"\nVERSION_CODENAME=\"kali-rolling\"", nil, ""},
	{"a derivative that names no release", "ID=somelinux\nID_LIKE=debian\nVERSION_ID=\"12\"", nil, ""},
	{"Alpine", "ID=alpine\nVERSION_ID=3.20.3", []string{"Alpine:v3.20"}, ""},
	{"postmarketOS", "ID=postmarketos\nID_LIKE=alpine\nVERSION_ID=\"v24.06\"", []string{"Alpine:v3.20"}, "Alpine 3.20"},
	{"postmarketOS edge", "ID=postmarketos\nID_LIKE=alpine\nVERSION_ID=\"edge\"", []string{"Alpine:edge"}, "Alpine edge"},
	{"Wolfi", "ID=wolfi\nVERSION_ID=\"20230201\"", []string{"Wolfi"}, ""},
	{"Chainguard", "ID=chainguard\nVERSION_ID=\"20230214\"", []string{"Chainguard", "Wolfi"}, ""},
	{"MinimOS", "ID=minimos\nVERSION_ID=\"20250101\"", []string{"MinimOS"}, ""},
	{"Echo", "ID=echo\nID_LIKE=debian", []string{"Echo"}, ""},
	{"Arch", "ID=arch", nil, ""},
}

func TestDistributions(t *testing.T) {
	for _, tc := range releases {
		t.Run(tc.name, func(t *testing.T) {
			got := resolve(distroFrom(t, map[string]string{"/etc/os-release": tc.text + "\n"}), nil)
			if diff := cmp.Diff(tc.want, got.ecosystems); diff != "" {
				t.Error(diff)
			}
			if got.parent != tc.parent || (got.why == "") != (tc.parent == "") {
				t.Errorf("got parent %q, %q", got.parent, got.why)
			}
			for _, e := range got.ecosystems {
				if !version.Known(e) {
					t.Errorf("versions of %s cannot be compared", e)
				}
			}
		})
	}
}

// The os-release of EulerOS may name the service pack that it was updated
// from.
func TestEulerOSRelease(t *testing.T) {
	d := distroFrom(t, map[string]string{
		"/etc/os-release":      "ID=\"euleros\"\nVERSION_ID=\"2.0\"\nPRETTY_NAME=\"EulerOS 2.0 (SP5)\"\n",
		"/etc/euleros-release": "EulerOS release 2.0 (SP9x86_64)\n",
	})
	if got := distroEcosystems(d, nil); !slices.Equal(got, []string{"EulerOS:2.0-SP9"}) {
		t.Errorf("got %q", got)
	}
}

func TestDistributionWarnings(t *testing.T) {
	m := New(compile(t,
		rec("DEBIAN-CVE-2026-1001", "Debian:12", "src", below2, ``),
		rec("RHSA-2026:1", "Red Hat:enterprise_linux:9::baseos", "src", below2, ``)))
	pkgs := func(typ string, n int) []report.Package {
		var out []report.Package
		for i := range n {
			out = append(out, report.Package{Type: typ, Name: fmt.Sprint("p", i), Version: "1"})
		}
		return out
	}
	for _, tc := range []struct {
		name, text string
		pkgs       []report.Package
		want       []string
	}{
		{"nothing configured", "ID=euleros\nVERSION_ID=2.0\nPRETTY_NAME=\"EulerOS 2.0 (SP12)\"", pkgs("rpm", 231),
			[]string{"no feed configured for EulerOS 2.0 SP12: 231 packages are not matched; import one, see docs/feeds.md"}},
		{"a parent stands in", "ID=raspbian\nVERSION_ID=12", pkgs("deb", 3),
			[]string{"3 packages of raspbian 12 are matched with the advisories of Debian 12, whose packages it takes over"}},
		{"a parent without advisories", "ID=raspbian\nVERSION_ID=11", pkgs("deb", 3),
			[]string{"the advisory database has nothing for Debian:11: 3 packages of raspbian 11 are not matched"}},
		{"Stream", "ID=centos\nVERSION_ID=9\nPRETTY_NAME=\"CentOS Stream 9\"", pkgs("rpm", 2),
			[]string{"2 packages of centos 9 are matched with the advisories of Red Hat Enterprise Linux 9, which it comes before: its fixes may have other versions, so that some vulnerabilities may be missed"}},
		{"a derivative with versions of its own", "ID=kali\nID_LIKE=debian\nVERSION_ID=2024.1", pkgs("deb", 2),
			[]string{"no advisories for distribution kali 2024.1, and those of debian, which it is like, are not for its versions: its 2 packages are not matched"}},
		{"pacman", "ID=arch", pkgs("alpm", 4),
			[]string{"no advisories for distribution arch: its 4 packages are not matched"}},
		{"rpms in Debian", "ID=debian\nVERSION_ID=12", append(pkgs("deb", 2), pkgs("rpm", 1)...),
			[]string{"no advisories for rpm packages of debian 12: 1 packages are not matched"}},
		{"UOS of debs", "ID=uos\nVERSION_ID=20\nPRETTY_NAME=\"UnionTech OS Server 20\"", pkgs("deb", 2),
			[]string{"no feed configured for UOS Desktop 20: 2 packages are not matched; import one, see docs/feeds.md"}},
		{"no packages", "ID=arch", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := distroFrom(t, map[string]string{"/etc/os-release": tc.text + "\n"})
			counts := map[string]int{}
			for _, p := range tc.pkgs {
				counts[p.Type]++
			}
			if diff := cmp.Diff(tc.want, m.distroWarnings(d, distroEcosystems(d, m.ecosystems), counts)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An rpm in a Debian image is not compared by dpkg's rules, and the builds of
// Oracle Linux with advisories of their own are compared with those alone.
func TestLookupsFitThePackage(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    report.Distro
		p    report.Package
		want []lookup
	}{
		{"rpm in Debian", bookworm, report.Package{Type: "rpm", Name: "a", Version: "1-1"}, nil},
		{"deb in UOS", report.Distro{ID: "uos", VersionID: "20"}, report.Package{Type: "deb", Name: "a", Version: "1-1"}, []lookup{{"UOS Desktop:20", "a", "1-1"}}},
		{"rpm in UOS", report.Distro{ID: "uos", VersionID: "20"}, report.Package{Type: "rpm", Name: "a", Version: "1-1"}, []lookup{{"UOS:20", "a", "1-1"}}},
		{"Oracle", report.Distro{ID: "ol", VersionID: "7.9"}, report.Package{Type: "rpm", Name: "glibc", Version: "2.17-326.0.1.el7_9"}, []lookup{{"Oracle Linux:7", "glibc", "2.17-326.0.1.el7_9"}}},
		{"Ksplice", report.Distro{ID: "ol", VersionID: "7.9"}, report.Package{Type: "rpm", Name: "glibc", Version: "2:2.17-326.0.1.ksplice1.el7_9"}, []lookup{{"Oracle Linux:7:ksplice", "glibc", "2:2.17-326.0.1.ksplice1.el7_9"}}},
		{"FIPS", report.Distro{ID: "ol", VersionID: "8"}, report.Package{Type: "rpm", Name: "gnutls", Version: "10:3.6.16-4.0.1.el8_fips"}, []lookup{{"Oracle Linux:8:fips", "gnutls", "10:3.6.16-4.0.1.el8_fips"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, lookups(distroEcosystems(tc.d, nil), tc.p), cmp.AllowUnexported(lookup{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
