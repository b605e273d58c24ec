package version

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/onceover/onceover/test/shareddata"
)

// The tools themselves are the reference: each test makes versions at random
// from the pieces that the rules treat differently, and asks the tool.

func need(t *testing.T, tool string) string {
	t.Helper()
	p, err := exec.LookPath(tool)
	if err != nil {
		if os.Getenv("REQUIRE_RUNTIMES") == "1" {
			t.Fatalf("%s is not installed", tool)
		}
		t.Skipf("%s is not installed", tool)
	}
	return p
}

// random joins up to n pieces, so that two results are often nearly equal.
func random(r *rand.Rand, pieces []string, n int) string {
	var b strings.Builder
	for range 1 + r.IntN(n) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

func TestDpkgOracle(t *testing.T) {
	dpkg := need(t, "dpkg")
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"0", "1", "9", "10", "01", "a", "z", "A", "~", "+", ".", "-", "rc", "dfsg", "~deb12u1", "+b1"}
	for range 400 {
		a, b := "1"+random(r, pieces, 5), "1"+random(r, pieces, 5)
		if strings.HasSuffix(a, "-") || strings.HasSuffix(b, "-") {
			continue // dpkg takes no empty revision
		}
		if r.IntN(4) == 0 {
			a = "1:" + a
		}
		if r.IntN(6) == 0 {
			b = "0:" + b
		}
		got, err := Compare("Debian:12", a, b)
		if err != nil {
			t.Fatal(err)
		}
		op := map[int]string{-1: "lt", 0: "eq", 1: "gt"}[got]
		if out, err := exec.Command(dpkg, "--compare-versions", a, op, b).CombinedOutput(); err != nil {
			t.Errorf("%s %s %s: dpkg says no (%v) %s", a, op, b, err, out)
		}
	}
}

func TestRPMOracle(t *testing.T) {
	rpm := need(t, "rpm")
	r := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"0", "1", "9", "10", "01", "a", "z", "Z", "~", "^", ".", "-", "_", "rc", "el9", "module_el8"}
	var pairs [][2]string
	for range 3000 {
		a, b := "1"+random(r, pieces, 6), "1"+random(r, pieces, 6)
		if r.IntN(5) == 0 {
			a = "0:" + a
		}
		if r.IntN(7) == 0 {
			b = "1:" + b
		}
		pairs = append(pairs, [2]string{a, b})
	}
	var got []string
	for start := 0; start < len(pairs); start += 300 {
		var part strings.Builder
		for _, p := range pairs[start:min(start+300, len(pairs))] {
			fmt.Fprintf(&part, "print(rpm.vercmp('%s','%s') .. '\\n') ", p[0], p[1])
		}
		out, err := exec.Command(rpm, "--eval", "%{lua: "+part.String()+"}").Output()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Fields(string(out))...)
	}
	if len(got) != len(pairs) {
		t.Fatalf("rpm answered %d of %d", len(got), len(pairs))
	}
	for i, p := range pairs {
		c, err := Compare("AlmaLinux:9", p[0], p[1])
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(c) != got[i] {
			t.Errorf("%s against %s: got %d, rpm says %s", p[0], p[1], c, got[i])
		}
	}
}

func TestAPKOracle(t *testing.T) {
	data := shareddata.Dir(t)
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("the Alpine images at hand are for linux/amd64")
	}
	for _, image := range []string{"3.10.9", "3.20.3"} {
		t.Run(image, func(t *testing.T) {
			apk := unpackAPK(t, filepath.Join(data, "images", "alpine-minirootfs-"+image+"-x86_64.tar.gz"))
			r := rand.New(rand.NewPCG(5, 6))
			pairs := [][2]string{
				{"2.9-r1", "2.9.0-r0"}, {"1.2.3", "1.2.3-r0"}, {"0.r1", "0r2"},
				{"0.8.21.r2", "0.8.21r2"}, {"1", "1-ruff"},
			}
			for range 300 {
				pairs = append(pairs, [2]string{randomAPK(r), randomAPK(r)})
			}
			for _, p := range pairs {
				out, err := apk("version", "-t", p[0], p[1])
				if err != nil {
					t.Fatal(err)
				}
				want, ok := map[string]int{"<": -1, "=": 0, ">": 1}[strings.TrimSpace(out)]
				if !ok {
					t.Fatalf("apk says %q", out)
				}
				if got, err := Compare("Alpine:v3.20", p[0], p[1]); err != nil || got != want {
					t.Errorf("%s against %s: got %d, %v, apk says %s", p[0], p[1], got, err, out)
				}
			}
		})
	}
}

// randomAPK makes a version that the grammar of apk-package(5) allows, without
// a commit hash, which apk-tools 2 did not know.
func randomAPK(r *rand.Rand) string {
	nums := []string{"0", "1", "2", "9", "10", "01", "012"}
	s := nums[r.IntN(5)]
	for range r.IntN(3) {
		s += "." + nums[r.IntN(len(nums))]
	}
	if r.IntN(5) == 0 {
		s += string(rune('a' + r.IntN(3)))
	}
	suffixes := []string{"alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"}
	for range r.IntN(3) {
		s += "_" + suffixes[r.IntN(len(suffixes))]
		if r.IntN(2) == 0 {
			s += nums[r.IntN(5)]
		}
	}
	if r.IntN(4) != 0 {
		s += "-r" + nums[r.IntN(5)]
	}
	return s
}

// unpackAPK takes apk and its libraries out of a root file system and returns
// a function that runs it through the image's own loader.
func unpackAPK(t *testing.T, tarball string) func(args ...string) (string, error) {
	t.Helper()
	f, err := os.Open(tarball)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(h.Name)
		if base != "apk" && !strings.Contains(base, ".so") {
			continue
		}
		to := filepath.Join(dir, base)
		switch h.Typeflag {
		case tar.TypeSymlink:
			if filepath.Base(h.Linkname) == base {
				continue // usr/lib points to lib, which is one here
			}
			if err := os.Symlink(filepath.Base(h.Linkname), to); err != nil {
				t.Fatal(err)
			}
		case tar.TypeReg:
			var b bytes.Buffer
			if _, err := io.Copy(&b, tr); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, b.Bytes(), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return func(args ...string) (string, error) {
		args = append([]string{"--library-path", dir, filepath.Join(dir, "apk")}, args...)
		out, err := exec.Command(filepath.Join(dir, "ld-musl-x86_64.so.1"), args...).Output()
		return string(out), err
	}
}
