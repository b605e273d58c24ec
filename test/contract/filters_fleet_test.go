package contract

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	hss "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/test/postgres"
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
	return s.fleetIn(r, s.first.Project.ID, "fleet")
}

// fleetIn is a fleet in a tenant.
func (s *server) fleetIn(r *rand.Rand, tenant, prefix string) []*fleetHost {
	s.t.Helper()
	names := []string{"web", "shop/web", "Web", "api_1", "a%b", "数据库", "api"}
	var hosts []*fleetHost
	for h := range 3 {
		host := &fleetHost{host: fleet.Host{ID: fmt.Sprintf("%s-host-%d", prefix, h), Name: []string{"node-10", "Node_2", "db-node-1"}[h],
			PrivateIP: fmt.Sprintf("10.0.0.%d", h), PublicIP: fmt.Sprintf("203.0.113.%d", h), OS: "linux", Arch: "amd64",
			Engines: []fleet.Engine{{Name: "docker", Version: "20.10"}}}}
		key, err := s.store.CreateEnrollKey(s.t.Context(), tenant, 1, 0)
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
			i := fleet.ImageState{Engine: "docker", ConfigDigest: configDigest(1000 + n), Size: int64(1 + n%7*500), CreatedMS: 1_700_000_000_000 + int64(n%5)*1_000_000,
				Names: []image.Ref{{Name: names[n%len(names)], Tag: fmt.Sprint(n / len(names))}}}
			if n%8 == 3 {
				i.Names = append(i.Names, image.Ref{Name: "twin", Tag: fmt.Sprint(n)})
			}
			for k := range r.IntN(3) {
				i.Containers = append(i.Containers, image.Container{ID: fmt.Sprintf("%x%058x", prefix[:3], h*10_000+n*10+k), Name: fmt.Sprintf("Front_%d-%d", n%5, k),
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
	if _, err := s.store.Scan(s.t.Context(), tenant, store.ScanRequest{TaskType: store.TaskManual, Scope: 0x7fffffff, List: list}); err != nil {
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

// decide makes decisions about the vulnerabilities of a fleet, of every kind and
// by two users, and rules of the whitelist of both types.
func (s *server) decide(client *hss.HssClient) {
	s.t.Helper()
	var ids []string
	for r := range rowsOf(s.t, client, "ListVulAffectImages", members("image_type", "local", "type", "linux_vul", "is_handled", false, "vul_id", openssl)) {
		ids = append(ids, text(r["image_id"]))
	}
	key, err := s.store.CreateAccessKey(s.t.Context(), s.first.Project.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	other := s.clientOf(key.AK, key.Secret, s.first.Project.ID)
	for _, d := range []struct {
		by                  *hss.HssClient
		typ, action, remark string
		vul                 string
		images              []string
	}{
		{client, "linux_vul", "ignore", "accepted: 100% of the risk_1", openssl, ids[:9]},
		{other, "linux_vul", "not_ignore", "not Accepted any more", openssl, ids[:4]},
		{other, "linux_vul", "ignore", "风险可接受", openssl, ids[2:3]},
		{client, "linux_vul", "manual_repair", "by hand", openssl, ids[10:12]},
		{other, "app_vul", "ignore", "", requests, ids},
		{client, "app_vul", "not_ignore", "", requests, ids[:len(ids)/2]},
		{client, "linux_vul", "add_to_whitelist", "ticket 7", zlib, ids},
	} {
		body := &model.HandleImageVulnerabilityRequestBody{ImageType: "local", Type: d.typ, OperateType: d.action, SelectType: "vul_view", Remark: &d.remark,
			VulDataList: &[]model.HandleImageVulnerabilityRequestBodyVulDataList{{VulId: &d.vul, ImageIdList: &d.images}}}
		if _, err := d.by.HandleImageVulnerability(&model.HandleImageVulnerabilityRequest{Body: body}); err != nil {
			s.t.Fatal(err)
		}
	}
	var images []model.AddImageWhiteListsRequestBodyImageInfo
	for _, id := range ids[12:16] {
		images = append(images, model.AddImageWhiteListsRequestBodyImageInfo{ImageId: &id})
	}
	for _, b := range []model.AddImageWhiteListsRequestBody{
		{RuleType: "specific_images", VulIds: &[]string{openssl, requests}, ImageInfo: &images, Description: new("of some")},
		{RuleType: "specific_images", VulIds: &[]string{openssl}, VulType: new("linux_vul"), ImageInfo: &images},
		{RuleType: "all_images", VulIds: &[]string{zlib}, Description: new("of all")},
	} {
		if _, err := client.AddImageWhiteLists(&model.AddImageWhiteListsRequest{GlobalImageType: "local", Type: "vulnerability", Body: &b}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// second makes an enterprise project with a fleet, and decides something there.
func (s *server) second(r *rand.Rand, client *hss.HssClient) {
	s.t.Helper()
	ep, err := s.store.As("test").CreateEnterpriseProject(s.t.Context(), s.first.Project.ID, "second")
	if err != nil {
		s.t.Fatal(err)
	}
	hosts := s.fleetIn(r, ep.Tenant, "second")
	// Bad settings in both, and good ones in one.
	s.scanSettings(plantedImage{name: "soft", n: 11, files: soft(s.t)})
	there := *s
	there.first.Project.ID, there.agent = ep.Tenant, hosts[0].key
	there.scanSettings(plantedImage{name: "soft", n: 11, files: soft(s.t)}, plantedImage{name: "hard", n: 12, files: hard(s.t)})
	body := &model.HandleImageVulnerabilityRequestBody{ImageType: "local", Type: "linux_vul", OperateType: "ignore", SelectType: "specific_vul_all_image", VulIdList: &[]string{zlib}}
	if _, err := client.HandleImageVulnerability(&model.HandleImageVulnerabilityRequest{EnterpriseProjectId: &ep.ID, Body: body}); err != nil {
		s.t.Fatal(err)
	}
}

// longRule is the rule of the whitelist for the most images.
func (s *server) longRule(client *hss.HssClient) (id any) {
	s.t.Helper()
	for r := range rowsOf(s.t, client, "ListImageWhiteLists", members("global_image_type", "local", "type", "vulnerability", "vul_name", zlib)) {
		if r["rule_type"] == "specific_images" {
			id = r["id"]
		}
	}
	return id
}

// onDatabases runs a test with SQLite, for which the URL is empty, and with
// PostgreSQL.
func onDatabases(t *testing.T, test func(t *testing.T, url func(testing.TB) string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, func(testing.TB) string { return "" }) })
	t.Run("postgres", func(t *testing.T) { test(t, postgres.Database) })
}

// TestFilters asks every list for each documented filter alone and in pairs,
// on a fleet, and on images with something of everything.
func TestFilters(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	sp, ops := readSpec(t)
	h := newHost(t, nil)
	onDatabases(t, func(t *testing.T, url func(testing.TB) string) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		a := &asker{share: 1, most: 2, r: rand.New(rand.NewPCG(seed, 0)), asked: map[string]bool{}}
		if strings.HasSuffix(t.Name(), "/postgres") {
			a.share, a.most = 1./3, 1
		}
		filtersOn(t, a, sp, h, url(t), url(t))
		if a.share == 1 {
			t.Run("every filter", func(t *testing.T) { everyFilter(t, sp, ops, a.asked) })
		}
	})
}

// filtersOn asks the lists of two servers, on databases at these URLs.
func filtersOn(t *testing.T, a *asker, sp *spec, h *host, fleetDB, plantedDB string) {
	t.Helper()
	s := newServerOn(t, fleetDB)
	s.fleetOf(a.r)
	client := s.client()
	s.decide(client)
	k := learnFacts(t, s.dir, fleetDB)
	a.client = client
	for _, l := range slices.Concat(k.fleetLists(), k.resultLists(s.imageID(web), openssl), k.keptLists(openssl), []listing{ruleImages(s.longRule(client))}, k.fleetExports(sp, localImages(t, a))) {
		t.Run("fleet/"+l.op, func(t *testing.T) { l.check(t, a) })
	}

	if fleetDB == "" {
		s.second(a.r, client)
		k = learnFacts(t, s.dir, fleetDB)
		checks := slices.DeleteFunc(k.checkLists(s.imageID("soft:1"), titles(t, client)), func(l listing) bool {
			return !strings.Contains(l.op, "Rule") && !strings.Contains(l.op, "RiskConfig") && !strings.Contains(l.op, "Pwd") && !strings.Contains(l.op, "BuildCommand")
		})
		for _, l := range slices.Concat(k.fleetLists(), k.resultLists(s.imageID(web), openssl), k.keptLists(openssl), checks) {
			l.base = maps.Clone(l.base)
			if l.base == nil {
				l.base = terms{}
			}
			l.base["enterprise_project_id"] = "all_granted_eps"
			l.filters = together("", slices.Clone(l.filters)...) // what acts together is asked for above
			t.Run("several/"+l.op, func(t *testing.T) {
				l.check(t, &asker{client: client, share: 1. / 3, most: 1, r: a.r, asked: map[string]bool{}})
			})
		}
	}

	p := newConformer(t, sp, h, plantedDB)
	a.client = p.HssClient
	if _, err := p.ChangeFilePathWhiteLists(&model.ChangeFilePathWhiteListsRequest{Body: &model.ChangeFilePathWhiteDetailRequestInfo{CustomizedPath: &[]string{"/etc", "/srv/Data_1", "**/*.pem"}}}); err != nil {
		t.Fatal(err)
	}
	k = learnFacts(t, p.data, plantedDB)
	image := text(k.called("planted")["image_id"])
	for _, l := range slices.Concat(k.resultLists(image, openssl), k.checkLists(image, titles(t, p.HssClient)), pathLists(), k.plantedExports(sp, localImages(t, a))) {
		t.Run("planted/"+l.op, func(t *testing.T) { l.check(t, a) })
	}
}

// titles are what the server says of rules of baselines and of build commands, by
// id.
func titles(t *testing.T, client *hss.HssClient) map[string]row {
	t.Helper()
	out := map[string]row{}
	for r := range rowsOf(t, client, "ListCheckRulesInfo", members("image_type", "local", "type", "image")) {
		out[text(r["check_rule_id"])] = members("check_rule_name", r["check_rule_name"])
	}
	for r := range rowsOf(t, client, "ListImageBuildCommandRisks", members("image_type", "local")) {
		out[text(r["rule_id"])] = members("risk_name", r["risk_name"], "risk_level", r["risk_level"])
	}
	return out
}
