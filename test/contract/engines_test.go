package contract

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/test/engine"
	"github.com/onceover/onceover/test/fixture"
	"github.com/onceover/onceover/test/shareddata"
)

// TestEngines is the main job, by the unmodified SDK, on real engines with
// three real images: the request of Huawei's own example is answered with an
// empty 200, and within seconds the list shows each image scanned.
func TestEngines(t *testing.T) {
	if testing.Short() {
		t.Skip("starts engines")
	}
	shared := shareddata.Dir(t)
	example := filepath.Join(filepath.Dir(shared), "contract", "example-request.json")
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(t.TempDir(), "advisories.db")
	if out, err := exec.CommandContext(t.Context(), bin, "db", "build", "--from", filepath.Join(shared, "osv"), "--to", db).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	for _, e := range []struct {
		name  string
		start func(testing.TB) *engine.Engine
	}{
		{"docker", engine.Docker},
		{"containerd", engine.Containerd},
		{"docker with the containerd store", engine.DockerContainerdStore},
	} {
		t.Run(e.name, func(t *testing.T) {
			eng := e.start(t)
			for _, name := range []string{"debian-web", "alpine-3.16.9", "scratch-go"} {
				if err := eng.Load(t.Context(), fixture.Image(t, name).Archive); err != nil {
					t.Fatal(err)
				}
			}
			flags := []string{"--db", db, "--sample", "never"}
			if eng.Kind != engine.KindContainerd {
				flags = append(flags, "--docker-socket", eng.Socket)
			}
			if eng.ContainerdSocket != "" {
				flags = append(flags, "--containerd-socket", eng.ContainerdSocket)
			}
			c := startBinary(t, flags...)

			var body model.LocalImageBatchScanRequestBody
			raw, err := os.ReadFile(example)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &body); err != nil {
				t.Fatal(err)
			}
			// The example names images of Huawei's; ours take their places.
			list := []model.LocalImageInfo{}
			for _, part := range []string{"debian-web", "alpine", "scratch-go"} {
				img := waitFor(t, c, func(i model.ImageLocalInfo) bool { return strings.Contains(*i.ImageName, part) })
				if *img.ScanStatus != "unscan" {
					t.Errorf("%s is %s before any scan", *img.ImageName, *img.ScanStatus)
				}
				list = append(list, model.LocalImageInfo{ImageId: img.ImageId, ImageDigest: img.ImageDigest, ImageName: img.ImageName, ImageVersion: img.ImageVersion})
			}
			body.ImageInfoList = &list

			asked := time.Now()
			resp, err := c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Body: &body})
			if err != nil {
				t.Fatal(err)
			}
			if resp.HttpStatusCode != http.StatusOK {
				t.Errorf("status %d", resp.HttpStatusCode)
			}
			for _, want := range list {
				img := waitFor(t, c, func(i model.ImageLocalInfo) bool {
					return *i.ImageId == *want.ImageId && (*i.ScanStatus == "success" || *i.ScanStatus == "failed")
				})
				if *img.ScanStatus != "success" {
					t.Fatalf("%s: %s", *img.ImageName, *img.ScanFailedDesc)
				}
				apps, err := c.ListLocalImageAppInfo(&model.ListLocalImageAppInfoRequest{ImageId: *img.ImageId})
				if err != nil {
					t.Fatal(err)
				}
				if *img.ComponentNum == 0 || int64(*apps.TotalNum) != *img.ComponentNum {
					t.Errorf("%s: component_num %d, software %d", *img.ImageName, *img.ComponentNum, *apps.TotalNum)
				}
				found := vulnerabilities(t, c, *img.ImageId)
				if *img.VulNum == 0 || len(found) == 0 {
					t.Errorf("%s: vul_num %d, %d findings", *img.ImageName, *img.VulNum, len(found))
				}
				t.Logf("%s: %d components, %d vulnerabilities, %d findings, done after %v at most",
					*img.ImageName, *img.ComponentNum, *img.VulNum, len(found), time.Since(asked).Round(100*time.Millisecond))
			}
		})
	}
}
