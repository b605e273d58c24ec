package oracle

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onceover/onceover/test/fixture"
	"github.com/onceover/onceover/test/shareddata"
)

// images are compared package by package.
var images = []string{
	"debian-web", "app", "scratch-go", "rpm", "alpine-3.9.6", "alpine-3.18.9",
	"rpm-centos6", "rpm-centos7", "rpm-centos8", "rpm-sle15", "rpm-mariner2",
}

// TestPackages compares the package lists of "onceover scan" with syft's.
func TestPackages(t *testing.T) {
	tools := Find(t)
	bin := build(t)
	used := map[string]int{}
	compared := 0
	for _, name := range images {
		t.Run(name, func(t *testing.T) {
			img := fixture.Image(t, name)
			ours := scan(t, bin, "oci:"+img.OCI)
			theirs, err := tools.SyftPackages(t.Context(), "oci-dir:"+img.OCI)
			if err != nil {
				t.Fatal(err)
			}
			if len(theirs) == 0 {
				t.Fatal("syft found nothing: the comparison would say nothing")
			}
			if !ours.Complete || len(ours.Problems) > 0 {
				t.Errorf("scan is incomplete or has problems: %v", ours.Problems)
			}
			ds := ours.Differences(theirs)
			table, unexplained, by := Explain(ds, packageRules)
			t.Logf("%s: onceover %d packages, syft %d, %d differences\n%s", name, len(ours.Packages), len(theirs), len(ds), table)
			if unexplained > 0 {
				t.Errorf("%d differences are unexplained", unexplained)
			}
			for rule, n := range by {
				used[rule] += n
			}
			compared++
		})
	}
	// A rule that explains nothing any more hides the next regression.
	if compared == len(images) {
		for _, r := range packageRules {
			if used[r.Name] == 0 {
				t.Errorf("rule %q explains nothing: remove it", r.Name)
			}
		}
	}
}

// recallImages have what TestPackages has not: programs without a package
// manager, jars and assemblies as their projects publish them, R, OTP,
// WordPress.
var recallImages = []string{"recall", "app", "debian-web", "alpine-3.18.9", "scratch-go"}

// TestRecall demands that no installed package which syft or osv-scanner finds
// is missing, but for those that a rule explains.
func TestRecall(t *testing.T) {
	tools := Find(t)
	bin := build(t)
	used := map[string]int{}
	compared := 0
	for _, name := range recallImages {
		t.Run(name, func(t *testing.T) {
			img := fixture.Image(t, name)
			rs, err := tools.Recall(t.Context(), scan(t, bin, "docker-archive:"+img.Archive), img.Archive)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rs {
				t.Logf("%s: %s\n%s", name, r.Summary(), r.Table(true))
				if r.Theirs == 0 {
					t.Errorf("%s found nothing: the comparison would say nothing", r.Peer)
				}
				if r.Missing > 0 {
					t.Errorf("%d packages that %s finds are missing", r.Missing, r.Peer)
				}
				for rule, n := range r.Used {
					used[rule] += n
				}
			}
			compared++
		})
	}
	if compared == len(recallImages) {
		for _, r := range slices.Concat(recallRules, syftOnlyRules, osvOnlyRules) {
			if used[r.Name] == 0 {
				t.Errorf("rule %q explains nothing: remove it", r.Name)
			}
		}
	}
}

// build builds the command; ONCEOVER_BIN names one that is built already.
func build(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("ONCEOVER_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "onceover")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/onceover")
	cmd.Dir = shareddata.Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build onceover: %v\n%s", err, out)
	}
	return bin
}

// scan runs "onceover scan" on one target, without any layer reports of
// earlier runs.
func scan(t *testing.T, bin, target string, flags ...string) *Scan {
	t.Helper()
	args := append([]string{"scan", target, "--format", "json", "--no-cache", "--quiet"}, flags...)
	s, err := ReadScan(command(t, bin, args...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func command(t *testing.T, bin string, args ...string) []byte {
	t.Helper()
	out, err := runCommand(t.Context(), bin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func runCommand(ctx context.Context, bin string, args ...string) ([]byte, error) {
	var errs strings.Builder
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("onceover %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out, nil
}
