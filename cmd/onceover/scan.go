package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/cache"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/runtime"
	"github.com/onceover/onceover/internal/scan"
)

// scanCmd is "onceover scan".
type scanCmd struct {
	Targets []string `arg:"" optional:"" name:"target" help:"Image name, image ID, digest, docker-archive:FILE, oci:DIR[:TAG] or oci-archive:FILE[:TAG]."`
	All     bool     `help:"Scan every image on this host."`

	Format   string `short:"f" help:"How to write the result: ${enum}." enum:"table,json,cyclonedx,sarif" default:"table" env:"ONCEOVER_FORMAT"`
	Output   string `short:"o" help:"Write the result to FILE instead of standard output." placeholder:"FILE" type:"path"`
	Severity string `short:"s" help:"Show findings of this severity and worse; of several, separated by commas, exactly those. Levels: critical, high, medium, low, unknown." placeholder:"LEVEL[,...]" env:"ONCEOVER_SEVERITY"`

	Ledger        bool `help:"Say what became of every file: of each layer how many were parsed, looked at, passed over or skipped, and why." env:"ONCEOVER_LEDGER"`
	IgnoreUnfixed bool `help:"Leave out findings without a fixed version." env:"ONCEOVER_IGNORE_UNFIXED"`
	ExitCode      int  `help:"Exit with N if findings remain." placeholder:"N"`

	DB      string `name:"db" help:"Advisory database. Default: ${database_file}, or else the starter that is built in." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	Cache   string `help:"Keep layer reports in DIR. Default: onceover in the user's cache directory." placeholder:"DIR" type:"path" env:"ONCEOVER_CACHE_DIR"`
	NoCache bool   `help:"Keep layer reports for this run only." env:"ONCEOVER_NO_CACHE"`

	DockerSocket     []string `help:"Socket of a docker engine; repeatable. Default: the usual places." placeholder:"PATH" env:"ONCEOVER_DOCKER_SOCKET"`
	ContainerdSocket []string `help:"Socket of a containerd; repeatable. Default: the usual places." placeholder:"PATH" env:"ONCEOVER_CONTAINERD_SOCKET"`
	StorageRoot      []string `help:"Graph root of podman, CRI-O or buildah; repeatable. Default: those that their configuration files name." placeholder:"DIR" env:"ONCEOVER_STORAGE_ROOT"`
	PodmanSocket     []string `help:"Socket of podman's service, to be asked for its graph root; repeatable. Default: none, its configuration files tell." placeholder:"PATH" env:"ONCEOVER_PODMAN_SOCKET"`

	Parallel int          `help:"Read N layers at once. Default: the number of processors." placeholder:"N" env:"ONCEOVER_PARALLEL"`
	Sandbox  sandboxFlags `embed:""`

	CPUPercent int      `name:"cpu-percent" help:"Take at most N percent of one processor while others are busy. Default: what there is." placeholder:"N" env:"ONCEOVER_CPU_PERCENT"`
	Memory     byteSize `help:"Take at most SIZE of memory; layers are read one at a time then, unless --parallel says otherwise. Default: what there is, but not without bound." placeholder:"SIZE" env:"ONCEOVER_MEMORY"`

	Quiet bool `short:"q" help:"No progress and no summary, warnings only." env:"ONCEOVER_QUIET"`

	opened []image.Source // to be closed
}

// Help is shown by --help.
func (*scanCmd) Help() string {
	return `Images are read where they lie; nothing is exported or copied. A target is an image name as the engines know it, the beginning of an image ID, a digest, or a file: docker-archive:FILE as 'docker save' writes it, oci:DIR and oci-archive:FILE for an OCI layout. Images of the same content are scanned once and listed with all their names.

Exit codes: 0 if all went well, 1 if something failed or an image could not be read to its end, 2 if the command line is wrong, N as chosen by --exit-code if findings remain.

Examples:

  onceover scan nginx:1.25
  onceover scan --all --severity high --ignore-unfixed
  onceover scan docker-archive:web.tar --format json --output web.json
  onceover scan oci:build/layout --severity critical,high --exit-code 3`
}

// Validate checks what the flags mean together.
func (c *scanCmd) Validate() error {
	switch {
	case len(c.Targets) == 0 && !c.All:
		return errors.New("name the images to scan, or use --all for every image on this host")
	case len(c.Targets) > 0 && c.All:
		return errors.New("--all scans every image: it takes no targets")
	case c.ExitCode < 0 || c.ExitCode > 255:
		return errors.New("--exit-code: want a number from 0 to 255")
	case c.CPUPercent < 0:
		return errors.New("--cpu-percent: want a number from 1")
	case c.Memory != 0 && c.Memory < minMemory:
		return fmt.Errorf("--memory: want %s at least", bytesText(minMemory))
	case c.Parallel < 0:
		return errors.New("--parallel: want a number from 1")
	case c.NoCache && c.Cache != "":
		return errors.New("--cache and --no-cache exclude each other")
	}
	_, err := parseSeverities(c.Severity)
	return err
}

// parseSeverities reads the value of --severity: one level stands for itself
// and everything worse, several for exactly themselves, none for all.
func parseSeverities(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	levels := []string{report.SeverityCritical, report.SeverityHigh, report.SeverityMedium, report.SeverityLow, report.SeverityUnknown}
	wanted := map[string]bool{}
	names := strings.Split(s, ",")
	for _, name := range names {
		i := slices.IndexFunc(levels, func(l string) bool { return strings.EqualFold(l, strings.TrimSpace(name)) })
		if i < 0 {
			return nil, fmt.Errorf("--severity: no such level: %q; there are critical, high, medium, low, unknown", name)
		}
		wanted[levels[i]] = true
		if len(names) == 1 {
			for _, l := range levels[:i] {
				wanted[l] = true
			}
		}
	}
	return slices.DeleteFunc(levels, func(l string) bool { return !wanted[l] }), nil
}

// Run scans.
func (c *scanCmd) Run(ctx context.Context, std streams) error {
	started := time.Now()
	db, err := openDatabase(c.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	p := newProgress(std.Err, c.Quiet)
	defer p.end()
	layers, err := c.openCache(p)
	if err != nil {
		return err
	}
	defer layers.Close()
	defer func() { runtime.CloseAll(c.opened...) }()
	places, err := c.places(ctx, p)
	if err != nil {
		return err
	}
	severities, err := parseSeverities(c.Severity)
	if err != nil {
		return err
	}
	meta := db.Meta()
	isolate, closeContract := c.isolation()
	defer closeContract()
	s := scanRun{
		scanner: scan.New(scan.Config{Set: all.Set(), Cache: layers, Parallel: c.Parallel, Isolate: isolate, Log: slog.Default()}),
		matcher: match.New(db), progress: p, lenient: c.All, ledger: c.Ledger,
		doc: &export.Document{
			Tool:        export.Tool{Version: programVersion()},
			AnalyzerSet: all.Set().Key(),
			Advisories:  export.Advisories{Generation: meta.ID, Date: formatMillis(meta.DataDate), Starter: meta.Starter},
			Filters:     export.Filters{Severities: severities, IgnoreUnfixed: c.IgnoreUnfixed},
		},
	}
	if s.general, err = s.generalWarnings(); err != nil {
		return err
	}
	subjects := gather(places)
	for i, sub := range subjects {
		if err := s.scan(ctx, sub, i+1, len(subjects)); err != nil {
			return err
		}
	}
	s.doc.Finish()
	p.end()
	if err := writeOutput(std.Out, c.Output, func(w io.Writer) error { return c.write(w, s.doc) }); err != nil {
		return err
	}
	return c.conclude(std, &s, time.Since(started))
}

// conclude says what was done and chooses the exit code.
func (c *scanCmd) conclude(std streams, s *scanRun, took time.Duration) error {
	st := s.scanner.Stats()
	s.progress.say("%s, %s analysed, %d from cache, %s opened, %s read in %.1f s", plural(len(s.doc.Images), "image"),
		plural(st.LayersAnalyzed, "layer"), st.LayersCached, plural(st.FilesOpened, "file"), bytesText(st.BytesRead), took.Seconds())
	if c.Format != "table" || c.Output != "" {
		s.progress.say("%s", s.doc.Total())
		for _, w := range s.doc.Warnings {
			s.progress.warn("warning: %s", w)
		}
		if n := s.doc.Advisories.Notice; n != "" {
			s.progress.warn("note: %s", n)
		}
	}
	if s.failed > 0 {
		std.notice("%d of %d images could not be scanned completely", s.failed, len(s.doc.Images))
		return exitCode(exitError)
	}
	if c.ExitCode != 0 && s.doc.Total().Findings > 0 {
		return exitCode(c.ExitCode)
	}
	return nil
}

// openCache opens the cache of layer reports. A default directory that cannot
// be used is no reason not to scan.
func (c *scanCmd) openCache(p *progress) (*cache.Cache, error) {
	if c.NoCache {
		return cache.New(cache.Config{})
	}
	if c.Cache != "" {
		return cache.New(cache.Config{Dir: c.Cache})
	}
	dir, err := os.UserCacheDir()
	if err == nil {
		var layers *cache.Cache
		if layers, err = cache.New(cache.Config{Dir: filepath.Join(dir, "onceover")}); err == nil {
			return layers, nil
		}
	}
	p.warn("layer reports are not kept: %v", err)
	return cache.New(cache.Config{})
}

// places finds the images that the targets mean.
func (c *scanCmd) places(ctx context.Context, p *progress) ([]held, error) {
	var out []held
	var named []string
	for _, target := range c.Targets {
		src, ok, err := runtime.Open(ctx, target)
		if err != nil {
			return nil, err
		}
		if !ok {
			if s, err := os.Stat(target); err == nil && (filepath.IsAbs(target) || target[0] == '.') {
				return nil, usagef("%s is not the name of an image; to scan what lies there, say %s", target, fileTarget(target, s.IsDir()))
			}
			named = append(named, target)
			continue
		}
		c.opened = append(c.opened, src)
		images, err := src.Images(ctx)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", target, err)
		}
		if len(images) == 0 {
			return nil, fault.New(fault.NotFound, "%s holds no image", target)
		}
		for _, img := range images {
			out = append(out, held{src, img})
		}
	}
	if len(named) == 0 && !c.All {
		return out, nil
	}
	here, asked, err := c.engineImages(ctx, p)
	if err != nil {
		return nil, err
	}
	if c.All {
		if len(here) == 0 {
			p.warn("there is no image in %s", asked)
		}
		return here, nil
	}
	for _, target := range named {
		images, err := find(here, target)
		if fault.CodeOf(err) == fault.NotFound {
			return nil, fault.New(fault.NotFound, "%w (asked: %s; 'onceover scan --all' scans every image)", err, asked)
		}
		if err != nil {
			return nil, err
		}
		if n := len(gather(images)); n > 1 {
			p.warn("%s names %d different images: all are scanned", target, n)
		}
		out = append(out, images...)
	}
	return out, nil
}

// fileTarget is how to name a file or directory as a target.
func fileTarget(path string, dir bool) string {
	if dir {
		return "oci:" + path
	}
	return "docker-archive:" + path + " or oci-archive:" + path
}

// engineImages lists the images of every engine that answers, and says which
// engines were asked.
func (c *scanCmd) engineImages(ctx context.Context, p *progress) (images []held, asked string, err error) {
	p.now("looking for container engines")
	sources, states := runtime.Discover(ctx, runtime.Config{Docker: c.DockerSocket, Containerd: c.ContainerdSocket, Storage: c.StorageRoot, Podman: c.PodmanSocket})
	c.opened = append(c.opened, sources...)
	var names []string
	for _, st := range states {
		if st.Error != "" {
			at := st.Name + " at " + st.Socket + ": " // which most errors begin with
			p.warn("%s%s", at, strings.TrimPrefix(st.Error, at))
			continue
		}
		names = append(names, strings.TrimSpace(st.Name+" "+st.Version))
	}
	if len(sources) == 0 {
		return nil, "", fault.New(fault.Unavailable, "no container engine can be read here: start docker or containerd, run this as root, name a socket or store with --docker-socket, --containerd-socket or --storage-root, or scan a file (docker-archive:FILE, oci:DIR, oci-archive:FILE)")
	}
	for _, src := range sources {
		list, err := src.Images(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, "", ctx.Err()
			}
			if len(sources) == 1 {
				return nil, "", fmt.Errorf("list images of %s: %w", src.Engine(), err)
			}
			p.warn("list images of %s: %v", src.Engine(), err)
			continue
		}
		for _, img := range list {
			images = append(images, held{src, img})
		}
	}
	return images, strings.Join(names, ", "), nil
}

// write writes the document in the format asked for.
func (c *scanCmd) write(w io.Writer, doc *export.Document) error {
	switch c.Format {
	case "json":
		return export.JSON(w, doc)
	case "cyclonedx":
		return export.CycloneDX(w, doc)
	case "sarif":
		return export.SARIF(w, doc)
	}
	opts := export.TableOptions{}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			opts.Width = width
		}
		opts.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return export.Table(w, doc, opts)
}
