package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/onceover/onceover/test/fixture"
	"github.com/onceover/onceover/test/planted"
	"github.com/onceover/onceover/test/shareddata"
)

// What -check holds.
const (
	// minKinds of 60 planted kinds of secrets have to be found, at most
	// maxFalse findings may be made where nothing is, and gitleaks has to
	// need minTimes the processor time on the same files.
	minKinds, ofKinds = 57, 60
	maxFalse          = 10
	minTimes          = 20
	// maxAdded is how many times the processor time of looking for packages
	// alone everything together may take.
	maxAdded = 4
)

// checkSettings of one run of "bench checks".
type checkSettings struct {
	onceover, gitleaks string
	trees              []string
	archive            string
	rounds             int
	only               string
	peerImage          bool
	check              bool
}

// checks measures what looking for more than packages finds and costs: secrets
// in trees of files beside gitleaks, and everything in a large image.
func checks(ctx context.Context, args []string, out io.Writer) error {
	var s checkSettings
	f := flag.NewFlagSet("bench checks", flag.ContinueOnError)
	f.StringVar(&s.onceover, "onceover", "", "measure this program (default: built from this tree)")
	f.StringVar(&s.gitleaks, "gitleaks", os.Getenv("ONCEOVER_GITLEAKS"), "the program gitleaks (default: ONCEOVER_GITLEAKS, or that in PATH; it is left out if there is none)")
	trees := f.String("trees", "", "directories in which there are no secrets, with colons between them (default: /usr/share, /usr/lib/python3 and an npm tree)")
	f.StringVar(&s.archive, "archive", "", "docker-archive of a large image (default: the one of bench peers)")
	f.IntVar(&s.rounds, "rounds", 3, "rounds that are counted of the large image")
	f.StringVar(&s.only, "only", "", "trees or image: one half")
	f.BoolVar(&s.peerImage, "gitleaks-image", false, "run gitleaks on the files of the large image too: half an hour")
	f.BoolVar(&s.check, "check", false, "fail beyond the limits")
	if err := f.Parse(args); err != nil {
		return err
	}
	if s.rounds < 1 || s.only != "" && s.only != "trees" && s.only != "image" {
		return errors.New("--rounds: want at least 1; --only: want trees or image")
	}
	cache, err := fixture.CacheDir()
	if err != nil {
		return err
	}
	// Beside the trees, so that they need not be copied.
	b := &checkBench{checkSettings: s, out: out}
	if b.tmp, err = os.MkdirTemp(cache, "checks-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.tmp)
	if b.gitleaks == "" {
		b.gitleaks, _ = exec.LookPath("gitleaks") // it joins only where it is
	}
	if b.onceover == "" {
		b.onceover = filepath.Join(b.tmp, "onceover")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.onceover, "./cmd/onceover")
		build.Dir, build.Env, build.Stderr = shareddata.Root(), append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build onceover: %w", err)
		}
	}
	fmt.Fprintf(out, "%s, load %s. Programs: onceover %s, %s.\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), loadAverage(), commit(), cmp.Or(b.gitleaks, "no gitleaks"))
	if s.only != "image" {
		if *trees != "" {
			b.trees = filepath.SplitList(*trees)
		} else if b.trees, err = usualTrees(ctx); err != nil {
			return err
		}
		if err := b.secrets(ctx); err != nil {
			return err
		}
	}
	if s.only != "trees" {
		if err := b.image(ctx); err != nil {
			return err
		}
	}
	if len(b.broken) > 0 && s.check {
		return errors.New(strings.Join(b.broken, "; "))
	}
	return nil
}

// A checkBench has what the measurements share.
type checkBench struct {
	checkSettings
	tmp    string
	out    io.Writer
	broken []string // limits that do not hold
}

// limit notes a limit that does not hold.
func (b *checkBench) limit(ok bool, format string, args ...any) {
	verdict := "holds"
	if !ok {
		verdict = "DOES NOT HOLD"
		b.broken = append(b.broken, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(b.out, "%s: %s\n", fmt.Sprintf(format, args...), verdict)
}

// usualTrees are directories of this system, and the packages of npm of an
// image of the peers.
func usualTrees(ctx context.Context) ([]string, error) {
	npm, err := fixture.BenchTree(ctx, fixture.BenchNode, os.Stderr)
	if err != nil {
		return nil, err
	}
	return []string{"/usr/share", "/usr/lib/python3", filepath.Join(npm, "app")}, nil
}

// secrets compares what is found in trees, and what that takes. Each tree is
// scanned as the layer of an image, with the whole of "onceover scan" around
// it, and as the directory that it is by gitleaks.
func (b *checkBench) secrets(ctx context.Context) error {
	kinds, err := b.plant()
	if err != nil {
		return err
	}
	dir := filepath.Join(b.tmp, "kinds")
	ours, _, err := b.scanTree(ctx, dir, "/")
	if err != nil {
		return err
	}
	found := kindsIn(kinds, ours)
	fmt.Fprintf(b.out, "\nPlanted kinds of secrets: %d, found %d.\n", len(kinds), len(found))
	if missed := without(kinds, found); len(missed) > 0 {
		fmt.Fprintf(b.out, "Missed: %s.\n", strings.Join(missed, ", "))
	}
	b.limit(len(kinds) >= ofKinds && len(found)*ofKinds >= len(kinds)*minKinds, "%d of %d kinds found, %d of %d wanted", len(found), len(kinds), minKinds, ofKinds)
	if b.gitleaks != "" {
		theirs, _, err := b.gitleaksTree(ctx, dir)
		if err != nil {
			return err
		}
		their := kindsIn(kinds, theirs)
		var more []string
		for k := range their {
			if !found[k] {
				more = append(more, k)
			}
		}
		slices.Sort(more)
		if len(more) > 0 {
			fmt.Fprintf(b.out, "Found by gitleaks alone: %s.\n", strings.Join(more, ", "))
		}
		b.limit(len(more) == 0, "gitleaks finds %d kinds, of which %d are not found here", len(their), len(more))
	}

	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\ntree\tMB\tfindings\tcpu s\tgitleaks\tcpu s\ttimes\t")
	total, ourCPU, theirCPU := 0, time.Duration(0), time.Duration(0)
	for _, tree := range b.trees {
		at := tree
		if !strings.HasPrefix(tree, "/usr/") {
			at = "/srv"
		}
		found, our, err := b.scanTree(ctx, tree, at)
		if err != nil {
			return err
		}
		total, ourCPU = total+len(found), ourCPU+our.cost.CPU
		line := fmt.Sprintf("%s\t%.0f\t%d\t%.2f\t", tree, megabytes(our.bytes), len(found), our.cost.CPU.Seconds())
		for _, f := range found {
			fmt.Fprintf(os.Stderr, "bench: found %s in %s\n", f.rule, f.path)
		}
		if b.gitleaks != "" {
			theirs, their, err := b.gitleaksTree(ctx, tree)
			if err != nil {
				return err
			}
			theirCPU += their.CPU
			line += fmt.Sprintf("%d\t%.2f\t%.0f\t", len(theirs), their.CPU.Seconds(), their.CPU.Seconds()/our.cost.CPU.Seconds())
		}
		fmt.Fprintln(w, line)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	b.limit(total <= maxFalse, "%d findings where nothing is, at most %d wanted", total, maxFalse)
	if b.gitleaks != "" {
		times := theirCPU.Seconds() / ourCPU.Seconds()
		b.limit(times >= minTimes, "%.0f times the throughput of gitleaks, %d wanted", times, minTimes)
	}
	return nil
}

// plant writes a tree with a file of each kind of secret, and returns the
// kinds by path.
func (b *checkBench) plant() (map[string]string, error) {
	kinds, files := map[string]string{}, map[string][]byte{}
	r := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for _, s := range planted.Secrets {
		text, _ := s.Grow(r)
		kinds[s.Path], files[s.Path] = s.Kind, []byte(text)
	}
	keys, err := planted.Keys()
	if err != nil {
		return nil, err
	}
	for path, content := range keys {
		kinds[path], files[path] = "key "+path, content
	}
	for path, content := range files {
		at := filepath.Join(b.tmp, "kinds", path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(at, content, 0o600); err != nil {
			return nil, err
		}
	}
	return kinds, nil
}

// A leak is a finding of either program.
type leak struct{ path, rule string }

func kindsIn(kinds map[string]string, found []leak) map[string]bool {
	out := map[string]bool{}
	for _, f := range found {
		if kind, ok := kinds[f.path]; ok {
			out[kind] = true
		}
	}
	return out
}

func without(kinds map[string]string, found map[string]bool) (missed []string) {
	for _, k := range slices.Sorted(maps.Values(kinds)) {
		if !found[k] {
			missed = append(missed, k)
		}
	}
	return missed
}

// A treeScan is what it cost to scan a tree of so many bytes.
type treeScan struct {
	cost  cost
	bytes int64
}

// scanTree makes an image of a tree, which lies at a path of it, and scans it.
func (b *checkBench) scanTree(ctx context.Context, tree, at string) ([]leak, treeScan, error) {
	layout := filepath.Join(b.tmp, "image")
	if err := os.RemoveAll(layout); err != nil {
		return nil, treeScan{}, err
	}
	defer os.RemoveAll(layout)
	fmt.Fprintln(os.Stderr, "bench: an image of", tree)
	size, err := treeImage(ctx, layout, tree, at)
	if err != nil {
		return nil, treeScan{}, err
	}
	report := filepath.Join(b.tmp, "report.json")
	c, err := measure(nil, b.onceover, "scan", "oci:"+layout, "--scanners", "secret", "--no-cache", "--format", "json", "--output", report, "--quiet")
	if err != nil {
		return nil, treeScan{}, err
	}
	raw, err := os.ReadFile(report)
	if err != nil {
		return nil, treeScan{}, err
	}
	var doc struct {
		Images []struct {
			Complete bool
			Secrets  []struct{ Path, Rule string }
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, treeScan{}, fmt.Errorf("read onceover's report: %w", err)
	}
	if len(doc.Images) != 1 || !doc.Images[0].Complete {
		return nil, treeScan{}, fmt.Errorf("the image of %s was not read to its end", tree)
	}
	var out []leak
	for _, s := range doc.Images[0].Secrets {
		out = append(out, leak{s.Path, s.Rule})
	}
	return out, treeScan{c, size}, nil
}

// gitleaksTree runs gitleaks on a tree. It passes directories that are called
// node_modules over, so it is given them under another name.
func (b *checkBench) gitleaksTree(ctx context.Context, tree string) ([]leak, cost, error) {
	root := tree
	if _, err := os.Stat(filepath.Join(tree, "node_modules")); err == nil {
		root = filepath.Join(b.tmp, "modules")
		defer os.RemoveAll(root)
		if err := linkTree(ctx, root, filepath.Join(tree, "node_modules")); err != nil {
			return nil, cost{}, err
		}
	}
	report := filepath.Join(b.tmp, "gitleaks.json")
	fmt.Fprintln(os.Stderr, "bench: gitleaks on", tree)
	c, err := measure(nil, b.gitleaks, "dir", root, "--no-banner", "--log-level=error", "--exit-code=0", "--report-path", report)
	if err != nil {
		return nil, cost{}, err
	}
	raw, err := os.ReadFile(report)
	if err != nil {
		return nil, cost{}, err
	}
	var found []struct{ RuleID, File string }
	if err := json.Unmarshal(raw, &found); err != nil {
		return nil, cost{}, fmt.Errorf("read gitleaks's report: %w", err)
	}
	var out []leak
	for _, f := range found {
		rel, err := filepath.Rel(root, f.File)
		if err != nil {
			return nil, cost{}, err
		}
		out = append(out, leak{"/" + rel, f.RuleID})
	}
	return out, c, nil
}

// linkTree is a tree of hard links to the regular files of another, in which
// nothing is called node_modules.
func linkTree(ctx context.Context, to, from string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		at := filepath.Join(to, strings.ReplaceAll(rel, "node_modules", "modules"))
		switch {
		case d.IsDir():
			return os.MkdirAll(at, 0o755)
		case d.Type().IsRegular():
			return os.Link(p, at)
		}
		return nil
	})
}

// treeImage writes an OCI layout with an image of one layer: the regular files
// of a tree, which lie at a path of the image. It returns how many bytes they
// have.
func treeImage(ctx context.Context, layout, tree, at string) (size int64, err error) {
	blobs := filepath.Join(layout, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(blobs, "layer")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sum := sha256.New()
	w := tar.NewWriter(io.MultiWriter(f, sum))
	err = filepath.WalkDir(tree, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := addFile(w, p, tree, at)
		size += n
		return err
	})
	if err = errors.Join(err, w.Close()); err != nil {
		return 0, fmt.Errorf("write layer of %s: %w", tree, err)
	}
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	layer := hex.EncodeToString(sum.Sum(nil))
	if err := os.Rename(f.Name(), filepath.Join(blobs, layer)); err != nil {
		return 0, err
	}
	var failed error
	blob := func(mediaType string, doc any) map[string]any {
		b, err := json.Marshal(doc)
		sum := sha256.Sum256(b)
		name := hex.EncodeToString(sum[:])
		failed = errors.Join(failed, err, os.WriteFile(filepath.Join(blobs, name), b, 0o644))
		return map[string]any{"mediaType": mediaType, "digest": "sha256:" + name, "size": len(b)}
	}
	const oci = "application/vnd.oci.image."
	config := blob(oci+"config.v1+json", map[string]any{"os": "linux", "architecture": "amd64",
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + layer}}})
	manifest := blob(oci+"manifest.v1+json", map[string]any{"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "config": config,
		"layers": []any{map[string]any{"mediaType": oci + "layer.v1.tar", "digest": "sha256:" + layer, "size": fi.Size()}}})
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}})
	return size, errors.Join(failed, err,
		os.WriteFile(filepath.Join(layout, "index.json"), index, 0o644),
		os.WriteFile(filepath.Join(layout, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

func addFile(w *tar.Writer, p, tree, at string) (int64, error) {
	rel, err := filepath.Rel(tree, p)
	if err != nil {
		return 0, err
	}
	f, err := os.Open(p)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(filepath.Join(at, rel), "/"), Mode: int64(fi.Mode().Perm()), Size: fi.Size(), ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(h); err != nil {
		return 0, err
	}
	return io.Copy(w, io.LimitReader(f, fi.Size()))
}

// image compares what all checks cost over looking for packages alone.
func (b *checkBench) image(ctx context.Context) error {
	var trees []string
	if b.archive == "" {
		large, err := fixture.BuildBench(ctx, fixture.BenchLarge, os.Stderr)
		if err != nil {
			return err
		}
		b.archive = large.Archive
	}
	if b.peerImage && b.gitleaks != "" {
		var err error
		if trees, err = fixture.BenchTrees(ctx, fixture.BenchLarge, os.Stderr); err != nil {
			return err
		}
	}
	all, err := b.scanners(ctx)
	if err != nil {
		return err
	}
	// A scan for software that is denied wants a list.
	rules := filepath.Join(b.tmp, "rules")
	list := filepath.Join(rules, "policy", "deny.yaml")
	if err := errors.Join(os.MkdirAll(filepath.Dir(list), 0o755), os.WriteFile(list, []byte("deny: [{id: no-telnet, reason: Log-ins go over SSH., name: \"telnet*\"}]\n"), 0o644)); err != nil {
		return err
	}
	scan := func(scanners string) []string {
		return []string{b.onceover, "scan", "docker-archive:" + b.archive, "--scanners", scanners, "--rules", rules, "--no-cache", "--format", "json", "--output", filepath.Join(b.tmp, "image.json"), "--quiet"}
	}
	rows := []row{{name: "onceover, packages alone", argv: scan("vuln")}, {name: "onceover, everything", argv: scan(strings.Join(all, ","))}}
	for _, s := range all {
		if s != "vuln" {
			rows = append(rows, row{name: "onceover, packages and " + s, argv: scan("vuln," + s)})
		}
	}
	if trivy, err := exec.LookPath("trivy"); err == nil {
		cache := filepath.Join(b.tmp, "trivy")
		rows = append(rows, row{name: "trivy, packages and secrets", argv: []string{trivy, "image", "--quiet", "--format", "json", "--output", os.DevNull, "--scanners", "vuln,secret",
			"--offline-scan", "--skip-db-update", "--skip-java-db-update", "--cache-dir", cache, "--input", b.archive}})
	}
	for round := range b.rounds + 1 {
		for i := range rows {
			if err := errors.Join(ctx.Err(), os.RemoveAll(filepath.Join(b.tmp, "trivy"))); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "bench: %s, round %d of %d\n", rows[i].name, round, b.rounds)
			c, err := measure(nil, rows[i].argv...)
			if err != nil {
				return err
			}
			if round > 0 { // the first finds the page cache cold
				rows[i].costs = append(rows[i].costs, c)
			}
		}
	}
	if trees != nil {
		r := row{name: "gitleaks, secrets alone", costs: []cost{{}}}
		for _, t := range trees {
			_, c, err := b.gitleaksTree(ctx, t)
			if err != nil {
				return err
			}
			r.costs[0] = r.costs[0].add(c)
		}
		rows = append(rows, r)
	}
	fmt.Fprintf(b.out, "\n%s: medians of %d rounds\n", filepath.Base(b.archive), b.rounds)
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tcpu s\ttimes\twall s\tpeak MB\t")
	base := rows[0].median()
	for _, r := range rows {
		m := r.median()
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.0f\t\n", r.name, m.CPU.Seconds(), m.CPU.Seconds()/base.CPU.Seconds(), m.Wall.Seconds(), megabytes(m.Peak))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	times := rows[1].median().CPU.Seconds() / base.CPU.Seconds()
	b.limit(times <= maxAdded, "everything (%s) takes %.1f times the processor time of packages alone, at most %d wanted", strings.Join(all, ", "), times, maxAdded)
	return nil
}

// scanners are all that the program can look for: the message about one that
// does not exist lists them.
func (b *checkBench) scanners(ctx context.Context) ([]string, error) {
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, b.onceover, "scan", "--scanners", "none-of-these", "oci:nowhere")
	cmd.Stderr = &errs
	err := cmd.Run()
	_, list, ok := strings.Cut(errs.String(), "there are ")
	if !ok {
		return nil, fmt.Errorf("no list of scanners in %q: %w", errs.String(), err)
	}
	list, _, _ = strings.Cut(list, "\n")
	return strings.Split(list, ", "), nil
}
