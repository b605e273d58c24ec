package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSeverities(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"critical", []string{"Critical"}},
		{"HIGH", []string{"Critical", "High"}},
		{"low", []string{"Critical", "High", "Medium", "Low"}},
		{"unknown", []string{"Critical", "High", "Medium", "Low", "Unknown"}},
		{"low,critical", []string{"Critical", "Low"}},
		{"high, high", []string{"High"}},
	} {
		t.Run(tc.in, func(t *testing.T) {
			got, err := parseSeverities(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []string{"urgent", "high,", ",", "high critical"} {
		if got, err := parseSeverities(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}
