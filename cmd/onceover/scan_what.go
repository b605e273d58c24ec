package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/check/baseimage"
	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/scan"
)

// scannerNames are what "onceover scan" can look for.
var scannerNames = []string{
	export.ScanVulnerabilities, export.ScanSecrets, export.ScanMalware, export.ScanBaseline, export.ScanPasswords, export.ScanBuild, export.ScanPolicy,
}

// parseScanners reads the value of --scanners.
func parseScanners(s string) (map[string]bool, error) {
	out := map[string]bool{}
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(scannerNames, name) {
			return nil, fmt.Errorf("--scanners: no such scanner: %q; there are %s", name, strings.Join(scannerNames, ", "))
		}
		out[name] = true
	}
	return out, nil
}

// secrets are those in the files of an image and in its configuration.
func (s *scanRun) secrets(ctx context.Context, res *scan.Result) ([]report.Secret, error) {
	found, err := s.engine.ScanImage(ctx, res.Config)
	if errors.Is(err, secret.ErrLimit) {
		res.Inventory.Problems = append(res.Inventory.Problems, report.Problem{Analyzer: "secret", Message: "image configuration: " + err.Error()})
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return append(found, res.Inventory.Secrets...), nil
}

// buildRisks are those in the commands that built an image.
func buildRisks(res *scan.Result) ([]export.BuildRisk, error) {
	img, err := buildcmd.ParseImage(res.RawConfig)
	if err != nil {
		return nil, err
	}
	var out []export.BuildRisk
	for _, f := range buildcmd.Check(img).Findings {
		out = append(out, export.BuildRisk{
			Rule: f.RuleID, Title: f.Rule.Title, Severity: report.SeverityOf(f.Rule.Severity),
			Instruction: f.Instruction, Layer: f.Layer, Description: f.Rule.Description, Remediation: f.Rule.Remediation,
		})
	}
	return out, nil
}

// judgeSoftware puts what the deny list says into an image.
func (s *scanRun) judgeSoftware(out *export.Image, inv report.Inventory) {
	res := s.policy.Check(inv)
	for _, v := range res.Violations {
		out.Violations = append(out.Violations, export.Violation{
			Rule: v.Rule, Reason: v.Reason, Severity: v.Severity, Type: v.Type, Name: v.Name, Version: v.Version, Path: v.Path, Layer: v.Layer,
		})
	}
	for _, u := range res.Undecided {
		out.Undecided = append(out.Undecided, export.Violation{Rule: u.Rule, Reason: u.Reason, Type: u.Type, Name: u.Name, Version: u.Version, Path: u.Path})
	}
}

// builtFrom is what base images are found by.
func builtFrom(res *scan.Result, digest image.Digest) *baseimage.Input {
	return &baseimage.Input{
		ConfigDigest: digest, DiffIDs: res.Config.DiffIDs, Labels: res.Config.Labels, History: res.Config.History,
		Distro: res.Inventory.Distro, SystemLayer: baseimage.SystemLayer(res.Layers, res.Inventory.Distro),
	}
}

// bases tells what the images of the run were built from: others of the run, or
// what they name themselves.
func (s *scanRun) bases(ctx context.Context) error {
	var fleet baseimage.Index
	for i, in := range s.inputs {
		if in == nil {
			continue
		}
		var names []image.Ref
		for _, n := range s.doc.Images[i].Names {
			names = append(names, image.ParseRef(n))
		}
		fleet.Add(in.ConfigDigest, in.DiffIDs, len(in.History), names...)
	}
	for i, in := range s.inputs {
		if in == nil {
			continue
		}
		found, err := baseimage.Identify(ctx, *in, &fleet)
		if err != nil {
			return err
		}
		for _, b := range found {
			s.doc.Images[i].Bases = append(s.doc.Images[i].Bases, export.Base{How: b.How, Names: b.Names, Digests: b.Digests, Layer: b.LayerDigest, Layers: b.Layers})
		}
	}
	return nil
}
