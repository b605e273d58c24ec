package dotnet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const (
	depsPath = "/app/AutoRest.CSharp.deps.json"
	dllPath  = "/app/Microsoft.IdentityModel.Abstractions.dll"
)

func real(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuite(t *testing.T) {
	t.Run("deps.json", func(t *testing.T) {
		analyzetest.Suite(t, New(), depsPath, real(t, "AutoRest.CSharp.deps.json"))
	})
	t.Run("assembly", func(t *testing.T) {
		analyzetest.Suite(t, New(), dllPath, real(t, "Microsoft.IdentityModel.Abstractions.dll"))
	})
}

// The application that the SDK published: 39 of its 86 libraries brought a file
// (the directory in the npm package holds just these), the others are declared.
func TestRealApplication(t *testing.T) {
	facts := analyzetest.Facts(t, New(), analyzetest.File(depsPath, real(t, "AutoRest.CSharp.deps.json")))
	got := map[string]report.Package{}
	installed := 0
	for _, p := range facts.Packages {
		got[p.Name] = p
		if !p.Declared {
			installed++
		}
	}
	if len(got) != 86 || installed != 39 {
		t.Errorf("got %d libraries, %d installed", len(got), installed)
	}
	for _, want := range []report.Package{
		{Type: report.TypeNuGet, Name: "AutoRest.CSharp", Version: "3.0.0-beta.20251203.1", Path: depsPath},
		{Type: report.TypeNuGet, Name: "CommandLineParser", Version: "2.9.1", Path: depsPath},
		{Type: report.TypeNuGet, Name: "System.Text.Json", Version: "8.0.5", Path: depsPath, Declared: true},
	} {
		if diff := cmp.Diff(want, got[want.Name]); diff != "" {
			t.Error(diff)
		}
	}
	files := map[string]report.Hashes{}
	for _, o := range facts.Ownership {
		files[o.Owner] = o.Files
	}
	var win report.Hashes
	for _, p := range []string{"/app/System.Windows.Extensions.dll", "/app/runtimes/win/lib/netcoreapp3.0/System.Windows.Extensions.dll"} {
		win = append(win, report.PathHash(p))
	}
	if win[0] > win[1] {
		win[0], win[1] = win[1], win[0]
	}
	if diff := cmp.Diff(win, files["nuget:System.Windows.Extensions"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(report.Hashes{report.PathHash("/app/CommandLine.dll")}, files["nuget:CommandLineParser"]); diff != "" {
		t.Error(diff)
	}
}

func TestRealAssembly(t *testing.T) {
	facts := analyzetest.Facts(t, New(), analyzetest.File(dllPath, real(t, "Microsoft.IdentityModel.Abstractions.dll")))
	want := &report.Facts{Packages: []report.Package{{Type: report.TypeNuGet, Name: "Microsoft.IdentityModel.Abstractions", Version: "6.35.0", Path: dllPath}}}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Error(diff)
	}
}

func TestDependencies(t *testing.T) {
	const p = "/usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.4/Microsoft.NETCore.App.deps.json"
	pkg := func(name, version string, declared bool) report.Package {
		return report.Package{Type: report.TypeNuGet, Name: name, Version: version, Path: p, Declared: declared}
	}
	for _, tc := range []struct {
		name, text string
		want       []report.Package
	}{
		{"framework", `{"runtimeTarget":{"name":"t/linux-x64"},"targets":{"t":{},"t/linux-x64":{"Microsoft.NETCore.App.Runtime.linux-x64/8.0.4":{"runtime":{"System.Private.CoreLib.dll":{}},"native":{"libclrjit.so":{}}}}},
			"libraries":{"Microsoft.NETCore.App.Runtime.linux-x64/8.0.4":{"type":"package"}}}`,
			[]report.Package{pkg("Microsoft.NETCore.App.Runtime.linux-x64", "8.0.4", false)}},
		{"framework in a package for each platform", `{"targets":{"t":{"Microsoft.NETCore.App/2.0.0":{},"NETStandard.Library/2.0.0":{},"runtime.linux-x64.Microsoft.NETCore.App/2.0.0":{"runtime":{"System.dll":{}}}}},
			"libraries":{"Microsoft.NETCore.App/2.0.0":{"type":"package"},"NETStandard.Library/2.0.0":{"type":"package"},"runtime.linux-x64.Microsoft.NETCore.App/2.0.0":{"type":"package"}}}`,
			[]report.Package{pkg("Microsoft.NETCore.App", "2.0.0", false), pkg("NETStandard.Library", "2.0.0", true), pkg("runtime.linux-x64.Microsoft.NETCore.App", "2.0.0", false)}},
		{"self-contained", `{"targets":{"t":{"runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/8.0.4":{"runtime":{"System.dll":{}}}}},
			"libraries":{"runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/8.0.4":{"type":"runtimepack"}}}`,
			[]report.Package{pkg("Microsoft.NETCore.App.Runtime.linux-x64", "8.0.4", false)}},
		{"only translations and natives", `{"targets":{"t":{"a/1":{"resources":{"lib/de/a.resources.dll":{"locale":"de"}}},"b/1":{"native":{"b.so":{}}}}},"libraries":{"a/1":{"type":"package"},"b/1":{"type":"package"}}}`,
			[]report.Package{pkg("a", "1", false), pkg("b", "1", false)}},
		{"a file that stands for none", `{"targets":{"t":{"a/1":{"runtime":{"lib/net6.0/_._":{}}}}},"libraries":{"a/1":{"type":"package"}}}`,
			[]report.Package{pkg("a", "1", true)}},
		{"runtime target as text", `{"runtimeTarget":"t","targets":{"t":{"a/1":{}},"u":{"a/1":{"runtime":{"a.dll":{}}}}},"libraries":{"a/1":{"type":"package"}}}`,
			[]report.Package{pkg("a", "1", true)}},
		{"references", `{"libraries":{"a/1":{"type":"reference"},"b/1":{"type":"referenceassembly"}}}`, nil},
		{"byte order mark", "\xef\xbb\xbf" + `{"libraries":{"a/1":{"type":"package"}}}`, []report.Package{pkg("a", "1", true)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(tc.text)))
			var got []report.Package
			if facts != nil {
				got = facts.Packages
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(`{"libraries":{"a b/1":{"type":"package"},"c":{"type":"package"}}}`)))
	if len(facts.Packages) != 0 || len(facts.Problems) != 2 {
		t.Errorf("got %+v", facts)
	}
}

func TestWants(t *testing.T) {
	for _, tc := range []struct {
		path string
		size int64
		want bool
	}{
		{depsPath, 10, true},
		{dllPath, minPEBytes, true},
		{"/app/A.DLL", minPEBytes, true},
		{"/app/a.exe", maxPEBytes, true},
		{"/app/a.exe", maxPEBytes + 1, false},
		{"/app/a.dll", minPEBytes - 1, false},
		{"/app/de/a.resources.dll", 1 << 20, false},
		{"/usr/share/dotnet/packs/X/8.0.0/ref/net8.0/System.dll", 1 << 20, false},
		{"/app/package.json", 10, false},
		{"/app/My.App", minBundleBytes, false}, // no program
		{"/x", 1 << 20, false},
	} {
		if got := New().Wants(tc.path, analyzetest.Info{Bytes: tc.size}); got != tc.want {
			t.Errorf("%s, %d bytes: got %v", tc.path, tc.size, got)
		}
	}
}

// singleFile is an application with content appended: an ELF file of nothing
// but a data section, or a PE file of a real one.
func singleFile(t testing.TB, windows bool, version uint32, deps []byte) []byte {
	t.Helper()
	var program []byte
	at := 64 // of the data
	if windows {
		program = bytes.Clone(real(t, "Microsoft.IdentityModel.Abstractions.dll"))
		header := int(binary.LittleEndian.Uint32(program[0x3c:]))
		clr := header + 24 + 96 + 8*directoryCLR
		clear(program[clr : clr+8])
		// The first section follows the optional header; it is .text.
		section := header + 24 + int(binary.LittleEndian.Uint16(program[header+20:]))
		copy(program[section:], ".data\x00\x00\x00")
		at = int(binary.LittleEndian.Uint32(program[section+20:]))
	} else {
		names := []byte("\x00.data\x00.shstrtab\x00")
		data := len(signature) + 8
		var b bytes.Buffer
		w := func(v ...any) {
			for _, v := range v {
				_ = binary.Write(&b, binary.LittleEndian, v)
			}
		}
		b.WriteString("\x7fELF\x02\x01\x01")
		b.Write(make([]byte, 9))
		w(uint16(2), uint16(62), uint32(1), uint64(0), uint64(0), uint64(64+data+len(names)), uint32(0), []uint16{64, 56, 0, 64, 3, 2})
		b.Write(make([]byte, data))
		b.Write(names)
		b.Write(make([]byte, 64))
		w(uint32(1), uint32(1), uint64(3), uint64(0), uint64(64), uint64(data), uint32(0), uint32(0), uint64(1), uint64(0))
		w(uint32(7), uint32(3), uint64(0), uint64(0), uint64(64+data), uint64(len(names)), uint32(0), uint32(0), uint64(1), uint64(0))
		program = b.Bytes()
	}
	copy(program[at+8:], signature)
	depsAt := len(program)
	program = append(program, deps...)
	binary.LittleEndian.PutUint64(program[at:], uint64(len(program)))
	head := make([]byte, 12, 256)
	binary.LittleEndian.PutUint32(head, version)
	head = append(head, 4)
	head = append(head, "name"...)
	head = binary.LittleEndian.AppendUint64(head, uint64(depsAt))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(deps)))
	program = append(program, head...)
	if len(program) < minBundleBytes {
		program = append(program, make([]byte, minBundleBytes-len(program))...)
	}
	return program
}

func TestSingleFile(t *testing.T) {
	const p = "/app/My.App"
	deps := real(t, "AutoRest.CSharp.deps.json")
	for _, windows := range []bool{false, true} {
		b := singleFile(t, windows, 6, deps)
		f := analyzetest.File(p, b)
		f.Info = analyzetest.Info{Base: "My.App", Bytes: int64(len(b)), Perm: 0o755}
		facts := analyzetest.Facts(t, New(), f)
		if facts == nil || len(facts.Packages) != 86 || len(facts.Ownership) != 0 || facts.Packages[0].Path != p {
			t.Errorf("windows %v: got %+v", windows, facts)
		}
		analyzetest.Suite(t, New(), p, b)
		for name, b := range map[string][]byte{
			".NET Core 3":   singleFile(t, windows, 1, deps),
			"no list in it": singleFile(t, windows, 6, nil),
		} {
			if facts, err := New().Analyze(t.Context(), analyzetest.File(p, b)); facts != nil || err != nil {
				t.Errorf("%s: got %v, %v", name, facts, err)
			}
		}
		end := bytes.Clone(b)
		i := bytes.Index(end, signature) - 8
		for name, at := range map[string]uint64{"past the end": uint64(len(b)), "negative": 1 << 63, "at the end": uint64(len(b) - 5)} {
			binary.LittleEndian.PutUint64(end[i:], at)
			if facts, err := New().Analyze(t.Context(), analyzetest.File(p, end)); facts != nil || !errors.Is(err, errDamaged) {
				t.Errorf("header %s: got %v, %v", name, facts, err)
			}
		}
		binary.LittleEndian.PutUint64(end[i:], 0)
		if facts, err := New().Analyze(t.Context(), analyzetest.File(p, end)); facts != nil || err != nil {
			t.Errorf("a program that only starts: got %v, %v", facts, err)
		}
	}
	// The list claims to be larger than what is read.
	huge := make([]byte, 13+16)
	binary.LittleEndian.PutUint32(huge, 6)
	binary.LittleEndian.PutUint64(huge[13:], 1)
	binary.LittleEndian.PutUint64(huge[21:], maxDepsBytes+1)
	if _, err := bundled(bytes.NewReader(huge), 0, maxDepsBytes+100); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("size: got %v", err)
	}
	for _, name := range []string{"/bin/ls", "/usr/local/go/bin/go"} {
		if _, err := os.Stat(name); err == nil {
			if facts, err := New().Analyze(t.Context(), analyzetest.Open(t, name, name)); facts != nil || err != nil {
				t.Errorf("%s: got %v, %v", name, facts, err)
			}
		}
	}
}

func TestSniff(t *testing.T) {
	for head, want := range map[string]bool{"MZ\x90\x00": true, "\xef\xbb\xbf{": true, " \n{": true, "": true, "\x7fELF": true, "#!/b": false, "[1]": false} {
		if got := New().Sniff([]byte(head)); got != want {
			t.Errorf("%q: got %v", head, got)
		}
	}
}

func TestPackageVersion(t *testing.T) {
	for _, tc := range []struct{ product, file, assembly, want string }{
		{"13.0.3+0a2e291c0d9c0c7675d445703e51750363a549ef", "13.0.3.27908", "13.0.0.0", "13.0.3"},
		{"4.6.31308.01 @BuiltBy: x-y @Branch: z", "4.6.31308.01", "4.0.1.2", "4.6.31308.01"},
		{"6.35.0.41201040912.c94c7fc", "6.35.0.41201", "6.35.0.0", "6.35.0"},
		{"4.1.0-5.22114.11+e5c2", "4.100.22.11411", "4.1.0.0", "4.1.0-5.22114.11"},
		{"1.0.31.0.", "", "", "1.0.31.0"},
		{"Contoso Suite", "2.1.0.0", "1.0.0.0", "2.1.0.0"},
		{"Contoso", "", "1.0.0.0", "1.0.0.0"},
		{"0.0.0.0", "0.0", "0.0.0.0", ""},
		{"7", "", "", ""},
		{"1.2-", "", "", "1.2"},
		{"1.2-rc_1", "", "", "1.2"},
	} {
		if got := packageVersion(tc.product, tc.file, tc.assembly); got != tc.want {
			t.Errorf("%q, %q, %q: got %q, want %q", tc.product, tc.file, tc.assembly, got, tc.want)
		}
	}
}

// Programs for Windows that are not .NET's, and DOS programs, say nothing.
func TestForeign(t *testing.T) {
	dos := append([]byte("MZ"), make([]byte, 600)...)
	native := bytes.Clone(real(t, "Microsoft.IdentityModel.Abstractions.dll"))
	// The data directory of a 32-bit file begins 96 bytes into the optional
	// header, which follows 24 bytes of signature and file header.
	at := int(binary.LittleEndian.Uint32(native[0x3c:])) + 24 + 96 + 8*directoryCLR
	clear(native[at : at+8])
	for name, b := range map[string][]byte{"dos": dos, "native": native} {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(dllPath, b)); facts != nil || err != nil {
			t.Errorf("%s: got %v, %v", name, facts, err)
		}
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(depsPath, nil)
	f.Size = maxDepsBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	libraries := map[string]any{}
	for i := range maxLibraries + 1 {
		libraries[fmt.Sprintf("a%d/1", i)] = map[string]string{"type": "package"}
	}
	runtime := map[string]any{}
	for i := range maxAssets + 1 {
		runtime[fmt.Sprint(i)] = 0
	}
	for name, v := range map[string]any{
		"libraries": map[string]any{"libraries": libraries},
		"files":     map[string]any{"targets": map[string]any{"t": map[string]any{"a/1": map[string]any{"runtime": runtime}}}},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New().Analyze(t.Context(), analyzetest.File(depsPath, b)); !errors.Is(err, analyze.ErrLimit) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	long := `{"libraries":{"` + strings.Repeat("a", maxTextBytes+1) + `/1":{"type":"package"}}}`
	if facts := analyzetest.Facts(t, New(), analyzetest.File(depsPath, []byte(long))); len(facts.Packages) != 0 || len(facts.Problems) != 1 {
		t.Errorf("name: got %+v", facts)
	}
	img := &image{file: &analyze.PE{}}
	if _, err := img.read(1, 1, 1); !errors.Is(err, errDamaged) {
		t.Errorf("address: got %v", err)
	}
}

// A data section that is larger than what is searched, and tables that end
// beyond what a file of metadata can have.
func TestLargeSections(t *testing.T) {
	b := singleFile(t, false, 6, []byte("{}"))
	at := int(binary.LittleEndian.Uint64(b[0x28:])) + 64 + 0x20 // size of the first section after the empty one
	binary.LittleEndian.PutUint64(b[at:], maxDataBytes+1)
	f := analyzetest.File("/app/x", b)
	f.Size = 2 * maxDataBytes
	if facts, err := New().Analyze(t.Context(), f); facts != nil || err != nil {
		t.Errorf("data: got %v, %v", facts, err)
	}
	img := &image{file: &analyze.PE{Sections: []analyze.PESection{{Address: 0x1000, SectionReader: io.NewSectionReader(tables{}, 0, 1<<20)}}}}
	if _, _, err := img.assemblyRow(0x1000); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "tables of") {
		t.Errorf("tables: got %v", err)
	}
}

// tables is metadata whose tables all have millions of rows.
type tables struct{}

func (tables) ReadAt(b []byte, _ int64) (int, error) {
	for i := range b {
		b[i] = 0x7f
	}
	return len(b), nil
}

func FuzzDotnet(f *testing.F) {
	f.Add(true, real(f, "AutoRest.CSharp.deps.json"))
	f.Add(false, real(f, "Microsoft.IdentityModel.Abstractions.dll"))
	f.Add(false, singleFile(f, false, 6, []byte(`{"libraries":{"a/1":{"type":"package"}}}`))[:1024])
	f.Fuzz(func(t *testing.T, deps bool, b []byte) {
		p := dllPath
		if deps {
			p = depsPath
		}
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err != nil || facts == nil {
			return
		}
		for _, pkg := range facts.Packages {
			if !plain(pkg.Name) || strings.ContainsAny(pkg.Version, " \n") {
				t.Errorf("unusable package %+v", pkg)
			}
		}
	})
}
