package hostile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// memory is the contract of these tests, that of an agent.
const memory = 256 << 20

// program is the binary under test.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "onceover-hostile-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "onceover")
		build := exec.Command("go", "build", "-o", program, "../../cmd/onceover")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// A document is what "scan --format json" writes, as far as it matters here.
type document struct {
	Images []struct {
		Names    []string  `json:"names"`
		Error    string    `json:"error"`
		Complete bool      `json:"complete"`
		Layers   []layer   `json:"layers"`
		Packages []pkg     `json:"packages"`
		Problems []problem `json:"problems"`
		Ledger   ledger    `json:"ledger"`
		// Checked are the ledgers of checks beside that for packages.
		Checked map[string]ledger `json:"checked"`
	} `json:"images"`
}

type layer struct {
	DiffID string  `json:"diff_id"`
	Ledger *ledger `json:"ledger"`
}

type pkg struct{ Type, Name, Version, Path, Layer string }

type problem struct{ Path, Analyzer, Message, Reason, Layer string }

type ledger struct {
	Files, Parsed, Examined, Passed, Owned, Unowned int64
	Skipped                                         map[string]int64
}

func (l ledger) sum() int64 { return l.Parsed + l.Examined + l.Passed + l.skipped() }

func (l ledger) skipped() (n int64) {
	for _, k := range l.Skipped {
		n += k
	}
	return n
}

// measured is a scan and what it took.
type measured struct {
	document
	took    time.Duration
	cpu     time.Duration
	peak    int64 // of the sum over the processes, sampled
	largest int64 // of one process, as the kernel keeps it
	log     string
}

// scan scans a target within the contract, and checks what holds for every
// scan.
func scan(t *testing.T, within time.Duration, args ...string) measured {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	home := t.TempDir()
	args = append([]string{"scan", "--memory", strconv.Itoa(memory), "--format", "json", "--ledger", "--quiet", "--no-cache"}, args...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var m measured
	stop := make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				sum, largest := treeRSS(cmd.Process.Pid)
				m.peak, m.largest = max(m.peak, sum), max(m.largest, largest)
			}
		}
	})
	err := cmd.Wait()
	close(stop)
	sampling.Wait()
	m.took, m.log = time.Since(began), log.String()
	st := cmd.ProcessState
	m.cpu = st.UserTime() + st.SystemTime()
	if ctx.Err() != nil {
		t.Fatalf("the scan did not end within %s", within)
	}
	if code := st.ExitCode(); code != 0 && code != 1 {
		t.Fatalf("exit code %d, %v: %s", code, err, log.String())
	}
	if err := json.Unmarshal(out.Bytes(), &m.document); err != nil {
		t.Fatalf("no result: %v\n%s", err, log.String())
	}
	t.Logf("%s, %s of processor time, %d MB at most, %d MB the largest process", m.took.Round(time.Millisecond), m.cpu.Round(time.Millisecond), m.peak>>20, m.largest>>20)
	if m.peak > memory || m.largest > memory {
		t.Errorf("took %d MB in all, %d MB in one process: the contract is %d MB", m.peak>>20, m.largest>>20, memory>>20)
	}
	for _, im := range m.Images {
		if im.Error != "" {
			t.Errorf("%v was not scanned: %s", im.Names, im.Error)
		}
		if im.Ledger.Files != im.Ledger.sum() {
			t.Errorf("the ledger does not add up: %+v", im.Ledger)
		}
		named := map[string]bool{}
		for _, p := range im.Problems {
			if p.Reason != "" {
				named[p.Layer+p.Path] = true
			}
			if p.Reason == "analyser-failed" {
				t.Errorf("an analyser fell over %s: %s", p.Path, p.Message)
			}
		}
		skipped := im.Ledger.skipped()
		least, most := skipped, skipped
		for check, l := range im.Checked {
			if l.Files != l.sum() || l.Files != im.Ledger.Files {
				t.Errorf("the ledger of %s does not add up: %+v", check, l)
			}
			// One file can be skipped by several.
			least, most = max(least, l.skipped()), most+l.skipped()
		}
		if n := int64(len(named)); n < least || n > most {
			t.Errorf("%d to %d files were skipped, %d are named", least, most, n)
		}
	}
	return m
}

// treeRSS is the resident memory of a process and all beneath it, and the most
// that one of them has ever had. Pages that they share count for each. (What
// wait4(2) tells begins with the memory of the process that forked.)
func treeRSS(root int) (sum, largest int64) {
	for _, pid := range tree(root) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		_, rest, ok := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if !ok || len(f) < 22 {
			continue
		}
		pages, _ := strconv.ParseInt(f[21], 10, 64)
		n := pages * int64(os.Getpagesize())
		sum += n
		largest = max(largest, n, highWater(pid))
	}
	return sum, largest
}

// tree is a process and all beneath it. The kernel tells the children of each
// thread: to look through all processes of the machine, a hundred times a
// second, took as long as the scans.
func tree(root int) []int {
	all := []int{root}
	for i := 0; i < len(all); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, l := range lists {
			b, err := os.ReadFile(l)
			if err != nil {
				continue // it has ended
			}
			for _, f := range strings.Fields(string(b)) {
				if pid, err := strconv.Atoi(f); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// highWater is the most resident memory that a process has had since it was
// executed.
func highWater(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || !bytes.Contains(b, []byte("onceover")) {
		return 0 // gone, or not executed yet
	}
	_, rest, _ := bytes.Cut(b, []byte("VmHWM:"))
	f := bytes.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(string(f[0]), 10, 64)
	return kb << 10
}

// found are the npm packages of an image, by name.
func (m measured) found(t *testing.T) map[string]bool {
	t.Helper()
	if len(m.Images) != 1 {
		t.Fatalf("%d images: %s", len(m.Images), m.log)
	}
	out := map[string]bool{}
	for _, p := range m.Images[0].Packages {
		out[p.Name] = true
	}
	return out
}

// reasons are the skipped files of an image with their reasons.
func (m measured) reasons() map[string]string {
	out := map[string]string{}
	for _, p := range m.Images[0].Problems {
		if p.Reason != "" {
			out[p.Path] = p.Reason
		}
	}
	return out
}

const healthyName = "healthy-neighbour"

var healthy = []byte(`{"name":"` + healthyName + `","version":"1.2.3"}`)

// healthyPath stands before and behind everything else.
var healthyPaths = []string{"a/node_modules/" + healthyName + "/package.json", "zz/node_modules/" + healthyName + "-2/package.json"}

// spec is one layer of an archive: its diff ID, and what writes it as stored.
type spec struct {
	name  string
	write func(w io.Writer) (diffID string)
}

// tarLayer is a plain layer.
func tarLayer(name string, fill func(tw *tar.Writer)) spec {
	return spec{name, func(w io.Writer) string {
		h := sha256.New()
		tw := tar.NewWriter(io.MultiWriter(w, h))
		for _, p := range healthyPaths[:1] {
			add(tw, p, healthy)
		}
		fill(tw)
		add(tw, healthyPaths[1], bytes.Replace(healthy, []byte(healthyName), []byte(healthyName+"-2"), 1))
		if err := tw.Close(); err != nil {
			panic(err)
		}
		return "sha256:" + hex.EncodeToString(h.Sum(nil))
	}}
}

// packed is s compressed.
func packed(s spec, compress func(io.Writer) io.WriteCloser) spec {
	return spec{s.name, func(w io.Writer) string {
		z := compress(w)
		id := s.write(z)
		if err := z.Close(); err != nil {
			panic(err)
		}
		return id
	}}
}

func gz(w io.Writer) io.WriteCloser {
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
	return z
}

func zst(w io.Writer) io.WriteCloser {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	return z
}

func add(tw *tar.Writer, name string, content []byte) {
	if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}); err != nil {
		panic(err)
	}
	if _, err := tw.Write(content); err != nil {
		panic(err)
	}
}

// archive writes a docker-archive of one image and returns the target.
func archive(t *testing.T, layers ...spec) string {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "image.tar")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tw := tar.NewWriter(f)
	var ids, files []string
	for i, l := range layers {
		part, err := os.Create(filepath.Join(dir, "layer"))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, l.write(part))
		size, err := part.Seek(0, io.SeekCurrent)
		if err == nil {
			_, err = part.Seek(0, io.SeekStart)
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprintf("%d/layer.tar", i))
		if err := tw.WriteHeader(&tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o644, Size: size}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(tw, part); err != nil {
			t.Fatal(err)
		}
		part.Close()
		os.Remove(part.Name())
	}
	add(tw, "config.json", config(ids))
	manifest, _ := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{"hostile:1"}, "Layers": files}})
	add(tw, "manifest.json", manifest)
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return "docker-archive:" + name
}

func config(diffIDs []string) []byte {
	b, _ := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	return b
}

// store lays out a store of podman with one image of one layer, and returns
// the arguments to scan it; fill fills the layer's directory.
func store(t *testing.T, fill func(diff string)) []string {
	t.Helper()
	root := t.TempDir()
	id := strings.Repeat("a1", 32)
	diff := filepath.Join(root, "overlay", id, "diff")
	for _, d := range []string{diff, filepath.Join(root, "overlay-images"), filepath.Join(root, "overlay-layers")} {
		must(t, os.MkdirAll(d, 0o755))
	}
	for _, p := range healthyPaths {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(diff, p)), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(diff, healthyPaths[0]), healthy, 0o644))
	must(t, os.WriteFile(filepath.Join(diff, healthyPaths[1]), bytes.Replace(healthy, []byte(healthyName), []byte(healthyName+"-2"), 1), 0o644))
	fill(diff)
	diffID := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(root)))
	cfg := config([]string{diffID})
	configID := fmt.Sprintf("%x", sha256.Sum256(cfg))
	must(t, os.MkdirAll(filepath.Join(root, "overlay-images", configID), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "overlay-images", configID, "="+base64.StdEncoding.EncodeToString([]byte("sha256:"+configID))), cfg, 0o644))
	put := func(name string, v any) {
		b, _ := json.Marshal(v)
		must(t, os.WriteFile(filepath.Join(root, name), b, 0o644))
	}
	put("overlay-images/images.json", []map[string]any{{"id": configID, "names": []string{"localhost/hostile:1"}, "layer": id, "big-data-names": []string{"sha256:" + configID}}})
	put("overlay-layers/layers.json", []map[string]any{{"id": id, "diff-digest": diffID, "diff-size": 1}})
	none := filepath.Join(root, "none")
	return []string{"localhost/hostile:1", "--storage-root", root, "--docker-socket", none, "--containerd-socket", none}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// neighbours checks that what stands beside the hostile files was found.
func neighbours(t *testing.T, m measured) {
	t.Helper()
	got := m.found(t)
	for _, name := range []string{healthyName, healthyName + "-2"} {
		if !got[name] {
			t.Errorf("%s was not found\n%+v", name, m.Images[0].Problems)
		}
	}
}

// skips checks that files are named as skipped, each for one of the reasons.
func skips(t *testing.T, m measured, want map[string][]string) {
	t.Helper()
	got := m.reasons()
	for p, reasons := range want {
		if !slices.Contains(reasons, got[p]) {
			t.Errorf("%s: reason %q, want one of %q", p, got[p], reasons)
		}
	}
}
