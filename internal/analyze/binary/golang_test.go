package binary

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/analyze/gobinary"
	"github.com/onceover/onceover/internal/report"
)

// goProgram builds a program that calls itself kubectl, with or without
// modules.
func goProgram(t *testing.T, modules bool, flags ...string) []byte {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "src", "k8s.io", "kubectl")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mode := "off"
	if modules {
		mode = "on"
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module k8s.io/kubectl\n\ngo 1.20\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nvar version string\n\nfunc main() { println(version) }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(root, "kubectl")
	cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", out}, flags...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GO111MODULE="+mode, "GOPATH="+root)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A Go program is one package, whoever finds it.
func TestGoProgramsAreFoundOnce(t *testing.T) {
	const stamp = "-ldflags=-s -w -X main.version=v1.29.3"
	for _, c := range []struct {
		name    string
		modules bool
		flags   []string
		want    report.Package
	}{
		{"module", true, []string{stamp}, report.Package{Type: report.TypeGo, Name: "k8s.io/kubectl", Version: "v1.29.3"}},
		{"module without flags", true, []string{"-trimpath", stamp}, report.Package{Type: report.TypeGo, Name: "k8s.io/kubectl", Version: "v1.29.3"}},
		{"no module", false, []string{"-trimpath", stamp}, report.Package{Type: report.TypeGeneric, Name: "kubectl", Version: "1.29.3"}},
		{"no module, flags recorded", false, []string{stamp}, report.Package{Type: report.TypeGeneric, Name: "kubectl", Version: "1.29.3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := analyzetest.File("/usr/local/bin/kubectl", goProgram(t, c.modules, c.flags...))
			f.Info = analyzetest.Info{Base: "kubectl", Bytes: f.Size, Perm: 0o755}
			var got []report.Package
			for _, facts := range []*report.Facts{analyzetest.Facts(t, New(), f), analyzetest.Facts(t, gobinary.New(), f)} {
				if facts == nil {
					continue
				}
				for _, p := range facts.Packages {
					if p.Name != "stdlib" {
						got = append(got, p)
					}
				}
			}
			c.want.Path = f.Path
			if len(got) != 1 || got[0].Compare(c.want) != 0 {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	if got := told(t, "kubectl", elf("\x00v1.2.3\x00")); got != "" {
		t.Errorf("a program that is not Go's: got %q", got)
	}
}
