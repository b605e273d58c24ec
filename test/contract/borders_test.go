package contract

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
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
	image, task, export               string
}

// taskOf is a task of the kind that op is about.
func (b border) taskOf(op specOperation) string {
	if slices.Contains(op.Tags, "reports") {
		return b.export
	}
	return b.task
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
	enterprises := []string{"", "0", "all_granted_eps", borders[1].enterprise, borders[3].enterprise, borders[1].tenant, "11111111-2222-4333-8444-555555555555"}
	asked := 0
	for _, op := range ops {
		o := known[op.ID]
		if !op.built || slices.Contains(op.Tags, "registry-images") {
			continue
		}
		takes := slices.ContainsFunc(op.Params, func(p specParam) bool { return p.Name == "enterprise_project_id" })
		t.Run(op.ID, func(t *testing.T) {
			w.t = t
			for _, h := range holders {
				for _, project := range []string{borders[0].project, borders[2].project} {
					for _, enterprise := range enterprises {
						may := h.may(o, takes, project, enterprise, borders)
						// What is asked about lies where it may be asked, else in
						// the enterprise project that is named.
						about := borders[0]
						for _, b := range borders {
							if len(may) > 0 && b.tenant == may[0] || len(may) == 0 && b.enterprise == enterprise && b.project == project {
								about = b
							}
						}
						ask := func(image, task string) (int, string) {
							asked++
							return s.askAs(t, spec, op, h.key, project, enterprise, image, task)
						}
						status, body := ask(about.image, about.taskOf(op))
						what := fmt.Sprintf("%s in %s/%q: %d %.200s", h.name, w.name(project), enterprise, status, body)
						if refused := status == 401 || status == 403; refused != (may == nil) || status >= 500 && status != 501 {
							t.Errorf("%s: want it in %d tenants", what, len(may))
						}
						w.within(may, what, body)
						for _, b := range borders {
							if may == nil || slices.Contains(may, b.tenant) {
								continue
							}
							status, body := ask(b.image, b.taskOf(op))
							none, nothing := ask("00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000001")
							if status != none || w.plain(body) != w.plain(nothing) {
								t.Errorf("%s: of another tenant %d %.300s, of nothing %d %.300s", what, status, body, none, nothing)
							}
							w.within(may, what+" about another tenant", body)
							break
						}
					}
				}
			}
		})
	}
	t.Logf("%d requests", asked)
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
		b.task, err = s.store.Scan(ctx, b.tenant, store.ScanRequest{TaskType: store.TaskManual, Scope: 0x7fffffff, List: []store.ScanImage{{Digest: string(configDigest(n))}}})
		s.must(err)
		if again == 1 {
			break
		}
		jobs, err := s.store.Sync(ctx, agent, sync, nowMS())
		s.must(err)
		l := layer(1)
		l.DiffID = string(digest(n))
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
	b.export, err = s.store.AddExport(ctx, store.Export{Tenants: []string{b.tenant}, Query: store.ReportQuery{Kind: store.ReportApps}, Format: "csv", MaxRecords: 10, RecordNum: 1, CreatedBy: b.mark})
	s.must(err)
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
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A watcher looks at the database from beside the server.
type watcher struct {
	t       *testing.T
	borders []border
	db      *sql.DB
	tables  []string
	was     map[string]string // by tenant
}

func (w *watcher) open(path string) {
	w.t.Helper()
	var err error
	if w.db, err = sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=query_only(ON)"); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.db.Close() })
	rows, err := w.db.Query(`SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'project_id' WHERE m.type = 'table' AND m.name NOT IN ('audit', 'token') ORDER BY m.name`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			w.t.Fatal(err)
		}
		w.tables = append(w.tables, name)
	}
	if len(w.tables) < 10 {
		w.t.Fatalf("only %q have a project", w.tables)
	}
	w.was = w.look()
}

// look is all that each tenant has.
func (w *watcher) look() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, b := range w.borders {
		var all strings.Builder
		for _, table := range w.tables {
			columns := "*"
			if table == "export_task" {
				columns = "id, query, created_by" // a file is made in the background
			}
			rows, err := w.db.Query("SELECT "+columns+" FROM "+table+" WHERE project_id = ?", b.tenant)
			if err != nil {
				w.t.Fatal(err)
			}
			names, err := rows.Columns()
			if err != nil {
				w.t.Fatal(err)
			}
			values := make([]any, len(names))
			for i := range values {
				values[i] = new(any)
			}
			for rows.Next() {
				if err := rows.Scan(values...); err != nil {
					w.t.Fatal(err)
				}
				fmt.Fprint(&all, table)
				for i := range values {
					fmt.Fprintf(&all, " %s=%v", names[i], *values[i].(*any))
				}
				all.WriteByte('\n')
			}
			if err := rows.Err(); err != nil {
				w.t.Fatal(err)
			}
			_ = rows.Close()
		}
		out[b.tenant] = all.String()
	}
	return out
}

// within holds that an answer and what it did stay in the tenants given.
func (w *watcher) within(may []string, what, body string) {
	w.t.Helper()
	now := w.look()
	for _, b := range w.borders {
		if slices.Contains(may, b.tenant) {
			continue
		}
		if strings.Contains(body, b.mark) || strings.Contains(body, b.tenant) && b.enterprise != "0" && !strings.Contains(what, b.tenant) {
			w.t.Errorf("%s: the answer has what is in %s: %s", what, b.mark, body)
		}
		if now[b.tenant] != w.was[b.tenant] {
			w.t.Errorf("%s: changed what is in %s", what, b.mark)
		}
	}
	w.was = now
}

// anyID is an id of an image or a task.
var anyID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// plain is an answer without the ids that differ between two questions.
func (w *watcher) plain(body string) string {
	if i := strings.Index(body, `"request_id"`); i >= 0 {
		body = body[:i]
	}
	return anyID.ReplaceAllString(body, "ID")
}

func (w *watcher) name(project string) string {
	if project == w.borders[0].project {
		return "the first"
	}
	return "the other"
}
