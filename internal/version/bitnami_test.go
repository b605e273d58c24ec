package version

import "testing"

func TestBitnami(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"1.25.3-0", "1.25.3", 0},
		{"1.25.3-12", "1.25.3", 0}, // a fix in 1.25.3 is in every build of it
		{"1.25.2-9", "1.25.3", -1},
		{"1.25.3-0", "1.25.2", 1},
		{"1.81.0-0", "1.81.0-1", -1}, // fixed by a new build
		{"1.81.0-10", "1.81.0-9", 1},
		{"1.81.0-01", "1.81.0-1", 0},
		{"1.0.0-rc1-0", "1.0.0-0", -1},
		{"1.0.0-rc1-0", "1.0.0-rc1", 0},
		{"1.0.0-rc1", "1.0.0", -1},
		{"0", "1.0.0-0", -1},
	} {
		for _, swap := range []bool{false, true} {
			a, b, want := tc.a, tc.b, tc.want
			if swap {
				a, b, want = b, a, -want
			}
			if got, err := Compare("Bitnami", a, b); err != nil || got != want {
				t.Errorf("%s and %s: got %d, %v, want %d", a, b, got, err, want)
			}
		}
	}
}
