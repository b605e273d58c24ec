package contract

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
	"github.com/onceover/onceover/test/planted"
)

// A host is what a server and its agent are started with: images in a layout
// and in an engine, containers, a deny list and advisories.
type host struct {
	layout, rules, advisories string
	docker                    *engine.Engine // nil where none can run
}

// newHost has an image with something of everything, its base, and a clean
// one. Containers of the first two run, or were created only; one is of a pod.
func newHost(t *testing.T, docker *engine.Engine) *host {
	t.Helper()
	plot, err := planted.Bad(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	if err != nil {
		t.Fatal(err)
	}
	sleeper := planted.Layer{Command: "COPY sleeper / # buildkit", Files: []planted.File{{Path: "/sleeper", Mode: 0o755, Content: runtimetest.SleeperProgram(t)}}}
	plot.Base.Layers = append(plot.Base.Layers, sleeper)
	plot.Image.Layers = slices.Insert(plot.Image.Layers, 1, sleeper)
	plot.Image.Config.Entrypoint = []string{"/sleeper"}
	h := &host{layout: t.TempDir(), rules: t.TempDir(), advisories: advisoryFile(t), docker: docker}
	if err := os.Mkdir(filepath.Join(h.rules, "policy"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.rules, "policy", "deny.yaml"), []byte(plot.DenyList), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := planted.WriteOCI(h.layout, plot.Base, plot.Image, planted.Clean()); err != nil {
		t.Fatal(err)
	}
	if h.docker == nil {
		return h
	}
	for _, i := range []planted.Image{plot.Base, plot.Image} {
		file := filepath.Join(t.TempDir(), "image.tar")
		if err := planted.WriteArchive(file, i); err != nil {
			t.Fatal(err)
		}
		if err := h.docker.Load(t.Context(), file); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []engine.Container{
		{Image: planted.BadRef, Name: "front-1", Labels: map[string]string{
			"io.kubernetes.container.name": "front-1", "io.kubernetes.pod.name": "front-0", "io.kubernetes.pod.uid": "uid-0"}},
		{Image: planted.BadRef, Name: "front-2"},
		{Image: planted.BadRef, Name: "idle", Stopped: true},
		{Image: planted.BaseRef, Name: "back-1", Cmd: []string{"/sleeper"}},
	} {
		if _, err := h.docker.Run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// dockerd is nil where it cannot run and need not.
func dockerd(t *testing.T) *engine.Engine {
	t.Helper()
	e, err := engine.Start(t.Context(), engine.KindDocker, "")
	if errors.Is(err, engine.ErrMissing) && os.Getenv("REQUIRE_RUNTIMES") != "1" {
		t.Logf("no containers: %v", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return e
}

// openPostgres reads the server's own database beside it.
func openPostgres(t *testing.T, url string) *database {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &database{DB: db, t: t}
}

// newConformer starts the program with what a host has, and scans it. The
// database is a file if its URL is empty.
func newConformer(t *testing.T, sp *spec, h *host, url string) *conformer {
	t.Helper()
	flags := []string{"--sample", "never", "--archive", "oci:" + h.layout, "--rules", h.rules, "--db", h.advisories, "--rate-limit", "0"}
	if h.docker == nil {
		flags = append(flags, "--no-engines")
	} else {
		flags = append(flags, "--docker-socket", h.docker.Socket)
	}
	if url != "" {
		flags = append(flags, "--database", url)
	}
	c := &conformer{t: t, spec: sp, host: h, running: startServer(t, flags...)}
	names := []string{"planted", "planted-base", "clean"}
	for _, name := range names {
		waitFor(t, c.HssClient, func(i model.ImageLocalInfo) bool {
			return *i.ImageName == name && (h.docker == nil || name == "clean" || *i.ContainerNum > 0)
		})
	}
	if _, err := c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Body: &model.LocalImageBatchScanRequestBody{OperateAll: new(true)}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		i := waitFor(t, c.HssClient, func(i model.ImageLocalInfo) bool {
			return *i.ImageName == name && (*i.ScanStatus == "success" || *i.ScanStatus == "failed")
		})
		if *i.ScanStatus != "success" {
			t.Fatalf("%v", i)
		}
	}
	if url == "" {
		c.db = openDatabase(t, c.data)
	} else {
		c.db = openPostgres(t, url)
	}
	c.learn()
	return c
}

// decide leaves decisions and a history: zlib is ignored in one image, requests
// was and is on a whitelist, two paths are.
func (c *conformer) decide() {
	c.t.Helper()
	for _, d := range []struct{ vul, typ, action, remark string }{
		{zlib, "linux_vul", "ignore", "no fix yet"}, {requests, "app_vul", "ignore", "by mistake"}, {requests, "app_vul", "not_ignore", "taken back"},
	} {
		if _, err := c.HandleImageVulnerability(&model.HandleImageVulnerabilityRequest{Body: &model.HandleImageVulnerabilityRequestBody{
			ImageType: "local", Type: d.typ, OperateType: d.action, SelectType: "vul_view", Remark: &d.remark,
			VulDataList: &[]model.HandleImageVulnerabilityRequestBodyVulDataList{{VulId: &d.vul, ImageIdList: &[]string{c.known["image_id"].(string)}}},
		}}); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, err := c.AddImageWhiteLists(&model.AddImageWhiteListsRequest{GlobalImageType: "local", Type: "vulnerability",
		Body: &model.AddImageWhiteListsRequestBody{RuleType: "all_images", VulIds: &[]string{requests}, Description: new("of all")}}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.ChangeFilePathWhiteLists(&model.ChangeFilePathWhiteListsRequest{
		Body: &model.ChangeFilePathWhiteDetailRequestInfo{CustomizedPath: &[]string{"/srv/nowhere", "/elsewhere/*"}}}); err != nil {
		c.t.Fatal(err)
	}
}

// learn finds values that select something.
func (c *conformer) learn() {
	c.t.Helper()
	image := waitFor(c.t, c.HssClient, func(i model.ImageLocalInfo) bool { return *i.ImageName == "planted" })
	one := func(query string) string { return c.db.strings(query)[0] }
	c.known = map[string]any{
		"image_id": *image.ImageId, "image_name": "planted", "image_version": "1", "tag_name": "1", "image_digest": *image.ImageDigest,
		"image_size": *image.ImageSize, "agent_id": *image.AgentId, "host_id": *image.HostId, "host_name": *image.HostName,
		"vul_id": openssl, "vul_name": openssl, "cve_id": openssl, "app_name": "ssl", "type": "linux_vul",
		"check_name": "SSH", "check_type": "SSH", "check_rule_id": "SSH-01", "check_rule_name": "SSH", "standard": "hw_standard",
		"rule_id": "BC-USER-ROOT", "file_path": "/", "file_name": "s", "user_name": "o", "os_name": "Debian",
		"sensitive_info_id": fmt.Sprintf("%016x", uint64(c.db.count("SELECT min(id) FROM secret"))),
		"task_id":           one("SELECT max(id) FROM scan_task"), "task_name": "a",
		"repair_necessity": "immediate_repair", "severity": "High", "severity_level": "High",
		"enterprise_project_id": "all_granted_eps", "limit": 200, "offset": 0, "region": "cn-north-4",
		"start_latest_update_time": 0, "end_latest_update_time": 4070880000000, "start_latest_scan_time": 0, "end_latest_scan_time": 4070880000000,
		"create_time": 0, "end_time": 4070880000000, "start_time": 0, "scan_scope": 0x7fffffff,
		"image_type": "local_image", "global_image_type": "local", "is_handled": false, "has_container": false, "handle_status": "unhandled",
		"select_type": "all_vul", "description": "of the test", "operate_type": "ignore", "rate_limit": 0, "remark": "of the test",
		"id": "none", "file_id": "none", "cicd_id": "none", "container_id": "none",
		"extended_weak_password": "a word of the test", "customized_path": "/srv/none", "export_size": 100,
	}
	if c.host.docker != nil {
		c.known["container_id"] = one("SELECT container_id FROM container WHERE name = 'front-1'")
	}
}
