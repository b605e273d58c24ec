package version

import (
	"testing"

	"pgregory.net/rapid"
)

// Versions as every tool takes them, by ecosystem. What a tool refuses has no
// order to keep.
var lawfulVersions = map[string]string{
	"Debian":    `([0-2]:)?[0-9]{1,2}([.~+-]?([0-9]{1,2}|rc|a|dfsg)){0,5}`,
	"AlmaLinux": `([0-2]:)?[0-9]{1,2}([.~^+_-]?([0-9]{1,2}|rc|a|el9)){0,5}`,
	"Alpine":    `[0-9]{1,2}(\.[0-9]{1,3}){0,3}[a-c]?(_(alpha|beta|rc|p|git)[0-9]?){0,2}(-r[0-9])?`,
	"Go":        `v?[0-9]\.[0-9]\.[0-9]{1,2}(-[0-9a-b-]{1,3}(\.(0|[1-9][0-9]?|-1|a)){0,2})?(\+incompatible)?`,
	"npm":       `[0-9]\.[0-9]\.[0-9]{1,2}(-[0-9a-b-]{1,3}(\.(0|[1-9][0-9]?|-1|a)){0,2})?`,
	"NuGet":     `[0-9](\.[0-9]{1,2}){1,3}(-[0-9a-bA-B-]{1,3}(\.(0|[1-9]|-1|a)){0,2})?`,
	"Pub":       `[0-9]\.[0-9]\.[0-9](-[a-b](\.(0|[1-9]|-1|0x1|a)){0,2})?(\+([0-9]{1,2}|a|0x1f)(\.(0|1|a))?)?`,
	"Bitnami":   `[0-9]\.[0-9]\.[0-9]{1,2}-[0-9]{1,2}`,
	"PyPI":      `([01]!)?[0-9](\.[0-9]{1,2}){0,3}((a|b|rc)[0-9])?(\.post[0-9])?(\.dev[0-9])?(\+[a-b0-9](\.[a-b0-9])?)?`,
	"Maven":     `[0-9](\.[0-9]{1,2}){0,2}([.-](alpha|beta|rc|sp|ga|final|x|v|[0-9])[0-9]?){0,3}`,
	"RubyGems":  `[0-9](\.[0-9]{1,2}){0,3}([.-](pre|rc|a|[0-9])[0-9]?){0,3}`,
	"Packagist": `v?[0-9](\.[0-9]{1,2}){0,3}(-(alpha|beta|RC|p|dev|stable)[0-9]?)?`,
	"CRAN":      `[0-9]([.-][0-9]{1,2}){1,3}`,
	"Hackage":   `[0-9](\.[0-9]{1,2}){0,3}`,
}

// A range is only right if the order it stands on is one.
func TestCompareIsAnOrder(t *testing.T) {
	for eco, form := range lawfulVersions {
		t.Run(eco, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				v := rapid.StringMatching(form)
				x := [3]string{v.Draw(t, "a"), v.Draw(t, "b"), v.Draw(t, "c")}
				var c [3][3]int
				for i := range x {
					for j := range x {
						got, err := Compare(eco, x[i], x[j])
						if err != nil {
							t.Fatal(err)
						}
						c[i][j] = got
					}
				}
				for i := range x {
					if c[i][i] != 0 {
						t.Fatalf("%s is not equal to itself", x[i])
					}
					for j := range x {
						if c[i][j] != -c[j][i] {
							t.Fatalf("%s against %s: %d, the other way %d", x[i], x[j], c[i][j], c[j][i])
						}
						for k := range x {
							if c[i][j] <= 0 && c[j][k] <= 0 && c[i][k] > 0 {
								t.Fatalf("%s <= %s <= %s, but not %s <= %s", x[i], x[j], x[k], x[i], x[k])
							}
						}
					}
				}
			})
		})
	}
}

// Versions come from hostile files: none panics, in any ecosystem.
func FuzzCompare(f *testing.F) {
	f.Add("1:2.0~rc1-1", "2.0-alpha.-1+x")
	f.Add("", "-")
	f.Add("1.2.3.#", "~^._r\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		for eco := range lawfulVersions {
			ab, errA := Compare(eco, a, b)
			ba, errB := Compare(eco, b, a)
			if (errA == nil) != (errB == nil) || errA == nil && (ab != -ba || ab < -1 || ab > 1) {
				t.Errorf("%s: %q against %q: %d, %v, the other way %d, %v", eco, a, b, ab, errA, ba, errB)
			}
		}
	})
}
