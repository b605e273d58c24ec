package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// apiError is how a client of HSS reads an error.
type apiError struct {
	Code      string `json:"error_code"`
	Message   string `json:"error_msg"`
	RequestID string `json:"request_id"`
}

func TestSampleWithoutAnEngine(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := startServer(t, data, "--no-engines")
	images := s.awaitImages(1, "scanned", succeeded)
	if images[0].Name != "onceover-sample" || images[0].ComponentNum < 10 {
		t.Errorf("image %+v", images[0])
	}
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(s.stdout.String(), "onceover-sample:this-host") && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	if !strings.Contains(s.stdout.String(), "VULNERABILITIES") {
		t.Errorf("no table: %q", s.stdout.String())
	}
	for _, secret := range []string{s.sk, s.enrollKey} {
		if strings.Contains(s.stderr.String()+s.stdout.String(), secret) {
			t.Error("a secret was printed")
		}
		files, err := filepath.Glob(filepath.Join(data, "onceover.sqlite*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("a secret lies in the clear in %s", f)
			}
		}
	}
	s.terminate()
	if code := s.end(30 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	again := startServer(t, data, "--no-engines")
	if again.ak != s.ak || again.sk != s.sk {
		t.Error("the credentials changed")
	}
	if got := again.images(); len(got) != 1 {
		t.Errorf("images after a restart: %+v", got)
	}
}

func TestHealthAndVersion(t *testing.T) {
	s := startServer(t, t.TempDir(), "--no-agent")
	for path, want := range map[string]string{"/healthz": `"ok"`, "/version": `"onceover"`} {
		resp, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(b), want) {
			t.Errorf("%s: %d %s %v", path, resp.StatusCode, b, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := startServer(t, t.TempDir(), "--no-agent")
	list := "/v5/" + s.project + "/image/local-repositories"
	batch := "/v5/" + s.project + "/image/local/batch-scan"
	tests := []struct {
		name   string
		make   func() *http.Request
		status int
		code   string
	}{
		{"wrong SK", func() *http.Request {
			wrong := *s
			wrong.sk = "wrong"
			return wrong.request("GET", list, "")
		}, 401, "APIGW.0301"},
		{"unknown AK", func() *http.Request {
			wrong := *s
			wrong.ak = "NOBODY"
			return wrong.request("GET", list, "")
		}, 401, "APIGW.0301"},
		{"expired date", func() *http.Request {
			late := *s
			late.now = func() time.Time { return time.Now().Add(-16 * time.Minute) }
			return late.request("GET", list, "")
		}, 401, "APIGW.0301"},
		{"changed body", func() *http.Request {
			r := s.request("POST", batch, `{"operate_all":false}`)
			r.Body = io.NopCloser(strings.NewReader(`{"operate_all":true }`))
			r.GetBody = nil
			return r
		}, 401, "APIGW.0301"},
		{"not signed", func() *http.Request {
			r := s.request("GET", list, "")
			r.Header.Del("Authorization")
			return r
		}, 401, "APIGW.0301"},
		{"foreign project in the header", func() *http.Request {
			other := *s
			other.project = "0123456789abcdef0123456789abcdef"
			return other.request("GET", list, "")
		}, 403, "HSS.0013"},
		{"foreign project in the path", func() *http.Request {
			return s.request("GET", "/v5/0123456789abcdef0123456789abcdef/image/local-repositories", "")
		}, 403, "HSS.0013"},
		{"50 MB", func() *http.Request {
			r := s.request("POST", batch, "")
			r.Body, r.ContentLength, r.GetBody = io.NopCloser(io.LimitReader(spaces{}, 50<<20)), 50<<20, nil
			return r
		}, 413, ""},
		{"user key at the agent protocol", func() *http.Request {
			return s.request("POST", "/agent/v1/sync", "{}")
		}, 403, "HSS.0013"},
		{"no such API", func() *http.Request { return s.request("GET", "/v4/x", "") }, 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := s.client.Do(tt.make())
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var e apiError
			if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || tt.code != "" && e.Code != tt.code {
				t.Errorf("answer %d %+v, want %d %s", resp.StatusCode, e, tt.status, tt.code)
			}
			if e.Code == "" || e.Message == "" || e.RequestID == "" || e.RequestID != resp.Header.Get("X-Request-Id") {
				t.Errorf("error %+v, request id %q in the header", e, resp.Header.Get("X-Request-Id"))
			}
		})
	}
	if code, b := s.do(s.request("GET", list, "")); code != 200 {
		t.Errorf("after all that: %d %s", code, b)
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestTokens(t *testing.T) {
	s := startServer(t, t.TempDir(), "--no-agent")
	body := `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"` + s.ak + `","password":"` + s.sk + `","domain":{"name":"any"}}}},"scope":{"project":{"name":"cn-north-4"}}}}`
	resp, err := http.Post(s.url+"/v3/auth/tokens", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	token := resp.Header.Get("X-Subject-Token")
	if resp.StatusCode != 201 || token == "" {
		t.Fatalf("answer %d", resp.StatusCode)
	}
	req, err := http.NewRequest("GET", s.url+"/v5/"+s.project+"/image/local-repositories", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", token)
	if code, b := s.do(req); code != 200 {
		t.Errorf("with the token: %d %s", code, b)
	}
	if code, b := s.do(s.request("GET", "/v3/projects?name=cn-north-4", "")); code != 200 || !strings.Contains(string(b), s.project) {
		t.Errorf("projects: %d %s", code, b)
	}
}

func TestOneServerPerDirectory(t *testing.T) {
	s := startServer(t, t.TempDir(), "--no-agent")
	second := start(t, "server", "--data", s.data, "--listen", "127.0.0.1:0", "--db", database)
	if code := second.end(patience); code != 1 || !strings.Contains(second.stderr.String(), "another onceover server uses "+s.data) {
		t.Errorf("exit code %d: %s", code, second.stderr.String())
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name, says string
		args       []string
	}{
		{"open address", "--insecure-http", []string{"server", "--listen", "0.0.0.0:0"}},
		{"all addresses", "--insecure-http", []string{"server", "--listen", ":0"}},
		{"no port", "HOST:PORT", []string{"server", "--listen", "127.0.0.1"}},
		{"key alone", "--tls-cert and --tls-key", []string{"server", "--tls-key", "x"}},
		{"no jobs", "--jobs", []string{"server", "--jobs", "0"}},
		{"scan without agent", "--no-agent", []string{"server", "--no-agent", "--scan-now"}},
		{"no such archive", "--archive", []string{"server", "--archive", "web.tar"}},
		{"agent without a server", "--server", []string{"agent"}},
		{"agent in the clear", "--insecure-http", []string{"agent", "--server", "http://192.0.2.1:1"}},
		{"agent to nowhere", "https://host:port", []string{"agent", "--server", "nowhere"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append(tt.args, "--data", t.TempDir())
			if args[0] == "server" {
				args = append(args, "--db", database)
			}
			p := start(t, args...)
			if code := p.end(patience); code != 2 || !strings.Contains(p.stderr.String(), tt.says) {
				t.Errorf("exit code %d: %s", code, p.stderr.String())
			}
		})
	}
}

func TestAgentWithAWrongKey(t *testing.T) {
	s := startServer(t, t.TempDir(), "--no-agent")
	p := start(t, "agent", "--server", s.url, "--data", t.TempDir(), "--no-engines", "--enroll-key", "wrong")
	if code := p.end(patience); code != 1 || !strings.Contains(p.stderr.String(), "enrolment key is unknown") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	p = start(t, "agent", "--server", s.url, "--data", t.TempDir(), "--no-engines")
	if code := p.end(patience); code != 1 || !strings.Contains(p.stderr.String(), "not enrolled") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

// An agent of its own over TLS with a private certificate authority.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pool := makeCertificate(t, cert, key)
	s := startServer(t, filepath.Join(dir, "data"), "--no-agent", "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(s.url, "https://") {
		t.Fatalf("serving %s", s.url)
	}
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	args := []string{"agent", "--server", s.url, "--no-engines", "--enroll-key", s.enrollKey,
		"--archive", "oci:" + writeLayout(t, family(1)...)}

	stranger := start(t, append(args, "--data", t.TempDir())...) // does not know the authority
	time.Sleep(2 * time.Second)
	stranger.kill()
	if got := s.images(); len(got) != 0 {
		t.Errorf("an agent that cannot know the server sent images: %+v", got)
	}
	start(t, append(args, "--data", t.TempDir(), "--tls-ca", cert)...)
	s.awaitImages(1, "known", func(localImage) bool { return true })
	s.scanAll()
	s.awaitImages(1, "scanned", succeeded)
}

func makeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for file, b := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}
