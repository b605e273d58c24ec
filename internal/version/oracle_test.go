package version

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/semver"

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

// pairsWanted is how many pairs each tool is asked about.
func pairsWanted() int {
	if testing.Short() {
		return 2_000
	}
	return 100_000
}

// random joins up to n pieces, so that two results are often nearly equal.
func random(r *rand.Rand, pieces []string, n int) string {
	var b strings.Builder
	for range 1 + r.IntN(n) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// mutate changes one place of v: most differences that matter are small.
func mutate(r *rand.Rand, v string, pieces []string) string {
	i := r.IntN(len(v) + 1)
	switch r.IntN(4) {
	case 0: // take a byte out
		if i < len(v) && len(v) > 1 {
			return v[:i] + v[i+1:]
		}
		return v
	case 1: // another digit
		for j := range v {
			k := (i + j) % len(v)
			if isDigit(v[k]) {
				return v[:k] + string(rune('0'+r.IntN(10))) + v[k+1:]
			}
		}
		return v + "1"
	case 2: // cut
		if i > 0 {
			return v[:i]
		}
		return v
	default:
		return v[:i] + pieces[r.IntN(len(pieces))] + v[i:]
	}
}

// An oracle is a tool that orders the versions of some ecosystem.
type oracle struct {
	ecosystem string
	// known are versions as they occur; pieces are what the rules treat
	// differently.
	known, pieces []string
	// start is how the tool is begun. It reads lines of two versions and
	// answers each with -1, 0 or 1, or with "!" if one is no version.
	start func(t *testing.T) *exec.Cmd
	// valid leaves out what the tool takes and the ecosystem does not; nil
	// for nothing.
	valid func(v string) bool
}

func (o oracle) pairs(r *rand.Rand, n int) [][2]string {
	one := func() string {
		switch r.IntN(3) {
		case 0:
			return o.known[r.IntN(len(o.known))]
		case 1:
			return mutate(r, o.known[r.IntN(len(o.known))], o.pieces)
		default:
			return "1" + random(r, o.pieces, 6)
		}
	}
	ok := func(v string) bool {
		return v != "" && !strings.ContainsAny(v, " \t\n") && (o.valid == nil || o.valid(v))
	}
	out := make([][2]string, 0, n)
	for len(out) < n {
		a, b := one(), ""
		if r.IntN(3) == 0 {
			b = one()
		} else {
			b = mutate(r, a, o.pieces)
		}
		if ok(a) && ok(b) {
			out = append(out, [2]string{a, b})
		}
	}
	return out
}

func (o oracle) run(t *testing.T) {
	const seed = 20261127
	pairs := o.pairs(rand.New(rand.NewPCG(seed, uint64(len(o.ecosystem)))), pairsWanted())
	var in bytes.Buffer
	for _, p := range pairs {
		fmt.Fprintf(&in, "%s %s\n", p[0], p[1])
	}
	cmd := o.start(t)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, stderr.Bytes())
	}
	said := strings.Fields(string(out))
	if len(said) != len(pairs) {
		t.Fatalf("%s answered %d of %d: %s", cmd.Args[0], len(said), len(pairs), stderr.Bytes())
	}
	refused, differ := 0, 0
	for i, p := range pairs {
		if said[i] == "!" {
			refused++
			continue // what the tool takes for no version is of no interest
		}
		got, err := Compare(o.ecosystem, Normal(o.ecosystem, p[0]), Normal(o.ecosystem, p[1]))
		if err != nil || fmt.Sprint(got) != said[i] {
			if differ++; differ <= 20 {
				t.Errorf("%s against %s: got %d, %v, the tool says %s", p[0], p[1], got, err, said[i])
			}
		}
	}
	t.Logf("%d pairs, %d of them refused by the tool, %d differ (seed %d)", len(pairs), refused, differ, seed)
	if differ > 0 {
		t.Errorf("%d pairs differ", differ)
	}
	if refused > len(pairs)*3/4 {
		t.Errorf("the tool refused %d of %d pairs: the test says little", refused, len(pairs))
	}
}

// needFile skips, or fails where everything has to be there, without a file of
// a Debian package.
func needFile(t *testing.T, path, pkg string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	if os.Getenv("REQUIRE_RUNTIMES") == "1" {
		t.Fatalf("%s is missing: install %s", path, pkg)
	}
	t.Skipf("%s is missing: install %s", path, pkg)
}

// dpkgProgram asks dpkg's own library.
const dpkgProgram = `
#define LIBDPKG_VOLATILE_API
#include <stdio.h>
#include <string.h>
#include <dpkg/dpkg.h>
#include <dpkg/dpkg-db.h>
int main(void) {
	char a[2048], b[2048];
	while (scanf("%2047s %2047s", a, b) == 2) {
		struct dpkg_version x, y;
		struct dpkg_error e = DPKG_ERROR_INIT;
		memset(&x, 0, sizeof x);
		memset(&y, 0, sizeof y);
		if (parseversion(&x, a, &e) != 0 || parseversion(&y, b, &e) != 0) {
			puts("!");
			continue;
		}
		int c = dpkg_version_compare(&x, &y);
		puts(c < 0 ? "-1" : c > 0 ? "1" : "0");
	}
	return 0;
}
`

func TestDpkgOracle(t *testing.T) {
	gcc := need(t, "gcc")
	needFile(t, "/usr/include/dpkg/version.h", "libdpkg-dev")
	dir := t.TempDir()
	src, bin := filepath.Join(dir, "v.c"), filepath.Join(dir, "v")
	if err := os.WriteFile(src, []byte(dpkgProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, "-O2", "-o", bin, src, "-ldpkg", "-lmd").CombinedOutput(); err != nil {
		t.Fatalf("compile: %v: %s", err, out)
	}
	oracle{
		ecosystem: "Debian:12",
		known: []string{"2.36-9+deb12u8", "1:9.2p1-2+deb12u3", "3.0.15-1~deb12u1", "6.1.106-3", "1.36.1-9+deb12u1", "20230311+deb12u1",
			"7.88.1-10+deb12u12", "5.2.15-2+b7", "2:1.02.185-2", "0.17029-2", "4.19.0-5~bpo11+1", "1.18.0+really1.17.3-1", "0~20171227.1-1", "2.31-0ubuntu9.16"},
		pieces: []string{"0", "1", "9", "10", "01", "a", "z", "A", "~", "+", ".", "-", "rc", "dfsg", "~deb12u1", "+b1", "1:", "~~"},
		start:  func(*testing.T) *exec.Cmd { return exec.Command(bin) },
		// strtol takes a sign before an epoch, deb-version(7) does not.
		valid: func(v string) bool { return v[0] != '+' },
	}.run(t)
}

// dpkg as people call it says the same as its library.
func TestDpkgCommand(t *testing.T) {
	dpkg := need(t, "dpkg")
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"0", "1", "9", "10", "01", "a", "z", "A", "~", "+", ".", "-", "rc", "dfsg", "~deb12u1", "+b1"}
	for range 200 {
		a, b := "1"+random(r, pieces, 5), "1"+random(r, pieces, 5)
		if strings.HasSuffix(a, "-") || strings.HasSuffix(b, "-") {
			continue // dpkg takes no empty revision
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

// python runs a script with Debian's Python, whose modules are the packages
// that a test asks for.
func python(script string) *exec.Cmd { return exec.Command("/usr/bin/python3", "-c", script) }

// rpmScript takes versions apart as rpm does where it reads dependencies: the
// digits before the first colon are the epoch, what follows the last dash is
// the release.
const rpmScript = `
import rpm, sys
def split(s):
    e, sep, rest = s.partition(':')
    if not sep or not e.isdigit():
        e, rest = '0', s
    v, sep, r = rest.rpartition('-')
    return (e, v, r) if sep else (e, rest, None)
out = []
for line in sys.stdin:
    a, b = line.split()
    try:
        out.append(str(rpm.labelCompare(split(a), split(b))))
    except ValueError:
        out.append('!')
print('\n'.join(out))
`

var rpmKnown = []string{"4.18.2-25.el8_6", "1:1.1.1k-12.el8_9", "2.28-251.el8_10.5", "0:3.0.7-27.el9", "5.14.0-427.13.1.el9_4", "1.24.0-1.module_el8.10.0+3830+9d86ff0b",
	"2:8.2.2637-21.el9", "3.9.18-3.el9_4.6", "10.33-16.oe2203sp3", "1.2~rc1-1", "1.0^git20240101-2.fc40", "5.0.7-1.amzn2023.0.2", "2.06-5.h12.eulerosv2r12", "1.31.1-150500.10.3.1", "8.0.30-1.ph5"}

func TestRPMOracle(t *testing.T) {
	if _, err := os.Stat("/usr/bin/python3"); err != nil || python("import rpm").Run() != nil {
		needFile(t, "/usr/lib/python3/dist-packages/rpm", "python3-rpm")
	}
	for _, eco := range []string{"AlmaLinux:9", "openEuler:22.03-LTS", "SUSE:Linux Enterprise Server 15 SP5"} {
		t.Run(eco, func(t *testing.T) {
			oracle{
				ecosystem: eco,
				known:     rpmKnown,
				pieces:    []string{"0", "1", "9", "10", "01", "a", "z", "Z", "~", "^", ".", "-", "_", "rc", "el9", "module_el8", "1:", "+", "~~", "^^"},
				start:     func(*testing.T) *exec.Cmd { return python(rpmScript) },
			}.run(t)
		})
	}
}

// rpmvercmp itself, which compares one part of a version.
func TestRPMVercmp(t *testing.T) {
	rpm := need(t, "rpm")
	r := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"0", "1", "9", "10", "01", "a", "z", "Z", "~", "^", ".", "_", "rc", "el9", "module_el8"}
	var script strings.Builder
	var pairs [][2]string
	for range 300 {
		p := [2]string{"1" + random(r, pieces, 6), "1" + random(r, pieces, 6)}
		pairs = append(pairs, p)
		fmt.Fprintf(&script, "print(rpm.vercmp('%s','%s') .. '\\n') ", p[0], p[1])
	}
	out, err := exec.Command(rpm, "--eval", "%{lua: "+script.String()+"}").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(out))
	if len(got) != len(pairs) {
		t.Fatalf("rpm answered %d of %d", len(got), len(pairs))
	}
	for i, p := range pairs {
		if c, err := Compare("AlmaLinux:9", p[0], p[1]); err != nil || fmt.Sprint(c) != got[i] {
			t.Errorf("%s against %s: got %d, %v, rpm says %s", p[0], p[1], c, err, got[i])
		}
	}
}

const pypiScript = `
import sys
from packaging.version import Version, InvalidVersion
out = []
for line in sys.stdin:
    try:
        a, b = (Version(v) for v in line.split())
        out.append('-1' if a < b else '1' if a > b else '0')
    except InvalidVersion:
        out.append('!')
print('\n'.join(out))
`

func TestPyPIOracle(t *testing.T) {
	needFile(t, "/usr/lib/python3/dist-packages/packaging", "python3-packaging")
	oracle{
		ecosystem: "PyPI",
		known:     []string{"1.0", "1.0.0", "2.31.0", "1.0rc1", "1.0.dev3", "1.0.post1", "1!2.0", "1.0a1.dev2", "2024.2.2", "1.26.4+cu118", "0.0.1b2", "v1.0", "1.0-1", "1.0.0-alpha.1", "3.11.0rc2"},
		pieces:    []string{"0", "1", "9", "10", "01", ".", "a", "b", "rc", ".dev", ".post", "!", "+", "-", "_", "alpha", "local", "1!", "+abc.1", "c", "pre", "rev", "dev0", "post0"},
		start:     func(*testing.T) *exec.Cmd { return python(pypiScript) },
	}.run(t)
}

// golang.org/x/mod is what the go command itself compares with.
func TestGoOracle(t *testing.T) {
	o := oracle{
		known: []string{"1.2.3", "0.0.0-20210220032951-036812b2e83c", "2.0.0+incompatible", "1.0.0-rc.1", "1.17.0-alpha.0", "0.14.2", "1.9.1-0.20240101000000-abcdefabcdef",
			"1.2.3-pre.0.20240101000000-abcdefabcdef"},
		pieces: []string{"0", "1", "9", "10", ".", "-", "+", "alpha", "beta", "rc", ".0", ".1", "-rc.1", "+incompatible", "a", "A", "-0"},
		valid:  func(v string) bool { return semver.IsValid("v"+v) && strings.Count(v, ".") >= 2 },
	}
	for _, p := range o.pairs(rand.New(rand.NewPCG(7, 8)), pairsWanted()) {
		want := semver.Compare("v"+p[0], "v"+p[1])
		for _, prefix := range []string{"", "v"} {
			if got, err := Compare("Go", prefix+p[0], prefix+p[1]); err != nil || got != want {
				t.Fatalf("%s against %s: got %d, %v, x/mod says %d", p[0], p[1], got, err, want)
			}
		}
	}
}

const gemScript = `
out = []
STDIN.each_line do |line|
  a, b = line.split
  if Gem::Version.correct?(a) && Gem::Version.correct?(b)
    out << (Gem::Version.new(a) <=> Gem::Version.new(b)).to_s
  else
    out << "!"
  end
end
puts out
`

func TestRubyGemsOracle(t *testing.T) {
	ruby := need(t, "ruby")
	oracle{
		ecosystem: "RubyGems",
		known:     []string{"1.0", "1.0.0", "7.0.8.4", "2.0.0.rc1", "1.0.0.pre", "3.2.0.beta.2", "1.15.6", "5.2.8.15", "0.0.0", "1.a.2", "1.0.0-1", "2.3.4-x86"},
		pieces:    []string{"0", "1", "9", "10", "01", ".", "a", "b", "rc", "pre", ".pre", "-", "beta", ".0", "Z"},
		start:     func(*testing.T) *exec.Cmd { return exec.Command(ruby, "-e", gemScript) },
	}.run(t)
}

const npmScript = `
const semver = require(process.argv[1]);
const lines = require('fs').readFileSync(0, 'utf8').split('\n');
const out = [];
for (const line of lines) {
  if (!line) continue;
  const [a, b] = line.split(' ');
  out.push(semver.valid(a) && semver.valid(b) ? String(semver.compare(a, b)) : '!');
}
console.log(out.join('\n'));
`

func TestNPMOracle(t *testing.T) {
	node := need(t, "node")
	npm, err := filepath.EvalSymlinks(need(t, "npm"))
	if err != nil {
		t.Fatal(err)
	}
	// Where Debian puts the package, and where npm brings its own.
	lib := ""
	for _, at := range []string{"/usr/share/nodejs/semver", filepath.Join(filepath.Dir(filepath.Dir(npm)), "node_modules", "semver")} {
		if _, err := os.Stat(at); err == nil {
			lib = at
		}
	}
	if lib == "" {
		t.Fatal("npm is there without its package semver")
	}
	oracle{
		ecosystem: "npm",
		known:     []string{"1.0.0", "4.17.21", "2.0.0-rc.1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.11", "3.0.0-next.5+build.7", "0.0.1", "10.0.0", "v1.2.3", "1.0.0--", "1.0.0-0"},
		pieces:    []string{"0", "1", "9", "10", ".", "-", "+", "alpha", "beta", "rc", ".0", ".1", "-rc.1", "+b1", "a", "A", "-0"},
		start:     func(*testing.T) *exec.Cmd { return exec.Command(node, "-e", npmScript, lib) },
	}.run(t)
}

const composerScript = `
require '/usr/share/php/Composer/Semver/autoload.php';
$p = new Composer\Semver\VersionParser;
$out = [];
while (($line = fgets(STDIN)) !== false) {
  [$a, $b] = explode(' ', trim($line));
  try {
    $a = $p->normalize($a);
    $b = $p->normalize($b);
    $out[] = (string) version_compare($a, $b);
  } catch (UnexpectedValueException $e) {
    $out[] = '!';
  }
}
echo implode("\n", $out), "\n";
`

func TestPackagistOracle(t *testing.T) {
	php := need(t, "php")
	needFile(t, "/usr/share/php/Composer/Semver/autoload.php", "php-composer-semver")
	oracle{
		ecosystem: "Packagist",
		known:     []string{"1.0", "1.0.0", "v2.3.4", "8.1.0-beta2", "1.0.0-RC1", "1.0.0-alpha", "1.0.0-patch1", "2.0.0.1", "5.4.45", "1.0.0-p1", "0.1"},
		pieces:    []string{"0", "1", "9", "10", ".", "-", "alpha", "beta", "RC", "rc", "-beta1", "patch", "p1", "a1", "b2", ".0"},
		start:     func(*testing.T) *exec.Cmd { return exec.Command(php, "-r", composerScript) },
		// Branches are no versions that are installed.
		valid: func(v string) bool { return !strings.Contains(v, "dev") },
	}.run(t)
}

// mavenJar is where Debian's package libmaven3-core-java has Maven's own
// ComparableVersion, which can be run.
const mavenJar = "/usr/share/java/maven3-artifact.jar"

// askMaven holds each version against the one behind it.
func askMaven(t *testing.T, java string, versions []string) (said []string) {
	t.Helper()
	var args strings.Builder
	fmt.Fprintf(&args, "-cp %s org.apache.maven.artifact.versioning.ComparableVersion\n", mavenJar)
	for _, v := range versions {
		fmt.Fprintf(&args, "%q\n", v)
	}
	file := filepath.Join(t.TempDir(), "args") // more than a command line takes
	if err := os.WriteFile(file, []byte(args.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	// The class writes two lines a version; the quick compiler saves more than
	// the slow one gains.
	cmd := exec.Command(java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "@"+file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", java, err, stderr.Bytes())
	}
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "   ") {
			continue // how it reads one version
		}
		part := strings.Fields(line)
		i := len(said)
		if len(part) != 3 || i+1 >= len(versions) || part[0] != versions[i] || part[2] != versions[i+1] {
			t.Fatalf("after %d answers Maven says %q", i, line)
		}
		said = append(said, strings.Replace(part[1], "==", "=", 1))
	}
	if len(said) != len(versions)-1 {
		t.Fatalf("Maven answered %d of %d: %s", len(said), len(versions)-1, stderr.Bytes())
	}
	return said
}

func TestMavenOracle(t *testing.T) {
	java := need(t, "java")
	needFile(t, mavenJar, "libmaven3-core-java")
	o := oracle{
		known: []string{"1.0", "1.0.0", "2.17.1", "5.3.20.RELEASE", "5.0.0.Final", "4.1.0.Beta5", "1.5.9.RC1", "1.5.9-RC1", "1.0-SNAPSHOT", "1.2.8.sec10_noneautotype", "31.1-jre",
			"1.0.0-alpha-2", "1.0-beta9", "9.4.43.v20210629", "1.0.1.redhat-00001", "1.0.0.CR2", "2.0-m3", "1-ga-1", "1.0.sp1-redhat-1", "2.3.0-20240101.123456-7", "1.1.0-01-glassfish", "1.0.0.20200101000000000001"},
		pieces: []string{"0", "1", "9", "10", "01", ".", "-", "_", "a", "b", "m", "alpha", "beta", "milestone", "rc", "cr", "RC", "snapshot", "ga", "final", "release", "sp", "x", "v", "jre", "+", ".0", "-0", "-1", ".RC1"},
	}
	const seed = 20261127
	var versions []string
	for _, p := range o.pairs(rand.New(rand.NewPCG(seed, 9)), pairsWanted()) {
		versions = append(versions, p[0], p[1])
	}
	for _, d := range fixtureDisputed["Maven"] {
		versions = append(versions, d.a, d.b)
	}
	// Every other answer is for a pair; those between hold two that have
	// nothing to do with each other.
	said := askMaven(t, java, versions)
	differ := 0
	for i, op := range said {
		got, err := Compare("Maven", versions[i], versions[i+1])
		if err != nil || got != operators[op] {
			if differ++; differ <= 20 {
				t.Errorf("%s against %s: got %d, %v, Maven says %s", versions[i], versions[i+1], got, err, op)
			}
		}
	}
	t.Logf("%d pairs, %d differ (seed %d)", len(said), differ, seed)
	if differ > 0 {
		t.Errorf("%d pairs differ", differ)
	}
	at := len(versions) - 2*len(fixtureDisputed["Maven"])
	for i, d := range fixtureDisputed["Maven"] {
		if op := said[at+2*i]; op != d.tool {
			t.Errorf("%s against %s: Maven says %s, the table of disputed pairs %s", d.a, d.b, op, d.tool)
		}
	}
}

// apk compares what is installed with what a repository offers: one run
// answers for as many packages as there are pairs.
func TestAPKOracle(t *testing.T) {
	data := shareddata.Dir(t)
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("the Alpine images at hand are for linux/amd64")
	}
	for _, image := range []string{"3.10.9", "3.20.3"} {
		t.Run(image, func(t *testing.T) {
			apk := unpackAPK(t, filepath.Join(data, "images", "alpine-minirootfs-"+image+"-x86_64.tar.gz"))
			r := rand.New(rand.NewPCG(5, 6))
			one := func(a, b string) string {
				out, err := apk("version", "-t", a, b)
				if err != nil {
					t.Fatal(err)
				}
				op := strings.TrimSpace(out)
				compareAPKWith(t, [2]string{a, b}, op)
				return op
			}
			one("2.9-r1", "2.9.0-r0")
			one("1.2.3", "1.2.3-r0")
			for _, d := range fixtureDisputed["Alpine"] {
				if op := one(d.a, d.b); op != d.tool {
					t.Errorf("%s against %s: apk says %s, the table of disputed pairs %s", d.a, d.b, op, d.tool)
				}
			}
			for _, v := range []string{"1-ruff", "1--ruff1", "1.2_blah", "1.2.0A", "1-r-0"} {
				if out, err := apk("version", "--check", v); err == nil {
					t.Errorf("apk takes %s for a version: %s", v, out)
				}
			}
			var pairs [][2]string
			// apk-tools 2.14 answers every other one only.
			for len(pairs) < 2*pairsWanted() {
				a := randomAPK(r)
				b := randomAPK(r)
				if r.IntN(2) == 0 {
					b = mutate(r, a, []string{"0", "1", ".", "_p", "_rc1", "-r1", "a"})
				}
				if image == "3.10.9" && (apkZeroSuffix.MatchString(a) || apkZeroSuffix.MatchString(b)) {
					continue // apk-tools 2.10 has "1.0_rc1" for newer than "1.0"; 2.14 does not
				}
				if apkVersion.MatchString(b) {
					pairs = append(pairs, [2]string{a, b})
				}
			}
			said := askAPK(t, apk, pairs)
			t.Logf("%d pairs, %d of them answered", len(pairs), len(said))
			if len(said) < len(pairs)/2 {
				t.Errorf("apk answered %d of %d", len(said), len(pairs))
			}
			for i, op := range said {
				compareAPKWith(t, pairs[i], op)
			}
		})
	}
}

// apkVersion is the grammar of apk-package(5), without a commit hash. What is
// outside of it apk-tools orders in no sensible way.
var apkVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*[a-z]?(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]*)*(-r[0-9]+)?$`)

var apkZeroSuffix = regexp.MustCompile(`(^|\.)0+_`)

func compareAPKWith(t *testing.T, p [2]string, op string) {
	t.Helper()
	want, ok := operators[op]
	if !ok {
		t.Fatalf("apk says %q", op)
	}
	if got, err := Compare("Alpine:v3.20", p[0], p[1]); err != nil || got != want {
		t.Errorf("%s against %s: got %d, %v, apk says %s", p[0], p[1], got, err, op)
	}
}

// askAPK installs the first of each pair and offers the second. It returns what
// apk says of each pair that it takes for versions.
func askAPK(t *testing.T, apk func(args ...string) (string, error), pairs [][2]string) map[int]string {
	t.Helper()
	root, repo := t.TempDir(), t.TempDir()
	list := func(side int) []byte {
		var b bytes.Buffer
		for i, p := range pairs {
			sum := sha1.Sum(fmt.Appendf(nil, "%d %d", side, i))
			fmt.Fprintf(&b, "C:Q1%s\nP:p%d\nV:%s\nA:x86_64\nS:1\nI:1\nT:x\nU:x\nL:MIT\n\n", base64.StdEncoding.EncodeToString(sum[:]), i, p[side])
		}
		return b.Bytes()
	}
	var index bytes.Buffer
	gz := gzip.NewWriter(&index)
	tw := tar.NewWriter(gz)
	for _, f := range []struct {
		name string
		body []byte
	}{{"DESCRIPTION", []byte("x")}, {"APKINDEX", list(1)}} {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.body))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string][]byte{
		filepath.Join(repo, "x86_64", "APKINDEX.tar.gz"): index.Bytes(),
		filepath.Join(root, "lib/apk/db/installed"):      list(0),
		filepath.Join(root, "etc/apk/world"):             nil,
		filepath.Join(root, "etc/apk/arch"):              []byte("x86_64\n"),
		filepath.Join(root, "etc/apk/repositories"):      nil,
		filepath.Join(root, "var/cache/apk/.keep"):       nil,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := apk("version", "-p", root, "-X", repo, "--no-network", "--allow-untrusted", "-v", "-l", "<=>")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	said := map[int]string{}
	for line := range strings.Lines(out) {
		part := strings.Fields(line)
		if len(part) != 3 || !strings.HasPrefix(part[0], "p") {
			continue
		}
		number, installed, _ := strings.Cut(part[0][1:], "-")
		i, err := strconv.Atoi(number)
		if err != nil || i >= len(pairs) {
			t.Fatalf("apk says %q", line)
		}
		// What it would not take it shows as something else.
		if installed == pairs[i][0] && part[2] == pairs[i][1] {
			said[i] = part[1]
		}
	}
	return said
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
