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
	for p, want := range map[string]bool{
		"/etc/os-release": true, "/usr/lib/os-release": true, "/etc/redhat-release": true,
		"/etc/centos-release": true, "/etc/lsb-release": false, "/srv/etc/os-release": false,
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
