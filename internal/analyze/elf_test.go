package analyze

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"testing"
)

// Every section of real programs is found where debug/elf finds it.
func TestFindSection(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{self, "/bin/sh", "/lib/x86_64-linux-gnu/libc.so.6"} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		defer f.Close()
		e, err := elf.NewFile(f)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, s := range e.Sections {
			if s.Name == "" || seen[s.Name] {
				continue
			}
			seen[s.Name] = true
			got, table := FindSection(f, s.Name)
			if !table || got == nil {
				t.Errorf("%s: no %s", name, s.Name)
				continue
			}
			if s.Type == elf.SHT_NOBITS {
				if got.Size() != 0 {
					t.Errorf("%s: %s has %d bytes", name, s.Name, got.Size())
				}
				continue
			}
			want, err := s.Data()
			if err != nil {
				continue // compressed
			}
			if b, _ := io.ReadAll(got); s.Flags&elf.SHF_COMPRESSED == 0 && !bytes.Equal(b, want) {
				t.Errorf("%s: %s differs", name, s.Name)
			}
		}
		if s, table := FindSection(f, ".no-such-section"); !table || s != nil {
			t.Errorf("%s: got %v, %v", name, s, table)
		}
	}
}

func TestFindSectionElsewhere(t *testing.T) {
	head := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 57)...)
	lying := bytes.Clone(head)
	lying[0x28], lying[0x3a], lying[0x3d], lying[0x3e] = 64, 64, 0xff, 1 // 0xff00 sections that are not there
	for name, b := range map[string][]byte{"nothing": nil, "text": bytes.Repeat([]byte("text"), 20), "no table": head, "a table past the end": lying} {
		if s, table := FindSection(bytes.NewReader(b), ".x"); table || s != nil {
			t.Errorf("%s: got %v, %v", name, s, table)
		}
	}
}

func FuzzFindSection(f *testing.F) {
	b, err := os.ReadFile("/bin/true")
	if err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, table := FindSection(bytes.NewReader(b), ".text"); s != nil && !table {
			t.Error("a section without a table")
		}
	})
}
