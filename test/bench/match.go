package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/onceover/onceover/test/fixture"
	"github.com/onceover/onceover/test/oracle"
	"github.com/onceover/onceover/test/shareddata"
)

// matchLimit is how many times more CPU time grype's matching has to take.
const matchLimit = 20

// matching measures the matching of one list of packages, which syft made
// once and which holds no files, by grype and by onceover: processes of their own, in turn, without
// what each takes to start with an empty list.
func matching(ctx context.Context, args []string, out io.Writer) error {
	s := settings{}
	var check bool
	var images string
	f := flag.NewFlagSet("bench match", flag.ContinueOnError)
	f.IntVar(&s.rounds, "rounds", 5, "rounds that are counted")
	f.StringVar(&images, "images", "debian-web,app,rpm-centos8-as-almalinux8,rpm-mariner2-as-azurelinux3", "fixtures")
	f.StringVar(&s.osv, "osv", "", "directory with OSV archives (default: osv of the shared test data)")
	f.BoolVar(&check, "check", false, fmt.Sprintf("fail if grype's matching takes less than %d times the CPU time of onceover's", matchLimit))
	if err := f.Parse(args); err != nil {
		return err
	}
	if s.rounds < 1 {
		return errors.New("-rounds: want at least 1")
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
	matcher, err := buildMatcher(ctx, tmp)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "CPU seconds, medians of %d rounds; start is the same process with an empty list\n", s.rounds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "image\tpackages\tfindings\tgrype's\tgrype\tits start\tonceover\tits start\tratio, whole\tratio, matching\t")
	var low []string
	for _, name := range strings.Split(images, ",") {
		m, err := b.matchOne(ctx, name, matcher, s.rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		whole, alone := m.ratios()
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.3f\t%.3f\t%.4f\t%.4f\t%.0f\t%.0f\t\n", name, m.result.Packages, m.result.Findings, m.theirs,
			m.rows[0].median().CPU.Seconds(), m.rows[1].median().CPU.Seconds(), m.rows[2].median().CPU.Seconds(), m.rows[3].median().CPU.Seconds(), whole, alone)
		if whole < matchLimit || alone < matchLimit {
			low = append(low, name)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if check && len(low) > 0 {
		return fmt.Errorf("grype takes less than %d times as much on %s", matchLimit, strings.Join(low, ", "))
	}
	return nil
}

// buildMatcher builds test/bench/matcher.
func buildMatcher(ctx context.Context, dir string) (string, error) {
	bin := filepath.Join(dir, "matcher")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./test/bench/matcher")
	cmd.Dir, cmd.Env, cmd.Stderr = shareddata.Root(), append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build matcher: %w", err)
	}
	return bin, nil
}

// A matched is one list: grype, grype's start, onceover, onceover's start.
type matched struct {
	rows   [4]row
	result matcherResult
	theirs int
}

// matcherResult is what test/bench/matcher writes.
type matcherResult struct {
	Packages, Findings, Lookups, Entries int
	Match, Lookup                        time.Duration
}

func (b *bench) matchOne(ctx context.Context, name, matcher string, rounds int) (matched, error) {
	var m matched
	img, err := fixture.Build(ctx, name, os.Stderr)
	if err != nil {
		return m, err
	}
	list, empty := filepath.Join(b.tmp, name+".json"), filepath.Join(b.tmp, name+"-empty.json")
	if _, err := measure(oracle.Quiet, b.tools.Syft, "scan", "oci-dir:"+img.OCI, "-q", "-o", "json="+list); err != nil {
		return m, err
	}
	if err := slimmed(list); err != nil {
		return m, err
	}
	if err := emptied(list, empty); err != nil {
		return m, err
	}
	result, found := filepath.Join(b.tmp, name+"-result.json"), filepath.Join(b.tmp, name+"-grype.json")
	env := append(slices.Clone(oracle.Quiet), "GRYPE_DB_CACHE_DIR="+b.grypeDB)
	m.rows = [4]row{
		{env: env, argv: []string{b.tools.Grype, "sbom:" + list, "-q", "-o", "json", "--file", found}},
		{env: env, argv: []string{b.tools.Grype, "sbom:" + empty, "-q", "-o", "json", "--file", os.DevNull}},
		{argv: []string{matcher, "-db", b.advisories, "-syft", list, "-result", result}},
		{argv: []string{matcher, "-db", b.advisories, "-syft", empty}},
	}
	for round := range rounds + 1 {
		for i := range m.rows {
			if err := ctx.Err(); err != nil {
				return m, err
			}
			c, err := measure(m.rows[i].env, m.rows[i].argv...)
			if err != nil {
				return m, err
			}
			if round > 0 {
				m.rows[i].costs = append(m.rows[i].costs, c)
			}
		}
	}
	if err := readJSON(result, &m.result); err != nil {
		return m, err
	}
	var doc struct{ Matches []json.RawMessage }
	if err := readJSON(found, &doc); err != nil {
		return m, err
	}
	m.theirs = len(doc.Matches)
	return m, nil
}

// ratios are grype's CPU time to onceover's, as medians over the rounds: of
// the whole processes, and without their start. What is left of onceover then
// may be less than can be measured; it counts as at least a tenth of a
// millisecond.
func (m matched) ratios() (whole, matching float64) {
	var w, a []float64
	for i := range m.rows[0].costs {
		cpu := func(r int) float64 { return m.rows[r].costs[i].CPU.Seconds() }
		w = append(w, cpu(0)/cpu(2))
		a = append(a, (cpu(0)-cpu(1))/max(cpu(2)-cpu(3), 1e-4))
	}
	slices.Sort(w)
	slices.Sort(a)
	return w[len(w)/2], a[len(a)/2]
}

// slimmed takes the files out of a list of syft's: those of the image and those
// of each package, which are nine tenths of it. Neither program needs them to
// match, and reading them would be most of what is measured. What packages own
// others stays.
func slimmed(list string) error {
	var doc map[string]json.RawMessage
	if err := readJSON(list, &doc); err != nil {
		return err
	}
	var artifacts []map[string]json.RawMessage
	var relations []struct {
		Parent   string          `json:"parent"`
		Child    string          `json:"child"`
		Type     string          `json:"type"`
		Metadata json.RawMessage `json:"metadata,omitempty"`
	}
	if err := errors.Join(json.Unmarshal(doc["artifacts"], &artifacts), json.Unmarshal(doc["artifactRelationships"], &relations)); err != nil {
		return fmt.Errorf("read %s: %w", list, err)
	}
	for _, a := range artifacts {
		var m map[string]json.RawMessage
		if a["metadata"] == nil || json.Unmarshal(a["metadata"], &m) != nil || m["files"] == nil {
			continue
		}
		m["files"] = json.RawMessage("[]")
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		a["metadata"] = b
	}
	kept := relations[:0]
	for _, r := range relations {
		if r.Type == "ownership-by-file-overlap" {
			kept = append(kept, r)
		}
	}
	var err1, err2 error
	doc["artifacts"], err1 = json.Marshal(artifacts)
	doc["artifactRelationships"], err2 = json.Marshal(kept)
	doc["files"] = json.RawMessage("[]")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return writeJSON(list, doc)
}

// emptied copies a list of syft's without its packages.
func emptied(from, to string) error {
	var doc map[string]json.RawMessage
	if err := readJSON(from, &doc); err != nil {
		return err
	}
	doc["artifacts"], doc["artifactRelationships"], doc["files"] = json.RawMessage("[]"), json.RawMessage("[]"), json.RawMessage("[]")
	b, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
