package contract

import (
	"database/sql"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/onceover/onceover/api"
	"github.com/onceover/onceover/internal/auth"
	ohss "github.com/onceover/onceover/internal/hss"
	"github.com/onceover/onceover/internal/store"
)

// ownQueries are the parameters of our own operations that a question needs, or
// that make it tell more.
var ownQueries = map[string]func(about border) url.Values{
	"listVulnerabilities": func(border) url.Values { return url.Values{"show_suppressed": {"true"}} },
	"whoHasPackage":       func(b border) url.Values { return url.Values{"name": {b.mark}} },
	"explain":             func(border) url.Values { return url.Values{"id": {openssl}} },
	"latestScanTask":      func(border) url.Values { return url.Values{"by": {"any"}} },
}

// TestOwnBorders is TestBorders for the operations of api/onceover.yaml that are
// about a project.
func TestOwnBorders(t *testing.T) {
	s := newServer(t)
	borders := s.plantBorders()
	s.plantEvents(borders)
	m := matrix{s: s, borders: borders, holders: s.holders(borders), watcher: &watcher{t: t, borders: borders}}
	m.watcher.open(filepath.Join(s.dir, store.FileName))
	asked := 0
	for _, op := range ownOperations(t) {
		told := m.told
		m.cross(t, op.ID, crossing{op: op, ask: func(t *testing.T, key auth.Key, project, enterprise string, about border) (int, string) {
			return s.askOwn(t, op, key, project, enterprise, about)
		}})
		if told == m.told && op.ID != "deleteVEX" {
			t.Errorf("%s never told what is in a tenant", op.ID)
		}
		asked++
	}
	if asked < 14 {
		t.Errorf("only %d operations", asked)
	}
	t.Logf("%d requests", m.asked)
}

// ownOperations are ours by path, those that read first.
func ownOperations(t *testing.T) (out []ohss.Operation) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(api.Onceover, &doc); err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		if !strings.Contains(path, "{project_id}") {
			continue
		}
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			node, ok := doc.Paths[path][strings.ToLower(method)]
			if !ok {
				continue
			}
			var op specOperation
			if err := node.Decode(&op); err != nil {
				t.Fatal(err)
			}
			one := ohss.Operation{ID: op.ID, Method: method, Path: path, Needs: auth.Viewer}
			if method != http.MethodGet {
				one.Needs = auth.Admin
			}
			out = append(out, one)
		}
	}
	return out
}

// plantEvents has something change for the package that each tenant alone has.
func (s *server) plantEvents(borders []border) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, store.FileName)+"?_pragma=busy_timeout(10000)")
	s.must(err)
	defer db.Close()
	for i, b := range borders {
		_, err := db.Exec(`INSERT INTO finding_event (id, at, generation, kind, vul_id, package_id, was, is_now)
SELECT ?, 1, 'g', 'new', (SELECT MIN(id) FROM vulnerability), p.id, -1, 3 FROM package p WHERE p.name = ?`, 1000+i, b.mark)
		s.must(err)
	}
}

// askOwn asks about what a border has.
func (s *server) askOwn(t *testing.T, op ohss.Operation, key auth.Key, project, enterprise string, about border) (int, string) {
	t.Helper()
	id := about.scanned
	if op.ID == "whoHasVulnerability" {
		id = openssl
	}
	path := strings.NewReplacer("{project_id}", project, "{image_id}", about.image, "{sha256}", about.file, "{name}", about.document, "{id}", id).Replace(op.Path)
	values := url.Values{}
	if f := ownQueries[op.ID]; f != nil {
		values = f(about)
	}
	if enterprise != "" {
		values.Set("enterprise_project_id", enterprise)
	}
	var body io.Reader
	if op.Method == http.MethodPut {
		body = strings.NewReader(vexOf("somebody"))
	}
	req, err := http.NewRequestWithContext(t.Context(), op.Method, s.url+path+"?"+values.Encode(), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "0") // all that has happened to a task
	if err := auth.Sign(req, key.AK, key.Secret, time.Now()); err != nil {
		t.Fatal(err)
	}
	return send(t, req)
}

// send is the status and the body of an answer.
func send(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
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
