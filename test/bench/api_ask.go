package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/hss"
	"github.com/onceover/onceover/test/fleetmodel"
)

// An asker makes requests for lists, with the parameters that clients give:
// values of the fleet for most, none, or one that nothing has.
type asker struct {
	fleet *fleetmodel.Fleet
	rng   *rand.Rand
	vuls  []vulValue
	lists []string // ids of whitelist rules
	rules []ruleValue
	apps  []string
}

type vulValue struct{ advisory, cve, typ string }
type ruleValue struct{ rule, check, standard string }

const (
	sqlSomeVuls  = `SELECT v.advisory, COALESCE(MIN(e.cve_id), v.advisory), MIN(f.vul_type) FROM vulnerability v JOIN finding f ON f.vul_id = v.id LEFT JOIN vulnerability_cve e ON e.vul_id = v.id GROUP BY v.advisory ORDER BY v.advisory`
	sqlSomeRules = `SELECT DISTINCT r.rule_id, b.check_name, b.standard FROM baseline b JOIN baseline_rule r ON r.baseline_id = b.id ORDER BY b.check_name, b.standard, r.rule_id`
	sqlSomeApps  = `SELECT DISTINCT name FROM package ORDER BY name`
)

func newAsker(ctx context.Context, db *sql.DB, f *fleetmodel.Fleet) (*asker, error) {
	a := &asker{fleet: f, rng: rand.New(rand.NewPCG(6, 2026))}
	for query, scan := range map[string]func(*sql.Rows) error{
		sqlSomeVuls: func(r *sql.Rows) error {
			var v vulValue
			err := r.Scan(&v.advisory, &v.cve, &v.typ)
			a.vuls = append(a.vuls, v)
			return err
		},
		sqlSomeRules: func(r *sql.Rows) error {
			var v ruleValue
			err := r.Scan(&v.rule, &v.check, &v.standard)
			a.rules = append(a.rules, v)
			return err
		},
		sqlSomeApps: func(r *sql.Rows) error {
			var v string
			err := r.Scan(&v)
			a.apps = append(a.apps, v)
			return err
		},
	} {
		if err := eachRow(ctx, db, query, scan); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func eachRow(ctx context.Context, db *sql.DB, query string, scan func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// opPreview is the one list that is asked for by POST.
const opPreview = "ListImageHandleAffectVulnerabilities"

// lists are the operations that are asked: those that read and are built, and
// answer without an id that only an export makes.
func lists() []hss.Operation {
	var out []hss.Operation
	for _, op := range hss.Operations() {
		if op.Built && (op.Method == "GET" || op.ID == opPreview) && !strings.Contains(op.Path, "{file_id}") && !strings.Contains(op.Path, "export-task") {
			out = append(out, op)
		}
	}
	return out
}

// partners are parameters that act in pairs only.
var partners = map[string]string{
	"image_version": "image_name", "tag_name": "image_name", "start_latest_update_time": "end_latest_update_time", "end_latest_update_time": "start_latest_update_time",
	"start_latest_scan_time": "end_latest_scan_time", "end_latest_scan_time": "start_latest_scan_time",
}

// elsewhere are parameters of images that are not local.
var elsewhere = []string{"enterprise_project_id", "namespace", "instance_id", "cluster_id", "registry_name", "registry_type", "instance_name", "label_list"}

// ask makes the path and the query of a request, and the body if it has one. total
// is how many rows the list had when it was asked last.
func (a *asker) ask(op hss.Operation, project string, total int64) (target string, body []byte, err error) {
	if op.ID == opPreview {
		if body, err = a.preview(); err != nil {
			return "", nil, err
		}
	}
	values := a.values()
	q := url.Values{}
	var optional []hss.Param
	for _, p := range op.Params {
		switch {
		case p.Name == "limit":
			q.Set("limit", []string{"10", "10", "50", "200"}[a.rng.IntN(4)])
		case p.Name == "offset":
			q.Set("offset", strconv.FormatInt(a.offset(total), 10))
		case p.Name == "image_type" || p.Name == "global_image_type":
			q.Set(p.Name, "local_image")
		case p.Required:
			q.Set(p.Name, value(p, values, a.rng))
		case !slices.Contains(elsewhere, p.Name):
			optional = append(optional, p)
		}
	}
	// Two in five have no filter, two in five one, one has two.
	for range []int{0, 0, 1, 1, 2}[a.rng.IntN(5)] {
		if len(optional) == 0 {
			break
		}
		p := optional[a.rng.IntN(len(optional))]
		q.Set(p.Name, value(p, values, a.rng))
		if other := partners[p.Name]; other != "" {
			q.Set(other, values[other])
		}
	}
	path := strings.ReplaceAll(op.Path, "{project_id}", project)
	for name, v := range values {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(v))
	}
	return path + "?" + q.Encode(), body, nil
}

// plain asks for the first page with what is required only.
func (a *asker) plain(op hss.Operation, project string) (target string, body []byte, err error) {
	op.Params = slices.DeleteFunc(slices.Clone(op.Params), func(p hss.Param) bool { return !p.Required && p.Name != "image_type" && p.Name != "global_image_type" })
	return a.ask(op, project, 0)
}

// offset is the first page for most, one of the next for some, one far away for
// a few, and one past the end.
func (a *asker) offset(total int64) int64 {
	switch n := a.rng.IntN(20); {
	case n < 12:
		return 0
	case n < 16:
		return 10 * int64(1+a.rng.IntN(9))
	case n < 19:
		return a.rng.Int64N(max(total, 1))
	default:
		return total + 1000
	}
}

// value is that of a parameter: of the fleet, or one of those allowed.
func value(p hss.Param, values map[string]string, rng *rand.Rand) string {
	v, ok := values[p.Name]
	switch {
	case ok && (p.Enum == nil || slices.Contains(p.Enum, v)):
		return v
	case p.Enum != nil:
		return p.Enum[rng.IntN(len(p.Enum))]
	case p.Bool:
		return strconv.FormatBool(rng.IntN(2) == 0)
	case p.Number:
		return "1"
	default:
		return "x"
	}
}

// values are those of one image, host, vulnerability and rule, drawn anew for
// each request.
func (a *asker) values() map[string]string {
	h := a.rng.IntN(len(a.fleet.Hosts))
	i := a.rng.IntN(len(a.fleet.Images))
	if held := a.fleet.Hosts[h].Images; len(held) > 0 {
		i = int(held[a.rng.IntN(len(held))]) // some keys name an image and a host that has it
	}
	m := a.fleet.Images[i]
	n := a.rng.IntN(12)
	v := a.vuls[a.rng.IntN(len(a.vuls))]
	r := a.rules[a.rng.IntN(len(a.rules))]
	task := a.rng.IntN(1000)
	early, late := loadedAt-int64(a.rng.IntN(4000))*60_000-1, loadedAt-int64(a.rng.IntN(1000))*60_000
	ms := func(n int64) string { return strconv.FormatInt(n, 10) }
	rule := "1"
	if len(a.lists) > 0 {
		rule = a.lists[a.rng.IntN(len(a.lists))]
	}
	return map[string]string{
		"id":       rule,
		"image_id": imageID(i), "image_name": m.Name, "image_version": m.Tag, "tag_name": m.Tag, "image_digest": m.Digest, "keyword": m.Name[len(m.Name)-7:],
		"image_size": ms(int64(i%997+20) << 20), "start_latest_update_time": ms(early), "end_latest_update_time": ms(late), "start_latest_scan_time": ms(early), "end_latest_scan_time": ms(late),
		"create_time": ms(loadedAt), "end_time": ms(loadedAt + 600*60_000), "start_time": ms(early), "local_image_type": "other_image", "scan_scope": "15",
		"agent_id": agentID(h), "host_id": fmt.Sprintf("host-%d", h), "host_name": fmt.Sprintf("node-%05d", h), "host_ip": fmt.Sprintf("10.%d.%d.%d", h>>16, h>>8&255, h&255),
		"container_id": fmt.Sprintf("%08x%08x", h, n), "container_name": fmt.Sprintf("app-%d", n), "pod_name": fmt.Sprintf("pod-%d-%d", h, n), "pod_id": fmt.Sprintf("%08x-%04x-8000-8000-000000000000", h, n),
		"vul_id": v.advisory, "vul_name": v.advisory, "cve_id": v.cve, "type": v.typ, "vul_type": v.typ, "app_name": a.apps[a.rng.IntN(len(a.apps))],
		"check_name": r.check, "check_type": r.check, "standard": r.standard, "check_rule_id": r.rule, "rule_id": buildRiskIDs[a.rng.IntN(len(buildRiskIDs))],
		"task_id": fmt.Sprintf("%08x-0000-8000-8000-000000000000", task), "task_name": fmt.Sprintf("_%d", task),
		"file_path": fmt.Sprintf("app-%d/", n), "file_name": fmt.Sprintf("tool-%d-", task), "malware_name": "miner", "user_name": fmt.Sprintf("user%d", n),
		"handle_status": "unhandled", "is_handled": "false", "resource_name": m.Name, "event_name": "scan_succeeded", "event_type": "scan", "source_ip": "192.0.2.1",
	}
}
