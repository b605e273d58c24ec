package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

// TestListsFollow compares lists that the index answers with what the database
// says of every image, while hosts, scans, the queue and a second server change
// the fleet.
func TestListsFollow(t *testing.T) { onEngines(t, testListsFollow) }

func testListsFollow(t *testing.T) {
	w := newWorld(t)
	other := &world{t: t, clk: w.clk, table: w.table, path: w.path, url: w.url, first: w.first}
	other.open()
	defer func() { _ = other.Store.Close() }()
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"web", "web-admin", "db", "Web", "ä/x"}
	images := func() (out []fleet.ImageState) {
		for n := range 1 + rng.IntN(12) {
			st := state(rng.IntN(30), ref(names[rng.IntN(len(names))], fmt.Sprint(rng.IntN(3))))
			if rng.IntN(3) == 0 {
				st.Names = append(st.Names, ref(names[rng.IntN(len(names))], "latest"))
			}
			for c := range rng.IntN(3) {
				st.Containers = append(st.Containers, image.Container{ID: fmt.Sprint("c", n, c), Name: fmt.Sprint("name", c), PodName: fmt.Sprint("pod", n), PodID: fmt.Sprint("p", n), Running: c == 0})
			}
			if !slices.ContainsFunc(out, func(o fleet.ImageState) bool { return o.ConfigDigest == st.ConfigDigest }) {
				out = append(out, st)
			}
		}
		return out
	}
	all := make([]int, 30)
	for i := range all {
		all[i] = i
	}
	a, b := w.agent("one", images()...), w.agent("two", images()...)
	yes, no, n, late := true, false, int64(3000), w.ms()+1_000_000
	filters := map[string]ImageFilter{
		"all": {}, "name": {Name: "web"}, "version": {Name: "web", Version: "1"}, "version alone": {Version: "1"}, "case": {Name: "Web"}, "none": {Name: "\x00"},
		"status": {Status: StatusSuccess}, "waiting": {Status: StatusWaiting}, "unscan": {Status: StatusUnscan}, "type": {LocalType: localOther}, "other type": {LocalType: localSWR},
		"size": {Size: &n}, "updated": {UpdatedFrom: new(int64), UpdatedTo: &n}, "scanned": {ScannedFrom: new(int64), ScannedTo: &late},
		"has vul": {HasVul: &yes}, "no vul": {HasVul: &no}, "has container": {HasContainer: &yes}, "no container": {HasContainer: &no},
		"host": {HostName: "on", HostIP: "10.0.0.7"}, "host id": {HostID: "id-two"}, "no host": {HostID: "x", PrivateIP: "y", PublicIP: "z"},
		"container": {ContainerName: "name1"}, "pod": {PodName: "pod1", PodID: "p1"}, "container id": {ContainerID: "c00"},
		"both": {HostID: "id-one", ContainerName: "name"}, "app": {AppName: "ssl"}, "declared": {AppName: "declared"}, "many": {Name: "b", Status: StatusSuccess, HasVul: &yes, AppName: "zlib"},
	}
	for round := range 12 {
		switch round % 6 {
		case 0:
			w.sync(a, 0, nil, images())
		case 1:
			if _, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
				t.Fatal(err)
			}
		case 2:
			w.work(a, all...)
		case 3:
			other.sync(b, 0, nil, images())
		case 4:
			other.scanAll(b, all...)
			// A statement of someone who does not know of revisions.
			if _, err := other.write.ExecContext(t.Context(), "UPDATE content SET vul_num = 0 WHERE id = (SELECT MIN(id) FROM content)"); err != nil {
				t.Fatal(err)
			}
		case 5:
			w.sync(b, 0, nil, []fleet.ImageState{})
		}
		for name, f := range filters {
			var want []string
			q, args := f.where(w.project()).query(sqlSelectImages)
			rows, err := w.read.QueryContext(t.Context(), q, args...)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var s selected
				if err := rows.Scan(&s.id, &s.content, &s.name, &s.version, &s.reason, &s.status); err != nil {
					t.Fatal(err)
				}
				want = append(want, s.id)
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			for who, st := range map[string]*Store{"one": w.Store, "other": other.Store} {
				var got []string
				for offset := int64(0); ; offset += 7 {
					page, total, err := st.Images(t.Context(), w.project(), f, Page{Offset: offset, Limit: 7})
					if err != nil || total != int64(len(want)) {
						t.Fatalf("round %d, %s, server %s: %d images, want %d: %v", round, name, who, total, len(want), err)
					}
					for _, i := range page {
						got = append(got, i.ID)
					}
					if len(page) < 7 {
						break
					}
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("round %d, %s, server %s: %s", round, name, who, d)
				}
			}
		}
	}
}
