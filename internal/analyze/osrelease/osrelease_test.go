package osrelease

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
)

const good = `# made for this test
NAME="Some Linux"
ID=some
VERSION_ID='12.4'
PRETTY_NAME="Some \"Linux\" \$12"
EMPTY=
HOME_URL=https://example.org/?a=b
`

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), "/etc/os-release", []byte(good)) }

func TestAnalyze(t *testing.T) {
	for _, tc := range []struct {
		name, path, text string
		want             map[string]string
		problems         int
	}{
		{"os-release", "/etc/os-release", good, map[string]string{
			"NAME": "Some Linux", "ID": "some", "VERSION_ID": "12.4",
			"PRETTY_NAME": `Some "Linux" $12`, "EMPTY": "", "HOME_URL": "https://example.org/?a=b",
		}, 0},
		{"broken line", "/usr/lib/os-release", "ID=a\nnonsense\nVERSION_ID=1\n", map[string]string{"ID": "a", "VERSION_ID": "1"}, 1},
		{"centos 5", "/etc/redhat-release", "CentOS release 5.11 (Final)\n", map[string]string{
			"ID": "centos", "NAME": "CentOS", "VERSION_ID": "5.11", "PRETTY_NAME": "CentOS release 5.11 (Final)"}, 0},
		{"rhel 6", "/etc/system-release", "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n", map[string]string{
			"ID": "rhel", "NAME": "Red Hat Enterprise Linux Server", "VERSION_ID": "6.10",
			"PRETTY_NAME": "Red Hat Enterprise Linux Server release 6.10 (Santiago)"}, 0},
		{"oracle 6", "/etc/oracle-release", "Oracle Linux Server release 6.10\n", map[string]string{
			"ID": "ol", "NAME": "Oracle Linux Server", "VERSION_ID": "6.10", "PRETTY_NAME": "Oracle Linux Server release 6.10"}, 0},
		{"euleros 2", "/etc/redhat-release", "EulerOS release 2.0 (SP5)\n", map[string]string{
			"ID": "euleros", "NAME": "EulerOS", "VERSION_ID": "2.0", "PRETTY_NAME": "EulerOS release 2.0 (SP5)"}, 0},
		{"euleros beside os-release", "/etc/euleros-release", "EulerOS release 2.0 (SP9x86_64)\n", map[string]string{
			"ID": "euleros", "NAME": "EulerOS", "VERSION_ID": "2.0", "PRETTY_NAME": "EulerOS release 2.0 (SP9x86_64)"}, 0},
		{"debian 6", "/etc/debian_version", "6.0.10\n", map[string]string{
			"ID": "debian", "NAME": "Debian GNU/Linux", "VERSION_ID": "6.0.10", "PRETTY_NAME": "Debian GNU/Linux 6.0.10"}, 0},
		{"debian in the making", "/etc/debian_version", "bookworm/sid\n", nil, 0},
		{"alpine 2", "/etc/alpine-release", "2.7.9\n", map[string]string{
			"ID": "alpine", "NAME": "Alpine Linux", "VERSION_ID": "2.7.9", "PRETTY_NAME": "Alpine Linux 2.7.9"}, 0},
		{"alpine edge of old", "/etc/alpine-release", "3.0.0_alpha20130807\n", nil, 0},
		{"ubuntu 10.04", "/etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\nDISTRIB_CODENAME=lucid\nDISTRIB_DESCRIPTION=\"Ubuntu 10.04.4 LTS\"\n", map[string]string{
			"ID": "ubuntu", "NAME": "Ubuntu", "VERSION_ID": "10.04", "VERSION_CODENAME": "lucid", "PRETTY_NAME": "Ubuntu 10.04.4 LTS"}, 0},
		{"lsb of red hat", "/etc/lsb-release", "LSB_VERSION=base-4.0-amd64\n", nil, 0},
		{"sles 11", "/etc/SuSE-release", "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n", map[string]string{
			"ID": "sles", "NAME": "SUSE Linux Enterprise Server", "VERSION_ID": "11.4", "PRETTY_NAME": "SUSE Linux Enterprise Server 11 (x86_64)"}, 0},
		{"opensuse 12", "/etc/SuSE-release", "openSUSE 12.1 (x86_64)\nVERSION = 12.1\nCODENAME = Asparagus\n", map[string]string{
			"ID": "opensuse", "NAME": "openSUSE", "VERSION_ID": "12.1", "PRETTY_NAME": "openSUSE 12.1 (x86_64)"}, 0},
		{"another suse", "/etc/SuSE-release", "Novell Linux Desktop 9 (i586)\nVERSION = 9\n", nil, 0},
		{"unknown sentence", "/etc/redhat-release", "Something else entirely\n", nil, 0},
		{"unknown family", "/etc/redhat-release", "Nobody's Linux release 3\n", nil, 0},
		{"no number", "/etc/redhat-release", "CentOS release Final\n", nil, 0},
		{"empty", "/etc/os-release", "", nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			facts := analyzetest.Facts(t, New(), analyzetest.File(tc.path, []byte(tc.text)))
			if facts == nil {
				if tc.want != nil {
					t.Fatal("no facts")
				}
				return
			}
			if diff := cmp.Diff(tc.want, facts.OSRelease); diff != "" {
				t.Error(diff)
			}
			if len(facts.Problems) != tc.problems {
				t.Errorf("problems: %v", facts.Problems)
			}
		})
	}
}

// The machine's own file has an ID, and it is what the shell reads.
func TestThisMachine(t *testing.T) {
	const name = "/usr/lib/os-release"
	if _, err := os.Stat(name); err != nil {
		t.Skipf("no os-release here: %v", err)
	}
	facts := analyzetest.Facts(t, New(), analyzetest.Open(t, name, name))
	if facts.OSRelease["ID"] == "" || len(facts.Problems) != 0 {
		t.Errorf("got %v", facts)
	}
}

func TestWants(t *testing.T) {
	for _, p := range Paths() {
		if !New().Wants(p, analyzetest.Info{}) {
			t.Errorf("%s is not wanted", p)
		}
	}
	for p, want := range map[string]bool{
		"/etc/os-release": true, "/usr/lib/os-release": true, "/etc/redhat-release": true,
		"/etc/centos-release": true, "/etc/lsb-release": true, "/etc/SuSE-release": true, "/etc/debian_version": true, "/etc/fedora-release": false, "/srv/etc/os-release": false,
	} {
		if got := New().Wants(p, analyzetest.Info{}); got != want {
			t.Errorf("%s: got %v", p, got)
		}
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File("/etc/os-release", nil)
	f.Size = maxBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	var b strings.Builder
	for i := range maxKeys + 1 {
		fmt.Fprintf(&b, "K%d=1\n", i)
	}
	if _, err := New().Analyze(t.Context(), analyzetest.File("/etc/os-release", []byte(b.String()))); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("keys: got %v", err)
	}
	text := "A=" + strings.Repeat("x", maxValueBytes+1) + "\nID=b\n"
	facts := analyzetest.Facts(t, New(), analyzetest.File("/etc/os-release", []byte(text)))
	if diff := cmp.Diff(map[string]string{"ID": "b"}, facts.OSRelease); diff != "" || len(facts.Problems) != 1 {
		t.Errorf("value: %s %v", diff, facts.Problems)
	}
}

func FuzzOSRelease(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("CentOS release 5.11 (Final)\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range Paths() {
			if _, err := New().Analyze(t.Context(), analyzetest.File(p, b)); err != nil && !errors.Is(err, analyze.ErrLimit) {
				t.Errorf("%s: %v", p, err)
			}
		}
	})
}
