package hostile

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/auth"
)

// begin starts the program and returns a line of its standard error that has
// the text in it.
func begin(t *testing.T, text string, args ...string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	stderr, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := make(chan string, 1)
	go func() {
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			if strings.Contains(sc.Text(), text) {
				select {
				case lines <- sc.Text():
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	select {
	case line := <-lines:
		return cmd, line
	case <-time.After(time.Minute):
		t.Fatalf("onceover %v does not say %q", args, text)
		return nil, ""
	}
}

// cpuOf is the processor time of a process and of its children, of those too
// that have ended.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	of := func(pid string, fields ...int) (ticks int64, parent string) {
		b, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if err != nil {
			return 0, ""
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		for _, i := range fields {
			n, _ := strconv.ParseInt(f[i], 10, 64)
			ticks += n
		}
		return ticks, f[1]
	}
	const utime, stime, cutime, cstime = 11, 12, 13, 14
	sum, _ := of(strconv.Itoa(pid), utime, stime, cutime, cstime)
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		if n, parent := of(filepath.Base(p), utime, stime); parent == strconv.Itoa(pid) {
			sum += n
		}
	}
	return time.Duration(sum) * 10 * time.Millisecond
}

// busy keeps every processor busy, with what gives way to everybody: so the
// agent could take all of them, and tests that run beside are not held up.
func busy(t *testing.T) {
	t.Helper()
	for range runtime.NumCPU() {
		cmd := exec.Command("nice", "-n", "19", "sh", "-c", "while :; do :; done")
		must(t, cmd.Start())
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
}

// An agent that reads a hostile layer while every processor is busy keeps to a
// fifth of one and to its memory; at full speed it takes what it gets.
func TestAgentKeepsItsContract(t *testing.T) {
	files := bombs()
	target := archive(t, packed(tarLayer("bombs", func(tw *tar.Writer) {
		for name, b := range files {
			if strings.HasSuffix(name, ".jar") {
				add(tw, name, b)
			}
		}
	}), gz))
	busy(t)
	shares := map[string]float64{}
	for _, mode := range []string{"contract", "full speed"} {
		data := t.TempDir()
		_, line := begin(t, "onceover: serving ", "server", "--data", data, "--listen", "127.0.0.1:0", "--no-agent")
		url := strings.TrimPrefix(line, "onceover: serving ")
		args := []string{"agent", "--server", url, "--data", t.TempDir(), "--enroll-key-file", filepath.Join(data, "enroll.env"), "--no-engines", "--archive", target}
		if mode == "full speed" {
			args = append(args, "--full-speed")
		}
		agent, _ := begin(t, "enrolled", args...)
		c := newClient(t, url, filepath.Join(data, "credentials.env"))
		c.await(t)
		c.scan(t)
		before, began := cpuOf(t, agent.Process.Pid), time.Now()
		var peak, largest int64
		status := ""
		for status != "success" && status != "failed" {
			if time.Since(began) > 5*time.Minute {
				t.Fatalf("the scan does not end: %q", status)
			}
			for range 20 {
				sum, one := treeRSS(agent.Process.Pid)
				peak, largest = max(peak, sum), max(largest, one)
				time.Sleep(10 * time.Millisecond)
			}
			status = c.status(t)
		}
		took := time.Since(began)
		used := cpuOf(t, agent.Process.Pid) - before
		shares[mode] = float64(used) / float64(took)
		t.Logf("%s: %s after %s, %s of processor time: %.1f %% of one; %d MB at most, %d MB the largest process",
			mode, status, took.Round(time.Millisecond), used, 100*shares[mode], peak>>20, largest>>20)
		if mode == "contract" && (peak > memory || shares[mode] > 0.25) {
			t.Error("the contract is 20 % and 256 MB")
		}
		agent.Process.Signal(syscall.SIGTERM)
	}
	if shares["full speed"] < shares["contract"] {
		t.Errorf("full speed is slower than the contract: %v", shares)
	}
}

// client speaks the API of a server.
type client struct{ url, ak, sk, project string }

func newClient(t *testing.T, url, credentials string) *client {
	t.Helper()
	b, err := os.ReadFile(credentials)
	must(t, err)
	values := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	return &client{url, values["HUAWEICLOUD_SDK_AK"], values["HUAWEICLOUD_SDK_SK"], values["HUAWEICLOUD_SDK_PROJECT_ID"]}
}

func (c *client) do(t *testing.T, method, path, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.url+"/v5/"+c.project+path, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Project-Id", c.project)
	must(t, auth.Sign(req, c.ak, c.sk, time.Now()))
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	return b
}

func (c *client) scan(t *testing.T) {
	t.Helper()
	c.do(t, "POST", "/image/local/batch-scan", `{"operate_all":true}`)
}

// status of the one image, "none" if it is not listed.
func (c *client) status(t *testing.T) string {
	t.Helper()
	var list struct {
		Data []struct {
			Status string `json:"scan_status"`
		} `json:"data_list"`
	}
	must(t, json.NewDecoder(bytes.NewReader(c.do(t, "GET", "/image/local-repositories?limit=10", ""))).Decode(&list))
	if len(list.Data) != 1 {
		return "none"
	}
	return list.Data[0].Status
}

// await waits until the image is listed.
func (c *client) await(t *testing.T) {
	t.Helper()
	for range 600 {
		if c.status(t) != "none" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the image is not listed")
}
