package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/hss"
	"github.com/onceover/onceover/test/shareddata"
)

// serverStart is how long the server may take until it answers.
const serverStart = 2 * time.Minute

// A driven is one operation with what its requests took.
type driven struct {
	op       hss.Operation
	total    int64 // rows of the list without a filter
	first    time.Duration
	alone    []time.Duration
	server   time.Duration // CPU time for those
	database time.Duration
	together []time.Duration
	paced    []time.Duration
	refused  int // answers other than 200
	reason   string
	slowest  time.Duration // alone
	request  string        // that took it
}

// A driver asks.
type driver struct {
	base, ak, sk, project string
	client                *http.Client
	ask                   *asker
	server, postgres      int // processes
	mu                    sync.Mutex
	ops                   []*driven
}

// drive starts the server and measures.
func (r *apiRun) drive(ctx context.Context) error {
	d, stop, err := r.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if d.ask, err = newAsker(ctx, r.raw, r.fleet); err != nil {
		return err
	}
	if d.ask.lists, err = d.decide(ctx); err != nil {
		return err
	}
	r.say("decided on some images and vulnerabilities")
	for _, op := range lists() {
		if strings.Contains(op.ID, r.s.only) {
			d.ops = append(d.ops, &driven{op: op})
		}
	}
	for _, o := range d.ops {
		if err := d.askAlone(ctx, o, r.s.alone); err != nil {
			return err
		}
	}
	r.say("asked for each of %d lists alone", len(d.ops))
	before, err := d.cpu()
	if err != nil {
		return err
	}
	n, err := d.askTogether(ctx, r.s.clients, r.s.together, 0, func(o *driven, took time.Duration) { o.together = append(o.together, took) })
	if err != nil {
		return err
	}
	after, err := d.cpu()
	if err != nil {
		return err
	}
	r.say("%d clients asked as fast as they were answered", r.s.clients)
	if _, err := d.askTogether(ctx, r.s.clients, r.s.paced, time.Second, func(o *driven, took time.Duration) { o.paced = append(o.paced, took) }); err != nil {
		return err
	}
	r.say("%d clients asked once a second", r.s.clients)
	if err := d.print(r.out); err != nil {
		return err
	}
	memory, err := peakOf(d.server)
	if err != nil {
		return err
	}
	if n > 0 {
		fmt.Fprintf(r.out, "together: %.0f requests a second, %.2f ms of CPU time of the server and %.2f ms of the database for each; peak memory of the server %d MB\n",
			float64(n)/r.s.together.Seconds(), ms(after[0]-before[0])/float64(n), ms(after[1]-before[1])/float64(n), memory>>20)
	}
	if r.s.exports {
		if err := d.exports(ctx, r.out); err != nil {
			return err
		}
	}
	if r.s.plans && r.url != "" {
		if err := r.plans(ctx, d); err != nil {
			return err
		}
	}
	if r.s.check {
		return d.judge()
	}
	return nil
}

// serve starts the program on the fleet. The caller calls stop.
func (r *apiRun) serve(ctx context.Context) (d *driver, stop func(), err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		return nil, nil, err
	}
	args := []string{"server", "--listen", addr, "--data", r.data(), "--db", r.advisories(), "--rules", filepath.Join(r.work, "rules"), "--no-agent", "--rate-limit", "0"}
	if r.url != "" {
		args = append(args, "--database", r.url)
	}
	log, err := os.Create(filepath.Join(r.work, "server.log"))
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(filepath.Join(shareddata.Root(), "bin", "onceover"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start bin/onceover: %w", err), log.Close())
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // its log tells
		_ = log.Close()
	})
	d = &driver{base: "http://" + addr, server: cmd.Process.Pid, postgres: r.postgres,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: r.s.clients, DisableCompression: true}}}
	deadline := time.Now().Add(serverStart)
	for {
		resp, err := d.client.Get(d.base + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
			break
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			stop()
			return nil, nil, fmt.Errorf("wait for the server: %w: see %s", err, log.Name())
		}
		time.Sleep(50 * time.Millisecond)
	}
	f, err := os.Open(filepath.Join(r.data(), "credentials.env"))
	if err != nil {
		stop()
		return nil, nil, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, v, _ := strings.Cut(s.Text(), "=")
		switch {
		case strings.HasSuffix(name, "_AK"):
			d.ak = v
		case strings.HasSuffix(name, "_SK"):
			d.sk = v
		case strings.HasSuffix(name, "_PROJECT_ID"):
			d.project = v
		}
	}
	r.say("the server answers")
	return d, stop, nil
}

// send makes one request; read is what it was answered.
func (d *driver) send(ctx context.Context, method, target string, body []byte, read *bytes.Buffer) (status int, took time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, method, d.base+target, bytes.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if err := auth.Sign(req, d.ak, d.sk, time.Now()); err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	read.Reset()
	_, err = io.Copy(read, resp.Body)
	took = time.Since(begin)
	return resp.StatusCode, took, errors.Join(err, resp.Body.Close())
}

// askOne asks for a list with parameters drawn anew.
func (d *driver) askOne(ctx context.Context, o *driven, read *bytes.Buffer) (took time.Duration, target string, err error) {
	d.mu.Lock()
	target, body, err := d.ask.ask(o.op, d.project, o.total)
	d.mu.Unlock()
	if err != nil {
		return 0, "", err
	}
	status, took, err := d.send(ctx, o.op.Method, target, body, read)
	if err != nil {
		return 0, target, fmt.Errorf("%s: %w", target, err)
	}
	if status >= 500 || status == http.StatusTooManyRequests {
		return 0, target, fmt.Errorf("%s: %d: %s", target, status, read.String())
	}
	if status != http.StatusOK {
		d.mu.Lock()
		o.refused, o.reason = o.refused+1, target+": "+read.String()
		d.mu.Unlock()
	}
	return took, target, nil
}

// askAlone asks for one list with nothing else going on.
func (d *driver) askAlone(ctx context.Context, o *driven, n int) error {
	var read bytes.Buffer
	plain, body, err := d.ask.plain(o.op, d.project)
	if err != nil {
		return err
	}
	_, took, err := d.send(ctx, o.op.Method, plain, body, &read)
	if err != nil {
		return err
	}
	o.first, o.total = took, totalOf(read.Bytes())
	before, err := d.cpu()
	if err != nil {
		return err
	}
	for range n {
		took, target, err := d.askOne(ctx, o, &read)
		if err != nil {
			return err
		}
		o.alone = append(o.alone, took)
		if took > o.slowest {
			o.slowest, o.request = took, target
		}
	}
	after, err := d.cpu()
	o.server, o.database = after[0]-before[0], after[1]-before[1]
	return err
}

// totalOf is the number of rows that a list tells of, 0 if it does not.
func totalOf(answer []byte) int64 {
	_, rest, _ := bytes.Cut(answer, []byte(`"total_num":`))
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0
	}
	n, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// askTogether lets clients ask for lists at random, each of which waits for its
// answer, and for the rest of the pace.
func (d *driver) askTogether(ctx context.Context, clients int, how, pace time.Duration, put func(*driven, time.Duration)) (n int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := time.Now().Add(how)
	failed := make(chan error, clients)
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), uint64(pace)))
			var read bytes.Buffer
			time.Sleep(pace * time.Duration(c) / time.Duration(clients))
			for time.Now().Before(end) {
				next := time.Now().Add(pace)
				o := d.ops[rng.IntN(len(d.ops))]
				took, _, err := d.askOne(ctx, o, &read)
				if err != nil {
					failed <- err
					cancel()
					return
				}
				d.mu.Lock()
				put(o, took)
				n++
				d.mu.Unlock()
				time.Sleep(time.Until(next))
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return n, err
	default:
		return n, nil
	}
}

// cpu is the CPU time so far of the server, and of the database if it is
// another program.
func (d *driver) cpu() (out [2]time.Duration, err error) {
	if out[0], err = processCPU(d.server); err != nil || d.postgres == 0 {
		return out, err
	}
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", d.postgres, d.postgres))
	if err != nil {
		return out, err
	}
	for _, field := range append(strings.Fields(string(list)), strconv.Itoa(d.postgres)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return out, err
		}
		if took, err := processCPU(pid); err == nil { // it may have ended
			out[1] += took
		}
	}
	return out, nil
}

// peakOf is the most memory that a process had resident, in bytes.
func peakOf(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, errors.New("no peak of memory on this system")
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	return n << 10, err
}

// slowList is when a request is told of.
const slowList = 25 * time.Millisecond

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (d *driver) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\trows\tfirst\talone p50\tmax\tserver CPU\tdatabase CPU\ttogether\tp50\tp99\tmax\tpaced\tp99\tmax\trefused\t")
	for _, o := range d.ops {
		n := max(len(o.alone), 1)
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t%d\t%.1f\t%.1f\t%.1f\t%d\t%.1f\t%.1f\t%d\t\n", o.op.ID, o.total, ms(o.first), ms(at(o.alone, 0.5)), ms(at(o.alone, 1)),
			ms(o.server)/float64(n), ms(o.database)/float64(n), len(o.together), ms(at(o.together, 0.5)), ms(at(o.together, 0.99)), ms(at(o.together, 1)),
			len(o.paced), ms(at(o.paced, 0.99)), ms(at(o.paced, 1)), o.refused)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, o := range d.ops {
		if o.slowest > slowList {
			fmt.Fprintf(out, "%.0f ms alone: %s\n", ms(o.slowest), o.request)
		}
		if o.refused > 0 {
			fmt.Fprintf(out, "refused: %s\n", o.reason)
		}
	}
	return nil
}

// judge is an error if a list is slower than it may be, for clients that ask as
// fast as they are answered or once a second. What is no list is not held to it:
// the words that passwords are guessed with are read by administrators, and each
// time is written to the audit log, and to the disk, twice.
func (d *driver) judge() error {
	var slow []string
	for _, o := range d.ops {
		if !strings.HasPrefix(o.op.ID, "List") {
			continue
		}
		if p99 := max(at(o.together, 0.99), at(o.paced, 0.99)); p99 > maxList {
			slow = append(slow, fmt.Sprintf("%s %.0f ms", o.op.ID, ms(p99)))
		}
	}
	if len(slow) > 0 {
		return fmt.Errorf("above %v at p99: %s", maxList, strings.Join(slow, ", "))
	}
	return nil
}
