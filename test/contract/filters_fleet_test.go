package contract

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// A fleetHost is a host of a fleet and what it holds.
type fleetHost struct {
	host   fleet.Host
	key    auth.Key
	images []fleet.ImageState
}

const fleetImages = 60

// fleetOf puts three hosts with images, tags and containers beside those of
// the server; most are scanned.
func (s *server) fleetOf(r *rand.Rand) []*fleetHost {
	s.t.Helper()
	names := []string{"web", "shop/web", "Web", "api_1", "a%b", "数据库", "api"}
	var hosts []*fleetHost
	for h := range 3 {
		host := &fleetHost{host: fleet.Host{ID: fmt.Sprintf("fleet-host-%d", h), Name: []string{"node-10", "Node_2", "db-node-1"}[h],
			PrivateIP: fmt.Sprintf("10.0.0.%d", h), PublicIP: fmt.Sprintf("203.0.113.%d", h), OS: "linux", Arch: "amd64",
			Engines: []fleet.Engine{{Name: "docker", Version: "20.10"}}}}
		key, err := s.store.CreateEnrollKey(s.t.Context(), s.first.Project.ID, 1, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		resp, err := s.store.Enroll(s.t.Context(), fleet.EnrollRequest{EnrollKey: key, Host: host.host}, nowMS())
		if err != nil {
			s.t.Fatal(err)
		}
		if host.key, err = s.store.Key(s.t.Context(), resp.AccessKey); err != nil {
			s.t.Fatal(err)
		}
		for n := range fleetImages {
			if r.IntN(3) == 0 {
				continue
			}
			// An image is the same on each host, but for its containers.
			i := fleet.ImageState{Engine: "docker", ConfigDigest: configDigest(1000 + n), Size: int64(1 + n%7*500), CreatedMS: 1_700_000_000_000 + int64(n%9)*1_000_000,
				Names: []image.Ref{{Name: names[n%len(names)], Tag: fmt.Sprint(n / len(names))}}}
			for k := range r.IntN(3) {
				i.Containers = append(i.Containers, image.Container{ID: fmt.Sprintf("%064x", h*10_000+n*10+k), Name: fmt.Sprintf("Front_%d-%d", n%5, k),
					PodID: fmt.Sprintf("pod-%d", n%4), PodName: fmt.Sprintf("front%%%d", n%6), EntryPoint: "nginx", Running: r.IntN(2) == 0})
			}
			host.images = append(host.images, i)
		}
		if _, err := s.syncHost(host); err != nil {
			s.t.Fatal(err)
		}
		hosts = append(hosts, host)
	}
	var list []store.ScanImage
	for n := range fleetImages {
		if n%5 != 0 {
			list = append(list, store.ScanImage{Digest: string(configDigest(1000 + n))})
		}
	}
	if _, err := s.store.Scan(s.t.Context(), s.first.Project.ID, store.ScanRequest{TaskType: store.TaskManual, Scope: 0x7fffffff, List: list}); err != nil {
		s.t.Fatal(err)
	}
	s.workFleet(hosts)
	return hosts
}

func (s *server) syncHost(h *fleetHost) ([]fleet.Job, error) {
	resp, err := s.store.Sync(s.t.Context(), h.key, fleet.SyncRequest{Host: h.host, Analyzers: analyzers,
		ImagesHash: fmt.Sprint(len(h.images)), Images: &h.images, Want: 10}, nowMS())
	return resp.Jobs, err
}

// workFleet makes the hosts do what they are given until nothing is left.
func (s *server) workFleet(hosts []*fleetHost) {
	s.t.Helper()
	for idle := 0; idle < len(hosts); {
		for _, h := range hosts {
			jobs, err := s.syncHost(h)
			if err != nil {
				s.t.Fatal(err)
			}
			idle++
			for _, j := range jobs {
				idle = 0
				s.finishFleet(h, j)
			}
		}
	}
}

func (s *server) finishFleet(h *fleetHost, j fleet.Job) {
	s.t.Helper()
	for n := 1000; n < 1000+fleetImages; n++ {
		if configDigest(n) != j.ConfigDigest {
			continue
		}
		if err := s.store.PutLayer(s.t.Context(), fleetLayer(n)); err != nil {
			s.t.Fatal(err)
		}
		if err := s.store.Finish(s.t.Context(), h.key, j.ID, fleet.FinishRequest{Image: &fleet.ImageReport{ConfigDigest: j.ConfigDigest,
			Analyzers: analyzers, DiffIDs: []image.Digest{digest(n)}, Config: imageConfig(n)}}, nowMS()); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	s.t.Fatalf("unexpected job for %s", j.ConfigDigest)
}

// fleetLayer is one of four: nothing wrong, an old openssl, an unfixed zlib, an
// old requests.
func fleetLayer(n int) *report.LayerReport {
	l := layer(2)
	if n%4 > 0 {
		l = layer(1)
		db := &l.Databases[0]
		if n%4 == 1 {
			db.Packages = append(db.Packages[:1:1], db.Packages[2:]...)
			l.Packages = nil
		}
		if n%4 == 2 {
			db.Packages = db.Packages[:2:2]
		}
	}
	l.DiffID = string(digest(n))
	return l
}

// facts are rows of the database by the names of their columns.
func (d *database) facts(query string) []fact {
	d.t.Helper()
	var out []fact
	for _, s := range d.strings("SELECT json_object(" + query) {
		f := fact{}
		if err := json.Unmarshal([]byte(s), &f); err != nil {
			d.t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// TestFilters asks every list for each documented filter alone and in pairs,
// on a fleet, and on images with something of everything.
func TestFilters(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	s := newServer(t)
	s.fleetOf(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	db := openDatabase(t, s.dir)
	holders := db.facts(`'image_id', i.id, 'image_name', i.name, 'image_version', i.version, 'digest', c.config_digest, 'agent_id', a.id, 'host_id', a.host_id,
'host_name', a.host_name, 'private_ip', a.private_ip, 'public_ip', a.public_ip) FROM image_host h JOIN image i ON i.id = h.image_id JOIN content c ON c.id = i.content_id JOIN agent a ON a.id = h.agent_id`)
	containers := db.facts(`'image_id', i.id, 'image_name', i.name, 'image_version', i.version, 'digest', c.config_digest, 'agent_id', k.agent_id, 'container_id', k.container_id,
'container_name', k.name, 'pod_id', k.pod_id, 'pod_name', k.pod_name) FROM container k JOIN image i ON i.id = k.image_id JOIN content c ON c.id = i.content_id`)
	apps := map[string][]string{}
	client := s.client()
	for r := range rowsOf(t, client, "ListGlobalImageApps", members("image_type", "local_image")) {
		id := text(r["image_id"])
		apps[id] = append(apps[id], text(r["app_name"]))
	}
	types := typesOf(t, client)
	onFleet := append(fleetLists(holders, containers, apps), resultLists(s.imageID(web), openssl, types)...)
	for _, l := range onFleet {
		t.Run("fleet/"+l.op, func(t *testing.T) { l.check(t, client) })
	}

	sp, ops := readSpec(t)
	c := newConformer(t, sp, newHost(t, nil), "")
	types = typesOf(t, c.HssClient)
	image := c.known["image_id"].(string)
	onPlanted := append(resultLists(image, openssl, types), checkLists(image)...)
	for _, l := range onPlanted {
		t.Run("planted/"+l.op, func(t *testing.T) { l.check(t, c.HssClient) })
	}
	everyFilter(t, ops, append(onFleet, onPlanted...))
}

// everyFilter holds that each filter of each list is asked for, or stands among
// those that are not, with a reason.
func everyFilter(t *testing.T, ops []specOperation, lists []listing) {
	t.Helper()
	asked := map[string]bool{}
	for _, l := range lists {
		for name := range l.base {
			asked[l.op+" "+name] = true
		}
		for _, f := range l.filters {
			asked[l.op+" "+f.param] = true
		}
	}
	for _, op := range ops {
		if !op.built || op.method != "GET" || !strings.HasPrefix(op.ID, "List") || slices.Contains(op.Tags, "registry-images") {
			continue
		}
		for _, p := range op.Params {
			switch name := op.ID + " " + p.Name; {
			case p.In != "query" || p.Name == "limit" || p.Name == "offset" || p.Name == "enterprise_project_id":
			case !asked[name] && notAsked[name] == "" && notAsked[p.Name] == "":
				t.Errorf("%s: nothing asks for it", name)
			}
		}
	}
}

func typesOf(t *testing.T, client any) vulTypes {
	t.Helper()
	types := vulTypes{}
	for _, typ := range []string{"linux_vul", "app_vul"} {
		for r := range rowsOf(t, client, "ListGeneralImageVuls", members("image_type", "local", "handle_status", "unhandled", "type", typ)) {
			types[text(r["vul_id"])] = typ
		}
	}
	return types
}

// TestPagingWhileWriting pages through lists as Terraform does while images are scanned,
// change their state and come: it ends, and each image that was there all the
// time comes once.
func TestPagingWhileWriting(t *testing.T) {
	s := newServer(t)
	hosts := s.fleetOf(rand.New(rand.NewPCG(1, 2)))
	client := s.client()
	was := map[string]bool{}
	for r := range rowsOf(t, client, "ListImageLocal", nil) {
		was[text(r["image_id"])] = true
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
				// One that no host holds, or that is queued.
				continue
			}
			time.Sleep(time.Millisecond)
		}
	}()
	for range 20 {
		seen := map[string]int{}
		for _, limit := range []int{10, 200} {
			clear(seen)
			for r := range rowsOf(t, client, "ListImageLocal", members("limit", limit)) {
				seen[text(r["image_id"])]++
			}
			for id := range was {
				if seen[id] != 1 {
					t.Errorf("limit %d: image %s comes %d times", limit, id, seen[id])
				}
			}
		}
	}
	close(stop)
	<-done
	t.Logf("%d writes", writes)
}
