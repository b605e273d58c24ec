package rust

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const p = "/usr/bin/program"

const list = `{"packages":[
	{"name":"adler","version":"0.2.3","source":"crates.io"},
	{"name":"cc","version":"1.0.73","source":"crates.io","kind":"build"},
	{"name":"program","version":"0.1.0-rc.1+x","source":"local","dependencies":[0,1],"root":true}],"format":1}`

var want = &report.Facts{Packages: []report.Package{
	{Type: report.TypeCargo, Name: "adler", Version: "0.2.3", Path: p},
	{Type: report.TypeCargo, Name: "cc", Version: "1.0.73", Path: p, Declared: true},
	{Type: report.TypeCargo, Name: "program", Version: "0.1.0-rc.1+x", Path: p},
}}

func deflate(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// program is a file of the operating system with content in a section of the
// list, and nothing else.
func program(system string, content []byte) []byte {
	var b bytes.Buffer
	w := func(v ...any) {
		for _, v := range v {
			_ = binary.Write(&b, binary.LittleEndian, v)
		}
	}
	n := uint32(len(content))
	switch system {
	case "elf":
		names := []byte("\x00.dep-v0\x00.shstrtab\x00")
		b.WriteString("\x7fELF\x02\x01\x01")
		b.Write(make([]byte, 9))
		w(uint16(2), uint16(62), uint32(1), uint64(0), uint64(0), uint64(64+int(n)+len(names)), uint32(0), []uint16{64, 56, 0, 64, 3, 2})
		b.Write(content)
		b.Write(names)
		b.Write(make([]byte, 64))
		w(uint32(1), uint32(1), uint64(0), uint64(0), uint64(64), uint64(n), uint32(0), uint32(0), uint64(1), uint64(0))
		w(uint32(9), uint32(3), uint64(0), uint64(0), uint64(64+n), uint64(len(names)), uint32(0), uint32(0), uint64(1), uint64(0))
	case "pe":
		b.WriteString("MZ")
		b.Write(make([]byte, 58))
		w(uint32(64))
		b.WriteString("PE\x00\x00")
		w(uint16(0x8664), uint16(1), uint32(0), uint32(0), uint32(0), uint16(240), uint16(0))
		w(uint16(0x20b))
		b.Write(make([]byte, 106))
		w(uint32(16))
		b.Write(make([]byte, 128))
		b.WriteString(sectionOfList + "\x00")
		w(n, uint32(0x1000), n, uint32(b.Len()+32), uint32(0), uint32(0), uint32(0), uint32(0))
		b.Write(content)
	case "mach-o":
		w(uint32(0xfeedfacf), uint32(0x0100000c), uint32(0), uint32(2), uint32(1), uint32(72+80), uint32(0), uint32(0))
		w(uint32(0x19), uint32(72+80))
		name := func(s string) { b.WriteString(s + strings.Repeat("\x00", 16-len(s))) }
		name("__DATA")
		w(uint64(0), uint64(n), uint64(32+152), uint64(n), uint32(7), uint32(3), uint32(1), uint32(0))
		name(sectionOfList)
		name("__DATA")
		w(uint64(0), uint64(n), uint32(32+152), uint32(0), uint32(0), uint32(0), uint32(0), uint32(0), uint32(0), uint32(0))
		b.Write(content)
	}
	if b.Len() < minFileBytes {
		b.Write(make([]byte, minFileBytes-b.Len()))
	}
	return b.Bytes()
}

func executable(b []byte) analyze.File {
	f := analyzetest.File(p, b)
	f.Info = analyzetest.Info{Base: "program", Bytes: int64(len(b)), Perm: 0o755}
	return f
}

func TestSuite(t *testing.T) {
	for _, system := range []string{"elf", "pe", "mach-o"} {
		t.Run(system, func(t *testing.T) {
			b := program(system, deflate(t, []byte(list)))
			analyzetest.Suite(t, New(), p, b)
			if diff := cmp.Diff(want, analyzetest.Facts(t, New(), executable(b))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A real program, linked by rustc or by the C compiler, stripped or not.
func TestRealPrograms(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(file(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("list", string(deflate(t, []byte(list))))
	write("a.rs", fmt.Sprintf(`#[used] #[link_section = ".dep-v0"] static LIST: [u8; %d] = *include_bytes!("list"); fn main() {}`, len(deflate(t, []byte(list)))))
	write("a.c", "int main(void) { return 0; }")
	for _, tc := range []struct {
		tool  string
		steps [][]string
	}{
		{"rustc", [][]string{{"rustc", "-o", file("a"), file("a.rs")}, {"strip", file("a")}}},
		{"gcc", [][]string{{"gcc", "-g", "-static", "-o", file("b"), file("a.c")}, {"objcopy", "--add-section", ".dep-v0=" + file("list"), "--set-section-flags", ".dep-v0=alloc,readonly", file("b"), file("a")}}},
	} {
		t.Run(tc.tool, func(t *testing.T) {
			if _, err := exec.LookPath(tc.tool); err != nil {
				if tc.tool == "gcc" && os.Getenv("REQUIRE_RUNTIMES") == "1" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			for _, s := range tc.steps {
				if out, err := exec.Command(s[0], s[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", s, err, out)
				}
			}
			if diff := cmp.Diff(want, analyzetest.Facts(t, New(), analyzetest.Open(t, p, file("a")))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestForeignProgramsSayNothing(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{self, "/bin/ls"} {
		if facts, err := New().Analyze(t.Context(), analyzetest.Open(t, name, name)); facts != nil || err != nil {
			t.Errorf("%s: got %v, %v", name, facts, err)
		}
	}
	for _, text := range []string{"", "MZ", "\x7fELF", "\xcf\xfa\xed\xfe", "#!/bin/sh\n"} {
		if facts, err := New().Analyze(t.Context(), executable([]byte(text))); facts != nil || err != nil {
			t.Errorf("%q: got %v, %v", text, facts, err)
		}
	}
}

func TestWants(t *testing.T) {
	for _, tc := range []struct {
		path string
		info analyzetest.Info
		want bool
	}{
		{"/bin/x", analyzetest.Info{Bytes: minFileBytes, Perm: 0o755}, true},
		{"/bin/x.bin", analyzetest.Info{Bytes: minFileBytes, Perm: 0o755}, true},
		{"/lib/x86_64-linux-gnu/gconv/X.so", analyzetest.Info{Bytes: minFileBytes, Perm: 0o644}, false},
		{"/lib/python3/site-packages/a/_rust.abi3.so", analyzetest.Info{Bytes: minFileBytes, Perm: 0o644}, true},
		{"/app/swc.linux-x64-gnu.node", analyzetest.Info{Bytes: minFileBytes, Perm: 0o644}, true},
		{"/lib/libc.so.6", analyzetest.Info{Bytes: minFileBytes, Perm: 0o644}, false},
		{"/x/data.json", analyzetest.Info{Bytes: minFileBytes, Perm: 0o644}, false},
		{"/bin/x", analyzetest.Info{Bytes: minFileBytes - 1, Perm: 0o755}, false},
		{"/bin/x", analyzetest.Info{Bytes: maxFileBytes + 1, Perm: 0o755}, false},
	} {
		if got := New().Wants(tc.path, tc.info); got != tc.want {
			t.Errorf("%s, %d: got %v", tc.path, tc.info.Bytes, got)
		}
	}
}

func TestDamaged(t *testing.T) {
	for name, content := range map[string][]byte{
		"not compressed": []byte(list),
		"cut":            deflate(t, []byte(list))[:20],
		"not JSON":       deflate(t, []byte("[")),
		"no crates":      deflate(t, []byte(`{"packages":[]}`)),
	} {
		if facts, err := New().Analyze(t.Context(), executable(program("elf", content))); facts != nil || err == nil {
			t.Errorf("%s: got %v, %v", name, facts, err)
		}
	}
	facts := analyzetest.Facts(t, New(), executable(program("elf", deflate(t, []byte(`{"packages":[{"name":"a b","version":"1"},{"name":"a"},{"name":"a","version":"1"}]}`)))))
	if len(facts.Packages) != 1 || len(facts.Problems) != 2 {
		t.Errorf("got %+v", facts)
	}
}

func TestLimits(t *testing.T) {
	many := make([]crate, maxPackages+1)
	for i := range many {
		many[i] = crate{Name: "a", Version: "1"}
	}
	b, err := json.Marshal(map[string]any{"packages": many})
	if err != nil {
		t.Fatal(err)
	}
	bomb := []byte(`{"packages":[{"name":"` + strings.Repeat("a", maxListBytes) + `","version":"1"}]}`)
	for name, content := range map[string][]byte{"crates": b, "bytes": bomb} {
		if _, err := New().Analyze(t.Context(), executable(program("elf", deflate(t, content)))); !errors.Is(err, analyze.ErrLimit) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	long := `{"packages":[{"name":"` + strings.Repeat("a", maxTextBytes+1) + `","version":"1"}]}`
	if facts := analyzetest.Facts(t, New(), executable(program("elf", deflate(t, []byte(long))))); len(facts.Packages) != 0 || len(facts.Problems) != 1 {
		t.Errorf("name: got %+v", facts)
	}
	mach := program("mach-o", deflate(t, []byte(list)))
	binary.LittleEndian.PutUint32(mach[20:], maxCommandBytes+1)
	f := executable(append(mach, make([]byte, maxCommandBytes)...))
	if facts, err := New().Analyze(t.Context(), f); facts != nil || err != nil {
		t.Errorf("load commands: got %v, %v", facts, err)
	}
	// What a list of stored blocks can make the reader read is bounded too.
	stored := executable(program("elf", append([]byte{0x78, 0x01}, bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, maxListBytes/5+1)...)))
	if facts, err := New().Analyze(t.Context(), stored); facts != nil || err == nil {
		t.Errorf("packed bytes: got %v, %v", facts, err)
	}
}

func FuzzCrates(f *testing.F) {
	for _, system := range []string{"elf", "pe", "mach-o"} {
		f.Add(program(system, deflate(f, []byte(list)))[:2048])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), executable(b))
		if err != nil || facts == nil {
			return
		}
		for _, pkg := range facts.Packages {
			if !plain(pkg.Name) || !plain(pkg.Version) {
				t.Errorf("unusable package %+v", pkg)
			}
		}
	})
}
