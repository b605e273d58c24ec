package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/image"
)

// raw is a header block written by hand (POSIX.1-2024, pax; GNU tar manual,
// "Basic Tar Format").
type raw struct {
	name, link string
	typ        byte
	size       int64
	// sizeField is written in place of size.
	sizeField []byte
	major     int
	minor     int
	gnu       bool
	edit      func(b []byte)
}

func (r raw) block() []byte {
	b := make([]byte, 512)
	copy(b[0:100], r.name)
	copy(b[100:], "0000644\x00")
	copy(b[108:], "0000000\x00")
	copy(b[116:], "0000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00", r.size))
	if r.sizeField != nil {
		copy(b[124:136], r.sizeField)
	}
	copy(b[136:], "00000000000\x00")
	b[156] = r.typ
	copy(b[157:257], r.link)
	copy(b[257:], "ustar\x0000")
	if r.gnu {
		copy(b[257:], "ustar  \x00")
	}
	copy(b[329:], fmt.Sprintf("%07o\x00%07o\x00", r.major, r.minor))
	if r.edit != nil {
		r.edit(b)
	}
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// padded is content up to the next block.
func padded(s string) []byte {
	b := []byte(s)
	return append(b, make([]byte, (512-len(b)%512)%512)...)
}

// reg is a whole regular file.
func reg(name, content string) []byte {
	return append(raw{name: name, typ: '0', size: int64(len(content))}.block(), padded(content)...)
}

func only(typ byte, name, link string) []byte {
	return raw{name: name, typ: typ, link: link}.block()
}

// pax is an extended header of typ 'x' or 'g'.
func pax(typ byte, records ...string) []byte {
	var body strings.Builder
	for _, r := range records {
		n := len(r) + 3
		for len(fmt.Sprintf("%d %s\n", n, r)) != n {
			n = len(fmt.Sprintf("%d %s\n", n, r))
		}
		fmt.Fprintf(&body, "%d %s\n", n, r)
	}
	return append(raw{name: "pax", typ: typ, size: int64(body.Len())}.block(), padded(body.String())...)
}

// gnuLong is a GNU header for a long name ('L') or link ('K').
func gnuLong(typ byte, s string) []byte {
	s += "\x00"
	return append(raw{name: "././@LongLink", typ: typ, size: int64(len(s)), gnu: true}.block(), padded(s)...)
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func end() []byte { return make([]byte, 1024) }

func TestTarTraps(t *testing.T) {
	long := strings.Repeat("d123456789/", 30) + "file"
	var longDirs []string
	for i, c := range long {
		if c == '/' {
			longDirs = append(longDirs, "/"+long[:i]+"/")
		}
	}
	holes := "head" + strings.Repeat("\x00", 1020) + "tail"
	sparseMap := func(b []byte, pairs ...int) {
		for i, v := range pairs {
			copy(b[386+12*i:], fmt.Sprintf("%011o\x00", v))
		}
	}
	for _, tc := range []struct {
		name string
		tar  []byte
		want []string
		err  error
	}{
		{name: "no end blocks", tar: reg("a", "1"), want: []string{"/a=1"}},
		{name: "one end block", tar: cat(reg("a", "1"), make([]byte, 512)), want: []string{"/a=1"}},
		{name: "rubbish behind the end", tar: cat(reg("a", "1"), end(), []byte("rubbish"), reg("b", "2")), want: []string{"/a=1"}},
		{name: "no entries", tar: end()},

		{name: "file twice", tar: cat(reg("a", "1"), reg("./a", "2"), end()), want: []string{"/a=2"}},
		{name: "directory twice", tar: cat(only('5', "d/", ""), reg("d/a", "1"), only('5', "d", ""), end()), want: []string{"/d/", "/d/a=1"}},
		{name: "directory becomes file", tar: cat(only('5', "d", ""), reg("d/e/a", "1"), reg("d", "2"), end()), want: []string{"/d=2"}},
		{name: "file becomes directory", tar: cat(reg("d", "1"), only('5', "d", ""), reg("d/a", "2"), end()), want: []string{"/d/", "/d/a=2"}},
		{name: "there and back", tar: cat(reg("d/a", "1"), reg("d", "2"), reg("x", "3"), only('5', "d", ""), reg("d/b", "4"), end()), want: []string{"/d/", "/d/b=4", "/x=3"}},
		{name: "link becomes directory", tar: cat(only('2', "l", "x"), only('5', "l", ""), reg("l/a", "1"), end()), want: []string{"/l/", "/l/a=1"}},
		{name: "directory becomes link", tar: cat(reg("l/a", "1"), only('2', "l", "x"), reg("l/b", "2"), end()), want: []string{"/l -> x", "/x/", "/x/b=2"}},
		{name: "through an own link", tar: cat(only('2', "l", "usr/../lib"), reg("l/a", "1"), end()), want: []string{"/l -> usr/../lib", "/lib/", "/lib/a=1"}},
		{name: "through a link out of the layer", tar: cat(only('2', "l", "../../../etc"), reg("l/a", "1"), end()), want: []string{"/l -> ../../../etc", "/etc/", "/etc/a=1"}},
		{name: "through links in a circle", tar: cat(only('2', "l", "m"), only('2', "m", "l"), reg("l/a", "1"), reg("b", "2"), end()), want: []string{"/l -> m", "/m -> l", "/b=2"}, err: ErrRefused},
		{name: "beneath a file", tar: cat(reg("f", "1"), reg("f/a", "2"), end()), want: []string{"/f=1"}, err: ErrRefused},
		{name: "whiteout and a new directory", tar: cat(reg(".wh.d", ""), reg("d/a", "1"), end()), want: []string{"!/d", "/d/", "/d/a=1"}},
		{name: "whiteout of an own file", tar: cat(reg("a", "1"), reg(".wh.a", ""), end()), want: []string{"!/a", "/a=1"}},
		{name: "whiteout in a directory that goes", tar: cat(reg("d/.wh.a", ""), reg("d", "1"), only('5', "d", ""), end()), want: []string{"/d/"}},

		{name: "hard link before its target", tar: cat(only('1', "l", "a"), reg("a", "1"), end()), want: []string{"/a=1", "/l error"}, err: ErrRefused},
		{name: "hard link to what comes anew", tar: cat(reg("a", "1"), only('1', "l", "a"), reg("a", "2"), end()), want: []string{"/a=2", "/l=1"}},
		{name: "hard link to a link to a link", tar: cat(reg("a", "1"), only('1', "l", "a"), only('1', "m", "./l"), only('1', "n", "/m"), end()), want: []string{"/a=1", "/l=1", "/m=1", "/n=1"}},
		{name: "hard link to a symbolic link", tar: cat(only('2', "s", "x"), only('1', "l", "s"), end()), want: []string{"/l -> x", "/s -> x"}},
		{name: "hard link through a symbolic link", tar: cat(reg("d/a", "1"), only('2', "s", "d"), only('1', "l", "s/a"), end()), want: []string{"/d/", "/d/a=1", "/l=1", "/s -> d"}},
		{name: "hard link to a directory", tar: cat(only('5', "d", ""), only('1', "l", "d"), end()), want: []string{"/d/"}, err: ErrRefused},
		{name: "hard link to a device", tar: cat(raw{name: "n", typ: '3', major: 1, minor: 3}.block(), only('1', "l", "n"), end()), want: []string{"/l other", "/n other"}},
		{name: "hard link to itself", tar: cat(reg("a", "1"), only('1', "a", "./a"), end()), want: []string{"/a=1"}},
		{name: "hard link in the place of its target's directory", tar: cat(reg("d/a", "1"), only('1', "d", "d/a"), end()), want: []string{"/d=1"}},

		{name: "absolute and escaping names", tar: cat(reg("/a", "1"), reg("../../b", "2"), reg("c/../../d", "3"), end()), want: []string{"/a=1", "/b=2", "/d=3"}},
		{name: "aufs", tar: cat(only('5', ".wh..wh.plnk", ""), reg(".wh..wh.plnk/12.34", "1"), reg(".wh..wh.aufs", ""), only('1', "a", ".wh..wh.plnk/12.34"), end()), want: []string{"/a=1"}},
		{name: "names that delete nothing", tar: cat(reg("d/.wh.", ""), reg("d/.wh..", ""), reg("d/.wh...", ""), end()), want: []string{"/d/"}},
		{name: "opaque top", tar: cat(reg(".wh..wh..opq", ""), reg("a", "1"), end()), want: []string{"/a=1"}},
		{name: "opaque by attribute", tar: cat(pax('x', "SCHILY.xattr.trusted.overlay.opaque=y"), only('5', "d", ""), end()), want: []string{"%/d", "/d/"}},
		{name: "user attribute", tar: cat(pax('x', "SCHILY.xattr.user.overlay.opaque=y"), only('5', "d", ""), end()), want: []string{"/d/"}},
		{name: "redirect by attribute", tar: cat(pax('x', "SCHILY.xattr.trusted.overlay.redirect=/x"), only('5', "d", ""), end()), want: []string{"/d/"}, err: ErrUnsupported},

		{name: "devices", tar: cat(raw{name: "null", typ: '3', major: 1, minor: 3}.block(), raw{name: "sda", typ: '4', major: 8}.block(), raw{name: "zero", typ: '3'}.block(), raw{name: "block", typ: '4'}.block(), only('6', "pipe", ""), end()),
			want: []string{"!/zero", "/block other", "/null other", "/pipe other", "/sda other"}},
		{name: "unknown type", tar: cat(only('V', "volume", ""), reg("a", "1"), end()), want: []string{"/a=1"}, err: ErrRefused},

		{name: "long name, pax", tar: cat(pax('x', "path="+long), reg("short", "1"), end()), want: append([]string{"/" + long + "=1"}, longDirs...)},
		{name: "long link, pax", tar: cat(pax('x', "linkpath="+long), only('2', "l", "short"), end()), want: []string{"/l -> " + long}},
		{name: "long name, GNU", tar: cat(gnuLong('L', long), reg("short", "1"), end()), want: append([]string{"/" + long + "=1"}, longDirs...)},
		{name: "long link, GNU", tar: cat(gnuLong('K', long), only('2', "l", "short"), end()), want: []string{"/l -> " + long}},
		{name: "global header", tar: cat(pax('g', "comment=x", "mtime=1"), reg("a", "1"), end()), want: []string{"/a=1"}},
		{name: "size, pax", tar: cat(pax('x', "size=3"), raw{name: "a", typ: '0'}.block(), padded("abc"), reg("b", "2"), end()), want: []string{"/a=abc", "/b=2"}},
		{name: "size, base 256", tar: cat(raw{name: "a", typ: '0', gnu: true, sizeField: []byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3}}.block(), padded("abc"), reg("b", "2"), end()), want: []string{"/a=abc", "/b=2"}},
		{name: "negative size", tar: cat(reg("b", "2"), raw{name: "a", typ: '0', gnu: true, sizeField: bytes.Repeat([]byte{0xff}, 12)}.block(), end()), want: []string{"/b=2"}, err: tar.ErrHeader},
		{name: "old directory form", tar: cat(raw{name: "d/", typ: 0}.block(), raw{name: "a", typ: 0, size: 1}.block(), padded("1"), end()), want: []string{"/a=1", "/d/"}},
		{name: "wrong checksum", tar: cat(reg("b", "2"), func() []byte { b := reg("a", "1"); b[0] = 'z'; return b }(), end()), want: []string{"/b=2"}, err: tar.ErrHeader},

		{name: "sparse, old GNU", tar: cat(raw{name: "s", typ: 'S', size: 8, gnu: true, edit: func(b []byte) {
			sparseMap(b, 0, 4, 1024, 4)
			copy(b[483:], fmt.Sprintf("%011o\x00", 1028))
		}}.block(), padded("headtail"), reg("b", "2"), end()), want: []string{"/b=2", "/s=" + holes}},
		{name: "sparse, old GNU, extended", tar: cat(raw{name: "s", typ: 'S', size: 8, gnu: true, edit: func(b []byte) {
			sparseMap(b, 0, 1, 1, 1, 2, 1, 3, 1)
			b[482] = 1
			copy(b[483:], fmt.Sprintf("%011o\x00", 1028))
		}}.block(), func() []byte {
			b := make([]byte, 512)
			copy(b, fmt.Sprintf("%011o\x00%011o\x00", 1024, 4))
			return b
		}(), padded("headtail"), end()), want: []string{"/s=" + holes}},
		{name: "sparse, pax 0.0", tar: cat(pax('x', "GNU.sparse.size=1028", "GNU.sparse.numblocks=2", "GNU.sparse.offset=0", "GNU.sparse.numbytes=4", "GNU.sparse.offset=1024", "GNU.sparse.numbytes=4"),
			reg("s", "headtail"), reg("b", "2"), end()), want: []string{"/b=2", "/s=" + holes}},
		{name: "sparse, pax 0.1", tar: cat(pax('x', "GNU.sparse.size=1028", "GNU.sparse.numblocks=2", "GNU.sparse.map=0,4,1024,4", "GNU.sparse.name=s"),
			reg("GNUSparseFile.0/s", "headtail"), reg("b", "2"), end()), want: []string{"/b=2", "/s=" + holes}},
		{name: "sparse, pax 1.0", tar: cat(pax('x', "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=s", "GNU.sparse.realsize=1028"),
			raw{name: "GNUSparseFile.0/s", typ: '0', size: 512 + 8}.block(), padded("2\n0\n4\n1024\n4\n"), padded("headtail"), reg("b", "2"), end()), want: []string{"/b=2", "/s=" + holes}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			slices.Sort(tc.want)
			var zst bytes.Buffer
			zw, _ := zstd.NewWriter(&zst)
			zw.Write(tc.tar)
			zw.Close()
			for form, b := range map[string][]byte{"plain": tc.tar, "gzip": gz(tc.tar), "zstd": zst.Bytes()} {
				got, err := seen(t, blob(b, image.DigestOf(tc.tar)))
				if !errors.Is(err, tc.err) || tc.err == nil && err != nil {
					t.Errorf("%s: got %v, want %v", form, err, tc.err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s: %s", form, diff)
				}
			}
		})
	}
}

// TestLinksFromMemory opens a file and hard links to it, which need not be read
// again, and one whose target was not opened, which must be.
func TestLinksFromMemory(t *testing.T) {
	b := cat(reg("a", "1"), only('1', "l", "a"), reg("b", strings.Repeat("2", 600)), only('1', "m", "b"), reg("c", "3"), only('1', "n", "c"), end())
	for _, tc := range []struct {
		name   string
		skip   string
		memory int64
		opened int
	}{
		{"all", "", 0, 1}, {"target not opened", "/c", 0, 2}, {"no memory", "", 1, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opened := 0
			l := image.Layer{DiffID: image.DigestOf(b), Blob: func(context.Context) (io.ReadCloser, error) {
				opened++
				return io.NopCloser(bytes.NewReader(b)), nil
			}}
			got := map[string]string{}
			err := Options{Memory: tc.memory}.Walk(context.Background(), l, func(e *Entry) error {
				if e.Path == tc.skip {
					return nil
				}
				c, err := e.Open()
				if errors.Is(err, ErrDeferred) {
					return nil
				}
				if err != nil {
					return err
				}
				defer c.Close()
				if _, ok := got[e.Path]; ok {
					t.Errorf("%s twice", e.Path)
				}
				data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
				got[e.Path] = string(data)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if opened != tc.opened || got["/l"] != "1" || got["/m"] != strings.Repeat("2", 600) || got["/n"] != "3" {
				t.Errorf("read %d times, got %v", opened, got)
			}
		})
	}
}

// Compressed streams in parts, and with something between or behind them.
func TestCompressedTraps(t *testing.T) {
	plain := cat(reg("a", "1"), reg("b", "2"), end())
	half := len(plain) / 2
	zw, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := func(b []byte) []byte { return zw.EncodeAll(b, nil) }
	skip := func(n byte) []byte { return []byte{0x50 | n, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4} }
	whole := gz(plain)
	for _, tc := range []struct {
		name string
		blob []byte
		err  bool
	}{
		{"gzip members", cat(gz(plain[:half]), gz(nil), gz(plain[half:])), false},
		{"gzip and zeros", cat(whole, make([]byte, 100)), false},
		{"gzip and rubbish", cat(whole, []byte("rubbish rubbish rubbish")), false},
		{"gzip cut", whole[:len(whole)-9], true},
		{"gzip with a wrong sum", cat(whole[:len(whole)-8], make([]byte, 8)), true},
		{"half the members", gz(plain[:half]), true},
		{"zstd frames", cat(frame(plain[:half]), frame(plain[half:])), false},
		{"zstd:chunked", cat(skip(0), frame(plain[:half]), skip(7), frame(plain[half:]), skip(15)), false},
		{"zstd cut", frame(plain)[:20], true},
		{"zstd and rubbish", cat(frame(plain), []byte("rubbish")), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := seen(t, blob(tc.blob, image.DigestOf(plain)))
			if (err != nil) != tc.err {
				t.Errorf("got %v, want an error: %v", err, tc.err)
			}
			if diff := cmp.Diff([]string{"/a=1", "/b=2"}, got); !tc.err && diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("nothing at all", func(t *testing.T) {
		for _, b := range [][]byte{nil, gz(nil), frame(nil), skip(0)} {
			if got, err := seen(t, blob(b, image.DigestOf(nil))); err != nil || len(got) > 0 {
				t.Errorf("%x: got %v, %v", b, got, err)
			}
		}
	})
}

// TestTarProgram reads what GNU tar writes, in each of its formats.
func TestTarProgram(t *testing.T) {
	program, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("no tar here")
	}
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("n", 90)
	must(os.MkdirAll(filepath.Join(dir, "d", long), 0o755))
	must(os.WriteFile(filepath.Join(dir, "d", long, "f"), []byte("1"), 0o644))
	must(os.Link(filepath.Join(dir, "d", long, "f"), filepath.Join(dir, "d/hard")))
	must(os.Symlink("f", filepath.Join(dir, "d/soft")))
	f, err := os.Create(filepath.Join(dir, "d/sparse"))
	must(err)
	for i := range 30 { // more pieces than one header has room for
		_, err = f.WriteAt([]byte("piece"), int64(i)*64<<10)
		must(err)
	}
	must(f.Close())
	sparse, err := os.ReadFile(f.Name())
	must(err)
	want := []string{"/d/", "/d/hard=1", "/d/" + long + "/", "/d/" + long + "/f=1", "/d/soft -> f", "/d/sparse=" + string(sparse)}
	for _, args := range [][]string{
		{"--format=gnu"}, {"--format=oldgnu"}, {"--format=pax"}, {"--format=ustar"},
		{"--format=gnu", "--sparse"}, {"--format=pax", "--sparse", "--sparse-version=0.0"},
		{"--format=pax", "--sparse", "--sparse-version=0.1"}, {"--format=pax", "--sparse", "--sparse-version=1.0"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			b, err := exec.Command(program, append(args, "-C", dir, "-cf", "-", "d")...).Output()
			must(err)
			got, err := seen(t, blob(b, image.DigestOf(b)))
			must(err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTreeLimits(t *testing.T) {
	made := func(string) error { return nil }
	tr := newTree()
	tr.steps = maxSteps
	if _, err := tr.enter("/a", 1, made); !errors.Is(err, ErrLimit) {
		t.Errorf("steps: got %v", err)
	}
	// A link that makes its own path longer each time.
	tr = newTree()
	target := strings.Repeat("d/", 200) + "l"
	tr.link("/l", folderAt{}, node{born: 1, kind: Symlink}, target)
	for i := range 10 {
		if _, err := tr.enter(strings.Repeat("/l", i+1), int32(i+2), made); err != nil {
			if !errors.Is(err, ErrLimit) && !errors.Is(err, ErrRefused) {
				t.Errorf("got %v", err)
			}
			return
		}
		p := strings.Repeat("/"+strings.TrimSuffix(target, "/l"), i+1) + "/l"
		tr.link(p, folderAt{}, node{born: int32(i + 2), kind: Symlink}, target)
	}
	t.Error("no limit")
}

// TestSparseLimits opens sparse files that have no content at all.
func TestSparseLimits(t *testing.T) {
	sparse := func(name string, size int) []byte {
		return cat(pax('x', fmt.Sprintf("GNU.sparse.size=%d", size), "GNU.sparse.numblocks=1", fmt.Sprintf("GNU.sparse.map=%d,0", size), "GNU.sparse.name="+name),
			raw{name: "s", typ: '0'}.block())
	}
	opened := func(b []byte, walker func(w *blobWalker)) (n int, err error) {
		l := blob(b, "")
		w := &blobWalker{ctx: t.Context(), layer: l, opts: Options{Memory: maxMemory}, stats: &Stats{}}
		walker(w)
		w.visit = func(e *Entry) error {
			c, oerr := e.Open()
			if oerr != nil {
				err = oerr
				return nil
			}
			n++
			return c.Close()
		}
		w.begin()
		werr := w.pass(w.show)
		return n, errors.Join(werr, err)
	}
	if n, err := opened(cat(sparse("a", maxSparse+1), end()), func(*blobWalker) {}); n != 0 || !errors.Is(err, ErrLimit) {
		t.Errorf("one: opened %d, %v", n, err)
	}
	b := cat(sparse("a", 1<<20), sparse("b", 1<<20), end())
	if n, err := opened(b, func(w *blobWalker) { w.holes = maxHoles - 1<<20 }); n != 1 || !errors.Is(err, ErrLimit) {
		t.Errorf("all: opened %d, %v", n, err)
	}
}

func FuzzDirent(f *testing.F) {
	entry := append(make([]byte, 16), 32, 0, 8)
	f.Add(append(entry, "name\x00\x00\x00\x00\x00\x00\x00\x00\x00"...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			name, _, size := parseDirent(b)
			if size == 0 {
				return
			}
			if size < 0 || size > len(b) || len(name) > size || bytes.IndexByte(name, 0) >= 0 {
				t.Fatalf("%d bytes of %d, name %q", size, len(b), name)
			}
			b = b[size:]
		}
	})
}
