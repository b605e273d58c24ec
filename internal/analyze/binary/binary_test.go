package binary

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

// elf is an ELF file without section table that holds content.
func elf(content string) []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	return append(b, content...)
}

// sectioned is an ELF file with the content in a section of the flags each.
func sectioned(content map[uint64]string) []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	var headers []byte
	header := func(kind uint32, flags uint64, off, size int) {
		h := make([]byte, 64)
		binary.LittleEndian.PutUint32(h[4:], kind)
		binary.LittleEndian.PutUint64(h[8:], flags)
		binary.LittleEndian.PutUint64(h[24:], uint64(off))
		binary.LittleEndian.PutUint64(h[32:], uint64(size))
		headers = append(headers, h...)
	}
	header(0, 0, 0, 0)
	flags := make([]uint64, 0, len(content))
	for f := range content {
		flags = append(flags, f)
	}
	slices.Sort(flags)
	for _, f := range flags {
		header(shtProgbits, f, len(b), len(content[f]))
		b = append(b, content[f]...)
		b = append(b, make([]byte, 2*windowBytes)...)
	}
	binary.LittleEndian.PutUint64(b[40:], uint64(len(b)))
	binary.LittleEndian.PutUint16(b[58:], 64)
	binary.LittleEndian.PutUint16(b[60:], uint16(len(headers)/64))
	return append(b, headers...)
}

// told is "name version" of what the file called base says, or "".
func told(t testing.TB, base string, content []byte) string {
	t.Helper()
	facts, err := New().Analyze(t.Context(), analyzetest.File("/usr/bin/"+base, content))
	if err != nil {
		t.Fatal(err)
	}
	return only(facts)
}

func only(facts *report.Facts) string {
	if facts == nil {
		return ""
	}
	var out []string
	for _, p := range facts.Packages {
		out = append(out, p.Name+" "+p.Version)
	}
	return strings.Join(out, ", ")
}

func TestSuite(t *testing.T) {
	analyzetest.Suite(t, New(), "/usr/sbin/nginx", elf("\x00nginx version: nginx/1.22.1\n\x00"+strings.Repeat("x\x00", 500)))
}

// An excerpt is a piece of a real file.
type excerpt struct {
	want, base, origin string
	content            []byte
}

const excerptFile = "testdata/excerpts.txt"

func excerpts(t testing.TB) []excerpt {
	t.Helper()
	f, err := os.Open(excerptFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []excerpt
	for s := bufio.NewScanner(f); s.Scan(); {
		if s.Text() == "" || s.Text()[0] == '#' {
			continue
		}
		field := strings.Split(s.Text(), "\t")
		if len(field) != 4 {
			t.Fatalf("%d fields: %s", len(field), s.Text())
		}
		content, err := strconv.Unquote(field[3])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, excerpt{field[0], field[1], field[2], []byte(content)})
	}
	return out
}

// file is the excerpt as the file that it was taken from.
func (e excerpt) file() []byte {
	if p := programOf(e.base); p != nil && p.text {
		return e.content
	}
	return elf(string(e.content))
}

// Each excerpt of a real program says what the program is.
func TestExcerpts(t *testing.T) {
	if *update {
		updateExcerpts(t)
	}
	for _, e := range excerpts(t) {
		if got := told(t, e.base, e.file()); got != e.want {
			t.Errorf("%s of %s: got %q, want %q", e.base, e.origin, got, e.want)
		}
	}
}

// Each form of the table is proved by a real program, or listed as unproved.
func TestEveryFormIsProved(t *testing.T) {
	type form struct {
		program  *program
		evidence int
	}
	proved := map[form]bool{}
	for _, e := range excerpts(t) {
		p := programOf(e.base)
		for i := range p.evidence {
			alone := *p
			alone.evidence = p.evidence[i : i+1]
			a, err := alone.find(t.Context(), analyzetest.File("/"+e.base, e.file()), !p.text)
			if err != nil {
				t.Fatal(err)
			}
			if a != nil && a.name+" "+a.version == e.want {
				proved[form{p, i}] = true
			}
		}
	}
	for i := range programs {
		p := &programs[i]
		for j, e := range p.evidence {
			id := fmt.Sprintf("%s %d", p.files[0], j)
			if proved[form{p, j}] == unprovedForms[id] {
				t.Errorf("%s (%s, %q): proved %v, listed as unproved %v", id, e.name, e.literal, proved[form{p, j}], unprovedForms[id])
			}
		}
	}
}

func TestWants(t *testing.T) {
	for base, want := range map[string]string{
		"node": "node", "nodejs": "node", "libnode.so.108": "node", "node.exe": "node",
		"python": "python", "python3": "python", "python3.11": "python", "libpython3.11.so.1.0": "python",
		"libpython3.7m.so.1.0": "python", "libpython2.7.so": "python",
		"php": "php-cli", "php8.2": "php-cli", "php-fpm7.4": "php-fpm", "libphp8.2.so": "libphp",
		"ruby3.1": "ruby", "libpypy3.9-c.so": "pypy",
		"libssl-3e69114b.so.1.1": "openssl", "libavcodec-9aae324f.so.59.37.100": "ffmpeg", "libQt5Core.so.5.15.2": "qtbase", "libruby-3.1.so.3.1.2": "ruby", "libruby.so.2.7": "ruby",
		"ld-musl-x86_64.so.1": "glibc", "libc.so.6": "glibc", "libc-2.31.so": "glibc",
		"libstd-a5a48102fbd58791.so": "rust", "libMagickCore-7.Q16HDRI.so.10.0.1": "imagemagick",
		"libcrypto.so.3": "openssl", "libssl.so.1.1": "openssl", "gcc-12": "gcc",
		"apache2": "httpd", "sqlite3": "sqlite", "release": "openjdk", "OTP_VERSION": "erlang",

		"openssl.so": "", "python3.11-config": "", "nginx.conf": "", "redis.sock": "", "": "",
		"libpython3.11.so.gz": "", "libssl.a": "", "bashrc": "", "php.ini": "", ".so": "", ".exe": "",
		"releases": "", "libstdc++.so.6": "", "python-3.11.tar": "",
	} {
		got := ""
		if New().Wants("/x/"+base, analyzetest.Info{Base: base, Bytes: 100, Perm: 0o755}) {
			got = programOf(base).evidence[0].name
			if got == "graalvm" {
				got = "openjdk"
			}
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", base, got, want)
		}
	}
	if New().Wants("/x/node", analyzetest.Info{Bytes: 0}) || New().Wants("/x/node", analyzetest.Info{Bytes: maxFileBytes + 1}) {
		t.Error("wants an empty or an absurdly large file")
	}
}

func TestWantsAllocatesNothing(t *testing.T) {
	a := New()
	for _, p := range []string{"/usr/bin/python3.11", "/usr/lib/x86_64-linux-gnu/libpython3.7m.so.1.0", "/usr/share/doc/x/README", "/lib/libcrypto.so.3"} {
		info := analyzetest.Info{Base: path.Base(p), Bytes: 100}
		var i any = info
		if n := testing.AllocsPerRun(100, func() { a.Wants(p, i.(analyzetest.Info)) }); n > 1 { // the interface
			t.Errorf("%s: %v allocations", p, n)
		}
	}
}

func TestSniff(t *testing.T) {
	for head, want := range map[string]bool{
		"\x7fELF": true, "MZ\x90\x00": true, "\xcf\xfa\xed\xfe": true, "#!/b": true, "JAVA": true, "25.2": true,
		"\x1f\x8b\x08\x00": false, "\x00\x00\x00\x00": false, "": false, "PK\x03\x04": false,
	} {
		if New().Sniff([]byte(head)) != want {
			t.Errorf("%q: want %v", head, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	far := strings.Repeat("x", 2*windowBytes)
	for _, c := range []struct {
		name, base string
		content    []byte
		want       string
	}{
		{"a script called nginx", "nginx", []byte("#!/bin/sh\n# nginx version: nginx/1.22.1\n"), ""},
		{"a program that is called release", "release", elf("\nJAVA_VERSION=\"17.0.1\"\n"), ""},
		{"the name alone", "nginx", elf("nothing"), ""},
		{"another program's evidence", "nginx", elf("@(#)Bash version 5.2.15(1) release GNU"), ""},
		{"two versions", "git", elf("\x00git/2.39.5\x00" + far + "\x00git/2.30.2\x00"), ""},
		{"one version twice", "git", elf("\x00git/2.39.5\x00" + far + "\x00git/2.39.5\x00"), "git 2.39.5"},
		{"no release", "git", elf("\x00git/0.0.0\x00"), ""},
		{"a number too long", "nginx", elf("\x00nginx version: nginx/1.22.12345\n"), "nginx 1.22.1234"},
		{"read-only data decides", "git", sectioned(map[uint64]string{
			shfAlloc: "\x00git/2.39.5\x00", shfAlloc | shfExecinstr: "\x00git/2.30.2\x00", 0: "\x00git/2.0.1\x00"}), "git 2.39.5"},
		{"writable data", "git", sectioned(map[uint64]string{
			shfAlloc: "nothing", shfAlloc | shfWrite: "\x00git/2.39.5\x00", 0: "\x00git/2.0.1\x00"}), "git 2.39.5"},
		{"the rest", "git", sectioned(map[uint64]string{shfAlloc: "nothing", 0: "\x00git/2.0.1\x00"}), "git 2.0.1"},
		{"the name's number", "python3.11", elf("\x003.11.4\x00 pythonX.X \x003.2.0\x00"), "python 3.11.4"},
		{"another number", "python3.10", elf("\x003.11.4\x00 pythonX.X \x003.2.0\x00"), ""},
		{"no number", "python", elf("\x003.11.4\x00 pythonX.X \x003.2.0\x00"), ""},
		{"the other literal is missing", "dumb-init", elf("\x001.2.5\n\x00"), ""},
		{"a release of Java 8", "release", []byte("JAVA_VERSION=\"1.8.0_402\"\nOS_NAME=\"Linux\"\n"), "openjdk 1.8.0_402"},
		{"a release of GraalVM", "release", []byte("IMPLEMENTOR=\"GraalVM Community\"\nJAVA_RUNTIME_VERSION=\"21.0.2+13-jvmci-23.1-b30\"\nJAVA_VERSION=\"21.0.2\"\nGRAALVM_VERSION=\"23.1.2\"\n"), "graalvm 23.1.2"},
		{"a release of something else", "release", []byte("VERSION=1.2.3\n"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := told(t, c.base, c.content); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A literal is found wherever it lies: at the edge of two chunks, at the start
// of a section, at the end of the file.
func TestEdges(t *testing.T) {
	const text = "\x00git/2.39.5\x00"
	for _, at := range []int{0, 1, chunkBytes - 80, chunkBytes - 70, chunkBytes - 64, chunkBytes - 60, chunkBytes, 2*chunkBytes - 66} {
		b := elf(strings.Repeat("x", at) + text)
		if got := told(t, "git", b); got != "git 2.39.5" {
			t.Errorf("at %d: got %q", at, got)
		}
	}
	for off := range 40 {
		b := elf(strings.Repeat("x", chunkBytes-64-off) + text + strings.Repeat("y", 3*chunkBytes))
		if got := told(t, "git", b); got != "git 2.39.5" {
			t.Errorf("%d before the edge: got %q", off, got)
		}
	}
	// The zero before the first string belongs to the section before.
	b := sectioned(map[uint64]string{shfAlloc: "5.4.1\x00"})
	if got := told(t, "liblzma.so.5", b); got != "xz 5.4.1" {
		t.Errorf("start of a section: got %q", got)
	}
}

func TestLimits(t *testing.T) {
	t.Run("bytes read", func(t *testing.T) {
		f := analyze.File{Path: "/usr/bin/git", Info: analyzetest.Info{Base: "git"}, Content: endless{}, Size: maxReadBytes + chunkBytes}
		_, err := New().Analyze(t.Context(), f)
		if !errors.Is(err, analyze.ErrLimit) {
			t.Errorf("got %v, want a limit", err)
		}
	})
	t.Run("long text", func(t *testing.T) {
		b := []byte("JAVA_VERSION=\"17.0.1\"\n" + strings.Repeat("x", maxTextBytes))
		if got := told(t, "release", b); got != "" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("hits", func(t *testing.T) {
		b := elf(strings.Repeat("git/x ", maxHits) + "\x00git/2.39.5\x00")
		if got := told(t, "git", b); got != "" {
			t.Errorf("got %q beyond the limit", got)
		}
		b = elf(strings.Repeat("git/x ", maxHits-1) + "\x00git/2.39.5\x00")
		if got := told(t, "git", b); got != "git 2.39.5" {
			t.Errorf("got %q within the limit", got)
		}
	})
	t.Run("sections", func(t *testing.T) {
		b := sectioned(map[uint64]string{shfAlloc: "\x00git/2.39.5\x00"})
		binary.LittleEndian.PutUint16(b[60:], 0xffff)
		if got := told(t, "git", b); got != "git 2.39.5" {
			t.Errorf("a table beyond the end: got %q", got)
		}
	})
	t.Run("version", func(t *testing.T) {
		if plausible("1." + strings.Repeat("1.", maxVersionBytes/2)) {
			t.Error("a long version is plausible")
		}
	})
}

// endless is a file of any size that holds an ELF header and zeros.
type endless struct{}

func (endless) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off == 0 {
		return copy(p, "\x7fELF\x02\x01\x01") + max(0, len(p)-7), nil
	}
	return len(p), nil
}

// Sections that claim the same bytes again and again are read once.
func TestSpansAreReadOnce(t *testing.T) {
	b := sectioned(map[uint64]string{shfAlloc: strings.Repeat("x", 1<<20)})
	table := b[binary.LittleEndian.Uint64(b[40:]):]
	for range 900 {
		b = append(b, table[64:128]...)
	}
	binary.LittleEndian.PutUint16(b[60:], 902)
	c := &counter{r: bytes.NewReader(b)}
	if _, err := New().Analyze(t.Context(), analyze.File{Path: "/git", Content: c, Size: int64(len(b))}); err != nil {
		t.Fatal(err)
	}
	if c.n > 2*int64(len(b)) {
		t.Errorf("%d bytes read of a file of %d", c.n, len(b))
	}
}

type counter struct {
	r io.ReaderAt
	n int64
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

func TestEndedContextInTheMiddle(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := analyzetest.File("/git", elf(strings.Repeat("x", 10*chunkBytes)))
	f.Content = &canceller{f.Content, cancel}
	if _, err := New().Analyze(ctx, f); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

type canceller struct {
	r      io.ReaderAt
	cancel func()
}

func (c *canceller) ReadAt(p []byte, off int64) (int, error) {
	if off > chunkBytes {
		c.cancel()
	}
	return c.r.ReadAt(p, off)
}

// A program that a distribution package put in place is owned by it.
func TestOwned(t *testing.T) {
	facts, err := New().Analyze(t.Context(), analyzetest.File("/usr/sbin/nginx", elf("\x00nginx version: nginx/1.22.1\n\x00")))
	if err != nil {
		t.Fatal(err)
	}
	copied := facts.Packages[0]
	copied.Path = "/opt/nginx/sbin/nginx"
	inv := report.Merge([]*report.LayerReport{{
		DiffID: "sha256:a", Complete: true,
		Packages:  []report.Package{facts.Packages[0], copied},
		Databases: []report.Database{{Path: "/var/lib/dpkg/status", Packages: []report.Package{{Type: report.TypeDeb, Name: "nginx", Version: "1.22.1-9"}}}},
		Ownership: []report.Ownership{{Path: "/var/lib/dpkg/info/nginx.list", Owner: "deb:nginx", Files: report.Hashes{report.PathHash("/usr/sbin/nginx")}}},
	}})
	got := map[string]string{}
	for _, p := range inv.Packages {
		if p.Type == report.TypeGeneric {
			got[p.Path] = p.OwnedBy
		}
	}
	want := map[string]string{"/usr/sbin/nginx": "deb:nginx", "/opt/nginx/sbin/nginx": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzAnalyze(f *testing.F) {
	for i, e := range excerpts(f) {
		if i%8 == 0 {
			f.Add(e.base, e.file())
		}
	}
	f.Add("git", sectioned(map[uint64]string{shfAlloc: "\x00git/2.39.5\x00", shfAlloc | shfWrite: "x"}))
	f.Fuzz(func(t *testing.T, base string, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File("/"+base, b))
		if err != nil || facts == nil {
			return
		}
		for _, p := range facts.Packages {
			if p.Name == "" || !plausible(p.Version) || p.Type != report.TypeGeneric || p.Path == "" {
				t.Errorf("%q: %+v", base, p)
			}
			if !bytes.Contains(b, []byte(p.Version)) {
				t.Errorf("the version %q stands nowhere", p.Version)
			}
		}
	})
}
