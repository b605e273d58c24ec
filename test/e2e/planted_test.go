package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.yaml.in/yaml/v3"
	_ "modernc.org/sqlite"

	"github.com/onceover/onceover/test/planted"
	"github.com/onceover/onceover/test/shareddata"
)

// TestNoPlantedValueGetsOut scans an image full of secrets through the whole
// system, with everything that can be looked for, and looks for the secrets
// in all that is written down or answered: the logs at their most talkative,
// every file of the data directory and every column of the database, the
// exports, and the answers of all operations that read.
func TestNoPlantedValueGetsOut(t *testing.T) {
	plot, err := planted.Bad(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	if err != nil {
		t.Fatal(err)
	}
	w := &guard{t: t, leaks: planted.NewLeaks(plot.Values)}
	layout := t.TempDir()
	if err := planted.WriteOCI(layout, plot.Image, plot.Base, planted.Clean()); err != nil {
		t.Fatal(err)
	}
	// The watch sees what is there.
	if b, err := json.Marshal(plot.Image.Config); err != nil || len(w.leaks.In(b)) < 4 {
		t.Fatalf("the configuration of the image holds its secrets, and they are not seen: %v", err)
	}

	t.Run("server", func(t *testing.T) {
		w.t = t
		data := filepath.Join(t.TempDir(), "data")
		s := startServer(t, data, "--no-engines", "--sample", "never", "--rate-limit", "0", "--log-level", "debug", "--log-format", "json", "--archive", "oci:"+layout)
		s.awaitImages(3, "known", func(localImage) bool { return true })
		s.scanAll()
		images := s.awaitImages(3, "scanned", succeeded)
		w.answers(s, images, plot)
		s.terminate()
		if code := s.end(patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		w.look("the log", []byte(s.stderr.String()))
		w.look("the output", []byte(s.stdout.String()))
		w.directory("data", data)
		w.database(filepath.Join(data, "onceover.sqlite"))
	})

	t.Run("scan", func(t *testing.T) {
		w.t = t
		everything := scanners(t)
		deny := filepath.Join(t.TempDir(), "deny.yaml")
		if err := os.WriteFile(deny, []byte(plot.DenyList), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"json", "table", "sarif", "cyclonedx"} {
			cache := t.TempDir()
			args := []string{"scan", "oci:" + layout + ":" + planted.BadRef, "--db", database, "--format", format, "--scanners", everything, "--policy", deny, "--cache", cache, "--ledger", "--files"}
			p := start(t, args...)
			if code := p.end(patience); code != 0 && code != 1 { // 1: what is broken was not read to its end
				t.Fatalf("exit code %d: %s", code, p.stderr.String())
			}
			if p.stdout.String() == "" {
				t.Errorf("%s: no output", format)
			}
			w.look("scan --format "+format, []byte(p.stdout.String()))
			w.look("the log of scan --format "+format, []byte(p.stderr.String()))
			w.directory("the cache of scan", cache)
			if format == "json" {
				w.found(p.stdout.String(), plot)
			}
		}
	})
}

// scanners are all that this program can look for, as its help says.
func scanners(t *testing.T) string {
	t.Helper()
	p := start(t, "scan", "--scanners", "none-of-these", "oci:nowhere")
	p.end(patience)
	_, list, ok := strings.Cut(p.stderr.String(), "there are ")
	if !ok {
		t.Fatalf("no list of scanners: %s", p.stderr.String())
	}
	list, _, _ = strings.Cut(list, "\n")
	return strings.ReplaceAll(list, ", ", ",")
}

// A guard looks for planted values.
type guard struct {
	t     *testing.T
	leaks *planted.Leaks
}

// look reports values in a text. What is reported is how it goes on, not the
// value: each run has others.
func (w *guard) look(where string, text []byte) {
	w.t.Helper()
	for _, v := range w.leaks.In(text) {
		at := max(0, bytes.Index(text, []byte(v)))
		w.t.Errorf("%s: a planted value (%.4s…, %d bytes) stands in: %.200q", where, v, len(v), text[max(0, at-100):])
	}
}

// directory looks into all files below dir, unpacked if they are zstd frames
// or hold one.
func (w *guard) directory(what, dir string) {
	w.t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		files++
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		w.blob(what+": "+rel, b)
		return nil
	})
	if err != nil || files == 0 {
		w.t.Errorf("%s: %d files: %v", what, files, err)
	}
}

// blob looks at bytes, and at what is packed in them.
func (w *guard) blob(where string, b []byte) {
	w.t.Helper()
	w.look(where, b)
	// RFC 8878, 3.1.1: the magic number of a frame.
	at := bytes.Index(b, []byte{0x28, 0xb5, 0x2f, 0xfd})
	if at < 0 || at > 1024 {
		return
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	if plain, err := r.DecodeAll(b[at:], nil); err == nil {
		w.look(where+", unpacked", plain)
	}
}

// database looks at each column of each row.
func (w *guard) database(file string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	tables := w.strings(db, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	reports, values := 0, 0
	for _, table := range tables {
		rows, err := db.QueryContext(w.t.Context(), `SELECT * FROM "`+table+`"`)
		if err != nil {
			w.t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			w.t.Fatal(err)
		}
		for rows.Next() {
			row := make([]any, len(columns))
			for i := range row {
				row[i] = new([]byte)
			}
			if err := rows.Scan(row...); err != nil {
				w.t.Fatal(err)
			}
			for i, c := range columns {
				b := *row[i].(*[]byte)
				if len(b) == 0 {
					continue
				}
				values++
				if table == "layer_report" && c == "body" {
					reports++
				}
				w.blob("column "+table+"."+c, b)
			}
		}
		if err := rows.Err(); err != nil {
			w.t.Fatal(err)
		}
		rows.Close()
	}
	if reports < 5 || values < 500 {
		w.t.Errorf("%d layer reports and %d values in the database: not the one that was written", reports, values)
	}
}

func (w *guard) strings(db *sql.DB, query string) (out []string) {
	w.t.Helper()
	rows, err := db.QueryContext(w.t.Context(), query)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// An operation that reads, of the API's document.
type operation struct {
	ID         string `yaml:"operationId"`
	path       string
	Parameters []struct {
		Name     string
		In       string
		Required bool
		Ref      string `yaml:"$ref"`
	}
}

// readers are all operations that read, built or not.
func readers(t *testing.T) []operation {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shareddata.Root(), "api", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]struct {
			Get *operation
		}
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	var out []operation
	for _, p := range slices.Sorted(maps.Keys(doc.Paths)) {
		if op := doc.Paths[p].Get; op != nil {
			op.path = p
			out = append(out, *op)
		}
	}
	return out
}

// answers asks every operation that reads for all it has of each image, and
// looks for planted values in what comes. What is not built answers 501, and is
// counted; what is built joins by itself.
func (w *guard) answers(s *server, images []localImage, plot *planted.Plot) {
	w.t.Helper()
	id := ""
	for _, i := range images {
		if i.Name+":"+i.Version == plot.Image.Ref {
			id = i.ID
		}
	}
	if id == "" {
		w.t.Fatalf("%s is not among %+v", plot.Image.Ref, images)
	}
	built, notBuilt, refused := map[string]int{}, map[string]bool{}, map[string]string{}
	ask := func(op operation, values map[string]string) []byte {
		path := strings.ReplaceAll(op.path, "{project_id}", s.project)
		for name, v := range values {
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(v))
		}
		q := url.Values{"limit": {"200"}, "offset": {"0"}}
		for _, p := range op.Parameters {
			if v, ok := values[p.Name]; ok && p.In == "query" {
				q.Set(p.Name, v)
			}
		}
		code, b := s.do(s.request("GET", path+"?"+q.Encode(), ""))
		switch code {
		case 200:
			built[op.ID] += len(b)
		case 501:
			notBuilt[op.ID] = true
		default:
			refused[op.ID] = fmt.Sprintf("%d %s", code, b)
		}
		w.look("the answer of "+op.ID, b)
		return b
	}
	all := readers(w.t)
	for _, op := range all {
		for _, family := range []string{"local_image", "local"} {
			for _, typ := range []string{"linux_vul", "app_vul", "image_scan", "image"} {
				values := map[string]string{
					"image_id": id, "image_type": family, "global_image_type": "local", "type": typ, "standard": "hw_standard", "check_name": "SSH", "check_type": "SSH", "rule_id": "BC-SECRET-ENV",
					"is_handled": "false", "handle_status": "unhandled", "vul_id": "CVE-2023-4911", "repair_necessity": "immediate_repair", "image_name": "planted", "tag_name": "1",
				}
				b := ask(op, values)
				if op.ID == "ListImageRiskConfigs" {
					w.details(b, all, values, ask)
				}
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(built)) {
		delete(refused, id)
	}
	w.t.Logf("%d operations answered, %d are not built, refused: %v", len(built), len(notBuilt), refused)
	for _, must := range []string{
		"ListImageLocal", "ListImageBuildCommandRisks", "ListImageSensitive", "ListImageSensitiveInfo", "ListImageMalware", "ListGlobalMalware",
		"ListImageRiskConfigs", "ListImageRiskConfigRules", "ShowImageCheckRuleDetail", "ListImageWeakPwdUsers", "ListImageApps", "ListImageFiles",
	} {
		if built[must] < 1000 { // empty lists are shorter
			w.t.Errorf("%s answered %d bytes", must, built[must])
		}
	}
}

// details asks for all rules of all baselines, and for each rule.
func (w *guard) details(configs []byte, all []operation, values map[string]string, ask func(operation, map[string]string) []byte) {
	find := func(id string) operation {
		return all[slices.IndexFunc(all, func(o operation) bool { return o.ID == id })]
	}
	var list struct {
		Data []struct {
			Name     string `json:"check_name"`
			Type     string `json:"check_type"`
			Standard string `json:"standard"`
		} `json:"data_list"`
	}
	if json.Unmarshal(configs, &list) != nil {
		return
	}
	for _, c := range list.Data {
		values := maps.Clone(values)
		values["check_name"], values["check_type"], values["standard"] = c.Name, c.Type, c.Standard
		var rules struct {
			Data []struct {
				ID string `json:"check_rule_id"`
			} `json:"data_list"`
		}
		if json.Unmarshal(ask(find("ListImageRiskConfigRules"), values), &rules) != nil {
			continue
		}
		for _, r := range rules.Data {
			values["check_rule_id"] = r.ID
			ask(find("ShowImageCheckRuleDetail"), values)
			ask(find("ListCheckRuleResources"), values)
		}
	}
}

// found holds that the scan whose output was watched saw the secrets: a scan
// that finds nothing gives nothing away.
func (w *guard) found(output string, plot *planted.Plot) {
	w.t.Helper()
	var doc struct {
		Images []struct {
			Secrets []struct {
				Path    string
				Deleted bool
			}
		}
	}
	if err := json.Unmarshal([]byte(output), &doc); err != nil || len(doc.Images) != 1 {
		w.t.Fatalf("%d images: %v", len(doc.Images), err)
	}
	seen, deleted := map[string]bool{}, false
	for _, s := range doc.Images[0].Secrets {
		seen[s.Path] = true
		deleted = deleted || s.Deleted && s.Path == plot.Deleted
	}
	missed := []string{}
	for path, kind := range plot.Kinds {
		if !seen[path] {
			missed = append(missed, kind)
		}
	}
	w.t.Logf("%d of %d kinds of secrets found", len(plot.Kinds)-len(missed), len(plot.Kinds))
	if len(missed)*20 > len(plot.Kinds) { // 57 of 60
		w.t.Errorf("%d of %d kinds missed: %s", len(missed), len(plot.Kinds), strings.Join(missed, ", "))
	}
	if !deleted {
		w.t.Errorf("%s, which a later layer deletes, is not reported as deleted", plot.Deleted)
	}
	for _, where := range []string{"env:", "label:", "history:"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(seen)), func(p string) bool { return strings.HasPrefix(p, where) }) {
			w.t.Errorf("nothing found in %s", where)
		}
	}
}
