package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/runtime"
	"github.com/onceover/onceover/internal/scan"
)

// explainCmd is "onceover explain".
type explainCmd struct {
	Image string `arg:"" help:"Image, named as for onceover scan."`
	ID    string `arg:"" name:"id" help:"CVE, GHSA, or id of an advisory or record."`

	Format string `short:"f" help:"How to write the result: ${enum}." enum:"text,json" default:"text"`
	Output string `short:"o" help:"Write the result to FILE instead of standard output." placeholder:"FILE" type:"path"`

	lookFlags
}

// Help is shown by --help.
func (*explainCmd) Help() string {
	return `Names every package of the image that the id concerns, and tells what decided: the file that says that the package is there, the layer and its build command, the records of the advisory database with their source and date, each comparison of versions, what was folded into the finding, and the parts of its priority. Where there is no finding it tells why not: the package is absent, its version is fixed, the distribution says that it is not affected or does not know yet, another package owns it, a VEX document or rule sets it aside.

Exit codes: 0 whatever the answer is, 1 if something failed or an image could not be read to its end, 2 if the command line is wrong.

Examples:

  onceover explain nginx:1.25 CVE-2023-44487
  onceover explain oci:build/layout DSA-5678-1 --format json`
}

// Validate checks what the flags mean together.
func (c *explainCmd) Validate() error {
	if strings.TrimSpace(c.ID) == "" {
		return errors.New("name the id that is to be explained")
	}
	return c.validate()
}

// Run explains.
func (c *explainCmd) Run(ctx context.Context, std streams) error {
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
	judge, err := c.judge(p)
	if err != nil {
		return err
	}
	places, err := c.places(ctx, p, []string{c.Image}, false)
	if err != nil {
		return err
	}
	meta := db.Meta()
	isolate, closeContract := c.isolation()
	defer closeContract()
	out := &export.Explanation{
		SchemaVersion: 1,
		Tool:          export.Tool{Name: "onceover", Version: programVersion()},
		Advisories:    export.Advisories{Generation: meta.ID, Date: formatMillis(meta.DataDate), Starter: meta.Starter},
	}
	if meta.Starter {
		out.Advisories.Notice = export.StarterNotice
	}
	e := explainRun{
		id: c.ID, matcher: match.New(db), judge: judge, progress: p,
		scanner: scan.New(scan.Config{Set: all.Set(), Cache: layers, Parallel: c.Parallel, Isolate: isolate, Log: slog.Default()}),
	}
	for _, sub := range gather(places) {
		im, err := e.image(ctx, sub)
		if err != nil {
			return err
		}
		out.Images = append(out.Images, im)
	}
	out.Judged, out.Warnings = judge.used(), judge.warnings()
	p.end()
	write := export.ExplanationText
	if c.Format == "json" {
		write = export.ExplanationJSON
	}
	if err := writeOutput(std.Out, c.Output, func(w io.Writer) error { return write(w, out) }); err != nil {
		return err
	}
	if slices.ContainsFunc(out.Images, func(im export.ExplainedImage) bool { return !im.Complete }) {
		std.notice("not every image could be read completely")
		return exitCode(exitError)
	}
	return nil
}

// explainRun is one run over some images.
type explainRun struct {
	id       string
	scanner  *scan.Scanner
	matcher  *match.Matcher
	judge    *judge
	progress *progress
}

// image explains the id in one image. Only the end of ctx, and a database that
// cannot be read, is an error.
func (e *explainRun) image(ctx context.Context, sub subject) (export.ExplainedImage, error) {
	about := describe(sub)
	slices.Sort(about.Names)
	out := export.ExplainedImage{Names: slices.Compact(about.Names), ConfigDigest: sub.digest, Platform: about.Platform}
	if out.Names == nil {
		out.Names = []string{}
	}
	res, err := readImage(ctx, e.scanner, sub, func(done, all int, cached bool) {
		e.progress.now("%s, layer %d of %d", sub.title(), done, all)
	})
	if err != nil {
		out.Error = err.Error()
		return out, ctx.Err()
	}
	if p := res.Config.Platform; p.OS != "" {
		out.Platform = p.String()
	}
	out.Distro, out.Layers, out.Complete = res.Inventory.Distro, len(res.Config.DiffIDs), res.Inventory.Complete
	var layers []match.Layer
	commands := res.BuildCommands()
	for _, d := range res.Config.DiffIDs {
		layers = append(layers, match.Layer{DiffID: string(d), BuildCommand: commands[string(d)]})
	}
	out.Explanation, err = e.matcher.Explain(ctx, res.Inventory, layers, about.Running(), e.id)
	if err != nil {
		return out, fmt.Errorf("explain %s in %s: %w", e.id, sub.title(), err)
	}
	judgeOne, err := e.judge.of(ctx, sub, about, res.Inventory)
	if err != nil {
		return out, err
	}
	out.Explanation.Judge(judgeOne)
	return out, nil
}
