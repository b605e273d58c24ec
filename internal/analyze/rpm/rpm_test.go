package rpm

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const dir = "/var/lib/rpm/"

// records hold what a header can hold; more of them make trees of several
// levels.
func records(more int) [][]byte {
	out := [][]byte{
		record(str(tagName, "full"), str(tagVersion, "1.2"), str(tagRelease, "3.el8"), ints(tagEpoch, 4),
			str(tagVendor, "Somebody"), str(tagLicense, "MIT and BSD"), str(tagArch, "x86_64"),
			str(tagSourceRPM, "full-src-1.1-2.el8.src.rpm"), str(tagModularityLabel, "stream:8:2020:abc"),
			ints(tagDirIndexes, 0, 1, 1, 1), strs(tagBaseNames, "tool", "x.jar", "dir", "README"), strs(tagDirNames, "/bin/", "/usr/share/java/"),
			shorts(tagFileModes, 0o100755, 0o100644, 0o040755)),
		record(str(tagName, "gpg-pubkey"), str(tagVersion, "1"), str(tagRelease, "2")),
		record(str(tagName, "old"), str(tagVersion, "1"), str(tagRelease, "1"), ints(tagEpoch, 0), str(tagArch, "noarch"),
			str(tagSourceRPM, "old-1-1.nosrc.rpm"), strs(tagOldFileNames, "/usr/sbin/old", "/usr/share/doc/old/README")),
		record(str(tagName, "nameless version"), str(tagVersion, "1"), str(tagRelease, "1")),
		simple("large", 10_000),
		simple("small", 0),
	}
	for i := range more {
		out = append(out, simple("p"+strings.Repeat("x", i%50), i*7%3000))
	}
	return out
}

func hashed(owner, path string, files ...string) report.Ownership {
	o := report.Ownership{Path: path, Owner: owner}
	for _, f := range files {
		o.Files = append(o.Files, report.PathHash(f))
	}
	r := report.LayerReport{Ownership: []report.Ownership{o}}
	r.Normalize()
	return r.Ownership[0]
}

func TestFormats(t *testing.T) {
	const more = 200
	for _, tc := range []struct {
		name, base string
		make       func(t *testing.T, rs [][]byte) (db, wal []byte)
	}{
		{"bdb", "Packages", func(_ *testing.T, rs [][]byte) (db, wal []byte) { return makeBDB(binary.LittleEndian, rs...), nil }},
		{"bdb big-endian", "Packages", func(_ *testing.T, rs [][]byte) (db, wal []byte) { return makeBDB(binary.BigEndian, rs...), nil }},
		{"ndb", "Packages.db", func(_ *testing.T, rs [][]byte) (db, wal []byte) { return makeNDB(rs...), nil }},
		{"sqlite", "rpmdb.sqlite", func(t *testing.T, rs [][]byte) (db, wal []byte) { return makeSQLite(t, false, rs...) }},
		{"sqlite with log", "rpmdb.sqlite", func(t *testing.T, rs [][]byte) (db, wal []byte) { return makeSQLite(t, true, rs...) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rs := records(more)
			db, wal := tc.make(t, rs)
			p := dir + tc.base
			f := analyzetest.File(p, db)
			f.Sibling = func(name string, max int64) ([]byte, error) {
				if wal == nil || name != tc.base+"-wal" || max < int64(len(wal)) {
					return nil, fs.ErrNotExist
				}
				return wal, nil
			}
			facts := analyzetest.Facts(t, New(), f)
			pkgs := facts.Database.Packages
			if len(pkgs) != 4+more {
				t.Fatalf("got %d packages, want %d", len(pkgs), 4+more)
			}
			want := []report.Package{
				{Type: report.TypeRPM, Name: "full", Version: "4:1.2-3.el8", Arch: "x86_64", Source: "full-src", SourceVersion: "1.1-2.el8",
					Module: "stream:8:2020:abc", Vendor: "Somebody", Licenses: []string{"MIT and BSD"}, Path: p},
				{Type: report.TypeRPM, Name: "old", Version: "1-1", Arch: "noarch", Path: p},
				{Type: report.TypeRPM, Name: "large", Version: "1.0-1", Arch: "noarch", Path: p},
				{Type: report.TypeRPM, Name: "small", Version: "1.0-1", Arch: "noarch", Path: p},
			}
			if diff := cmp.Diff(want, pkgs[:4]); diff != "" {
				t.Error(diff)
			}
			owns := []report.Ownership{
				hashed("rpm:full", p, "/bin/tool", "/usr/bin/tool", "/usr/share/java/x.jar", "/usr/share/java/README"),
				hashed("rpm:old", p, "/usr/sbin/old", "/usr/bin/old", "/usr/share/doc/old/README"),
			}
			if diff := cmp.Diff(owns, facts.Ownership); diff != "" {
				t.Error(diff)
			}
			if len(facts.Problems) != 1 || !strings.Contains(facts.Problems[0].Message, "not usable") {
				t.Errorf("problems: %v", facts.Problems)
			}
		})
	}
}

func TestSuite(t *testing.T) {
	rs := records(12)
	db, _ := makeSQLite(t, false, rs...)
	for base, content := range map[string][]byte{
		"Packages": makeBDB(binary.LittleEndian, rs...), "Packages.db": makeNDB(rs...), "rpmdb.sqlite": db,
	} {
		t.Run(base, func(t *testing.T) { analyzetest.Suite(t, New(), dir+base, content) })
	}
}

func TestWants(t *testing.T) {
	for p, want := range map[string]bool{
		"/var/lib/rpm/Packages": true, "/usr/lib/sysimage/rpm/rpmdb.sqlite": true, "/usr/share/rpm/Packages.db": true,
		"/var/lib/rpm/Name": false, "/var/lib/rpm/rpmdb.sqlite-wal": false, "/srv/var/lib/rpm/Packages": false,
	} {
		if got := New().Wants(p, analyzetest.Info{}); got != want {
			t.Errorf("%s: got %v", p, got)
		}
	}
}

// A log that was started over, or whose last transaction was not committed, or
// is damaged, gives what stood before.
func TestLogEndsAtTheLastCommit(t *testing.T) {
	rs := [][]byte{simple("a", 0), simple("b", 0), simple("c", 0), simple("d", 0)}
	db, wal := makeSQLite(t, true, rs...)
	count := func(wal []byte) int {
		t.Helper()
		f := analyzetest.File(dir+"rpmdb.sqlite", db)
		f.Sibling = func(string, int64) ([]byte, error) { return wal, nil }
		return len(analyzetest.Facts(t, New(), f).Database.Packages)
	}
	if n := count(wal); n != 4 {
		t.Fatalf("with the log: %d packages, want 4", n)
	}
	if n := count(nil); n != 2 {
		t.Errorf("without the log: %d packages, want 2", n)
	}
	if n := count(wal[:len(wal)-1]); n != 3 {
		t.Errorf("with a torn last frame: %d packages, want 3", n)
	}
	bad := append([]byte(nil), wal...)
	bad[walHeader+walFrame+100] ^= 1
	if n := count(bad); n != 2 {
		t.Errorf("with a damaged first frame: %d packages, want 2", n)
	}
	bad = append([]byte(nil), wal...)
	bad[24] ^= 1
	if n := count(bad); n != 2 {
		t.Errorf("with a damaged log header: %d packages, want 2", n)
	}
}

func TestLogThatIsNotReadIsSaid(t *testing.T) {
	db, _ := makeSQLite(t, false, simple("a", 0))
	f := analyzetest.File(dir+"rpmdb.sqlite", db)
	f.Sibling = func(string, int64) ([]byte, error) { return nil, errors.New("too large") }
	if _, err := New().Analyze(t.Context(), f); err == nil || !strings.Contains(err.Error(), "write-ahead log: too large") {
		t.Errorf("got %v", err)
	}
}

func TestBrokenRecordKeepsTheRest(t *testing.T) {
	bad := simple("bad", 0)
	binary.BigEndian.PutUint32(bad[4:], 1<<30)
	facts := analyzetest.Facts(t, New(), analyzetest.File(dir+"Packages.db", makeNDB(simple("a", 0), bad, simple("b", 0))))
	if len(facts.Database.Packages) != 2 || len(facts.Problems) != 1 {
		t.Errorf("got %d packages, %v", len(facts.Database.Packages), facts.Problems)
	}
}

func TestCutFileKeepsWhatWasRead(t *testing.T) {
	db := makeBDB(binary.LittleEndian, simple("a", 0), simple("b", 0), simple("c", 5000))
	facts, err := New().Analyze(t.Context(), analyzetest.File(dir+"Packages", db[:len(db)-testPage]))
	if !errors.Is(err, errFormat) || len(facts.Database.Packages) != 2 {
		t.Errorf("got %v, %v", facts, err)
	}
}

func TestSplitSource(t *testing.T) {
	for in, want := range map[string][2]string{
		"bash-5.1.8-6.el9.src.rpm":   {"bash", "5.1.8-6.el9"},
		"a-b-c-1-2.nosrc.rpm":        {"a-b-c", "1-2"},
		"java-1.8.0-x-1.8-1.src.rpm": {"java-1.8.0-x", "1.8-1"},
		"":                           {},
		"(none)":                     {},
		"-1-2.src.rpm":               {},
	} {
		if n, v := splitSource(in); n != want[0] || v != want[1] {
			t.Errorf("%q: got %q, %q", in, n, v)
		}
	}
}

func TestLimits(t *testing.T) {
	analyse := func(base string, b []byte, size int64) error {
		f := analyzetest.File(dir+base, b)
		f.Size = size
		_, err := New().Analyze(t.Context(), f)
		return err
	}
	want := func(what string, err, sentinel error) {
		t.Helper()
		if !errors.Is(err, sentinel) {
			t.Errorf("%s: got %v, want %v", what, err, sentinel)
		}
	}
	want("database bytes", analyse("Packages", nil, maxDatabaseBytes+1), analyze.ErrLimit)

	ndb := makeNDB(simple("a", 0))
	le := binary.LittleEndian
	le.PutUint32(ndb[ndbPage+12:], maxHeaderBytes+1)
	le.PutUint32(ndb[ndbHeadSlots*ndbSlotBytes+12:], 1<<31)
	want("ndb header bytes", analyse("Packages.db", ndb, 2*maxHeaderBytes), analyze.ErrLimit)

	bdb := makeBDB(le, simple("a", 1000))
	at := le.Uint16(bdb[testPage+bdbPageHeader+6:]) // the item of the only record
	le.PutUint32(bdb[testPage+int(at)+8:], maxHeaderBytes+1)
	want("bdb header bytes", analyse("Packages", bdb, int64(len(bdb))), analyze.ErrLimit)

	_, err := (&sqlite{source: &source{}, usable: 512}).payload(append(varintOf(maxHeaderBytes+1), 1, 0, 0))
	want("sqlite header bytes", err, analyze.ErrLimit)

	c := collector{n: maxPackages}
	want("packages", c.add(nil), analyze.ErrLimit)

	c = collector{owned: maxOwned - 1}
	for _, r := range [][]byte{records(0)[0], records(0)[2]} {
		if err := c.add(r); err != nil {
			t.Fatal(err)
		}
	}
	if facts := c.facts(); len(facts.Database.Packages) != 2 || len(facts.Ownership) != 1 || len(facts.Problems) != 1 {
		t.Errorf("owned files: got %+v", facts)
	}

	h := record()
	binary.BigEndian.PutUint32(h, maxTags+1)
	_, err = parseHeader(h)
	want("tags", err, analyze.ErrLimit)

	_, err = parseHeader(record(field{tagBaseNames, typeStringArray, maxFiles + 1, nil}))
	want("files", err, analyze.ErrLimit)

	hd, err := parseHeader(record(str(tagName, strings.Repeat("a", maxTextBytes+1)), str(tagVersion, strings.Repeat("a", maxTextBytes))))
	if err != nil {
		t.Fatal(err)
	}
	if hd.text(tagName) != "" || len(hd.text(tagVersion)) != maxTextBytes {
		t.Error("a text may have maxTextBytes, not more")
	}

	db, _ := makeSQLite(t, false, simple("a", 0))
	page := int(binary.BigEndian.Uint16(db[16:]))
	s := &source{ctx: t.Context(), r: analyzetest.File("", db).Content, pages: 1 << 20}
	err = (&sqlite{source: s, pageSize: int64(page), usable: int64(page)}).rows(1, 0, nil)
	want("depth", err, errFormat)

	f := analyzetest.File(dir+"rpmdb.sqlite", db)
	f.Sibling = func(_ string, max int64) ([]byte, error) {
		if max != maxWALBytes {
			t.Errorf("log: asked for up to %d bytes", max)
		}
		return nil, analyze.Limited("bytes", max+1, max)
	}
	_, err = New().Analyze(t.Context(), f)
	want("log bytes", err, analyze.ErrLimit)
}

func varintOf(n uint64) []byte {
	var out []byte
	for ; n > 0 || out == nil; n >>= 7 {
		b := byte(n & 0x7f)
		if out != nil {
			b |= 0x80
		}
		out = append([]byte{b}, out...)
	}
	return out
}

// Records that share pages, and trees with loops, would make a small file
// expensive: each costs no more than one reading of the file.
func TestSharedPagesAreRefused(t *testing.T) {
	le := binary.LittleEndian
	t.Run("ndb", func(t *testing.T) {
		db := makeNDB(simple("a", 100_000), simple("b", 0), simple("c", 0))
		for slot := 3; slot < 200; slot++ {
			copy(db[slot*ndbSlotBytes:], db[2*ndbSlotBytes:3*ndbSlotBytes])
		}
		wantDamaged(t, "Packages.db", db)
	})
	t.Run("bdb chain", func(t *testing.T) {
		db := makeBDB(le, simple("a", 3000))
		over := db[2*testPage : 3*testPage]
		le.PutUint32(over[16:], 2) // the page follows itself
		at := le.Uint16(db[testPage+bdbPageHeader+6:])
		le.PutUint32(db[testPage+int(at)+8:], uint32(len(db)-100))
		le.PutUint16(over[22:], 1)
		wantDamaged(t, "Packages", db)
	})
	t.Run("sqlite loop", func(t *testing.T) {
		rs := records(300)
		db, _ := makeSQLite(t, false, rs...)
		page := int(binary.BigEndian.Uint16(db[16:]))
		// Make every child of each interior page the page itself.
		for no := 2; no <= len(db)/page; no++ {
			p := db[(no-1)*page:][:page]
			if p[0] != sqliteInterior {
				continue
			}
			binary.BigEndian.PutUint32(p[8:], uint32(no))
			for i := range int(binary.BigEndian.Uint16(p[3:])) {
				binary.BigEndian.PutUint32(p[binary.BigEndian.Uint16(p[12+2*i:]):], uint32(no))
			}
		}
		wantDamaged(t, "rpmdb.sqlite", db)
	})
}

func wantDamaged(t *testing.T, base string, db []byte) {
	t.Helper()
	if _, err := New().Analyze(t.Context(), analyzetest.File(dir+base, db)); !errors.Is(err, errFormat) {
		t.Errorf("got %v, want a damaged database", err)
	}
}

func fuzz(f *testing.F, base string, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(dir+base, b))
		if err == nil && facts != nil && facts.Database == nil {
			t.Error("facts without a database")
		}
	})
}

func FuzzBDB(f *testing.F) {
	fuzz(f, "Packages", makeBDB(binary.LittleEndian, records(2)...), makeBDB(binary.BigEndian, simple("a", 300)))
}

func FuzzNDB(f *testing.F) { fuzz(f, "Packages.db", makeNDB(simple("a", 0), simple("b", 100))) }

func FuzzSQLite(f *testing.F) {
	db, _ := makeSQLite(f, false, records(2)...)
	fuzz(f, "rpmdb.sqlite", db)
}

func FuzzWAL(f *testing.F) {
	db, wal := makeSQLite(f, true, simple("a", 0), simple("b", 0))
	f.Add(wal)
	f.Fuzz(func(t *testing.T, b []byte) {
		file := analyzetest.File(dir+"rpmdb.sqlite", db)
		file.Sibling = func(string, int64) ([]byte, error) { return b, nil }
		if _, err := New().Analyze(t.Context(), file); err != nil && !errors.Is(err, errFormat) {
			t.Error(err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, r := range records(0) {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := collector{path: "/p"}
		if err := c.add(b); err != nil {
			t.Error(err)
		}
	})
}
