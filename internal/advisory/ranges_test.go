package advisory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	in, fix := func(v string) event { return event{Introduced: v} }, func(v string) event { return event{Fixed: v} }
	last, limit := func(v string) event { return event{LastAffected: v} }, func(v string) event { return event{Limit: v} }
	for _, tc := range []struct {
		name, eco string
		events    []event
		want      []Range
	}{
		{"fixed", "npm", []event{in("0"), fix("1.2.0")}, []Range{{Introduced: "0", Fixed: "1.2.0"}}},
		{"never fixed", "npm", []event{in("1.0.0")}, []Range{{Introduced: "1.0.0"}}},
		{"last affected", "npm", []event{in("0"), last("1.2.0")}, []Range{{Introduced: "0", LastAffected: "1.2.0"}}},
		{"limit is no fix", "npm", []event{in("0"), limit("2.0.0")}, []Range{{Introduced: "0", Limit: "2.0.0"}}},
		{"no limit", "npm", []event{in("0"), limit("*")}, []Range{{Introduced: "0"}}},
		{"branches, in any order", "npm", []event{fix("2.3.0"), in("2.0.0"), fix("1.2.0"), in("0")},
			[]Range{{Introduced: "0", Fixed: "1.2.0"}, {Introduced: "2.0.0", Fixed: "2.3.0"}}},
		{"introduced twice", "Go", []event{in("0"), in("1.5.0"), fix("1.7.0")}, []Range{{Introduced: "0", Fixed: "1.7.0"}}},
		{"fixed twice", "npm", []event{in("0"), fix("1.0.0"), fix("1.1.0")}, []Range{{Introduced: "0", Fixed: "1.0.0"}}},
		{"never affected", "Alpine:v3.18", []event{in("0"), fix("0")}, nil},
		{"one version", "npm", []event{in("1.1.0"), last("1.1.0")}, []Range{{Introduced: "1.1.0", LastAffected: "1.1.0"}}},
		{"affected again at the fix", "npm", []event{in("0"), fix("1.0.0"), in("1.0.0"), fix("1.1.0")},
			[]Range{{Introduced: "0", Fixed: "1.0.0"}, {Introduced: "1.0.0", Fixed: "1.1.0"}}},
		{"order of the ecosystem, not of text", "Debian:12", []event{in("1:1.0"), fix("1:1.10"), in("9.0"), fix("9.1")},
			[]Range{{Introduced: "9.0", Fixed: "9.1"}, {Introduced: "1:1.0", Fixed: "1:1.10"}}},
		{"nothing", "npm", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := split(tc.eco, tc.events)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := split("Debian:12", []event{in("0"), fix("x:1")}); err == nil {
		t.Error("a version that is none was taken")
	}
}

func TestContains(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    Range
		v    string
		want bool
		why  string
	}{
		{"inside", Range{Introduced: "1.0", Fixed: "2.0"}, "1.5", true, "1.5 < 2.0"},
		{"at the start", Range{Introduced: "1.0", Fixed: "2.0"}, "1.0", true, "1.0 < 2.0"},
		{"before", Range{Introduced: "1.0", Fixed: "2.0"}, "0.9", false, "0.9 < 1.0"},
		{"at the fix", Range{Introduced: "1.0", Fixed: "2.0"}, "2.0", false, "2.0 >= 2.0"},
		{"a tilde is before zero", Range{Introduced: "0", Fixed: "2.0"}, "0~rc1", true, "0~rc1 < 2.0"},
		{"at the last", Range{Introduced: "0", LastAffected: "2.0"}, "2.0", true, "2.0 <= 2.0"},
		{"after the last", Range{Introduced: "0", LastAffected: "2.0"}, "2.0-1", false, "2.0-1 > 2.0"},
		{"at the limit", Range{Introduced: "0", Limit: "2.0"}, "2.0", false, "2.0 >= 2.0"},
		{"no end", Range{Introduced: "1.0"}, "9", true, "9 >= 1.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, why, err := tc.r.Contains("Debian:12", tc.v)
			if err != nil || got != tc.want || why != tc.why {
				t.Errorf("got %t, %q, %v", got, why, err)
			}
		})
	}
}
