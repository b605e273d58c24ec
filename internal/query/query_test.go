package query

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// zlib is a generation that knows one thing: CVE-2023-45853 has no fix in
// Debian 12. What there was before it knew nothing.
type zlib struct{ known *bool }

func (z zlib) Acquire() (store.Generation, error) {
	return store.Generation{ID: fmt.Sprint("known ", *z.known), Matcher: z, Release: func() {},
		Exploits: func(cve string) store.Exploits {
			if cve != "CVE-2023-45853" {
				return store.Exploits{}
			}
			return store.Exploits{Known: true, Since: "2024-05-06", EPSS: 0.04, Percentile: 0.8}
		}}, nil
}

func (z zlib) Diff(context.Context, string, string) (*advisory.Diff, error) { return nil, nil }
func (z zlib) Warnings(report.Inventory) []string                           { return nil }

func (z zlib) Keys(report.Distro, report.Package) []advisory.Key { return nil }

func (z zlib) Package(_ report.Distro, p report.Package) ([]report.Finding, error) {
	if p.Source != "zlib" || !*z.known {
		return nil, nil
	}
	return []report.Finding{{ID: "DEBIAN-CVE-2023-45853", CVEs: []string{"CVE-2023-45853"}, Severity: report.SeverityCritical, FixState: report.FixNone}}, nil
}

type site struct {
	t     *testing.T
	url   string
	first store.First
	token string
	store *store.Store
	known bool
	// packages of the image that is scanned
	packages []report.Package
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteLog(t, slog.New(slog.DiscardHandler))
}

func newSiteLog(t *testing.T, log *slog.Logger) *site {
	t.Helper()
	s := &site{t: t, packages: []report.Package{
		{Type: report.TypeDeb, Name: "zlib1g", Version: "1:1.2.13.dfsg-1", Arch: "amd64", Source: "zlib", Path: "/var/lib/dpkg/status"},
	}}
	s.open(log, zlib{&s.known})
	if _, err := s.store.Rematch(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.known = true
	if r, err := s.store.Rematch(t.Context()); err != nil || r.Changes != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	return s
}

// open starts the server and scans the image.
func (s *site) open(log *slog.Logger, advisories store.Advisories) {
	t := s.t
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Config{DataDir: t.TempDir(), SealKey: bytes.Repeat([]byte{7}, 32), Log: quiet, Advisories: advisories})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s.store = st
	if _, s.first, err = st.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := auth.New(auth.Config{Keys: st, Projects: st, Log: quiet})
	api, tokens := New(Config{Store: st, Authenticate: a.Users, Log: log}), a.Tokens()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == auth.PathTokens {
			tokens.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	s.scan(s.first.Project.ID, s.first.EnrollKey, "worker-1")
	s.login()
}

// login takes a token for the first key.
func (s *site) login() {
	t := s.t
	t.Helper()
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":%q},"secret":{"key":%q}}}}}`, s.first.Key.AK, s.first.Key.Secret)
	resp, err := http.Post(s.url+auth.PathTokens, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if s.token = resp.Header.Get("X-Subject-Token"); s.token == "" {
		t.Fatalf("no token: %s", resp.Status)
	}
}

// scan brings a host of a tenant with one image and a running container of it.
func (s *site) scan(tenant, enrollKey, name string) {
	t, ctx, now := s.t, s.t.Context(), time.Now().UnixMilli()
	host := fleet.Host{ID: name, Name: name}
	resp, err := s.store.Enroll(ctx, fleet.EnrollRequest{EnrollKey: enrollKey, Host: host}, now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.store.Key(ctx, resp.AccessKey)
	if err != nil {
		t.Fatal(err)
	}
	diffID := image.Digest("sha256:" + strings.Repeat("ab", 32))
	cfg := json.RawMessage(fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]},"history":[{"created_by":"COPY / /"}]}`, diffID))
	images := []fleet.ImageState{{Engine: "docker", ConfigDigest: image.DigestOf(cfg), Names: []image.Ref{{Name: "web", Tag: "1"}},
		Containers: []image.Container{{ID: "c1", Name: "front", Running: true}}}}
	sync := fleet.SyncRequest{Host: host, Analyzers: "set", ImagesHash: "1", Images: &images}
	if _, err := s.store.Sync(ctx, key, sync, now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Scan(ctx, tenant, store.ScanRequest{TaskType: store.TaskManual}); err != nil {
		t.Fatal(err)
	}
	sync.Want = 1
	now = time.Now().UnixMilli() // the job is of a moment ago
	jobs, err := s.store.Sync(ctx, key, sync, now)
	if err != nil || len(jobs.Jobs) != 1 {
		t.Fatalf("%+v, %v", jobs, err)
	}
	layer := &report.LayerReport{
		DiffID: string(diffID), Analyzers: "set", Complete: true,
		OSReleases: map[string]map[string]string{"/etc/os-release": {"ID": "debian", "VERSION_ID": "12"}},
		Databases:  []report.Database{{Path: "/var/lib/dpkg/status", Packages: s.packages}},
	}
	layer.FilesRead = true
	layer.Files = []report.File{{Path: "/srv/tool", Size: 7, Mode: 0o755, Kind: report.KindELF, SHA256: sha256.Sum256([]byte("tool"))}}
	layer.Ledger.LeaveOut("too-large", 1)
	if err := s.store.PutLayer(ctx, layer); err != nil {
		t.Fatal(err)
	}
	err = s.store.Finish(ctx, key, jobs.Jobs[0].ID, fleet.FinishRequest{Image: &fleet.ImageReport{
		ConfigDigest: image.DigestOf(cfg), Analyzers: "set", DiffIDs: []image.Digest{diffID}, Config: cfg}}, now)
	if err != nil {
		t.Fatal(err)
	}
}

// get asks; path is below the project.
func (s *site) get(project, path string) (int, map[string]any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/v1/"+project+"/fleet/"+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		s.t.Fatalf("%s: %v: %s", path, err, b)
	}
	return resp.StatusCode, out
}

// toolSum is the SHA-256 of "tool".
var toolSum = fmt.Sprintf("%x", sha256.Sum256([]byte("tool")))

func TestAnswers(t *testing.T) {
	s := newSite(t)
	project := s.first.Project.ID
	counts := map[string]any{"image_num": 1.0, "host_num": 1.0, "running_container_num": 1.0}
	for _, tc := range []struct {
		path, list string
		want       map[string]any // of the first row
	}{
		{"vulnerabilities/CVE-2023-45853", "images", map[string]any{"image_name": "web"}},
		{"vulnerabilities/DEBIAN-CVE-2023-45853?list=hosts", "hosts", map[string]any{"host_name": "worker-1"}},
		{"vulnerabilities/CVE-2023-45853?list=containers&limit=1", "running_containers", map[string]any{"container_name": "front"}},
		{"files/" + toolSum, "images", map[string]any{"image_name": "web", "file_num": 1.0}},
		{"files/" + strings.ToUpper(toolSum) + "?list=hosts", "hosts", map[string]any{"host_name": "worker-1"}},
		{"files/" + toolSum + "?list=containers", "running_containers", map[string]any{"container_name": "front"}},
		{"packages?name=zlib1g&type=deb&range=" + url.QueryEscape(">= 1:1.2, < 1:1.3"), "images", map[string]any{"image_version": "1"}},
	} {
		status, got := s.get(project, tc.path)
		rows, _ := got[tc.list].([]any)
		if status != http.StatusOK || len(rows) != 1 {
			t.Fatalf("%s: %d %v", tc.path, status, got)
		}
		for k, want := range counts {
			if got[k] != want {
				t.Errorf("%s: %s is %v", tc.path, k, got[k])
			}
		}
		for k, want := range tc.want {
			if row := rows[0].(map[string]any); row[k] != want {
				t.Errorf("%s: %s is %v", tc.path, k, row[k])
			}
		}
	}
	_, got := s.get(project, "vulnerabilities/CVE-2023-45853")
	row := got["images"].([]any)[0].(map[string]any)["packages"].([]any)[0].(map[string]any)
	want := map[string]any{"type": "deb", "name": "zlib1g", "version": "1:1.2.13.dfsg-1", "path": "/var/lib/dpkg/status", "layer": "sha256:" + strings.Repeat("ab", 32),
		"advisory": "DEBIAN-CVE-2023-45853", "severity": "Critical", "fix_state": "not-fixed"}
	if d := cmp.Diff(want, row); d != "" {
		t.Error(d)
	}
	_, got = s.get(project, "files/"+toolSum)
	row = got["images"].([]any)[0].(map[string]any)
	want = map[string]any{"path": "/srv/tool", "layer": "sha256:" + strings.Repeat("ab", 32), "kind": "elf", "size": 7.0, "mode": 493.0, "owned": false}
	if d := cmp.Diff([]any{want}, row["files"]); d != "" || row["packages"] != nil {
		t.Error(d)
	}
	// An answer without images says of how many nothing is known.
	_, got = s.get(project, "files/"+strings.Repeat("0", 64))
	if d := cmp.Diff(map[string]any{"image_num": 0.0, "host_num": 0.0, "running_container_num": 0.0, "images": []any{},
		"images_without_files": 0.0, "images_with_files_left_out": 1.0}, got); d != "" {
		t.Error(d)
	}
	status, got := s.get(project, "vulnerabilities/CVE-1999-0001")
	if d := cmp.Diff(map[string]any{"image_num": 0.0, "host_num": 0.0, "running_container_num": 0.0, "images": []any{}}, got); status != http.StatusOK || d != "" {
		t.Error(status, d)
	}
	status, got = s.get(project, "events?vulnerability=CVE-2023-45853&limit=5")
	rows, _ := got["events"].([]any)
	if status != http.StatusOK || len(rows) != 1 {
		t.Fatalf("%d %v", status, got)
	}
	e := rows[0].(map[string]any)
	if e["kind"] != "new" || e["severity"] != "Critical" || e["image_num"] != 1.0 || e["generation"] != "known true" {
		t.Errorf("event %v", e)
	}
}

func TestRefusals(t *testing.T) {
	s := newSite(t)
	project := s.first.Project.ID
	sum := strings.Repeat("0", 64)
	for path, want := range map[string]int{
		"vulnerabilities/CVE-1?list=moons":                     http.StatusBadRequest,
		"vulnerabilities/CVE-1?limit=0":                        http.StatusBadRequest,
		"vulnerabilities/CVE-1?limit=201":                      http.StatusBadRequest,
		"vulnerabilities/CVE-1?offset=-1":                      http.StatusBadRequest,
		"vulnerabilities/CVE-1?lsit=hosts":                     http.StatusBadRequest,
		"vulnerabilities/%00":                                  http.StatusBadRequest,
		"packages":                                             http.StatusBadRequest,
		"packages?name=a&range=%3E":                            http.StatusBadRequest,
		"packages?name=a&name=b":                               http.StatusBadRequest,
		"packages?name=" + strings.Repeat("a", maxNameBytes+1): http.StatusBadRequest,
		"files/" + sum:                                         http.StatusOK,
		"files/" + sum + "0":                                   http.StatusBadRequest,
		"files/sha256:" + sum:                                  http.StatusBadRequest,
		"files/" + sum[1:] + "g":                               http.StatusBadRequest,
		"files/" + sum + "?list=moons":                         http.StatusBadRequest,
		"files/" + sum + "?lsit=hosts":                         http.StatusBadRequest,
		"files/1234":                                           http.StatusBadRequest,
		"events?before=x":                                      http.StatusBadRequest,
		"moons":                                                http.StatusNotFound,
	} {
		if status, got := s.get(project, path); status != want || want != http.StatusOK && (got["error_code"] == "" || got["error_msg"] == "") {
			t.Errorf("%.60s: %d, want %d: %v", path, status, want, got)
		}
	}
	if status, _ := s.get("another", "events"); status != http.StatusForbidden {
		t.Errorf("another project: %d", status)
	}
	s.token = "wrong"
	if status, _ := s.get(project, "events"); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
}
