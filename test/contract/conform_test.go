package contract

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/test/planted"
)

// notBuilt are the operations for local images that answer 501 until they are
// built. The list can only become shorter.
var notBuilt = []string{}

// conformer asks a server that scanned real images.
type conformer struct {
	*running
	t    *testing.T
	spec *spec
	db   *database
	// known are values of parameters and members by name.
	known map[string]any
}

// newConformer starts the program with an image that has something of
// everything, its base, and a clean one, and scans them.
func newConformer(t *testing.T, sp *spec) *conformer {
	t.Helper()
	plot, err := planted.Bad(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	if err != nil {
		t.Fatal(err)
	}
	rules, layout := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(rules, "policy"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rules, "policy", "deny.yaml"), []byte(plot.DenyList), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := planted.WriteOCI(layout, plot.Base, plot.Image, planted.Clean()); err != nil {
		t.Fatal(err)
	}
	c := &conformer{t: t, spec: sp, running: startServer(t, "--no-engines", "--sample", "never", "--archive", "oci:"+layout,
		"--rules", rules, "--db", advisoryFile(t), "--rate-limit", "0")}
	names := []string{"planted", "planted-base", "clean"}
	for _, name := range names {
		waitFor(t, c.HssClient, func(i model.ImageLocalInfo) bool { return *i.ImageName == name })
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
	c.db = openDatabase(t, c.data)
	c.learn()
	return c
}

// learn finds values that select something.
func (c *conformer) learn() {
	c.t.Helper()
	var image model.ImageLocalInfo
	for i := range rowsOf(c.t, c.HssClient, "ListImageLocal", nil) {
		if i["image_name"] == "planted" {
			if err := json.Unmarshal(asJSON(i), &image); err != nil {
				c.t.Fatal(err)
			}
		}
	}
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
		"id": "none", "file_id": "none", "cicd_id": "none",
		"extended_weak_password": "a word of the test", "customized_path": "/srv/none", "export_size": 100,
	}
}

// TestConformance calls every operation that is not about registry images with
// what it requires and with everything that it knows, through the SDK, and
// compares with the database what it answered or did. Those about registry
// images answer 501.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	sp, ops := readSpec(t)
	c := newConformer(t, sp)
	table := conformTable()
	called := 0
	// Reads first: they ask about what the scan left.
	slices.SortStableFunc(ops, func(a, b specOperation) int { return order(a) - order(b) })
	for _, op := range ops {
		t.Run(op.ID, func(t *testing.T) {
			if slices.Contains(op.Tags, "registry-images") {
				_, err := c.call(op, false)
				refused(t, err, 501, "Onceover.0501")
				return
			}
			called++
			if pending := slices.Contains(notBuilt, op.ID); op.built == pending {
				t.Fatalf("built: %v; take it from, or put it on, the list of those that are not", op.built)
			}
			if !op.built {
				_, err := c.call(op, true)
				refused(t, err, 501, "Onceover.0501")
				return
			}
			says, ok := table[op.ID]
			if !ok {
				t.Fatal("nothing says what it must answer: add a row to the table")
			}
			for _, all := range []bool{false, true} {
				if says.before != nil {
					says.before(c)
				}
				var before int64
				if says.more != nil {
					before = c.sql(says.count)
				}
				answer, err := c.call(op, all)
				if says.absent {
					refused(t, err, 400, "HSS.0011")
					continue
				}
				if err != nil {
					t.Errorf("all=%v: %v", all, err)
					continue
				}
				says.check(c, t, all, before, answer)
			}
		})
	}
	if called != 68 {
		t.Errorf("%d operations called", called)
	}
}

// order puts what writes after what reads, and what asks for a file after what
// has it made.
func order(op specOperation) int {
	if op.ID == "ListQueryExportTask" || op.ID == "ShowLatestExportTaskByType" || op.ID == "ListDownloadExportedFile" {
		return 2
	}
	if op.ID == "ShowImageWhiteListDetail" {
		return 1 // there has to be one
	}
	if op.method == "GET" || strings.HasPrefix(op.ID, "List") || strings.HasPrefix(op.ID, "Show") {
		return 0
	}
	return 1
}

// call fills the request of the SDK and calls.
func (c *conformer) call(op specOperation, all bool) (map[string]any, error) {
	members := map[string]any{}
	for _, p := range op.Params {
		// The SDK always sends members that are no pointers.
		if p.Required || all {
			members[p.Name] = c.value(p.Name, c.spec.of(p.Schema), all)
		}
	}
	if b := c.spec.body(op); b != nil {
		members["body"] = c.body(b, all)
	}
	if over := overrides[op.ID]; over != nil {
		for name, v := range over(c) {
			if has, ok := members[name].(map[string]any); ok {
				maps.Copy(has, v.(map[string]any))
			} else {
				members[name] = v
			}
		}
	}
	method := reflect.ValueOf(c.HssClient).MethodByName(op.ID)
	req := reflect.New(method.Type().In(0).Elem())
	if err := json.Unmarshal(asJSON(members), req.Interface()); err != nil {
		return nil, fmt.Errorf("fill the request: %w", err)
	}
	out := method.Call([]reflect.Value{req})
	if err, _ := out[1].Interface().(error); err != nil {
		return nil, err
	}
	answer := map[string]any{}
	if file, ok := out[0].Interface().(*model.ListDownloadExportedFileResponse); ok {
		n, err := file.Consume(io.Discard)
		answer["bytes"] = float64(n)
		return answer, err
	}
	return answer, json.Unmarshal(asJSON(out[0].Interface()), &answer)
}

func (c *conformer) body(x *schema, all bool) map[string]any {
	out := map[string]any{}
	for name, m := range x.Properties {
		if all || slices.Contains(x.Required, name) || slices.Contains(telling, name) {
			out[name] = c.value(name, c.spec.of(m), all)
		}
	}
	return out
}

func (c *conformer) value(name string, x *schema, all bool) any {
	switch x.Type {
	case "object":
		return c.body(x, all)
	case "array":
		return []any{c.value(singular(name), c.spec.of(x.Items), all)}
	}
	v, known := c.known[name]
	if len(x.Enum) > 0 && (!known || !slices.Contains(x.Enum, v) && name != "image_type" && name != "global_image_type") {
		return x.Enum[0]
	}
	switch {
	case known && (x.Type == "string") == (reflect.TypeOf(v).Kind() == reflect.String):
		return v
	case x.Type == "boolean":
		return true
	case x.Type == "integer" && x.Minimum != nil:
		return *x.Minimum
	case x.Type == "integer" || x.Type == "number":
		return 1
	}
	return ""
}

func singular(name string) string {
	name = strings.TrimSuffix(name, "_list")
	if name == "vul_ids" || name == "ids" {
		return strings.TrimSuffix(name, "s")
	}
	return name
}

// overrides are members of requests that the general values do not suit.
var overrides = map[string]func(c *conformer) map[string]any{
	"ListImageScanTask":      func(*conformer) map[string]any { return map[string]any{"type": "image_scan"} },
	"ListCheckRuleResources": func(*conformer) map[string]any { return map[string]any{"type": "image"} },
	"ListCheckRulesInfo":     func(*conformer) map[string]any { return map[string]any{"type": "image"} },
	// Without a family these are about registry images.
	"ChangeImageWhiteList": func(*conformer) map[string]any {
		return map[string]any{"body": map[string]any{"description": "of the test"}}
	},
	"ListVulWhiteListVulOptions": func(*conformer) map[string]any { return map[string]any{"image_type": "local", "category": "image"} },
	"CreateManualImageScanTask":  func(*conformer) map[string]any { return map[string]any{"global_image_type": "local"} },
	"ListImageSensitiveInfo":     func(*conformer) map[string]any { return map[string]any{"image_type": "local_image"} },
	// Which a report is about when nothing is said.
	"ExportImageSecurityReportTask":    imagesToExport,
	"ShowImageSecurityReportStatistic": imagesToExport,
	"BatchExportBaselineTask":          imagesToExport,
	"BatchExportLocalVulTask":          imagesToExport,
	"ListVulContainerApps":             func(*conformer) map[string]any { return map[string]any{"container_id": "none"} },
}

// rowsOf are all rows of a list, page by page, as Terraform asks for them.
func rowsOf(t *testing.T, client any, operation string, members map[string]any) func(func(map[string]any) bool) {
	t.Helper()
	method := reflect.ValueOf(client).MethodByName(operation)
	return func(yield func(map[string]any) bool) {
		for offset := 0; ; {
			ask := map[string]any{"limit": 200, "offset": offset}
			maps.Copy(ask, members)
			req := reflect.New(method.Type().In(0).Elem())
			if err := json.Unmarshal(asJSON(ask), req.Interface()); err != nil {
				t.Fatal(err)
			}
			out := method.Call([]reflect.Value{req})
			if err, _ := out[1].Interface().(error); err != nil {
				t.Fatalf("%s %v: %v", operation, ask, err)
			}
			var page struct {
				DataList []map[string]any `json:"data_list"`
			}
			if err := json.Unmarshal(asJSON(out[0].Interface()), &page); err != nil {
				t.Fatal(err)
			}
			for _, row := range page.DataList {
				if !yield(row) {
					return
				}
			}
			if len(page.DataList) == 0 {
				return
			}
			offset += len(page.DataList)
		}
	}
}
