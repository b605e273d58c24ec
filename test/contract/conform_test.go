package contract

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/test/postgres"
)

// notBuilt are the operations for local images that answer 501 until they are
// built. The list can only become shorter.
var notBuilt = []string{}

// conformer asks a server that scanned real images.
type conformer struct {
	*running
	host *host
	t    *testing.T
	spec *spec
	db   *database
	// known are values of parameters and members by name.
	known map[string]any
	// asked are optional members that were set in a question that found
	// something, idle those of questions that cannot.
	asked, idle memberSet
}

// TestConformance calls every operation that is not about registry images with
// what it requires, with everything that it knows, and with questions that set
// each optional member and find something, through the SDK, and compares with
// the database what it answered or did. Those about registry images answer 501.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	sp, ops := readSpec(t)
	// Reads first: they ask about what the scan left.
	slices.SortStableFunc(ops, func(a, b specOperation) int { return order(a) - order(b) })
	h := newHost(t, dockerd(t))
	t.Run("sqlite", func(t *testing.T) { newConformer(t, sp, h, "").run(t, ops) })
	t.Run("postgres", func(t *testing.T) { newConformer(t, sp, h, postgres.Database(t)).run(t, ops) })
}

func (c *conformer) run(t *testing.T, ops []specOperation) {
	c.decide()
	table, asks := conformTable(), questions()
	c.asked, c.idle = memberSet{}, memberSet{}
	called := 0
	for _, op := range ops {
		t.Run(op.ID, func(t *testing.T) {
			c.t, c.db.t = t, t
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
			if says.contained && c.host.docker == nil {
				t.Skip("no container runs here")
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
				if err != nil {
					t.Errorf("all=%v: %v", all, err)
					continue
				}
				limit := int64(10) // of the server
				if all {
					limit = 200
				}
				says.check(c, t, !all, limit, before, answer)
			}
			for _, q := range asks.of(op.ID) {
				c.ask(t, op, says, q)
			}
		})
	}
	if called != 68 {
		t.Errorf("%d operations called", called)
	}
	t.Run("every optional member", func(t *testing.T) { c.complete(t, ops) })
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

// call asks with what is required, or with everything that it knows.
func (c *conformer) call(op specOperation, all bool) (map[string]any, error) {
	_, answer, err := c.send(op, c.members(op, all))
	return answer, err
}

func (c *conformer) required(op specOperation) map[string]any { return c.members(op, false) }

func (c *conformer) members(op specOperation, all bool) map[string]any {
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
	return members
}

// send fills the request of the SDK and calls.
func (c *conformer) send(op specOperation, members map[string]any) (reflect.Value, map[string]any, error) {
	method := reflect.ValueOf(c.HssClient).MethodByName(op.ID)
	req := reflect.New(method.Type().In(0).Elem())
	if err := json.Unmarshal(asJSON(members), req.Interface()); err != nil {
		return req.Elem(), nil, fmt.Errorf("fill the request: %w", err)
	}
	out := method.Call([]reflect.Value{req})
	if err, _ := out[1].Interface().(error); err != nil {
		return req.Elem(), nil, err
	}
	answer := map[string]any{}
	if file, ok := out[0].Interface().(*model.ListDownloadExportedFileResponse); ok {
		n, err := file.Consume(io.Discard)
		answer["bytes"] = float64(n)
		return req.Elem(), answer, err
	}
	return req.Elem(), answer, json.Unmarshal(asJSON(out[0].Interface()), &answer)
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
