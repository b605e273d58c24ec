package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

const set = "5e7000000000a11d"

// sample makes a report whose compressed form grows with n: the hashes of
// paths do not compress.
func sample(i, n int) *report.LayerReport {
	r := &report.LayerReport{
		DiffID:    fmt.Sprintf("sha256:%064x", i),
		Analyzers: set,
		Complete:  true,
		Packages: []report.Package{{
			Type: report.TypeAPK, Name: "musl", Version: "1.2.4-r1", Arch: "x86_64",
			Licenses: []string{"MIT"}, Path: "/lib/apk/db/installed",
		}},
		OSReleases: map[string]map[string]string{"/etc/os-release": {"ID": "alpine"}},
		Whiteouts:  []string{"/tmp/x"},
		Symlinks:   map[string]string{"/lib": "usr/lib"},
		Ledger:     report.Ledger{Files: 3, Parsed: 1, Passed: 2, Skipped: map[string]int64{"too large": 1}},
	}
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	for range n {
		r.Hides = append(r.Hides, rng.Uint64())
	}
	r.Normalize()
	return r
}

func open(t testing.TB, cfg Config) *Cache {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func put(t testing.TB, c *Cache, r *report.LayerReport) {
	t.Helper()
	if err := c.Put(r); err != nil {
		t.Fatal(err)
	}
}

func wantReport(t testing.TB, c *Cache, want *report.LayerReport) {
	t.Helper()
	got, ok := c.Get(want.DiffID, want.Analyzers)
	if !ok {
		t.Fatalf("%s is not there", want.DiffID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// files lists the report files beneath dir.
func files(t testing.TB, dir string) (names []string, size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		names, size = append(names, p), size+fi.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, size
}

func TestRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		name string
		dir  string
	}{{"memory", ""}, {"disk", t.TempDir()}} {
		t.Run(tc.name, func(t *testing.T) {
			c := open(t, Config{Dir: tc.dir})
			want := sample(1, 100)
			if _, ok := c.Get(want.DiffID, set); ok {
				t.Fatal("found before it was kept")
			}
			put(t, c, want)
			wantReport(t, c, want)
			if _, ok := c.Get(want.DiffID, "another set"); ok {
				t.Error("found under another analyser set")
			}
		})
	}
}

func TestNextProcessFindsIt(t *testing.T) {
	dir := t.TempDir()
	want := sample(1, 100)
	first := open(t, Config{Dir: dir})
	put(t, first, want)
	first.Close()
	wantReport(t, open(t, Config{Dir: dir}), want)
}

func TestModes(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "cache")
	if err := os.MkdirAll(filepath.Join(dir, room), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, room), 0o777); err != nil {
		t.Fatal(err)
	}
	c := open(t, Config{Dir: dir})
	put(t, c, sample(1, 1))
	err := filepath.WalkDir(filepath.Join(dir, room), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if fi.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v", p, fi.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestForeignOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a directory away")
	}
	dir := t.TempDir()
	p := filepath.Join(dir, room)
	if err := os.Mkdir(p, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(p, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Dir: dir}); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("got %v, want forbidden", err)
	}
}

func TestRefused(t *testing.T) {
	c := open(t, Config{})
	incomplete := sample(1, 1)
	incomplete.Complete = false
	nameless := sample(1, 1)
	nameless.DiffID = ""
	huge := sample(1, 1)
	huge.Problems = []report.Problem{{Message: strings.Repeat("x", maxReportBytes)}}
	for _, tc := range []struct {
		name string
		r    *report.LayerReport
		want fault.Code
	}{
		{"nothing", nil, fault.Invalid},
		{"incomplete", incomplete, fault.Invalid},
		{"no diff ID", nameless, fault.Invalid},
		{"beyond maxReportBytes", huge, fault.TooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := c.Put(tc.r); fault.CodeOf(err) != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if _, err := New(Config{MaxBytes: -1}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("negative bound: got %v", err)
	}
}

// seal gives payload a valid header.
func seal(t testing.TB, js []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := enc.EncodeAll(js, make([]byte, headerSize))
	copy(out, magic)
	sum := sha256.Sum256(out[headerSize:])
	copy(out[len(magic):], sum[:])
	return out
}

func TestDamagedFileIsAMissAndRemoved(t *testing.T) {
	want := sample(7, 50)
	good, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	other, err := encode(sample(8, 50))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	incomplete := seal(t, []byte(`{"diff_id":"`+want.DiffID+`","analyzers":"`+set+`"}`))
	bomb := seal(t, bytes.Repeat([]byte(" "), maxReportBytes+1))
	for _, tc := range []struct {
		name string
		data []byte
	}{
		{"empty", nil},
		{"cut in the header", good[:headerSize-1]},
		{"cut in the report", good[:len(good)-3]},
		{"one bit flipped", flipped},
		{"another report's file", other},
		{"no report", seal(t, []byte("[]"))},
		{"not complete", incomplete},
		{"inflates beyond maxReportBytes", bomb},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			p := filepath.Join(dir, room, fileName(want.DiffID, set))
			if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, tc.data, 0o600); err != nil {
				t.Fatal(err)
			}
			c := open(t, Config{Dir: dir})
			if _, ok := c.Get(want.DiffID, set); ok {
				t.Fatal("a damaged file was used")
			}
			if _, err := os.Stat(p); !os.IsNotExist(err) {
				t.Errorf("it is still there: %v", err)
			}
			put(t, c, want)
			wantReport(t, c, want)
		})
	}
}

func TestOversizedAndIrregularFiles(t *testing.T) {
	want := sample(7, 50)
	for _, tc := range []struct {
		name string
		make func(p string) error
	}{
		{"beyond maxFileBytes", func(p string) error {
			if err := os.WriteFile(p, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(p, maxFileBytes+1)
		}},
		{"directory", func(p string) error { return os.MkdirAll(filepath.Join(p, "x"), 0o700) }},
		{"symlink", func(p string) error { return os.Symlink("/etc/passwd", p) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			c := open(t, Config{Dir: dir})
			p := filepath.Join(dir, room, fileName(want.DiffID, set))
			if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tc.make(p); err != nil {
				t.Fatal(err)
			}
			if _, ok := c.Get(want.DiffID, set); ok {
				t.Fatal("it was used")
			}
			put(t, c, want)
			c.Close()
			wantReport(t, open(t, Config{Dir: dir}), want)
		})
	}
}

func TestBoundOnDisk(t *testing.T) {
	dir := t.TempDir()
	const max = 200 << 10
	c := open(t, Config{Dir: dir, MaxBytes: max})
	old := time.Now().Add(-24 * time.Hour)
	for i := range 40 {
		r := sample(i, 2000) // about 16 KiB each
		put(t, c, r)
		p := filepath.Join(dir, room, fileName(r.DiffID, set))
		if err := os.Chtimes(p, old.Add(time.Duration(i)*time.Minute), old.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
		// The first stays in use all the time.
		if _, ok := c.Get(sample(0, 0).DiffID, set); !ok {
			t.Fatalf("after %d: the report in use was removed", i)
		}
		if _, size := files(t, dir); size > max {
			t.Fatalf("after %d: %d bytes, the bound is %d", i, size, max)
		}
	}
	names, _ := files(t, dir)
	if len(names) < 5 {
		t.Errorf("only %d files left beneath the bound", len(names))
	}
	c.Close()
	c = open(t, Config{Dir: dir, MaxBytes: max})
	if _, ok := c.Get(sample(1, 0).DiffID, set); ok {
		t.Error("the least recently used report is still there")
	}
	wantReport(t, c, sample(39, 2000))

	c.Close()
	open(t, Config{Dir: dir, MaxBytes: 64 << 10})
	if _, size := files(t, dir); size > 64<<10 {
		t.Errorf("a smaller bound was not applied at start: %d bytes", size)
	}
}

func TestBoundInMemory(t *testing.T) {
	const max = 100 << 10
	c := open(t, Config{MaxBytes: max})
	for i := range 40 {
		put(t, c, sample(i, 2000))
		if c.hot.held+c.cold.held > max {
			t.Fatalf("after %d: %d bytes held", i, c.hot.held+c.cold.held)
		}
		if _, ok := c.Get(sample(0, 0).DiffID, set); !ok {
			t.Fatalf("after %d: the report in use was dropped", i)
		}
	}
	if _, ok := c.Get(sample(1, 0).DiffID, set); ok {
		t.Error("the least recently used report is still held")
	}
	put(t, c, sample(99, 100_000)) // larger than the whole bound: not kept
	if _, ok := c.Get(sample(99, 0).DiffID, set); ok {
		t.Error("a report larger than the bound was kept")
	}
}

// What is too much to be held ready comes back from where it lies compressed,
// and is ready again.
func TestHotAndCold(t *testing.T) {
	for _, tc := range []struct {
		name string
		dir  string
	}{{"memory", ""}, {"disk", t.TempDir()}} {
		t.Run(tc.name, func(t *testing.T) {
			c := open(t, Config{Dir: tc.dir})
			if c.hot.max != maxHotBytes {
				t.Errorf("%d bytes may be ready", c.hot.max)
			}
			c.hot.max = 100 << 10
			for i := range 20 {
				put(t, c, sample(i, 2000))
			}
			put(t, c, sample(20, 20_000)) // never ready: larger than all room for that
			if n := len(c.hot.byName); n == 0 || n > 6 {
				t.Errorf("%d reports are ready", n)
			}
			for i := range 20 {
				wantReport(t, c, sample(i, 2000))
				if _, ok := c.hot.get(fileName(sample(i, 0).DiffID, set)); !ok {
					t.Errorf("%d is not ready after it was used", i)
				}
			}
			wantReport(t, c, sample(20, 20_000))
			if c.hot.held > c.hot.max || tc.dir != "" && c.cold.held > 0 {
				t.Errorf("%d bytes are ready, %d held besides", c.hot.held, c.cold.held)
			}
		})
	}
}

// sizeOf bounds memory, so it must not say much less than there is.
func TestSizeOf(t *testing.T) {
	const n, copies = 2000, 40
	large := func() *report.LayerReport {
		r := sample(1, n)
		for i := range n {
			r.Packages = append(r.Packages, report.Package{
				Type: report.TypeNPM, Name: fmt.Sprint("package-", i), Version: fmt.Sprint("1.0.", i),
				Path: fmt.Sprint("/srv/app/node_modules/package-", i, "/package.json"), Licenses: []string{fmt.Sprint("licence-", i)},
			})
			r.Symlinks[fmt.Sprint("/usr/lib/x", i)] = fmt.Sprint("y", i)
			r.Whiteouts = append(r.Whiteouts, fmt.Sprint("/usr/lib/z", i))
			r.Ownership = append(r.Ownership, report.Ownership{Path: fmt.Sprint("/var/lib/dpkg/info/", i), Owner: fmt.Sprint("deb:", i), Files: report.Hashes{1, 2, 3}})
		}
		return r
	}
	var before, after runtime.MemStats
	var kept []*report.LayerReport
	runtime.GC()
	runtime.GC() // what was pooled goes with the second
	runtime.ReadMemStats(&before)
	for range copies {
		kept = append(kept, large())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	real, said := int64(after.HeapAlloc-before.HeapAlloc), copies*sizeOf(kept[0])
	runtime.KeepAlive(kept)
	t.Logf("%d bytes held, %d said", real, said)
	if real > 2*said || said > 2*real {
		t.Errorf("%d bytes are held, sizeOf says %d", real, said)
	}
}

func TestLeftBehindTempFiles(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, room, "aa")
	if err := os.MkdirAll(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	stale, fresh := filepath.Join(sub, temp+"stale"), filepath.Join(sub, temp+"fresh")
	for _, p := range []string{stale, fresh} {
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Now().Add(-maxTempAge - time.Minute)
	if err := os.Chtimes(stale, then, then); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Dir: dir})
	if names, _ := files(t, dir); !cmp.Equal(names, []string{fresh}) {
		t.Errorf("left: %v", names)
	}
}

// Several caches on one directory stand for several processes: nothing that is
// read may ever be torn or foreign, whatever the others write and remove.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for p := range 4 {
		c := open(t, Config{Dir: dir, MaxBytes: 150 << 10})
		c.hot.max = 0 // every read goes to the disk
		wg.Go(func() {
			for i := range 60 {
				r := sample((i*7+p)%12, 2000)
				if err := c.Put(r); err != nil {
					t.Error(err)
				}
				want := sample((i*5+p)%12, 2000)
				if got, ok := c.Get(want.DiffID, set); ok && !cmp.Equal(want, got) {
					t.Errorf("read another report than %s", want.DiffID)
				}
			}
		})
	}
	wg.Wait()
}

// Whoever writes below the directory can make any file. None is the death of
// a scan.
func FuzzDecode(f *testing.F) {
	js, err := json.Marshal(sample(1, 10))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(js)
	f.Add([]byte(`{"hides":"AAAA"}`))
	f.Fuzz(func(t *testing.T, js []byte) {
		r, err := decode(seal(t, js))
		if err != nil {
			return
		}
		if n := sizeOf(r); n <= 0 {
			t.Errorf("%d bytes", n)
		}
		data, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(data)
		if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v: %s", err, diff)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	c := open(b, Config{Dir: b.TempDir()})
	r := sample(1, 30_000)
	put(b, c, r)
	for b.Loop() {
		if _, ok := c.Get(r.DiffID, set); !ok {
			b.Fatal("gone")
		}
	}
}
