package e2e

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/test/postgres"
	"github.com/onceover/onceover/test/shareddata"
)

// program is the built binary, database an advisory database for it.
var program, database string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "onceover-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		defer postgres.Stop()
		program = filepath.Join(dir, "onceover")
		build := exec.Command("go", "build", "-o", program, "./cmd/onceover")
		build.Dir, build.Stderr = shareddata.Root(), os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build:", err)
			return 1
		}
		database = filepath.Join(dir, "advisories.db")
		if err := buildDatabase(dir, database); err != nil {
			fmt.Fprintln(os.Stderr, "build database:", err)
			return 1
		}
		return m.Run()
	}())
}

// Two facts about packages of Debian 12, from its security tracker.
var records = []string{
	`{"id":"DEBIAN-CVE-2023-45853","modified":"2024-01-01T00:00:00Z","upstream":["CVE-2023-45853"],"affected":[{"package":{"ecosystem":"Debian:12","name":"zlib"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}`,
	`{"id":"DEBIAN-CVE-2023-4911","modified":"2024-01-01T00:00:00Z","upstream":["CVE-2023-4911"],"affected":[{"package":{"ecosystem":"Debian:12","name":"glibc"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.36-9+deb12u3"}]}]}]}`,
}

func buildDatabase(dir, to string) error {
	from := filepath.Join(dir, "osv")
	if err := os.MkdirAll(from, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(from, "Debian.zip"))
	if err != nil {
		return err
	}
	z := zip.NewWriter(f)
	for i, r := range records {
		w, err := z.Create(fmt.Sprintf("%d.json", i))
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, r); err != nil {
			return err
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		return err
	}
	cmd := exec.Command(program, "db", "build", "--from", from, "--to", to, "--quiet")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	db, err := advisory.Open(to)
	if err != nil {
		return err
	}
	return db.Close()
}

// status is a dpkg database with both packages in affected versions.
const status = `Package: zlib1g
Status: install ok installed
Architecture: amd64
Source: zlib
Version: 1:1.2.13.dfsg-1

Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc
Version: 2.36-9+deb12u1
`

// process is a running onceover.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended and been waited for
	stdout lockedBuffer
	stderr lockedBuffer
}

// lockedBuffer is read while a process writes it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir())
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the state says how it ended
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("onceover %s:\n%s%s", strings.Join(args, " "), p.stderr.String(), p.stdout.String())
		}
	})
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// end waits for the exit code.
func (p *process) end(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("onceover has not ended after %v", within)
		return -1
	}
}

func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// server is a running server and a client of it.
type server struct {
	*process
	data                  string
	url, ak, sk, project  string
	client                *http.Client
	now                   func() time.Time
	enrollKey, credential string
}

const patience = 90 * time.Second

// startServer starts a server on a free port of the loopback address. data is
// its data directory; a server that ran in it before is continued.
func startServer(t *testing.T, data string, args ...string) *server {
	t.Helper()
	s := &server{data: data, client: http.DefaultClient, now: time.Now}
	file := filepath.Join(data, "credentials.env")
	s.credential = file
	args = append([]string{"server", "--data", data, "--listen", "127.0.0.1:0", "--db", database}, args...)
	s.process = start(t, args...)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if url := serving(s.stderr.String()); url != "" {
			s.url = url
			break
		}
		select {
		case <-s.done:
			t.Fatalf("the server ended: %s", s.stderr.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("the server does not serve: %s", s.stderr.String())
		}
	}
	values := envFile(t, file)
	s.ak, s.sk, s.project = values["HUAWEICLOUD_SDK_AK"], values["HUAWEICLOUD_SDK_SK"], values["HUAWEICLOUD_SDK_PROJECT_ID"]
	if values["ONCEOVER_ENDPOINT"] != s.url || s.ak == "" || s.sk == "" || s.project == "" {
		t.Fatalf("credentials %v of a server at %s", values, s.url)
	}
	if file := filepath.Join(data, "enroll.env"); exists(file) { // the second server of a database has none
		s.enrollKey = envFile(t, file)["ONCEOVER_ENROLL_KEY"]
	}
	return s
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// serving finds "onceover: serving URL".
func serving(log string) string {
	for sc := bufio.NewScanner(strings.NewReader(log)); sc.Scan(); {
		if url, ok := strings.CutPrefix(sc.Text(), "onceover: serving "); ok {
			return url
		}
	}
	return ""
}

func envFile(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v, want mode 0600", path, fi.Mode(), err)
	}
	values := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		name, value, _ := strings.Cut(line, "=")
		values[name] = value
	}
	return values
}

// request makes a signed request of the API.
func (s *server) request(method, path, body string) *http.Request {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Project-Id", s.project)
	if err := auth.Sign(req, s.ak, s.sk, s.now()); err != nil {
		s.t.Fatal(err)
	}
	return req
}

// do sends a request and returns status and body.
func (s *server) do(req *http.Request) (int, []byte) {
	s.t.Helper()
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, b
}

func (s *server) get(path string, v any) {
	s.t.Helper()
	code, b := s.do(s.request("GET", "/v5/"+s.project+path, ""))
	if code != 200 {
		s.t.Fatalf("GET %s: %d %s", path, code, b)
	}
	if err := json.Unmarshal(b, v); err != nil {
		s.t.Fatalf("GET %s: %v in %s", path, err, b)
	}
}

// scanAll is BatchScanLocalImage of everything.
func (s *server) scanAll() {
	s.t.Helper()
	code, b := s.do(s.request("POST", "/v5/"+s.project+"/image/local/batch-scan", `{"operate_all":true}`))
	if code != 200 || len(b) != 0 {
		s.t.Fatalf("scan: %d %q, want 200 and no body", code, b)
	}
}

type localImage struct {
	ID           string `json:"image_id"`
	Name         string `json:"image_name"`
	Version      string `json:"image_version"`
	Status       string `json:"scan_status"`
	Failed       string `json:"scan_failed_desc"`
	VulNum       int    `json:"vul_num"`
	ComponentNum int    `json:"component_num"`
	ContainerNum int    `json:"container_num"`
}

func (s *server) images() []localImage {
	s.t.Helper()
	var list struct {
		Data []localImage `json:"data_list"`
	}
	s.get("/image/local-repositories?limit=200", &list)
	return list.Data
}

// awaitImages waits until n images satisfy ok.
func (s *server) awaitImages(n int, what string, ok func(localImage) bool) []localImage {
	s.t.Helper()
	var images []localImage
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		images = s.images()
		got := 0
		for _, img := range images {
			if ok(img) {
				got++
			}
		}
		if got >= n {
			return images
		}
	}
	s.t.Fatalf("%d images that are %s did not come: %+v", n, what, images)
	return nil
}

func succeeded(img localImage) bool { return img.Status == "success" }

type task struct {
	Status  int `json:"task_status"`
	Total   int `json:"total_num"`
	Success int `json:"success_num"`
	Failed  int `json:"failed_num"`
}

func (s *server) tasks() []task {
	s.t.Helper()
	var list struct {
		Data []task `json:"data_list"`
	}
	s.get("/image/tasks?type=image_scan&global_image_type=local&limit=200", &list)
	return list.Data
}

// imageSpec is an image to make: a layer for each set of files.
type imageSpec struct {
	name   string
	layers []map[string]string
}

// writeLayout writes an OCI layout with the images.
func writeLayout(t *testing.T, images ...imageSpec) string {
	t.Helper()
	dir := t.TempDir()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	blob := func(b []byte, mediaType string) map[string]any {
		d := image.DigestOf(b)
		if err := os.WriteFile(filepath.Join(blobs, d.Hex()), b, 0o644); err != nil {
			t.Fatal(err)
		}
		return map[string]any{"mediaType": mediaType, "digest": d, "size": len(b)}
	}
	doc := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var manifests []any
	for _, img := range images {
		var descs, diffIDs []any
		for _, files := range img.layers {
			d := blob(tarOf(t, files), "application/vnd.oci.image.layer.v1.tar")
			descs, diffIDs = append(descs, d), append(diffIDs, d["digest"])
		}
		config := blob(doc(map[string]any{"os": "linux", "architecture": "amd64",
			"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}}), "application/vnd.oci.image.config.v1+json")
		m := blob(doc(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
			"config": config, "layers": descs}), "application/vnd.oci.image.manifest.v1+json")
		m["annotations"] = map[string]string{
			"io.containerd.image.name":          "docker.io/library/" + img.name,
			"org.opencontainers.image.ref.name": img.name,
		}
		manifests = append(manifests, m)
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "index.json"), doc(map[string]any{"schemaVersion": 2, "manifests": manifests}), 0o644),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for path, content := range files {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Size: int64(len(content)), Mode: 0o644})
		if err == nil {
			_, err = io.WriteString(w, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// family is n images on one Debian base, each with a layer of its own that
// takes a moment to read.
func family(n int) []imageSpec {
	base := map[string]string{
		"etc/os-release":      "ID=debian\nVERSION_ID=\"12\"\nNAME=\"Debian GNU/Linux\"\n",
		"var/lib/dpkg/status": status,
	}
	const files = 20_000
	images := make([]imageSpec, n)
	for i := range images {
		own := make(map[string]string, files)
		for j := range files {
			own[fmt.Sprintf("srv/app%d/data/%d/%d", i, j%100, j)] = "x"
		}
		own[fmt.Sprintf("srv/app%d/node_modules/left-pad/package.json", i)] = `{"name":"left-pad","version":"1.3.0"}`
		images[i] = imageSpec{fmt.Sprintf("app%02d:1", i), []map[string]string{base, own}}
	}
	return images
}
