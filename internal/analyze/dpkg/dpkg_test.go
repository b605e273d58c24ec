package dpkg

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuite(t *testing.T) {
	analyzetest.Suite(t, New(), statusPath, read(t, "status"))
	analyzetest.Suite(t, New(), statusDir+"tzdata", read(t, "status.d-tzdata"))
	analyzetest.Suite(t, New(), infoDir+"libfoo1:amd64.list", read(t, "libfoo1.list"))
	analyzetest.Suite(t, New(), diversionsPath, []byte("/bin/sh\n/bin/sh.distrib\ndash\n"))
}

func TestWants(t *testing.T) {
	for _, tc := range []struct {
		name string
		want bool
	}{
		{"/var/lib/dpkg/status", true},
		{"/var/lib/dpkg/status-old", false},
		{"/var/lib/dpkg/status.d/base", true},
		{"/var/lib/dpkg/status.d/base.md5sums", true},
		{"/var/lib/dpkg/status.d/a/b", false},
		{"/var/lib/dpkg/info/libc6:amd64.list", true},
		{"/var/lib/dpkg/info/libc6:amd64.md5sums", false},
		{"/var/lib/dpkg/diversions", true},
		{"/var/lib/dpkg/diversions-old", false},
		{"/srv/var/lib/dpkg/status", false},
	} {
		if got := New().Wants(tc.name, analyzetest.Info{}); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}

// The testdata holds every state, a source with and without a version, folded
// lines, and stanzas that are broken in the ways a file can be.
func TestStatus(t *testing.T) {
	facts := analyzetest.Facts(t, New(), analyzetest.File(statusPath, read(t, "status")))
	pkg := func(name, version, arch, source, sourceVersion string) report.Package {
		return report.Package{Type: report.TypeDeb, Name: name, Version: version, Arch: arch,
			Source: source, SourceVersion: sourceVersion, Path: statusPath}
	}
	want := &report.Database{Path: statusPath, Packages: []report.Package{
		pkg("plain", "1.0-1", "amd64", "", ""),
		pkg("from-source", "2:3.4-5+b1", "amd64", "other", "3.4-5"),
		pkg("from-source-same", "1.0-2", "all", "other-same", ""),
		pkg("rebuilt", "1.0-2+b3", "amd64", "", "1.0-2"),
		pkg("held", "1", "amd64", "", ""),
		pkg("half-configured", "1", "amd64", "", ""),
		pkg("unpacked", "1", "amd64", "", ""),
		pkg("awaited", "1", "amd64", "", ""),
		pkg("pending", "1", "amd64", "", ""),
		pkg("removing-but-there", "1", "amd64", "", ""),
		pkg("odd-line", "1", "amd64", "", ""),
		pkg("last", "9~rc1", "amd64", "", ""),
	}}
	if diff := cmp.Diff(want, facts.Database); diff != "" {
		t.Error(diff)
	}
	var got []string
	for _, p := range facts.Problems {
		got = append(got, p.Message)
	}
	wantProblems := []string{"no status", "not usable", "no field", "stands twice"}
	if len(got) != len(wantProblems) {
		t.Fatalf("problems: %q", got)
	}
	for i, w := range wantProblems {
		if !strings.Contains(got[i], w) {
			t.Errorf("problem %d: got %q, want %q in it", i, got[i], w)
		}
	}
}

func TestStandalone(t *testing.T) {
	const p = statusDir + "tzdata"
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, read(t, "status.d-tzdata")))
	want := &report.Facts{Packages: []report.Package{{
		Type: report.TypeDeb, Name: "tzdata", Version: "2024a-0+deb12u1", Arch: "all", Path: p,
	}}}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Error(diff)
	}
}

func hashes(paths ...string) report.Hashes {
	var out report.Hashes
	for _, p := range paths {
		out = append(out, report.PathHash(p))
	}
	slices.Sort(out)
	return out
}

func TestOwnership(t *testing.T) {
	for _, tc := range []struct {
		name, path, file, owner string
		want                    report.Hashes
	}{
		{"list", infoDir + "libfoo1:amd64.list", "libfoo1.list", "deb:libfoo1", hashes(
			"/usr/bin/foo", "/bin/foo-static", "/usr/bin/foo-static",
			"/usr/lib/python3/dist-packages/foo-1.egg-info/PKG-INFO",
			"/usr/share/java/foo.jar", "/usr/share/doc/foo/README")},
		{"md5sums", statusDir + "foo.md5sums", "foo.md5sums", "deb:foo",
			hashes("/usr/sbin/foo", "/usr/bin/foo", "/usr/share/java/foo.jar", "/usr/share/doc/foo/README")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			facts := analyzetest.Facts(t, New(), analyzetest.File(tc.path, read(t, tc.file)))
			want := []report.Ownership{{Path: tc.path, Owner: tc.owner, Files: tc.want}}
			if diff := cmp.Diff(want, facts.Ownership); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDiversions(t *testing.T) {
	h := report.PathHash
	text := "/bin/sh\n/bin/sh.distrib\ndash\n" +
		"/usr/bin/x\n/usr/bin/x.real\n:\n" +
		"relative\n/x\n:\n/a\n"
	facts := analyzetest.Facts(t, New(), analyzetest.File(diversionsPath, []byte(text)))
	want := []report.Ownership{
		{Path: diversionsPath, Owner: "", Diverted: []report.Diversion{{From: h("/usr/bin/x"), To: h("/usr/bin/x.real")}}},
		{Path: diversionsPath, Owner: "deb:dash", Diverted: []report.Diversion{
			{From: h("/bin/sh"), To: h("/bin/sh.distrib")}, {From: h("/usr/bin/sh"), To: h("/usr/bin/sh.distrib")}}},
	}
	if diff := cmp.Diff(want, facts.Ownership); diff != "" {
		t.Error(diff)
	}
	if len(facts.Problems) != 2 {
		t.Errorf("problems: %v", facts.Problems)
	}
}

// Every regular file that dpkg lists on this machine has its package as owner,
// and diverted ones have it where they stand.
func TestOwnersAgainstThisMachine(t *testing.T) {
	lists, err := filepath.Glob(infoDir + "*.list")
	if err != nil || len(lists) == 0 {
		t.Skip("no dpkg here")
	}
	owned := map[uint64]bool{}
	var files []string
	for _, l := range lists {
		facts := analyzetest.Facts(t, New(), analyzetest.Open(t, l, l))
		if facts == nil {
			continue
		}
		for _, h := range facts.Ownership[0].Files {
			owned[h] = true
		}
		b, err := os.ReadFile(l)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, strings.Fields(string(b))...)
	}
	if b, err := os.ReadFile(diversionsPath); err == nil && len(b) > 0 {
		facts := analyzetest.Facts(t, New(), analyzetest.Open(t, diversionsPath, diversionsPath))
		if len(facts.Problems) > 0 {
			t.Errorf("problems: %v", facts.Problems)
		}
		for _, o := range facts.Ownership {
			for _, d := range o.Diverted {
				owned[d.To] = true
			}
		}
		for line := range strings.Lines(string(b)) {
			files = append(files, strings.TrimSpace(line))
		}
	}
	n := 0
	for _, p := range files {
		fi, err := os.Lstat(p)
		if err != nil || fi.IsDir() {
			continue
		}
		n++
		if !owned[report.PathHash(p)] {
			t.Errorf("%s has no owner", p)
		}
	}
	t.Logf("%d files, %d hashes", n, len(owned))
}

// The formats are those of OpenWrt 22.03.
func TestOpkg(t *testing.T) {
	const status = "Package: libc\nVersion: 1.1.24-3\nDepends: libgcc1\nStatus: install user installed\nArchitecture: x86_64\nInstalled-Time: 1649500000\n\n" +
		"Package: gone\nVersion: 1\nStatus: deinstall user not-installed\n"
	for _, dir := range []string{"/usr/lib/opkg/", "/var/lib/opkg/"} {
		facts := analyzetest.Facts(t, New(), analyzetest.File(dir+"status", []byte(status)))
		want := []report.Package{{Type: report.TypeOpkg, Name: "libc", Version: "1.1.24-3", Arch: "x86_64", Path: dir + "status"}}
		if diff := cmp.Diff(want, facts.Database.Packages); diff != "" {
			t.Error(diff)
		}
		p := dir + "info/libc.list"
		facts = analyzetest.Facts(t, New(), analyzetest.File(p, []byte("/lib/libc.so\n/usr/bin/ldd\t0100755\n")))
		owner := []report.Ownership{{Path: p, Owner: "opkg:libc", Files: hashes("/lib/libc.so", "/usr/lib/libc.so", "/usr/bin/ldd")}}
		if diff := cmp.Diff(owner, facts.Ownership); diff != "" {
			t.Error(diff)
		}
	}
	if New().Wants("/usr/lib/opkg/info/libc.control", nil) || New().Wants("/usr/lib/opkg/diversions", nil) {
		t.Error("wants what opkg does not have")
	}
}

// The machine's own database must give what dpkg-query prints.
func TestAgainstDpkgQuery(t *testing.T) {
	const format = `${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n`
	out, err := exec.Command("dpkg-query", "-W", "-f", format).Output()
	if err != nil {
		if os.Getenv("REQUIRE_RUNTIMES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no dpkg-query here: %v", err)
	}
	var want []string
	for line := range strings.Lines(string(out)) {
		state, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if state != "config-files" && state != "not-installed" && state != "half-installed" {
			want = append(want, rest)
		}
	}
	facts := analyzetest.Facts(t, New(), analyzetest.Open(t, statusPath, statusPath))
	if len(facts.Problems) != 0 {
		t.Errorf("problems: %v", facts.Problems)
	}
	var got []string
	for _, p := range facts.Database.Packages {
		source, version := p.Source, p.SourceVersion
		if source == "" {
			source = p.Name
		}
		if version == "" {
			version = p.Version
		}
		got = append(got, strings.Join([]string{p.Name, p.Version, p.Arch, source, version}, "\t"))
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(got) < 50 {
		t.Errorf("only %d packages", len(got))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLimits(t *testing.T) {
	stanza := func(name string) string {
		return "Package: " + name + "\nStatus: install ok installed\nVersion: 1\n\n"
	}
	t.Run("status bytes", func(t *testing.T) {
		f := analyzetest.File(statusPath, nil)
		f.Size = maxStatusBytes + 1
		_, err := New().Analyze(t.Context(), f)
		wantLimit(t, err)
	})
	t.Run("list bytes", func(t *testing.T) {
		f := analyzetest.File(infoDir+"a.list", nil)
		f.Size = maxListBytes + 1
		_, err := New().Analyze(t.Context(), f)
		wantLimit(t, err)
	})
	t.Run("packages", func(t *testing.T) {
		f := analyzetest.File(statusPath, []byte(strings.Repeat(stanza("a"), maxPackages+1)))
		facts, err := New().Analyze(t.Context(), f)
		wantLimit(t, err)
		if n := len(facts.Database.Packages); n != maxPackages {
			t.Errorf("%d packages are kept, want %d", n, maxPackages)
		}
	})
	t.Run("field bytes", func(t *testing.T) {
		f := analyzetest.File(statusPath, []byte(stanza(strings.Repeat("a", maxFieldBytes+1))+stanza("b")))
		facts, err := New().Analyze(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(facts.Database.Packages) != 1 || len(facts.Problems) != 1 {
			t.Errorf("got %d packages, %d problems", len(facts.Database.Packages), len(facts.Problems))
		}
	})
	t.Run("owned files", func(t *testing.T) {
		_, err := New().Analyze(t.Context(), analyzetest.File(infoDir+"a.list", bytes.Repeat([]byte("/a\n"), maxOwned+1)))
		wantLimit(t, err)
	})
	t.Run("diversions", func(t *testing.T) {
		_, err := New().Analyze(t.Context(), analyzetest.File(diversionsPath, bytes.Repeat([]byte("/a\n/b\n:\n"), maxDiversions+1)))
		wantLimit(t, err)
		f := analyzetest.File(diversionsPath, nil)
		f.Size = maxListBytes + 1
		_, err = New().Analyze(t.Context(), f)
		wantLimit(t, err)
		long := "/" + strings.Repeat("a", maxPathBytes)
		facts := analyzetest.Facts(t, New(), analyzetest.File(diversionsPath, []byte(long+"\n/b\n:\n")))
		if len(facts.Problems) != 1 || len(facts.Ownership) != 0 {
			t.Errorf("got %+v", facts)
		}
	})
	t.Run("line", func(t *testing.T) {
		long := "Depends: " + strings.Repeat("x", lines.MaxLineBytes) + "\n"
		f := analyzetest.File(statusPath, []byte(long+stanza("a")+stanza("b")))
		facts, err := New().Analyze(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(facts.Database.Packages); n != 2 {
			t.Errorf("got %d packages, want 2", n)
		}
	})
}

func wantLimit(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
}

func FuzzStatus(f *testing.F) {
	for _, name := range []string{"status", "status.d-tzdata", "libfoo1.list", "foo.md5sums"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range []string{statusPath, statusDir + "a", statusDir + "a.md5sums", infoDir + "a.list", diversionsPath} {
			facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
			if err != nil || facts == nil {
				continue
			}
			pkgs := facts.Packages
			if facts.Database != nil {
				pkgs = append(pkgs, facts.Database.Packages...)
			}
			for _, p := range pkgs {
				if p.Name == "" || p.Version == "" || bytes.ContainsAny([]byte(p.Name+p.Version), " \n\t") {
					t.Errorf("unusable package %+v", p)
				}
			}
		}
	})
}
