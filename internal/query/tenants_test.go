package query

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/store"
)

// TestEnterpriseProjects asks about the same image in two enterprise projects, in
// one of which a VEX document sets its finding aside.
func TestEnterpriseProjects(t *testing.T) {
	s := newSite(t)
	ctx, project := t.Context(), s.first.Project.ID
	second, err := s.store.As("test").CreateEnterpriseProject(ctx, project, "second")
	if err != nil {
		t.Fatal(err)
	}
	enroll, err := s.store.CreateEnrollKey(ctx, second.Tenant, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.scan(second.Tenant, enroll, "worker-2")
	put := func(in string) {
		t.Helper()
		if status, body := s.send(http.MethodPut, project, "/vex/web.json"+in, zlibVEX); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	ask := func(path, in string) map[string]any {
		t.Helper()
		if in != "" {
			path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "enterprise_project_id=" + in
		}
		status, body := s.send(http.MethodGet, project, path, "")
		var out map[string]any
		if err := json.Unmarshal([]byte(body), &out); status != http.StatusOK || err != nil {
			t.Fatalf("%s: %d %s", path, status, body)
		}
		return out
	}
	const who, rank = "/fleet/vulnerabilities/CVE-2023-45853", "/fleet/vulnerabilities"
	check := func(path, in string, want map[string]any) {
		t.Helper()
		got := ask(path, in)
		if rows, ok := got["vulnerabilities"].([]any); ok && len(rows) > 0 {
			got = rows[0].(map[string]any)
		}
		have := map[string]any{}
		for name := range want {
			have[name] = got[name]
			if rows, ok := got[name].([]any); ok {
				have[name] = float64(len(rows))
			}
		}
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("%s in %q: %s", path, in, d)
		}
	}
	one, both := map[string]any{"image_num": 1.0, "host_num": 1.0, "running_container_num": 1.0}, map[string]any{"image_num": 2.0, "host_num": 2.0, "running_container_num": 2.0}
	for _, path := range []string{who, rank, "/fleet/packages?name=zlib1g", "/fleet/files/" + toolSum} {
		for in, want := range map[string]map[string]any{"": both, "all_granted_eps": both, "0": one, second.ID: one} {
			check(path, in, want)
		}
	}
	check("/fleet/files/"+toolSum, "", map[string]any{"images": 2.0, "images_with_files_left_out": 2.0})
	check(who+"?limit=1&offset=1&list=hosts", "", map[string]any{"running_containers": nil, "hosts": 1.0})
	check(who+"?limit=1&offset=2", "", map[string]any{"images": 0.0, "image_num": 2.0})
	check("/fleet/packages?name=zlib1g", "", map[string]any{"versions": 1.0})
	hosts := map[string]bool{}
	for _, offset := range []string{"0", "1"} {
		for _, h := range ask(who+"?list=hosts&limit=1&offset="+offset, "")["hosts"].([]any) {
			hosts[h.(map[string]any)["host_name"].(string)] = true
		}
	}
	if d := cmp.Diff(map[string]bool{"worker-1": true, "worker-2": true}, hosts); d != "" {
		t.Errorf("hosts page by page: %s", d)
	}
	events := ask("/fleet/events", "")["events"].([]any)
	if e := events[0].(map[string]any); len(events) != 1 || e["image_num"] != 2.0 {
		t.Errorf("events %v", events)
	}
	newest, first := ask("/scan-tasks/latest?by=any", ""), ask("/scan-tasks/latest?by=any", "0")
	if id := ask("/scan-tasks/latest?by=any", second.ID)["task_id"]; newest["task_id"] != id || first["task_id"] == id {
		t.Errorf("the latest task of all is %v, not %v", newest["task_id"], id)
	}

	put("?enterprise_project_id=" + second.ID)
	for in, want := range map[string]map[string]any{
		"":        {"image_num": 1.0, "suppressed_image_num": 1.0, "host_num": 1.0, "severity": "Critical", "priority": ask(who, "0")["priority"]},
		second.ID: {"image_num": 0.0, "suppressed_image_num": 1.0, "host_num": 0.0},
	} {
		check(who, in, want)
		check(rank+"?show_suppressed=true", in, want)
	}
	check(who+"?show_suppressed=true&limit=1&offset=1", "", map[string]any{"images": 1.0, "image_num": 1.0})
	check(rank+"?show_suppressed=true", "", map[string]any{"vex": 1.0})
	if ask(rank, "")["total_num"] != 1.0 || ask(rank, second.ID)["total_num"] != 0.0 {
		t.Error("what stands in one enterprise project is set aside in all")
	}
	put("") // in the default one
	check(who, "", map[string]any{"image_num": 0.0, "suppressed_image_num": 2.0})
	var of []any
	for _, d := range ask("/vex", "")["documents"].([]any) {
		of = append(of, d.(map[string]any)["enterprise_project_id"])
	}
	if d := cmp.Diff([]any{"0", second.ID}, of); d != "" {
		t.Errorf("documents of enterprise projects: %s", d)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		if status, body := s.send(method, project, "/vex/web.json?enterprise_project_id=all_granted_eps", zlibVEX); status != http.StatusBadRequest {
			t.Errorf("%s in several: %d %s", method, status, body)
		}
	}

	// Who is granted one has it without naming it.
	admin := s.store.As("test")
	if _, err := admin.CreateUser(ctx, store.User{ProjectID: project, Name: "eve", Role: auth.Admin, Granted: auth.Grants(second.ID)}, ""); err != nil {
		t.Fatal(err)
	}
	if s.first.Key, err = admin.CreateKey(ctx, project, "eve", 0); err != nil {
		t.Fatal(err)
	}
	s.login()
	check("/fleet/files/"+toolSum, "", one)
	if status, _ := s.send(http.MethodGet, project, who+"?enterprise_project_id=0", ""); status != http.StatusForbidden {
		t.Errorf("an enterprise project that is not granted: %d", status)
	}
	if status, body := s.send(http.MethodDelete, project, "/vex/web.json", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	check("/vex", "", map[string]any{"documents": 0.0})
}
