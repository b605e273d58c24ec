package query_test

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/query"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

const explainRecord = `{"id":"DEBIAN-CVE-2023-45853","modified":"2026-01-02T00:00:00Z","upstream":["CVE-2023-45853"],
	"affected":[{"package":{"ecosystem":"Debian:12","name":"zlib"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}`

// explainDB is a generation of one record.
func explainDB(t *testing.T) *advisory.DB {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "Debian.zip"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	w, err := z.Create("a.json")
	if err == nil {
		_, err = io.WriteString(w, explainRecord)
	}
	if err != nil || z.Close() != nil || f.Close() != nil {
		t.Fatal("write record:", err)
	}
	to := filepath.Join(dir, "a.db")
	if _, err := advisory.Build(t.Context(), advisory.BuildOptions{From: dir, To: to}); err != nil {
		t.Fatal(err)
	}
	db, err := advisory.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// An image is asked about over HTTP, by its owner and by others, before it is
// scanned and after.
func TestExplain(t *testing.T) {
	db := explainDB(t)
	m := match.New(db)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	st, err := store.Open(t.Context(), store.Config{
		DataDir: t.TempDir(), SealKey: []byte(strings.Repeat("s", store.SealKeyBytes)), Log: log,
		Advisories: store.OneGeneration(db),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	_, first, err := st.Bootstrap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := auth.New(auth.Config{Keys: st, Projects: st, Log: log})
	handler := query.Explain(query.ExplainConfig{Images: st, Tenants: st.Tenants, Judged: st.Judged, Authenticate: a.Users, Log: log,
		Matcher: func() (*match.Matcher, func(), error) { return m, func() {}, nil }})
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == auth.PathTokens {
			a.Tokens().ServeHTTP(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(ts.Close)
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":%q},"secret":{"key":%q}}}}}`, first.Key.AK, first.Key.Secret)
	resp, err := http.Post(ts.URL+auth.PathTokens, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	token := resp.Header.Get("X-Subject-Token")
	get := func(project, rest string) (int, match.Explanation, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, ts.URL+"/v1/"+project+"/images/"+rest, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var e match.Explanation
		if resp.StatusCode == http.StatusOK {
			if err := json.Unmarshal(b, &e); err != nil {
				t.Fatal(err)
			}
		}
		return resp.StatusCode, e, string(b)
	}

	// A host with one image and a running container of it.
	enroll, err := st.CreateEnrollKey(t.Context(), first.Project.ID, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMilli()
	joined, err := st.Enroll(t.Context(), fleet.EnrollRequest{EnrollKey: enroll, Host: fleet.Host{ID: "h", Name: "worker-1"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	agent, err := st.Key(t.Context(), joined.AccessKey)
	if err != nil {
		t.Fatal(err)
	}
	diffID := image.Digest("sha256:" + strings.Repeat("ab", 32))
	cfg := json.RawMessage(fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]},"history":[{"created_by":"/bin/sh -c #(nop) COPY / / "}]}`, diffID))
	images := []fleet.ImageState{{Engine: "docker", ConfigDigest: image.DigestOf(cfg), Names: []image.Ref{{Name: "web", Tag: "1"}},
		Containers: []image.Container{{ID: "c1", Name: "front", Running: true}}}}
	sync := fleet.SyncRequest{Host: fleet.Host{ID: "h", Name: "worker-1"}, Analyzers: "set", ImagesHash: "1", Images: &images}
	if _, err := st.Sync(t.Context(), agent, sync, now); err != nil {
		t.Fatal(err)
	}
	list, _, err := st.Images(t.Context(), first.Project.ID, store.ImageFilter{}, store.Page{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d images, %v", len(list), err)
	}
	ask := list[0].ID + "/explain?id=CVE-2023-45853"
	if status, _, b := get(first.Project.ID, ask); status != http.StatusConflict || !strings.Contains(b, "has not been scanned") {
		t.Errorf("before the scan: %d %s", status, b)
	}
	if _, err := st.Scan(t.Context(), first.Project.ID, store.ScanRequest{TaskType: store.TaskManual}); err != nil {
		t.Fatal(err)
	}
	sync.Want = 1
	now = time.Now().UnixMilli()
	jobs, err := st.Sync(t.Context(), agent, sync, now)
	if err != nil || len(jobs.Jobs) != 1 {
		t.Fatalf("%+v, %v", jobs, err)
	}
	if err := st.PutLayer(t.Context(), &report.LayerReport{
		DiffID: string(diffID), Analyzers: "set", Complete: true,
		OSReleases: map[string]map[string]string{"/etc/os-release": {"ID": "debian", "VERSION_ID": "12"}},
		Databases: []report.Database{{Path: "/var/lib/dpkg/status", Packages: []report.Package{
			{Type: report.TypeDeb, Name: "zlib1g", Version: "1:1.2.13.dfsg-1", Arch: "amd64", Source: "zlib", Path: "/var/lib/dpkg/status"},
		}}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := st.Finish(t.Context(), agent, jobs.Jobs[0].ID, fleet.FinishRequest{Image: &fleet.ImageReport{
		ConfigDigest: image.DigestOf(cfg), Analyzers: "set", DiffIDs: []image.Digest{diffID}, Config: cfg}}, now); err != nil {
		t.Fatal(err)
	}

	status, e, b := get(first.Project.ID, ask)
	if status != http.StatusOK || e.Verdict != match.VerdictAffected || len(e.Packages) != 1 {
		t.Fatalf("%d %s", status, b)
	}
	if p := e.Packages[0]; p.Layer != 1 || p.BuildCommand != "COPY / /" || p.Findings[0].ID != "CVE-2023-45853" || p.Priority.Running != 10 || len(p.Records) != 1 {
		t.Errorf("got %+v", p)
	}
	// A document that sets it aside, and one for another image.
	for name, want := range map[string]string{"db": match.VerdictAffected, "web": match.VerdictSuppressed} {
		doc := `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[{"vulnerability":{"name":"CVE-2023-45853"},
			"products":[{"@id":"pkg:oci/` + name + `"}],"status":"not_affected","justification":"component_not_present"}]}`
		if _, err := st.PutVEX(t.Context(), first.Project.ID, "doc", "AK", []byte(doc)); err != nil {
			t.Fatal(err)
		}
		_, e, b := get(first.Project.ID, ask)
		if e.Verdict != want || want == match.VerdictSuppressed && e.Packages[0].Because != "doc says not_affected, component_not_present" {
			t.Errorf("with a document about %s: %s", name, b)
		}
	}
	for _, tc := range []struct {
		name, project, rest string
		want                int
	}{
		{"no id", first.Project.ID, list[0].ID + "/explain", http.StatusBadRequest},
		{"an id that is too long", first.Project.ID, list[0].ID + "/explain?id=" + strings.Repeat("x", 1025), http.StatusBadRequest},
		{"another project", "0123", ask, http.StatusForbidden},
		{"no such image", first.Project.ID, "none/explain?id=CVE-1", http.StatusNotFound},
		{"no such path", first.Project.ID, "none", http.StatusNotFound},
	} {
		if status, _, b := get(tc.project, tc.rest); status != tc.want || !strings.Contains(b, "request_id") {
			t.Errorf("%s: %d %s", tc.name, status, b)
		}
	}
	token = "none"
	if status, _, _ := get(first.Project.ID, ask); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
}
