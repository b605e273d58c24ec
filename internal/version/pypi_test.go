package version

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestPyPIAsSemantic holds comparePyPI against osv-scalibr/semantic, which
// reads versions by the regular expression of PEP 440, on what people write
// with and without separators, in any case, and on what is nearly a version.
func TestPyPIAsSemantic(t *testing.T) {
	pieces := []string{
		"0", "1", "1.0", "1.2.3", "01.2", "1!2", "v1", "a", "b", "c", "rc", "alpha", "beta", "pre", "preview", "A1", "RC2", "post", "rev", "r",
		"dev", "Post3", "-1", "-", "_", ".", "+", "+ubuntu", "+1.a", "+0a", "10", "007", " ",
	}
	rng := rand.New(rand.NewPCG(4, 40))
	random := func() string {
		var b strings.Builder
		b.WriteString(pieces[rng.IntN(7)])
		for range rng.IntN(5) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		return b.String()
	}
	compared := 0
	for range 200_000 {
		a, b := random(), random()
		got, ok := comparePyPI(a, b)
		if !ok {
			continue
		}
		compared++
		want, err := compareSemantic("PyPI", a, b)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%q and %q: %d, want %d", a, b, got, want)
		}
	}
	if compared < 5_000 {
		t.Errorf("%d of 200,000 pairs are versions: too few", compared)
	}
}

// TestPyPIForms lists what is a version of Python, and what is not.
func TestPyPIForms(t *testing.T) {
	for _, s := range []string{"1", "1.0", "v1.0", " 1.0\n", "1!1.0", "1.0a", "1.0a.", "1.0-preview_4", "1.0-1", "1.0.post", "1.0r5", "1.0.dev", "1.0+a.1", "1.0A1.POST2.DEV3+L"} {
		if _, ok := parsePyPI(s); !ok {
			t.Errorf("%q is no version", s)
		}
	}
	for _, s := range []string{"", "a", "1.", "1..0", "1.0+", "1.0+a..b", "1.0+a.", "1.0_1", "1.0a1.", "1.0 a", "!1", "1.0devx", "1.0+ä"} {
		if v, ok := parsePyPI(s); ok {
			t.Errorf("%q is the version %+v", s, v)
		}
	}
}
