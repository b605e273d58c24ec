package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/fleet"
)

func TestHostID(t *testing.T) {
	dir := t.TempDir()
	machine := filepath.Join(dir, "machine-id")
	if err := os.WriteFile(machine, []byte("4c4c4544004d3510804cb4c04f333232\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := hostID(machine, dir)
	if err != nil || len(id) != 32 || strings.Contains(id, "4c4c4544") {
		t.Errorf("id %q, %v", id, err)
	}
	for _, content := range []string{"", "uninitialized\n"} {
		if err := os.WriteFile(machine, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		state := t.TempDir()
		first, err := hostID(machine, state)
		if err != nil || first == id {
			t.Errorf("id %q, %v", first, err)
		}
		second, err := hostID(filepath.Join(dir, "none"), state)
		if err != nil || second != first {
			t.Errorf("id %q at first, then %q, %v", first, second, err)
		}
		fi, err := os.Stat(filepath.Join(state, hostIDFile))
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", fi, err)
		}
	}
}

func TestStateIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, maxStateBytes+10), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := readSmall(path); err != nil || len(b) != maxStateBytes {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestOSName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "os-release")
	tests := []struct{ name, content, want string }{
		{"quoted", "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n", "Debian GNU/Linux 12"},
		{"single quotes", "PRETTY_NAME='Alpine'\n", "Alpine"},
		{"bare", "PRETTY_NAME=Arch\n", "Arch"},
		{"empty", "PRETTY_NAME=\n", "linux"},
		{"too long", "PRETTY_NAME=" + strings.Repeat("x", fleet.MaxText+1), "linux"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := osName(path); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := osName(filepath.Join(t.TempDir(), "none")); got != "linux" {
		t.Errorf("without a file: %q", got)
	}
}

func TestHostFactsAreValid(t *testing.T) {
	h := hostFacts(strings.Repeat("0", 32), "v1")
	if h.Name == "" || h.Arch == "" || strings.HasPrefix(h.PrivateIP, "127.") || strings.Contains(h.PrivateIP, ":") {
		t.Errorf("host %+v", h)
	}
}
