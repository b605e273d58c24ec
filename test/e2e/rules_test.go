package e2e

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/test/planted"
)

// Rules are taken while a server runs, and only what they concern is done again:
// those for secrets let layers be read for secrets alone, with the next scan;
// those for software and baselines are applied to what is kept, without one. A
// mistake leaves the former in use.
func TestRulesWhileItRuns(t *testing.T) {
	layout, rules, data := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "data")
	img := planted.Image{Ref: "shop/own:1", Layers: []planted.Layer{{Files: []planted.File{
		{Path: "/srv/app/notes.txt", Content: []byte("owntoken_" + strings.Repeat("x7", 10) + "\n")},
		{Path: "/etc/login.defs", Content: []byte("PASS_MAX_DAYS 90\n")},
		{Path: "/var/lib/dpkg/status", Content: []byte("Package: telnet\nStatus: install ok installed\nVersion: 0.17-44\nArchitecture: amd64\n\n")},
		{Path: "/etc/os-release", Content: []byte("ID=debian\nVERSION_ID=\"12\"\n")},
	}}}}
	if err := planted.WriteOCI(layout, img); err != nil {
		t.Fatal(err)
	}
	rule := func(name, text string) {
		t.Helper()
		p := filepath.Join(rules, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := startServer(t, data, "--no-engines", "--sample", "never", "--archive", "oci:"+layout, "--rules", rules)
	s.awaitImages(1, "known", func(localImage) bool { return true })
	s.scanAll()
	id := s.awaitImages(1, "scanned", succeeded)[0].ID
	total := func(path string) int {
		var list struct {
			Total int `json:"total_num"`
		}
		s.get("/image/"+id+path, &list)
		return list.Total
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: not so after %s\n%s", what, patience, s.stderr.String())
			}
		}
	}
	said := func(text string) func() bool {
		return func() bool { return strings.Contains(s.stderr.String(), text) }
	}
	if n := total("/sensitive?image_type=local"); n != 0 {
		t.Fatalf("%d secrets before there is a rule", n)
	}
	before := reportsByCheck(t, data)
	if len(before) != 5 {
		t.Fatalf("reports of layers %v", before)
	}

	// A deny list needs no scan; nor do rules of baselines.
	tasks := len(s.tasks())
	rule("policy/deny.yaml", "deny:\n  - id: no-telnet\n    reason: Log-ins go over SSH.\n    severity: High\n    name: telnet\n")
	await("telnet is denied", func() bool { return total("/non-compliant-app?image_type=local_image") == 1 })
	if n := len(s.tasks()); n != tasks {
		t.Errorf("%d scan tasks, %d before the deny list", n, tasks)
	}
	if d := cmp.Diff(before, reportsByCheck(t, data)); d != "" {
		t.Errorf("a deny list had layers read: %s", d)
	}

	// A mistake is told with file and line, and changes nothing.
	rule("secrets/own.toml", "[[rules]]\nid = \"own-token\"\ntokem = 'x'\n")
	await("the mistake is told", said("secrets/own.toml:"))
	rule("secrets/own.toml", "[[rules]]\nid = \"own-token\"\ndescription = \"Token of ours\"\nkind = \"token\"\nseverity = \"high\"\nkeywords = [\"owntoken_\"]\ntoken = 'owntoken_[a-z0-9]{20}'\n")
	await("the rule is taken", said("rules taken"))
	s.scanAll()
	await("the token is found", func() bool { return total("/sensitive?image_type=local") == 1 })
	want := map[string]int{}
	for check, n := range before {
		want[check] = n
	}
	want["secrets"] *= 2
	if d := cmp.Diff(want, reportsByCheck(t, data)); d != "" {
		t.Errorf("reports of layers: %s", d)
	}
	if n := total("/non-compliant-app?image_type=local_image"); n != 1 {
		t.Errorf("%d packages are denied after the scan", n)
	}
}

// reportsByCheck counts the reports of layers in a server's database.
func reportsByCheck(t *testing.T, data string) map[string]int {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "onceover.sqlite")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT substr(analyzers, 1, instr(analyzers, '-') - 1), COUNT(*) FROM layer_report GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var check string
		var n int
		if err := rows.Scan(&check, &n); err != nil {
			t.Fatal(err)
		}
		out[check] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(fmt.Errorf("read reports of layers: %w", err))
	}
	return out
}
