package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onceover/onceover/test/engine"
	"github.com/onceover/onceover/test/fixture"
	"github.com/onceover/onceover/test/oracle"
	"github.com/onceover/onceover/test/shareddata"
)

// peerSettings of one run of "bench peers".
type peerSettings struct {
	rounds   int
	cold     int
	sets     []string
	from     []string
	programs []string
	write    string
	onceover string
	osv      string
}

// Places that an image is read from.
const (
	fromStore   = "docker"
	fromArchive = "archive"
)

// peers measures all programs on all sets of images.
func peers(ctx context.Context, args []string, out io.Writer) error {
	var s peerSettings
	f := flag.NewFlagSet("bench peers", flag.ContinueOnError)
	f.IntVar(&s.rounds, "rounds", 3, "rounds that are counted, with the page cache warm")
	f.IntVar(&s.cold, "cold", 1, "rounds with an empty page cache (root only)")
	list := func(to *[]string, name, usage string, all ...string) {
		*to = all
		f.Func(name, usage+": some of "+strings.Join(all, ","), func(v string) error {
			*to = strings.Split(v, ",")
			for _, n := range *to {
				if !slices.Contains(all, n) {
					return fmt.Errorf("want some of %s", strings.Join(all, ","))
				}
			}
			return nil
		})
	}
	list(&s.sets, "sets", "images", fixture.BenchLarge, fixture.BenchFamily, fixture.BenchJava, fixture.BenchNode, fixture.BenchPython)
	list(&s.from, "from", "where they are read from", fromStore, fromArchive)
	list(&s.programs, "programs", "what is measured", "onceover", "syft", "osv-scanner", "grype", "trivy")
	f.StringVar(&s.write, "write", "", "put the tables into this Markdown file, between its markers")
	f.StringVar(&s.onceover, "onceover", "", "measure this program (default: built from this tree)")
	f.StringVar(&s.osv, "osv", "", "directory with OSV archives for grype (default: osv of the shared test data; without either grype is left out)")
	if err := f.Parse(args); err != nil {
		return err
	}
	if s.rounds < 1 || s.cold < 0 {
		return errors.New("--rounds: want at least 1; --cold: want at least 0")
	}
	tmp, err := os.MkdirTemp("", "onceover-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	p, err := preparePeers(ctx, &s, tmp)
	if err != nil {
		return err
	}
	defer p.close()
	var doc bytes.Buffer
	if err := p.machine(&doc); err != nil {
		return err
	}
	for _, set := range s.sets {
		images, err := fixture.BuildBench(ctx, set, os.Stderr)
		if err != nil {
			return err
		}
		for _, from := range s.from {
			t, err := p.measure(ctx, images, from)
			if err != nil {
				return err
			}
			if t == nil {
				continue
			}
			if err := t.markdown(&doc); err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, doc.String())
			// What was measured is kept if a later image fails.
			if s.write != "" {
				if err := writeBetween(s.write, doc.String()); err != nil {
					return err
				}
			}
		}
	}
	_, err = out.Write(doc.Bytes())
	return err
}

// A peerBench has everything that is compared.
type peerBench struct {
	peerSettings
	tools   oracle.Tools
	trivy   string
	grypeDB string
	tmp     string
	self    string
	docker  *engine.Engine
	pid     int // of dockerd
	dropped error
}

func preparePeers(ctx context.Context, s *peerSettings, tmp string) (*peerBench, error) {
	p := &peerBench{peerSettings: *s, tmp: tmp}
	var err error
	if p.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if p.tools, err = oracle.Build(ctx, os.Stderr); err != nil {
		return nil, err
	}
	if p.onceover == "" {
		p.onceover = filepath.Join(tmp, "onceover")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", p.onceover, "./cmd/onceover")
		build.Dir, build.Env, build.Stderr = shareddata.Root(), append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build onceover: %w", err)
		}
	}
	if p.trivy, err = exec.LookPath("trivy"); err != nil {
		p.trivy = "" // it joins only where it is installed
	}
	if shared := shareddata.Find(); p.osv == "" && shared != "" {
		p.osv = filepath.Join(shared, "osv")
	}
	if p.osv != "" && slices.Contains(p.programs, "grype") {
		if p.grypeDB, err = p.tools.Database(ctx, p.osv, ""); err != nil {
			return nil, err
		}
	}
	p.dropped = dropCaches()
	if slices.Contains(p.from, fromStore) {
		if err := p.startDocker(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *peerBench) close() {
	if p.docker != nil {
		p.docker.Stop()
	}
}

// startDocker starts an engine that keeps its images between runs.
func (p *peerBench) startDocker(ctx context.Context) error {
	cache, err := fixture.CacheDir()
	if err != nil {
		return err
	}
	if p.docker, err = engine.Start(ctx, engine.KindDocker, filepath.Join(cache, "bench", "docker")); err != nil {
		return err
	}
	p.pid, err = listener(p.docker.Socket)
	return err
}

// listener is the process that listens on a unix socket (unix(7),
// SO_PEERCRED).
func listener(socket string) (int, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// load puts images into the engine, unless it has them.
func (p *peerBench) load(ctx context.Context, images fixture.Bench) error {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.docker.Socket)
	}}}
	defer client.CloseIdleConnections()
	marker := filepath.Join(p.docker.DataRoot, "loaded-"+filepath.Base(images.Archive))
	missing := false
	for _, ref := range images.Refs {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/images/"+ref+"/json", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		missing = missing || resp.StatusCode != http.StatusOK
	}
	if _, err := os.Stat(marker); err == nil && !missing {
		return nil
	}
	fmt.Fprintln(os.Stderr, "bench: loading", images.Archive)
	if err := p.docker.Load(ctx, images.Archive); err != nil {
		return err
	}
	return os.WriteFile(marker, nil, 0o644)
}

// A peer is one program on one set of images: commands that run one after the
// other, and whose costs are added up.
type peer struct {
	name string
	env  []string
	argv [][]string
	// count reads the packages from what the commands write; nil if they
	// list none.
	count func(outputs [][]byte) (int, error)
	// layersOf reads the number of layers from what the commands write.
	layersOf func(output []byte) (int, error)
	// recall compares what onceover lists with what this program lists.
	recall func(ours *oracle.Scan, output []byte) (oracle.Recall, error)
	// before prepares a run.
	before func() error

	warm, cold []cost
	packages   int
	layers     string
	failed     error
	outputs    [][]byte // until the recall is known
}

var layersLine = regexp.MustCompile(`(\d+) layers? analysed`)

// measure runs all programs on one set, read from one place. It returns nil
// for what has no meaning.
func (p *peerBench) measure(ctx context.Context, images fixture.Bench, from string) (*peerTable, error) {
	if from == fromStore {
		if err := p.load(ctx, images); err != nil {
			return nil, err
		}
	} else if len(images.Refs) > 1 {
		return nil, nil // the peers take one image out of an archive
	}
	t := &peerTable{images: images, from: from, rows: p.peersFor(images, from), engine: from == fromStore, began: loadAverage()}
	// The first run counts the packages, and warms the page cache.
	for _, r := range t.rows {
		fmt.Fprintf(os.Stderr, "bench: %s from %s: %s\n", images.Name, from, r.name)
		r.failed = p.first(ctx, r)
		if r.failed != nil {
			fmt.Fprintln(os.Stderr, "bench:", r.failed)
		}
	}
	if err := t.compare(); err != nil {
		return nil, err
	}
	for round := range p.rounds + p.cold {
		for _, r := range t.rows {
			if r.failed != nil {
				continue
			}
			cold := round >= p.rounds
			if cold && p.dropped != nil {
				continue
			}
			c, err := p.once(ctx, r, cold)
			if err != nil {
				return nil, err
			}
			if cold {
				r.cold = append(r.cold, c)
			} else {
				r.warm = append(r.warm, c)
			}
		}
	}
	t.dropped, t.ended = p.dropped, loadAverage()
	return t, nil
}

// compare fills in the recall of one image, and lets go of the reports.
func (t *peerTable) compare() error {
	defer func() {
		for _, r := range t.rows {
			r.outputs = nil
		}
	}()
	first := t.rows[0]
	if len(t.images.Refs) > 1 || first.name != "onceover" || len(first.outputs) != 1 {
		return nil
	}
	ours, err := oracle.ReadScan(first.outputs[0])
	if err != nil {
		return err
	}
	for _, r := range t.rows {
		if r.recall == nil || r.failed != nil {
			continue
		}
		rec, err := r.recall(ours, r.outputs[0])
		if err != nil {
			return err
		}
		t.recalls = append(t.recalls, rec)
		fmt.Fprint(os.Stderr, rec.Table(false))
	}
	return nil
}

func (p *peerBench) once(ctx context.Context, r *peer, cold bool) (cost, error) {
	var sum cost
	for _, argv := range r.argv {
		if err := ctx.Err(); err != nil {
			return cost{}, err
		}
		if r.before != nil {
			if err := r.before(); err != nil {
				return cost{}, err
			}
		}
		if cold {
			if err := dropCaches(); err != nil {
				return cost{}, err
			}
		}
		before, err := p.engineCPU()
		if err != nil {
			return cost{}, err
		}
		c, err := measure(r.env, argv...)
		if err != nil {
			return cost{}, err
		}
		after, err := p.engineCPU()
		if err != nil {
			return cost{}, err
		}
		c.Engine = after - before
		sum = sum.add(c)
	}
	return sum, nil
}

func (p *peerBench) engineCPU() (time.Duration, error) {
	if p.pid == 0 {
		return 0, nil
	}
	return processCPU(p.pid)
}

// first runs the commands once without measuring, and keeps what they say.
func (p *peerBench) first(ctx context.Context, r *peer) error {
	var outputs [][]byte
	layers := 0
	for _, argv := range r.argv {
		if r.before != nil {
			if err := r.before(); err != nil {
				return err
			}
		}
		var errs bytes.Buffer
		argv := slices.DeleteFunc(slices.Clone(argv), func(a string) bool { return a == "--quiet" })
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), r.env...)
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			b := errs.Bytes()
			return fmt.Errorf("%s: %w: %s", r.name, err, b[max(0, len(b)-1000):])
		}
		outputs = append(outputs, out)
		if m := layersLine.FindSubmatch(errs.Bytes()); m != nil {
			n, err := strconv.Atoi(string(m[1]))
			if err != nil {
				return err
			}
			layers += n
			r.layers = strconv.Itoa(layers)
		}
		if r.layersOf != nil {
			n, err := r.layersOf(out)
			if err != nil {
				return err
			}
			r.layers = strconv.Itoa(n)
		}
	}
	if r.count == nil {
		return nil
	}
	r.outputs = outputs
	var err error
	r.packages, err = r.count(outputs)
	return err
}

// peersFor are the programs as they take the images from there.
func (p *peerBench) peersFor(images fixture.Bench, from string) []*peer {
	var ours, theirs, osv []string // one target an image
	var env, osvFlags, trivyFlags []string
	ourFlags := []string{"--format", "json", "--quiet"}
	if from == fromStore {
		ours, theirs, osv = images.Refs, prefixed("docker:", images.Refs), images.Refs
		env = []string{"DOCKER_HOST=unix://" + p.docker.Socket}
		ourFlags = append(ourFlags, "--docker-socket", p.docker.Socket)
	} else {
		ours, theirs, osv = []string{"docker-archive:" + images.Archive}, []string{"docker-archive:" + images.Archive}, []string{images.Archive}
		osvFlags, trivyFlags = []string{"--archive"}, []string{"--input"}
	}
	each := func(targets []string, argv func(string) []string) (all [][]string) {
		for _, t := range targets {
			all = append(all, argv(t))
		}
		return all
	}
	scan := func(targets ...string) []string {
		return append(append([]string{p.onceover, "scan"}, targets...), ourFlags...)
	}
	programs := p.programs
	if len(ours) > 1 {
		// The others begin anew with each image: what they cost for one
		// says it all, and takes minutes.
		programs = []string{"onceover"}
	}
	kept := filepath.Join(p.tmp, "layers-"+images.Name+"-"+from)
	rows := []*peer{{name: "onceover", argv: [][]string{append(scan(ours...), "--no-cache")}, count: countOnceover}}
	if len(ours) > 1 {
		rows = append(rows, &peer{name: "onceover, one run an image", count: countOnceover,
			argv: each(ours, func(t string) []string { return append(scan(t), "--no-cache") })})
	}
	if len(ours) > 1 && from == fromStore {
		for _, how := range []struct{ name, arg string }{{"reading alone, each layer once", "once"}, {"reading alone, each reference", "each"}} {
			rows = append(rows, &peer{name: how.name, argv: [][]string{append([]string{p.self, readArg, how.arg, p.docker.Socket}, ours...)}, layersOf: readLayersCount})
		}
	}
	rows = append(rows, &peer{name: "onceover, layers known", argv: [][]string{append(scan(ours...), "--cache", kept)}, count: countOnceover})
	quiet := append(slices.Clone(env), oracle.Quiet...)
	if slices.Contains(programs, "syft") {
		rows = append(rows, &peer{name: "syft", env: quiet, count: countSyft, recall: syftRecall,
			argv: each(theirs, func(t string) []string { return []string{p.tools.Syft, "scan", t, "-q", "-o", "json"} })})
	}
	if slices.Contains(programs, "osv-scanner") {
		rows = append(rows, &peer{name: "osv-scanner", env: env, count: countOSV, recall: osvRecall, argv: each(osv, func(t string) []string {
			return append(append([]string{p.tools.OSVScanner}, oracle.OSVArgs...), append(osvFlags, t)...)
		})})
	}
	if p.grypeDB != "" && slices.Contains(programs, "grype") {
		rows = append(rows, &peer{name: "grype", env: append(quiet, "GRYPE_DB_CACHE_DIR="+p.grypeDB),
			argv: each(theirs, func(t string) []string { return []string{p.tools.Grype, t, "-q", "-o", "json"} })})
	}
	if p.trivy != "" && slices.Contains(programs, "trivy") {
		// It keeps what it knows of layers; each run begins without.
		cache := filepath.Join(p.tmp, "trivy")
		rows = append(rows, &peer{name: "trivy", env: env, count: countTrivy, before: func() error { return os.RemoveAll(cache) },
			argv: each(osv, func(t string) []string {
				argv := []string{p.trivy, "image", "--quiet", "--format", "cyclonedx", "--offline-scan", "--skip-db-update", "--skip-java-db-update", "--cache-dir", cache}
				return append(append(argv, trivyFlags...), t)
			})})
	}
	if !slices.Contains(programs, "onceover") {
		rows = slices.DeleteFunc(rows, func(r *peer) bool { return strings.HasPrefix(r.name, "onceover") })
	}
	return rows
}

func readLayersCount(output []byte) (int, error) {
	var l layersRead
	err := json.Unmarshal(output, &l)
	return int(l.Layers), err
}

func syftRecall(ours *oracle.Scan, output []byte) (oracle.Recall, error) {
	list, err := oracle.ReadSyft(output)
	return oracle.SyftRecall(ours, list), err
}

func osvRecall(ours *oracle.Scan, output []byte) (oracle.Recall, error) {
	list, err := oracle.ReadOSV(output)
	return oracle.OSVRecall(ours, list), err
}

func prefixed(prefix string, all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = prefix + s
	}
	return out
}

// countOnceover counts installed packages.
func countOnceover(outputs [][]byte) (n int, err error) {
	for _, out := range outputs {
		var doc struct {
			Images []struct {
				Packages []struct {
					Declared bool `json:"declared"`
				} `json:"packages"`
			} `json:"images"`
		}
		if err := json.Unmarshal(out, &doc); err != nil {
			return 0, fmt.Errorf("read onceover's report: %w", err)
		}
		for _, img := range doc.Images {
			for _, p := range img.Packages {
				if !p.Declared {
					n++
				}
			}
		}
	}
	return n, nil
}

func countSyft(outputs [][]byte) (n int, err error) {
	for _, out := range outputs {
		var doc struct {
			Artifacts []struct{} `json:"artifacts"`
		}
		if err := json.Unmarshal(out, &doc); err != nil {
			return 0, fmt.Errorf("read syft's report: %w", err)
		}
		n += len(doc.Artifacts)
	}
	return n, nil
}

func countOSV(outputs [][]byte) (n int, err error) {
	for _, out := range outputs {
		var doc struct {
			Results []struct {
				Packages []struct{} `json:"packages"`
			} `json:"results"`
		}
		if err := json.Unmarshal(out, &doc); err != nil {
			return 0, fmt.Errorf("read osv-scanner's report: %w", err)
		}
		for _, r := range doc.Results {
			n += len(r.Packages)
		}
	}
	return n, nil
}

func countTrivy(outputs [][]byte) (n int, err error) {
	for _, out := range outputs {
		var doc struct {
			Components []struct {
				Type string `json:"type"`
			} `json:"components"`
		}
		if err := json.Unmarshal(out, &doc); err != nil {
			return 0, fmt.Errorf("read trivy's report: %w", err)
		}
		for _, c := range doc.Components {
			if c.Type == "library" {
				n++
			}
		}
	}
	return n, nil
}

// dropCaches empties the kernel's page cache (proc(5), drop_caches). What is
// not written yet cannot be dropped, so it is written first.
func dropCaches() error {
	syscall.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0); err != nil {
		return fmt.Errorf("drop the page cache: %w", err)
	}
	return nil
}

func (c cost) add(o cost) cost {
	return cost{
		CPU: c.CPU + o.CPU, Wall: c.Wall + o.Wall, Engine: c.Engine + o.Engine, Peak: max(c.Peak, o.Peak),
		Read: c.Read + o.Read, Written: c.Written + o.Written, Fetched: c.Fetched + o.Fetched, Stored: c.Stored + o.Stored,
	}
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return cmp.Or(first, "unknown")
}
