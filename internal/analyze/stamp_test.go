package analyze_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/onceover/onceover/internal/analyze"
)

// goProgram builds a program of two string variables.
func goProgram(t *testing.T, ldflags string) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.org/program\n\ngo 1.20\n",
		"main.go": "package main\n\nvar version = \"v0.9.9\"\nvar other = \"1.1.1\"\n\nfunc main() { println(version, other) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "program.out")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLinkedVersion(t *testing.T) {
	for _, c := range []struct{ name, ldflags, want string }{
		{"none", "-s -w", ""},
		{"plain", "-s -w -X main.version=v1.29.3", "1.29.3"},
		{"with symbols", "-X main.version=1.29.3", "1.29.3"},
		{"release candidate", "-s -w -X main.version=v1.29.3-rc.1", "1.29.3-rc.1"},
		{"of a distribution", "-s -w -X main.version=2.53.3+ds1 -X main.other=2.53.3+ds1-2", "2.53.3"},
		{"some commit", "-s -w -X main.version=v1.29.3-14-gdeadbee", ""},
		{"two", "-s -w -X main.version=v1.29.3 -X main.other=2.0.0", ""},
		{"the same twice", "-s -w -X main.version=v1.29.3 -X main.other=1.29.3", "1.29.3"},
		{"no version", "-s -w -X main.version=2024.01", ""},
		{"an address", "-s -w -X main.version=10.0.0.1", ""},
		{"development", "-s -w -X main.version=1.2.3-dev", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := analyze.LinkedVersion(t.Context(), bytes.NewReader(goProgram(t, c.ldflags)))
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLinkedVersionEnds(t *testing.T) {
	b := goProgram(t, "-s -w -X main.version=v1.29.3")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := analyze.LinkedVersion(ctx, bytes.NewReader(b)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for n := 0; n < len(b); n += len(b) / 16 {
		if _, err := analyze.LinkedVersion(t.Context(), bytes.NewReader(b[:n])); err != nil {
			t.Errorf("shortened to %d: %v", n, err)
		}
	}
}

func FuzzLinkedVersion(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := analyze.LinkedVersion(t.Context(), bytes.NewReader(b)); err != nil {
			t.Error(err)
		}
	})
}
