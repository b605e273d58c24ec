package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

// TestDangling: an image without a name is listed and scanned, through the API
// and on the command line by its ID, whether it never had a name, lost it to a
// later build, or was untagged.
func TestDangling(t *testing.T) {
	eng := engine.Docker(t)
	ctx := t.Context()
	build := func(name, version string) string {
		context := tarOf(t, map[string]string{
			"Dockerfile": "FROM scratch\nCOPY status /var/lib/dpkg/status\nCOPY os-release /etc/os-release\nCOPY version /version\n",
			"status":     status, "version": version,
			"os-release": "ID=debian\nVERSION_ID=\"12\"\n",
		})
		id, err := eng.Build(ctx, bytes.NewReader(context), name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(id, "sha256:") {
			t.Fatalf("build answered %q", id)
		}
		return id
	}
	ids := map[string]string{
		"never named":    build("", "1"),
		"lost its name":  build("app:latest", "2"),
		"has the name":   build("app:latest", "3"),
		"changed tag to": build("tmp:1", "5"),
	}
	// A container that runs keeps an image without its last name.
	if err := eng.Load(ctx, runtimetest.DockerArchive(t, runtimetest.Sleeper(t, "sleeper:1"))); err != nil {
		t.Fatal(err)
	}
	keeper, err := eng.Run(ctx, engine.Container{Image: "sleeper:1", Name: "keeper", Cmd: []string{"/sleeper"}})
	if err != nil {
		t.Fatal(err)
	}
	if ids["was untagged"], err = eng.ImageOf(ctx, keeper); err != nil {
		t.Fatal(err)
	}
	if err := eng.RemoveImage(ctx, "", "sleeper:1"); err != nil {
		t.Fatal(err)
	}
	if err := eng.Retag(ctx, "tmp:1", "registry.example.org/team/tmp", "2"); err != nil {
		t.Fatal(err)
	}
	if err := eng.RemoveImage(ctx, "", "tmp:1"); err != nil {
		t.Fatal(err)
	}

	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--docker-socket", eng.Socket, "--sample", "never")
	images := s.awaitImages(len(ids), "known", func(localImage) bool { return true })
	names := map[string]int{}
	var dangling []localImage
	for _, img := range images {
		names[img.Name+":"+img.Version]++
		if img.Name == "<none>" {
			dangling = append(dangling, img)
		}
	}
	if names["<none>:<none>"] != 3 || names["app:latest"] != 1 || names["registry.example.org/team/tmp:2"] != 1 || len(images) != len(ids) {
		t.Fatalf("listed %v", names)
	}
	// The sleeper is a Go program without modules: the standard library.
	wantPackages := func(sleeper bool) int {
		if sleeper {
			return 1
		}
		return 2
	}
	scan := func(member string) {
		t.Helper()
		code, b := s.do(s.request("POST", "/v5/"+s.project+"/image/local/batch-scan", `{"image_info_list":[`+member+`]}`))
		if code != 200 {
			t.Fatalf("scan %s: %d %s", member, code, b)
		}
	}
	succeeds := func(n int) {
		t.Helper()
		for _, img := range s.awaitImages(n, "scanned", succeeded) {
			if want := wantPackages(img.ContainerNum > 0); img.Status == "success" && img.ComponentNum != want {
				t.Errorf("%+v, want %d components", img, want)
			}
		}
	}
	scan(fmt.Sprintf(`{"image_id":%q}`, dangling[0].ID))
	succeeds(1)
	scan(fmt.Sprintf(`{"image_digest":%q}`, ids["lost its name"]))
	scan(fmt.Sprintf(`{"image_digest":%q}`, ids["never named"]))
	scan(fmt.Sprintf(`{"image_digest":%q}`, ids["was untagged"]))
	succeeds(3)
	s.scanAll()
	succeeds(len(ids))

	cache := t.TempDir()
	cli := func(args ...string) (images int, packages []int) {
		t.Helper()
		out, _ := scanOut(t, t.TempDir(), cache, append([]string{"--docker-socket", eng.Socket, "--format", "json"}, args...)...)
		var doc struct {
			Images []struct {
				ConfigDigest string `json:"config_digest"`
				Packages     []any  `json:"packages"`
			} `json:"images"`
		}
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Fatal(err)
		}
		for _, img := range doc.Images {
			packages = append(packages, len(img.Packages))
		}
		return len(doc.Images), packages
	}
	for what, id := range ids {
		hex := strings.TrimPrefix(id, "sha256:")
		for _, by := range []string{id, hex, hex[:12], "sha256:" + hex[:12]} {
			if n, packages := cli(by); n != 1 || packages[0] != wantPackages(what == "was untagged") {
				t.Errorf("scan %s, %s: %d images with %v packages", by, what, n, packages)
			}
		}
	}
	if n, packages := cli("--all"); n != len(ids) {
		t.Errorf("--all: %d images with %v packages", n, packages)
	}
}
