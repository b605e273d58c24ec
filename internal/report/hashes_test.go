package report

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHashesRoundTrip(t *testing.T) {
	want := &LayerReport{DiffID: "x", Hides: Hashes{1, 2, 1 << 63}, Dirs: Hashes{}, Ownership: []Ownership{{Path: "/p", Owner: "deb:a", Files: Hashes{7}}}}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := &LayerReport{}
	if err := json.Unmarshal(b, got); err != nil {
		t.Fatal(err)
	}
	want.Dirs = nil // empty is left out
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{`"x"`, `"AAAA"`, `"AgAAAAAAAAABAAAAAAAAAA=="`, `[1]`} {
		var h Hashes
		if err := json.Unmarshal([]byte(bad), &h); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func FuzzHashes(f *testing.F) {
	good, err := Hashes{1, 2, 1 << 63}.MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("AgAAAAAAAAABAAAAAAAAAA==")) // not sorted
	f.Fuzz(func(t *testing.T, text []byte) {
		var h Hashes
		if h.UnmarshalText(text) != nil {
			return
		}
		for i := 1; i < len(h); i++ {
			if h[i-1] >= h[i] {
				t.Fatalf("%v is not sorted", h)
			}
		}
		again, err := h.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Hashes
		if err := back.UnmarshalText(again); err != nil || !slices.Equal(h, back) {
			t.Errorf("%v, then %v, %v", h, back, err)
		}
	})
}
