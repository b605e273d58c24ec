package query

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/test/postgres"
)

func TestMain(m *testing.M) {
	code := m.Run()
	postgres.Stop()
	os.Exit(code)
}

// onEngines runs a test with each database.
func onEngines(t *testing.T, test func(t *testing.T, cfg store.Config)) {
	t.Run("sqlite", func(t *testing.T) { test(t, store.Config{Path: filepath.Join(t.TempDir(), "db")}) })
	t.Run("postgres", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short leaves engines out, PostgreSQL among them")
		}
		test(t, store.Config{URL: postgres.Database(t)})
	})
}

// requestTime is what a request may take, unless it asks for more.
const requestTime = 2 * time.Second

// A duo is two servers on one database, and an agent that holds some images.
type duo struct {
	t      *testing.T
	stores [2]*store.Store
	urls   [2]string
	ending chan struct{}
	first  store.First
	user   auth.Key // who asks
	agent  auth.Key
}

func newDuo(t *testing.T, cfg store.Config, images int) *duo {
	t.Helper()
	quiet, known := slog.New(slog.DiscardHandler), true
	d := &duo{t: t, ending: make(chan struct{})}
	cfg.SealKey, cfg.Log, cfg.Advisories = bytes.Repeat([]byte{7}, 32), quiet, zlib{&known}
	for i := range d.stores {
		st, err := store.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		d.stores[i] = st
		api := New(Config{Store: st, Ending: d.ending, Log: quiet, poll: 10 * time.Millisecond, Authenticate: func(next http.Handler) http.Handler {
			return auth.New(auth.Config{Keys: st, Projects: st, Log: quiet}).Users(next)
		}})
		srv := httptest.NewUnstartedServer(api)
		srv.Config.ReadTimeout, srv.Config.WriteTimeout = requestTime, requestTime
		srv.Start()
		t.Cleanup(srv.Close)
		d.urls[i] = srv.URL
	}
	var err error
	if _, d.first, err = d.stores[0].Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.user = d.first.Key
	host := fleet.Host{ID: "h", Name: "worker-1"}
	resp, err := d.stores[0].Enroll(t.Context(), fleet.EnrollRequest{EnrollKey: d.first.EnrollKey, Host: host}, time.Now().UnixMilli())
	if err == nil {
		d.agent, err = d.stores[0].Key(t.Context(), resp.AccessKey)
	}
	if err != nil {
		t.Fatal(err)
	}
	states := []fleet.ImageState{}
	for i := range images {
		states = append(states, fleet.ImageState{Engine: "docker", ConfigDigest: image.DigestOf(config(i)), Names: []image.Ref{{Name: fmt.Sprint("web-", i), Tag: "1"}, {Name: fmt.Sprint("web-", i), Tag: "2"}}})
	}
	d.sync(0, &states)
	return d
}

func diffID(i int) image.Digest { return image.Digest(fmt.Sprintf("sha256:%064x", i)) }

func config(i int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]},"history":[{"created_by":"COPY / /"}]}`, diffID(i)))
}

func (d *duo) sync(want int, images *[]fleet.ImageState) fleet.SyncResponse {
	d.t.Helper()
	resp, err := d.stores[0].Sync(d.t.Context(), d.agent, fleet.SyncRequest{Host: fleet.Host{ID: "h", Name: "worker-1"}, Analyzers: "set", ImagesHash: "1", Images: images, Want: want}, time.Now().UnixMilli()+1)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp
}

// scan asks for a scan of all that is idle.
func (d *duo) scan() string {
	d.t.Helper()
	task, err := d.stores[0].Scan(d.t.Context(), d.first.Project.ID, store.ScanRequest{TaskType: store.TaskManual, By: store.Actor{Name: d.user.AK}})
	if err != nil || task == "" {
		d.t.Fatal(task, err)
	}
	return task
}

// work finishes one job: the first image fails.
func (d *duo) work() {
	d.t.Helper()
	for _, j := range d.sync(1, nil).Jobs {
		req := fleet.FinishRequest{Failure: fleet.FailureTooLarge}
		for i := 1; i < 100; i++ {
			if image.DigestOf(config(i)) != j.ConfigDigest {
				continue
			}
			err := d.stores[0].PutLayer(d.t.Context(), &report.LayerReport{DiffID: string(diffID(i)), Analyzers: "set", Complete: true,
				OSReleases: map[string]map[string]string{"/etc/os-release": {"ID": "debian", "VERSION_ID": "12"}},
				Databases: []report.Database{{Path: "/var/lib/dpkg/status", Packages: []report.Package{
					{Type: report.TypeDeb, Name: "zlib1g", Version: "1:1.2.13.dfsg-1", Arch: "amd64", Source: "zlib", Path: "/var/lib/dpkg/status", Licenses: []string{"Zlib"}}}}}})
			if err != nil {
				d.t.Fatal(err)
			}
			req = fleet.FinishRequest{Image: &fleet.ImageReport{ConfigDigest: j.ConfigDigest, Analyzers: "set", DiffIDs: []image.Digest{diffID(i)}, Config: config(i)}}
		}
		if err := d.stores[0].Finish(d.t.Context(), d.agent, j.ID, req, time.Now().UnixMilli()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// ask sends a signed request to one of the servers; path is below the project.
func (d *duo) ask(ctx context.Context, server int, path, last string) *http.Response {
	d.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.urls[server]+"/v1/"+d.first.Project.ID+"/"+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	if err := auth.Sign(req, d.user.AK, d.user.Secret, time.Now()); err != nil {
		d.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func (d *duo) get(path string) (status int, out map[string]any) {
	d.t.Helper()
	resp := d.ask(d.t.Context(), 0, path, "")
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, out
}

type sent struct {
	name, id string
	data     map[string]any
}

// stream reads events.
type stream struct {
	t     *testing.T
	lines *bufio.Scanner
}

// next is the next event, zero at the end of the stream.
func (s *stream) next() (e sent) {
	s.t.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				s.t.Fatal(err)
			}
		case "":
			if e.name != "" {
				return e
			}
		}
	}
	return sent{}
}

func (d *duo) listen(ctx context.Context, server int, task, last string) *stream {
	d.t.Helper()
	resp := d.ask(ctx, server, "scan-tasks/"+task+"/events", last)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		d.t.Fatal(resp.Status, resp.Header)
	}
	return &stream{d.t, bufio.NewScanner(resp.Body)}
}

func TestScanTasks(t *testing.T) { onEngines(t, testScanTasks) }

func testScanTasks(t *testing.T, cfg store.Config) {
	d := newDuo(t, cfg, 3)
	if status, got := d.get("scan-tasks/latest"); status != http.StatusNotFound {
		t.Errorf("before any scan: %d %v", status, got)
	}
	task := d.scan()
	for range 3 {
		d.work()
	}
	status, got := d.get("scan-tasks/latest")
	want := map[string]any{"task_id": task, "task_type": "manual", "created_by": d.user.AK, "state": "finished", "progress": 100.0, "remain_min": 0.0,
		"scan_scope": 0.0, "rate_limit": 0.0, "is_all": false, "total_num": 6.0, "success_num": 4.0, "failed_num": 2.0, "risky_num": 4.0}
	for k := range got {
		if _, ok := want[k]; !ok {
			delete(got, k)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || status != http.StatusOK {
		t.Error(status, diff)
	}
	for path, want := range map[string]any{
		"scan-tasks/latest?by=any":                 task,
		"scan-tasks/latest?by=" + d.user.AK:        task,
		"scan-tasks/latest?task_type=manual":       task,
		"scan-tasks/latest?by=any&task_type=cycle": nil,
		"scan-tasks/latest?by=nobody":              nil,
		"scan-tasks/latest?task_type=moon":         nil,
		"scan-tasks/latest?moon=1":                 nil,
		"scan-tasks/" + task:                       task,
		"scan-tasks/" + task + "?status=moon":      nil,
		"scan-tasks/" + task + "?limit=0":          nil,
		"scan-tasks/moon":                          nil,
		"scan-tasks/%00":                           nil,
		"scan-tasks/moon/events":                   nil,
	} {
		status, got := d.get(path)
		if got["task_id"] != want || want == nil && (status != http.StatusBadRequest && status != http.StatusNotFound || got["error_msg"] == "") {
			t.Errorf("%s: %d %v", path, status, got)
		}
	}
	_, got = d.get("scan-tasks/" + task + "?status=success&offset=1&limit=2")
	images := got["images"].([]any)
	if got["image_num"] != 4.0 || len(images) != 2 {
		t.Fatal(got)
	}
	i := images[1].(map[string]any)
	for k, want := range map[string]any{"image_name": "web-2", "image_version": "1", "status": "success", "severity_level": "High", "image_digest": string(image.DigestOf(config(2)))} {
		if i[k] != want {
			t.Errorf("%s is %v", k, i[k])
		}
	}
	if diff := cmp.Diff(map[string]any{"critical": 1.0, "high": 0.0, "medium": 0.0, "low": 0.0, "unknown": 0.0}, i["vulnerabilities"]); diff != "" {
		t.Error(diff)
	}
}

func TestFollow(t *testing.T) { onEngines(t, testFollow) }

// The work is done through one server and followed at the other.
func testFollow(t *testing.T, cfg store.Config) {
	d := newDuo(t, cfg, 3)
	task := d.scan()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := d.listen(ctx, 1, task, "")
	if e := s.next(); e.name != "task" || e.id != "0" || e.data["state"] != "running" || e.data["total_num"] != 6.0 {
		t.Fatalf("first event: %+v", e)
	}
	var names, ids []string
	for n := 1; n <= 2; n++ {
		d.work()
		for range 2 {
			e := s.next()
			names = append(names, e.name+" "+fmt.Sprint(e.data["image_version"]))
			ids = append(ids, e.id)
		}
		e := s.next()
		names = append(names, e.name)
		ids = append(ids, e.id)
		if e.data["progress"] != float64(n*100/3) {
			t.Errorf("progress %v", e.data["progress"])
		}
	}
	if diff := cmp.Diff([]string{"image 1", "image 2", "task", "image 1", "image 2", "task"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"", "2", "2", "", "4", "4"}, ids); diff != "" {
		t.Error(diff)
	}
	// The stream breaks, the work goes on, and the listener goes on with what
	// it missed, at the other server.
	cancel()
	d.work()
	var missed []string
	s = d.listen(t.Context(), 0, task, "2")
	for e := s.next(); e.name != ""; e = s.next() {
		missed = append(missed, e.name+" "+e.id)
	}
	if diff := cmp.Diff([]string{"image ", "image 4", "image ", "image 6", "end 6.end"}, missed); diff != "" {
		t.Error(diff)
	}
	if resp := d.ask(t.Context(), 0, "scan-tasks/"+task+"/events", "6.end"); resp.StatusCode != http.StatusNoContent {
		t.Errorf("after the end: %s", resp.Status)
	}
	if resp := d.ask(t.Context(), 0, "scan-tasks/"+task+"/events", "moon"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an id of the moon: %s", resp.Status)
	}
	// A new listener of what has ended is told so at once.
	s = d.listen(t.Context(), 0, task, "")
	if e, end := s.next(), s.next(); e.name != "end" || e.data["state"] != "finished" || end.name != "" {
		t.Errorf("%+v, then %+v", e, end)
	}
}

// A stream outlives what any other request may take.
func TestFollowTakesItsTime(t *testing.T) {
	d := newDuo(t, store.Config{Path: filepath.Join(t.TempDir(), "db")}, 1)
	s := d.listen(t.Context(), 0, d.scan(), "")
	if e := s.next(); e.name != "task" {
		t.Fatalf("first event: %+v", e)
	}
	time.Sleep(requestTime + requestTime/4)
	d.work()
	var names []string
	for e := s.next(); e.name != ""; e = s.next() {
		names = append(names, e.name)
	}
	if diff := cmp.Diff([]string{"image", "image", "end"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestFollowIsBounded(t *testing.T) {
	d := newDuo(t, store.Config{Path: filepath.Join(t.TempDir(), "db")}, 1)
	task := d.scan()
	var streams []*stream
	for range maxOfKey {
		streams = append(streams, d.listen(t.Context(), 0, task, ""))
	}
	resp := d.ask(t.Context(), 0, "scan-tasks/"+task+"/events", "")
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s", resp.Status)
	}
	// A server that ends ends them all, before the task does.
	close(d.ending)
	for _, s := range streams {
		last := sent{}
		for e := s.next(); e.name != ""; e = s.next() {
			last = e
		}
		if last.name != "task" {
			t.Errorf("last event: %+v", last)
		}
	}
}

func TestListeners(t *testing.T) {
	var l listeners
	var leave []func()
	for i := range maxListeners {
		f := l.enter(fmt.Sprint(i / maxOfKey))
		if f == nil {
			t.Fatalf("no room for listener %d", i)
		}
		leave = append(leave, f)
	}
	if l.enter("new") != nil {
		t.Error("there is no bound")
	}
	for _, f := range leave {
		f()
	}
	if l.all != 0 || len(l.of) != 0 {
		t.Errorf("left over: %d, %v", l.all, l.of)
	}
}
