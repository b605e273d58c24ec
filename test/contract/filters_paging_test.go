package contract

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/store"
)

// TestPagingWhileWriting pages through lists as Terraform does while images are scanned,
// change their state and come: it ends, and each row that was there all the
// time comes once.
func TestPagingWhileWriting(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves engines out, PostgreSQL among them")
	}
	onDatabases(t, func(t *testing.T, url func(testing.TB) string) { pagingWhileWriting(t, newServerOn(t, url(t))) })
}

func pagingWhileWriting(t *testing.T, s *server) {
	hosts := s.fleetOf(rand.New(rand.NewPCG(1, 2)))
	client := s.client()
	lists := []listing{
		{op: "ListImageLocal", key: named("image_id")},
		{op: "ListContainerImages", key: named("image_id")},
		{op: "ListLocalImageContainers", key: named("container_id")},
		{op: "ListGlobalImageApps", base: members("image_type", "local"), key: named("image_id", "app_name", "app_path")},
		{op: "ListVulAffectImages", base: members("image_type", "local", "type", "linux_vul", "is_handled", false, "vul_id", openssl), key: named("image_id")},
		{op: "ListVulRepoImage", base: members("vul_id", openssl), key: named("image_name", "app_name", "version")},
		{op: "ListVulContainers", base: members("vul_id", openssl, "type", "linux_vul"), key: named("container_id")},
		{op: "ListImageBuildCommandRisksImages", base: members("image_type", "local", "rule_id", userRoot), key: named("image_id")},
	}
	a := &asker{client: client}
	was := make([]map[string]bool, len(lists))
	for i, l := range lists {
		was[i] = map[string]bool{}
		for _, r := range a.all(t, l, l.base, 200) {
			was[i][l.name(r)] = true
		}
		if len(was[i]) < 2 {
			t.Fatalf("%s has %d rows", l.op, len(was[i]))
		}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	writes := 0
	go func() {
		defer close(done)
		for ; ; writes++ {
			select {
			case <-stop:
				return
			default:
			}
			// Beyond the end of the list, which is by name.
			hosts[0].images = append(hosts[0].images, fleet.ImageState{Engine: "docker", ConfigDigest: configDigest(5000 + writes), Size: 1, CreatedMS: 1,
				Names: []image.Ref{{Name: "\u9fff" + strings.Repeat("z", 9), Tag: fmt.Sprint(writes)}}})
			if _, err := s.syncHost(hosts[0]); err != nil {
				t.Error(err)
				return
			}
			if _, err := s.store.Scan(t.Context(), s.first.Project.ID, store.ScanRequest{TaskType: store.TaskManual, Scope: 0x7fffffff,
				List: []store.ScanImage{{Digest: string(configDigest(1000 + writes%fleetImages))}}}); err != nil {
				continue // one that no host holds, or that is queued
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	for range 2 {
		for i, l := range lists {
			for _, limit := range []int{10, 200} {
				seen := map[string]int{}
				for _, r := range a.walk(t, l, limit) {
					seen[l.name(r)]++
				}
				for id := range was[i] {
					if seen[id] != 1 {
						t.Errorf("%s, limit %d: %s comes %d times", l.op, limit, id, seen[id])
					}
				}
			}
		}
	}
	close(stop)
	<-done
	if writes == 0 {
		t.Error("nothing was written")
	}
	t.Logf("%d writes", writes)
}

// walk pages through a list that others change.
func (a *asker) walk(t *testing.T, l listing, limit int) (rows []row) {
	t.Helper()
	for {
		page := terms{"limit": limit, "offset": len(rows)}
		maps.Copy(page, l.base)
		more, _, err := a.ask(l, page)
		if err != nil {
			t.Fatalf("%s %v: %v", l.op, page, err)
		}
		if len(more) == 0 {
			return rows
		}
		rows = append(rows, more...)
	}
}
