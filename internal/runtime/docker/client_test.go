package docker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/fault"
)

// serve answers like a daemon that has gone wrong.
func serve(t *testing.T, version string, h http.HandlerFunc) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_ping" {
			w.Header().Set("Api-Version", version)
			return
		}
		h(w, r)
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return socket
}

func TestOddAnswers(t *testing.T) {
	spaces := strings.Repeat(" ", 1<<20)
	for _, tc := range []struct {
		name    string
		version string
		answer  http.HandlerFunc
		want    string
		code    fault.Code
	}{
		{"no daemon", "", nil, "no docker daemon", fault.Unavailable},
		{"version is none", "2.x", nil, "no docker daemon", fault.Unavailable},
		{"no JSON", "1.41", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "read the answer to", fault.Internal},
		{"error", "1.41", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			io.WriteString(w, `{"message":"disk is full"}`)
		}, "disk is full", fault.Unavailable},
		{"error without words", "1.41", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "503 Service Unavailable", fault.Unavailable},
		{"too large", "1.41", func(w http.ResponseWriter, _ *http.Request) {
			for range maxAnswerBytes>>20 + 1 {
				io.WriteString(w, spaces)
			}
		}, "larger than", fault.TooLarge},
		{"cut off", "1.41", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"Driver":"over`) }, "read the answer to", fault.Internal},
		{"another driver", "1.41", func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/v1.41/info":
				io.WriteString(w, `{"Driver":"zfs","DockerRootDir":"/var/lib/docker"}`)
			default:
				io.WriteString(w, `[]`)
			}
		}, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if testing.Short() && tc.code == fault.TooLarge {
				t.Skip("fills the largest answer")
			}
			src, err := New(Config{Socket: serve(t, tc.version, tc.answer)})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			_, err = src.Images(t.Context())
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || fault.CodeOf(err) != tc.code) {
				t.Errorf("got %v (%v), want %q (%v)", err, fault.CodeOf(err), tc.want, tc.code)
			}
		})
	}
}

func TestVersionIsNegotiated(t *testing.T) {
	for server, want := range map[string]string{"1.41": "1.41", "1.24": "1.24", "1.99": fmt.Sprintf("1.%d", newestMinor)} {
		got, err := newClient(serve(t, server, nil)).version(t.Context())
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", server, got, err, want)
		}
	}
}

// TestUnreadStores lists images with the reason why they are not read.
func TestUnreadStores(t *testing.T) {
	const list = `[{"Id":"sha256:` + "0123456789012345678901234567890123456789012345678901234567890123" + `","RepoTags":["a:1"],"Size":5}]`
	for _, tc := range []struct{ name, info, want string }{
		{"driver", `{"Driver":"zfs","DockerRootDir":"/var/lib/docker"}`, "docker's storage driver zfs is not read in place"},
		{"root elsewhere", `{"Driver":"overlay2","DockerRootDir":"/nowhere/docker"}`, "docker's data root /nowhere/docker cannot be seen from here"},
		{"root is odd", `{"Driver":"overlay2","DockerRootDir":"../x"}`, `docker's data root "../x" is no absolute path`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, err := New(Config{Socket: serve(t, "1.41", func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/v1.41/info":
					io.WriteString(w, tc.info)
				case "/v1.41/images/json":
					io.WriteString(w, list)
				default:
					io.WriteString(w, "[]")
				}
			})})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			imgs, err := src.Images(t.Context())
			if err != nil || len(imgs) != 1 {
				t.Fatalf("%d images, %v; want one", len(imgs), err)
			}
			if !strings.HasPrefix(imgs[0].NonScanReason, tc.want) {
				t.Errorf("reason %q, want %q", imgs[0].NonScanReason, tc.want)
			}
			if _, err := src.Open(t.Context(), imgs[0]); err == nil {
				t.Error("opened all the same")
			}
		})
	}
}
