package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A server that was told to offers its advisories to a machine that has no
// access key, signed; after kill -9 it offers them again.
func TestAdvisoriesFromAServer(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "mirror")
	if code := start(t, "db", "keygen", key).end(patience); code != 0 {
		t.Fatal("no key")
	}
	data := filepath.Join(dir, "data")
	args := []string{"--no-agent", "--serve-advisories", "--advisory-sign", key + ".key"}
	s := startServer(t, data, args...)
	offered(t, s.url)
	update := func(to string, more ...string) *process {
		p := start(t, append([]string{"db", "update", "--url", s.url, "--to", filepath.Join(dir, to)}, more...)...)
		<-p.done
		return p
	}
	p := update("there.db", "--key", key+".pub")
	if code := p.end(patience); code != 0 || !strings.Contains(p.stderr.String(), "signed by key") {
		t.Fatalf("exit code %d:\n%s", code, p.stderr.String())
	}
	want, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "there.db")); err != nil || string(got) != string(want) {
		t.Errorf("the database that came is another: %d and %d bytes, %v", len(got), len(want), err)
	}
	if code := start(t, "db", "keygen", key+"2").end(patience); code != 0 {
		t.Fatal("no key")
	}
	if p := update("no.db", "--key", key+"2.pub"); p.end(patience) == 0 || !strings.Contains(p.stderr.String(), "not trusted here") {
		t.Errorf("another key was good enough:\n%s", p.stderr.String())
	}

	s.kill()
	s = startServer(t, data, args...)
	offered(t, s.url)
	if p := update("again.db", "--key", key+".pub"); p.end(patience) != 0 {
		t.Error(p.stderr.String())
	}
	for path, want := range map[string]string{"/metrics": "onceover_advisories_info{", "/advisories/v1/status": `"served":true`} {
		if code, body := get(t, s.url+path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}

	// A server that was not told to offers nothing.
	quiet := startServer(t, filepath.Join(dir, "quiet"), "--no-agent")
	if code, _ := get(t, quiet.url+"/advisories/v1/index.json"); code != http.StatusNotFound {
		t.Errorf("offers advisories without being told: %d", code)
	}
}

func offered(t *testing.T, url string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if code, _ := get(t, url+"/advisories/v1/index.json"); code == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nothing is offered")
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
