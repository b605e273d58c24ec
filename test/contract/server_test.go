package contract

import (
	"archive/zip"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	hss "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	ohss "github.com/onceover/onceover/internal/hss"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/query"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/sheet"
	"github.com/onceover/onceover/internal/store"
)

// osv are advisories in OSV form, by archive. The facts are public: the fixed
// versions are those of the Debian and PyPI releases.
var osv = map[string][]string{
	"Debian": {
		`{"schema_version":"1.7.0","id":"DEBIAN-CVE-2024-6119","upstream":["CVE-2024-6119"],"modified":"2026-01-02T00:00:00Z","published":"2024-09-03T16:15:07Z","details":"Denial of service in X.509 name checks.",
		"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}],
		"affected":[{"package":{"ecosystem":"Debian:12","name":"openssl"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.0.14-1~deb12u2"}]}]}]}`,
		`{"schema_version":"1.7.0","id":"DEBIAN-CVE-2023-45853","upstream":["CVE-2023-45853"],"modified":"2026-01-02T00:00:00Z","published":"2023-10-14T02:15:09Z","details":"Integer overflow in MiniZip.",
		"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
		"affected":[{"package":{"ecosystem":"Debian:12","name":"zlib"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}`,
	},
	"PyPI": {
		`{"schema_version":"1.7.0","id":"GHSA-9wx4-h78v-vm56","aliases":["CVE-2024-35195"],"modified":"2026-01-02T00:00:00Z","published":"2024-05-20T20:15:00Z","summary":"Session ignores verify=False",
		"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:H/I:H/A:N"}],"database_specific":{"severity":"MODERATE"},
		"affected":[{"package":{"ecosystem":"PyPI","name":"requests"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.32.0"}]}]}]}`,
	},
}

const analyzers = "0123456789abcdef"

// server is a running server with one project, one agent and three images.
type server struct {
	t     *testing.T
	url   string
	dir   string // of the database
	store *store.Store
	first store.First
	agent auth.Key
	// given are values that wellFormed takes for members and parameters of
	// that name.
	given map[string]string
}

func newServer(t *testing.T) *server {
	t.Helper()
	return newServerOn(t, "")
}

// newServerOn is a server on the PostgreSQL database of a URL, or on SQLite if it
// is empty.
func newServerOn(t *testing.T, database string) *server {
	t.Helper()
	db := buildAdvisories(t)
	s := &server{t: t, dir: t.TempDir()}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	var err error
	s.store, err = store.Open(t.Context(), store.Config{
		URL: database, DataDir: s.dir, SealKey: []byte(strings.Repeat("s", store.SealKeyBytes)), Log: log,
		Advisories: store.OneGeneration(db),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	if _, s.first, err = s.store.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	making, end := context.WithCancel(t.Context())
	var makers sync.WaitGroup
	makers.Go(func() { sheet.New(s.store, log).Run(making) })
	t.Cleanup(func() { end(); makers.Wait() })
	a := auth.New(auth.Config{Keys: s.store, Projects: s.store, Accounts: s.store, Log: log})
	own := query.New(query.Config{Store: s.store, Authenticate: a.Users, Log: log, Version: "1"})
	explain := query.Explain(query.ExplainConfig{Images: s.store, Tenants: s.store.Tenants, Judged: s.store.Judged, Authenticate: a.Users, Log: log,
		Matcher: func() (*match.Matcher, func(), error) { return match.New(db), func() {}, nil }})
	api, projects, tokens := ohss.New(ohss.Config{Store: s.store, Authenticate: a.Users, Log: log}), a.Users(a.ListProjects()), a.Tokens()
	// As in the product, no http.ServeMux: it would redirect unclean paths.
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v3/projects":
			projects.ServeHTTP(w, r)
		case "/v3/auth/tokens":
			tokens.ServeHTTP(w, r)
		case auth.PathSecurityTokens:
			a.SecurityTokens().ServeHTTP(w, r)
		default:
			switch {
			case strings.HasSuffix(r.URL.Path, path.Base(query.ExplainPath)):
				explain.ServeHTTP(w, r)
			case strings.HasPrefix(r.URL.Path, query.Prefix):
				own.ServeHTTP(w, r)
			default:
				api.ServeHTTP(w, r)
			}
		}
	}))
	t.Cleanup(ts.Close)
	s.url = ts.URL
	s.seed()
	return s
}

func buildAdvisories(t *testing.T) *advisory.DB {
	t.Helper()
	db, err := advisory.Open(advisoryFile(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// advisoryFile is a database of osv.
func advisoryFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, records := range osv {
		f, err := os.Create(filepath.Join(dir, name+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		z := zip.NewWriter(f)
		for i, r := range records {
			w, err := z.Create(fmt.Sprintf("%d.json", i))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(r)); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(t.TempDir(), "advisories.db")
	if _, err := advisory.Build(t.Context(), advisory.BuildOptions{From: dir, To: to,
		Problem: func(p advisory.Problem) { t.Errorf("advisory: %+v", p) }}); err != nil {
		t.Fatal(err)
	}
	return to
}

func nowMS() int64 { return time.Now().UnixMilli() }

func digest(n int) image.Digest { return image.Digest(fmt.Sprintf("sha256:%064x", n)) }

func imageConfig(n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]},"history":[{"created_by":"COPY rootfs /"}]}`, digest(n)))
}

func configDigest(n int) image.Digest { return image.DigestOf(imageConfig(n)) }

const swrName = "swr.cn-north-4.myhuaweicloud.com/shop/web"

// images are what the agent holds: 1 and 2 will be scanned, 3 will not, 4
// cannot be.
func images() []fleet.ImageState {
	return []fleet.ImageState{
		{Engine: "docker", ConfigDigest: configDigest(1), ManifestDigest: digest(101), Names: []image.Ref{{Name: "web", Tag: "1.0"}}, Size: 1000, CreatedMS: 1_700_000_000_000,
			Containers: []image.Container{{ID: strings.Repeat("c1", 32), Name: "front-1", PodID: "pod-id-1", PodName: "front", EntryPoint: "nginx -g", Running: true}}},
		{Engine: "docker", ConfigDigest: configDigest(2), Names: []image.Ref{{Name: swrName, Tag: "2.0"}}, RepoDigests: []string{swrName + "@" + string(digest(102))}, Size: 2000, CreatedMS: 1_710_000_000_000},
		{Engine: "docker", ConfigDigest: configDigest(3), Size: 3000, CreatedMS: 1_720_000_000_000},
		{Engine: "docker", ConfigDigest: configDigest(4), Names: []image.Ref{{Name: "broken", Tag: "1"}}, Size: 4000, NonScanReason: "layer is missing"},
	}
}

func (s *server) seed() {
	s.t.Helper()
	key, err := s.store.CreateEnrollKey(s.t.Context(), s.first.Project.ID, 1, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.store.Enroll(s.t.Context(), fleet.EnrollRequest{EnrollKey: key, Host: fleet.Host{ID: "host-id-1", Name: "node-1"}}, nowMS())
	if err != nil {
		s.t.Fatal(err)
	}
	if s.agent, err = s.store.Key(s.t.Context(), resp.AccessKey); err != nil {
		s.t.Fatal(err)
	}
	s.sync(nil)
	if _, err := s.store.Scan(s.t.Context(), s.first.Project.ID, store.ScanRequest{TaskType: store.TaskManual, Scope: 0x7fffffff,
		List: []store.ScanImage{{Digest: string(configDigest(1))}, {Digest: string(configDigest(2))}}}); err != nil {
		s.t.Fatal(err)
	}
	s.work()
}

// sync is what the agent does every few seconds.
func (s *server) sync(holds []string) fleet.SyncResponse {
	s.t.Helper()
	list := images()
	resp, err := s.store.Sync(s.t.Context(), s.agent, fleet.SyncRequest{
		Host: fleet.Host{ID: "host-id-1", Name: "node-1", PrivateIP: "10.1.2.3", PublicIP: "203.0.113.9", OS: "linux", Arch: "amd64",
			Engines: []fleet.Engine{{Name: "docker", Version: "20.10"}}},
		Analyzers: analyzers, ImagesHash: "h", Images: &list, Holds: holds, Want: 10,
	}, nowMS())
	if err != nil {
		s.t.Fatal(err)
	}
	return resp
}

// work does what the agent is given until nothing is left.
func (s *server) work() {
	s.t.Helper()
	for {
		jobs := s.sync(nil).Jobs
		if len(jobs) == 0 {
			return
		}
		for _, j := range jobs {
			s.finish(j)
		}
	}
}

func (s *server) finish(j fleet.Job) {
	s.t.Helper()
	for n := 1; n <= 3; n++ {
		if configDigest(n) != j.ConfigDigest {
			continue
		}
		if err := s.store.PutLayer(s.t.Context(), layer(n)); err != nil {
			s.t.Fatal(err)
		}
		err := s.store.Finish(s.t.Context(), s.agent, j.ID, fleet.FinishRequest{Image: &fleet.ImageReport{
			ConfigDigest: j.ConfigDigest, Analyzers: analyzers, DiffIDs: []image.Digest{digest(n)}, Config: imageConfig(n)}}, nowMS())
		if err != nil {
			s.t.Fatal(err)
		}
		return
	}
	s.t.Fatalf("unexpected job for %s", j.ConfigDigest)
}

// layer is a Debian 12: the first has an old openssl, an unfixed zlib and an
// old requests, the second nothing wrong.
func layer(n int) *report.LayerReport {
	ssl, requests := "3.0.9-1", "2.28.1"
	packages := []report.Package{
		{Type: report.TypeDeb, Name: "libc6", Version: "2.36-9+deb12u9", Arch: "amd64", Source: "glibc", Path: "/var/lib/dpkg/status"},
	}
	if n == 1 {
		packages = append(packages, report.Package{Type: report.TypeDeb, Name: "zlib1g", Version: "1:1.2.13.dfsg-1", Arch: "amd64", Source: "zlib", Path: "/var/lib/dpkg/status"})
	} else {
		ssl, requests = "3.0.15-1~deb12u1", "2.32.3"
	}
	packages = append(packages, report.Package{Type: report.TypeDeb, Name: "libssl3", Version: ssl, Arch: "amd64", Source: "openssl", Path: "/var/lib/dpkg/status"})
	return &report.LayerReport{
		DiffID: string(digest(n)), Analyzers: analyzers, Complete: true,
		OSReleases: map[string]map[string]string{"/etc/os-release": {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}},
		Databases:  []report.Database{{Path: "/var/lib/dpkg/status", Packages: packages}},
		Packages:   []report.Package{{Type: report.TypePython, Name: "requests", Version: requests, Path: "/opt/app/requests.dist-info/METADATA"}},
	}
}

// client is the SDK as a user would make it.
func (s *server) client() *hss.HssClient {
	s.t.Helper()
	return s.clientOf(s.first.Key.AK, s.first.Key.Secret, s.first.Project.ID)
}

func (s *server) clientOf(ak, sk, project string) *hss.HssClient {
	s.t.Helper()
	cred, err := basic.NewCredentialsBuilder().WithAk(ak).WithSk(sk).WithProjectId(project).SafeBuild()
	if err != nil {
		s.t.Fatal(err)
	}
	hc, err := hss.HssClientBuilder().WithEndpoints([]string{s.url}).WithCredential(cred).WithHttpConfig(config.DefaultHttpConfig()).SafeBuild()
	if err != nil {
		s.t.Fatal(err)
	}
	return hss.NewHssClient(hc)
}

// refused checks that an error of the SDK is the one expected.
func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	e, ok := err.(*sdkerr.ServiceResponseError)
	if !ok {
		t.Fatalf("got %v (%T), want status %d", err, err, status)
	}
	if e.StatusCode != status || e.ErrorCode != code || e.ErrorMessage == "" || e.RequestId == "" {
		t.Errorf("got %d %s %q (request %q), want %d %s", e.StatusCode, e.ErrorCode, e.ErrorMessage, e.RequestId, status, code)
	}
}
