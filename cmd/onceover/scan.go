package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/check/policy"
	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/runtime"
	"github.com/onceover/onceover/internal/scan"
)

// scanCmd is "onceover scan".
type scanCmd struct {
	Targets []string `arg:"" optional:"" name:"target" help:"Image name, image ID, digest, docker-archive:FILE, oci:DIR[:TAG] or oci-archive:FILE[:TAG]."`
	All     bool     `help:"Scan every image on this host."`

	Format   string `short:"f" help:"How to write the result: ${enum}." enum:"table,json,cyclonedx,spdx,sarif" default:"table" env:"ONCEOVER_FORMAT"`
	Output   string `short:"o" help:"Write the result to FILE instead of standard output." placeholder:"FILE" type:"path"`
	Severity string `short:"s" help:"Show findings of this severity and worse; of several, separated by commas, exactly those. Levels: critical, high, medium, low, unknown." placeholder:"LEVEL[,...]" env:"ONCEOVER_SEVERITY"`

	Ledger        bool `help:"Say what became of every file: of each layer how many were parsed, looked at, passed over or skipped, and why." env:"ONCEOVER_LEDGER"`
	Files         bool `help:"Take the SHA-256 of executables, and of files that no package owns; JSON lists them. Far more of each image is read." env:"ONCEOVER_SCAN_FILES"`
	IgnoreUnfixed bool `help:"Leave out findings without a fixed version." env:"ONCEOVER_IGNORE_UNFIXED"`
	ExitCode      int  `help:"Exit with N if anything that was looked for is found." placeholder:"N"`

	Sort           string `help:"Order findings by: severity, or priority, which is shown then." enum:"severity,priority" default:"severity" env:"ONCEOVER_SORT"`
	ShowSuppressed bool   `help:"List findings that a VEX document or an ignore rule sets aside in the table too." env:"ONCEOVER_SHOW_SUPPRESSED"`

	Scanners string   `help:"What to look for, separated by commas: vuln, secret, malware, baseline, password, build, policy." default:"vuln" env:"ONCEOVER_SCANNERS" placeholder:"NAME[,...]"`
	Policy   []string `help:"Deny list for the scanner policy, YAML or JSON. Repeat for several; beside those of --rules." placeholder:"FILE" type:"path"`

	ruleFlags
	lookFlags
}

// Help is shown by --help.
func (*scanCmd) Help() string {
	return `Images are read where they lie; nothing is exported or copied. A target is an image name as the engines know it, the beginning of an image ID, a digest, or a file: docker-archive:FILE as 'docker save' writes it, oci:DIR and oci-archive:FILE for an OCI layout. Images of the same content are scanned once and listed with all their names.

Exit codes: 0 if all went well, 1 if something failed or an image could not be read to its end, 2 if the command line is wrong, N as chosen by --exit-code if findings remain.

Examples:

  onceover scan nginx:1.25
  onceover scan --all --severity high --ignore-unfixed
  onceover scan app:dev --scanners vuln,secret,malware,baseline,password,build
  onceover scan docker-archive:web.tar --format json --output web.json
  onceover scan app:dev --format spdx --output app.spdx.json
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
	}
	if err := c.validate(); err != nil {
		return err
	}
	scanners, err := parseScanners(c.Scanners)
	switch {
	case err != nil:
		return err
	case scanners[export.ScanPolicy] && len(c.Policy) == 0 && c.Rules == "":
		return errors.New("--scanners policy needs a deny list: --policy FILE, or the folder policy of --rules")
	case !scanners[export.ScanPolicy] && len(c.Policy) > 0:
		return errors.New("--policy is for the scanner policy: name it in --scanners")
	}
	_, err = parseSeverities(c.Severity)
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
	scanners, err := parseScanners(c.Scanners)
	if err != nil {
		return err
	}
	var checks []string
	var engine *secret.Engine
	if scanners[export.ScanSecrets] {
		checks = append(checks, report.CheckSecrets)
		if engine, err = secretEngine(c.Rules); err != nil {
			return err
		}
	}
	if scanners[export.ScanMalware] {
		checks = append(checks, report.CheckMalware)
	}
	if scanners[export.ScanBaseline] || scanners[export.ScanPasswords] {
		checks = append(checks, report.CheckBaseline) // says what new passwords must be like, too
	}
	if scanners[export.ScanPasswords] {
		checks = append(checks, report.CheckPasswords)
	}
	var rules *baseline.RuleSet
	if scanners[export.ScanBaseline] {
		if rules, err = baselineRules(c.Rules); err != nil {
			return err
		}
	}
	var denied *policy.Policy
	if scanners[export.ScanPolicy] {
		if denied, err = denyLists(c.Rules, c.Policy...); err != nil {
			return err
		}
	}
	with := c.setup()
	sets, setup, err := checkSets(with, checks...)
	if err != nil {
		return err
	}
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
	places, err := c.places(ctx, p, c.Targets, c.All)
	if err != nil {
		return err
	}
	severities, err := parseSeverities(c.Severity)
	if err != nil {
		return err
	}
	judge, err := c.judge(p)
	if err != nil {
		return err
	}
	sort := c.Sort
	if sort == "severity" {
		sort = ""
	}
	meta := db.Meta()
	isolate, closeContract := c.isolation()
	defer closeContract()
	with.attach(isolate, checks...)
	scanner := scan.New(scan.Config{
		Set: packageSet(c.Files), Checks: sets, Setup: setup, Cache: layers, Parallel: c.Parallel, Isolate: isolate, Log: slog.Default(),
	})
	s := scanRun{
		scanner: scanner,
		matcher: match.New(db), judge: judge, progress: p, lenient: c.All, ledger: c.Ledger, scanners: scanners, engine: engine, rules: rules, policy: denied,
		doc: &export.Document{
			Tool:        export.Tool{Version: programVersion()},
			AnalyzerSet: scanner.Analyzers(),
			Advisories:  export.Advisories{Generation: meta.ID, Date: formatMillis(meta.DataDate), Starter: meta.Starter},
			Filters:     export.Filters{Scanners: slices.Sorted(maps.Keys(scanners)), Severities: severities, IgnoreUnfixed: c.IgnoreUnfixed, Sort: sort, ShowSuppressed: c.ShowSuppressed},
		},
	}
	if scanners[export.ScanVulnerabilities] {
		if s.general, err = s.generalWarnings(); err != nil {
			return err
		}
	}
	subjects := gather(places)
	for i, sub := range subjects {
		if err := s.scan(ctx, sub, i+1, len(subjects)); err != nil {
			return err
		}
	}
	if err := s.bases(ctx); err != nil {
		return err
	}
	s.doc.Filters.Judged = judge.used()
	s.doc.Warnings = append(s.doc.Warnings, judge.warnings()...)
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
		if n := s.doc.Advisories.Notice; n != "" && s.doc.Filters.Matched() {
			s.progress.warn("note: %s", n)
		}
	}
	if s.failed > 0 {
		std.notice("%d of %d images could not be scanned completely", s.failed, len(s.doc.Images))
		return exitCode(exitError)
	}
	if n := s.doc.Total(); c.ExitCode != 0 && n.Findings+n.Other() > 0 {
		return exitCode(c.ExitCode)
	}
	return nil
}

// write writes the document in the format asked for.
func (c *scanCmd) write(w io.Writer, doc *export.Document) error {
	switch c.Format {
	case "json":
		return export.JSON(w, doc)
	case "cyclonedx":
		return export.CycloneDX(w, doc)
	case "spdx":
		return export.SPDX(w, doc)
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
