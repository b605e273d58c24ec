package main

import (
	"bufio"
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/onceover/onceover/test/fixture"
	"github.com/onceover/onceover/test/oracle"
	"github.com/onceover/onceover/test/shareddata"
)

// machine writes on what and with what was measured.
func (p *peerBench) machine(out io.Writer) error {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return err
	}
	var release []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release = append(release, byte(c))
	}
	versions := []string{"onceover " + commit()}
	for _, t := range []struct{ name, path, module string }{
		{"syft", p.tools.Syft, "github.com/anchore/syft"},
		{"grype", p.tools.Grype, "github.com/anchore/grype"},
		{"osv-scanner", p.tools.OSVScanner, "github.com/google/osv-scanner/v2"},
	} {
		v, err := moduleVersion(t.path, t.module)
		if err != nil {
			return err
		}
		versions = append(versions, t.name+" "+v)
	}
	if p.trivy == "" {
		versions = append(versions, "no trivy (there is none in PATH)")
	} else if v, err := exec.Command(p.trivy, "--version").Output(); err == nil {
		line, _, _ := strings.Cut(string(v), "\n")
		versions = append(versions, "trivy "+strings.TrimPrefix(line, "Version: "))
	}
	_, err := fmt.Fprintf(out, "Measured on %s: %s, %d processors, %s of memory, Linux %s, %s.\nPrograms: %s.\nMedians of %d warm and %d cold rounds.\n",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), field("/proc/cpuinfo", "model name"), runtime.NumCPU(), memory(), release, runtime.Version(),
		strings.Join(versions, ", "), p.rounds, p.cold)
	return err
}

// commit is the commit of the tree that was built, with "+" if it was changed.
func commit() string {
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = shareddata.Root()
		out, err := cmd.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	c := git("rev-parse", "--short=12", "HEAD")
	if c == "" {
		return "of an unknown commit"
	}
	if git("status", "--porcelain", "--untracked-files=no", "--", "cmd", "internal", "go.mod", "go.sum") != "" {
		c += "+"
	}
	return c
}

// moduleVersion is the version of a module in a Go program.
func moduleVersion(path, module string) (string, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", err
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version, nil
		}
	}
	return info.Main.Version, nil
}

// field is the first value of a name in a file of "name : value" lines.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if n, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func memory() string {
	var kb int64
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d kB", &kb); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.0f GiB", float64(kb)/(1<<20))
}

// A peerTable is what all programs cost on one set from one place.
type peerTable struct {
	images  fixture.Bench
	from    string
	rows    []*peer
	engine  bool
	dropped error
	recalls []oracle.Recall
	// began and ended are the load of the machine then.
	began, ended string
}

func (t *peerTable) title() string {
	where := map[string]string{fromStore: "docker's store (overlay2)", fromArchive: "a docker-archive with plain layers"}[t.from]
	if len(t.images.Refs) == 1 {
		return fmt.Sprintf("Image %q from %s", t.images.Name, where)
	}
	return fmt.Sprintf("%d images %q from %s", len(t.images.Refs), t.images.Name, where)
}

// markdown writes a table: medians, and in brackets how many times what the
// first row needs.
func (t *peerTable) markdown(out io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\n### %s\n\n", t.title())
	if s, err := shapeOf(t.images.Archive); err == nil {
		fmt.Fprintf(&b, "%s Load of the machine (1 minute): %s before, %s after.\n\n", s, t.began, t.ended)
	}
	head := []string{"program", "page cache", "cpu s", "wall s", "peak MB", "read MB", "from disk MB", "to disk MB", "packages", "layers read"}
	if t.engine {
		head = append(head, "engine cpu s")
	}
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat(" --- |", len(head)))
	for _, cold := range []bool{false, true} {
		var base cost
		for i, r := range t.rows {
			costs, state := r.warm, "warm"
			if cold {
				costs, state = r.cold, "cold"
			}
			if r.failed != nil && !cold {
				fmt.Fprintf(&b, "| %s | failed: %s |\n", r.name, strings.ReplaceAll(firstLine(r.failed), "|", "/"))
			}
			if len(costs) == 0 {
				continue
			}
			m := row{costs: costs}.median()
			if i == 0 {
				base = m
			}
			packages, layers := "–", "–"
			if r.count != nil {
				packages = fmt.Sprint(r.packages)
			}
			if r.layers != "" {
				layers = r.layers
			}
			cells := []string{
				r.name, state,
				times(m.CPU.Seconds(), base.CPU.Seconds(), i, "%.2f"), times(m.Wall.Seconds(), base.Wall.Seconds(), i, "%.2f"),
				times(megabytes(m.Peak), megabytes(base.Peak), i, "%.0f"),
				times(megabytes(m.Read), 0, i, "%.0f"), times(megabytes(m.Fetched), 0, i, "%.0f"), times(megabytes(m.Stored), 0, i, "%.1f"),
				packages, layers,
			}
			if t.engine {
				cells = append(cells, fmt.Sprintf("%.2f", m.Engine.Seconds()))
			}
			fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		}
	}
	if t.dropped != nil {
		fmt.Fprintf(&b, "\nNo cold rounds: %v.\n", t.dropped)
	}
	for _, r := range t.recalls {
		fmt.Fprintf(&b, "\nDistinct packages: %s.", r.Summary())
		if reasons := r.Reasons(); len(reasons) > 0 {
			fmt.Fprintf(&b, " Explained: %s.", strings.Join(reasons, ", "))
		}
		b.WriteByte('\n')
	}
	_, err := out.Write(b.Bytes())
	return err
}

func times(v, base float64, row int, format string) string {
	s := fmt.Sprintf(format, v)
	if row > 0 && base >= 0.005 {
		s += " " + ratio(v, base)
	}
	return s
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	if len(s) > 200 {
		s = s[:200]
	}
	return s
}

// The tables stand between these lines of a document.
const (
	beginMark = "<!-- measured: begin -->"
	endMark   = "<!-- measured: end -->"
)

// writeBetween replaces what stands between the markers of a file.
func writeBetween(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(old), beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok1 || !ok2 {
		return errors.New(path + " lacks the lines " + beginMark + " and " + endMark)
	}
	lines := slices.Concat([]byte(before), []byte(beginMark+"\n\n"), []byte(strings.TrimSpace(text)), []byte("\n\n"+endMark), []byte(after))
	return os.WriteFile(path, lines, 0o644)
}
