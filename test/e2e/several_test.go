package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/onceover/onceover/test/postgres"
)

// pair is two servers of one PostgreSQL database.
type pair struct {
	url  string
	a, b *server
}

func startPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{url: postgres.Database(t)}
	dir := t.TempDir()
	p.a = startServer(t, filepath.Join(dir, "a"), "--no-agent", "--database", p.url)
	p.b = startServer(t, filepath.Join(dir, "b"), "--no-agent", "--database", p.url, "--seal-key", filepath.Join(dir, "a", "seal.key"))
	if p.a.project != p.b.project || p.a.ak == p.b.ak {
		t.Fatalf("projects %s and %s, keys %s and %s: want one project and a key each", p.a.project, p.b.project, p.a.ak, p.b.ak)
	}
	return p
}

// agent starts an agent that knows the servers in this order.
func (p *pair) agent(t *testing.T, layout string, servers ...*server) *process {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(p.a.enrollKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.url)
	}
	return start(t, "agent", "--server", strings.Join(urls, ","), "--data", filepath.Join(t.TempDir(), "agent"),
		"--no-engines", "--archive", "oci:"+layout, "--enroll-key-file", key)
}

func (s *server) put(path, body string) {
	s.t.Helper()
	if code, b := s.do(s.request("PUT", "/v5/"+s.project+path, body)); code != 200 || len(b) != 0 {
		s.t.Fatalf("PUT %s: %d %s", path, code, b)
	}
}

type namedTask struct {
	ID       string `json:"task_id"`
	PolicyID string `json:"policy_id"`
	Status   int    `json:"task_status"`
}

func (s *server) tasksOf(kind string) []namedTask {
	s.t.Helper()
	var list struct {
		Data []namedTask `json:"data_list"`
	}
	s.get("/image/tasks?type=image_scan&limit=200&task_type="+kind, &list)
	return list.Data
}

// within waits until something is so.
func within(t *testing.T, d time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v: %s", d, what)
		}
	}
}

// TestPolicyOfTwoServers sets a policy through one server and has it come due
// again and again, which both look for every ten seconds.
func TestPolicyOfTwoServers(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.agent(t, writeLayout(t, family(1)...), p.b)
	p.b.awaitImages(1, "known", func(localImage) bool { return true })
	p.a.put("/image/scanner-policies", `{"enabled":true,"scan_cycle":3,"scan_scope":2147483647,"rate_limit":0,"time_scope":0,"registry_info":[]}`)
	var policy struct {
		Enabled bool `json:"enabled"`
		Cycle   int  `json:"scan_cycle"`
	}
	if p.b.get("/image/scanner-policies?type=cycle", &policy); !policy.Enabled || policy.Cycle != 3 {
		t.Errorf("through the other server: %+v", policy)
	}
	db, err := sql.Open("pgx", p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for round := 1; round <= 3; round++ {
		within(t, patience, "the policy has not fired, or its task does not end", func() bool {
			tasks := p.b.tasksOf("cycle")
			return len(tasks) == round && tasks[0].Status == 100
		})
		if round == 3 {
			break
		}
		if _, err := db.Exec("UPDATE scan_policy SET next_at = 1, last_at = 1"); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(11 * time.Second) // both have looked once more
	tasks := p.a.tasksOf("cycle")
	if len(tasks) != 3 || tasks[0].PolicyID == "" || tasks[0].PolicyID != tasks[2].PolicyID {
		t.Errorf("%+v, want three of one policy", tasks)
	}
}

// slowImage takes an agent a good while: passwords of 10,000 accounts are guessed
// in its layer, for as long as a file may take.
func slowImage() imageSpec {
	var shadow strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&shadow, "u%d:$6$%d$%s:1::::::\n", i, i, strings.Repeat("b", 86))
	}
	return imageSpec{"slow:1", []map[string]string{{
		"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n", "var/lib/dpkg/status": status, "etc/shadow": shadow.String(),
	}}}
}

// children are the processes that read layers for an agent.
func (p *process) children() []string {
	p.t.Helper()
	var out []string
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f) // a thread may have ended
		if err == nil {
			out = append(out, strings.Fields(string(b))...)
		}
	}
	return out
}

// TestStopThroughTheOther stops a task through one server whose image is being
// read by an agent of the other.
func TestStopThroughTheOther(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	agent := p.agent(t, writeLayout(t, slowImage()), p.a)
	p.b.awaitImages(1, "known", func(localImage) bool { return true })
	p.b.scanAll() // wakes the agent at the other server
	within(t, 10*time.Second, "nothing is being read", func() bool { return len(agent.children()) > 0 })
	p.a.awaitImages(1, "being scanned", func(i localImage) bool { return i.Status == "scanning" })
	time.Sleep(2500 * time.Millisecond) // the agent is parked: with a job under way for 20 s
	if len(agent.children()) == 0 {
		t.Fatal("the scan was too quick for this test")
	}

	stopped := time.Now()
	p.b.put("/image/image-scan/tasks/"+p.b.tasksOf("manual")[0].ID+"/stop", "")
	if got := p.b.images()[0]; got.Status != "unscan" {
		t.Errorf("after the stop: %+v", got)
	}
	within(t, 5*time.Second, "the layer is still being read", func() bool { return len(agent.children()) == 0 })
	t.Logf("the reading process has ended %v after the stop", time.Since(stopped).Round(time.Millisecond))
	within(t, 5*time.Second, "the agent does not say so", func() bool { return strings.Contains(agent.stderr.String(), "scan stopped") })
	for _, s := range []*server{p.a, p.b} {
		if got := s.tasks(); len(got) != 1 || got[0] != (task{Status: -1, Total: 1}) {
			t.Errorf("task %+v", got)
		}
	}
}

// TestKillOneOfTwo kills the server that an agent works for in the middle of a
// task, each in turn.
func TestKillOneOfTwo(t *testing.T) {
	t.Parallel()
	layout := writeLayout(t, family(familySize)...)
	for _, name := range []string{"the first", "the second"} {
		t.Run(name, func(t *testing.T) {
			p := startPair(t)
			killed, left := p.a, p.b
			if name == "the second" {
				killed, left = p.b, p.a
			}
			p.agent(t, layout, killed, left)
			left.awaitImages(familySize, "known", func(localImage) bool { return true })
			killed.scanAll()
			midway(t, left)
			killed.kill()
			finished(t, left)

			back := startServer(t, killed.data, "--no-agent", "--database", p.url, "--seal-key", filepath.Join(p.a.data, "seal.key"))
			if back.ak != killed.ak || back.project != killed.project {
				t.Error("the credentials changed")
			}
			finished(t, back)
		})
	}
}

// TestSecondServerWithAnotherKey has no business in a database that another
// server has sealed.
func TestSecondServerWithAnotherKey(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	startServer(t, filepath.Join(t.TempDir(), "a"), "--no-agent", "--database", url)
	data := filepath.Join(t.TempDir(), "b")
	for range 2 { // the key that the first start made is not left behind
		b := start(t, "server", "--data", data, "--listen", "127.0.0.1:0", "--no-agent", "--db", database, "--database", url)
		if code := b.end(patience); code == 0 || !strings.Contains(b.stderr.String(), "copy its seal.key to "+filepath.Join(data, "seal.key")) {
			t.Errorf("exit code %d: %s", code, b.stderr.String())
		}
		if exists(filepath.Join(data, "seal.key")) || exists(filepath.Join(data, "credentials.env")) {
			t.Error("it leaves something behind")
		}
	}
	missing := start(t, "server", "--data", data, "--listen", "127.0.0.1:0", "--no-agent", "--db", database, "--database", url, "--seal-key", filepath.Join(data, "none"))
	if code := missing.end(patience); code == 0 || !strings.Contains(missing.stderr.String(), "read seal key") {
		t.Errorf("exit code %d: %s", code, missing.stderr.String())
	}
}

// books runs a command on the database of the servers, as someone does who
// administers one of them, and returns what it prints.
func (p *pair) books(s *server, args ...string) string {
	s.t.Helper()
	args = append(args, "--data", s.data, "--database", p.url, "--seal-key", filepath.Join(p.a.data, "seal.key"))
	c := start(s.t, args...)
	if code := c.end(patience); code != 0 {
		s.t.Fatalf("%v: exit code %d: %s", args, code, c.stderr.String())
	}
	return c.stdout.String()
}

// with is the server as someone asks it who has another key.
func (s *server) with(ak, sk string) *server {
	as := *s
	as.ak, as.sk = ak, sk
	return &as
}

// TestKeysOfTwoServers takes keys away on the host of one server, and asks the
// other at once.
func TestKeysOfTwoServers(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	keyOf := func(env string) (ak, sk string) {
		values := map[string]string{}
		for line := range strings.Lines(env) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[name] = value
		}
		return values["HUAWEICLOUD_SDK_AK"], values["HUAWEICLOUD_SDK_SK"]
	}
	p.books(p.a, "user", "create", "clerk", "--role", "viewer")
	ak, sk := keyOf(p.books(p.a, "key", "create", "clerk"))
	ask := func(what string, want int, ak, sk, token string) {
		t.Helper()
		for name, s := range map[string]*server{"the first": p.a, "the other": p.b} {
			req := s.with(ak, sk).request("GET", "/v5/"+s.project+"/image/local-repositories", "")
			if token != "" {
				req.Header.Del("Authorization")
				req.Header.Set("X-Auth-Token", token)
			}
			if code, b := s.do(req); code != want {
				t.Errorf("%s, %s server: %d %s", what, name, code, b)
			}
		}
	}
	ask("a new key", 200, ak, sk, "")
	resp, err := p.b.client.Post(p.b.url+"/v3/auth/tokens", "application/json", strings.NewReader(
		fmt.Sprintf(`{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":%q},"secret":{"key":%q}}}}}`, ak, sk)))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	token := resp.Header.Get("X-Subject-Token")
	ask("its token", 200, ak, sk, token)

	ak2, sk2 := keyOf(p.books(p.a, "key", "rotate", ak, "--overlap", "0s"))
	ask("the key that was rotated", 401, ak, sk, "")
	ask("the token of it", 401, ak, sk, token)
	ask("the key in its place", 200, ak2, sk2, "")
	p.books(p.b, "key", "disable", ak2)
	ask("a disabled key", 401, ak2, sk2, "")
	p.books(p.a, "key", "enable", ak2)
	ask("an enabled key", 200, ak2, sk2, "")
	p.books(p.b, "user", "disable", "clerk")
	ask("the key of a disabled user", 401, ak2, sk2, "")
	p.books(p.a, "user", "enable", "clerk")
	p.books(p.a, "key", "delete", ak2)
	ask("a deleted key", 401, ak2, sk2, "")
}

// TestKillWhileAnExportIsMade kills a server while it accepts an export, and again
// while it makes the file. Tables are locked from outside, so that it is in the
// middle of that.
func TestKillWhileAnExportIsMade(t *testing.T) {
	t.Parallel()
	p := &pair{url: postgres.Database(t)}
	data := filepath.Join(t.TempDir(), "a")
	p.a = startServer(t, data, "--no-agent", "--database", p.url)
	db, err := sql.Open("pgx", p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	count := func(query string) (n int) {
		t.Helper()
		if err := db.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	hold := func(table string) *sql.Tx {
		t.Helper()
		tx, err := db.Begin()
		if err == nil {
			_, err = tx.Exec("LOCK TABLE " + table + " IN EXCLUSIVE MODE")
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	killed := func(lock *sql.Tx) {
		t.Helper()
		p.a.kill()
		if err := lock.Rollback(); err != nil {
			t.Fatal(err)
		}
		p.a = startServer(t, data, "--no-agent", "--database", p.url)
	}
	const export = "/image/local-vulnerability/export?export_size=100"
	const asked = "SELECT COUNT(*) FROM audit WHERE operation = 'BatchExportLocalVulTask'"

	lock := hold("export_task")
	req := p.a.request("POST", "/v5/"+p.a.project+export, `{"operate_all":true}`)
	answered := make(chan bool)
	go func() {
		resp, err := p.a.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		answered <- err == nil
	}()
	within(t, patience, "the deed is not in the audit log before it is done", func() bool { return count(asked) == 1 })
	killed(lock)
	if <-answered {
		t.Error("an answer for what was not stored")
	}
	if n := count("SELECT COUNT(*) FROM export_task"); n != 0 {
		t.Errorf("%d exports of a request without an answer", n)
	}

	lock = hold("export_chunk")
	var task struct {
		ID string `json:"task_id"`
	}
	code, b := p.a.do(p.a.request("POST", "/v5/"+p.a.project+export, `{"operate_all":true}`))
	if err := json.Unmarshal(b, &task); code != 200 || err != nil {
		t.Fatalf("%d %s", code, b)
	}
	within(t, patience, "no server makes the file", func() bool { return count("SELECT COUNT(*) FROM export_task WHERE state = 'running'") == 1 })
	begin := time.Now()
	killed(lock)
	var made struct {
		State string `json:"task_status"`
		File  string `json:"file_id"`
	}
	within(t, 40*time.Second, "the file is not made", func() bool {
		p.a.get("/export-task/"+task.ID, &made)
		return made.State == "success"
	})
	t.Logf("made %v after the kill", time.Since(begin).Round(time.Millisecond))
	if code, b := p.a.do(p.a.request("GET", "/v5/"+p.a.project+"/download/"+made.File, "")); code != 200 || len(b) == 0 {
		t.Errorf("download: %d, %d bytes", code, len(b))
	}
	var log struct {
		Entries []struct {
			Status int `json:"status"`
		} `json:"entries"`
	}
	if err := json.Unmarshal([]byte(p.books(p.a, "audit", "--operation", "BatchExportLocalVulTask", "--format", "json")), &log); err != nil || len(log.Entries) != 2 {
		t.Fatalf("%+v, %v", log, err)
	}
	statuses := []int{log.Entries[0].Status, log.Entries[1].Status}
	if !slices.Contains(statuses, 0) {
		t.Errorf("what was under way has a status: %v", statuses)
	}
}
