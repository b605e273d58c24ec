package runtime_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/internal/runtime/storage"
	"github.com/onceover/onceover/test/engine"
)

func names(t *testing.T, sources []image.Source) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, s := range sources {
		imgs, err := s.Images(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range imgs {
			for _, n := range img.Names {
				out[s.Engine()] = append(out[s.Engine()], n.String())
			}
		}
	}
	return out
}

func TestDiscoverEngines(t *testing.T) {
	d, c := engine.Docker(t), engine.Containerd(t)
	img := runtimetest.DockerArchive(t, runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"a": "1"}))
	for _, e := range []*engine.Engine{d, c} {
		if err := e.Load(t.Context(), img); err != nil {
			t.Fatal(err)
		}
	}
	missing := filepath.Join(t.TempDir(), "none.sock")
	link := filepath.Join(t.TempDir(), "docker.sock") // the same daemon by another path counts once
	if err := os.Symlink(d.Socket, link); err != nil {
		t.Fatal(err)
	}
	sources, engines := runtime.Discover(t.Context(), runtime.Config{
		Docker: []string{d.Socket, missing, link}, Containerd: []string{c.Socket},
	})
	defer runtime.CloseAll(sources...)
	want := []runtime.EngineState{
		{Name: "docker", Socket: d.Socket},
		{Name: "docker", Socket: missing, Error: "docker at " + missing + ": no such socket: is docker running?"},
		{Name: "containerd", Socket: c.Socket},
	}
	if diff := cmp.Diff(want, engines, cmpopts.IgnoreFields(runtime.EngineState{}, "Version")); diff != "" {
		t.Error(diff)
	}
	for _, e := range engines {
		if (e.Version == "") != (e.Error != "") {
			t.Errorf("version and error of %+v", e)
		}
	}
	if diff := cmp.Diff(map[string][]string{"docker": {"app:1"}, "containerd": {"app:1"}}, names(t, sources)); diff != "" {
		t.Error(diff)
	}
}

// TestDiscoverStorage: graph roots beside engines, each root once, by whatever
// way it is found.
func TestDiscoverStorage(t *testing.T) {
	d, p, other := engine.Docker(t), engine.Podman(t), engine.PodmanVFS(t)
	img := runtimetest.DockerArchive(t, runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"a": "1"}))
	for _, e := range []*engine.Engine{d, p, other} {
		if err := e.Load(t.Context(), img); err != nil {
			t.Fatal(err)
		}
	}
	host := storage.Host{Prefix: t.TempDir()}
	conf := filepath.Join(host.Prefix, "etc/crio/crio.conf")
	if err := errors.Join(os.MkdirAll(filepath.Dir(conf), 0o755), os.WriteFile(conf, fmt.Appendf(nil, "[crio]\nroot = %q\n", other.DataRoot), 0o644)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "root") // the same store by another path counts once
	if err := os.Symlink(p.DataRoot, link); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "none")
	sources, engines := runtime.Discover(t.Context(), runtime.Config{
		Docker: []string{d.Socket}, Containerd: []string{}, Host: host,
		Podman: []string{p.Socket, d.Socket}, Storage: []string{other.DataRoot, link, missing},
	})
	defer runtime.CloseAll(sources...)
	version := ""
	if len(engines) > 1 {
		version = engines[1].Version
	}
	if !strings.Contains(version, ".") {
		t.Errorf("version of podman: %q", version)
	}
	want := []runtime.EngineState{
		{Name: "docker", Version: engines[0].Version, Socket: d.Socket},
		{Name: "podman", Version: version, Socket: p.DataRoot},
		{Name: "podman", Socket: d.Socket, Error: "podman at " + d.Socket + ": what listens there is no podman: 404 Not Found"},
		{Name: "cri-o", Socket: other.DataRoot},
		{Name: "podman", Socket: missing, Error: missing + ": no store of podman, CRI-O or buildah is there"},
	}
	if diff := cmp.Diff(want, engines); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string][]string{"docker": {"app:1"}, "podman": {"localhost/app:1"}, "cri-o": {"localhost/app:1"}}, names(t, sources)); diff != "" {
		t.Error(diff)
	}

	// Without rights the store is there and cannot be read.
	if os.Geteuid() != 0 {
		return
	}
	states := asNobody(t, func() []runtime.EngineState {
		_, engines := runtime.Discover(t.Context(), runtime.Config{Docker: []string{}, Containerd: []string{}, Storage: []string{p.DataRoot}})
		return engines
	})
	if len(states) != 1 || !strings.HasSuffix(states[0].Error, "permission denied: run as root or as its owner") {
		t.Errorf("as somebody else: %+v", states)
	}
}

// TestDiscoverOnce: an image that docker keeps in containerd is listed once.
func TestDiscoverOnce(t *testing.T) {
	e := engine.DockerContainerdStore(t)
	one := runtimetest.DockerArchive(t, runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"a": "1"}))
	if err := e.Load(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	two := runtimetest.DockerArchive(t, runtimetest.Build(t, "other:1", runtimetest.Gzip, map[string]string{"a": "2"}))
	if err := e.Import(t.Context(), "k8s.io", two, false); err != nil {
		t.Fatal(err)
	}
	sources, engines := runtime.Discover(t.Context(), runtime.Config{Docker: []string{e.Socket}, Containerd: []string{e.ContainerdSocket}})
	defer runtime.CloseAll(sources...)
	if len(engines) != 2 || engines[0].Error != "" || engines[1].Error != "" {
		t.Fatalf("engines: %+v", engines)
	}
	if diff := cmp.Diff(map[string][]string{"docker": {"app:1"}, "containerd": {"other:1"}}, names(t, sources)); diff != "" {
		t.Error(diff)
	}
}

func TestDiscoverNothing(t *testing.T) {
	sources, engines := runtime.Discover(t.Context(), runtime.Config{Docker: []string{}, Containerd: []string{}, Storage: []string{}})
	if len(sources) != 0 || len(engines) != 0 {
		t.Errorf("got %v, %v", sources, engines)
	}
}

func TestDiscoverFromEnvironment(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close() // a socket that nobody listens on: docker has died
	for _, tc := range []struct {
		name, host string
		want       bool
	}{
		{"unix socket", "unix://" + socket, true},
		{"another host", "tcp://192.0.2.1:2376", false},
		{"relative", "unix://d.sock", false},
		{"none", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, engines := runtime.Discover(t.Context(), runtime.Config{
				Containerd: []string{},
				Getenv:     func(k string) string { return map[string]string{"DOCKER_HOST": tc.host}[k] },
			})
			found := false
			for _, e := range engines {
				if e.Socket == socket {
					found = true
					if !strings.Contains(e.Error, "connection refused") {
						t.Errorf("got %+v, want connection refused", e)
					}
				}
			}
			if found != tc.want {
				t.Errorf("found %v, want %v: %+v", found, tc.want, engines)
			}
		})
	}
}

func TestPermissionDenied(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	d, c := engine.Docker(t), engine.Containerd(t)
	if err := os.Chmod(filepath.Dir(d.Socket), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(c.Socket), 0o755); err != nil {
		t.Fatal(err)
	}
	engines := asNobody(t, func() []runtime.EngineState {
		sources, engines := runtime.Discover(t.Context(), runtime.Config{Docker: []string{d.Socket}, Containerd: []string{c.Socket}})
		runtime.CloseAll(sources...)
		return engines
	})
	for i, want := range []string{"permission denied: run as root or join the group docker", "permission denied: run as root"} {
		if i >= len(engines) || !strings.HasSuffix(engines[i].Error, want) {
			t.Errorf("got %+v, want an error that ends in %q", engines, want)
		}
	}
}

// asNobody calls f with the whole process being somebody else.
func asNobody[T any](t *testing.T, f func() T) T {
	t.Helper()
	const nobody = 65534
	groups, err := syscall.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	do := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	do(syscall.Setgroups(nil), syscall.Setregid(-1, nobody), syscall.Setreuid(-1, nobody))
	defer func() { do(syscall.Setreuid(-1, 0), syscall.Setregid(-1, 0), syscall.Setgroups(groups)) }()
	return f()
}

func TestOpen(t *testing.T) {
	img := runtimetest.Build(t, "app:1", runtimetest.Gzip, map[string]string{"a": "1"})
	two := runtimetest.Build(t, "app:2", runtimetest.Gzip, map[string]string{"a": "2"})
	docker := runtimetest.DockerArchive(t, img)
	dir := runtimetest.Layout(t, img, two)
	colon := filepath.Join(t.TempDir(), "a:b")
	if err := os.Rename(runtimetest.Layout(t, img), colon); err != nil {
		t.Fatal(err)
	}
	oci := runtimetest.PackDir(t, dir)
	for _, tc := range []struct {
		target  string
		archive bool
		images  int
		code    fault.Code
		err     string
	}{
		{"docker-archive:" + docker, true, 1, 0, ""},
		{"oci:" + dir, true, 2, 0, ""},
		{"oci:" + dir + ":2", true, 1, 0, ""},
		{"oci:" + dir + ":docker.io/library/app:2", true, 1, 0, ""},
		{"oci:" + colon, true, 1, 0, ""},
		{"oci:" + colon + ":1", true, 1, 0, ""},
		{"oci-archive:" + oci, true, 2, 0, ""},
		{"oci-archive:" + oci + ":1", true, 1, 0, ""},
		{"oci-archive:" + oci + ":9", true, 0, fault.NotFound, `no image "9"`},
		{"oci-archive:" + docker, true, 0, fault.Invalid, "docker-archive:FILE"},
		{"docker-archive:" + oci, true, 0, fault.Invalid, "oci-archive:FILE"},
		{"docker-archive:/nowhere/x.tar", true, 0, fault.NotFound, "no such file"},
		{"oci:/nowhere/x:1", true, 0, fault.NotFound, "no such file"},
		{"oci:", true, 0, fault.Invalid, "wants a path"},
		{"docker-archive:", true, 0, fault.Invalid, "wants a path"},
		{"nginx:1.25", false, 0, 0, ""},
		{"nginx", false, 0, 0, ""},
		{"oci-registry.example/x:1", false, 0, 0, ""},
	} {
		t.Run(tc.target, func(t *testing.T) {
			src, ok, err := runtime.Open(t.Context(), tc.target)
			if ok != tc.archive {
				t.Fatalf("archive: %v, want %v", ok, tc.archive)
			}
			if tc.err != "" {
				if err == nil || fault.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v (%v), want %q (%v)", err, fault.CodeOf(err), tc.err, tc.code)
				}
				if src != nil {
					t.Error("a source beside an error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return
			}
			defer runtime.CloseAll(src)
			imgs, err := src.Images(t.Context())
			if err != nil || len(imgs) != tc.images {
				t.Errorf("%d images, %v; want %d", len(imgs), err, tc.images)
			}
		})
	}
}
