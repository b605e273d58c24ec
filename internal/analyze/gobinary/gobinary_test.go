package gobinary

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

// build compiles a small program of a module of its own with one replaced and
// one ordinary dependency, for an operating system, and returns its bytes.
func build(t testing.TB, goos string, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":         "module example.org/program\n\ngo 1.20\n\nrequire (\n\texample.org/local v1.4.0\n)\n\nreplace example.org/local v1.4.0 => ./local\n",
		"main.go":        "package main\n\nimport \"example.org/local\"\n\nvar version string\n\nfunc main() { println(local.Text, version) }\n",
		"local/go.mod":   "module example.org/local\n",
		"local/local.go": "package local\n\nvar Text = \"x\"\n",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "program.out")
	cmd := exec.Command("go", append([]string{"build", "-o", out}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func executable(p string, b []byte) analyze.File {
	f := analyzetest.File(p, b)
	f.Info = analyzetest.Info{Base: filepath.Base(p), Bytes: int64(len(b)), Perm: 0o755}
	return f
}

func TestPrograms(t *testing.T) {
	tool := strings.TrimPrefix(strings.Fields(runtime.Version())[0], "go")
	for _, tc := range []struct {
		name, goos string
		args       []string
		want       string // version of the main module
	}{
		{"elf", "linux", nil, ""},
		{"stripped", "linux", []string{"-ldflags=-s -w"}, ""},
		{"pe", "windows", nil, ""},
		{"mach-o", "darwin", nil, ""},
		{"version from the linker", "linux", []string{"-ldflags=-X main.version=3.2.1"}, "v3.2.1"},
		{"version without the flags", "linux", []string{"-trimpath", "-ldflags=-s -w -X main.version=v3.2.1"}, "v3.2.1"},
		{"a commit without the flags", "linux", []string{"-trimpath", "-ldflags=-X main.version=v3.2.1-4-gdeadbee"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const p = "/usr/local/bin/program"
			facts := analyzetest.Facts(t, New(), executable(p, build(t, tc.goos, tc.args...)))
			want := &report.Facts{Packages: []report.Package{
				{Type: report.TypeGo, Name: "example.org/program", Version: tc.want, Path: p},
				{Type: report.TypeGo, Name: "example.org/local", Path: p},
				{Type: report.TypeGo, Name: "stdlib", Version: tool, Path: p},
			}}
			if diff := cmp.Diff(want, facts); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSuite(t *testing.T) {
	analyzetest.Suite(t, New(), "/app", build(t, "linux", "-ldflags=-s -w"))
}

// A real program with modules: what is found is what the toolchain prints.
func TestRealModules(t *testing.T) {
	prog := filepath.Join(t.TempDir(), "testscript")
	if out, err := exec.Command("go", "build", "-o", prog, "github.com/rogpeppe/go-internal/cmd/testscript").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command("go", "version", "-m", prog).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if w := strings.Fields(line); len(w) >= 3 && (w[0] == "dep" || w[0] == "mod") {
			want[w[1]] = w[2]
		}
	}
	facts := analyzetest.Facts(t, New(), analyzetest.Open(t, "/app", prog))
	got := map[string]string{}
	for _, p := range facts.Packages {
		if p.Name != "stdlib" {
			got[p.Name] = p.Version
		}
	}
	if len(want) == 0 {
		t.Fatal("the toolchain prints no modules")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestForeignProgramsSayNothing(t *testing.T) {
	for _, name := range []string{"/bin/sh", "/usr/bin/git", "/bin/ls"} {
		if _, err := os.Stat(name); err != nil {
			continue
		}
		f := analyzetest.Open(t, name, name)
		facts, err := New().Analyze(t.Context(), f)
		if facts != nil || err != nil {
			t.Errorf("%s: got %v, %v", name, facts, err)
		}
	}
}

func TestWants(t *testing.T) {
	for _, tc := range []struct {
		name string
		path string
		info analyzetest.Info
		want bool
	}{
		{"executable", "/bin/x", analyzetest.Info{Bytes: minFileBytes, Perm: 0o755}, true},
		{"no extension", "/opt/app", analyzetest.Info{Bytes: minFileBytes, Perm: 0o644}, true},
		{"exe", "/opt/app.exe", analyzetest.Info{Bytes: minFileBytes, Perm: 0o644}, true},
		{"data", "/opt/app.bin", analyzetest.Info{Bytes: minFileBytes, Perm: 0o644}, false},
		{"tiny", "/bin/x", analyzetest.Info{Bytes: minFileBytes - 1, Perm: 0o755}, false},
		{"largest", "/bin/x", analyzetest.Info{Bytes: maxFileBytes, Perm: 0o755}, true},
		{"huge", "/bin/x", analyzetest.Info{Bytes: maxFileBytes + 1, Perm: 0o755}, false},
	} {
		if got := New().Wants(tc.path, tc.info); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}

func TestToolchain(t *testing.T) {
	for in, want := range map[string]string{
		"go1.22.1":                       "1.22.1",
		"go1.21":                         "1.21",
		"go1.22rc1":                      "1.22rc1",
		"go1.19.3 X:boringcrypto":        "1.19.3",
		"go1.20.12 (Red Hat 1.20.12-1)":  "1.20.12",
		"go1.22.5-fips":                  "1.22.5",
		"devel go1.23-abcdef Thu Jan  1": "",
		"devel +0123":                    "",
		"":                               "",
	} {
		if got := toolchain(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	for _, tc := range []struct {
		name       string
		m          debug.Module
		path, want string
	}{
		{"plain", debug.Module{Path: "a/b", Version: "v1.0.0"}, "a/b", "v1.0.0"},
		{"devel", debug.Module{Path: "a/b", Version: "(devel)"}, "a/b", ""},
		{"replaced", debug.Module{Path: "a/b", Version: "v1.0.0", Replace: &debug.Module{Path: "c/d", Version: "v2.0.0"}}, "c/d", "v2.0.0"},
		{"replaced by a directory", debug.Module{Path: "a/b", Version: "v1.0.0", Replace: &debug.Module{Path: "./x", Version: "(devel)"}}, "a/b", ""},
		{"replaced by an absolute directory", debug.Module{Path: "a/b", Version: "v1.0.0", Replace: &debug.Module{Path: "/x"}}, "a/b", ""},
		{"replaced on windows", debug.Module{Path: "a/b", Version: "v1.0.0", Replace: &debug.Module{Path: `C:\x`}}, "a/b", ""},
	} {
		if p, v := resolve(&tc.m); p != tc.path || v != tc.want {
			t.Errorf("%s: got %s %q", tc.name, p, v)
		}
	}
}

func TestLinkedVersion(t *testing.T) {
	for _, tc := range []struct{ flags, want string }{
		{"", ""},
		{"-s -w", ""},
		{"-X main.version=1.2.3", "v1.2.3"},
		{"-X=main.Version=v1.2.3-rc.1", "v1.2.3-rc.1"},
		{`-X "k8s.io/component-base/version.gitVersion=v1.28.3" -X 'k8s.io/client-go/pkg/version.gitVersion=v1.28.3'`, "v1.28.3"},
		{"-X a.version=1.2.3 -X b.version=4.5.6", ""},
		{"-X main.version=dev", ""},
		{"-X main.version=1.2", ""},
		{"-X main.goVersion=1.22.1", ""},
		{"-X main.commit=1.2.3", ""},
		{"-X version=1.2.3", ""},
	} {
		bi := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "-ldflags", Value: tc.flags}}}
		if got := linkedVersion(bi); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.flags, got, tc.want)
		}
	}
}

// A file without sections whose data segment is large makes the standard
// library search all of it; the budget ends that.
func TestReadLimit(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01")
	b.Write(make([]byte, 9))
	w := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	w(uint16(2))  // executable
	w(uint16(62)) // x86-64
	w(uint32(1))
	w(uint64(0))  // entry
	w(uint64(64)) // program headers
	w(uint64(0))  // no section headers
	w(uint32(0))
	w([]uint16{64, 56, 1, 64, 0, 0})
	w([]uint32{1, 6}) // loadable, writable
	w([]uint64{0x1000, 0x1000, 0x1000, 2 * maxReadBytes, 2 * maxReadBytes, 0x1000})
	f := executable("/app", b.Bytes())
	f.Content, f.Size = padded(b.Bytes()), 2*maxReadBytes+0x1000
	_, err := New().Analyze(t.Context(), f)
	if !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
}

// inline is a program that is nothing but build information in the form of Go
// 1.18 and later (debug/buildinfo).
func inline(version, modules string) []byte {
	var b bytes.Buffer
	w := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	text := func(s string) {
		b.Write(binary.AppendUvarint(nil, uint64(len(s))))
		b.WriteString(s)
	}
	b.WriteString("\x7fELF\x02\x01\x01")
	b.Write(make([]byte, 9))
	w([]uint16{2, 62})
	w(uint32(1))
	w([]uint64{0, 64, 0})
	w(uint32(0))
	w([]uint16{64, 56, 1, 64, 0, 0})
	w([]uint32{1, 6})
	w([]uint64{128, 128, 128, 4096, 4096, 16})
	b.Write(make([]byte, 128-b.Len()))
	b.WriteString("\xff Go buildinf:\x08\x02")
	b.Write(make([]byte, 16))
	text(version)
	if modules != "" {
		modules = "0123456789abcdef" + modules + "0123456789abcdef"
	}
	text(modules)
	b.Write(make([]byte, 128+4096-b.Len()))
	return b.Bytes()
}

func FuzzBuildInformation(f *testing.F) {
	const modules = "path\texample.org/p\nmod\texample.org/p\t(devel)\t\ndep\texample.org/d\tv1.2.3\th1:x=\n=>\texample.org/e\tv1.2.4\th1:y=\nbuild\t-ldflags=\"-X main.version=1.2.3\"\n"
	seed := inline("go1.22.1", modules)
	if facts, err := New().Analyze(f.Context(), executable("/app", seed)); err != nil || facts == nil || len(facts.Packages) != 3 {
		f.Fatalf("the seed says %+v, %v", facts, err)
	}
	f.Add(seed)
	f.Add(inline("go1.22.1", ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), executable("/app", b))
		if err != nil || facts == nil {
			return
		}
		for _, p := range facts.Packages {
			if !plain(p.Name) || len(p.Version) > maxStringBytes {
				t.Errorf("unusable package %+v", p)
			}
		}
	})
}

// padded is a file of zeros that begins with some bytes.
type padded []byte

func (p padded) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(p)) {
		copy(b, p[off:])
	}
	return len(b), nil
}

func TestUnusableNames(t *testing.T) {
	bi := &debug.BuildInfo{GoVersion: "go1.22.1", Main: debug.Module{Path: "a b", Version: "v1.0.0"}, Deps: []*debug.Module{
		{Path: strings.Repeat("a", maxStringBytes+1), Version: "v1.0.0"},
		{Path: strings.Repeat("a", maxStringBytes), Version: "v1.0.0"},
		{Path: "b", Version: strings.Repeat("1", maxStringBytes+1)},
	}}
	facts, err := modules("/app", bi)
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Problems) != 3 || len(facts.Packages) != 2 {
		t.Errorf("got %d problems, %d packages", len(facts.Problems), len(facts.Packages))
	}
}

func TestToolsOfTheDistribution(t *testing.T) {
	facts, err := modules("/usr/local/go/bin/go", &debug.BuildInfo{GoVersion: "go1.22.1", Path: "cmd/go"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range facts.Packages {
		got = append(got, p.Name+" "+p.Version)
	}
	if diff := cmp.Diff([]string{"toolchain 1.22.1", "stdlib 1.22.1"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestModuleLimit(t *testing.T) {
	bi := &debug.BuildInfo{Deps: make([]*debug.Module, maxModules+1)}
	if _, err := modules("/app", bi); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
}
