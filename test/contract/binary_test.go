package contract

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	c := startBinary(t, "--sample", "always", "--no-engines")

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
	for _, v := range vulnerabilities(t, c, *done.ImageId) {
		vuls[*v.VulId] = true
	}
	if int64(len(vuls)) != *done.VulNum {
		t.Errorf("%d distinct vulnerabilities over all pages, vul_num %d", len(vuls), *done.VulNum)
	}
}

// vulnerabilities pages through the findings of an image as Huawei's Terraform
// provider does: until a page is empty.
func vulnerabilities(t *testing.T, c *hss.HssClient, imageID string) []model.ImageVulInfo {
	t.Helper()
	var all []model.ImageVulInfo
	for {
		page, err := c.ListImageVulnerabilities(&model.ListImageVulnerabilitiesRequest{ImageId: imageID, ImageType: "local_image",
			Limit: new(int32(200)), Offset: new(int32(len(all)))})
		if err != nil {
			t.Fatal(err)
		}
		if len(*page.DataList) == 0 {
			if int(*page.TotalNum) != len(all) {
				t.Errorf("total_num %d, rows %d", *page.TotalNum, len(all))
			}
			return all
		}
		all = append(all, *page.DataList...)
	}
}

// program is the built binary, made once for all tests in a directory that
// TestMain removes.
var program = sync.OnceValues(func() (string, error) {
	var err error
	if programDir, err = os.MkdirTemp("", "onceover-contract-"); err != nil {
		return "", err
	}
	bin := filepath.Join(programDir, "onceover")
	build := exec.Command("go", "build", "-o", bin, "./cmd/onceover")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build onceover: %w\n%s", err, out)
	}
	return bin, nil
})

var programDir string // "" until it is built

// A running server, with the data directory and the credentials that it left
// there.
type running struct {
	*hss.HssClient
	data string
	env  map[string]string
}

// startBinary runs "onceover server" as a user would, and makes a client from
// the credentials file that it leaves.
func startBinary(t *testing.T, flags ...string) *hss.HssClient {
	t.Helper()
	return startServer(t, flags...).HssClient
}

func startServer(t *testing.T, flags ...string) *running {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	server := exec.CommandContext(t.Context(), bin, append([]string{"server", "--data", data, "--listen", "127.0.0.1:0"}, flags...)...)
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
	return &running{HssClient: hss.NewHssClient(hc), data: data, env: env}
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
