package report

import (
	"encoding/json"
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
