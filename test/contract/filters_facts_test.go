package contract

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/onceover/onceover/internal/store"
)

// known is what the database says of everything that lists are asked for, read
// without the server's own queries.
type known struct {
	images, holders, containers, installed, found, rules, risks, secrets, history []row
	cves                                                                          map[string][]string // by advisory
}

// A finding is handled in an image by a decision about its content, by a rule for
// the image, or by one for all images.
const (
	sqlFactFound = `SELECT i.project_id AS tenant, i.id AS image_id, i.name AS image_name, i.version AS image_version, c.config_digest AS image_digest, c.first_scan_time AS first_scan, f.first_seen AS first_seen,
v.advisory AS vul_id, f.vul_type AS vul_type, f.severity AS severity, p.name AS app_name, p.version AS app_version, pt.layer AS layer,
CASE WHEN EXISTS (SELECT 1 FROM vul_handled h WHERE h.content_id = i.content_id AND h.vul_id = v.id)
  OR EXISTS (SELECT 1 FROM whitelist w WHERE w.project_id = i.project_id AND w.vul_id = v.id AND w.rule_type = 'all_images') THEN 'handled' ELSE 'unhandled' END AS handled,
CASE WHEN EXISTS (SELECT 1 FROM vul_handled h WHERE h.content_id = i.content_id AND h.vul_id = v.id AND h.rule_id = 0) THEN 1 ELSE 0 END AS decided
FROM image i JOIN content c ON c.id = i.content_id JOIN content_part cp ON cp.content_id = i.content_id JOIN part pt ON pt.id = cp.part_id
JOIN part_package pp ON pp.part_id = cp.part_id JOIN package p ON p.id = pp.package_id JOIN finding f ON f.package_id = p.id JOIN vulnerability v ON v.id = f.vul_id
WHERE pp.declared = 0 AND pp.counted = 1`
	sqlFactInstalled = `SELECT DISTINCT i.id AS image_id, p.type AS app_type, p.name AS app_name, p.version AS app_version FROM image i JOIN content_part cp ON cp.content_id = i.content_id
JOIN part_package pp ON pp.part_id = cp.part_id JOIN package p ON p.id = pp.package_id WHERE pp.declared = 0 AND pp.counted = 1`
	sqlFactImages = `SELECT i.id AS image_id, i.name AS image_name, i.version AS image_version, c.config_digest AS image_digest FROM image i JOIN content c ON c.id = i.content_id`
	sqlFactHolder = `SELECT i.id AS image_id, i.name AS image_name, i.version AS image_version, c.config_digest AS image_digest, a.id AS agent_id, a.host_id AS host_id,
a.host_name AS host_name, a.private_ip AS private_ip, a.public_ip AS public_ip FROM image_host h JOIN image i ON i.id = h.image_id JOIN content c ON c.id = i.content_id JOIN agent a ON a.id = h.agent_id`
	sqlFactContainers = `SELECT i.id AS image_id, i.name AS image_name, i.version AS image_version, c.config_digest AS image_digest, k.agent_id AS agent_id, k.container_id AS container_id,
k.name AS container_name, k.pod_id AS pod_id, k.pod_name AS pod_name, k.running AS running FROM container k JOIN image i ON i.id = k.image_id JOIN content c ON c.id = i.content_id`
	sqlFactRules = `SELECT i.id AS image_id, i.name AS image_name, i.version AS image_version, c.config_digest AS image_digest, b.check_name AS check_name, b.standard AS standard,
r.rule_id AS check_rule_id, CASE WHEN r.failed = 1 THEN 'failed' ELSE 'pass' END AS scan_result, r.severity AS severity
FROM image i JOIN content c ON c.id = i.content_id JOIN content_baseline h ON h.content_id = i.content_id JOIN baseline b ON b.id = h.baseline_id JOIN baseline_rule r ON r.baseline_id = b.id`
	sqlFactRisks = `SELECT i.id AS image_id, b.rule_id AS rule_id FROM image i JOIN build_risk b ON b.content_id = i.content_id`
	// Those that neither a decision nor the whitelist of paths takes out.
	sqlFactSecrets = `SELECT i.id AS image_id FROM image i JOIN content_secret h ON h.content_id = i.content_id JOIN secret s ON s.id = h.secret_id WHERE s.ignored = 0 AND s.skipped = 0`
	sqlFactHistory = `SELECT v.advisory AS vul_id, i.id AS image_id, i.name AS image_name, o.action AS handle_type, o.done_by AS user_name, o.remark AS remark,
CASE WHEN x.handled = 1 THEN 'vul_status_ignored' ELSE 'vul_status_unfix' END AS status, p.name AS app_name, p.version AS app_version
FROM vul_operation_image x JOIN vul_operation o ON o.project_id = x.project_id AND o.id = x.operation_id JOIN operated_image i ON i.id = x.image_id
JOIN vulnerability v ON v.id = x.vul_id JOIN package p ON p.id = x.package_id WHERE o.action <> 'manual_repair'`
	sqlFactCVEs = `SELECT v.advisory AS vul_id, e.cve_id AS cve_id FROM vulnerability v JOIN vulnerability_cve e ON e.vul_id = v.id`
)

// learnFacts reads the server's database: that of PostgreSQL at a URL, or the file
// in a directory.
func learnFacts(t *testing.T, dir, database string) *known {
	t.Helper()
	driver, source := "pgx", database
	if database == "" {
		driver, source = "sqlite", "file:"+(&url.URL{Path: filepath.Join(dir, store.FileName)}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	k := &known{
		images: facts(t, db, sqlFactImages), holders: facts(t, db, sqlFactHolder), containers: facts(t, db, sqlFactContainers),
		installed: facts(t, db, sqlFactInstalled), found: facts(t, db, sqlFactFound), rules: facts(t, db, sqlFactRules),
		risks: facts(t, db, sqlFactRisks), secrets: facts(t, db, sqlFactSecrets), history: facts(t, db, sqlFactHistory), cves: map[string][]string{},
	}
	for _, r := range facts(t, db, sqlFactCVEs) {
		k.cves[text(r["vul_id"])] = append(k.cves[text(r["vul_id"])], text(r["cve_id"]))
	}
	return k
}

// facts are the rows of a query, by the names of their columns.
func facts(t *testing.T, db *sql.DB, query string) (out []row) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		r := row{}
		for i, c := range columns {
			r[c] = values[i]
			if n, ok := values[i].(int64); ok {
				r[c] = float64(n) // as in JSON
			}
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// imageIs says whether an id is of an image.
func (k *known) imageIs(ask terms) bool {
	id, asked := ask["image_id"]
	return !asked || holds(k.images, "image_id", id)
}

// called is the image of a name.
func (k *known) called(name string) row {
	for _, i := range k.images {
		if i["image_name"] == name {
			return i
		}
	}
	return nil
}

// holds says whether one of some rows has a value in a member.
func holds(rows []row, member string, v any) bool {
	for _, r := range rows {
		if r[member] == v {
			return true
		}
	}
	return false
}

// exposed are the containers with what a vulnerability scan found in their
// images.
func (k *known) exposed() (out []row) {
	for _, c := range k.containers {
		for _, f := range k.found {
			if f["image_id"] == c["image_id"] {
				r := row{"first_scan_time": max(f["first_scan"].(float64), f["first_seen"].(float64))}
				for _, from := range []row{f, c} {
					for m, v := range from {
						r[m] = v
					}
				}
				out = append(out, r)
			}
		}
	}
	return out
}
