package query

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// send sends a document; path is below the project.
func (s *site) send(method, project, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/v1/"+project+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

const (
	zlibVEX = `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[{"vulnerability":{"name":"CVE-2023-45853"},
"products":[{"@id":"pkg:oci/web?tag=1"}],"status":"not_affected","justification":"vulnerable_code_not_present","impact_statement":"minizip is not built"}]}`
	zlibCSAF = `{"document":{"category":"csaf_vex","csaf_version":"2.0","tracking":{"id":"Z-1","current_release_date":"2026-02-01T00:00:00Z"}},
"product_tree":{"full_product_names":[{"product_id":"z","name":"zlib","product_identification_helper":{"purl":"pkg:deb/debian/zlib"}}]},
"vulnerabilities":[{"cve":"CVE-2023-45853","product_status":{"under_investigation":["z"]}}]}`
)

// A vulnerability is listed, set aside by a document, and stands again.
func TestVEX(t *testing.T) {
	var log bytes.Buffer
	s := newSiteLog(t, slog.New(slog.NewTextHandler(&log, nil)))
	project := s.first.Project.ID
	list := func(query string) (total, aside float64, rows []any) {
		t.Helper()
		status, got := s.get(project, "vulnerabilities?"+query)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %v", query, status, got)
		}
		return got["total_num"].(float64), got["suppressed_num"].(float64), got["vulnerabilities"].([]any)
	}
	want := map[string]any{
		"id": "DEBIAN-CVE-2023-45853", "cves": []any{"CVE-2023-45853"}, "severity": "Critical", "kev": true, "kev_since": "2024-05-06", "epss": 0.04, "epss_percentile": 0.8,
		"fixable": false, "priority": 87.0, "image_num": 1.0, "host_num": 1.0, "running_container_num": 1.0, "suppressed_image_num": 0.0,
	}
	total, aside, rows := list("sort=priority&severity=High,Critical&kev=true&fixable=false&running=true")
	if total != 1 || aside != 0 {
		t.Errorf("%v in all, %v set aside", total, aside)
	}
	if d := cmp.Diff(want, rows[0]); d != "" {
		t.Error(d)
	}
	_, one := s.get(project, "vulnerabilities/CVE-2023-45853")
	for _, k := range []string{"severity", "kev", "kev_since", "epss", "priority", "image_num"} {
		if one[k] != want[k] {
			t.Errorf("of one, %s is %v", k, one[k])
		}
	}
	for _, q := range []string{"severity=Low", "kev=false", "fixable=true", "running=false", "offset=1"} {
		if _, _, rows := list(q); len(rows) != 0 {
			t.Errorf("%s: %v", q, rows)
		}
	}

	status, body := s.send(http.MethodPut, project, "/vex/web.vex.json", zlibVEX)
	var put map[string]any
	if err := json.Unmarshal([]byte(body), &put); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if put["format"] != "openvex" || put["statements"] != 1.0 || put["put_by"] != s.first.Key.AK || put["size"] != float64(len(zlibVEX)) {
		t.Errorf("%v", put)
	}
	if total, aside, _ := list(""); total != 0 || aside != 1 {
		t.Errorf("suppressed: %v in all, %v set aside", total, aside)
	}
	word := map[string]any{"by": "vex", "status": "not_affected", "justification": "vulnerable_code_not_present", "statement": "minizip is not built",
		"document": "web.vex.json", "date": "2026-01-01T00:00:00Z"}
	_, _, rows = list("show_suppressed=true")
	want["image_num"], want["host_num"], want["running_container_num"], want["suppressed_image_num"], want["vex"] = 0.0, 0.0, 0.0, 1.0, []any{word}
	if d := cmp.Diff([]any{want}, rows); d != "" {
		t.Error(d)
	}
	_, one = s.get(project, "vulnerabilities/CVE-2023-45853")
	if one["image_num"] != 0.0 || one["running_container_num"] != 0.0 || one["suppressed_image_num"] != 1.0 || len(one["images"].([]any)) != 0 {
		t.Errorf("%v", one)
	}
	_, one = s.get(project, "vulnerabilities/CVE-2023-45853?show_suppressed=true")
	pkg := one["images"].([]any)[0].(map[string]any)["packages"].([]any)[0].(map[string]any)
	if d := cmp.Diff(word, pkg["vex"]); d != "" || pkg["suppressed"] != true || one["image_num"] != 0.0 {
		t.Error(d, one)
	}

	// A later word of another document.
	if status, body := s.send(http.MethodPut, project, "/vex/debian.json", zlibCSAF); status != http.StatusOK || !strings.Contains(body, `"csaf"`) {
		t.Fatalf("%d %s", status, body)
	}
	if _, _, rows := list(""); len(rows) != 1 || rows[0].(map[string]any)["vex"].([]any)[0].(map[string]any)["status"] != "under_investigation" {
		t.Errorf("%v", rows)
	}
	if status, body := s.send(http.MethodGet, project, "/vex/web.vex.json", ""); status != http.StatusOK || body != zlibVEX {
		t.Errorf("%d %s", status, body)
	}
	if status, body := s.send(http.MethodGet, project, "/vex", ""); status != http.StatusOK || strings.Count(body, `"name"`) != 2 {
		t.Errorf("%d %s", status, body)
	}
	for _, name := range []string{"debian.json", "web.vex.json"} {
		if status, body := s.send(http.MethodDelete, project, "/vex/"+name, ""); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
	}
	if total, _, _ := list(""); total != 1 {
		t.Errorf("%v after the documents are gone", total)
	}
	said := log.String()
	for _, want := range []string{`msg="VEX document stored"`, `msg="VEX document deleted"`, "name=web.vex.json", "digest=sha256:", "access_key=" + s.first.Key.AK} {
		if !strings.Contains(said, want) {
			t.Errorf("the log lacks %s:\n%s", want, said)
		}
	}
	if strings.Contains(said, "minizip") || strings.Contains(said, s.first.Key.Secret) {
		t.Errorf("the log tells too much:\n%s", said)
	}
}

func TestVEXRefusals(t *testing.T) {
	s := newSite(t)
	project := s.first.Project.ID
	for _, tc := range []struct {
		name, method, path, body string
		want                     int
		says                     string
	}{
		{"no JSON", http.MethodPut, "/vex/a", "{\n\n!", http.StatusBadRequest, "VEX document a: line 3"},
		{"no justification", http.MethodPut, "/vex/a", strings.Replace(strings.Replace(zlibVEX, `"justification":"vulnerable_code_not_present",`, "", 1), "impact_statement", "x", 1), http.StatusBadRequest, "statement 1: not_affected needs"},
		{"no body", http.MethodPut, "/vex/a", "", http.StatusBadRequest, "VEX document a"},
		{"a deep one", http.MethodPut, "/vex/a", strings.Repeat(`{"document":`, 100_000), http.StatusBadRequest, "line 1"},
		{"too large", http.MethodPut, "/vex/a", strings.Repeat(" ", 9<<20), http.StatusRequestEntityTooLarge, ""},
		{"a name", http.MethodPut, "/vex/%2e%2e%2fa", zlibVEX, http.StatusBadRequest, "the name of a VEX document"},
		{"a hidden name", http.MethodPut, "/vex/.a", zlibVEX, http.StatusBadRequest, "the name of a VEX document"},
		{"a parameter", http.MethodPut, "/vex/a?x=1", zlibVEX, http.StatusBadRequest, "there is no parameter"},
		{"nobody's", http.MethodGet, "/vex/none", "", http.StatusNotFound, "there is no VEX document"},
		{"a NUL", http.MethodGet, "/vex/%00", "", http.StatusBadRequest, "not a valid path segment"},
		{"delete nobody's", http.MethodDelete, "/vex/none", "", http.StatusNotFound, "there is no VEX document"},
		{"another method", http.MethodPost, "/vex", zlibVEX, http.StatusMethodNotAllowed, ""},
		{"moons", http.MethodGet, "/fleet/vulnerabilities?sort=moons", "", http.StatusBadRequest, "sort"},
		{"a severity", http.MethodGet, "/fleet/vulnerabilities?severity=critical", "", http.StatusBadRequest, "severity"},
		{"maybe", http.MethodGet, "/fleet/vulnerabilities?kev=maybe", "", http.StatusBadRequest, "kev"},
		{"an unknown filter", http.MethodGet, "/fleet/vulnerabilities?list=hosts", "", http.StatusBadRequest, "there is no parameter"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if status, body := s.send(tc.method, project, tc.path, tc.body); status != tc.want || !strings.Contains(body, tc.says) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete} {
		if status, _ := s.send(method, "another", "/vex/a", zlibVEX); status != http.StatusForbidden {
			t.Errorf("another project, %s: %d", method, status)
		}
	}
	s.token = "wrong"
	for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete} {
		if status, _ := s.send(method, project, "/vex/a", zlibVEX); status != http.StatusUnauthorized {
			t.Errorf("without a token, %s: %d", method, status)
		}
	}
}
