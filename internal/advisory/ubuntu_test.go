package advisory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWithoutPro(t *testing.T) {
	entry := func(eco, name string, r Range) Affected {
		return Affected{ID: "UBUNTU-CVE-2024-0001", Ecosystem: eco, Name: name, Ranges: []Range{r}}
	}
	limited := entry("Ubuntu:20.04:LTS", "a", Range{Introduced: "0", Limit: "1+esm1"})
	limited.Note = "fixed with Ubuntu Pro in 1+esm1"
	for _, tc := range []struct {
		name string
		in   Affected
		also []Affected
		want []Affected // added
	}{
		{"fixed for subscribers", entry("Ubuntu:Pro:20.04:LTS", "a", Range{Introduced: "0", Fixed: "1+esm1"}), nil, []Affected{limited}},
		{"fixed for nobody", entry("Ubuntu:Pro:20.04:LTS", "a", Range{Introduced: "0"}), nil,
			[]Affected{entry("Ubuntu:20.04:LTS", "a", Range{Introduced: "0"})}},
		{"the release speaks for itself", entry("Ubuntu:Pro:20.04:LTS", "a", Range{Introduced: "0", Fixed: "1+esm1"}),
			[]Affected{entry("Ubuntu:20.04:LTS", "a", Range{Introduced: "0", Fixed: "1"})}, nil},
		{"another package does not", entry("Ubuntu:Pro:20.04:LTS", "a", Range{Introduced: "0", Fixed: "1+esm1"}),
			[]Affected{entry("Ubuntu:20.04:LTS", "b", Range{Introduced: "0", Fixed: "1"})}, []Affected{limited}},
		{"a product of its own", entry("Ubuntu:Pro:FIPS:20.04:LTS", "a", Range{Introduced: "0", Fixed: "1"}), nil, nil},
		{"no Pro", entry("Ubuntu:20.04:LTS", "a", Range{Introduced: "0", Fixed: "1"}), nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := append([]Affected{tc.in}, tc.also...)
			if diff := cmp.Diff(append(in[:len(in):len(in)], tc.want...), withoutPro(in)); diff != "" {
				t.Error(diff)
			}
			if r := in[0].Ranges[0]; r.Limit != "" {
				t.Error("the record itself was changed")
			}
		})
	}
}
