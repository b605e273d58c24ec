package contract

import (
	"cmp"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
)

// A question sets optional members of a request and says by SQL what has to
// come back. What many requests have is set in each (see everywhere).
type question struct {
	// row is SQL that finds a row to ask for. Its columns are members of the
	// request: "image_name", "query_info.host_id", and "vul_id_list" for the
	// one entry of a list.
	row string
	// with are further members, as "severity=high has_vul=true"; those whose
	// value is beside do not select.
	with string
	// want is SQL for the keys of all rows in the order of the list. In it and
	// in row, $name is a member's value or a known one. Without it the
	// operation's row of the table says what must come.
	want string
	// key are the members of a row of the answer that make its key, with bars
	// between. Without it the number of rows alone is compared.
	key string
	// after is SQL for what a write did, which want is compared with;
	// $answered_task_id is a member of the answer.
	after string
	// before is done before; contained says that containers have to run.
	before    func(c *conformer)
	contained bool
	// nothing is why no row can be found: the number in the answer is 0.
	nothing string
}

// beside is the value of a member that does not select beside the others: of
// the name of an image beside its id.
const beside = "none"

// everywhere is set in each request that has such a member.
func everywhere(rows int) map[string]string {
	return map[string]string{"enterprise_project_id": "all_granted_eps", "region": "cn-north-4", "limit": "10", "offset": strconv.Itoa(min(1, max(rows-1, 0)))}
}

// ask checks the answer to a question.
func (c *conformer) ask(t *testing.T, op specOperation, says conformRow, q question) {
	t.Helper()
	if q.contained && c.host.docker == nil {
		t.Log("no container runs here: a question is left out")
		return
	}
	for _, before := range []func(*conformer){says.before, q.before} {
		if before != nil {
			before(c)
		}
	}
	drawn := c.draw(t, q)
	named := slices.Collect(maps.Keys(drawn))
	var want []string
	if q.want != "" {
		if want = c.rows(q.want, drawn); len(want) == 0 && q.nothing == "" {
			t.Errorf("%s %s: nothing is to be found", q.row, q.with)
		}
	}
	for name, v := range everywhere(len(want)) {
		if slices.ContainsFunc(op.Params, func(p specParam) bool { return p.Name == name }) {
			drawn[name] = v
		}
	}
	members := c.with(op, drawn)
	var before int64
	if says.more != nil {
		before = c.sql(says.count)
	}
	req, answer, err := c.send(op, members)
	if err != nil {
		t.Errorf("%s: %v", asJSON(members), err)
		return
	}
	done := maps.Clone(drawn)
	for name, v := range answer {
		done["answered_"+name] = text(v)
	}
	switch {
	case q.after != "":
		if d := gocmp.Diff(want, c.rows(q.after, done)); d != "" {
			t.Errorf("%s (-want +done):\n%s", asJSON(members), d)
		}
	case q.nothing != "":
		want = nil
		fallthrough
	case q.want != "" && q.key == "":
		if n := numberOf(answer, cmp.Or(says.member, "total_num")); n != int64(len(want)) {
			t.Errorf("%s: %d, in the database %d", asJSON(members), n, len(want))
		}
	case q.want != "":
		c.page(t, q, says, members, answer, want)
	default:
		says.check(c, t, true, 10, before, answer)
	}
	if q.nothing != "" {
		c.idle.add(op.ID, named...)
		return
	}
	c.asked.add(op.ID, optional(req.Type(), req, "")...)
	if q.want != "" && q.after == "" {
		c.each(t, op, says, drawn, named)
	}
}

// each asks again with each member that selects replaced by one that is nowhere:
// nothing is found then, or the question is refused.
func (c *conformer) each(t *testing.T, op specOperation, says conformRow, drawn map[string]string, named []string) {
	t.Helper()
	for _, path := range named {
		other := maps.Clone(drawn)
		maps.Copy(other, elsewhere(c.leaf(op, path), path, drawn[path]))
		if maps.Equal(drawn, other) {
			continue
		}
		_, answer, err := c.send(op, c.with(op, other))
		if e, ok := err.(*sdkerr.ServiceResponseError); ok && e.StatusCode == 400 {
			continue
		}
		if n := numberOf(answer, cmp.Or(says.member, "total_num")); err != nil || n > 0 {
			t.Errorf("%s does not select: %d found, %v", path, n, err)
		}
	}
}

// elsewhere are members to replace one with, so that it finds nothing beside the
// others; none for words, of which others may find something, and for what does
// not select.
func elsewhere(x *schema, path, v string) map[string]string {
	const late = "4070880000000"
	switch {
	case v == beside || len(x.Enum) > 0 || path == "scan_scope":
	case path == "latest_version" || path == "operate_all" || path == "is_compliant" || path == "is_handled":
	case strings.HasPrefix(path, "start_latest_"):
		// A pair, which selects if the first is the lower one.
		return map[string]string{path: "1", strings.Replace(path, "start", "end", 1): "2"}
	case path == "end_time" || path == "max_scan_time":
		return map[string]string{path: "1"}
	case x.Type == "integer" && !strings.HasPrefix(path, "end_latest_"):
		return map[string]string{path: late}
	case x.Type == "boolean":
		return map[string]string{path: strconv.FormatBool(v == "false")}
	case x.Type == "string":
		return map[string]string{path: "no-such-value"}
	}
	return nil
}

// with is a request with what is required and some members more, by their paths.
func (c *conformer) with(op specOperation, drawn map[string]string) map[string]any {
	c.t.Helper()
	members := c.required(op)
	for path, v := range drawn {
		c.set(op, members, strings.Split(path, "."), v)
	}
	return members
}

// leaf is the schema of a member, of the entries of a list.
func (c *conformer) leaf(op specOperation, path string) *schema {
	x, rest := c.spec.body(op), strings.Split(path, ".")
	for _, p := range op.Params {
		if p.Name == rest[0] {
			x, rest = c.spec.of(p.Schema), nil
			break
		}
	}
	for {
		if x.Type == "array" {
			x = c.spec.of(x.Items)
			continue
		}
		if len(rest) == 0 {
			return x
		}
		x, rest = c.spec.of(x.Properties[rest[0]]), rest[1:]
	}
}

// page compares the page that was asked for and the total.
func (c *conformer) page(t *testing.T, q question, says conformRow, members, answer map[string]any, want []string) {
	t.Helper()
	if n := numberOf(answer, cmp.Or(says.member, "total_num")); n != int64(len(want)) {
		t.Errorf("%s: total %d, in the database %d", asJSON(members), n, len(want))
	}
	got := []string{}
	list, _ := answer["data_list"].([]any)
	for _, r := range list {
		var parts []string
		for name := range strings.SplitSeq(q.key, "|") {
			v := r.(map[string]any)[name]
			if n, ok := v.(float64); ok {
				v = int64(n)
			}
			parts = append(parts, text(v))
		}
		got = append(got, strings.Join(parts, "|"))
	}
	from := max(0, min(1, len(want)-1))
	if d := gocmp.Diff(want[from:min(from+10, len(want))], got); d != "" {
		t.Errorf("%s (-database +answer):\n%s", asJSON(members), d)
	}
}

// draw is the members that a question sets, by their paths.
func (c *conformer) draw(t *testing.T, q question) map[string]string {
	t.Helper()
	out := map[string]string{}
	if q.row != "" {
		rows, err := c.db.QueryContext(t.Context(), with+c.expand(q.row, nil))
		if err != nil {
			t.Fatalf("%s: %v", q.row, err)
		}
		defer func() { _ = rows.Close() }()
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatalf("%s: no row: %v", q.row, rows.Err())
		}
		values, to := make([]string, len(names)), make([]any, len(names))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatalf("%s: %v", q.row, err)
		}
		for i, name := range names {
			out[name] = values[i]
		}
	}
	for pair := range strings.FieldsSeq(q.with) {
		name, v, _ := strings.Cut(pair, "=")
		out[name] = v
	}
	return out
}

// rows are the answers to a question of SQL.
func (c *conformer) rows(query string, drawn map[string]string) []string {
	c.t.Helper()
	return c.db.strings(with + c.expand(query, drawn))
}

// expand puts values in the places of their names.
func (c *conformer) expand(query string, drawn map[string]string) string {
	return os.Expand(query, func(name string) string {
		v, ok := drawn[name]
		if !ok {
			v = text(c.known[name])
		}
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	})
}

// set sets a member of a request, which is a parameter or of the body.
func (c *conformer) set(op specOperation, members map[string]any, path []string, v string) {
	c.t.Helper()
	for _, p := range op.Params {
		if p.Name == path[0] {
			members[p.Name] = c.place(p.Schema, path[1:], v, members[p.Name])
			return
		}
	}
	members["body"] = c.place(c.spec.body(op), path, v, members["body"])
}

func (c *conformer) place(x *schema, path []string, v string, has any) any {
	c.t.Helper()
	if x = c.spec.of(x); x.Type == "array" {
		list, _ := has.([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		list[0] = c.place(x.Items, path, v, list[0])
		return list
	}
	if len(path) > 0 {
		m, _ := has.(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		if x.Properties[path[0]] == nil {
			c.t.Fatalf("no member %q", path)
		}
		m[path[0]] = c.place(x.Properties[path[0]], path[1:], v, m[path[0]])
		return m
	}
	var err error
	var out any = v
	switch x.Type {
	case "integer", "number":
		out, err = strconv.ParseInt(v, 10, 64)
	case "boolean":
		out, err = strconv.ParseBool(v)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// A memberSet is members of requests by operation.
type memberSet map[string]map[string]bool

func (p memberSet) add(op string, names ...string) {
	if p[op] == nil {
		p[op] = map[string]bool{}
	}
	for _, n := range names {
		p[op][n] = true
	}
}

// optional are the optional members of a request of the SDK: those that its
// type has, or, given one, those that are set in it.
func optional(t reflect.Type, v reflect.Value, under string) (out []string) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if !t.Field(i).IsExported() || name == "" {
			continue
		}
		ft, isOptional := t.Field(i).Type, false
		var fv reflect.Value
		if v.IsValid() {
			fv = v.Field(i)
		}
		for ft.Kind() == reflect.Pointer || ft.Kind() == reflect.Slice {
			isOptional = isOptional || ft.Kind() == reflect.Pointer
			if v.IsValid() {
				switch {
				case fv.Kind() == reflect.Pointer:
					fv = fv.Elem() // invalid for nil
				case fv.IsValid() && fv.Len() > 0:
					fv = fv.Index(0)
				default:
					fv = reflect.Value{}
				}
			}
			ft = ft.Elem()
		}
		path := strings.TrimPrefix(under+"."+name, ".")
		if path == "body" {
			path = ""
		}
		if v.IsValid() && !fv.IsValid() {
			continue
		}
		if ft.Kind() == reflect.Struct && ft.NumField() > 0 && ft.Field(0).IsExported() {
			out = append(out, optional(ft, fv, path)...)
		} else if isOptional {
			out = append(out, path)
		}
	}
	return out
}

// complete checks that each optional member of each request was set in a
// question that found something, or is known to find nothing.
func (c *conformer) complete(t *testing.T, ops []specOperation) {
	if c.host.docker == nil {
		t.Skip("what only containers answer was not asked: none runs here")
	}
	num, idle := 0, 0
	for _, op := range ops {
		if slices.Contains(op.Tags, "registry-images") {
			continue
		}
		req := reflect.ValueOf(c.HssClient).MethodByName(op.ID).Type().In(0).Elem()
		for _, path := range optional(req, reflect.Value{}, "") {
			num++
			switch {
			case c.asked[op.ID][path]:
			case c.idle[op.ID][path]:
				idle++
			default:
				t.Errorf("%s: no question sets %s", op.ID, path)
			}
		}
	}
	t.Logf("%d optional members, of which %d can find nothing", num, idle)
}
