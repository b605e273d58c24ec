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

// Malformed versions on which the fixture follows a later apk-tools than the
// 2.10 and 2.14 of the Alpine releases at hand; TestAPKOracle asks those.
var fixtureDisputed = map[string]bool{
	"0.r1 < 0r2": true, "0.8.21.r2 < 0.8.21r2": true,
	"1 > 1-ruff": true, "1-ruff2 = 1--ruff1": true,
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
		t.Run(filepath.Base(h.Name), func(t *testing.T) { pairs += runFixture(t, eco, tr) })
	}
	if files != 19 || pairs < 71000 {
		t.Errorf("ran %d pairs of %d files: the fixture is not what it was", pairs, files)
	}
}

func runFixture(t *testing.T, eco string, r io.Reader) (pairs int) {
	wants := map[string]int{"<": -1, "=": 0, ">": 1}
	for sc := bufio.NewScanner(r); sc.Scan(); {
		line := sc.Text()
		part := strings.Fields(line)
		if len(part) != 3 || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") {
			continue
		}
		pairs++
		if fixtureDisputed[strings.Join(part, " ")] {
			continue
		}
		a, b := part[0], part[2]
		want := wants[part[1]]
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
