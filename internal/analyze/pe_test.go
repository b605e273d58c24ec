package analyze

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// library32 is a library for 32 bits, and program64 a program for 64 that Go's
// linker makes.
func library32(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("dotnet/testdata/Microsoft.IdentityModel.Abstractions.dll")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func program64(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	src, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "a.exe")
	if err := os.WriteFile(src, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", out, src)
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Sections and directories lie where debug/pe finds them.
func TestOpenPE(t *testing.T) {
	for arch, b := range map[string][]byte{"64": program64(t), "32": library32(t)} {
		want, err := pe.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		got := OpenPE(bytes.NewReader(b))
		if got == nil || len(got.Sections) != len(want.Sections) {
			t.Fatalf("%s: got %+v", arch, got)
		}
		for i, w := range want.Sections {
			g := got.Sections[i]
			a, _ := w.Data()
			b, _ := io.ReadAll(g)
			if g.Address != w.VirtualAddress || !bytes.Equal(a, b) || len(w.Name) <= 8 && w.Name[0] != '.' && g.Name != w.Name {
				t.Errorf("%s: section %s differs", arch, w.Name)
			}
		}
		if got.Section(".text") == nil || got.Section(".no") != nil {
			t.Errorf("%s: sections by name", arch)
		}
		var dirs []pe.DataDirectory
		switch h := want.OptionalHeader.(type) {
		case *pe.OptionalHeader32:
			dirs = h.DataDirectory[:h.NumberOfRvaAndSizes]
		case *pe.OptionalHeader64:
			dirs = h.DataDirectory[:h.NumberOfRvaAndSizes]
		}
		if len(dirs) != len(got.Directories) {
			t.Fatalf("%s: %d directories", arch, len(got.Directories))
		}
		for i, d := range dirs {
			if d.Size > 0 && d.VirtualAddress != got.Directories[i] {
				t.Errorf("%s: directory %d at %#x", arch, i, got.Directories[i])
			}
		}
	}
	many := append([]byte("MZ"), make([]byte, 0x3a)...)
	many = binary.LittleEndian.AppendUint32(many, 64)
	many = append(many, "PE\x00\x00\x64\x86"...)
	many = binary.LittleEndian.AppendUint16(many, maxPESections+1)
	many = append(many, make([]byte, 40*(maxPESections+2))...)
	for name, b := range map[string][]byte{"nothing": nil, "DOS": many[:60], "no header": many[:80], "too many sections": many} {
		if p := OpenPE(bytes.NewReader(b)); p != nil {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}

func FuzzOpenPE(f *testing.F) {
	f.Add(library32(f)[:1024])
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := OpenPE(bytes.NewReader(b)); p != nil && len(p.Sections) > maxPESections {
			t.Errorf("%d sections", len(p.Sections))
		}
	})
}
