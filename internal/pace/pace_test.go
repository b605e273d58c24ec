//go:build linux

package pace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain makes the test program one that can be its own busy child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "spin" {
		go func() {
			time.Sleep(time.Minute) // should the test die
			os.Exit(1)
		}()
		for n := 0; ; n++ {
			runtime.KeepAlive(n)
		}
	}
	os.Exit(m.Run())
}

func spin(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "spin")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// A child that would take all there is takes what the contract says while
// others are busy on every processor.
func TestShare(t *testing.T) {
	for range runtime.NumCPU() {
		spin(t) // the others
	}
	k := New(Config{CPUPercent: 20})
	child := spin(t)
	pid := child.Process.Pid
	release := k.Add(pid)
	time.Sleep(500 * time.Millisecond)
	before, _ := processCPU(pid)
	own, _ := processCPU(os.Getpid())
	began := time.Now()
	time.Sleep(4 * time.Second)
	after, err := processCPU(pid)
	if err != nil {
		t.Fatal(err)
	}
	ownAfter, _ := processCPU(os.Getpid())
	share := float64(after-before+ownAfter-own) / float64(time.Since(began))
	t.Logf("the child and its keeper took %.1f %% of a processor, the keeper %s of it, held back for %s", 100*share, ownAfter-own, k.Held())
	if share > 0.25 {
		t.Errorf("took %.1f %% of a processor", 100*share)
	}
	if k.Held() == 0 {
		t.Error("never held back")
	}
	release()
	held := k.Held()
	time.Sleep(300 * time.Millisecond)
	if k.Held() != held {
		t.Error("what was released is held back")
	}
	if err := waitFor(func() bool {
		now, _ := processCPU(pid)
		return now-after > 50*time.Millisecond
	}); err != nil {
		t.Error("what was released does not run")
	}
}

func waitFor(ok func() bool) error {
	for range 500 {
		if ok() {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("not in time")
}

// The keeper looks after nobody when there are no children, and again when
// there are.
func TestKeeperSleeps(t *testing.T) {
	k := New(Config{})
	for range 2 {
		release := k.Add(spin(t).Process.Pid)
		release()
		if err := waitFor(func() bool {
			k.mu.Lock()
			defer k.mu.Unlock()
			return !k.running
		}); err != nil {
			t.Fatal("the keeper goes on without children")
		}
	}
	var none *Keeper
	none.Add(1)()
	if none.Held() != 0 || none.Cgroup() != nil {
		t.Error("a nil keeper keeps something")
	}
	none.Close()
}

func TestAllowance(t *testing.T) {
	for _, tc := range []struct {
		name string
		s    state
		want float64
	}{
		{"busy host", state{}, 0.2},
		{"idle host of four", state{Idle: 4}, 2},
		{"a little idle", state{Idle: 0.3}, 0.2},
		{"others wait", state{Idle: 4, Pressure: true}, 0.2},
		{"short of memory", state{Idle: 4, Thrashing: true}, 0.1},
	} {
		if got := allowance(0.2, tc.s); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

// proc lays out what the kernel tells of the host.
func proc(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHost(t *testing.T) {
	const quiet = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500\n"
	dir := t.TempDir()
	h := host{proc: dir, cpus: 2}
	at := func(stat string, cpu, memory, io string) state {
		proc(t, dir, map[string]string{"stat": stat, "pressure/cpu": cpu, "pressure/memory": memory, "pressure/io": io})
		return h.look(time.Second, 100*time.Millisecond)
	}
	h.reset()
	at("cpu  100 0 50 1000 10 0 0 0 0 0\ncpu0 1 1\n", quiet, quiet, quiet)
	// A second in which 0.6 s were used, 0.1 s of it by ourselves.
	got := at("cpu  150 0 60 1140 10 0 0 0 0 0\n", quiet, quiet, quiet)
	if diff := cmp.Diff(state{Idle: 1.5}, got); diff != "" {
		t.Error(diff)
	}
	busy := "some avg10=0.00 avg60=0.00 avg300=0.00 total=601000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=600500\n"
	got = at("cpu  330 0 80 1140 10 0 0 0 0 0\n", busy, quiet, quiet)
	if !got.Pressure || got.Thrashing || got.Idle > 0.2 {
		t.Errorf("busy: %+v", got)
	}
	if got = at("cpu  340 0 80 1330 10 0 0 0 0 0\n", busy, busy, quiet); !got.Thrashing {
		t.Errorf("short of memory: %+v", got)
	}
	// A kernel that tells nothing gives no reason to take more.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	h.look(time.Second, 0)
	if got := h.look(time.Second, 0); got != (state{}) {
		t.Errorf("unknown host: %+v", got)
	}
}

// The steps by which a delegated control group is divided, on a recorded tree:
// this test does not need a kernel with the controllers in version 2.
func TestGroup(t *testing.T) {
	root := t.TempDir()
	own, err := ownGroup(root, os.Getpid())
	if err != nil {
		t.Skip("no version 2 hierarchy at all: ", err)
	}
	pid := strconv.Itoa(os.Getpid())
	set := func(controllers, procs string) {
		proc(t, own, map[string]string{"cgroup.controllers": controllers, "cgroup.procs": procs, "cgroup.subtree_control": ""})
	}
	for name, given := range map[string][2]string{
		"without controllers": {"hugetlb pids\n", pid + "\n"},
		"with strangers":      {"cpu memory\n", "1\n" + pid + "\n"},
	} {
		set(given[0], given[1])
		if _, err := newGroup(root, os.Getpid()); !errors.Is(err, errNoGroup) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	set("cpuset cpu io memory pids\n", pid+"\n")
	g, err := newGroup(root, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if err := errors.Join(g.setCPU(0.2), g.setMemory(100<<20)); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"onceover-agent/cgroup.procs", "cgroup.subtree_control", "onceover-layers/cpu.max", "onceover-layers/memory.max", "onceover-layers/memory.swap.max"} {
		b, err := os.ReadFile(filepath.Join(own, name))
		if err != nil {
			t.Error(err)
		}
		got[name] = string(b)
	}
	want := map[string]string{
		"onceover-agent/cgroup.procs": pid, "cgroup.subtree_control": "+cpu +memory",
		"onceover-layers/cpu.max": "20000 100000", "onceover-layers/memory.max": "104857600", "onceover-layers/memory.swap.max": "0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// On this very kernel: a real group where the controllers are there, else the
// pacing by signals.
func TestMeans(t *testing.T) {
	k := New(Config{Group: true, Memory: 1 << 30})
	defer k.Close()
	t.Log("kept by ", k.Means())
	if !slices.Contains([]string{"cgroup", "signals"}, k.Means()) || (k.Cgroup() != nil) != (k.Means() == "cgroup") {
		t.Errorf("%s, %v", k.Means(), k.Cgroup())
	}
}
