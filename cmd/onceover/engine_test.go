package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/test/engine"
)

// onceover runs the program in this process.
func onceover(t *testing.T, wantCode int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if code := run(args, &out, &err); code != wantCode {
		t.Fatalf("onceover %s: exit code %d, want %d\n%s", strings.Join(args, " "), code, wantCode, err.String())
	}
	return out.String(), err.String()
}

// engineHost makes a directory with an advisory database and two image files
// that share a layer, and settings that keep the tests to themselves.
func engineHost(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("ONCEOVER_CONFIG", filepath.Join(dir, "none.yaml"))
	t.Setenv("ONCEOVER_CACHE_DIR", filepath.Join(dir, "cache"))
	t.Setenv("ONCEOVER_DB", filepath.Join(dir, "adv.db"))
	for name, text := range map[string]string{
		"none.yaml":                                  "",
		"base/etc/os-release":                        "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
		"base/var/lib/dpkg/status":                   "Package: thing\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\n",
		"app/app/node_modules/left-pad/package.json": `{"name": "left-pad", "version": "1.0.0"}`,
		"extra/etc/motd":                             "hello\n",
		"rec.json": `{"id": "DEBIAN-CVE-2024-1001", "modified": "2099-01-02T00:00:00Z", "upstream": ["CVE-2024-1001"],
			"affected": [{"package": {"ecosystem": "Debian:12", "name": "thing"},
			"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1-1"}]}]}]}`,
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		makeZip([]string{at("osv/Debian.zip"), at("rec.json")}),
		makeImage([]string{"docker-archive", at("web.tar"), "web:1,web:latest", at("base"), at("app")}),
		makeImage([]string{"docker-archive", at("other.tar"), "example.org/other:2", at("base"), at("extra")}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	onceover(t, 0, "db", "build", "--from", at("osv"), "--quiet")
	return dir
}

func decodeDocument(t *testing.T, text string) *export.Document {
	t.Helper()
	var d export.Document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

// TestEngines scans what lies in real engines by every kind of name.
func TestEngines(t *testing.T) {
	for _, tc := range []struct {
		name  string
		start func(testing.TB) *engine.Engine
	}{
		{"docker", engine.Docker},
		{"containerd", engine.Containerd},
		{"docker with containerd", engine.DockerContainerdStore},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := engineHost(t)
			e := tc.start(t)
			for _, f := range []string{"web.tar", "other.tar"} {
				if err := e.Load(t.Context(), filepath.Join(dir, f)); err != nil {
					t.Fatal(err)
				}
			}
			none := filepath.Join(dir, "none.sock")
			sockets := []string{"--docker-socket", e.Socket, "--containerd-socket", e.ContainerdSocket}
			switch {
			case e.Kind == engine.KindContainerd:
				sockets = []string{"--docker-socket", none, "--containerd-socket", e.Socket}
			case e.ContainerdSocket == "":
				sockets[3] = none
			}
			scan := func(code int, args ...string) (string, string) {
				t.Helper()
				return onceover(t, code, append(append([]string{"scan", "--format", "json"}, sockets...), args...)...)
			}

			first, log := scan(0, "--all")
			if !strings.Contains(log, "2 images, 3 layers analysed, 1 from cache") {
				t.Errorf("layers were not shared:\n%s", log)
			}
			second, log := scan(0, "--all")
			if diff := cmp.Diff(first, second); diff != "" {
				t.Errorf("the second run differs: %s", diff)
			}
			if !strings.Contains(log, "0 layers analysed, 4 from cache, 0 files opened, 0 B read") {
				t.Errorf("the second run opened files:\n%s", log)
			}
			all := decodeDocument(t, first)
			if len(all.Images) != 2 {
				t.Fatalf("%d images", len(all.Images))
			}
			web := all.Images[1]
			if diff := cmp.Diff([]string{"web:1", "web:latest"}, web.Names); diff != "" {
				t.Error(diff)
			}
			if web.Counts.Packages != 2 || web.Counts.Findings != 1 || !web.Complete {
				t.Errorf("web: %+v", web.Counts)
			}

			// The same image by each of its names, and from the file.
			id := web.ConfigDigest
			for _, target := range []string{"web:1", "web", "docker.io/library/web:1", string(id), id.Hex(), id.Short(), "docker-archive:" + filepath.Join(dir, "web.tar")} {
				out, _ := scan(0, target)
				d := decodeDocument(t, out)
				if len(d.Images) != 1 || d.Images[0].ConfigDigest != id {
					t.Errorf("%s: %d images", target, len(d.Images))
					continue
				}
				if diff := cmp.Diff(web.Findings, d.Images[0].Findings); diff != "" {
					t.Errorf("%s: other findings: %s", target, diff)
				}
			}
			// The engine's image and the file are one content.
			out, _ := scan(0, "web:1", "docker-archive:"+filepath.Join(dir, "web.tar"))
			if d := decodeDocument(t, out); len(d.Images) != 1 || len(d.Images[0].Engines) != 2 {
				t.Errorf("one content in two places: %d images", len(d.Images))
			}

			out, log = scan(1, "example.org/othr:2")
			want := regexp.MustCompile(fmt.Sprintf(`(?m)^onceover: no image "example.org/othr:2"; did you mean example.org/other:2\? \(asked: .*%s.*; 'onceover scan --all' scans every image\)$`, strings.Fields(tc.name)[0]))
			if out != "" || !want.MatchString(log) {
				t.Errorf("not found:\n%s", log)
			}
			_, _ = scan(9, "web", "--exit-code", "9")
		})
	}
}
