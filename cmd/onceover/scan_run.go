package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onceover/onceover/internal/check/baseimage"
	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/check/policy"
	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/scan"
)

// scanRun is one run over some images.
type scanRun struct {
	scanner  *scan.Scanner
	matcher  *match.Matcher
	judge    *judge
	progress *progress
	// lenient runs do not fail on images that are known not to be readable.
	lenient bool
	// general are the warnings that concern every image alike.
	general []string
	// ledger asks for what became of every file.
	ledger bool
	// scanners are what is looked for; policy is the deny list, nil without.
	scanners map[string]bool
	// engine for secrets in configurations, if those are looked for.
	engine *secret.Engine
	// rules of baselines, if those are looked at.
	rules  *baseline.RuleSet
	policy *policy.Policy
	// inputs tell what each image of the document was built from; nil for
	// those that could not be read.
	inputs []*baseimage.Input
	doc    *export.Document
	failed int
}

// generalWarnings are what the matcher says whatever the image: how old the
// database is, for example. About the starter the document itself has a word.
func (s *scanRun) generalWarnings() ([]string, error) {
	_, general, err := s.matcher.Inventory(report.Inventory{}, nil)
	if err != nil {
		return nil, fmt.Errorf("read advisory database: %w", err)
	}
	if !s.doc.Advisories.Starter {
		s.doc.Warnings = append(s.doc.Warnings, general...)
	}
	return general, nil
}

// scan adds one subject to the document. Only the end of ctx is an error: an
// image that cannot be read stands in the document with the reason.
func (s *scanRun) scan(ctx context.Context, sub subject, n, of int) error {
	out := describe(sub)
	res, err := readImage(ctx, s.scanner, sub, func(done, all int, cached bool) {
		s.progress.now("image %d of %d: %s, layer %d of %d", n, of, sub.title(), done, all)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		out.Error = err.Error()
		if !s.lenient || sub.places[0].image.NonScanReason == "" {
			s.failed++
		}
		s.progress.warn("%s: %v", sub.title(), err)
		s.doc.Images, s.inputs = append(s.doc.Images, out), append(s.inputs, nil)
		return nil
	}
	commands := res.BuildCommands()
	var findings []report.Finding
	var warnings []string
	if s.scanners[export.ScanVulnerabilities] {
		findings, warnings, err = s.matcher.Inventory(res.Inventory, commands)
		if err != nil {
			return fmt.Errorf("match packages of %s: %w", sub.title(), err)
		}
	}
	if s.scanners[export.ScanSecrets] {
		if out.Secrets, err = s.secrets(ctx, res); err != nil {
			return fmt.Errorf("look for secrets in %s: %w", sub.title(), err)
		}
	}
	if s.scanners[export.ScanMalware] {
		out.Malware = res.Inventory.Malware
	}
	for _, w := range warnings {
		if !slices.Contains(s.general, w) {
			s.doc.Warnings = append(s.doc.Warnings, sub.title()+": "+w)
		}
	}
	if s.scanners[export.ScanBuild] {
		if out.BuildRisks, err = buildRisks(res); err != nil {
			return fmt.Errorf("look at the build of %s: %w", sub.title(), err)
		}
	}
	if s.scanners[export.ScanBaseline] {
		if out.Baseline, err = s.baseline(res); err != nil {
			return fmt.Errorf("look at the baseline of %s: %w", sub.title(), err)
		}
	}
	if s.scanners[export.ScanPasswords] {
		if out.Passwords, err = passwords(res); err != nil {
			return fmt.Errorf("look at the passwords of %s: %w", sub.title(), err)
		}
	}
	if s.scanners[export.ScanPolicy] {
		s.judgeSoftware(&out, res.Inventory)
	}
	judge, err := s.judge.of(ctx, sub, out, res.Inventory)
	if err != nil {
		return err
	}
	for i := range findings {
		judge(&findings[i])
	}
	s.fillIn(&out, res, commands, findings)
	if !out.Complete {
		s.failed++
	}
	s.doc.Images, s.inputs = append(s.doc.Images, out), append(s.inputs, builtFrom(res, sub.digest))
	found := plural(len(findings), "finding")
	if !s.scanners[export.ScanVulnerabilities] {
		found = plural(out.Other(), "finding")
	}
	s.progress.done("image %d of %d: %s: %s, %s", n, of, sub.title(), plural(out.Installed(), "package"), found)
	return nil
}

// readImage reads a subject where it can be read first.
func readImage(ctx context.Context, scanner *scan.Scanner, sub subject, onLayer func(done, all int, cached bool)) (res *scan.Result, err error) {
	for _, place := range sub.places {
		res, err = scanner.Image(ctx, place.source, place.image, onLayer)
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return res, err
}

// describe is what the engines say about a subject.
func describe(sub subject) export.Image {
	out := export.Image{ConfigDigest: sub.digest}
	for _, p := range sub.places {
		img := p.image
		for _, n := range img.Names {
			out.Names = append(out.Names, n.String())
		}
		out.RepoDigests = append(out.RepoDigests, img.RepoDigests...)
		if img.ManifestDigest != "" {
			out.ManifestDigests = append(out.ManifestDigests, img.ManifestDigest)
		}
		out.Engines = append(out.Engines, img.Engine)
		if img.Platform != (image.Platform{}) {
			out.Platform = img.Platform.String()
		}
		out.Size = max(out.Size, img.Size)
		for _, c := range img.Containers {
			out.Containers = append(out.Containers, export.Container{Container: c, Engine: img.Engine})
		}
	}
	return out
}

// fillIn adds what scanning and matching found.
func (s *scanRun) fillIn(out *export.Image, res *scan.Result, commands map[string]string, findings []report.Finding) {
	if p := res.Config.Platform; p.OS != "" {
		out.Platform = p.String()
	}
	if !res.Config.Created.IsZero() {
		out.Created = res.Config.Created.Format(time.RFC3339)
	}
	for _, d := range res.Config.DiffIDs {
		out.Layers = append(out.Layers, export.Layer{DiffID: d, BuildCommand: commands[string(d)]})
	}
	if s.ledger {
		for i, l := range report.Ledgers(res.Layers) {
			out.Layers[i].Ledger = &l
		}
		out.Checked = res.Inventory.Checked
	}
	inv := res.Inventory
	out.Files = report.VisibleFiles(res.Layers)
	out.Distro, out.Problems, out.Ledger, out.Complete = inv.Distro, inv.Problems, inv.Ledger, inv.Complete
	for _, p := range inv.Packages {
		out.Packages = append(out.Packages, export.Package{Package: p, PURL: report.PURL(p, inv.Distro)})
	}
	out.Findings = findings
	out.SupportEnds = match.EndOfSupport(inv.Distro)
}
