package query

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/store"
)

func TestSBOM(t *testing.T) { onEngines(t, testSBOM) }

func testSBOM(t *testing.T, cfg store.Config) {
	d := newDuo(t, cfg, 2)
	task := d.scan()
	d.work()
	d.work()
	ids := map[string]string{}
	_, got := d.get("scan-tasks/" + task)
	for _, i := range got["images"].([]any) {
		i := i.(map[string]any)
		ids[i["image_name"].(string)+":"+i["image_version"].(string)] = i["image_id"].(string)
	}
	fetch := func(server int, path string) (*http.Response, string) {
		t.Helper()
		resp := d.ask(t.Context(), server, "images/"+path, "")
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	web := ids["web-1:1"]
	for _, tc := range []struct{ query, mediaType, file string }{
		{"", "application/vnd.cyclonedx+json; version=1.6", "web-1-1.cdx.json"},
		{"?format=cyclonedx", "application/vnd.cyclonedx+json; version=1.6", "web-1-1.cdx.json"},
		{"?format=spdx", "application/spdx+json", "web-1-1.spdx.json"},
	} {
		resp, body := fetch(0, web+"/sbom"+tc.query)
		head := []string{resp.Status, resp.Header.Get("Content-Type"), resp.Header.Get("Content-Disposition")}
		if diff := cmp.Diff([]string{"200 OK", tc.mediaType, "attachment; filename=" + tc.file}, head); diff != "" {
			t.Error(diff)
		}
		for _, want := range []string{"pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64&distro=debian-12", string(diffID(1)), string(image.DigestOf(config(1))), `"Zlib"`, "web-1"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %s in %s", tc.query, want, body)
			}
		}
		if strings.Contains(body, "CVE-") || strings.Contains(body, "ulnerabilit") {
			t.Errorf("%s: an inventory tells of vulnerabilities: %s", tc.query, body)
		}
		other, again := fetch(1, web+"/sbom"+tc.query)
		if again != body || other.Header.Get("ETag") != resp.Header.Get("ETag") || resp.Header.Get("ETag") == "" {
			t.Errorf("%s: another server writes other bytes", tc.query)
		}
	}
	for path, want := range map[string]int{
		web + "/sbom?format=moon": http.StatusBadRequest,
		web + "/sbom?from=spdx":   http.StatusBadRequest,
		"moon/sbom":               http.StatusNotFound,
		"%00/sbom":                http.StatusBadRequest,
		ids["web-0:1"] + "/sbom":  http.StatusConflict, // its scan failed
	} {
		resp, body := fetch(0, path)
		var e struct {
			Code    string `json:"error_code"`
			Message string `json:"error_msg"`
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil || resp.StatusCode != want || e.Code == "" || e.Message == "" {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
	}
}

func TestFileName(t *testing.T) {
	for _, tc := range []struct{ name, version, want string }{
		{"library/nginx", "1.25", "library_nginx-1.25"}, {"", "", "image"}, {"../../etc", "x\"\r\n", "_.._etc-x___"}, {"ä", "1", "_-1"},
		{strings.Repeat("a", 200), "1", strings.Repeat("a", 100)},
	} {
		if got := fileName(tc.name, tc.version); got != tc.want {
			t.Errorf("%q %q: %q, want %q", tc.name, tc.version, got, tc.want)
		}
	}
}
