package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

const (
	idleImages = 200
	// idleTime is how long the agent is measured: long enough for what it
	// does twice a minute. ONCEOVER_IDLE_TIME sets another time.
	idleTime = time.Minute
	// What an agent at rest may take. On a busy machine with two cores it
	// took 7 ms and 30 MiB, of which the program itself is 20.
	maxIdleCPUPerMinute = 60 * time.Millisecond
	maxIdleRSS          = 64 << 20
)

// usage is what a process has taken so far.
type usage struct {
	cpu   time.Duration
	wakes int64
}

// use reads what the scheduler has counted, in nanoseconds: the clock ticks of
// /proc/PID/stat are too coarse.
func (p *process) use() (u usage) {
	p.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		p.t.Fatalf("no process: %v", err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(filepath.Join(task, "schedstat"))
		if err != nil {
			p.t.Skipf("the kernel does not count: %v", err)
		}
		ns, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		u.cpu += time.Duration(ns)
		u.wakes += statusField(p.t, filepath.Join(task, "status"), "voluntary_ctxt_switches")
	}
	return u
}

// statusField is a number of /proc/PID/status.
func statusField(t *testing.T, path, name string) int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return 0
}

// TestIdle measures an agent with nothing to do beside engines that run.
func TestIdle(t *testing.T) {
	docker, containerd := engine.Docker(t), engine.Containerd(t)
	var imgs []runtimetest.Image
	for i := range idleImages {
		name := fmt.Sprintf("app%d:1", i)
		imgs = append(imgs, runtimetest.Build(t, name, runtimetest.Gzip, map[string]string{"name": name}))
	}
	if err := docker.Load(t.Context(), runtimetest.DockerArchive(t, append(imgs, runtimetest.Sleeper(t, "sleeper:1"))...)); err != nil {
		t.Fatal(err)
	}
	if err := containerd.Load(t.Context(), runtimetest.DockerArchive(t, imgs[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := docker.Run(t.Context(), engine.Container{Image: "sleeper:1", Name: "awake", Cmd: []string{"/sleeper"}}); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--no-agent")
	a := start(t, "agent", "--server", s.url, "--data", t.TempDir(), "--enroll-key", s.enrollKey,
		"--docker-socket", docker.Socket, "--containerd-socket", containerd.Socket)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if s.assetCount() == idleImages+1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d images are known", s.assetCount())
		}
	}
	over := idleTime
	if v := os.Getenv("ONCEOVER_IDLE_TIME"); v != "" {
		var err error
		if over, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(5 * time.Second)
	before := a.use()
	time.Sleep(over)
	after := a.use()
	status := fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid)
	rss, peak := statusField(t, status, "VmRSS")<<10, statusField(t, status, "VmHWM")<<10
	anon := statusField(t, status, "RssAnon") << 10
	perMinute := (after.cpu - before.cpu) * time.Duration(time.Minute/time.Second) / time.Duration(over/time.Second)
	t.Logf("over %v with %d images: %v CPU (%v a minute), %d wakeups, RSS %.1f MiB (%.1f of its own; peak %.1f)", over, idleImages+2,
		(after.cpu - before.cpu).Round(10*time.Microsecond), perMinute.Round(10*time.Microsecond), after.wakes-before.wakes,
		float64(rss)/(1<<20), float64(anon)/(1<<20), float64(peak)/(1<<20))
	if perMinute > maxIdleCPUPerMinute {
		t.Errorf("%v CPU a minute at rest, want at most %v", perMinute, maxIdleCPUPerMinute)
	}
	if rss > maxIdleRSS {
		t.Errorf("%d bytes of memory at rest, want at most %d", rss, maxIdleRSS)
	}
}

// assetCount is how many images the server lists.
func (s *server) assetCount() int {
	s.t.Helper()
	var list struct {
		Total int `json:"total_num"`
	}
	s.get("/image/local-repositories?limit=10", &list)
	return list.Total
}
