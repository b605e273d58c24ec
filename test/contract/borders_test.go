package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	ohss "github.com/onceover/onceover/internal/hss"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// A border is what keeps a tenant apart: what it has bears its mark.
type border struct {
	project, enterprise, tenant, mark string
	// image was scanned by the task scanned, task runs. document is a VEX
	// document, file the SHA-256 of a file.
	image, task, export, scanned, document, file string
}

// nothing is what no tenant has.
var nothing = border{
	mark:  "zqnothing",
	image: "00000000-0000-4000-8000-000000000000", task: "00000000-0000-4000-8000-000000000001", export: "00000000-0000-4000-8000-000000000001",
	scanned: "00000000-0000-4000-8000-000000000001", document: "00000000-0000-4000-8000-000000000002", file: strings.Repeat("0", 64),
}

// ids are those that an answer to another tenant must not have.
func (b border) ids() []string {
	return []string{b.image, b.task, b.export, b.scanned, b.document, b.file}
}

// taskOf is a task of the kind that op is about.
func (b border) taskOf(op specOperation) string {
	if slices.Contains(op.Tags, "reports") {
		return b.export
	}
	return b.task
}

// A crossing is an operation, asked about what a border has.
type crossing struct {
	op    ohss.Operation
	takes bool // an enterprise project, by its description
	ask   func(t *testing.T, key auth.Key, project, enterprise string, about border) (status int, body string)
}

// A holder is a key and what its user may do.
type holder struct {
	name    string
	key     auth.Key
	project string
	role    auth.Role
	granted auth.Grants
}

// may is the model that the server is held against: the tenants in which the
// holder may do op, nil for a refusal.
func (h holder) may(op ohss.Operation, takes bool, project, enterprise string, borders []border) []string {
	if project != h.project || !h.role.Allows(op.Needs) {
		return nil
	}
	var granted []string
	for _, b := range borders {
		if b.project == project && h.granted.Includes(b.enterprise) {
			granted = append(granted, b.tenant)
		}
	}
	all := enterprise == "all_granted_eps" || enterprise == "" && !takes && op.Method == http.MethodGet
	if all {
		return granted
	}
	if enterprise == "" && !takes && !h.granted.Includes("0") && len(granted) == 1 {
		return granted
	}
	for _, b := range borders {
		if b.project == project && h.granted.Includes(b.enterprise) && b.enterprise == max(enterprise, "0") {
			return []string{b.tenant}
		}
	}
	return nil
}

// TestBorders asks every operation for local images with every key, in every
// project and enterprise project, and holds that nothing crosses a border: no
// answer has what another tenant has, no write changes it, and the ids of what
// another tenant has answer as ids of nothing do.
func TestBorders(t *testing.T) {
	s := newServer(t)
	borders := s.plantBorders()
	holders := s.holders(borders)
	w := &watcher{t: t, borders: borders}
	w.open(filepath.Join(s.dir, store.FileName))
	spec, ops := readSpec(t)
	known := map[string]ohss.Operation{}
	for _, op := range ohss.Operations() {
		known[op.ID] = op
	}
	m := matrix{s: s, borders: borders, holders: holders, watcher: w}
	for _, op := range ops {
		if !op.built || slices.Contains(op.Tags, "registry-images") {
			continue
		}
		m.cross(t, op.ID, crossing{
			op: known[op.ID], takes: slices.ContainsFunc(op.Params, func(p specParam) bool { return p.Name == "enterprise_project_id" }),
			ask: func(t *testing.T, key auth.Key, project, enterprise string, about border) (int, string) {
				return s.askAs(t, spec, op, key, project, enterprise, about.image, about.taskOf(op))
			},
		})
	}
	t.Logf("%d requests", m.asked)
}

// A matrix is who asks where.
type matrix struct {
	s       *server
	borders []border
	holders []holder
	watcher *watcher
	// asked counts requests, told those whose answer has what is in a tenant
	// that it may be of.
	asked, told int
}

// cross asks with every key in every project and enterprise project, about what is
// there, and about what another tenant has.
func (m *matrix) cross(t *testing.T, name string, q crossing) {
	borders, w := m.borders, m.watcher
	enterprises := []string{"", "0", "all_granted_eps", borders[1].enterprise, borders[3].enterprise, borders[1].tenant, "11111111-2222-4333-8444-555555555555"}
	t.Run(name, func(t *testing.T) {
		w.t = t
		for _, h := range m.holders {
			for _, project := range []string{borders[0].project, borders[2].project} {
				for _, enterprise := range enterprises {
					may := h.may(q.op, q.takes, project, enterprise, borders)
					// What is asked about lies where it may be asked, else in
					// the enterprise project that is named.
					about := borders[0]
					for _, b := range borders {
						if len(may) > 0 && b.tenant == may[0] || len(may) == 0 && b.enterprise == enterprise && b.project == project {
							about = b
						}
					}
					ask := func(about border) (int, string) {
						m.asked++
						return q.ask(t, h.key, project, enterprise, about)
					}
					status, body := ask(about)
					what := fmt.Sprintf("%s in %s/%q: %d %.200s", h.name, w.name(project), enterprise, status, body)
					if refused := status == 401 || status == 403; refused != (may == nil) || status >= 500 && status != 501 {
						t.Errorf("%s: want it in %d tenants", what, len(may))
					}
					w.within(may, about, what, body)
					if status < 300 && slices.ContainsFunc(append(about.ids(), about.mark), func(id string) bool { return strings.Contains(body, id) }) {
						m.told++
					}
					for _, b := range borders {
						if may == nil || slices.Contains(may, b.tenant) {
							continue
						}
						status, body := ask(b)
						none, of := ask(nothing)
						if status != none || w.plain(body) != w.plain(of) {
							t.Errorf("%s: of another tenant %d %.300s, of nothing %d %.300s", what, status, body, none, of)
						}
						w.within(may, b, what+" about another tenant", body)
						break
					}
				}
			}
		}
	})
}

// plantBorders makes two projects with two enterprise projects each. Each has a
// host with an image of its own that was scanned, and a task that runs.
func (s *server) plantBorders() []border {
	s.t.Helper()
	ctx := s.t.Context()
	admin := s.store.As("test")
	other, err := admin.CreateProject(ctx, "other")
	s.must(err)
	var out []border
	for _, p := range []string{s.first.Project.ID, other.ID} {
		ep, err := admin.CreateEnterpriseProject(ctx, p, "second")
		s.must(err)
		for _, e := range []store.EnterpriseProject{{ID: "0", Tenant: p}, ep} {
			b := border{project: p, enterprise: e.ID, tenant: e.Tenant, mark: fmt.Sprintf("zqmark%d", len(out))}
			s.plant(&b, 100+len(out))
			out = append(out, b)
		}
	}
	return out
}

func (s *server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// plant has a host of the tenant scan an image, and begin another scan.
func (s *server) plant(b *border, n int) {
	s.t.Helper()
	ctx := s.t.Context()
	key, err := s.store.CreateEnrollKey(ctx, b.tenant, 1, 0)
	s.must(err)
	host := fleet.Host{ID: b.mark, Name: b.mark, PrivateIP: "10.9.9.9"}
	resp, err := s.store.Enroll(ctx, fleet.EnrollRequest{EnrollKey: key, Host: host}, nowMS())
	s.must(err)
	agent, err := s.store.Key(ctx, resp.AccessKey)
	s.must(err)
	sync := fleet.SyncRequest{Host: host, Analyzers: analyzers, ImagesHash: "h", Want: 10, Images: &[]fleet.ImageState{{
		Engine: "docker", ConfigDigest: configDigest(n), Names: []image.Ref{{Name: b.mark, Tag: "1"}}, Size: 1000, CreatedMS: 1_700_000_000_000,
		Containers: []image.Container{{ID: strings.Repeat(fmt.Sprintf("%02d", n%100), 32), Name: b.mark, PodName: b.mark, Running: true}},
	}}}
	_, err = s.store.Sync(ctx, agent, sync, nowMS())
	s.must(err)
	for again := range 2 {
		b.scanned = b.task
		b.task, err = s.store.Scan(ctx, b.tenant, store.ScanRequest{TaskType: store.TaskManual, Scope: 0x7fffffff, List: []store.ScanImage{{Digest: string(configDigest(n))}}})
		s.must(err)
		if again == 1 {
			break
		}
		jobs, err := s.store.Sync(ctx, agent, sync, nowMS())
		s.must(err)
		l := layer(1)
		l.DiffID = string(digest(n))
		sum := sha256.Sum256([]byte(b.mark))
		l.FilesRead, l.Files = true, []report.File{{Path: "/opt/" + b.mark, Size: 1, Mode: 0o755, Kind: report.KindELF, SHA256: sum}}
		b.file = hex.EncodeToString(sum[:])
		l.Packages = append(l.Packages, report.Package{Type: report.TypePython, Name: b.mark, Version: "1", Path: "/opt/" + b.mark})
		s.must(s.store.PutLayer(ctx, l))
		for _, j := range jobs.Jobs {
			s.must(s.store.Finish(ctx, agent, j.ID, fleet.FinishRequest{Image: &fleet.ImageReport{
				ConfigDigest: j.ConfigDigest, Analyzers: analyzers, DiffIDs: []image.Digest{digest(n)}, Config: imageConfig(n)}}, nowMS()))
		}
	}
	list, _, err := s.store.Images(ctx, b.tenant, store.ImageFilter{Name: b.mark}, store.Page{Limit: 1})
	s.must(err)
	if len(list) != 1 {
		s.t.Fatalf("%d images in a tenant", len(list))
	}
	b.image = list[0].ID
	b.document = fmt.Sprintf("%08d-0000-4000-8000-000000000000", n)
	_, err = s.store.PutVEX(ctx, b.tenant, b.document, b.mark, []byte(vexOf(b.mark)))
	s.must(err)
	b.export, err = s.store.AddExport(ctx, store.Export{Tenants: []string{b.tenant}, Query: store.ReportQuery{Kind: store.ReportApps}, Format: "csv", MaxRecords: 10, RecordNum: 1, CreatedBy: b.mark})
	s.must(err)
}

// vexOf is a document of an author.
func vexOf(author string) string {
	return `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.com/` + author + `","author":"` + author + `","timestamp":"2026-01-01T00:00:00Z","version":1,"statements":[
{"vulnerability":{"name":"` + openssl + `"},"products":[{"@id":"pkg:deb/debian/openssl"}],"status":"under_investigation"}]}`
}

// holders are keys of different roles and grants in both projects.
func (s *server) holders(borders []border) []holder {
	s.t.Helper()
	admin := s.store.As("test")
	var out []holder
	for _, h := range []holder{
		{name: "admin of all", project: borders[0].project, role: auth.Admin, granted: auth.GrantAll},
		{name: "operator of 0", project: borders[0].project, role: auth.Operator, granted: "0"},
		{name: "viewer of the second", project: borders[0].project, role: auth.Viewer, granted: auth.Grants(borders[1].enterprise)},
		{name: "admin of the second", project: borders[0].project, role: auth.Admin, granted: auth.Grants(borders[1].enterprise)},
		{name: "viewer of both by name", project: borders[0].project, role: auth.Viewer, granted: auth.Grants("0," + borders[1].enterprise)},
		{name: "other admin of 0", project: borders[2].project, role: auth.Admin, granted: "0"},
		{name: "other operator of the second", project: borders[2].project, role: auth.Operator, granted: auth.Grants(borders[3].enterprise)},
	} {
		u := strings.ReplaceAll(h.name, " ", "-")
		_, err := admin.CreateUser(s.t.Context(), store.User{ProjectID: h.project, Name: u, Role: h.role, Granted: h.granted}, "")
		s.must(err)
		h.key, err = admin.CreateKey(s.t.Context(), h.project, u, 0)
		s.must(err)
		out = append(out, h)
	}
	return out
}

// askAs asks what is well-formed about an image and a task.
func (s *server) askAs(t *testing.T, spec *spec, op specOperation, key auth.Key, project, enterprise, image, task string) (int, string) {
	t.Helper()
	as := *s
	as.given = map[string]string{"project_id": project, "image_id": image, "task_id": task}
	m := as.wellFormed(spec, op)
	query, err := url.ParseQuery(m.query)
	if err != nil {
		t.Fatal(err)
	}
	if enterprise != "" {
		query.Set("enterprise_project_id", enterprise)
	}
	req, err := http.NewRequestWithContext(t.Context(), m.method, s.url+m.path+"?"+query.Encode(), bytes.NewReader(m.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = m.header.Clone()
	if err := auth.Sign(req, key.AK, key.Secret, time.Now()); err != nil {
		t.Fatal(err)
	}
	return send(t, req)
}
