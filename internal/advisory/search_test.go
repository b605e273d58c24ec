package advisory

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSearch(t *testing.T) {
	dir := t.TempDir()
	writeZip(t, filepath.Join(dir, "a.zip"),
		[2]string{"a.json", `{"id":"DEBIAN-CVE-2026-1","modified":"2026-01-01T00:00:00Z","upstream":["CVE-2026-1"],"affected":[{"package":{"ecosystem":"Debian:12","name":"x"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}`},
		[2]string{"b.json", `{"id":"DEBIAN-CVE-2026-11","modified":"2026-01-01T00:00:00Z","upstream":["CVE-2026-11"],"affected":[{"package":{"ecosystem":"Debian:12","name":"y"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}`},
		[2]string{"c.json", `{"id":"GHSA-aaaa-bbbb-cccc","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2026-1"],"details":"not CVE-2026-11","affected":[{"package":{"ecosystem":"npm","name":"z"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`})
	db, _, _ := build(t, dir)
	for _, tc := range []struct {
		id       string
		records  []string
		concerns []Concern
	}{
		{"CVE-2026-1", []string{"DEBIAN-CVE-2026-1", "GHSA-aaaa-bbbb-cccc"}, []Concern{{"Debian:12", "x"}, {"npm", "z"}}},
		{"CVE-2026-11", []string{"DEBIAN-CVE-2026-11"}, []Concern{{"Debian:12", "y"}}},
		{"GHSA-aaaa-bbbb-cccc", []string{"GHSA-aaaa-bbbb-cccc"}, []Concern{{"npm", "z"}}},
		{"CVE-2026", nil, nil},
		{"", nil, nil},
	} {
		vs, err := db.Mentioning(context.Background(), tc.id)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		records := map[string]bool{}
		for _, v := range vs {
			ids = append(ids, v.ID)
			records[v.ID] = true
		}
		if diff := cmp.Diff(tc.records, ids); diff != "" {
			t.Errorf("%s: %s", tc.id, diff)
		}
		got, err := db.Concerned(context.Background(), records, tc.id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.concerns, got); diff != "" {
			t.Errorf("%s: %s", tc.id, diff)
		}
	}
}

// A search of the starter, which has thousands of entries, ends with its caller.
func TestSearchEndsWithItsCaller(t *testing.T) {
	db, err := OpenStarter(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := db.Mentioning(ctx, "CVE-2023-38545"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
