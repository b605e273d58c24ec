package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKeysFilter compares the hosts and containers that a key selects with what
// a naive filter selects, for every combination of its members.
func TestKeysFilter(t *testing.T) { onEngines(t, testKeysFilter) }

func testKeysFilter(t *testing.T) {
	w, _, _ := affectedWorld(t)
	agents := map[string]string{} // by host
	hosts, _, err := w.Hosts(t.Context(), w.project(), ImageKey{}, "", Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		agents[h.HostName] = h.AgentID
	}
	type row struct {
		host          string
		n             int // of the image
		name, version string
		containers    []string
	}
	rows := []row{
		{"a", 1, "web", "1", []string{"c1", "c2"}}, {"a", 1, "web", "one", []string{"c1", "c2"}}, {"a", 2, "web", "2", []string{"c3"}},
		{"b", 1, "web", "1", []string{"c5"}}, {"b", 3, "shop/api", "3", []string{"c4"}},
	}
	digests := map[string]int{"": 0, string(configDigest(1)): 1, strings.TrimPrefix(string(configDigest(2)), "sha256:"): 2, string(digest(1_000_003)): 3, "sha256:12": -1}
	for d, n := range digests {
		for _, name := range []string{"", "web", "we"} {
			for _, version := range []string{"", "1", "one", "3"} {
				for _, agent := range []string{"", agents["a"], agents["b"], "nobody"} {
					k := ImageKey{Digest: d, Name: name, Version: version, AgentID: agent}
					for _, more := range []string{"", "a", "c1", "x"} { // a part of a host's name, or a container
						var wantHosts, wantContainers []string
						for _, r := range rows {
							if n != 0 && n != r.n || name != "" && name != r.name || version != "" && version != r.version || agent != "" && agent != agents[r.host] {
								continue
							}
							if strings.Contains(r.host, more) {
								wantHosts = append(wantHosts, r.host)
							}
							for _, c := range r.containers {
								if more == "" || more == c {
									wantContainers = append(wantContainers, c)
								}
							}
						}
						var gotHosts, gotContainers []string
						hosts, hostNum, err := w.Hosts(t.Context(), w.project(), k, more, Page{Limit: 10})
						if err != nil {
							t.Fatal(err)
						}
						for _, h := range hosts {
							gotHosts = append(gotHosts, h.HostName)
						}
						containers, containerNum, err := w.Containers(t.Context(), w.project(), k, more, Page{Limit: 10})
						if err != nil {
							t.Fatal(err)
						}
						for _, c := range containers {
							gotContainers = append(gotContainers, c.ID)
						}
						name := fmt.Sprintf("%+v and %q", k, more)
						if d := cmp.Diff(distinctTexts(wantHosts), gotHosts); d != "" || hostNum != int64(len(gotHosts)) {
							t.Errorf("hosts of %s: %d, %s", name, hostNum, d)
						}
						if d := cmp.Diff(distinctTexts(wantContainers), gotContainers); d != "" || containerNum != int64(len(gotContainers)) {
							t.Errorf("containers of %s: %d, %s", name, containerNum, d)
						}
					}
				}
			}
		}
	}
}

func distinctTexts(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
