package nix

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const hash = "535rkwr1p746wl2iqcqia3051vm3fb1f"

func TestSuite(t *testing.T) {
	analyzetest.Suite(t, New(), storeDir+hash+"-openssl-3.0.7/bin/openssl", []byte("\x7fELF"))
}

// The names are of paths that nix 2.8 made; the versions are what its
// parseDrvName says, without the output.
func TestSplit(t *testing.T) {
	for base, want := range map[string]string{
		"hello-2.12.1":               "hello 2.12.1",
		"zlib-1.3.1-dev":             "zlib 1.3.1",
		"python3.11-requests-2.31.0": "python3.11-requests 2.31.0",
		"bash-interactive-5.2-p26":   "bash-interactive 5.2-p26",
		"gcc-wrapper-13.2.0":         "gcc-wrapper 13.2.0",
		"foo-unstable-2023-01-01":    "foo-unstable 2023-01-01",
		"gtk+3-3.24.38":              "gtk+3 3.24.38",
		"source":                     " ",
		"my-script":                  " ",
		"hello-2.12.1.drv":           " ",
		"hello-2.12.1.tar.gz":        " ",
		"fix-1.patch":                " ",
		"x-":                         " ",
		"-1":                         " ",
		"a-_b":                       " ",
	} {
		n, v := split(hash + "-" + base)
		if n+" "+v != want {
			t.Errorf("%s: got %q %q", base, n, v)
		}
	}
	for _, base := range []string{"", "hello-1", hash, hash + "-", hash + "_hello-1", hash + "-he llo-1", hash + "-" + strings.Repeat("a", maxNameBytes) + "-1"} {
		if n, v := split(base); n+v != "" {
			t.Errorf("%q: got %q %q", base, n, v)
		}
	}
}

func TestWants(t *testing.T) {
	for p, want := range map[string]bool{
		"/bin/openssl": true, "": true, "/lib/a/x": false, "/etc/ssl/certs/ca-bundle.crt": true, "/share/man/man1/x.1": false,
	} {
		if got := New().Wants(storeDir+hash+"-openssl-3.0.7"+p, nil); got != want {
			t.Errorf("%s: got %v", p, got)
		}
	}
	for _, p := range []string{"/usr/bin/x", storeDir + hash + "-source/x", storeDir + ".links/abc"} {
		if New().Wants(p, nil) {
			t.Errorf("%s is wanted", p)
		}
	}
	if n := testing.AllocsPerRun(10, func() { New().Wants(storeDir+hash+"-openssl-3.0.7/bin/openssl", nil) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPackage(t *testing.T) {
	want := []report.Package{{Type: report.TypeNix, Name: "openssl", Version: "3.0.7", Path: storeDir + hash + "-openssl-3.0.7-bin"}}
	for _, p := range []string{"/bin/openssl", "/bin/c_rehash"} {
		facts := analyzetest.Facts(t, New(), analyzetest.File(storeDir+hash+"-openssl-3.0.7-bin"+p, nil))
		if diff := cmp.Diff(want, facts.Packages); diff != "" {
			t.Error(diff)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(hash + "-openssl-3.0.7-dev")
	f.Fuzz(func(t *testing.T, base string) {
		n, v := split(base)
		if (n == "") != (v == "") || strings.ContainsAny(n+v, " /\n") {
			t.Errorf("%q: %q %q", base, n, v)
		}
	})
}
