package contract

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	hss "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

// TestTheBinary builds the program, starts it as a user would, with a sample
// image of this machine's own software, and takes its credentials from the
// file it leaves: list, scan, wait, read the results, all through the SDK.
func TestTheBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "onceover")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/onceover")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data := filepath.Join(dir, "data")
	server := exec.CommandContext(t.Context(), bin, "server", "--data", data, "--listen", "127.0.0.1:0", "--sample", "always", "--no-engines")
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
		if t.Failed() {
			t.Logf("server:\n%s", log.String())
		}
	})

	env := readEnv(t, filepath.Join(data, "credentials.env"))
	cred, err := basic.NewCredentialsBuilder().WithAk(env["HUAWEICLOUD_SDK_AK"]).WithSk(env["HUAWEICLOUD_SDK_SK"]).WithProjectId(env["HUAWEICLOUD_SDK_PROJECT_ID"]).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	hc, err := hss.HssClientBuilder().WithEndpoints([]string{env["ONCEOVER_ENDPOINT"]}).WithCredential(cred).WithHttpConfig(config.DefaultHttpConfig()).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	c := hss.NewHssClient(hc)

	// The sample is found by the embedded agent; its scan may have begun.
	sample := waitFor(t, c, func(i model.ImageLocalInfo) bool { return strings.Contains(*i.ImageName, "sample") })
	if _, err := c.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Body: &model.LocalImageBatchScanRequestBody{
		ImageInfoList: infos(model.LocalImageInfo{ImageId: sample.ImageId})}}); err != nil {
		t.Fatal(err)
	}
	done := waitFor(t, c, func(i model.ImageLocalInfo) bool {
		return *i.ImageId == *sample.ImageId && (*i.ScanStatus == "success" || *i.ScanStatus == "failed")
	})
	if *done.ScanStatus != "success" || *done.ComponentNum == 0 {
		t.Fatalf("scanned: %v", done)
	}
	apps, err := c.ListLocalImageAppInfo(&model.ListLocalImageAppInfoRequest{ImageId: *done.ImageId})
	if err != nil || int64(*apps.TotalNum) != *done.ComponentNum {
		t.Errorf("software: %v, component_num %d, %v", apps.TotalNum, *done.ComponentNum, err)
	}
	vuls := map[string]bool{}
	var offset int32
	for {
		page, err := c.ListImageVulnerabilities(&model.ListImageVulnerabilitiesRequest{ImageId: *done.ImageId, ImageType: "local_image", Limit: new(int32(200)), Offset: new(offset)})
		if err != nil {
			t.Fatal(err)
		}
		if len(*page.DataList) == 0 {
			break
		}
		for _, v := range *page.DataList {
			vuls[*v.VulId] = true
		}
		offset += int32(len(*page.DataList))
	}
	if int64(len(vuls)) != *done.VulNum {
		t.Errorf("%d distinct vulnerabilities over all pages, vul_num %d", len(vuls), *done.VulNum)
	}
}

// waitFor asks until an image is as wanted.
func waitFor(t *testing.T, c *hss.HssClient, ok func(model.ImageLocalInfo) bool) model.ImageLocalInfo {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	var last []model.ImageLocalInfo
	for time.Now().Before(deadline) {
		resp, err := c.ListImageLocal(&model.ListImageLocalRequest{Limit: new(int32(200))})
		if err != nil {
			t.Fatal(err)
		}
		last = *resp.DataList
		for _, i := range last {
			if ok(i) {
				return i
			}
		}
		time.Sleep(300 * time.Millisecond)
	}
	t.Fatalf("no image came to be as wanted; the last list: %v", last)
	return model.ImageLocalInfo{}
}

// readEnv waits for a file of KEY=value lines and reads it.
func readEnv(t *testing.T, path string) map[string]string {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		b, err := os.ReadFile(path)
		if err != nil && time.Now().Before(deadline) {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
			k, v, ok := strings.Cut(strings.TrimPrefix(s.Text(), "export "), "=")
			if ok {
				out[k] = strings.Trim(v, `"'`)
			}
		}
		return out
	}
}
