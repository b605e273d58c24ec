package rpm

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/shareddata"
)

// unpack writes the files of a .tar.zst into a new directory and returns it.
func unpack(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	dir := t.TempDir()
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		out, err := os.Create(filepath.Join(dir, filepath.Base(h.Name)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, tr); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

const queryFormat = `%{NAME}\t%|EPOCH?{%{EPOCH}}:{0}|:%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t%|MODULARITYLABEL?{%{MODULARITYLABEL}}|\t%{LICENSE}\t%|VENDOR?{%{VENDOR}}|\n`

// query is what rpm itself says of a database, sorted; nil if there is no rpm
// here.
func query(t *testing.T, dbpath string) []string {
	t.Helper()
	out, err := exec.Command("rpm", "--dbpath", dbpath, "-qa", "--qf", queryFormat).Output()
	if err != nil {
		if os.Getenv("REQUIRE_RUNTIMES") == "1" {
			t.Fatal(err)
		}
		t.Logf("not compared: no rpm here: %v", err)
		return nil
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "gpg-pubkey\t") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	slices.Sort(lines)
	return lines
}

// told is what we say, in the form of query.
func told(db *report.Database) []string {
	var lines []string
	for _, p := range db.Packages {
		version := p.Version
		if !strings.Contains(version, ":") {
			version = "0:" + version
		}
		source, sourceVersion := p.Source, p.SourceVersion
		if source == "" {
			source = p.Name
		}
		if sourceVersion == "" {
			_, sourceVersion, _ = strings.Cut(version, ":")
		}
		lines = append(lines, strings.Join([]string{p.Name, version, p.Arch, source + "-" + sourceVersion + ".src.rpm",
			p.Module, strings.Join(p.Licenses, ""), p.Vendor}, "\t"))
	}
	slices.Sort(lines)
	return lines
}

func TestRealDatabases(t *testing.T) {
	data := filepath.Join(shareddata.Dir(t), "rpmdb")
	for _, tc := range []struct {
		file, base string
		count      int
		rpmReads   bool // Debian's rpm is built without NDB
		owned      string
	}{
		{"centos5-plain", "Packages", 110, true, "rpm:bash"},
		{"centos6-plain", "Packages", 129, true, "rpm:bash"},
		{"centos7-plain", "Packages", 144, true, "rpm:bash"},
		{"centos8-modularitylabel", "Packages", 517, true, "rpm:bash"},
		{"sle15-bci", "Packages.db", 35, false, "rpm:bash"},
		{"cbl-mariner-2.0", "rpmdb.sqlite", 129, true, "rpm:bash"},
	} {
		t.Run(tc.file, func(t *testing.T) {
			dbpath := unpack(t, filepath.Join(data, tc.file+".tar.zst"))
			facts := analyzetest.Facts(t, New(), analyzetest.Open(t, dir+tc.base, filepath.Join(dbpath, tc.base)))
			if len(facts.Problems) != 0 {
				t.Errorf("problems: %v", facts.Problems)
			}
			if n := len(facts.Database.Packages); n != tc.count {
				t.Errorf("got %d packages, want %d", n, tc.count)
			}
			i := slices.IndexFunc(facts.Ownership, func(o report.Ownership) bool { return o.Owner == tc.owned })
			if i < 0 || !slices.Contains(facts.Ownership[i].Files, report.PathHash("/usr/bin/bash")) {
				t.Error("/usr/bin/bash has no owner")
			}
			if !tc.rpmReads {
				return
			}
			if want := query(t, dbpath); want != nil {
				if diff := cmp.Diff(want, told(facts.Database)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// Real databases with bytes changed at random, most of them where the structure
// stands: each is read or refused well within the deadline that it gets.
func TestMutatedRealDatabases(t *testing.T) {
	data := filepath.Join(shareddata.Dir(t), "rpmdb")
	const most = 5 * time.Second
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for file, base := range map[string]string{
		"centos5-plain": "Packages", "sle15-bci": "Packages.db", "cbl-mariner-2.0": "rpmdb.sqlite",
	} {
		t.Run(file, func(t *testing.T) {
			good, err := os.ReadFile(filepath.Join(unpack(t, filepath.Join(data, file+".tar.zst")), base))
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			var slowest time.Duration
			for range rounds {
				bad := bytes.Clone(good)
				for range 1 + rng.IntN(200) {
					at := rng.IntN(len(bad))
					if rng.IntN(2) == 0 { // the head of a page of 4096 bytes
						at = at&^4095 + rng.IntN(64)
						at = min(at, len(bad)-1)
					}
					bad[at] = byte(rng.Uint32())
				}
				ctx, cancel := context.WithTimeout(t.Context(), most)
				start := time.Now()
				_, _ = New().Analyze(ctx, analyzetest.File(dir+base, bad))
				slowest = max(slowest, time.Since(start))
				cancel()
			}
			t.Logf("slowest of %d: %v", rounds, slowest)
			if slowest > most {
				t.Errorf("one took %v", slowest)
			}
		})
	}
}

const spec = `Name: probe
Epoch: 3
Version: 1.0
Release: 1
Summary: a probe
License: Apache-2.0
Vendor: Nobody
ModularityLabel: probe:1:2:3
BuildArch: noarch
%description
A probe.
%package tools
Summary: tools
Epoch: 0
%description tools
Tools.
%install
mkdir -p %{buildroot}/usr/bin
echo '#!/bin/sh' > %{buildroot}/usr/bin/probe
echo '#!/bin/sh' > %{buildroot}/usr/bin/probe-tool
%files
/usr/bin/probe
%files tools
/usr/bin/probe-tool
`

// A database that this machine's rpm writes from packages that its rpmbuild
// makes.
func TestFreshDatabase(t *testing.T) {
	if _, err := exec.LookPath("rpmbuild"); err != nil {
		if os.Getenv("REQUIRE_RUNTIMES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no rpmbuild here: %v", err)
	}
	top := t.TempDir()
	specFile := filepath.Join(top, "probe.spec")
	if err := os.WriteFile(specFile, []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	run("rpmbuild", "-bb", "-D", "_topdir "+top, specFile)
	rpms, err := filepath.Glob(filepath.Join(top, "RPMS/noarch/*.rpm"))
	if err != nil || len(rpms) != 2 {
		t.Fatalf("packages: %v, %v", rpms, err)
	}
	dbpath := filepath.Join(top, "db")
	run(append([]string{"rpm", "-i", "--nodeps", "--justdb", "--dbpath", dbpath}, rpms...)...)
	const p = "/usr/lib/sysimage/rpm/rpmdb.sqlite"
	f := analyzetest.Open(t, p, filepath.Join(dbpath, "rpmdb.sqlite"))
	f.Sibling = func(name string, max int64) ([]byte, error) { return os.ReadFile(filepath.Join(dbpath, name)) }
	facts := analyzetest.Facts(t, New(), f)
	pkg := report.Package{Type: report.TypeRPM, Arch: "noarch", Vendor: "Nobody", Licenses: []string{"Apache-2.0"},
		Module: "probe:1:2:3", Path: p}
	main, tools := pkg, pkg
	main.Name, main.Version = "probe", "3:1.0-1"
	tools.Name, tools.Version, tools.Source = "probe-tools", "1.0-1", "probe"
	slices.SortFunc(facts.Database.Packages, report.Package.Compare)
	if diff := cmp.Diff([]report.Package{main, tools}, facts.Database.Packages); diff != "" {
		t.Error(diff)
	}
	slices.SortFunc(facts.Ownership, func(a, b report.Ownership) int { return strings.Compare(a.Owner, b.Owner) })
	owns := []report.Ownership{hashed("rpm:probe", p, "/usr/bin/probe"), hashed("rpm:probe-tools", p, "/usr/bin/probe-tool")}
	if diff := cmp.Diff(owns, facts.Ownership); diff != "" {
		t.Error(diff)
	}
	if want := query(t, dbpath); want != nil {
		if diff := cmp.Diff(want, told(facts.Database)); diff != "" {
			t.Error(diff)
		}
	}
}
