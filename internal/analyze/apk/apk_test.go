package apk

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/shareddata"
)

const dbPath = "/lib/apk/db/installed"

const good = `C:Q1abcdefghijklmnopqrstuvwxyz01=
P:busybox
V:1.36.1-r29
A:x86_64
S:1
L:GPL-2.0-only
o:busybox
F:bin
R:busybox
a:0:0:755
F:usr/share/doc
R:notes.txt

P:ssl_client
V:1.36.1-r29
A:x86_64
L:GPL-2.0-only
o:busybox
F:usr/bin
R:ssl_client

`

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), dbPath, []byte(good)) }

func TestInstalled(t *testing.T) {
	facts := analyzetest.Facts(t, New(), analyzetest.File(dbPath, []byte(good)))
	hash := func(paths ...string) []uint64 {
		var out []uint64
		for _, p := range paths {
			out = append(out, report.PathHash(p))
		}
		slices.Sort(out)
		return out
	}
	want := &report.Facts{
		Database: &report.Database{Path: dbPath, Packages: []report.Package{
			{Type: report.TypeAPK, Name: "busybox", Version: "1.36.1-r29", Arch: "x86_64",
				Licenses: []string{"GPL-2.0-only"}, Path: dbPath},
			{Type: report.TypeAPK, Name: "ssl_client", Version: "1.36.1-r29", Arch: "x86_64", Source: "busybox",
				Licenses: []string{"GPL-2.0-only"}, Path: dbPath},
		}},
		Ownership: []report.Ownership{
			{Path: dbPath, Owner: "apk:busybox", Files: hash("/bin/busybox", "/usr/bin/busybox", "/usr/share/doc/notes.txt")},
			{Path: dbPath, Owner: "apk:ssl_client", Files: hash("/usr/bin/ssl_client")},
		},
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Error(diff)
	}
}

func TestBrokenParagraphKeepsTheRest(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
		problems   int
	}{
		{"no version", "P:a\n\nP:b\nV:1\n\n", []string{"b"}, 1},
		{"no end", "P:a\nV:1\n\nP:b\nV:1", []string{"a", "b"}, 0},
		{"odd line", "P:a\nV:1\nnonsense\n\nP:b\nV:1\n", []string{"a", "b"}, 1},
		{"blank in a name", "P:a b\nV:1\n\nP:b\nV:1\n", []string{"b"}, 1},
		{"field too long", "P:" + strings.Repeat("a", maxFieldBytes+1) + "\nV:1\n\nP:b\nV:1\n", []string{"b"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			facts := analyzetest.Facts(t, New(), analyzetest.File(dbPath, []byte(tc.text)))
			var got []string
			for _, p := range facts.Database.Packages {
				got = append(got, p.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if len(facts.Problems) != tc.problems {
				t.Errorf("got %v, want %d problems", facts.Problems, tc.problems)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(dbPath, nil)
	f.Size = maxDatabaseBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	f = analyzetest.File(dbPath, []byte(strings.Repeat("P:a\nV:1\n\n", maxPackages+1)))
	facts, err := New().Analyze(t.Context(), f)
	if !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("packages: got %v", err)
	}
	if n := len(facts.Database.Packages); n != maxPackages {
		t.Errorf("packages: %d are kept, want %d", n, maxPackages)
	}
	text := "P:a\nV:1\nF:opt\n" + strings.Repeat("R:a\n", maxOwned+1) + "\nP:b\nV:1\n"
	facts = analyzetest.Facts(t, New(), analyzetest.File(dbPath, []byte(text)))
	if len(facts.Database.Packages) != 2 || len(facts.Problems) != 1 || !strings.Contains(facts.Problems[0].Message, "limit crossed") {
		t.Errorf("owned files: got %d packages, %v", len(facts.Database.Packages), facts.Problems)
	}
}

// Every package of a real root file system is found, and every program that
// lies in it is owned.
func TestRealAlpine(t *testing.T) {
	dir := filepath.Join(shareddata.Dir(t), "images")
	// Counted with grep -c ^P: in the databases.
	for file, count := range map[string]int{
		"alpine-minirootfs-3.6.5-x86_64.tar.gz":   13,
		"alpine-minirootfs-3.12.12-x86_64.tar.gz": 14,
		"alpine-minirootfs-3.20.3-x86_64.tar.gz":  14,
		"alpine-minirootfs-3.20.3-aarch64.tar.gz": 14,
	} {
		t.Run(file, func(t *testing.T) {
			content, programs := rootfs(t, filepath.Join(dir, file))
			facts := analyzetest.Facts(t, New(), analyzetest.File(dbPath, content))
			if len(facts.Problems) != 0 {
				t.Errorf("problems: %v", facts.Problems)
			}
			if n := len(facts.Database.Packages); n != count {
				t.Errorf("got %d packages, want %d", n, count)
			}
			var owned []uint64
			for _, o := range facts.Ownership {
				owned = append(owned, o.Files...)
			}
			for _, p := range programs {
				if !slices.Contains(owned, report.PathHash(p)) {
					t.Errorf("%s has no owner", p)
				}
			}
			if len(programs) == 0 {
				t.Error("no programs seen")
			}
			i := slices.IndexFunc(facts.Database.Packages, func(p report.Package) bool { return p.Name == "musl-utils" })
			if i < 0 || facts.Database.Packages[i].Source != "musl" {
				t.Error("musl-utils does not come from musl")
			}
		})
	}
}

// rootfs is the database and the regular programs in the directories of
// programs of a root file system.
func rootfs(t *testing.T, name string) (db []byte, programs []string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return db, programs
		}
		if err != nil {
			t.Fatal(err)
		}
		p := report.CleanPath(h.Name)
		if h.Typeflag == tar.TypeReg && strings.Contains(filepath.Dir(p)+"/", "bin/") {
			programs = append(programs, p)
		}
		if p == dbPath {
			if db, err = io.ReadAll(tr); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func FuzzInstalled(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("P:a\nV:1\nF:\nR:x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(dbPath, b))
		if err != nil {
			return
		}
		for _, p := range facts.Database.Packages {
			if !analyze.Plain(p.Name) || !analyze.Plain(p.Version) {
				t.Errorf("unusable package %+v", p)
			}
		}
	})
}
