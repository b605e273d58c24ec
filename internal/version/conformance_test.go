package version

import (
	"archive/tar"
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/test/shareddata"
)

// ecosystems of the fixture files, by the part of the name before "-versions".
var fixtureEcosystems = map[string]string{
	"alpine": "Alpine", "cran": "CRAN", "debian": "Debian", "hackage": "Hackage",
	"maven": "Maven", "nuget": "NuGet", "packagist": "Packagist", "pub": "Pub",
	"pypi": "PyPI", "redhat": "Red Hat", "rubygems": "RubyGems", "semver": "npm",
}

// operators are how fixtures and tools write an order.
var operators = map[string]int{"<": -1, "=": 0, ">": 1}

// A disputed pair is one on which the fixture contradicts the tool itself. What
// the tool says holds; TestMavenOracle and TestAPKOracle ask it.
type disputed struct {
	a, fixture, b string
	tool          string
}

// fixtureDisputed are all disputed pairs, by ecosystem. One that the fixture
// has no more, or that it no longer contradicts, fails TestConformance.
//
// For Maven the fixture follows the rule of 3.8.6 and before, by which a word
// behind a dot is less than anything behind a dash; "ga" in front of a number
// still opens a list in 3.8.7. For Alpine it follows apk-tools 3, to which both
// sides are no versions; to 2.10 and 2.14 of the images at hand they are.
var fixtureDisputed = map[string][]disputed{
	"Alpine": {
		{"0.r1", "<", "0r2", ">"},
		{"0.8.21.r2", "<", "0.8.21r2", ">"},
	},
	"Maven": {
		{"1-1", "=", "1-ga-1", ">"},
		{"1.0.0-RC16", "<", "1.0.0.RC8-beta", ">"},
		{"1.0.0-gradle-rework-beta3", "<", "1.0.0.RC7-3", ">"},
		{"2.9.0-1", "<", "2.9.0.RC1", ">"},
		{"6.1.12.rc5", "<", "6.1.12rc1", ">"},
		{"1.1.31.sec10", "<", "1.1.31_noneautotype", ">"},
		{"1.1.34.sec10", "<", "1.1.34_noneautotype", ">"},
		{"1.1.46.sec10", "<", "1.1.46_noneautotype", ">"},
		{"1.2.8.sec10_noneautotype", "<", "1.2.8_noneautotype", ">"},
		{"1.2.31.sec10", "<", "1.2.31_noneautotype", ">"},
		{"1.2.48.sec10", "<", "1.2.48_noneautotype", ">"},
		{"1.2.50.sec10", "<", "1.2.50_noneautotype", ">"},
		{"1.2.54.sec10", "<", "1.2.54_noneautotype", ">"},
		{"1.2.57.sec10", "<", "1.2.57_noneautotype", ">"},
		{"1.2.60.sec10", "<", "1.2.60_noneautotype", ">"},
		{"1.2.67.sec10", "<", "1.2.67_noneautotype", ">"},
		{"1.0.0rc0", "<", "1.0.beta8", ">"},
		{"1.5.9.RC1", "<", "1.5.9-RC0", ">"},
		{"1.1.0-01-glassfish", "<", "1.1.0.Beta1", ">"},
	},
}

func TestConformance(t *testing.T) {
	f, err := os.Open(filepath.Join(shareddata.Dir(t), "fixtures", "semantic-version-fixtures.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files, pairs := 0, 0
	seen := map[string]bool{}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name, _, ok := strings.Cut(filepath.Base(h.Name), "-versions")
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		eco := fixtureEcosystems[name]
		if eco == "" {
			t.Errorf("%s: no ecosystem", h.Name)
			continue
		}
		files++
		t.Run(filepath.Base(h.Name), func(t *testing.T) { pairs += runFixture(t, eco, tr, seen) })
	}
	if files != 19 || pairs < 71000 {
		t.Errorf("ran %d pairs of %d files: the fixture is not what it was", pairs, files)
	}
	for eco, list := range fixtureDisputed {
		for _, d := range list {
			if d.tool == d.fixture {
				t.Errorf("%s: %s against %s is not disputed", eco, d.a, d.b)
			}
			if !seen[eco+" "+d.a+" "+d.fixture+" "+d.b] {
				t.Errorf("%s: the fixture does not say %s %s %s any more", eco, d.a, d.fixture, d.b)
			}
		}
	}
}

// runFixture notes in seen which disputed pairs it met.
func runFixture(t *testing.T, eco string, r io.Reader, seen map[string]bool) (pairs int) {
	tool := map[string]string{}
	for _, d := range fixtureDisputed[eco] {
		tool[d.a+" "+d.fixture+" "+d.b] = d.tool
	}
	for sc := bufio.NewScanner(r); sc.Scan(); {
		line := sc.Text()
		part := strings.Fields(line)
		if len(part) != 3 || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") {
			continue
		}
		pairs++
		a, b := part[0], part[2]
		want := operators[part[1]]
		if op, ok := tool[strings.Join(part, " ")]; ok {
			seen[eco+" "+strings.Join(part, " ")] = true
			want = operators[op]
		}
		for _, dir := range []struct {
			a, b string
			want int
		}{{a, b, want}, {b, a, -want}} {
			got, err := Compare(eco, dir.a, dir.b)
			if err != nil {
				t.Errorf("%s against %s: %v", dir.a, dir.b, err)
			} else if got != dir.want {
				t.Errorf("%s against %s: got %d, want %d", dir.a, dir.b, got, dir.want)
			}
		}
	}
	return pairs
}
