package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/onceover/onceover/test/fixture"
	"github.com/onceover/onceover/test/oracle"
	"github.com/onceover/onceover/test/shareddata"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == helperArg {
		if err := helper(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	do, args := run, os.Args[1:]
	if len(args) > 0 {
		switch args[0] {
		case "peers":
			do, args = peers, args[1:]
		case "fleet":
			do, args = fleet, args[1:]
		case "api":
			do, args = apiBench, args[1:]
		case "match":
			do, args = matching, args[1:]
		case "checks":
			do, args = checks, args[1:]
		case "advisories":
			do, args = advisories, args[1:]
		case readArg:
			do, args = readLayers, args[1:]
		}
	}
	if err := do(ctx, args, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings of one run.
type settings struct {
	rounds       int
	image        string
	dockerSocket string
	dockerPID    int
	osv          string
	advisories   string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&s.rounds, "rounds", 5, "rounds that are counted")
	f.StringVar(&s.image, "image", "", "fixture, docker-archive:FILE, oci:DIR, or an image of the engine (default: debian-web)")
	f.StringVar(&s.dockerSocket, "docker-socket", "", "socket of a docker engine that holds the image")
	f.IntVar(&s.dockerPID, "docker-pid", 0, "process ID of that engine, to count its CPU time")
	f.StringVar(&s.osv, "osv", "", "directory with OSV archives (default: osv of the shared test data)")
	f.StringVar(&s.advisories, "advisories", "", "advisory database of onceover (default: built from the OSV archives)")
	if err := f.Parse(args); err != nil {
		return err
	}
	if s.rounds < 1 {
		return errors.New("--rounds: want at least 1")
	}
	tmp, err := os.MkdirTemp("", "onceover-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b, err := prepare(ctx, &s, tmp)
	if err != nil {
		return err
	}
	targets, err := s.targets(ctx)
	if err != nil {
		return err
	}
	for _, t := range targets {
		rows, err := b.compare(ctx, t, s.rounds)
		if err != nil {
			return err
		}
		if err := print(out, t, s, rows); err != nil {
			return err
		}
	}
	return nil
}

// A target is one image as each program wants it.
type target struct {
	title, ours, syft string
	env               []string
}

func (s *settings) targets(ctx context.Context) ([]target, error) {
	kind, path, ok := strings.Cut(s.image, ":")
	switch {
	case s.dockerSocket != "":
		if s.image == "" {
			return nil, errors.New("--docker-socket: name the image with --image")
		}
		return []target{{title: s.image + " in docker", ours: s.image, syft: "docker:" + s.image, env: []string{"DOCKER_HOST=unix://" + s.dockerSocket}}}, nil
	case ok && kind == "docker-archive":
		return []target{{title: path, ours: s.image, syft: s.image}}, nil
	case ok && kind == "oci":
		return []target{{title: path, ours: s.image, syft: "oci-dir:" + path}}, nil
	}
	p, err := fixture.Build(ctx, cmp.Or(s.image, "debian-web"), os.Stderr)
	if err != nil {
		return nil, err
	}
	return []target{
		{title: p.Name + ", OCI layout", ours: "oci:" + p.OCI, syft: "oci-dir:" + p.OCI},
		{title: p.Name + ", docker-archive", ours: "docker-archive:" + p.Archive, syft: "docker-archive:" + p.Archive},
	}, nil
}

// A bench has everything that is compared.
type bench struct {
	onceover, advisories string
	tools                oracle.Tools
	grypeDB              string
	tmp                  string
	dockerPID            int
	dockerFlags          []string
}

// prepare builds the programs and both databases, from the same records.
func prepare(ctx context.Context, s *settings, tmp string) (*bench, error) {
	b := &bench{onceover: filepath.Join(tmp, "onceover"), advisories: s.advisories, tmp: tmp, dockerPID: s.dockerPID}
	if s.dockerSocket != "" {
		b.dockerFlags = []string{"--docker-socket", s.dockerSocket}
	}
	var err error
	if b.tools, err = oracle.Build(ctx, os.Stderr); err != nil {
		return nil, err
	}
	if s.osv == "" {
		shared := shareddata.Find()
		if shared == "" {
			return nil, errors.New("no advisory records: give --osv")
		}
		s.osv = filepath.Join(shared, "osv")
	}
	if b.grypeDB, err = b.tools.Database(ctx, s.osv, ""); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.onceover, "./cmd/onceover")
	build.Dir, build.Env, build.Stderr = shareddata.Root(), append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build onceover: %w", err)
	}
	if b.advisories == "" {
		b.advisories = filepath.Join(tmp, "advisories.db")
		db := exec.CommandContext(ctx, b.onceover, "db", "build", "--from", s.osv, "--to", b.advisories)
		db.Stderr = os.Stderr
		if err := db.Run(); err != nil {
			return nil, fmt.Errorf("build advisory database: %w", err)
		}
	}
	return b, nil
}

// A row is one program and its costs, one a round.
type row struct {
	name  string
	env   []string
	argv  []string
	costs []cost
}

// compare runs all programs in turn, and does not count the first round.
func (b *bench) compare(ctx context.Context, t target, rounds int) ([]row, error) {
	null := os.DevNull
	list := filepath.Join(b.tmp, "syft.json")
	grypeEnv := append(slices.Clone(oracle.Quiet), "GRYPE_DB_CACHE_DIR="+b.grypeDB)
	ours := append([]string{b.onceover, "scan", t.ours, "--format", "json", "--output", null, "--quiet", "--db", b.advisories}, b.dockerFlags...)
	rows := []row{
		{name: "onceover", argv: append(slices.Clone(ours), "--no-cache")},
		{name: "onceover, layers known", argv: append(slices.Clone(ours), "--cache", filepath.Join(b.tmp, "layers"))},
		{name: "syft", env: oracle.Quiet, argv: []string{b.tools.Syft, "scan", t.syft, "-q", "-o", "json=" + list}},
		{name: "grype on syft's list", env: grypeEnv, argv: []string{b.tools.Grype, "sbom:" + list, "-q", "-o", "json", "--file", null}},
		{name: "grype", env: grypeEnv, argv: []string{b.tools.Grype, t.syft, "-q", "-o", "json", "--file", null}},
	}
	for round := range rounds + 1 {
		for i := range rows {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			before, err := b.engineCPU()
			if err != nil {
				return nil, err
			}
			c, err := measure(append(slices.Clone(t.env), rows[i].env...), rows[i].argv...)
			if err != nil {
				return nil, err
			}
			after, err := b.engineCPU()
			if err != nil {
				return nil, err
			}
			c.Engine = after - before
			if round > 0 {
				rows[i].costs = append(rows[i].costs, c)
			}
		}
	}
	return rows, nil
}

func (b *bench) engineCPU() (time.Duration, error) {
	if b.dockerPID == 0 {
		return 0, nil
	}
	return processCPU(b.dockerPID)
}

// median of each figure on its own.
func (r row) median() cost {
	middle := func(get func(cost) int64) int64 {
		v := make([]int64, len(r.costs))
		for i, c := range r.costs {
			v[i] = get(c)
		}
		slices.Sort(v)
		return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	}
	return cost{
		CPU:     time.Duration(middle(func(c cost) int64 { return int64(c.CPU) })),
		Wall:    time.Duration(middle(func(c cost) int64 { return int64(c.Wall) })),
		Engine:  time.Duration(middle(func(c cost) int64 { return int64(c.Engine) })),
		Peak:    middle(func(c cost) int64 { return c.Peak }),
		Read:    middle(func(c cost) int64 { return c.Read }),
		Written: middle(func(c cost) int64 { return c.Written }),
		Fetched: middle(func(c cost) int64 { return c.Fetched }),
		Stored:  middle(func(c cost) int64 { return c.Stored }),
	}
}

// print writes the table: medians, and in brackets how many times onceover's.
func print(out io.Writer, t target, s settings, rows []row) error {
	fmt.Fprintf(out, "%s: medians of %d rounds; in brackets the ratio to onceover\n", t.title, s.rounds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\tcpu s\t\twall s\t\tpeak MB\t\tread MB\t\twritten MB\t\t")
	if s.dockerPID != 0 {
		fmt.Fprint(w, "engine cpu s\t")
	}
	fmt.Fprintln(w)
	base := rows[0].median()
	for _, r := range rows {
		m := r.median()
		fmt.Fprintf(w, "%s\t", r.name)
		for _, v := range []struct{ is, base float64 }{
			{m.CPU.Seconds(), base.CPU.Seconds()}, {m.Wall.Seconds(), base.Wall.Seconds()},
			{megabytes(m.Peak), megabytes(base.Peak)}, {megabytes(m.Read), megabytes(base.Read)}, {megabytes(m.Written), megabytes(base.Written)},
		} {
			fmt.Fprintf(w, "%.2f\t%s\t", v.is, ratio(v.is, v.base))
		}
		if s.dockerPID != 0 {
			fmt.Fprintf(w, "%.2f\t", m.Engine.Seconds())
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

func ratio(v, base float64) string {
	if base < 0.005 {
		return "" // less than what is printed
	}
	return fmt.Sprintf("(%.1f)", v/base)
}
