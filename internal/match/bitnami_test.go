package match

import "testing"

func TestBitnamiVersion(t *testing.T) {
	for v, want := range map[string]string{
		"1.25.3-0": "1.25.3", "17.2.0-12": "17.2.0", "1.0.0-rc1-0": "1.0.0-rc1", "1.0.0-rc1": "1.0.0-rc1", "1.0": "1.0", "-1": "-1", "1-": "1-",
	} {
		if got := bitnamiVersion(v); got != want {
			t.Errorf("%s: got %s, want %s", v, got, want)
		}
	}
}
