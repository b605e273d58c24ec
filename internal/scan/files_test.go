package scan

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/layer"
	"github.com/onceover/onceover/internal/report"
)

// A thing is a file of a test layer, or a hard or symbolic link to one.
type thing struct {
	name, content string
	mode          int64
	link, symlink string
}

func tarThings(t testing.TB, things []thing) image.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range things {
		h := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Mode: e.mode, Size: int64(len(e.content))}
		switch {
		case e.link != "":
			h.Typeflag, h.Linkname = tar.TypeLink, e.link
		case e.symlink != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.symlink
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return layerOf(b.Bytes())
}

func dirThings(t testing.TB, things []thing) image.Layer {
	t.Helper()
	dir := t.TempDir()
	for _, e := range things {
		p := filepath.Join(dir, e.name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		if err == nil {
			err = os.RemoveAll(p)
		}
		switch {
		case err != nil:
		case e.link != "":
			err = os.Link(filepath.Join(dir, e.link), p)
		case e.symlink != "":
			err = os.Symlink(e.symlink, p)
		default:
			if err = os.WriteFile(p, []byte(e.content), 0o600); err == nil {
				err = syscall.Chmod(p, uint32(e.mode)) // os.Chmod has other bits for set-user-ID
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return image.Layer{DiffID: image.DigestOf([]byte(dir)), Dir: dir}
}

// forms reads a layer as a stream and as a directory, here and in a sandbox.
func forms(t *testing.T, things []thing) map[string]*report.LayerReport {
	t.Helper()
	out := map[string]*report.LayerReport{}
	set := isolatedSet().WithFiles()
	for name, l := range map[string]image.Layer{"stream": tarThings(t, things), "directory": dirThings(t, things)} {
		for where, isolate := range map[string]*Isolation{"here": nil, "in a sandbox": {Limits: roomy}} {
			r, err := New(Config{Set: set, Isolate: isolate}).Layer(t.Context(), l)
			if err != nil || !r.Complete || !r.FilesRead {
				t.Fatalf("%s %s: %v, %+v", name, where, err, r)
			}
			out[name+" "+where] = r
		}
	}
	return out
}

const elf = "\x7fELF\x02\x01\x01"

func TestFiles(t *testing.T) {
	database := []thing{
		{name: "var/lib/dpkg/status", content: "Package: tool\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n", mode: 0o644},
		{name: "var/lib/dpkg/info/tool.list", content: "/.\n/usr\n/usr/bin\n/usr/bin/tool\n/usr/share\n/usr/share/tool.dat\n", mode: 0o644},
	}
	things := []thing{
		{name: "usr/bin/tool", content: elf + "tool", mode: 0o755},
		{name: "usr/bin/twin", link: "usr/bin/tool"},
		{name: "usr/bin/alias", symlink: "tool"},
		{name: "usr/share/tool.dat", content: "owned data", mode: 0o644},
		{name: "usr/share/other.dat", content: "data", mode: 0o644},
		{name: "usr/share/empty", mode: 0o755},
		{name: "opt/hidden.txt", content: elf + "no name, no mode", mode: 0o600},
		{name: "opt/run", content: "#!/bin/sh\n", mode: 0o4755},
		{name: "opt/lib.php", content: "<?php", mode: 0o644},
		{name: "opt/a.class", content: "\xca\xfe\xba\xbe\x00\x00\x00\x41", mode: 0o644},
		{name: "opt/fat", content: "\xca\xfe\xba\xbe\x00\x00\x00\x02", mode: 0o644},
		{name: "opt/w", content: "\x00asm\x01\x00\x00\x00", mode: 0o644},
		{name: "opt/w.exe", content: "MZ\x90", mode: 0o644},
		{name: "opt/x", content: "x", mode: 0o711},
		{name: "opt/package.json", content: npmPackage("a", "1"), mode: 0o755}, // an analyser reads it too
		{name: "opt/node_modules/a/package.json", link: "opt/package.json"},
		{name: "opt/replaced", content: "before", mode: 0o755},
		{name: "opt/replaced", content: "after", mode: 0o755},
	}
	file := func(p, content string, mode uint32, kind string, owned bool) report.File {
		return report.File{Path: p, Size: int64(len(content)), Mode: mode, Kind: kind, SHA256: sha256.Sum256([]byte(content)), Owned: owned}
	}
	programs := []report.File{
		file("/opt/a.class", "\xca\xfe\xba\xbe\x00\x00\x00\x41", 0o644, report.KindJava, false),
		file("/opt/fat", "\xca\xfe\xba\xbe\x00\x00\x00\x02", 0o644, report.KindMachO, false),
		file("/opt/hidden.txt", elf+"no name, no mode", 0o600, report.KindELF, false),
		file("/opt/lib.php", "<?php", 0o644, report.KindScript, false),
		file("/opt/node_modules/a/package.json", npmPackage("a", "1"), 0o755, report.KindProgram, false),
		file("/opt/package.json", npmPackage("a", "1"), 0o755, report.KindProgram, false),
		file("/opt/replaced", "after", 0o755, report.KindProgram, false),
		file("/opt/run", "#!/bin/sh\n", 0o4755, report.KindScript, false),
		file("/opt/w", "\x00asm\x01\x00\x00\x00", 0o644, report.KindWasm, false),
		file("/opt/w.exe", "MZ\x90", 0o644, report.KindPE, false),
		file("/opt/x", "x", 0o711, report.KindProgram, false),
		file("/usr/bin/tool", elf+"tool", 0o755, report.KindELF, false),
		file("/usr/bin/twin", elf+"tool", 0o755, report.KindELF, false),
	}
	withDatabase := slices.Clone(programs)
	withDatabase[11].Owned = true
	withDatabase = append(withDatabase,
		file("/usr/share/other.dat", "data", 0o644, "", false))
	for _, tc := range []struct {
		name   string
		things []thing
		want   []report.File
	}{
		{"no database", things, programs},
		{"a database behind the files", slices.Concat(things, database), withDatabase},
		{"a database before the files", slices.Concat(database, things), withDatabase},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, r := range forms(t, tc.things) {
				if d := cmp.Diff(tc.want, r.Files); d != "" {
					t.Errorf("%s: %s", name, d)
				}
				if r.Ledger.Hashed != int64(len(tc.want)) || r.Ledger.Unhashed != nil {
					t.Errorf("%s: ledger %+v", name, r.Ledger)
				}
			}
		})
	}
	// Without the switch nothing changes but what it adds.
	plain, err := New(Config{Set: isolatedSet()}).Layer(t.Context(), tarThings(t, slices.Concat(things, database)))
	if err != nil {
		t.Fatal(err)
	}
	hashed := forms(t, slices.Concat(things, database))["stream here"]
	hashed.Files, hashed.FilesRead, hashed.Analyzers = nil, false, plain.Analyzers
	hashed.Ledger.Hashed, hashed.Ledger.HashedBytes = 0, 0
	if d := cmp.Diff(plain, hashed); d != "" {
		t.Error(d)
	}
}

// TestManyFiles crosses the number of files of a layer: which are left out does
// not hang on the form of the layer, and no program before data.
func TestManyFiles(t *testing.T) {
	things := []thing{{name: "var/lib/dpkg/info/tool.list", content: "/usr/bin/tool\n", mode: 0o644}}
	const programs, data = 15_000, 12_000
	for n := range programs {
		things = append(things, thing{name: fmt.Sprint("p/", n), content: "x", mode: 0o755})
	}
	for n := range data {
		things = append(things, thing{name: fmt.Sprint("d/", n), content: "x", mode: 0o644})
	}
	set := all.Set().WithFiles()
	var before *report.LayerReport
	for _, l := range []image.Layer{tarThings(t, things), dirThings(t, things)} {
		r, err := New(Config{Set: set}).Layer(t.Context(), l)
		if err != nil || !r.Complete {
			t.Fatal(err, r.Problems)
		}
		n := 0
		for _, f := range r.Files {
			if f.Kind != "" {
				n++
			}
		}
		if len(r.Files) != report.MaxFiles || n != programs || r.Ledger.Unhashed[leftMany] != programs+data-report.MaxFiles {
			t.Errorf("%d files, %d programs, %+v", len(r.Files), n, r.Ledger)
		}
		if before != nil {
			if d := cmp.Diff(before.Files, r.Files); d != "" {
				t.Error(d)
			}
		}
		before = r
	}
}

// TestCandidates holds that what is kept is the same in every order, and that
// nothing is lost from the count.
func TestCandidates(t *testing.T) {
	var list []candidate
	for n := range 1000 {
		p := "/" + strings.Repeat("x", n%7) + fmt.Sprint(n)
		list = append(list, candidate{File: report.File{Path: p}, hash: report.PathHash(p)})
	}
	var want []candidate
	for range 3 {
		var c candidates
		for _, f := range list {
			c.add(f, 50, 300)
		}
		c.trim(50, 300)
		if int64(len(c.files))+c.dropped != int64(len(list)) || c.bytes > 300 || len(c.files) > 50 {
			t.Errorf("%d kept, %d dropped, %d bytes", len(c.files), c.dropped, c.bytes)
		}
		if want != nil {
			if d := cmp.Diff(want, c.files, cmp.AllowUnexported(candidate{})); d != "" {
				t.Error(d)
			}
		}
		want = slices.Clone(c.files)
		slices.Reverse(list)
		list[0], list[500] = list[500], list[0]
	}
}

// worked is what a worker with limits of its own makes of a layer.
func worked(t *testing.T, set *analyze.Set, l image.Layer, limits hashLimits) (*report.LayerReport, *layer.Stats) {
	t.Helper()
	var out bytes.Buffer
	watch := newWatchdog(nil, nil)
	defer watch.close()
	w := &worker{ctx: context.Background(), sets: []*analyze.Set{set}, out: newSender(&out), watch: watch, limits: limits}
	stats := &layer.Stats{}
	if err := w.run(l, layer.Options{Stats: stats}); err != nil {
		t.Fatal(err)
	}
	c := newCollector(l, set.Key())
	for in := newReceiver(&out); c.end == nil; {
		kind, body, err := in.next()
		if err == nil {
			err = c.take(kind, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return c.finish(c.end.Error.err())[0], stats
}

func TestHashLimits(t *testing.T) {
	var things []thing
	for n := range 10 {
		things = append(things, thing{name: fmt.Sprint("p/", n), content: strings.Repeat("x", 100), mode: 0o755})
	}
	things = append(things, thing{name: "big", content: strings.Repeat("x", 101), mode: 0o755}, thing{name: "large.dat", content: strings.Repeat("x", 101), mode: 0o644})
	for name, l := range map[string]image.Layer{"stream": tarThings(t, things), "directory": dirThings(t, things)} {
		r, _ := worked(t, all.Set().WithFiles(), l, hashLimits{file: 100, layer: 450})
		want := map[string]int64{leftBudget: 6, leftLarge: 1}
		if d := cmp.Diff(want, r.Ledger.Unhashed); d != "" || len(r.Files) != 4 || !r.Complete || r.Ledger.HashedBytes != 400 {
			t.Errorf("%s: %s %+v", name, d, r.Ledger)
		}
	}
}

// TestSparse holds that files of holes, which cost an image nothing, cost the
// reader nothing either.
func TestSparse(t *testing.T) {
	l := dirThings(t, []thing{{name: "a", content: elf, mode: 0o644}, {name: "b", content: "x", mode: 0o755}, {name: "c", content: "x", mode: 0o755}})
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Truncate(filepath.Join(l.Dir, name), 1<<42); err != nil {
			t.Skip("this file system has no files of 4 TiB: ", err)
		}
	}
	s := New(Config{Set: isolatedSet().WithFiles(), Isolate: &Isolation{Limits: roomy}})
	r, err := s.Layer(t.Context(), l)
	if err != nil || !r.Complete || len(r.Files) != 0 || r.Ledger.Unhashed[leftLarge] != 3 {
		t.Errorf("%v %+v", err, r)
	}
	if n := s.Stats().BytesRead; n > 1<<20 {
		t.Errorf("%d bytes read", n)
	}
}
