package chisel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const (
	header = `{"jsonwall":"1.0","schema":"1.0","count":9}` + "\n"
	good   = header + `{"kind":"content","slice":"libc6_libs","path":"/usr/lib/x86_64-linux-gnu/libc.so.6"}
{"kind":"package","name":"libc6","version":"2.39-0ubuntu8.3","sha256":"a5","arch":"amd64"}
{"kind":"package","name":"openssl","version":"3.0.13-0ubuntu3.4","sha256":"b6","arch":"amd64"}
{"kind":"path","path":"/etc/","mode":"0755","slices":["libc6_libs"]}
{"kind":"path","path":"/lib/ld.so","mode":"0755","slices":["libc6_libs"],"link":"/x"}
{"kind":"path","path":"/usr/bin/openssl","mode":"0755","slices":["openssl_bins","openssl_config","_odd","none"],"size":1}
{"kind":"slice","name":"libc6_libs"}
`
)

func compress(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err == nil {
		_, err = w.Write([]byte(text))
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(t testing.TB, text string) analyze.File {
	return analyzetest.File(manifestPath, compress(t, text))
}

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), manifestPath, compress(t, good)) }

func TestManifest(t *testing.T) {
	facts := analyzetest.Facts(t, New(), file(t, good))
	hashes := func(paths ...string) (h report.Hashes) {
		for _, p := range paths {
			h = append(h, report.PathHash(p))
		}
		slices.Sort(h)
		return h
	}
	want := &report.Facts{
		Database: &report.Database{Path: manifestPath, Packages: []report.Package{
			{Type: report.TypeDeb, Name: "libc6", Version: "2.39-0ubuntu8.3", Arch: "amd64", Source: "glibc", Path: manifestPath},
			{Type: report.TypeDeb, Name: "openssl", Version: "3.0.13-0ubuntu3.4", Arch: "amd64", Path: manifestPath},
		}},
		Ownership: []report.Ownership{
			{Path: manifestPath, Owner: "deb:libc6", Files: hashes("/lib/ld.so", "/usr/lib/ld.so")},
			{Path: manifestPath, Owner: "deb:openssl", Files: hashes("/usr/bin/openssl")},
		},
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Error(diff)
	}
}

func TestDamage(t *testing.T) {
	facts := analyzetest.Facts(t, New(), file(t, good+"nonsense\n"+`{"kind":"package","name":"a b","version":"1"}`))
	if len(facts.Database.Packages) != 2 || len(facts.Problems) != 2 {
		t.Errorf("got %+v", facts)
	}
	for _, bad := range []string{"nonsense\n" + good, "{}\n" + good} {
		if facts, err := New().Analyze(t.Context(), file(t, bad)); facts != nil || err == nil {
			t.Errorf("no header: got %+v, %v", facts, err)
		}
	}
	b := compress(t, good)
	if _, err := New().Analyze(t.Context(), analyzetest.File(manifestPath, b[:len(b)-5])); err == nil {
		t.Error("a manifest that breaks off gives no error")
	}
}

// Manifests that chisel wrote, which another project of the module cache keeps
// for its tests, without their compression.
func TestRealManifests(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr").Output()
	files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "extractor/filesystem/os/chisel/testdata/chisel/[os]*.wall"))
	if err != nil || len(files) == 0 {
		t.Skip("no manifests in a module cache here")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(b, []byte("{")) {
			b = compress(t, string(b))
		}
		facts := analyzetest.Facts(t, New(), analyzetest.File(manifestPath, b))
		if facts == nil || facts.Database == nil || len(facts.Problems) > 0 || len(facts.Ownership) == 0 {
			t.Errorf("%s: got %+v", name, facts)
			continue
		}
		t.Logf("%s: %d packages, %d owners", filepath.Base(name), len(facts.Database.Packages), len(facts.Ownership))
	}
}

func TestLimits(t *testing.T) {
	want := func(what string, f analyze.File) {
		t.Helper()
		if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	f := analyzetest.File(manifestPath, nil)
	f.Size = maxBytes + 1
	want("bytes", f)
	want("inflated", file(t, header+strings.Repeat(strings.Repeat(" ", 1000)+"\n", maxPlainBytes/1000)))
	var b strings.Builder
	for i := range maxPackages + 1 {
		fmt.Fprintf(&b, `{"kind":"package","name":"p%d","version":"1"}`+"\n", i)
	}
	want("packages", file(t, header+b.String()))
	many := strings.Repeat(`"a_b",`, 10_000) + `"a_b"`
	want("owned files", file(t, header+strings.Repeat(`{"kind":"path","path":"/a","slices":[`+many+"]}\n", maxOwned/10_000+1)))
	long := strings.Repeat("a", maxFieldBytes+1)
	facts := analyzetest.Facts(t, New(), file(t, header+`{"kind":"package","name":"`+long+`","version":"1"}`+"\n"))
	if facts.Database != nil || len(facts.Problems) != 1 {
		t.Errorf("field: got %+v", facts)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := manifest{path: manifestPath, owned: map[string]report.Hashes{}}
		_ = m.read(t.Context(), bytes.NewReader(b))
		if facts := m.facts(); facts != nil && facts.Database != nil {
			for _, p := range facts.Database.Packages {
				if !analyze.Plain(p.Name) || !analyze.Plain(p.Version) {
					t.Errorf("unusable package %+v", p)
				}
			}
		}
	})
}
